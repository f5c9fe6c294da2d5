"""Floor 4: changes of native state in one step: no thread that needs the GIL and no exception of Python comes between their parts.

Out: IR of functions in the C convention, called with the GIL.
"""

from __future__ import annotations

from figwasp import layout
from figwasp.ir import ops
from figwasp.ir.func import CONV_C, Func
from figwasp.ir.types import I32, I64
from figwasp.runtime.stubs.builder import Stub
from figwasp.runtime.stubs.interface import CHANGED, GROWN, REFUSED


def grow_memory() -> Func:
    """Build (record, old, new, protection) -> answer: pages become accessible and part of the memory, or neither.

    The lengths are bytes; what is accessible ends with a page of 64 KiB. REFUSED: there is no memory for the pages. CHANGED: the
    length is not `old` any more.
    """
    e = Stub("step.grow_memory", bytes([I64] * 4), bytes([I64]), CONV_C)
    record, old, new, protection = e.params
    changed, refused = e.new(), e.new()
    e.split(e.emit(ops.I64_NE, [e.get(record, layout.MEM_LENGTH), old]), changed)
    first = e.emit(ops.I64_AND, [old, e.word(-layout.PAGE_SIZE)])
    end = e.emit(ops.I64_AND, [e.emit(ops.I64_ADD, [new, e.word(layout.PAGE_SIZE - 1)]), e.word(-layout.PAGE_SIZE)])
    start = e.emit(ops.I64_ADD, [e.get(record, layout.MEM_BASE), first])
    e.split(e.c("mprotect", [start, e.emit(ops.I64_SUB, [end, first]), protection], I32), refused)
    # In this order for code of other threads as well, which may run without the GIL.
    e.emit(ops.I64_ATOMIC_STORE, [new, record], ops.memory_aux(layout.MEM_LENGTH, ops.REGION_NATIVE))
    e.ret([e.word(GROWN)])
    e.at(changed)
    e.ret([e.word(CHANGED)])
    e.at(refused)
    e.ret([e.word(REFUSED)])
    return e.func


def exchange_reference() -> Func:
    """Build (place, old, new) -> 1: a place refers to the PyObject* `new` instead of `old`, which may be 0; or 0 when it does not.

    The caller has references to both.
    """
    e = Stub("step.exchange_reference", bytes([I64] * 3), bytes([I64]), CONV_C)
    place, old, new = e.params
    changed = e.new()
    e.split(e.emit(ops.I64_NE, [e.get(place, 0), old]), changed)
    e.c("Py_IncRef", [new], ops.VOID)
    e.put(new, place, 0)
    e.c("Py_DecRef", [old], ops.VOID)  # nothing for 0
    e.ret([e.word(1)])
    e.at(changed)
    e.ret([e.word(0)])
    return e.func


def raise_to() -> Func:
    """Build (place, number) -> 0: the number in a place is at least that large (unsigned)."""
    e = Stub("step.raise_to", bytes([I64] * 2), bytes([I64]), CONV_C)
    place, number = e.params
    enough = e.new()
    e.when(e.emit(ops.I64_LT_U, [e.get(place, 0), number]), enough)
    e.put(number, place, 0)
    e.jump(enough)
    e.at(enough)
    e.ret([e.word(0)])
    return e.func


# Externref cells that stubs may take: a list of a store's record, linked through the states of the cells.


def lend() -> Func:
    """Build (store record, first cell, last cell) -> 0: put free cells, which are linked, on the list of a record."""
    e = Stub("step.lend", bytes([I64] * 3), bytes([I64]), CONV_C)
    record, first, last = e.params
    e.put(e.get(record, layout.STORE_FREE_EXTERN), last, layout.EXTERN_STATE)
    e.put(first, record, layout.STORE_FREE_EXTERN)
    e.ret([e.word(0)])
    return e.func


def move_lent() -> Func:
    """Build (store record, another one) -> 0: put all cells on the list of one on that of the other."""
    e = Stub("step.move_lent", bytes([I64] * 2), bytes([I64]), CONV_C)
    source, target = e.params
    loop, end, nothing = e.new(), e.new(), e.new()
    loop.loop = True
    first = e.get(source, layout.STORE_FREE_EXTERN)
    e.split(e.equals(first, 0), nothing)
    e.jump(loop, [first])
    e.at(loop)
    cell = e.func.new_param(loop, I64)
    following = e.get(cell, layout.EXTERN_STATE)
    more = e.new()
    e.brif(e.equals(following, 0), end, more)
    e.at(more)
    e.jump(loop, [following])
    e.at(end)
    e.put(e.get(target, layout.STORE_FREE_EXTERN), cell, layout.EXTERN_STATE)
    e.put(first, target, layout.STORE_FREE_EXTERN)
    e.put(e.word(0), source, layout.STORE_FREE_EXTERN)
    e.jump(nothing)
    e.at(nothing)
    e.ret([e.word(0)])
    return e.func


