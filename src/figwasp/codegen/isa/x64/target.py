"""Floor 3: x86-64 as a `Target`: registers, conventions, and the functions that the shared stages call."""

from __future__ import annotations

from typing import Final

from figwasp.codegen.code import Code
from figwasp.codegen.emit import emit
from figwasp.codegen.isa.x64 import insts as x
from figwasp.codegen.isa.x64 import registers as r
from figwasp.codegen.isa.x64.assemble import RETURN_BYTES, X64Assembler
from figwasp.codegen.isa.x64.select.rules import select
from figwasp.codegen.mach import NONE, MFunc, MInst
from figwasp.codegen.target import Target
from figwasp.ir.func import Func

_MOVE: Final = (x.MOV32_RR, x.MOV64_RR, x.MOVAPS_RR, x.MOVAPS_RR)  # by IR type
_LOAD: Final = (x.MOV32_RM, x.MOV64_RM, x.MOVSS_RM, x.MOVSD_RM)
_STORE: Final = (x.MOV32_MR, x.MOV64_MR, x.MOVSS_MR, x.MOVSD_MR)


def _move(type: int, rd: int, rn: int) -> MInst:
    return MInst(_MOVE[type], rd, rn)


def _load_memory(type: int, rd: int, base: int, mem: int) -> MInst:
    return MInst(_LOAD[type], rd, NONE, base, NONE, mem)


def _store_memory(type: int, rn: int, base: int, mem: int) -> MInst:
    return MInst(_STORE[type], NONE, rn, base, NONE, mem)


def _bits(registers: list[int]) -> int:
    return sum(1 << register for register in registers)


def _select(func: Func) -> MFunc:
    return select(func, TARGET)


def _emit(func: MFunc) -> Code:
    return emit(func, TARGET)


def _decode(data: bytes, offset: int) -> tuple[int, str]:
    from figwasp.codegen.isa.x64.decode import decode  # programs do without

    return decode(data, offset)


def _target() -> Target:
    """Fill in the record."""
    target = Target()
    target.name = "x64"
    target.rows = x.ROWS
    saved = [r.RBX, r.RBP, r.R12, r.R13, r.R10, r.R14]
    target.int_regs = [r.RAX, r.RCX, r.RDX, r.RSI, r.RDI, r.R8, r.R9, *saved]
    target.float_regs = list(range(r.XMM0, r.FLOAT_SCRATCH))
    target.callee_saved = _bits(saved)
    target.c_callee_saved = _bits([r.RBX, r.RBP, r.R12, r.R13, r.R14])
    target.arg_ints = [r.RAX, r.RCX, r.RDX, r.RSI, r.RDI, r.R8, r.R9]
    target.arg_floats = list(range(r.XMM0, r.XMM8))
    target.c_arg_ints = [r.RDI, r.RSI, r.RDX, r.RCX, r.R8, r.R9]
    target.c_arg_floats = list(range(r.XMM0, r.XMM8))
    target.c_result_int = r.RAX
    target.c_result_float = r.XMM0
    target.instance_reg = r.INSTANCE
    target.context_reg = r.CONTEXT
    target.stack_reg = r.RSP
    target.scratch_int = r.SCRATCH
    target.scratch_float = r.FLOAT_SCRATCH
    target.return_bytes = RETURN_BYTES
    target.register_names = r.NAMES
    target.condition_names = r.CC_NAMES
    target.move = _move
    target.load_memory = _load_memory
    target.store_memory = _store_memory
    target.select = _select
    target.emit = _emit
    target.assembler = X64Assembler
    target.decode = _decode
    return target


TARGET: Final = _target()
