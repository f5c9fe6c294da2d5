"""Floor 3: values that got no register for their whole life. In: such a value. Out: location and splits, in an `Assignment`.

A spilled value is in a slot, in the incoming cell it arrived in, or is the instruction that makes it, if that has no operands.
Splits are stretches of points where it is in a register besides:

* from its definition through its near uses in that block, at no cost;
* a loop it is live into and not defined in, when its uses there outweigh one load on the edge into the loop;
* from a load before one use through the near uses that follow in that block, when there are two or more.

The last kind takes the register that stays free longest, so that in straight code it comes close to furthest-next-use order.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Final

from figwasp.codegen.mach import AREA, FIRST_ROW, JUMP, NONE, POOL, SLOT, SYMBOL, MFunc, MInst
from figwasp.codegen.regalloc.assignment import SAVE_COST, Assignment
from figwasp.codegen.regalloc.liveness import Ranges
from figwasp.codegen.regalloc.moves import CONSTANT, arrivals, stack_slot
from figwasp.codegen.target import Rows
from figwasp.ir.types import CELLS, CLASSES

NEAR: Final = 60  # points between uses that may share a register
TRIES: Final = 24  # slots to look at before opening another


class Loop:
    """A loop whose values may be kept in registers.

    Attributes:
        start, end: its points.
        weight: of the block before it.
        jump: number of the JUMP that enters it.
    """

    __slots__ = ("end", "jump", "start", "weight")

    def __init__(self, start: int, end: int, weight: int, jump: int) -> None:
        self.start = start
        self.end = end
        self.weight = weight
        self.jump = jump


class SpillSlots:
    """Spill slots of one size.

    Attributes:
        numbers: of each slot, that of its first cell.
        taken: per slot the points at which it is taken.
    """

    __slots__ = ("numbers", "taken")

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.taken: list[int] = []


class Spiller:
    """Places in memory, and splits.

    Attributes:
        slot_of: number in `slots` of a class's slot, by its root.
        order: class of registers -> those to try, in order.
        slots: number of cells -> the slots of that size. No two have a cell in common.
        arrivals: incoming cells of the parameters that have one.
        loops: outer ones first, None before they were wanted. parents: number of the next outer loop, or NONE.
        innermost: per block number, that of the innermost loop around it, or NONE.
    """

    __slots__ = (
        "arrivals",
        "assignment",
        "busy",
        "func",
        "innermost",
        "loops",
        "order",
        "parents",
        "ranges",
        "rows",
        "saved",
        "slot_of",
        "slots",
    )

    def __init__(
        self,
        func: MFunc,
        rows: Rows,
        ranges: Ranges,
        assignment: Assignment,
        order: list[list[int]],
        saved: int,
    ) -> None:
        self.func = func
        self.rows = rows
        self.ranges = ranges
        self.assignment = assignment
        self.busy = assignment.busy
        self.order = order
        self.saved = saved
        self.slot_of: dict[int, int] = {}
        self.slots: dict[int, SpillSlots] = {}
        self.arrivals = arrivals(func)
        self.loops: list[Loop] | None = None
        self.innermost: list[int] = []
        self.parents: list[int] = []

    def spill(self, v: int, root: int) -> None:
        """Give a value a location in memory, which it shares with its class where it can, and splits.

        Args:
            v: the value.
            root: stands for its class, the members of which are never live at the same point.
        """
        self.assignment.location[v] = self._memory(v, root)
        splits: list[int] = []
        uses = self.ranges.uses[v]
        rest = self._place_in_loops(v, uses, splits) if len(uses) > 1 else uses
        self._place_runs(v, rest, splits)
        if splits:
            self.assignment.splits[v] = splits

    def _memory(self, v: int, root: int) -> int:
        """The location where a spilled value lives."""
        if v in self.arrivals:
            return self.arrivals[v]
        constant = self._constant(v)
        if constant >= 0:
            return constant
        mask = self.ranges.mask[v]
        type = self.func.types[v]
        slots = self.slots.get(CELLS[type])
        if slots is None:
            slots = self.slots[CELLS[type]] = SpillSlots()
        taken = slots.taken
        slot = self.slot_of.get(root, NONE)
        if slot < 0 or taken[slot] & mask:
            slot = NONE
            for candidate in range(max(0, len(taken) - TRIES), len(taken)):
                if not taken[candidate] & mask:
                    slot = candidate
                    break
            if slot < 0:
                slot = len(taken)
                taken.append(0)
                slots.numbers.append(self.func.new_slot(type))
            self.slot_of[root] = slot
        taken[slot] |= mask
        return stack_slot(SLOT, slots.numbers[slot])

    def _constant(self, v: int) -> int:
        """The location of a value that is made again where it is needed, or NONE."""
        ranges = self.ranges
        start = ranges.defs[v]
        number = ranges.block_of[start >> 1]
        k = (start - ranges.starts[number]) >> 1
        if k == 0:
            return NONE
        inst = self.func.blocks[number].code[k - 1]
        if not is_constant(inst, self.rows):
            return NONE
        constants = self.assignment.constants
        constants.append(MInst(inst.op, NONE, inst.rn, inst.rm, inst.rx, inst.mem, inst.imm, inst.pos))
        return stack_slot(CONSTANT, len(constants) - 1)

    def _place_in_loops(self, v: int, uses: list[int], splits: list[int]) -> list[int]:
        """Give registers to loops; return the uses outside of them."""
        if self.loops is None:
            self.loops = find_loops(self.func, self.ranges)
            self._find_innermost()
        ranges = self.ranges
        start = ranges.defs[v]
        mask = ranges.mask[v]
        rest = uses
        for number in self._loops_around(uses):
            loop = self.loops[number]
            if loop.start <= start < loop.end:
                continue
            low = bisect_left(rest, loop.start)
            high = bisect_right(rest, loop.end)
            if low == high:
                continue
            gain = -loop.weight
            for end in rest[low:high]:
                gain += ranges.block_weights[ranges.block_of[end >> 1]]
            if gain <= 0:
                continue
            inside = mask & ((1 << loop.end) - (1 << loop.start))
            r = self._free(v, inside, gain)
            if r >= 0:
                self.assignment.take(r, inside)
                splits += [loop.start, loop.end, r]
                self.assignment.edge_loads.setdefault(loop.jump, []).extend((v, r))
                rest = rest[:low] + rest[high:]
        return rest

    def _find_innermost(self) -> None:
        """Fill in `innermost` and `parents`."""
        assert self.loops is not None
        innermost: list[int] = [NONE] * len(self.ranges.starts)
        parents: list[int] = []
        stack: list[int] = []
        following = 0
        for number, start in enumerate(self.ranges.starts):
            while stack and self.loops[stack[-1]].end <= start:
                stack.pop()
            if following < len(self.loops) and self.loops[following].start == start:
                parents.append(stack[-1] if stack else NONE)
                stack.append(following)
                following += 1
            innermost[number] = stack[-1] if stack else NONE
        self.innermost = innermost
        self.parents = parents

    def _loops_around(self, uses: list[int]) -> list[int]:
        """The numbers of the loops that contain any of the uses, outer ones first."""
        block_of = self.ranges.block_of
        seen: set[int] = set()
        last = NONE
        for end in uses:
            block = block_of[end >> 1]
            if block != last:
                last = block
                number = self.innermost[block]
                while number >= 0 and number not in seen:
                    seen.add(number)
                    number = self.parents[number]
        return sorted(seen)

    def _free(self, v: int, mask: int, gain: int) -> int:
        """Return a register that is free at all points of `mask` and worth it, or NONE."""
        unopened = self.saved & ~self.assignment.written if gain <= SAVE_COST else 0
        for r in self.order[CLASSES[self.func.types[v]]]:
            if not self.busy[r] & mask and not unopened >> r & 1:
                return r
        return NONE

    def _place_runs(self, v: int, uses: list[int], splits: list[int]) -> None:
        """Give registers to runs of near uses."""
        ranges = self.ranges
        start = ranges.defs[v]
        count = len(uses)
        i = 0
        if count and start < uses[0] <= ranges.ends[ranges.block_of[start >> 1]]:
            i = self._run(v, uses, 0, start, 1, splits)
        while i < count - 1:
            first = (uses[i] >> 1) * 2 - 1
            after = self._run(v, uses, i, first, 2, splits)
            if after > i:
                self.assignment.reloads.setdefault(uses[i] >> 1, []).extend((v, splits[-1]))
                i = after
            else:
                i += 1

    def _run(self, v: int, uses: list[int], i: int, start: int, least: int, splits: list[int]) -> int:
        """Make a split from `start` through the near uses from number i on, at least `least`; return the number after the last."""
        ranges = self.ranges
        block_end = ranges.ends[ranges.block_of[(start + 1) >> 1]]
        last = start
        j = i
        while j < len(uses) and uses[j] < block_end and uses[j] - last <= NEAR:
            last = uses[j]
            j += 1
        if j - i < least:
            return i
        window = (1 << (last - start)) - 1
        unopened = self.saved & ~self.assignment.written
        best = NONE
        longest = 0
        for r in self.order[CLASSES[self.func.types[v]]]:
            if unopened >> r & 1:
                continue
            taken = self.busy[r] >> start & window
            length = (taken & -taken).bit_length() - 1 if taken else last - start
            if length > longest:
                longest = length
                best = r
                if not taken:
                    break
        while j > i and uses[j - 1] > start + longest:
            j -= 1
        if j - i < least:
            return i
        end = uses[j - 1]
        self.assignment.take(best, (1 << end) - (1 << start))
        splits += [start, end, best]
        return j


def is_constant(inst: MInst, rows: Rows) -> bool:
    """Return whether an instruction can be repeated anywhere: it reads no register and no memory that changes and sets no flags."""
    op = inst.op
    if op < FIRST_ROW or inst.rd < 0 or rows.tied[op] or rows.flags[op] or rows.makes_condition[op]:
        return False
    if rows.implicit_uses[op] or rows.implicit_defs[op] or rows.stores[op]:
        return False
    if rows.memory[op]:
        fixed = inst.rm == POOL or inst.rm == SYMBOL or (inst.rm == AREA and rows.width[op] == 0)
        return fixed and rows.reads[op] & 1 == 0 and inst.rx < 0
    return rows.reads[op] == 0


def find_loops(func: MFunc, ranges: Ranges) -> list[Loop]:
    """Return the loops, outer ones first, that are contiguous and entered by one JUMP to their header."""
    blocks = func.blocks
    numbers: list[int] = [0] * (max(block.id for block in blocks) + 1)
    for number, block in enumerate(blocks):
        numbers[block.id] = number
    loops: list[Loop] = []
    for first, header in enumerate(blocks):
        if not header.loop:
            continue
        depth = header.depth
        after = first + 1
        while after < len(blocks):
            block = blocks[after]
            if block.depth < depth or (block.depth == depth and block.loop):
                break
            after += 1
        outside = [numbers[pred.id] for pred in header.preds if not first <= numbers[pred.id] < after]
        if len(outside) != 1 or blocks[outside[0]].code[-1].op != JUMP:
            continue
        if all(first <= numbers[pred.id] < after for block in blocks[first + 1 : after] for pred in block.preds):
            before = outside[0]
            jump = (ranges.ends[before] >> 1) - 1
            loops.append(Loop(ranges.starts[first], ranges.ends[after - 1], ranges.block_weights[before], jump))
    return loops
