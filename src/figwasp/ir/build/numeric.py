"""Numeric instructions that are more than one operation (spec 4.3.2, 4.3.4). Floor 2.

Those that can trap, division and conversion to integers: the operations of the IR are unchecked; what is emitted before them keeps
them in their domain. Those of the wide-arithmetic proposal, which have two results, the low half first.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import pack
from typing import Final

from figwasp import errors
from figwasp.ir import ops
from figwasp.ir.build.base import Builder, Method
from figwasp.ir.func import Value
from figwasp.wasm.syntax.opcodes import ROWS

__all__ = ["METHODS"]

_EQ: Final = [ops.I32_EQ, ops.I64_EQ]
_EQZ: Final = [ops.I32_EQZ, ops.I64_EQZ]
_MIN: Final = [1 << 31, 1 << 63]
_MINUS_1: Final = [(1 << 32) - 1, (1 << 64) - 1]


def _may_be(value: Value, bits: int) -> bool:
    """Return False when the value is a constant other than `bits`."""
    return value.op != ops.CONST or value.aux == bits


def _equals(b: Builder, value: Value, bits: int) -> Value:
    return b.emit(_EQ[value.type], [value, b.const(value.type, bits)])


def _operands(b: Builder) -> tuple[Value, Value]:
    """Pop dividend and divisor, and trap when the divisor is 0."""
    right = b.stack.pop()
    left = b.stack.pop()
    if _may_be(right, 0):
        b.trap_if(b.emit(_EQZ[right.type], [right]), errors.TRAP_DIVIDE_BY_ZERO)
    return left, right


def _unsigned_division(op: int) -> Method:
    def build(b: Builder, pos: int) -> int:
        left, right = _operands(b)
        b.stack.append(b.emit(op, [left, right]))
        return pos

    return build


def _div_s(op: int) -> Method:
    def build(b: Builder, pos: int) -> int:
        left, right = _operands(b)
        type = left.type
        if _may_be(right, _MINUS_1[type]) and _may_be(left, _MIN[type]):
            overflow = b.emit(ops.I32_AND, [_equals(b, left, _MIN[type]), _equals(b, right, _MINUS_1[type])])
            b.trap_if(overflow, errors.TRAP_INTEGER_OVERFLOW)
        b.stack.append(b.emit(op, [left, right]))
        return pos

    return build


def _rem_s(op: int) -> Method:
    def build(b: Builder, pos: int) -> int:
        left, right = _operands(b)
        type = left.type
        if _may_be(right, _MINUS_1[type]):
            # The remainder of a division by 1 is 0, as by -1, and that division cannot overflow.
            minus_1 = _equals(b, right, _MINUS_1[type])
            right = b.emit_typed(ops.SELECT, type, [b.const(type, 1), right, minus_1])
        b.stack.append(b.emit(op, [left, right]))
        return pos

    return build


# The open interval of floats that truncate to an integer of the type: the largest one too small, the smallest one too large.
# The lower bound is given with the comparison that catches it: -2**31 - 1 is no f32, so there the bound is -2**31 itself.
_RANGES: Final[dict[str, tuple[str, float, float]]] = {
    "i32_trunc_f32_s": ("lt", -(2.0**31), 2.0**31),
    "i32_trunc_f32_u": ("le", -1.0, 2.0**32),
    "i32_trunc_f64_s": ("le", -(2.0**31) - 1.0, 2.0**31),
    "i32_trunc_f64_u": ("le", -1.0, 2.0**32),
    "i64_trunc_f32_s": ("lt", -(2.0**63), 2.0**63),
    "i64_trunc_f32_u": ("le", -1.0, 2.0**64),
    "i64_trunc_f64_s": ("lt", -(2.0**63), 2.0**63),
    "i64_trunc_f64_u": ("le", -1.0, 2.0**64),
}


def _bits(type: str, value: float) -> int:
    return int.from_bytes(pack("<f" if type == "f32" else "<d", value), "little")


def _trunc(name: str) -> Method:
    compare, low, high = _RANGES[name]
    source = name[10:13]
    op = ops.BY_NAME[name]
    type = ops.F32 if source == "f32" else ops.F64
    too_small = ops.BY_NAME[f"{source}_{compare}"]
    too_large = ops.BY_NAME[f"{source}_ge"]
    differs = ops.BY_NAME[f"{source}_ne"]
    low_bits = _bits(source, low)
    high_bits = _bits(source, high)

    def build(b: Builder, pos: int) -> int:
        value = b.stack.pop()
        b.trap_if(b.emit(differs, [value, value]), errors.TRAP_INVALID_CONVERSION)
        b.trap_if(b.emit(too_small, [value, b.const(type, low_bits)]), errors.TRAP_INTEGER_OVERFLOW)
        b.trap_if(b.emit(too_large, [value, b.const(type, high_bits)]), errors.TRAP_INTEGER_OVERFLOW)
        b.stack.append(b.emit(op, [value]))
        return pos

    return build


def _halves(b: Builder, op: int) -> tuple[Value, Value, Value, Value]:
    """Pop two numbers of 128 bits; return the low halves, their sum or difference, and that of the high ones."""
    low, high, other_low, other_high = b.pop(4)
    return low, other_low, b.emit(op, [low, other_low]), b.emit(op, [high, other_high])


def _build_add128(b: Builder, pos: int) -> int:
    addend, _, low, high = _halves(b, ops.I64_ADD)
    carry = b.emit(ops.I64_EXTEND_I32_U, [b.emit(ops.I64_LT_U, [low, addend])])
    b.stack += [low, b.emit(ops.I64_ADD, [high, carry])]
    return pos


def _build_sub128(b: Builder, pos: int) -> int:
    minuend, subtrahend, low, high = _halves(b, ops.I64_SUB)
    borrow = b.emit(ops.I64_EXTEND_I32_U, [b.emit(ops.I64_LT_U, [minuend, subtrahend])])
    b.stack += [low, b.emit(ops.I64_SUB, [high, borrow])]
    return pos


def _mul_wide(high: int) -> Method:
    def build(b: Builder, pos: int) -> int:
        factors = b.pop(2)
        b.stack += [b.emit(ops.I64_MUL, factors), b.emit(high, factors[:])]
        return pos

    return build


_DIVISIONS: Final[dict[str, Callable[[int], Method]]] = {
    "div_u": _unsigned_division,
    "rem_u": _unsigned_division,
    "div_s": _div_s,
    "rem_s": _rem_s,
}


def _methods() -> dict[str, Method]:
    methods: dict[str, Method] = {
        "i64.add128": _build_add128,
        "i64.sub128": _build_sub128,
        "i64.mul_wide_s": _mul_wide(ops.I64_MUL_HI_S),
        "i64.mul_wide_u": _mul_wide(ops.I64_MUL_HI_U),
    }
    for row in ROWS:
        if row.ir in _RANGES:
            methods[row.name] = _trunc(row.ir)
        elif row.ir[4:] in _DIVISIONS:
            methods[row.name] = _DIVISIONS[row.ir[4:]](ops.BY_NAME[row.ir])
    return methods


METHODS: Final = _methods()
