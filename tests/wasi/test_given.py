"""What is given to a guest is all that it gets, whatever it is given as: streams, file systems on file systems, devices, resources."""

from __future__ import annotations

import io
import os
import socket
import struct
import subprocess
import sys
import zipfile
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

import figwasp
from figwasp.wasi import CAPTURE, WASI, Directory, HostDirectory, MemoryDirectory, OverlayDirectory, ZipDirectory
from tests.environment import environment
from tests.wasi.guest import ALL, PREVIEW1, ROOT, SNAPSHOT0, Guest, tree

CREAT, DIRECTORY = 1, 2
NOW = 2 | 8


@pytest.fixture
def root(tmp_path: Path) -> Path:
    tree(tmp_path)
    return tmp_path


def changes(guest: Guest, fd: int) -> list[str]:
    """Try to change a file through a descriptor that is for reading."""
    return [
        guest.call("fd_filestat_set_times", fd, 0, 0, NOW),
        guest.call("fd_filestat_set_size", fd, 0),
        guest.call("fd_allocate", fd, 0, 1 << 20),
        str(guest.write(fd, b"x")),
        guest.call("fd_pwrite", fd, *guest.vectors((0, 4)), 0, 8),
    ]


def test_a_file_for_stdin_is_only_read(root: Path) -> None:
    """Not even its times change."""
    path = root / "in/file"
    os.utime(path, ns=(1, 1))
    with WASI(stdin=path) as wasi:
        assert changes(Guest(wasi), 0) == ["notcapable", "notcapable", "notcapable", "badf", "badf"]
    with path.open("r+b") as file, WASI(stdin=file) as wasi:
        assert changes(Guest(wasi), 0)[1:] == ["spipe", "spipe", "badf", "spipe"]
    assert (path.stat().st_mtime_ns, path.read_bytes()) == (1, b"inside")


CHANGES = """
import sys
from figwasp.wasi import WASI
from tests.wasi.guest import Guest
from tests.wasi.test_given import changes
with WASI() as wasi:
    print(changes(Guest(wasi), int(sys.argv[1])), file=sys.stderr, end="")
"""


def inherited(line: str, path: Path, fd: int) -> str:
    """Have a process try to change its own stdin or stdout; return the answers."""
    words = ["/bin/sh", "-c", f'"$0" -c "$1" {fd} {line}', sys.executable, CHANGES, str(path)]
    return subprocess.run(words, env=environment(), stderr=subprocess.PIPE, text=True, check=True).stderr


def test_inherited_files(root: Path) -> None:
    """What a shell opened for reading and writing is still only read as stdin; what it appends to is not cut."""
    path = root / "in/file"
    os.utime(path, ns=(1, 1))
    for line in ('<"$2"', '<>"$2"'):
        assert inherited(line, path, 0) == str(["notcapable", "notcapable", "notcapable", "badf", "badf"])
        assert (path.stat().st_mtime_ns, path.read_bytes()) == (1, b"inside")
    answers = inherited('>>"$2"', path, 1)
    assert answers.startswith("['success', 'notcapable', 'notcapable', ")
    assert path.read_bytes().startswith(b"inside")


@pytest.mark.parametrize("kind", ["memory", "overlay", "overlay on memory"])
def test_links_in_file_systems_of_ones_own(root: Path, kind: str) -> None:
    """Symlinks that a guest makes in what is laid over a host's directory lead no further there than in the directory itself."""
    below = HostDirectory(root / "in")
    files: Directory = MemoryDirectory({"file": "inside", "dir/inner": "inner"})
    if kind != "memory":
        files = OverlayDirectory(files if kind == "overlay on memory" else MemoryDirectory(), below)
    (root / "in/up").symlink_to("..")
    with WASI(dirs={"/": files}) as wasi:
        guest = Guest(wasi)
        for number, target in enumerate(("../secret", "dir/../../secret", "..", "up/secret", "dir/deep/../../../out")):
            guest.call("path_symlink", *guest.text(target), ROOT, *guest.text(f"l{number}"))
            assert guest.open(f"l{number}") in ("notcapable", "noent")
            assert guest.open(f"l{number}/secret") in ("notcapable", "noent")
            assert guest.open(f"l{number}", CREAT, ALL) in ("notcapable", "noent")
        assert guest.call("path_symlink", *guest.text("/"), ROOT, *guest.text("root")) == "notcapable"
        assert guest.open("dir/../../secret") == guest.open("up") == "notcapable" if kind != "memory" else True
    assert (root / "secret").read_bytes() == b"SECRET"
    assert sorted(os.listdir(root / "in")) == ["dir", "file", "up"]


