"""Floor 4: sweeping: free cells are found block by block when they are needed.

In: mark bits of a collection. Out: runs of free cells in a context, from which compiled code takes them.

Theory of operation. After a collection each block of cells that is not full is on its class's list of those with free cells. What
needs a cell sweeps the first of them as far as the next run of unmarked cells: their first words become 0, and the run is the
context's. Before the next collection what has been left is swept, so that dead objects do not stay: what they referred to may be
something else by then.
"""

from __future__ import annotations

from typing import Final

from figwasp import layout
from figwasp.ir import ops
from figwasp.ir.func import Func, Value
from figwasp.runtime.stubs.heap.heapstub import HeapStub, Loop

POISON: Final = 0xDD
"""Byte that free cells are filled with when collections are tested: what code still finds there is no valid reference."""


def sweep_run() -> Func:
    """Build (entry, place) -> 1: the next run of free cells of a block is noted at a place as CELLS_*; 0: there is none."""
    e = HeapStub("heap.sweep_run", 2)
    entry, place = e.params
    size = e.half(entry, layout.BLOCK_CELL)
    start = e.start_of(entry)
    offset = e.offset(start)
    end = e.half(entry, layout.BLOCK_END)
    full, found, open_ = e.new(), e.new(), e.new()
    stress = e.get(e.get(entry, layout.BLOCK_HEAP), layout.HEAP_STRESS)
    loop = Loop(e, e.half(entry, layout.BLOCK_CURSOR))
    at = loop.values[0]
    e.split(e.emit(ops.I64_GE_U, [at, end]), full)
    free = e.new()
    e.split(e.emit(ops.I32_EQZ, [e.is_marked(e.add(offset, at))]), free)
    loop.again(e.add(at, size))
    e.at(free)
    run = Loop(e, at)
    behind = run.values[0]
    e.put(e.word(0), e.add(start, behind), 0)
    swept = e.new()
    e.unless_zero(stress, swept)
    e.c("memset", [e.add(e.add(start, behind), 8), e.word(POISON), e.sub(size, 8)])
    e.jump(swept)
    e.at(swept)
    following = e.add(behind, size)
    e.split(e.emit(ops.I64_GE_U, [following, end]), found)
    e.split(e.is_marked(e.add(offset, following)), open_)
    run.again(following)
    e.at(open_)
    e.jump(found)
    e.at(found)
    e.put_half(following, entry, layout.BLOCK_CURSOR)
    e.put(e.add(start, at), place, layout.CELLS_LOW)
    e.put(e.add(start, following), place, layout.CELLS_END)
    e.ret([e.word(1)])
    e.at(full)
    e.put_half(end, entry, layout.BLOCK_CURSOR)
    e.done()
    return e.func


def open_block() -> Func:
    """Build (heap, class) -> 1: a block that held nothing is the first with free cells of a class; 0: there is no such block."""
    e = HeapStub("heap.open_block", 2)
    heap, number = e.params
    none, clean = e.new(), e.new()
    entry = e.get(heap, layout.HEAP_FREE)
    e.if_zero(entry, none)
    e.put(e.get(entry, layout.BLOCK_NEXT), heap, layout.HEAP_FREE)
    start = e.start_of(entry)
    dirty = e.new()
    e.brif(e.equals(e.get(entry, layout.BLOCK_CLEAN), 0), dirty, clean)
    e.at(dirty)
    e.c("memset", [start, e.word(0), e.word(layout.BLOCK_BYTES)])
    e.jump(clean)
    e.at(clean)
    e.put(e.word(0), entry, layout.BLOCK_CLEAN)
    e.c("memset", [e.marks_of(e.offset(start)), e.word(0), e.word(layout.BLOCK_BYTES >> 6)])
    row = e.add(e.left(number, 4), e.symbol("heap.classes"))
    e.put(e.get(row, 0), entry, layout.BLOCK_CELL)  # and BLOCK_INVERSE
    e.put(e.half(row, 8), entry, layout.BLOCK_END)  # and a cursor of 0
    lists = class_lists(e, heap, number)
    e.put(e.get(lists, layout.HEAP_PARTIAL), entry, layout.BLOCK_NEXT)
    e.put(entry, lists, layout.HEAP_PARTIAL)
    e.put(e.add(e.get(heap, layout.HEAP_USED), layout.BLOCK_BYTES), heap, layout.HEAP_USED)
    e.ret([e.word(1)])
    e.at(none)
    e.done()
    return e.func


