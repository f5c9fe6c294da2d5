"""Floor 4: deadlines of the calls of a thread, and interrupts from outside.

In: seconds; the key under which native threads have words of their own. Out: a time of the monotonic clock in such a word, and
interrupts, where the ticks of compiled code (`stubs.ticks.tick`) and Python code that may take long find them.

Theory of operation. A deadline is the thread's: it holds for all that a call brings about, also in stores that a host function
calls into. Ticks find it in a word that is the native thread's own, whatever store they run in and whatever other threads do.

An interrupt is a context's: its outermost call is to end, with all that it has brought about. `stubs.steps.interrupt` sets a flag
there and counts those that have it, `stubs.leave` clears it. A thread always works for the innermost of its calls; so when any
are interrupted, it looks whether a context that it runs has the flag.
"""

from __future__ import annotations

import ctypes
import threading
import time

from figwasp.errors import TRAP_INTERRUPTED, TRAP_MESSAGES, TRAP_TIMEOUT, Interrupted, Timeout
from figwasp.runtime.platform import cpython, linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from figwasp.errors import Trap

__all__ = ["after", "check", "due", "enter", "follow", "reason"]


class _Current(threading.local):
    """The time at which the running calls of a thread have to end, in nanoseconds of the monotonic clock; 0 for never.

    Attributes:
        due: the time, for Python.
        until: the same, for ticks; None before its first call with a deadline.
    """

    due = 0
    until: ctypes.c_uint64 | None = None


_current: Final = _Current()
_pending = ctypes.c_uint64()
_interrupted: Callable[[int], int]


def follow(pending: int, interrupted: Callable[[int], int]) -> None:
    """Heed interrupts from now on: those of the process's native runtime.

    Args:
        pending: address of the word that counts interrupted contexts.
        interrupted: tells of a PyThreadState whether it runs one of them.
    """
    global _pending, _interrupted
    _interrupted = interrupted
    _pending = linux.word(pending)


def after(timeout: float | None) -> int:
    """Return the time that lies so many seconds ahead, 0 for None."""
    return 0 if timeout is None else min(time.monotonic_ns() + max(int(timeout * 1e9), 1), 2**63 - 1)


def due() -> int:
    """Return when the running calls of this thread have to end, in nanoseconds of the monotonic clock; 0 for never."""
    return _current.due


def check() -> None:
    """Do nothing while the running calls of this thread may go on.

    Raises:
        Interrupted: a call is to end.
        Timeout: the calls have no time left.
    """
    if _pending.value and _is_interrupted():
        raise Interrupted(TRAP_MESSAGES[TRAP_INTERRUPTED])
    if _current.due and time.monotonic_ns() >= _current.due:
        raise Timeout(TRAP_MESSAGES[TRAP_TIMEOUT])


def _is_interrupted() -> bool:
    """Return whether a call that this thread runs is to end."""
    cpython.check_recursion()
    return bool(_interrupted(cpython.thread_state()))


def reason() -> Trap:
    """Return the exception with which the running calls of this thread have to end."""
    if _pending.value and _is_interrupted():
        return Interrupted(TRAP_MESSAGES[TRAP_INTERRUPTED])
    return Timeout(TRAP_MESSAGES[TRAP_TIMEOUT])


def enter(key: int, end: int, entry: Callable[..., int], *args: int) -> int:
    """Call a native entry, with a time at which it has to end at the latest; 0 for never.

    The earlier time holds where calls are nested.

    Args:
        key: of the words in which threads have their deadlines.
        end: nanoseconds of the monotonic clock.
        entry: the native entry to call.
        args: its arguments.

    Raises:
        RecursionError: the stack is nearly used up.
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
        until = current.until = linux.word(linux.thread_word(key))
    # Assignments alone let no interrupt in between.
    try:
        until.value = current.due = end
        return entry(*args)
    finally:
        until.value = current.due = outer
