"""Floor 4: the code that keeps one of our fault handlers in front of others (decision 015)."""

from __future__ import annotations

from figwasp.ir import ops
from figwasp.ir.func import CONV_C, Func
from figwasp.ir.ops import I32, I64
from figwasp.runtime.platform import linux
from figwasp.runtime.stubs.builder import Stub
from figwasp.runtime.stubs.interface import FAULT_HANDLERS, UNUSED, FaultFront


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
