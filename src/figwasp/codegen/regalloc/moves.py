"""Floor 3: moves between locations. In: pairs of locations that all move at once. Out: machine instructions that do it one by one.

A *location* is an int: a physical register, or memory, `index << BASE_BITS | base`, whose base is one of the pseudo registers SLOT,
INCOMING and OUTGOING and whose index is that of the value's first cell. A source may also be a constant,
`index << BASE_BITS | CONSTANT`: an instruction without operands whose result is wanted again. Two locations are the same or have no
cell in common.

The moves of an edge or a call read every source before any destination is written; only cycles and copies from memory to
memory need the scratch registers. Moves have the type of the value, so the upper half of a cell that holds 4 bytes is
unspecified.
"""

from __future__ import annotations

from typing import Final

from figwasp.codegen.mach import (
    ENTRY,
    INCOMING,
    MEM_BITS,
    NONE,
    OUTGOING,
    PHYSICAL,
    SLOT,
    STACK,
    TO_STUB,
    VIRTUAL,
    CallSite,
    MFunc,
    MInst,
)
from figwasp.codegen.target import Target
from figwasp.ir.types import CARRIERS, CELL, CELLS, CLASSES, FLOAT, INT, WHOLE

BASE_BITS: Final = 7
BASE_MASK: Final = (1 << BASE_BITS) - 1
"""Places below PHYSICAL are registers; of the others these bits are the base."""

CONSTANT: Final = 126
"""Base of a location that is no memory; the index is into `Mover.constants`."""


def stack_slot(base: int, index: int) -> int:
    """The location of a memory cell."""
    return index << BASE_BITS | base


def stack_mem(location: int) -> int:
    """The `mem` field of an operand that is a memory cell; its base is `location & BASE_MASK`."""
    index = location >> BASE_BITS
    return index << MEM_BITS if location & BASE_MASK == SLOT else index * CELL << MEM_BITS


def arrivals(func: MFunc) -> dict[int, int]:
    """The parameters that arrive in memory, with their locations."""
    inst = func.blocks[0].code[0]
    if inst.op != ENTRY:
        return {}
    site = inst.imm
    assert isinstance(site, CallSite)
    return {v: stack_slot(INCOMING, loc - STACK) for v, loc in zip(site.results, site.result_locs) if loc >= STACK}


