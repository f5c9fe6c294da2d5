"""Floor 3: registers for a single instruction: those it touches besides its operands, and those it borrows while its operands
live in memory. In: the instruction's place in the code and what is free there. Out: registers, and the moves around it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from figwasp.codegen.mach import NONE
from figwasp.codegen.regalloc.moves import REGISTERS, Mover
from figwasp.codegen.target import Rows, Target
from figwasp.ir.ops import F32, F64, I64

if TYPE_CHECKING:
    from figwasp.codegen.regalloc.rewrite import Rewriter

_IMPLICIT: Final[dict[int, tuple[Rows, list[int]]]] = {}


def implicit_registers(target: Target) -> list[int]:
    """Per row, the physical registers it touches besides its operands; one list per table.

    What makes a value of a condition may expand with the help of the scratch register, which no column says.
    """
    rows = target.rows
    known = _IMPLICIT.get(id(rows))
    if known is None:
        touched = [a | b for a, b in zip(rows.implicit_uses, rows.implicit_defs)]
        for op in range(len(touched)):
            if reads_flags_only(rows, op):
                touched[op] |= 1 << target.scratch_int
        known = _IMPLICIT[id(rows)] = (rows, touched)
    return known[1]


def reads_flags_only(rows: Rows, op: int) -> bool:
    """Say whether a row without operands depends on the condition flags; columns only say what writes them."""
    return rows.names[op].startswith("setcc")


class Borrow:
    """Registers for the operands of one instruction that have none.

    Attributes:
        used: bit set of the registers that may not be taken.
        moves: flat (type, register, place) triples to do before the instruction, in order.
        loaded: registers taken for operands.
        victims: flat (register, slot) pairs: registers saved around the instruction.
    """

    __slots__ = ("k", "loaded", "moves", "rewriter", "used", "victims")

    def __init__(self, rewriter: Rewriter, k: int, used: int) -> None:
        self.rewriter = rewriter
        self.k = k
        self.used = used
        self.moves: list[int] = []
        self.loaded: list[int] = []
        self.victims: list[int] = []

    def take(self, type: int) -> int:
        """Return a register: the scratch register, a free one, or a victim."""
        rewriter = self.rewriter
        assignment = rewriter.assignment
        is_int = type < F32
        r = rewriter.target.scratch_int if is_int else rewriter.target.scratch_float
        if self.used >> r & 1:
            order = assignment.int_order if is_int else assignment.float_order
            r = NONE
            for candidate in order:
                if not self.used >> candidate & 1:
                    r = candidate
                    if not assignment.busy[candidate] >> (2 * self.k - 1) & 7:
                        break
            else:
                self.victims += [r, rewriter.borrow_slot(len(self.victims) // 2)]
            assert r >= 0
            rewriter.written |= 1 << r
        self.used |= 1 << r
        return r

    def load(self, v: int, place: int) -> int:
        """Take a register for an operand and load it."""
        type = self.rewriter.mover.type_of(v)
        r = self.take(type)
        self.moves += [type, r, place]
        self.loaded.append(r)
        return r

    def tied(self, type: int, rn: int, rm: int, rx: int) -> int:
        """Take a register for a tied result that lives in memory: that of its source, if the source dies here."""
        if 0 <= rn < REGISTERS and rn != rm and rn != rx:
            assignment = self.rewriter.assignment
            order = assignment.int_order if rn < 16 else assignment.float_order
            if rn in order and not assignment.busy[rn] >> 2 * self.k & 3:
                return rn
        return self.take(type)

    def result(self, type: int) -> int:
        """Take a register for a result that lives in memory; operands are read before it is written."""
        for r in self.loaded:
            if (r < 16) == (type < F32):
                return r
        return self.take(type)

    def before(self, mover: Mover) -> None:
        """Save the victims and load the operands."""
        for i in range(0, len(self.victims), 2):
            mover.move(I64 if self.victims[i] < 16 else F64, self.victims[i + 1], self.victims[i])
        for i in range(0, len(self.moves), 3):
            mover.move(self.moves[i], self.moves[i + 1], self.moves[i + 2])

    def after(self, mover: Mover) -> None:
        """Restore the victims."""
        for i in range(0, len(self.victims), 2):
            mover.move(I64 if self.victims[i] < 16 else F64, self.victims[i], self.victims[i + 1])
