"""Floor 4: collections, and the slow paths of allocation, on which they happen.

In: a context that has no free cells left. Out: an object's place, or the reason why there is none.

Theory of operation. A heap grows until its goal, then there is a collection, which sets the next goal by what it has found alive. A
collection goes on without Python; it looks at each tick whether the call has to end, and for an interrupt that a signal handler is
to hear of it is given up and begun again later: its marks mean nothing until it has come to its end.
"""

from __future__ import annotations

from typing import Final

from figwasp import layout
from figwasp.errors import TRAP_HOST, TRAP_INTERRUPTED, TRAP_OUT_OF_HEAP, TRAP_TIMEOUT
from figwasp.ir import ops
from figwasp.ir.func import Block, Func, Value
from figwasp.ir.ops import I64
from figwasp.runtime.stubs.heap.heapstub import HeapStub, Loop
from figwasp.runtime.stubs.heap.sweep import class_lists
from figwasp.runtime.stubs.host import note_place
from figwasp.runtime.stubs.ticks import TICKS_BETWEEN_CHECKS, check_deadline, check_interrupts

SIGNALLED: Final = 1 << 16
"""Answer of a collection beside trap codes: a signal handler is to run first."""
_LEAST_GROWTH: Final = 8 << 20  # bytes by which a heap may grow between two collections at least


def tick() -> Func:
    """Build (context) -> 0, or why a collection has to end: a trap code, or SIGNALLED."""
    e = HeapStub("heap.tick", 1)
    context = e.params[0]
    e.put(e.get(context, layout.CTX_REAL_LIMIT), context, layout.CTX_STACK_LIMIT)
    ticks = e.add(e.get(context, layout.CTX_TICKS), 1)
    e.put(ticks, context, layout.CTX_TICKS)
    interrupted, expired, calm = e.new(), e.new(), e.new()
    check_interrupts(e, context, interrupted)
    check_deadline(e, expired)
    due = e.equals(e.emit(ops.I64_REM_U, [ticks, e.word(TICKS_BETWEEN_CHECKS)]), 0)
    main = e.emit(ops.I64_NE, [e.get(context, layout.CTX_MAIN_THREAD), e.word(0)])
    e.when(e.emit(ops.I32_AND, [due, main]), calm)
    e.take_gil(context)
    e.when(e.wrap(e.c("PyOS_InterruptOccurred", [])), calm)
    e.c("PyErr_SetInterrupt", [], ops.VOID)  # which the line above has cleared
    e.ret([e.word(SIGNALLED)])
    e.at(calm)
    e.done()
    for block, code in ((interrupted, TRAP_INTERRUPTED), (expired, TRAP_TIMEOUT)):
        e.at(block)
        e.put(e.word(-1), context, layout.CTX_STACK_LIMIT)
        e.ret([e.word(code)])
    return e.func


def collect() -> Func:
    """Build (context) -> 0 after a collection in the context's store, or why it has been given up (`tick`)."""
    e = HeapStub("heap.collect", 1)
    context = e.params[0]
    record = e.get(context, layout.CTX_STORE)
    heap = e.get(record, layout.STORE_HEAP)
    stopped = e.new()
    e.take_gil(context)  # roots and cells go with objects of Python, which any thread may let go of
    e.c("stub.heap.finish_sweep", [record])
    e.c("stub.cells.forget_marks", [record])
    marks = e.get(heap, layout.HEAP_MARKS)
    e.put(e.c("stub.heap.mark_roots", [record, marks]), heap, layout.HEAP_MARKED)
    status = e.c("stub.heap.drain", [context, heap])
    e.split(e.emit(ops.I64_NE, [status, e.word(0)]), stopped)
    e.c("stub.cells.partition", [record])
    live = e.c("stub.heap.sort_blocks", [heap])
    e.put(live, heap, layout.HEAP_LIVE)
    e.put(e.add(e.get(heap, layout.HEAP_COLLECTIONS), 1), heap, layout.HEAP_COLLECTIONS)
    _set_goal(e, heap, live)
    _ask_for_cleanup(e, record)
    e.done()
    e.at(stopped)
    e.ret([status])
    return e.func


def look_for_cells() -> Func:
    """Build (store record) -> 0: externref cells that nothing refers to are dying, in a store that has no heap."""
    e = HeapStub("heap.look_for_cells", 1)
    record = e.params[0]
    e.c("stub.cells.forget_marks", [record])
    e.c("stub.heap.mark_roots", [record, e.word(0)])
    e.c("stub.cells.partition", [record])
    e.done()
    return e.func


