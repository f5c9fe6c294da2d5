"""Floor 7: words of the command line to WebAssembly values and back, for `--invoke`.

In: words and a function's parameter types (the binary format's codes, spec 5.3). Out: Python values; and lines of text
for its results. Literals are Python's and the text format's: `0x` integers, `0x1.8p3`, `nan`, `inf` (spec 6.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Final, NoReturn

__all__ = ["BadArgument", "parse_arguments", "show_results"]

INT_BITS: Final = {0x7F: 32, 0x7E: 64}
F32: Final = 0x7D
FLOATS: Final = (F32, 0x7C)
TYPE_NAMES: Final = {
    0x7F: "i32", 0x7E: "i64", 0x7D: "f32", 0x7C: "f64", 0x7B: "v128", 0x70: "funcref", 0x6F: "externref",
}  # fmt: skip


_pack: Final = Struct("<f").pack


class BadArgument(ValueError):
    """A word that is no value of the parameter's type, or too many or too few of them."""


def parse_arguments(words: list[str], params: Sequence[int]) -> list[int | float]:
    """Convert one word for each parameter.

    Raises:
        BadArgument: with a sentence that names the argument.
    """
    if len(words) != len(params):
        expected = " ".join(_type_name(code) for code in params) or "none"
        raise BadArgument(f"{len(words)} arguments given, {len(params)} expected ({expected})")
    return [_value(word, code, position) for position, (word, code) in enumerate(zip(words, params), 1)]


def _value(word: str, code: int, position: int) -> int | float:
    if code in INT_BITS:
        return _integer(word, code, position)
    if code in FLOATS:
        return _float(word, code, position)
    raise BadArgument(f"argument {position}: no {_type_name(code)} can be given on the command line")


def _integer(word: str, code: int, position: int) -> int:
    try:
        value = int(word, 0)
    except ValueError:
        _refuse(word, code, position)
    bits = INT_BITS[code]
    if not -(1 << bits - 1) <= value < 1 << bits:
        raise BadArgument(f"argument {position}: {word} does not fit in {_type_name(code)}")
    return value


def _float(word: str, code: int, position: int) -> float:
    try:
        return float.fromhex(word) if "0x" in word.lower() else float(word)
    except (ValueError, OverflowError):
        _refuse(word, code, position)


def _refuse(word: str, code: int, position: int) -> NoReturn:
    raise BadArgument(f"argument {position}: {word!r} is not of type {_type_name(code)}") from None


def _type_name(code: int) -> str:
    return TYPE_NAMES.get(code, f"type {code:#x}")


def show_results(results: object, types: Sequence[int]) -> list[str]:
    """Give one line for each result of a call, which is None for no types, one value for one, and a tuple for several.

    An f32 has as many digits as tell it from its neighbours.
    """
    values = results if len(types) != 1 and isinstance(results, tuple) else (results,)
    return [_shown(value, code) for value, code in zip(values, types)]


def _shown(value: object, code: int) -> str:
    if value is None:
        return "null"
    if code != F32 or not isinstance(value, float):
        return repr(value)
    for digits in range(1, 9):
        short = float(f"{value:.{digits}g}")
        if _same(short, value):
            return repr(short)
    return repr(float(f"{value:.9g}"))


def _same(one: float, other: float) -> bool:
    """Return whether two numbers are the same as f32."""
    try:
        return _pack(one) == _pack(other)
    except OverflowError:  # rounded to beyond the largest
        return False
