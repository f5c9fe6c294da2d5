"""Floor 3: moves between places. In: pairs of places that all move at once. Out: machine instructions that do it one by one.

A *place* is an int: a physical register (0..31), or a memory cell, `index << 6 | base`, whose base is one of the pseudo
registers SLOT, INCOMING and OUTGOING. All of them hold one value of at most 8 bytes. A source may also be a constant,
`index << 6 | CONSTANT`: an instruction without operands whose result is wanted again.

The moves of an edge or a call read every source before any destination is written; only cycles and copies from memory to
memory need the scratch registers. Moves have the type of the value, so the upper half of a cell that holds 4 bytes is
unspecified.
"""

from __future__ import annotations

from typing import Final

from figwasp.codegen.mach import INCOMING, NONE, OUTGOING, SLOT, STACK, TO_STUB, VIRTUAL, CallSite, MFunc, MInst
from figwasp.codegen.target import Target
from figwasp.ir.ops import F32, F64, I32, I64

REGISTERS: Final = 32
"""Places below are registers."""

CONSTANT: Final = 63
"""Base of a place that is no memory; the index is into `Mover.constants`."""


def cell(base: int, index: int) -> int:
    """The place of a memory cell."""
    return index << 6 | base


def cell_mem(place: int) -> int:
    """The `mem` field of an operand that is a memory cell; its base is `place & 63`."""
    return place >> 6 << 2 if place & 63 == SLOT else place >> 6 << 5


