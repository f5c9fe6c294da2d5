"""Floor 4: bulk operations on memories, which need nothing of Python: builtins that are IR, in pieces that ticks come between."""

from __future__ import annotations

from typing import Final

from figwasp import layout
from figwasp.errors import TRAP_OUT_OF_BOUNDS_MEMORY
from figwasp.ir import builtins, ops
from figwasp.ir.func import CONV_WASM, Func, Value
from figwasp.ir.ops import I64
from figwasp.runtime.stubs.builder import Stub

_STRIDE: Final = 1 << 20  # bytes of a bulk operation between two polls


def _bounds(e: Stub, memory: Value, start: Value, length: Value) -> Value:
    """Trap unless [start, start + length) lies in the instance's memory; return the address of the first byte."""
    instance = e.params[0]
    # The records of the memories come first in the variable part of an instance block, whatever the module.
    place = e.emit(ops.I64_SHL, [e.emit(ops.I64_EXTEND_I32_U, [memory]), e.word(4)])
    record = e.get(e.emit(ops.I64_ADD, [instance, place]), layout.INST_FIXED)
    _check(e, start, length, e.get(record, layout.MEM_LENGTH))
    return e.emit(ops.I64_ADD, [e.get(record, layout.MEM_BASE), start])


def _check(e: Stub, start: Value, length: Value, size: Value) -> None:
    """Trap unless [start, start + length) lies in so many bytes; not by the end, which may be beyond 64 bits."""
    longer = e.emit(ops.I64_GT_U, [length, size])
    beyond = e.emit(ops.I64_GT_U, [start, e.emit(ops.I64_SUB, [size, length])])
    e.emit(ops.TRAPIF, [e.emit(ops.I32_OR, [longer, beyond])], TRAP_OUT_OF_BOUNDS_MEMORY)


class Strides:
    """A loop over a length in pieces, so that a long bulk operation can be interrupted: opened in its body.

    Attributes:
        done: bytes before this piece.
        piece: bytes of this piece.
    """

    __slots__ = ("_emitter", "_head", "done", "piece")

    def __init__(self, e: Stub, length: Value) -> None:
        self._emitter = e
        self._head = e.new()
        self._head.loop = True
        e.jump(self._head, [e.word(0)])
        e.at(self._head)
        self.done = e.func.new_param(self._head, I64)
        e.emit(ops.POLL, [])
        left = e.emit(ops.I64_SUB, [length, self.done])
        body = e.new()
        e.brif(e.emit(ops.I64_NE, [left, e.word(0)]), body, body)
        e.at(body)
        small = e.emit(ops.I64_LT_U, [left, e.word(_STRIDE)])
        self.piece = e.emit(ops.SELECT, [left, e.word(_STRIDE), small], 0, I64)

    def close(self) -> None:
        """End the body; the stub goes on after the loop."""
        e = self._emitter
        e.jump(self._head, [e.emit(ops.I64_ADD, [self.done, self.piece])])
        after = e.new()
        self._head.succs[1] = after
        e.at(after)


def memory_fill() -> Func:
    """Build memory.fill (spec 4.6.10): (instance, memory, start, value, length)."""
    e = Stub("memory.fill", bytes([I64]) + builtins.PARAMS[builtins.MEMORY_FILL], b"", CONV_WASM)
    _, memory, start, value, length = e.params
    first = _bounds(e, memory, start, length)
    strides = Strides(e, length)
    target = e.emit(ops.I64_ADD, [first, strides.done])
    e.native("memset", [target, e.emit(ops.I64_EXTEND_I32_U, [value]), strides.piece])
    strides.close()
    e.ret([])
    return e.func


def memory_copy() -> Func:
    """Build memory.copy (spec 4.6.10): (instance, target memory, source memory, target, source, length)."""
    e = Stub("memory.copy", bytes([I64]) + builtins.PARAMS[builtins.MEMORY_COPY], b"", CONV_WASM)
    _, to_memory, from_memory, to, from_, length = e.params
    source = _bounds(e, from_memory, from_, length)
    target = _bounds(e, to_memory, to, length)
    backwards = e.new()
    e.split(e.emit(ops.I64_GT_U, [target, source]), backwards)
    forward = Strides(e, length)
    _move(e, target, source, forward.done, forward.piece)
    forward.close()
    e.ret([])
    # The target lies above the source: the last piece first, so that no piece overwrites one still to be copied.
    e.at(backwards)
    strides = Strides(e, length)
    before = e.emit(ops.I64_SUB, [e.emit(ops.I64_SUB, [length, strides.done]), strides.piece])
    _move(e, target, source, before, strides.piece)
    strides.close()
    e.ret([])
    return e.func


def _move(e: Stub, target: Value, source: Value, offset: Value, size: Value) -> None:
    to = e.emit(ops.I64_ADD, [target, offset])
    e.native("memmove", [to, e.emit(ops.I64_ADD, [source, offset]), size])


def memory_init() -> Func:
    """Build memory.init (spec 4.6.10): (instance, memory, segment, target, source, length)."""
    e = Stub("memory.init", bytes([I64]) + builtins.PARAMS[builtins.MEMORY_INIT], b"", CONV_WASM)
    instance, memory, segment, to, from_, length = e.params
    place = e.emit(ops.I64_MUL, [e.emit(ops.I64_EXTEND_I32_U, [segment]), e.word(layout.SEGMENT_SIZE)])
    record = e.emit(ops.I64_ADD, [e.get(instance, layout.INST_DATAS), place])
    _check(e, from_, length, e.get(record, layout.SEGMENT_LENGTH))
    target = _bounds(e, memory, to, length)
    strides = Strides(e, length)
    _move(e, target, e.emit(ops.I64_ADD, [e.get(record, layout.SEGMENT_BASE), from_]), strides.done, strides.piece)
    strides.close()
    e.ret([])
    return e.func


BUILTINS: Final = {builtins.MEMORY_FILL: memory_fill, builtins.MEMORY_COPY: memory_copy, builtins.MEMORY_INIT: memory_init}
"""Builtins that need nothing of Python."""