# Fuel


def move_fuel() -> Func:
    """Build (context, another one) -> 0: the other one gets the fuel of the first, and has at most as much as counts (signed)."""
    e = Stub("step.move_fuel", bytes([I64] * 2), bytes([I64]), CONV_C)
    source, target = e.params
    one, two = e.get(source, layout.CTX_FUEL), e.get(target, layout.CTX_FUEL)
    both = e.emit(ops.I64_ADD, [one, two])
    changed = [e.emit(ops.I64_XOR, [both, one]), e.emit(ops.I64_XOR, [both, two])]
    over = e.emit(ops.I64_LT_S, [e.emit(ops.I64_AND, changed), e.word(0)])  # only amounts above 0 are that large
    e.put(e.word(0), source, layout.CTX_FUEL)
    e.put(e.emit(ops.SELECT, [e.word(2**63 - 1), both, over], 0, I64), target, layout.CTX_FUEL)
    e.ret([e.word(0)])
    return e.func


# Interrupts and turns


def interrupt() -> Func:
    """Build (context) -> the PyThreadState of the thread that runs it, whose calls are to end; 0 when none does."""
    e = Stub("step.interrupt", bytes([I64]), bytes([I64]), CONV_C)
    context = e.params[0]
    idle, known = e.new(), e.new()
    thread = e.get(context, layout.CTX_THREAD_STATE)
    e.split(e.equals(e.get(context, layout.CTX_DEPTH), 0), idle)
    e.split(e.equals(thread, layout.HELD), idle)
    flag = e.emit(ops.I32_AND, [e.get32(context, layout.CTX_FLAGS), e.const(I32, layout.FLAG_INTERRUPTED)])
    e.when(e.emit(ops.I32_EQZ, [flag]), known)
    e.put8(layout.FLAG_INTERRUPTED >> 24, context, layout.CTX_FLAGS + 3)
    count = e.symbol("static.interrupts")
    e.put(e.emit(ops.I64_ADD, [e.get(count, 0), e.word(1)]), count, 0)
    e.jump(known)
    e.at(known)
    e.put(e.word(-1), context, layout.CTX_STACK_LIMIT)  # a tick at once
    e.ret([thread])
    e.at(idle)
    e.ret([e.word(0)])
    return e.func


def interrupted() -> Func:
    """Build (PyThreadState) -> 1 when a context that a thread runs is interrupted, else 0. It may be called without the GIL."""
    e = Stub("step.interrupted", bytes([I64]), bytes([I64]), CONV_C)
    thread = e.params[0]
    loop, end, found = e.new(), e.new(), e.new()
    loop.loop = True
    first = e.get(e.symbol("static.contexts"), 0)
    size = e.emit(ops.I64_MUL, [e.get(e.symbol("static.contexts_used"), 0), e.word(layout.CTX_SIZE)])
    beyond = e.emit(ops.I64_ADD, [first, size])
    e.jump(loop, [first])
    e.at(loop)
    context = e.func.new_param(loop, I64)
    body = e.new()
    e.brif(e.emit(ops.I64_EQ, [context, beyond]), end, body)
    e.at(body)
    mine = e.emit(ops.I64_EQ, [e.get(context, layout.CTX_THREAD_STATE), thread])
    runs = e.emit(ops.I64_NE, [e.get(context, layout.CTX_DEPTH), e.word(0)])
    flag = e.emit(ops.I32_AND, [e.get32(context, layout.CTX_FLAGS), e.const(I32, layout.FLAG_INTERRUPTED)])
    flagged = e.emit(ops.I32_NE, [flag, e.const(I32, 0)])
    following = e.new()
    e.brif(e.emit(ops.I32_AND, [e.emit(ops.I32_AND, [mine, runs]), flagged]), found, following)
    e.at(following)
    e.jump(loop, [e.emit(ops.I64_ADD, [context, e.word(layout.CTX_SIZE)])])
    e.at(end)
    e.ret([e.word(0)])
    e.at(found)
    e.ret([e.word(1)])
    return e.func


def release_turn() -> Func:
    """Build (call's context, store's context) -> 0: a call that a tick has suspended will not be the next to run there."""
    e = Stub("step.release_turn", bytes([I64] * 2), bytes([I64]), CONV_C)
    context, main = e.params
    done = e.new()
    e.when(e.equals(e.get(context, layout.CTX_TURN), layout.TURN_TAKEN), done)
    e.put(e.word(layout.TURN_NEVER), context, layout.CTX_TURN)
    e.when(e.equals(e.get(main, layout.CTX_THREAD_STATE), layout.HELD), done)
    e.put(e.word(0), main, layout.CTX_DEPTH)
    e.put(e.word(0), main, layout.CTX_THREAD_STATE)
    e.jump(done)
    e.at(done)
    e.ret([e.word(0)])
    return e.func
