"""Floor 7: `figwasp wasm2wat`.

In: the words after `wasm2wat`. Out: the exit status; a module has been written in the text format. It need not be valid: all that
its instructions must be is known.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Final

from figwasp.cli.features import add_switches, chosen
from figwasp.cli.streams import STREAM, binary_of, naming, read, write
from figwasp.features import ALL
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.syntax.module import Module
from figwasp.wasm.text.print.module import module_lines

__all__ = ["PARSER", "main"]

PARSER: Final = argparse.ArgumentParser(
    prog="figwasp wasm2wat",
    usage="figwasp wasm2wat [options] [FILE]",
    description="Print a module, binary or text, in the text format. What is printed parses back to the same module.",
    epilog="The exit status is 1, and no file is written, when the module is malformed. All proposals are on.",
    allow_abbrev=False,
)
PARSER.add_argument("-o", "--output", metavar="FILE", default=STREAM, help="where to write it (default: standard output)")
PARSER.add_argument(
    "-f", "--fold", action="store_true", help="put operands within the instruction that takes them"
)
add_switches(PARSER, ALL)
PARSER.add_argument("file", metavar="FILE", nargs="?", default=STREAM, help="the module; - or none for standard input")


def main(words: list[str]) -> int:
    """Print the module that the words name and return the exit status.

    Raises:
        Error: the module is malformed, or a file cannot be read or written.
    """
    options = PARSER.parse_args(words)
    data = read(options.file)
    with naming(options.file):
        module = decode(binary_of(data), chosen(options))
    return write(options.output, _text(options.file, module, options.fold))


def _text(name: str, module: Module, fold: bool) -> Iterator[bytes]:
    """Give the lines of a module in UTF-8, which the text format is written in wherever it goes."""
    with naming(name):
        for _, line in module_lines(module, fold=fold):
            yield f"{line}\n".encode()
