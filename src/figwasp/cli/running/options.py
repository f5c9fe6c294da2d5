"""Floor 7: the command line of `figwasp run`.

In: the words after `run`. Out: `RunOptions`. Options end at the program's name: all words after it are the program's,
even if they look like options.
"""

from __future__ import annotations

import os

from figwasp.cli.features import chosen, switches
from figwasp.cli.options import Argument, Command, Option, WrongValue
from figwasp.features import DEFAULT
from figwasp.records import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from figwasp.features import Features

__all__ = ["COMMAND", "RunOptions", "parse_run"]


class RunOptions(NamedTuple):
    """The options and arguments of `figwasp run`.

    Attributes:
        program: path of the module, or "-".
        args: the program's own arguments, without its name.
        argv0: the name the program sees as its own, or None for the file's.
        env: the program's environment.
        dirs: (guest path, host path, writable) of each preopened directory.
        stdin: path of the file that stdin reads from, or None for the process's own stdin.
        listen: (host, port) of each socket of the program.
        timeout: seconds that the program may take, or None.
        max_memory: bytes of memory that the program may have, or None.
        fuel: the fuel that the program has, or None.
        features: the proposals that the program may use.
        invoke: the export to call instead of `_start`, or None.
        trap_unknown: whether imported functions that are not provided are replaced by ones that trap.
        trace: patterns of the names of functions whose calls are shown.
        perf_map: whether Linux `perf` is told the names of functions.
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
    """Return a number of plain digits, not more of them than make sense."""
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= MOST_DIGITS else None


LONGEST: Final = 1e9
"""Seconds, thirty years: as good as no limit."""
MOST_DIGITS: Final = 100
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}
_BYTES: Final = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


_GROUPS: Final = {
    "what the program gets": [
        Option(
            ("--dir",),
            "HOST[::GUEST][:ro]",
            "a directory, by its own name or another, to use, or with :ro only to read; may be repeated",
            read=_directory,
            many=True,
        ),
        Option(
            ("--env",),
            "NAME[=VALUE]",
            "a variable of its environment, as it is in this process's if without a value; may be repeated",
            read=_environment,
            many=True,
        ),
        Option(
            ("--env-inherit",),
            "[NAME]",
            "this process's whole environment, or as --env-inherit=NAME one variable; may be repeated",
            many=True,
        ),
        Option(
            ("--argv0",),
            "NAME",
            "the name it sees as its own (default: the file's)",
        ),
        Option(
            ("--stdin",),
            "FILE",
            "a file as its standard input",
        ),
        Option(
            ("--listen",),
            "HOST:PORT",
            "a socket that listens there; may be repeated",
            read=_address,
            many=True,
        ),
    ],
    "limits": [
        Option(
            ("--timeout",),
            "SECONDS",
            "end it after so many seconds, with exit status 124; 2m and 1h are times, too",
            read=_seconds,
        ),
        Option(
            ("--max-memory",),
            "BYTES",
            "let it have so much memory at most; K, M and G stand for powers of 1024",
            read=_size,
        ),
        Option(
            ("--fuel",),
            "NUMBER",
            "let it execute so much at most, about one for each instruction",
            read=_count,
        ),
    ],
    "how it is run": [
        Option(
            ("--invoke",),
            "FUNC",
            "call this export with the arguments and print its results",
        ),
        Option(
            ("--unknown-imports",),
            "trap",
            "let a function that nobody provides trap when it is called",
            choices=("trap",),
        ),
        Option(
            ("--trace",),
            "GLOB",
            "show calls of the functions with such names on standard error: 'fib', 'mem*', 'func[12]', of imported "
            "ones 'wasi_snapshot_preview1.*'; may be repeated",
            many=True,
        ),
        Option(
            ("--perf-map",),
            "",
            "write /tmp/perf-PID.map, so that Linux perf names its functions",
        ),
        *switches(DEFAULT),
    ],
}
COMMAND: Final = Command(
    "run",
    "Run a WASI program, binary or text. It sees nothing of this computer but its standard streams and what the options give it. "
    "Everything after PROGRAM belongs to the program.",
    [Argument("PROGRAM", "the module; - for standard input"), Argument("args", "", least=0, many=True)],
    _GROUPS,
    "The exit status is the program's; 1 when it cannot be loaded, 2 for a wrong command line, 124 when its time is up, "
    "130 after Ctrl-C, 134 after a trap.",
    ends=True,
)


def parse_run(words: list[str]) -> RunOptions:
    """Read the words after `run`.

    Raises:
        SystemExit: with status 0 after printing the help, with status 2 after printing an error.
    """
    read, rest = COMMAND.read(words)
    return RunOptions(
        program=rest[0],
        args=rest[1:],
        argv0=read.get("--argv0"),
        env={**_inherited(read["--env-inherit"]), **dict(read["--env"])},
        dirs=read["--dir"],
        stdin=read.get("--stdin"),
        listen=read["--listen"],
        timeout=read.get("--timeout"),
        max_memory=read.get("--max-memory"),
        fuel=read.get("--fuel"),
        features=chosen(read, DEFAULT),
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
