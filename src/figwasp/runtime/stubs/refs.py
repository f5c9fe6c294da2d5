"""Floor 4: Python -> wasm for function types with externrefs: `stubs.enter.enter` and cells for the objects.

Theory of operation. An object that comes in needs a cell (see `externs`). The stub takes one from the store's list of free cells
and gives it back when the call has ended, unless its state says that a table, a global or a segment has come to hold it: from
then on it is the store's. When the list is empty the record does the call, and the store fills the list. All of it happens with
the GIL held and nothing in between, so neither another thread nor a finalizer finds the list half changed.
"""

from __future__ import annotations

from figwasp import layout
from figwasp.codegen.abi import stack_size
from figwasp.ir import ops
from figwasp.ir.func import CONV_C, Block, Func, Value
from figwasp.ir.ops import I64
from figwasp.ir.types import buffer_layout
from figwasp.runtime.platform import interpreter
from figwasp.runtime.stubs.builder import Stub
from figwasp.runtime.stubs.builtins.cells import suspect
from figwasp.runtime.stubs.enter import (
    box_results,
    check_count,
    check_native_stack,
    context_of,
    cross,
    leave_to_record,
    set_exception,
)
from figwasp.runtime.stubs.interface import FUNC_FUNCREF, FUNC_RECORD, FUNC_STORE, REF, ir_kinds


def enter(params: bytes, results: bytes) -> Func:
    """Build the vectorcall function of a type of numbers and externrefs: (callable, args, nargsf, kwnames) -> new reference or 0.

    Args:
        params, results: kinds.
    """
    e = Stub("enter.refs", bytes([I64] * 4), bytes([I64]), CONV_C)
    callable_, args = e.params[:2]
    unusual = e.new()
    failed = e.new()
    check_count(e, len(params))
    numbers = [i for i, kind in enumerate(params) if kind != REF]
    kinds = bytes(params[i] for i in numbers)
    unboxed = dict(zip(numbers, e.unbox_all(kinds, [e.get(args, 8 * i) for i in numbers], failed), strict=True))
    context = context_of(e, callable_)
    thread = e.thread_state()
    e.split(e.emit(ops.I64_NE, [e.get(context, layout.CTX_THREAD_STATE), thread]), unusual)
    check_native_stack(e, context, unusual)
    for i, kind in enumerate(params):
        if kind == REF:
            _unless_handle(e, e.get(args, 8 * i), unusual)
    cells = _LentCells(e, callable_, params.count(REF))
    empty = e.new()
    values = [unboxed[i] if i in unboxed else cells.take(e.get(args, 8 * i), empty) for i in range(len(params))]
    outcome = cross(e, ir_kinds(params), ir_kinds(results), e.get(callable_, FUNC_FUNCREF), context, values)
    odd = e.new()
    e.split(e.emit(ops.I64_NE, [e.get(context, layout.CTX_STATUS), e.word(0)]), odd)
    result = _box(e, context, results, outcome)
    e.add_depth(context, -1)
    cells.give_back()
    e.ret([result])
    e.at(odd)
    _end_oddly(e, context, results, outcome, cells)
    e.at(empty)
    cells.give_back()
    e.jump(unusual)
    leave_to_record(e, len(params), failed, unusual)
    return e.func


def _unless_handle(e: Stub, thing: Value, handle: Block) -> None:
    """Go on in a new block unless an object is a handle to one of the heap, which is no object of the host."""
    type_ = e.get(thing, interpreter.OB_TYPE)
    for place in ("static.struct_type", "static.array_type"):
        e.split(e.same(type_, e.get(e.symbol(place), 0)), handle)


def _end_oddly(e: Stub, context: Value, results: bytes, outcome: list[Value], cells: _LentCells) -> None:
    """End a call that needs more than its results: take the GIL back, raise the trap, clean up."""
    e.take_gil(context)
    trap = e.get32(context, layout.CTX_TRAP_CODE)
    trapped = e.new()
    e.split(trap, trapped)
    result = _box(e, context, results, outcome)  # before the cells of its references are swept
    e.add_depth(context, -1)
    cells.give_back()
    e.ret([e.c("stub.leave", [context, result])])
    e.at(trapped)
    e.add_depth(context, -1)
    # The objects stay until the frames have been read: dropping them may run Python code.
    set_exception(e, context, trap)
    cells.give_back_in_error()
    e.ret([e.word(0)])


