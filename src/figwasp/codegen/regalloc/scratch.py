"""Floor 3: scratch registers for a single instruction whose operands live in memory. In: the instruction's place in the
code and what is free there. Out: registers, and the moves around it.
"""

from __future__ import annotations

from figwasp.codegen.mach import NONE, PHYSICAL, SLOT
from figwasp.codegen.regalloc.assignment import Assignment
from figwasp.codegen.regalloc.moves import Mover, stack_slot
from figwasp.ir.types import CELLS, CLASSES, WHOLE


class ScratchPool:
    """The registers that scratch registers of a function are taken from.

    Attributes:
        assignment: says what is free where.
        mover: makes the moves.
        slots: number of cells -> locations of the slots for registers saved around an instruction.
    """

    __slots__ = ("assignment", "mover", "slots")

    def __init__(self, assignment: Assignment, mover: Mover) -> None:
        self.assignment = assignment
        self.mover = mover
        self.slots: dict[int, list[int]] = {}

    def slot(self, type: int, taken: list[int]) -> int:
        """Return the location of a slot for a value of a type that is not among those taken."""
        slots = self.slots.setdefault(CELLS[type], [])
        for location in slots:
            if location not in taken:
                return location
        slots.append(stack_slot(SLOT, self.mover.func.new_slot(type)))
        return slots[-1]


class Scratch:
    """Registers for the operands of one instruction that have none.

    Attributes:
        used: bit set of the registers that may not be taken.
        moves: flat (type, register, location) triples to do before the instruction, in order.
        loaded: registers taken for operands.
        victims: flat (register, slot) pairs: registers saved around the instruction.
    """

    __slots__ = ("k", "loaded", "moves", "pool", "used", "victims")

    def __init__(self, pool: ScratchPool, k: int, used: int) -> None:
        self.pool = pool
        self.k = k
        self.used = used
        self.moves: list[int] = []
        self.loaded: list[int] = []
        self.victims: list[int] = []

    def take(self, type: int) -> int:
        """Return a register: the scratch register, a free one, or a victim."""
        pool = self.pool
        assignment = pool.assignment
        register_class = CLASSES[type]
        r = pool.mover.target.scratch[register_class]
        if self.used >> r & 1:
            r = NONE
            for candidate in assignment.order[register_class]:
                if not self.used >> candidate & 1:
                    r = candidate
                    if not assignment.busy[candidate] >> (2 * self.k - 1) & 7:
                        break
            else:
                self.victims += [r, pool.slot(WHOLE[register_class], self.victims[1::2])]
            assert r >= 0
            assignment.written |= 1 << r
        self.used |= 1 << r
        return r

    def load(self, v: int, location: int) -> int:
        """Take a register for an operand and load it."""
        type = self.pool.mover.type_of(v)
        r = self.take(type)
        self.moves += [type, r, location]
        self.loaded.append(r)
        return r

    def tied(self, type: int, rn: int, rm: int, rx: int) -> int:
        """Take a register for a tied result that lives in memory: that of its source, if the source dies here."""
        if 0 <= rn < PHYSICAL and rn != rm and rn != rx:
            assignment = self.pool.assignment
            order = assignment.order[self.pool.mover.target.classes[rn]]
            if rn in order and not assignment.busy[rn] >> 2 * self.k & 3:
                return rn
        return self.take(type)

    def result(self, type: int) -> int:
        """Take a register for a result that lives in memory; operands are read before it is written."""
        classes = self.pool.mover.target.classes
        for r in self.loaded:
            if classes[r] == CLASSES[type]:
                return r
        return self.take(type)

    def before(self) -> None:
        """Save the victims and load the operands."""
        mover = self.pool.mover
        for i in range(0, len(self.victims), 2):
            mover.move(mover.type_of(self.victims[i]), self.victims[i + 1], self.victims[i])
        for i in range(0, len(self.moves), 3):
            mover.move(self.moves[i], self.moves[i + 1], self.moves[i + 2])

    def after(self) -> None:
        """Restore the victims."""
        mover = self.pool.mover
        for i in range(0, len(self.victims), 2):
            mover.move(mover.type_of(self.victims[i]), self.victims[i], self.victims[i + 1])
