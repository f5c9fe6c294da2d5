"""Entries: what is written is read, whatever it is, and what is damaged is as if it were not there."""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from figwasp.cache import entries
from tests.cache.folders import KEY, OTHER_KEY, PAYLOAD, entry, is_rewritten, names, open_files, read

HEAD = 56
"""Bytes before what an entry holds."""


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=3000))
def test_what_is_written_is_read(key: bytes, payload: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        assert entries.read(folder, key) is None
        for given_ in (payload, bytearray(payload), memoryview(payload)):
            assert entries.write(folder, key, given_)
            assert entries.read(folder, key) == payload
        assert [entries.is_entry(name) for name in os.listdir(folder)] == [True]


def test_a_large_one(tmp_path: Path) -> None:
    payload = random.Random(1).randbytes(10_000_000)
    assert entry(tmp_path, KEY, payload).stat().st_size == HEAD + len(payload)
    assert read(tmp_path) == payload


def test_wide_items_of_a_view_are_bytes_in_the_file(tmp_path: Path) -> None:
    assert entries.write(str(tmp_path), KEY, memoryview(b"01234567").cast("Q"))
    assert read(tmp_path) == b"01234567"


def test_too_large_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "LARGEST", len(PAYLOAD))
    entry(tmp_path)
    assert not entries.write(str(tmp_path), OTHER_KEY, PAYLOAD + b"!")
    assert len(names(tmp_path)) == 1


def test_every_bit(tmp_path: Path) -> None:
    """A bit that is flipped is found, wherever it is."""
    path = entry(tmp_path)
    good = path.read_bytes()
    for bit in range(8 * len(good)):
        bad = bytearray(good)
        bad[bit >> 3] ^= 1 << (bit & 7)
        path.write_bytes(bad)
        assert read(tmp_path) is None, f"bit {bit}"
    path.write_bytes(good)
    assert read(tmp_path) == PAYLOAD


def test_every_length(tmp_path: Path) -> None:
    """A file that has been cut off is found, wherever that is; so is one that something has been added to."""
    path = entry(tmp_path)
    good = path.read_bytes()
    for size in range(len(good)):
        path.write_bytes(good[:size])
        assert read(tmp_path) is None, f"{size} bytes"
    for more in (b"\0", b"\n", good):
        path.write_bytes(good + more)
        assert read(tmp_path) is None
    assert is_rewritten(tmp_path)


Damage = Callable[[bytearray, random.Random], None]


def _flip(data: bytearray, chance: random.Random) -> None:
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _fill(data: bytearray, chance: random.Random) -> None:
    """Put zeros, ones or noise over a stretch, as a disk does that has lost a block."""
    start = chance.randrange(len(data))
    size = chance.randrange(1, len(data) - start + 1)
    data[start : start + size] = chance.choice([bytes(size), b"\xff" * size, chance.randbytes(size)])


def _drop(data: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(data))
    del data[start : start + chance.randrange(1, 40)]


def _add(data: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(data))
    data[at:at] = chance.randbytes(chance.randrange(1, 40))


def _swap(data: bytearray, chance: random.Random) -> None:
    """Exchange two stretches of one size."""
    size = chance.randrange(1, 17)
    a, b = chance.randrange(len(data) - size), chance.randrange(len(data) - size)
    data[a : a + size], data[b : b + size] = data[b : b + size], data[a : a + size]


DAMAGES: list[Damage] = [_flip, _fill, _drop, _add, _swap]


@given(st.lists(st.sampled_from(DAMAGES), min_size=1, max_size=4), st.integers(0, 2000), st.integers(0, 2**32))
def test_any_damage(damages: list[Damage], size: int, seed: int) -> None:
    """What is read is what was written, or nothing."""
    chance = random.Random(seed)
    payload = chance.randbytes(size)
    with tempfile.TemporaryDirectory() as name:
        path = entry(Path(name), KEY, payload)
        good = path.read_bytes()
        bad = bytearray(good)
        for damage in damages:
            if len(bad) > 17:
                damage(bad, chance)
        path.write_bytes(bad)
        assert entries.read(name, KEY) == (payload if bad == good else None)


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 4096, b"#!/bin/sh\n" * 100, b"\x7fELF" + bytes(200), b"\x7ffigwasp"[:8], b"\x7ffigwasp" + b"\xff" * 400],
    ids=["empty", "zeros", "script", "program", "magic", "ones"],
)
def test_foreign_contents(tmp_path: Path, content: bytes) -> None:
    path = entry(tmp_path)
    path.write_bytes(content)
    assert read(tmp_path) is None
    assert is_rewritten(tmp_path)


