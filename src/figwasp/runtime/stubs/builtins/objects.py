"""Floor 4: objects whose size is not known where they are made, as IR: arrays, and structures larger than any cell.

In: the instance, and operands as `ir.builtins` has them. Out: a reference to zeros behind a header. Compiled code makes all other
objects inline (the operation `allocate`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from figwasp import layout
from figwasp.ir import builtins, ops
from figwasp.ir.func import CONV_WASM, Func, Value
from figwasp.ir.ops import I64, V128
from figwasp.runtime.stubs.builder import Stub

__all__ = ["BUILTINS", "build"]

_INLINE: Final = 512  # bytes up to which zeros are stored here


class _Maker(Stub):
    """A builtin that makes an object."""

    __slots__ = ()

    def __init__(self, number: int) -> None:
        super().__init__(builtins.NAMES[number], bytes([I64]) + builtins.PARAMS[number], builtins.RESULTS[number], CONV_WASM)

    def add(self, value: Value, other: Value | int) -> Value:
        """A sum."""
        return self.emit(ops.I64_ADD, [value, self.word(other) if isinstance(other, int) else other])

    def finish(self, size: Value, header: Value) -> Func:
        """Make an object of so many bytes (a multiple of 8) with a header, and return it."""
        large, short = self.new(), self.new()
        context = self.emit(ops.CONTEXT, [])
        self.split(self.emit(ops.I64_GT_U, [size, self.word(layout.CELL_SIZES[-1])]), large)
        eighths = self.emit(ops.I64_SHR_U, [size, self.word(3)])
        number = self.load(ops.I64_LOAD8_U, self.add(eighths, self.symbol("heap.class_of")), 0)
        offset = self.emit(ops.I64_SHL, [number, self.word(4)])
        cells = self.add(self.add(context, offset), layout.CTX_CELLS)
        cell = self.load(ops.I64_LOAD32_U, self.add(offset, self.symbol("heap.classes")), 0)
        last = self.emit(ops.I64_SUB, [self.get(cells, layout.CELLS_END), cell])
        done = self.new()
        self.split(self.emit(ops.I64_LT_U, [last, self.get(cells, layout.CELLS_LOW)]), short)
        self.put(last, cells, layout.CELLS_END)
        self.jump(done, [last])
        self.at(short)
        self.jump(done, [self._ask("stub.heap.allocate", context, number)])
        self.at(done)
        place = self.func.new_param(done, I64)
        self._zero(place, size)
        self.put(header, place, layout.OBJECT_TYPE)
        self.ret([place])
        self.at(large)
        found = self._ask("stub.heap.allocate_large", context, size)
        self.put(header, found, layout.OBJECT_TYPE)
        self.ret([found])
        return self.func

    def _ask(self, function: str, context: Value, operand: Value) -> Value:
        """Call a slow path on the native stack; leave wasm when it has no place."""
        failed = self.new()
        found = self.native(function, [context, self.word(0), operand])
        rest = self.new()
        self.brif(self.equals(found, 0), failed, rest)
        self.at(failed)
        self.emit(ops.UNWIND, [])
        self.at(rest)
        return found

    def _zero(self, place: Value, size: Value) -> None:
        """Write zeros behind the header."""
        end = self.add(place, size)
        first = self.add(place, layout.OBJECT_FIELDS)
        many, loop, pair, odd, done = self.new(), self.new(), self.new(), self.new(), self.new()
        self.split(self.emit(ops.I64_GT_U, [size, self.word(_INLINE)]), many)
        loop.loop = True
        self.jump(loop, [first])
        self.at(loop)
        at = self.func.new_param(loop, I64)
        behind = self.add(at, 16)
        rest = self.new()
        self.brif(self.emit(ops.I64_LE_U, [behind, end]), pair, rest)
        self.at(pair)
        self.store(ops.V128_STORE, self.const(V128, 0), at, 0)
        self.jump(loop, [behind])
        self.at(rest)
        self.brif(self.emit(ops.I64_LT_U, [at, end]), odd, done)
        self.at(odd)
        self.put(self.word(0), at, 0)
        self.jump(done)
        self.at(many)
        self.native("memset", [first, self.word(0), self.emit(ops.I64_SUB, [end, first])])
        self.jump(done)
        self.at(done)


def _object_new(e: _Maker) -> Func:
    """Build a structure: (type, bytes) -> reference."""
    _, type_, size = e.params
    return e.finish(size, e.emit(ops.I64_EXTEND_I32_U, [type_]))


def _array_new(e: _Maker) -> Func:
    """Build an array: (type, length) -> reference."""
    instance, type_, length = e.params
    kind = e.emit(ops.I64_EXTEND_I32_U, [type_])
    count = e.emit(ops.I64_EXTEND_I32_U, [length])
    descriptor = e.add(e.get(instance, layout.INST_DESCRIPTORS), kind)
    shift = e.load(ops.I64_LOAD32_U, descriptor, layout.TYPE_LAYOUT)
    content = e.add(e.emit(ops.I64_SHL, [count, shift]), layout.OBJECT_FIELDS + 7)
    size = e.emit(ops.I64_AND, [content, e.word(-8)])
    header = e.emit(ops.I64_OR, [kind, e.emit(ops.I64_SHL, [count, e.word(8 * layout.ARRAY_LENGTH)])])
    return e.finish(size, header)


BUILTINS: Final[dict[int, Callable[[_Maker], Func]]] = {builtins.OBJECT_NEW: _object_new, builtins.ARRAY_NEW: _array_new}
"""The builtins that are made here."""


def build(number: int) -> Func:
    """Build one of them."""
    return BUILTINS[number](_Maker(number))
