"""Fuel in the SSA form: what is paid follows from the body alone, whatever the passes do."""

from __future__ import annotations

import pytest

from figwasp.ir import ops, pipeline, text
from figwasp.ir.build.builder import build
from figwasp.ir.evaluate.func import Environment, Evaluator, NativeMemory, Trapped
from figwasp.ir.func import Func
from figwasp.ir.layouts import layout_of
from figwasp.ir.verify import BrokenFunc, verify
from figwasp.wasm.valid.module import validate
from tests.ir.compiling import module_of

BODIES = {
    "straight": "(i32.add (local.get 0) (i32.const 1))",
    "decided": "(if (result i32) (i32.const 1) (then (local.get 0)) (else (i32.mul (local.get 0) (i32.const 3))))",
    "diamond": "(if (result i32) (local.get 0) (then (i32.const 7)) (else (i32.mul (local.get 0) (i32.const 3))))",
    "once": "(loop (result i32) (nop) (local.get 0))",
    "loop": """(local i32) (loop $l (local.set 1 (i32.add (local.get 1) (local.get 0)))
      (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))) (local.get 1)""",
    "nested": """(local i32 i32) (loop $a (local.set 2 (i32.const 3))
      (loop $b (local.set 1 (i32.add (local.get 1) (i32.const 1))) (br_if $b (local.tee 2 (i32.sub (local.get 2) (i32.const 1)))))
      (br_if $a (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))) (local.get 1)""",
    "switch": """(block $c (block $b (block $a (br_table $a $b $c (i32.and (local.get 0) (i32.const 3))))
      (return (i32.const 1))) (return (i32.const 2))) (i32.const 3)""",
    "dead": "(block $b (br $b) (drop (i32.const 1)) (drop (i32.const 2))) (local.get 0)",
    "early": "(block $b (br_if $b (local.get 0)) (return (i32.const 5))) (if (local.get 0) (then (nop)) (else)) (local.get 0)",
}


def metered(body: str) -> Func:
    """Build a function i32 -> i32 that counts fuel."""
    module = module_of(f"(module (func (param i32) (result i32) {body}))")
    return build(module, 0, validate(module)[0], layout_of(module), 0, True)


def outcome(func: Func, arg: int) -> tuple[list[int] | int, int]:
    """Evaluate a function; return its results, or the code of its trap, and what it has spent."""
    environment = Environment(NativeMemory())
    try:
        results: list[int] | int = Evaluator(environment).run(func, [0, arg])
    except Trapped as trap:
        results = trap.code
    return results, environment.spent


@pytest.mark.parametrize("name", BODIES)
def test_passes_do_not_change_it(name: str) -> None:
    """Before and after every pass the same is paid."""
    for arg in (1, 2, 5, 100):
        func = metered(BODIES[name])
        expected = outcome(func, arg)
        assert expected[1] > 0

        def check(stage: str, after: Func, arg: int = arg, expected: object = expected) -> None:
            assert outcome(after, arg) == expected, stage

        pipeline.run(func, check)


@pytest.mark.parametrize(
    ("name", "arg", "spent"),
    [("straight", 1, 3), ("decided", 1, 3), ("diamond", 1, 3), ("diamond", 0, 5), ("once", 1, 1), ("loop", 10, 91), ("dead", 1, 2),
     ("switch", 0, 6), ("switch", 9, 6), ("switch", 3, 5)],
)  # fmt: skip
def test_cost(name: str, arg: int, spent: int) -> None:
    """Every instruction executed costs 1, but structure costs nothing."""
    assert outcome(metered(BODIES[name]), arg)[1] == spent


def test_a_run_pays_once() -> None:
    """There is one operation for a run, at its start, and none where nothing is to be paid."""
    func = metered(BODIES["loop"])
    spent = [[value.aux for value in block.code if value.op == ops.FUEL] for block in func.blocks]
    assert sorted(str(amount) for amounts in spent for amount in amounts) == ["1", "9"] and max(map(len, spent)) == 1
    header = next(block for block in func.blocks if block.loop)
    assert [value.op for value in header.code[:2]] == [ops.POLL, ops.FUEL]


def test_unmetered_forms_have_none() -> None:
    """Without being asked the builder emits none."""
    module = module_of(f"(module (func (param i32) (result i32) {BODIES['nested']}))")
    func = build(module, 0, validate(module)[0], layout_of(module), 0)
    assert not any(value.op == ops.FUEL for block in func.blocks for value in block.code)


def test_as_text() -> None:
    """The form with fuel can be shown and read."""
    func = metered(BODIES["nested"])
    shown = text.show(func)
    assert "fuel 2\n" in shown and text.show(text.parse(shown)) == shown


def test_verify_wants_an_amount() -> None:
    """An operation that takes nothing is an error."""
    func = metered(BODIES["straight"])
    verify(func)
    next(value for value in func.blocks[0].code if value.op == ops.FUEL).aux = 0
    with pytest.raises(BrokenFunc, match="must be positive"):
        verify(func)
