"""Floor 7: `figwasp wat2wasm`.

In: the words after `wat2wasm`. Out: the exit status; the binary of a module in the text format has been written.
"""

from __future__ import annotations

import argparse
import sys
from typing import Final

from figwasp import errors
from figwasp.cli.features import add_switches, chosen
from figwasp.cli.streams import STREAM, binary_of, naming, read, write
from figwasp.features import DEFAULT
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.valid.module import validate

__all__ = ["PARSER", "main"]

PARSER: Final = argparse.ArgumentParser(
    prog="figwasp wat2wasm",
    usage="figwasp wat2wasm [options] [FILE]",
    description="Translate a module from the text format to the binary format. A binary is passed on as it is.",
    epilog="The exit status is 1, and nothing is written, when the text is malformed or the module invalid.",
    allow_abbrev=False,
)
PARSER.add_argument("-o", "--output", metavar="FILE", default=STREAM, help="where to write it (default: standard output)")
PARSER.add_argument("--no-check", action="store_true", help="translate modules that are not valid as well")
add_switches(PARSER, DEFAULT)
PARSER.add_argument("file", metavar="FILE", nargs="?", default=STREAM, help="the text; - or none for standard input")


def main(words: list[str]) -> int:
    """Translate the module that the words name and return the exit status.

    Raises:
        Error: the text is malformed, the module invalid, or a file cannot be read or written.
    """
    options = PARSER.parse_args(words)
    features = chosen(options)
    data = read(options.file)
    with naming(options.file):
        binary = binary_of(data)
        if not options.no_check:
            validate(decode(binary, features))
    if options.output == STREAM and sys.stdout is not None and sys.stdout.isatty():
        raise errors.Error("the standard output is a terminal, which no binary should go to; name a file with -o")
    return write(options.output, [binary])
