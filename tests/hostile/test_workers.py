"""The runner of cases itself: a case that kills its process or hangs is noted under its number, and the rest goes on."""

from __future__ import annotations

import os
import select
import signal
import time
from types import SimpleNamespace
from typing import Any

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


def patient(monkeypatch: pytest.MonkeyPatch, most: int = 20) -> Watch:
    """Give a watch that has no patience with the case that hangs, and as much as ever with a worker that starts, however slowly."""
    watch = Watch("workers", most=most)

    def wait(files: list[Any], _write: list[Any], _except: list[Any], limit: float) -> Any:
        assert limit == workers.HANG
        hangs = watch._number == 5 and not watch._answered
        return select.select(files, [], [], 0.1 if hangs else limit)

    monkeypatch.setattr(workers, "select", SimpleNamespace(select=wait))
    return watch


def test_what_goes_wrong_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = patient(monkeypatch)
    watch.run(0, 10)
    assert [number for number, _ in watch.bad] == [3, 5, 6, 7]
    notes = dict(watch.bad)
    assert notes[3] == "the process ended with SIGSEGV"
    assert notes[5] == f"no answer for {workers.HANG} seconds"
    assert notes[6].endswith("ValueError: six")
    assert notes[7] == "seven"
    assert watch.counts == {"fine": 6, "bad": 4}


def test_it_stops_when_much_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = patient(monkeypatch, most=2)
    watch.run(0, 10)
    assert [number for number, _ in watch.bad] == [3, 5]