def _set_goal(e: HeapStub, heap: Value, live: Value) -> None:
    """Let the heap grow by three quarters of what is alive before the next collection, but not by less than some megabytes."""
    wanted = e.sub(live, e.right(live, 2))
    least = e.word(_LEAST_GROWTH)
    growth = e.emit(ops.SELECT, [wanted, least, e.below(least, wanted)], 0, I64)
    goal = e.add(e.get(heap, layout.HEAP_USED), growth)
    limit = e.get(heap, layout.HEAP_LIMIT)
    e.put(e.emit(ops.SELECT, [goal, limit, e.below(goal, limit)], 0, I64), heap, layout.HEAP_GOAL)


def _ask_for_cleanup(e: HeapStub, record: Value) -> None:
    """Have Python take back what is dead there, when the outermost entry leaves at the latest."""
    none, some = e.new(), e.new()
    e.split(e.emit(ops.I64_NE, [e.get(record, layout.STORE_DYING), e.word(0)]), some)
    e.jump(none)
    e.at(some)
    e.put8(layout.FLAG_CLEANUP >> 8, e.get(record, layout.STORE_CONTEXT), layout.CTX_FLAGS + 1)
    e.jump(none)
    e.at(none)


class _SlowPath(HeapStub):
    """A slow path of allocation under construction: it may begin anew, after a collection or with more memory.

    Attributes:
        context, number: parameters.
        heap: of the context's store.
        tried: how often there has been a collection (i64).
    """

    __slots__ = ("_loop", "context", "heap", "number", "tried")

    def __init__(self, name: str) -> None:
        super().__init__(name, 3)
        self.context, _, self.number = self.params
        self._loop = Loop(self, self.word(0))
        self.tried = self._loop.values[0]
        self.heap = self.get(self.get(self.context, layout.CTX_STORE), layout.STORE_HEAP)

    def again(self, tried: Value) -> None:
        """Begin anew."""
        self._loop.again(tried)

    def collect(self, at: Block) -> None:
        """At a block: collect and begin anew, or fail."""
        signalled, failed, good = self.new(), self.new(), self.new()
        self.at(at)
        status = self.c("stub.heap.collect", [self.context])
        self.if_zero(status, good)
        self.split(self.equals(status, SIGNALLED), signalled)
        self.store(ops.I32_STORE, self.wrap(status), self.context, layout.CTX_TRAP_CODE)
        self._leave()
        self.at(signalled)
        self.take_gil(self.context)
        handled = self.new()
        self.split(self.wrap(self.c("PyErr_CheckSignals", [])), failed)
        self.jump(handled)
        self.at(handled)
        self.again(self.tried)
        self.at(failed)
        self.fail()
        self.at(good)
        self.again(self.add(self.tried, 1))

    def fail(self) -> None:
        """Return 0: a Python exception is set."""
        self.put32(TRAP_HOST, self.context, layout.CTX_TRAP_CODE)
        self._leave()

    def _leave(self) -> None:
        """Return 0, with the place where wasm is: nowhere when Python asks for an object before the context has a stack."""
        nowhere = self.new()
        pointer = self.get(self.context, layout.CTX_WASM_SP)
        self.unless_zero(pointer, nowhere)
        note_place(self, self.context, pointer)
        self.jump(nowhere)
        self.at(nowhere)
        self.ret([self.word(0)])

    def ask_python(self, size: Value, collect: Block) -> Value:
        """Ask for more memory, and return the answer; collect where there is none, if that may help, else trap."""
        broken, refused, exhausted = self.new(), self.new(), self.new()
        self.take_gil(self.context)
        answer = self.call_with_ints(self.symbol("callback.grow_heap"), [self.context, size])
        self.if_zero(answer, broken)
        got = self.c("PyLong_AsUnsignedLongLongMask", [answer])
        self.c("Py_DecRef", [answer], ops.VOID)
        self.if_zero(got, refused)
        rest = self.block
        self.at(broken)
        self.fail()
        self.at(refused)
        self.if_zero(self.heap, exhausted)
        self.split(self.equals(self.tried, 0), collect)
        self.jump(exhausted)
        self.at(exhausted)
        self.put32(TRAP_OUT_OF_HEAP, self.context, layout.CTX_TRAP_CODE)
        self._leave()
        self.block = rest
        return got

    def must_collect(self, size: Value, collect: Block) -> None:
        """Go to `collect` when so many bytes more would be over the goal, or always under test, unless that has been done."""
        goal = self.get(self.heap, layout.HEAP_GOAL)
        over = self.below(goal, self.add(self.get(self.heap, layout.HEAP_USED), size))
        stress = self.emit(ops.I64_NE, [self.get(self.heap, layout.HEAP_STRESS), self.word(0)])
        first = self.equals(self.tried, 0)
        self.split(self.emit(ops.I32_AND, [first, self.emit(ops.I32_OR, [over, stress])]), collect)


