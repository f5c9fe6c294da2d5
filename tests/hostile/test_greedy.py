"""Modules that ask for much end quickly and in bounds, as `greedy.TABLE` says."""

from __future__ import annotations

from tests.hostile.greedy import TABLE
from tests.hostile.workers import Watch


def test_outcomes() -> None:
    watch = Watch("greedy", verify=False)
    watch.run(0, len(TABLE))
    assert not watch.bad, "\n".join(f"row {number}: {what}" for number, what in watch.bad)
    assert watch.counts == {word: sum(row[2] == word for row in TABLE) for word in ("ran", "LimitExceeded")}
