"""Processes that fill one folder at once, and such as are killed while they do."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from figwasp.cache import entries, eviction
from figwasp.cache.cache import Cache
from tests.cache.folders import KEY, OTHER_KEY, entry, names, read

HOUR = 3600


def payload_of(number: int, size: int = 100_000) -> bytes:
    """Make what an entry may hold: from its last byte it can be told whether all of it is right."""
    return bytes([number]) * size


def is_whole(found: bytes | None) -> bool:
    return found is None or found == payload_of(found[-1], len(found))


def forked(work: Callable[[], object]) -> int:
    """Do some work in another process; return its id."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        work()
        status = 0
    finally:
        os._exit(status)


def test_killed_while_writing(tmp_path: Path) -> None:
    """At any moment: an entry is what it was or what it was to be. What is left of the other goes, once it is old."""
    chance = random.Random()
    cache = Cache(str(tmp_path))
    assert cache.write(KEY, payload_of(255))

    def fill() -> None:
        for number in range(1 << 30):
            cache.write(KEY, payload_of(number % 250, 1_000_000 + number))

    kills = 0
    while kills < 40 or not parts(tmp_path):
        pid = forked(fill)
        time.sleep(chance.uniform(0, 0.02))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        kills += 1
        found = cache.read(KEY)
        assert found is not None and is_whole(found)
        assert kills < 5000, "never in the middle of a file"
    fresh = parts(tmp_path)
    eviction.evict(str(tmp_path))
    assert parts(tmp_path) == fresh, "somebody may be writing them"
    for name in fresh:
        os.utime(tmp_path / name, (time.time() - 2 * HOUR,) * 2)
    eviction.evict(str(tmp_path))
    assert parts(tmp_path) == []
    assert cache.read(KEY) is not None


def parts(folder: Path) -> list[str]:
    return [name for name in names(folder) if entries.is_part(name)]


def test_many_fill_one_entry(tmp_path: Path) -> None:
    """What is read is what one of them has written."""
    cache = Cache(str(tmp_path / "made" / "by" / "the fastest"))

    def fill(number: int) -> None:
        for turn in range(150):
            assert cache.write(KEY, payload_of(number, 50_000 + turn * 100))
            found = cache.read(KEY)
            assert found is not None and is_whole(found)

    pids = [forked(partial(fill, number)) for number in range(4)]
    for _ in range(300):
        assert is_whole(cache.read(KEY))
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * 4
    assert cache.read(KEY) in [payload_of(number, 50_000 + 149 * 100) for number in range(4)]
    assert parts(Path(cache.path)) == []


def test_many_fill_and_evict(tmp_path: Path) -> None:
    """Each entry is right or gone, while everybody writes, reads, and makes room."""
    folder = str(tmp_path)

    def work(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(150):
            number = chance.randrange(20)
            if chance.random() < 0.5:
                assert entries.write(folder, bytes([number]) * 32, payload_of(number, 10_000))
            found = entries.read(folder, bytes([number]) * 32)
            assert found is None or found == payload_of(number, 10_000)
            eviction.evict(folder, 80_000)

    pids = [forked(partial(work, seed)) for seed in range(4)]
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * 4
    eviction.evict(folder, 80_000)
    left = eviction.entries_in(folder)
    assert left and sum(one.size for one in left) <= 80_000
    assert parts(tmp_path) == []


def test_cleared_while_somebody_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part that goes before it has its name is an entry that has not been written."""
    entry(tmp_path, OTHER_KEY)
    whole = os.rename

    def rename(source: str, target: str) -> None:
        assert eviction.clear(str(tmp_path)) == (2, 56 + 100 + 56 + 3)
        whole(source, target)

    monkeypatch.setattr(os, "rename", rename)
    assert not entries.write(str(tmp_path), KEY, b"new")
    assert names(tmp_path) == []
    assert read(tmp_path) is None
