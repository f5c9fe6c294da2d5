"""Damaged modules: every one ends in a figwasp error or runs. `bench/fuzz.py mutations` does many more."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.mutations import mutant
from tests.hostile.workers import Watch

FIRST = 1_000_000
PARTS = 5
COUNT = 100
"""Cases of a part."""


@pytest.mark.parametrize("part", range(PARTS))
def test_damaged_modules_do_no_damage(whole: Path, part: int) -> None:
    watch = Watch("mutations", verify=False)
    watch.run(FIRST + part * COUNT, COUNT)
    assert not watch.bad, "\n".join(f"case {number}: {what}" for number, what in watch.bad)
    assert sum(watch.counts.values()) == COUNT
    # The damage is of all degrees: not a module, no valid one, one that runs.
    runs = watch.counts["ran"] + watch.counts["interrupted"]  # on a busy machine more are interrupted
    assert min(watch.counts["Malformed"], watch.counts["Invalid"], runs) > COUNT // 20, watch.counts


def test_a_number_gives_the_same_damage_every_time(whole: Path) -> None:
    assert [mutant(number) for number in range(20)] == [mutant(number) for number in range(20)]
