"""Guests that try to get out of what they were given, or at more of it: none succeeds, and each is told so by the right number.

What lies beside the directories that they were given must stay unseen and as it was.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import figwasp
from figwasp.wasi import CAPTURE, WASI, HostDirectory, MemoryDirectory
from figwasp.wasi.abi import ERRNO_NAMES, MAX_PATH
from figwasp.wasi.directories import host
from tests.wasi.attempts_more import ATTEMPTS
from tests.wasi.program import ALL, ANSWERS, BUFFER, READ_ONLY, Program

CREAT = 1
SECRET = b"SECRET-0123456789"


@pytest.fixture
def world(tmp_path: Path) -> Path:
    (tmp_path / "in/dir/deep").mkdir(parents=True)
    for path in ("out", "other/dir", "given/dir"):
        (tmp_path / path).mkdir(parents=True)
    for path in ("in/file", "in/dir/inner", "given/file"):
        (tmp_path / path).write_bytes(b"inside")
    for path in ("secret", "out/secret"):
        (tmp_path / path).write_bytes(SECRET)
    for path, target in {
        "in/up": "..",
        "in/to-secret": "../secret",
        "in/absolute": str(tmp_path / "secret"),
        "in/absolute-root": "/",
        "in/to-out": "../out",
        "in/chain1": "dir/chain2",
        "in/dir/chain2": "chain3/../secret",
        "in/dir/chain3": "../../out",
        "in/dir/back": "../file",
        "in/dir/self": ".",
        "in/dir/deep/self": ".",
        "in/dir/deep/up3": "../../..",
        "in/dangling-out": "../new",
        "in/loop": "loop",
        "in/ping": "pong",
        "in/pong": "ping",
    }.items():
        (tmp_path / path).symlink_to(target)
    return tmp_path


def outside(world: Path) -> dict[str, object]:
    """Describe what a guest must neither see nor change."""
    found: dict[str, object] = {name: (world / name).read_bytes() for name in ("secret", "out/secret", "given/file")}
    found["times"] = [(world / name).stat().st_mtime_ns for name in ("secret", "out/secret", "given/file", "given")]
    found["links"] = [(world / name).stat().st_nlink for name in ("secret", "out/secret", "given/file")]
    found["names"] = [sorted(os.listdir(world / name)) for name in (".", "out", "given")]
    return found


@pytest.fixture(params=["openat2", "openat"])
def wasi(world: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[WASI]:
    if request.param == "openat":
        monkeypatch.setattr(host, "enter_beneath", no_openat2)
    dirs = [("/", world / "in"), ("/other", world / "other"), ("/given", HostDirectory(world / "given", writable=False))]
    before = outside(world)
    with WASI(dirs=dirs, stdin=b"input", stdout=CAPTURE, stderr=CAPTURE) as wasi:
        yield wasi
    assert outside(world) == before


def no_openat2(directory: int, path: str) -> int:
    """Be a kernel of before 5.6."""
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


def test_there_are_enough() -> None:
    assert len(ATTEMPTS) >= 40


@pytest.mark.parametrize("name", list(ATTEMPTS))
def test_attempt(wasi: WASI, world: Path, name: str) -> None:
    """It gets the answers that it has to get, and nothing of what is outside."""
    work, expected = ATTEMPTS[name]
    program = Program()
    work(program)
    answers, memory = program.run(wasi)
    assert answers == expected
    assert SECRET not in memory
    assert b"root:" not in memory
    assert world.stat().st_ino.to_bytes(8, "little") not in memory[BUFFER:]
    assert wasi.stdout == wasi.stderr == b""


def test_proc(world: Path) -> None:
    """The links of /proc, which the kernel follows to wherever, are no way out of a /proc that was given."""
    if not os.path.isdir("/proc/self"):
        pytest.skip("there is no /proc here")
    program = Program()
    paths = ["self/root/etc/passwd", "self/cwd", "self/cwd/", "self/fd/0", "self/exe", "thread-self/root"]
    paths += [f"{os.getpid()}/{name}" for name in ("root", "cwd", "root/")]
    for path in paths:
        program.open(path)
    pid = str(os.getpid())
    with WASI(dirs={"/": "/proc"}) as wasi:
        answers, memory = program.run(wasi)
        found = dict(zip(paths, answers, strict=True))
    assert found.pop("self/fd/0") in ("notcapable", "noent")  # a pipe or a file: its link leads to no name in here
    assert set(found.values()) == {"notcapable"}, pid
    assert b"root:" not in memory


def test_a_symlink_swapped_during_the_call(world: Path) -> None:
    """While another thread swaps a directory and a symlink to one outside, no file of that one is ever opened."""
    inside = world / "in"
    (inside / "swap").mkdir()
    (inside / "swap/secret").write_bytes(b"inside")
    (inside / "link").symlink_to("../out")
    program = Program()
    path, size = program.text("swap/secret")
    vector, out = program.vector(BUFFER, 32), program.cell().address
    body = f"""(local $answer i32)
      (loop $again
        (local.set $answer (call $path_open (i32.const 3) (i32.const 1) (i32.const {path}) (i32.const {size}) (i32.const 0)
          (i64.const {READ_ONLY}) (i64.const 0) (i32.const 0) (i32.const {out})))
        (i32.store (i32.add (i32.const {ANSWERS}) (i32.mul (local.get $answer) (i32.const 4)))
          (i32.add (i32.const 1) (i32.load (i32.add (i32.const {ANSWERS}) (i32.mul (local.get $answer) (i32.const 4))))))
        (if (i32.eqz (local.get $answer)) (then
          (drop (call $fd_read (i32.load (i32.const {out})) (i32.const {vector}) (i32.const 1) (i32.const {out + 4})))
          (drop (call $fd_close (i32.load (i32.const {out}))))
          (if (i32.ne (i32.load8_u (i32.const {BUFFER})) (i32.const {ord("i")})) (then unreachable))))
        (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))"""
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for source, target in (("swap", "away"), ("link", "swap"), ("swap", "link"), ("away", "swap")):
                os.rename(inside / source, inside / target)

    thread = threading.Thread(target=swap)
    with WASI(dirs={"/": inside}) as wasi:
        exports = figwasp.load(figwasp.wat(program.source(body)), wasi.imports()).exports
        thread.start()
        try:
            exports.more(20000)
        finally:
            stop.set()
            thread.join()
        memory = exports.memory
        counts = {name: memory.read_u32(ANSWERS + 4 * number) for number, name in enumerate(ERRNO_NAMES)}
    assert SECRET not in bytes(memory)
    assert counts["success"] > 0
    assert counts["notcapable"] > 0
    assert {name for name, count in counts.items() if count} <= {"success", "notcapable", "noent", "notdir"}


def test_too_many_descriptors(world: Path) -> None:
    """The guest runs into its own limit, not into the host's, and what it has still works."""
    program = Program()
    fds = [program.open("file") for _ in range(20)]
    program.call("fd_close", fds[0])
    program.open("file")
    program.read(fds[1])
    before = len(os.listdir("/dev/fd"))
    with WASI(dirs={"/": world / "in"}, max_descriptors=14) as wasi:
        answers, _ = program.run(wasi)
        assert len(os.listdir("/dev/fd")) <= before + 11
    assert answers == ["success"] * 10 + ["mfile"] * 10 + ["success", "success", "success"]
    assert len(os.listdir("/dev/fd")) == before


def test_more_than_memory_may_hold() -> None:
    program = Program()
    fd = program.open("new", CREAT, ALL)
    program.call("fd_filestat_set_size", fd, 1 << 40)
    program.call("fd_allocate", fd, 1 << 40, 1 << 20)
    program.call("fd_pwrite", fd, program.vector(0, 16), 1, 1 << 40, program.cell().address)
    program.call("fd_filestat_set_size", fd, 1 << 12)
    files = MemoryDirectory(limit=1 << 14)
    with WASI(dirs={"/": files}) as wasi:
        assert program.run(wasi)[0] == ["success", "nospc", "nospc", "nospc", "success"]
    assert files.read_bytes("new") == bytes(1 << 12)


def test_a_path_of_many_turns_ends_in_time(world: Path) -> None:
    program = Program()
    turns = ("dir/deep/../" * (MAX_PATH // 12)) + "x"
    fd = program.open(turns)
    program.read(fd)
    with WASI(dirs={"/": world / "in"}) as wasi:
        assert program.run(wasi)[0] == ["noent", "badf"]
