"""The runner of cases itself: a case that kills its process or hangs is noted under its number, and the rest goes on."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.hostile import workers
from tests.hostile.workers import Watch


def run_case(number: int) -> str:
    """Fail in different ways."""
    if number == 3:
        os.kill(os.getpid(), signal.SIGSEGV)
    if number == 5:
        time.sleep(3600)
    if number == 6:
        raise ValueError("six")
    return "bad: seven" if number == 7 else "fine"


@pytest.fixture(autouse=True)
def _short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "HANG", 15)  # the worker starts and does a case meanwhile, also where much else goes on


def test_what_goes_wrong_is_noted() -> None:
    watch = Watch("workers")
    watch.run(0, 10)
    assert [number for number, _ in watch.bad] == [3, 5, 6, 7]
    notes = dict(watch.bad)
    assert notes[3] == "the process ended with SIGSEGV"
    assert notes[5] == "no answer for 15 seconds"
    assert notes[6].endswith("ValueError: six")
    assert notes[7] == "seven"
    assert watch.counts == {"fine": 6, "bad": 4}


def test_it_stops_when_much_is_wrong() -> None:
    watch = Watch("workers", most=2)
    watch.run(0, 10)
    assert [number for number, _ in watch.bad] == [3, 5]
