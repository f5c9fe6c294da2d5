"""More vectors alive than there are registers: operands of three and of four registers come from spill slots, some of them in place."""

from __future__ import annotations

import random

import pytest

import figwasp
from figwasp.codegen.regalloc import allocate as regalloc
from tests.codegen.features import SETS, using
from tests.tools import package

VECTORS = 24
STEPS = 150
EXPRESSIONS = (
    "(i32x4.add {0} {1})",
    "(i8x16.sub {0} (v128.load offset={offset} (local.get $in)))",
    "(v128.bitselect {0} {1} (i16x8.lt_s {2} {3}))",
    "(i32x4.relaxed_laneselect {0} {1} (i32x4.gt_s {2} {3}))",
    "(i32x4.trunc_sat_f32x4_s (f32x4.relaxed_madd " + " ".join(["(f32x4.convert_i32x4_u (i32x4.shr_u {%d} (i32.const 27)))"] * 3) + "))",
    "(v128.xor {0} (i8x16.shuffle 0 17 2 19 4 21 6 23 8 25 10 27 12 29 14 31 {1} {2}))",
    "(i64x2.mul {0} {1})",
    "(i8x16.shl {0} (i8x16.extract_lane_u 3 {1}))",
    "(v128.xor {0} (i32x4.max_u {1} (v128.const i32x4 1 2 3 4)))",
)


def _module(seed: int) -> str:
    """Write a function that loads all, computes some time, and stores all."""
    source = random.Random(seed)
    code = [f"(local.set $v{number} (v128.load offset={16 * number} (local.get $in)))" for number in range(VECTORS)]
    for _ in range(STEPS):
        operands = [f"(local.get $v{source.randrange(VECTORS)})" for _ in range(4)]
        text = source.choice(EXPRESSIONS)
        text = text % (0, 1, 2) if "%d" in text else text
        code.append(f"(local.set $v{source.randrange(VECTORS)} {text.format(*operands, offset=source.randrange(256))})")
    code += [f"(v128.store offset={16 * number + 1024} (local.get $in) (local.get $v{number}))" for number in range(VECTORS)]
    variables = "".join(f"(local $v{number} v128)" for number in range(VECTORS))
    return f'(module (memory (export "memory") 1) (func (export "f") (param $in i32) {variables} {" ".join(code)}))'


@pytest.mark.parametrize("features", SETS.values(), ids=SETS)
@pytest.mark.parametrize("block_by_block", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_pressure(seed: int, block_by_block: bool, features: frozenset[str], monkeypatch: pytest.MonkeyPatch) -> None:
    wasmtime = package("wasmtime")
    module = _module(seed)
    data = random.Random(seed).randbytes(1024)
    store = wasmtime.Store()
    peer = wasmtime.Instance(store, wasmtime.Module(store.engine, module), []).exports(store)
    peer["memory"].write(store, data, 8)
    peer["f"](store, 8)
    if block_by_block:
        monkeypatch.setattr(regalloc, "MAX_POINTS", 0)
    with using(features):
        exports = figwasp.load(figwasp.wat(module)).exports
        exports.memory[8 : 8 + len(data)] = data
        exports.f(8)
    assert bytes(exports.memory[1032 : 1032 + 16 * VECTORS]) == bytes(peer["memory"].read(store, 1032, 1032 + 16 * VECTORS))


@pytest.mark.parametrize("features", SETS.values(), ids=SETS)
@pytest.mark.parametrize("before", [0, 1])
def test_parameters_on_the_stack_are_aligned(before: int, features: frozenset[str]) -> None:
    """Those that got no register are read in place, which without AVX faults where they are not aligned."""
    count = 14
    total = "(local.get 0)"
    for number in range(1, count):
        total = f"(i32x4.add (local.get {number}) {total})"
    more = "(i64.const 1)" * 9 * before
    callee = f"(func $f (param {'v128 ' * count} {'i64 ' * 9 * before}) (result v128) {total})"
    values = "".join(f"(v128.const i32x4 {number} 1 2 {number * number})" for number in range(count))
    caller = f'(func (export "g") (result v128) (i32x4.add (call $f {values} {more}) (call $f {values} {more})))'
    with using(features):
        found = figwasp.load(figwasp.wat(f"(module {callee} {caller})")).exports.g()
    lanes = [sum(range(count)), count, 2 * count, sum(number * number for number in range(count))]
    assert bytes(found) == b"".join((2 * lane).to_bytes(4, "little") for lane in lanes)
