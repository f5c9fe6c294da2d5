"""Floor 3: the few instruction sequences written by hand: stack switching, the fault handler, the ticker thread.

Everything else, every other stub included, is IR. In: names of symbols, offsets. Out: code; jumps inside a sequence are relative.

Theory of operation. While wasm runs, the context is in r15, the stack pointer is on the chain's own stack, and the native
stack pointer to come back to is in the context. `to_wasm` and `to_native` are the only places that exchange the two; both keep
the value they overwrite on the stack they leave, so that calls nest. Leaving by a trap is jumping to `to_wasm.back`, which is
where a wasm call returns to: it restores the native stack pointer from the context, whatever the wasm one was.
"""

from __future__ import annotations

from typing import Final

from figwasp import layout
from figwasp.codegen.isa.x64 import insts as x
from figwasp.codegen.isa.x64.frames import INTS, KEPT, KEPT_SIZE, SAVED, SAVED_INTS, SAVED_POINTER
from figwasp.codegen.isa.x64.inst_buffer import InstBuffer
from figwasp.codegen.isa.x64.registers import (
    CC_AE,
    CC_E,
    CC_NE,
    R8,
    R9,
    R10,
    R11,
    R12,
    R13,
    R14,
    R15,
    RAX,
    RBP,
    RBX,
    RCX,
    RDI,
    RDX,
    RSI,
    RSP,
    XMM0,
)
from figwasp.codegen.sequences import SUSPEND, FaultPlaces, Sequence, SwitchPlaces, TickerPlaces

_MXCSR_DEFAULT: Final = 0x1F80
_MXCSR_CONTROL: Final = 0xFFC0  # all but the sticky exception flags


def _to_wasm(a: InstBuffer) -> None:
    """Native to wasm: r14 callee's instance (its first word leads to the context), r11 code, arguments in place.

    A C-convention caller has saved what it needs; only r15 is saved here, since no allocator knows it.
    """
    a.label("to_wasm")
    a.op(x.PUSH_R, rn=R15)
    a.load(x.MOV64_RM, R15, R14, layout.INST_STORE)
    a.load(x.MOV64_RM, R15, R15, layout.STORE_CONTEXT)
    a.store(x.PUSH_M, R15, layout.CTX_NATIVE_SP)
    # Wasm's floats need the default rounding and no flushing; some libraries leave the control register otherwise.
    a.store(x.STMXCSR_M, RSP, -8)
    a.load(x.MOV32_RM, R10, RSP, -8)
    a.tied(x.AND32_RI, R10, _MXCSR_CONTROL)
    a.op(x.CMP32_RI, rn=R10, imm=_MXCSR_DEFAULT)
    a.branch(CC_NE, "repair")
    a.label("call")
    a.store(x.MOV64_MR, R15, layout.CTX_NATIVE_SP, RSP)
    a.load(x.MOV64_RM, RSP, R15, layout.CTX_WASM_SP)
    a.op(x.CALL_R, rn=R11)
    a.label("returned")
    a.load(x.MOV64_RM, RSP, R15, layout.CTX_NATIVE_SP)
    a.store(x.POP_M, R15, layout.CTX_NATIVE_SP)
    a.op(x.POP_R, rd=R15)
    a.op(x.RET)
    a.label("repair")
    a.store(x.MOV32_MI, RSP, -8, imm=_MXCSR_DEFAULT)
    a.store(x.LDMXCSR_M, RSP, -8)
    a.jump("call")


def _unwind(a: InstBuffer) -> None:
    """Jumped to by what does not return: go on where a handler has been found, or leave wasm."""
    a.label("unwind")
    a.load(x.MOV64_RM, R11, R15, layout.CTX_LANDING_PC)
    a.test(R11)
    a.branch(CC_E, "returned")
    a.store(x.MOV64_MI, R15, layout.CTX_LANDING_PC, imm=0)
    a.load(x.MOV64_RM, RSP, R15, layout.CTX_LANDING_SP)
    a.op(x.JMP_R, rn=R11)


