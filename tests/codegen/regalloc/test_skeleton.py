"""The shared stages on a machine that is not there: more registers, a link register, values of 16 bytes."""

from __future__ import annotations

import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from figwasp.codegen import abi, frame
from figwasp.codegen.isa.x64.target import TARGET as X64
from figwasp.codegen.mach import (
    CALL,
    ENTRY,
    FIRST_ROW,
    INCOMING,
    RET,
    SLOT,
    STACK,
    TAIL,
    TO_REGISTER,
    TRAPIF,
    CallSite,
    MBlock,
    MFunc,
    MInst,
)
from figwasp.codegen.regalloc import allocate as regalloc
from figwasp.codegen.regalloc.allocate import allocate
from figwasp.codegen.regalloc.check import CheckError, Snapshot
from figwasp.codegen.regalloc.check_state import State, memory_location, store
from figwasp.codegen.regalloc.moves import BASE_MASK, Mover, stack_mem, stack_slot
from figwasp.codegen.target import Target
from figwasp.ir.types import F64, FLOAT, I32, I64, INT, V128

from . import skeleton
from . import target as toy
from .functions import generate
from .interpreter import Interpreter, cell_of, number_of, run

SEEDS = st.integers(0, 1 << 40)


def machine_for(seed: int) -> Target:
    """The skeleton with all or few registers, or the machine whose rows are tied."""
    r = random.Random(seed)
    if r.random() < 0.3:
        return toy.make_target(r.choice([4, 6, 9]), r.choice([3, 5]), r.choice([0, 1, 2]))
    return skeleton.make_target(r.choice([4, 5, 8, 30]), r.choice([3, 5, 32]))


def check(seed: int, size: int, straight: bool = False) -> None:
    """Allocate the function of a seed with the checker on, and compare what it does before and after."""
    target = machine_for(seed)
    func = generate(seed, target, size, straight)
    before = [run(func, target, n, False) for n in range(3)]
    allocate(func, target, check=True)
    for n, trace in enumerate(before):
        assert run(func, target, n, True) == trace
    lay_out(func, target)


def lay_out(func: MFunc, target: Target) -> None:
    """Finish the frame, and look whether everything has its room."""
    frame.finish(func, target)
    assert frame.slots_offset(func) % 16 == 0
    used = frame.saved_offset(func) + 8 * len(func.saved)
    place, pointer = frame.caller(target, 0, func.frame_size)
    if func.frame_size:
        assert used <= place
        assert pointer % 16 == 0
    for block in func.blocks:
        for inst in block.code:
            if inst.op >= FIRST_ROW and inst.rm == SLOT:
                width = target.rows.width[inst.op]
                offset = frame.slots_offset(func) + 8 * (inst.mem >> 2)
                assert offset % width == 0
                assert offset + width <= frame.saved_offset(func)


@settings(max_examples=80, deadline=None)
@given(SEEDS, st.sampled_from([5, 20, 60, 150]))
def test_random_functions(seed: int, size: int) -> None:
    check(seed, size)


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_long_blocks(seed: int) -> None:
    check(seed, 100, straight=True)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.sampled_from([5, 20, 60, 150]))
