"""What a guest makes the host keep is bounded: it takes more and more until it is told that there is no more.

The rows of the table in docs/limits.md that are about WASI.
"""

from __future__ import annotations

import gc
import io
import os
import resource
import socket
import subprocess
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import figwasp
from figwasp.wasi import (
    CAPTURE,
    WASI,
    Directory,
    HostDirectory,
    MemoryDirectory,
    OverlayDirectory,
    ResourceDirectory,
    ZipDirectory,
)
from figwasp.wasi.abi import ERRNO_NAMES
from figwasp.wasi.descriptors.hostfiles import Opened
from figwasp.wasi.descriptors.listing import Listing
from figwasp.wasi.descriptors.streams import MAX_OUTPUT
from figwasp.wasi.descriptors.table import LISTINGS
from figwasp.wasi.directories.contents import _Content
from figwasp.wasi.directories.host import HostFile
from figwasp.wasi.directories.nodes import Data, Folder
from tests.wasi.guest import ALL, ROOT, Guest

NOSPC = ERRNO_NAMES.index("nospc")
CREAT, DIRECTORY, READ, READDIR = 1, 2, 1 << 1, 1 << 14
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
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for name, size in members.items():
            made.writestr(f"lib/{name}", b"x" * (size << 20))
    return zipfile.ZipFile(file)


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


ENDLESS = figwasp.wat("""(module (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 2) (data (i32.const 0) "\\10\\00\\00\\00\\00\\00\\01\\00")
  (func (export "_start") (local $answer i32) (local $fd i32)
    (loop $more
      (local.set $fd (i32.xor (local.get $fd) (i32.const 1)))
      (br_if $more (i32.eqz (local.tee $answer
        (call $write (i32.add (i32.const 1) (local.get $fd)) (i32.const 0) (i32.const 1) (i32.const 8))))))
    (call $exit (local.get $answer))))""")
"""Writes 64 KiB to stderr and stdout in turn until there is an error, with which it exits."""


def test_captured_output() -> None:
    """As much as there is room for, of both together; then the guest is told, as by a disk that is full."""
    done = figwasp.run(ENDLESS, capture_output=True, max_output=200_000)
    assert (done.returncode, len(done.stdout), len(done.stderr)) == (NOSPC, 200_000 - 2 * 65536, 2 * 65536)
    with WASI(stdout=CAPTURE, stderr=CAPTURE, max_output=200_000) as wasi, pytest.raises(figwasp.Exit) as caught:
        figwasp.load(ENDLESS, wasi.imports())._start()
    assert (caught.value.code, wasi.stdout, wasi.stderr) == (NOSPC, done.stdout, done.stderr)


