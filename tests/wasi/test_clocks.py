"""The four clocks, and waiting: for times, for pipes, for whichever comes first."""

from __future__ import annotations

import io
import os
import signal
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from figwasp.wasi import WASI
from tests.wasi.guest import PREVIEW1, ROOT, SNAPSHOT0, Guest, tree

REALTIME, MONOTONIC, PROCESS, THREAD = range(4)
CLOCK, FD_READ, FD_WRITE = range(3)
READ, WRITE, POLL = 1 << 1, 1 << 6, 1 << 27


@pytest.fixture(params=[PREVIEW1, SNAPSHOT0])
def guest(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Guest]:
    tree(tmp_path)
    os.mkfifo(tmp_path / "in/fifo")
    with WASI(dirs={"/": tmp_path / "in"}, stdin=io.BytesIO(b"x"), stdout=io.BytesIO()) as wasi:
        yield Guest(wasi, request.param)


def timer(guest: Guest, userdata: int, clock: int, timeout: int, flags: int = 0) -> bytes:
    head = struct.pack("<QQ", userdata, CLOCK) + (struct.pack("<Q", 0x1234) if guest.is_old else b"")
    return head + struct.pack("<IxxxxQQHxxxxxx", clock, timeout & (1 << 64) - 1, 0, flags)


def watch(guest: Guest, userdata: int, kind: int, fd: int) -> bytes:
    return struct.pack("<QQI", userdata, kind, fd).ljust(56 if guest.is_old else 48, b"\0")


def poll(guest: Guest, *subscriptions: bytes) -> str | list[tuple[int, str, int, int, int]]:
    """Wait; give userdata, error, type, bytes and flags of each event."""
    count = len(subscriptions)
    start, events, out = guest.put(b"".join(subscriptions)), guest.room(32 * count), guest.room(4)
    error = guest.call("poll_oneoff", start, events, count, out)
    if error != "success":
        return error
    found = [guest.unpack("<QHBxxxxxQH", events + 32 * index) for index in range(guest.u32(out))]
    names = {0: "success", 8: "badf", 28: "inval", 58: "notsup", 76: "notcapable"}
    return [(userdata, names[error], *rest) for userdata, error, *rest in found]


@pytest.mark.parametrize(
    ("clock", "read"),
    [
        (REALTIME, time.time_ns),
        (MONOTONIC, time.monotonic_ns),
        (PROCESS, time.process_time_ns),
        (THREAD, time.thread_time_ns),
    ],
)
def test_clocks(guest: Guest, clock: int, read: Callable[[], int]) -> None:
    out = guest.room(8)
    before = read()
    assert guest.call("clock_time_get", clock, 0, out) == "success"
    assert before <= guest.u64(out) <= read()
    assert guest.call("clock_res_get", clock, out) == "success"
    assert 1 <= guest.u64(out) <= 10**9


@pytest.mark.parametrize("clock", [4, -1, 0x7FFF_FFFF])
def test_no_such_clock(guest: Guest, clock: int) -> None:
    assert guest.call("clock_time_get", clock, 0, guest.room(8)) == "inval"
    assert guest.call("clock_res_get", clock, guest.room(8)) == "inval"


def test_relative_timers(guest: Guest) -> None:
    for clock in (REALTIME, MONOTONIC):
        start = time.monotonic_ns()
        found = poll(guest, timer(guest, 7, clock, 10**15), timer(guest, 1 << 63, clock, 20_000_000))
        assert found == [(1 << 63, "success", CLOCK, 0, 0)]
        assert time.monotonic_ns() - start >= 20_000_000  # the other timer is eleven days away


def test_absolute_timers(guest: Guest) -> None:
    for clock, read in ((REALTIME, time.time_ns), (MONOTONIC, time.monotonic_ns)):
        due = read() + 20_000_000
        assert poll(guest, timer(guest, 1, clock, due, 1)) == [(1, "success", CLOCK, 0, 0)]
        assert read() >= due - 5_000_000
        assert poll(guest, timer(guest, 1, clock, 5, 1)) == [(1, "success", CLOCK, 0, 0)]


