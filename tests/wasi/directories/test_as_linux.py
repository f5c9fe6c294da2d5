"""Paths mean what they mean to Linux, on every file system: the same answer to the same call, and the same tree afterwards."""

from __future__ import annotations

import functools
import io
import itertools
import os
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from figwasp.wasi import WASI, Directory, HostDirectory, MemoryDirectory, OverlayDirectory, ZipDirectory
from figwasp.wasi.abi import ERRNO_NAMES, FILETYPE_DIRECTORY, FILETYPE_REGULAR_FILE, FILETYPE_SYMBOLIC_LINK, errno_of
from tests.wasi.guest import ROOT, Guest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")

CREAT, DIRECTORY, EXCL, TRUNC = 1, 2, 4, 8
READ, WRITE = 1 << 1, 1 << 6
LINKS: Final = {"lf": "file", "ld": "d", "le": "empty", "dang": "nothing", "loop": "loop", "ldot": "d/.", "lslash": "nothing/", "lfar": "no/x"}
PLAIN: Final = ("new", "file", "d", "empty", "file/x", "no/x", "d/inner")
ENDS: Final = ("", "/", "//", "/.", "/./", "/..", "/../")
PATHS: Final = (".", "./", *(name + end for name in (*PLAIN, *LINKS, "ld/inner") for end in ENDS))
PLAIN_PATHS: Final = (".", "./", *(name + end for name in PLAIN for end in ENDS))
OPENINGS: Final = {
    "open": (0, READ, True), "open-nofollow": (0, READ, False), "open-write": (0, WRITE, True), "open-create": (CREAT, READ, True),
    "open-create-write": (CREAT, WRITE, True), "open-create-nofollow": (CREAT, WRITE, False), "open-exclusive": (CREAT | EXCL, WRITE, True),
    "open-truncate": (TRUNC, WRITE, True), "open-create-truncate": (CREAT | TRUNC, WRITE, True), "open-directory": (DIRECTORY, READ, True),
    "open-directory-nofollow": (DIRECTORY, READ, False),
}  # fmt: skip
READING: Final = ("readlink", "stat", "lstat", "open", "open-nofollow", "open-directory", "open-directory-nofollow")
SOURCES: Final = ("file", "d", "empty", "lf", "d/inner")
"""What is renamed to every path, and what every path is renamed to."""


def fill(directory: Directory) -> Directory:
    for name in ("d", "empty"):
        directory.mkdir(name)
    for place, name in ((directory, "file"), (directory.enter("d"), "inner")):
        file = place.open(name, 2 | 4)
        file.write(0, name.encode())  # type: ignore[union-attr]
        file.close()
    for name, target in LINKS.items():
        directory.symlink(target, name)
    return directory


def tree(directory: Directory, prefix: str = "") -> dict[str, Any]:
    """Return all that is there, with the number of names that each file has."""
    found: dict[str, Any] = {}
    for entry in directory.entries():
        status = directory.look(entry.name)
        assert status.filetype == entry.filetype
        if status.filetype == FILETYPE_DIRECTORY:
            below = directory.enter(entry.name)
            found[prefix + entry.name] = None
            found |= tree(below, f"{prefix}{entry.name}/")
            below.close()
        elif status.filetype == FILETYPE_SYMBOLIC_LINK:
            found[prefix + entry.name] = directory.readlink(entry.name), status.links
        else:
            assert status.filetype == FILETYPE_REGULAR_FILE
            found[prefix + entry.name] = directory.read_bytes(entry.name), status.links
    return found


def rename(old: str, new: str) -> tuple[Callable[[int], object], Callable[[Guest], str | int]]:
    return (
        lambda at: os.rename(old, new, src_dir_fd=at, dst_dir_fd=at),
        lambda guest: guest.call("path_rename", ROOT, *guest.text(old), ROOT, *guest.text(new)),
    )


