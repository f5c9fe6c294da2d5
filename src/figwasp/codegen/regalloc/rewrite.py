"""Floor 3: from locations to instructions. In: an MFunc over virtual registers and an `Assignment`. Out: the same MFunc over
physical registers, with the moves, stores and reloads that the assignment implies.

Every value has a location. If that is a register, the value is there for its whole life, and most instructions are done by
looking their operands up. If it is a memory cell, it is stored there once, after its definition (a block parameter: on
each edge), and is valid there ever after; *splits* are stretches of points where a copy is in a register besides. An operand
outside of all splits is read in memory where the instruction has a form for that, else it passes through a register that is
free at that point, the scratch register, or, when there is none, one that is saved around the instruction.
"""

from __future__ import annotations

from bisect import bisect_right

from figwasp.codegen.mach import (
    ARRIVE,
    CALL,
    COPY,
    ENTRY,
    FIRST_ROW,
    INCOMING,
    INVOKE,
    JUMP,
    OUTGOING,
    PHYSICAL,
    RET,
    STACK,
    SWITCH,
    TAIL,
    VIRTUAL,
    CallSite,
    MBlock,
    MFunc,
    MInst,
)
from figwasp.codegen.regalloc.assignment import Assignment
from figwasp.codegen.regalloc.moves import BASE_MASK, CONSTANT, Mover, stack_mem, stack_slot
from figwasp.codegen.regalloc.registers import implicit_registers
from figwasp.codegen.regalloc.scratch import Scratch, ScratchPool
from figwasp.codegen.target import Rows, Target
from figwasp.ir.types import I32, INT, SIZES


class Splits:
    """The stretches of points where a spilled value is in a register besides, in order."""

    __slots__ = ("ends", "registers", "starts")

    def __init__(self, triples: list[int]) -> None:
        order = sorted(range(0, len(triples), 3), key=triples.__getitem__)
        self.starts = [triples[i] for i in order]
        self.ends = [triples[i + 1] for i in order]
        self.registers = [triples[i + 2] for i in order]


