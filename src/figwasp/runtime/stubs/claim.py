"""Floor 4: claims of contexts by threads: taking one, keeping it for a while, and losing it.

In: contexts by their addresses. Out: IR of functions in the C convention, called with the GIL: each is one step for other Python
threads, and no exception of Python comes between.

Theory of operation. A context is bound to the thread that CTX_THREAD_STATE names; that thread enters it without asking anyone.
Where CTX_NATIVE_SIZE is 0 it has to ask first: entries find the native stack a wrong one and leave everything to Python, which
looks whether another thread runs on a context of the same store, and then confirms. So binding comes before looking, and code that
joins stores, or otherwise needs a context to be looked at again, writes the 0.
"""

from __future__ import annotations

from figwasp import layout
from figwasp.ir import ops
from figwasp.ir.func import CONV_C, Block, Func, Value
from figwasp.ir.types import I64
from figwasp.runtime.stubs.builder import Stub
from figwasp.runtime.stubs.enter import leave
from figwasp.runtime.stubs.interface import CLAIM_BUSY


def guard() -> Func:
    """Build (store record, work) -> what the callable `work` returns, called as a part of the chain, or 0 with an exception set.

    NotImplemented when the context on which the store runs is not this thread's, or has not been confirmed.
    """
    e = Stub("guard", bytes([I64] * 2), bytes([I64]), CONV_C)
    record, work = e.params
    busy = e.new()
    context = e.get(record, layout.STORE_CONTEXT)
    thread = e.thread_state()
    e.split(e.emit(ops.I64_NE, [e.get(context, layout.CTX_THREAD_STATE), thread]), busy)
    e.split(e.equals(e.get(context, layout.CTX_NATIVE_SIZE), 0), busy)
    e.add_depth(context, 1)
    leave(e, context, e.vectorcall(work, []))
    e.at(busy)
    _answer_not_implemented(e)
    return e.func


def hold() -> Func:
    """Build (context, another one, work) -> what the callable `work` returns, or 0 with an exception set.

    Both count as running in this thread meanwhile, with a stack or without. Those that were not this thread's have to be confirmed
    before wasm runs there. NotImplemented when another thread runs on one of them.
    """
    e = Stub("hold", bytes([I64] * 3), bytes([I64]), CONV_C)
    first, second, work = e.params
    busy = e.new()
    thread = e.thread_state()
    for context in (first, second):
        _refuse(e, context, thread, busy)
    for context in (first, second):
        mine = e.new()
        e.when(e.emit(ops.I64_NE, [e.get(context, layout.CTX_THREAD_STATE), thread]), mine)
        e.put(e.word(0), context, layout.CTX_NATIVE_SIZE)
        e.put(thread, context, layout.CTX_THREAD_STATE)
        e.jump(mine)
        e.at(mine)
    e.add_depth(first, 1)
    e.add_depth(second, 1)
    answer = e.vectorcall(work, [])
    e.add_depth(second, -1)
    answer = e.c("stub.leave", [second, answer])
    leave(e, first, answer)
    e.at(busy)
    _answer_not_implemented(e)
    return e.func


def _refuse(e: Stub, context: Value, thread: Value, busy: Block) -> None:
    """Go to `busy` when another thread runs on a context."""
    other = e.emit(ops.I64_NE, [e.get(context, layout.CTX_THREAD_STATE), thread])
    running = e.emit(ops.I64_NE, [e.get(context, layout.CTX_DEPTH), e.word(0)])
    e.split(e.emit(ops.I32_AND, [other, running]), busy)


def _answer_not_implemented(e: Stub) -> None:
    answer = e.symbol("object.NotImplemented")
    e.c("Py_IncRef", [answer], ops.VOID)
    e.ret([answer])


def claim() -> Func:
    """Build (context, stack, its size, lowest native stack pointer, native stack size, on main thread) -> address.

    The context is bound to this thread, with all that belongs to it. The stack is used when it is larger than that of the context.
    The answer is the stack that is not used now, 0 for none; CLAIM_BUSY when another thread runs, and the one given is not used.
    """
    e = Stub("claim", bytes([I64] * 6), bytes([I64]), CONV_C)
    context, base, room, lowest, size, main = e.params
    thread = e.thread_state()
    busy, kept, done = e.new(), e.new(), e.new()
    _refuse(e, context, thread, busy)
    before = e.get(context, layout.CTX_STACK_BASE)
    below = e.emit(ops.I64_SUB, [e.get(context, layout.CTX_STACK_TOP), before])
    smaller = e.emit(ops.I64_LE_U, [room, e.emit(ops.I64_ADD, [below, e.word(layout.STACK_ABOVE)])])
    e.split(smaller, kept)
    depth = e.get(context, layout.CTX_DEPTH)
    used = e.emit(ops.I32_AND, [*(e.emit(ops.I64_NE, [word, e.word(0)]) for word in (depth, before))])
    e.split(used, kept)
    top = e.emit(ops.I64_SUB, [e.emit(ops.I64_ADD, [base, room]), e.word(layout.STACK_ABOVE)])
    e.put(base, context, layout.CTX_STACK_BASE)
    e.put(top, context, layout.CTX_STACK_TOP)
    e.put(top, context, layout.CTX_WASM_SP)
    e.put(e.emit(ops.I64_ADD, [base, e.word(layout.STACK_HEADROOM)]), context, layout.CTX_REAL_LIMIT)
    e.jump(done, [before])
    e.at(kept)
    e.jump(done, [base])
    e.at(done)
    unused = e.func.new_param(done, I64)
    e.put(lowest, context, layout.CTX_NATIVE_LIMIT)
    e.put(size, context, layout.CTX_NATIVE_SIZE)
    e.put(main, context, layout.CTX_MAIN_THREAD)
    e.put(thread, context, layout.CTX_THREAD_STATE)
    # The first check finds a tick, which wakes the ticker if it sleeps.
    e.put(e.word(-1), context, layout.CTX_STACK_LIMIT)
    e.ret([unused])
    e.at(busy)
    e.ret([e.word(CLAIM_BUSY)])
    return e.func


def confirm() -> Func:
    """Build (context, native stack size) -> 1 when the context is still this thread's, which may enter it from now on; else 0."""
    e = Stub("confirm", bytes([I64] * 2), bytes([I64]), CONV_C)
    context, size = e.params
    lost = e.new()
    thread = e.thread_state()
    e.split(e.emit(ops.I64_NE, [e.get(context, layout.CTX_THREAD_STATE), thread]), lost)
    e.put(size, context, layout.CTX_NATIVE_SIZE)
    e.ret([e.word(1)])
    e.at(lost)
    e.ret([e.word(0)])
    return e.func


def strip() -> Func:
    """Build (context) -> the lowest address of its stack, which it has no more, or 0 when it is in use or has none.

    Other threads find the chain unclaimed afterwards.
    """
    e = Stub("strip", bytes([I64]), bytes([I64]), CONV_C)
    context = e.params[0]
    used = e.new()
    e.split(e.emit(ops.I64_NE, [e.get(context, layout.CTX_DEPTH), e.word(0)]), used)
    base = e.get(context, layout.CTX_STACK_BASE)
    for offset in (layout.CTX_STACK_BASE, layout.CTX_STACK_TOP, layout.CTX_WASM_SP, layout.CTX_THREAD_STATE):
        e.put(e.word(0), context, offset)
    e.ret([base])
    e.at(used)
    e.ret([e.word(0)])
    return e.func
