"""Floor 6: the outcome of scripts, as a table.

In: `Report`s. Out: lines of text: a row for each file, its failures below it if they are asked for, and the totals by command.
"""

from __future__ import annotations

from typing import Final

from figwasp.wast.report import Report, Tally

__all__ = ["Table"]

_COUNT: Final = 9
_NARROWEST: Final = 20
_HEAD: Final = ("passed", "failed")


class Table:
    """Collects reports and writes lines.

    Args:
        names: names of the files, for the width of the first column.

    Attributes:
        failed: number of commands that have failed so far.
    """

    def __init__(self, names: list[str]) -> None:
        self._width = max([len(name) for name in names] + [_NARROWEST])
        self._kinds: dict[str, Tally] = {}
        self._sum = Tally()
        self._files = 0
        self.failed = 0

    def head(self) -> str:
        """Return the line above all others."""
        return f"{'file':{self._width}}" + "".join(f"{word:>{_COUNT}}" for word in _HEAD)

    def row(self, name: str, report: Report) -> str:
        """Add a file and return its line."""
        total = Tally()
        for kind, tally in report.kinds.items():
            total.add(tally)
            self._kinds.setdefault(kind, Tally()).add(tally)
        self._sum.add(total)
        self._files += 1
        self.failed += total.failed
        return self._counts(name, total)

    @staticmethod
    def failures(name: str, report: Report) -> list[str]:
        """Return the lines of a verbose table about the commands that failed."""
        lines: list[str] = []
        for failure in report.failures:
            lines.append(f"  {name}:{failure.line}: {failure.command}")
            lines.append(f"      expected {failure.expected}")
            lines.append(f"      found    {failure.found}")
        return lines

    def totals(self) -> list[str]:
        """Return the lines below all others."""
        lines = [self._counts(f"{self._files} {'file' if self._files == 1 else 'files'}", self._sum), ""]
        lines += [self._counts(kind, self._kinds[kind]) for kind in sorted(self._kinds)]
        return lines

    def _counts(self, name: str, tally: Tally) -> str:
        counts = (tally.passed, tally.failed)
        return f"{name:{self._width}}" + "".join(f"{count:>{_COUNT}}" for count in counts)
