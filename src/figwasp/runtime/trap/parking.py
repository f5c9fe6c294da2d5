"""Floor 4: threads that wait at addresses of shared memories until another thread wakes them (proposal threads).

In: addresses, what is expected there. Out: how a wait has ended, how many a wake-up has reached.

Theory of operation. The queue of an address is a dict of weak references to the threads that wait, in the order in which they
came. One step takes a thread out of it, and whoever did so says how the wait ends: the thread that wakes, or the one whose time is
over. Looking at the value and joining the queue happen under the lock that waking takes, so that no wake-up is lost. A wait is one
of `waits`: it gives the GIL up, and ends with the calls of its thread. Whoever wakes first lets the other look, and that one looks
under the lock: a wake-up that an exception stops at any line has reached it, or can be had again. A thread that an exception has
driven out of its wait leaves no more than a dead reference, which goes by itself.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from typing import Final

from figwasp.runtime.platform import cpython, linux
from figwasp.runtime.trap import waits

__all__ = ["DIFFERS", "TIMED_OUT", "WOKEN", "wait", "wake"]

WOKEN: Final = 0
DIFFERS: Final = 1
TIMED_OUT: Final = 2
"""How a wait ends, in the numbers of `memory.atomic.wait32`."""

_GONE: Final = "gone"


class _Waiter:
    """A thread that waits.

    Attributes:
        thread: its PyThreadState.
        place: by which it stands in its queue.
    """

    __slots__ = ("__weakref__", "_queue", "place", "thread")

    def __init__(self, queue: _Queue) -> None:
        self.thread = cpython.thread_state()
        self.place = weakref.ref(self, lambda gone: queue.pop(gone, None))
        self._queue = queue
        queue[self.place] = None

    @property
    def woken(self) -> bool:
        """Whether another thread has taken it out of its queue; not while one is about to."""
        with _lock:
            return self.place not in self._queue


_Queue = dict[weakref.ref[_Waiter], None]

_queues: Final[dict[int, _Queue]] = {}
_lock = threading.RLock()  # a signal handler may wake where its thread is waking


def wait(address: int, size: int, expected: int, timeout: int) -> int:
    """Wait at an address that has what is expected; return how that ended.

    Args:
        address: of 4 or 8 bytes, which stay while the call runs.
        size: 4 or 8.
        expected: an unsigned number.
        timeout: nanoseconds; less than 0 for any number.

    Raises:
        Interrupted, Timeout: the running calls of this thread have to end.
    """
    end = None if timeout < 0 else time.monotonic_ns() + timeout
    read = linux.read_u32 if size == 4 else linux.read_u64
    with _lock:
        if read(address) != expected:
            return DIFFERS
        queue = _queues.setdefault(address, {})
        waiter = _Waiter(queue)
    try:
        while True:
            left = None if end is None else end - time.monotonic_ns()
            if left is not None and left <= 0:
                break
            waits.wait({}, left, waiter)
            if waiter.woken:
                break
        return WOKEN if queue.pop(waiter.place, _GONE) is _GONE else TIMED_OUT
    finally:
        queue.pop(waiter.place, None)
        with _lock:
            if not queue and _queues.get(address) is queue:
                _queues.pop(address, None)


def wake(address: int, count: int) -> int:
    """Wake at most so many threads that wait at an address, those that came first; return how many."""
    woken = 0
    with _lock:
        queue = _queues.get(address, {})
        for place in list(queue) if count else ():
            waiter = place()
            if waiter is not None:
                waits.wake(waiter.thread)  # first: one who has been taken out and never looks would wait for ever
            if queue.pop(place, _GONE) is _GONE or waiter is None:
                continue
            woken += 1
            if woken == count:
                break
        if not queue:
            _queues.pop(address, None)
    return woken


def _after_fork() -> None:
    """In a forked child, forget the threads, which do not exist there, and one that may have held the lock."""
    global _lock
    _queues.clear()
    _lock = threading.RLock()


os.register_at_fork(after_in_child=_after_fork)
