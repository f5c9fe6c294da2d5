"""Floor 4: threads that wait at addresses of shared memories until another thread wakes them (proposal threads).

In: addresses, what is expected there. Out: how a wait has ended, how many a wake-up has reached.

Theory of operation. All that wait are in one dict, as weak references in the order in which they came; there are no more of them
than threads. Looking at the value and coming in is one step under the GIL, and so is taking one out and setting the event of its
thread; so no wake-up is lost, whatever exception comes between two lines, and nobody holds a lock. Whoever takes one out says how
the wait ends: the thread that wakes, or the one whose time is over. The wait is one of `waits`: it gives the GIL up, and ends with
the calls of its thread. One who has been driven out by an exception leaves no more than a dead reference, which goes by itself.
"""

from __future__ import annotations

import ctypes
import os
import time
import weakref
from functools import partial

from figwasp.runtime.once import step
from figwasp.runtime.platform import cpython
from figwasp.runtime.trap import waits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["DIFFERS", "TIMED_OUT", "WOKEN", "wait", "wake"]

WOKEN: Final = 0
DIFFERS: Final = 1
TIMED_OUT: Final = 2
"""How a wait ends, in the numbers of `memory.atomic.wait32`."""


class _Waiter:
    """A thread that waits.

    Attributes:
        thread: its PyThreadState.
        place: by which it is known to others.
    """

    __slots__ = ("__weakref__", "place", "thread")

    def __init__(self) -> None:
        self.thread = cpython.thread_state()
        self.place = weakref.ref(self, _forget)

    @property
    def woken(self) -> bool:
        """Whether another thread has taken it out."""
        return self.place not in _waiting


_waiting: Final[dict[weakref.ref[_Waiter], int]] = {}
"""Those that wait, each with its address."""


def _forget(gone: weakref.ref[_Waiter]) -> None:
    _waiting.pop(gone, None)


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
    word = ctypes.c_uint32.from_address(address) if size == 4 else ctypes.c_uint64.from_address(address)
    waiter = _Waiter()
    come = partial(_waiting.__setitem__, waiter.place, address)
    try:
        if word.value == expected:  # nothing is called between the look and the step
            come()
        else:
            return DIFFERS
        while True:
            left = None if end is None else end - time.monotonic_ns()
            if left is not None and left <= 0:
                break
            waits.wait({}, left, waiter)
            if waiter.woken:
                break
        return TIMED_OUT if _waiting.pop(waiter.place, 0) else WOKEN
    finally:
        _waiting.pop(waiter.place, None)


def wake(address: int, count: int) -> int:
    """Wake at most so many threads that wait at an address, those that came first; return how many."""
    woken = 0
    for place, at in list(_waiting.items()):
        waiter = place()
        if woken == count:
            break
        if at != address or waiter is None:
            continue
        event = waits.event_of(waiter.thread)
        take = step(partial(_waiting.pop, place, None), *([] if event is None else [event.setting()]))
        if place in _waiting:  # as above
            take()
            woken += 1
    return woken


os.register_at_fork(after_in_child=_waiting.clear)