@example(1521326, 5)  # the address of a tail call and a cycle of floats beside a wide argument, each in a slot
def test_block_by_block(seed: int, size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(regalloc, "MAX_POINTS", 0)
        check(seed, size)


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_block_by_block_in_long_blocks(seed: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(regalloc, "MAX_POINTS", 0)
        check(seed, 100, straight=True)


def test_registers_beyond_the_first_machine_are_used() -> None:
    """Straight code with more values than x86-64 has registers needs no slot here."""
    target = skeleton.make_target()
    func = MFunc("many", 0, 0)
    block = MBlock(0)
    func.blocks.append(block)
    block.code.append(MInst(ENTRY, imm=CallSite([], [], [], [])))
    made = [func.new_register(F64) for _ in range(30)]
    block.code += [MInst(skeleton.CONSTF, v, imm=number) for number, v in enumerate(made)]
    total = made[0]
    for v in made[1:]:
        block.code.append(MInst(skeleton.FADD, func.new_register(F64), total, v))
        total = block.code[-1].rd
    block.code.append(MInst(RET, imm=CallSite([total], [target.args[FLOAT][0]], [], [])))
    allocate(func, target, check=True)
    assert func.num_slots == 0
    assert max(inst.rd for inst in block.code) >= 60


# Calling conventions


def test_wide_values_take_aligned_cells() -> None:
    target = skeleton.make_target()
    params = bytes([V128] * 8 + [F64, V128, F64, I32])
    signature = abi.wasm_signature(target, params, bytes([V128] * 10))
    assert signature.params[:8] == target.args[FLOAT]
    assert signature.params[8:] == [STACK, STACK + 2, STACK + 4, target.args[INT][0]]
    assert signature.stack_bytes == 48
    assert signature.results[8:] == [STACK, STACK + 2]
    assert signature.area_bytes == 32
    assert signature.hidden == target.args[INT][1]


def test_clobbers_cover_all_registers() -> None:
    target = skeleton.make_target()
    assert abi.all_clobbers(target) == (1 << 63) - 1 & ~(1 << target.context_reg)
    assert abi.wasm_clobbers(target) >> 62 & 1
    assert not abi.wasm_clobbers(target) >> target.instance_reg & 1


# Moves


@settings(max_examples=300)
@given(SEEDS)
def test_wide_and_narrow_moves_all_at_once(seed: int) -> None:
    """Cycles of wide values, in memory and in registers, among others that need the scratch registers."""
    r = random.Random(seed)
    target = skeleton.make_target()
    func = MFunc("moves", 0, 0)
    narrow = [stack_slot(SLOT, func.new_slot(F64)) for _ in range(3)] + [stack_slot(INCOMING, 0)]
    wide_cells = [stack_slot(SLOT, func.new_slot(V128)) for _ in range(3)] + [stack_slot(INCOMING, 2)]
    places = {I64: [*range(4), *narrow], F64: [*range(31, 34), *narrow], V128: [*range(34, 37), *wide_cells]}
    machine = Interpreter(func, target, 0, True)
    values: dict[int, int] = {}
    for place in {place for group in places.values() for place in group}:
        values[place] = number_of(V128 if place in places[V128] else I64, place)
        if place < 64:
            machine.registers[place] = values[place]
        else:
            machine.write_cells(cell_of(place & BASE_MASK, stack_mem(place)), values[place], 16 if place in wide_cells else 8)
    types, dsts, srcs = [], [], []
    for type, group in places.items():
        for dst in group:
            if dst not in dsts and r.random() < 0.7:
                types.append(type)
                dsts.append(dst)
                srcs.append(r.choice(group))
    mover = Mover(func, target)
    mover.parallel(types, dsts, srcs.copy())
    for inst in mover.out:
        machine.row(inst)
    for type, dst, src in zip(types, dsts, srcs):
        assert read(machine, dst, type == V128) == values[src]


def read(machine: Interpreter, place: int, is_wide: bool) -> int:
    """What a place holds."""
    if place < 64:
        return machine.get(place)
    return machine.read_cells(cell_of(place & BASE_MASK, stack_mem(place)), 16 if is_wide else 8)


@pytest.mark.parametrize("local", [False, True])
def test_tail_call_moves_values_between_overlapping_cells(monkeypatch: pytest.MonkeyPatch, local: bool) -> None:
    """What arrives as narrow, wide leaves as wide, narrow: the cells have a part in common and no place the same."""
    if local:
        monkeypatch.setattr(regalloc, "MAX_POINTS", 0)
    target = skeleton.make_target()
    func = MFunc("tail", 0, 0)
    block = MBlock(0)
    func.blocks.append(block)
    types = [F64, F64, V128, F64]
    a, b, c, d = [func.new_register(type) for type in types]
    code = func.new_register(I64)
    entry = CallSite([], [], [a, b, c, d, code], [STACK, STACK + 1, STACK + 2, STACK + 4, 0])
    tail = CallSite([c, d, b, a], [STACK, STACK + 2, STACK + 3, STACK + 4], [], [], kind=TO_REGISTER, address=code)
    block.code = [MInst(ENTRY, imm=entry), MInst(TAIL, imm=tail)]
    before = run(func, target, 5, False)
    allocate(func, target, check=True)
    assert run(func, target, 5, True) == before


# The checker


def spilled(target: Target) -> tuple[MFunc, Snapshot]:
    """A function two wide values of which live in slots across a call."""
    func = MFunc("spilled", 0, 0)
    block = MBlock(0)
    func.blocks.append(block)
    v, w = func.new_register(V128), func.new_register(V128)
    first, second = target.args[FLOAT][:2]
    call = CallSite([], [], [], [], abi.wasm_clobbers(target))
    block.code = [
        MInst(ENTRY, imm=CallSite([], [], [v, w], [first, second])),
        MInst(CALL, imm=call),
        MInst(RET, imm=CallSite([v, w], [first, second], [], [])),
    ]
    snapshot = Snapshot(func, target)
    allocate(func, target)
    snapshot.verify()
    return func, snapshot


@pytest.mark.parametrize("base", [SLOT, INCOMING])
def test_checker_forgets_what_is_overwritten_in_part(base: int) -> None:
    state: State = {}
    first, second, third = [stack_mem(stack_slot(base, index)) for index in range(3)]
    store(state, base, first, 16, frozenset((200,)))
    store(state, base, third, 8, frozenset((201,)))
    assert state[memory_location(base, first)] == {200}
    store(state, base, second, 8, frozenset((202,)))
    assert state == {memory_location(base, second): {202}, memory_location(base, third): {201}}
    store(state, base, first, 16, frozenset((203,)))
    store(state, base, first, 4, frozenset((204,)))
    store(state, base, second, 4, frozenset((205,)))
    assert [state[memory_location(base, mem)] for mem in (first, second, third)] == [{204}, {205}, {201}]


@pytest.mark.parametrize("moved", [1, -1, 2])
def test_checker_finds_slots_that_overlap(moved: int) -> None:
    func, snapshot = spilled(skeleton.make_target())
    assert func.num_slots == 4
    stores = [inst for inst in func.blocks[0].code if inst.op == skeleton.STV]
    loads = [inst for inst in func.blocks[0].code if inst.op == skeleton.LDV]
    chosen = min(stores, key=lambda inst: inst.mem) if moved > 0 else max(stores, key=lambda inst: inst.mem)
    old = chosen.mem
    for inst in [*stores, *loads]:
        if inst.mem == old:
            inst.mem += moved << 2
    with pytest.raises(CheckError):
        snapshot.verify()


def test_checker_finds_half_a_value() -> None:
    func, snapshot = spilled(skeleton.make_target())
    for inst in func.blocks[0].code:
        if inst.op == skeleton.LDV:
            inst.op = skeleton.LDF64
    with pytest.raises(CheckError):
        snapshot.verify()


# Frames


def frame_function(target: Target, slots: int, saved: list[int], calls: bool, traps: bool) -> MFunc:
    func = MFunc("f", 0, 0)
    func.num_slots = slots
    func.saved = saved
    func.has_calls = calls
    block = MBlock(0)
    func.blocks.append(block)
    if traps:
        block.code.append(MInst(TRAPIF, imm=1))
    frame.finish(func, target)
    return func


def test_what_calls_nothing_needs_no_place_for_its_return_address() -> None:
    target = skeleton.make_target()
    assert frame_function(target, 0, [], False, False).frame_size == 0
    assert frame_function(target, 0, [], True, False).frame_size == 16
    assert frame_function(target, 1, [19], False, False).frame_size == 32
    assert frame_function(target, 0, [], False, True).frame_size >= 8  # the call of the trap stub takes the link register


@pytest.mark.parametrize("target", [skeleton.make_target(), X64], ids=lambda target: target.name)
@given(seed=SEEDS)
def test_walk_over_a_stack(target: Target, seed: int) -> None:
    """A stack is built as prologues and calls build it, every other byte of the frames is overwritten, and it is walked."""
    r = random.Random(seed)
    stack: dict[int, int] = {}
    pointer = 1 << 20
    frames: list[tuple[int, int, int]] = []  # stack pointer, frame size, return address
    saved = target.regs[INT][-1:]
    for number in range(r.randrange(1, 20)):
        func = frame_function(target, r.randrange(40), saved * r.randrange(2), True, False)
        address = 1000 + number
        if target.link_reg < 0:  # the call pushes
            pointer -= 8
            stack[pointer] = address
        pointer -= func.frame_size
        assert pointer % 16 == 0
        for offset in range(0, frame.saved_offset(func) + 8 * len(func.saved), 8):
            stack[pointer + offset] = -1
        if target.link_reg >= 0:  # the prologue stores the link register at the end of its frame
            stack[pointer + func.frame_size - 8] = address
        frames.append((pointer, func.frame_size, address))
    for at, size, address in reversed(frames):
        assert pointer == at
        place, pointer = frame.caller(target, pointer, size)
        assert stack[place] == address
    assert pointer == 1 << 20
