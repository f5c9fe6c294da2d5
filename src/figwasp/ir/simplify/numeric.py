"""Rules for integer arithmetic, conversions, and the bits of vectors. Floor 2.

There are none for float arithmetic: x + 0.0 and x * 1.0 differ from x for -0.0 or a signalling NaN.
"""

from __future__ import annotations

from typing import Final

from figwasp.ir import ops
from figwasp.ir.fold import FOLD
from figwasp.ir.func import Value
from figwasp.ir.simplify.compare import eqz
from figwasp.ir.simplify.rules import (
    UNARY,
    WITH_ANY,
    WITH_CONST,
    WITH_ITSELF,
    Binary,
    Constants,
    int_aux,
    is_bool,
    is_new,
    signed_bits,
    turn,
    unsigned_bits,
)
from figwasp.ir.types import BITS, MASKS

__all__ = ["add_rules"]

I32: Final = ops.I32
I64: Final = ops.I64
_ALIGNMENT: Final = 8
"""Of the address of an object."""


# Arithmetic


def _regroup(s: Constants, value: Value, a: Value, b: Value) -> Value:
    """(x op c) op d is x op (c op d)."""
    if a.op == value.op and a.args[1].op == ops.CONST:
        fold = FOLD[value.op]
        assert fold is not None
        bits = fold(a.args[1].aux, b.aux)
        return _with_const(s, turn(value, value.op, [a.args[0], s.get(value.type, bits)]))
    return value


def _with_const(s: Constants, value: Value) -> Value:
    """Simplify a value whose constant operand has changed."""
    rule = WITH_CONST[value.op]
    assert rule is not None
    return rule(s, value, value.args[0], value.args[1])


def _add(s: Constants, value: Value, a: Value, b: Value) -> Value:
    return a if b.aux == 0 else _regroup(s, value, a, b)


def _sub(s: Constants, value: Value, a: Value, b: Value) -> Value:
    """Turn x - c into x + -c."""
    negative = s.get(value.type, -int_aux(b) & MASKS[value.type])
    return _add(s, turn(value, ops.I32_ADD if value.type == I32 else ops.I64_ADD, [a, negative]), a, negative)


def _mul(s: Constants, value: Value, a: Value, b: Value) -> Value:
    """Turn multiplication by a power of two into a shift."""
    c = int_aux(b)
    if c & c - 1:
        return _regroup(s, value, a, b)
    if c <= 1:
        return a if c else b
    count = s.get(value.type, c.bit_length() - 1)
    return turn(value, ops.I32_SHL if value.type == I32 else ops.I64_SHL, [a, count])


def _and(s: Constants, value: Value, a: Value, b: Value) -> Value:
    """Drop a mask that clears nothing, or all of an address; the lower half of an extended i32 is that i32."""
    c = int_aux(b)
    if c == 0:
        return b
    if c < _ALIGNMENT and is_new(a):
        return s.get(value.type, 0)
    bits = unsigned_bits(a)
    if c & (1 << bits) - 1 == (1 << bits) - 1:
        return a
    if c == MASKS[I32] and a.op == ops.I64_EXTEND_I32_S:
        return turn(value, ops.I64_EXTEND_I32_U, a.args[:])
    return _regroup(s, value, a, b)


def _or(s: Constants, value: Value, a: Value, b: Value) -> Value:
    c = int_aux(b)
    if c == 0:
        return a
    return b if c == MASKS[value.type] else _regroup(s, value, a, b)


def _xor(s: Constants, value: Value, a: Value, b: Value) -> Value:
    """Turn the inverted bit of a comparison into the inverse comparison."""
    c = int_aux(b)
    if c == 0:
        return a
    if c == 1 and is_bool(a):
        return eqz(s, turn(value, ops.I32_EQZ, [a]), a)
    return _regroup(s, value, a, b)


def _zero(s: Constants, value: Value, a: Value, b: Value) -> Value:
    return s.get(value.type, 0)


def _left(s: Constants, value: Value, a: Value, b: Value) -> Value:
    return a


def _shift(s: Constants, value: Value, a: Value, b: Value) -> Value:
    """Reduce a constant count to what counts of it."""
    c = int_aux(b)
    count = c & BITS[value.type] - 1
    if count == 0:
        return a
    if count != c:
        value.args[1] = s.get(value.type, count)
    return value


_SIGN_EXTENSIONS: Final = {
    (I32, 24): ops.I32_EXTEND8_S,
    (I32, 16): ops.I32_EXTEND16_S,
    (I64, 56): ops.I64_EXTEND8_S,
    (I64, 48): ops.I64_EXTEND16_S,
    (I64, 32): ops.I64_EXTEND32_S,
}
"""Type and count of a shift left and back -> the operation that does the same."""


def _shr_s(s: Constants, value: Value, a: Value, b: Value) -> Value:
    """Turn a shift to the left and back into a sign extension."""
    if (a.op == ops.I32_SHL or a.op == ops.I64_SHL) and a.args[1] is b:
        op = _SIGN_EXTENSIONS.get((value.type, int_aux(b)), -1)
        if op >= 0:
            return _extend_low(s, turn(value, op, [a.args[0]]), a.args[0])
    return _shift(s, value, a, b)


def _shift_count(s: Constants, value: Value, a: Value, b: Value) -> Value:
    """Drop a mask of a shift count that shifts mask by themselves."""
    while (b.op == ops.I32_AND or b.op == ops.I64_AND) and b.args[1].op == ops.CONST:
        turn = BITS[value.type] - 1
        if int_aux(b.args[1]) & turn != turn:
            break
        b = value.args[1] = b.args[0]
    return value


