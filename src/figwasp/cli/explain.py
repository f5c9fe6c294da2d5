"""Floor 7: `figwasp explain`.

In: the words after `explain`. Out: the exit status; what is asked for has gone to the process's own output: a list of the
functions of a program, or what becomes of one of them, stage by stage. The program is read and compiled, never run.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Iterator
from typing import Final

from figwasp import errors
from figwasp.cli.streams import binary_of, read
from figwasp.explain import STAGES, explain, find, functions
from figwasp.explain.functions import HEADING
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.syntax.module import Module
from figwasp.wasm.valid.context import Context
from figwasp.wasm.valid.module import validate_module

__all__ = ["PARSER", "main"]

ALL: Final = "all"
JOINED: Final = "joined"

PARSER: Final = argparse.ArgumentParser(
    prog="figwasp explain",
    description="Show what becomes of one function: wasm text, SSA form after every pass, machine instructions before and "
    "after register allocation, bytes, the code that enters it from Python, times and sizes. Without FUNCTION, list the "
    "functions. The program is not run.",
    epilog=f"stages: {', '.join(STAGES)}",
    allow_abbrev=False,
)
PARSER.add_argument("program", metavar="PROGRAM", help="a module, binary or text")
PARSER.add_argument(
    "function", metavar="FUNCTION", nargs="?", help="index, name of an export, or name of the name section"
)
PARSER.add_argument(
    "--stage",
    action="append",
    default=[],
    choices=[*STAGES, ALL],
    metavar="NAME",
    help="show this stage only; may be repeated",
)
PARSER.add_argument(
    "--side-by-side",
    action="store_const",
    const=JOINED,
    dest="side",
    help="wasm, SSA form and code in one table: --stage joined",
)


def main(words: list[str]) -> int:
    """Print what the words ask for and return the exit status.

    Raises:
        Error: the program cannot be read or is no module, or has no such function, or the function is invalid.
    """
    read = PARSER.parse_args(words)
    stages = read.stage + ([read.side] if read.side else [])
    if stages and read.function is None:
        PARSER.error("a stage is shown of one FUNCTION")
    context = _load(read.program)
    lines = _listing(context.module) if read.function is None else _explanation(context, read.function, stages)
    return _write(lines)


def _load(path: str) -> Context:
    """Read a module; its functions are validated when they are asked for."""
    try:
        return validate_module(decode(binary_of(read(path))))
    except (errors.Malformed, errors.Invalid) as error:
        raise errors.Error(f"{path}: {error}") from error


def _listing(module: Module) -> Iterator[str]:
    yield HEADING + "\n"
    for row in functions(module):
        yield f"{row}\n"


def _explanation(context: Context, word: str, stages: list[str]) -> Iterator[str]:
    explanation = explain(context.module, find(context.module, word), context=context)
    yield explanation.show(STAGES if not stages or ALL in stages else stages)


def _write(texts: Iterator[str]) -> int:
    """Write to the output; whoever reads it may stop early."""
    out = sys.stdout
    if isinstance(out, io.TextIOWrapper):
        out.reconfigure(errors="backslashreplace")  # names may hold what the terminal cannot show
    try:
        for text in texts:
            out.write(text)
        out.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())  # nor may the flush at exit complain
        return 1
    return 0
