"""Floor 7: `figwasp wast`.

In: the words after `wast`. Out: the exit status, 1 when a command of a script failed; a table has been printed. What needs a
proposal that has no support yet is counted on its own, under the name of the proposal, and does not change the status.
"""

from __future__ import annotations

import argparse
import os
import time
from typing import Final

from figwasp import errors
from figwasp.cli.features import add_switches, chosen
from figwasp.features import DEFAULT
from figwasp.wast.modes import MODES, default_mode, new_engine
from figwasp.wast.runner import run_script
from figwasp.wast.table import Table

__all__ = ["PARSER", "main"]

PARSER: Final = argparse.ArgumentParser(
    prog="figwasp wast",
    usage="figwasp wast [options] FILE ...",
    description="Run scripts of the WebAssembly test suite and count which of their commands passed.",
    epilog="The exit status is 1 when one failed. A folder stands for the scripts in it.",
    allow_abbrev=False,
)
PARSER.add_argument(
    "--mode",
    choices=MODES,
    help="machine code with guard pages or with checks, or the evaluator of the IR (default: as the process runs)",
)
PARSER.add_argument(
    "-v", "--verbose", action="store_true", help="print each failure: what was expected, what was found"
)
add_switches(PARSER, DEFAULT)
PARSER.add_argument("files", metavar="FILE", nargs="+")


def main(words: list[str]) -> int:
    """Run the scripts that the words name and return the exit status.

    Raises:
        Error: a file cannot be read.
    """
    options = PARSER.parse_args(words)
    features = chosen(options)
    names = [name for given in options.files for name in _scripts(given)]
    table = Table(names)
    started = time.monotonic()
    print(table.head())
    for name in names:
        report = run_script(_read(name), new_engine(options.mode or default_mode(), features))
        print(table.row(name, report), flush=True)
        if options.verbose:
            print("".join(f"{line}\n" for line in table.failures(name, report)), end="")
    print("\n" + "\n".join(table.totals()))
    print(f"\n{time.monotonic() - started:.1f} seconds")
    return 1 if table.failed else 0


def _scripts(name: str) -> list[str]:
    """Return a file, or the scripts of a folder in the order of their names."""
    if not os.path.isdir(name):
        return [name]
    found = sorted(entry for entry in os.listdir(name) if entry.endswith(".wast"))
    if not found:
        raise errors.Error(f"{name}: no .wast files")
    return [os.path.join(name, entry) for entry in found]


def _read(name: str) -> bytes:
    try:
        with open(name, "rb") as file:
            return file.read()
    except OSError as error:
        raise errors.Error(f"{name}: {error.strerror}") from error
