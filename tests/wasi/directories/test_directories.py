"""File systems in Python's hands: what they are made from, what names may be, how they show themselves."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

import figwasp
from figwasp.wasi import (
    WASI,
    Directory,
    HostDirectory,
    MemoryDirectory,
    OverlayDirectory,
    ResourceDirectory,
    ZipDirectory,
)
from tests.wasi.guest import ROOT, Guest


def test_nested_files() -> None:
    """A mapping is a directory, an empty one as well, beside paths and mixed with them."""
    given = {
        "a": {"b.txt": b"B", "c": {"d": "D", "e/f": bytearray(b"F")}, "none": {}},
        "a/c/g": memoryview(b"G"),
        b"bytes/\xff": b"",
        Path("path/like"): MappingProxyType({"x": b"X"}),
        "/slash/": {"y": b"Y"},
    }
    files = MemoryDirectory(given)
    assert sorted(entry.name for entry in files.entries()) == ["a", "bytes", "path", "slash"]
    assert sorted(entry.name for entry in files.enter("a").entries()) == ["b.txt", "c", "none"]
    assert list(files.enter("a").enter("none").entries()) == []
    found = [files.read_bytes(path) for path in ("a/b.txt", "a/c/d", "a/c/e/f", "a/c/g", "path/like/x", "slash/y", b"bytes/\xff")]
    assert found == [b"B", b"D", b"F", b"G", b"X", b"Y", b""]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"a": 3}, "'a' must be bytes, a str, or a mapping for a directory, not int"),
        ({"a": {"b": {"c": None}}}, "'a/b/c' must be .*, not NoneType"),
        ({"a/b": {"c": ["x"]}}, "'a/b/c' must be .*, not list"),
        ({"a": MemoryDirectory()}, "'a' must be .*, not MemoryDirectory"),
        ({"a": {1: b""}}, "a path in 'a/' must be str, bytes or os.PathLike, not int: 1"),
        ([("a", b"")], "files must be a mapping of paths to contents, not list"),
        ("a", "files must be a mapping of paths to contents, not str"),
        (0, "files must be a mapping of paths to contents, not int"),
    ],
)
def test_what_files_are_not(given: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        MemoryDirectory(given)
    if isinstance(given, dict):
        with pytest.raises(TypeError, match=message):
            WASI(dirs={"/": given})


@pytest.mark.parametrize("given", [{"..": b""}, {"a": {"../b": b""}}, {"": b""}, {"a": {".": {}}}, {"a//b": {}}])
def test_paths_that_are_not_plain(given: Any) -> None:
    with pytest.raises(ValueError, match="not a plain path"):
        MemoryDirectory(given)


def test_files_that_contradict_each_other() -> None:
    with pytest.raises(NotADirectoryError):
        MemoryDirectory({"a": b"", "a/b": b""})
    with pytest.raises(NotADirectoryError):
        MemoryDirectory({"a": b"", "a/": {}})
    with pytest.raises(IsADirectoryError):
        MemoryDirectory({"a/b": b"", "a": b""})
    with pytest.raises(OSError, match="No space"):
        MemoryDirectory({"a": {str(number): {} for number in range(100)}}, limit=1 << 14)


def test_a_dict_for_a_directory() -> None:
    given = {"in.txt": b"text", "sub": {"deep": "x"}}
    with WASI(dirs={"/": given}) as wasi, WASI(dirs=[("/", given)]) as other:
        guest = Guest(wasi)
        assert guest.read(guest.fd("in.txt")) == b"text"
        assert guest.read(guest.fd("sub/deep")) == b"x"
        assert guest.on_path("path_unlink_file", "in.txt") == "success"
        assert guest.open("in.txt") == "noent"
        assert isinstance(Guest(other).open("in.txt"), int)
    assert given == {"in.txt": b"text", "sub": {"deep": "x"}}


def test_a_dict_for_a_run() -> None:
    program = figwasp.wat("""(module
      (import "wasi_snapshot_preview1" "path_unlink_file" (func $unlink (param i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 1) (data (i32.const 0) "a/file")
      (func (export "_start") (call $exit (call $unlink (i32.const 3) (i32.const 0) (i32.const 6)))))""")
    assert figwasp.run(program, dirs={"/": {"a": {"file": b""}}}).returncode == 0
    assert figwasp.run(program, dirs={"/": {"a": {}}}).returncode == 44  # NOENT


def names(directory: Directory) -> list[str]:
    return sorted(entry.name for entry in directory.entries())


@pytest.mark.parametrize("made", [os.fsencode, Path, str])
@pytest.mark.parametrize("kind", ["host", "memory", "overlay"])
def test_names_of_every_type(kind: str, made: Callable[[str], Any], tmp_path: Path) -> None:
    """What `os` takes for a name; what comes back is always a str, and the same file."""
    kinds: dict[str, Callable[[], Directory]] = {
        "host": lambda: HostDirectory(made(str(tmp_path))),
        "memory": MemoryDirectory,
        "overlay": lambda: OverlayDirectory(MemoryDirectory(), MemoryDirectory()),
    }
    files: Any = kinds[kind]()
    files.mkdir(made("x"))
    files.open(made("f"), 2 | 4).close()
    files.symlink(made("x"), made("l"))
    files.link(made("f"), files, made("g"))
    files.rename(made("g"), files, made("h"))
    files.touch(made("h"), 5, 7)
    assert names(files) == ["f", "h", "l", "x"]
    assert files.readlink(made("l")) == files.readlink("l") == "x"
    assert files.look(made("f")) == files.look("h")
    assert files.look("h").mtime == 7
    assert names(files.enter(made("x"))) == names(files.open(made("x"), 1 | 32)) == []
    assert files.read_bytes(made("h")) == b""
    files.rmdir(made("x"))
    for name in ("f", "h", "l"):
        files.unlink(made(name))
    assert names(files) == []
    for method, arguments in (("mkdir", (3,)), ("rename", (3, files, "x")), ("look", (None,)), ("symlink", (3, "x")), ("read_bytes", (3,))):
        with pytest.raises(TypeError):
            getattr(files, method)(*arguments)


def archive(path: Path) -> zipfile.ZipFile:
    made = zipfile.ZipFile(path, "w")
    made.writestr("dir/file", b"text")
    return made


@pytest.mark.parametrize("made", [os.fsencode, Path, str])
def test_names_in_archives(made: Callable[[str], Any], tmp_path: Path) -> None:
    zipped = archive(tmp_path / "a.zip")
    kinds: list[Any] = [ZipDirectory(zipped), ResourceDirectory(zipfile.Path(zipped)), ResourceDirectory(resources.files("figwasp"))]
    for files in kinds:
        directory, name = ("dir", "file") if "wasi" not in names(files) else ("wasi", "abi.py")
        below = files.enter(made(directory))
        assert below.look(made(name)).size > 0
        below.open(made(name), 1).close()
        assert files.read_bytes(made(f"{directory}/{name}"))[:1] in (b"t", b'"')
        with pytest.raises(OSError, match="Invalid argument"):
            below.readlink(made(name))


def test_writing_bytes_under_names_of_every_type() -> None:
    files = MemoryDirectory()
    files.write_bytes(b"a/\xff", b"1")
    files.write_bytes(Path("a/b"), b"2")
    assert (files.read_bytes("a/\udcff"), files.read_bytes("a/b")) == (b"1", b"2")


def test_what_they_show(tmp_path: Path) -> None:
    """What it is, where, and how much of it; nothing of the contents, or of the values of the environment."""
    (tmp_path / "sub").mkdir()
    host = HostDirectory(tmp_path)
    assert repr(host) == f"<HostDirectory {str(tmp_path)!r}>"
    assert repr(host.enter("sub")) == f"<HostDirectory {str(tmp_path / 'sub')!r}>"
    read_only = HostDirectory(tmp_path, writable=False)
    assert repr(read_only) == f"<HostDirectory {str(tmp_path)!r}, read-only>"
    read_only.close()
    assert repr(read_only) == "<HostDirectory: closed>"
    memory = MemoryDirectory({"a": b"secret", "b": {}}, limit=1 << 16)
    used = memory._folder.volume.limit - memory._folder.volume.left
    assert 1024 < used < 1 << 13
    assert repr(memory) == f"<MemoryDirectory: 2 names, {used} of 65536 bytes in use>"
    assert repr(MemoryDirectory({"a": b""}, limit=9999)).startswith("<MemoryDirectory: 1 name, ")
    over = OverlayDirectory(memory, host)
    assert repr(over) == f"<OverlayDirectory: {memory!r}, {host!r}>"
    assert repr(over.enter("sub")) == f"<OverlayDirectory 'sub': <HostDirectory {str(tmp_path / 'sub')!r}>>"
    zipped = archive(tmp_path / "a.zip")
    assert repr(ZipDirectory(zipped)) == f"<ZipDirectory of {tmp_path / 'a.zip'}: 1 name>"
    assert repr(ZipDirectory(zipfile.ZipFile(io.BytesIO(), "w"))) == "<ZipDirectory of an archive in memory: 0 names>"
    assert repr(ResourceDirectory(zipfile.Path(zipped))) == f"<ResourceDirectory of {zipfile.Path(zipped)!r}>"


def test_what_a_guests_world_shows(tmp_path: Path) -> None:
    with WASI(args=["prog", "x"], env={"KEY": "secret"}, dirs={"/data": tmp_path, "/m": {}}) as wasi:
        shown = repr(wasi)
        assert shown.startswith(f"<WASI: args ['prog', 'x'], 1 variable, dirs {{'/data': <HostDirectory {str(tmp_path)!r}>, '/m': <MemoryDirectory: ")
        assert shown.endswith("5 descriptors open>")
        assert "secret" not in shown
        Guest(wasi).call("fd_close", ROOT)
        assert "/data" not in repr(wasi)
    assert repr(wasi) == "<WASI: args ['prog', 'x'], 1 variable, dirs {}, 0 descriptors open>"
