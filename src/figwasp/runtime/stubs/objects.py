"""Floor 4: the slots of our native object types as IR: traverse, clear, dealloc, getbuffer.

In: the fields of a type. Out: convention-C functions. They are what makes native memory safe under the cycle collector:
a callable or a view owns its native blocks until it is deallocated, whatever the collector clears before that.
"""

from __future__ import annotations

from collections.abc import Sequence

from figwasp import layout
from figwasp.ir import ops
from figwasp.ir.func import CONV_C, Func, Value
from figwasp.ir.ops import I32, I64
from figwasp.runtime.platform import interpreter
from figwasp.runtime.stubs.builder import Stub
from figwasp.runtime.stubs.interface import (
    BUFFER_FORMAT,
    BUFFER_ITEM,
    BUFFER_OWNER,
    BUFFER_SHAPE,
    BUFFER_STRIDES,
    OWNER_BLOCK,
    OWNER_COUNT,
    OWNER_HOLDS,
    OWNER_SLOTS,
    VIEW_FORMAT,
    VIEW_ITEM,
    VIEW_LENGTH,
    VIEW_READONLY,
    VIEW_RECORD,
)


def _visit(e: Stub, value: Value) -> None:
    """Visit a reference unless it is 0; return the visitor's answer unless that is 0."""
    _, visit, argument = e.params
    rest = e.new()
    leave = e.new()
    e.unless_zero(value, rest)
    answer = e.wrap(e.c(visit, [value, argument]))
    e.brif(answer, leave, rest)
    e.at(leave)
    e.ret([e.emit(ops.I64_EXTEND_I32_U, [answer])])
    e.at(rest)


def _drop(e: Stub, base: Value, offset: int) -> None:
    """Clear a field, then drop the reference that was in it."""
    rest = e.new()
    value = e.get(base, offset)
    e.unless_zero(value, rest)
    e.put(e.word(0), base, offset)
    e.c("Py_DecRef", [value], ops.VOID)
    e.jump(rest)
    e.at(rest)


def traverse(fields: Sequence[int], slots: bool) -> Func:
    """Build tp_traverse: visit the type, the fields, and the array of slots if there is one."""
    e = Stub("object.traverse", bytes([I64] * 3), bytes([I64]), CONV_C)
    self = e.params[0]
    for offset in (interpreter.OB_TYPE, *fields):
        _visit(e, e.get(self, offset))
    if slots:
        loop = _SlotLoop(e, self)
        _visit(e, e.get(loop.pointer, 0))
        loop.close()
    e.ret([e.word(0)])
    return e.func


class _SlotLoop:
    """A loop over the owner's slots, the last first: opened by the constructor, which leaves the stub in the body.

    Attributes:
        pointer: address of the slot, in the body.
    """

    __slots__ = ("_emitter", "_head", "pointer")

    def __init__(self, e: Stub, owner: Value) -> None:
        start = e.get(owner, OWNER_SLOTS)
        count = e.get(owner, OWNER_COUNT)
        end = e.emit(ops.I64_ADD, [start, e.emit(ops.I64_SHL, [count, e.word(3)])])
        self._emitter = e
        self._head = e.new()
        self._head.loop = True
        e.jump(self._head, [end])
        e.at(self._head)
        cursor = e.func.new_param(self._head, I64)
        body = e.new()
        e.brif(e.emit(ops.I64_NE, [cursor, start]), body, body)
        e.at(body)
        self.pointer = e.emit(ops.I64_SUB, [cursor, e.word(8)])

    def close(self) -> None:
        """End the body; the stub goes on after the loop."""
        e = self._emitter
        e.jump(self._head, [self.pointer])
        after = e.new()
        self._head.succs[1] = after
        e.at(after)


