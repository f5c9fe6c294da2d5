"""Floor 4: what happens at ticks, and when fuel has run out: signals, interrupts, deadlines, turns, other threads.

In: addresses. Out: the functions that the slow paths of a stack check and of fuel call, on the native stack.
"""

from __future__ import annotations

from typing import Final

from figwasp import layout
from figwasp.errors import TRAP_INTERRUPTED, TRAP_OUT_OF_FUEL, TRAP_STACK_EXHAUSTED, TRAP_TIMEOUT
from figwasp.ir import ops
from figwasp.ir.func import CONV_C, Block, Func, Value
from figwasp.ir.ops import I32, I64
from figwasp.runtime.platform import linux
from figwasp.runtime.stubs.builder import Stub
from figwasp.runtime.stubs.host import fail
from figwasp.runtime.stubs.interface import FaultFront

TICKS_BETWEEN_CHECKS: Final = 10  # the main thread runs signal handlers at most every so many ticks while it has given the GIL up
YIELD_MICROSECONDS: Final = 100  # longer than it takes to wake a thread, short beside the 5 ms of a tick


class Ends:
    """Addresses by which ticks find out that calls have to end.

    Attributes:
        key: of the words in which native threads have their deadlines (`linux.thread_key`).
        pending: address of the word that counts interrupted contexts.
        interrupted: address of `steps.interrupted`.
    """

    __slots__ = ("interrupted", "key", "pending")

    def __init__(self, key: int, pending: int, interrupted: int) -> None:
        self.key = key
        self.pending = pending
        self.interrupted = interrupted


def tick(parked: int, wake: int, front: FaultFront, ends: Ends, suspend: int) -> Func:
    """Build (context, stack pointer) -> status, called from the tick stub on the native stack.

    The stack pointer went below the context's limit: either the wasm stack is used up, or the ticker has raised the limit. The
    status is 0 to go on, 1 to leave wasm, or `suspend` to leave it until the call is resumed.

    Args:
        parked: address of the word that is 1 while the ticker sleeps.
        wake: address of the native function that wakes it.
        front: how to keep the fault handler in front.
        ends: addresses by which it finds out that the call has to end.
        suspend: `sequences.SUSPEND`.
    """
    e = Stub("tick", bytes([I64, I64]), bytes([I64]), CONV_C)
    context, pointer = e.params
    limit = e.get(context, layout.CTX_REAL_LIMIT)
    e.put(limit, context, layout.CTX_STACK_LIMIT)
    overflow = e.new()
    e.split(e.emit(ops.I64_LT_U, [pointer, limit]), overflow)
    failed = e.new()
    ticks = e.emit(ops.I64_ADD, [e.get(context, layout.CTX_TICKS), e.word(1)])
    e.put(ticks, context, layout.CTX_TICKS)
    awake = e.new()
    e.unless_zero(e.get(e.word(parked), 0), awake)
    e.c(wake, [])
    e.jump(awake)
    e.at(awake)
    e.c(e.get(e.word(front.handler), 16), [])
    interrupted, expired = e.new(), e.new()
    check_interrupts(e, context, ends, interrupted)
    check_deadline(e, ends, expired)
    _give_turn(e, context, failed, suspend)
    _run_signal_handlers(e, context, ticks, failed)
    e.put8(layout.FLAG_GIL_RELEASED, context, layout.CTX_FLAGS)
    e.c("PyEval_SaveThread", [])
    # A host call may come within nanoseconds: whoever waits for the GIL has to wake up first, or waits for the next tick.
    e.c(linux.symbol("usleep"), [e.const(I32, YIELD_MICROSECONDS)])
    e.ret([e.word(0)])
    e.at(failed)
    fail(e, context)
    e.at(overflow)
    e.put32(TRAP_STACK_EXHAUSTED, context, layout.CTX_TRAP_CODE)
    e.ret([e.word(1)])
    for block, code in ((interrupted, TRAP_INTERRUPTED), (expired, TRAP_TIMEOUT)):
        e.at(block)
        # Whoever called from Python and goes on nevertheless finds a tick at once, not after another 5 ms.
        e.put(e.word(-1), context, layout.CTX_STACK_LIMIT)
        e.put32(code, context, layout.CTX_TRAP_CODE)
        e.ret([e.word(1)])
    return e.func


