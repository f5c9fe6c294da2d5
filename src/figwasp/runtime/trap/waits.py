"""Floor 4: waits of host functions that end when the calls of their thread have to end.

In: descriptors of the host, and for how long. Out: which of them are ready.

Theory of operation. A thread that waits does so for one descriptor more, which is its own: an event that an interrupt of its calls
sets. The event is made when the thread first waits, and kept; so it may have been set when nothing waited, and a wait looks once
more why it has been woken. A signal that comes between Python's last look and the system call does not end that: the thread that
handles signals looks by itself from time to time.
"""

from __future__ import annotations

import os
import select
import threading
import time
import weakref

from figwasp.runtime.platform import cpython, linux
from figwasp.runtime.trap import deadline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final, Protocol

    from figwasp.runtime.once import Once

    class Woken(Protocol):
        """The part of one who waits for something else than descriptors that is looked at when its thread has been woken."""

        @property
        def woken(self) -> bool:
            """Whether the wait is over."""

__all__ = ["Event", "event_of", "wait", "wake"]

_LONGEST: Final = 3600 * 10**9  # nanoseconds: a guest may name times that poll(2) does not take
_WITHOUT_EVENT: Final = 50_000_000  # nanoseconds: how often a thread looks by itself when it can have no descriptor more
_ON_MAIN: Final = 200_000_000  # nanoseconds: how often the thread that handles signals looks by itself
_MILLISECOND: Final = 1_000_000


class Event:
    """An event of the host, which goes with its thread."""

    __slots__ = ("__weakref__", "_hosts")

    def __init__(self) -> None:
        self._hosts: list[int] = []
        linux.add_event(self._hosts)

    @property
    def host(self) -> int:
        """The descriptor of the event."""
        return self._hosts[0]

    def setting(self) -> Once:
        """Return the call that sets the event."""
        return linux.setting_event(self.host)

    def __del__(self) -> None:
        while self._hosts:
            os.close(self._hosts.pop())


class _ThreadWaits(threading.local):
    """The event of a thread, and how long it waits without looking by itself.

    Attributes:
        event: None before it is needed.
        longest: nanoseconds.
    """

    event: Event | None = None

    def __init__(self) -> None:
        self.longest = _ON_MAIN if threading.current_thread() is threading.main_thread() else _LONGEST

_own: Final = _ThreadWaits()
_events: Final[dict[int, weakref.ref[Event]]] = {}
"""The events of threads, by their PyThreadStates."""


def wake(thread: int) -> None:
    """Wake a thread, if it waits, to look why it is woken.

    Args:
        thread: its PyThreadState.
    """
    event = event_of(thread)
    if event is not None:
        event.setting()()


def event_of(thread: int) -> Event | None:
    """Return the event of a thread, if it has waited; to be kept as long as somebody sets it."""
    reference = _events.get(thread)
    return None if reference is None else reference()


def wait(masks: Mapping[int, int], pause: int | None = None, waiter: Woken | None = None) -> list[tuple[int, int]]:
    """Wait until descriptors are ready, but no longer than the running calls of this thread may go on.

    Args:
        masks: host descriptor -> events of poll(2).
        pause: nanoseconds to wait at most; None for any number.
        waiter: says whether the wait is over when another thread wakes this one (`wake`).

    Returns:
        (host descriptor, events) of those that are ready; nothing when the time or the wait is over.

    Raises:
        Interrupted, Timeout: the running calls have to end.
    """
    event = _event()
    poll = select.poll()
    for host, mask in masks.items():
        poll.register(host, mask)
    if event is not None:
        poll.register(event.host, select.POLLIN)
    end = None if pause is None else time.monotonic_ns() + min(pause, _LONGEST)
    while True:
        deadline.check()
        if waiter is not None and waiter.woken:
            return []
        left = _left(end, deadline.due(), event)
        if not masks and left < _MILLISECOND:
            time.sleep(left / 1e9)  # poll(2) would round that up
            ready = []
        else:
            ready = poll.poll(left // _MILLISECOND if not masks else left / _MILLISECOND)
        if event is not None and any(host == event.host for host, _ in ready):
            linux.clear_event(event.host)
            ready = [one for one in ready if one[0] != event.host]
        if ready or (end is not None and time.monotonic_ns() >= end):
            return ready


def _left(end: int | None, due: int, event: Event | None) -> int:
    """Return for how many nanoseconds to wait now."""
    ends = [one for one in (end, due) if one]
    left = max(min(ends) - time.monotonic_ns(), 0) if ends else None
    longest = _own.longest if event is not None else _WITHOUT_EVENT
    return longest if left is None else min(left, longest)


def _event() -> Event | None:
    """Return this thread's event, kept where interrupts find it; None when there is no descriptor for it."""
    event = _own.event
    if event is None:
        try:
            event = Event()
        except OSError:
            return None
        _own.event = event
    _events[cpython.thread_state()] = weakref.ref(event)
    return event


def _after_fork() -> None:
    """In a forked child, drop the events, which are the parent's as well."""
    _events.clear()
    _own.event = None
    _own.longest = _ON_MAIN

os.register_at_fork(after_in_child=_after_fork)
