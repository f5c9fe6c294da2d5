"""Descriptors: buffers, positions, layouts of both snapshots, directory cookies, rights and flags."""

from __future__ import annotations

import fcntl
import gc
import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from figwasp.wasi import WASI
from figwasp.wasi.abi import DIRECTORY_RIGHTS, FILE_RIGHTS
from tests.wasi.guest import ALL, PREVIEW1, ROOT, SNAPSHOT0, Guest, tree

CREAT, DIRECTORY, EXCL, TRUNC = 1, 2, 4, 8
READ, SEEK, TELL, WRITE = 1 << 1, 1 << 2, 1 << 5, 1 << 6
APPEND, DSYNC, NONBLOCK, RSYNC, SYNC = 1, 2, 4, 8, 16


@pytest.fixture
def world(tmp_path: Path) -> Path:
    tree(tmp_path)
    return tmp_path / "in"


@pytest.fixture
def guest(world: Path) -> Iterator[Guest]:
    with WASI(dirs={"/": world}) as wasi:
        yield Guest(wasi)


def test_preopens_are_found_by_number(world: Path) -> None:
    with WASI(dirs=[("/", world), ("/data", world / "dir"), (".", str(world))]) as wasi:
        guest = Guest(wasi)
        out = guest.room(8)
        names = []
        for fd in range(3, 9):
            if guest.call("fd_prestat_get", fd, out) == "badf":
                break
            kind, length = guest.unpack("<BxxxI", out)
            assert kind == 0
            name = guest.put(b"?" * (length + 1))
            assert guest.call("fd_prestat_dir_name", fd, name, length) == "success"
            names.append(guest.memory[name : name + length + 1])
            assert guest.call("fd_prestat_dir_name", fd, name, length - 1) == "nametoolong"
            assert guest.call("fd_prestat_dir_name", fd, name, length + 1) == "success"
        assert names == [b"/?", b"/data?", b".?"]
        assert guest.read(guest.fd("inner", fd=4)) == b"inner"
        assert guest.call("fd_prestat_get", 1, out) == "badf"
        assert guest.call("fd_prestat_get", guest.fd("dir"), out) == "badf"


def test_several_buffers_and_empty_ones(world: Path, guest: Guest) -> None:
    fd = guest.fd("new", CREAT, READ | WRITE | SEEK | TELL)
    assert guest.write(fd, b"one", b"", b"two", b"") == 6
    assert guest.write(fd) == 0
    assert guest.write(fd, b"") == 0
    assert (world / "new").read_bytes() == b"onetwo"
    first, second, out = guest.put(b"...."), guest.put(b"...."), guest.room(4)
    vectors = guest.vectors((first, 2), (0, 0), (second, 3))
    assert guest.call("fd_pread", fd, *vectors, 1, out) == "success"
    assert guest.u32(out) == 5
    assert guest.memory[first : first + 4] == b"ne.."
    assert guest.memory[second : second + 4] == b"two."
    assert guest.call("fd_pwrite", fd, *guest.vectors((guest.put(b"XYZ"), 3)), 4, out) == "success"
    assert guest.u32(out) == 3
    assert (world / "new").read_bytes() == b"onetXYZ"
    assert guest.call("fd_tell", fd, guest.room(8)) == "success"


def test_more_buffers_than_the_host_takes(world: Path, guest: Guest) -> None:
    fd = guest.fd("new", CREAT, WRITE)
    out, data = guest.room(4), guest.put(b"x")
    vectors = guest.vectors(*[(data, 1)] * 3000)
    assert guest.call("fd_write", fd, *vectors, out) == "success"
    assert 0 < guest.u32(out) <= 3000
    assert (world / "new").read_bytes() == b"x" * guest.u32(out)


