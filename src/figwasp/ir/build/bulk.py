"""Bulk operations on a few bytes, whose number is known: loads and stores instead of a call (spec 4.6.10). Floor 2.

Nothing may have been written when the operation traps. All loads come first, and of the stores that of the last bytes, which is out
of bounds if any is: accesses of the machine that fault have written nothing. Pieces may overlap, so that there are few of them.
"""

from __future__ import annotations

from typing import Final

from figwasp.ir import ops
from figwasp.ir.build.base import Builder
from figwasp.ir.build.checks import check
from figwasp.ir.func import Value
from figwasp.ir.ops import I32, I64

__all__ = ["MOST", "copy", "fill"]

MOST: Final = 64
"""The most bytes that are copied or filled in place."""

_LOADS: Final = {1: ops.I32_LOAD8_U, 2: ops.I32_LOAD16_U, 4: ops.I32_LOAD, 8: ops.I64_LOAD, 16: ops.V128_LOAD}
_STORES: Final = {1: ops.I32_STORE8, 2: ops.I32_STORE16, 4: ops.I32_STORE, 8: ops.I64_STORE, 16: ops.V128_STORE}
_WIDE_STORES: Final = {1: ops.I64_STORE8, 2: ops.I64_STORE16, 4: ops.I64_STORE32, 8: ops.I64_STORE, 16: ops.V128_STORE}
"""Bytes of a piece -> the operation; of an i64 in the last."""
_SPLAT: Final = ops.BY_NAME["i8x16_splat"]
_EVERY_BYTE: Final = 0x0101_0101_0101_0101


def _pieces(count: int) -> list[tuple[int, int]]:
    """Return offset and size of pieces that cover so many bytes, of which there is one at least."""
    size = 16
    while size > count:
        size //= 2
    pieces = [(offset, size) for offset in range(0, count - size + 1, size)]
    left = count % size
    if left:
        smallest = 1 << (left - 1).bit_length()
        pieces.append((count - smallest, smallest))
    return pieces


def _operands(b: Builder, memory: int, index: Value, count: int) -> list[Value]:
    """Return what addresses the first of so many bytes, checked as one access to all of them."""
    check(b, memory, index, count)
    return [b.memory_base(memory), index]


def copy(b: Builder, target: int, source: int, to: Value, from_: Value, count: int) -> None:
    """Append a copy.

    Args:
        b: the builder.
        target, source: numbers of the memories.
        to, from_: where it begins.
        count: bytes, 1 to MOST.
    """
    place = _operands(b, source, from_, count)
    region = ops.REGION_MEMORY + source
    values = [
        (b.emit(_LOADS[size], place, ops.memory_aux(offset, region)), offset, size) for offset, size in _pieces(count)
    ]
    place = _operands(b, target, to, count)
    for value, offset, size in reversed(values):
        b.emit(_STORES[size], [value, *place], ops.memory_aux(offset, ops.REGION_MEMORY + target))


def fill(b: Builder, memory: int, to: Value, value: Value, count: int) -> None:
    """Append a fill with the low byte of an i32; the arguments are as above."""
    place = _operands(b, memory, to, count)
    byte = b.emit(ops.I64_EXTEND_I32_U, [b.emit(ops.I32_AND, [value, b.const(I32, 0xFF)])])
    pieces = _pieces(count)
    wide = b.emit(ops.I64_MUL, [byte, b.const(I64, _EVERY_BYTE)])
    vector = b.emit(_SPLAT, [value])
    for offset, size in reversed(pieces):
        part = vector if size == 16 else wide
        b.emit(_WIDE_STORES[size], [part, *place], ops.memory_aux(offset, ops.REGION_MEMORY + memory))
