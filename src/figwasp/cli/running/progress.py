"""Floor 7: the progress line of `figwasp run`, for a user who waits at a terminal for a large module.

In: the events: loading, then functions being compiled. Out: one line on the standard error stream, from the second second
on, which is gone before the program itself reads or writes anything. A thread writes it; compiling leaves that enough of the GIL.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections.abc import Callable
from typing import Any, Final

from figwasp.errors import printable

__all__ = ["Progress", "for_module"]

LARGE: Final = 1 << 20
"""Bytes of a module that may take long."""
PATIENCE: Final = 1.0
"""Seconds before anything is said."""
PERIOD: Final = 0.25
"""Seconds between changes of the line."""
_SPEAKING: Final = ("fd_write", "fd_read", "fd_pwrite", "poll_oneoff", "proc_exit", "sock_accept")
"""Functions of WASI by which a guest shows that it is at work, or waits for input."""
_WIDTH: Final = 80  # of a terminal that does not say
_ERASE: Final = "\r\x1b[K"


def for_module(name: str, size: int) -> Progress | None:
    """Return a progress line for a module of a size, or None when such a module is soon loaded."""
    return None if size < LARGE else Progress(name, size)


class Progress:
    """A line on the terminal with the present work.

    Attributes:
        compiled: number of functions compiled so far.
    """

    def __init__(self, name: str, size: int) -> None:
        self.compiled = 0
        self._name = printable(name)
        self._what = f"loading {self._name} ({size / 1e6:.0f} MB)"
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._shown = False
        self._thread = threading.Thread(target=self._watch, name="figwasp progress", daemon=True)
        self._thread.start()

    def take(self, index: int) -> None:
        """Count a function that is about to be compiled, as a source of code that has none."""
        self.compiled += 1

    def _watch(self) -> None:
        before = -1
        wait = PATIENCE
        while not self._over.wait(wait):
            wait = PERIOD
            count = self.compiled
            text = self._what if not count else f"compiling {self._name}: {count} functions"
            self._show(text if count != before or not count else "")  # nothing while it runs
            before = count

    def _show(self, text: str) -> None:
        with self._lock:
            if self._over.is_set() or not (text or self._shown):
                return
            width = os.get_terminal_size(2).columns or _WIDTH
            self._shown = bool(text)
            _say(_ERASE + f"figwasp: {text}"[: width - 1] * bool(text))

    def stop(self) -> None:
        """Stop, and clear the line."""
        with self._lock:
            if not self._over.is_set():
                self._over.set()
                if self._shown:
                    _say(_ERASE)

    def imports(self, imports: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """Return the imports, changed so that the functions by which a guest reads and writes end the line."""
        return {
            module: {name: self._ending(value) if name in _SPEAKING else value for name, value in names.items()}
            for module, names in imports.items()
        }

    def _ending(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def ending(*args: Any) -> Any:
            if not self._over.is_set():
                self.stop()
            return function(*args)

        return ending


def _say(text: str) -> None:
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        pass