def clear(fields: Sequence[int], slots: bool, graveyard: bool = False) -> Func:
    """Build tp_clear: drop the fields' and the slots' references.

    Args:
        fields: offsets of the references that a cycle may go through, and that may be missing afterwards.
        slots: whether there is an array of slots.
        graveyard: whether what the owner holds moves to the graveyard, to be dropped when the collection is over, since code
            reachable from other garbage may still run.
    """
    e = Stub("object.clear", bytes([I64]), bytes([I64]), CONV_C)
    self = e.params[0]
    for offset in fields:
        _drop(e, self, offset)
    if slots:
        _drop_slots(e, self)
    if graveyard:
        rest = e.new()
        held = e.get(self, OWNER_HOLDS)
        e.unless_zero(held, rest)
        e.put(e.word(0), self, OWNER_HOLDS)
        e.c("PyList_Append", [e.symbol("owner.graveyard"), held])
        e.c("Py_DecRef", [held], ops.VOID)
        e.jump(rest)
        e.at(rest)
    e.ret([e.word(0)])
    return e.func


def sweep() -> Func:
    """Build the vectorcall function that drops what lies in the graveyard: (callable, args, nargsf, kwnames) -> None.

    The collector calls it when a collection begins and when it is over. A Python function would not do: Python would notice Ctrl-C
    there, and the exception would be lost.
    """
    e = Stub("object.sweep", bytes([I64] * 4), bytes([I64]), CONV_C)
    rest = e.new()
    size = e.c("PyList_Size", [e.symbol("owner.graveyard")])
    e.unless_zero(size, rest)
    e.c("PyList_SetSlice", [e.symbol("owner.graveyard"), e.word(0), size, e.word(0)])
    e.jump(rest)
    e.at(rest)
    e.ret([e.none()])
    return e.func


def _drop_slots(e: Stub, self: Value) -> None:
    loop = _SlotLoop(e, self)
    _drop(e, loop.pointer, 0)
    loop.close()


def dealloc(fields: Sequence[int], slots: bool, reaped: bool = False) -> Func:
    """Build tp_dealloc.

    Args:
        fields: offsets of the references to drop.
        slots: whether there is an array of slots.
        reaped: for owners, whether the block goes to the list of those to be released, linked through their first word.
    """
    e = Stub("object.dealloc", bytes([I64]), b"", CONV_C)
    self = e.params[0]
    e.c("PyObject_GC_UnTrack", [self], ops.VOID)
    for offset in fields:
        _drop(e, self, offset)
    if slots:
        _drop_slots(e, self)
    if reaped:
        _hand_over(e, self)
    type_ = e.get(self, interpreter.OB_TYPE)
    e.c("PyObject_GC_Del", [self], ops.VOID)
    e.c("Py_DecRef", [type_], ops.VOID)
    e.ret([])
    return e.func


def _hand_over(e: Stub, self: Value) -> None:
    """Put the block on the list; ask for a pending call if the list was empty."""
    rest = e.new()
    block = e.get(self, OWNER_BLOCK)
    e.unless_zero(block, rest)
    head = e.symbol("static.reap_list")
    first = e.get(head, 0)
    e.put(first, block, 0)
    e.put(block, head, 0)
    e.when(e.equals(first, 0), rest)
    e.c("Py_AddPendingCall", [e.symbol("stub.owner.pending"), e.word(0)])
    e.jump(rest)
    e.at(rest)


def pending() -> Func:
    """Build the pending call (argument) -> 0, or -1 with an exception set, that releases blocks (`owner.reap`).

    A callback made by ctypes would do, but libffi puts those in pages that are writable and executable.
    """
    e = Stub("object.pending", bytes([I64]), bytes([I64]), CONV_C)
    answer = e.vectorcall(e.symbol("owner.reap"), [])
    failed = e.new()
    e.split(e.equals(answer, 0), failed)
    e.c("Py_DecRef", [answer], ops.VOID)
    e.ret([e.word(0)])
    e.at(failed)
    e.ret([e.word(-1)])
    return e.func


def next_dead() -> Func:
    """Build () -> the first block on the list that `dealloc` makes, taken off, or 0: one step for other threads."""
    e = Stub("object.next_dead", b"", bytes([I64]), CONV_C)
    head = e.symbol("static.reap_list")
    block = e.get(head, 0)
    rest = e.new()
    e.unless_zero(block, rest)
    e.put(e.get(block, 0), head, 0)
    e.jump(rest)
    e.at(rest)
    e.ret([block])
    return e.func


