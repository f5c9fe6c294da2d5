"""Floor 3: what the checker of register allocation knows at a point: which location holds whose value; and how code was before."""

from __future__ import annotations

from typing import Final

from figwasp.codegen.mach import MEM_BITS, NONE, PHYSICAL, SLOT, CallSite, MInst
from figwasp.codegen.regalloc.moves import BASE_BITS, BASE_MASK
from figwasp.codegen.target import Target
from figwasp.ir.types import CELL, CLASSES, SIZES

LOW: Final = 1 << 40
UPPER: Final = -(1 << 50)
"""Held by the cells of a value after its first."""

State = dict[int, frozenset[int]]
"""Place -> original registers whose value it holds. Places are registers, and for memory what `memory_location` makes."""

NOTHING: Final[frozenset[int]] = frozenset()


class CheckError(AssertionError):
    """The allocator made wrong code: a bug of figwasp, never the guest's fault."""


class Original:
    """The operands an instruction had before allocation."""

    __slots__ = ("address", "args", "inst", "mem", "op", "rd", "results", "rm", "rn", "rx")

    def __init__(self, inst: MInst) -> None:
        self.inst = inst
        self.op = inst.op
        self.rd = inst.rd
        self.rn = inst.rn
        self.rm = inst.rm
        self.rx = inst.rx
        self.mem = inst.mem
        self.address = NONE
        self.args: list[int] = []
        self.results: list[int] = []
        site = inst.imm
        if isinstance(site, CallSite):
            self.address = site.address
            self.args = list(site.args)
            self.results = list(site.results)


def kill(state: State, v: int) -> None:
    """No location holds the value of `v` any more."""
    for location, held in state.items():
        if v in held:
            state[location] = held - {v, ~v, LOW | v}


def meet(a: State, b: State) -> State:
    """Return what holds on both ways into a block."""
    out: State = {}
    for location, held in a.items():
        both = held & b.get(location, NOTHING)
        if both:
            out[location] = both
    return out


def memory_location(base: int, mem: int) -> int:
    """The location of a memory operand."""
    return mem << BASE_BITS | base


def store(state: State, base: int, mem: int, size: int, value: frozenset[int]) -> None:
    """So many bytes in memory change; what had any of their cells is gone."""
    step = (1 if base == SLOT else CELL) << MEM_BITS << BASE_BITS
    location = memory_location(base, mem)
    before = location
    while UPPER in state.get(before, NOTHING):
        before -= step
    state.pop(before, None)
    cells = (size + CELL - 1) // CELL
    state[location] = value
    for number in range(1, cells):
        state[location + number * step] = frozenset((UPPER,))
    after = location + cells * step
    while UPPER in state.get(after, NOTHING):
        del state[after]
        after += step


def location_text(location: int) -> str:
    """Describe a location."""
    return f"register {location}" if location < PHYSICAL else f"memory {location & BASE_MASK} at {location >> BASE_BITS}"


def widths_of(target: Target) -> dict[int, set[int]]:
    """Map the operations of moves, loads and stores to the IR types whose values they carry whole."""
    widths: dict[int, set[int]] = {}
    for type, size in enumerate(SIZES):
        register_class = CLASSES[type]
        register = target.regs[register_class][0]
        load = target.load_memory(type, register, SLOT, 0)
        store = target.store_memory(type, register, SLOT, 0)
        move = target.move(type, register, target.scratch[register_class])
        # any register may carry bits from memory to memory
        widths[load.op] = widths[store.op] = {other for other, found in enumerate(SIZES) if found == size}
        whole = widths.setdefault(move.op, set())
        whole |= {other for other, found in enumerate(SIZES) if found <= size and CLASSES[other] == register_class}
    return widths
