"""Arguments, environment, random bytes, exit, stdio of the process; and what no guest may do to the host's Python."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from figwasp.errors import Error, Exit
from figwasp.wasi import WASI, Directory, HostDirectory, MemoryDirectory, OverlayDirectory
from figwasp.wasi.abi import ERRNO_NAMES
from tests.environment import HANG_GUARD, WHOLE, environment
from tests.wasi.guest import PREVIEW1, SNAPSHOT0, Guest, signed, tree

COUNTS = {
    "args_get": 2, "args_sizes_get": 2, "clock_res_get": 2, "clock_time_get": 3, "environ_get": 2, "environ_sizes_get": 2,
    "fd_advise": 4, "fd_allocate": 3, "fd_close": 1, "fd_datasync": 1, "fd_fdstat_get": 2, "fd_fdstat_set_flags": 2,
    "fd_fdstat_set_rights": 3, "fd_filestat_get": 2, "fd_filestat_set_size": 2, "fd_filestat_set_times": 4, "fd_pread": 5,
    "fd_prestat_dir_name": 3, "fd_prestat_get": 2, "fd_pwrite": 5, "fd_read": 4, "fd_readdir": 5, "fd_renumber": 2,
    "fd_seek": 4, "fd_sync": 1, "fd_tell": 2, "fd_write": 4, "path_create_directory": 3, "path_filestat_get": 5,
    "path_filestat_set_times": 7, "path_link": 7, "path_open": 9, "path_readlink": 6, "path_remove_directory": 3,
    "path_rename": 6, "path_symlink": 5, "path_unlink_file": 3, "poll_oneoff": 4, "proc_exit": 1, "proc_raise": 1,
    "random_get": 2, "sched_yield": 0, "sock_accept": 3, "sock_recv": 6, "sock_send": 5, "sock_shutdown": 2,
}  # fmt: skip
"""The 46 functions with their numbers of arguments, from the interface's description."""


def test_names() -> None:
    with WASI() as wasi:
        imports = wasi.imports()
    assert set(imports) == {PREVIEW1, SNAPSHOT0}
    assert set(imports[PREVIEW1]) == set(COUNTS)
    assert set(imports[SNAPSHOT0]) == set(COUNTS) - {"sock_accept"}
    assert imports[PREVIEW1]["fd_read"].__name__ == "fd_read"