def test_resources_that_importlib_merges(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It follows symlinks itself; a guest gets them as they are."""
    name = "figwasp_merged"
    for part in ("one", "two"):
        (root / part / name / "sub").mkdir(parents=True)
        (root / part / name / f"{part}.txt").write_text(part)
        monkeypatch.syspath_prepend(str(root / part))
    (root / "two" / name / "elsewhere").mkdir()
    for link, target in {"up": "../..", "root": "/", "to-secret": "../../secret", "sub/up": "../../..", "near": "one.txt", "elsewhere": "/"}.items():
        (root / "one" / name / link).symlink_to(target)
    monkeypatch.delitem(sys.modules, name, raising=False)
    with WASI(dirs={"/": resources.files(name)}) as wasi:
        guest = Guest(wasi)
        paths = ["up", "up/secret", "root", "root/etc/passwd", "to-secret", "sub/up/secret", "elsewhere/etc/passwd", "elsewhere/etc"]
        assert {guest.open(path) for path in paths} <= {"notcapable", "noent"}
        assert guest.open("to-secret", follow=False) == "loop"
        assert guest.read(guest.fd("near")) == b"one"
        assert guest.read(guest.fd("two.txt")) == b"two"
        out = guest.room(64)
        assert guest.on_path("path_filestat_get", "root", out, before=(0,)) == "success"
        assert guest.memory[out + 16] == 7  # a symlink


def test_devices(root: Path) -> None:
    """The links in /dev that lead to descriptors of the host are absolute, and lead nowhere."""
    with WASI(dirs={"/dev": "/dev"}) as wasi:
        guest = Guest(wasi)
        assert {guest.open(path) for path in ("fd/0", "fd", "stdin", "stdout", "fd/../fd/1")} <= {"notcapable", "noent"}
        assert guest.read(guest.fd("null")) == b""


def test_a_pipe_without_a_partner_does_not_hang_the_host(root: Path) -> None:
    os.mkfifo(root / "in/pipe")
    with WASI(dirs={"/": root / "in"}) as wasi:
        guest = Guest(wasi)
        assert guest.open("pipe", 0, 1 << 6) == "nxio"
        assert isinstance(guest.open("pipe", 0, 1 << 1, fdflags=4), int)
        assert guest.open("pipe/../../secret") == "notdir"
        assert guest.open("pipe", DIRECTORY) == "notdir"


@pytest.mark.parametrize("module", [PREVIEW1, SNAPSHOT0])
def test_under_either_name(root: Path, module: str) -> None:
    with WASI(dirs={"/": root / "in"}) as wasi:
        guest = Guest(wasi, module)
        assert guest.open("../secret") == guest.open("dir/../../out/secret", CREAT, ALL) == "notcapable"
        assert guest.on_path("path_unlink_file", "../secret") == "notcapable"
        assert guest.call("path_link", ROOT, 0, *guest.text("../secret"), ROOT, *guest.text("mine")) == "notcapable"
        assert guest.on_path("path_filestat_get", "../secret", guest.room(64), before=(1,)) == "notcapable"
    assert (root / "secret").read_bytes() == b"SECRET"


def test_two_guests_with_a_world_each(root: Path) -> None:
    """Neither has what the other opened, closed or was given."""
    with WASI(args=["one"], env={"A": "1"}, dirs={"/": root / "in"}) as one, WASI(stdin=b"", stdout=CAPTURE, stderr=CAPTURE) as two:
        first, second = Guest(one), Guest(two)
        fd = first.fd("file")
        assert [second.read(number) for number in (3, fd)] == ["badf", "badf"]
        assert second.call("fd_close", 1) == "success"
        out = second.room(8)
        assert second.call("environ_sizes_get", out, out + 4) == second.call("args_sizes_get", out + 8, out + 12) == "success"
        assert (second.u64(out), second.u64(out + 8)) == (0, 0)
        assert first.read(fd) == b"inside"


def zipped(date: tuple[int, ...] = (1980, 1, 1, 0, 0, 0), damage: bool = False) -> zipfile.ZipFile:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("file", "contents")
    data = bytearray(file.getvalue())
    if damage:
        data[data.index(b"contents")] ^= 1
    read = zipfile.ZipFile(io.BytesIO(bytes(data)))
    read.infolist()[0].date_time = date  # type: ignore[assignment]
    return read


def test_archives_without_times() -> None:
    """Programs that make the same archive twice write zeros."""
    assert ZipDirectory(zipped((1980, 0, 0, 0, 0, 0))).look("file").mtime == ZipDirectory(zipped()).look("file").mtime == 315532800 * 10**9


def test_damaged_archives() -> None:
    for given in (zipped(damage=True), zipfile.Path(zipped(damage=True))):
        with WASI(dirs={"/": given}) as wasi:
            assert Guest(wasi).open("file") == "io"


def test_resources_that_are_no_directory() -> None:
    for name, error in (("file", NotADirectoryError), ("absent", FileNotFoundError)):
        with pytest.raises(error):
            WASI(dirs={"/": zipfile.Path(zipped()) / name})


def test_a_symlink_in_memory_is_as_long_as_its_bytes() -> None:
    files = MemoryDirectory()
    files.symlink("é" * 10, "link")
    assert files.look("link").size == 20


def test_text_before_output(tmp_path: Path) -> None:
    """What Python wrote to a text file before the guest writes to it comes before."""
    with open(tmp_path / "out", "w", encoding="utf-8") as file:
        file.write("before ")
        with WASI(stdout=file) as wasi:
            Guest(wasi).write(1, b"output")
        file.write(" after")
    assert (tmp_path / "out").read_text() == "before output after"


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"dirs": "."}, "dirs must be a mapping"),
        ({"dirs": ["."]}, "dirs must be a mapping"),
        ({"dirs": [("/", ".", "ro")]}, "dirs must be a mapping"),
        ({"args": "one"}, "args must be a sequence"),
        ({"args": [1]}, "expected str, bytes or os.PathLike"),
        ({"env": {"A": 1}}, "expected str, bytes or os.PathLike"),
    ],
)
def test_wrong_settings(settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(TypeError, match=complaint):
        WASI(**settings)


def test_settings_as_subprocess_takes_them(tmp_path: Path) -> None:
    env: dict[bytes, bytes | Path] = {b"A": b"\xff", b"B": tmp_path}
    with WASI(args=[tmp_path, b"\xff"], env=env) as wasi:
        guest = Guest(wasi)
        out = guest.room(256)
        assert guest.call("environ_get", out, out + 16) == "success"
        assert bytes(guest.memory[out + 16 :]).startswith(b"A=\xff\0B=" + os.fsencode(tmp_path) + b"\0")


def test_waits_longer_than_a_poll_takes() -> None:
    """A deadline in a hundred years is no trouble to a read from a pipe or a socket."""
    text = """(module (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 1) (data (i32.const 0) "\\10\\00\\00\\00\\10")
      (func (export "_start") (call $exit (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))))"""
    for timeout in (1e300, float("inf"), 1e8):
        one, other = socket.socketpair()
        with one, other, one.makefile("rb", buffering=0) as stdin:
            other.sendall(b"x")
            assert figwasp.run(figwasp.wat(text), stdin=stdin, timeout=timeout).returncode == 0
            other.sendall(b"x")
            assert figwasp.run(figwasp.wat(text), stdin=one.fileno(), timeout=timeout).returncode == 0


def test_reading_nothing_waits_for_nothing() -> None:
    one, other = socket.socketpair()
    with one, other, WASI(sockets=[one]) as wasi:
        guest = Guest(wasi)
        out = guest.room(8)
        assert guest.call("fd_read", 3, 0, 0, out) == "success"
        assert guest.call("sock_recv", 3, *guest.vectors((0, 0)), 0, out, out + 4) == "success"
        assert guest.u32(out) == 0


def poll_and_read(wasi: WASI) -> tuple[bool, object]:
    """Poll stdin for reading and a clock of 20 ms, then read without waiting.

    Returns:
        Whether stdin was said to be readable (on a slow machine the clock's time may be up as well), and what was read.
    """
    guest = Guest(wasi)
    clock = bytes([7]) + bytes(15) + struct.pack("<IxxxxQQHxxxxxx", 1, 20_000_000, 0, 0)
    events, count = guest.room(64), guest.room(8)
    assert guest.call("poll_oneoff", guest.put(clock + bytes([9]) + bytes(7) + b"\1" + bytes(39)), events, 2, count) == "success"
    happened = {guest.u64(events + 32 * k) for k in range(guest.u32(count))}
    assert happened and happened <= {7, 9}
    assert guest.call("fd_fdstat_set_flags", 0, 4) == "success"
    return 9 in happened, guest.read(0, 3)


@pytest.mark.parametrize("buffering", [0, -1])
def test_file_objects_that_have_nothing_yet(buffering: int) -> None:
    """Python's pipes are waited for as the host's are, also when Python has read ahead."""
    reader, writer = os.pipe()
    with open(reader, "rb", buffering=buffering) as file, open(writer, "wb", buffering=0) as other, WASI(stdin=file) as wasi:
        assert poll_and_read(wasi) == (False, "again")
        other.write(b"abcdef")
        assert poll_and_read(wasi) == (True, b"abc")
        assert poll_and_read(wasi) == (True, b"def")
        assert poll_and_read(wasi) == (False, "again")
        other.close()
        assert poll_and_read(wasi) == (True, b"")