def _to_native(a: InstBuffer) -> None:
    """Wasm to native: r11 function, C arguments in place; rax comes back.

    The registers that native code preserves it may keep anywhere: the collector looks for their references here.
    """
    a.label("to_native")
    a.store(x.PUSH_M, R15, layout.CTX_WASM_SP)
    a.tied(x.SUB64_RI, RSP, KEPT_SIZE)
    for i, register in enumerate(KEPT):
        a.store(x.MOV64_MR, RSP, 8 * i, register)
    a.store(x.MOV64_MR, R15, layout.CTX_WASM_SP, RSP)
    a.load(x.MOV64_RM, RSP, R15, layout.CTX_NATIVE_SP)
    a.tied(x.SUB64_RI, RSP, 8)
    a.op(x.CALL_R, rn=R11)
    a.load(x.MOV64_RM, RSP, R15, layout.CTX_WASM_SP)
    a.tied(x.ADD64_RI, RSP, KEPT_SIZE)
    a.store(x.POP_M, R15, layout.CTX_WASM_SP)
    a.op(x.RET)


def _trap(a: InstBuffer, code: int) -> None:
    """An explicit trap: its site is the return address. The frames stay where they are, to be read."""
    a.label("trap")
    a.store(x.POP_M, R15, layout.CTX_TRAP_PC)
    a.store(x.MOV64_MR, R15, layout.CTX_TRAP_SP, RSP)
    a.store(x.MOV64_MI, R15, layout.CTX_FAULT_ADDRESS, imm=0)
    a.store(x.MOV32_MI, R15, layout.CTX_TRAP_CODE, imm=code)
    a.jump("returned")


def _restore_instance(a: InstBuffer) -> None:
    """Where a callee returns that has been called in the place of a function of another instance: see `assemble._tail_out`."""
    a.label("restore_instance")
    a.op(x.POP_R, rd=R14)
    a.op(x.RET)


def _suspend(a: InstBuffer, code: int) -> None:
    """The callee by which `to_native` leaves wasm with its frames in place: `resume` makes that call return."""
    a.label("suspend")
    a.load(x.MOV64_RM, RAX, R15, layout.CTX_WASM_SP)
    a.store(x.MOV64_MR, R15, layout.CTX_SUSPENDED_SP, RAX)
    a.store(x.MOV32_MI, R15, layout.CTX_TRAP_CODE, imm=code)
    a.jump("returned")


def _resume(a: InstBuffer) -> None:
    """The callee by which `to_wasm` resumes a suspended chain, whose stack pointer it has: rax is the result of `suspend`."""
    a.label("resume")
    for i, register in enumerate(KEPT):
        a.load(x.MOV64_RM, register, RSP, 8 + 8 * i)
    a.tied(x.ADD64_RI, RSP, 8 + KEPT_SIZE)
    a.store(x.POP_M, R15, layout.CTX_WASM_SP)
    a.op(x.RET)


def _slow_path(a: InstBuffer, name: str, cell: str) -> None:
    """The slow path of a stack check or of fuel: preserves every register. Called from wasm, out of line.

    The function whose address is in the cell gets context and stack pointer. When it answers SUSPEND wasm is left until it is
    resumed here; when the function, or the one that resumes, answers anything else but 0, wasm is left from here.
    """
    a.label(name)
    a.store(x.POP_M, R15, layout.CTX_TRAP_PC)
    a.store(x.MOV64_MR, R15, layout.CTX_TRAP_SP, RSP)
    a.store(x.PUSH_M, R15, layout.CTX_TRAP_PC)
    _save(a, 15)
    a.move(RDI, R15)
    a.load(x.MOV64_RM, RSI, R15, layout.CTX_TRAP_SP)
    a.symbol(R11, cell)
    a.load(x.MOV64_RM, R11, R11, 0)
    a.call("to_native")
    a.op(x.CMP64_RI, rn=RAX, imm=SUSPEND)
    a.branch(CC_NE, name + ".answered")
    a.address(R11, "suspend")
    a.call("to_native")
    a.label(name + ".answered")
    a.test(RAX)
    a.branch(CC_NE, name + ".leave")
    _restore(a, 15)
    a.op(x.RET)
    _leave_slow_path(a, name)