def _box(e: Stub, context: Value, kinds: bytes, outcome: list[Value]) -> Value:
    """Turn results into what the call returns: by the record when there is an object of the heap, which stays on the wasm stack.

    The call still counts as running: no other one uses that stack.
    """
    if REF not in kinds:
        return box_results(e, kinds, outcome)
    objects, done = e.new(), e.new()
    e.split_objects(kinds, outcome, objects)
    e.jump(done, [box_results(e, kinds, outcome)])
    e.at(objects)
    size = stack_size(buffer_layout(ir_kinds(kinds))[1])
    top = e.get(context, layout.CTX_WASM_SP)
    place = e.emit(ops.I64_SUB, [top, e.word(size)])
    e.store_values(outcome, place)
    e.put(place, context, layout.CTX_WASM_SP)
    record = e.get(e.params[0], FUNC_RECORD)
    alive = e.emit(ops.I64_NE, [record, e.word(0)])
    hook = e.emit(ops.SELECT, [e.symbol("callback.box_results"), e.symbol("callback.refuse_cleared"), alive], 0, I64)
    answer = e.call_with_ints(hook, [place], e.emit(ops.SELECT, [record, e.symbol("object.None"), alive], 0, I64))
    e.put(top, context, layout.CTX_WASM_SP)
    e.jump(done, [answer])
    e.at(done)
    return e.func.new_param(done, I64)


class _LentCells:
    """The cells that a call takes: their addresses are kept in the stub's frame, 0 for none."""

    __slots__ = ("_area", "_callable", "_count", "_emitter", "_taken")

    def __init__(self, e: Stub, callable_: Value, count: int) -> None:
        self._emitter = e
        self._callable = callable_
        self._count = count
        self._taken = 0
        self._area = e.emit(ops.FRAME_AREA, [], 8 * max(count, 1))
        for k in range(count):
            e.put(e.word(0), self._area, 8 * k)

    def _store(self) -> Value:
        """The address of the store's record, which is another when stores have been merged."""
        e = self._emitter
        return e.get(e.get(self._callable, FUNC_STORE), 0)

    def take(self, thing: Value, empty: Block) -> Value:
        """Put an object into a cell and return the reference; null for None; go to `empty` when there is no free cell."""
        e = self._emitter
        done = e.new()
        some = e.new()
        null = e.new()
        e.brif(e.same(thing, e.symbol("object.None")), null, some)
        e.at(null)
        e.jump(done, [e.word(0)])
        e.at(some)
        store = self._store()
        cell = e.get(store, layout.STORE_FREE_EXTERN)
        e.split(e.equals(cell, 0), empty)
        e.put(e.get(cell, layout.EXTERN_STATE), store, layout.STORE_FREE_EXTERN)
        e.put(e.word(0), cell, layout.EXTERN_STATE)
        e.put(thing, cell, 0)
        e.put(cell, self._area, 8 * self._taken)
        self._taken += 1
        e.incref(thing)
        e.jump(done, [e.emit(ops.I64_ADD, [cell, e.word(layout.HOST_TAG)])])
        e.at(done)
        return e.func.new_param(done, I64)

    def give_back(self) -> None:
        """Free the cells that nothing has come to hold."""
        e = self._emitter
        for k in range(self._count):
            kept = e.new()
            cell = e.get(self._area, 8 * k)
            e.unless_zero(cell, kept)
            e.when(e.equals(e.get(cell, layout.EXTERN_STATE), 0), kept)
            thing = e.get(cell, 0)
            e.when(e.emit(ops.I64_NE, [thing, e.word(0)]), kept)  # the collector may have cleared it
            store = self._store()
            alone, free = e.new(), e.new()
            e.brif(e.equals(e.get(store, layout.STORE_HEAP), 0), free, alone)
            e.at(alone)  # an object on the heap may refer to it
            suspect(e, cell, store)
            e.jump(kept)
            e.at(free)
            e.put(e.word(0), cell, 0)
            e.put(e.get(store, layout.STORE_FREE_EXTERN), cell, layout.EXTERN_STATE)
            e.put(cell, store, layout.STORE_FREE_EXTERN)
            e.decref(thing)
            e.jump(kept)
            e.at(kept)

    def give_back_in_error(self) -> None:
        """Free the same cells while an exception is set, which stays set."""
        e = self._emitter
        saved = e.emit(ops.FRAME_AREA, [], 24)
        e.c("PyErr_Fetch", [saved, *[e.emit(ops.I64_ADD, [saved, e.word(offset)]) for offset in (8, 16)]], ops.VOID)
        self.give_back()
        e.c("PyErr_Restore", [e.get(saved, offset) for offset in (0, 8, 16)], ops.VOID)
