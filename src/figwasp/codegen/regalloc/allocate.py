"""Floor 3: register allocation. In: an MFunc over virtual registers. Out: the same MFunc over physical registers and slots.

Theory of operation. Live ranges are ints with one bit per point (`liveness`), and so is the occupation of each physical register:
a register will do if `busy[r] & range == 0`, and taking it is `busy[r] |= range`.

1. Block parameters and their arguments, and both sides of copies, are put in one class when their ranges are disjoint, deepest
   loops first; no move is needed between members.
2. Classes get registers in order of weight per length (uses and definitions, ten times as much per loop level): first those that
   save a move (tied operands, arguments, results), then those not callee-saved, then those already saved, and another
   callee-saved one only if that costs less than memory.
3. A class that does not fit is broken up and its members queue again.
4. A value that does not fit lives in memory. It is stored once, where it is defined, which in SSA form dominates every use. Then it
   gets registers for the loops in which its uses outweigh the load before the loop, then for runs of near uses in a block.
   What is made by an instruction without operands is made again instead. (`spill`)
5. `rewrite` carries it out.

Functions with more than MAX_POINTS points go to `regalloc.local`, and those with too much live across blocks.
"""

from __future__ import annotations

import os
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

from figwasp.codegen.mach import NONE, PHYSICAL, VIRTUAL, MFunc
from figwasp.codegen.regalloc.assignment import SAVE_COST, Assignment
from figwasp.codegen.regalloc.liveness import Ranges, live_ranges
from figwasp.codegen.regalloc.registers import bits
from figwasp.codegen.regalloc.rewrite import Rewriter
from figwasp.codegen.regalloc.spill import Spiller
from figwasp.codegen.target import Target
from figwasp.ir.func import CONV_C
from figwasp.ir.types import CLASSES
from figwasp.lazy import importing

if TYPE_CHECKING:
    from figwasp.codegen.regalloc.check import Snapshot

# An `&` of two ranges takes most of a microsecond then. Not final, since tests set it: mypyc would compile it in.
MAX_POINTS = 60_000
SHORT: Final = 8  # added to lengths, so that the shortest ranges do not win by length alone

CHECK: Final = os.environ.get("FIGWASP_CHECK") == "1"


def allocate(func: MFunc, target: Target, check: bool = False) -> None:
    """Rewrite a function to physical registers, in place; fill `num_slots` and `saved`.

    Args:
        func: over virtual registers.
        target: the machine.
        check: verify the result (also on when the environment says FIGWASP_CHECK=1).

    Raises:
        CheckError: the allocation is wrong.
    """
    before = _snapshot(func, target) if check or CHECK else None
    ranges = None if _wants_local(func) else live_ranges(func, target)
    if ranges is None:
        with importing:
            from figwasp.codegen.regalloc.local import allocate_local  # few functions are large

        written = allocate_local(func, target)
    else:
        allocator = Allocator(func, target, ranges)
        allocator.run()
        Rewriter(func, target, allocator.assignment).run()
        written = allocator.assignment.written
    kept = callee_saved(func, target)
    func.saved = bits(written & kept)
    if before is not None:
        before.verify()


_Snapshot: type[Snapshot] | None = None


def _snapshot(func: MFunc, target: Target) -> Snapshot:
    """Make what programs do without; the class is kept, since nothing can be imported when the interpreter is shutting down."""
    global _Snapshot
    if _Snapshot is None:
        with importing:
            from figwasp.codegen.regalloc import check

        _Snapshot = check.Snapshot
    return _Snapshot(func, target)


def callee_saved(func: MFunc, target: Target) -> int:
    """The registers that a function must preserve under its convention."""
    return target.c_callee_saved if func.conv == CONV_C else target.callee_saved


def _wants_local(func: MFunc) -> bool:
    """Return whether the function is too big for live ranges."""
    return 2 * sum(len(block.code) + 1 for block in func.blocks) > MAX_POINTS


