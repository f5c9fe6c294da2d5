"""Floor 4: externref cells as IR: how many tables, globals and segments hold each, and which may have to go.

Theory of operation. A cell has a count of its holders. What came in from Python, or whose count falls to 0, is a suspect: a list of
the store, linked through the cells, each of which is on it once at most. When no call is running any more the store looks at the
suspects (`runtime.store.externs`). Every function here is one step: no thread that needs the GIL and no exception of Python comes
between its parts.
"""

from __future__ import annotations

from typing import Final

from figwasp import layout
from figwasp.ir import ops
from figwasp.ir.func import CONV_C, Block, Func, Value
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
    e.when(e.equals(left, 0), done)
    _suspect(e, cell, record)
    e.jump(done)
    e.at(done)


def _suspect(e: Stub, cell: Value, record: Value) -> None:
    listed = e.new()
    e.when(e.equals(e.get(cell, layout.EXTERN_SUSPECT), 0), listed)
    head = e.get(record, layout.STORE_SUSPECTS)
    some = e.emit(ops.I64_NE, [head, e.word(0)])
    e.put(e.emit(ops.SELECT, [head, e.word(_LAST), some], 0, I64), cell, layout.EXTERN_SUSPECT)
    e.put(cell, record, layout.STORE_SUSPECTS)
    e.jump(listed)
    e.at(listed)


def suspect() -> Func:
    """Build (cell, store record) -> 0: a cell is a suspect, and the store's."""
    e = Stub("cells.suspect", bytes([I64] * 2), bytes([I64]), CONV_C)
    cell, record = e.params
    e.put(e.word(MANAGED), cell, layout.EXTERN_STATE)
    _suspect(e, cell, record)
    e.ret([e.word(0)])
    return e.func


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


def settle() -> Func:
    """Build (store record, cell) -> 1: a suspect that nothing holds is free, its object dropped; 0: it is no suspect any more."""
    e = Stub("cells.settle", bytes([I64] * 2), bytes([I64]), CONV_C)
    record, cell = e.params
    held = e.new()
    _unlist(e, record, cell, held)
    e.split(e.emit(ops.I64_NE, [e.get(cell, layout.EXTERN_HOLDERS), e.word(0)]), held)
    thing = e.get(cell, 0)
    e.put(e.word(0), cell, 0)
    e.put(e.get(record, layout.STORE_FREE_EXTERN), cell, layout.EXTERN_STATE)
    e.put(cell, record, layout.STORE_FREE_EXTERN)
    e.c("Py_DecRef", [thing], ops.VOID)  # nothing for 0, where the collector has cleared it
    e.ret([e.word(1)])
    e.at(held)
    e.ret([e.word(0)])
    return e.func


def clear() -> Func:
    """Build (store record, cell) -> 0: a suspect that something holds is none."""
    e = Stub("cells.clear", bytes([I64] * 2), bytes([I64]), CONV_C)
    record, cell = e.params
    free = e.new()
    e.unless_zero(e.get(cell, layout.EXTERN_HOLDERS), free)
    _unlist(e, record, cell, free)
    e.jump(free)
    e.at(free)
    e.ret([e.word(0)])
    return e.func


def _unlist(e: Stub, record: Value, cell: Value, missing: Block) -> None:
    """Take a cell off the list of suspects; go to `missing` when it is not on that."""
    loop, found, end = e.new(), e.new(), e.new()
    link = e.get(cell, layout.EXTERN_SUSPECT)
    e.unless_zero(link, missing)
    following = e.emit(ops.SELECT, [e.word(0), link, e.equals(link, _LAST)], 0, I64)
    first = e.get(record, layout.STORE_SUSPECTS)
    elsewhere = e.new()
    e.split(e.emit(ops.I64_NE, [first, cell]), elsewhere)
    e.put(following, record, layout.STORE_SUSPECTS)
    e.jump(end)
    e.at(elsewhere)
    e.unless_zero(first, missing)
    loop.loop = True
    e.jump(loop, [first])
    e.at(loop)
    one = e.func.new_param(loop, I64)
    behind = e.get(one, layout.EXTERN_SUSPECT)
    other, more = e.new(), e.new()
    e.brif(e.emit(ops.I64_EQ, [behind, cell]), found, other)
    e.at(other)
    e.brif(e.equals(behind, _LAST), missing, more)
    e.at(more)
    e.jump(loop, [behind])
    e.at(found)
    e.put(link, one, layout.EXTERN_SUSPECT)
    e.jump(end)
    e.at(end)
    e.put(e.word(0), cell, layout.EXTERN_SUSPECT)


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
