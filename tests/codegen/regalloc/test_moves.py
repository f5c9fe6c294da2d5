"""Parallel moves against their definition: every source is read before any destination is written."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from figwasp.codegen.mach import INCOMING, OUTGOING, PHYSICAL, SLOT, STACK, VIRTUAL, CallSite, MFunc, MInst
from figwasp.codegen.regalloc.moves import BASE_MASK, CONSTANT, Mover, stack_mem, stack_slot
from figwasp.ir.types import CLASSES, F32, F64, I32, I64, INT, MASKS, SIZES

from . import target as t
from .interpreter import LOW, Interpreter, cell_of, mixed

TARGET = t.make_target(4, 3, 1)
INTS = [0, 1, 2, 3, 5]
FLOATS = [16, 17, 18]
CELLS = [stack_slot(SLOT, 0), stack_slot(SLOT, 1), stack_slot(SLOT, 2), stack_slot(INCOMING, 0), stack_slot(INCOMING, 1)]


def start() -> tuple[Mover, Interpreter]:
    """A mover, and a machine whose places all hold different numbers."""
    func = MFunc("moves", 0, 0)
    func.num_slots = 3
    machine = Interpreter(func, TARGET, 0, True)
    for r in INTS + FLOATS:
        machine.registers[r] = mixed(r)
    for place in CELLS:
        machine.cells[cell_of(place & BASE_MASK, stack_mem(place))] = mixed(place)
    return Mover(func, TARGET), machine


def read(machine: Interpreter, place: int, type: int) -> int:
    """What a place holds, as a value of a type."""
    if place < PHYSICAL:
        return machine.get(place) & MASKS[type]
    return machine.read_cells(cell_of(place & BASE_MASK, stack_mem(place)), SIZES[type]) & MASKS[type]


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
        type = r.choice([I32, I64] if dst in INTS else [F32, F64] if dst in FLOATS else [I32, I64, F32, F64])
        # narrow sources would make the rest of a register meaningless for a wide reader, which no program does
        type |= 1 if r.random() < 0.8 else 0
        types.append(type)
        dsts.append(dst)
        srcs.append(r.choice((INTS if CLASSES[type] == INT else FLOATS) + CELLS))
    if held:
        machine.registers[TARGET.scratch[INT]] = 77
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
        assert machine.registers[TARGET.scratch[INT]] == 77


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
    assert held is False or all(inst.rd != TARGET.scratch[INT] for inst in mover.out)


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
    a, b = stack_slot(SLOT, 0), stack_slot(SLOT, 1)
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
    mover.constants = [MInst(t.CONST64, VIRTUAL, imm=99), MInst(t.CONSTF, VIRTUAL + 1, imm=98)]
    mover.parallel([I64, F64, I64], [1, 16, stack_slot(SLOT, 2)], [stack_slot(CONSTANT, 0), stack_slot(CONSTANT, 1), stack_slot(CONSTANT, 0)])
    execute(machine, mover.out)
    assert (machine.get(1), machine.get(16), read(machine, stack_slot(SLOT, 2), I64)) == (99, 98, 99)


@pytest.mark.parametrize(("address", "copied"), [(1, True), (5, False)])
def test_address_survives_the_arguments(address: int, copied: bool) -> None:
    mover, machine = start()
    mover.func.types += [I64] * 4
    site = CallSite([VIRTUAL, VIRTUAL + 1], [0, 1], [], [], kind=1, address=VIRTUAL + 2)
    mover.call_arguments(site, [1, 0], address)
    execute(machine, mover.out)
    assert machine.get(0) == mixed(1)
    assert machine.get(1) == mixed(0)
    assert machine.get(site.address) == mixed(address)
    assert (site.address == TARGET.scratch[INT]) == copied


def test_outgoing_cells() -> None:
    mover, machine = start()
    mover.func.types += [I64, F32]
    site = CallSite([VIRTUAL, VIRTUAL + 1], [STACK, STACK + 1], [], [])
    assert mover.call_arguments(site, [CELLS[0], 16], -1) == 0
    execute(machine, mover.out)
    assert read(machine, stack_slot(OUTGOING, 0), I64) == mixed(CELLS[0])
    assert read(machine, stack_slot(OUTGOING, 1), F32) == mixed(16) & LOW
