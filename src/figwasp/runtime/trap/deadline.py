"""Floor 4: when the calls of a thread have to end: their deadlines, and interrupts from outside.

In: seconds; the key under which native threads have words of their own (`layout.THREAD_*`). Out: a time of the monotonic clock and
a number of interrupts, where the ticks of compiled code (`stubs.host.tick`) and whatever is Python and may take long find them.

Theory of operation. A deadline is the thread's: it holds for all that a call brings about, also in stores that a host function
calls into. Ticks find it in a word that is the native thread's own, whatever store they run in and whatever other threads do.

An interrupt is a context's: its outermost call is to end, with all that it has brought about. The thread's other word counts those
that are under way. Whatever a thread is doing it does for the innermost of its calls, so a count that is not 0 is reason enough to
end that. `stubs.steps.interrupt` counts, `stubs.leave` takes away.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable
from typing import Final

from figwasp import layout
from figwasp.errors import TRAP_INTERRUPTED, TRAP_MESSAGES, TRAP_TIMEOUT, Interrupted, Timeout, Trap
from figwasp.runtime.platform import cpython, linux

__all__ = ["after", "check", "due", "enter", "prepare", "reason", "words"]


class _Current(threading.local):
    """Of a thread: when its running calls have to end.

    Attributes:
        due: in nanoseconds of the monotonic clock; 0 for never.
        until: the same, for ticks.
        interrupts: how many interrupts are under way.
        words: address of the two words; 0 before its first call.
    """

    due = 0
    until = ctypes.c_uint64()
    interrupts = ctypes.c_uint64()
    words = 0


_current: Final = _Current()


def after(timeout: float | None) -> int:
    """Return the time that lies so many seconds ahead, 0 for None."""
    return 0 if timeout is None else min(time.monotonic_ns() + max(int(timeout * 1e9), 1), 2**63 - 1)


def due() -> int:
    """Return when the running calls of this thread have to end, in nanoseconds of the monotonic clock; 0 for never."""
    return _current.due


def words() -> int:
    """Return the address of this thread's words; 0 before its first call."""
    return _current.words


def prepare(key: int) -> None:
    """Have words for this thread.

    Args:
        key: under which threads have theirs.

    Raises:
        MemoryError: there is no room for them.
    """
    current = _current
    if not current.words:
        words = linux.thread_words(key, layout.THREAD_SIZE)
        current.until = linux.word(words + layout.THREAD_DEADLINE)
        current.interrupts = linux.word(words + layout.THREAD_INTERRUPTS)
        current.words = words


def check() -> None:
    """Do nothing while the running calls of this thread may go on.

    Raises:
        Interrupted: one of them is to end.
        Timeout: they have no time left.
    """
    current = _current
    if current.interrupts.value or (current.due and time.monotonic_ns() >= current.due):
        raise reason()


def reason() -> Trap:
    """Return why the running calls of this thread have to end."""
    if _current.interrupts.value:
        return Interrupted(TRAP_MESSAGES[TRAP_INTERRUPTED])
    return Timeout(TRAP_MESSAGES[TRAP_TIMEOUT])


def enter(key: int, end: int, entry: Callable[..., int], *args: int) -> int:
    """Call a native entry, with a time at which it has to end at the latest; 0 for never.

    The earlier time holds where calls are nested.

    Args:
        key: under which threads have their words.
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
    prepare(key)
    until = current.until
    # Assignments alone let no interrupt in between.
    try:
        until.value = current.due = end
        return entry(*args)
    finally:
        until.value = current.due = outer
