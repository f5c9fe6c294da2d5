"""Floor 4: externref cells as IR: how many tables, globals and segments hold each, and which may have to go.

Theory of operation. A cell has a count of its holders. What came in from Python, or whose count falls to 0, is a suspect: a list of
the store, linked through the cells, each of which is on it once at most. Such a cell bears a mark (EXTERN_KEPT), since code has it.
When the store looks at its suspects (`runtime.store.externs`) it takes the marks away, finds out which of the cells frames and
objects refer to, and marks those; the others are dying, another list, and are dropped one by one, unless code has got hold of them
meanwhile. Every function here is one step: no thread that needs the GIL and no exception of Python comes between its parts.
"""

from __future__ import annotations

from typing import Final

from figwasp import layout
from figwasp.ir import ops
from figwasp.ir.func import CONV_C, Func, Value
from figwasp.ir.ops import I64
from figwasp.runtime.stubs.builder import Stub

MANAGED: Final = 1
"""The state of a cell that is the store's: no stub takes it back after a call."""
_LAST: Final = 1  # the link of the last suspect; 0: the cell is on no list


def hold(e: Stub, reference: Value) -> None:
    """Count one more holder of the cell of a reference; nothing for one without a cell."""
    none = e.new()
    e.unless_host(reference, none)
    cell = e.cell_of(reference)
    e.put(e.word(MANAGED), cell, layout.EXTERN_STATE)
    e.put(e.emit(ops.I64_ADD, [e.get(cell, layout.EXTERN_HOLDERS), e.word(1)]), cell, layout.EXTERN_HOLDERS)
    e.jump(none)
    e.at(none)


def drop(e: Stub, reference: Value, record: Value) -> None:
    """Count one holder less, and make the cell a suspect if that was the last; nothing for a reference without a cell."""
    done = e.new()
    e.unless_host(reference, done)
    cell = e.cell_of(reference)
    left = e.emit(ops.I64_SUB, [e.get(cell, layout.EXTERN_HOLDERS), e.word(1)])
    e.put(left, cell, layout.EXTERN_HOLDERS)
    e.when(e.equals(e.emit(ops.I64_AND, [left, e.word(~layout.EXTERN_KEPT)]), 0), done)
    suspect(e, cell, record)
    e.jump(done)
    e.at(done)


def suspect(e: Stub, cell: Value, record: Value) -> None:
    """Make a cell that code has a suspect, and the store's."""
    e.put(e.word(MANAGED), cell, layout.EXTERN_STATE)
    holders = e.get(cell, layout.EXTERN_HOLDERS)
    e.put(e.emit(ops.I64_OR, [holders, e.word(layout.EXTERN_KEPT)]), cell, layout.EXTERN_HOLDERS)
    listed = e.new()
    e.when(e.equals(e.get(cell, layout.EXTERN_SUSPECT), 0), listed)
    _put_in_front(e, cell, record, layout.STORE_SUSPECTS)
    e.jump(listed)
    e.at(listed)


def exchange() -> Func:
    """Build (place, new, count, store record) -> 0: places that follow each other hold what stands at `new`; at 0, null."""
    e = Stub("cells.exchange", bytes([I64] * 4), bytes([I64]), CONV_C)
    place, new, count, record = e.params
    loop, body, done = e.new(), e.new(), e.new()
    given, null, known = e.new(), e.new(), e.new()
    loop.loop = True
    e.jump(loop, [e.word(0)])
    e.at(loop)
    at = e.func.new_param(loop, I64)
    e.brif(e.emit(ops.I64_LT_U, [at, count]), body, done)
    e.at(body)
    offset = e.emit(ops.I64_SHL, [at, e.word(3)])
    e.brif(e.emit(ops.I64_NE, [new, e.word(0)]), given, null)
    e.at(given)
    e.jump(known, [e.get(e.emit(ops.I64_ADD, [new, offset]), 0)])
    e.at(null)
    e.jump(known, [e.word(0)])
    e.at(known)
    replace(e, e.emit(ops.I64_ADD, [place, offset]), e.func.new_param(known, I64), record)
    e.jump(loop, [e.emit(ops.I64_ADD, [at, e.word(1)])])
    e.at(done)
    e.ret([e.word(0)])
    return e.func


def replace(e: Stub, place: Value, new: Value, record: Value) -> None:
    """Put a reference where another one is."""
    hold(e, new)
    old = e.get(place, 0)
    e.put(new, place, 0)
    drop(e, old, record)


def forget_marks() -> Func:
    """Build (store record) -> 0: it is not known of any suspect that code has it."""
    e = Stub("cells.forget_marks", bytes([I64]), bytes([I64]), CONV_C)
    record = e.params[0]
    none = e.new()
    first = e.get(record, layout.STORE_SUSPECTS)
    e.unless_zero(first, none)
    head = e.new()
    head.loop = True
    e.jump(head, [first])
    e.at(head)
    cell = e.func.new_param(head, I64)
    holders = e.get(cell, layout.EXTERN_HOLDERS)
    e.put(e.emit(ops.I64_AND, [holders, e.word(~layout.EXTERN_KEPT)]), cell, layout.EXTERN_HOLDERS)
    following = e.get(cell, layout.EXTERN_SUSPECT)
    e.split(e.equals(following, _LAST), none)
    e.jump(head, [following])
    e.at(none)
    e.ret([e.word(0)])
    return e.func


