"""Floor 4: changes of heaps and roots in one step: no thread that needs the GIL and no exception of Python comes between.

Out: IR of functions in the C convention, called with the GIL.
"""

from __future__ import annotations

from figwasp import layout
from figwasp.ir import ops
from figwasp.ir.func import Func, Value
from figwasp.runtime.stubs.heap.heapstub import HeapStub, Loop, Places
from figwasp.runtime.stubs.heap.sweep import class_lists

# Roots


def link_roots(places: Places) -> Func:
    """Build (store record, first, count) -> 0: roots, which follow each other, are roots of a store."""
    e = HeapStub("heap.link_roots", 3, places)
    record, first, count = e.params
    end = e.add(first, e.emit(ops.I64_MUL, [count, e.word(layout.ROOT_SIZE)]))
    loop = Loop(e, first)
    root = loop.values[0]
    done, last = e.new(), e.new()
    e.split(e.same(root, end), done)
    following = e.get(record, layout.STORE_ROOTS)
    e.put(following, root, layout.ROOT_NEXT)
    e.put(e.add(record, layout.STORE_ROOTS), root, layout.ROOT_LINK)
    e.put(root, record, layout.STORE_ROOTS)
    e.unless_zero(following, last)
    e.put(root, following, layout.ROOT_LINK)  # its first word is its link to the next
    e.jump(last)
    e.at(last)
    loop.again(e.add(root, layout.ROOT_SIZE))
    e.at(done)
    e.done()
    return e.func


def unlink_roots(places: Places) -> Func:
    """Build (first, count) -> 0: roots are none any more, if they have been."""
    e = HeapStub("heap.unlink_roots", 2, places)
    first, count = e.params
    end = e.add(first, e.emit(ops.I64_MUL, [count, e.word(layout.ROOT_SIZE)]))
    loop = Loop(e, first)
    root = loop.values[0]
    done, absent, last = e.new(), e.new(), e.new()
    e.split(e.same(root, end), done)
    link = e.get(root, layout.ROOT_LINK)
    e.unless_zero(link, absent)
    following = e.get(root, layout.ROOT_NEXT)
    e.put(following, link, 0)
    e.put(e.word(0), root, layout.ROOT_LINK)
    e.unless_zero(following, last)
    e.put(link, following, layout.ROOT_LINK)
    e.jump(last)
    e.at(last)
    e.jump(absent)
    e.at(absent)
    loop.again(e.add(root, layout.ROOT_SIZE))
    e.at(done)
    e.done()
    return e.func


def copy_root() -> Func:
    """Build (root, place) -> the word at a place, which the one word of a root now is as well."""
    e = HeapStub("heap.copy_root", 2, Places())
    root, place = e.params
    word = e.get(place, 0)
    e.put(word, e.get(root, layout.ROOT_OWN_BASE), 0)
    e.ret([word])
    return e.func


# Blocks


def add_blocks() -> Func:
    """Build (heap, entry of the first, of the last, bytes) -> 0: a heap has more free blocks, which are linked."""
    e = HeapStub("heap.add_blocks", 4, Places())
    heap, first, last, size = e.params
    e.put(e.get(heap, layout.HEAP_FREE), last, layout.BLOCK_NEXT)
    e.put(first, heap, layout.HEAP_FREE)
    e.put(e.add(e.get(heap, layout.HEAP_BYTES), size), heap, layout.HEAP_BYTES)
    e.done()
    return e.func


def take_dead() -> Func:
    """Build (heap) -> the entry of the first block of a large object that is to be taken back, and no longer the heap's; or 0."""
    e = HeapStub("heap.take_dead", 1, Places())
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


# Stores that are merged


def merge_heaps(places: Places) -> Func:
    """Build (store record, another one) -> 0: contexts, roots, cells and heap of one are the other's."""
    e = HeapStub("heap.merge", 2, places)
    source, target = e.params
    _retag_contexts(e, source, target)
    _splice_dying(e, source, target)
    _splice_roots(e, source, target)
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


def _retag_contexts(e: HeapStub, source: Value, target: Value) -> None:
    first = e.get(e.word(e.places.contexts), 0)
    beyond = e.add(first, e.emit(ops.I64_MUL, [e.get(e.word(e.places.used), 0), e.word(layout.CTX_SIZE)]))
    loop = Loop(e, first)
    context = loop.values[0]
    walked, other = e.new(), e.new()
    e.split(e.emit(ops.I64_GE_U, [context, beyond]), walked)
    e.when(e.same(e.get(context, layout.CTX_STORE), source), other)
    e.put(target, context, layout.CTX_STORE)
    e.jump(other)
    e.at(other)
    loop.again(e.add(context, layout.CTX_SIZE))
    e.at(walked)


def _splice_dying(e: HeapStub, source: Value, target: Value) -> None:
    none, end = e.new(), e.new()
    first = e.get(source, layout.STORE_DYING)
    e.unless_zero(first, none)
    e.put(e.word(0), source, layout.STORE_DYING)
    loop = Loop(e, first)
    one = loop.values[0]
    following = e.get(one, layout.EXTERN_SUSPECT)
    e.split(e.equals(following, 1), end)
    loop.again(following)
    e.at(end)
    old = e.get(target, layout.STORE_DYING)
    some = e.emit(ops.I64_NE, [old, e.word(0)])
    e.put(e.emit(ops.SELECT, [old, e.word(1), some], 0, old.type), one, layout.EXTERN_SUSPECT)
    e.put(first, target, layout.STORE_DYING)
    e.jump(none)
    e.at(none)


def _splice_roots(e: HeapStub, source: Value, target: Value) -> None:
    none, end, last = e.new(), e.new(), e.new()
    first = e.get(source, layout.STORE_ROOTS)
    e.unless_zero(first, none)
    e.put(e.word(0), source, layout.STORE_ROOTS)
    loop = Loop(e, first)
    one = loop.values[0]
    following = e.get(one, layout.ROOT_NEXT)
    e.if_zero(following, end)
    loop.again(following)
    e.at(end)
    old = e.get(target, layout.STORE_ROOTS)
    e.put(old, one, layout.ROOT_NEXT)
    e.put(first, target, layout.STORE_ROOTS)
    e.put(e.add(target, layout.STORE_ROOTS), first, layout.ROOT_LINK)
    e.unless_zero(old, last)
    e.put(e.add(one, layout.ROOT_NEXT), old, layout.ROOT_LINK)
    e.jump(last)
    e.at(last)
    e.jump(none)
    e.at(none)


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


def own_large(places: Places) -> Func:
    """Build (heap, address of a run of blocks) -> 0: it is a large object of the heap, so long as its first block says."""
    e = HeapStub("heap.own_large", 2, places)
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