def _hot(a: InstBuffer, cell: str) -> None:
    """What baseline code calls out of line that has run often; preserves every register.

    The function whose address is in the cell gets context and stack pointer. When it answers anything else but 0 wasm is left
    from here. When it has put an address into the context, code there goes on in the place of the baseline code: that finds a
    copy of the frame, and everything as a call would leave it that has come from the same place.
    """
    a.label("hot")
    a.store(x.POP_M, R15, layout.CTX_TRAP_PC)
    a.store(x.MOV64_MR, R15, layout.CTX_TRAP_SP, RSP)
    a.store(x.PUSH_M, R15, layout.CTX_TRAP_PC)
    _save(a, 15)
    a.move(RDI, R15)
    a.load(x.MOV64_RM, RSI, R15, layout.CTX_TRAP_SP)
    a.symbol(R11, cell)
    a.load(x.MOV64_RM, R11, R11, 0)
    a.call("to_native")
    a.test(RAX)
    a.branch(CC_NE, "hot.leave")
    a.store(x.CMP64_MI, R15, layout.CTX_CONTINUATION, imm=0)
    a.branch(CC_NE, "hot.go_on")
    _restore(a, 15)
    a.op(x.RET)
    a.label("hot.go_on")
    a.load(x.MOV64_RM, R10, RSP, 8 * INTS.index(R10))  # which callees preserve, but native code does not
    a.tied(x.ADD64_RI, RSP, SAVED + 8 + 8)
    a.move(RSI, RSP)
    a.load(x.MOV64_RM, RDI, R15, layout.CTX_STACK_BASE)
    a.load(x.MOV64_RM, RCX, R15, layout.CTX_LEFT_SIZE)
    a.label("hot.copy")
    a.load(x.MOV64_RM, RAX, RSI, 0)
    a.store(x.MOV64_MR, RDI, 0, RAX)
    a.tied(x.ADD64_RI, RSI, 8)
    a.tied(x.ADD64_RI, RDI, 8)
    a.tied(x.SUB64_RI, RCX, 8)
    a.branch(CC_NE, "hot.copy")
    a.move(RSP, RSI)
    a.load(x.MOV64_RM, RBP, RBP, SAVED_POINTER)
    a.load(x.MOV64_RM, R11, R15, layout.CTX_CONTINUATION)
    a.store(x.MOV64_MI, R15, layout.CTX_CONTINUATION, imm=0)
    a.op(x.JMP_R, rn=R11)
    _leave_slow_path(a, "hot")


def _save(a: InstBuffer, floats: int, pushed: int = 0) -> None:
    """Save what native code does not preserve, and so many of the registers for floats, in a frame; a part may be there."""
    # One word short of a multiple of 16 beside the return address: calls below find the stack aligned.
    a.tied(x.SUB64_RI, RSP, SAVED + 8 - pushed)
    for i, register in enumerate(INTS):
        a.store(x.MOV64_MR, RSP, 8 * i, register)
    for i in range(floats):
        a.store(x.MOVUPS_MR, RSP, SAVED_INTS + 16 * i, XMM0 + i)


def _restore(a: InstBuffer, floats: int) -> None:
    """Restore the registers that `_save` has saved, and leave its frame."""
    for i in range(floats):
        a.load(x.MOVUPS_RM, XMM0 + i, RSP, SAVED_INTS + 16 * i)
    for i, register in enumerate(INTS):
        a.load(x.MOV64_RM, register, RSP, 8 * i)
    a.tied(x.ADD64_RI, RSP, SAVED + 8)


def _leave_slow_path(a: InstBuffer, name: str) -> None:
    """Leave wasm from a slow path: what ran meanwhile may have trapped itself, so say again where this was."""
    a.label(name + ".leave")
    a.tied(x.ADD64_RI, RSP, SAVED + 8)
    a.store(x.POP_M, R15, layout.CTX_TRAP_PC)
    a.store(x.MOV64_MR, R15, layout.CTX_TRAP_SP, RSP)
    a.jump("returned")


