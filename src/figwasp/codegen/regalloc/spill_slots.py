"""Floor 3: spill slots for block-local allocation. In: an MFunc over virtual registers. Out: a slot for every value that lives
across a block edge, without any dataflow.

A value used outside of the block that defines it is stored at its definition and read in its slot, as is a block parameter. Slots
are shared by a linear scan over the layout: a value lives from its definition to its last use, which is moved to the end of
every loop that contains a use but not the definition. That covers all points where it is live, because a layout in which the
only backward edges lead to headers of contiguous loops is a topological order of everything else; where it is no such layout,
slots are not shared. A parameter gets the slot of an argument, or the reverse, when that is free: then the edge needs no move.
"""

from __future__ import annotations

from bisect import bisect_right
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
    RET,
    SLOT,
    SWITCH,
    TAIL,
    VIRTUAL,
    CallSite,
    MBlock,
    MFunc,
)
from figwasp.codegen.regalloc.moves import BASE_BITS, arrivals, stack_slot
from figwasp.codegen.target import Target
from figwasp.ir.types import CELLS

FOREVER: Final = 1 << 60


class SpillSlots:
    """The spill slots of values between blocks.

    Attributes:
        location: per virtual register its slot, or NONE for values of one block.
        used: per virtual register, True if anything reads it.
        foreign: True if some call passes another instance than the function's own.
        defs: instruction number of each definition; blocks count one number for their entry.
        last: number of the last use, extended by loops; -1 for values of one block.
        hints: value -> another whose slot would suit it.
    """

    __slots__ = ("defs", "foreign", "func", "hints", "last", "location", "rows", "starts", "target", "used")

    def __init__(self, func: MFunc, target: Target) -> None:
        count = len(func.types)
        self.func = func
        self.target = target
        self.rows = target.rows
        self.location: list[int] = [NONE] * count
        self.used: list[bool] = [False] * count
        self.foreign = False
        self.defs: list[int] = [-1] * count
        self.last: list[int] = [-1] * count
        self.hints: dict[int, int] = {}
        self.starts: list[int] = []

    def run(self) -> None:
        """Find the values that need slots and give them some."""
        self._number_definitions()
        shared = self._walk_uses()
        self._assign(shared)
        for v, location in arrivals(self.func).items():  # a parameter that arrives in memory stays there
            self.location[v] = location

    def _number_definitions(self) -> None:
        """Fill in `defs` and `starts`."""
        defs = self.defs
        k = 0
        for block in self.func.blocks:
            self.starts.append(k)
            for v in block.params:
                defs[v] = k
            for inst in block.code:
                k += 1
                d = inst.rd
                if d >= VIRTUAL:
                    defs[d] = k
                elif inst.op == CALL or inst.op == ENTRY or inst.op == ARRIVE:
                    site = inst.imm
                    assert isinstance(site, CallSite)
                    for v in site.results:
                        defs[v] = k
            k += 1

    def _walk_uses(self) -> bool:
        """Fill in `used`, `last` and `hints`; return whether the layout allows slots to be shared."""
        func = self.func
        blocks = func.blocks
        numbers = {block.id: number for number, block in enumerate(blocks)}
        ends = _loop_ends(blocks, numbers)
        shared = ends is not None
        loop_starts: list[int] = []  # of the loops around the current block, outermost first: first and last instruction
        loop_ends: list[int] = []
        for number, block in enumerate(blocks):
            start = self.starts[number]
            while loop_ends and loop_ends[-1] < start:
                loop_starts.pop()
                loop_ends.pop()
            if ends is not None and number in ends:
                after = ends[number]
                loop_starts.append(start)
                loop_ends.append((self.starts[after] if after < len(blocks) else FOREVER) - 1)
            for v in block.params:
                self.last[v] = max(self.last[v], start)
            self._walk_block(block, start, loop_starts, loop_ends)
        return shared

    def _walk_block(self, block: MBlock, start: int, loop_starts: list[int], loop_ends: list[int]) -> None:
        """Note the uses in one block. Those of values defined in it matter only if the value has others."""
        used = self.used
        defs = self.defs
        last = self.last
        reads = self.rows.reads
        uses: list[int] = []
        k = start
        end = start + len(block.code)
        for inst in block.code:
            k += 1
            op = inst.op
            if op >= FIRST_ROW:
                fields = reads[op]
                uses.clear()
                if fields & 1:
                    uses.append(inst.rn)
                if fields & 2:
                    uses.append(inst.rm)
                if fields & 4:
                    uses.append(inst.rx)
            elif op == COPY or op == SWITCH:
                uses = [inst.rn]
            elif op == CALL or op == INVOKE or op == RET or op == TAIL:
                site = inst.imm
                assert isinstance(site, CallSite)
                uses = [*site.args, site.address]
                if op == CALL or op == INVOKE:
                    self._look_at_instance(site)
            elif op == JUMP and block.args:
                uses = block.args.copy()
                self._hint(block)
            else:
                continue
            for v in uses:
                if v < VIRTUAL:
                    continue
                used[v] = True
                d = defs[v]
                if start < d <= end:
                    if last[v] < 0:
                        continue
                elif d == start and last[v] < k:  # a parameter of this block
                    last[v] = k
                    continue
                if last[v] < k:
                    inside = bisect_right(loop_starts, d)
                    last[v] = loop_ends[inside] if inside < len(loop_ends) and d >= 0 else k

    def _look_at_instance(self, site: CallSite) -> None:
        """Note calls that pass another instance."""
        r = self.target.instance_reg
        for v, loc in zip(site.args, site.arg_locs):
            if loc == r and v != self.func.instance:
                self.foreign = True
        if site.clobbers >> r & 1:
            self.foreign = True

    def _hint(self, block: MBlock) -> None:
        """Parameters and their arguments suit each other; whichever is defined first has its slot first."""
        defs = self.defs
        for param, arg in zip(block.succs[0].params, block.args):
            if defs[arg] < defs[param]:
                self.hints.setdefault(param, arg)
            else:
                self.hints.setdefault(arg, param)

    def _assign(self, shared: bool) -> None:
        """Give slots in order of definition, reusing those whose value is dead."""
        location = self.location
        last = self.last
        types = self.func.types
        ending: dict[int, list[int]] = {}  # the values that end at a number
        free_slots: list[set[int]] = [set() for _ in range(max(CELLS) + 1)]  # by number of cells
        pinned = self.func.instance if not self.foreign else NONE
        done = 0  # slots of values that end before this number are free
        for v in self._in_order():
            if v == pinned or not self.used[v]:
                continue
            start = self.defs[v]
            while done < start:
                for dead in ending.pop(done, ()):
                    free_slots[CELLS[types[dead]]].add(location[dead] >> BASE_BITS)
                done += 1
            hint = self.hints.get(v, NONE)
            slot = location[hint] >> BASE_BITS if hint >= 0 and location[hint] >= 0 else NONE
            free = free_slots[CELLS[types[v]]]
            if slot in free:
                free.discard(slot)
            elif free:
                slot = free.pop()
            else:
                slot = self.func.new_slot(types[v])
            location[v] = stack_slot(SLOT, slot)
            if shared:
                ending.setdefault(last[v], []).append(v)

    def _in_order(self) -> list[int]:
        """The values that need a slot, by definition."""
        last = self.last
        values = [v for v in range(VIRTUAL, len(last)) if last[v] >= 0]
        values.sort(key=self.defs.__getitem__)
        return values


def _loop_ends(blocks: list[MBlock], numbers: dict[int, int]) -> dict[int, int] | None:
    """Return for each loop header the number after its last block, or None if there are other backward edges."""
    ends: dict[int, int] = {}
    stack: list[int] = []
    for number, block in enumerate(blocks):
        while stack and _outside(blocks[stack[-1]], block):
            ends[stack.pop()] = number
        if block.loop:
            stack.append(number)
    for number in stack:
        ends[number] = len(blocks)
    for number, block in enumerate(blocks):
        for id in {succ.id for succ in block.succs}:
            target = numbers[id]
            if target <= number and not (target in ends and number < ends[target]):
                return None
    for number, after in ends.items():
        for pred in blocks[number].preds:
            if numbers[pred.id] >= after:
                return None
    return ends


def _outside(header: MBlock, block: MBlock) -> bool:
    """Return whether a block that follows a loop is outside of it."""
    return block.depth < header.depth or (block.loop and block.depth == header.depth)
