"""Floor 3: the registers of block-local allocation: what is in each, how long it is wanted, and how to get one.

Next uses are known by instruction number within the block. The register to give up is the one whose value is used furthest
from here (Belady's rule); a value that has a slot goes a little sooner than one that would have to be stored.
"""

from __future__ import annotations

from typing import Final

from figwasp.codegen.mach import (
    CALL,
    COPY,
    FIRST_ROW,
    INVOKE,
    NONE,
    PHYSICAL,
    RET,
    SLOT,
    SWITCH,
    TAIL,
    VIRTUAL,
    CallSite,
    MBlock,
    MFunc,
)
from figwasp.codegen.regalloc.moves import Mover, stack_slot
from figwasp.codegen.regalloc.registers import bits, implicit_registers
from figwasp.codegen.regalloc.spill_slots import SpillSlots
from figwasp.codegen.target import Rows, Target
from figwasp.ir.types import CELLS, CLASSES

NEVER: Final = 1 << 60
STORE_COST: Final = 30  # instructions by which a value that needs no store before it goes may be used sooner


class LocalRegisters:
    """The state of block-local allocation.

    Attributes:
        location: slot of each value, or NONE as long as it has none.
        register: register of each value now, or NONE.
        content: value in each register now, or NONE.
        uses: value -> instruction numbers of its uses in this block, the next one last.
        physical: the same for physical registers that are operands, with `~number` for their definitions.
        reserved: bit set of the registers that hold a physical value that is still needed.
        pinned: bit set of registers that the current instruction needs.
        calls: numbers of this block's calls, the next one last.
        spare: number of cells -> locations of slots of values of this block that are free again.
        order: class -> registers in the order to try them.
        scratches: bit set of the target's scratch registers.
    """

    __slots__ = (
        "calls",
        "content",
        "crosses",
        "func",
        "implicit",
        "location",
        "mover",
        "order",
        "physical",
        "pinned",
        "register",
        "reserved",
        "rows",
        "scratches",
        "slots",
        "spare",
        "target",
        "types",
        "uses",
        "written",
    )

    def __init__(self, func: MFunc, target: Target, slots: SpillSlots) -> None:
        self.func = func
        self.target = target
        self.rows: Rows = target.rows
        self.implicit = implicit_registers(target)
        self.types = func.types
        self.slots = slots
        self.location = slots.location
        self.crosses = [location >= 0 for location in slots.location]
        self.mover = Mover(func, target)
        self.register: list[int] = [*range(VIRTUAL), *([NONE] * (len(func.types) - VIRTUAL))]
        self.content: list[int] = [NONE] * target.num_registers
        self.uses: dict[int, list[int]] = {}
        self.calls: list[int] = []
        self.reserved = 0
        self.physical: dict[int, list[int]] = {}
        self.pinned = 0
        self.spare: list[list[int]] = [[] for _ in range(max(CELLS) + 1)]
        self.written = 0
        instance = func.instance if not slots.foreign else NONE
        taken = NONE
        if instance >= 0:
            taken = target.instance_reg
            self.register[instance] = taken
        self.order = [[r for r in registers if r != taken] for registers in target.regs]
        self.scratches = sum(1 << r for r in target.scratch)

    def _forget_all(self) -> None:
        """Begin with empty registers."""
        for r, v in enumerate(self.content):
            if v >= 0:
                self.register[v] = NONE
                self.content[r] = NONE

    def _forget(self, r: int) -> None:
        """A register's content is not wanted any more."""
        v = self.content[r]
        if v >= 0:
            self.register[v] = NONE
            self.content[r] = NONE

    def _put(self, v: int, r: int) -> None:
        """A value is in a register now."""
        self.register[v] = r
        self.content[r] = v
        self.written |= 1 << r

    # What a block needs to know in advance

    def _survey(self, block: MBlock) -> None:
        """Collect the uses of values and of physical registers, backwards."""
        reads = self.rows.reads
        implicit = self.implicit
        uses: dict[int, list[int]] = {}
        physical: dict[int, list[int]] = {}
        self.uses = uses
        self.physical = physical
        self.calls = []
        self.reserved = 0
        k = len(block.code)
        sources: list[int] = []
        if block.args:
            sources = block.args.copy()
        for inst in reversed(block.code):
            k -= 1
            op = inst.op
            if op >= FIRST_ROW:
                fields = reads[op]
                if 0 <= inst.rd < PHYSICAL:
                    physical.setdefault(inst.rd, []).append(~k)
                if implicit[op]:
                    self._survey_implicit(op, k)
                if fields & 1:
                    sources.append(inst.rn)
                if fields & 2:
                    sources.append(inst.rm)
                if fields & 4:
                    sources.append(inst.rx)
            elif op == COPY or op == SWITCH:
                if 0 <= inst.rd < PHYSICAL:
                    physical.setdefault(inst.rd, []).append(~k)
                sources.append(inst.rn)
            elif op == CALL or op == INVOKE or op == RET or op == TAIL:
                site = inst.imm
                assert isinstance(site, CallSite)
                sources += site.args
                sources.append(site.address)
                if op == CALL or op == INVOKE:
                    self.calls.append(k)
            for v in sources:
                if v >= VIRTUAL:
                    if v in uses:
                        uses[v].append(k)
                    else:
                        uses[v] = [k]
                elif 0 <= v < PHYSICAL:
                    physical.setdefault(v, []).append(k)
            sources.clear()

    def _survey_implicit(self, op: int, k: int) -> None:
        """Note the physical registers that a row defines and reads besides its operands."""
        for r in bits(self.rows.implicit_defs[op]):
            self.physical.setdefault(r, []).append(~k)
        for r in bits(self.rows.implicit_uses[op]):
            self.physical.setdefault(r, []).append(k)

    # Registers

    def _next_use(self, v: int) -> int:
        """Number of the next instruction of this block that reads a value."""
        numbers = self.uses.get(v)
        return numbers[-1] if numbers else NEVER

    def _dies(self, v: int, k: int) -> bool:
        """Return whether instruction k is the last one of this block that reads a value."""
        numbers = self.uses.get(v)
        return numbers is None or numbers[0] <= k

    def _used(self, v: int, k: int) -> None:
        """Instruction k has read v: after its last use in the block its register and its temporary slot are free."""
        if v < VIRTUAL:
            if 0 <= v < PHYSICAL:
                self._used_physical(v, k)
            return
        numbers = self.uses.get(v)
        if numbers is None:
            return
        while numbers and numbers[-1] <= k:
            numbers.pop()
        if not numbers:
            del self.uses[v]
            r = self.register[v]
            if r >= 0 and self.content[r] == v:
                self._forget(r)
            if not self.crosses[v] and self.location[v] >= 0:
                self.spare[CELLS[self.types[v]]].append(self.location[v])
                self.location[v] = NONE

    def _used_physical(self, r: int, k: int) -> None:
        """Instruction k has read a physical register; unless it is read again before its next definition, it is free."""
        numbers = self.physical.get(r)
        if numbers is not None:
            while numbers and 0 <= numbers[-1] <= k:
                numbers.pop()
            if not numbers or numbers[-1] < 0:
                self.reserved &= ~(1 << r)

    def _take(self, type: int, lasts: int) -> int:
        """Free a register of a class for a value that is wanted until instruction `lasts`; scratch if all are in use."""
        blocked = self.pinned | self.reserved
        content = self.content
        call = self.calls[-1] if self.calls else NEVER
        across = lasts > call
        best = NONE
        furthest = -1
        saved = self.target.callee_saved
        for r in self.order[CLASSES[type]]:
            if blocked >> r & 1:
                continue
            v = content[r]
            if v < 0:
                if not across or saved >> r & 1:
                    return r
                distance = NEVER + 1  # free, but not for long
            else:
                distance = self._next_use(v)
                if self.location[v] >= 0:
                    distance += STORE_COST
            if distance > furthest:
                furthest = distance
                best = r
        if best < 0:
            best = self.target.scratch[CLASSES[type]]
            assert not self.pinned >> best & 1, "out of registers"
            return best
        self._evict(best)
        return best

    def _evict(self, r: int) -> None:
        """Empty a register; its value is stored if it is still wanted and has no slot."""
        v = self.content[r]
        if v < 0:
            return
        if self.location[v] < 0 and v in self.uses:
            self._store(v, r)
        self._forget(r)

    def _store(self, v: int, r: int) -> None:
        """Give a value of this block a temporary slot."""
        type = self.types[v]
        spare = self.spare[CELLS[type]]
        self.location[v] = spare.pop() if spare else stack_slot(SLOT, self.func.new_slot(type))
        self.mover.move(type, self.location[v], r)

    def _where(self, v: int) -> int:
        """Return the location to read a value from: its register, or its slot."""
        if v < VIRTUAL:
            return v
        r = self.register[v]
        return r if r >= 0 else self.location[v]

    def _source(self, v: int, k: int) -> int:
        """Return the register of an operand, which is loaded if necessary, and pin it."""
        r = self.register[v]
        if r < 0:
            numbers = self.uses.get(v)
            r = self._take(self.types[v], numbers[0] if numbers else k)
            self.mover.move(self.types[v], r, self.location[v])
            if not self.scratches >> r & 1:
                self._put(v, r)
        self.pinned |= 1 << r
        return r

    def _define(self, v: int, r: int, k: int) -> None:
        """Register r holds a new value: store it in its slot, and keep it if it is used in this block."""
        if v < VIRTUAL:
            self._reserve(v, k)
            return
        type = self.types[v]
        scratch = self.scratches >> r & 1
        if self.crosses[v]:
            self.mover.move(type, self.location[v], r)
        elif scratch and v in self.uses:
            self._store(v, r)
        if v in self.uses and not scratch:
            self._put(v, r)
        self.written |= 1 << r

    def _reserve(self, r: int, k: int) -> None:
        """Selection defines a physical register at k: reserve it if it is read before its next definition."""
        self.written |= 1 << r
        numbers = self.physical.get(r)
        if numbers is not None:
            while numbers and numbers[-1] < 0 and ~numbers[-1] <= k:
                numbers.pop()
            if numbers and numbers[-1] > k:
                self.reserved |= 1 << r

    def _vacate(self, r: int) -> None:
        """Move the content of a register that is needed for something else."""
        v = self.content[r]
        if v < 0:
            return
        if v not in self.uses or self.location[v] >= 0:
            self._forget(r)
            return
        blocked = self.pinned | self.reserved | 1 << r
        for other in self.order[self.target.classes[r]]:
            if self.content[other] < 0 and not blocked >> other & 1:
                self.mover.move(self.types[v], other, r)
                self._forget(r)
                self._put(v, other)
                return
        self._evict(r)
