"""What makes sure that accesses to linear memory stay inside (spec 4.4.7), before they are made. Floor 2.

In: the index of an access, the distance `reach` from there to its last byte and one more: offset and size, any sum of an u64 and
a small number. Out: nothing, or a `trapif` in front of the access. There are three ways, by `layout.margin` of the memory:

    everywhere  nothing is emitted: wherever a 32-bit index and offset lead, there is memory or the access faults
    a margin    index < length, where the reach is no more than the margin: beyond the end the access faults by itself
    else        the whole access is compared with the length

The second is a comparison with memory and a branch that the processor makes one of, whatever the offset; accesses from the same
index are safe after one of them (`simplify.checks`). Where an index is known not to be a margin or more above what the memory had
to begin with, as constants and masked numbers are, nothing is emitted at all, since memories do not shrink: twice the margin is
kept free behind them.
"""

from __future__ import annotations

from typing import Final

from figwasp import errors, layout
from figwasp.ir import ops
from figwasp.ir.build.base import Builder
from figwasp.ir.func import Value
from figwasp.ir.ops import I32, I64
from figwasp.ir.types import BITS, MASKS
from figwasp.wasm.syntax import types as wasm
from figwasp.wasm.syntax.types import MemoryType

__all__ = ["check", "margin"]

_DEPTH: Final = 4
"""Operations that the bound of an index is looked for in."""
_LOADS: Final = {
    ops.I32_LOAD8_U: 0xFF,
    ops.I32_LOAD16_U: 0xFFFF,
    ops.I64_LOAD8_U: 0xFF,
    ops.I64_LOAD16_U: 0xFFFF,
}
_BOUNDED: Final = frozenset(
    (ops.I32_AND, ops.I64_AND, ops.I32_ADD, ops.I64_ADD, ops.I32_SHL, ops.I64_SHL, ops.I32_SHR_U, ops.I64_SHR_U)
)


def margin(type_: MemoryType, mode: int) -> int:
    """Return the margin of a memory, as `layout.margin` does."""
    return layout.margin(mode, type_.address == wasm.I64, type_.page)


def check(b: Builder, memory: int, index: Value, reach: int) -> None:
    """Append what traps unless index + reach is in a memory or faults.

    Args:
        b: the builder.
        memory: number of the memory.
        index: an i32, or an i64 for a memory with 64-bit addresses.
        reach: offset of the access and its size.
    """
    type_ = b.module.memories[memory]
    beyond = margin(type_, b.mode)
    if beyond == layout.EVERYWHERE:
        return
    least = type_.limits.min << type_.page
    safe = least + beyond if reach <= beyond else least - reach + 1
    if safe > 0 and _bound(index, _DEPTH) < safe:
        return
    if reach > layout.largest(type_.address == wasm.I64):
        outside = b.const(I32, 1)
    elif reach <= beyond:
        outside = b.emit(ops.I64_LE_U, [b.memory_length(memory), b.widen(index)])
    else:
        outside = _compare_end(b, memory, index, reach, least)
    b.trap_if(outside, errors.TRAP_OUT_OF_BOUNDS_MEMORY)


def _compare_end(b: Builder, memory: int, index: Value, reach: int, least: int) -> Value:
    """Append the comparison of index + reach with the length, which is `least` at least; return whether it is beyond."""
    size = b.const(I64, reach)
    if index.type == I32:
        end = b.emit(ops.I64_ADD, [b.widen(index), size])  # no more than 33 bits
        return b.emit(ops.I64_LT_U, [b.memory_length(memory), end])
    # The sum may have more than 64 bits, but the length less the reach has not.
    if reach > least:
        b.trap_if(b.emit(ops.I64_LT_U, [b.memory_length(memory), size]), errors.TRAP_OUT_OF_BOUNDS_MEMORY)
    return b.emit(ops.I64_LT_U, [b.emit(ops.I64_SUB, [b.memory_length(memory), size]), index])


def _bound(value: Value, depth: int) -> int:
    """Return a number that a value is known not to exceed, without looking far."""
    op = value.op
    if op == ops.CONST:
        assert type(value.aux) is int
        return value.aux
    if op in _LOADS:
        return _LOADS[op]
    if depth and op == ops.I64_EXTEND_I32_U:
        return _bound(value.args[0], depth - 1)
    most = MASKS[value.type]
    return min(_bound_of_two(value, depth - 1), most) if depth and op in _BOUNDED else most


def _bound_of_two(value: Value, depth: int) -> int:
    """Return a number that the result of an operation does not exceed; where that is no number of its type, it may wrap."""
    op = value.op
    first, second = value.args
    if op == ops.I32_AND or op == ops.I64_AND:
        return min(_bound(first, depth), _bound(second, depth))
    if op == ops.I32_ADD or op == ops.I64_ADD:
        return _bound(first, depth) + _bound(second, depth)
    if second.op != ops.CONST:
        return MASKS[value.type]
    assert type(second.aux) is int
    count = second.aux & BITS[value.type] - 1
    bound = _bound(first, depth)
    return bound >> count if op == ops.I32_SHR_U or op == ops.I64_SHR_U else bound << count