def test_captured_output_by_default() -> None:
    done: subprocess.CompletedProcess[Any] = figwasp.run(ENDLESS, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert (done.returncode, len(done.stdout), done.stderr) == (NOSPC, MAX_OUTPUT, None)


def test_a_trap_is_reported_beyond_the_limit() -> None:
    """What the runtime itself has to say is the host's."""
    trapping = figwasp.wat("""(module (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1) (data (i32.const 4) "\\10")
      (func (export "_start") (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8))) unreachable))""")
    done = figwasp.run(trapping, capture_output=True, max_output=5)
    assert (done.returncode, done.stderr[:12]) == (134, bytes(4) + b"\x10figwasp")
    unlimited = figwasp.run(trapping, capture_output=True, max_output=None)
    assert unlimited.stderr[:23] == bytes(4) + b"\x10" + bytes(11) + b"figwasp"


def storing(kind: str, guest: Guest, k: int) -> str:
    """Have one more thing stored that costs much more than its bytes; return the answer."""
    name = f"{k:x}"
    if kind == "empty files":
        return opening(guest, name)
    if kind == "directories":
        return guest.on_path("path_create_directory", name)
    if kind == "directories of one":
        answer = guest.on_path("path_create_directory", name)
        return answer if answer != "success" else opening(guest, f"{name}/x")
    if kind == "wide names":  # one character that takes four bytes makes all take four
        return opening(guest, name + "n" * (251 - len(name)) + "\U0001f600")
    if kind == "names that are no text":
        return opening(guest, name.encode() + b"\xff" * (255 - len(name)))
    if kind == "links":
        return guest.call("path_symlink", *guest.text("t" * 4000 + "\U0001f600"), ROOT, *guest.text(name))
    if kind == "hard links":
        return opening(guest, "x") if k == 0 else guest.on_path("path_link", name, before=(0, *guest.text("x"), ROOT))
    fd = guest.open(name, CREAT, ALL)
    if isinstance(fd, str):
        return fd
    if kind == "cut files":
        sizes = [100_000, 50_001]
    else:
        sizes = [size << 10 for size in range(1, 100, 7)]
    answers = [guest.call("fd_filestat_set_size", fd, size) for size in sizes]
    guest.call("fd_close", fd)
    return answers[-1]


def opening(guest: Guest, name: str | bytes) -> str:
    fd = guest.open(name, CREAT, ALL)
    return fd if isinstance(fd, str) else guest.call("fd_close", fd)


@pytest.mark.parametrize(
    "kind",
    ["empty files", "directories", "directories of one", "wide names", "names that are no text", "links", "hard links", "cut files",
     "grown files"],
)  # fmt: skip
def test_files_in_memory(kind: str) -> None:
    """Whatever a guest stores takes no more of the host's memory than the limit says, and all comes back."""
    limit = 4 << 20
    files = MemoryDirectory(limit=limit)
    guest = guest_of(files)
    volume = files._folder.volume
    left = volume.left
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        k = 0
        while (answer := storing(kind, guest, k)) == "success":
            k += 1
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert answer == "nospc" and 20 < k
    assert limit // 4 < taken < limit + (64 << 10)
    assert volume.left < 32 << 10 or kind.endswith("files")
    for path in [os.fsencode(entry.name) for entry in files.entries()]:
        if guest.on_path("path_unlink_file", path) != "success":
            guest.on_path("path_unlink_file", path + b"/x")
            assert guest.on_path("path_remove_directory", path) == "success"
    assert volume.left == left


def test_a_rename_without_room_changes_nothing() -> None:
    files = MemoryDirectory({"a": "a"}, limit=4096)
    guest = guest_of(files)
    name = "n" * 255
    files._folder.volume.left = 200
    assert guest.on_path("path_rename", "a", ROOT, *guest.text(name)) == "nospc"
    assert (files.look("a").links, files._folder.volume.left) == (1, 200)
    assert [entry.name for entry in files.entries()] == ["a"]


@pytest.mark.parametrize("kind", ["host", "memory", "overlay"])
@pytest.mark.parametrize("path", ["file", "."])
def test_descriptors(kind: str, path: str, tmp_path: Path) -> None:
    """So many and no more, and those of the host below them come back."""
    (tmp_path / "file").write_text("text")
    host, memory = HostDirectory(tmp_path), MemoryDirectory({"file": "text"})
    given = {"host": host, "memory": memory, "overlay": OverlayDirectory(memory, host)}[kind]
    before = len(os.listdir("/dev/fd"))
    guest = guest_of(given, max_descriptors=50)
    opened = [guest.fd(path) for _ in range(50 - 4)]
    assert opened == list(range(4, 50))
    assert [guest.open(path), guest.open("new", CREAT, ALL)] == ["mfile", "mfile"]
    assert not (tmp_path / "new").exists()
    assert [guest.call("fd_renumber", 49, 48), guest.call("fd_close", 48)] == ["success", "success"]
    assert [guest.fd(path), guest.fd(path), guest.open(path)] == [49, 48, "mfile"]
    guest.wasi.close()
    assert len(os.listdir("/dev/fd")) == before


def test_descriptors_by_default() -> None:
    guest = guest_of(MemoryDirectory())
    assert [guest.fd(".", DIRECTORY) for _ in range(1020)][-1] == 1023
    assert guest.open(".", DIRECTORY) == "mfile"


def test_connections() -> None:
    """The guest cannot take a connection when it has no number left for it; whoever connected goes on waiting."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        wasi = WASI(stdin=b"", stdout=io.BytesIO(), stderr=io.BytesIO(), sockets=[server], max_descriptors=5)
        guest = Guest(wasi)
        with socket.create_connection(server.getsockname()), socket.create_connection(server.getsockname()):
            assert guest.call("sock_accept", 3, 0, guest.room(4)) == "success"
            assert guest.call("sock_accept", 3, 0, guest.room(4)) == "mfile"
            assert guest.call("fd_close", 4) == "success"
            assert guest.call("sock_accept", 3, 0, guest.room(4)) == "success"
        wasi.close()


def test_what_the_process_has_not(tmp_path: Path) -> None:
    """When the process itself has no descriptor left the guest is told the same."""
    guest = guest_of(HostDirectory(tmp_path))
    (tmp_path / "file").touch()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/dev/fd")) + 20, hard))
    try:
        while isinstance(fd := guest.open("file"), int):
            opened.append(fd)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert fd == "mfile" and 10 < len(opened) < 100
    assert isinstance(guest.open("file"), int)
    guest.wasi.close()


def test_subscriptions() -> None:
    guest = guest_of(MemoryDirectory())
    assert [guest.call("poll_oneoff", 64, 64, count, 64) for count in (1 << 16, (1 << 16) + 1, 0)] == ["fault", "inval", "inval"]


def test_what_is_cut_off_makes_room() -> None:
    files = MemoryDirectory({"file": ""}, limit=2 << 20)
    guest = guest_of(files)
    fd = guest.fd("file", 0, ALL)
    left = files._folder.volume.left
    for _ in range(5):
        assert guest.call("fd_filestat_set_size", fd, left - 1024) == "success"
        assert files._folder.volume.left < 1024
        assert guest.call("fd_filestat_set_size", fd, 0) == "success"
        assert left - files._folder.volume.left < 128


@pytest.mark.parametrize("kind", [Data, Folder, Listing, _Content, Opened, HostFile, HostDirectory])
def test_what_an_exception_has_kept_from_being_made(kind: Any) -> None:
    """Its finalizer, which runs all the same, gives nothing back and says nothing."""
    kind.__new__(kind).__del__()
