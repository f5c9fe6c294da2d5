"""Floor 7: `figwasp explain`.

In: the words after `explain`. Out: the exit status; to the process's own output, a list of the functions of a program, or the
products of one of them, stage by stage. The program is read and compiled, never run.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from figwasp.cli.options import FUNCTION, Argument, Command, Option
from figwasp.cli.streams import binary_of, print_text, read, shown
from figwasp.errors import prefix_errors
from figwasp.explain import STAGES, explain, find, functions
from figwasp.explain.functions import HEADING, names
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.syntax.module import Module
from figwasp.wasm.valid.context import Context
from figwasp.wasm.valid.module import validate_module

__all__ = ["COMMAND", "main"]

ALL: Final = "all"
JOINED: Final = "joined"
NAMES: Final = "--names"

COMMAND: Final = Command(
    "explain",
    "Show what becomes of one function: wasm text, the code of the baseline compiler, SSA form after every pass, machine "
    "instructions before and after register allocation, bytes, the code that enters it from Python, times and sizes. Without "
    "FUNCTION, list the functions. The program is not run.",
    [
        Argument("PROGRAM", "a module, binary or text"),
        Argument(FUNCTION, "index, name of an export, or name of the name section", least=0),
    ],
    {
        "options": [
            Option(("--stage",), "NAME", "show this stage only; may be repeated", many=True, choices=(*STAGES, ALL)),
            Option((NAMES,), "", "list names of functions only, a line each"),
            Option(("--side-by-side",), "", "wasm, SSA form and code in one table: --stage joined"),
        ]
    },
    f"stages: {', '.join(STAGES)}",
)


def main(words: list[str]) -> int:
    """Print the list or the function that the words ask for and return the exit status.

    Raises:
        Error: the program cannot be read or is no module, or has no such function, or the function is invalid.
    """
    given, (program, *function) = COMMAND.read(words)
    stages = given["--stage"] + [JOINED] * ("--side-by-side" in given)
    if stages and not function:
        COMMAND.error("a stage is shown of one FUNCTION")
    if function and NAMES in given:
        COMMAND.error(f"{NAMES} is about all functions")
    context = _load(program)
    if NAMES in given:
        return print_text(f"{name}\n" for name in names(context.module) if name.isprintable())
    if not function:
        return print_text(_listing(context.module))
    return print_text(_explanation(program, context, function[0], stages))


def _load(path: str) -> Context:
    """Read a module; its functions are validated when they are asked for."""
    data = read(path)
    with prefix_errors(shown(path)):
        return validate_module(decode(binary_of(data)))


def _listing(module: Module) -> Iterator[str]:
    yield HEADING + "\n"
    for row in functions(module):
        yield f"{row}\n"


def _explanation(path: str, context: Context, word: str, stages: list[str]) -> Iterator[str]:
    with prefix_errors(shown(path)):
        explanation = explain(context.module, find(context.module, word), context=context)
    yield explanation.show(STAGES if not stages or ALL in stages else stages)