class Allocator:
    """Decides the location of every value.

    Attributes:
        busy: per register the points at which it is taken.
        own, mask: live range of a value, and of the class it stands for.
        root, members: union-find over classes; members only of classes of two and more.
        saved: bit set of callee-saved registers; those in `assignment.written` cost nothing any more.
        usable: bit set of the registers to allocate.
        order: class -> registers in the order to try them. across: those of them that survive some call.
        merged: copies within a class, by its root; once a class has been broken up.
    """

    __slots__ = (
        "across",
        "assignment",
        "busy",
        "location",
        "mask",
        "members",
        "merged",
        "order",
        "own",
        "ranges",
        "root",
        "saved",
        "spiller",
        "types",
        "usable",
        "weight",
    )

    def __init__(self, func: MFunc, target: Target, ranges: Ranges) -> None:
        count = len(func.types)
        self.ranges = ranges
        self.types = func.types
        self.busy = ranges.busy
        self.own = ranges.mask
        self.mask = ranges.mask.copy()
        self.weight = ranges.weight.copy()
        self.root: list[int] = list(range(count))
        self.members: dict[int, list[int]] = {}
        self.merged: dict[int, list[int]] = {}
        self.location: list[int] = [*range(VIRTUAL), *([NONE] * (count + 1 - VIRTUAL))]
        self.saved = callee_saved(func, target)
        self.order = [self._order(registers) for registers in target.regs]
        self.usable = sum(1 << r for order in self.order for r in order)
        self.assignment = Assignment(self.location, self.busy, ranges.written)
        self._pin_instance(func.instance, target.instance_reg)
        calls = ranges.calls
        self.across = [[r for r in order if self.busy[r] & calls != calls] for order in self.order]
        self.spiller = Spiller(func, target.rows, ranges, self.assignment, self.order, self.saved)

    def _order(self, registers: list[int]) -> list[int]:
        """Registers in the order to try them: those that need not be saved first."""
        return [r for r in registers if not self.saved >> r & 1] + [r for r in registers if self.saved >> r & 1]

    def run(self) -> None:
        """Allocate everything."""
        if self.ranges.copies:
            self._coalesce()
        self._coalesce_ties()
        self._allocate_classes()
        unopened = self.saved & ~self.assignment.written
        self.assignment.order = [[r for r in order if not unopened >> r & 1] for order in self.order]

    def _pin_instance(self, instance: int, r: int) -> None:
        """Leave the instance where it arrives, if no call passes another one while it is live."""
        busy = self.busy
        busy[r] |= self.ranges.foreign
        if instance != NONE and self.own[instance] and not busy[r] & self.own[instance]:
            busy[r] |= self.own[instance]
            self.location[instance] = r
        else:
            busy[r] |= self.ranges.passes

    def _find(self, v: int) -> int:
        """The root of a value's class."""
        root = self.root
        while root[v] != v:
            root[v] = root[root[v]]
            v = root[v]
        return v

    def _coalesce(self) -> None:
        """Merge the two sides of copies, most frequent first, where their live ranges are disjoint."""
        mask = self.mask
        types = self.types
        location = self.location
        copies = self.ranges.copies
        copies.sort()
        for negative, a, b in copies:
            x = self._find(a)
            y = self._find(b)
            if x == y or not mask[x] or not mask[y]:
                continue
            if mask[x] & mask[y] or types[x] != types[y] or location[x] >= 0 or location[y] >= 0:
                self._befriend(a, b, -negative)
            else:
                self._merge(x, y, negative)

    def _coalesce_ties(self) -> None:
        """Merge tied results with their sources where those die."""
        mask = self.mask
        types = self.types
        location = self.location
        root = self.root
        tie_from = self.ranges.tie_from
        for x in range(VIRTUAL, len(types)):
            y = tie_from[x]
            if y < VIRTUAL or types[x] != types[y]:
                continue
            if root[x] != x:
                x = self._find(x)
            if root[y] != y:
                y = self._find(y)
            if x != y and not mask[x] & mask[y] and mask[x] and mask[y] and location[x] < 0 and location[y] < 0:
                self._merge(x, y, 0)

    def _merge(self, x: int, y: int, negative: int) -> None:
        """Put two classes in one; the copy between them is gone."""
        members = self.members
        mine = members.get(x)
        theirs = members.pop(y, None)
        if theirs is None:
            if mine is None:
                members[x] = [x, y]
            else:
                mine.append(y)
        elif mine is None:
            theirs.append(x)
            members[x] = theirs
        else:
            mine += theirs
        self.root[y] = x
        self.mask[x] |= self.mask[y]
        self.weight[x] += self.weight[y] + 2 * negative

    def _befriend(self, a: int, b: int, weight: int) -> None:
        """Note that a move is saved if `a` and `b` get the same register."""
        hints = self.ranges.hints
        hints.setdefault(a, []).extend((weight, b))
        hints.setdefault(b, []).extend((weight, a))

    def _allocate_classes(self) -> None:
        """Serve classes by weight per length; the members of those that are broken up return through a heap."""
        mask = self.mask
        weight = self.weight
        location = self.location
        root = self.root
        members = self.members
        first = [v for v in range(VIRTUAL, len(root)) if mask[v] and root[v] == v and location[v] < 0]
        keys: list[float] = [0.0] * len(root)
        for v in first:
            keys[v] = -weight[v] / (mask[v].bit_count() + SHORT)
        first.sort(key=keys.__getitem__)
        heap: list[tuple[float, int]] = []
        for v in first:
            while heap and heap[0][0] <= keys[v]:
                self._allocate_member(heappop(heap)[1])
            group = members.get(v)
            r = self._choose(v, group, mask[v], weight[v])
            if r >= 0:
                self.assignment.take(r, mask[v])
                if group is None:
                    location[v] = r
                else:
                    for member in group:
                        location[member] = r
            elif group is None:
                self.spiller.spill(v, v)
            else:
                self._break_up(v, group, heap)
        while heap:
            self._allocate_member(heappop(heap)[1])

    def _allocate_member(self, v: int) -> None:
        """Find a register for a value of a class that was broken up, or the class's slot."""
        r = self._choose(v, None, self.own[v], self.ranges.weight[v])
        if r >= 0:
            self.assignment.take(r, self.own[v])
            self.location[v] = r
        else:
            self.spiller.spill(v, self._find(v))

    def _break_up(self, v: int, group: list[int], heap: list[tuple[float, int]]) -> None:
        """Queue the members of a class singly, as friends."""
        merged = self.merged
        if not merged:
            for index, (_, a, b) in enumerate(self.ranges.copies):
                root = self._find(a)
                if root == self._find(b):
                    merged.setdefault(root, []).append(index)
        for index in merged.get(v, ()):
            negative, a, b = self.ranges.copies[index]
            self._befriend(a, b, -negative)
        for member in group:
            heappush(heap, (-self.ranges.weight[member] / (self.own[member].bit_count() + SHORT), member))

    def _choose(self, v: int, group: list[int] | None, mask: int, weight: int) -> int:
        """Return the best register that is free at all points of `mask` and worth it, or NONE."""
        ranges = self.ranges
        busy = self.busy
        location = self.location
        refused = ~self.usable
        if weight <= SAVE_COST:
            refused |= self.saved & ~self.assignment.written
        if group is None and v not in ranges.hints:
            r = location[ranges.tie_from[v]]
            if 0 <= r < PHYSICAL and not busy[r] & mask and not refused >> r & 1:
                return r
            r = location[ranges.tie_to[v]]
            if 0 <= r < PHYSICAL and not busy[r] & mask and not refused >> r & 1:
                return r
        else:
            r = self._hinted([v] if group is None else group, mask, refused)
            if r >= 0:
                return r
        for r in (self.across if mask & ranges.calls else self.order)[CLASSES[self.types[v]]]:
            if not busy[r] & mask and not refused >> r & 1:
                return r
        return NONE

    def _hinted(self, group: list[int], mask: int, refused: int) -> int:
        """Return the free register that saves the most moves, or NONE."""
        ranges = self.ranges
        location = self.location
        saved: dict[int, int] = {}
        for v in group:
            weight = ranges.block_weights[ranges.block_of[ranges.defs[v] >> 1]]
            for other in (ranges.tie_from[v], ranges.tie_to[v]):
                r = location[other]
                if 0 <= r < PHYSICAL:
                    saved[r] = saved.get(r, 0) + weight
            hints = ranges.hints.get(v)
            if hints is not None:
                for i in range(0, len(hints), 2):
                    r = location[hints[i + 1]]
                    if 0 <= r < PHYSICAL:
                        saved[r] = saved.get(r, 0) + hints[i]
        while saved:
            r = max(saved, key=saved.__getitem__)
            if not self.busy[r] & mask and not refused >> r & 1:
                return r
            del saved[r]
        return NONE
