"""Hostile input to the format ends in the outcome that `hostile.TABLE` says, in bounded time and memory."""

from __future__ import annotations

from collections import Counter

import pytest

from tests import speed
from tests.hostile.workers import Watch
from tests.wasm import hostile
from tests.wasm.hostile import TABLE, Row, run_case

PARTS = 48
"""Into how many tests the rows are split."""


@pytest.mark.parametrize("part", range(PARTS))
def test_outcomes(part: int) -> None:
    first, end = part * len(TABLE) // PARTS, (part + 1) * len(TABLE) // PARTS
    watch = Watch("formats", verify=False)
    watch.run(first, end - first)
    assert not watch.bad, "\n".join(f"row {number}, {TABLE[number][0]}: {what}" for number, what in watch.bad)
    assert sum(watch.counts.values()) == end - first


def test_the_table_has_some_of_every_kind() -> None:
    kinds = Counter(expected.partition(":")[0] for _, _, expected in TABLE)
    assert all(kinds[kind] >= 15 for kind in ("ok", "Malformed", "ParseError", "Invalid", "LimitExceeded")), kinds


def test_every_row_has_a_name_of_its_own() -> None:
    names = [name for name, _, _ in TABLE]
    assert len(names) == len(set(names)) > 300


@pytest.mark.parametrize(
    ("row", "patch", "wrong"),
    [
        (("nothing", lambda: b"", "ok"), {}, "'Malformed: unexpected end"),
        (("nothing", lambda: b"", "Malformed: something else"), {}, "'Malformed: unexpected end"),
        (("nothing", lambda: b"", "Malformed"), {"TURNS": -1}, "0.0 seconds"),
        (("much", lambda: bytes(10**7), "Malformed"), {"GROWTH": -(1 << 30)}, "MiB"),
    ],
)
def test_what_is_wrong_is_said(row: Row, patch: dict[str, int], wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostile, "TABLE", [row])
    monkeypatch.setattr(speed, "BRIEF", -1)
    for name, value in patch.items():
        monkeypatch.setattr(hostile, name, value)
    answer = run_case(0)
    assert answer.startswith("bad: ") and wrong in answer
