"""The value of every pure IR operation on constants (spec 4.3). Floor 2.

Goes in: the operands as bits, unsigned, then the aux for those of `ops.WITH_AUX`. Comes out: the result as bits, or UNDEFINED
where the operation of the IR is none: division by zero and its overflow, conversion of a float that does not fit (the builder
traps before these). `arithmetic.py` has what numbers and lanes of vectors have in common, `fold_vector.py` the vectors.
"""

from __future__ import annotations

from typing import Final

from figwasp.ir import ops
from figwasp.ir.arithmetic import (
    F32,
    F64,
    UNDEFINED,
    Fold,
    comparisons,
    convert,
    demote,
    float_comparisons,
    floating,
    integer,
    promote,
    signed,
    trunc,
    trunc_sat,
)
from figwasp.ir.fold_vector import VECTORS

__all__ = ["FOLD", "UNDEFINED", "Fold"]

FOLD: Final[list[Fold | None]] = [None] * ops.COUNT
"""By operation; None for those that do not compute."""

_NOT_COMPUTED: Final = frozenset((ops.NOP, ops.CONST, ops.CONTEXT, ops.FRAME_AREA, ops.THREAD_WORD, ops.SYMBOL))


def _row(name: str, function: Fold) -> None:
    FOLD[ops.BY_NAME[name]] = function


def _rows(type: str, functions: dict[str, Fold]) -> None:
    for name, function in functions.items():
        _row(f"{type}_{name}", function)


# Integers (4.3.2)


def _divide(a: int, b: int) -> int:
    """Divide signed numbers, rounding towards 0."""
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


def _bits(name: str, width: int) -> None:
    mask = (1 << width) - 1
    turn = width - 1
    _row(f"{name}_clz", lambda a: width - a.bit_length())
    _row(f"{name}_ctz", lambda a: (a & -a).bit_length() - 1 if a else width)
    _row(f"{name}_rotl", lambda a, b: (a << (b & turn) | a >> (-b & turn)) & mask)
    _row(f"{name}_rotr", lambda a, b: (a >> (b & turn) | a << (-b & turn)) & mask)
    _row(f"{name}_eqz", lambda a: int(a == 0))
    for size in (8, 16, 32):
        if size < width:
            _row(f"{name}_extend{size}_s", lambda a, size=size: signed(a, size) & mask)


def _divisions(name: str, width: int) -> None:
    mask = (1 << width) - 1
    least = 1 << width - 1

    def div_s(a: int, b: int) -> int:
        if b == 0 or (a == least and b == mask):
            return UNDEFINED
        return _divide(signed(a, width), signed(b, width)) & mask

    def rem_s(a: int, b: int) -> int:
        quotient = div_s(a, b)
        return UNDEFINED if quotient < 0 else a - quotient * b & mask

    _row(f"{name}_div_s", div_s)
    _row(f"{name}_rem_s", rem_s)
    _row(f"{name}_div_u", lambda a, b: a // b if b else UNDEFINED)
    _row(f"{name}_rem_u", lambda a, b: a % b if b else UNDEFINED)


_row("i64_mul_hi_s", lambda a, b: signed(a, 64) * signed(b, 64) >> 64 & 0xFFFF_FFFF_FFFF_FFFF)
_row("i64_mul_hi_u", lambda a, b: a * b >> 64)
for _name, _width in (("i32", 32), ("i64", 64)):
    _rows(_name, integer(_width))
    _rows(_name, comparisons(_width))
    _bits(_name, _width)
    _divisions(_name, _width)


# Floats (4.3.3)


def _copysign(sign: int) -> Fold:
    return lambda a, b: a & ~sign | b & sign


for _format in (F32, F64):
    _rows(_format.name, floating(_format))
    _rows(_format.name, float_comparisons(_format))
    _row(f"{_format.name}_copysign", _copysign(_format.sign))


# Conversions (4.3.4)


for _name, _width in (("i32", 32), ("i64", 64)):
    for _format in (F32, F64):
        for _letter in "su":
            _row(f"{_name}_trunc_{_format.name}_{_letter}", trunc(_format, _width, _letter == "s"))
            _row(f"{_name}_trunc_sat_{_format.name}_{_letter}", trunc_sat(_format, _width, _letter == "s"))
            _row(f"{_format.name}_convert_{_name}_{_letter}", convert(_format, _width, _letter == "s"))
_row("i32_wrap_i64", lambda a: a & 0xFFFF_FFFF)
_row("i64_extend_i32_s", lambda a: signed(a, 32) & 0xFFFF_FFFF_FFFF_FFFF)
_row("i64_extend_i32_u", lambda a: a)
_row("f32_demote_f64", demote)
_row("f64_promote_f32", promote)
for _name in ("i32_reinterpret_f32", "i64_reinterpret_f64", "f32_reinterpret_i32", "f64_reinterpret_i64"):
    _row(_name, lambda a: a)
_row("select", lambda a, b, condition: a if condition else b)


for _name, _function in VECTORS.items():
    _row(_name, _function)

for _op in range(ops.COUNT):
    if bool(ops.FLAGS[_op] & ops.PURE) != bool(FOLD[_op] or _op in _NOT_COMPUTED):
        raise ValueError(f"no function says what {ops.NAMES[_op]} computes, or one does for what computes nothing")