class Mover:
    """Appends moves to a list of instructions.

    Attributes:
        func: gives temporary slots.
        target: makes the instructions.
        out: where they go; replaced for each block.
        constants: what CONSTANT locations refer to.
        held: True while the integer scratch register holds something, so that cycles must do without it.
        temporaries: number of cells -> location of the slot for what must step aside.
        address_slot: location of the slot for the address of a tail call that an argument would overwrite; NONE: there is none yet.
    """

    __slots__ = ("_aside", "address_slot", "constants", "func", "held", "out", "target", "temporaries")

    def __init__(self, func: MFunc, target: Target) -> None:
        self.func = func
        self.target = target
        self.out: list[MInst] = []
        self.constants: list[MInst] = []
        self.held = False
        self.temporaries: dict[int, int] = {}
        self.address_slot = NONE
        self._aside = -1

    def move(self, type: int, dst: int, src: int) -> None:
        """Append the move of one value; through a scratch register if neither location is a register."""
        if dst < PHYSICAL:
            if src < PHYSICAL:
                self.out.append(self.target.move(type, dst, src))
            else:
                self._load(type, dst, src)
        elif src < PHYSICAL:
            self.out.append(self.target.store_memory(type, src, dst & BASE_MASK, stack_mem(dst)))
        else:
            self._through(type, dst, src, False)

    def temporary_slot(self, type: int) -> int:
        """The location of the slot for whatever of a type's size has to step aside for a moment."""
        cells = CELLS[type]
        if cells not in self.temporaries:
            self.temporaries[cells] = stack_slot(SLOT, self.func.new_slot(type))
        return self.temporaries[cells]

    def _load(self, type: int, dst: int, src: int) -> None:
        if src & BASE_MASK == CONSTANT:
            made = self.constants[src >> BASE_BITS]
            again = MInst(made.op, dst, made.rn, made.rm, made.rx, made.mem, made.imm, made.pos)
            self.out.append(again)
        else:
            self.out.append(self.target.load_memory(type, dst, src & BASE_MASK, stack_mem(src)))

    def _through(self, type: int, dst: int, src: int, in_int: bool) -> None:
        """Copy memory to memory through a scratch register, that of integers unless it is in use or too small."""
        target = self.target
        bits = CARRIERS[FLOAT if in_int else INT][type]
        if bits < 0 or src & BASE_MASK == CONSTANT:
            bits = type
        scratch = target.scratch[CLASSES[bits]]
        self._load(bits, scratch, src)
        self.out.append(target.store_memory(bits, scratch, dst & BASE_MASK, stack_mem(dst)))

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
        in_int = False  # the integer scratch register holds one location of a cycle
        reader: dict[int, int] = {}
        cyclic: list[int] = []
        while writer:
            if not ready:  # what is left are cycles: every location is written once and read once
                if not cyclic:
                    cyclic = list(writer.values())
                    reader = {srcs[i]: i for i in cyclic}
                first = cyclic.pop()
                if dsts[first] not in writer:
                    continue
                second = reader[dsts[first]]
                in_int = self._set_aside(types[second], dsts[first], types)
                srcs[second] = self._aside
                readers[self._aside] = 1
                del readers[dsts[first]]
                ready.append(first)
            while ready:
                i = ready.pop()
                dst = dsts[i]
                src = srcs[i]
                if in_int and dst >= PHYSICAL and src >= PHYSICAL:
                    self._through(types[i], dst, src, True)
                else:
                    self.move(types[i], dst, src)
                del writer[dst]
                readers[src] -= 1
                if readers[src] == 0:
                    del readers[src]
                    if src in writer:
                        ready.append(writer[src])

    def _set_aside(self, type: int, location: int, types: list[int]) -> bool:
        """Copy a location that is about to be overwritten to `_aside`; return whether that is the integer scratch register."""
        register_class = CLASSES[type]
        if self.held or (register_class == FLOAT and any(CARRIERS[INT][other] < 0 for other in types)):
            self._aside = self.temporary_slot(type)
        else:
            self._aside = self.target.scratch[register_class]
        self.move(type, self._aside, location)
        return self._aside < PHYSICAL and register_class == INT

    # Calls

    def type_of(self, r: int) -> int:
        """The IR type to move a register with; all of it if it is a physical one."""
        if r >= VIRTUAL:
            return self.func.types[r]
        return WHOLE[self.target.classes[r]]

    def call_arguments(self, site: CallSite, srcs: list[int], address: int) -> int:
        """Append the moves before a CALL and fill in `site.address`; return the registers written, as a bit set.

        Args:
            site: the call.
            srcs: locations of its arguments; consumed.
            address: location of the code address, or NONE.
        """
        types: list[int] = []
        dsts: list[int] = []
        inner: list[int] = []
        written = 0
        for v, loc, src in zip(site.args, site.arg_locs, srcs):
            if loc >= PHYSICAL:  # nothing reads outgoing cells, so these can go first and one by one
                self.move(self.type_of(v), stack_slot(OUTGOING, loc - STACK), src)
            elif loc != src:
                types.append(self.type_of(v))
                dsts.append(loc)
                inner.append(src)
                written |= 1 << loc
        type = self.type_of(site.address)
        if address >= 0:
            in_place = address < PHYSICAL and not written >> address & 1
            site.address = address if in_place and site.kind != TO_STUB else self.target.scratch[INT]
            if address < PHYSICAL and not in_place:  # an argument goes there
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
        types: list[int] = []
        dsts: list[int] = []
        inner: list[int] = []
        written = 0
        for v, loc, src in zip(site.args, site.arg_locs, srcs):
            if loc >= PHYSICAL and site.in_place == NONE:  # nothing reads outgoing cells, so these can go first and one by one
                self.move(self.type_of(v), stack_slot(OUTGOING, loc - STACK), src)
                continue
            if loc >= PHYSICAL:
                loc = stack_slot(INCOMING, loc - STACK + site.in_place)
            elif loc != src:
                written |= 1 << loc
            types.append(self.type_of(v))
            dsts.append(loc)
            inner.append(src)
        type = self.type_of(site.address)
        if address != NONE:
            if address in dsts:
                address = self._save_address(site, type, address)
            site.address = address
            if address >= PHYSICAL or (self.target.callee_saved | self.target.c_callee_saved) >> address & 1:
                site.address = self.target.scratch[INT]
        self.parallel(types, dsts, inner)
        if address != site.address:
            self.move(type, site.address, address)
        self.held = False
        return written

    def _save_address(self, site: CallSite, type: int, address: int) -> int:
        """Append a copy of the address of a tail call that an argument overwrites, and return its location."""
        if site.in_place == NONE:
            copy = self.target.scratch[INT]
            self.held = True
        else:
            if self.address_slot == NONE:
                self.address_slot = stack_slot(SLOT, self.func.new_slot(type))
            copy = self.address_slot
        self.move(type, copy, address)
        return copy
