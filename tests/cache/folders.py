"""What the tests of the cache share: entries, the ways in which files are spoilt, and another user."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from figwasp.cache import entries

KEY = bytes(range(32))
OTHER_KEY = bytes(range(1, 33))
PAYLOAD = b"code" * 25
NOBODY = 65534
"""A user who owns nothing."""


def entry(folder: Path, key: bytes = KEY, payload: bytes = PAYLOAD) -> Path:
    """Write an entry and return the path of its file."""
    assert entries.write(str(folder), key, payload)
    return Path(entries.path_of(str(folder), key))


def read(folder: Path, key: bytes = KEY) -> bytes | None:
    return entries.read(str(folder), key)


def is_rewritten(folder: Path) -> bool:
    """Write the entry and return whether it can be read then, and is a file as it should be."""
    path = entry(folder)
    return read(folder) == PAYLOAD and path.is_file() and not path.is_symlink() and path.stat().st_mode & 0o777 == 0o600


def names(folder: Path) -> list[str]:
    """Return the names of what is in a folder."""
    return sorted(path.name for path in folder.iterdir())


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@contextmanager
def somebody_else(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process of another user, as far as it asks who it is."""
    own = os.geteuid()
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: own + 1)
        yield


@contextmanager
def without_privileges(folder: Path) -> Iterator[None]:
    """A process that permissions hold for, whom a folder and all above it belong to; root can do anything."""
    if os.geteuid():
        yield
        return
    for path in (folder, *folder.parents[:3]):
        os.chown(path, NOBODY, -1)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        for path in (folder, *folder.parents[:3]):
            os.chown(path, 0, -1)
