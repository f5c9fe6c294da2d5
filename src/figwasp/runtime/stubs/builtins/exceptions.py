"""Floor 4: throwing exceptions, natively (decision 025).

In: `stubs.walk.find_handler`. Out: the builtin `throw`, and the function that it calls on the native stack.
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

__all__ = ["BUILTINS", "search", "throw", "where"]


def throw(search_address: int) -> Func:
    """Build the builtin, which never returns: wasm goes on at the handler, or is left."""
    e = Stub("throw", bytes([I64, I64]), b"", CONV_WASM)
    exception = e.params[1]
    e.native(search_address, [e.emit(ops.CONTEXT, []), exception])
    e.emit(ops.UNWIND, [])
    return e.func


def search(find_handler: int) -> Func:
    """Build (context, exception) -> 0: have `unwind` go on at the handler of an exception, or leave wasm with it.

    Either way it is in the context afterwards.
    """
    e = Stub("throw.search", bytes([I64] * 2), bytes([I64]), CONV_C)
    context, exception = e.params
    caught = e.new()
    e.put(exception, context, layout.CTX_EXCEPTION)
    pc, pointer = where(e, context)
    found = e.c(find_handler, [context, e.get(exception, layout.EXCEPTION_TAG), pc, pointer])
    e.split(e.emit(ops.I64_NE, [found, e.word(0)]), caught)
    e.put32(TRAP_EXCEPTION, context, layout.CTX_TRAP_CODE)
    e.put(pc, context, layout.CTX_TRAP_PC)
    e.put(pointer, context, layout.CTX_TRAP_SP)
    e.jump(caught)
    e.at(caught)
    e.ret([e.word(0)])
    return e.func


def where(e: Stub, context: Value) -> tuple[Value, Value]:
    """Return where wasm is that has called native code: its return address, and the stack pointer there."""
    pointer = e.get(context, layout.CTX_WASM_SP)
    place = machine().sequences.native_return
    return e.get(pointer, place), e.emit(ops.I64_ADD, [pointer, e.word(place + 8)])


BUILTINS: Final = frozenset((builtins.THROW,))