def test_timers_that_cannot_be(guest: Guest) -> None:
    assert poll(guest, timer(guest, 1, PROCESS, 0)) == [(1, "notsup", CLOCK, 0, 0)]
    assert poll(guest, timer(guest, 2, 9, 0), timer(guest, 3, MONOTONIC, 10**18)) == [(2, "inval", CLOCK, 0, 0)]
    assert poll(guest) == "inval"
    assert poll(guest, watch(guest, 1, 3, 0)) == "inval"
    assert guest.call("poll_oneoff", 64, 64, 1 << 15, 64) == "fault"
    assert guest.call("poll_oneoff", 64, 64, 1 << 28, 64) == "inval"


def test_what_is_always_ready(guest: Guest) -> None:
    file = guest.fd("file", 0, READ | WRITE | POLL)
    found = poll(
        guest,
        watch(guest, 1, FD_READ, file),
        watch(guest, 2, FD_WRITE, file),
        watch(guest, 3, FD_READ, 0),
        watch(guest, 4, FD_WRITE, 1),
        timer(guest, 5, MONOTONIC, 10**18),
    )
    assert isinstance(found, list)
    assert [(userdata, error, kind) for userdata, error, kind, _, _ in found] == [
        (1, "success", FD_READ),
        (2, "success", FD_WRITE),
        (3, "success", FD_READ),
        (4, "success", FD_WRITE),
    ]
    assert found[0][3] == 6


def test_what_cannot_be_watched(guest: Guest) -> None:
    file = guest.fd("file", 0, READ | WRITE)
    assert poll(guest, watch(guest, 1, FD_READ, 99)) == [(1, "badf", FD_READ, 0, 0)]
    assert poll(guest, watch(guest, 1, FD_READ, file)) == [(1, "notcapable", FD_READ, 0, 0)]
    assert poll(guest, watch(guest, 1, FD_WRITE, 0)) == [(1, "badf", FD_WRITE, 0, 0)]


def test_a_pipe(guest: Guest) -> None:
    reader, writer = guest.fd("fifo", 0, READ | POLL), guest.fd("fifo", 0, WRITE | POLL)
    assert poll(guest, watch(guest, 1, FD_READ, reader), timer(guest, 2, MONOTONIC, 10**7)) == [
        (2, "success", CLOCK, 0, 0)
    ]
    both = watch(guest, 1, FD_READ, reader), watch(guest, 2, FD_WRITE, writer)
    assert poll(guest, *both) == [(2, "success", FD_WRITE, 1, 0)]
    host = guest.wasi._table.find(writer).host
    threading.Timer(0.05, os.write, (host, b"hello")).start()
    assert poll(guest, watch(guest, 1, FD_READ, reader)) == [(1, "success", FD_READ, 5, 0)]
    assert poll(guest, *both) == [(1, "success", FD_READ, 5, 0), (2, "success", FD_WRITE, 1, 0)]
    assert guest.read(reader) == b"hello"
    assert guest.call("fd_close", writer) == "success"
    assert poll(guest, watch(guest, 1, FD_READ, reader)) == [(1, "success", FD_READ, 0, 1)]


@pytest.mark.parametrize("what", ["clock", "pipe", "read"])
def test_waits_can_be_interrupted(guest: Guest, what: str) -> None:
    reader, _ = guest.fd("fifo", 0, READ | POLL), guest.fd("fifo", 0, WRITE)
    before = signal.getsignal(signal.SIGALRM)
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    wait: dict[str, Callable[[], object]] = {
        "clock": lambda: poll(guest, timer(guest, 1, MONOTONIC, -1)),
        "pipe": lambda: poll(guest, watch(guest, 1, FD_READ, reader), timer(guest, 2, REALTIME, 1 << 62)),
        "read": lambda: guest.read(reader),
    }
    try:
        with pytest.raises(KeyboardInterrupt):
            wait[what]()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert guest.read(guest.fd("file")) == b"inside"
    assert guest.call("fd_close", ROOT) == "success"
