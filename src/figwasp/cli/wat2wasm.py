"""Floor 7: `figwasp wat2wasm`.

In: the words after `wat2wasm`. Out: the exit status; the binary of a module in the text format has been written.
"""

from __future__ import annotations

import sys
from typing import Final

from figwasp import errors
from figwasp.cli.features import chosen, switches
from figwasp.cli.options import Argument, Command, Option
from figwasp.cli.streams import STREAM, binary_of, read, shown, write
from figwasp.errors import prefix_errors
from figwasp.features import DEFAULT
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.valid.module import validate

__all__ = ["COMMAND", "main"]

COMMAND: Final = Command(
    "wat2wasm",
    "Translate a module from the text format to the binary format. A binary is passed on as it is.",
    [Argument("FILE", "the text; - or none for standard input", least=0)],
    {
        "options": [
            Option(("-o", "--output"), "FILE", "where to write it (default: standard output)"),
            Option(("--no-check",), "", "translate modules that are not valid as well"),
            *switches(DEFAULT),
        ]
    },
    "The exit status is 1, and nothing is written, when the text is malformed or the module invalid.",
)


def main(words: list[str]) -> int:
    """Translate the module that the words name and return the exit status.

    Raises:
        Error: the text is malformed, the module invalid, or a file cannot be read or written.
    """
    given, rest = COMMAND.read(words)
    name = rest[0] if rest else STREAM
    output = given.get("--output", STREAM)
    features = chosen(given, DEFAULT)
    data = read(name)
    with prefix_errors(shown(name)):
        binary = binary_of(data)
        if "--no-check" not in given:
            validate(decode(binary, features))
    if output == STREAM and sys.stdout is not None and sys.stdout.isatty():
        raise errors.Error("the standard output is a terminal, which no binary should go to; name a file with -o")
    return write(output, [binary])
