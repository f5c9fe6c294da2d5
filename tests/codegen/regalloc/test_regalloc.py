"""Register allocation on random functions: the symbolic checker is on, and what the code does must not change."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from figwasp.codegen.mach import (
    BRANCH,
    CALL,
    COPY,
    ENTRY,
    FIRST_ROW,
    JUMP,
    NONE,
    RET,
    SLOT,
    STACK,
    SWITCH,
    TO_REGISTER,
    TO_STUB,
    CallSite,
    MBlock,
    MFunc,
    MInst,
)
from figwasp.codegen.regalloc import allocate as regalloc
from figwasp.codegen.regalloc.allocate import allocate
from figwasp.codegen.regalloc.local import allocate_local
from figwasp.codegen.target import Target
from figwasp.ir.func import CONV_C
from figwasp.ir.types import F64, I32, I64, INT
from tests.environment import COMPILED
from tests.speed import exceeds

from . import target as t
from .functions import generate
from .interpreter import run

SEEDS = st.integers(0, 1 << 40)


def machine_for(seed: int) -> Target:
    """A machine with few registers."""
    r = random.Random(seed)
    return t.make_target(r.choice([3, 4, 4, 6, 9]), r.choice([2, 3, 5]), r.choice([0, 1, 2]))


def check(seed: int, size: int, straight: bool = False) -> MFunc:
    """Allocate the function of a seed, and compare what it does before and after."""
    target = machine_for(seed)
    func = generate(seed, target, size, straight)
    before = [run(func, target, n, False) for n in range(3)]
    allocate(func, target, check=True)
    for n, trace in enumerate(before):
        assert run(func, target, n, True) == trace
    return func


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


# What comes out, on code written by hand


class Hand:
    """Writes a function of one block."""

    def __init__(self, *params: int) -> None:
        self.func = MFunc("hand", 0, 0)
        self.block = MBlock(0)
        self.func.blocks.append(self.block)
        self.params = [self.func.new_register(I64) for _ in params]
        self.emit(MInst(ENTRY, imm=CallSite([], [], self.params, list(params))))

    def emit(self, inst: MInst) -> None:
        self.block.code.append(inst)

    def make(self, op: int, rn: int = NONE, rm: int = NONE, rx: int = NONE, imm: int = 0) -> int:
        v = self.func.new_register(F64 if op in (t.CONSTF, t.FADD) else I64)
        self.emit(MInst(op, v, rn, rm, rx, 0, imm))
        return v

    def call(self, args: list[int], locs: list[int], results: int = 0, clobbers: int = 0b111, **more: int) -> list[int]:
        made = [self.func.new_register(I64) for _ in range(results)]
        self.emit(MInst(CALL, imm=CallSite(args, locs, made, list(range(results)), clobbers, **more)))
        return made

    def finish(self, args: list[int], locs: list[int], target: Target) -> list[MInst]:
        """Return from the function, allocate it, and return its code."""
        self.emit(MInst(RET, imm=CallSite(args, locs, [], [])))
        allocate(self.func, target, check=True)
        return self.block.code


def names(code: list[MInst]) -> list[str]:
    return [t.ROWS.names[inst.op] for inst in code if inst.op >= FIRST_ROW]


def test_values_that_need_no_move() -> None:
    hand = Hand(0, 1)
    a, b = hand.params
    c = hand.make(t.ADD64, a, b)
    d = hand.make(COPY, c)
    e = hand.make(t.ADD64I, d)
    code = hand.finish([e], [0], t.make_target(6))
    assert names(code) == ["add64", "add64i"]
    assert code[1].rd == code[1].rn == 0
    assert hand.func.num_slots == 0
    assert hand.func.saved == []


def test_fixed_register_without_moves() -> None:
    hand = Hand(1, 0)
    count, v = hand.params
    hand.emit(MInst(COPY, 1, count))
    code = hand.finish([hand.make(t.SHL, v)], [0], t.make_target(6))
    assert names(code) == ["shl"]


def test_callee_saved_register_across_calls() -> None:
    hand = Hand(0)
    v = hand.params[0]
    for _ in range(3):
        hand.call([v], [0])
    code = hand.finish([v], [0], t.make_target(3, 2, 1))
    assert hand.func.saved == [3]
    assert names(code) == ["mov64"] + ["mov64"] * 4
    assert hand.func.num_slots == 0


def test_one_call_is_not_worth_saving_a_register() -> None:
    hand = Hand(0)
    hand.call([], [])
    code = hand.finish([hand.params[0]], [0], t.make_target(3, 2, 1))
    assert hand.func.saved == []
    assert names(code) == ["st64", "ld64"]


def test_c_convention_saves_its_own_registers() -> None:
    hand = Hand(0)
    hand.func.conv = CONV_C
    v = hand.params[0]
    for _ in range(3):
        hand.call([v], [0], clobbers=0b111 | 1 << 12)
    hand.finish([v], [0], t.make_target(3, 2, 2))
    assert hand.func.saved == [3]  # 12 is destroyed but not for this convention to preserve


def test_operand_in_memory_is_used_in_place() -> None:
    hand = Hand(14, 0, 1, 2)
    hand.func.instance, a, b, c = hand.params
    hand.call([], [])
    d = hand.make(t.ADD64, a, b)
    code = hand.finish([hand.make(t.ADD64, d, c), hand.func.instance], [0, 1], t.make_target(3, 2, 0))
    assert names(code) == ["st64", "st64", "st64", "ld64", "add64m", "add64m", "mov64"]
    assert all(inst.rm == SLOT for inst in code if inst.op == t.ADD64M)


def test_narrow_value_in_memory_is_not_read_whole() -> None:
    """The upper half of the cell of an i32 is anything: an instruction that reads 8 bytes there must not be used."""
    hand = Hand(0, 1)
    v = hand.func.new_register(I32)
    hand.emit(MInst(t.MOV32, v, hand.params[0]))
    hand.call([], [], clobbers=0b111 | 1 << 14)
    code = hand.finish([hand.make(t.ADD64, hand.params[1], v)], [0], t.make_target(3, 2, 0))
    assert "add64" in names(code)
    assert "ld32" in names(code)


def test_constants_are_made_again_instead_of_stored() -> None:
    hand = Hand(0)
    v = hand.make(t.CONST64, imm=5)
    hand.call([], [])
    code = hand.finish([v], [0], t.make_target(3, 2, 0))
    assert names(code) == ["const64"]


def test_parameter_that_arrives_in_memory_stays_there() -> None:
    hand = Hand(0, STACK)
    hand.call([], [], clobbers=0b111 | 1 << 14)
    code = hand.finish([hand.params[1]], [0], t.make_target(3, 2, 0))
    assert names(code) == ["ld64"]
    assert hand.func.num_slots == 0


def test_condition_is_not_made_again() -> None:
    hand = Hand(0)
    hand.emit(MInst(t.CMP, NONE, hand.params[0], hand.params[0]))
    v = hand.make(t.SETCC)
    hand.call([], [])
    code = hand.finish([v], [0], t.make_target(3, 2, 0))
    assert names(code) == ["cmp", "setcc", "st64", "ld64"]
    assert code[2].rd != t.make_target().scratch[INT]


def test_constant_that_sets_flags_is_not_made_again() -> None:
    hand = Hand(0)
    v = hand.make(t.ZERO)
    hand.call([], [])
    code = hand.finish([v], [0], t.make_target(3, 2, 0))
    assert names(code) == ["zero", "st64", "ld64"]


def test_near_uses_share_the_register_that_is_free_longest() -> None:
    """Of two registers that are free at the first use of a spilled value, the one is taken that is free at the second as well."""
    hand = Hand(0)
    v = hand.params[0]
    hand.call([], [], clobbers=0b111 | 1 << 14)
    hand.emit(MInst(COPY, 0, hand.make(t.MOD, v)))
    other = hand.make(t.MOD, v)
    code = hand.finish([hand.make(t.ADD64, other, 0)], [0], t.make_target(3, 2, 0))
    assert names(code)[:4] == ["st64", "ld64", "mod", "mod"]


def test_instance_stays_where_it_arrives() -> None:
    hand = Hand(14, 0)
    instance, v = hand.params
    hand.func.instance = instance
    for _ in range(2):
        (v,) = hand.call([instance, v], [14, 0], 1)
    code = hand.finish([v], [0], t.make_target(3, 2, 0))
    assert names(code) == []
    assert hand.func.saved == []


def test_instance_moves_out_of_the_way_of_another() -> None:
    hand = Hand(14, 0)
    instance, other = hand.params
    hand.func.instance = instance
    hand.call([other], [14])
    hand.call([instance], [14])
    code = hand.finish([], [], t.make_target(3, 2, 0))
    assert names(code) == ["st64", "mov64", "ld64"]
    assert hand.func.saved == [14]


@pytest.mark.parametrize("kind", [TO_REGISTER, TO_STUB])
def test_code_address_survives_the_arguments(kind: int) -> None:
    hand = Hand(1, 0)
    address, v = hand.params
    hand.call([v], [1], kind=kind, address=address)
    code = hand.finish([], [], t.make_target(3, 2, 0))
    site = code[-2].imm
    assert isinstance(site, CallSite)
    assert site.address == 11
    assert names(code) == ["mov64", "mov64"]


def loop_function(target: Target, params: int, swap: bool) -> MFunc:
    """A loop whose parameters stay, or take each other's place in every round."""
    hand = Hand(0, 1)
    func = hand.func
    header, latch, end = MBlock(1, 1), MBlock(2, 1), MBlock(3)
    func.blocks += [header, latch, end]
    header.loop = True
    header.params = [func.new_register(I64) for _ in range(params)]
    hand.emit(MInst(JUMP))
    hand.block.args = [hand.params[i % 2] for i in range(params)]
    header.code = [MInst(t.CMP, NONE, header.params[0], header.params[1]), MInst(BRANCH, imm=1)]
    latch.code = [MInst(JUMP)]
    latch.args = header.params[::-1] if swap else list(header.params)
    end.code = [MInst(RET, imm=CallSite(header.params[:1], [0], [], []))]
    hand.block.succs, header.succs, latch.succs = [header], [latch, end], [header]
    for block in func.blocks:
        for succ in block.succs:
            succ.preds.append(block)
    return func


