"""Floor 3: what the checker of register allocation knows at a point: which place holds whose value; and how code was before."""

from __future__ import annotations

from typing import Final

from figwasp.codegen.mach import NONE, SLOT, CallSite, MInst
from figwasp.codegen.target import Target
from figwasp.ir.ops import F32, F64, I32, I64

REGISTERS: Final = 32
LOW: Final = 1 << 40

State = dict[int, frozenset[int]]
"""Place -> original registers whose value it holds. Places are registers and `mem << 6 | base` for memory cells."""

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
    """No place holds the value of `v` any more."""
    for place, held in state.items():
        if v in held:
            state[place] = held - {v, ~v, LOW | v}


def meet(a: State, b: State) -> State:
    """What holds on both ways into a block."""
    out: State = {}
    for place, held in a.items():
        both = held & b.get(place, NOTHING)
        if both:
            out[place] = both
    return out


def bits(registers: int) -> list[int]:
    """The registers of a bit set."""
    return [r for r in range(REGISTERS) if registers >> r & 1]


def place_text(place: int) -> str:
    """Describe a place."""
    return f"register {place}" if place < REGISTERS else f"memory {place & 63} at {place >> 6}"


def widths_of(target: Target) -> dict[int, set[int]]:
    """Map the operations of moves, loads and stores to the IR types whose values they carry whole."""
    widths: dict[int, set[int]] = {}
    for type, register, alike in ((I32, 0, F32), (I64, 0, F64), (F32, 16, I32), (F64, 16, I64)):
        load = target.load_memory(type, register, SLOT, 0)
        store = target.store_memory(type, register, SLOT, 0)
        widths[load.op] = widths[store.op] = {type, alike}  # any register may carry bits from memory to memory
        widths.setdefault(target.move(type, register, register + 1).op, set()).add(type)
    for wide, narrow, register in ((I64, I32, 0), (F64, F32, 16)):
        widths[target.move(wide, register, register + 1).op].add(narrow)
    return widths
