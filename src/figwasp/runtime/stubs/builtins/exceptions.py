"""Floor 4: throwing exceptions, natively (decision 025).

In: `stubs.builtins.walk.find_handler`. Out: the builtin `throw`, and the function that it calls on the native stack; and what
gives wasm code the exceptions of host functions to catch.
"""

from __future__ import annotations

from typing import Final

from figwasp import layout
from figwasp.errors import TRAP_EXCEPTION
from figwasp.ir import builtins, ops
from figwasp.ir.func import CONV_C, CONV_WASM, Func, Value
from figwasp.ir.ops import I64
from figwasp.runtime.platform.processor import machine
from figwasp.runtime.stubs.builder import Stub
from figwasp.runtime.stubs.builtins.walk import PROBE
from figwasp.runtime.stubs.leave import Pending, prefer

__all__ = ["BUILTINS", "offer", "search", "throw"]


def throw() -> Func:
    """Build the builtin, which never returns: wasm goes on at the handler, or is left."""
    e = Stub("throw", bytes([I64, I64]), b"", CONV_WASM)
    exception = e.params[1]
    e.native("stub.throw.search", [e.emit(ops.CONTEXT, []), exception])
    e.emit(ops.UNWIND, [])
    return e.func


def search() -> Func:
    """Build (context, exception) -> 0: have `unwind` go on at the handler of an exception, or leave wasm with it.

    Either way it is in the context afterwards.
    """
    e = Stub("throw.search", bytes([I64] * 2), bytes([I64]), CONV_C)
    context, exception = e.params
    caught = e.new()
    e.put(exception, context, layout.CTX_EXCEPTION)
    pc, pointer = _where(e, context)
    found = e.c("stub.find_handler", [context, e.get(exception, layout.EXCEPTION_TAG), pc, pointer])
    e.split(e.emit(ops.I64_NE, [found, e.word(0)]), caught)
    e.put32(TRAP_EXCEPTION, context, layout.CTX_TRAP_CODE)
    e.put(pc, context, layout.CTX_TRAP_PC)
    e.put(pointer, context, layout.CTX_TRAP_SP)
    e.jump(caught)
    e.at(caught)
    e.ret([e.word(0)])
    return e.func


def offer() -> Func:
    """Build (context) -> 0: have `unwind` go on at the handler of the Python exception that is set, if wasm may catch it.

    Then it is set no longer, and no trap is noted. Where there is no handler at all, the hook is not called.
    """
    e = Stub("offer", bytes([I64]), bytes([I64]), CONV_C)
    context = e.params[0]
    pc, pointer = e.get(context, layout.CTX_TRAP_PC), e.get(context, layout.CTX_TRAP_SP)
    done, passed, dropped, broken = e.new(), e.new(), e.new(), e.new()
    e.split(e.equals(e.c("stub.find_handler", [context, e.word(PROBE), pc, pointer]), 0), done)
    pending = Pending(e)
    number = e.c("PyLong_FromUnsignedLongLong", [context])
    answer = e.vectorcall(e.symbol("callback.offer_exception"), [number, pending.value])
    e.c("Py_DecRef", [number], ops.VOID)
    e.split(e.equals(answer, 0), broken)
    e.c("Py_DecRef", [answer], ops.VOID)
    exception = e.get(context, layout.CTX_EXCEPTION)
    e.unless_zero(exception, passed)
    found = e.c("stub.find_handler", [context, e.get(exception, layout.EXCEPTION_TAG), pc, pointer])
    e.split(e.equals(found, 0), dropped)
    pending.forget()
    e.put32(0, context, layout.CTX_TRAP_CODE)
    e.ret([e.word(0)])
    e.at(dropped)
    e.put(e.word(0), context, layout.CTX_EXCEPTION)
    e.jump(passed)
    e.at(passed)
    pending.restore()
    e.ret([e.word(0)])
    e.at(broken)
    e.put(e.word(0), context, layout.CTX_EXCEPTION)
    prefer(e, pending)
    e.jump(done)
    e.at(done)
    e.ret([e.word(0)])
    return e.func


def _where(e: Stub, context: Value) -> tuple[Value, Value]:
    """Return where wasm is that has called native code: its return address, and the stack pointer there."""
    pointer = e.get(context, layout.CTX_WASM_SP)
    place = machine().sequences.native_return
    return e.get(pointer, place), e.emit(ops.I64_ADD, [pointer, e.word(place + 8)])


BUILTINS: Final = {builtins.THROW: throw}