def allocate() -> Func:
    """Build (context, stack pointer, class) -> the address of a cell, or 0: wasm is to be left, the context says why."""
    e = _SlowPath("heap.allocate")
    none, collect, found, fresh, swept = e.new(), e.new(), e.new(), e.new(), e.new()
    e.if_zero(e.heap, none)
    stressed = e.new()
    stress = e.emit(ops.I64_NE, [e.get(e.heap, layout.HEAP_STRESS), e.word(0)])
    e.split(e.emit(ops.I32_AND, [stress, e.equals(e.tried, 0)]), collect)
    lists = class_lists(e, e.heap, e.number)
    cells = e.add(e.add(e.context, e.left(e.number, 4)), layout.CTX_CELLS)
    entry = e.get(lists, layout.HEAP_PARTIAL)
    e.if_zero(entry, fresh)
    e.split(e.emit(ops.I64_NE, [e.c("stub.heap.sweep_run", [entry, cells]), e.word(0)]), found)
    e.put(e.get(entry, layout.BLOCK_NEXT), lists, layout.HEAP_PARTIAL)
    e.put(e.get(lists, layout.HEAP_FULL), entry, layout.BLOCK_NEXT)
    e.put(entry, lists, layout.HEAP_FULL)
    e.again(e.tried)
    e.at(fresh)
    e.must_collect(e.word(layout.BLOCK_BYTES), collect)
    e.if_zero(e.c("stub.heap.open_block", [e.heap, e.number]), none)
    e.jump(swept)
    e.at(swept)
    e.again(e.tried)
    e.at(none)
    e.ask_python(e.word(0), collect)
    e.again(e.tried)
    e.collect(collect)
    e.at(found)
    _hand_out(e, entry, cells, stressed)
    return e.func


def _hand_out(e: _SlowPath, entry: Value, cells: Value, stressed: Block) -> None:
    """Return the last cell of a run; in the test of collections the first, and the context gets none."""
    e.split(e.emit(ops.I64_NE, [e.get(e.heap, layout.HEAP_STRESS), e.word(0)]), stressed)
    size = e.half(entry, layout.BLOCK_CELL)
    last = e.sub(e.get(cells, layout.CELLS_END), size)
    e.put(last, cells, layout.CELLS_END)
    e.ret([last])
    e.at(stressed)
    first = e.get(cells, layout.CELLS_LOW)
    e.put(e.word(0), cells, layout.CELLS_END)
    e.put(e.word(layout.NO_CELLS), cells, layout.CELLS_LOW)
    inside = e.sub(first, e.start_of(entry))
    e.put_half(e.add(inside, e.half(entry, layout.BLOCK_CELL)), entry, layout.BLOCK_CURSOR)
    e.ret([first])


def new_object() -> Func:
    """Build (context, place, bytes, header) -> 1: a place refers to a new object of zeros; 0: there is none, as `allocate` says."""
    e = HeapStub("heap.new_object", 4)
    context, place, size, header = e.params
    none, big, made = e.new(), e.new(), e.new()
    e.split(e.below(e.word(layout.CELL_SIZES[-1]), size), big)
    number = e.load(ops.I64_LOAD8_U, e.add(e.right(size, 3), e.symbol("heap.class_of")), 0)
    e.jump(made, [e.c("stub.heap.allocate", [context, e.word(0), number])])
    e.at(big)
    e.jump(made, [e.c("stub.heap.allocate_large", [context, e.word(0), size])])
    e.at(made)
    thing = e.func.new_param(made, I64)
    e.if_zero(thing, none)
    e.c("memset", [e.add(thing, layout.OBJECT_FIELDS), e.word(0), e.sub(size, layout.OBJECT_FIELDS)])
    e.put(header, thing, layout.OBJECT_TYPE)
    e.put(thing, place, 0)
    e.ret([e.word(1)])
    e.at(none)
    e.done()
    return e.func


def allocate_large() -> Func:
    """Build (context, stack pointer, bytes) -> the address of zeros for a large object, or 0 as `allocate` does."""
    e = _SlowPath("heap.allocate_large")
    none, collect = e.new(), e.new()
    size = e.number
    e.if_zero(e.heap, none)
    e.must_collect(size, collect)
    e.jump(none)
    e.at(none)
    address = e.ask_python(size, collect)
    fresh = e.new()
    e.split(e.equals(address, 1), fresh)  # there is a heap now
    e.c("stub.heap.own_large", [e.heap, address])
    e.ret([address])
    e.at(fresh)
    e.again(e.tried)
    e.collect(collect)
    return e.func

