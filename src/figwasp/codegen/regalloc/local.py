"""Floor 3: register allocation block by block, in linear time. In: a huge MFunc over virtual registers. Out: as of `regalloc`.

Values that live across block edges have spill slots (`spill_slots`), where they are stored at their definition. Within a block a
value is loaded at its first use and stays in a register until its last; when registers run out, the one goes whose next use is
furthest (Belady's rule), which in straight code is hard to beat. A value of this block only is stored when that happens.
A block that is entered only from the one laid out before it takes over what that left in registers.

Physical registers that selection names are reserved from their definition to their last use; whatever is there is moved away.
"""

from __future__ import annotations

from figwasp.codegen.mach import (
    ARRIVE,
    CALL,
    COPY,
    ENTRY,
    FIRST_ROW,
    INVOKE,
    JUMP,
    NONE,
    PHYSICAL,
    RET,
    SWITCH,
    TAIL,
    VIRTUAL,
    CallSite,
    MBlock,
    MFunc,
    MInst,
)
from figwasp.codegen.regalloc.local_registers import NEVER, LocalRegisters
from figwasp.codegen.regalloc.moves import BASE_MASK, stack_mem
from figwasp.codegen.regalloc.registers import bits
from figwasp.codegen.regalloc.spill_slots import SpillSlots
from figwasp.codegen.target import Target
from figwasp.ir.types import CLASSES, I32, SIZES


def allocate_local(func: MFunc, target: Target) -> int:
    """Rewrite a function in place; return the registers written, as a bit set."""
    slots = SpillSlots(func, target)
    slots.run()
    allocator = LocalAllocator(func, target, slots)
    allocator.run()
    return allocator.written


