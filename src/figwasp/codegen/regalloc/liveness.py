"""Floor 3: live ranges. In: an MFunc over virtual registers. Out: for every register the points where it is live, as one int.

Points are those of `mach`: instruction k is at 2k "during" and 2k + 1 "after"; each block begins with one more k that stands
for its entry, where its parameters are defined. A live range is an int with one bit per point, so that "may these two share a
register" is one `&` at C speed. `uses` are the ends of ranges: 2k for an early use (the value need not survive into the
instruction), 2k + 1 for a late one.

One walk over the code collects uses and definitions. Most values live in one block and are done with that. Where the others are
live is found a set of blocks at a time: `_Reach` says which blocks lead to which, as ints with one bit per block. Since all of
that may be quadratic, `live_ranges` gives up at a bound and the caller allocates block by block.

Physical registers are busy where selection names them (in operands, implicitly, or around calls).
"""

from __future__ import annotations

from typing import Final

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
from figwasp.codegen.regalloc.registers import bits, implicit_registers
from figwasp.codegen.target import Rows, Target

WEIGHTS: Final = [1, 10, 100, 1000, 10_000, 100_000]
"""How often a block runs, by loop depth; deeper ones count as the last."""

URGENT: Final = 10**9
"""Weight of what must get a register."""

MAX_BLOCKS: Final = 1 << 14  # of which the sets take 32 MB
MAX_PAIRS = 40  # not final, see MAX_POINTS of `allocate`
"""Bound on values live at block entries, counted per instruction; large real functions have 3 to 7."""


def block_weight(block: MBlock) -> int:
    """Return how often a block is assumed to run."""
    return WEIGHTS[block.depth] if block.depth < len(WEIGHTS) else WEIGHTS[-1]


class Ranges:
    """The live ranges of a function.

    Attributes, indexed by register where it does not say otherwise:
        defs: point of the definition, or -1 if there is none or its result is dropped.
        uses: ends of the live range at each use, ascending in layout order.
        mask: points where it is live; 0 needs no location.
        weight: uses and definition, each times the weight of its block.
        tie_from, tie_to: the register at the other end of a tied operand, or NONE.
        hints: flat [weight, register] pairs: locations that would save a move.
        copies: (-weight, destination, source) of block arguments and copies.
        busy: per physical register the points at which it is not to be had.
        written: bit set of physical registers that are written by what is there already.
        calls: points of calls.
        passes, foreign: points of calls that pass the function's own instance, or another one, in the instance register.
        starts, ends, block_weights: per block in layout order. block_of: block by instruction number.
    """

    __slots__ = (
        "block_of",
        "block_weights",
        "busy",
        "calls",
        "copies",
        "defs",
        "ends",
        "foreign",
        "hints",
        "mask",
        "passes",
        "starts",
        "tie_from",
        "tie_to",
        "uses",
        "weight",
        "written",
    )

    def __init__(self, count: int, num_registers: int) -> None:
        self.defs: list[int] = [-1] * count
        self.uses: list[list[int]] = [[]] * VIRTUAL  # physical registers have none; one list stands for all
        self.uses += [[] for _ in range(VIRTUAL, count)]
        self.mask: list[int] = [0] * count
        self.weight: list[int] = [0] * count
        self.tie_from: list[int] = [NONE] * count
        self.tie_to: list[int] = [NONE] * count
        self.hints: dict[int, list[int]] = {}
        self.copies: list[tuple[int, int, int]] = []
        self.busy: list[int] = [0] * num_registers
        self.written = 0
        self.calls = 0
        self.passes = 0
        self.foreign = 0
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.block_weights: list[int] = []
        self.block_of: list[int] = []


def live_ranges(func: MFunc, target: Target) -> Ranges | None:
    """Compute the live ranges of a function, or None when that would take too long."""
    ranges = Ranges(len(func.types), target.num_registers)
    _Collector(func, target, ranges).run()
    return ranges if _follow(func, ranges) else None


