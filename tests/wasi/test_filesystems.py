"""File systems that are objects: in memory, read-only, of archives and resources, on top of each other, and of the user's own making."""

from __future__ import annotations

import gc
import io
import os
import sys
import zipfile
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from figwasp.wasi import (
    WASI,
    Directory,
    Entry,
    File,
    HostDirectory,
    MemoryDirectory,
    OverlayDirectory,
    ResourceDirectory,
    Status,
    ZipDirectory,
)
from figwasp.wasi.filesystem import FILETYPE_DIRECTORY, FILETYPE_REGULAR_FILE, FILETYPE_SYMBOLIC_LINK
from tests.wasi.guest import ALL, ROOT, Guest

CREAT, DIRECTORY, EXCL, TRUNC = 1, 2, 4, 8
READ, WRITE, SEEK, TELL = 1 << 1, 1 << 6, 1 << 2, 1 << 5
APPEND = 1
FILES: dict[str, bytes | str] = {"file": "inside", "dir/inner": b"inner", "dir/deep/end": "end"}


def guest_of(directory: Any) -> Guest:
    return Guest(WASI(dirs={"/": directory}, stdin=b"", stdout=io.BytesIO(), stderr=io.BytesIO()))


def rename(guest: Guest, old: str, new: str) -> str:
    return guest.on_path("path_rename", old, ROOT, *guest.text(new))


def names(guest: Guest, path: str = ".") -> list[str]:
    return sorted(set(guest.listing(guest.fd(path, DIRECTORY))) - {".", ".."})


def content(guest: Guest, path: str) -> str | bytes:
    found = guest.open(path, 0, READ | SEEK)
    return guest.read(found) if isinstance(found, int) else found


def archive() -> zipfile.ZipFile:
    file = io.BytesIO()
    # Read, not written: what is written to and goes in a cycle would be closed after its file.
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for path, text in FILES.items():
            made.writestr(path, text)
        made.writestr("empty/", b"")
        for path in ("../outside", "/rooted", "dir/../x", "./z"):
            made.writestr(path, b"not to be seen")
    return zipfile.ZipFile(file)


def package(tmp_path: Path) -> Path:
    (tmp_path / "dir/deep").mkdir(parents=True)
    for path, text in FILES.items():
        (tmp_path / path).write_bytes(text.encode() if isinstance(text, str) else text)
    (tmp_path / "empty").mkdir()
    return tmp_path


