"""Machine functions written by hand, for the tests of emission."""

from __future__ import annotations

from figwasp.codegen import frame
from figwasp.codegen.code import Code
from figwasp.codegen.disasm import disassemble
from figwasp.codegen.isa.x64 import insts as x
from figwasp.codegen.isa.x64.target import TARGET
from figwasp.codegen.mach import CALL, ENTRY, NONE, RET, CallSite, MBlock, MFunc, MInst
from figwasp.ir.func import CONV_C

RET_INST = MInst(RET, imm=CallSite([], [], [], []))
ENTRY_INST = MInst(ENTRY, imm=CallSite([], [], [], []), pos=3)


def make(codes: list[list[MInst]], succs: list[list[int]], conv: int = CONV_C) -> MFunc:
    """Make a function of blocks given as code and successors."""
    func = MFunc("f", 7, conv)
    func.blocks = [MBlock(id) for id in range(len(codes))]
    for block, code, targets in zip(func.blocks, codes, succs):
        block.code = code
        block.succs = [func.blocks[target] for target in targets]
    return func


def finish(func: MFunc) -> Code:
    frame.finish(func, TARGET)
    return TARGET.emit(func)


def listing(code: Code) -> list[str]:
    """Return the text of a function, without the padding at its end."""
    lines = [text for _, _, text in disassemble(code, TARGET)]
    assert lines.pop() == "int3"
    return lines


def straight(*insts: MInst, conv: int = CONV_C) -> MFunc:
    """Make a function of one block that returns."""
    return make([[ENTRY_INST, *insts, RET_INST]], [[]], conv)


def call(kind: int, target: int, address: int = NONE, stack_bytes: int = 0, pos: int = 0) -> MInst:
    return MInst(CALL, imm=CallSite([], [], [], [], 0, kind, target, address, stack_bytes), pos=pos)


def ends_with(*insts: MInst) -> list[MInst]:
    return [MInst(x.NOP), *insts]
