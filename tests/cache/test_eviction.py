"""Which entries go, which stay, and what is not touched."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from figwasp.cache import entries, eviction
from figwasp.cache.cache import Cache
from figwasp.cache.entries import DAY
from tests.cache.folders import KEY, NOBODY, PAYLOAD, entry, names, somebody_else

SIZE = 56 + len(PAYLOAD)
"""Bytes of the file of an entry."""
NOW = 1_800_000_000.0


def used(folder: Path, number: int, when: float) -> Path:
    """Make an entry with a time of last use."""
    path = entry(folder, bytes([number]) * 32)
    os.utime(path, (when, when))
    return path


def left(folder: Path) -> list[int]:
    return sorted(int(name[:2], 16) for name in names(folder) if entries.is_entry(name))


@pytest.fixture(autouse=True)
def the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW)


@pytest.mark.parametrize(("room", "stay"), [(5, [0, 1, 2, 3, 4]), (4, [0, 1, 2, 4]), (3, [0, 2, 4]), (1, [4]), (0, [])])
def test_the_oldest_go(tmp_path: Path, room: int, stay: list[int]) -> None:
    for number, days in enumerate([3, 4, 2, 5, 1]):
        used(tmp_path, number, NOW - days * DAY)
    eviction.evict(str(tmp_path), room * SIZE, 5)
    assert left(tmp_path) == stay


def test_no_more_go_than_have_to(tmp_path: Path) -> None:
    for number in range(5):
        used(tmp_path, number, NOW - (9 - number) * DAY)
    eviction.evict(str(tmp_path), 3 * SIZE - 1)
    assert left(tmp_path) == [3, 4]


def test_too_many(tmp_path: Path) -> None:
    for number in range(6):
        used(tmp_path, number, NOW - number * DAY)
    eviction.evict(str(tmp_path), most=4)
    assert left(tmp_path) == [0, 1, 2, 3]


def test_the_clock_has_been_set_back(tmp_path: Path) -> None:
    """Entries of the future have not been used since, or they would have a time of today."""
    used(tmp_path, 0, NOW + 300 * DAY)
    used(tmp_path, 1, NOW - 3 * DAY)
    used(tmp_path, 2, NOW + 200 * DAY)
    used(tmp_path, 3, NOW + DAY / 2)  # the clock of another machine
    for room, stay in ((3, [0, 1, 3]), (2, [1, 3]), (1, [3])):
        eviction.evict(str(tmp_path), room * SIZE)
        assert left(tmp_path) == stay


def test_what_is_read_stays(tmp_path: Path) -> None:
    used(tmp_path, 0, 1)
    used(tmp_path, 1, 2)
    path = used(tmp_path, 2, 0)
    assert entries.read(str(tmp_path), bytes([2]) * 32) == PAYLOAD
    os.utime(path, (NOW, NOW))  # by the clock of the disk, which nobody has changed
    eviction.evict(str(tmp_path), SIZE)
    assert left(tmp_path) == [2]


@pytest.mark.parametrize(("when", "goes"), [(NOW, False), (NOW - 3500, False), (NOW - 3700, True), (NOW + 3500, False), (NOW + 3700, True)])
def test_parts(tmp_path: Path, when: float, goes: bool) -> None:
    """Those that somebody may still be writing stay."""
    path = tmp_path / f"{KEY.hex()}.{'01' * 8}.part"
    path.write_bytes(b"half")
    os.utime(path, (when, when))
    eviction.evict(str(tmp_path))
    assert path.exists() is not goes


def test_what_is_not_ours_stays(tmp_path: Path) -> None:
    """Whoever names a folder with other things in it keeps them."""
    own = entry(tmp_path)
    for name in ("note.txt", own.stem, f"{own.name}.bak", f"x{own.name}", own.name.upper(), ".entry", ".part", "written.txt"):
        (tmp_path / name).write_bytes(b"mine")
    (tmp_path / f"{'01' * 32}.entry").mkdir()
    (tmp_path / f"{'02' * 32}.entry").symlink_to("note.txt")
    os.mkfifo(tmp_path / f"{'03' * 32}.entry")
    (tmp_path / "folder").mkdir()
    entry(tmp_path / "folder")
    for name in os.listdir(tmp_path):
        if not (tmp_path / name).is_symlink():
            os.utime(tmp_path / name, (1, 1))
    before = names(tmp_path)
    eviction.evict(str(tmp_path), 0)
    assert names(tmp_path) == [name for name in before if name != own.name]
    entry(tmp_path)
    assert eviction.clear(str(tmp_path)) == (1, SIZE)
    assert names(tmp_path) == [name for name in before if name != own.name]
    assert len(names(tmp_path / "folder")) == 1


def test_entries_of_somebody_else_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = entry(tmp_path)
    with somebody_else(monkeypatch):
        eviction.evict(str(tmp_path), 0)
        assert eviction.clear(str(tmp_path)) == (0, 0)
    assert path.exists()
    if os.geteuid() == 0:
        os.chown(path, NOBODY, -1)
        assert eviction.clear(str(tmp_path)) == (0, 0)


def test_nothing_there(tmp_path: Path) -> None:
    for path in (tmp_path / "absent", tmp_path, tmp_path / "file"):
        eviction.evict(str(path), 0)
        assert eviction.clear(str(path)) == (0, 0)
        (tmp_path / "file").touch()


def test_what_goes_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process removes the same."""
    used(tmp_path, 0, 0)
    used(tmp_path, 1, NOW)
    whole = os.unlink

    def unlink(path: str) -> None:
        whole(path)
        whole(path)

    monkeypatch.setattr(os, "unlink", unlink)
    eviction.evict(str(tmp_path), SIZE)
    assert left(tmp_path) == [1]
    assert eviction.clear(str(tmp_path)) == (0, 0)


# When


def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note when somebody looks through a folder."""
    found: list[str] = []
    monkeypatch.setattr(eviction, "evict", found.append)
    return found


def test_not_at_every_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = looks(monkeypatch)
    for number in range(3 * (eviction.BETWEEN + 1)):
        assert Cache(str(tmp_path)).write(KEY, PAYLOAD), "each time another process"
        assert len(found) == (number + 1) // (eviction.BETWEEN + 1)
    assert found == [str(tmp_path)] * 3


def test_large_entries_count_for_more(tmp_path: Path) -> None:
    assert [eviction.is_due(str(tmp_path), 30 << 20) for _ in range(6)] == [False, False, True, False, False, True]


@pytest.mark.parametrize("kind", ["folder", "symlink", "fifo"])
def test_what_counts_is_something_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Then it is looked at each time."""
    (tmp_path / "cache").mkdir(0o700)
    path, outside = tmp_path / "cache" / "written", tmp_path / "outside"
    outside.write_bytes(b"mine" * 100)
    if kind == "folder":
        path.mkdir()
    elif kind == "symlink":
        path.symlink_to(outside)
    else:
        os.mkfifo(path)
    found = looks(monkeypatch)
    for _ in range(3):
        assert Cache(str(path.parent)).write(KEY, PAYLOAD)
    assert len(found) == 3
    assert outside.read_bytes() == b"mine" * 100


def test_the_size_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = eviction.evict
    monkeypatch.setattr(eviction, "evict", lambda folder: whole(folder, 10 * SIZE))
    cache = Cache(str(tmp_path))
    most = 0
    for number in range(400):
        assert cache.write(number.to_bytes(32, "big"), PAYLOAD)
        most = max(most, len(eviction.entries_in(str(tmp_path))))
    assert most == 10 + eviction.BETWEEN
