"""Floor 6: the entry of the command line.

In: the arguments of the process. Out: its exit status. Each command is a module with `main(arguments) -> int`, imported
only when it is called for.

Exit status: the guest's own; 1 when a program could not be loaded; 2 for a wrong command line; 130 after Ctrl-C;
134 (128 + SIGABRT, what a shell reports for an aborted process) after a trap.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Final

from figwasp import errors

__all__ = ["main"]

USAGE_ERROR: Final = 2

HELP: Final = """\
usage: figwasp [-h] [--version] COMMAND ...

WebAssembly in pure Python.

commands:
  run       run a WASI program, or call a function of a module
  explain   show what becomes of a function, from wasm text to machine code
  validate  say whether modules are valid
  wat2wasm  translate a module from the text format to the binary format
  wasm2wat  print a module in the text format
  objdump   show what a module consists of: sections, imports, exports, functions
  wast      run scripts of the WebAssembly test suite

`figwasp COMMAND --help` tells more about a command.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status of the process.

    Args:
        arguments: those after the program's name; the process's own unless given.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help"):
        print(HELP, end="")
        return 0
    if words[0] == "--version":
        print(f"figwasp {_version()}")
        return 0
    command = COMMANDS.get(words[0])
    if command is None:
        what = "option" if words[0].startswith("-") else "command"
        print(f"figwasp: error: no {what} {words[0]!r}; try `figwasp --help`", file=sys.stderr)
        return USAGE_ERROR
    return _guarded(command, words[1:])


def _guarded(command: Callable[[list[str]], int], words: list[str]) -> int:
    """Call a command and turn what it raises into an exit status."""
    try:
        return command(words)
    except errors.Trap as trap:
        print(f"figwasp: trap: {trap}", file=sys.stderr)
        return 134
    except errors.Error as error:
        print(f"figwasp: error: {_first_line(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _first_line(error: errors.Error) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


def _run(words: list[str]) -> int:
    from figwasp.cli import run

    return run.main(words)


def _explain(words: list[str]) -> int:
    from figwasp.cli import explain

    return explain.main(words)


def _validate(words: list[str]) -> int:
    from figwasp.cli import validate

    return validate.main(words)


def _wat2wasm(words: list[str]) -> int:
    from figwasp.cli import wat2wasm

    return wat2wasm.main(words)


def _wasm2wat(words: list[str]) -> int:
    from figwasp.cli import wasm2wat

    return wasm2wat.main(words)


def _objdump(words: list[str]) -> int:
    from figwasp.cli import objdump

    return objdump.main(words)


def _wast(words: list[str]) -> int:
    from figwasp.cli import wast

    return wast.main(words)


COMMANDS: Final[dict[str, Callable[[list[str]], int]]] = {
    "run": _run,
    "explain": _explain,
    "validate": _validate,
    "wat2wasm": _wat2wasm,
    "wasm2wat": _wasm2wat,
    "objdump": _objdump,
    "wast": _wast,
}


def _version() -> str:
    try:
        return metadata.version("figwasp")
    except metadata.PackageNotFoundError:
        return "(not installed)"
