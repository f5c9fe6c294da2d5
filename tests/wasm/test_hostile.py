"""Hostile input to the format ends in the outcome that `hostile.TABLE` says, in bounded time and memory."""

from __future__ import annotations

import pytest

from tests.hostile.workers import Watch
from tests.wasm import hostile
from tests.wasm.hostile import TABLE, Row, run_case


def test_outcomes() -> None:
    watch = Watch("formats", verify=False)
    watch.run(0, len(TABLE))
    assert not watch.bad, "\n".join(f"row {number}, {TABLE[number][0]}: {what}" for number, what in watch.bad)
    assert sum(watch.counts.values()) == len(TABLE)
    # The table has some of every kind.
    assert {word: count >= 15 for word, count in watch.counts.items()} == dict.fromkeys(watch.counts, True)
    assert watch.counts.keys() == {"ok", "Malformed", "ParseError", "Invalid", "LimitExceeded"}


def test_every_row_has_a_name_of_its_own() -> None:
    names = [name for name, _, _ in TABLE]
    assert len(names) == len(set(names)) > 300


@pytest.mark.parametrize(
    ("row", "patch", "wrong"),
    [
        (("nothing", lambda: b"", "ok"), {}, "'Malformed: unexpected end"),
        (("nothing", lambda: b"", "Malformed: something else"), {}, "'Malformed: unexpected end"),
        (("nothing", lambda: b"", "Malformed"), {"TURNS": -1, "BRIEF": -1}, "0.0 seconds"),
        (("much", lambda: bytes(10**7), "Malformed"), {"GROWTH": -(1 << 30)}, "MiB"),
    ],
)
def test_what_is_wrong_is_said(row: Row, patch: dict[str, int], wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostile, "TABLE", [row])
    for name, value in patch.items():
        monkeypatch.setattr(hostile, name, value)
    answer = run_case(0)
    assert answer.startswith("bad: ") and wrong in answer