def link(old: str, new: str) -> tuple[Callable[[int], object], Callable[[Guest], str | int]]:
    return (
        lambda at: os.link(old, new, src_dir_fd=at, dst_dir_fd=at, follow_symlinks=False),
        lambda guest: guest.call("path_link", ROOT, 0, *guest.text(old), ROOT, *guest.text(new)),
    )


def opening(path: str, oflags: int, rights: int, follow: bool) -> tuple[Callable[[int], object], Callable[[Guest], str | int]]:
    flags = os.O_RDONLY if rights == READ else os.O_WRONLY
    for bit, flag in ((CREAT, os.O_CREAT), (DIRECTORY, os.O_DIRECTORY), (EXCL, os.O_EXCL), (TRUNC, os.O_TRUNC)):
        flags |= flag if oflags & bit else 0
    flags |= 0 if follow else os.O_NOFOLLOW
    return lambda at: os.close(os.open(path, flags, 0o666, dir_fd=at)), lambda guest: guest.open(path, oflags, rights, follow=follow)


def both(name: str, path: str) -> tuple[Callable[[int], object], Callable[[Guest], str | int]]:
    """Return how Linux and how a guest are asked to do something with a path."""
    if name in OPENINGS:
        return opening(path, *OPENINGS[name])
    if name.startswith("rename from "):
        return rename(name[12:], path)
    if name.startswith("rename to "):
        return rename(path, name[10:])
    return {
        "mkdir": (lambda at: os.mkdir(path, dir_fd=at), lambda guest: guest.on_path("path_create_directory", path)),
        "rmdir": (lambda at: os.rmdir(path, dir_fd=at), lambda guest: guest.on_path("path_remove_directory", path)),
        "unlink": (lambda at: os.unlink(path, dir_fd=at), lambda guest: guest.on_path("path_unlink_file", path)),
        "readlink": (
            lambda at: os.readlink(path, dir_fd=at),
            lambda guest: guest.on_path("path_readlink", path, guest.room(99), 99, guest.room(4)),
        ),
        "symlink": (
            lambda at: os.symlink("file", path, dir_fd=at),
            lambda guest: guest.call("path_symlink", *guest.text("file"), ROOT, *guest.text(path)),
        ),
        "stat": (
            lambda at: os.stat(path, dir_fd=at),
            lambda guest: guest.on_path("path_filestat_get", path, guest.room(64), before=(1,)),
        ),
        "lstat": (
            lambda at: os.stat(path, dir_fd=at, follow_symlinks=False),
            lambda guest: guest.on_path("path_filestat_get", path, guest.room(64), before=(0,)),
        ),
        "utime": (
            lambda at: os.utime(path, ns=(1, 1), dir_fd=at),
            lambda guest: guest.on_path("path_filestat_set_times", path, 1, 1, 5, before=(1,)),
        ),
        "lutime": (
            lambda at: os.utime(path, ns=(1, 1), dir_fd=at, follow_symlinks=False),
            lambda guest: guest.on_path("path_filestat_set_times", path, 1, 1, 5, before=(0,)),
        ),
        "link from": link(path, "fresh"),
        "link to": link("file", path),
        "link a directory to": link("d", path),
        "link nothing to": link("nothing", path),
    }[name]


RENAMES: Final = [f"rename {way} {other}" for way in ("from", "to") for other in (*SOURCES, "fresh", "fresh/") if (way, other[:5]) != ("from", "fresh")]
CALLS: Final = [*OPENINGS, "mkdir", "rmdir", "unlink", "readlink", "symlink", "stat", "lstat", "utime", "lutime", "link from", "link to",
                "link a directory to", "link nothing to", *RENAMES]  # fmt: skip


