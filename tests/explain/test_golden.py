"""The whole line as goldens: `tests/golden/line.test`, function 0 of each module, in guard mode."""

from __future__ import annotations

from functools import partial

import pytest

from figwasp.explain import STAGES, explain
from figwasp.layout import GUARD
from tests.explain.programs import module_of
from tests.golden import runner


def _stage(name: str, source: str) -> str:
    module = module_of(source)
    return explain(module, module.num_imported_funcs, GUARD).stage(name)


@pytest.mark.parametrize("case", runner.read("line*.test"), ids=repr)
def test_golden(case: runner.Case) -> None:
    runner.check(case, {name: partial(_stage, name) for name in STAGES})
