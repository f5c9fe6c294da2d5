"""Floor 6: the outcomes of a script's commands: how many of each kind passed, failed, or wait for a feature; and the failures.

In: the outcomes, one by one. Out: their sums.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

__all__ = ["Failure", "Report", "Tally"]


class Failure(NamedTuple):
    """A command that failed: its line, its text, what it expects and what was found."""

    line: int
    command: str
    expected: str
    found: str


class Tally:
    """The numbers of commands of one kind that passed, failed, and must wait."""

    __slots__ = ("failed", "not_yet", "passed")

    def __init__(self) -> None:
        self.passed = 0
        self.failed = 0
        self.not_yet = 0

    def add(self, other: Tally) -> None:
        """Add the counts of another."""
        self.passed += other.passed
        self.failed += other.failed
        self.not_yet += other.not_yet


class Report:
    """The outcome of a script.

    Attributes:
        kinds: kind of command -> its numbers.
        missing: feature -> number of commands that wait for it.
        failures: the commands that failed.
    """

    __slots__ = ("failures", "kinds", "missing")

    def __init__(self) -> None:
        self.kinds: dict[str, Tally] = {}
        self.missing: Counter[str] = Counter()
        self.failures: list[Failure] = []

    def add(self, other: Report) -> None:
        """Add the outcome of other commands."""
        for kind, tally in other.kinds.items():
            self.tally(kind).add(tally)
        self.missing += other.missing
        self.failures += other.failures

    def tally(self, kind: str) -> Tally:
        """Return the counts of a kind of command."""
        return self.kinds.setdefault(kind, Tally())

    @property
    def passed(self) -> int:
        """The number of commands that passed."""
        return sum(tally.passed for tally in self.kinds.values())

    @property
    def failed(self) -> int:
        """The number of commands that failed."""
        return sum(tally.failed for tally in self.kinds.values())

    @property
    def not_yet(self) -> int:
        """The number of commands that wait for a feature."""
        return sum(tally.not_yet for tally in self.kinds.values())