@pytest.mark.parametrize(("swap", "wanted"), [(False, []), (True, ["mov64"] * 3)])
def test_moves_on_a_back_edge(swap: bool, wanted: list[str]) -> None:
    target = t.make_target(6)
    func = loop_function(target, 2, swap)
    allocate(func, target, check=True)
    assert names(func.blocks[2].code) == wanted


def test_spilled_parameters_share_the_slots_of_their_arguments() -> None:
    target = t.make_target(3, 2, 0)
    func = loop_function(target, 12, False)
    allocate(func, target, check=True)
    assert names(func.blocks[2].code) == []


def test_loop_keeps_a_spilled_value_in_a_register() -> None:
    """A value that cannot have one register for its whole life is loaded before the loop that uses it."""
    hand = Hand(0)
    func = hand.func
    v = hand.params[0]
    hand.call([], [], clobbers=0b111 | 1 << 14)
    header, latch, end = MBlock(1, 1), MBlock(2, 1), MBlock(3)
    func.blocks += [header, latch, end]
    header.loop = True
    hand.emit(MInst(JUMP))
    header.code = [MInst(t.CMP, NONE, v, v), MInst(BRANCH, imm=1)]
    latch.code = [MInst(JUMP)]
    end.code = [MInst(RET, imm=CallSite([v], [0], [], []))]
    hand.block.succs, header.succs, latch.succs = [header], [latch, end], [header]
    for block in func.blocks:
        for succ in block.succs:
            succ.preds.append(block)
    allocate(func, t.make_target(3, 2, 0), check=True)
    assert names(hand.block.code) == ["st64", "ld64"]
    assert names(header.code) == ["cmp"]


