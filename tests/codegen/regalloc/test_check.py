"""The checker of register allocation accepts what is right and finds what is wrong.

Allocated functions are damaged at random. Whatever changes the trace of the interpreter must be found; some damage is harmless
to the runs at hand and may be found or not.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from figwasp.codegen.mach import ARRIVE, CALL, FIRST_ROW, RET, SLOT, TAIL, CallSite, MFunc, MInst
from figwasp.codegen.regalloc import allocate as regalloc
from figwasp.codegen.regalloc.allocate import allocate
from figwasp.codegen.regalloc.check import CheckError, Snapshot
from figwasp.codegen.target import Target

from . import target as t
from .functions import generate
from .interpreter import Trace, run

Damage = Callable[[random.Random, MFunc, set[int]], bool]
"""Damages a function; gets the identities of the original instructions; returns False if there was nothing to damage."""


def sites(func: MFunc, wanted: Callable[[MInst], bool]) -> list[tuple[list[MInst], int]]:
    """Places of the instructions that are wanted."""
    return [(block.code, i) for block in func.blocks for i, inst in enumerate(block.code) if wanted(inst)]


def drop_inserted(r: random.Random, func: MFunc, originals: set[int]) -> bool:
    found = sites(func, lambda inst: id(inst) not in originals)
    if not found:
        return False
    code, i = r.choice(found)
    del code[i]
    return True


def wrong_slot(r: random.Random, func: MFunc, originals: set[int]) -> bool:
    found = sites(func, lambda inst: inst.op >= FIRST_ROW and inst.rm == SLOT)
    if not found or func.num_slots < 2:
        return False
    code, i = r.choice(found)
    code[i].mem = (code[i].mem + (r.randrange(1, func.num_slots) << 2)) % (func.num_slots << 2)
    return True


def wrong_register(r: random.Random, func: MFunc, originals: set[int]) -> bool:
    found = sites(func, lambda inst: inst.op >= FIRST_ROW)
    if not found:
        return False
    code, i = r.choice(found)
    inst = code[i]
    fields = [name for name in ("rd", "rn", "rm", "rx") if 0 <= getattr(inst, name) < 32]
    if not fields:
        return False
    name = r.choice(fields)
    old = getattr(inst, name)
    new = r.choice([0, 1, 2, 5, 11] if old < 16 else [16, 17, 18, 31])
    setattr(inst, name, new)
    if t.ROWS.tied[inst.op]:
        inst.rd = inst.rn = new if name in ("rd", "rn") else inst.rd
    return bool(new != old)


def swap_neighbours(r: random.Random, func: MFunc, originals: set[int]) -> bool:
    found = sites(func, lambda inst: id(inst) not in originals)
    found = [(code, i) for code, i in found if i + 1 < len(code) and code[i + 1].op >= FIRST_ROW]
    if not found:
        return False
    code, i = r.choice(found)
    code[i], code[i + 1] = code[i + 1], code[i]
    return True


def repeat_original(r: random.Random, func: MFunc, originals: set[int]) -> bool:
    found = sites(func, lambda inst: id(inst) in originals and inst.op >= FIRST_ROW)
    if not found:
        return False
    code, i = r.choice(found)
    code.insert(i, code[i])
    return True


def wrong_address(r: random.Random, func: MFunc, originals: set[int]) -> bool:
    found = sites(func, lambda inst: inst.op == CALL and isinstance(inst.imm, CallSite) and inst.imm.address >= 0)
    if not found:
        return False
    code, i = r.choice(found)
    site = code[i].imm
    assert isinstance(site, CallSite)
    site.address = 11 if site.address != 11 else 0
    return True


def narrow_move(r: random.Random, func: MFunc, originals: set[int]) -> bool:
    narrow = {t.MOV64: t.MOV32, t.LD64: t.LD32, t.ST64: t.ST32}
    found = sites(func, lambda inst: id(inst) not in originals and inst.op in narrow)
    if not found:
        return False
    code, i = r.choice(found)
    code[i].op = narrow[code[i].op]
    return True


DAMAGE: list[Damage] = [
    drop_inserted,
    wrong_slot,
    wrong_register,
    swap_neighbours,
    repeat_original,
    wrong_address,
    narrow_move,
]


def damaged(seed: int, damage: Damage, local: bool) -> tuple[bool, bool, bool]:
    """Allocate and damage a function; return whether that was possible, whether the trace changed, whether it was found."""
    r = random.Random(seed)
    target: Target = t.make_target(r.choice([3, 4]), 2, r.choice([0, 1]))
    func = generate(seed, target, 30)
    before: list[Trace] = [run(func, target, n, False) for n in range(2)]
    kept = [inst for block in func.blocks for inst in block.code]
    snapshot = Snapshot(func, target)
    with pytest.MonkeyPatch.context() as patch:
        if local:
            patch.setattr(regalloc, "MAX_POINTS", 0)
        allocate(func, target)
    snapshot.verify()
    if not damage(r, func, {id(inst) for inst in kept}):
        return False, False, False
    try:
        changed = [run(func, target, n, True) for n in range(2)] != before
    except (AssertionError, IndexError):
        changed = True
    try:
        snapshot.verify()
    except CheckError:
        return True, changed, True
    return True, changed, False


@pytest.mark.parametrize("damage", DAMAGE)
@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1 << 40), st.booleans())
def test_damage_that_shows_is_found(damage: Damage, seed: int, local: bool) -> None:
    _, changed, found = damaged(seed, damage, local)
    assert found or not changed


@pytest.mark.parametrize(("damage", "least"), [(damage, 0.3 if damage is swap_neighbours else 0.6) for damage in DAMAGE])
def test_most_damage_is_found(damage: Damage, least: float) -> None:
    results = [damaged(seed, damage, False) for seed in range(40)]
    possible = [found for was_possible, _, found in results if was_possible]
    assert len(possible) >= 5
    assert sum(possible) >= least * len(possible)


def test_unsaved_register_is_found() -> None:
    target = t.make_target(3, 2, 1)
    for seed in range(100):
        func = generate(seed, target, 60)
        snapshot = Snapshot(func, target)
        allocate(func, target)
        if func.saved:
            func.saved = func.saved[1:]
            with pytest.raises(CheckError, match="written but not saved"):
                snapshot.verify()
            return
    raise AssertionError("no function saved a register")


@pytest.mark.parametrize("register", [4, 15])
def test_fixed_registers_must_not_be_written(register: int) -> None:
    target = t.make_target()
    func = generate(3, target, 20)
    snapshot = Snapshot(func, target)
    allocate(func, target)
    func.blocks[0].code.insert(1, MInst(t.MOV64, register, 0))
    with pytest.raises(CheckError, match="writes a fixed register"):
        snapshot.verify()


def test_inserted_code_must_keep_the_flags() -> None:
    target = t.make_target()
    func = generate(3, target, 20)
    snapshot = Snapshot(func, target)
    allocate(func, target)
    func.blocks[0].code.insert(1, MInst(t.ZERO, 11))
    with pytest.raises(CheckError, match="has effects"):
        snapshot.verify()


def test_results_of_a_call_with_a_handler_come_first() -> None:
    target = t.make_target()
    for seed in range(100):
        func = generate(seed, target, 30)
        found = [block for block in func.blocks if block.code[0].op == ARRIVE]
        if found:
            snapshot = Snapshot(func, target)
            allocate(func, target)
            found[0].code.insert(0, MInst(t.MOV64, 11, 14))
            with pytest.raises(CheckError, match="something comes before the results"):
                snapshot.verify()
            return
    raise AssertionError("no function has such a call")


def test_error_names_block_and_instruction() -> None:
    target = t.make_target()
    func = generate(3, target, 20)
    func.name = "frob"
    snapshot = Snapshot(func, target)
    allocate(func, target)
    last = func.blocks[-1].code
    assert last[-1].op in (RET, TAIL)
    last.insert(0, MInst(t.ADD64I, 0, 0))
    with pytest.raises(CheckError, match=rf"frob: block {func.blocks[-1].id}: add64i rd=0"):
        snapshot.verify()
