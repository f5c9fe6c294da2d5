"""Floor 3: emission of templates on x86-64: the body of a function without prologue and return, in one piece.

In: an allocated MFunc. Out: its bytes, which control enters at the beginning and leaves at the end. A branch at its end is left
out, and so is what would be out of line: a trap is called where it is found out.
"""

from __future__ import annotations

from functools import cache

from figwasp.codegen.baseline.template import NoTemplate
from figwasp.codegen.code import STUB_TRAP, Code
from figwasp.codegen.isa.x64 import registers as r
from figwasp.codegen.isa.x64.assemble import X64Assembler
from figwasp.codegen.isa.x64.frames import FRAME_POINTER
from figwasp.codegen.isa.x64.select.rules import select
from figwasp.codegen.mach import BRANCH, ENTRY, NONE, RET, TRAPIF, MBlock, MFunc, MInst
from figwasp.codegen.regalloc.allocate import allocate
from figwasp.codegen.target import Target
from figwasp.ir.func import Func

__all__ = ["cut"]


@cache
def _limited(target: Target) -> Target:
    """Return the machine with the registers that templates may destroy, and no others."""
    target.complete()
    limited = Target()
    for name in Target.__slots__:
        setattr(limited, name, getattr(target, name))
    preserved = target.callee_saved
    limited.regs = [[register for register in registers if not preserved >> register & 1] for registers in target.regs]
    return limited


class _Cutter(X64Assembler):
    """The emission of one template.

    Attributes:
        condition: the condition on which a branch at its end is taken, or NONE.
    """

    __slots__ = ("condition",)

    def __init__(self, func: MFunc) -> None:
        super().__init__(func)
        self.condition = NONE

    def pseudo(self, inst: MInst, block: MBlock) -> None:
        """Emit a pseudo operation."""
        if inst.op == BRANCH:
            assert type(inst.imm) is int
            if inst.imm >= r.CC_FEQ:
                raise NoTemplate("it takes two branches")
            self.condition = inst.imm
        elif inst.op == TRAPIF:
            assert type(inst.imm) is int
            self._trap_here(inst.imm >> 8, inst.imm & 0xFF, inst.pos)
        elif inst.op not in (ENTRY, RET):
            super().pseudo(inst, block)

    def _trap_here(self, condition: int, trap: int, pos: int) -> None:
        """Call the trap, which a branch on the opposite condition passes over."""
        over = self.new_label()
        if condition == r.CC_FNE:
            at = self.new_label()
            self.branch(r.CC_P, at)
            self.branch(r.CC_E, over)
            self.bind(at)
        elif condition == r.CC_FEQ:
            self.branch(r.CC_P, over)
            self.branch(r.CC_NE, over)
        else:
            self.branch(condition ^ 1, over)
        self._call_stub(STUB_TRAP)
        self.record(pos, trap)
        self.bind(over)

    def padding(self) -> bytes:
        """Return nothing: other code follows."""
        return b""


def cut(func: Func, target: Target) -> tuple[Code, list[bytes], list[tuple[int, int, int]], int]:
    """Return the template of a function that ends in a return, or in a branch between two blocks that do.

    Returns:
        The code; the constants that it refers to; of each field that does, its offset, the index of the constant, and the bytes
        of the instruction behind it; the condition of the branch, or NONE.

    Raises:
        NoTemplate: it is not of one piece, or needs more registers than there are.
    """
    limited = _limited(target)
    machine = select(func, limited)
    allocate(machine, limited)
    if machine.num_slots or machine.saved or machine.outgoing:
        raise NoTemplate("not in registers")
    for block in machine.blocks:
        for inst in block.code:
            if inst.rm == r.CONTEXT:
                inst.rm = FRAME_POINTER
    assembler = _Cutter(machine)
    first = machine.blocks[0]
    assembler.bind(first.id)
    assembler.block(first)
    if len(machine.blocks) > 1 and assembler.condition == NONE:
        raise NoTemplate("more than one block")
    if assembler.sites:
        raise NoTemplate("out of line")
    code, uses = assembler.finish_without_pool()
    return code, machine.pool, uses, assembler.condition


