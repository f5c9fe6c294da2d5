"""Floor 7: `figwasp validate`.

In: the words after `validate`. Out: the exit status, 1 when one of the modules is not valid; nothing is printed for those that
are, and one line on the standard error stream for each that is not.
"""

from __future__ import annotations

from typing import Final

from figwasp import errors
from figwasp.cli.features import chosen, switches
from figwasp.cli.main import complain
from figwasp.cli.options import Argument, Command
from figwasp.cli.streams import STREAM, binary_of, read, shown
from figwasp.errors import prefix_errors
from figwasp.features import DEFAULT, Features
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.valid.module import validate

__all__ = ["COMMAND", "main"]

COMMAND: Final = Command(
    "validate",
    "Say whether modules, binary or text, are valid. Nothing is printed for those that are.",
    [Argument("FILE", "a module; - or none for standard input", least=0, many=True)],
    {"options": switches(DEFAULT)},
    "The exit status is 1 when one is not.",
)


def main(words: list[str]) -> int:
    """Check the modules that the words name and return the exit status."""
    given, names = COMMAND.read(words)
    features = chosen(given, DEFAULT)
    status = 0
    for name in names or [STREAM]:
        try:
            _check(name, features)
        except errors.Error as error:
            complain(f"figwasp: error: {error}\n")
            status = 1
    return status


def _check(name: str, features: Features) -> None:
    data = read(name)
    with prefix_errors(shown(name)):
        validate(decode(binary_of(data), features))
