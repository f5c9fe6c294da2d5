"""The builder: goldens, programs against an interpreter, real modules, and bodies out of all proportion."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import pytest

from figwasp import errors
from figwasp.errors import LimitExceeded
from figwasp.ir import ops, order, params, pipeline
from figwasp.ir.build import builder as build_module
from figwasp.ir.evaluate.func import Trapped
from figwasp.ir.evaluate.instance import EvalInstance
from figwasp.ir.text import show
from figwasp.ir.verify import verify
from figwasp.layout import CHECKED, GUARD
from figwasp.wasm.syntax.opcodes import BY_PREFIX
from tests.golden import runner
from tests.ir import programs
from tests.ir.compiling import build_all, build_one, module_of
from tests.ir.evaluating import evaluated, invoke

KERNELS = [
    "fib",
    "sieve",
    "matmul",
    "sha256",
    "quicksort",
    "nbody",
    "mandel",
    "collatz64",
    "vmloop",
    "indirect",
    "membytes",
]
PROGRAMS = ["mandel", "mal", "smallpt-ex", "smallpt-ex-mv"]


def _built(mode: int, passes: bool) -> runner.Stage:
    def stage(source: str) -> str:
        funcs = build_all(module_of(source), mode)
        for func in funcs:
            verify(func)
            if passes:
                params.run(func)
                order.run(func)
                verify(func)
        return "".join(map(show, funcs))

    return stage


STAGES = {"build": _built(GUARD, False), "build checked": _built(CHECKED, False), "params": _built(GUARD, True)}


@pytest.mark.parametrize("case", runner.read("build*.test"), ids=repr)
def test_golden(case: runner.Case) -> None:
    runner.check(case, STAGES)


def _arguments(rng: random.Random) -> list[int]:
    interesting = [0, 1, 2, 7, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF]
    return [rng.randrange(1, 20), rng.choice(interesting), rng.choice([*interesting, rng.getrandbits(64), 1 << 63])]


_TRAPS = {errors.TRAP_DIVIDE_BY_ZERO: "trap", errors.TRAP_INTEGER_OVERFLOW: "trap"}


def _expected(program: list[programs.Instr], args: list[int]) -> list[int] | str:
    try:
        return programs.Interpreter(args).run(program)
    except programs.Trap:
        return "trap"


def _actual(instance: EvalInstance, args: list[int]) -> list[int] | str:
    try:
        return instance.space.enter(instance.funcs[0], args)
    except Trapped as trap:
        return _TRAPS[trap.code]


def _agree(seed: int) -> tuple[int, int, bool]:
    """Compare a random program with the interpreter; return the numbers of results and traps, and where locals are."""
    rng = random.Random(seed)
    program = programs.Generator(seed).program()
    module = module_of(programs.text(program))
    cases = [(args, _expected(program, args)) for args in (_arguments(rng) for _ in range(6))]
    instances = [evaluated(module, passes=passes) for passes in (None, params.run, pipeline.run)]
    for instance in instances:
        for args, expected in cases:
            assert _actual(instance, args) == expected, (seed, args, show(instance.func(0)))
    traps = sum(expected == "trap" for _, expected in cases)
    built = instances[0].func(0)
    verify(built)
    return len(cases) - traps, traps, any(value.op == ops.FRAME_AREA for value in built.blocks[0].code)


def test_random_programs_compute_what_the_interpreter_says() -> None:
    counts = [_agree(seed) for seed in range(400)]
    assert sum(results for results, _, _ in counts) > 1200, "the generator has gone dull"
    assert sum(traps for _, traps, _ in counts) > 20
    assert not any(spilled for _, _, spilled in counts)


def test_random_programs_with_locals_in_the_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_module, "_FREE_ARGS", -(1 << 30))
    counts = [_agree(seed) for seed in range(400, 500)]
    assert sum(spilled for _, _, spilled in counts) > 80


def _kernels() -> list[tuple[str, int]]:
    return [(name, GUARD) for name in KERNELS] + [(name, CHECKED) for name in ("sieve", "sha256", "indirect")]


@pytest.mark.parametrize(("name", "mode"), _kernels())
def test_kernels_compute_what_they_should(shared: Path, name: str, mode: int) -> None:
    case = json.loads((shared / "kernels/kernels.json").read_text())[name]
    module = module_of((shared / f"kernels/wasm/{name}.wasm").read_bytes())
    instance = evaluated(module, mode, pipeline.run, steps=1 << 30)
    result = invoke(instance, case["export"], case["n_small"])
    assert result == [case["expect_small"] & 0xFFFF_FFFF]


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_function_of_real_modules_is_well_formed(shared: Path, name: str) -> None:
    module = module_of((shared / f"programs/modules/{name}.wasm").read_bytes())
    for mode in (GUARD, CHECKED):
        for func in build_all(module, mode):
            verify(func, "build")
            pipeline.run(func)
            func.release()


def test_a_row_without_a_method_is_an_error_at_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(build_module.METHODS, "table.grow")
    with pytest.raises(ValueError, match="no method for table.grow"):
        build_module._Columns(BY_PREFIX[0xFC])


def test_equal_targets_of_a_table_share_a_block() -> None:
    labels = " ".join(["0", "1"] * 5000)
    source = f"""(module (func (param i32) (result i32) (local i32)
        block block
        local.get 0  br_table {labels} 1
        end i32.const 5 local.set 1
        end local.get 1))"""
    func = build_one(source)
    assert len(func.blocks[0].succs) == 10_001
    assert len(func.blocks) <= 4


def test_deep_nesting_needs_no_recursion() -> None:
    depth = 20 * sys.getrecursionlimit()
    body = "block " * depth + "local.get 0 br_if 3 local.get 0 local.set 1 " + "end " * depth
    func = build_one(f"(module (func (param i32) (local i32) {body}))")
    verify(func)
    loops = "loop " * 400 + "local.get 0 br_if 399 local.get 0 br_if 3 " + "end " * 400
    func = build_one(f"(module (func (param i32) (local i32) {loops}))")
    verify(func)
    assert sum(block.loop for block in func.blocks) == 2


def test_a_switch_that_writes_ten_thousand_locals_is_built_with_locals_in_the_frame() -> None:
    cases = 3000
    body = "block " * (cases + 1) + f"local.get 0 br_table {' '.join(map(str, range(cases + 1)))} "
    for number in range(cases):
        body += f"end local.get 0 local.set {1 + number} br {cases - 1 - number} "
    source = f"(module (func (param i32) (result i32) (local {'i32 ' * cases}) {body} end local.get 7))"
    func = build_one(source)
    verify(func)
    assert func.num_values < 10 * cases
    instance = evaluated(module_of(source))
    assert instance.space.enter(instance.funcs[0], [6]) == [6]
    assert instance.space.enter(instance.funcs[0], [5]) == [0]


def test_a_branch_that_carries_too_much_is_refused() -> None:
    arity = 1000
    values = "i32.const 0 " * arity
    branches = "local.get 0 br_if 0 " * 10_000
    source = f"""(module (type (func (result {"i32 " * arity})))
        (func (param i32) block (type 0) {values} {branches} end {"drop " * arity}))"""
    with pytest.raises(LimitExceeded, match="function 0 passes more than"):
        build_one(source)
