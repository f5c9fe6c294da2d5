"""Floor 6: the functions of WASI that tell the time and wait: `clock_*` and `poll_oneoff`.

In: the state and the guest's arguments as signed ints. Out: an error number; times in nanoseconds and events go to memory.

`poll_oneoff` waits for the first of its subscriptions. Regular files and directories are always ready, and so are Python's file
objects but for reading from a descriptor of the host that has nothing yet; everything else is asked of the host with poll(2). Waits
are Python's own, so other threads run and Ctrl-C interrupts; they end when the call that is running has no time left.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import time

from figwasp.api import deadline as running
from figwasp.lazy import importing
from figwasp.wasi.abi import (
    CLOCK_ABSTIME,
    CLOCK_MONOTONIC,
    CLOCK_REALTIME,
    EVENT,
    EVENT_CLOCK,
    EVENT_FD_READ,
    EVENT_FD_WRITE,
    EVENT_HANGUP,
    FD_READ,
    FD_WRITE,
    FILETYPE_DIRECTORY,
    FILETYPE_REGULAR_FILE,
    INVAL,
    MASK32,
    NOTSUP,
    POLL_FD_READWRITE,
    SUBSCRIPTION,
    SUBSCRIPTION_FD_OFFSET,
    SUBSCRIPTION_SNAPSHOT0,
    SUCCESS,
    U32,
    Fail,
    errno_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from struct import Struct
    from typing import Final

    from figwasp.wasi.calls.state import GuestState
    from figwasp.wasi.descriptors.files import Descriptor

_CLOCKS: Final[tuple[Callable[[], int], ...]] = (
    time.time_ns,
    time.monotonic_ns,
    time.process_time_ns,
    time.thread_time_ns,
)
_CLOCK_NAMES: Final = ("time", "monotonic", "process_time", "thread_time")
_MAX_SUBSCRIPTIONS: Final = 1 << 16


def _clock(number: int) -> int:
    clock = number & MASK32
    if clock >= len(_CLOCKS):
        raise Fail(INVAL)
    return clock


def clock_res_get(state: GuestState, clock: int, out: int) -> int:
    resolution = time.get_clock_info(_CLOCK_NAMES[_clock(clock)]).resolution
    state.memory.store_u64(out, max(1, round(resolution * 1e9)))
    return SUCCESS


def clock_time_get(state: GuestState, clock: int, precision: int, out: int) -> int:
    state.memory.store_u64(out, _CLOCKS[_clock(clock)]())
    return SUCCESS


class _Poll:
    """The subscriptions of one call, sorted by how they are waited for.

    Attributes:
        events: packed events that have happened.
        timers: (deadline on the monotonic clock, userdata).
        waiting: (host descriptor, poll(2) events, event type, userdata).
    """

    __slots__ = ("events", "timers", "waiting")

    def __init__(self) -> None:
        self.events: list[bytes] = []
        self.timers: list[tuple[int, int]] = []
        self.waiting: list[tuple[int, int, int, int]] = []

    def happened(self, userdata: int, kind: int, error: int = SUCCESS, size: int = 0, flags: int = 0) -> None:
        self.events.append(EVENT.pack(userdata, error, kind, size, flags))

    def add_timer(self, userdata: int, clock: int, timeout: int, flags: int) -> None:
        now = time.monotonic_ns()
        if clock not in (CLOCK_REALTIME, CLOCK_MONOTONIC):
            self.happened(userdata, EVENT_CLOCK, NOTSUP if clock < len(_CLOCKS) else INVAL)
        elif flags & CLOCK_ABSTIME:
            self.timers.append((now + timeout - _CLOCKS[clock](), userdata))
        else:
            self.timers.append((now + timeout, userdata))

    def add_descriptor(self, userdata: int, kind: int, descriptor: Descriptor) -> None:
        reads = kind == EVENT_FD_READ
        is_file = descriptor.filetype in (FILETYPE_REGULAR_FILE, FILETYPE_DIRECTORY)
        host = -1 if is_file else descriptor.waits_for() if reads else descriptor.host
        if host < 0:
            self.happened(userdata, kind, size=_file_bytes(descriptor) if reads else 1)
        else:
            self.waiting.append((host, select.POLLIN if reads else select.POLLOUT, kind, userdata))

    def wait(self) -> None:
        """Wait until something has happened.

        Raises:
            Interrupted, Timeout: the running call has to end.
        """
        pause = 0 if self.events else None
        while True:
            if self.timers and pause is None:
                pause = max(min(self.timers)[0] - time.monotonic_ns(), 0)
            self._wait_for_host(pause)
            now = time.monotonic_ns()
            for due, userdata in self.timers:
                if due <= now:
                    self.happened(userdata, EVENT_CLOCK)
            if self.events:
                return
            pause = None

    def _wait_for_host(self, pause: int | None) -> None:
        """Wait up to `pause` nanoseconds, or without end, and note the events that the host reports."""
        masks: dict[int, int] = {}
        for host, mask, _, _ in self.waiting:
            masks[host] = masks.get(host, 0) | mask
        ready = dict(running.wait(masks, pause))
        for host, mask, kind, userdata in self.waiting:
            found = ready.get(host, 0)
            if found & (mask | select.POLLHUP | select.POLLERR | select.POLLNVAL):
                self._note(host, found, kind, userdata)

    def _note(self, host: int, found: int, kind: int, userdata: int) -> None:
        if found & select.POLLNVAL:
            self.happened(userdata, kind, errno_of(OSError(errno.EBADF, "")))
            return
        size = _pipe_bytes(host) if kind == EVENT_FD_READ else 1
        self.happened(userdata, kind, size=size, flags=EVENT_HANGUP if found & select.POLLHUP else 0)


def _file_bytes(descriptor: Descriptor) -> int:
    """Return how many bytes can be read at once from something that is always ready; 1 when that cannot be known."""
    if descriptor.filetype != FILETYPE_REGULAR_FILE:
        return 1
    return max(descriptor.status().size - descriptor.seek(0, os.SEEK_CUR), 0)


def _pipe_bytes(host: int) -> int:
    with importing:
        import termios  # programs that poll pipes are rare

    try:
        return int(U32.unpack(fcntl.ioctl(host, termios.FIONREAD, bytes(4)))[0])
    except OSError:
        return 0


def _subscribe(state: GuestState, poll: _Poll, layout: Struct, offset: int) -> None:
    """Read one subscription and sort it in."""
    view = state.memory.view
    userdata, kind, clock, timeout, _, flags = layout.unpack_from(view, offset)
    if kind == EVENT_CLOCK:
        poll.add_timer(userdata, clock, timeout, flags)
        return
    if kind not in (EVENT_FD_READ, EVENT_FD_WRITE):
        raise Fail(INVAL)
    (fd,) = U32.unpack_from(view, offset + SUBSCRIPTION_FD_OFFSET)
    try:
        descriptor = state.find(fd, POLL_FD_READWRITE | (FD_READ if kind == EVENT_FD_READ else FD_WRITE))
        poll.add_descriptor(userdata, kind, descriptor)
    except Fail as fail:
        poll.happened(userdata, kind, fail.errno)
    except OSError as error:
        poll.happened(userdata, kind, errno_of(error))


def _poll(state: GuestState, layout: Struct, subscriptions: int, events: int, count: int, out: int) -> int:
    number = count & MASK32
    if number == 0 or number > _MAX_SUBSCRIPTIONS:
        raise Fail(INVAL)
    first = state.memory.span(subscriptions, number * layout.size)
    target = state.memory.span(events, number * EVENT.size)
    state.memory.span(out, 4)
    poll = _Poll()
    for index in range(number):
        _subscribe(state, poll, layout, first + index * layout.size)
    poll.wait()
    state.memory.slice(target, len(poll.events) * EVENT.size)[:] = b"".join(poll.events)
    state.memory.store_u32(out, len(poll.events))
    return SUCCESS


def poll_oneoff(state: GuestState, subscriptions: int, events: int, count: int, out: int) -> int:
    return _poll(state, SUBSCRIPTION, subscriptions, events, count, out)


def poll_oneoff_snapshot0(state: GuestState, subscriptions: int, events: int, count: int, out: int) -> int:
    return _poll(state, SUBSCRIPTION_SNAPSHOT0, subscriptions, events, count, out)
