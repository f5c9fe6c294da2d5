"""Floor 4: changes of native state in one step: no thread that needs the GIL and no exception of Python comes between their parts.

In: addresses of C functions. Out: IR of functions in the C convention, called with the GIL.
"""

from __future__ import annotations

from typing import Final

from figwasp import layout
from figwasp.ir import ops
from figwasp.ir.func import CONV_C, Func
from figwasp.ir.types import I32, I64
from figwasp.runtime.stubs.builder import Stub

GROWN: Final = 1
REFUSED: Final = 2
CHANGED: Final = 3
"""Answers of `grow_memory`."""


def grow_memory(mprotect: int) -> Func:
    """Build (record, old, new, protection) -> answer: pages become accessible and part of the memory, or neither.

    The lengths are bytes. REFUSED: there is no memory for the pages. CHANGED: the length is not `old` any more.
    """
    e = Stub("step.grow_memory", bytes([I64] * 4), bytes([I64]), CONV_C)
    record, old, new, protection = e.params
    changed, refused = e.new(), e.new()
    e.split(e.emit(ops.I64_NE, [e.get(record, layout.MEM_LENGTH), old]), changed)
    start = e.emit(ops.I64_ADD, [e.get(record, layout.MEM_BASE), old])
    e.split(e.c(mprotect, [start, e.emit(ops.I64_SUB, [new, old]), protection], I32), refused)
    e.put(new, record, layout.MEM_LENGTH)
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


def swap(memcpy: int) -> Func:
    """Build (place, new, old, size) -> 0: copy what is in a place to `old` and what is in `new` to the place."""
    e = Stub("step.swap", bytes([I64] * 4), bytes([I64]), CONV_C)
    place, new, old, size = e.params
    e.c(memcpy, [old, place, size])
    e.c(memcpy, [place, new, size])
    e.ret([e.word(0)])
    return e.func


def interrupt() -> Func:
    """Build (context) -> the address of the words of the thread that runs it, its calls to be ended; 0 when none does."""
    e = Stub("step.interrupt", bytes([I64]), bytes([I64]), CONV_C)
    context = e.params[0]
    idle, known = e.new(), e.new()
    e.split(e.equals(e.get(context, layout.CTX_DEPTH), 0), idle)
    e.split(e.equals(e.get(context, layout.CTX_THREAD_STATE), layout.HELD), idle)
    words = e.get(context, layout.CTX_THREAD_WORDS)
    flag = e.emit(ops.I32_AND, [e.get32(context, layout.CTX_FLAGS), e.const(I32, layout.FLAG_INTERRUPTED)])
    e.when(e.emit(ops.I32_EQZ, [flag]), known)
    e.put8(layout.FLAG_INTERRUPTED >> 24, context, layout.CTX_FLAGS + 3)
    e.put(e.emit(ops.I64_ADD, [e.get(words, layout.THREAD_INTERRUPTS), e.word(1)]), words, layout.THREAD_INTERRUPTS)
    e.jump(known)
    e.at(known)
    e.put(e.word(-1), context, layout.CTX_STACK_LIMIT)  # a tick at once
    e.ret([words])
    e.at(idle)
    e.ret([e.word(0)])
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
