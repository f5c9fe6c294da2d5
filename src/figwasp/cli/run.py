"""Floor 7: `figwasp run`, up to where a second process can begin to compile.

In: the words after `run`. Out: the exit status, which `execute` finds out. The modules for compiling and running are imported while
the other process (`runtime.code.ahead`) is at work already, and imports its own: a process that has little in memory is forked
fast, and has few pages to be copied afterwards.
"""

from __future__ import annotations

import time

from figwasp.cli.main import not_collecting
from figwasp.cli.running.options import COMMAND, parse_run
from figwasp.cli.streams import binary_of, read, shown
from figwasp.errors import prefix_errors
from figwasp.runtime.code.ahead import BackgroundCompiler, possible
from figwasp.runtime.platform.modes import choose_mode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from figwasp.cli.running.options import RunOptions
    from figwasp.runtime.code.translate import Translator

__all__ = ["COMMAND", "main"]


def main(words: list[str]) -> int:
    """Run the program that the words name and return its exit status.

    Raises:
        Error: the program cannot be loaded, or it trapped.
    """
    options = parse_run(words)
    began = time.monotonic()
    data = _read(options.program)
    mode = choose_mode()  # here, and not in each process for itself: code for guard pages is for memories that have them
    ahead = None
    try:
        if possible():
            ahead = BackgroundCompiler(lambda: _translator(data, mode, options))
        with not_collecting():
            from figwasp.cli.running.execute import execute
        return execute(options, data, ahead, began)
    finally:
        if ahead is not None:
            ahead.close()


def _read(program: str) -> bytes:
    """Read a module, binary or text."""
    data = read(program)
    with prefix_errors(shown(program)):
        return binary_of(data)


def _translator(data: bytes, mode: int, options: RunOptions) -> Translator:
    from figwasp.runtime.code.translate import Translator
    from figwasp.wasm.binary.decode import decode

    return Translator(decode(data, options.features), mode, options.fuel is not None)
