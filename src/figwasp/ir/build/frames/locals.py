"""Locals in the frame instead of in values, for functions whose SSA form would be out of proportion. Floor 2.

Every local has room for the largest of them in an area of the frame. The body's instructions become loads and stores; nothing
meets at labels.
"""

from __future__ import annotations

from typing import Final

from figwasp.ir import ops, types
from figwasp.ir.build.base import Builder, Method
from figwasp.ir.func import Value

__all__ = ["METHODS", "open_locals"]

def open_locals(b: Builder) -> None:
    """Make the area: parameters are stored, the others are zeroed in a loop."""
    count = len(b.types)
    size = b.local_size = types.CELL * max((types.CELLS[type] for type in set(b.types)), default=1)
    params = b.block.params[1:]
    b.area = b.emit(ops.FRAME_AREA, [], size * max(count, 1))
    for index, param in enumerate(params):
        _store(b, index, param)
    if count > len(params):
        _clear(b, size * len(params), size * count)


def _clear(b: Builder, start: int, end: int) -> None:
    """Zero the bytes from `start` to `end` of the area, of which there are a cell's at least."""
    zero = b.const(ops.I64, 0)
    first = b.const(ops.I64, start)
    step = b.const(ops.I64, types.CELL)
    last = b.const(ops.I64, end)
    b.emit(ops.JUMP, [])
    header = b.func.new_block(1)
    again = b.func.new_block(1)
    after = b.func.new_block()
    b.block.succs = [header]
    b.block.args = [[first]]
    b.start(header)
    header.loop = True
    b.emit(ops.POLL, [])
    offset = b.func.new_param(header, ops.I64)
    b.emit(ops.I64_STORE, [zero, _area(b), offset], ops.memory_aux(0, ops.REGION_NATIVE))
    following = b.emit(ops.I64_ADD, [offset, step])
    b.emit(ops.BRIF, [b.emit(ops.I64_LT_U, [following, last])])
    header.succs = [again, after]
    header.args = [[], []]
    b.start(again)
    b.emit(ops.JUMP, [])
    again.succs = [header]
    again.args = [[following]]
    b.start(after)


def _area(b: Builder) -> Value:
    assert b.area is not None
    return b.area


def _store(b: Builder, index: int, value: Value) -> None:
    b.emit(ops.STORE_OF[value.type], [value, _area(b)], ops.memory_aux(b.local_size * index, ops.REGION_NATIVE))


def _build_get(b: Builder, pos: int) -> int:
    index, pos = b.unsigned(pos)
    aux = ops.memory_aux(b.local_size * index, ops.REGION_NATIVE)
    b.stack.append(b.emit(ops.LOAD_OF[b.types[index]], [_area(b)], aux))
    return pos


def _build_set(b: Builder, pos: int) -> int:
    index, pos = b.unsigned(pos)
    _store(b, index, b.stack.pop())
    return pos


def _build_tee(b: Builder, pos: int) -> int:
    index, pos = b.unsigned(pos)
    _store(b, index, b.stack[-1])
    return pos


METHODS: Final[dict[str, Method]] = {
    "local.get": _build_get,
    "local.set": _build_set,
    "local.tee": _build_tee,
}
