"""Random modules answer the same compiled in both memory modes, under the evaluator, and on wasmtime where it is installed.

The run with bounds checks allocates registers under difficulties: few of them, or block by block, by turns. `bench/fuzz.py modules`,
`bench/fuzz.py vectors` and its other kinds do many more. Modules with objects run once more with a collection at every allocation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from figwasp.features import ALL
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.syntax.module import Module
from figwasp.wasm.syntax.opcodes import BY_NAME
from figwasp.wasm.syntax.types import I64
from figwasp.wasm.valid.module import validate
from tests.hostile.mutations import instructions
from tests.hostile.workers import Watch
from tests.property import differential, engines, outcomes
from tests.property.differential import compare
from tests.property.expressions import EXECUTED, LATER, TYPED
from tests.property.latest_modules import generate_latest, latest_style_of
from tests.property.modules import Call, calls, generate, generate_vectors, style_of, vector_style_of
from tests.property.objects.control_modules import CONTROL_STYLES, control_style_of, generate_control
from tests.property.objects.modules import OBJECT_STYLES, generate_objects, object_style_of
from tests.property.world import LATEST_STYLES, STYLES, VECTOR_STYLES

FIRST = 100_000
COUNT = 100
LATEST = 40
OBJECTS = 40
CONTROL = 93
CONTROL_ONLY = {"call_ref", "return_call", "return_call_indirect", "return_call_ref", "throw", "throw_ref", "try_table"}
"""Instructions that modules with exceptions have, and no others."""


def test_random_modules_answer_the_same_everywhere() -> None:
    watch = Watch("modules", verify=True)
    watch.run(FIRST, COUNT)
    assert not watch.bad, "\n".join(f"seed {number}: {what}" for number, what in watch.bad)
    assert watch.counts["same"] >= COUNT - 3, watch.counts


@pytest.mark.parametrize(("processor", "first"), [("", FIRST), ("baseline", FIRST + COUNT)])
def test_random_modules_with_vectors_answer_the_same_everywhere(monkeypatch: pytest.MonkeyPatch, processor: str, first: int) -> None:
    monkeypatch.setenv("FIGWASP_CPU", processor)
    watch = Watch("vectors", verify=True)
    watch.run(first, COUNT // 2)
    assert not watch.bad, "\n".join(f"seed {number}: {what}" for number, what in watch.bad)
    assert watch.counts["same"] >= COUNT // 2 - 3, watch.counts


@pytest.mark.parametrize(("processor", "first"), [("", FIRST), ("baseline", FIRST + COUNT)])
def test_random_modules_of_the_latest_kind_answer_the_same_everywhere(monkeypatch: pytest.MonkeyPatch, processor: str, first: int) -> None:
    monkeypatch.setenv("FIGWASP_CPU", processor)
    watch = Watch("latest", verify=True)
    watch.run(first, LATEST)
    assert not watch.bad, "\n".join(f"seed {number}: {what}" for number, what in watch.bad)
    assert watch.counts["same"] >= LATEST - 3, watch.counts


def test_random_modules_with_objects_answer_the_same_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIGWASP_FUZZ", "guard checked stress wasmtime")
    watch = Watch("objects", verify=True)
    watch.run(FIRST, OBJECTS)
    assert not watch.bad, "\n".join(f"seed {number}: {what}" for number, what in watch.bad)
    assert watch.counts["same"] >= OBJECTS - 3, watch.counts


def test_random_modules_with_exceptions_and_tail_calls_answer_the_same_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIGWASP_FUZZ", "guard checked stress wasmtime")
    watch = Watch("control", verify=True)
    watch.run(FIRST, CONTROL)
    assert not watch.bad, "\n".join(f"seed {number}: {what}" for number, what in watch.bad)
    assert watch.counts["same"] >= CONTROL - 3, watch.counts


def _used(make: Callable[[int], bytes]) -> set[str]:
    """Return the instructions in the valid modules of a generator."""
    used: set[str] = set()
    for seed in range(160):
        module = decode(make(seed), ALL)
        validate(module)
        for body in module.bodies:
            used.update(row.name for _, _, row in instructions(module.data, body))
    return used


def _proposals(names: set[str]) -> set[str]:
    return {BY_NAME[name].proposal for name in names}


def test_the_generators_use_every_instruction() -> None:
    numbers, vectors = _used(generate), _used(generate_vectors)
    assert not {"simd", "relaxed-simd"} & _proposals(numbers)
    executed = {row.name for row in EXECUTED}
    assert {name for name in executed if BY_NAME[name].proposal not in ("simd", "relaxed-simd")} - numbers == set()
    assert executed - vectors == set()
    later = {row.name for row in LATER}
    assert not later & (numbers | vectors)
    assert later - _used(generate_latest) == set()
    typed = {row.name for row in TYPED}
    assert typed - _used(generate_objects) == CONTROL_ONLY
    assert CONTROL_ONLY - _used(generate_control) == set()


def test_the_latest_kind_has_memories_and_tables_of_all_types() -> None:
    modules = [decode(generate_latest(seed), ALL) for seed in range(160)]
    memories = [type_ for module in modules for type_ in module.memories]
    assert len({(type_.address, type_.shared, type_.page) for type_ in memories}) == 8
    assert {type_.address == I64 for module in modules for type_ in module.tables} == {False, True}
    pairs = [{type_.address for type_ in module.memories} for module in modules]
    assert sum(len(types) == 2 for types in pairs) > 20


def test_the_generators_use_every_style() -> None:
    assert {style_of(seed) for seed in range(160)} == STYLES.keys()
    assert {vector_style_of(seed) for seed in range(160)} == VECTOR_STYLES.keys()
    assert {latest_style_of(seed) for seed in range(160)} == LATEST_STYLES.keys()
    assert {object_style_of(seed) for seed in range(160)} == OBJECT_STYLES.keys()
    assert {control_style_of(seed) for seed in range(160)} == CONTROL_STYLES.keys()


def _result_of_min(monkeypatch: pytest.MonkeyPatch, operands: tuple[int, int], result: int) -> list[str]:
    """Return the differences when one engine has this for the result of a relaxed minimum, and the others the operand that is less."""
    found = outcomes.Outcome()
    found.results = [("f32x4.relaxed_min", "ok", (*operands, min(operands)))]
    other = outcomes.Outcome()
    other.results = [("f32x4.relaxed_min", "ok", (*operands, result))]
    monkeypatch.setattr(engines, "evaluator", lambda module, calls: found)
    monkeypatch.setattr(engines, "evaluator_optimised", lambda module, calls: other)
    monkeypatch.setattr(differential, "ENGINES", [])
    return compare(generate(1), 1)


def test_what_is_permitted_of_a_relaxed_instruction_is_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    zeros = (0, 0x8000_0000)
    assert not _result_of_min(monkeypatch, zeros, 0x8000_0000)
    assert not _result_of_min(monkeypatch, zeros, 0)
    assert _result_of_min(monkeypatch, zeros, 1)
    assert _result_of_min(monkeypatch, (0x3F80_0000, 0x4000_0000), 0x4000_0000)


def test_calls_come_to_all_kinds_of_ends() -> None:
    ends: Counter[str] = Counter()
    for seed in range(60):
        module = decode(generate(seed))
        try:
            outcome = engines.evaluator(module, [call for call in calls(module, seed) if call[0] != engines.REFUEL])
        except outcomes.OutOfTime:
            continue
        ends.update(how for _, how, _ in outcome.results)
    assert ends["ok"] > 0.6 * ends.total()
    assert len(ends) >= 6, ends


@pytest.mark.parametrize("part", ["results", "memories", "globals", "tables"])
def test_a_difference_is_found(monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    run = engines.checked
    changed: dict[str, Any] = {"results": [("f", "ok", (1,))], "memories": [b"?"], "globals": [-1] * 20, "tables": [[True]] * 9}

    def wrong(module: Module, calls: list[Call]) -> outcomes.Outcome:
        outcome = run(module, calls)
        setattr(outcome, part, changed[part])
        return outcome

    monkeypatch.setattr(engines, "checked", wrong)
    assert [line for line in compare(generate(1), 1) if line.startswith("checked")]