def _div_u(s: Constants, value: Value, a: Value, b: Value) -> Value:
    """Divide by a power of two with a shift."""
    c = int_aux(b)
    if c <= 1:
        return a if c else value
    if c & c - 1:
        return value
    count = s.get(value.type, c.bit_length() - 1)
    return turn(value, ops.I32_SHR_U if value.type == I32 else ops.I64_SHR_U, [a, count])


def _rem_u(s: Constants, value: Value, a: Value, b: Value) -> Value:
    """Take the remainder by a power of two with a mask."""
    c = int_aux(b)
    if c == 0 or c & c - 1:
        return value
    mask = s.get(value.type, c - 1)
    return _and(s, turn(value, ops.I32_AND if value.type == I32 else ops.I64_AND, [a, mask]), a, mask)


def _div_s(s: Constants, value: Value, a: Value, b: Value) -> Value:
    return a if b.aux == 1 else value


def _rem_s(s: Constants, value: Value, a: Value, b: Value) -> Value:
    return s.get(value.type, 0) if b.aux == 1 else value


# Conversions


def _wrap(s: Constants, value: Value, a: Value) -> Value:
    """Drop an extension that is undone."""
    return a.args[0] if a.op == ops.I64_EXTEND_I32_S or a.op == ops.I64_EXTEND_I32_U else value


def _extend_s(s: Constants, value: Value, a: Value) -> Value:
    """Extend what is not negative with zeros, which costs nothing."""
    if unsigned_bits(a) < 32:
        value.op = ops.I64_EXTEND_I32_U
    return value


def _extend_u(s: Constants, value: Value, a: Value) -> Value:
    """Drop a way there and back that clears nothing."""
    if a.op == ops.I32_WRAP_I64 and unsigned_bits(a.args[0]) <= 32:
        return a.args[0]
    return value


_LOW: Final = {
    ops.I32_EXTEND8_S: 8,
    ops.I32_EXTEND16_S: 16,
    ops.I64_EXTEND8_S: 8,
    ops.I64_EXTEND16_S: 16,
    ops.I64_EXTEND32_S: 32,
}


def _extend_low(s: Constants, value: Value, a: Value) -> Value:
    """Drop a sign extension that changes nothing, and masks before it that only clear what it does not read."""
    size = _LOW[value.op]
    low = (1 << size) - 1
    while (a.op == ops.I32_AND or a.op == ops.I64_AND) and a.args[1].op == ops.CONST and int_aux(a.args[1]) & low == low:
        a = value.args[0] = a.args[0]
    if signed_bits(a) <= size:
        return a
    if size == 32 and a.op == ops.I64_EXTEND_I32_U:
        return _extend_s(s, turn(value, ops.I64_EXTEND_I32_S, a.args[:]), a.args[0])
    return value


_UNDONE: Final = {
    ops.I32_REINTERPRET_F32: ops.F32_REINTERPRET_I32,
    ops.F32_REINTERPRET_I32: ops.I32_REINTERPRET_F32,
    ops.I64_REINTERPRET_F64: ops.F64_REINTERPRET_I64,
    ops.F64_REINTERPRET_I64: ops.I64_REINTERPRET_F64,
    ops.F32_NEG: ops.F32_NEG,
    ops.F64_NEG: ops.F64_NEG,
}


def _undo(s: Constants, value: Value, a: Value) -> Value:
    """Drop an operation and the one that undoes it."""
    return a.args[0] if a.op == _UNDONE[value.op] else value


# Vectors


def _and_vector(s: Constants, value: Value, a: Value, b: Value) -> Value:
    c = int_aux(b)
    if c == 0:
        return b
    return a if c == MASKS[value.type] else _regroup(s, value, a, b)


_NOT: Final = ops.BY_NAME["v128_not"]


def _not(s: Constants, value: Value, a: Value) -> Value:
    return a.args[0] if a.op == _NOT else value


def _add_vector_rules() -> None:
    UNARY[_NOT] = _not
    for operation, with_const in {"and": _and_vector, "or": _or, "xor": _xor}.items():
        WITH_CONST[ops.BY_NAME[f"v128_{operation}"]] = with_const
    for operation, with_itself in {"and": _left, "or": _left, "xor": _zero, "andnot": _zero}.items():
        WITH_ITSELF[ops.BY_NAME[f"v128_{operation}"]] = with_itself


def add_rules() -> None:
    """Enter the rules into the tables."""
    for name in ("i32_", "i64_"):
        for operation, with_const in _WITH_CONST.items():
            WITH_CONST[ops.BY_NAME[name + operation]] = with_const
        for operation, with_itself in _WITH_ITSELF.items():
            WITH_ITSELF[ops.BY_NAME[name + operation]] = with_itself
        for shift in ("shl", "shr_u", "shr_s", "rotl", "rotr"):
            WITH_ANY[ops.BY_NAME[name + shift]] = _shift_count
    _add_vector_rules()
    UNARY[ops.I32_WRAP_I64] = _wrap
    UNARY[ops.I64_EXTEND_I32_S] = _extend_s
    UNARY[ops.I64_EXTEND_I32_U] = _extend_u
    for op in _LOW:
        UNARY[op] = _extend_low
    for op in _UNDONE:
        UNARY[op] = _undo


_WITH_CONST: Final[dict[str, Binary]] = {
    "add": _add,
    "sub": _sub,
    "mul": _mul,
    "and": _and,
    "or": _or,
    "xor": _xor,
    "shl": _shift,
    "shr_u": _shift,
    "shr_s": _shr_s,
    "rotl": _shift,
    "rotr": _shift,
    "div_u": _div_u,
    "rem_u": _rem_u,
    "div_s": _div_s,
    "rem_s": _rem_s,
}
_WITH_ITSELF: Final[dict[str, Binary]] = {"sub": _zero, "xor": _zero, "and": _left, "or": _left}