def partition() -> Func:
    """Build (store record) -> 0: suspects that nobody has are dying, those that something holds are none any more."""
    e = Stub("cells.partition", bytes([I64]), bytes([I64]), CONV_C)
    record = e.params[0]
    first = e.get(record, layout.STORE_SUSPECTS)
    e.put(e.word(0), record, layout.STORE_SUSPECTS)
    none, head = e.new(), e.new()
    e.unless_zero(first, none)
    head.loop = True
    e.jump(head, [first])
    e.at(head)
    cell = e.func.new_param(head, I64)
    following = e.get(cell, layout.EXTERN_SUSPECT)
    _sort(e, cell, record, layout.STORE_DYING)
    e.split(e.equals(following, _LAST), none)
    e.jump(head, [following])
    e.at(none)
    e.ret([e.word(0)])
    return e.func


def _sort(e: Stub, cell: Value, record: Value, free: int) -> None:
    """Put a cell that is on no list any more where it belongs: those that nobody has at a head of a list in the record."""
    holders = e.get(cell, layout.EXTERN_HOLDERS)
    unheld, held, done = e.new(), e.new(), e.new()
    e.split(e.equals(holders, 0), unheld)
    e.when(e.emit(ops.I64_NE, [e.emit(ops.I64_AND, [holders, e.word(layout.EXTERN_KEPT)]), e.word(0)]), held)
    _put_in_front(e, cell, record, layout.STORE_SUSPECTS)
    e.jump(done)
    e.at(unheld)
    _put_in_front(e, cell, record, free)
    e.jump(done)
    e.at(held)
    e.put(e.word(0), cell, layout.EXTERN_SUSPECT)
    e.jump(done)
    e.at(done)


def _put_in_front(e: Stub, cell: Value, record: Value, list_: int) -> None:
    """Put a cell in front of a list of suspects."""
    first = e.get(record, list_)
    some = e.emit(ops.I64_NE, [first, e.word(0)])
    e.put(e.emit(ops.SELECT, [first, e.word(_LAST), some], 0, I64), cell, layout.EXTERN_SUSPECT)
    e.put(cell, record, list_)


def settle() -> Func:
    """Build (store record, cell, object) -> 1: a dying cell is free, its object dropped; 0: somebody has got hold of it.

    It is the first of those that are dying, and holds the object, else nothing is done.
    """
    e = Stub("cells.settle", bytes([I64] * 3), bytes([I64]), CONV_C)
    record, cell, thing = e.params
    other, alive = e.new(), e.new()
    e.split(e.emit(ops.I64_NE, [e.get(record, layout.STORE_DYING), cell]), other)
    e.split(e.emit(ops.I64_NE, [e.get(cell, 0), thing]), other)
    link = e.get(cell, layout.EXTERN_SUSPECT)
    e.put(e.emit(ops.SELECT, [e.word(0), link, e.equals(link, _LAST)], 0, I64), record, layout.STORE_DYING)
    e.split(e.emit(ops.I64_NE, [e.get(cell, layout.EXTERN_HOLDERS), e.word(0)]), alive)
    e.put(e.word(0), cell, layout.EXTERN_SUSPECT)
    e.put(e.word(0), cell, 0)
    e.put(e.get(record, layout.STORE_FREE_EXTERN), cell, layout.EXTERN_STATE)
    e.put(cell, record, layout.STORE_FREE_EXTERN)
    e.c("Py_DecRef", [thing], ops.VOID)  # nothing for 0, where the collector has cleared it
    e.ret([e.word(1)])
    e.at(alive)
    _sort(e, cell, record, layout.STORE_SUSPECTS)
    e.jump(other)
    e.at(other)
    e.ret([e.word(0)])
    return e.func


def give() -> Func:
    """Build (store record, cell, object, place) -> 1: a cell that holds the object has been given to code, at a place; 0: none has.

    The cell is a suspect from then on.
    """
    e = Stub("cells.give", bytes([I64] * 4), bytes([I64]), CONV_C)
    record, cell, thing, place = e.params
    other = e.new()
    e.split(e.emit(ops.I64_NE, [e.get(cell, 0), thing]), other)
    suspect(e, cell, record)
    e.put(e.emit(ops.I64_OR, [cell, e.word(layout.HOST_TAG)]), place, 0)
    e.ret([e.word(1)])
    e.at(other)
    e.ret([e.word(0)])
    return e.func


def move_suspects() -> Func:
    """Build (store record, another one) -> 0: the suspects of one are the other's."""
    e = Stub("cells.move_suspects", bytes([I64] * 2), bytes([I64]), CONV_C)
    source, target = e.params
    loop, end, nothing, some = e.new(), e.new(), e.new(), e.new()
    first = e.get(source, layout.STORE_SUSPECTS)
    e.unless_zero(first, nothing)
    head = e.get(target, layout.STORE_SUSPECTS)
    e.put(first, target, layout.STORE_SUSPECTS)
    e.put(e.word(0), source, layout.STORE_SUSPECTS)
    e.unless_zero(head, nothing)
    loop.loop = True
    e.jump(loop, [first])
    e.at(loop)
    one = e.func.new_param(loop, I64)
    following = e.get(one, layout.EXTERN_SUSPECT)
    e.brif(e.equals(following, _LAST), end, some)
    e.at(some)
    e.jump(loop, [following])
    e.at(end)
    e.put(head, one, layout.EXTERN_SUSPECT)
    e.jump(nothing)
    e.at(nothing)
    e.ret([e.word(0)])
    return e.func


def take() -> Func:
    """Build (store record) -> a free cell, which is the store's; 0: there is none."""
    e = Stub("cells.take", bytes([I64]), bytes([I64]), CONV_C)
    record = e.params[0]
    empty = e.new()
    cell = e.get(record, layout.STORE_FREE_EXTERN)
    e.unless_zero(cell, empty)
    e.put(e.get(cell, layout.EXTERN_STATE), record, layout.STORE_FREE_EXTERN)
    e.put(e.word(MANAGED), cell, layout.EXTERN_STATE)
    e.jump(empty)
    e.at(empty)
    e.ret([cell])
    return e.func
