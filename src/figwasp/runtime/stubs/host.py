"""Floor 4: wasm -> Python: host functions, builtins, lazy compilation, ticks.

A host function's FuncRef has `host` as its code and, as its instance, the address of a pair of PyObject* slots: the callable
and its record. `host` (convention wasm) stores its operands in 8-byte cells of its own frame and calls `body` (convention
C) on the native stack.
"""

from __future__ import annotations

from typing import Final

from figwasp import layout
from figwasp.codegen.abi import buffer_layout
from figwasp.errors import (
    TRAP_HOST,
    TRAP_INTERRUPTED,
    TRAP_OUT_OF_BOUNDS_MEMORY,
    TRAP_OUT_OF_FUEL,
    TRAP_STACK_EXHAUSTED,
    TRAP_TIMEOUT,
)
from figwasp.ir import builtins, ops
from figwasp.ir.func import CONV_C, CONV_WASM, Block, Func, Value
from figwasp.ir.ops import I32, I64
from figwasp.ir.types import CELL
from figwasp.runtime.platform import linux
from figwasp.runtime.stubs.box import Boxes
from figwasp.runtime.stubs.builder import REF, Stub, ir_kinds

HOST_CALLABLE: Final = 0  # fields of the pair of slots
HOST_RECORD: Final = 8

TICKS_BETWEEN_CHECKS: Final = 10  # the main thread runs signal handlers at most every so many ticks while it has given the GIL up
YIELD_MICROSECONDS: Final = 100  # longer than it takes to wake a thread, short beside the 5 ms of a tick
FAULT_HANDLERS: Final = 8  # one for each handler that may be before ours
UNUSED: Final = -1
_STRIDE: Final = 1 << 20  # bytes of a bulk operation between two polls


def host(params: bytes, results: bytes, body_address: int) -> Func:
    """Build the wasm side of host functions of a type."""
    e = Stub("host", bytes([I64]) + params, results, CONV_WASM)
    pair, *values = e.params
    buffer = store_operands(e, values, results)
    status = e.native(body_address, [pair, buffer, e.emit(ops.CONTEXT, [])])
    return_or_unwind(e, status, results, buffer)
    return e.func


def store_operands(e: Stub, values: list[Value], results: bytes) -> Value:
    """Put operands into a buffer in the frame, where the results will be as well; return its address."""
    cells = [buffer_layout(types)[1] for types in (bytes(value.type for value in values), results)]
    buffer = e.emit(ops.FRAME_AREA, [], CELL * max(*cells, 1))
    e.store_values(values, buffer)
    return buffer


def return_or_unwind(e: Stub, status: Value, results: bytes, buffer: Value) -> None:
    """Return the results from the buffer when the status is 0, else leave wasm."""
    failed = e.new()
    e.split(e.emit(ops.I64_NE, [status, e.word(0)]), failed)
    e.ret(e.load_values(results, buffer))
    e.at(failed)
    e.emit(ops.UNWIND, [])


def _fail(e: Stub, context: Value) -> None:
    """End with status 1: a Python exception is set."""
    note_failure(e, context, e.get(context, layout.CTX_WASM_SP))
    e.ret([e.word(1)])


def note_failure(e: Stub, context: Value, pointer: Value) -> None:
    """Record that a Python exception is set, and where wasm is: `pointer` is what `to_native` left for the way back."""
    e.put32(TRAP_HOST, context, layout.CTX_TRAP_CODE)
    e.put(e.get(pointer, 8), context, layout.CTX_TRAP_PC)
    e.put(e.emit(ops.I64_ADD, [pointer, e.word(16)]), context, layout.CTX_TRAP_SP)


def body(params: bytes, results: bytes, dead: int, boxes: Boxes) -> Func:
    """Build the C side of host functions of a type of numbers, and externref parameters: (pair, buffer, context) -> status.

    Args:
        params, results: kinds.
        dead: PyObject* of a callable that raises, called when the collector has cleared the pair.
        boxes: makes Python objects of numbers.
    """
    e = Stub("host.body", bytes([I64] * 3), bytes([I64]), CONV_C)
    pair, buffer, context = e.params
    failed = e.new()
    e.take_gil(context)
    callable_ = _live(e, e.get(pair, HOST_CALLABLE), dead)
    loads = e.load_values(ir_kinds(params), buffer)
    boxed = [boxes.box(e, kind, value, k) for k, (kind, value) in enumerate(zip(params, loads, strict=True))]
    for kind, value in zip(params, boxed, strict=True):
        if kind != REF:
            e.split(e.equals(value, 0), failed)  # no memory for a number
    answer = e.vectorcall(callable_, boxed)
    for value in boxed:
        e.decref(value)
    e.split(e.equals(answer, 0), failed)
    odd = e.new()
    if results:
        things = [answer] if len(results) == 1 else e.tuple_items(answer, len(results), odd)
        e.store_values(e.unbox_all(results, things, odd), buffer)
    else:
        e.split(e.emit(ops.I64_NE, [answer, e.word(id(None))]), odd)
    e.decref(answer)
    e.ret([e.word(0)])
    _convert_slowly(e, pair, buffer, answer, odd, failed, dead)
    e.at(failed)
    _fail(e, context)
    return e.func


