"""Selection: goldens, the shape of the control flow graph, and the promises about time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from figwasp.codegen.isa.x64.target import TARGET
from figwasp.codegen.mach import BRANCH, ENTRY, FIRST_ROW, JUMP, SWITCH, TERMINATORS, VIRTUAL, CallSite, MBlock, MFunc
from figwasp.codegen.text import show
from figwasp.ir import ops, pipeline
from figwasp.ir.build.emitter import Emitter
from figwasp.ir.func import Func
from figwasp.ir.ops import F64, I32, I64
from figwasp.ir.text import parse
from tests.golden import runner
from tests.ir.compiling import build_all, module_of
from tests.speed import growth

KERNELS = ["fib", "sieve", "matmul", "sha256", "quicksort", "nbody", "mandel", "vmloop", "indirect", "membytes"]


@pytest.mark.parametrize("case", runner.read("select*.test"), ids=repr)
def test_golden(case: runner.Case) -> None:
    runner.check(case, {"select": _selected, "select with AVX": _with_avx, "select with all features": _with_all})


EFFECTS = {16: "+ 64], ", 24: "call func5", 32: "call builtin0"}
"""Offset of a load in `select-loads.test` -> the effect in the listing between it and its use."""


@pytest.mark.parametrize("case", [case for case in runner.read("select-loads.test") if "builtin0" in case.source], ids=repr)
def test_loads_stay_in_front_of_effects(case: runner.Case) -> None:
    """The goldens of loads hold what they are to hold; rewriting them cannot hide that a load has moved."""
    lines = _selected(case.source).splitlines()

    def first(text: str) -> int:
        return next(number for number, line in enumerate(lines) if text in line)

    for offset, effect in EFFECTS.items():
        assert first(f"+ {offset}]") < first(effect)


def _with_avx(source: str) -> str:
    return _with(frozenset({"avx"}), source)


def _with_all(source: str) -> str:
    return _with(frozenset(TARGET.known_features), source)


def _with(features: frozenset[str], source: str) -> str:
    TARGET.use_features(features)
    try:
        return _selected(source)
    finally:
        TARGET.use_features(frozenset())


def _selected(source: str) -> str:
    machine = TARGET.select(parse(source))
    check(machine)
    return show(machine, TARGET)


def check(machine: MFunc) -> None:
    """Check what `mach` promises of a function over virtual registers."""
    blocks = machine.blocks
    assert [block.id for block in blocks] == list(range(len(blocks)))
    assert blocks[0].code[0].op == ENTRY
    preds: dict[int, list[int]] = {block.id: [] for block in blocks}
    for block in blocks:
        last = block.code[-1]
        assert last.op in TERMINATORS
        assert not any(inst.op in TERMINATORS for inst in block.code[:-1])
        if last.op == JUMP:
            assert len(block.args) == len(block.succs[0].params)
        else:
            assert not block.args
            assert not any(succ.params for succ in block.succs)
        assert len(block.succs) == {JUMP: 1, BRANCH: 2, SWITCH: len(block.succs)}.get(last.op, 0)
        for succ in block.succs:
            assert blocks[succ.id] is succ
            preds[succ.id].append(block.id)
    assert all(sorted(pred.id for pred in block.preds) == preds[block.id] for block in blocks)
    _check_single_definitions(machine)
    for block in blocks:
        if block.loop:
            _check_loop(blocks, block)
        else:
            assert all(pred.id < block.id for pred in block.preds)


def _check_single_definitions(machine: MFunc) -> None:
    """Check that every virtual register is defined once and that all that are read are defined."""
    rows = TARGET.rows
    defined: list[int] = []
    read: list[int] = []
    for block in machine.blocks:
        defined += block.params
        read += block.args
        for inst in block.code:
            if isinstance(inst.imm, CallSite):
                defined += inst.imm.results
                read += [*inst.imm.args, inst.imm.address]
                assert len(inst.imm.args) == len(inst.imm.arg_locs)
                assert len(inst.imm.results) == len(inst.imm.result_locs)
            elif inst.op == SWITCH:
                defined += [inst.rm, inst.rx]
                read.append(inst.rn)
            else:
                defined.append(inst.rd)
                read += [inst.rn, inst.rm, inst.rx]
                assert inst.op < FIRST_ROW or rows.defines[inst.op] == (inst.rd >= 0)
                assert inst.op < FIRST_ROW or bool(rows.reads[inst.op] & 1) == (inst.rn >= 0)
    virtual = [register for register in defined if register >= VIRTUAL]
    assert len(virtual) == len(set(virtual))
    assert {register for register in read if register >= VIRTUAL} <= set(virtual)


def _check_loop(blocks: list[MBlock], header: MBlock) -> None:
    """Check that a loop is contiguous behind its header and entered by one jump."""
    outside = [pred for pred in header.preds if pred.id < header.id]
    assert len(outside) == 1
    assert outside[0].code[-1].op == JUMP
    members = {header.id}
    work = [pred for pred in header.preds if pred.id >= header.id]
    assert work
    while work:
        block = work.pop()
        if block.id not in members:
            members.add(block.id)
            work += block.preds
    assert members == set(range(header.id, header.id + len(members)))
    assert all(blocks[member].depth >= header.depth for member in members)


@pytest.mark.parametrize("name", KERNELS)
def test_kernel(shared: Path, name: str) -> None:
    for func in build_all(module_of((shared / "kernels" / "wasm" / f"{name}.wasm").read_bytes())):
        pipeline.run(func)
        check(TARGET.select(func))


@pytest.mark.parametrize("name", ["mandel", "mal", "smallpt-ex"])
def test_program(shared: Path, name: str) -> None:
    for func in build_all(module_of((shared / "programs" / "modules" / f"{name}.wasm").read_bytes())):
        pipeline.run(func)
        check(TARGET.select(func))


def _table(count: int) -> Func:
    """Make a branch through a table with `count` entries, every other one with an argument."""
    func = Func("table", 0, bytes([I64, I32]), bytes([I32]))
    e = Emitter(func)
    entry = e.block
    index = entry.params[1]
    join = func.new_block()
    result = func.new_param(join, I32)
    constants = [e.const(I32, k) for k in range(10)]
    e.emit(ops.BRTABLE, [index])
    others = []
    for k in range(count // 2):
        others.append(func.new_block())
        e.block = others[-1]
        e.jump(join, [constants[k % 10]])
        entry.succs += [join, others[-1]]
        entry.args += [[constants[k % 10]], []]
    func.blocks = [entry, *others, join]
    for number, block in enumerate(func.blocks):
        block.id = number
    e.block = join
    e.ret([result])
    return func


def test_large_table() -> None:
    """Equal edges share a block, and the time is linear."""
    machine = TARGET.select(_table(10_000))
    check(machine)
    assert len(machine.blocks) == 1 + 5_000 + 10 + 1
    assert growth(lambda count: _selecting(_table(count)), 500, 10_000) < LINEAR


LINEAR = 150
"""Twenty times as much code takes about twenty times as long, not four hundred times; there is room for caches that are too small."""


def _selecting(func: Func) -> Callable[[], object]:
    return lambda: TARGET.select(func)


def _straight(count: int) -> Func:
    func = Func("straight", 0, bytes([I64, I32]), bytes([I32]))
    e = Emitter(func)
    value = e.block.params[1]
    for k in range(count):
        value = e.emit(ops.I32_XOR, [e.emit(ops.I32_ADD, [value, e.const(I32, k)]), value])
    e.ret([value])
    return func


def test_long_block_takes_linear_time() -> None:
    assert growth(lambda count: _selecting(_straight(count)), 2_000, 40_000) < LINEAR


def _splits(count: int) -> Func:
    func = Func("splits", 0, bytes([I64, I32, F64, F64]), bytes([F64]))
    e = Emitter(func)
    _, test, value, other = e.block.params
    for _ in range(count):
        value = e.emit(ops.SELECT, [value, other, test], type=F64)
    e.ret([value])
    return func


def test_many_splits_take_linear_time() -> None:
    """A select between floats on an integer splits its block."""
    machine = TARGET.select(_splits(10_000))
    check(machine)
    assert len(machine.blocks) == 1 + 3 * 10_000
    assert growth(lambda count: _selecting(_splits(count)), 500, 10_000) < LINEAR


def test_chain_does_not_recurse() -> None:
    """A long chain of operations that could all be taken into their users costs no stack."""
    func = Func("chain", 0, bytes([I64, I32]), bytes([I32]))
    e = Emitter(func)
    value = e.block.params[1]
    for _ in range(20_000):
        value = e.emit(ops.I32_EQZ, [value])
    e.ret([value])
    check(TARGET.select(func))
