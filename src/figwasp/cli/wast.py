"""Floor 7: `figwasp wast`.

In: the words after `wast`. Out: the exit status, 1 when a command of a script failed; a table has been printed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import Final

from figwasp import errors
from figwasp.cli.features import chosen, switches
from figwasp.cli.options import Argument, Command, Option
from figwasp.cli.streams import print_text
from figwasp.features import DEFAULT
from figwasp.wast.modes import MODES, default_mode, new_engine
from figwasp.wast.runner import run_script
from figwasp.wast.table import Table

__all__ = ["COMMAND", "main"]

COMMAND: Final = Command(
    "wast",
    "Run scripts of the WebAssembly test suite and count which of their commands passed.",
    [Argument("FILE", "a script, or a folder of them", many=True)],
    {
        "options": [
            Option(
                ("--mode",),
                "MODE",
                f"machine code with guard pages or with checks, or the evaluator of the IR: {', '.join(MODES)} "
                "(default: as the process runs)",
                choices=tuple(MODES),
            ),
            Option(("-v", "--verbose"), "", "print each failure: what was expected, what was found"),
            *switches(DEFAULT),
        ]
    },
    "The exit status is 1 when one failed.",
)


def main(words: list[str]) -> int:
    """Run the scripts that the words name and return the exit status.

    Raises:
        Error: a file cannot be read.
    """
    given, rest = COMMAND.read(words)
    features = chosen(given, DEFAULT)
    names = [name for word in rest for name in _scripts(word)]
    table = Table(names)
    started = time.monotonic()
    if _print([table.head()]):
        return 1
    for name in names:
        report = run_script(_read(name), new_engine(given.get("--mode") or default_mode(), features))
        if _print([table.row(name, report), *(table.failures(name, report) if "--verbose" in given else ())]):
            return 1  # nobody reads on
    ended = _print(["", *table.totals(), "", f"{time.monotonic() - started:.1f} seconds"])
    return 1 if table.failed else ended


def _print(lines: Iterable[str]) -> int:
    return print_text(f"{line}\n" for line in lines)


def _scripts(name: str) -> list[str]:
    """Return a file, or the scripts of a folder in the order of their names."""
    if not os.path.isdir(name):
        return [name]
    try:
        found = sorted(entry for entry in os.listdir(name) if entry.endswith(".wast"))
    except OSError as error:
        raise errors.Error(f"{name}: {error.strerror}") from error
    if not found:
        raise errors.Error(f"{name}: no .wast files")
    return [os.path.join(name, entry) for entry in found]


def _read(name: str) -> bytes:
    try:
        with open(name, "rb") as file:
            return file.read()
    except OSError as error:
        raise errors.Error(f"{name}: {error.strerror}") from error