def test_another_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file of a later or an earlier figwasp is right by its checksum, and is not read."""
    for version in (entries._FORMAT - 1, entries._FORMAT + 1):
        with monkeypatch.context() as patch:
            patch.setattr(entries, "_FORMAT", version)
            entry(tmp_path)
            assert read(tmp_path) == PAYLOAD
        assert read(tmp_path) is None
        assert is_rewritten(tmp_path)


def test_swapped_files(tmp_path: Path) -> None:
    one, other = entry(tmp_path), entry(tmp_path, OTHER_KEY, b"other")
    third = tmp_path / "third"
    one.rename(third)
    other.rename(one)
    third.rename(other)
    assert (read(tmp_path), read(tmp_path, OTHER_KEY)) == (None, None)
    assert is_rewritten(tmp_path)


def test_a_copy_under_another_name(tmp_path: Path) -> None:
    path = entry(tmp_path)
    os.link(path, entries.path_of(str(tmp_path), OTHER_KEY))
    assert (read(tmp_path), read(tmp_path, OTHER_KEY)) == (PAYLOAD, None)


def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = entry(tmp_path)
    stat = os.fstat

    def fstat(fd: int) -> os.stat_result:
        found = stat(fd)
        os.truncate(path, HEAD + 10)
        return found

    monkeypatch.setattr(os, "fstat", fstat)
    assert read(tmp_path) is None


def test_reads_that_bring_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system may give fewer bytes than are asked for; those of an entry come together all the same."""
    entry(tmp_path)
    whole = os.read
    monkeypatch.setattr(os, "read", lambda fd, size: whole(fd, size if size == HEAD else min(size, 7)))
    assert read(tmp_path) == PAYLOAD


def test_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry(tmp_path)
    whole = os.read

    def nothing_left(fd: int, size: int) -> bytes:
        if size == HEAD:
            return whole(fd, size)
        raise MemoryError

    monkeypatch.setattr(os, "read", nothing_left)
    before = open_files()
    assert read(tmp_path) is None
    assert open_files() == before


@pytest.mark.parametrize("days", [-400, -2, 2, 400])
def test_use_is_noted(tmp_path: Path, days: int) -> None:
    """Once a day, and where the clock has been set back."""
    path = entry(tmp_path)
    os.utime(path, (time.time() + days * entries.DAY,) * 2)
    assert read(tmp_path) == PAYLOAD
    assert abs(path.stat().st_mtime - time.time()) < entries.DAY / 2


def test_use_is_not_noted_again_on_the_same_day(tmp_path: Path) -> None:
    path = entry(tmp_path)
    before = time.time() - entries.DAY / 2
    os.utime(path, (before, before))
    assert read(tmp_path) == PAYLOAD
    assert path.stat().st_mtime == pytest.approx(before, abs=1)


def test_use_of_what_was_not_read_is_not_noted(tmp_path: Path) -> None:
    path = entry(tmp_path)
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    os.utime(path, (1, 1))
    assert read(tmp_path) is None
    assert path.stat().st_mtime == 1


def test_use_that_cannot_be_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = entry(tmp_path)
    os.utime(path, (1, 1))

    def utime(_: int) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "utime", utime)
    assert read(tmp_path) == PAYLOAD


@pytest.mark.parametrize(
    ("name", "entry_", "part"),
    [
        ("ab" * 32 + ".entry", True, False),
        ("ab" * 32 + "." + "01" * 8 + ".part", False, True),
        ("AB" * 32 + ".entry", False, False),
        ("ab" * 31 + ".entry", False, False),
        ("ab" * 31 + "a .entry", False, False),
        ("ab" * 33 + ".entry", False, False),
        ("ab" * 32, False, False),
        ("ab" * 32 + ".entry~", False, False),
        ("x" * 64 + ".entry", False, False),
        ("\udcff" * 64 + ".entry", False, False),
        ("é" * 64 + ".entry", False, False),
        (".entry", False, False),
        (".part", False, False),
        ("ab" * 32 + ".part", False, False),
        ("ab" * 32 + "." + "0g" * 8 + ".part", False, False),
        ("ab" * 32 + ".." + "01" * 8 + ".part", False, False),
        ("written", False, False),
    ],
)
def test_names(name: str, entry_: bool, part: bool) -> None:
    assert (entries.is_entry(name), entries.is_part(name)) == (entry_, part)
