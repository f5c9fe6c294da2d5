"""Modules that ask for much end quickly and in bounds, as `greedy.TABLE` says."""

from __future__ import annotations

import pytest

from tests.hostile.greedy import TABLE
from tests.hostile.workers import Watch


@pytest.mark.parametrize("number", range(len(TABLE)), ids=lambda number: TABLE[number][0])
def test_outcomes(number: int) -> None:
    watch = Watch("greedy", verify=False)
    watch.run(number, 1)
    assert not watch.bad, watch.bad[0][1]
    assert watch.counts == {TABLE[number][2]: 1}


def test_both_outcomes_occur() -> None:
    assert {row[2] for row in TABLE} == {"ran", "LimitExceeded"}