class LocalAllocator(LocalRegisters):
    """The walk over all blocks."""

    __slots__ = ()

    def run(self) -> None:
        """Allocate all blocks in layout order."""
        before: MBlock | None = None
        for block in self.func.blocks:
            if before is None or block.params or len(block.preds) != 1 or block.preds[0] is not before or before.args:
                self._forget_all()
            self._survey(block)
            self._allocate(block)
            before = block

    def _allocate(self, block: MBlock) -> None:
        """Rewrite a block."""
        self.mover.out = []
        calls = self.calls
        for k, inst in enumerate(block.code):
            op = inst.op
            self.pinned = 0
            if op >= FIRST_ROW:
                self._row(inst, k)
            elif op == COPY:
                self._copy(inst, k)
            elif op == CALL or op == INVOKE:
                calls.pop()
                self._call(inst, k)
            elif op == RET or op == TAIL:
                self._leave(inst)
            elif op == SWITCH:
                self._switch(inst, k)
            elif op == JUMP:
                self._jump(block)
                self.mover.out.append(inst)
            else:
                self.mover.out.append(inst)
                if op == ENTRY:
                    self._entry(inst, k)
                elif op == ARRIVE:
                    self._take_results(inst, k)
        block.code = self.mover.out

    # Instructions

    def _row(self, inst: MInst, k: int) -> None:
        """Give an instruction of the target's table its registers."""
        op = inst.op
        rows = self.rows
        reads = rows.reads[op]
        sources: list[int] = []
        if reads & 1:
            sources.append(inst.rn)
        if reads & 2:
            sources.append(inst.rm)
        if reads & 4:
            sources.append(inst.rx)
        implicit = self.implicit[op]
        if implicit:
            for r in bits(rows.implicit_defs[op]):
                self._vacate(r)
        if 0 <= inst.rd < PHYSICAL:
            self._vacate(inst.rd)
            implicit |= 1 << inst.rd
        pinned = implicit
        register = self.register
        for v in sources:
            if v >= 0:
                r = register[v]
                if 0 <= r < PHYSICAL:
                    pinned |= 1 << r
        self.pinned = pinned
        if rows.tied[op]:
            self._tied(inst, k, reads)
        else:
            self._untied(inst, k, reads, sources, implicit)
        for v in sources:
            self._used(v, k)
        if implicit:
            for r in bits(rows.implicit_uses[op]):
                self._used_physical(r, k)
            for r in bits(rows.implicit_defs[op]):
                self._reserve(r, k)

    def _operand(self, v: int, k: int) -> int:
        """The register of a source field; what is none stays."""
        return self._source(v, k) if v >= VIRTUAL else v

    def _folds(self, op: int, v: int, k: int) -> bool:
        """Return whether a value should be read in memory, by form `op` of the instruction."""
        if op < 0 or v < VIRTUAL or self.register[v] >= 0 or self.rows.width[op] > SIZES[self.types[v]]:
            return False
        if self._dies(v, k):
            return True
        return all(self.content[r] >= 0 for r in self.order[CLASSES[self.types[v]]])

    def _tied(self, inst: MInst, k: int, reads: int) -> None:
        """The result begins as a copy of rn; rm and rx are read after that."""
        op = inst.op
        v = inst.rn
        d = inst.rd
        rm = inst.rm
        rx = inst.rx
        if reads & 2:
            if not self.rows.memory[op] and self._folds(self.rows.spill_rm[op], rm, k):
                location = self.location[rm]
                inst.op = self.rows.spill_rm[op]
                inst.mem = stack_mem(location)
                inst.rm = location & BASE_MASK
            else:
                inst.rm = self._operand(rm, k)
        if reads & 4:
            inst.rx = self._operand(rx, k)
        src = self._where(v)
        if d < VIRTUAL:
            r = d
        elif src < PHYSICAL and v >= VIRTUAL and self._dies(v, k) and v != rm and v != rx and self.content[src] == v:
            r = src
            self._forget(r)
        else:
            numbers = self.uses.get(d)
            r = self._take(self.types[d], numbers[0] if numbers else k)
        if r != src:
            self.mover.move(self.mover.type_of(v), r, src)
        inst.rd = inst.rn = r
        self.mover.out.append(inst)
        self._define(d, r, k)

    def _untied(self, inst: MInst, k: int, reads: int, sources: list[int], implicit: int) -> None:
        """Operands are read before the result is written, so that it may take their registers."""
        op = inst.op
        rows = self.rows
        d = inst.rd
        rn = inst.rn
        rm = inst.rm
        if not rows.memory[op] and reads & 2 and self._folds(rows.spill_rm[op], rm, k):
            self._in_place(inst, rows.spill_rm[op], rm)
            if reads & 1:
                inst.rn = self._operand(rn, k)
        elif not rows.memory[op] and reads & 1 and self._folds(rows.spill_rn[op], rn, k):
            inst.rn = self._operand(rm, k) if reads & 2 else rm
            self._in_place(inst, rows.spill_rn[op], rn)
        else:
            if reads & 1:
                inst.rn = self._operand(rn, k)
            if reads & 2:
                inst.rm = self._operand(rm, k)
            if reads & 4:
                inst.rx = self._operand(inst.rx, k)
        if d >= VIRTUAL:
            for v in sources:
                if v >= VIRTUAL and self.register[v] >= 0 and self._dies(v, k) and self.content[self.register[v]] == v:
                    self._forget(self.register[v])
            self.pinned = implicit
            numbers = self.uses.get(d)
            inst.rd = self._take(self.types[d], numbers[0] if numbers else k)
        self.mover.out.append(inst)
        if d >= 0:
            self._define(d, inst.rd, k)

    def _in_place(self, inst: MInst, op: int, v: int) -> None:
        """Change to the form that reads v in its slot."""
        location = self.location[v]
        inst.op = op
        inst.mem = stack_mem(location)
        inst.rm = location & BASE_MASK

    def _copy(self, inst: MInst, k: int) -> None:
        """COPY: both sides are in one register if the source is not wanted any more."""
        d = inst.rd
        v = inst.rn
        mover = self.mover
        if d < VIRTUAL:
            there = self._where(v) == d
            self._vacate(d)
            if not there:
                mover.move(mover.type_of(v), d, self._where(v))
            self._used(v, k)
            self._reserve(d, k)
            return
        src = self._where(v)
        type = self.types[d]
        same = v < VIRTUAL or self.types[v] == type
        dies = v >= VIRTUAL and self._dies(v, k)
        if src < PHYSICAL:
            self._used(v, k)
        if not self.slots.used[d]:
            self._used(v, k)
            return
        if src < PHYSICAL and same and d not in self.uses:
            mover.move(type, self.location[d], src)
            return
        free = v < VIRTUAL and not self.reserved >> src & 1 and self.content[src] < 0
        if src < PHYSICAL and same and (dies or free) and src in self.order[CLASSES[type]]:
            self._define(d, src, k)
            return
        numbers = self.uses.get(d)
        if src < PHYSICAL:
            self.pinned = 1 << src
        r = self._take(type, numbers[0] if numbers else k)
        mover.move(type if same else I32, r, src)
        self._used(v, k)  # only now may its slot be given to another value
        self._define(d, r, k)

    def _call(self, inst: MInst, k: int) -> None:
        """CALL and INVOKE: save what it destroys and is wanted later, move the arguments, take the results where they come."""
        site = inst.imm
        assert isinstance(site, CallSite)
        destroyed = site.clobbers
        for loc in site.arg_locs + site.result_locs:
            if loc < PHYSICAL:
                destroyed |= 1 << loc
        for r, v in enumerate(self.content):
            if v >= 0 and destroyed >> r & 1 and self.location[v] < 0 and not self._dies(v, k):
                self._store(v, r)
        address = site.address
        srcs = [self._where(v) for v in site.args]
        self.written |= site.clobbers
        self.written |= self.mover.call_arguments(site, srcs, self._where(address) if address >= 0 else NONE)
        self.mover.out.append(inst)
        for v in site.args:
            self._used(v, k)
        self._used(address, k)
        for r in bits(destroyed):
            self._forget(r)
        self._take_results(inst, k)

    def _take_results(self, inst: MInst, k: int) -> None:
        """CALL and ARRIVE: the results are in their locations."""
        site = inst.imm
        assert isinstance(site, CallSite)
        for v, loc in zip(site.results, site.result_locs):
            if v < VIRTUAL or self.slots.used[v]:
                self._define(v, loc, k)

    def _leave(self, inst: MInst) -> None:
        """RET and TAIL: move the arguments."""
        site = inst.imm
        assert isinstance(site, CallSite)
        srcs = [self._where(v) for v in site.args]
        address = self._where(site.address) if site.address >= 0 else NONE
        uses = [*site.args, site.address]
        self.written |= self.mover.leave_arguments(site, srcs, address)
        self.mover.out.append(inst)
        for v in uses:
            self._used(v, NEVER)

    def _switch(self, inst: MInst, k: int) -> None:
        """SWITCH: the index and two scratch registers, all different."""
        v = inst.rn
        inst.rn = self._operand(v, k)
        self.pinned |= 1 << inst.rn
        inst.rm = self._take(self.types[inst.rm], k)
        self.pinned |= 1 << inst.rm
        inst.rx = self._take(self.types[inst.rx], k)
        self.written |= 1 << inst.rm | 1 << inst.rx
        self.mover.out.append(inst)
        self._used(v, k)

    def _jump(self, block: MBlock) -> None:
        """JUMP: move the arguments into the slots of the parameters."""
        types: list[int] = []
        dsts: list[int] = []
        srcs: list[int] = []
        if block.args:
            for param, arg in zip(block.succs[0].params, block.args):
                if self.slots.used[param]:
                    types.append(self.types[param])
                    dsts.append(self.location[param])
                    srcs.append(self._where(arg))
            self.mover.parallel(types, dsts, srcs)
            for arg in block.args:
                self._used(arg, NEVER)

    def _entry(self, inst: MInst, k: int) -> None:
        """ENTRY: parameters stay in the registers they arrive in, and are stored if they are used in other blocks."""
        site = inst.imm
        assert isinstance(site, CallSite)
        others: list[int] = []
        for v, loc in zip(site.results, site.result_locs):
            if loc < PHYSICAL and self.slots.used[v] and self.register[v] != loc:
                if any(loc in order for order in self.order):
                    self._define(v, loc, k)
                elif self.crosses[v]:
                    self.mover.move(self.types[v], self.location[v], loc)
                else:
                    others += [v, loc]
        for i in range(0, len(others), 2):
            r = self._take(self.types[others[i]], NEVER)
            self.mover.move(self.types[others[i]], r, others[i + 1])
            self._define(others[i], r, k)