class _Collector:
    """The walk over the code.

    Attributes:
        since: per physical register the point of its last definition in the block, or of the block's entry.
        allocatable: bit set of the registers whose points matter.
        special: per row, the physical registers that it touches implicitly.
        clobbers: bit set of registers -> points of calls that destroy them.
    """

    __slots__ = ("allocatable", "clobbers", "func", "ranges", "rows", "since", "special", "target")

    def __init__(self, func: MFunc, target: Target, ranges: Ranges) -> None:
        self.func = func
        self.target = target
        self.ranges = ranges
        self.rows: Rows = target.rows
        self.since: list[int] = []
        self.special = implicit_registers(target)
        self.clobbers: dict[int, int] = {}
        self.allocatable = sum(1 << r for registers in target.regs for r in registers)

    def run(self) -> None:
        """Walk all blocks and spread the clobbers of calls."""
        ranges = self.ranges
        point = 0
        for number, block in enumerate(self.func.blocks):
            block.start = point
            weight = block_weight(block)
            for v in block.params:
                ranges.defs[v] = point
            self.since = [point] * self.target.num_registers
            self._walk(block, point, weight)
            point += 2 * len(block.code) + 2
            block.end = point
            ranges.starts.append(block.start)
            ranges.ends.append(point)
            ranges.block_weights.append(weight)
            ranges.block_of.extend([number] * (len(block.code) + 1))
        busy = ranges.busy
        for registers, points in self.clobbers.items():
            for r in bits(registers):
                busy[r] |= points
            ranges.written |= registers
            ranges.calls |= points

    def _walk(self, block: MBlock, point: int, weight: int) -> None:
        """Note the operands of a block's instructions. Flat for speed: this is a large part of allocation's time."""
        ranges = self.ranges
        defs = ranges.defs
        uses = ranges.uses
        tie_from = ranges.tie_from
        tie_to = ranges.tie_to
        special = self.special
        reads = self.rows.reads
        tied = self.rows.tied
        for inst in block.code:
            point += 2
            op = inst.op
            if op >= FIRST_ROW:
                fields = reads[op]
                d = inst.rd
                late = point
                if tied[op]:
                    v = inst.rn
                    tie_from[d] = v
                    tie_to[v] = d
                    defs[d] = point
                    late += 1
                elif d >= 0:
                    defs[d] = point + 1
                if fields & 1:
                    v = inst.rn
                    if v >= VIRTUAL:
                        uses[v].append(point)
                    else:
                        self._use_physical(v, point)
                if fields & 2:
                    v = inst.rm
                    if v >= VIRTUAL:
                        uses[v].append(late)
                    elif 0 <= v < PHYSICAL:
                        self._use_physical(v, late)
                if fields & 4:
                    v = inst.rx
                    if v >= VIRTUAL:
                        uses[v].append(late)
                    elif v >= 0:
                        self._use_physical(v, late)
                if special[op]:
                    self._implicit(op, point, late)
                if 0 <= d < PHYSICAL:
                    self._define_physical(d, defs[d], point + 2)
            elif op == COPY:
                self._copy(inst, point, weight)
            elif op == JUMP:
                self._jump(block, point, weight)
            elif op == CALL or op == RET or op == TAIL or op == ENTRY or op == INVOKE or op == ARRIVE:
                self._call(inst, point, weight)
            elif op == SWITCH:
                uses[inst.rn].append(point + 1)
                for d in (inst.rm, inst.rx):
                    if d >= VIRTUAL:
                        defs[d] = point
                        ranges.weight[d] = URGENT

    def _use_physical(self, r: int, end: int) -> None:
        """A physical register is read: it was busy since its definition."""
        if self.allocatable >> r & 1:
            self.ranges.busy[r] |= (1 << end) - (1 << self.since[r])

    def _define_physical(self, r: int, start: int, end: int) -> None:
        """A physical register is written: it is busy at once, and from there to each later use."""
        self.since[r] = start
        self.ranges.busy[r] |= (1 << end) - (1 << start)
        self.ranges.written |= 1 << r

    def _implicit(self, op: int, point: int, late: int) -> None:
        """Note the physical registers that a row reads (when tied, after the copy into rd) and writes besides its operands."""
        for r in bits(self.rows.implicit_uses[op]):
            self._use_physical(r, late)
        for r in bits(self.rows.implicit_defs[op]):
            self._define_physical(r, point, point + 2)

    def _copy(self, inst: MInst, point: int, weight: int) -> None:
        """COPY: candidates for one register."""
        ranges = self.ranges
        d = inst.rd
        v = inst.rn
        if v >= VIRTUAL:
            ranges.uses[v].append(point)
        else:
            self._use_physical(v, point)
        if d >= VIRTUAL:
            ranges.defs[d] = point + 1
        else:
            self._define_physical(d, point + 1, point + 2)
        if d >= VIRTUAL and v >= VIRTUAL:
            ranges.copies.append((-weight, d, v))
        elif d >= VIRTUAL:
            self._hint(d, weight, v)
        elif v >= VIRTUAL:
            self._hint(v, weight, d)

    def _hint(self, v: int, weight: int, location: int) -> None:
        """Note that `v` would best be in `location`."""
        known = self.ranges.hints.get(v)
        if known is None:
            self.ranges.hints[v] = [weight, location]
        else:
            known.append(weight)
            known.append(location)

    def _jump(self, block: MBlock, point: int, weight: int) -> None:
        """JUMP: its arguments become the parameters of the next block."""
        ranges = self.ranges
        if block.args:
            for param, arg in zip(block.succs[0].params, block.args):
                ranges.uses[arg].append(point)
                if arg != param:
                    ranges.copies.append((-weight, param, arg))

    def _call(self, inst: MInst, point: int, weight: int) -> None:
        """What has a CallSite: arguments are read early, results defined late, everything destroyed in between."""
        ranges = self.ranges
        site = inst.imm
        assert isinstance(site, CallSite)
        if site.address >= VIRTUAL:
            ranges.uses[site.address].append(point)
        elif site.address >= 0:
            self._use_physical(site.address, point)
        for v, location in zip(site.args, site.arg_locs):
            if v >= VIRTUAL:
                ranges.uses[v].append(point)
                if location < PHYSICAL:
                    self._hint(v, weight, location)
            else:
                self._use_physical(v, point)
        for v, location in zip(site.results, site.result_locs):
            ranges.defs[v] = point + 1
            if location < PHYSICAL:
                self._hint(v, weight, location)
        if inst.op == CALL or inst.op == INVOKE:
            self._clobber(site, point)

    def _clobber(self, site: CallSite, point: int) -> None:
        """Note what a call destroys: what it says, and the locations of its arguments and results."""
        ranges = self.ranges
        instance_reg = self.target.instance_reg
        registers = site.clobbers
        for location in site.result_locs:
            if location < PHYSICAL:
                registers |= 1 << location
        for v, location in zip(site.args, site.arg_locs):
            if location == instance_reg and not registers >> location & 1:
                if v == self.func.instance:
                    ranges.passes |= 1 << point
                else:
                    ranges.foreign |= 1 << point
            elif location < PHYSICAL:
                registers |= 1 << location
        self.clobbers[registers] = self.clobbers.get(registers, 0) | 1 << point