class Rewriter:
    """The walk over the code."""

    __slots__ = ("assignment", "func", "implicit", "location", "mover", "pool", "rows", "splits", "target", "types")

    def __init__(self, func: MFunc, target: Target, assignment: Assignment) -> None:
        self.func = func
        self.target = target
        self.rows: Rows = target.rows
        self.implicit = implicit_registers(target)
        self.assignment = assignment
        self.location = assignment.location
        self.types = func.types
        self.splits = {v: Splits(triples) for v, triples in assignment.splits.items()}
        self.mover = Mover(func, target)
        self.mover.constants = assignment.constants
        self.pool = ScratchPool(assignment, self.mover)

    def run(self) -> None:
        """Rewrite all blocks and note the callee-saved registers that are written."""
        for block in self.func.blocks:
            self.mover.out = []
            if block.params and self.splits:
                self._store_params(block)
            self._walk(block)
            block.code = self.mover.out

    def _walk(self, block: MBlock) -> None:
        """Rewrite a block. Flat for speed: the common case is an instruction whose operands are all in registers."""
        location = self.location
        tied = self.rows.tied
        types = self.types
        move = self.target.move
        out = self.mover.out
        reloads = self.assignment.reloads
        edge_loads = self.assignment.edge_loads
        k = block.start >> 1
        for inst in block.code:
            k += 1
            if reloads and k in reloads:
                self._reload(k)
            op = inst.op
            if op >= FIRST_ROW:
                rd = location[inst.rd]
                rn = location[inst.rn]
                rm = location[inst.rm]
                rx = location[inst.rx]
                if rd >= PHYSICAL or rn >= PHYSICAL or rm >= PHYSICAL or rx >= PHYSICAL:
                    self._row(inst, k)
                    continue
                if rd != rn and tied[op]:
                    out.append(move(types[inst.rn] if inst.rn >= VIRTUAL else self.mover.type_of(inst.rd), rd, rn))
                    rn = rd
                inst.rd = rd
                inst.rn = rn
                inst.rm = rm
                inst.rx = rx
                out.append(inst)
            elif op == COPY:
                self._copy(inst, k)
            elif op == JUMP:
                if block.args or edge_loads:
                    self._jump(block, k)
                out.append(inst)
            elif op == CALL or op == INVOKE:
                self._call(inst, k)
            elif op == SWITCH:
                self._switch(inst, k)
            elif op == RET or op == TAIL:
                self._leave(inst, k)
            else:
                out.append(inst)
                if op == ENTRY or op == ARRIVE:
                    site = inst.imm
                    assert isinstance(site, CallSite)
                    self._results(site, k, INCOMING)

    def where(self, v: int, point: int) -> int:
        """The best location to read a value at a point where it is live."""
        location = self.location[v]
        if location >= PHYSICAL:
            splits = self.splits.get(v)
            if splits is not None:
                i = bisect_right(splits.starts, point) - 1
                if i >= 0 and point < splits.ends[i]:
                    return splits.registers[i]
        return location

    def _start(self, v: int, point: int) -> int:
        """The location where a value is to be defined at `point`: a register if a split begins there, else its location."""
        location = self.location[v]
        if location >= PHYSICAL:
            splits = self.splits.get(v)
            if splits is not None:
                i = bisect_right(splits.starts, point) - 1
                if i >= 0 and splits.starts[i] == point:
                    return splits.registers[i]
        return location

    def _store_params(self, block: MBlock) -> None:
        """Store the parameters that arrive in a register but live in memory."""
        for v in block.params:
            if self.location[v] >= PHYSICAL:
                self._store(v, self._start(v, block.start))

    def _store(self, v: int, register: int) -> None:
        """Store a value in memory if it was defined in a register."""
        memory = self.location[v]
        if register < PHYSICAL <= memory and memory & BASE_MASK != CONSTANT and memory & BASE_MASK != INCOMING:
            self.mover.move(self.types[v], memory, register)

    def _reload(self, k: int) -> None:
        """Load the values whose splits begin before instruction k."""
        pairs = self.assignment.reloads[k]
        for i in range(0, len(pairs), 2):
            self.mover.move(self.types[pairs[i]], pairs[i + 1], self.location[pairs[i]])

    def _copy(self, inst: MInst, k: int) -> None:
        """COPY: a move, or nothing if both are in the same location."""
        rd = inst.rd
        dst = self._start(rd, 2 * k + 1) if rd >= VIRTUAL else rd
        if dst < 0:
            return
        src = self.where(inst.rn, 2 * k - 1)
        type = self.mover.type_of(rd) if inst.rn < VIRTUAL else self.types[inst.rn]
        if rd >= VIRTUAL and self.types[rd] != type:
            self._convert(self.types[rd], dst, src)
        elif dst != src:
            self.mover.move(type, dst, src)
        if rd >= VIRTUAL:
            self._store(rd, dst)

    def _convert(self, type: int, dst: int, src: int) -> None:
        """Copy an i32 to an i64 or back: the upper half becomes zero; in a register it must, in memory it counts for an i64."""
        through = dst if dst < PHYSICAL else self.target.scratch[INT]
        self.mover.move(I32, through, src)
        if dst >= PHYSICAL:
            self.mover.move(type, dst, through)

    def _jump(self, block: MBlock, k: int) -> None:
        """JUMP: move the arguments into the parameters, and reload what the loop behind it wants in registers."""
        types: list[int] = []
        dsts: list[int] = []
        srcs: list[int] = []
        if block.args:
            succ = block.succs[0]
            for param, arg in zip(succ.params, block.args):
                dst = self._start(param, succ.start)
                if dst >= 0:
                    types.append(self.types[param])
                    dsts.append(dst)
                    srcs.append(self.where(arg, 2 * k - 1))
        pairs = self.assignment.edge_loads.get(k)
        if pairs is not None:
            for i in range(0, len(pairs), 2):
                types.append(self.types[pairs[i]])
                dsts.append(pairs[i + 1])
                srcs.append(self.where(pairs[i], 2 * k - 1))
        self.mover.parallel(types, dsts, srcs)

    def _call(self, inst: MInst, k: int) -> None:
        """CALL and INVOKE: arguments into their locations, results out of theirs; those of an INVOKE arrive elsewhere."""
        site = inst.imm
        assert isinstance(site, CallSite)
        srcs = [self.where(v, 2 * k - 1) for v in site.args]
        address = self.where(site.address, 2 * k - 1)
        self.assignment.written |= self.mover.call_arguments(site, srcs, address)
        self.mover.out.append(inst)
        self._results(site, k, OUTGOING)

    def _results(self, site: CallSite, k: int, base: int) -> None:
        """Move results (of the entry: parameters) to where they live."""
        types: list[int] = []
        dsts: list[int] = []
        srcs: list[int] = []
        point = 2 * k + 1
        for v, loc in zip(site.results, site.result_locs):
            dst = self._start(v, point) if v >= VIRTUAL else v
            if dst >= 0:
                types.append(self.mover.type_of(v))
                dsts.append(dst)
                srcs.append(loc if loc < PHYSICAL else stack_slot(base, loc - STACK))
        self.mover.parallel(types, dsts, srcs)
        for v in site.results:
            if v >= VIRTUAL and self.location[v] >= PHYSICAL:
                self._store(v, self._start(v, point))

    def _leave(self, inst: MInst, k: int) -> None:
        """RET and TAIL: arguments into their locations."""
        site = inst.imm
        assert isinstance(site, CallSite)
        srcs = [self.where(v, 2 * k - 1) for v in site.args]
        self.assignment.written |= self.mover.leave_arguments(site, srcs, self.where(site.address, 2 * k - 1))
        self.mover.out.append(inst)

    def _switch(self, inst: MInst, k: int) -> None:
        """SWITCH: its scratch registers are urgent and have a location; the index may pass through the allocator's own."""
        inst.rm = self.location[inst.rm]
        inst.rx = self.location[inst.rx]
        assert inst.rm < PHYSICAL
        assert inst.rx < PHYSICAL
        src = self.where(inst.rn, 2 * k)
        if src >= PHYSICAL:
            self.mover.move(self.mover.type_of(inst.rn), self.target.scratch[INT], src)
            src = self.target.scratch[INT]
        inst.rn = src
        self.mover.out.append(inst)

    def _row(self, inst: MInst, k: int) -> None:
        """Rewrite an instruction some operand of which is not simply in a register."""
        op = inst.op
        rows = self.rows
        reads = rows.reads[op]
        tied = rows.tied[op]
        point = 2 * k if tied else 2 * k - 1  # where rm and rx must still be
        rd = inst.rd
        dst = self._start(rd, 2 * k if tied else 2 * k + 1) if rd >= VIRTUAL else rd
        if dst & BASE_MASK == CONSTANT and dst >= 0:
            return
        rn = self.where(inst.rn, 2 * k - 1) if reads & 1 else inst.rn
        rm = self.where(inst.rm, point) if reads & 2 else inst.rm
        rx = self.where(inst.rx, point) if reads & 4 else inst.rx
        used = self.implicit[op]
        for location in (dst, rn, rm, rx):
            if 0 <= location < PHYSICAL:
                used |= 1 << location
        scratch = Scratch(self.pool, k, used)
        type = self.mover.type_of(inst.rn)
        if not rows.memory[op]:
            if rm >= PHYSICAL and self._folds(rows.spill_rm[op], inst.rm, rm):
                inst.op = rows.spill_rm[op]
                inst.mem = stack_mem(rm)
                rm = rm & BASE_MASK
            elif rn >= PHYSICAL and not tied and self._folds(rows.spill_rn[op], inst.rn, rn):
                inst.op = rows.spill_rn[op]
                inst.mem = stack_mem(rn)
                location = rn & BASE_MASK
                if rm >= PHYSICAL and reads & 2:
                    rm = scratch.load(inst.rm, rm)
                rn = rm
                rm = location
                reads = 0
        if reads & 2 and rm >= PHYSICAL and inst.rm >= VIRTUAL and inst.op == op:
            rm = scratch.load(inst.rm, rm)
        if reads & 4 and rx >= PHYSICAL:
            rx = scratch.load(inst.rx, rx)
        if tied:
            target = dst
            if dst >= PHYSICAL:
                target = scratch.tied(self.mover.type_of(rd), rn, rm, rx)
            if target != rn:
                scratch.moves += [type, target, rn]
            inst.rd = inst.rn = target
        else:
            if reads & 1 and rn >= PHYSICAL:
                rn = scratch.load(inst.rn, rn)
            target = dst
            if dst >= PHYSICAL:
                target = scratch.result(self.mover.type_of(rd))
            inst.rd = target
            inst.rn = rn
        inst.rm = rm
        inst.rx = rx
        scratch.before()
        self.mover.out.append(inst)
        if rd >= VIRTUAL:
            self._store(rd, target)
        scratch.after()

    def _folds(self, op: int, v: int, location: int) -> bool:
        """Return whether `op` may read value v in its memory cell."""
        return op >= 0 and v >= VIRTUAL and location & BASE_MASK != CONSTANT and self.rows.width[op] <= SIZES[self.types[v]]