def test_switch_needs_three_registers() -> None:
    target = t.make_target(3, 2, 0)
    hand = Hand(0, 1, 2)
    func = hand.func
    index = hand.make(t.MOD, hand.params[0], imm=2)
    hand.emit(MInst(SWITCH, NONE, index, func.new_register(I64), func.new_register(I64)))
    for number in (1, 2):
        block = MBlock(number)
        block.preds = [hand.block]
        block.code = [MInst(RET, imm=CallSite([index, *hand.params], [0, 1, 2, 5], [], []))]
        func.blocks.append(block)
        hand.block.succs.append(block)
    allocate(func, target, check=True)
    switch = hand.block.code[-1]
    assert len({switch.rn, switch.rm, switch.rx}) == 3


# Huge functions


def wide_function(blocks: int, values: int) -> MFunc:
    """`values` registers defined in the first block, live across all others, and all used in the last."""
    hand = Hand(0)
    func = hand.func
    made = [hand.make(t.ADD64I, hand.params[0], imm=i) for i in range(values)]
    block = hand.block
    for number in range(1, blocks + 1):
        following = MBlock(number)
        block.code.append(MInst(JUMP))
        block.succs = [following]
        following.preds = [block]
        following.code.append(MInst(t.ST64, NONE, hand.params[0], made[number % values], NONE, 0))
        func.blocks.append(following)
        block = following
    for v in made:
        block.code.append(MInst(t.ST64, NONE, v, hand.params[0], NONE, 8))
    block.code.append(MInst(RET, imm=CallSite([], [], [], [])))
    return func