def class_lists(e: HeapStub, heap: Value, number: Value) -> Value:
    """The address of the lists of blocks of a class."""
    return e.add(e.add(heap, e.left(number, 4)), layout.HEAP_CLASSES)


def finish_sweep() -> Func:
    """Build (record) -> 0: no dead object is left, no mark bit is set, no context has free cells, and all blocks are full ones."""
    e = HeapStub("heap.finish_sweep", 1)
    record = e.params[0]
    heap = e.get(record, layout.STORE_HEAP)
    _take_cells_back(e, record)
    ignored = e.emit(ops.FRAME_AREA, [], layout.CELLS_RECORD_SIZE)
    loop = Loop(e, e.word(0))
    number = loop.values[0]
    done = e.new()
    e.split(e.equals(number, len(layout.CELL_SIZES)), done)
    lists = class_lists(e, heap, number)
    full = _sweep_rest(e, lists, ignored)
    e.put(full, lists, layout.HEAP_FULL)
    e.put(e.word(0), lists, layout.HEAP_PARTIAL)
    _clear_marks(e, full)
    loop.again(e.add(number, 1))
    e.at(done)
    large = Loop(e, e.get(heap, layout.HEAP_LARGE))
    entry = large.values[0]
    end = e.new()
    e.if_zero(entry, end)
    offset = e.offset(e.get(entry, layout.BLOCK_OBJECT))
    e.put(e.word(0), e.marks_of(offset), 0)
    large.again(e.get(entry, layout.BLOCK_NEXT))
    e.at(end)
    e.done()
    return e.func


def _take_cells_back(e: HeapStub, record: Value) -> None:
    """Leave the contexts of a store without free cells: their first words are 0 already."""
    first = e.get(e.symbol("static.contexts"), 0)
    beyond = e.add(first, e.emit(ops.I64_MUL, [e.get(e.symbol("static.contexts_used"), 0), e.word(layout.CTX_SIZE)]))
    loop = Loop(e, first)
    context = loop.values[0]
    walked, other = e.new(), e.new()
    e.split(e.emit(ops.I64_GE_U, [context, beyond]), walked)
    e.when(e.same(e.get(context, layout.CTX_STORE), record), other)
    for number in range(len(layout.CELL_SIZES)):
        place = layout.CTX_CELLS + layout.CELLS_RECORD_SIZE * number
        e.put(e.word(0), context, place + layout.CELLS_END)
        e.put(e.word(layout.NO_CELLS), context, place + layout.CELLS_LOW)
    e.jump(other)
    e.at(other)
    loop.again(e.add(context, layout.CTX_SIZE))
    e.at(walked)


def _sweep_rest(e: HeapStub, lists: Value, ignored: Value) -> Value:
    """Sweep the blocks of a class that have not been; return the list of all of them."""
    loop = Loop(e, e.get(lists, layout.HEAP_PARTIAL), e.get(lists, layout.HEAP_FULL))
    entry, full = loop.values
    done = e.new()
    e.if_zero(entry, done)
    runs = Loop(e)
    swept = e.new()
    e.if_zero(e.c("stub.heap.sweep_run", [entry, ignored]), swept)
    runs.again()
    e.at(swept)
    following = e.get(entry, layout.BLOCK_NEXT)
    e.put(full, entry, layout.BLOCK_NEXT)
    loop.again(following, entry)
    e.at(done)
    return full


def _clear_marks(e: HeapStub, first: Value) -> None:
    """Clear the mark bits of the blocks in a list."""
    loop = Loop(e, first)
    entry = loop.values[0]
    done = e.new()
    e.if_zero(entry, done)
    offset = e.offset(e.start_of(entry))
    e.c("memset", [e.marks_of(offset), e.word(0), e.word(layout.BLOCK_BYTES >> 6)])
    loop.again(e.get(entry, layout.BLOCK_NEXT))
    e.at(done)