def read_only(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make a read-only file system with the same contents, of any kind."""
    if kind == "host":
        return HostDirectory(package(tmp_path), writable=False)
    if kind == "zip":
        return archive()
    if kind == "zip path":
        return zipfile.Path(archive())
    if kind == "overlay":
        return OverlayDirectory(HostDirectory(package(tmp_path), writable=False), MemoryDirectory({"dir/more": "more"}))
    if kind == "namespace package":
        package(tmp_path / "one/figwasp_resources")
        (tmp_path / "two/figwasp_resources/more").mkdir(parents=True)
        monkeypatch.syspath_prepend(str(tmp_path / "one"))
        monkeypatch.syspath_prepend(str(tmp_path / "two"))
        monkeypatch.delitem(sys.modules, "figwasp_resources", raising=False)
        return resources.files("figwasp_resources")
    assert kind == "own"
    return Own(FILES)


class OwnFile(File):
    def __init__(self, data: bytes) -> None:
        self.data = data

    def status(self) -> Status:
        return Status(FILETYPE_REGULAR_FILE, len(self.data))

    def read(self, offset: int, size: int) -> bytes:
        return self.data[offset : offset + size]


class Own(Directory):
    """As the documentation has it, with directories."""

    def __init__(self, files: dict[str, Any], prefix: str = "") -> None:
        self.files = files
        self.prefix = prefix

    def status(self) -> Status:
        return Status(FILETYPE_DIRECTORY)

    def entries(self) -> Iterable[Entry]:
        below = {path[len(self.prefix) :].split("/")[0] for path in self.files if path.startswith(self.prefix)}
        return [Entry(name, self.look(name).filetype) for name in below]

    def look(self, name: str) -> Status:
        return self.open(name, 0).status()

    def open(self, name: str, how: int) -> File | Directory:
        path = self.prefix + name
        if path in self.files:
            data = self.files[path]
            return OwnFile(data if isinstance(data, bytes) else data.encode())
        if any(other.startswith(path + "/") for other in self.files):
            return Own(self.files, path + "/")
        raise FileNotFoundError(path)


KINDS = ["host", "zip", "zip path", "overlay", "namespace package", "own"]


@pytest.mark.parametrize("kind", KINDS)
def test_read_only(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is there can be read, and nothing changed, whatever it is made of."""
    guest = guest_of(read_only(kind, tmp_path, monkeypatch))
    assert set(names(guest)) - {"more"} == {"file", "dir", "empty"} - ({"empty"} if kind == "own" else set())
    assert set(names(guest, "dir")) - {"more"} == {"inner", "deep"}
    assert content(guest, "file") == content(guest, "dir/../file") == content(guest, "./dir/deep/../../file") == b"inside"
    assert content(guest, "dir/deep/end") == b"end"
    assert content(guest, "nothing") == content(guest, "dir/file") == "noent"
    assert content(guest, "file/x") == guest.open("file", DIRECTORY, READ) == "notdir"
    assert content(guest, "../file") == "notcapable"
    out = guest.room(64)
    assert guest.call("path_filestat_get", ROOT, 1, *guest.text("file"), out) == "success"
    assert (guest.memory[out + 16], guest.u64(out + 32)) == (FILETYPE_REGULAR_FILE, 6)
    for path, oflags, rights in (("file", 0, ALL), ("file", TRUNC, READ), ("new", CREAT, READ), ("dir/new", CREAT, ALL)):
        assert guest.open(path, oflags, rights) == "rofs", path
    assert guest.open("file", CREAT | EXCL, READ) == "exist"
    assert isinstance(guest.open("file", CREAT, READ), int)
    for name, path in (("path_create_directory", "new"), ("path_remove_directory", "dir"), ("path_unlink_file", "file")):
        assert guest.on_path(name, path) == "rofs"
    assert rename(guest, "file", "new") == "rofs"
    assert guest.call("path_symlink", *guest.text("file"), ROOT, *guest.text("new")) == "rofs"
    fd = guest.fd("file", 0, READ | SEEK | TELL | 1 << 23)
    assert guest.call("fd_filestat_set_times", fd, 0, 0, 5) == "notcapable"
    assert guest.write(fd, b"x") == "badf"
    assert guest.call("fd_seek", fd, -3, 2, out) == "success"
    assert guest.read(fd) == b"ide"
    assert guest.read(fd) == b""


def test_memory() -> None:
    """Files are written, appended, read at offsets, cut and grown, as those of the host."""
    files = MemoryDirectory(FILES)
    guest = guest_of(files)
    fd = guest.fd("new", CREAT | EXCL, ALL)
    assert guest.open("new", CREAT | EXCL, ALL) == "exist"
    assert guest.write(fd, b"one", b"", b"two") == 6
    out = guest.room(8)
    assert guest.call("fd_seek", fd, 2, 0, out) == "success"
    assert guest.read(fd, 3) == b"etw"
    assert guest.call("fd_tell", fd, out) == "success"
    assert guest.u64(out) == 5
    assert guest.call("fd_seek", fd, -6, 1, out) == "inval"
    assert guest.call("fd_pwrite", fd, *guest.vectors(guest.text("END")), 8, out) == "success"
    assert files.read_bytes("new") == b"onetwo\0\0END"
    assert guest.call("fd_filestat_set_size", fd, 4) == "success"
    assert guest.call("fd_allocate", fd, 2, 4) == "success"
    assert files.read_bytes("new") == b"onet\0\0"
    appending = guest.fd("new", 0, ALL, fdflags=APPEND)
    assert guest.write(appending, b"!") == 1
    assert guest.call("fd_fdstat_set_flags", fd, APPEND) == "success"
    assert guest.write(fd, b"?") == 1
    assert files.read_bytes("new") == b"onet\0\0!?"
    guest.fd("new", TRUNC, ALL)
    assert files.read_bytes("new") == b""


def test_memory_names() -> None:
    """Directories, links, removal and renaming; what is open lives on without a name."""
    files = MemoryDirectory(FILES)
    guest = guest_of(files)
    assert guest.on_path("path_create_directory", "dir") == "exist"
    assert guest.on_path("path_create_directory", "n" * 256) == "nametoolong"
    assert guest.on_path("path_create_directory", "some") == "success"
    assert guest.on_path("path_remove_directory", "dir") == "notempty"
    assert guest.on_path("path_remove_directory", "file") == "notdir"
    assert guest.on_path("path_unlink_file", "dir") == "isdir"
    assert guest.call("path_symlink", *guest.text("dir/deep/.."), ROOT, *guest.text("short")) == "success"
    assert content(guest, "short/inner") == b"inner"
    assert content(guest, "short/../file") == b"inside"
    assert guest.call("path_symlink", *guest.text("../../up"), ROOT, *guest.text("dir/up")) == "success"
    assert content(guest, "dir/up") == "notcapable"
    assert guest.call("path_link", ROOT, 0, *guest.text("file"), ROOT, *guest.text("dir/same")) == "success"
    assert guest.call("path_link", ROOT, 0, *guest.text("dir"), ROOT, *guest.text("same")) == "perm"
    fd = guest.fd("dir/same", 0, ALL)
    out = guest.room(64)
    assert guest.call("fd_filestat_get", fd, out) == "success"
    assert guest.u64(out + 24) == 2
    assert guest.on_path("path_unlink_file", "file") == guest.on_path("path_unlink_file", "dir/same") == "success"
    assert guest.read(fd) == b"inside"
    assert guest.write(fd, b" still") == 6
    assert rename(guest, "dir", "dir/deep/dir") == "inval"
    assert rename(guest, "dir/inner", "some") == "isdir"
    assert rename(guest, "some", "dir/inner") == "notdir"
    assert rename(guest, "some", "dir") == "notempty"
    assert rename(guest, "dir", "some") == "success"
    assert rename(guest, "some/inner", "some/deep/end") == "success"
    assert names(guest) == ["short", "some"]
    assert files.read_bytes("some/deep/end") == b"inner"
    gone = guest.fd("some/deep", DIRECTORY)
    assert guest.on_path("path_unlink_file", "some/deep/end") == guest.on_path("path_remove_directory", "some/deep") == "success"
    assert guest.open("new", CREAT, ALL, fd=gone) == "noent"


@pytest.mark.parametrize("kind", ["host", "memory", "overlay"])
def test_appending_nothing(kind: str, tmp_path: Path) -> None:
    """An empty write has no other results: the position stays, and so do the times."""
    files = {"host": HostDirectory(tmp_path), "memory": MemoryDirectory()}.get(kind) or OverlayDirectory(MemoryDirectory())
    guest = guest_of(files)
    fd = guest.fd("file", CREAT, ALL, fdflags=APPEND)
    assert guest.write(fd, b"hello") == 5
    out = guest.room(8)
    before = files.look("file")
    for chunks in ((b"",), (), (b"", b"")):
        assert guest.call("fd_seek", fd, 2, 0, out) == "success"
        assert guest.write(fd, *chunks) == 0
        assert guest.call("fd_tell", fd, out) == "success"
        assert guest.u64(out) == 2, chunks
    assert files.look("file") == before
    assert (guest.write(fd, b"!"), guest.call("fd_tell", fd, out), guest.u64(out)) == (1, "success", 6)


def test_removing_what_is_no_directory() -> None:
    """Not even a symlink to one, from Python as well, and nothing is followed for it."""
    for files in (MemoryDirectory(), OverlayDirectory(MemoryDirectory(), MemoryDirectory())):
        files.mkdir("d")
        files.symlink("d", "l")
        files.open("f", 2 | 4).close()
        for name in ("l", "f"):
            with pytest.raises(NotADirectoryError):
                files.rmdir(name)


def test_renaming_when_there_is_no_room() -> None:
    """What needs no more than there was is done, and all else has no effect."""
    files = MemoryDirectory({"a": b"A", "b": b"B", "d/e": b""})
    guest = guest_of(files)
    volume = files._folder.volume
    volume.take(volume.left)
    for old, new in (("a", "c"), ("c", "a"), ("a", "d/a"), ("d/a", "b"), ("d", "x")):
        left = volume.left
        assert rename(guest, old, new) == "success", (old, new)
        assert volume.left >= left
        assert files.look(new.split("/")[0]).links == 1
    assert files.read_bytes("b") == b"A"
    volume.take(volume.left)
    before = sorted((entry.name, files.look(entry.name)) for entry in files.entries())
    assert rename(guest, "b", "a much longer name") == rename(guest, "x", "a much longer name") == "nospc"
    assert guest.call("path_link", ROOT, 0, *guest.text("b"), ROOT, *guest.text("y")) == "nospc"
    assert guest.call("path_symlink", *guest.text("b"), ROOT, *guest.text("y")) == "nospc"
    assert guest.on_path("path_create_directory", "y") == guest.open("y", CREAT, ALL) == "nospc"
    assert sorted((entry.name, files.look(entry.name)) for entry in files.entries()) == before
    assert volume.left == 0


def test_renaming_costs_nothing() -> None:
    """All that names and files have taken is there again when they are gone, whatever has become of them."""
    files = MemoryDirectory()
    before = files._folder.volume.left
    guest = guest_of(files)
    for name in ("a", "b", "c"):
        files.write_bytes(name, name.encode())
    for directory in ("d", "e"):
        files.mkdir(directory)
    for old, new in (("a", "d/a long name"), ("b", "d/a long name"), ("c", "e/\N{WHITE STAR}"), ("d/a long name", "a"), ("d", "f"), ("f", "f")):
        assert rename(guest, old, new) == "success", (old, new)
    assert guest.call("path_link", ROOT, 0, *guest.text("a"), ROOT, *guest.text("same")) == "success"
    assert rename(guest, "a", "same") == "success"
    assert [guest.on_path("path_unlink_file", path) for path in ("a", "same", "e/\N{WHITE STAR}")] == ["success"] * 3
    assert guest.on_path("path_remove_directory", "f") == guest.on_path("path_remove_directory", "e") == "success"
    gc.collect()
    assert files._folder.volume.left == before


def test_directories_give_back_the_room_of_names() -> None:
    """What names took does not stay when they are gone, though the directory does."""
    files = MemoryDirectory()
    for number in range(1000):
        files.mkdir(str(number))
    for number in range(999):
        (files.rmdir if number % 2 else lambda name: files.rename(name, files, "999"))(str(number))
        held = sys.getsizeof(files._folder.names)
        assert held <= 512 + 128 * len(files._folder.names)
    assert [entry.name for entry in files.entries()] == ["999"]


def test_memory_is_given_back() -> None:
    files = MemoryDirectory(limit=1 << 16)
    guest = guest_of(files)
    for _ in range(20):
        fd = guest.fd("big", CREAT, ALL)
        assert guest.call("fd_filestat_set_size", fd, 1 << 15) == "success"
        assert guest.call("fd_filestat_set_size", fd, 1 << 16) == "nospc"
        assert guest.call("path_symlink", *guest.text("x" * 100), ROOT, *guest.text("link")) == "success"
        assert guest.on_path("path_unlink_file", "big") == guest.on_path("path_unlink_file", "link") == "success"
        assert guest.call("fd_close", fd) == "success"
    answers = [guest.on_path("path_create_directory", str(number)) for number in range(200)]
    assert answers.count("success") < 100
    assert answers[-1] == "nospc"


def test_overlay(tmp_path: Path) -> None:
    """What the guest changes is in the top; what is below it stays as it is."""
    (package(tmp_path) / "link").symlink_to("dir/inner")
    below = sorted(str(path) for path in tmp_path.rglob("*"))
    top = MemoryDirectory({"dir/own": "own"})
    guest = guest_of(OverlayDirectory(top, HostDirectory(tmp_path), MemoryDirectory({"file": "hidden", "last": "last"})))
    assert names(guest) == ["dir", "empty", "file", "last", "link"]
    assert names(guest, "dir") == ["deep", "inner", "own"]
    assert content(guest, "file") == b"inside"
    before = guest.fd("file", 0, READ)
    fd = guest.fd("file", 0, ALL)
    assert guest.write(fd, b"OUT") == 3
    assert (content(guest, "file"), guest.read(before)) == (b"OUTide", b"inside")
    assert guest.write(guest.fd("link", TRUNC, ALL), b"through") == 7
    assert top.read_bytes("dir/inner") == b"through"
    assert guest.on_path("path_unlink_file", "last") == "success"
    assert (content(guest, "last"), guest.on_path("path_unlink_file", "last")) == ("noent", "noent")
    assert guest.open("last", CREAT | EXCL, ALL) != "exist"
    assert content(guest, "last") == b""
    assert rename(guest, "dir", "moved") == "xdev"
    assert rename(guest, "dir/deep/end", "dir/own") == "success"
    assert (content(guest, "dir/own"), content(guest, "dir/deep/end")) == (b"end", "noent")
    assert guest.on_path("path_remove_directory", "dir") == "notempty"
    assert guest.on_path("path_remove_directory", "dir/deep") == "success"
    assert guest.on_path("path_create_directory", "dir/deep") == "success"
    assert names(guest, "dir/deep") == []
    assert rename(guest, "dir/deep", "moved") == "success"
    assert guest.call("path_link", ROOT, 0, *guest.text("file"), ROOT, *guest.text("moved/same")) == "success"
    assert content(guest, "moved/same") == b"OUTide"
    assert guest.on_path("path_filestat_set_times", "empty", 5, 7, 5, before=(0,)) == "success"
    assert (top.look("empty").atime, top.look("empty").mtime) == (5, 7)
    assert sorted(str(path) for path in tmp_path.rglob("*")) == below
    assert {path: (tmp_path / path).read_bytes() for path in FILES} == {
        path: text if isinstance(text, bytes) else text.encode() for path, text in FILES.items()
    }


def test_overlay_on_the_host(tmp_path: Path) -> None:
    """A top on the host gets directories as they are needed, and nothing stays open."""
    gc.collect()
    before = len(os.listdir("/dev/fd"))
    top, below = tmp_path / "top", package(tmp_path / "below")
    top.mkdir()
    with WASI(dirs={"/": OverlayDirectory(HostDirectory(top), HostDirectory(below))}) as wasi:
        guest = Guest(wasi)
        directory = guest.fd("dir/deep", DIRECTORY)
        assert guest.write(guest.fd("new", CREAT, ALL, fd=directory), b"new") == 3
        assert guest.listing(directory) == [".", "..", "new", "end"]
        for number in range(20):
            guest.fd(f"dir/deep/{number}", CREAT, ALL)
    assert (top / "dir/deep/new").read_bytes() == b"new"
    assert len(os.listdir("/dev/fd")) == before


def test_between_file_systems(tmp_path: Path) -> None:
    """Nothing can be linked or renamed from one to another; EXDEV makes programs copy."""
    kinds: list[Directory] = [MemoryDirectory({"a": "a"}), MemoryDirectory(), HostDirectory(tmp_path)]
    kinds.append(OverlayDirectory(MemoryDirectory(), MemoryDirectory()))
    (tmp_path / "a").write_bytes(b"a")
    with WASI(dirs=[(str(number), kind) for number, kind in enumerate(kinds)]) as wasi:
        guest = Guest(wasi)
        for source in (ROOT, ROOT + 2):
            for target in range(ROOT, ROOT + len(kinds)):
                expected = "success" if source == target else "xdev"
                arguments = *guest.text("a"), target, *guest.text(f"from{source}")
                assert guest.call("path_rename", source, *arguments) == expected
                if source == target:
                    assert guest.on_path("path_rename", f"from{source}", target, *guest.text("a"), fd=source) == "success"
                assert guest.call("path_link", source, 0, *arguments) == expected


def test_symlinks_of_ones_own_file_system() -> None:
    class Links(Own):
        def look(self, name: str) -> Status:
            return Status(FILETYPE_SYMBOLIC_LINK) if name in LINKS else super().look(name)

        def open(self, name: str, how: int) -> File | Directory:
            if name in LINKS:
                raise OSError(40, "a symlink")
            return super().open(name, how)

        def readlink(self, name: str) -> str:
            return LINKS.get(name) or super().readlink(name)

    LINKS = {"short": "dir/deep", "out": "../file", "absolute": "/file", "round": "round"}
    guest = guest_of(Links(FILES))
    assert content(guest, "short/end") == b"end"
    assert content(guest, "short/../inner") == b"inner"
    assert [content(guest, path) for path in ("out", "absolute", "round")] == ["notcapable", "notcapable", "loop"]
    out = guest.room(64)
    assert guest.call("path_filestat_get", ROOT, 0, *guest.text("short"), out) == "success"
    assert guest.memory[out + 16] == FILETYPE_SYMBOLIC_LINK


def test_what_cannot_be_given() -> None:
    for wrong in (b"bytes", 3, None, object()):
        with pytest.raises(TypeError, match="in dirs must be"):
            WASI(dirs={"/": wrong})
    options: list[dict[str, Any]] = [{"stdin": 3}, {"stdout": b"x"}, {"stderr": []}]
    for option in options:
        with pytest.raises(TypeError, match="must be"):
            WASI(**option)


def test_streams_of_every_kind(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"from a file")
    for given in (b"from a file", bytearray(b"from a file"), tmp_path / "in", str(tmp_path / "in"), io.BytesIO(b"from a file")):
        with WASI(stdin=given, stdout=tmp_path / "out", stderr=str(tmp_path / "err")) as wasi:
            guest = Guest(wasi)
            assert guest.read(0) == b"from a file"
            assert guest.read(0) == b""
            assert guest.write(0, b"x") == "badf"
            assert guest.write(1, b"output") == 6
            assert guest.write(2, b"errors") == 6
            assert wasi.stdout is None
        assert [(tmp_path / name).read_bytes() for name in ("out", "err")] == [b"output", b"errors"]


def test_plain_resources_are_read_where_they_are() -> None:
    guest = guest_of(resources.files("figwasp"))
    assert content(guest, "py.typed") == b""
    assert "wasi" in names(guest)
    listed = ResourceDirectory(zipfile.Path(archive()))
    assert listed.read_bytes("dir/inner") == ZipDirectory(archive()).read_bytes("dir/inner") == b"inner"
