"""Floor 7: the entry of the command line.

In: the arguments of the process. Out: its exit status. Each command is a module of this package with
`main(words) -> int` and a `COMMAND` with its options and arguments, imported only when it is called for.

Exit status: the guest's own; 1 when a program could not be loaded; 2 for a wrong command line; 124 when its time was up; 130
after Ctrl-C; 134 (128 + SIGABRT, what a shell reports for an aborted process) after a trap.
"""

from __future__ import annotations

import gc
import os
import sys
from contextlib import contextmanager

from figwasp import __version__
from figwasp.lazy import imported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Final, NoReturn, Protocol

    class _Command(Protocol):
        """The module of a command."""

        def main(self, words: list[str]) -> int:
            """Run it."""

__all__ = ["COMMANDS", "OPTIONS", "console", "main"]

FAILED: Final = 1
USAGE_ERROR: Final = 2
INTERRUPTED: Final = 130
ABORTED: Final = 134

COMMANDS: Final = {
    "run": "run a WASI program, or call a function of a module",
    "compile": "compile programs before they are run, on all processors",
    "explain": "show what becomes of a function, from wasm text to machine code",
    "validate": "say whether modules are valid",
    "wat2wasm": "translate a module from the text format to the binary format",
    "wasm2wat": "print a module in the text format",
    "objdump": "show what a module consists of: sections, imports, exports, functions",
    "stubs": "write type hints of a module's exports, for programs that import it",
    "wast": "run scripts of the WebAssembly test suite",
    "cache": "show, empty or locate the folder that keeps what has been compiled",
    "doctor": "say what this machine and Python are, and try each part of figwasp",
    "completion": "print a script by which a shell completes these commands and their options",
}
OPTIONS: Final = {"-h, --help": "show this help", "-V, --version": "show the version"}

_owns_process = False
"""Whether the process is ours: it ends with the command."""

_WHAT: Final = """\
usage: figwasp COMMAND ...
       figwasp PROGRAM [args ...]   the same as figwasp run PROGRAM [args ...]

WebAssembly in pure Python.
"""


def main(arguments: Sequence[str] | None = None, *, is_process: bool = False) -> int:
    """Run one command and return the exit status of the process.

    Args:
        arguments: those after the program's name; the process's own unless given.
        is_process: the process ends with the command.

    Raises:
        Interrupted: Ctrl-C, if the process ends with the command.
    """
    global _owns_process
    _owns_process = is_process
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _guarded(words)
    except KeyboardInterrupt as interrupt:
        if isinstance(interrupt, Interrupted):
            raise
        return INTERRUPTED


class Interrupted(KeyboardInterrupt, SystemExit):
    """Ctrl-C as the end of the process, without a traceback: finding the places in the guest's sources may take long."""


def console() -> NoReturn:
    """Run one command and end the process with its exit status, without the teardown of the interpreter."""
    sys.unraisablehook = _unraisable
    try:
        status = main(is_process=True)
    except Interrupted as interrupted:  # held until the end, as taking apart what its frames hold would take long
        _end(INTERRUPTED, interrupted)
    except SystemExit as exit_:  # help, or a wrong command line
        status = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
    _end(status)


def _unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    """End the process when Ctrl-C came where Python lets no exception out, such as a finalizer."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        os._exit(INTERRUPTED)
    sys.__unraisablehook__(unraisable)


def _end(status: int, _held: object = None) -> NoReturn:
    for name, stream in (("<stdout>", sys.stdout), ("<stderr>", sys.stderr)):
        try:
            if stream is not None:
                stream.flush()
        except BrokenPipeError:
            status = status or FAILED
        except (OSError, ValueError) as error:
            status = status or FAILED
            complain(f"figwasp: error: {name}: {getattr(error, 'strerror', error)}\n")
    if _held is None:
        _keep_code()
    os._exit(status & 0xFF)


def _keep_code() -> None:
    """Write what has been compiled to the cache, as Python would do it at the end of the process; not after Ctrl-C."""
    kept = sys.modules.get("figwasp.runtime.code.kept")
    if kept is not None:
        try:
            kept.flush()
        except KeyboardInterrupt:
            os._exit(INTERRUPTED)


def complain(message: str) -> None:
    """Write to standard error, if there is one; never anywhere else."""
    try:
        if sys.stderr is not None:
            sys.stderr.write(message)
            sys.stderr.flush()
    except (OSError, ValueError):
        pass


def _guarded(words: list[str]) -> int:
    """Run the command that the words give and turn exceptions into an exit status."""
    from figwasp import errors  # not before Ctrl-C would be noticed

    try:
        return _dispatched(words)
    except (errors.Trap, errors.WasmException) as trap:
        from figwasp.wasi.program import report

        complain(report(trap))
        return ABORTED
    except errors.Error as error:
        complain(f"figwasp: error: {str(error) or type(error).__name__}\n")
    except OSError as error:
        complain(f"figwasp: error: {error}\n")
    except MemoryError:
        complain("figwasp: error: out of memory\n")
    return FAILED


def _dispatched(words: list[str]) -> int:
    """Call the command that the words begin with."""
    if not words or words[0] in ("-h", "--help"):
        return _print(_help())
    if words[0] in ("-V", "--version"):
        return _print(f"figwasp {__version__}\n")
    if words[0] == "help":
        return _dispatched([words[1], "--help"] if len(words) > 1 and words[1] in COMMANDS else words[1:])
    if words[0] not in COMMANDS:
        if not _is_program(words[0]):
            return _unknown(words[0])
        words = ["run", *words]
    module = _imported(words[0])
    if _owns_process and (words[0] == "run" or "figwasp.runtime.platform" in sys.modules):  # nothing else runs guests
        from figwasp.runtime.platform.interrupt import raise_on_interrupt

        raise_on_interrupt(Interrupted(INTERRUPTED))
    return module.main(words[1:])


def _is_program(word: str) -> bool:
    """Return whether a word that is no command is probably the name of a program."""
    return not word.startswith("-") and (word.endswith((".wasm", ".wat")) or os.path.isfile(word))


def _unknown(word: str) -> int:
    what = "option" if word.startswith("-") else "command"
    complain(f"figwasp: error: no {what} {word!r}; try `figwasp --help`\n")
    return USAGE_ERROR


def _print(text: str) -> int:
    from figwasp.cli.streams import print_text

    return print_text([text])


def _imported(command: str) -> _Command:
    """Import a command."""
    with not_collecting():
        module: _Command = imported(f"figwasp.cli.{command}")
        return module


@contextmanager
def not_collecting() -> Iterator[None]:
    """A context for imports: looking for garbage among the new objects would be a tenth of the work."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            if _owns_process and hasattr(gc, "freeze"):  # PyPy has none
                gc.freeze()  # it would be looked at as soon as collecting begins again
            gc.enable()


def _help() -> str:
    return "\n".join(
        [
            _WHAT,
            *_section("commands", COMMANDS),
            *_section("options", OPTIONS),
            "`figwasp help COMMAND` tells more about a command.\n",
        ]
    )


def _section(title: str, rows: dict[str, str]) -> list[str]:
    width = max(map(len, COMMANDS)) + 2
    return [f"{title}:", *(f"  {name:{width}}{what}" for name, what in rows.items()), ""]
