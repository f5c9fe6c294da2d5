"""What others put in the place of an entry or of the folder: it is not read, nothing hangs, and nothing outside is written."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from figwasp.cache import entries
from figwasp.cache.cache import Cache
from figwasp.cache.folder import objection
from tests.cache.folders import (
    KEY,
    NOBODY,
    OTHER_KEY,
    PAYLOAD,
    entry,
    is_rewritten,
    names,
    open_files,
    read,
    somebody_else,
)

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "cache"
    path.mkdir(0o700)
    return path


# In the place of the entry


def test_a_symlink(folder: Path, tmp_path: Path) -> None:
    """Not even one to an entry that is right; and what it leads to is not written."""
    path = entry(folder)
    outside = tmp_path / "outside"
    path.rename(outside)
    before = outside.read_bytes()
    path.symlink_to(outside)
    assert read(folder) is None
    assert is_rewritten(folder)
    entry(folder, KEY, b"something else")
    assert outside.read_bytes() == before


def test_a_dangling_symlink(folder: Path, tmp_path: Path) -> None:
    Path(entries.path_of(str(folder), KEY)).symlink_to(tmp_path / "nothing")
    assert read(folder) is None
    assert is_rewritten(folder)
    assert not (tmp_path / "nothing").exists()


def test_a_hard_link_is_not_written_through(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    os.link(entry(folder), outside)
    before = outside.read_bytes()
    assert read(folder) == PAYLOAD
    entry(folder, KEY, b"something else")
    assert outside.read_bytes() == before


def test_a_directory(folder: Path) -> None:
    """It cannot be replaced by a file; that is as if the cache were off."""
    path = Path(entries.path_of(str(folder), KEY))
    path.mkdir()
    (path / "own").touch()
    before = open_files()
    assert read(folder) is None
    assert not entries.write(str(folder), KEY, PAYLOAD)
    assert names(folder) == [path.name]
    assert open_files() == before


def test_a_fifo(folder: Path) -> None:
    """Nobody writes to it, and nobody waits for that."""
    os.mkfifo(entries.path_of(str(folder), KEY))
    assert read(folder) is None
    assert is_rewritten(folder)


def test_a_socket(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(entries.path_of(str(folder), KEY))
    monkeypatch.chdir(folder)
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(path.name)
        assert read(folder) is None
        assert is_rewritten(folder)


def test_a_device(folder: Path) -> None:
    try:
        os.mknod(entries.path_of(str(folder), KEY), 0o600 | 0o020000, os.makedev(1, 5))  # /dev/zero, which has no end
    except PermissionError:
        pytest.skip("only root can make devices")
    assert read(folder) is None
    assert is_rewritten(folder)


@pytest.mark.parametrize("size", [1 << 20, 1 << 40])
def test_a_huge_sparse_file(folder: Path, size: int) -> None:
    path = entry(folder)
    try:
        os.truncate(path, size)
    except OSError:
        pytest.skip("no file can be as large here")
    assert read(folder) is None
    assert is_rewritten(folder)


def test_a_huge_sparse_file_that_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its size is right, and yet more than is ever read."""
    path = entry(folder)
    with path.open("r+b") as file:
        file.seek(16)
        file.write(((1 << 40) - 56).to_bytes(8, "little"))
    try:
        os.truncate(path, 1 << 40)
    except OSError:
        pytest.skip("no file can be as large here")
    asked: list[int] = []
    whole = os.read

    def read_some(fd: int, size: int) -> bytes:
        asked.append(size)
        return whole(fd, size)

    monkeypatch.setattr(os, "read", read_some)
    assert read(folder) is None
    assert asked == []


@pytest.mark.parametrize("mode", [0o666, 0o620, 0o602, 0o777])
def test_a_file_that_others_can_write(folder: Path, mode: int) -> None:
    entry(folder).chmod(mode)
    assert read(folder) is None
    assert is_rewritten(folder)


@pytest.mark.parametrize("mode", [0o644, 0o400, 0o755])
def test_a_file_that_others_can_read(folder: Path, mode: int) -> None:
    entry(folder).chmod(mode)
    assert read(folder) == PAYLOAD


