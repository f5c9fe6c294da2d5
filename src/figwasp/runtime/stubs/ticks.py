"""Floor 4: what happens at ticks, and when fuel has run out: signals, interrupts, deadlines, turns, other threads; fault handlers.

Out: the functions that the slow paths of a stack check and of fuel call, on the native stack.
"""

from __future__ import annotations

from typing import Final

from figwasp import layout
from figwasp.codegen.sequences import SUSPEND
from figwasp.errors import TRAP_INTERRUPTED, TRAP_OUT_OF_FUEL, TRAP_STACK_EXHAUSTED, TRAP_TIMEOUT
from figwasp.ir import ops
from figwasp.ir.func import CONV_C, Block, Func, Value
from figwasp.ir.ops import I32, I64
from figwasp.runtime.platform import linux
from figwasp.runtime.stubs.builder import Stub
from figwasp.runtime.stubs.host import fail
from figwasp.runtime.stubs.interface import FAULT_HANDLERS, SIZE_SHIFT, UNUSED

TICKS_BETWEEN_CHECKS: Final = 10  # the main thread runs signal handlers at most every so many ticks while it has given the GIL up
YIELD_MICROSECONDS: Final = 100  # longer than it takes to wake a thread, short beside the 5 ms of a tick


def tick() -> Func:
    """Build (context, stack pointer) -> status, called from the tick stub on the native stack.

    The stack pointer went below the context's limit: either the wasm stack is used up, or the ticker has raised the limit. The
    status is 0 to go on, 1 to leave wasm, or `sequences.SUSPEND` to leave it until the call is resumed.
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
    e.unless_zero(e.get(e.symbol("static.parked"), 0), awake)
    e.c("stub.wake", [])
    e.jump(awake)
    e.at(awake)
    e.c(e.get(e.symbol("static.handler"), 16), [])
    interrupted, expired = e.new(), e.new()
    check_interrupts(e, context, interrupted)
    check_deadline(e, expired)
    _give_turn(e, context, failed)
    _run_signal_handlers(e, context, ticks, failed)
    e.put8(layout.FLAG_GIL_RELEASED, context, layout.CTX_FLAGS)
    e.c("PyEval_SaveThread", [])
    # A host call may come within nanoseconds: whoever waits for the GIL has to wake up first, or waits for the next tick.
    e.c("usleep", [e.const(I32, YIELD_MICROSECONDS)])
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


def check_interrupts(e: Stub, context: Value, interrupted: Block) -> None:
    """Go to `interrupted` when a call of the thread is interrupted, this one or one that has brought it about."""
    none = e.new()
    e.unless_zero(e.get(e.symbol("static.interrupts"), 0), none)
    found = e.c("stub.step.interrupted", [e.get(context, layout.CTX_THREAD_STATE)])
    e.split(e.emit(ops.I64_NE, [found, e.word(0)]), interrupted)
    e.jump(none)
    e.at(none)


def check_deadline(e: Stub, expired: Block) -> None:
    """Go to `expired` when the deadline of the thread has passed, whoever holds the GIL."""
    none = e.new()
    word = e.c("pthread_getspecific", [e.wrap(e.symbol("thread.key"))])
    e.unless_zero(word, none)
    deadline = e.get(word, 0)
    e.unless_zero(deadline, none)
    time = e.emit(ops.FRAME_AREA, [], 16)
    e.c("clock_gettime", [e.const(I32, linux.CLOCK_MONOTONIC), time])
    now = e.emit(ops.I64_ADD, [e.emit(ops.I64_MUL, [e.get(time, 0), e.word(10**9)]), e.get(time, 8)])
    e.split(e.emit(ops.I64_GE_S, [now, deadline]), expired)
    e.jump(none)
    e.at(none)


def _give_turn(e: Stub, context: Value, failed: Block) -> None:
    """Return SUSPEND, with signals handled, from a call that ticks suspend, unless Python has called wasm again in it."""
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
    e.ret([e.word(SUSPEND)])
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


def fuel() -> Func:
    """Build (context, stack pointer) -> status, called from the fuel stub on the native stack; 0 means go on."""
    e = Stub("fuel", bytes([I64, I64]), bytes([I64]), CONV_C)
    context = e.params[0]
    e.take_gil(context)
    failed = e.new()
    empty = e.new()
    answer = e.call_with_ints(e.symbol("callback.refuel"), [context])
    e.split(e.equals(answer, 0), failed)
    e.c("Py_DecRef", [answer], ops.VOID)
    e.split(e.emit(ops.I64_NE, [answer, e.symbol("object.True")]), empty)
    e.ret([e.word(0)])
    e.at(empty)
    e.put32(TRAP_OUT_OF_FUEL, context, layout.CTX_TRAP_CODE)
    e.ret([e.word(1)])
    e.at(failed)
    fail(e, context)
    return e.func


def hot() -> Func:
    """Build (context, stack pointer) -> status, called from the stub of baseline code that is hot, on the native stack.

    The status is 0 to go on, in what the context says then, or 1 to leave wasm.
    """
    e = Stub("hot", bytes([I64, I64]), bytes([I64]), CONV_C)
    context = e.params[0]
    pc = e.get(context, layout.CTX_TRAP_PC)  # before anything that may run wasm, as the two words below are written after that
    e.take_gil(context)
    failed = e.new()
    answer = e.call_with_ints(e.symbol("callback.hot"), [pc])
    e.split(e.equals(answer, 0), failed)
    where = e.c("PyLong_AsUnsignedLongLongMask", [answer])
    e.c("Py_DecRef", [answer], ops.VOID)
    e.put(e.emit(ops.I64_AND, [where, e.word((1 << SIZE_SHIFT) - 1)]), context, layout.CTX_CONTINUATION)
    e.put(e.emit(ops.I64_SHR_U, [where, e.word(SIZE_SHIFT)]), context, layout.CTX_LEFT_SIZE)
    e.ret([e.word(0)])
    e.at(failed)
    fail(e, context)
    return e.func


# The fault handler in front of others (decision 015)


def keep_in_front() -> Func:
    """Build () -> 0: put one of our fault handlers in front unless one is."""
    e = Stub("keep_in_front", b"", bytes([I64]), CONV_C)
    number = e.const(I32, linux.SIGSEGV)
    room = e.symbol("static.present_action")
    e.c("sigaction", [number, e.word(0), room])
    present = e.get(room, 0)
    ahead = e.new()
    own = e.symbol("static.handler")
    e.when(e.emit(ops.I64_GE_U, [e.emit(ops.I64_SUB, [present, e.get(own, 0)]), e.get(own, 8)]), ahead)
    chosen = e.word(FAULT_HANDLERS - 1)  # which has to do when all others go on to something else
    for k in reversed(range(FAULT_HANDLERS - 1)):
        before = e.get(e.symbol("static.previous_handler"), 8 * k)
        fits = e.emit(ops.I32_OR, [e.emit(ops.I64_EQ, [before, present]), e.equals(before, UNUSED)])
        chosen = e.emit(ops.SELECT, [e.word(k), chosen, fits], 0, I64)
    place = e.emit(ops.I64_ADD, [e.symbol("static.previous_handler"), e.emit(ops.I64_SHL, [chosen, e.word(3)])])
    e.put(present, place, 0)
    offset = e.emit(ops.I64_MUL, [chosen, e.word(linux.ACTION_SIZE)])
    e.c("sigaction", [number, e.emit(ops.I64_ADD, [e.symbol("static.our_action"), offset]), e.word(0)])
    e.jump(ahead)
    e.at(ahead)
    e.ret([e.word(0)])
    return e.func


def followed(number: int) -> Func:
    """Build a method of C of any signature that calls another one, `method.NUMBER`, and then has our fault handler in front."""
    e = Stub("followed", bytes([I64] * 4), bytes([I64]), CONV_C)
    answer = e.c(f"method.{number}", list(e.params))
    e.c("stub.keep_in_front", [])
    e.ret([answer])
    return e.func