def _allocate(a: InstBuffer, cell: str) -> None:
    """The slow path of taking a cell of the heap: r11 class, rax comes back; preserves every other register.

    The function whose address is in the cell gets context, stack pointer and class. When it answers 0 wasm is left from here.
    """
    a.label("allocate")
    a.store(x.POP_M, R15, layout.CTX_TRAP_PC)
    a.store(x.MOV64_MR, R15, layout.CTX_TRAP_SP, RSP)
    a.store(x.PUSH_M, R15, layout.CTX_TRAP_PC)
    _save(a, 15)
    a.move(RDI, R15)
    a.load(x.MOV64_RM, RSI, R15, layout.CTX_TRAP_SP)
    a.move(RDX, R11)
    a.symbol(R11, cell)
    a.load(x.MOV64_RM, R11, R11, 0)
    a.call("to_native")
    a.test(RAX)
    a.branch(CC_E, "allocate.leave")
    a.store(x.MOV64_MR, RSP, 0, RAX)
    _restore(a, 15)
    a.op(x.RET)
    _leave_slow_path(a, "allocate")


def _lazy(a: InstBuffer, function: str) -> None:
    """The code that the cell of a function not yet compiled leads to: r11 function index, r14 instance, arguments in place.

    The entry has pushed how many bytes of stack arguments the function pops, for walks over frames.
    """
    a.label("lazy")
    _save(a, 8, pushed=8)
    a.move(RDI, R14)
    a.move(RSI, R11)
    a.move(RDX, R15)
    a.symbol(R11, function)
    a.call("to_native")
    a.test(RAX)
    a.branch(CC_E, "returned")
    a.move(R11, RAX)
    _restore(a, 8)
    a.op(x.JMP_R, rn=R11)


def fault_handlers(p: FaultPlaces, count: int, trap_code: int) -> Sequence:
    """Make SIGSEGV handlers, of which each has its own word with the handler before it; the entries are their numbers."""
    a = InstBuffer()
    for number in range(count):
        _fault_handler(a, p, number, trap_code)
    a.label("end")
    return a.finish("fault_handlers")


def _fault_handler(a: InstBuffer, p: FaultPlaces, number: int, trap_code: int) -> None:
    """Append a handler: (signal, siginfo, ucontext) in rdi, rsi, rdx.

    A fault at a pc in our code range with a context in r15 is a trap: the context learns where, and execution resumes at
    `returned`. Every other fault goes on to the handler before ours.
    """
    a.label(f"{number}")
    other, previous = f"{number}.other", f"{number}.previous"
    a.load(x.MOV64_RM, RAX, RDX, p.program_counter)
    a.symbol(RCX, p.code_start)
    a.move(R8, RAX)
    a.two(x.SUB64_RR, R8, RCX)
    a.op(x.CMP64_RI, rn=R8, imm=p.code_size)
    a.branch(CC_AE, other)
    a.load(x.MOV64_RM, R9, RDX, p.context_register)
    a.symbol(RCX, p.contexts)
    a.load(x.MOV64_RM, RCX, RCX, 0)
    a.move(R8, R9)
    a.two(x.SUB64_RR, R8, RCX)
    a.op(x.CMP64_RI, rn=R8, imm=p.contexts_size)
    a.branch(CC_AE, other)
    a.tied(x.ADD64_RI, RAX, layout.FAULT_OFFSET)
    a.store(x.MOV64_MR, R9, layout.CTX_TRAP_PC, RAX)
    a.load(x.MOV64_RM, RAX, RSI, p.fault_address)
    a.store(x.MOV64_MR, R9, layout.CTX_FAULT_ADDRESS, RAX)
    a.load(x.MOV64_RM, RAX, RDX, p.stack_pointer)
    a.store(x.MOV64_MR, R9, layout.CTX_TRAP_SP, RAX)
    a.store(x.MOV32_MI, R9, layout.CTX_TRAP_CODE, imm=trap_code)
    a.symbol(RAX, p.returned)
    a.store(x.MOV64_MR, RDX, p.program_counter, RAX)
    a.op(x.RET)
    a.label(other)
    a.symbol(RAX, p.previous)
    a.load(x.MOV64_RM, RAX, RAX, 8 * number)
    a.op(x.CMP64_RI, rn=RAX, imm=2)  # SIG_DFL and SIG_IGN are 0 and 1
    a.branch(CC_AE, previous)
    # Restore the default disposition and return: the fault repeats and does what it always did.
    a.op(x.MOV32_RI, rd=RAX, imm=p.sys_sigaction)
    a.symbol(RSI, p.default_action)
    a.op(x.MOV32_RI, rd=RDX, imm=0)
    a.op(x.MOV32_RI, rd=R10, imm=8)
    a.op(x.SYSCALL)
    a.op(x.RET)
    a.label(previous)
    a.op(x.JMP_R, rn=RAX)


