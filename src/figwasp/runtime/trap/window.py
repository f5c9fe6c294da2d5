"""Floor 4: windows: stretches of Python code without effects that are ended when the calls of their thread have to end.

In: a callable. Out: its result, or the exception with which the calls end.

Theory of operation. The compiler does not look at the clock. At the deadline, for which a thread waits, and at an interrupt Python
is made to raise an exception in the thread that compiles, as soon as that executes another instruction. That may be done only
inside a window, which opens and closes under a lock. The compiler has no effects before the window is over.
"""

from __future__ import annotations

import _thread
import threading
import time

from figwasp.lazy import importing
from figwasp.locks import new_lock
from figwasp.runtime.platform import cpython
from figwasp.runtime.trap import deadline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final, TypeVar

    _T = TypeVar("_T")

__all__ = ["bounded", "end"]

_AGAIN: Final = 0.05  # seconds


class _Expired(BaseException):
    """Raised in a thread whose window is to be left."""


class _Window:
    """A window of one thread.

    Attributes:
        over: set when the stretch is over, by an assignment, which lets no interrupt in.
        closed: whether nothing will be raised any more.
    """

    __slots__ = ("_end", "_fired", "_ident", "_lock", "_open", "_outer", "_thread", "closed", "over")

    def __init__(self) -> None:
        self._end = deadline.due()
        self._thread = cpython.thread_state()
        self._ident = threading.get_ident()
        self._lock = new_lock()
        self._open = _thread.allocate_lock()  # taken until it is closed; an event would have a lock that a fork leaves taken
        self._open.acquire()
        self._fired = False
        self._outer = _open.get(self._thread)  # a signal handler may have called wasm
        self.over = False
        self.closed = False

    def open(self) -> None:
        """Begin: from now on `_Expired` may be raised.

        Raises:
            Interrupted, Timeout: the running calls have to end now.
        """
        _open[self._thread] = self
        deadline.check()
        if not self._end:
            return
        try:
            threading.Thread(target=self._wait, name="figwasp deadline", daemon=True).start()
        except RuntimeError:
            pass  # no thread is to be had: the deadline will be noticed at the next tick

    def _wait(self) -> None:
        pause = max(self._end - time.monotonic_ns(), 0) / 1e9
        while not self._open.acquire(timeout=pause):
            self.end()
            pause = _AGAIN  # it may have struck where exceptions are ignored, as in a finalizer

    def end(self) -> None:
        """Have the window left, unless it is over."""
        with self._lock:
            if not self.over:
                self._fired = True
                cpython.raise_in_thread(self._ident, _Expired)

    def close(self) -> None:
        """Close the window; to be repeated when an exception strikes in here."""
        with self._lock:
            if self._fired:
                _flush(self._ident)
        if self._outer is not None:
            _open[self._thread] = self._outer
        else:
            _open.pop(self._thread, None)
        if self._open.locked():
            self._open.release()
        self.closed = True

_open: Final[dict[int, _Window]] = {}
"""The innermost window of each thread, by its PyThreadState."""


def _flush(ident: int) -> None:
    """Have an exception that was to be raised in this thread raised now, if it has not been yet.

    To take it back would leave CPython looking for it for ever: slow, and with a trace function on 3.11 it would never go on.
    """
    try:
        cpython.raise_in_thread(ident, _Expired)  # in the place of the one before
        while True:
            pass
    except _Expired:
        pass


def end(thread: int) -> None:
    """Have a thread leave its window, if it is in one.

    Args:
        thread: its PyThreadState.
    """
    window = _open.get(thread)
    if window is not None:
        window.end()


def bounded(work: Callable[..., _T], *args: Any) -> _T:
    """Call a function without effects that may take long, as long as the running calls of this thread may go on.

    The objects that it holds when an exception ends it are freed in the background.

    Raises:
        Interrupted, Timeout: the running calls have to end.
    """
    window = _Window()
    error: BaseException | None = None
    try:
        window.open()
        result = work(*args)
    except BaseException as raised:
        error = raised
    window.over = True
    while not window.closed:
        try:
            window.close()
        except BaseException as raised:
            error = raised
    if error is None:
        return result
    try:
        if isinstance(error, Exception):
            raise error
        with importing:
            from figwasp.runtime.code.teardown import discard

        discard(error.__traceback__)
        error.__traceback__ = None
        if isinstance(error, _Expired):
            raise deadline.reason()
        raise error
    finally:
        error = None