def test_a_file_of_somebody_else(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry(folder)
    with somebody_else(monkeypatch):
        assert read(folder) is None
    assert read(folder) == PAYLOAD


@AS_ROOT
def test_a_file_that_has_been_given_away(folder: Path) -> None:
    os.chown(entry(folder), NOBODY, -1)
    assert read(folder) is None
    assert is_rewritten(folder)


# In the place of the folder


def test_a_folder_as_it_should_be(folder: Path) -> None:
    cache = Cache(str(folder))
    assert cache.read(KEY) is None
    assert cache.write(KEY, PAYLOAD)
    assert cache.read(KEY) == PAYLOAD
    assert cache.read(OTHER_KEY) is None


def is_avoided(folder: Path) -> bool:
    """Return whether a folder that has an entry in it, unless it is something else, is neither read nor written."""
    before = names(folder) if folder.is_dir() else None
    cache = Cache(str(folder))
    nothing = cache.read(KEY) is None and not cache.write(OTHER_KEY, PAYLOAD)
    return nothing and (names(folder) if folder.is_dir() else None) == before


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702, 0o1777])
def test_a_folder_that_others_can_write(folder: Path, mode: int) -> None:
    entry(folder)
    folder.chmod(mode)
    assert is_avoided(folder)
    assert objection(str(folder)) == "others can write to it"


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o2755])
def test_a_folder_that_others_can_read(folder: Path, mode: int) -> None:
    entry(folder)
    folder.chmod(mode)
    assert Cache(str(folder)).read(KEY) == PAYLOAD


def test_a_folder_of_somebody_else(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry(folder)
    with somebody_else(monkeypatch):
        assert is_avoided(folder)
        assert objection(str(folder)) == "it is another user's"
    assert Cache(str(folder)).read(KEY) == PAYLOAD


@AS_ROOT
def test_a_folder_that_has_been_given_away(folder: Path) -> None:
    """`sudo` with the HOME of another: root could use it, and does not."""
    entry(folder)
    os.chown(folder, NOBODY, -1)
    assert is_avoided(folder)


def test_a_symlink_to_a_folder(folder: Path, tmp_path: Path) -> None:
    """It is followed, as many have their caches on another disk."""
    entry(folder)
    link = tmp_path / "link"
    link.symlink_to(folder)
    cache = Cache(str(link))
    assert cache.read(KEY) == PAYLOAD
    assert cache.write(OTHER_KEY, b"other") and read(folder, OTHER_KEY) == b"other"


@AS_ROOT
def test_a_symlink_that_somebody_else_has_planted(folder: Path, tmp_path: Path) -> None:
    entry(folder)
    link = tmp_path / "link"
    link.symlink_to(folder)
    os.chown(link, NOBODY, -1, follow_symlinks=False)
    assert is_avoided(link)


@pytest.mark.parametrize("call", ["stat", "lstat"])
def test_symlinks_and_folders_of_somebody_else(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """The same for who cannot give files away: either the folder or the link to it is said to be another user's."""
    entry(folder)
    link = tmp_path / "link"
    link.symlink_to(folder)
    whole = getattr(os, call)
    own = whole(link)
    another = os.stat_result([*own[:4], own.st_uid + 1, *own[5:]])
    monkeypatch.setattr(os, call, lambda path, **more: another if path == str(link) and not more else whole(path, **more))
    assert objection(str(link)) == "it is another user's"
    assert Cache(str(link)).read(KEY) is None
    assert not Cache(str(link)).write(OTHER_KEY, PAYLOAD)


def test_symlinks_that_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    for name in ("dangling", "circle"):
        assert is_avoided(tmp_path / name)
    assert not (tmp_path / "nothing").exists()


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"mine")
    assert is_avoided(path)
    assert objection(str(path)) == "it is not a folder"
    assert is_avoided(path / "below")
    assert path.read_bytes() == b"mine"


def test_a_folder_that_goes(folder: Path) -> None:
    """Somebody removes it, as people do with caches; it is made again."""
    cache = Cache(str(folder))
    assert cache.write(KEY, PAYLOAD)
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    assert cache.read(KEY) is None
    assert cache.write(KEY, PAYLOAD)
    assert cache.read(KEY) == PAYLOAD