def sort_blocks() -> Func:
    """Build (heap) -> bytes of all marked objects: blocks go to the lists where they belong by what is marked in them."""
    e = HeapStub("heap.sort_blocks", 1)
    heap = e.params[0]
    loop = Loop(e, e.word(0), e.word(0))
    number, live = loop.values
    small = e.new()
    e.split(e.equals(number, len(layout.CELL_SIZES)), small)
    lists = class_lists(e, heap, number)
    first = e.get(lists, layout.HEAP_FULL)
    e.put(e.word(0), lists, layout.HEAP_FULL)
    loop.again(e.add(number, 1), _sort_class(e, heap, lists, first, live))
    e.at(small)
    kept = _sort_large(e, heap)
    e.ret([e.add(live, kept)])
    return e.func


def _sort_class(e: HeapStub, heap: Value, lists: Value, first: Value, live: Value) -> Value:
    """Sort the blocks of a class; return the bytes of marked objects with those counted before."""
    loop = Loop(e, first, live)
    entry, live = loop.values
    done, empty, full, counted = e.new(), e.new(), e.new(), e.new()
    e.if_zero(entry, done)
    following = e.get(entry, layout.BLOCK_NEXT)
    bits = e.marks_of(e.offset(e.start_of(entry)))
    total = e.word(0)
    words = Loop(e, e.word(0), total)
    at, total = words.values
    e.split(e.equals(at, layout.BLOCK_BYTES >> 6), counted)
    found = e.emit(ops.I64_POPCNT, [e.get(e.add(bits, at), 0)])
    words.again(e.add(at, 8), e.add(total, found))
    e.at(counted)
    size = e.half(entry, layout.BLOCK_CELL)
    present = e.emit(ops.I64_MUL, [total, size])
    e.put_half(e.word(0), entry, layout.BLOCK_CURSOR)
    more = e.add(live, present)
    e.if_zero(total, empty)
    e.split(e.same(present, e.half(entry, layout.BLOCK_END)), full)
    e.put(e.get(lists, layout.HEAP_PARTIAL), entry, layout.BLOCK_NEXT)
    e.put(entry, lists, layout.HEAP_PARTIAL)
    loop.again(following, more)
    e.at(full)
    e.put(e.get(lists, layout.HEAP_FULL), entry, layout.BLOCK_NEXT)
    e.put(entry, lists, layout.HEAP_FULL)
    loop.again(following, more)
    e.at(empty)
    e.put(e.word(0), entry, layout.BLOCK_CELL)  # and its inverse: no word points into it
    e.put(e.get(heap, layout.HEAP_FREE), entry, layout.BLOCK_NEXT)
    e.put(entry, heap, layout.HEAP_FREE)
    e.put(e.sub(e.get(heap, layout.HEAP_USED), layout.BLOCK_BYTES), heap, layout.HEAP_USED)
    loop.again(following, more)
    e.at(done)
    return live


def _sort_large(e: HeapStub, heap: Value) -> Value:
    """Sort the large objects; return the bytes of those that are marked."""
    first = e.get(heap, layout.HEAP_LARGE)
    e.put(e.word(0), heap, layout.HEAP_LARGE)
    loop = Loop(e, first, e.word(0))
    entry, live = loop.values
    done, dead = e.new(), e.new()
    e.if_zero(entry, done)
    following = e.get(entry, layout.BLOCK_NEXT)
    thing = e.get(entry, layout.BLOCK_OBJECT)
    size = e.get(entry, layout.BLOCK_LENGTH)
    e.split(e.emit(ops.I32_EQZ, [e.is_marked(e.offset(thing))]), dead)
    e.put(e.get(heap, layout.HEAP_LARGE), entry, layout.BLOCK_NEXT)
    e.put(entry, heap, layout.HEAP_LARGE)
    loop.again(following, e.add(live, size))
    e.at(dead)
    e.put_half(e.word(0), thing, layout.OBJECT_TYPE)  # no word points into it
    e.put(e.get(heap, layout.HEAP_DEAD), entry, layout.BLOCK_NEXT)
    e.put(entry, heap, layout.HEAP_DEAD)
    e.put(e.sub(e.get(heap, layout.HEAP_USED), size), heap, layout.HEAP_USED)
    loop.again(following, live)
    e.at(done)
    return live
