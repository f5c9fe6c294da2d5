"""The common base of `simplify`'s rules: tables, constants, facts about a value from its operation. Floor 2.

`simplify.compare` and `simplify.numeric` fill the tables. A rule gets the value and its operands, which have been simplified
and are not all constants; it returns the value, perhaps turned into another operation in place, or the one that takes its
place. It makes no values but constants and never touches an operand, since others may use that too. A constant operand is
found on the right wherever operands can be exchanged (`SWAPPED`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from figwasp.ir import builtins, ops
from figwasp.ir.func import Aux, Call, Func, Value
from figwasp.ir.types import BITS, CLASSES, INT, SIZES, VOID

__all__ = [
    "INVERSE",
    "IS_TEST",
    "NARROW",
    "SWAPPED",
    "UNARY",
    "UNSIGNED",
    "WITH_ANY",
    "WITH_CONST",
    "WITH_ITSELF",
    "Binary",
    "Constants",
    "Unary",
    "int_aux",
    "is_bool",
    "is_const",
    "is_new",
    "signed_bits",
    "turn",
    "unsigned_bits",
]

I32: Final = ops.I32
I64: Final = ops.I64


class Constants:
    """The constants and symbols of a function, one of each.

    Attributes:
        values: all of them, to be put in front of the entry block.
        pools: bits -> constant, by type; name -> symbol among those of type I64.
    """

    __slots__ = ("_func", "pools", "values")

    def __init__(self, func: Func) -> None:
        self._func = func
        self.values: list[Value] = []
        self.pools: list[dict[Aux, Value]] = [{} for _ in SIZES]

    def get(self, type: int, bits: int) -> Value:
        """Return the constant with these bits."""
        pool = self.pools[type]
        value = pool.get(bits)
        if value is None:
            value = pool[bits] = self._func.new_value(ops.CONST, type, [], bits)
            self.values.append(value)
        return value


Unary = Callable[[Constants, Value, Value], Value]
Binary = Callable[[Constants, Value, Value, Value], Value]

UNARY: Final[list[Unary | None]] = [None] * ops.COUNT
"""Rules for operations with one operand."""
WITH_CONST: Final[list[Binary | None]] = [None] * ops.COUNT
"""Rules for two operands of which the right one is a constant, and the left one is not."""
WITH_ITSELF: Final[list[Binary | None]] = [None] * ops.COUNT
"""Rules for two operands that are the same value."""
WITH_ANY: Final[list[Binary | None]] = [None] * ops.COUNT
"""Rules for other pairs of operands."""

SWAPPED: Final = [op if flags & ops.COMMUTES else -1 for op, flags in enumerate(ops.FLAGS)]
"""The operation with the operands exchanged, or -1."""
INVERSE: Final = [-1] * ops.COUNT
"""Comparison of integers -> the one that holds when it does not."""
NARROW: Final = [-1] * ops.COUNT
"""Comparison of i64 -> that of i32."""
UNSIGNED: Final = list(range(ops.COUNT))
"""Comparison of signed integers -> that of unsigned ones."""
IS_TEST: Final = [False] * ops.COUNT
"""Comparisons, those of floats too, and eqz."""
_BITS: Final = [BITS[type] if type != VOID and CLASSES[type] == INT else 64 for type in ops.RESULTS]
"""How many low bits of a result may be set."""
_SIGNED_BITS: Final = [64] * ops.COUNT
"""The result is the sign extension of this many of its bits."""


_MAKERS: Final = frozenset((builtins.OBJECT_NEW, builtins.ARRAY_NEW))
_COMPARISONS: Final = "eq ne lt gt le ge lt_s gt_s le_s ge_s lt_u gt_u le_u ge_u eqz".split()


def _fill_comparisons() -> None:
    names = ops.BY_NAME
    for type in ("i32_", "i64_"):
        for sign in ("_s", "_u"):
            for one, other in (("lt", "ge"), ("ge", "lt"), ("gt", "le"), ("le", "gt")):
                INVERSE[names[type + one + sign]] = names[type + other + sign]
            for one, other in (("lt", "gt"), ("gt", "lt"), ("le", "ge"), ("ge", "le")):
                SWAPPED[names[type + one + sign]] = names[type + other + sign]
        INVERSE[names[type + "eq"]] = names[type + "ne"]
        INVERSE[names[type + "ne"]] = names[type + "eq"]
    for op in range(ops.I64_EQ, ops.I64_GE_U + 1):
        NARROW[op] = op - ops.I64_EQ + ops.I32_EQ
        UNSIGNED[op] = names[ops.NAMES[op].replace("_s", "_u")]


def _fill_bits() -> None:
    for op, name in enumerate(ops.NAMES):
        if ops.RESULTS[op] == I32 and name[4:] in _COMPARISONS:
            IS_TEST[op] = True
            _BITS[op] = 1
        for size in (8, 16, 32):
            if name.endswith(f"load{size}_u"):
                _BITS[op] = size
            elif name.endswith((f"load{size}_s", f"extend{size}_s")):
                _SIGNED_BITS[op] = size
    for op in (ops.I32_CLZ, ops.I32_CTZ, ops.I32_POPCNT, ops.I64_CLZ, ops.I64_CTZ, ops.I64_POPCNT):
        _BITS[op] = 7
    _BITS[ops.I64_EXTEND_I32_U] = 32
    _SIGNED_BITS[ops.I64_EXTEND_I32_S] = 32


_fill_comparisons()
_fill_bits()


def int_aux(value: Value) -> int:
    """Return the aux of a value that is no call."""
    aux = value.aux
    assert type(aux) is int
    return aux


def unsigned_bits(value: Value) -> int:
    """Return how many low bits of an integer may be set."""
    op = value.op
    width = BITS[value.type]
    if op == ops.CONST:
        return int_aux(value).bit_length()
    if op == ops.I32_AND or op == ops.I64_AND:
        if is_const(value.args[1]):
            return int_aux(value.args[1]).bit_length()
    elif op == ops.I32_SHR_U or op == ops.I64_SHR_U:
        if is_const(value.args[1]):
            return width - (int_aux(value.args[1]) & width - 1)
    return min(_BITS[op], width) if op >= 0 else width


def signed_bits(value: Value) -> int:
    """Return how many low bits of an integer say all, if they are sign-extended."""
    if value.op >= 0 and _SIGNED_BITS[value.op] < 64:
        return _SIGNED_BITS[value.op]
    return min(unsigned_bits(value) + 1, BITS[value.type])


def turn(value: Value, op: int, args: list[Value]) -> Value:
    """Turn a value into another operation."""
    value.op = op
    value.args = args
    return value


def is_const(value: Value) -> bool:
    """Return whether a value is a constant."""
    return value.op == ops.CONST


def is_bool(value: Value) -> bool:
    """Return whether a value is a comparison: an i32 that is always 0 or 1."""
    return value.op >= 0 and IS_TEST[value.op]


def is_new(value: Value) -> bool:
    """Return whether a value is the address of a new object, which is not null and a multiple of 8."""
    if value.op != ops.CALL_BUILTIN:
        return value.op == ops.ALLOCATE
    call = value.aux
    assert isinstance(call, Call)
    return call.target in _MAKERS
