"""Floor 4: deadlines: when a call from Python has to end.

In: seconds. Out: a time of the monotonic clock, where the ticks of compiled code (`stubs.host.tick`) and whatever is Python and may
take long (the compiler, the waits of WASI) find it.

Theory of operation. A deadline is the thread's: it holds for all that a call brings about, also in stores that a host function
calls into. Ticks find it in a word that is the native thread's own (`linux.thread_word`), whatever store they run in and whatever
other threads do.

The compiler does not look at the clock. While it runs under a deadline, a thread waits for that; at its end it has Python raise an
exception in the thread that compiles, as soon as that executes another instruction. It may do so only inside of a window, which
opens and closes under a lock. What the compiler does there has no effects before it is done.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from figwasp.errors import TRAP_MESSAGES, TRAP_TIMEOUT, Timeout
from figwasp.runtime.code.teardown import discard
from figwasp.runtime.platform import cpython, linux
from figwasp.runtime.stubs.host import Deadlines

_AGAIN: Final = 0.05  # seconds
_T = TypeVar("_T")


class _Current(threading.local):
    """Of a thread: when its running calls have to end, in nanoseconds of the monotonic clock; 0 for never.

    Attributes:
        due: the time, for Python.
        until: the same, for ticks; None before its first call with a deadline.
    """

    due = 0
    until: ctypes.c_uint64 | None = None


_current: Final = _Current()


def after(timeout: float | None) -> int:
    """Return the time that lies so many seconds ahead, 0 for None."""
    return 0 if timeout is None else min(time.monotonic_ns() + max(int(timeout * 1e9), 1), 2**63 - 1)


def due() -> int:
    """Return when the running calls of this thread have to end, in nanoseconds of the monotonic clock; 0 for never."""
    return _current.due


def check() -> None:
    """Do nothing while there is time.

    Raises:
        Timeout: the running calls of this thread have to end.
    """
    if _current.due and time.monotonic_ns() >= _current.due:
        raise Timeout(TRAP_MESSAGES[TRAP_TIMEOUT])


def enter(deadlines: Deadlines, end: int, entry: Callable[..., int], *args: int) -> int:
    """Call a native entry, with a time at which it has to end at the latest; 0 for never.

    The earlier time holds where calls are nested.

    Args:
        deadlines: where threads have theirs.
        end: nanoseconds of the monotonic clock.
        entry: what to call.
        args: what it gets.

    Raises:
        RecursionError: too little is left for it.
    """
    cpython.check_recursion()
    current = _current
    outer = current.due
    if outer and (not end or outer < end):
        end = outer
    elif not end:
        return entry(*args)
    until = current.until
    if until is None:
        until = current.until = linux.word(linux.thread_word(deadlines.key))
    # Assignments alone let no interrupt in between.
    try:
        until.value = current.due = end
        return entry(*args)
    finally:
        until.value = current.due = outer


class _Expired(BaseException):
    """What is raised in a thread whose window is open at the deadline."""


class _Window:
    """A stretch of Python code of one thread that may be ended at a time.

    Attributes:
        over: set when the stretch is over, by an assignment, which lets no interrupt in.
        closed: whether nothing will be raised any more.
    """

    __slots__ = ("_done", "_end", "_fired", "_ident", "_lock", "closed", "over")

    def __init__(self, end: int) -> None:
        self._end = end
        self._ident = threading.get_ident()
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._fired = False
        self.over = False
        self.closed = False

    def open(self) -> None:
        """Begin: from now on `_Expired` may be raised, unless there is no time at which it has to end."""
        if not self._end:
            return
        try:
            threading.Thread(target=self._wait, name="figwasp deadline", daemon=True).start()
        except RuntimeError:
            pass  # no thread is to be had: the deadline will be noticed at the next tick

    def _wait(self) -> None:
        pause = max(self._end - time.monotonic_ns(), 0) / 1e9
        while not self._done.wait(pause):
            with self._lock:
                if self.over:
                    return
                self._fired = True
                cpython.raise_in_thread(self._ident, _Expired)
            pause = _AGAIN  # it may have struck where exceptions are ignored, as in a finalizer

    def close(self) -> None:
        """End; to be repeated when an exception strikes in here."""
        with self._lock:
            if self._fired:
                _flush(self._ident)
            self.closed = True
        self._done.set()


def _flush(ident: int) -> None:
    """Have what was to be raised in this thread raised now, if it has not been yet.

    To take it back would leave CPython looking for it for ever: slow, and with a trace function on 3.11 it would never go on.
    """
    try:
        cpython.raise_in_thread(ident, _Expired)  # in the place of the one before
        while True:
            pass
    except _Expired:
        pass


def bounded(work: Callable[..., _T], *args: Any) -> _T:
    """Call something without effects that may take long, but not beyond the deadline, if there is one.

    What it holds when an interrupt or the deadline ends it goes in the background.

    Raises:
        Timeout: it would have.
    """
    check()
    window = _Window(_current.due)
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
        discard(error.__traceback__)
        error.__traceback__ = None
        if isinstance(error, _Expired):
            raise Timeout(TRAP_MESSAGES[TRAP_TIMEOUT])
        raise error
    finally:
        error = None
