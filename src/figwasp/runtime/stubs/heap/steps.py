"""Floor 4: changes of heaps in one step: no thread that needs the GIL and no exception of Python comes between.

Out: IR of functions in the C convention, called with the GIL.
"""

from __future__ import annotations

from figwasp import layout
from figwasp.ir import ops
from figwasp.ir.func import Func, Value
from figwasp.runtime.stubs.heap.heapstub import HeapStub, Loop
from figwasp.runtime.stubs.heap.sweep import class_lists

# Blocks


def add_blocks() -> Func:
    """Build (heap, entry of the first, of the last, bytes) -> 0: a heap has more free blocks, which are linked."""
    e = HeapStub("heap.add_blocks", 4)
    heap, first, last, size = e.params
    e.put(e.get(heap, layout.HEAP_FREE), last, layout.BLOCK_NEXT)
    e.put(first, heap, layout.HEAP_FREE)
    e.put(e.add(e.get(heap, layout.HEAP_BYTES), size), heap, layout.HEAP_BYTES)
    e.done()
    return e.func


def take_dead() -> Func:
    """Build (heap) -> the entry of the first block of a large object that is to be taken back, and no longer the heap's; or 0."""
    e = HeapStub("heap.take_dead", 1)
    heap = e.params[0]
    none = e.new()
    entry = e.get(heap, layout.HEAP_DEAD)
    e.unless_zero(entry, none)
    e.put(e.get(entry, layout.BLOCK_NEXT), heap, layout.HEAP_DEAD)
    size = e.get(entry, layout.BLOCK_LENGTH)
    e.put(e.sub(e.get(heap, layout.HEAP_BYTES), size), heap, layout.HEAP_BYTES)
    e.jump(none)
    e.at(none)
    e.ret([entry])
    return e.func


def take_free() -> Func:
    """Build (heap, entry of the first, end) -> 1: blocks in a row are the heap's no more; 0: not all of them are free."""
    e = HeapStub("heap.take_free", 3)
    heap, first, end = e.params
    wanted = e.right(e.sub(end, first), layout.BLOCK_SIZE.bit_length() - 1)
    counting = Loop(e, e.get(heap, layout.HEAP_FREE), e.word(0))
    entry, found = counting.values
    counted, used = e.new(), e.new()
    e.if_zero(entry, counted)
    counting.again(e.get(entry, layout.BLOCK_NEXT), e.add(found, _lies_between(e, entry, first, end)))
    e.at(counted)
    e.split(e.emit(ops.I64_NE, [found, wanted]), used)
    loop = Loop(e, e.add(heap, layout.HEAP_FREE))
    link = loop.values[0]
    one = e.get(link, 0)
    done, outside = e.new(), e.new()
    e.if_zero(one, done)
    e.split(e.equals(_lies_between(e, one, first, end), 0), outside)
    e.put(e.get(one, layout.BLOCK_NEXT), link, 0)
    loop.again(link)
    e.at(outside)
    loop.again(e.add(one, layout.BLOCK_NEXT))
    e.at(done)
    size = e.left(wanted, layout.BLOCK_BYTES.bit_length() - 1)
    e.put(e.sub(e.get(heap, layout.HEAP_BYTES), size), heap, layout.HEAP_BYTES)
    e.ret([e.word(1)])
    e.at(used)
    e.done()
    return e.func


def _lies_between(e: HeapStub, entry: Value, first: Value, end: Value) -> Value:
    """1 when an entry is among some that follow each other, else 0."""
    return e.flag(e.below(e.sub(entry, first), e.sub(end, first)))


# Stores that are merged


def merge_heaps() -> Func:
    """Build (store record, another one) -> 0: the heap of one is the other's."""
    e = HeapStub("heap.merge", 2)
    source, target = e.params
    none, taken = e.new(), e.new()
    heap = e.get(source, layout.STORE_HEAP)
    other = e.get(target, layout.STORE_HEAP)
    e.unless_zero(heap, none)
    e.put(e.word(0), source, layout.STORE_HEAP)
    e.if_zero(other, taken)
    _merge_blocks(e, heap, other)
    e.jump(none)
    e.at(taken)
    e.put(heap, target, layout.STORE_HEAP)
    e.jump(none)
    e.at(none)
    e.done()
    return e.func


def _merge_blocks(e: HeapStub, heap: Value, other: Value) -> None:
    """Give all blocks of a heap to another one."""
    loop = Loop(e, e.word(0))
    number = loop.values[0]
    done = e.new()
    e.split(e.equals(number, len(layout.CELL_SIZES)), done)
    mine, theirs = class_lists(e, heap, number), class_lists(e, other, number)
    for head in (layout.HEAP_PARTIAL, layout.HEAP_FULL):
        _move_blocks(e, mine, theirs, head, other)
    loop.again(e.add(number, 1))
    e.at(done)
    for head in (layout.HEAP_FREE, layout.HEAP_LARGE, layout.HEAP_DEAD):
        _move_blocks(e, heap, other, head, other)
    for field in (layout.HEAP_BYTES, layout.HEAP_USED, layout.HEAP_GOAL, layout.HEAP_LIMIT, layout.HEAP_LIVE):
        e.put(e.add(e.get(heap, field), e.get(other, field)), other, field)


def _move_blocks(e: HeapStub, source: Value, target: Value, head: int, owner: Value) -> None:
    loop = Loop(e, e.get(source, head))
    entry = loop.values[0]
    done = e.new()
    e.if_zero(entry, done)
    following = e.get(entry, layout.BLOCK_NEXT)
    _own(e, entry, owner)
    e.put(e.get(target, head), entry, layout.BLOCK_NEXT)
    e.put(entry, target, head)
    loop.again(following)
    e.at(done)
    e.put(e.word(0), source, head)


def _own(e: HeapStub, entry: Value, owner: Value) -> None:
    """Note the heap of a block, and of those that follow it in a large object."""
    end = e.add(entry, e.right(e.get(entry, layout.BLOCK_LENGTH), 9))
    loop = Loop(e, entry)
    at = loop.values[0]
    e.put(owner, at, layout.BLOCK_HEAP)
    following = e.add(at, layout.BLOCK_SIZE)
    done = e.new()
    e.split(e.emit(ops.I64_GE_U, [following, end]), done)
    loop.again(following)
    e.at(done)


def own_large() -> Func:
    """Build (heap, address of a run of blocks) -> 0: it is a large object of the heap, so long as its first block says."""
    e = HeapStub("heap.own_large", 2)
    heap, address = e.params
    entry = e.entry(e.offset(address))
    _own(e, entry, heap)
    size = e.get(entry, layout.BLOCK_LENGTH)
    e.put(e.get(heap, layout.HEAP_LARGE), entry, layout.BLOCK_NEXT)
    e.put(entry, heap, layout.HEAP_LARGE)
    for field in (layout.HEAP_BYTES, layout.HEAP_USED):
        e.put(e.add(e.get(heap, field), size), heap, field)
    e.put(e.word(0), e.marks_of(e.offset(address)), 0)
    e.done()
    return e.func