def _convert_slowly(e: Stub, pair: Value, buffer: Value, answer: Value, odd: Block, failed: Block, dead: int) -> None:
    """At `odd`: let the record convert the answer into the buffer, or raise."""
    raised = e.new()
    e.at(odd)
    e.forgive(raised)
    record = _live(e, e.get(pair, HOST_RECORD), dead)
    cell = e.c("PyLong_FromUnsignedLongLong", [buffer])
    converted = e.vectorcall(record, [cell, answer])
    e.c("Py_DecRef", [cell], ops.VOID)
    e.c("Py_DecRef", [answer], ops.VOID)
    e.split(e.equals(converted, 0), failed)
    e.c("Py_DecRef", [converted], ops.VOID)
    e.ret([e.word(0)])
    e.at(raised)
    e.c("Py_DecRef", [answer], ops.VOID)
    e.jump(failed)


def _live(e: Stub, reference: Value, dead: int) -> Value:
    """The reference, or the callable that raises when it is 0."""
    return e.emit(ops.SELECT, [reference, e.word(dead), e.emit(ops.I64_NE, [reference, e.word(0)])], 0, I64)


def general_body(dead: int) -> Func:
    """Build the C side of all other host functions: the record reads the operands' bits, calls, writes the results' bits."""
    e = Stub("host.general", bytes([I64] * 3), bytes([I64]), CONV_C)
    pair, buffer, context = e.params
    e.take_gil(context)
    serve(e, e.get(pair, HOST_RECORD), [buffer], context, dead)
    return e.func


def serve(e: Stub, record: Value, numbers: list[Value], context: Value, dead: int) -> None:
    """Call a record, which leaves its answer where the numbers say, and return the status."""
    failed = e.new()
    answer = e.call_with_ints(_live(e, record, dead), numbers)
    e.split(e.equals(answer, 0), failed)
    e.c("Py_DecRef", [answer], ops.VOID)
    e.ret([e.word(0)])
    e.at(failed)
    _fail(e, context)


def builtin(number: int, function: int, caller_address: int) -> Func:
    """Build the wasm side of a builtin that Python implements.

    Args:
        number: of the builtin.
        function: PyObject* of the callable that implements it.
        caller_address: code of `call_python` for so many operands.
    """
    results = builtins.RESULTS[number]
    e = Stub(f"builtin.{number}", bytes([I64]) + builtins.PARAMS[number], results, CONV_WASM)
    instance, *values = e.params
    wide = [v if v.type == I64 else e.emit(ops.I64_EXTEND_I32_U, [v]) for v in values]
    buffer = store_operands(e, wide, results)
    status = e.native(caller_address, [instance, buffer, e.word(function), e.emit(ops.CONTEXT, [])])
    return_or_unwind(e, status, results, buffer)
    return e.func


def call_python(count: int, refuse_cleared: int) -> Func:
    """Build (instance, buffer, function, context) -> status: call a Python function about an instance.

    It is called with the instance's Python side and `count` operands, unsigned ints from the buffer, where the answer goes, an int
    or None.
    """
    e = Stub(f"call_python.{count}", bytes([I64] * 4), bytes([I64]), CONV_C)
    instance, buffer, function, context = e.params
    failed = e.new()
    e.take_gil(context)
    answer = _ask_about(e, instance, function, [e.get(buffer, 8 * i) for i in range(count)], refuse_cleared)
    e.split(e.equals(answer, 0), failed)
    none = e.new()
    e.split(e.equals(answer, id(None)), none)
    e.put(e.c("PyLong_AsUnsignedLongLongMask", [answer]), buffer, 0)
    e.jump(none)
    e.at(none)
    e.c("Py_DecRef", [answer], ops.VOID)
    e.ret([e.word(0)])
    e.at(failed)
    _fail(e, context)
    return e.func


