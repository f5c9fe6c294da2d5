"""Floor 3: what only compiling needs of x86-64 as a `Target`: the instruction table, and what the shared stages call."""

from __future__ import annotations

from typing import Final

from figwasp.codegen.code import Code
from figwasp.codegen.emit import emit
from figwasp.codegen.isa.x64 import insts as x
from figwasp.codegen.isa.x64.assemble import X64Assembler
from figwasp.codegen.isa.x64.select.rules import select
from figwasp.codegen.mach import NONE, MFunc, MInst
from figwasp.codegen.target import Target
from figwasp.ir.func import Func
from figwasp.ir.types import F32, F64, I32, I64, V128

__all__ = ["complete"]

_MACHINE: Final = {  # IR type -> rows that move, load and store it
    I32: (x.MOV32_RR, x.MOV32_RM, x.MOV32_MR),
    I64: (x.MOV64_RR, x.MOV64_RM, x.MOV64_MR),
    F32: (x.MOVAPS_RR, x.MOVSS_RM, x.MOVSS_MR),
    F64: (x.MOVAPS_RR, x.MOVSD_RM, x.MOVSD_MR),
    V128: (x.MOVAPS_RR, x.MOVUPS_RM, x.MOVUPS_MR),
}
_MOVE, _LOAD, _STORE = (list(column) for column in zip(*[_MACHINE[type] for type in sorted(_MACHINE)], strict=True))


def _move(type: int, rd: int, rn: int) -> MInst:
    return MInst(_MOVE[type], rd, rn)


def _load_memory(type: int, rd: int, base: int, mem: int) -> MInst:
    return MInst(_LOAD[type], rd, NONE, base, NONE, mem)


def _store_memory(type: int, rn: int, base: int, mem: int) -> MInst:
    return MInst(_STORE[type], NONE, rn, base, NONE, mem)


def complete(target: Target) -> None:
    """Fill in what is missing in the record of the machine."""

    def select_(func: Func) -> MFunc:
        return select(func, target)

    def emit_(func: MFunc) -> Code:
        return emit(func, target)

    target.move = _move
    target.load_memory = _load_memory
    target.store_memory = _store_memory
    target.select = select_
    target.emit = emit_
    target.assembler = X64Assembler
    target.rows = x.ROWS
