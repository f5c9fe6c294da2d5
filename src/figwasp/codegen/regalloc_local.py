"""Floor 3: register allocation block by block, in linear time. In: a huge MFunc over virtual registers. Out: as of `regalloc`.

Values that live across block edges have homes in memory (`homes`), where they are stored at their definition. Within a block a
value is loaded at its first use and stays in a register until its last; when registers run out, the one goes whose next use is
furthest (Belady's rule), which in straight code is hard to beat. A value of this block only is stored when that happens.
A block that is entered only from the one laid out before it takes over what that left in registers.

Physical registers that selection names are reserved from their definition to their last use; whatever is there is moved away.
"""

from __future__ import annotations

from typing import Final

from figwasp.codegen.homes import Homes
from figwasp.codegen.liveness import implicit_registers
from figwasp.codegen.mach import (
    CALL,
    COPY,
    ENTRY,
    FIRST_ROW,
    JUMP,
    NONE,
    RET,
    SLOT,
    SWITCH,
    TAIL,
    VIRTUAL,
    CallSite,
    MBlock,
    MFunc,
    MInst,
)
from figwasp.codegen.moves import REGISTERS, Mover, cell, cell_mem
from figwasp.codegen.target import Rows, Target
from figwasp.ir.ops import F32, I32

NEVER: Final = 1 << 60
STORE_COST: Final = 30  # instructions by which a value that needs no store before it goes may be used sooner
_SIZES: Final = [4, 8, 4, 8]


def allocate_local(func: MFunc, target: Target) -> int:
    """Rewrite a function in place; return the registers written, as a bit set."""
    homes = Homes(func, target)
    homes.run()
    allocator = LocalAllocator(func, target, homes)
    allocator.run()
    return allocator.written


