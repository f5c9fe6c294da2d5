"""Floor 4: the way out of an entry from Python: exceptions, listeners, cleanup."""

from __future__ import annotations

from typing import Final

from figwasp import layout
from figwasp.ir import ops
from figwasp.ir.func import CONV_C, Func, Value
from figwasp.ir.ops import I32, I64
from figwasp.runtime.stubs.builder import Stub

_DEAD_ZONE: Final = 256  # bytes kept between the frames of a trap and what runs while they are read


class Pending:
    """The exception that was set, taken away: its type, value and traceback; zeros when there is none."""

    __slots__ = ("_area", "_e", "value")

    def __init__(self, e: Stub) -> None:
        self._e = e
        self._area = e.emit(ops.FRAME_AREA, [], 24)
        places = [self._area, *[e.emit(ops.I64_ADD, [self._area, e.word(offset)]) for offset in (8, 16)]]
        e.c("PyErr_Fetch", places, ops.VOID)
        e.c("PyErr_NormalizeException", places, ops.VOID)
        traced = e.new()
        e.unless_zero(e.get(self._area, 16), traced)
        e.c("PyException_SetTraceback", [e.get(self._area, 8), e.get(self._area, 16)])
        e.jump(traced)
        e.at(traced)
        self.value = e.get(self._area, 8)

    def restore(self) -> None:
        """Set the exception again as it was."""
        self._e.c("PyErr_Restore", [self._e.get(self._area, offset) for offset in (0, 8, 16)], ops.VOID)

    def replace(self, error: Value) -> None:
        """Set an exception instead, with the traceback it has: the same one, it may be. The reference is taken over."""
        self.forget()
        # Not PyErr_SetObject, which would have a say in the context of an exception that was raised before.
        args = [self._e.c("PyObject_Type", [error]), error, self._e.c("PyException_GetTraceback", [error])]
        self._e.c("PyErr_Restore", args, ops.VOID)

    def forget(self) -> None:
        """Drop the exception."""
        for offset in (0, 8, 16):
            self._e.c("Py_DecRef", [self._e.get(self._area, offset)], ops.VOID)


def fail() -> Func:
    """Build (context, trap code) -> 0 with an exception set: the one a host function left, or the one the hook makes of a trap.

    While the hook reads the frames, all other calls stay below them, and other threads find the chain running.
    """
    e = Stub("fail", bytes([I64] * 2), bytes([I64]), CONV_C)
    context, trap = e.params
    e.put32(0, context, layout.CTX_TRAP_CODE)
    pending = Pending(e)
    answer = _ask(e, context, trap, pending.value)
    broken, fresh, done = e.new(), e.new(), e.new()
    e.split(e.equals(answer, 0), broken)
    e.split(e.equals(pending.value, 0), fresh)
    pending.replace(answer)
    e.jump(done)
    e.at(fresh)
    kind = e.c("PyObject_Type", [answer])
    e.c("PyErr_SetObject", [kind, answer], ops.VOID)
    e.c("Py_DecRef", [kind], ops.VOID)
    e.c("Py_DecRef", [answer], ops.VOID)
    e.jump(done)
    e.at(broken)
    prefer(e, pending)
    e.jump(done)
    e.at(done)
    _tell_listeners(e, context)
    e.ret([e.c("stub.leave", [context, e.word(0)])])
    return e.func


def _ask(e: Stub, context: Value, trap: Value, pending: Value) -> Value:
    """Call the trap hook with what the context recorded; return the exception, a new reference, or 0."""
    kept = e.get(context, layout.CTX_WASM_SP)
    pointer = e.get(context, layout.CTX_TRAP_SP)
    below = e.emit(ops.I64_SUB, [pointer, e.word(_DEAD_ZONE)])
    e.put(e.emit(ops.I64_AND, [below, e.word(-16)]), context, layout.CTX_WASM_SP)
    e.add_depth(context, 1)
    numbers = [context, trap, e.get(context, layout.CTX_TRAP_PC), pointer]
    boxed = [e.c("PyLong_FromUnsignedLongLong", [number]) for number in numbers]
    given = e.emit(ops.I64_NE, [pending, e.word(0)])
    raised = e.emit(ops.SELECT, [pending, e.symbol("object.None"), given], 0, I64)
    answer = e.vectorcall(e.symbol("callback.explain_trap"), [*boxed, raised])
    for value in boxed:
        e.c("Py_DecRef", [value], ops.VOID)
    e.add_depth(context, -1)
    e.put(kept, context, layout.CTX_WASM_SP)
    return answer


