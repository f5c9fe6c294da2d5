"""Floor 7: the command line of `figwasp run`.

In: the words after `run`. Out: `RunOptions`. Options end at the program's name: everything after it belongs to the
program, whatever it looks like.

One table says what options there are. The words are read by it without argparse, which cannot be told where options end, and which
would take a tenth of the time of a small program; that is made of the table where help is wanted, and for the shells' completion.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

from figwasp.cli.features import DISABLE, ENABLE, PROPOSAL, WrongValue, proposal, switch_help
from figwasp.features import DEFAULT, Features

if TYPE_CHECKING:
    import argparse

__all__ = ["RunOptions", "parse_run", "parser", "usage_error"]


class RunOptions(NamedTuple):
    """What `figwasp run` was asked to do.

    Attributes:
        program: path of the module, or "-".
        args: the program's own arguments, without its name.
        argv0: the name the program sees as its own, or None for the file's.
        env: the program's environment.
        dirs: (guest path, host path, writable) of each preopened directory.
        stdin: path of the file it reads from, or None for the process's own stdin.
        listen: (host, port) of each socket it gets.
        timeout: seconds it may take, or None.
        max_memory: bytes of memory it may have, or None.
        fuel: how much it may execute, or None.
        features: the proposals that it may use.
        invoke: the export to call instead of `_start`, or None.
        trap_unknown: give imports that nobody provides a function that traps.
        trace: patterns of the names of functions whose calls are shown.
        perf_map: tell Linux `perf` the names of functions.
    """

    program: str
    args: list[str] = []
    argv0: str | None = None
    env: dict[str, str] = {}
    dirs: list[tuple[str, str, bool]] = []
    stdin: str | None = None
    listen: list[tuple[str, int]] = []
    timeout: float | None = None
    max_memory: int | None = None
    fuel: int | None = None
    features: Features = DEFAULT
    invoke: str | None = None
    trap_unknown: bool = False
    trace: list[str] = []
    perf_map: bool = False


def _environment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if name and not equals and name in os.environ:
        return name, os.environ[name]
    if not name or not equals:
        hint = ", and there is no variable of that name to pass on" if name else ""
        raise WrongValue(f"{text!r} is not NAME=VALUE{hint}")
    return name, value


def _directory(text: str) -> tuple[str, str, bool]:
    name = text.removesuffix(":ro")
    host, _, guest = name.partition("::")
    if not host:
        raise WrongValue(f"{text!r} is not HOST, HOST::GUEST, or one of them with :ro")
    return guest or host, host, name == text


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    number = _whole(port)
    if not colon or number is None or number > 0xFFFF:
        raise WrongValue(f"{text!r} is not HOST:PORT")
    return (host[1:-1] if host.startswith("[") and host.endswith("]") else host), number


def _seconds(text: str) -> float:
    factor = _SECONDS.get(text[-1:], 0)
    try:
        seconds = float(text[:-1]) * factor if factor else float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds < float("inf"):
        raise WrongValue(f"{text!r} is not a positive number of seconds, nor one with s, m or h")
    return min(seconds, LONGEST)


def _size(text: str) -> int:
    factor = _BYTES.get(text[-1:].upper(), 0)
    number = _whole(text[:-1] if factor else text)
    if number is None:
        raise WrongValue(f"{text!r} is not a number of bytes, nor one with K, M or G")
    return number * (factor or 1)


def _count(text: str) -> int:
    number = _whole(text)
    if number is None:
        raise WrongValue(f"{text!r} is not a number")
    return number


def _whole(digits: str) -> int | None:
    """Return a number of plain digits, no more of them than anybody means."""
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= MOST_DIGITS else None


LONGEST: Final = 1e9
"""Seconds, thirty years: as good as no limit."""
MOST_DIGITS: Final = 100
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}
_BYTES: Final = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


class _Option(NamedTuple):
    """An option.

    Attributes:
        name: as it is typed.
        value: what the help calls its value; in brackets when that is attached by = or left out; "" for none.
        read: makes the value of a word.
        many: it may be repeated.
        help: what it does.
        choices: the words it can be, if it cannot be others.
    """

    name: str
    value: str
    read: Callable[[str], Any]
    many: bool
    help: str
    choices: tuple[str, ...] | None = None


_GROUPS: Final = {
    "what the program gets": [
        _Option(
            "--dir",
            "HOST[::GUEST][:ro]",
            _directory,
            True,
            "a directory, by its own name or another, to use, or with :ro only to read; may be repeated",
        ),
        _Option(
            "--env",
            "NAME[=VALUE]",
            _environment,
            True,
            "a variable of its environment, as it is in this process's if without a value; may be repeated",
        ),
        _Option(
            "--env-inherit",
            "[NAME]",
            str,
            True,
            "this process's whole environment, or as --env-inherit=NAME one variable; may be repeated",
        ),
        _Option("--argv0", "NAME", str, False, "the name it sees as its own (default: the file's)"),
        _Option("--stdin", "FILE", str, False, "a file as its standard input"),
        _Option("--listen", "HOST:PORT", _address, True, "a socket that listens there; may be repeated"),
    ],
    "limits": [
        _Option(
            "--timeout",
            "SECONDS",
            _seconds,
            False,
            "end it after so many seconds, with exit status 124; 2m and 1h are times, too",
        ),
        _Option(
            "--max-memory",
            "BYTES",
            _size,
            False,
            "let it have so much memory at most; K, M and G stand for powers of 1024",
        ),
        _Option("--fuel", "NUMBER", _count, False, "let it execute so much at most, about one for each instruction"),
    ],
    "how it is run": [
        _Option("--invoke", "FUNC", str, False, "call this export with the arguments and print its results"),
        _Option(
            "--unknown-imports",
            "trap",
            str,
            False,
            "let a function that nobody provides trap when it is called",
            ("trap",),
        ),
        _Option(
            "--trace",
            "GLOB",
            str,
            True,
            "show calls of the functions with such names on standard error: 'fib', 'mem*', 'func[12]', of imported ones "
            "'wasi_snapshot_preview1.*'; may be repeated",
        ),
        _Option("--perf-map", "", str, False, "write /tmp/perf-PID.map, so that Linux perf names its functions"),
        _Option(ENABLE, PROPOSAL, proposal, True, switch_help(ENABLE, DEFAULT)),
        _Option(DISABLE, PROPOSAL, proposal, True, switch_help(DISABLE, DEFAULT)),
    ],
}
_OPTIONS: Final = {option.name: option for options in _GROUPS.values() for option in options}


def parser() -> argparse.ArgumentParser:
    """Return what prints the help and wrong usage, and knows the options."""
    import argparse

    made = argparse.ArgumentParser(
        prog="figwasp run",
        usage="figwasp run [options] PROGRAM [args ...]",
        description="Run a WASI program, binary or text. It sees nothing of this computer but its standard streams and what the "
        "options give it. Everything after PROGRAM belongs to the program.",
        epilog="The exit status is the program's; 1 when it cannot be loaded, 2 for a wrong command line, 124 when its time is up, "
        "130 after Ctrl-C, 134 after a trap.",
    )
    made.add_argument("program", metavar="PROGRAM", help="the module; - for standard input")
    for title, options in _GROUPS.items():
        group = made.add_argument_group(title)
        for option in options:
            if option.value:
                group.add_argument(option.name, metavar=option.value, choices=option.choices, help=option.help)
            else:
                group.add_argument(option.name, action="store_true", help=option.help)
    return made


def _read(words: list[str]) -> tuple[dict[str, Any], int]:
    """Read options; return the values by the names of the options, lists for those that may be repeated, and where they end."""
    found: dict[str, Any] = {option.name: [] for option in _OPTIONS.values() if option.many}
    index = 0
    while index < len(words):
        word = words[index]
        if not word.startswith("-") or word == "-":
            break
        index += 1
        if word == "--":
            break
        if word in ("-h", "--help"):
            parser().print_help()
            raise SystemExit(0)
        name, equals, text = word.partition("=")
        option = _OPTIONS.get(name)
        if option is None or (equals and not option.value):
            usage_error(f"no option {word}")
        if option.value and not equals and not option.value.startswith("["):
            if index == len(words):
                usage_error(f"argument {name}: expected one argument")
            text = words[index]
            index += 1
        value = _value(option, text)
        if option.many:
            found[name].append(value)
        else:
            found[name] = value
    return found, index


def _value(option: _Option, text: str) -> Any:
    if option.choices is not None and text not in option.choices:
        usage_error(f"argument {option.name}: invalid choice: {text!r} (choose from {', '.join(option.choices)})")
    try:
        return option.read(text)
    except WrongValue as error:
        usage_error(f"argument {option.name}: {error}")


def parse_run(words: list[str]) -> RunOptions:
    """Read the words after `run`.

    Raises:
        SystemExit: with status 0 after printing the help, with status 2 after printing what is wrong.
    """
    read, index = _read(words)
    if index == len(words):
        usage_error("the following arguments are required: PROGRAM")
    return RunOptions(
        program=words[index],
        args=words[index + 1 :],
        argv0=read.get("--argv0"),
        env={**_inherited(read["--env-inherit"]), **dict(read["--env"])},
        dirs=read["--dir"],
        stdin=read.get("--stdin"),
        listen=read["--listen"],
        timeout=read.get("--timeout"),
        max_memory=read.get("--max-memory"),
        fuel=read.get("--fuel"),
        features=DEFAULT.including(*read[ENABLE]).excluding(*read[DISABLE]),
        invoke=read.get("--invoke"),
        trap_unknown=read.get("--unknown-imports") == "trap",
        trace=read["--trace"],
        perf_map="--perf-map" in read,
    )


def _inherited(names: list[str]) -> dict[str, str]:
    """Return the variables of this process that were asked for, all of them for an empty name."""
    if "" in names:
        return dict(os.environ)
    return {name: os.environ[name] for name in names if name in os.environ}


def usage_error(message: str) -> NoReturn:
    """Print how `figwasp run` is used and what is wrong, and end the process with status 2."""
    parser().error(message)
