"""Floor 7: words of the command line to WebAssembly values and back, for `--invoke`.

In: words and a function's parameter types, as `figwasp.types` has them. Out: Python values; and lines of text
for its results. Literals are Python's and the text format's: `0x` integers, `0x1.8p3`, `nan`, `inf` (spec 6.3). A vector is
its shape and its lanes, `i32x4:1,2,3,4`, or an integer of 128 bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Final, NoReturn

from figwasp.errors import ParseError
from figwasp.types import F32, F64, I32, I64, V128, type_name
from figwasp.wasm.text.cursor import Cursor
from figwasp.wasm.text.lexer import tokenize
from figwasp.wasm.text.parse.vectors import SHAPES, vector

__all__ = ["BadArgument", "parse_arguments", "show_results"]

INT_BITS: Final = {I32: 32, I64: 64, V128: 128}
FLOATS: Final = (F32, F64)
_VECTOR: Final = 16  # bytes

_pack: Final = Struct("<f").pack


class BadArgument(ValueError):
    """A word that is no value of the parameter's type, or too many or too few of them."""


def parse_arguments(words: list[str], params: Sequence[int]) -> list[int | float | bytes]:
    """Convert one word for each parameter.

    Raises:
        BadArgument: with a sentence that names the argument.
    """
    if len(words) != len(params):
        expected = " ".join(type_name(code) for code in params) or "none"
        raise BadArgument(f"{len(words)} arguments given, {len(params)} expected ({expected})")
    return [_value(word, code, position) for position, (word, code) in enumerate(zip(words, params), 1)]


def _value(word: str, code: int, position: int) -> int | float | bytes:
    if code == V128:
        return _vector(word, code, position)
    if code in INT_BITS:
        return _integer(word, code, position)
    if code in FLOATS:
        return _float(word, code, position)
    raise BadArgument(f"argument {position}: no {type_name(code)} can be given on the command line")


def _vector(word: str, code: int, position: int) -> bytes:
    """Read the 128 bits of a vector: a shape and its lanes, or an integer."""
    if word.partition(":")[0] not in SHAPES:
        return _integer(word, code, position).to_bytes(_VECTOR, "little")
    try:
        cursor = Cursor(tokenize(word.replace(":", " ", 1).replace(",", " ")))
        bits = vector(cursor)
    except ParseError:
        _refuse(word, code, position)
    if cursor.items[cursor.at]:
        _refuse(word, code, position)
    return bits.to_bytes(_VECTOR, "little")


def _integer(word: str, code: int, position: int) -> int:
    try:
        value = int(word, 0)
    except ValueError:
        _refuse(word, code, position)
    bits = INT_BITS[code]
    if not -(1 << bits - 1) <= value < 1 << bits:
        raise BadArgument(f"argument {position}: {word} does not fit in {type_name(code)}")
    return value & (1 << bits) - 1 if code == V128 else value


def _float(word: str, code: int, position: int) -> float:
    try:
        return float.fromhex(word) if "0x" in word.lower() else float(word)
    except (ValueError, OverflowError):
        _refuse(word, code, position)


def _refuse(word: str, code: int, position: int) -> NoReturn:
    raise BadArgument(f"argument {position}: {word!r} is not of type {type_name(code)}") from None


def show_results(results: object, types: Sequence[int]) -> list[str]:
    """Return a line for each result of a call, which is None for no types, one value for one, and a tuple for several.

    An f32 has as many digits as tell it from its neighbours.
    """
    values = results if len(types) != 1 and isinstance(results, tuple) else (results,)
    return [_shown(value, code) for value, code in zip(values, types)]


def _shown(value: object, code: int) -> str:
    if value is None:
        return "null"
    if code == V128 and isinstance(value, bytes):
        return "i32x4:" + ",".join(f"{lane:#x}" for lane in memoryview(value).cast("I"))
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