def check_interrupts(e: Stub, context: Value, ends: Ends, interrupted: Block) -> None:
    """Go to `interrupted` when a call of the thread is interrupted, this one or one that has brought it about."""
    none = e.new()
    e.unless_zero(e.get(e.word(ends.pending), 0), none)
    found = e.c(ends.interrupted, [e.get(context, layout.CTX_THREAD_STATE)])
    e.split(e.emit(ops.I64_NE, [found, e.word(0)]), interrupted)
    e.jump(none)
    e.at(none)


def check_deadline(e: Stub, ends: Ends, expired: Block) -> None:
    """Go to `expired` when the deadline of the thread has passed, whoever holds the GIL."""
    none = e.new()
    word = e.c(linux.symbol("pthread_getspecific"), [e.const(I32, ends.key)])
    e.unless_zero(word, none)
    deadline = e.get(word, 0)
    e.unless_zero(deadline, none)
    time = e.emit(ops.FRAME_AREA, [], 16)
    e.c(linux.symbol("clock_gettime"), [e.const(I32, linux.CLOCK_MONOTONIC), time])
    now = e.emit(ops.I64_ADD, [e.emit(ops.I64_MUL, [e.get(time, 0), e.word(10**9)]), e.get(time, 8)])
    e.split(e.emit(ops.I64_GE_S, [now, deadline]), expired)
    e.jump(none)
    e.at(none)


def _give_turn(e: Stub, context: Value, failed: Block, suspend: int) -> None:
    """Return `suspend`, with signals handled, from a call that ticks suspend, unless Python has called wasm again in it."""
    rest = e.new()
    turn = e.get(context, layout.CTX_TURN)
    # The first tick may come as soon as a call has been entered, or has gone on.
    later = e.emit(ops.SELECT, [e.word(layout.TURN_NOW), turn, e.equals(turn, layout.TURN_LATER)], 0, I64)
    e.put(later, context, layout.CTX_TURN)
    wanted = e.equals(turn, layout.TURN_NOW)
    e.when(e.emit(ops.I32_AND, [wanted, e.equals(e.get(context, layout.CTX_DEPTH), 1)]), rest)
    e.take_gil(context)
    e.split(e.wrap(e.c("PyErr_CheckSignals", [])), failed)
    e.put(e.word(layout.TURN_TAKEN), context, layout.CTX_TURN)
    e.ret([e.word(suspend)])
    e.at(rest)


def _run_signal_handlers(e: Stub, context: Value, ticks: Value, failed: Block) -> None:
    """Go on with the GIL held and signals handled; return 0 at once when the GIL is released and it is not time to take it."""
    held = e.new()
    released = e.emit(ops.I32_AND, [e.get32(context, layout.CTX_FLAGS), e.const(I32, layout.FLAG_GIL_RELEASED)])
    e.when(released, held)
    main = e.get(context, layout.CTX_MAIN_THREAD)
    due = e.equals(e.emit(ops.I64_REM_U, [ticks, e.word(TICKS_BETWEEN_CHECKS)]), 0)
    not_yet = e.new()
    e.split(e.emit(ops.I32_EQZ, [e.emit(ops.I32_AND, [due, e.emit(ops.I64_NE, [main, e.word(0)])])]), not_yet)
    e.take_gil(context)
    e.jump(held)
    e.at(not_yet)
    e.ret([e.word(0)])
    e.at(held)
    answer = e.wrap(e.c("PyErr_CheckSignals", []))
    e.split(answer, failed)


def fuel(hook: int) -> Func:
    """Build (context, stack pointer) -> status, called from the fuel stub on the native stack; 0 means go on.

    Args:
        hook: PyObject* of a callable that gets the context's address and returns whether there is fuel again, or raises.
    """
    e = Stub("fuel", bytes([I64, I64]), bytes([I64]), CONV_C)
    context = e.params[0]
    e.take_gil(context)
    failed = e.new()
    empty = e.new()
    answer = e.call_with_ints(e.word(hook), [context])
    e.split(e.equals(answer, 0), failed)
    e.c("Py_DecRef", [answer], ops.VOID)
    e.split(e.emit(ops.I64_NE, [answer, e.word(id(True))]), empty)
    e.ret([e.word(0)])
    e.at(empty)
    e.put32(TRAP_OUT_OF_FUEL, context, layout.CTX_TRAP_CODE)
    e.ret([e.word(1)])
    e.at(failed)
    fail(e, context)
    return e.func
