"""Pauses of the cycle collector: over when the last of them is, whatever threads, interrupts and the program do meanwhile."""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

import figwasp
from figwasp.runtime.code import collector, teardown

pytestmark = pytest.mark.usefixtures("thawed")

HUGE = 200_000
"""Additions in a function that takes seconds to compile."""


class Struck(BaseException):
    """What a trace function raises."""


@pytest.fixture(autouse=True)
def thresholds() -> Iterator[tuple[int, int, int]]:
    """See that they are the same again afterwards, and that the collector is switched on."""
    before = gc.get_threshold()
    yield before
    assert gc.get_threshold() == before and gc.isenabled()


def paused() -> bool:
    """Whether the collector is."""
    return gc.get_threshold()[0] > 10**6


def test_after_a_timeout(thresholds: tuple[int, int, int]) -> None:
    """The collector goes on at once when a compilation has been given up, however many are being taken apart."""
    text = "(local.get 0)" + "(local.get 0) i32.add" * HUGE
    data = figwasp.wat(f'(module (func (export "f") (param i32) (result i32) {text}))')
    inst = figwasp.load(data, engine=figwasp.Engine(tier="optimize"))
    for _ in range(6):
        with pytest.raises(figwasp.Timeout):
            inst.f(0, timeout=0.2)
        assert gc.get_threshold() == thresholds and gc.isenabled()


def test_what_is_taken_apart_is_not_looked_at() -> None:
    """Objects of an abandoned compilation are old ones when the collector goes on."""
    things: list[Any] = []

    def work() -> None:
        things.extend([] for _ in range(100_000))
        collector.age()

    collector.without_collections(work)
    assert gc.get_count()[0] < 1000 and gc.get_freeze_count() == 0


def test_frozen_objects_stay_frozen() -> None:
    """What the program has frozen is not thawed."""
    gc.freeze()
    try:
        collector.age()
        assert gc.get_freeze_count() > 1000
    finally:
        gc.unfreeze()


def test_the_users_switch() -> None:
    """What the program does to the collector during a pause stays as it is."""

    def off() -> None:
        assert gc.isenabled() and paused()
        gc.disable()

    collector.without_collections(off)
    try:
        assert not gc.isenabled()
        collector.without_collections(lambda: None)
        assert not gc.isenabled()
        collector.without_collections(gc.enable)
        assert gc.isenabled()
    finally:
        gc.enable()


def test_the_users_threshold(thresholds: tuple[int, int, int]) -> None:
    """So does a threshold, which holds during the next pause's time no more than the one before."""
    chosen = (1234, *thresholds[1:])
    try:
        collector.without_collections(gc.set_threshold, *chosen)
        assert gc.get_threshold() == chosen
        assert collector.without_collections(paused)
        assert gc.get_threshold() == chosen
    finally:
        gc.set_threshold(*thresholds)


def test_overlapping_threads() -> None:
    """It goes on when the last pause is over, in whatever order they end."""
    first, second = threading.Event(), threading.Event()
    begun = threading.Barrier(3)

    def work(until: threading.Event) -> None:
        begun.wait()
        until.wait()

    threads = [threading.Thread(target=collector.without_collections, args=(work, event)) for event in (first, second)]
    for thread in threads:
        thread.start()
    begun.wait()
    first.set()
    threads[0].join()
    assert paused()
    second.set()
    threads[1].join()
    assert not paused()


def test_many_threads() -> None:
    """Many pauses in threads that switch all the time leave nothing behind."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    seen: list[bool] = []

    def run() -> None:
        for _ in range(200):
            seen.append(collector.without_collections(paused))

    try:
        threads = [threading.Thread(target=run) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert len(seen) == 1600


@pytest.mark.parametrize("failing", [False, True])
def test_an_exception_at_every_line(failing: bool) -> None:
    """An interrupt anywhere in there comes out, and the pause is over."""

    def work() -> int:
        if failing:
            raise ValueError
        return 7

    for strike in range(1, 200):
        left = strike

        def trace(frame: FrameType, event: str, arg: object) -> Any:
            nonlocal left
            if not frame.f_code.co_filename.endswith("collector.py"):
                return None
            if event == "line":
                left -= 1
                # CPython delivers interrupts where functions begin, at calls and where loops go back: not at such a line.
                if left <= 0 and frame.f_code.co_name != "without_collections":
                    sys.settrace(None)
                    raise Struck
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            collector.without_collections(work)
        except (Struck, ValueError):
            pass
        finally:
            sys.settrace(before)
        assert not paused() and not collector._pauses
        if left > 0:
            assert strike > 8
            return
    raise AssertionError("it never came to an end")


def lines_until(strike: int, act: Callable[[], None], work: Callable[[], None]) -> int:
    """Do something, and something else before its line of the collector's number `strike`; return how many lines that was away."""
    left = strike
    enough = collector._before

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal left
        if not frame.f_code.co_filename.endswith("/collector.py"):
            return None
        if event == "line":
            left -= 1
            if left == 0:
                act()
            elif left < -200:  # it never comes to an end: help it
                collector._before = enough
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return left


@pytest.mark.parametrize("ending", [False, True])
def test_another_pause_at_every_line(ending: bool) -> None:
    """Wherever another thread begins one, or ends one, while a pause begins and ends: it goes on when the last is over."""
    for strike in range(1, 200):
        other = collector._Pause()
        if ending:
            other.begin()

        def work(other: collector._Pause = other) -> None:
            collector.without_collections(lambda: None)
            assert paused() == bool(collector._pauses)
            other.end()

        left = lines_until(strike, other.end if ending else other.begin, work)
        assert left > -200
        other.end()  # it may have begun while it was ended
        assert not paused() and not collector._pauses
        if left > 0:
            assert strike > 20
            return


def test_a_fork_during_pauses() -> None:
    """In a child the pauses of other threads are over, and one's own is not."""
    done, begun = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        done.wait()

    other = threading.Thread(target=collector.without_collections, args=(work,))
    other.start()
    begun.wait()

    def fork() -> int:
        child = os.fork()
        if not child:
            os._exit(0 if paused() and len(collector._pauses) == 1 else 1)
        return os.waitpid(child, 0)[1]

    try:
        assert collector.without_collections(fork) == 0
        child = os.fork()
        if not child:
            os._exit(0 if not paused() and not teardown._working else 1)
        assert os.waitpid(child, 0)[1] == 0
    finally:
        done.set()
        other.join()