def leb(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        shift, at = shift + 7, at + 1
        if byte < 128:
            return value, at


def wasi_imports(data: bytes) -> set[tuple[str, str]]:
    """List what a binary imports from WASI, as far as function imports go."""
    at = 8
    while data[at] != 2:
        size, body = leb(data, at + 1)
        at = body + size
    _, at = leb(data, at + 1)
    number, at = leb(data, at)
    found = set()
    for _ in range(number):
        names = []
        for _ in range(2):
            length, at = leb(data, at)
            names.append(data[at : at + length].decode())
            at += length
        if data[at] != 0:
            break
        _, at = leb(data, at + 1)
        if names[0].startswith("wasi"):
            found.add((names[0], names[1]))
    return found


def test_everything_that_real_programs_import(shared: Path) -> None:
    with WASI() as wasi:
        given_ = {(module, name) for module, functions in wasi.imports().items() for name in functions}
    programs = sorted((shared / "programs/modules").glob("*.wasm"))
    assert len(programs) > (20 if WHOLE else 2)
    wanted = {program.name: wasi_imports(program.read_bytes()[: 1 << 20]) for program in programs}
    assert not WHOLE or any(("wasi_unstable", "fd_seek") in names for names in wanted.values())
    assert {program: names - given_ for program, names in wanted.items() if names - given_} == {}


def strings(guest: Guest, which: str) -> list[bytes]:
    """Read arguments or environment as a C library does."""
    count, size = guest.room(4), guest.room(4)
    assert guest.call(f"{which}_sizes_get", count, size) == "success"
    number, total = guest.u32(count), guest.u32(size)
    pointers, buffer = guest.room(4 * number), guest.put(b"\xee" * (total + 1))
    assert guest.call(f"{which}_get", pointers, buffer) == "success"
    assert guest.memory[buffer + total] == 0xEE
    found = []
    for index in range(number):
        start = guest.u32(pointers + 4 * index)
        found.append(bytes(guest.memory[start : guest.memory.index(0, start)]))
    return found


def test_arguments_and_environment() -> None:
    args: list[str | bytes] = ["prog", "", "zwei wörter", b"\xff\xfe", "\udcff"]
    with WASI(args=args, env={"A": "1", "EMPTY": "", "Ü": "=="}) as wasi:
        guest = Guest(wasi)
        assert strings(guest, "args") == [b"prog", b"", "zwei wörter".encode(), b"\xff\xfe", b"\xff"]
        assert strings(guest, "environ") == [b"A=1", b"EMPTY=", "Ü===".encode()]
    with WASI() as wasi:
        guest = Guest(wasi)
        assert strings(guest, "args") == strings(guest, "environ") == []


@pytest.mark.parametrize(
    "settings",
    [{"args": ["a\0b"]}, {"env": {"A=B": "c"}}, {"env": {"": "c"}}, {"env": {"A": "\0"}}, {"dirs": {"/\0": "."}}],
)
def test_strings_that_cannot_be_passed(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="NUL|not a name"):
        WASI(**settings)


def test_random() -> None:
    with WASI() as wasi:
        guest = Guest(wasi, size=1 << 20)
        assert guest.call("random_get", 100, 200_000) == "success"
        drawn = bytes(guest.memory[100:200_100])
        assert all(drawn[start : start + 1000].count(0) < 100 for start in range(0, 200_000, 1000))
        assert not any(guest.memory[:100])
        assert not any(guest.memory[200_100:])
        assert guest.call("random_get", 0, 0) == "success"


@pytest.mark.parametrize("code", [0, 1, 33, 134, 0xFFFF_FFFF])
def test_exit(code: int) -> None:
    out = io.BufferedWriter(io.FileIO(os.open(os.devnull, os.O_WRONLY), "wb"))
    with out, WASI(stdout=out) as wasi:
        guest = Guest(wasi)
        with pytest.raises(Exit) as caught:
            guest.call("proc_exit", code)
        assert caught.value.code == code and isinstance(caught.value, Error)
        assert guest.call("proc_raise", 6) == "notsup"
        assert guest.call("sched_yield") == "success"


def test_exceptions_of_streams_pass_through() -> None:
    class Broken(io.BytesIO):
        def __init__(self, error: BaseException) -> None:
            super().__init__()
            self.error = error

        def write(self, data: object) -> int:
            raise self.error

    for error in (KeyboardInterrupt(), ValueError("mine"), ZeroDivisionError()):
        with WASI(stdout=Broken(error)) as wasi, pytest.raises(type(error)) as caught:
            Guest(wasi).write(1, b"x")
        assert caught.value is error
    with WASI(stdout=Broken(BrokenPipeError(32, "gone"))) as wasi:
        assert Guest(wasi).write(1, b"x") == "pipe"


EDGE = 1 << 17
POINTERS = [EDGE, EDGE - 3, EDGE - 1, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFF8, 0xFFFF_FFFF]


@pytest.mark.parametrize("pointer", POINTERS)
def test_pointers_out_of_range(tmp_path: Path, pointer: int) -> None:
    """In turn every pointer of every call is bad; nothing may happen, in memory or outside."""
    tree(tmp_path)
    out = io.BytesIO()
    with WASI(
        args=["prog"], env={"A": "1"}, dirs={"/": tmp_path / "in"}, stdin=io.BytesIO(b"input"), stdout=out
    ) as wasi:
        guest = Guest(wasi)
        assert guest.fd("file") == 4
        good, (path, length) = guest.room(64), guest.text("new")
        one = guest.vectors((guest.put(b"data"), 4))
        clock = guest.put(bytes(48))
        bad_buffer, bad_length = guest.vectors((pointer, 8)), guest.vectors((good, pointer))
        snapshot = bytes(guest.memory)
        calls: list[tuple[Any, ...]] = [
            ("args_get", pointer, good),
            ("args_get", good, pointer),
            ("args_sizes_get", pointer, good),
            ("args_sizes_get", good, pointer),
            ("environ_get", good, pointer),
            ("environ_sizes_get", pointer, good),
            ("clock_res_get", 0, pointer),
            ("clock_time_get", 1, 0, pointer),
            ("fd_write", 1, pointer, 1, good),
            ("fd_write", 1, *one, pointer),
            ("fd_write", 1, *bad_buffer, good),
            ("fd_write", 1, one[0], 1 << 29, good),
            ("fd_write", 1, one[0], -1, good),
            ("fd_read", 0, pointer, 1, good),
            ("fd_read", 0, *one, pointer),
            ("fd_read", 0, *bad_buffer, good),
            ("fd_pread", 4, *bad_buffer, 0, good),
            ("fd_pread", 4, *one, 0, pointer),
            ("fd_seek", 4, 0, 0, pointer),
            ("fd_tell", 4, pointer),
            ("fd_fdstat_get", 1, pointer),
            ("fd_filestat_get", 4, pointer),
            ("fd_prestat_get", 3, pointer),
            ("fd_prestat_dir_name", 3, pointer, 8),
            ("fd_readdir", 3, pointer, 64, 0, good),
            ("fd_readdir", 3, good, 64, 0, pointer),
            ("path_create_directory", 3, pointer, 4),
            ("path_filestat_get", 3, 0, pointer, 4, good),
            ("path_filestat_get", 3, 0, *guest.text("file"), pointer),
            ("path_open", 3, 0, pointer, 4, 1, 0, 0, 0, good),
            ("path_open", 3, 0, path, length, 1, 0, 0, 0, pointer),
            ("path_readlink", 3, pointer, 4, good, 3, good),
            ("path_symlink", pointer, 4, 3, path, length),
            ("path_symlink", path, length, 3, pointer, 4),
            ("path_rename", 3, pointer, 4, 3, path, length),
            ("path_rename", 3, *guest.text("file"), 3, pointer, 4),
            ("path_unlink_file", 3, pointer, 4),
            ("random_get", pointer, 16),
            ("poll_oneoff", pointer, good, 1, good),
            ("poll_oneoff", clock, pointer, 1, good),
            ("poll_oneoff", clock, good, 1, pointer),
        ]
        if pointer > EDGE:
            calls += [
                ("fd_write", 1, *bad_length, good),
                ("random_get", good, pointer),
                ("fd_readdir", 3, good, pointer, 0, good),
                ("path_create_directory", 3, path, pointer),
                ("fd_prestat_dir_name", 3, good, pointer),
            ]
        snapshot = bytes(guest.memory)
        assert {call: guest.call(*call) for call in calls} == dict.fromkeys(calls, "fault")
        assert bytes(guest.memory) == snapshot
        assert out.getvalue() == b""
        assert guest.read(0) == b"input"
        assert sorted(os.listdir(tmp_path / "in")) == ["dir", "file"]


def test_a_pointer_as_far_as_memory_goes() -> None:
    with WASI() as wasi:
        guest = Guest(wasi)
        assert guest.call("clock_time_get", 0, 0, EDGE - 8) == "success"
        assert guest.u64(EDGE - 8) > 0
        assert guest.call("clock_time_get", 0, 0, EDGE - 7) == "fault"
        assert guest.call("random_get", EDGE, 0) == "success"
        assert guest.call("random_get", EDGE + 1, 0) == "fault"


INTERESTING = st.one_of(
    st.integers(0, 8),
    st.integers(0, 256).map(lambda number: number * 8),
    st.sampled_from([EDGE, EDGE - 8, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 1 << 62, 1 << 63, (1 << 64) - 1]),
)


@given(st.sampled_from(["host", "read-only", "memory", "overlay"]),
       st.lists(st.tuples(st.sampled_from(sorted(set(COUNTS) - {"proc_exit", "poll_oneoff", "fd_allocate",
                                                               "fd_filestat_set_size"})),
                          st.lists(INTERESTING, min_size=9, max_size=9), st.binary(max_size=64)), max_size=30))  # fmt: skip
def test_no_arguments_break_the_host(
    tmp_path_factory: pytest.TempPathFactory, kind: str, calls: list[tuple[str, list[int], bytes]]
) -> None:
    """Whatever a guest calls, it gets an error number, and outside its directory nothing changes."""
    folder = tmp_path_factory.mktemp("world")
    tree(folder)
    before = set(os.listdir("/dev/fd"))
    root: Directory = HostDirectory(folder / "in", writable=kind != "read-only")
    if kind != "host" and kind != "read-only":
        memory = MemoryDirectory({"dir/inner": "inner", "dir/deep/x": "x"}, limit=1 << 20)
        root = memory if kind == "memory" else OverlayDirectory(memory, root)
    with WASI(
        args=["prog"], dirs={"/": root}, stdin=io.BytesIO(b"x" * 99), stdout=io.BytesIO(), stderr=io.BytesIO()
    ) as wasi:
        guest = Guest(wasi)
        guest.memory[64:2048] = b"file/dir/../dir/deep\0\0\0\0" * 82 + b"../secret".ljust(16, b"\0")
        for name, args, data in calls:
            guest.memory[64 : 64 + len(data)] = data
            arguments = [signed(arg, 64 if arg >> 32 else 32) for arg in args[: COUNTS[name]]]
            answer = guest.functions[name](*arguments)
            assert type(answer) is int
            assert 0 <= answer < len(ERRNO_NAMES)
    del root
    assert set(os.listdir("/dev/fd")) == before
    assert sorted(os.listdir(folder)) == ["in", "out", "secret"]
    assert (folder / "secret").read_bytes() == b"SECRET"
    assert (folder / "out/secret").read_bytes() == b"SECRET"


def test_file_objects_for_stdio() -> None:
    out, err = io.BytesIO(), io.BytesIO()
    with WASI(stdin=io.BytesIO(b"line 1\nline 2\n"), stdout=out, stderr=err) as wasi:
        guest = Guest(wasi)
        assert guest.read(0, 8) == b"line 1\nl"
        assert guest.read(0) == b"ine 2\n"
        assert guest.read(0) == b""
        assert guest.write(1, b"a", b"", b"bc") == 3
        assert guest.write(2, b"error") == 5
        assert guest.write(0, b"x") == "badf"
        assert guest.read(1) == "badf"
        stats = guest.room(64)
        assert guest.call("fd_seek", 1, 0, 1, stats) == "spipe"
        assert guest.call("fd_fdstat_get", 1, stats) == "success"
        assert guest.memory[stats] == 0
        assert guest.call("fd_filestat_get", 1, stats) == "success"
        assert guest.call("fd_sync", 1) == "success"
        assert guest.call("fd_close", 1) == "success"
        assert guest.write(1, b"x") == "badf"
    assert out.getvalue() == b"abc"
    assert err.getvalue() == b"error"


def test_a_file_object_sees_bytes_that_stay() -> None:
    class Collector(io.RawIOBase):
        chunks: list[bytes] = []

        def write(self, data: bytes) -> int:  # type: ignore[override]
            self.chunks.append(data)
            return len(data)

    collector = Collector()
    with WASI(stdout=collector) as wasi:
        guest = Guest(wasi)
        guest.write(1, b"before")
        guest.memory[:] = bytes(len(guest.memory))
        assert collector.chunks == [b"before"]
        huge = guest.vectors(*[(0, len(guest.memory))] * 1024)  # 128 MiB by overlapping buffers
        assert guest.call("fd_write", 1, *huge, guest.room(4)) == "success"
        assert sum(map(len, collector.chunks)) <= 2 << 20


def python(code: str, **how: Any) -> subprocess.CompletedProcess[bytes]:
    """Run Python code that has a `guest` whose streams are the process's own."""
    start = "import os, sys\nfrom figwasp.wasi import WASI\nfrom tests.wasi.guest import Guest\nguest = Guest(WASI())\n"
    buffered = {name: value for name, value in environment().items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run([sys.executable, "-c", start + code], capture_output=True, timeout=HANG_GUARD, env=buffered, **how)


def test_inherited_output_keeps_its_order() -> None:
    code = """
print("1 from Python")
guest.write(1, b"2 from the guest\\n")
print("3 from Python")
guest.write(1, b"4 from ", b"the guest\\n")
print("error from Python", file=sys.stderr, end=" ")
guest.write(2, b"and the guest")
guest.call("fd_close", 1)
print("5 still open")
"""
    done = python(code)
    assert done.stderr == b"error from Python and the guest"
    assert done.stdout == b"1 from Python\n2 from the guest\n3 from Python\n4 from the guest\n5 still open\n"


def test_inherited_input() -> None:
    code = """
print(guest.read(0, 4))
print(guest.call("fd_fdstat_set_flags", 0, 4), guest.read(0, 99))
print(os.get_blocking(0))
"""
    done = python(code, input=b"some input")
    assert done.stdout == b"b'some'\nsuccess b' input'\nTrue\n", done.stderr
    reader, writer = os.pipe()
    try:
        done = python('print(guest.call("fd_fdstat_set_flags", 0, 4), guest.read(0, 99))', stdin=reader)
    finally:
        os.close(reader)
        os.close(writer)
    assert done.stdout == b"success again\n", done.stderr


def test_a_process_without_stdio(tmp_path: Path) -> None:
    tree(tmp_path)
    code = f"""
os.close(0)
guest = Guest(WASI(dirs={{"/": {str(tmp_path / "in")!r}}}))
print(guest.read(0), guest.fd("file"), guest.read(0))
"""
    done = python(code)
    assert done.stdout == b"badf 0 b'inside'\n", done.stderr
