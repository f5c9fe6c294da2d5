"""Floor 4: operations on ranges of arrays: builtins that are IR, and need nothing of Python.

In: the instance, and operands as `ir.builtins` has them. A range is done in pieces that ticks come between. Whatever runs then
finds whole elements. The arrays stay alive, since the addresses in this frame point into them.
"""

from __future__ import annotations

from typing import Final

from figwasp import layout
from figwasp.errors import (
    TRAP_NULL_ARRAY,
    TRAP_OUT_OF_BOUNDS_ARRAY,
    TRAP_OUT_OF_BOUNDS_MEMORY,
    TRAP_OUT_OF_BOUNDS_TABLE,
)
from figwasp.ir import builtins, ops
from figwasp.ir.func import CONV_WASM, Func, Value
from figwasp.ir.ops import I32, I64
from figwasp.runtime.stubs.builder import Stub
from figwasp.runtime.stubs.builtins.memories import Strides

__all__ = ["BUILTINS"]

_VECTOR: Final = 16
_WORD_SHIFT: Final = 3
_VECTOR_WIDTH: Final = 4
_ONES: Final = (1 << 64) - 1
_SPLAT: Final = ops.BY_NAME["i64x2_splat"]
_REPLACE_LANE: Final = ops.BY_NAME["i64x2_replace_lane"]
_PIECES: Final = ((8, ops.I64_STORE), (4, ops.I64_STORE32), (2, ops.I64_STORE16), (1, ops.I64_STORE8))


class _Builtin(Stub):
    """A builtin under construction.

    Attributes:
        instance: its instance.
        operands: its operands.
    """

    __slots__ = ("instance", "operands")

    def __init__(self, number: int) -> None:
        super().__init__(builtins.NAMES[number], bytes([I64]) + builtins.PARAMS[number], builtins.RESULTS[number], CONV_WASM)
        self.instance, *self.operands = self.params

    def widen(self, value: Value) -> Value:
        """An i32 as an i64."""
        return self.emit(ops.I64_EXTEND_I32_U, [value])

    def add(self, left: Value, right: Value) -> Value:
        """A sum of words."""
        return self.emit(ops.I64_ADD, [left, right])

    def scale(self, count: Value, width: Value) -> Value:
        """The bytes that so many elements take."""
        return self.emit(ops.I64_SHL, [count, self.widen(width)])

    def check(self, array: Value) -> None:
        """Trap for null."""
        self.emit(ops.TRAPIF, [self.emit(ops.I64_EQZ, [array])], TRAP_NULL_ARRAY)

    def place(self, array: Value, width: Value, start: Value, length: Value) -> Value:
        """Trap unless [start, start + length) lies in an array; the address of the first element."""
        held = self.load(ops.I64_LOAD32_U, array, layout.ARRAY_LENGTH)
        self.within(start, length, held, TRAP_OUT_OF_BOUNDS_ARRAY)
        return self.add(self.add(array, self.word(layout.OBJECT_FIELDS)), self.scale(start, width))

    def within(self, start: Value, length: Value, size: Value, trap: int) -> None:
        """Trap unless [start, start + length) lies in so much; the numbers have no more than 37 bits."""
        self.emit(ops.TRAPIF, [self.emit(ops.I64_GT_U, [self.add(start, length), size])], trap)

    def segment(self, number: Value, table: int) -> tuple[Value, Value]:
        """The address and the length of a segment, of which the instance block has an array at an address in it."""
        place = self.emit(ops.I64_MUL, [self.widen(number), self.word(layout.SEGMENT_SIZE)])
        record = self.add(self.get(self.instance, table), place)
        return self.get(record, layout.SEGMENT_BASE), self.get(record, layout.SEGMENT_LENGTH)

    def move(self, target: Value, source: Value, size: Value) -> None:
        """Copy bytes, as if through a buffer, in pieces."""
        backwards = self.new()
        self.split(self.emit(ops.I64_GT_U, [target, source]), backwards)
        forward = Strides(self, size)
        self._move(target, source, forward.done, forward.piece)
        forward.close()
        self.ret([])
        # The target lies above the source: the last piece first, so that no piece overwrites one still to be copied.
        self.at(backwards)
        strides = Strides(self, size)
        before = self.emit(ops.I64_SUB, [self.emit(ops.I64_SUB, [size, strides.done]), strides.piece])
        self._move(target, source, before, strides.piece)
        strides.close()
        self.ret([])

    def _move(self, target: Value, source: Value, offset: Value, size: Value) -> None:
        self.native("memmove", [self.add(target, offset), self.add(source, offset), size])


