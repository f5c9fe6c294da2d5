"""Floor 4: marking: from the roots of a store to everything that they lead to.

In: a store's record and its heap. Out: mark bits of objects, and a bit for externref cells that are suspects.

Theory of operation. Stacks of WebAssembly hold references in any word, so each word there that points into an object, or right
behind one, keeps it. Registers that native code preserves have been stored there by `to_native`. Roots elsewhere are looked at in
the same way. Fields of objects are followed precisely, as their type descriptors say.
"""

from __future__ import annotations

from typing import Final

from figwasp import layout
from figwasp.ir import ops
from figwasp.ir.func import Func, Value
from figwasp.runtime.stubs.heap.heapstub import HeapStub, Loop

_SLOTS: Final = 63
"""Words of an object that TYPE_REFERENCES tells of."""


def find() -> Func:
    """Build (heap, word) -> the object of the heap that a word points into, or 0."""
    e = HeapStub("heap.find", 2)
    heap, word = e.params
    nothing, large = e.new(), e.new()
    offset = e.offset(word)
    e.split(e.emit(ops.I64_GE_U, [offset, e.symbol("heap.size")]), nothing)
    entry = e.entry(offset)
    e.split(e.emit(ops.I64_NE, [e.get(entry, layout.BLOCK_HEAP), heap]), nothing)
    size = e.half(entry, layout.BLOCK_CELL)
    e.if_zero(size, large)
    inside = e.mask(offset, layout.BLOCK_BYTES - 1)
    number = e.right(e.emit(ops.I64_MUL, [inside, e.half(entry, layout.BLOCK_INVERSE)]), 32)
    cell = e.emit(ops.I64_MUL, [number, size])
    e.split(e.emit(ops.I64_GE_U, [cell, e.half(entry, layout.BLOCK_END)]), nothing)
    found = e.add(e.sub(word, inside), cell)
    e.if_zero(e.half(found, layout.OBJECT_TYPE), nothing)
    e.ret([found])
    e.at(large)
    whole = e.get(entry, layout.BLOCK_OBJECT)
    e.if_zero(whole, nothing)
    e.if_zero(e.half(whole, layout.OBJECT_TYPE), nothing)
    e.ret([whole])
    e.at(nothing)
    e.ret([e.word(0)])
    return e.func


def scan() -> Func:
    """Build (record, first word, end, top) -> the mark stack's new end: look at words that may be anything."""
    e = HeapStub("heap.scan", 4)
    record, first, end, top = e.params
    heap = e.get(record, layout.STORE_HEAP)
    finished = e.new()
    loop = Loop(e, first, top)
    at, top = loop.values
    e.split(e.emit(ops.I64_GE_U, [at, end]), finished)
    word = e.get(at, 0)
    host, inside, following = e.new(), e.new(), e.new()
    behind = e.add(at, 8)
    e.split(e.emit(ops.I64_LE_U, [e.offset(word), e.symbol("heap.size")]), inside)
    e.split(e.equals(e.mask(word, layout.I31_TAG | layout.HOST_TAG), layout.HOST_TAG), host)
    e.jump(following)
    e.at(host)
    _look_for_cell(e, record, e.sub(word, layout.HOST_TAG))
    e.jump(following)
    e.at(inside)
    e.if_zero(heap, following)
    visited = e.visit(e.c("stub.heap.find", [heap, word]), top)
    visited = e.visit(e.c("stub.heap.find", [heap, e.sub(word, 1)]), visited)  # one past the end of an object is within it
    loop.again(behind, visited)
    e.at(following)
    loop.again(behind, top)
    e.at(finished)
    e.ret([top])
    return e.func


def _look_for_cell(e: HeapStub, record: Value, cell: Value) -> None:
    """Keep an externref cell if the word is the address of one."""
    none = e.new()
    e.split(e.wrap(e.mask(cell, 7)), none)
    loop = Loop(e, e.get(record, layout.STORE_ARRAYS))
    array = loop.values[0]
    found = e.new()
    e.if_zero(array, none)
    offset = e.sub(cell, e.get(array, layout.ARRAY_BASE))
    e.split(e.below(offset, e.word(8 * layout.EXTERN_CELLS)), found)
    loop.again(e.get(array, layout.ARRAY_NEXT))
    e.at(found)
    e.keep_cell(cell)
    e.jump(none)
    e.at(none)