class Mover:
    """Appends moves to a list of instructions.

    Attributes:
        func: gives temporary slots.
        target: makes the instructions.
        out: where they go; replaced for each block.
        constants: what CONSTANT places refer to.
        held: True while the integer scratch register holds something, so that cycles must do without it.
        temporary: slot for those, or -1 as long as none was needed.
    """

    __slots__ = ("_aside", "constants", "func", "held", "out", "target", "temporary")

    def __init__(self, func: MFunc, target: Target) -> None:
        self.func = func
        self.target = target
        self.out: list[MInst] = []
        self.constants: list[MInst] = []
        self.held = False
        self.temporary = -1
        self._aside = -1

    def move(self, type: int, dst: int, src: int) -> None:
        """Append the move of one value; through a scratch register if neither place is a register."""
        if dst < REGISTERS:
            if src < REGISTERS:
                self.out.append(self.target.move(type, dst, src))
            else:
                self._load(type, dst, src)
        elif src < REGISTERS:
            self.out.append(self.target.store_memory(type, src, dst & 63, cell_mem(dst)))
        else:
            self._through(type, dst, src, False)

    def temporary_slot(self) -> int:
        """The place of the slot for whatever has to step aside for a moment."""
        if self.temporary < 0:
            self.temporary = self.func.num_slots
            self.func.num_slots += 1
        return cell(SLOT, self.temporary)

    def _load(self, type: int, dst: int, src: int) -> None:
        if src & 63 == CONSTANT:
            made = self.constants[src >> 6]
            again = MInst(made.op, dst, made.rn, made.rm, made.rx, made.mem, made.imm, made.pos)
            self.out.append(again)
        else:
            self.out.append(self.target.load_memory(type, dst, src & 63, cell_mem(src)))

    def _through(self, type: int, dst: int, src: int, in_int: bool) -> None:
        """Copy memory to memory; any type goes through either scratch register, that of integers unless it is in use."""
        target = self.target
        small = type == I32 or type == F32
        if src & 63 == CONSTANT:
            scratch = target.scratch_int if type < F32 else target.scratch_float
            bits = type
        elif in_int:
            scratch = target.scratch_float
            bits = F32 if small else F64
        else:
            scratch = target.scratch_int
            bits = I32 if small else I64
        self._load(bits, scratch, src)
        self.out.append(target.store_memory(bits, scratch, dst & 63, cell_mem(dst)))

    def parallel(self, types: list[int], dsts: list[int], srcs: list[int]) -> None:
        """Append moves that together have the effect of all at once. Destinations differ from each other; consumes `srcs`.

        While `held`, destinations must be registers.
        """
        todo = [i for i, dst in enumerate(dsts) if dst != srcs[i]]
        if len(todo) < 2:
            for i in todo:
                self.move(types[i], dsts[i], srcs[i])
            return
        readers: dict[int, int] = {}
        writer: dict[int, int] = {}
        for i in todo:
            readers[srcs[i]] = readers.get(srcs[i], 0) + 1
            writer[dsts[i]] = i
        ready = [i for i in todo if dsts[i] not in readers]
        in_int = False  # the integer scratch register holds one place of a cycle
        reader: dict[int, int] = {}
        cyclic: list[int] = []
        while writer:
            if not ready:  # what is left are cycles: every place is written once and read once
                if not cyclic:
                    cyclic = list(writer.values())
                    reader = {srcs[i]: i for i in cyclic}
                first = cyclic.pop()
                if dsts[first] not in writer:
                    continue
                second = reader[dsts[first]]
                in_int = self._set_aside(types[second], dsts[first])
                srcs[second] = self._aside
                readers[self._aside] = 1
                del readers[dsts[first]]
                ready.append(first)
            while ready:
                i = ready.pop()
                dst = dsts[i]
                src = srcs[i]
                if in_int and dst >= REGISTERS and src >= REGISTERS:
                    self._through(types[i], dst, src, True)
                else:
                    self.move(types[i], dst, src)
                del writer[dst]
                readers[src] -= 1
                if readers[src] == 0:
                    del readers[src]
                    if src in writer:
                        ready.append(writer[src])

    def _set_aside(self, type: int, place: int) -> bool:
        """Copy a place that is about to be overwritten to `_aside`; return whether that is the integer scratch register."""
        if self.held:
            self._aside = self.temporary_slot()
        else:
            self._aside = self.target.scratch_int if type < F32 else self.target.scratch_float
        self.move(type, self._aside, place)
        return not self.held and type < F32

    # Calls

    def type_of(self, r: int) -> int:
        """The IR type to move a register with; all of it if it is a physical one."""
        if r >= VIRTUAL:
            return self.func.types[r]
        return I64 if r < 16 else F64

    def call_arguments(self, site: CallSite, srcs: list[int], address: int) -> int:
        """Append the moves before a CALL and fill in `site.address`; return the registers written, as a bit set.

        Args:
            site: the call.
            srcs: places of its arguments; consumed.
            address: place of the code address, or NONE.
        """
        types: list[int] = []
        dsts: list[int] = []
        inner: list[int] = []
        written = 0
        for v, loc, src in zip(site.args, site.arg_locs, srcs):
            if loc >= REGISTERS:  # nothing reads outgoing cells, so these can go first and one by one
                self.move(self.type_of(v), cell(OUTGOING, loc - STACK), src)
            elif loc != src:
                types.append(self.type_of(v))
                dsts.append(loc)
                inner.append(src)
                written |= 1 << loc
        type = self.type_of(site.address)
        if address >= 0:
            in_place = address < REGISTERS and not written >> address & 1
            site.address = address if in_place and site.kind != TO_STUB else self.target.scratch_int
            if address < REGISTERS and not in_place:  # an argument goes there
                self.move(type, site.address, address)
                self.held = True
        self.parallel(types, dsts, inner)
        if address >= 0 and not self.held and address != site.address:
            self.move(type, site.address, address)
        self.held = False
        return written

    def leave_arguments(self, site: CallSite, srcs: list[int], address: int) -> int:
        """Append the moves before RET or TAIL and fill in `site.address`; return the registers written.

        The epilogue comes after them and restores callee-saved registers, so the address must not be in one.
        """
        types = [self.type_of(v) for v in site.args]
        dsts = [loc if loc < REGISTERS else cell(INCOMING, loc - STACK) for loc in site.arg_locs]
        written = 0
        for dst, src in zip(dsts, srcs):
            if dst < REGISTERS and dst != src:
                written |= 1 << dst
        type = self.type_of(site.address)
        if address != NONE:
            if address in dsts:
                types.append(type)
                dsts.append(self.temporary_slot())
                srcs.append(address)
                address = dsts[-1]
            site.address = address
            if address >= REGISTERS or (self.target.callee_saved | self.target.c_callee_saved) >> address & 1:
                site.address = self.target.scratch_int
        self.parallel(types, dsts, srcs)
        if address != site.address:
            self.move(type, site.address, address)
        return written