@pytest.mark.parametrize(("module", "numbers"), [(PREVIEW1, (0, 1, 2)), (SNAPSHOT0, (2, 0, 1))])
def test_seek(world: Path, module: str, numbers: tuple[int, int, int]) -> None:
    start, current, end = numbers
    with WASI(dirs={"/": world}) as wasi:
        guest = Guest(wasi, module)
        fd = guest.fd("file", 0, READ | SEEK | TELL)
        out = guest.room(8)
        for offset, whence, expected in [
            (4, start, 4),
            (-1, current, 3),
            (-2, end, 4),
            (0, current, 4),
            (100, end, 106),
            (1 << 40, start, 1 << 40),
        ]:
            assert guest.call("fd_seek", fd, offset, whence, out) == "success"
            assert guest.u64(out) == expected
            assert guest.call("fd_tell", fd, out) == "success"
            assert guest.u64(out) == expected
        assert guest.call("fd_seek", fd, -1, start, out) == "inval"
        assert guest.call("fd_seek", fd, 0, 3, out) == "inval"
        assert guest.call("fd_seek", fd, 0, -1, out) == "inval"


def test_the_right_to_tell_is_less_than_to_seek(guest: Guest) -> None:
    teller, seeker, neither = (guest.fd("file", 0, READ | right) for right in (TELL, SEEK, 0))
    out = guest.room(8)
    answers = [
        [guest.call("fd_tell", fd, out), guest.call("fd_seek", fd, 0, 1, out), guest.call("fd_seek", fd, 0, 0, out)]
        for fd in (teller, seeker, neither)
    ]
    assert answers == [["success", "success", "notcapable"], ["success"] * 3, ["notcapable"] * 3]


LAYOUTS = {PREVIEW1: "<QQB7xQQQQQ", SNAPSHOT0: "<QQB3xIQQQQ"}


@pytest.mark.parametrize("module", LAYOUTS)
def test_filestat(world: Path, module: str) -> None:
    os.link(world / "file", world / "twin")
    os.utime(world / "file", ns=(1_000_000_007, 2_000_000_009))
    with WASI(dirs={"/": world}) as wasi:
        guest = Guest(wasi, module)
        layout = LAYOUTS[module]
        out = guest.put(b"\xaa" * 72)
        status = (world / "file").stat()
        expected = (status.st_dev, status.st_ino, 4, 2, 6, 1_000_000_007, 2_000_000_009, status.st_ctime_ns)
        assert guest.on_path("path_filestat_get", "file", out, before=(0,)) == "success"
        assert guest.unpack(layout, out) == expected
        assert guest.memory[out + struct.calcsize(layout) : out + 72] == b"\xaa" * (72 - struct.calcsize(layout))
        guest.memory[out : out + 64] = bytes(64)
        assert guest.call("fd_filestat_get", guest.fd("file"), out) == "success"
        assert guest.unpack(layout, out) == expected


def test_times(world: Path, guest: Guest) -> None:
    fd = guest.fd("file", 0, READ | 1 << 23)
    path = world / "file"

    def times() -> tuple[int, int]:
        return path.stat().st_atime_ns, path.stat().st_mtime_ns

    assert guest.call("fd_filestat_set_times", fd, 5, 7, 1 | 4) == "success"
    assert times() == (5, 7)
    assert guest.call("fd_filestat_set_times", fd, 9, 9, 4) == "success"
    assert times() == (5, 9)
    assert guest.on_path("path_filestat_set_times", "file", 11, 0, 1, before=(0,)) == "success"
    assert times() == (11, 9)
    assert guest.on_path("path_filestat_set_times", "file", 0, 0, 8, before=(0,)) == "success"
    assert times()[0] == 11
    assert times()[1] > 10**18
    for flags in (3, 12, 16, -1):
        assert guest.call("fd_filestat_set_times", fd, 0, 0, flags) == "inval"
        assert guest.on_path("path_filestat_set_times", "file", 0, 0, flags, before=(0,)) == "inval"
    (world / "link").symlink_to("file")
    before = times()
    assert guest.on_path("path_filestat_set_times", "link", 1, 1, 5, before=(0,)) == "success"
    assert times() == before
    assert guest.on_path("path_filestat_set_times", "link", 1, 1, 5, before=(1,)) == "success"
    assert times() == (1, 1)


