"""Floor 7: `figwasp compile`.

In: the words after `compile`. Out: the exit status, 1 when one of the programs could not be compiled or kept. What is compiled goes
into the cache, where `figwasp run` finds it, or into a file, which `figwasp run` takes instead of the program.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

from figwasp import errors
from figwasp.api.engine import Engine
from figwasp.api.module import Module
from figwasp.cache.folder import located, objection, prepared
from figwasp.cli.cache import size_text
from figwasp.cli.features import chosen, switches
from figwasp.cli.main import FAILED, complain
from figwasp.cli.options import Argument, Command, Option, WrongValue
from figwasp.cli.parts.bar import Bar
from figwasp.cli.streams import binary_of, read, shown, write
from figwasp.errors import prefix_errors, printable
from figwasp.features import DEFAULT

if TYPE_CHECKING:
    from figwasp.features import Features

__all__ = ["COMMAND", "main"]


def _jobs(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text[:9]) <= _MOST_JOBS):
        raise WrongValue(f"{text!r} is not a number from 1 to {_MOST_JOBS}")
    return int(text)


_MOST_JOBS: Final = 1024

COMMAND: Final = Command(
    "compile",
    "Compile all functions of programs, binary or text, before they are run: into the cache, from which `figwasp run` and all "
    "else that loads the same module takes them, or into a file.",
    [Argument("PROGRAM", "a module; - for standard input", many=True)],
    {
        "options": [
            Option(("-j", "--jobs"), "NUMBER", "the number of processes at work (default: one for each processor)", _jobs),
            Option(
                ("-o", "--output"),
                "FILE",
                "write one program and its code to a file, for this figwasp, Python and kind of processor alone; figwasp run FILE "
                "runs it unchecked, so take such files from nobody",
            ),
            Option(("--fuel",), "", "make the code for `figwasp run --fuel`, which is not the same"),
            *switches(DEFAULT),
        ]
    },
    "--enable, --disable and --fuel have to be those with which the programs are run. The exit status is 1 when one could not be "
    "compiled, or its code could not be kept.",
)


def main(words: list[str]) -> int:
    """Compile the programs that the words name and return the exit status."""
    given, names = COMMAND.read(words)
    features, fuel = chosen(given, DEFAULT), "--fuel" in given
    output = given.get("--output")
    if output is not None and len(names) > 1:
        COMMAND.error("-o FILE is for one program")
    reason = "" if output is not None else _hindrance()
    if reason:
        complain(f"figwasp: error: no cache: {reason}; -o FILE writes the code to a file\n")
        return FAILED
    status = 0
    for name in names:
        try:
            _compile(name, features, fuel, given.get("--jobs"), output)
        except errors.Error as error:
            complain(f"figwasp: error: {error}\n")
            status = FAILED
    return status


def _hindrance() -> str:
    """Return why nothing can be kept in the cache, "" if it can."""
    path, reason = located(os.environ)
    if not path:
        return reason
    if prepared(path) and os.access(path, os.W_OK):
        return ""
    return f"{path}: {objection(path) or 'it cannot be written'}"


def _compile(name: str, features: Features, fuel: bool, jobs: int | None, output: str | None) -> None:
    """Compile a program, keep its code, and tell about it.

    Raises:
        Error: the program is not valid, or its code could not be kept.
    """
    data = read(name)
    engine = Engine(features=features, fuel=fuel, cache=None if output is None else False)
    bar = Bar(sys.stderr, shown(name))
    try:
        with prefix_errors(shown(name)):
            module = Module(binary_of(data), engine=engine, lazy=True)
            outcome = module._compile_all(jobs, bar.show)
    finally:
        seconds = bar.stop()
    if output is not None:
        write(output, [module.serialize()])
    elif not outcome.is_kept:
        raise errors.Error(f"{shown(name)}: the code could not be written to the cache")
    told = f"{outcome.functions} functions, {size_text(len(module._decoded.data))}, to {size_text(outcome.size)} of code"
    there = f", {outcome.before} of them from before" if outcome.before else ""
    complain(f"figwasp: {printable(shown(name))}: {told}{there}, in {seconds:.1f} s\n")
