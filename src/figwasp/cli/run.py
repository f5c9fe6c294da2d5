"""Floor 6: `figwasp run`, up to where a second process can begin to compile.

In: the words after `run`. Out: the exit status, which `execute` finds out. Much of what that needs is imported while the
other process (`runtime.ahead`) is at work already.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from figwasp import errors
from figwasp.cli.main import for_good, not_collecting
from figwasp.cli.options import parse_run, parser
from figwasp.cli.streams import binary_of, read, shown
from figwasp.runtime.ahead import Ahead, possible
from figwasp.runtime.modes import choose_mode
from figwasp.runtime.translate import Translator
from figwasp.wasm.decode import decode

if TYPE_CHECKING:
    from figwasp.cli.options import RunOptions
    from figwasp.wasm.module import Module

__all__ = ["main", "parser"]


def main(words: list[str]) -> int:
    """Run the program that the words name and return its exit status.

    Raises:
        Error: it cannot be loaded, or it trapped.
    """
    options = parse_run(words)
    began = time.monotonic()
    decoded = _decode(options)
    ahead = Ahead(Translator(decoded, choose_mode(), options.fuel is not None)) if possible() else None
    try:
        with not_collecting():
            from figwasp.cli.execute import execute
        return execute(options, decoded, ahead, began)
    finally:
        if ahead is not None:
            ahead.close(wait=not for_good())


def _decode(options: RunOptions) -> Module:
    """Read and decode a module, binary or text."""
    try:
        return decode(binary_of(read(options.program)), options.features)
    except errors.Malformed as error:
        raise errors.Error(f"{shown(options.program)}: {error}") from error