def test_listing_with_buffers_of_every_size(world: Path, guest: Guest) -> None:
    for number in range(40):
        (world / f"dir/name-{number:03}").touch()
    expected = sorted([".", "..", "deep", "inner", *(f"name-{number:03}" for number in range(40))])
    fd = guest.fd("dir", DIRECTORY)
    for size in (32, 33, 64, 70, 100, 1000, 4096):
        assert sorted(guest.listing(fd, size)) == expected, size


def test_cookies_stay_true_while_entries_go(world: Path, guest: Guest) -> None:
    for number in range(20):
        (world / f"dir/deep/{number:02}").touch()
    fd = guest.fd("dir/deep", DIRECTORY)
    out, buffer = guest.room(4), guest.room(64)
    cookie, seen = 0, []
    while True:
        assert guest.call("fd_readdir", fd, buffer, 64, cookie, out) == "success"
        if guest.u32(out) < 26:
            break
        cookie, _, length, _ = guest.unpack("<QQIB", buffer)
        name = guest.memory[buffer + 24 : buffer + 24 + length].decode()
        seen.append(name)
        if name not in (".", ".."):
            assert guest.on_path("path_unlink_file", f"dir/deep/{name}") == "success"
    assert sorted(seen) == [".", "..", *(f"{number:02}" for number in range(20))]
    assert guest.listing(fd) == [".", ".."]


def test_entries_say_what_they_are(world: Path, guest: Guest) -> None:
    (world / "link").symlink_to("nothing")
    os.mkfifo(world / "fifo")
    out, buffer = guest.room(4), guest.room(1024)
    assert guest.call("fd_readdir", ROOT, buffer, 1024, 0, out) == "success"
    found = {}
    at = buffer
    while at < buffer + guest.u32(out):
        _, inode, length, kind = guest.unpack("<QQIB", at)
        found[guest.memory[at + 24 : at + 24 + length].decode()] = (kind, inode)
        at += 24 + length
    inodes = {name: (world / name).lstat().st_ino for name in ("file", "dir", "link", "fifo")}
    assert found == {
        ".": (3, world.stat().st_ino),
        "..": (3, 0),
        "file": (4, inodes["file"]),
        "dir": (3, inodes["dir"]),
        "link": (7, inodes["link"]),
        "fifo": (0, inodes["fifo"]),
    }
    for cookie in (7, 1 << 40, -1):
        assert guest.call("fd_readdir", ROOT, buffer, 1024, cookie, out) == "success"
        assert guest.u32(out) == (1024 if cookie < 6 and cookie >= 0 else 0)
    assert guest.call("fd_readdir", guest.fd("file"), buffer, 1024, 0, out) == "notdir"


def test_rights_are_recorded_and_only_shrink(guest: Guest) -> None:
    out = guest.room(24)
    assert guest.call("fd_fdstat_get", ROOT, out) == "success"
    assert guest.unpack("<BxH4xQQ", out) == (3, 0, DIRECTORY_RIGHTS, ALL)
    fd = guest.fd("new", CREAT, READ | WRITE | SEEK, inheriting=-1)
    assert guest.call("fd_fdstat_get", fd, out) == "success"
    assert guest.unpack("<BxH4xQQ", out) == (4, 0, READ | WRITE | SEEK, 0)
    assert guest.call("fd_fdstat_set_rights", fd, READ, 0) == "success"
    assert guest.write(fd, b"x") == "badf"
    assert guest.call("fd_seek", fd, 0, 0, out) == "notcapable"
    assert guest.call("fd_fdstat_set_rights", fd, READ | WRITE, 0) == "notcapable"
    assert guest.call("fd_fdstat_set_rights", fd, READ, 1) == "notcapable"
    assert guest.call("fd_fdstat_set_rights", ROOT, -1, -1) == "notcapable"
    assert guest.open("file", 0, -1) == 5
    assert guest.call("fd_fdstat_get", 5, out) == "success"
    assert guest.unpack("<BxH4xQQ", out)[2] == FILE_RIGHTS


def test_operations_on_directories(guest: Guest) -> None:
    out = guest.room(8)
    assert guest.read(ROOT) == "isdir"
    assert guest.write(ROOT, b"x") == "isdir"
    assert guest.call("fd_seek", ROOT, 0, 1, out) == "isdir"
    assert guest.call("fd_tell", ROOT, out) == "isdir"
    assert guest.call("fd_allocate", ROOT, 0, 1) == "isdir"
    assert guest.call("fd_filestat_set_size", ROOT, 0) == "isdir"
    assert guest.call("fd_sync", ROOT) == "success"