def compile_on_call(function: int, refuse_cleared: int) -> Func:
    """Build (instance, function index, context) -> address of the function's code, or 0 with a Python exception set.

    Args:
        function: PyObject* of a callable that gets the instance's Python side, the index and the context's address.
        refuse_cleared: PyObject* of a callable that raises, called when the collector has cleared the instance.
    """
    e = Stub("compile_on_call", bytes([I64] * 3), bytes([I64]), CONV_C)
    instance, index, context = e.params
    failed = e.new()
    e.take_gil(context)
    answer = _ask_about(e, instance, e.word(function), [index, context], refuse_cleared)
    e.split(e.equals(answer, 0), failed)
    code = e.c("PyLong_AsUnsignedLongLongMask", [answer])
    e.c("Py_DecRef", [answer], ops.VOID)
    e.ret([code])
    e.at(failed)
    note_failure(e, context, e.get(context, layout.CTX_WASM_SP))
    e.ret([e.word(0)])
    return e.func


def _ask_about(e: Stub, instance: Value, function: Value, numbers: list[Value], refuse_cleared: int) -> Value:
    """Call a Python function with the Python side of an instance and unsigned ints; a new reference or 0."""
    state = e.get(e.get(instance, layout.INST_STATE), 0)
    alive = e.emit(ops.I64_NE, [state, e.word(0)])
    target = e.emit(ops.SELECT, [function, e.word(refuse_cleared), alive], 0, I64)
    return e.call_with_ints(target, numbers, e.emit(ops.SELECT, [state, e.word(id(None)), alive], 0, I64))


def _bounds(e: Stub, memory: Value, start: Value, length: Value) -> Value:
    """Trap unless [start, start + length) lies in the instance's memory; return the address of the first byte."""
    instance = e.params[0]
    # The records of the memories come first in the variable part of an instance block, whatever the module.
    place = e.emit(ops.I64_SHL, [e.emit(ops.I64_EXTEND_I32_U, [memory]), e.word(4)])
    record = e.get(e.emit(ops.I64_ADD, [instance, place]), layout.INST_FIXED)
    size = e.get(record, layout.MEM_LENGTH)
    # Not by the end, which may be beyond 64 bits.
    longer = e.emit(ops.I64_GT_U, [length, size])
    beyond = e.emit(ops.I64_GT_U, [start, e.emit(ops.I64_SUB, [size, length])])
    e.emit(ops.TRAPIF, [e.emit(ops.I32_OR, [longer, beyond])], TRAP_OUT_OF_BOUNDS_MEMORY)
    return e.emit(ops.I64_ADD, [e.get(record, layout.MEM_BASE), start])


class _Strides:
    """A loop over a length in pieces, so that a long bulk operation can be interrupted: opened in its body.

    Attributes:
        done: bytes before this piece.
        piece: bytes of this piece.
    """

    __slots__ = ("_emitter", "_head", "done", "piece")

    def __init__(self, e: Stub, length: Value) -> None:
        self._emitter = e
        self._head = e.new()
        self._head.loop = True
        e.jump(self._head, [e.word(0)])
        e.at(self._head)
        self.done = e.func.new_param(self._head, I64)
        e.emit(ops.POLL, [])
        left = e.emit(ops.I64_SUB, [length, self.done])
        body = e.new()
        e.brif(e.emit(ops.I64_NE, [left, e.word(0)]), body, body)
        e.at(body)
        small = e.emit(ops.I64_LT_U, [left, e.word(_STRIDE)])
        self.piece = e.emit(ops.SELECT, [left, e.word(_STRIDE), small], 0, I64)

    def close(self) -> None:
        """End the body; the stub goes on after the loop."""
        e = self._emitter
        e.jump(self._head, [e.emit(ops.I64_ADD, [self.done, self.piece])])
        after = e.new()
        self._head.succs[1] = after
        e.at(after)


def memory_fill() -> Func:
    """Build memory.fill (spec 4.6.10): (instance, memory, start, value, length)."""
    e = Stub("memory.fill", bytes([I64]) + builtins.PARAMS[builtins.MEMORY_FILL], b"", CONV_WASM)
    _, memory, start, value, length = e.params
    first = _bounds(e, memory, start, length)
    strides = _Strides(e, length)
    target = e.emit(ops.I64_ADD, [first, strides.done])
    e.native(linux.symbol("memset"), [target, e.emit(ops.I64_EXTEND_I32_U, [value]), strides.piece])
    strides.close()
    e.ret([])
    return e.func


def memory_copy() -> Func:
    """Build memory.copy (spec 4.6.10): (instance, target memory, source memory, target, source, length)."""
    e = Stub("memory.copy", bytes([I64]) + builtins.PARAMS[builtins.MEMORY_COPY], b"", CONV_WASM)
    _, to_memory, from_memory, to, from_, length = e.params
    source = _bounds(e, from_memory, from_, length)
    target = _bounds(e, to_memory, to, length)
    backwards = e.new()
    e.split(e.emit(ops.I64_GT_U, [target, source]), backwards)
    forward = _Strides(e, length)
    _move(e, target, source, forward.done, forward.piece)
    forward.close()
    e.ret([])
    # The target lies above the source: the last piece first, so that no piece overwrites one still to be copied.
    e.at(backwards)
    strides = _Strides(e, length)
    before = e.emit(ops.I64_SUB, [e.emit(ops.I64_SUB, [length, strides.done]), strides.piece])
    _move(e, target, source, before, strides.piece)
    strides.close()
    e.ret([])
    return e.func