def fan_function(edges: int) -> MFunc:
    """A switch with so many targets, each of which passes values to one block."""
    hand = Hand(0, 1)
    func = hand.func
    index = hand.make(t.MOD, hand.params[0], imm=edges)
    end = MBlock(edges + 1)
    end.params = [func.new_register(I64) for _ in range(3)]
    hand.emit(MInst(SWITCH, NONE, index, func.new_register(I64), func.new_register(I64)))
    for number in range(1, edges + 1):
        block = MBlock(number)
        block.preds = [hand.block]
        v = func.new_register(I64)
        block.code = [MInst(t.ADD64I, v, hand.params[1], imm=number), MInst(JUMP)]
        block.succs = [end]
        block.args = [hand.params[0], v, hand.params[1]]
        hand.block.succs.append(block)
        end.preds.append(block)
        func.blocks.append(block)
    end.code = [MInst(RET, imm=CallSite(end.params, [0, 1, 2], [], []))]
    func.blocks.append(end)
    return func


@pytest.mark.parametrize("make", [lambda n: wide_function(n // 5, n), fan_function], ids=["wide", "fan"])
def test_huge_functions_take_linear_time(make) -> None:  # type: ignore[no-untyped-def]
    target = t.make_target(6, 3, 2)
    small = make(50)
    before = run(small, target, 1, False)
    allocate_local(small, target)
    assert run(small, target, 1, True) == before
    seconds = []
    for size in (5_000, 40_000):
        func = make(size)
        assert sum(len(block.code) + 1 for block in func.blocks) * 2 > 10_000
        start = time.process_time()
        allocate_local(func, target)
        seconds.append(time.process_time() - start)
    assert seconds[1] < 8 * seconds[0] * 4  # eight times the size; quadratic would be 64
    assert not exceeds(seconds[1], 500)


def test_local_slots_are_shared() -> None:
    """Values that follow one another need no slot each, though there is no dataflow analysis."""
    hand = Hand(0)
    func = hand.func
    block = hand.block
    v = hand.params[0]
    for number in range(1, 300):
        following = MBlock(number)
        v = func.new_register(I64)
        block.code += [MInst(t.ADD64I, v, hand.params[0], imm=number), MInst(JUMP)]
        block.succs = [following]
        following.preds = [block]
        following.code.append(MInst(t.ST64, NONE, v, hand.params[0]))
        func.blocks.append(following)
        block = following
    block.code.append(MInst(RET, imm=CallSite([], [], [], [])))
    target = t.make_target()
    allocate_local(func, target)
    assert func.num_slots <= 3


@pytest.mark.skipif(COMPILED, reason="it has a function of its own in place of a method that mypyc has compiled")
def test_environment_turns_the_checker_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regalloc, "CHECK", True)
    asked = []
    monkeypatch.setattr("figwasp.codegen.regalloc.check.Snapshot.verify", lambda self: asked.append(self))
    target = t.make_target()
    allocate(generate(1, target, 10), target)
    assert len(asked) == 1