def _follow(func: MFunc, ranges: Ranges) -> bool:
    """Make masks and weights from uses and definitions; return False if too many values are live across blocks."""
    blocks = func.blocks
    if len(blocks) > MAX_BLOCKS:
        return False
    starts = ranges.starts
    ends = ranges.ends
    weights = ranges.block_weights
    block_of = ranges.block_of
    mask = ranges.mask
    weight = ranges.weight
    defs = ranges.defs
    reach = _Reach(blocks)
    before = reach.before
    after = reach.after
    succs = reach.succs
    budget = MAX_PAIRS * len(block_of) + 1000
    for v in range(VIRTUAL, len(defs)):
        start = defs[v]
        if start < 0:
            continue
        uses = ranges.uses[v]
        def_block = block_of[start >> 1]
        if not uses:
            if weight[v] or not _droppable(func, start, def_block, starts):
                mask[v] = (2 << (start | 1)) - (1 << start)
                weight[v] += weights[def_block]
            else:
                defs[v] = -1
            continue
        end = uses[-1]
        if end < ends[def_block] and uses[0] > start:
            mask[v] = (1 << end) - (1 << start)
            weight[v] = weights[def_block] * (len(uses) + 1)
            continue
        # Live across blocks: in those on the way to a use, and, where such a one begins a loop, in the whole loop.
        total = weights[def_block]
        last: dict[int, int] = {}
        live = 0
        for end in uses:
            number = block_of[end >> 1]
            total += weights[number]
            last[number] = end
            live |= before[number]
        weight[v] = total
        live &= after[def_block]
        heads = live & reach.heads
        while heads:
            body = reach.loops[(heads & -heads).bit_length() - 1]
            live |= body
            heads &= ~body
        budget -= live.bit_count()
        if budget < 0:
            return False
        end = ends[def_block] if succs[def_block] & live else last.get(def_block, start + 1)
        points = (1 << end) - (1 << start)
        rest = live
        while rest:  # a run of blocks at a time
            low = rest & -rest
            above = rest + low
            points |= (1 << ends[(above & -above).bit_length() - 2]) - (1 << starts[low.bit_length() - 1])
            rest &= above
        for number, end in last.items():
            if number != def_block and not succs[number] & live:
                points ^= (1 << ends[number]) - (1 << end)
        mask[v] = points
    return True


