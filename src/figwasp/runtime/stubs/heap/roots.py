"""Floor 4: roots: words outside of heaps that refer to objects there, a list of each store; and what moves when stores are merged.

Out: IR of functions in the C convention, called with the GIL: each is one step, so that no thread that needs the GIL and no
exception of Python comes between its parts.
"""

from __future__ import annotations

from figwasp import layout
from figwasp.ir import ops
from figwasp.ir.func import Func, Value
from figwasp.runtime.stubs.heap.heapstub import HeapStub, Loop


def link_roots() -> Func:
    """Build (store record, first, count) -> 0: roots, which follow each other, are roots of a store."""
    e = HeapStub("heap.link_roots", 3)
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


def unlink_roots() -> Func:
    """Build (first, count) -> 0: roots are none any more, if they have been."""
    e = HeapStub("heap.unlink_roots", 2)
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


def detach_roots() -> Func:
    """Build (store record) -> 0: a store that goes has no roots; they may be unlinked later."""
    e = HeapStub("heap.detach_roots", 1)
    record = e.params[0]
    loop = Loop(e, e.get(record, layout.STORE_ROOTS))
    root = loop.values[0]
    done = e.new()
    e.if_zero(root, done)
    e.put(e.word(0), root, layout.ROOT_LINK)
    loop.again(e.get(root, layout.ROOT_NEXT))
    e.at(done)
    e.put(e.word(0), record, layout.STORE_ROOTS)
    e.done()
    return e.func


def copy_root() -> Func:
    """Build (root, place) -> the word at a place, which the one word of a root now is as well."""
    e = HeapStub("heap.copy_root", 2)
    root, place = e.params
    word = e.get(place, 0)
    e.put(word, e.get(root, layout.ROOT_OWN_BASE), 0)
    e.ret([word])
    return e.func


def link_array() -> Func:
    """Build (store record, array) -> 0: an array of externref cells is one of a store."""
    e = HeapStub("heap.link_array", 2)
    record, array = e.params
    e.put(e.get(record, layout.STORE_ARRAYS), array, layout.ARRAY_NEXT)
    e.put(array, record, layout.STORE_ARRAYS)
    e.done()
    return e.func


def merge_roots() -> Func:
    """Build (store record, another one) -> 0: contexts, roots and arrays of cells of one are the other's."""
    e = HeapStub("heap.merge_roots", 2)
    source, target = e.params
    _retag_contexts(e, source, target)
    _splice_arrays(e, source, target)
    _splice_dying(e, source, target)
    _splice_roots(e, source, target)
    e.done()
    return e.func


def _splice_arrays(e: HeapStub, source: Value, target: Value) -> None:
    none, end = e.new(), e.new()
    first = e.get(source, layout.STORE_ARRAYS)
    e.unless_zero(first, none)
    e.put(e.word(0), source, layout.STORE_ARRAYS)
    loop = Loop(e, first)
    one = loop.values[0]
    following = e.get(one, layout.ARRAY_NEXT)
    e.if_zero(following, end)
    loop.again(following)
    e.at(end)
    e.put(e.get(target, layout.STORE_ARRAYS), one, layout.ARRAY_NEXT)
    e.put(first, target, layout.STORE_ARRAYS)
    e.jump(none)
    e.at(none)


def _retag_contexts(e: HeapStub, source: Value, target: Value) -> None:
    first = e.get(e.symbol("static.contexts"), 0)
    beyond = e.add(first, e.emit(ops.I64_MUL, [e.get(e.symbol("static.contexts_used"), 0), e.word(layout.CTX_SIZE)]))
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
