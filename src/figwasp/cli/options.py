"""Floor 6: the command line of `figwasp run`.

In: the words after `run`. Out: `RunOptions`. Options end at the program's name: everything after it belongs to the
program, whatever it looks like. argparse cannot be told so reliably, hence the split before it is asked.
"""

from __future__ import annotations

import argparse
from typing import Final, NamedTuple, NoReturn

__all__ = ["RunOptions", "parse_run", "usage_error"]


class RunOptions(NamedTuple):
    """What `figwasp run` was asked to do.

    Attributes:
        program: path of the module.
        args: the program's own arguments, without its name.
        argv0: the name the program sees as its own, or None for the file's.
        env: the program's environment; nothing is inherited.
        dirs: (guest path, host path) of each preopened directory.
        invoke: the export to call instead of `_start`, or None.
        trap_unknown: give imports that nobody provides a function that traps.
    """

    program: str
    args: list[str]
    argv0: str | None
    env: dict[str, str]
    dirs: list[tuple[str, str]]
    invoke: str | None
    trap_unknown: bool


def _environment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def _directory(text: str) -> tuple[str, str]:
    host, _, guest = text.partition("::")
    if not host:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST or HOST::GUEST")
    return guest or host, host


_PARSER: Final = argparse.ArgumentParser(
    prog="figwasp run",
    usage="figwasp run [options] PROGRAM [args ...]",
    description="Run a WASI program, binary or text. Everything after PROGRAM belongs to the program.",
    epilog="The exit status is the program's; 134 after a trap, 1 when the program cannot be loaded.",
    allow_abbrev=False,
)
_VALUED: Final = [
    _PARSER.add_argument(
        "--dir", action="append", default=[], type=_directory, metavar="HOST[::GUEST]", help="let it use a directory"
    ),
    _PARSER.add_argument(
        "--env", action="append", default=[], type=_environment, metavar="K=V", help="set a variable of its environment"
    ),
    _PARSER.add_argument("--argv0", metavar="NAME", help="the name it sees as its own (default: the file's)"),
    _PARSER.add_argument("--invoke", metavar="FUNC", help="call this export with the arguments and print its results"),
    _PARSER.add_argument(
        "--unknown-imports", choices=["trap"], help="let a function that nobody provides trap when it is called"
    ),
]
_PARSER.add_argument("program", metavar="PROGRAM")
_TAKES_VALUE: Final = {name for action in _VALUED for name in action.option_strings}


def _program_index(words: list[str]) -> int:
    """Find the first word that is neither an option nor an option's value."""
    index = 0
    while index < len(words):
        word = words[index]
        if word == "--":
            return index + 1
        if not word.startswith("-") or word == "-":
            return index
        index += 2 if word in _TAKES_VALUE else 1
    return index


def parse_run(words: list[str]) -> RunOptions:
    """Read the words after `run`.

    Raises:
        SystemExit: with status 0 after printing the help, with status 2 after printing what is wrong.
    """
    index = _program_index(words)
    read = _PARSER.parse_args(words[: index + 1])
    return RunOptions(
        program=read.program,
        args=words[index + 1 :],
        argv0=read.argv0,
        env=dict(read.env),
        dirs=read.dir,
        invoke=read.invoke,
        trap_unknown=read.unknown_imports == "trap",
    )


def usage_error(message: str) -> NoReturn:
    """Print how `figwasp run` is used and what is wrong, and end the process with status 2."""
    _PARSER.error(message)
