"""Floor 3: what the allocator decides: a location for every value, and the registers it is in besides."""

from __future__ import annotations

from typing import Final

from figwasp.codegen.mach import MInst

SAVE_COST: Final = 2  # of a callee-saved register: a store and a load


class Assignment:
    """The result of allocation: the locations of all values.

    Attributes:
        location: per register where it is, physical ones themselves; NONE if nowhere. One more entry at the end for index NONE.
        splits: value -> flat (first point, end, register) triples.
        reloads: instruction number -> flat (value, register) pairs to load before it.
        edge_loads: the same for a JUMP to a loop, to load together with its moves.
        busy: per physical register, the points at which it is taken.
        order: class -> registers that may be taken where they are free.
        written: bit set of the registers that are written.
        constants: what CONSTANT locations refer to.
    """

    __slots__ = ("busy", "constants", "edge_loads", "location", "order", "reloads", "splits", "written")

    def __init__(self, location: list[int], busy: list[int], written: int) -> None:
        self.location = location
        self.busy = busy
        self.written = written
        self.splits: dict[int, list[int]] = {}
        self.reloads: dict[int, list[int]] = {}
        self.edge_loads: dict[int, list[int]] = {}
        self.order: list[list[int]] = []
        self.constants: list[MInst] = []

    def take(self, r: int, mask: int) -> None:
        """Occupy a register at all points of `mask`."""
        self.busy[r] |= mask
        self.written |= 1 << r