@functools.cache
def of_linux(name: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return the answers for all paths, each with the tree after it."""

    def ask(directory: Directory, path: str) -> str:
        assert isinstance(directory, HostDirectory)
        try:
            both(name, path)[0](directory._fd)
        except OSError as error:
            return ERRNO_NAMES[errno_of(error)]
        return "success"

    with tempfile.TemporaryDirectory() as place:
        return answers_of(PATHS, maker("host", Path(place)), ask)


def of_guest(name: str, paths: tuple[str, ...], make: Callable[[], Directory]) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return the same as figwasp has it."""

    def ask(directory: Directory, path: str) -> str:
        with WASI(dirs={"/": directory}) as wasi:
            answer = both(name, path)[1](Guest(wasi))
        return answer if isinstance(answer, str) else "success"

    return answers_of(paths, make, ask)


def answers_of(
    paths: tuple[str, ...], make: Callable[[], Directory], ask: Callable[[Directory, str], str]
) -> dict[str, tuple[str, dict[str, Any]]]:
    """Ask about all paths, in a new file system whenever something has changed."""
    answers = {}
    directory = make()
    before = tree(directory)
    for path in paths:
        answers[path] = ask(directory, path), tree(directory)
        if answers[path][1] != before:
            directory = make()
    return answers


def maker(kind: str, tmp_path: Path) -> Callable[[], Directory]:
    """Return what makes a file system of a kind, filled."""
    numbers = itertools.count()

    def place() -> HostDirectory:
        path = tmp_path / str(next(numbers))
        path.mkdir()
        return HostDirectory(path)

    return {
        "host": lambda: fill(place()),
        "memory": lambda: fill(MemoryDirectory()),
        "top of an overlay": lambda: OverlayDirectory(fill(MemoryDirectory()), MemoryDirectory()),
        "overlay over memory": lambda: OverlayDirectory(MemoryDirectory(), fill(MemoryDirectory())),
        "overlay of the host": lambda: OverlayDirectory(place(), fill(place())),
    }[kind]


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("kind", ["host", "memory", "top of an overlay", "overlay over memory", "overlay of the host"])
def test_calls(kind: str, name: str, tmp_path: Path) -> None:
    expected = of_linux(name)
    answers = of_guest(name, PATHS, maker(kind, tmp_path))
    if kind.startswith("overlay"):  # where directories from below cannot be renamed, nor what is there be linked without a copy
        assert all(answers[path][0] != "xdev" or expected[path][0] == "success" for path in PATHS)
        answers = {path: answer for path, answer in answers.items() if answer[0] != "xdev"}
    assert answers == {path: expected[path] for path in answers}


@pytest.mark.parametrize("name", READING)
@pytest.mark.parametrize("kind", ["host", "zip"])
def test_calls_that_only_read(kind: str, name: str, tmp_path: Path) -> None:
    """Of read-only file systems, which have no symlinks where archives have none."""
    fill(HostDirectory(tmp_path))
    archive = zipfile.ZipFile(io.BytesIO(), "w")
    for path, content in (("file", b"file"), ("d/inner", b"inner"), ("empty/", b"")):
        archive.writestr(path, content)
    made = HostDirectory(tmp_path, writable=False) if kind == "host" else ZipDirectory(archive)
    paths = PATHS if kind == "host" else PLAIN_PATHS
    answers = {path: answer for path, (answer, _) in of_guest(name, paths, made.reopen).items()}
    assert answers == {path: of_linux(name)[path][0] for path in paths}


@pytest.mark.parametrize("name", [name for name in CALLS if name not in READING])
@pytest.mark.parametrize("kind", ["host", "zip"])
def test_read_only(kind: str, name: str, tmp_path: Path) -> None:
    """What cannot be changed answers as it would be if it could, or that it cannot."""
    fill(HostDirectory(tmp_path))
    archive = zipfile.ZipFile(io.BytesIO(), "w")
    for path, content in (("file", b"file"), ("d/inner", b"inner"), ("empty/", b"")):
        archive.writestr(path, content)
    made = HostDirectory(tmp_path, writable=False) if kind == "host" else ZipDirectory(archive)
    before = tree(made)
    for path, (answer, after) in of_guest(name, PLAIN_PATHS, made.reopen).items():
        expected, _ = of_linux(name)[path]
        assert after == before
        assert answer in (expected, "rofs") or (expected, answer) == ("success", "rofs"), path
        assert answer != "success" or name in OPENINGS
