"""Rules for comparisons and for conditions, of which only matters whether they are 0. Floor 2."""

from __future__ import annotations

from typing import Final

from figwasp.ir import ops
from figwasp.ir.fold import FOLD
from figwasp.ir.func import Value
from figwasp.ir.simplify.rules import (
    INVERSE,
    NARROW,
    UNARY,
    UNSIGNED,
    WITH_ANY,
    WITH_CONST,
    WITH_ITSELF,
    Constants,
    int_aux,
    is_bool,
    is_const,
    is_new,
    turn,
    unsigned_bits,
)
from figwasp.ir.types import MASKS

__all__ = ["add_rules", "eqz", "select", "truth"]

I32: Final = ops.I32


# Conditions: where only 0 or not 0 matters


def truth(value: Value) -> Value:
    """Return a simpler i32 that is 0 when this one is."""
    while True:
        op = value.op
        if op == ops.I32_NE and is_const(value.args[1]) and value.args[1].aux == 0:
            value = value.args[0]
        elif op == ops.I32_EQZ and value.args[0].op == ops.I32_EQZ:
            value = value.args[0].args[0]
        else:
            return value


def select(s: Constants, value: Value) -> Value:
    """Simplify a select."""
    args = value.args
    condition = truth(args[2])
    if condition.op == ops.I32_EQZ:
        args[0], args[1] = args[1], args[0]
        condition = truth(condition.args[0])
    args[2] = condition
    left, right = args[0], args[1]
    if is_const(condition):
        return left if condition.aux else right
    if left is right:
        return left
    if value.type == I32 and is_const(left) and is_const(right) and is_bool(condition):
        if left.aux == 1 and right.aux == 0:
            return condition
        if left.aux == 0 and right.aux == 1:
            return eqz(s, turn(value, ops.I32_EQZ, [condition]), condition)
    return value


_EQUALITIES: Final = (ops.I32_EQ, ops.I32_NE, ops.I64_EQ, ops.I64_NE)


def eqz(s: Constants, value: Value, a: Value) -> Value:
    """Simplify i32_eqz and i64_eqz."""
    op = a.op
    if op == ops.CONST:
        return s.get(I32, int(a.aux == 0))
    if is_new(a):
        return s.get(I32, 0)
    if op == ops.I64_EXTEND_I32_S or op == ops.I64_EXTEND_I32_U:
        return eqz(s, turn(value, ops.I32_EQZ, a.args[:]), a.args[0])
    if op == ops.I32_EQZ or op == ops.I64_EQZ:
        zero = s.get(a.args[0].type, 0)
        return _equal(s, turn(value, ops.I32_NE if op == ops.I32_EQZ else ops.I64_NE, [a.args[0], zero]), a.args[0], zero)
    if op >= 0 and INVERSE[op] >= 0:
        if op in _EQUALITIES and is_const(a.args[1]) and a.args[1].aux == 0:
            return _equal(s, turn(value, INVERSE[op], a.args[:]), a.args[0], a.args[1])
        return turn(value, INVERSE[op], a.args[:])
    return value


# Comparisons


def _equal(s: Constants, value: Value, a: Value, b: Value) -> Value:
    """Simplify x == c and x != c."""
    c = int_aux(b)
    equal = value.op == ops.I32_EQ or value.op == ops.I64_EQ
    if c == 0 and equal:
        return eqz(s, turn(value, ops.I32_EQZ if a.type == I32 else ops.I64_EQZ, [a]), a)
    if c >> unsigned_bits(a) or (c == 0 and is_new(a)):
        return s.get(I32, int(not equal))
    if c <= 1 and is_bool(a):
        # 1 is what is left for ==
        return eqz(s, turn(value, ops.I32_EQZ, [a]), a) if c and not equal else a
    return _compare_narrow(s, value, a, b)


def _compare_unsigned(s: Constants, value: Value, a: Value, b: Value) -> Value:
    """Simplify unsigned comparisons with 0 and 1: all that is left of them is whether x is 0."""
    c = int_aux(b)
    op = value.op
    first = ops.I32_EQ if a.type == I32 else ops.I64_EQ
    kind = op - first + ops.I32_EQ
    if kind == ops.I32_GE_U or kind == ops.I32_LT_U:
        if c == 0:
            return s.get(I32, int(kind == ops.I32_GE_U))
        c -= 1
    if c == 0:
        zero = s.get(a.type, 0)
        holds_at_zero = kind == ops.I32_LE_U or kind == ops.I32_LT_U
        return _equal(s, turn(value, first + (0 if holds_at_zero else 1), [a, zero]), a, zero)
    return _compare_narrow(s, value, a, b)


def _compare_narrow(s: Constants, value: Value, a: Value, b: Value) -> Value:
    """Compare an extended i32 with a constant as i32."""
    op = value.op
    if a.op == ops.I64_EXTEND_I32_U:
        c = int_aux(b)
        if c <= MASKS[I32]:
            return _compare(s, value, NARROW[UNSIGNED[op]], a.args[0], s.get(I32, c))
    elif a.op == ops.I64_EXTEND_I32_S:
        c = int_aux(b)
        # Sign extension keeps the order, that of unsigned numbers too.
        if c <= 0x7FFF_FFFF or c >= 0xFFFF_FFFF_8000_0000:
            return _compare(s, value, NARROW[op], a.args[0], s.get(I32, c & MASKS[I32]))
    return value


def _compare(s: Constants, value: Value, op: int, a: Value, b: Value) -> Value:
    """Turn a value into the comparison of a value with a constant."""
    rule = WITH_CONST[op]
    assert rule is not None
    return rule(s, turn(value, op, [a, b]), a, b)


def _compare_extended(s: Constants, value: Value, a: Value, b: Value) -> Value:
    """Compare integers extended in the same way before they are extended."""
    if a.op == b.op:
        if a.op == ops.I64_EXTEND_I32_U:
            return turn(value, NARROW[UNSIGNED[value.op]], [a.args[0], b.args[0]])
        if a.op == ops.I64_EXTEND_I32_S:
            return turn(value, NARROW[value.op], [a.args[0], b.args[0]])
    return value


def _compare_same(s: Constants, value: Value, a: Value, b: Value) -> Value:
    fold = FOLD[value.op]
    assert fold is not None
    return s.get(I32, fold(0, 0))


def add_rules() -> None:
    """Enter the rules into the tables."""
    UNARY[ops.I32_EQZ] = UNARY[ops.I64_EQZ] = eqz
    for first in (ops.I32_EQ, ops.I64_EQ):
        for op in range(first, first + 10):
            WITH_CONST[op] = _compare_unsigned if ops.NAMES[op].endswith("_u") else _compare_narrow
            WITH_ITSELF[op] = _compare_same
            if first == ops.I64_EQ:
                WITH_ANY[op] = _compare_extended
        WITH_CONST[first] = WITH_CONST[first + 1] = _equal
