"""Floor 6: the outcomes of a script's commands: how many of each kind passed and failed; and the failures.

In: the outcomes, one by one. Out: their sums.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Failure", "Report", "Tally"]


class Failure(NamedTuple):
    """A command that failed: its line, its text, what it expects and what was found."""

    line: int
    command: str
    expected: str
    found: str


class Tally:
    """The numbers of commands of one kind that passed and failed."""

    __slots__ = ("failed", "passed")

    def __init__(self) -> None:
        self.passed = 0
        self.failed = 0

    def add(self, other: Tally) -> None:
        """Add the counts of another."""
        self.passed += other.passed
        self.failed += other.failed


class Report:
    """The outcome of a script.

    Attributes:
        kinds: kind of command -> its numbers.
        failures: the commands that failed.
    """

    __slots__ = ("failures", "kinds")

    def __init__(self) -> None:
        self.kinds: dict[str, Tally] = {}
        self.failures: list[Failure] = []

    def add(self, other: Report) -> None:
        """Add the outcome of other commands."""
        for kind, tally in other.kinds.items():
            self.tally(kind).add(tally)
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