def test_append_and_flags(world: Path, guest: Guest) -> None:
    fd = guest.fd("file", 0, READ | WRITE | SEEK | 1 << 3, fdflags=APPEND)
    out = guest.room(24)
    assert guest.write(fd, b"+1") == 2
    assert guest.call("fd_fdstat_get", fd, out) == "success"
    assert guest.unpack("<BxH", out) == (4, APPEND)
    assert guest.call("fd_fdstat_set_flags", fd, 0) == "success"
    assert guest.call("fd_seek", fd, 0, 0, out) == "success"
    assert guest.write(fd, b"IN") == 2
    assert (world / "file").read_bytes() == b"INside+1"
    assert guest.call("fd_fdstat_set_flags", fd, APPEND | NONBLOCK) == "success"
    assert guest.write(fd, b"!") == 1
    assert (world / "file").read_bytes() == b"INside+1!"
    assert guest.call("fd_fdstat_set_flags", fd, SYNC) == "notsup"
    assert guest.call("fd_fdstat_set_flags", fd, 32) == "inval"
    assert guest.call("fd_fdstat_set_flags", guest.fd("file", 0, READ), 0) == "notcapable"
    synchronous = guest.fd("file", 0, WRITE, fdflags=SYNC | DSYNC | RSYNC)
    assert guest.call("fd_fdstat_get", synchronous, out) == "success"
    assert guest.unpack("<BxH", out) == (4, SYNC | DSYNC | RSYNC)


def test_sizes(world: Path, guest: Guest) -> None:
    fd = guest.fd("file", 0, READ | WRITE | SEEK | 1 << 7 | 1 << 8 | 1 << 22)
    path = world / "file"
    assert guest.call("fd_filestat_set_size", fd, 3) == "success"
    assert path.read_bytes() == b"ins"
    assert guest.call("fd_filestat_set_size", fd, 5) == "success"
    assert path.read_bytes() == b"ins\0\0"
    assert guest.call("fd_filestat_set_size", fd, -1) == "inval"
    assert guest.call("fd_allocate", fd, 4, 6) == "success"
    assert path.stat().st_size == 10
    assert guest.call("fd_allocate", fd, -1, 6) == "inval"
    for advice in range(6):
        assert guest.call("fd_advise", fd, 0, 10, advice) == "success"
    assert guest.call("fd_advise", fd, 0, 10, 6) == "inval"
    assert guest.call("fd_pread", fd, *guest.vectors((guest.room(8), 8)), -1, guest.room(4)) == "inval"


def test_renumber(guest: Guest) -> None:
    first, second = guest.fd("file", 0, READ), guest.fd("dir/inner", 0, READ)
    assert guest.call("fd_renumber", first, first) == "success"
    assert guest.call("fd_renumber", first, second) == "success"
    assert guest.read(second) == b"inside"
    assert guest.read(first) == "badf"
    assert guest.call("fd_renumber", second, first) == "badf"
    assert guest.call("fd_renumber", first, second) == "badf"
    assert guest.call("fd_renumber", second, 99) == "badf"
    assert guest.fd("file") == first
    assert guest.call("fd_renumber", second, ROOT) == "success"
    assert guest.call("fd_prestat_get", ROOT, guest.room(8)) == "badf"
    assert guest.call("fd_close", ROOT) == "success"
    assert guest.call("fd_close", ROOT) == "badf"


def test_a_file_does_not_become_standard_output_unless_all_other_numbers_are_taken(guest: Guest) -> None:
    first, second = guest.fd("file", 0, READ), guest.fd("dir/inner", 0, READ)
    for fd in (1, first):
        assert guest.call("fd_close", fd) == "success"
    assert [guest.fd("file"), guest.fd("file"), guest.fd("file")] == [first, 1, second + 1]


