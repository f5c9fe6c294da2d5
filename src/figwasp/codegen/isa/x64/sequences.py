"""Floor 3: the few instruction sequences written by hand: stack switching, the fault handler, the ticker thread.

Everything else, every other stub included, is IR. In: addresses and offsets. Out: position-dependent bytes, except that jumps
inside a sequence are relative.

Theory of operation. While wasm runs, the context is in r15, the stack pointer is on the chain's own stack, and the native
stack pointer to come back to is in the context. `to_wasm` and `to_native` are the only places that exchange the two; both keep
the value they overwrite on the stack they leave, so that calls nest. Leaving by a trap is jumping to `to_wasm.back`, which is
where a wasm call returns to: it restores the native stack pointer from the context, whatever the wasm one was.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from figwasp import layout
from figwasp.codegen.isa.x64 import insts as x
from figwasp.codegen.isa.x64.features import EXTENDED_1_ECX, LEAF_1_ECX, LEAF_7_EBX, PROBE_WORDS, XCR0
from figwasp.codegen.isa.x64.inst_buffer import InstBuffer
from figwasp.codegen.isa.x64.registers import (
    CC_AE,
    CC_B,
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
from figwasp.codegen.sequences import SUSPEND, FaultPlaces, Sequences, Switches, TickerPlaces

_LOOK: Final = 32  # bytes of a function that are looked at
_ENDBR: Final = bytes.fromhex("F30F1EFA")
_LOAD_FS: Final = bytes.fromhex("64488B0425")  # mov rax, fs:offset
_LOAD_RIP: Final = bytes.fromhex("488B05")  # mov rax, [rip + distance], the offset
_LOAD_FS_RAX: Final = bytes.fromhex("64488B00")  # mov rax, fs:[rax]
_GOT_LOAD: Final = len(_LOAD_RIP) + 4
_LEA_INDEX: Final = bytes.fromhex("4883EC0866488D3D")  # sub rsp, 8; lea rdi, [rip + distance], a tls_index
_INDEX_CALL: Final = len(_LEA_INDEX) + 4
_CALL: Final = bytes.fromhex("666648E8")  # call __tls_get_addr, padded as the ABI of thread-local storage wants it
_INDEX_END: Final = _INDEX_CALL + len(_CALL) + 4
_LOAD_RAX: Final = bytes.fromhex("488B00")  # mov rax, [rax]
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
    a.label("back")
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
    a.branch(CC_E, "back")
    a.store(x.MOV64_MI, R15, layout.CTX_LANDING_PC, imm=0)
    a.load(x.MOV64_RM, RSP, R15, layout.CTX_LANDING_SP)
    a.op(x.JMP_R, rn=R11)


_KEPT: Final = (RBX, RBP, R12, R13, R14)
"""Registers that native code preserves, and code around a call of it relies on: from the stack pointer in the context upwards."""
_KEPT_SIZE: Final = 48  # a multiple of 16


def _to_native(a: InstBuffer) -> None:
    """Wasm to native: r11 function, C arguments in place; rax comes back.

    The registers that native code preserves it may keep anywhere: the collector looks for their references here.
    """
    a.label("to_native")
    a.store(x.PUSH_M, R15, layout.CTX_WASM_SP)
    a.tied(x.SUB64_RI, RSP, _KEPT_SIZE)
    for i, register in enumerate(_KEPT):
        a.store(x.MOV64_MR, RSP, 8 * i, register)
    a.store(x.MOV64_MR, R15, layout.CTX_WASM_SP, RSP)
    a.load(x.MOV64_RM, RSP, R15, layout.CTX_NATIVE_SP)
    a.tied(x.SUB64_RI, RSP, 8)
    a.op(x.CALL_R, rn=R11)
    a.load(x.MOV64_RM, RSP, R15, layout.CTX_WASM_SP)
    a.tied(x.ADD64_RI, RSP, _KEPT_SIZE)
    a.store(x.POP_M, R15, layout.CTX_WASM_SP)
    a.op(x.RET)


def _trap(a: InstBuffer, code: int) -> None:
    """An explicit trap: its site is the return address. The frames stay where they are, to be read."""
    a.label("trap")
    a.store(x.POP_M, R15, layout.CTX_TRAP_PC)
    a.store(x.MOV64_MR, R15, layout.CTX_TRAP_SP, RSP)
    a.store(x.MOV64_MI, R15, layout.CTX_FAULT_ADDRESS, imm=0)
    a.store(x.MOV32_MI, R15, layout.CTX_TRAP_CODE, imm=code)
    a.jump("back")


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
    a.jump("back")


def _resume(a: InstBuffer) -> None:
    """The callee by which `to_wasm` resumes a suspended chain, whose stack pointer it has: rax is the result of `suspend`."""
    a.label("resume")
    for i, register in enumerate(_KEPT):
        a.load(x.MOV64_RM, register, RSP, 8 + 8 * i)
    a.tied(x.ADD64_RI, RSP, 8 + _KEPT_SIZE)
    a.store(x.POP_M, R15, layout.CTX_WASM_SP)
    a.op(x.RET)


_INTS: Final = (RAX, RCX, RDX, RSI, RDI, R8, R9, R10)
_SAVED_INTS: Final = 8 * len(_INTS)
_SAVED: Final = _SAVED_INTS + 16 * 15
_LAZY_FRAME: Final = _SAVED + 8
_LAZY_ENTRY: Final = struct.Struct("<BiBBIBi")
"""push bytes; mov r11d, index; jmp lazy."""


def _slow_path(a: InstBuffer, name: str, cell: int) -> None:
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
    a.op(x.MOV64_RI, rd=R11, imm=cell)
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


def _save(a: InstBuffer, floats: int, pushed: int = 0) -> None:
    """Save what native code does not preserve, and so many of the registers for floats, in a frame; a part may be there."""
    # One word short of a multiple of 16 beside the return address: calls below find the stack aligned.
    a.tied(x.SUB64_RI, RSP, _SAVED + 8 - pushed)
    for i, register in enumerate(_INTS):
        a.store(x.MOV64_MR, RSP, 8 * i, register)
    for i in range(floats):
        a.store(x.MOVUPS_MR, RSP, _SAVED_INTS + 16 * i, XMM0 + i)


def _restore(a: InstBuffer, floats: int) -> None:
    """Restore the registers that `_save` has saved, and leave its frame."""
    for i in range(floats):
        a.load(x.MOVUPS_RM, XMM0 + i, RSP, _SAVED_INTS + 16 * i)
    for i, register in enumerate(_INTS):
        a.load(x.MOV64_RM, register, RSP, 8 * i)
    a.tied(x.ADD64_RI, RSP, _SAVED + 8)


def _leave_slow_path(a: InstBuffer, name: str) -> None:
    """Leave wasm from a slow path: what ran meanwhile may have trapped itself, so say again where this was."""
    a.label(name + ".leave")
    a.tied(x.ADD64_RI, RSP, _SAVED + 8)
    a.store(x.POP_M, R15, layout.CTX_TRAP_PC)
    a.store(x.MOV64_MR, R15, layout.CTX_TRAP_SP, RSP)
    a.jump("back")


def _allocate(a: InstBuffer, cell: int) -> None:
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
    a.op(x.MOV64_RI, rd=R11, imm=cell)
    a.load(x.MOV64_RM, R11, R11, 0)
    a.call("to_native")
    a.test(RAX)
    a.branch(CC_E, "allocate.leave")
    a.store(x.MOV64_MR, RSP, 0, RAX)
    _restore(a, 15)
    a.op(x.RET)
    _leave_slow_path(a, "allocate")


def _lazy(a: InstBuffer, function: int) -> None:
    """The code that the cell of a function not yet compiled leads to: r11 function index, r14 instance, arguments in place.

    The entry has pushed how many bytes of stack arguments the function pops, for walks over frames.
    """
    a.label("lazy")
    _save(a, 8, pushed=8)
    a.move(RDI, R14)
    a.move(RSI, R11)
    a.move(RDX, R15)
    a.op(x.MOV64_RI, rd=R11, imm=function)
    a.call("to_native")
    a.test(RAX)
    a.branch(CC_E, "back")
    a.move(R11, RAX)
    _restore(a, 8)
    a.op(x.JMP_R, rn=R11)


def _fault_handler(p: FaultPlaces, trap_code: int) -> bytes:
    """Make the SIGSEGV handler: (signal, siginfo, ucontext) in rdi, rsi, rdx.

    A fault at a pc in our code range with a context in r15 is a trap: the context learns where, and execution resumes at
    `back`. Every other fault goes on to the handler before ours.
    """
    a = InstBuffer()
    a.load(x.MOV64_RM, RAX, RDX, p.program_counter)
    a.op(x.MOV64_RI, rd=RCX, imm=p.code_start)
    a.move(R8, RAX)
    a.two(x.SUB64_RR, R8, RCX)
    a.op(x.CMP64_RI, rn=R8, imm=p.code_size)
    a.branch(CC_AE, "other")
    a.load(x.MOV64_RM, R9, RDX, p.context_register)
    a.op(x.MOV64_RI, rd=RCX, imm=p.contexts_start)
    a.move(R8, R9)
    a.two(x.SUB64_RR, R8, RCX)
    a.op(x.CMP64_RI, rn=R8, imm=p.contexts_size)
    a.branch(CC_AE, "other")
    a.tied(x.ADD64_RI, RAX, layout.FAULT_OFFSET)
    a.store(x.MOV64_MR, R9, layout.CTX_TRAP_PC, RAX)
    a.load(x.MOV64_RM, RAX, RSI, p.fault_address)
    a.store(x.MOV64_MR, R9, layout.CTX_FAULT_ADDRESS, RAX)
    a.load(x.MOV64_RM, RAX, RDX, p.stack_pointer)
    a.store(x.MOV64_MR, R9, layout.CTX_TRAP_SP, RAX)
    a.store(x.MOV32_MI, R9, layout.CTX_TRAP_CODE, imm=trap_code)
    a.op(x.MOV64_RI, rd=RAX, imm=p.back)
    a.store(x.MOV64_MR, RDX, p.program_counter, RAX)
    a.op(x.RET)
    a.label("other")
    a.op(x.MOV64_RI, rd=RAX, imm=p.previous)
    a.load(x.MOV64_RM, RAX, RAX, 0)
    a.op(x.CMP64_RI, rn=RAX, imm=2)  # SIG_DFL and SIG_IGN are 0 and 1
    a.branch(CC_AE, "previous")
    # Restore the default disposition and return: the fault repeats and does what it always did.
    a.op(x.MOV32_RI, rd=RAX, imm=p.sys_sigaction)
    a.op(x.MOV64_RI, rd=RSI, imm=p.default_action)
    a.op(x.MOV32_RI, rd=RDX, imm=0)
    a.op(x.MOV32_RI, rd=R10, imm=8)
    a.op(x.SYSCALL)
    a.op(x.RET)
    a.label("previous")
    a.op(x.JMP_R, rn=RAX)
    return a.finish()


def _ticker(p: TickerPlaces) -> bytes:
    """Make the body of the ticker thread: raise the limit of every running chain, sleep, repeat; park when none runs.

    Before it parks it raises the limit of every context, so that the first check of the next chain to run finds it and the tick
    function wakes the ticker.
    """
    a = InstBuffer()
    a.op(x.PUSH_R, rn=RBX)
    a.op(x.MOV32_RI, rd=R13, imm=0)
    a.label("loop")
    a.op(x.MOV32_RI, rd=RAX, imm=p.sys_nanosleep)
    a.op(x.MOV64_RI, rd=RDI, imm=p.interval)
    a.op(x.MOV32_RI, rd=RSI, imm=0)
    a.op(x.SYSCALL)
    _walk_contexts(a, p, "running", only_running=True)
    a.test(R12)
    a.branch(CC_NE, "busy")
    a.tied(x.ADD32_RI, R13, 1)
    a.op(x.CMP32_RI, rn=R13, imm=p.idle_rounds)
    a.branch(2, "loop")  # below
    a.op(x.MOV64_RI, rd=RBX, imm=p.parked)
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
    return a.finish()


def _walk_contexts(a: InstBuffer, p: TickerPlaces, name: str, only_running: bool) -> None:
    """Raise the limit of the contexts; r12 counts those that run."""
    a.op(x.MOV32_RI, rd=R12, imm=0)
    a.op(x.MOV64_RI, rd=RBX, imm=p.used)
    a.load(x.MOV64_RM, RCX, RBX, 0)
    a.op(x.MOV64_RI, rd=RBX, imm=p.contexts)
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
        a.op(x.MOV64_RI, rd=RBX, imm=p.parked)


def _wake(parked: int, sys_futex: int) -> bytes:
    """Make the function that wakes the ticker: () in the C convention."""
    a = InstBuffer()
    a.op(x.MOV64_RI, rd=RDI, imm=parked)
    a.store(x.MOV64_MI, RDI, 0, imm=0)
    a.op(x.MOV32_RI, rd=RAX, imm=sys_futex)
    a.op(x.MOV32_RI, rd=RSI, imm=129)  # FUTEX_WAKE_PRIVATE
    a.op(x.MOV32_RI, rd=RDX, imm=1)
    a.op(x.SYSCALL)
    a.op(x.RET)
    return a.finish()


def _probe() -> bytes:
    """Store answers of CPUID and XCR0 (rdi: where); 0 stays where there is no such answer."""
    a = InstBuffer()
    a.move(R9, RBX)  # which CPUID writes, and the caller wants back
    for word in range(PROBE_WORDS):
        a.store(x.MOV32_MI, RDI, 4 * word)
    _ask(a, 0, 1, RCX, LEAF_1_ECX)
    _ask(a, 0, 7, RBX, LEAF_7_EBX)
    _ask(a, 0x8000_0000, 0x8000_0001, RCX, EXTENDED_1_ECX)
    a.store(x.TEST32_MI, RDI, 4 * LEAF_1_ECX, imm=1 << 27)  # OSXSAVE
    a.branch(CC_E, "done")
    a.op(x.ZERO32_R, rd=RCX)
    a.op(x.XGETBV)
    a.store(x.MOV32_MR, RDI, 4 * XCR0, RAX)
    a.label("done")
    a.move(RBX, R9)
    a.op(x.RET)
    return a.finish()


def _ask(a: InstBuffer, first: int, leaf: int, register: int, word: int) -> None:
    """Store a register of the answer to one question, if the answer to the first of its range says that it may be asked."""
    a.op(x.MOV32_RI, rd=RAX, imm=first)
    a.op(x.CPUID)
    a.op(x.CMP32_RI, rn=RAX, imm=(leaf ^ 1 << 31) - (1 << 31))  # as a signed immediate
    a.branch(CC_B, f"without {leaf}")
    a.op(x.MOV32_RI, rd=RAX, imm=leaf)
    a.op(x.ZERO32_R, rd=RCX)
    a.op(x.CPUID)
    a.store(x.MOV32_MR, RDI, 4 * word, register)
    a.label(f"without {leaf}")


class X64Sequences(Sequences):
    """All of them."""

    __slots__ = ()

    lazy_entry_size = _LAZY_ENTRY.size
    lazy_frame = _LAZY_FRAME
    restore_frame = 8
    probe_words = PROBE_WORDS
    native_return = _KEPT_SIZE + 8  # `to_native` has pushed a pointer
    lazy_return = native_return + 8 + _LAZY_FRAME  # and the call of it a return address

    def switches(
        self,
        trap_unreachable: int,
        trap_suspended: int,
        tick_cell: int,
        fuel_cell: int,
        allocate_cell: int,
        compile_address: int,
    ) -> Switches:
        """Make the stack switching stubs."""
        a = InstBuffer()
        _to_wasm(a)
        _to_native(a)
        _unwind(a)
        _trap(a, trap_unreachable)
        _slow_path(a, "tick", tick_cell)
        _slow_path(a, "fuel", fuel_cell)
        _allocate(a, allocate_cell)
        _lazy(a, compile_address)
        _suspend(a, trap_suspended)
        _resume(a)
        _restore_instance(a)
        return Switches(a.finish(), a.labels)

    def lazy_entries(self, functions: list[tuple[int, int]], address: int, lazy: int) -> bytes:
        """Make lazy entries: bytes of stack arguments pushed, the function's index in r11, then a jump."""
        ends = range(address + _LAZY_ENTRY.size, address + _LAZY_ENTRY.size * (len(functions) + 1), _LAZY_ENTRY.size)
        pack = _LAZY_ENTRY.pack
        parts = zip(functions, ends, strict=True)
        return b"".join([pack(0x68, incoming, 0x41, 0xBB, index, 0xE9, lazy - end) for (index, incoming), end in parts])

    def fault_handler(self, places: FaultPlaces, trap_code: int) -> bytes:
        """Make the SIGSEGV handler."""
        return _fault_handler(places, trap_code)

    def ticker(self, places: TickerPlaces) -> bytes:
        """Make the body of the ticker thread."""
        return _ticker(places)

    def thread_offset(
        self, function: int, read: Callable[[int, int], bytes], offset_of: Callable[[int], int | None]
    ) -> int | None:
        """Find out where a C function without parameters finds the word that it returns."""
        code = read(function, _LOOK)
        if code.startswith(_ENDBR):
            function += len(_ENDBR)
            code = code[len(_ENDBR) :]
        if code.startswith(_LOAD_FS):
            end = len(_LOAD_FS)
            return int.from_bytes(code[end : end + 4], "little")
        if code.startswith(_LOAD_RIP) and code[_GOT_LOAD:].startswith(_LOAD_FS_RAX):
            distance = int.from_bytes(code[len(_LOAD_RIP) : _GOT_LOAD], "little", signed=True)
            return int.from_bytes(read(function + _GOT_LOAD + distance, 8), "little") & 0xFFFF_FFFF
        if code.startswith(_LEA_INDEX) and code[_INDEX_CALL:].startswith(_CALL) and code[_INDEX_END:].startswith(_LOAD_RAX):
            distance = int.from_bytes(code[len(_LEA_INDEX) : _INDEX_CALL], "little", signed=True)
            return offset_of(function + _INDEX_CALL + distance)
        return None

    def probe(self) -> bytes:
        """Make the function that stores what CPUID and XGETBV answer."""
        return _probe()

    def wake(self, parked: int, sys_futex: int) -> bytes:
        """Make the function that wakes the ticker."""
        return _wake(parked, sys_futex)
