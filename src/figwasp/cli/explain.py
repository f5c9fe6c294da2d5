"""Floor 7: `figwasp explain`.

In: the words after `explain`. Out: the exit status; what is asked for has gone to the process's own output: a list of the
functions of a program, or what becomes of one of them, stage by stage. The program is read and compiled, never run.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Final

from figwasp.cli.streams import binary_of, naming, print_text, read
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
    options = PARSER.parse_args(words)
    stages = options.stage + ([options.side] if options.side else [])
    if stages and options.function is None:
        PARSER.error("a stage is shown of one FUNCTION")
    context = _load(options.program)
    if options.function is None:
        return print_text(_listing(context.module))
    return print_text(_explanation(options.program, context, options.function, stages))


def _load(path: str) -> Context:
    """Read a module; its functions are validated when they are asked for."""
    data = read(path)
    with naming(path):
        return validate_module(decode(binary_of(data)))


def _listing(module: Module) -> Iterator[str]:
    yield HEADING + "\n"
    for row in functions(module):
        yield f"{row}\n"


def _explanation(path: str, context: Context, word: str, stages: list[str]) -> Iterator[str]:
    with naming(path):
        explanation = explain(context.module, find(context.module, word), context=context)
    yield explanation.show(STAGES if not stages or ALL in stages else stages)
