"""What a guest makes the host keep is bounded: it takes more and more until it is told that there is no more.

The rows of the table in docs/limits.md that are about WASI.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from figwasp.wasi import (
    WASI,
    Directory,
    HostDirectory,
    MemoryDirectory,
    OverlayDirectory,
    ResourceDirectory,
    ZipDirectory,
)
from figwasp.wasi.descriptors.table import LISTINGS
from tests.wasi.guest import Guest

DIRECTORY, READ, READDIR = 2, 1 << 1, 1 << 14
MANY = 4000
NAMES = {f"{k:0200}": "" for k in range(MANY)}


def guest_of(directory: Any, **options: Any) -> Guest:
    return Guest(WASI(dirs={"/": directory}, stdin=b"", stdout=io.BytesIO(), stderr=io.BytesIO(), **options))


def resident() -> int:
    """Return what the process takes of memory, in MiB."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20


def read_directory(guest: Guest, fd: int, cookie: int = 0) -> str:
    return guest.call("fd_readdir", fd, guest.room(8), 8, cookie, guest.room(4))


def test_listings() -> None:
    guest = guest_of(MemoryDirectory(NAMES, limit=8 << 20))
    before = resident()
    opened = [guest.fd(".", DIRECTORY, READDIR)]
    while (answer := read_directory(guest, opened[-1])) == "success":
        opened.append(guest.fd(".", DIRECTORY, READDIR))
    assert answer == "nomem"
    late = opened.pop()
    assert len(opened) == LISTINGS // ((MANY + 2) * (128 + 24) + MANY * 200 + 3)
    assert resident() - before < (LISTINGS >> 20)
    # Looking once more takes no more, and what is closed makes room.
    assert read_directory(guest, opened[0]) == "success"
    assert read_directory(guest, late) == "nomem"
    assert guest.call("fd_close", opened[0]) == "success"
    assert read_directory(guest, late) == "success"


def test_one_listing_too_long(tmp_path: Path) -> None:
    """What is on the host's disk may be more than memory holds: looking ends when there is too much."""
    for k in range(300):
        (tmp_path / f"{k:0250}").touch()
    for directory in HostDirectory(tmp_path), OverlayDirectory(MemoryDirectory(), HostDirectory(tmp_path)):
        guest = guest_of(directory)
        listings = guest.wasi._table.listings
        before = len(os.listdir("/dev/fd"))
        listings.left = 300 * 402
        left = listings.left
        assert read_directory(guest, 3) == "nomem"
        assert (listings.left, len(os.listdir("/dev/fd"))) == (left, before)
        listings.left = left + 307
        assert read_directory(guest, 3) == "success"
        assert len(guest.listing(3)) == 302


def archive(**members: int) -> zipfile.ZipFile:
    """Make an archive of members of so many MiB of the same byte."""
    made = zipfile.ZipFile(io.BytesIO(), "w", zipfile.ZIP_DEFLATED)
    for name, size in members.items():
        made.writestr(f"lib/{name}", b"x" * (size << 20))
    return made


KINDS: dict[str, Callable[[zipfile.ZipFile], Directory]] = {
    "zip": lambda made: ZipDirectory(made, limit=20 << 20),
    "resources": lambda made: ResourceDirectory(zipfile.Path(made), limit=20 << 20),
}


@pytest.mark.parametrize("kind", KINDS)
def test_members_of_archives(kind: str) -> None:
    """Whoever has a member open shares one copy, and different ones are limited together."""
    before = resident()
    guest = guest_of(KINDS[kind](archive(a=8, b=8, c=8, d=24)))
    opened = [guest.fd("lib/a", 0, READ) for _ in range(100)]
    assert guest.read(opened[-1], 8) == b"x" * 8
    assert resident() - before < 60
    other = guest.fd("lib/b", 0, READ)
    assert [guest.open("lib/c", 0, READ), guest.open("lib/d", 0, READ)] == ["nomem", "nomem"]
    assert guest.call("fd_close", other) == "success"
    third = guest.fd("lib/c", 0, READ)
    assert [guest.call("fd_close", fd) for fd in (*opened, third)] == ["success"] * 101
    assert [isinstance(guest.open(f"lib/{name}", 0, READ), int) for name in "bcd"] == [True, True, False]


def test_directories_of_resources_are_kept_once() -> None:
    root = KINDS["resources"](archive(a=0))
    assert root.enter("lib") is root.enter("lib")
    assert root.enter("lib").look("a").inode == root.enter("lib").look("a").inode == 3
