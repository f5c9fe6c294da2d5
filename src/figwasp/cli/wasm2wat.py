"""Floor 7: `figwasp wasm2wat`.

In: the words after `wasm2wat`. Out: the exit status; a module has been written in the text format. It need not be valid, but
its instructions must be known.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from figwasp.cli.features import chosen, switches
from figwasp.cli.options import Argument, Command, Option
from figwasp.cli.streams import STREAM, binary_of, read, shown, write
from figwasp.errors import prefix_errors
from figwasp.features import ALL
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.syntax.module import Module
from figwasp.wasm.text.print.module import module_lines

__all__ = ["COMMAND", "main"]

COMMAND: Final = Command(
    "wasm2wat",
    "Print a module, binary or text, in the text format. What is printed parses back to the same module.",
    [Argument("FILE", "the module; - or none for standard input", least=0)],
    {
        "options": [
            Option(("-o", "--output"), "FILE", "where to write it (default: standard output)"),
            Option(("-f", "--fold"), "", "put operands within the instruction that takes them"),
            *switches(ALL),
        ]
    },
    "The exit status is 1, and no file is written, when the module is malformed. All proposals are on.",
)


def main(words: list[str]) -> int:
    """Print the module that the words name and return the exit status.

    Raises:
        Error: the module is malformed, or a file cannot be read or written.
    """
    given, rest = COMMAND.read(words)
    name = rest[0] if rest else STREAM
    data = read(name)
    with prefix_errors(shown(name)):
        module = decode(binary_of(data), chosen(given, ALL))
    return write(given.get("--output", STREAM), _text(name, module, "--fold" in given))


def _text(name: str, module: Module, fold: bool) -> Iterator[bytes]:
    """Yield the lines of a module in UTF-8, the encoding of the text format on every system."""
    with prefix_errors(shown(name)):
        for _, line in module_lines(module, fold=fold):
            yield f"{line}\n".encode()
