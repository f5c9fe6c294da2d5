"""Floor 7: `figwasp validate`.

In: the words after `validate`. Out: the exit status, 1 when one of the modules is not valid; nothing is printed for those that
are, and one line on the standard error stream for each that is not.
"""

from __future__ import annotations

import argparse
from typing import Final

from figwasp import errors
from figwasp.cli.features import add_switches, chosen
from figwasp.cli.main import complain
from figwasp.cli.streams import STREAM, binary_of, naming, read
from figwasp.features import DEFAULT, Features
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.valid.module import validate

__all__ = ["PARSER", "main"]

PARSER: Final = argparse.ArgumentParser(
    prog="figwasp validate",
    usage="figwasp validate [options] [FILE ...]",
    description="Say whether modules, binary or text, are valid. Nothing is printed for those that are.",
    epilog="The exit status is 1 when one is not.",
    allow_abbrev=False,
)
add_switches(PARSER, DEFAULT)
PARSER.add_argument("files", metavar="FILE", nargs="*", help="a module; - or none for standard input")


def main(words: list[str]) -> int:
    """Check the modules that the words name and return the exit status."""
    options = PARSER.parse_args(words)
    features = chosen(options)
    status = 0
    for name in options.files or [STREAM]:
        try:
            _check(name, features)
        except errors.Error as error:
            complain(f"figwasp: error: {error}\n")
            status = 1
    return status


def _check(name: str, features: Features) -> None:
    data = read(name)
    with naming(name):
        validate(decode(binary_of(data), features))
