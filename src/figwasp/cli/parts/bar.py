"""Floor 7: the bar of `figwasp compile`, which says on a terminal how much is done.

In: a stream, and how much of the work is done. Out: one line that is written again and again and is gone in the end. No thread
writes it: other processes are forked meanwhile.
"""

from __future__ import annotations

import os
import time
from typing import Final, TextIO

from figwasp.errors import printable

__all__ = ["Bar"]

PERIOD: Final = 0.1
"""Seconds between changes of the line."""
_WIDTH: Final = 80  # of a terminal that does not say
_BAR: Final = 30
_ERASE: Final = "\r\x1b[K"


class Bar:
    """A bar with a name, on a terminal; elsewhere nothing is written."""

    __slots__ = ("_began", "_name", "_next", "_stream", "_width")

    def __init__(self, stream: TextIO | None, name: str) -> None:
        """Begin to measure the time.

        Args:
            stream: where it is written if that is a terminal.
            name: of what is done.
        """
        self._began = self._next = time.monotonic()
        self._name = printable(name)
        self._stream = stream if stream is not None and stream.isatty() else None
        self._width = 0
        if self._stream is not None:
            self._width = _columns(self._stream) - 1

    def show(self, done: int, total: int) -> None:
        """Write how much is done, unless that has been written just before."""
        now = time.monotonic()
        if self._stream is None or now < self._next:
            return
        self._next = now + PERIOD
        full = _BAR * done // total
        bar = "#" * full + "." * (_BAR - full)
        self._write(f"[{bar}] {100 * done // total:3}% {now - self._began:.0f} s {self._name}"[: self._width])

    def stop(self) -> float:
        """Remove the line, and return how many seconds it has taken."""
        if self._stream is not None:
            self._write("")
        return time.monotonic() - self._began

    def _write(self, text: str) -> None:
        assert self._stream is not None
        try:
            self._stream.write(_ERASE + text)
            self._stream.flush()
        except OSError:
            self._stream = None


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or _WIDTH
    except OSError:
        return _WIDTH
