"""Random modules answer the same compiled in both memory modes, under the evaluator, and on wasmtime where it is installed.

The run with bounds checks allocates registers under difficulties: few of them, or block by block, by turns. `bench/fuzz.py modules` does
many more.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from figwasp.wasm.binary.decode import decode
from figwasp.wasm.syntax.module import Module
from figwasp.wasm.syntax.opcodes import ROWS, UNIMPLEMENTED
from figwasp.wasm.valid.module import validate
from tests.hostile.mutations import instructions
from tests.hostile.workers import Watch
from tests.property import engines, outcomes
from tests.property.differential import compare
from tests.property.modules import Call, calls, generate, style_of
from tests.property.world import STYLES

FIRST = 100_000
COUNT = 100


def test_random_modules_answer_the_same_everywhere() -> None:
    watch = Watch("modules", verify=True)
    watch.run(FIRST, COUNT)
    assert not watch.bad, "\n".join(f"seed {number}: {what}" for number, what in watch.bad)
    assert watch.counts["same"] >= COUNT - 3, watch.counts


def test_the_generator_uses_every_instruction() -> None:
    used: Counter[int] = Counter()
    styles: set[str] = set()
    for seed in range(160):
        module = decode(generate(seed))
        validate(module)
        styles.add(style_of(seed))
        for body in module.bodies:
            used.update(row.code for _, _, row in instructions(module.data, body))
    assert styles == STYLES.keys()
    assert {row.name for row in ROWS if row.ir != UNIMPLEMENTED and not used[row.code]} == set()


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


@pytest.mark.parametrize("part", ["results", "memory", "globals", "tables"])
def test_a_difference_is_found(monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    run = engines.checked
    changed: dict[str, Any] = {"results": [("f", "ok", (1,))], "memory": b"?", "globals": [-1] * 20, "tables": [[True]] * 9}

    def wrong(module: Module, calls: list[Call]) -> outcomes.Outcome:
        outcome = run(module, calls)
        setattr(outcome, part, changed[part])
        return outcome

    monkeypatch.setattr(engines, "checked", wrong)
    assert [line for line in compare(generate(1), 1) if line.startswith("checked")]
