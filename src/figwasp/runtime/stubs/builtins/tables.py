"""Floor 4: operations on tables and globals of references: builtins that are IR, and leave what they cannot do to Python.

In: the instance, and operands as `ir.builtins` has them. What is done here: null, objects, whose cells are counted, and functions
of an instance that the table is known to keep. Any other function is a matter of the owners that a table keeps: then the builtin's
Python function does the whole of it, and tells the table what it keeps from then on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from figwasp import layout
from figwasp.errors import TRAP_OUT_OF_BOUNDS_TABLE
from figwasp.ir import builtins, ops
from figwasp.ir.func import CONV_WASM, Func, Value
from figwasp.ir.ops import I64
from figwasp.runtime.stubs.builder import Stub
from figwasp.runtime.stubs.builtins import cells
from figwasp.runtime.stubs.host import ask_python

__all__ = ["BUILTINS", "PURE", "build"]


class _Builtin(Stub):
    """A builtin under construction.

    Attributes:
        instance: its instance.
        operands: its operands.
        slow: where everything is left to Python.
    """

    __slots__ = ("_number", "instance", "operands", "slow")

    def __init__(self, number: int) -> None:
        super().__init__(builtins.NAMES[number], bytes([I64]) + builtins.PARAMS[number], builtins.RESULTS[number], CONV_WASM)
        self._number = number
        self.instance, *self.operands = self.params
        self.slow = self.new()

    def finish(self) -> Func:
        """Build the way to Python."""
        self.at(self.slow)
        ask_python(self, self._number)
        return self.func

    def record(self, table: Value) -> Value:
        """The record of a table."""
        place = self.emit(ops.I64_SHL, [self.emit(ops.I64_EXTEND_I32_U, [table]), self.word(3)])
        return self.get(self.emit(ops.I64_ADD, [self.get(self.instance, layout.INST_TABLES), place]), 0)

    def elements(self, record: Value, start: Value, length: Value) -> Value:
        """Trap unless [start, start + length) lies in a table; the address of the first element."""
        self._within(start, length, self.get(record, layout.TABLE_LENGTH))
        return self._scaled(self.get(record, layout.TABLE_BASE), start)

    def segment(self, number: Value, start: Value, length: Value) -> Value:
        """Trap unless [start, start + length) lies in an element segment; the address of the first reference."""
        place = self.emit(ops.I64_MUL, [self.emit(ops.I64_EXTEND_I32_U, [number]), self.word(layout.SEGMENT_SIZE)])
        segment = self.emit(ops.I64_ADD, [self.get(self.instance, layout.INST_ELEMS), place])
        self._within(start, length, self.get(segment, layout.SEGMENT_LENGTH))
        return self._scaled(self.get(segment, layout.SEGMENT_BASE), start)

    def _within(self, start: Value, length: Value, size: Value) -> None:
        # Not by the end, which may be beyond 64 bits.
        longer = self.emit(ops.I64_GT_U, [length, size])
        beyond = self.emit(ops.I64_GT_U, [start, self.emit(ops.I64_SUB, [size, length])])
        self.emit(ops.TRAPIF, [self.emit(ops.I32_OR, [longer, beyond])], TRAP_OUT_OF_BOUNDS_TABLE)

    def _scaled(self, base: Value, index: Value) -> Value:
        return self.emit(ops.I64_ADD, [base, self.emit(ops.I64_SHL, [index, self.word(3)])])

    def check_kept(self, reference: Value, kept: Value) -> None:
        """Go to `slow` for a function of an instance that is not known to be kept."""
        known = self.new()
        self.unless_zero(reference, known)
        self.split(self.emit(ops.I64_NE, [self.get(reference, layout.FUNCREF_INSTANCE), kept]), self.slow)
        self.jump(known)
        self.at(known)

    def put_cell(self, place: Value, cell: Value) -> None:
        """Have a place hold an externref instead of the one that is there, which may be dropped when the outermost call ends."""
        cells.replace(self, place, cell, self.get(self.instance, layout.INST_STORE))

    def ask_for_cleanup(self) -> None:
        """Have the outermost call look at the suspects when it ends."""
        self.put8(layout.FLAG_CLEANUP >> 8, self.emit(ops.CONTEXT, []), layout.CTX_FLAGS + 1)

    def is_extern(self, record: Value) -> Value:
        """Whether the elements of a table are no functions."""
        return self.emit(ops.I64_NE, [self.get(record, layout.TABLE_EXTERN), self.word(0)])


class _Loop:
    """A loop over the indexes from 0 up to a count, or down: opened in its body. Ticks come between, unless it does not poll.

    Attributes:
        index: the present one.
    """

    __slots__ = ("_at", "_emitter", "_end", "_head", "index")

    def __init__(self, e: Stub, count: Value, down: bool = False, poll: bool = True) -> None:
        self._emitter = e
        self._head, body = e.new(), e.new()
        self._end = e.new()
        self._head.loop = True
        e.jump(self._head, [e.word(0)])
        e.at(self._head)
        at = self._at = e.func.new_param(self._head, I64)
        if poll:
            e.emit(ops.POLL, [])
        e.brif(e.emit(ops.I64_LT_U, [at, count]), body, self._end)
        e.at(body)
        self.index = e.emit(ops.I64_SUB, [e.emit(ops.I64_SUB, [count, e.word(1)]), at]) if down else at

    def close(self) -> None:
        """End the body; the stub goes on after the loop."""
        e = self._emitter
        e.jump(self._head, [e.emit(ops.I64_ADD, [self._at, e.word(1)])])
        e.at(self._end)

    def place(self, base: Value) -> Value:
        """The address of the present element of an array."""
        e = self._emitter
        return e.emit(ops.I64_ADD, [base, e.emit(ops.I64_SHL, [self.index, e.word(3)])])


def _table_set(e: _Builtin) -> None:
    """Build table.set (spec 4.6.12): (table, index, reference)."""
    table, index, reference = e.operands
    record = e.record(table)
    place = e.elements(record, index, e.word(1))
    objects = e.new()
    e.split(e.is_extern(record), objects)
    e.check_kept(reference, e.get(record, layout.TABLE_KEPT))
    e.put(reference, place, 0)
    e.ret([])
    e.at(objects)
    e.put_cell(place, reference)
    e.ask_for_cleanup()
    e.ret([])


def _global_set_func(e: _Builtin) -> None:
    """Build global.set of a reference to a function (spec 4.6.11): (global, its address, reference)."""
    _, place, reference = e.operands
    e.check_kept(reference, e.get(place, layout.GLOBAL_KEPT))
    e.put(reference, place, 0)
    e.ret([])


def _global_set_extern(e: _Builtin) -> None:
    """Build global.set of an externref: (address of the global, reference)."""
    place, reference = e.operands
    e.put_cell(place, reference)
    e.ask_for_cleanup()
    e.ret([])


def _keep_func(e: _Builtin) -> None:
    """Build the keeping of a function by the heap: (reference). Of this instance the heap keeps the owner anyway."""
    e.check_kept(e.operands[0], e.instance)
    e.ret([])


def _table_fill(e: _Builtin) -> None:
    """Build table.fill: (table, start, reference, length)."""
    table, start, reference, length = e.operands
    record = e.record(table)
    _fill(e, record, e.elements(record, start, length), reference, length)
    e.ret([])


def _fill(e: _Builtin, record: Value, first: Value, reference: Value, length: Value) -> None:
    """Write a reference over a run of elements."""
    objects, done = e.new(), e.new()
    e.split(e.is_extern(record), objects)
    e.check_kept(reference, e.get(record, layout.TABLE_KEPT))
    loop = _Loop(e, length)
    e.put(reference, loop.place(first), 0)
    loop.close()
    e.jump(done)
    e.at(objects)
    e.ask_for_cleanup()
    loop = _Loop(e, length)
    e.put_cell(loop.place(first), reference)
    loop.close()
    e.jump(done)
    e.at(done)


def _table_copy(e: _Builtin) -> None:
    """Build table.copy: (target table, source table, target, source, length)."""
    to_table, from_table, to, from_, length = e.operands
    from_record, record = e.record(from_table), e.record(to_table)
    source = e.elements(from_record, from_, length)
    target = e.elements(record, to, length)
    other, backwards = e.new(), e.new()
    e.split(e.emit(ops.I64_NE, [from_record, record]), other)
    e.split(e.emit(ops.I64_GT_U, [target, source]), backwards)
    _copy(e, record, target, source, length, known=True)
    e.at(backwards)
    _copy(e, record, target, source, length, known=True, down=True)
    e.at(other)
    _copy(e, record, target, source, length, known=False)


def _copy(e: _Builtin, record: Value, target: Value, source: Value, length: Value, *, known: bool, down: bool = False) -> None:
    """Copy references, and return.

    Args:
        e: the builtin.
        record: of the table.
        target, source: addresses.
        length: their number.
        known: whether the table has them already, and so keeps their owners.
        down: whether the last is copied first.
    """
    objects = e.new()
    e.split(e.is_extern(record), objects)
    loop = _Loop(e, length, down)
    reference = e.get(loop.place(source), 0)
    if not known:
        e.check_kept(reference, e.get(record, layout.TABLE_KEPT))
    e.put(reference, loop.place(target), 0)
    loop.close()
    e.ret([])
    e.at(objects)
    e.ask_for_cleanup()
    loop = _Loop(e, length, down)
    e.put_cell(loop.place(target), e.get(loop.place(source), 0))
    loop.close()
    e.ret([])


def _table_init(e: _Builtin) -> None:
    """Build table.init: (table, segment, target, source, length)."""
    table, segment, to, from_, length = e.operands
    record = e.record(table)
    source = e.segment(segment, from_, length)
    _copy(e, record, e.elements(record, to, length), source, length, known=False)


def _table_grow(e: _Builtin) -> None:
    """Build table.grow: (table, reference, delta) -> the number of elements before, or -1."""
    table, reference, delta = e.operands
    record = e.record(table)
    refused, unlimited, fits = e.new(), e.new(), e.new()
    old = e.get(record, layout.TABLE_LENGTH)
    free = e.emit(ops.I64_SUB, [e.get(record, layout.TABLE_MOST), old])
    e.split(e.emit(ops.I64_GT_U, [delta, free]), refused)
    room = e.get(record, layout.TABLE_ROOM)
    e.split(e.equals(room, 0), unlimited)
    left = e.get(room, 0)
    e.split(e.emit(ops.I64_GT_U, [delta, left]), refused)
    e.jump(fits)
    e.at(unlimited)
    e.jump(fits)
    e.at(fits)
    _grow(e, record, room, old, reference, delta)
    e.at(refused)
    e.ret([e.word(-1)])


def _grow(e: _Builtin, record: Value, room: Value, old: Value, reference: Value, delta: Value) -> None:
    """Grow a table that has room, and return the old length. No tick comes between, since another call might grow it then."""
    objects, counted, functions = e.new(), e.new(), e.new()
    extern = e.is_extern(record)
    e.brif(extern, counted, functions)
    e.at(functions)
    e.check_kept(reference, e.get(record, layout.TABLE_KEPT))
    e.jump(counted)
    e.at(counted)
    loop = _Loop(e, delta, poll=False)
    length = e.emit(ops.I64_ADD, [old, loop.index])
    longer = e.emit(ops.I64_ADD, [length, e.word(1)])
    place = e.emit(ops.I64_ADD, [e.get(record, layout.TABLE_BASE), e.emit(ops.I64_SHL, [length, e.word(3)])])
    filled = e.get(record, layout.TABLE_FILLED)
    more = e.emit(ops.I64_GT_U, [longer, filled])
    e.put(e.emit(ops.SELECT, [longer, filled, more], 0, I64), record, layout.TABLE_FILLED)
    written = e.new()
    e.when(extern, objects)
    e.put_cell(place, reference)
    e.jump(written)
    e.at(objects)
    e.put(reference, place, 0)
    e.jump(written)
    e.at(written)
    e.put(longer, record, layout.TABLE_LENGTH)
    paid = e.new()
    e.unless_zero(room, paid)
    e.put(e.emit(ops.I64_SUB, [e.get(room, 0), e.word(1)]), room, 0)
    e.jump(paid)
    e.at(paid)
    loop.close()
    e.ret([old])


_BUILDERS: Final[dict[int, Callable[[_Builtin], None]]] = {
    builtins.TABLE_SET: _table_set,
    builtins.TABLE_FILL: _table_fill,
    builtins.TABLE_COPY: _table_copy,
    builtins.TABLE_INIT: _table_init,
    builtins.TABLE_GROW: _table_grow,
    builtins.GLOBAL_SET_FUNC: _global_set_func,
    builtins.GLOBAL_SET_EXTERN: _global_set_extern,
    builtins.KEEP_FUNC: _keep_func,
}


def build(number: int) -> Func:
    """Build the wasm side of one of `BUILTINS`."""
    e = _Builtin(number)
    _BUILDERS[number](e)
    return e.func if number in PURE else e.finish()


BUILTINS: Final = frozenset(_BUILDERS)
"""The builtins that are made here."""
PURE: Final = frozenset({builtins.GLOBAL_SET_EXTERN})
"""Those of them that leave nothing to Python."""
