"""Disks that are full or read-only, and limits of the process: nothing is kept, nothing is left behind, and nothing is raised."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from figwasp.cache import entries
from figwasp.cache.cache import Cache
from tests.cache.folders import KEY, OTHER_KEY, PAYLOAD, entry, names, open_files, read, without_privileges
from tests.environment import HANG_GUARD, environment

LARGE = bytes(range(256)) * 1000


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that users without privileges can reach: those of pytest are for the one who runs it."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "home" / "cache" / "figwasp"
        path.mkdir(0o700, parents=True)
        yield path


@pytest.mark.parametrize("room", [0, 1, 15, 16, 55, 56, 57, 100_000, len(LARGE) + 55])
def test_a_disk_that_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    """What was there before stays."""
    entry(tmp_path)
    whole = os.write
    left = room

    def write(fd: int, data: memoryview) -> int:
        nonlocal left
        if not left:
            raise OSError(errno.ENOSPC, "No space left on device")
        done = whole(fd, data[:left])
        left -= done
        return done

    monkeypatch.setattr(os, "write", write)
    before = open_files()
    assert not entries.write(str(tmp_path), KEY, LARGE)
    assert open_files() == before
    assert len(names(tmp_path)) == 1
    assert read(tmp_path) == PAYLOAD


@pytest.mark.parametrize("at_once", [1, 7, 4096])
def test_a_disk_that_takes_little_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    whole = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: whole(fd, data[:at_once]))
    entry(tmp_path, KEY, LARGE[:20_000])
    assert read(tmp_path) == LARGE[:20_000]


@pytest.mark.parametrize(("call", "number"), [("open", errno.EROFS), ("open", errno.EMFILE), ("rename", errno.EXDEV), ("write", errno.EIO)])
def test_calls_that_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int) -> None:
    entry(tmp_path)
    cache = Cache(str(tmp_path))

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        assert not entries.write(str(tmp_path), OTHER_KEY, LARGE)
        assert not cache.write(OTHER_KEY, LARGE)
    assert [name for name in names(tmp_path) if name != "written"] == [Path(entries.path_of("", KEY)).name]
    assert cache.read(KEY) == PAYLOAD


def test_a_disk_that_complains_when_a_file_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As those of the network do when somebody's quota is exhausted."""
    entry(tmp_path)
    whole = os.close

    def close(fd: int) -> None:
        whole(fd)
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    with monkeypatch.context() as patch:
        patch.setattr(os, "close", close)
        assert not entries.write(str(tmp_path), KEY, LARGE)
        assert read(tmp_path) is None
    assert len(names(tmp_path)) == 1
    assert read(tmp_path) == PAYLOAD


def test_a_limit_on_the_size_of_files(tmp_path: Path) -> None:
    """`ulimit -f`."""
    cache = Cache(str(tmp_path))
    assert cache.write(KEY, PAYLOAD)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        assert not cache.write(KEY, LARGE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert cache.read(KEY) == PAYLOAD
    assert not any(entries.is_part(name) for name in names(tmp_path))


def test_no_descriptors_left(tmp_path: Path) -> None:
    """`ulimit -n`."""
    entry(tmp_path)
    cache = Cache(str(tmp_path))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        answers = cache.read(KEY), cache.write(KEY, LARGE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert answers == (None, False)
    assert cache.read(KEY) == PAYLOAD


@pytest.mark.parametrize("inner", ["", "..", "../.."])
def test_a_home_that_is_read_only(folder: Path, inner: str) -> None:
    """The folder, or what it would have to be made in."""
    closed = (folder / inner).resolve()
    if closed != folder:
        folder.rmdir()
    if closed == folder.parents[1]:
        folder.parent.rmdir()
    cache = Cache(str(folder))
    with without_privileges(folder if folder.exists() else closed):
        closed.chmod(0o500)
        before = names(closed)
        try:
            assert not cache.write(KEY, PAYLOAD)
            assert cache.read(KEY) is None
            assert names(closed) == before
        finally:
            closed.chmod(0o700)


def test_entries_of_a_folder_that_has_become_read_only(folder: Path) -> None:
    """They are still read."""
    with without_privileges(folder):
        path = entry(folder)
        os.utime(path, (1, 1))
        folder.chmod(0o500)
        cache = Cache(str(folder))
        assert not cache.write(KEY, LARGE)
        assert cache.read(KEY) == PAYLOAD
        folder.chmod(0o700)


FILLS = """
import os, sys
from figwasp.cache.cache import Cache
from figwasp.cache.entries import is_part

cache = Cache(sys.argv[1] + "/figwasp")
keys = [bytes([number]) * 32 for number in range(100)]
payload = lambda key: key * 500
kept = [key for key in keys if cache.write(key, payload(key))]
assert 0 < len(kept) < 20, len(kept)  # 16 kB each, in 128 KiB
assert [cache.read(key) for key in keys] == [payload(key) if key in kept else None for key in keys]
assert not any(is_part(name) for name in os.listdir(cache.path))
"""


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    """A tiny disk of its own."""
    mounted = 'mount -t tmpfs -o size=128k none "$1" || exit 77; shift; exec "$@"'
    try:
        done = subprocess.run(
            ["unshare", "-U", "-r", "-m", "sh", "-c", mounted, "sh", str(tmp_path), sys.executable, "-c", FILLS, str(tmp_path)],
            env=environment(), capture_output=True, text=True, timeout=HANG_GUARD,
        )  # fmt: skip
    except FileNotFoundError:
        pytest.skip("no program unshare")
    if done.returncode == 77 or done.stderr.startswith("unshare:"):
        pytest.skip(f"no disk of one's own can be had here: {done.stderr}")
    assert (done.returncode, done.stderr) == (0, "")


@contextmanager
def interrupted_at(monkeypatch: pytest.MonkeyPatch, call: str) -> Iterator[None]:
    """Ctrl-C comes right after a call of the system."""
    whole = getattr(os, call)

    def stopped(*args: object) -> None:
        whole(*args)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, call, stopped)
        yield


@pytest.mark.parametrize(("call", "kept"), [("write", PAYLOAD), ("close", PAYLOAD), ("rename", LARGE)])
def test_ctrl_c_while_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, kept: bytes) -> None:
    """It comes through, and no part is left."""
    entry(tmp_path)
    before = open_files()
    with interrupted_at(monkeypatch, call), pytest.raises(KeyboardInterrupt):
        entries.write(str(tmp_path), KEY, LARGE)
    assert open_files() == before
    assert len(names(tmp_path)) == 1
    assert read(tmp_path) == kept