class _Reach:
    """Reachability between blocks without back edges, as ints with one bit per block, by places in the layout.

    Every edge leads forward, or back to the first block of a loop, from where every block of the loop can be reached and through
    which it is entered.

    Attributes, indexed by the place of a block:
        before: the blocks that lead to it, itself among them.
        after: those that it leads to.
        succs: those that follow it at once, also back.
        heads: the first blocks of loops.
        loops: first block of a loop -> the blocks of it.
    """

    __slots__ = ("after", "before", "heads", "loops", "succs")

    def __init__(self, blocks: list[MBlock]) -> None:
        numbers = {block.id: number for number, block in enumerate(blocks)}
        self.before: list[int] = []
        self.after: list[int] = [0] * len(blocks)
        self.succs: list[int] = []
        self.heads = 0
        self.loops: dict[int, int] = {}
        returns: dict[int, int] = {}  # first block of a loop -> what leads to where it goes back
        for number, block in enumerate(blocks):
            leading = 1 << number
            for pred in block.preds:
                place = numbers[pred.id]
                if place < number:
                    leading |= self.before[place]
            self.before.append(leading)
            following = 0
            for succ in block.succs:
                place = numbers[succ.id]
                following |= 1 << place
                if place <= number:
                    returns[place] = returns.get(place, 0) | leading
            self.succs.append(following)
        for number in range(len(blocks) - 1, -1, -1):
            led = following = self.succs[number] >> number + 1 << number + 1
            while following:
                low = following & -following
                led |= self.after[low.bit_length() - 1]
                following ^= low
            self.after[number] = led
            if number in returns:
                self._add_loop(number, returns[number] & (led | 1 << number))

    def _add_loop(self, number: int, body: int) -> None:
        """Note a loop; those in it are known already, and may have blocks that lead nowhere but back."""
        inner = body & self.heads
        while inner:
            loop = self.loops[(inner & -inner).bit_length() - 1]
            body |= loop
            inner &= ~loop
        self.heads |= 1 << number
        self.loops[number] = body


def _droppable(func: MFunc, start: int, def_block: int, starts: list[int]) -> bool:
    """Return whether an unused result needs no register: all but those of rows and of SWITCH."""
    k = (start - starts[def_block]) // 2
    if k == 0:
        return True
    op = func.blocks[def_block].code[k - 1].op
    return op < FIRST_ROW and op != SWITCH