def _array_copy() -> Func:
    """Build array.copy: (target array, source array, width, target, source, length)."""
    e = _Builtin(builtins.ARRAY_COPY)
    target, source, width, to, from_, length = e.operands
    e.check(target)
    e.check(source)
    count = e.widen(length)
    first = e.place(target, width, e.widen(to), count)
    e.move(first, e.place(source, width, e.widen(from_), count), e.scale(count, width))
    return e.func


def _array_init_data() -> Func:
    """Build array.init_data: (array, segment, width, target, source, length)."""
    e = _Builtin(builtins.ARRAY_INIT_DATA)
    array, segment, width, to, from_, length = e.operands
    e.check(array)
    count, start = e.widen(length), e.widen(from_)
    target = e.place(array, width, e.widen(to), count)
    base, held = e.segment(segment, layout.INST_DATAS)
    size = e.scale(count, width)
    e.within(start, size, held, TRAP_OUT_OF_BOUNDS_MEMORY)
    e.move(target, e.add(base, start), size)
    return e.func


def _array_init_elem() -> Func:
    """Build array.init_elem: (array, segment, target, source, length)."""
    e = _Builtin(builtins.ARRAY_INIT_ELEM)
    array, segment, to, from_, length = e.operands
    e.check(array)
    count, start = e.widen(length), e.widen(from_)
    width = e.const(I32, _WORD_SHIFT)
    target = e.place(array, width, e.widen(to), count)
    base, held = e.segment(segment, layout.INST_ELEMS)
    e.within(start, count, held, TRAP_OUT_OF_BOUNDS_TABLE)
    e.move(target, e.add(base, e.scale(start, width)), e.scale(count, width))
    return e.func


def _array_fill() -> Func:
    """Build array.fill: (array, width, start, length, low, high).

    Vectors full of the element are written as long as one fits, and one over the last bytes. Where not even one fits, the same is
    done with the largest power of two that does.
    """
    e = _Builtin(builtins.ARRAY_FILL)
    array, width, start, length, low, high = e.operands
    e.check(array)
    count = e.widen(length)
    first = e.place(array, width, e.widen(start), count)
    size = e.scale(count, width)
    short = e.new()
    word = _repeated(e, width, low)
    e.split(e.emit(ops.I64_LT_U, [size, e.word(_VECTOR)]), short)
    other = e.emit(ops.SELECT, [high, word, e.emit(ops.I32_EQ, [width, e.const(I32, _VECTOR_WIDTH)])], 0, I64)
    vector = e.emit(_REPLACE_LANE, [e.emit(_SPLAT, [word]), other], 1)
    strides = Strides(e, size)
    _fill_piece(e, e.add(first, strides.done), strides.piece, vector)
    strides.close()
    e.store(ops.V128_STORE, vector, e.add(e.add(first, size), e.word(-_VECTOR)), 0)
    e.ret([])
    e.at(short)
    _fill_short(e, first, size, word)
    return e.func


def _repeated(e: _Builtin, width: Value, low: Value) -> Value:
    """A word full of an element; of the lower half of one that takes two."""
    word = low
    for other in range(_WORD_SHIFT):
        bits = 8 << other
        mask = (1 << bits) - 1
        full = e.emit(ops.I64_MUL, [e.emit(ops.I64_AND, [low, e.word(mask)]), e.word(_ONES // mask)])
        word = e.emit(ops.SELECT, [full, word, e.emit(ops.I32_EQ, [width, e.const(I32, other)])], 0, I64)
    return word


def _fill_piece(e: _Builtin, first: Value, size: Value, vector: Value) -> None:
    """Write a vector as often as it fits into a piece."""
    head, body, after = e.new(), e.new(), e.new()
    last = e.add(first, e.emit(ops.I64_SUB, [size, e.word(_VECTOR)]))
    head.loop = True
    e.jump(head, [first])
    e.at(head)
    place = e.func.new_param(head, I64)
    e.brif(e.emit(ops.I64_LE_U, [place, last]), body, after)
    e.at(body)
    e.store(ops.V128_STORE, vector, place, 0)
    e.jump(head, [e.add(place, e.word(_VECTOR))])
    e.at(after)


def _fill_short(e: _Builtin, first: Value, size: Value, word: Value) -> None:
    """Fill less than a vector, and return: each of two stores may cover a part of the other."""
    end = e.add(first, size)
    for bytes_, op in _PIECES:
        smaller = e.new()
        e.split(e.emit(ops.I64_LT_U, [size, e.word(bytes_)]), smaller)
        e.store(op, word, first, 0)
        e.store(op, word, e.add(end, e.word(-bytes_)), 0)
        e.ret([])
        e.at(smaller)
    e.ret([])


BUILTINS: Final = {
    builtins.ARRAY_FILL: _array_fill,
    builtins.ARRAY_COPY: _array_copy,
    builtins.ARRAY_INIT_DATA: _array_init_data,
    builtins.ARRAY_INIT_ELEM: _array_init_elem,
}