def mark_roots() -> Func:
    """Build (record, top) -> the mark stack's new end: mark what contexts and roots of a store refer to."""
    e = HeapStub("heap.mark_roots", 2)
    record, top = e.params
    heapless = e.equals(e.get(record, layout.STORE_HEAP), 0)
    first = e.get(e.symbol("static.contexts"), 0)
    beyond = e.add(first, e.emit(ops.I64_MUL, [e.get(e.symbol("static.contexts_used"), 0), e.word(layout.CTX_SIZE)]))
    loop = Loop(e, first, top)
    context, top = loop.values
    walked = e.new()
    e.split(e.emit(ops.I64_GE_U, [context, beyond]), walked)
    mine, other = e.new(), e.new()
    e.brif(e.same(e.get(context, layout.CTX_STORE), record), mine, other)
    e.at(mine)
    pointer = e.get(context, layout.CTX_WASM_SP)
    scanned = e.c("stub.heap.scan", [record, pointer, e.get(context, layout.CTX_STACK_TOP), top])
    pending = e.add(context, layout.CTX_EXCEPTION)
    scanned = e.c("stub.heap.scan", [record, pending, e.add(pending, 8), scanned])
    loop.again(e.add(context, layout.CTX_SIZE), scanned)
    e.at(other)
    loop.again(e.add(context, layout.CTX_SIZE), top)
    e.at(walked)
    roots = Loop(e, e.get(record, layout.STORE_ROOTS), top)
    root, top = roots.values
    finished, unseen, seen = e.new(), e.new(), e.new()
    e.if_zero(root, finished)
    e.brif(e.emit(ops.I32_AND, [e.equals(e.get(root, layout.ROOT_COUNTED), 1), heapless]), unseen, seen)
    e.at(unseen)
    roots.again(e.get(root, layout.ROOT_NEXT), top)
    e.at(seen)
    base = e.get(e.get(root, layout.ROOT_BASE), 0)
    count = e.get(e.get(root, layout.ROOT_COUNT), 0)
    scanned = e.c("stub.heap.scan", [record, base, e.add(base, e.left(count, 3)), top])
    roots.again(e.get(root, layout.ROOT_NEXT), scanned)
    e.at(finished)
    e.ret([top])
    return e.func


def drain() -> Func:
    """Build (context, heap) -> 0 when everything on the mark stack has been followed; else why that has ended before, at a tick."""
    e = HeapStub("heap.drain", 2)
    context, heap = e.params
    base = e.get(heap, layout.HEAP_MARKS)
    loop = Loop(e, e.get(heap, layout.HEAP_MARKED))
    top = loop.values[0]
    finished, ticked, calm, stopped = e.new(), e.new(), e.new(), e.new()
    e.split(e.same(top, base), finished)
    limit, real = e.get(context, layout.CTX_STACK_LIMIT), e.get(context, layout.CTX_REAL_LIMIT)
    e.brif(e.same(limit, real), calm, ticked)
    e.at(ticked)
    status = e.c("stub.heap.tick", [context])
    e.split(e.emit(ops.I64_NE, [status, e.word(0)]), stopped)
    e.jump(calm)
    e.at(calm)
    place = e.sub(top, 8)
    thing = e.get(place, 0)
    descriptor = e.add(e.half(thing, layout.OBJECT_TYPE), e.symbol("types.descriptors"))
    array = e.new()
    e.split(e.equals(e.half(descriptor, layout.TYPE_KIND), layout.KIND_ARRAY), array)
    rest = _follow_words(e, thing, e.get(descriptor, layout.TYPE_REFERENCES), place)
    more = e.get(descriptor, layout.TYPE_MORE)
    again = e.new()
    e.if_zero(more, again)
    rest_of_all = _follow_more(e, thing, more, rest)
    loop.again(rest_of_all)
    e.at(again)
    loop.again(rest)
    e.at(array)
    numbers = e.new()
    e.if_zero(e.get(descriptor, layout.TYPE_REFERENCES), numbers)
    first = e.add(thing, layout.OBJECT_FIELDS)
    loop.again(_follow_all(e, first, e.half(thing, layout.ARRAY_LENGTH), place))
    e.at(numbers)
    loop.again(place)
    e.at(stopped)
    e.put(top, heap, layout.HEAP_MARKED)
    e.ret([status])
    e.at(finished)
    e.put(top, heap, layout.HEAP_MARKED)
    e.done()
    return e.func


def _follow_words(e: HeapStub, start: Value, bits: Value, top: Value) -> Value:
    """Visit the words from an address on whose bits are set; return the mark stack's new end."""
    loop = Loop(e, bits, top)
    bits, top = loop.values
    finished = e.new()
    e.if_zero(bits, finished)
    number = e.emit(ops.I64_CTZ, [bits])
    visited = e.visit(e.get(e.add(start, e.left(number, 3)), 0), top)
    loop.again(e.emit(ops.I64_AND, [bits, e.sub(bits, 1)]), visited)
    e.at(finished)
    return top


def _follow_more(e: HeapStub, thing: Value, more: Value, top: Value) -> Value:
    """Visit the words of a large structure beyond the first 63."""
    count = e.get(more, 0)
    loop = Loop(e, e.word(0), top)
    number, top = loop.values
    finished = e.new()
    e.split(e.same(number, count), finished)
    bits = e.get(e.add(more, e.left(number, 3)), 8)
    start = e.add(e.add(thing, e.left(number, 9)), 8 * _SLOTS)
    followed = _follow_words(e, start, bits, top)
    loop.again(e.add(number, 1), followed)
    e.at(finished)
    return top


def _follow_all(e: HeapStub, first: Value, count: Value, top: Value) -> Value:
    """Visit so many words from an address on."""
    end = e.add(first, e.left(count, 3))
    loop = Loop(e, first, top)
    at, top = loop.values
    finished = e.new()
    e.split(e.same(at, end), finished)
    visited = e.visit(e.get(at, 0), top)
    loop.again(e.add(at, 8), visited)
    e.at(finished)
    return top