def ticker(p: TickerPlaces) -> Sequence:
    """Make the body of the ticker thread: raise the limit of every running chain, sleep, repeat; park when none runs.

    Before it parks it raises the limit of every context, so that the first check of the next chain to run finds it and the tick
    function wakes the ticker.
    """
    a = InstBuffer()
    a.op(x.PUSH_R, rn=RBX)
    a.op(x.MOV32_RI, rd=R13, imm=0)
    a.label("loop")
    a.op(x.MOV32_RI, rd=RAX, imm=p.sys_nanosleep)
    a.symbol(RDI, p.interval)
    a.op(x.MOV32_RI, rd=RSI, imm=0)
    a.op(x.SYSCALL)
    _walk_contexts(a, p, "running", only_running=True)
    a.test(R12)
    a.branch(CC_NE, "busy")
    a.tied(x.ADD32_RI, R13, 1)
    a.op(x.CMP32_RI, rn=R13, imm=p.idle_rounds)
    a.branch(2, "loop")  # below
    a.symbol(RBX, p.parked)
    a.store(x.MOV64_MI, RBX, 0, imm=1)
    a.op(x.MFENCE)
    _walk_contexts(a, p, "idle", only_running=False)
    a.op(x.MOV32_RI, rd=RAX, imm=p.sys_futex)
    a.move(RDI, RBX)
    a.op(x.MOV32_RI, rd=RSI, imm=128)  # FUTEX_WAIT_PRIVATE
    a.op(x.MOV32_RI, rd=RDX, imm=1)
    a.op(x.MOV32_RI, rd=R10, imm=0)
    a.op(x.SYSCALL)
    a.label("busy")
    a.op(x.MOV32_RI, rd=R13, imm=0)
    a.jump("loop")
    return a.finish("ticker")


def _walk_contexts(a: InstBuffer, p: TickerPlaces, name: str, only_running: bool) -> None:
    """Raise the limit of the contexts; r12 counts those that run."""
    a.op(x.MOV32_RI, rd=R12, imm=0)
    a.symbol(RBX, p.used)
    a.load(x.MOV64_RM, RCX, RBX, 0)
    a.symbol(RBX, p.contexts)
    a.load(x.MOV64_RM, RBX, RBX, 0)
    a.label(name)
    a.test(RCX)
    a.branch(CC_E, name + ".done")
    if only_running:
        a.store(x.CMP64_MI, RBX, layout.CTX_DEPTH, imm=0)
        a.branch(CC_E, name + ".next")
        a.tied(x.ADD32_RI, R12, 1)
    a.store(x.MOV64_MI, RBX, layout.CTX_STACK_LIMIT, imm=-1)
    a.label(name + ".next")
    a.tied(x.ADD64_RI, RBX, layout.CTX_SIZE)
    a.tied(x.SUB64_RI, RCX, 1)
    a.jump(name)
    a.label(name + ".done")
    if not only_running:
        a.symbol(RBX, p.parked)


def wake(parked: str, sys_futex: int) -> Sequence:
    """Make the function that wakes the ticker: () in the C convention."""
    a = InstBuffer()
    a.symbol(RDI, parked)
    a.store(x.MOV64_MI, RDI, 0, imm=0)
    a.op(x.MOV32_RI, rd=RAX, imm=sys_futex)
    a.op(x.MOV32_RI, rd=RSI, imm=129)  # FUTEX_WAKE_PRIVATE
    a.op(x.MOV32_RI, rd=RDX, imm=1)
    a.op(x.SYSCALL)
    a.op(x.RET)
    return a.finish("wake")


def switches(trap_unreachable: int, trap_suspended: int, places: SwitchPlaces) -> Sequence:
    """Make the stack switching stubs."""
    a = InstBuffer()
    _to_wasm(a)
    _to_native(a)
    _unwind(a)
    _trap(a, trap_unreachable)
    _slow_path(a, "tick", places.tick)
    _slow_path(a, "fuel", places.fuel)
    _allocate(a, places.allocate)
    _hot(a, places.hot)
    _lazy(a, places.compile)
    _suspend(a, trap_suspended)
    _resume(a)
    _restore_instance(a)
    return a.finish("switches")