class LocalAllocator:
    """The walk over all blocks.

    Attributes:
        place: home of each value, or NONE as long as it has none.
        register: register of each value now, or NONE.
        content: value in each register now, or NONE.
        uses: value -> instruction numbers of its uses in this block, the next one last.
        physical: the same for physical registers that are operands, with `~number` for their definitions.
        reserved: bit set of the registers that hold a physical value that is still needed.
        pinned: bit set of registers that the current instruction needs.
        calls: numbers of this block's calls, the next one last.
        spare: slots of values of this block that are free again.
    """

    __slots__ = (
        "calls",
        "content",
        "crosses",
        "float_order",
        "func",
        "homes",
        "implicit",
        "int_order",
        "mover",
        "physical",
        "pinned",
        "place",
        "register",
        "reserved",
        "rows",
        "spare",
        "target",
        "types",
        "uses",
        "written",
    )

    def __init__(self, func: MFunc, target: Target, homes: Homes) -> None:
        self.func = func
        self.target = target
        self.rows: Rows = target.rows
        self.implicit = implicit_registers(target.rows)
        self.types = func.types
        self.homes = homes
        self.place = homes.place
        self.crosses = [place >= 0 for place in homes.place]
        self.mover = Mover(func, target)
        self.register: list[int] = [*range(VIRTUAL), *([NONE] * (len(func.types) - VIRTUAL))]
        self.content: list[int] = [NONE] * REGISTERS
        self.uses: dict[int, list[int]] = {}
        self.calls: list[int] = []
        self.reserved = 0
        self.physical: dict[int, list[int]] = {}
        self.pinned = 0
        self.spare: list[int] = []
        self.written = 0
        instance = func.instance if not homes.foreign else NONE
        taken = NONE
        if instance >= 0:
            taken = target.instance_reg
            self.register[instance] = taken
        self.int_order = [r for r in target.int_regs if r != taken]
        self.float_order = list(target.float_regs)

    def run(self) -> None:
        """Allocate all blocks in layout order."""
        before: MBlock | None = None
        for block in self.func.blocks:
            if before is None or block.params or len(block.preds) != 1 or block.preds[0] is not before or before.args:
                self._forget_all()
            self._survey(block)
            self._allocate(block)
            before = block

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
                if 0 <= inst.rd < REGISTERS:
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
                if 0 <= inst.rd < REGISTERS:
                    physical.setdefault(inst.rd, []).append(~k)
                sources.append(inst.rn)
            elif op == CALL or op == RET or op == TAIL:
                site = inst.imm
                assert isinstance(site, CallSite)
                sources += site.args
                sources.append(site.address)
                if op == CALL:
                    self.calls.append(k)
            for v in sources:
                if v >= VIRTUAL:
                    if v in uses:
                        uses[v].append(k)
                    else:
                        uses[v] = [k]
                elif 0 <= v < REGISTERS:
                    physical.setdefault(v, []).append(k)
            sources.clear()

    def _survey_implicit(self, op: int, k: int) -> None:
        """Note the physical registers that a row defines and reads besides its operands."""
        for r in bits(self.rows.implicit_defs[op]):
            self.physical.setdefault(r, []).append(~k)
        for r in bits(self.rows.implicit_uses[op]):
            self.physical.setdefault(r, []).append(k)

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
            elif op == CALL:
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
        block.code = self.mover.out

    # Registers

    def _next_use(self, v: int) -> int:
        """Number of the next instruction of this block that reads a value."""
        numbers = self.uses.get(v)
        return numbers[-1] if numbers else NEVER

    def _dies(self, v: int, k: int) -> bool:
        """Say whether instruction k is the last one of this block that reads a value."""
        numbers = self.uses.get(v)
        return numbers is None or numbers[0] <= k

    def _used(self, v: int, k: int) -> None:
        """Instruction k has read v: after its last use in the block its register and its temporary slot are free."""
        if v < VIRTUAL:
            if 0 <= v < REGISTERS:
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
            if not self.crosses[v] and self.place[v] >= 0:
                self.spare.append(self.place[v])
                self.place[v] = NONE

    def _used_physical(self, r: int, k: int) -> None:
        """Instruction k has read a physical register; unless it is read again before its next definition, it is free."""
        numbers = self.physical.get(r)
        if numbers is not None:
            while numbers and 0 <= numbers[-1] <= k:
                numbers.pop()
            if not numbers or numbers[-1] < 0:
                self.reserved &= ~(1 << r)

    def _take(self, type: int, lasts: int) -> int:
        """Free a register of a class for a value that is wanted until instruction `lasts`; the scratch register if all are in use."""
        blocked = self.pinned | self.reserved
        content = self.content
        call = self.calls[-1] if self.calls else NEVER
        across = lasts > call
        best = NONE
        furthest = -1
        saved = self.target.callee_saved
        for r in self.int_order if type < F32 else self.float_order:
            if blocked >> r & 1:
                continue
            v = content[r]
            if v < 0:
                if not across or saved >> r & 1:
                    return r
                distance = NEVER + 1  # free, but not for long
            else:
                distance = self._next_use(v)
                if self.place[v] >= 0:
                    distance += STORE_COST
            if distance > furthest:
                furthest = distance
                best = r
        if best < 0:
            best = self.target.scratch_int if type < F32 else self.target.scratch_float
            assert not self.pinned >> best & 1, "out of registers"
            return best
        self._evict(best)
        return best

    def _evict(self, r: int) -> None:
        """Empty a register; its value is stored if it is still wanted and has no home."""
        v = self.content[r]
        if v < 0:
            return
        if self.place[v] < 0 and v in self.uses:
            self._store(v, r)
        self._forget(r)

    def _store(self, v: int, r: int) -> None:
        """Give a value of this block a temporary home."""
        if self.spare:
            self.place[v] = self.spare.pop()
        else:
            self.place[v] = cell(SLOT, self.func.num_slots)
            self.func.num_slots += 1
        self.mover.move(self.types[v], self.place[v], r)

    def _where(self, v: int) -> int:
        """Where a value is to be read: its register, or its home."""
        if v < VIRTUAL:
            return v
        r = self.register[v]
        return r if r >= 0 else self.place[v]

    def _source(self, v: int, k: int) -> int:
        """Return the register of an operand, which is loaded if necessary, and pin it."""
        r = self.register[v]
        if r < 0:
            numbers = self.uses.get(v)
            r = self._take(self.types[v], numbers[0] if numbers else k)
            self.mover.move(self.types[v], r, self.place[v])
            if r != self.target.scratch_int and r != self.target.scratch_float:
                self._put(v, r)
        self.pinned |= 1 << r
        return r

    def _define(self, v: int, r: int, k: int) -> None:
        """Register r holds a new value: store it in its home, and keep it if it is used in this block."""
        if v < VIRTUAL:
            self._reserve(v, k)
            return
        type = self.types[v]
        scratch = r == self.target.scratch_int or r == self.target.scratch_float
        if self.crosses[v]:
            self.mover.move(type, self.place[v], r)
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
        if v not in self.uses or self.place[v] >= 0:
            self._forget(r)
            return
        blocked = self.pinned | self.reserved | 1 << r
        for other in self.int_order if r < 16 else self.float_order:
            if self.content[other] < 0 and not blocked >> other & 1:
                self.mover.move(self.types[v], other, r)
                self._forget(r)
                self._put(v, other)
                return
        self._evict(r)

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
        if 0 <= inst.rd < REGISTERS:
            self._vacate(inst.rd)
            implicit |= 1 << inst.rd
        pinned = implicit
        register = self.register
        for v in sources:
            if v >= 0:
                r = register[v]
                if 0 <= r < REGISTERS:
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
        """Say whether a value should be read in memory, by form `op` of the instruction."""
        if op < 0 or v < VIRTUAL or self.register[v] >= 0 or self.rows.width[op] > _SIZES[self.types[v]]:
            return False
        if self._dies(v, k):
            return True
        return all(self.content[r] >= 0 for r in (self.int_order if self.types[v] < F32 else self.float_order))

    def _tied(self, inst: MInst, k: int, reads: int) -> None:
        """The result begins as a copy of rn; rm and rx are read after that."""
        op = inst.op
        v = inst.rn
        d = inst.rd
        rm = inst.rm
        rx = inst.rx
        if reads & 2:
            if not self.rows.memory[op] and self._folds(self.rows.spill_rm[op], rm, k):
                place = self.place[rm]
                inst.op = self.rows.spill_rm[op]
                inst.mem = cell_mem(place)
                inst.rm = place & 63
            else:
                inst.rm = self._operand(rm, k)
        if reads & 4:
            inst.rx = self._operand(rx, k)
        src = self._where(v)
        if d < VIRTUAL:
            r = d
        elif src < REGISTERS and v >= VIRTUAL and self._dies(v, k) and v != rm and v != rx and self.content[src] == v:
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
        """Change to the form that reads v in its home."""
        place = self.place[v]
        inst.op = op
        inst.mem = cell_mem(place)
        inst.rm = place & 63

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
        self._used(v, k)
        if not self.homes.used[d]:
            return
        if src < REGISTERS and same and d not in self.uses:
            mover.move(type, self.place[d], src)
            return
        free = v < VIRTUAL and not self.reserved >> src & 1 and self.content[src] < 0
        if src < REGISTERS and same and (dies or free) and src in (self.int_order if type < F32 else self.float_order):
            self._define(d, src, k)
            return
        numbers = self.uses.get(d)
        if src < REGISTERS:
            self.pinned = 1 << src
        r = self._take(type, numbers[0] if numbers else k)
        mover.move(type if same else I32, r, src)
        self._define(d, r, k)

    def _call(self, inst: MInst, k: int) -> None:
        """CALL: save what it destroys and is wanted later, move the arguments, take the results where they come."""
        site = inst.imm
        assert isinstance(site, CallSite)
        destroyed = site.clobbers
        for loc in site.arg_locs + site.result_locs:
            if loc < REGISTERS:
                destroyed |= 1 << loc
        for r in range(REGISTERS):
            v = self.content[r]
            if v >= 0 and destroyed >> r & 1 and self.place[v] < 0 and not self._dies(v, k):
                self._store(v, r)
        address = site.address
        srcs = [self._where(v) for v in site.args]
        self.written |= site.clobbers
        self.written |= self.mover.call_arguments(site, srcs, self._where(address) if address >= 0 else NONE)
        self.mover.out.append(inst)
        for v in site.args:
            self._used(v, k)
        self._used(address, k)
        for r in range(REGISTERS):
            if destroyed >> r & 1:
                self._forget(r)
        for v, loc in zip(site.results, site.result_locs):
            if v < VIRTUAL or self.homes.used[v]:
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
        """JUMP: move the arguments into the homes of the parameters."""
        types: list[int] = []
        dsts: list[int] = []
        srcs: list[int] = []
        if block.args:
            for param, arg in zip(block.succs[0].params, block.args):
                if self.homes.used[param]:
                    types.append(self.types[param])
                    dsts.append(self.place[param])
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
            if loc < REGISTERS and self.homes.used[v] and self.register[v] != loc:
                if loc in self.int_order or loc in self.float_order:
                    self._define(v, loc, k)
                elif self.crosses[v]:
                    self.mover.move(self.types[v], self.place[v], loc)
                else:
                    others += [v, loc]
        for i in range(0, len(others), 2):
            r = self._take(self.types[others[i]], NEVER)
            self.mover.move(self.types[others[i]], r, others[i + 1])
            self._define(others[i], r, k)


def bits(registers: int) -> list[int]:
    """The registers of a bit set."""
    return [r for r in range(REGISTERS) if registers >> r & 1]