def new_owner() -> Func:
    """Build (type, block, slots, count) -> a new owner, or 0 with an exception set: one call, since an instance has several."""
    e = Stub("object.new_owner", bytes([I64] * 4), bytes([I64]), CONV_C)
    type_, block, slots, count = e.params
    made = e.c("PyType_GenericAlloc", [type_, e.word(0)])
    rest = e.new()
    e.unless_zero(made, rest)
    for offset, value in ((OWNER_BLOCK, block), (OWNER_SLOTS, slots), (OWNER_COUNT, count)):
        e.put(value, made, offset)
    e.jump(rest)
    e.at(rest)
    e.ret([made])
    return e.func


def getbuffer() -> Func:
    """Build bf_getbuffer of a memory: a writable view of its present length, which is counted."""
    e = Stub("memory.getbuffer", bytes([I64, I64, I32]), bytes([I64]), CONV_C)
    self, view, flags = e.params
    record = e.get(self, VIEW_RECORD)
    base = e.get(record, layout.MEM_BASE)
    length = e.get(record, layout.MEM_LENGTH)
    failed = e.new()
    status = e.c("PyBuffer_FillInfo", [view, self, base, length, e.const(I32, 0), flags])
    e.split(e.wrap(status), failed)
    e.put(e.emit(ops.I64_ADD, [e.get(record, layout.MEM_EXPORTS), e.word(1)]), record, layout.MEM_EXPORTS)
    e.jump(failed)
    e.at(failed)
    e.ret([status])
    return e.func


def releasebuffer() -> Func:
    """Build bf_releasebuffer of a memory."""
    e = Stub("memory.releasebuffer", bytes([I64, I64]), b"", CONV_C)
    record = e.get(e.params[0], VIEW_RECORD)
    e.put(e.emit(ops.I64_SUB, [e.get(record, layout.MEM_EXPORTS), e.word(1)]), record, layout.MEM_EXPORTS)
    e.ret([])
    return e.func


def getbuffer_of_array() -> Func:
    """Build bf_getbuffer of an array of the heap: its elements, if they are numbers."""
    e = Stub("array.getbuffer", bytes([I64, I64, I32]), bytes([I64]), CONV_C)
    self, view, flags = e.params
    block = e.get(self, VIEW_RECORD)
    none, failed = e.new(), e.new()
    e.split(e.equals(e.get(block, VIEW_FORMAT), 0), none)
    data = e.emit(ops.I64_ADD, [e.get(block, 0), e.word(layout.OBJECT_FIELDS)])
    size = e.emit(ops.I64_MUL, [e.get(block, VIEW_LENGTH), e.get(block, VIEW_ITEM)])
    readonly = e.get32(block, VIEW_READONLY)
    status = e.c("PyBuffer_FillInfo", [view, self, data, size, readonly, flags])
    e.split(e.wrap(status), failed)
    e.put(e.get(block, VIEW_ITEM), view, BUFFER_ITEM)
    for field, place in ((BUFFER_FORMAT, VIEW_FORMAT), (BUFFER_SHAPE, VIEW_LENGTH), (BUFFER_STRIDES, VIEW_ITEM)):
        _replace(e, view, field, e.emit(ops.I64_ADD, [block, e.word(place)]))
    e.jump(failed)
    e.at(none)
    e.c("PyErr_SetObject", [e.symbol("object.BufferError"), e.symbol("object.NO_BUFFER")], ops.VOID)
    e.put(e.word(0), view, BUFFER_OWNER)
    e.ret([e.word(-1)])
    e.at(failed)
    e.ret([status])
    return e.func


def _replace(e: Stub, base: Value, offset: int, value: Value) -> None:
    """Set a field that is not 0."""
    rest = e.new()
    e.unless_zero(e.get(base, offset), rest)
    e.put(value, base, offset)
    e.jump(rest)
    e.at(rest)