def prefer(e: Stub, pending: Pending) -> None:
    """Choose the exception to raise after the hook has failed, perhaps for want of room: then the one before says more."""
    other, rest = e.new(), e.new()
    e.split(e.equals(pending.value, 0), other)
    deep = e.wrap(e.c("PyErr_ExceptionMatches", [e.symbol("object.RecursionError")]))
    e.split(e.emit(ops.I32_EQZ, [deep]), other)
    e.c("PyErr_Clear", [], ops.VOID)
    pending.restore()
    e.jump(rest)
    e.at(other)
    pending.forget()
    e.jump(rest)
    e.at(rest)


def trim() -> Func:
    """Build () -> 0: have the hook trim the traceback of the exception that is set."""
    e = Stub("trim", b"", bytes([I64]), CONV_C)
    broken = e.new()
    pending = Pending(e)
    answer = e.vectorcall(e.symbol("callback.trim_traceback"), [pending.value])
    e.split(e.equals(answer, 0), broken)
    pending.replace(answer)
    e.ret([e.word(0)])
    e.at(broken)
    prefer(e, pending)
    e.ret([e.word(0)])
    return e.func


def _tell_listeners(e: Stub, context: Value) -> None:
    """Call the abandon hook with the exception that is set, if the flag asks for it; one that the hook raises replaces it."""
    done, raised = e.new(), e.new()
    flags = e.get32(context, layout.CTX_FLAGS)
    e.when(e.emit(ops.I32_AND, [flags, e.const(I32, layout.FLAG_LISTENED)]), done)
    pending = Pending(e)
    e.add_depth(context, 1)
    number = e.c("PyLong_FromUnsignedLongLong", [context])
    answer = e.vectorcall(e.symbol("callback.end_listened_calls"), [number, pending.value])
    e.c("Py_DecRef", [number], ops.VOID)
    e.add_depth(context, -1)
    e.split(e.equals(answer, 0), raised)
    e.c("Py_DecRef", [answer], ops.VOID)
    pending.restore()
    e.jump(done)
    e.at(raised)
    pending.forget()
    e.jump(done)
    e.at(done)


def leave() -> Func:
    """Build (context, result) -> result, or 0 when an exception is set: the end of every entry that was not plain.

    When the outermost entry is leaving, its interrupt is over, and the cleanup hook is called if the flag asks for it. An
    exception that is set stays set; an interrupt may set one. Other threads find the chain running meanwhile. The result is a
    reference, or 0.
    """
    e = Stub("leave", bytes([I64] * 2), bytes([I64]), CONV_C)
    context, result = e.params
    done = e.new()
    flags = e.get32(context, layout.CTX_FLAGS)
    e.when(e.emit(ops.I32_AND, [flags, e.const(I32, layout.FLAG_CLEANUP)]), done)
    e.when(e.equals(e.get(context, layout.CTX_DEPTH), 0), done)
    saved = e.emit(ops.FRAME_AREA, [], 24)
    places = [saved, *[e.emit(ops.I64_ADD, [saved, e.word(offset)]) for offset in (8, 16)]]
    e.c("PyErr_Fetch", places, ops.VOID)
    e.add_depth(context, 1)
    answer = e.call_with_ints(e.symbol("callback.finish_chain"), [context])
    e.add_depth(context, -1)
    called = e.new()
    e.unless_zero(answer, called)
    e.c("Py_DecRef", [answer], ops.VOID)
    e.jump(called)
    e.at(called)
    e.unless_zero(e.get(saved, 0), done)
    e.c("PyErr_Restore", [e.get(saved, offset) for offset in (0, 8, 16)], ops.VOID)
    e.jump(done)
    e.at(done)
    end_interrupt(e, context)
    good, nothing = e.new(), e.new()
    e.split(e.equals(e.c("PyErr_Occurred", []), 0), good)
    e.unless_zero(result, nothing)
    e.c("Py_DecRef", [result], ops.VOID)
    e.jump(nothing)
    e.at(nothing)
    e.ret([e.word(0)])
    e.at(good)
    e.ret([result])
    return e.func


def end_interrupt(e: Stub, context: Value) -> None:
    """Clear the interrupt of a chain, if it has one and has come to its end."""
    rest = e.new()
    interrupted = e.emit(ops.I32_AND, [e.get32(context, layout.CTX_FLAGS), e.const(I32, layout.FLAG_INTERRUPTED)])
    over = e.equals(e.get(context, layout.CTX_DEPTH), 0)
    e.when(e.emit(ops.I32_AND, [e.emit(ops.I32_NE, [interrupted, e.const(I32, 0)]), over]), rest)
    e.put8(0, context, layout.CTX_FLAGS + 3)
    pending = e.symbol("static.interrupts")
    e.put(e.emit(ops.I64_SUB, [e.get(pending, 0), e.word(1)]), pending, 0)
    e.jump(rest)
    e.at(rest)