def _move(e: Stub, target: Value, source: Value, offset: Value, size: Value) -> None:
    to = e.emit(ops.I64_ADD, [target, offset])
    e.native(linux.symbol("memmove"), [to, e.emit(ops.I64_ADD, [source, offset]), size])


NATIVE_BUILTINS: Final = {builtins.MEMORY_FILL: memory_fill, builtins.MEMORY_COPY: memory_copy}
"""Builtins that need nothing of Python."""


class FaultFront:
    """Addresses for putting one of our fault handlers in front of one installed after them (`native.handler`).

    Attributes:
        handler: of the words that hold the address of our first handler, the size of all, and the address of `keep_in_front`.
        previous: of the words that hold the handlers before ours.
        ours: of the structs sigaction of our handlers.
        present: of room for a struct sigaction.
    """

    __slots__ = ("handler", "ours", "present", "previous")

    def __init__(self, handler: int, previous: int, ours: int, present: int) -> None:
        self.handler = handler
        self.previous = previous
        self.ours = ours
        self.present = present


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


def keep_in_front(front: FaultFront) -> Func:
    """Build () -> 0: put one of our fault handlers in front unless one is."""
    e = Stub("keep_in_front", b"", bytes([I64]), CONV_C)
    sigaction = linux.symbol("sigaction")
    number = e.const(I32, linux.SIGSEGV)
    room = e.word(front.present)
    e.c(sigaction, [number, e.word(0), room])
    present = e.get(room, 0)
    ahead = e.new()
    own = e.word(front.handler)
    e.when(e.emit(ops.I64_GE_U, [e.emit(ops.I64_SUB, [present, e.get(own, 0)]), e.get(own, 8)]), ahead)
    chosen = e.word(FAULT_HANDLERS - 1)  # which has to do when all others go on to something else
    for k in reversed(range(FAULT_HANDLERS - 1)):
        before = e.get(e.word(front.previous), 8 * k)
        fits = e.emit(ops.I32_OR, [e.emit(ops.I64_EQ, [before, present]), e.equals(before, UNUSED)])
        chosen = e.emit(ops.SELECT, [e.word(k), chosen, fits], 0, I64)
    place = e.emit(ops.I64_ADD, [e.word(front.previous), e.emit(ops.I64_SHL, [chosen, e.word(3)])])
    e.put(present, place, 0)
    offset = e.emit(ops.I64_MUL, [chosen, e.word(linux.ACTION_SIZE)])
    e.c(sigaction, [number, e.emit(ops.I64_ADD, [e.word(front.ours), offset]), e.word(0)])
    e.jump(ahead)
    e.at(ahead)
    e.ret([e.word(0)])
    return e.func


def followed(function: int, keep: int) -> Func:
    """Build a method of C of any signature that calls another, and then has our fault handler in front.

    Args:
        function: address of the other.
        keep: of `keep_in_front`.
    """
    e = Stub("followed", bytes([I64] * 4), bytes([I64]), CONV_C)
    answer = e.c(function, list(e.params))
    e.c(keep, [])
    e.ret([answer])
    return e.func


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
    _check_interrupts(e, context, ends, interrupted)
    _check_deadline(e, ends, expired)
    _give_turn(e, context, failed, suspend)
    _run_signal_handlers(e, context, ticks, failed)
    e.put8(layout.FLAG_GIL_RELEASED, context, layout.CTX_FLAGS)
    e.c("PyEval_SaveThread", [])
    # A host call may come within nanoseconds: whoever waits for the GIL has to wake up first, or waits for the next tick.
    e.c(linux.symbol("usleep"), [e.const(I32, YIELD_MICROSECONDS)])
    e.ret([e.word(0)])
    e.at(failed)
    _fail(e, context)
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


def _check_interrupts(e: Stub, context: Value, ends: Ends, interrupted: Block) -> None:
    """Go to `interrupted` when a call of the thread is interrupted, this one or one that has brought it about."""
    none = e.new()
    e.unless_zero(e.get(e.word(ends.pending), 0), none)
    found = e.c(ends.interrupted, [e.get(context, layout.CTX_THREAD_STATE)])
    e.split(e.emit(ops.I64_NE, [found, e.word(0)]), interrupted)
    e.jump(none)
    e.at(none)


def _check_deadline(e: Stub, ends: Ends, expired: Block) -> None:
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
    _fail(e, context)
    return e.func


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