@pytest.mark.parametrize("fd", [99, -1, 0x7FFF_FFFF, -0x8000_0000])
def test_numbers_that_are_not_open(guest: Guest, fd: int) -> None:
    out = guest.room(64)
    assert guest.call("fd_close", fd) == "badf"
    assert guest.read(fd) == "badf"
    assert guest.call("fd_fdstat_get", fd, out) == "badf"
    assert guest.open("file", fd=fd) == "badf"
    assert guest.call("sock_shutdown", fd, 0) == "badf"
    assert guest.call("sock_shutdown", ROOT, 0) == "notsock"


def test_a_fifo_does_not_hang(world: Path, guest: Guest) -> None:
    os.mkfifo(world / "fifo")
    assert guest.open("fifo", 0, WRITE) == "nxio"
    reader = guest.fd("fifo", 0, READ)
    host = guest.wasi._table.find(reader).host
    assert os.get_blocking(host)
    writer = guest.fd("fifo", 0, WRITE, fdflags=NONBLOCK)
    assert not os.get_blocking(guest.wasi._table.find(writer).host)
    assert guest.write(writer, b"through") == 7
    assert guest.read(reader) == b"through"
    assert guest.call("fd_seek", guest.fd("fifo", 0, READ | SEEK), 0, 0, guest.room(8)) == "spipe"


def fd_is_open(fd: int) -> bool:
    """Tell descriptors from the one that listed them."""
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def test_host_descriptors_are_closed_and_never_inherited(world: Path) -> None:
    before = set(os.listdir("/dev/fd"))
    with WASI(dirs={"/": world}) as wasi:
        guest = Guest(wasi)
        opened = [guest.fd(path) for path in ("file", "dir", "dir/inner")]
        new = [fd for fd in map(int, set(os.listdir("/dev/fd")) - before) if fd_is_open(fd)]
        assert len(new) >= 3  # one may have the number that the first listing had
        assert all(fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC for fd in new)
        assert set(os.listdir("/dev/fd")) > before
    assert set(os.listdir("/dev/fd")) == before
    assert guest.read(opened[0]) == "badf"
    wasi.close()
    forgotten = Guest(WASI(dirs={"/": world}))
    forgotten.fd("file")
    del forgotten
    gc.collect()
    assert set(os.listdir("/dev/fd")) == before


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    before = set(os.listdir("/dev/fd"))
    with pytest.raises(FileNotFoundError):
        WASI(dirs=[("/", tmp_path), ("/x", tmp_path / "missing")])
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        WASI(dirs={"/x": tmp_path / "file"})
    gc.collect()
    assert set(os.listdir("/dev/fd")) == before


def test_files_are_created_by_the_umask(world: Path, guest: Guest) -> None:
    old = os.umask(0o027)
    try:
        guest.fd("new", CREAT, WRITE)
        assert guest.on_path("path_create_directory", "folder") == "success"
    finally:
        os.umask(old)
    assert stat.S_IMODE((world / "new").stat().st_mode) == 0o640
    assert stat.S_IMODE((world / "folder").stat().st_mode) == 0o750


def test_links_read_back(world: Path, guest: Guest) -> None:
    assert guest.call("path_symlink", *guest.text("dir/inner"), ROOT, *guest.text("link")) == "success"
    assert os.readlink(world / "link") == "dir/inner"
    buffer, out = guest.put(b"." * 16), guest.room(4)
    assert guest.on_path("path_readlink", "link", buffer, 16, out) == "success"
    assert (guest.u32(out), bytes(guest.memory[buffer : buffer + 16])) == (9, b"dir/inner.......")
    guest.memory[buffer : buffer + 16] = b"." * 16
    assert guest.on_path("path_readlink", "link", buffer, 3, out) == "success"
    assert (guest.u32(out), bytes(guest.memory[buffer : buffer + 16])) == (3, b"dir" + b"." * 13)
    assert guest.call("path_link", ROOT, 0, *guest.text("link"), ROOT, *guest.text("hard")) == "success"
    assert os.readlink(world / "hard") == "dir/inner"
    assert guest.call("path_link", ROOT, 1, *guest.text("link"), ROOT, *guest.text("hard2")) == "inval"
