"""Parallel moves against their definition: every source is read before any destination is written."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from figwasp.codegen.mach import INCOMING, OUTGOING, SLOT, CallSite, MFunc, MInst
from figwasp.codegen.regalloc.moves import CONSTANT, REGISTERS, Mover, cell, cell_mem
from figwasp.ir.ops import F32, F64, I32, I64

from . import target as t
from .interpreter import GARBAGE, LOW, MASK, Interpreter, mixed

TARGET = t.make_target(4, 3, 1)
INTS = [0, 1, 2, 3, 5]
FLOATS = [16, 17, 18]
CELLS = [cell(SLOT, 0), cell(SLOT, 1), cell(SLOT, 2), cell(INCOMING, 0), cell(INCOMING, 1)]


def start() -> tuple[Mover, Interpreter]:
    """A mover, and a machine whose places all hold different numbers."""
    func = MFunc("moves", 0, 0)
    func.num_slots = 3
    machine = Interpreter(func, TARGET, 0, True)
    for r in INTS + FLOATS:
        machine.registers[r] = mixed(r)
    for place in CELLS:
        machine.cells[cell_mem(place) << 6 | place & 63] = mixed(place)
    return Mover(func, TARGET), machine


def read(machine: Interpreter, place: int, type: int) -> int:
    """What a place holds, as a value of a type."""
    number = machine.get(place) if place < REGISTERS else machine.cells.get(cell_mem(place) << 6 | place & 63, GARBAGE)
    return number & (LOW if type in (I32, F32) else MASK)


def execute(machine: Interpreter, code: list[MInst]) -> None:
    for inst in code:
        machine.row(inst)


@given(st.integers(0, 1 << 40), st.booleans())
def test_all_at_once(seed: int, held: bool) -> None:
    r = random.Random(seed)
    mover, machine = start()
    mover.held = held
    types: list[int] = []
    dsts: list[int] = []
    srcs: list[int] = []
    places = INTS + FLOATS + ([] if held else CELLS)
    for dst in r.sample(places, r.randrange(len(places) + 1)):
        type = r.choice([I32, I64] if dst < 16 else [F32, F64] if dst < 32 else [I32, I64, F32, F64])
        # narrow sources would make the rest of a register meaningless for a wide reader, which no program does
        type |= 1 if r.random() < 0.8 else 0
        types.append(type)
        dsts.append(dst)
        srcs.append(r.choice((INTS if type < F32 else FLOATS) + CELLS))
    if held:
        machine.registers[TARGET.scratch_int] = 77
    wanted = [read(machine, src, type) for src, type in zip(srcs, types)]
    kept = {place: read(machine, place, I64) for place in INTS + FLOATS + CELLS if place not in dsts}
    mover.parallel(types, dsts, srcs.copy())
    execute(machine, mover.out)
    # a place that is read with two types is read whole by one of them at least
    for type, dst, src, value in zip(types, dsts, srcs, wanted):
        if all(types[i] == type for i in range(len(srcs)) if srcs[i] == src or dsts[i] == src):
            assert read(machine, dst, type) == value
    for place, value in kept.items():
        assert read(machine, place, I64) == value
    if held:
        assert machine.registers[TARGET.scratch_int] == 77


@given(st.permutations(INTS), st.booleans())
def test_permutations_are_cheap(order: list[int], held: bool) -> None:
    mover, machine = start()
    mover.held = held
    wanted = [mixed(src) for src in order]
    cycles = sum(cycle > 1 for cycle in cycle_lengths(order))
    mover.parallel([I64] * len(INTS), INTS, order.copy())
    execute(machine, mover.out)
    assert [machine.get(r) for r in INTS] == wanted
    assert len(mover.out) == sum(a != b for a, b in zip(INTS, order)) + cycles
    assert held is False or all(inst.rd != TARGET.scratch_int for inst in mover.out)


def cycle_lengths(order: list[int]) -> list[int]:
    """The lengths of the cycles of a permutation of INTS."""
    following = dict(zip(INTS, order))
    lengths = []
    while following:
        first = next(iter(following))
        length = 0
        while first in following:
            first = following.pop(first)
            length += 1
        lengths.append(length)
    return lengths


def test_swap_in_memory() -> None:
    mover, machine = start()
    a, b = cell(SLOT, 0), cell(SLOT, 1)
    mover.parallel([I64, I64], [a, b], [b, a])
    execute(machine, mover.out)
    assert read(machine, a, I64) == mixed(b)
    assert read(machine, b, I64) == mixed(a)


def test_nothing_to_do() -> None:
    mover, _ = start()
    mover.parallel([I64, F64], [0, 16], [0, 16])
    assert mover.out == []


def test_constants_are_made_again() -> None:
    mover, machine = start()
    mover.constants = [MInst(t.CONST64, 64, imm=99), MInst(t.CONSTF, 65, imm=98)]
    mover.parallel([I64, F64, I64], [1, 16, cell(SLOT, 2)], [CONSTANT, 1 << 6 | CONSTANT, CONSTANT])
    execute(machine, mover.out)
    assert (machine.get(1), machine.get(16), read(machine, cell(SLOT, 2), I64)) == (99, 98, 99)


@pytest.mark.parametrize(("address", "copied"), [(1, True), (5, False)])
def test_address_survives_the_arguments(address: int, copied: bool) -> None:
    mover, machine = start()
    mover.func.types += [I64] * 4
    site = CallSite([64, 65], [0, 1], [], [], kind=1, address=66)
    mover.call_arguments(site, [1, 0], address)
    execute(machine, mover.out)
    assert machine.get(0) == mixed(1)
    assert machine.get(1) == mixed(0)
    assert machine.get(site.address) == mixed(address)
    assert (site.address == TARGET.scratch_int) == copied


def test_outgoing_cells() -> None:
    mover, machine = start()
    mover.func.types += [I64, F32]
    site = CallSite([64, 65], [1000, 1001], [], [])
    assert mover.call_arguments(site, [CELLS[0], 16], -1) == 0
    execute(machine, mover.out)
    assert read(machine, cell(OUTGOING, 0), I64) == mixed(CELLS[0])
    assert read(machine, cell(OUTGOING, 1), F32) == mixed(16) & LOW
