"""Floor 3: moves between places. In: pairs of places that all move at once. Out: machine instructions that do it one by one.

A *place* is an int: a physical register (0..31), or a memory cell, `index << 6 | base`, whose base is one of the pseudo
registers SLOT, INCOMING and OUTGOING. All of them hold one value of at most 8 bytes. The moves of an edge or a call read
every source before any destination is written; only cycles and copies from memory to memory need the scratch registers.

A spilled i32 is stored with its upper half, which the register invariant keeps zero, so that an instruction of 64 bits may
read it in its slot.
"""

from __future__ import annotations

from typing import Final

from figwasp.codegen.mach import SLOT, MFunc, MInst
from figwasp.codegen.target import Target
from figwasp.ir.ops import F32, F64, I32, I64

REGISTERS: Final = 32
"""Places below are registers."""


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
        held: True while the integer scratch register holds something, so that moves must do without it.
        temporary: slot for the cycles then, or -1 as long as none was needed.
    """

    __slots__ = ("func", "held", "out", "target", "temporary")

    def __init__(self, func: MFunc, target: Target) -> None:
        self.func = func
        self.target = target
        self.out: list[MInst] = []
        self.held = False
        self.temporary = -1

    def move(self, type: int, dst: int, src: int) -> None:
        """Append the move of one value; through a scratch register if both places are memory."""
        target = self.target
        if dst < REGISTERS:
            if src < REGISTERS:
                self.out.append(target.move(type, dst, src))
            else:
                self.out.append(target.load_memory(type, dst, src & 63, cell_mem(src)))
        elif src < REGISTERS:
            wide = I64 if type == I32 and dst & 63 == SLOT else type
            self.out.append(target.store_memory(wide, src, dst & 63, cell_mem(dst)))
        else:
            self._through(type, dst, src, self.held)

    def _through(self, type: int, dst: int, src: int, held: bool) -> None:
        """Copy memory to memory through the float scratch register if the integer one is `held`."""
        target = self.target
        if type < F32 and not held:
            self.out.append(target.load_memory(type, target.scratch_int, src & 63, cell_mem(src)))
            wide = I64 if type == I32 and dst & 63 == SLOT else type
            self.out.append(target.store_memory(wide, target.scratch_int, dst & 63, cell_mem(dst)))
        elif type < F32 or held:  # a load of 4 bytes clears the rest of the register
            narrow = F32 if type == I32 or type == F32 else F64
            self.out.append(target.load_memory(narrow, target.scratch_float, src & 63, cell_mem(src)))
            self.out.append(target.store_memory(F64, target.scratch_float, dst & 63, cell_mem(dst)))
        else:  # floats may be copied by either; the integer register is free and a float one may hold a cycle
            wide = I32 if type == F32 else I64
            self.out.append(target.load_memory(wide, target.scratch_int, src & 63, cell_mem(src)))
            self.out.append(target.store_memory(wide, target.scratch_int, dst & 63, cell_mem(dst)))

    def parallel(self, types: list[int], dsts: list[int], srcs: list[int]) -> None:
        """Append moves that together have the effect of all at once. Destinations differ from each other; consumes `srcs`."""
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
        while writer:
            if not ready:
                in_int = self._break_cycle(next(iter(writer.values())), types, dsts, srcs, readers, writer, ready)
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

    def _break_cycle(
        self,
        first: int,
        types: list[int],
        dsts: list[int],
        srcs: list[int],
        readers: dict[int, int],
        writer: dict[int, int],
        ready: list[int],
    ) -> bool:
        """Copy the destination of move `first` aside, which frees it; return whether it went to the integer scratch register."""
        place = dsts[first]
        reader = next(i for i in writer.values() if srcs[i] == place)
        type = types[reader]
        if self.held:
            if self.temporary < 0:
                self.temporary = self.func.num_slots
                self.func.num_slots += 1
            aside = cell(SLOT, self.temporary)
        else:
            aside = self.target.scratch_int if type < F32 else self.target.scratch_float
        self.move(type, aside, place)
        srcs[reader] = aside
        readers[aside] = 1
        del readers[place]
        ready.append(first)
        return not self.held and type < F32
