"""`figwasp.run`: what `subprocess.run` does, for a guest."""

from __future__ import annotations

import inspect
import io
import os
import subprocess
import sys
import time
import zipfile
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

import figwasp
from tests.environment import HANG_GUARD, environment

ECHO = figwasp.wat("""(module $echo
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "err\\0a")
  (func (export "_start")
    (loop $more
      (i32.store (i32.const 0) (i32.const 1024))
      (i32.store (i32.const 4) (i32.const 1000))
      (if (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)) (then (call $exit (i32.const 99))))
      (i32.store (i32.const 4) (i32.load (i32.const 8)))
      (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
      (br_if $more (i32.load (i32.const 4))))
    (i32.store (i32.const 0) (i32.const 64))
    (i32.store (i32.const 4) (i32.const 4))
    (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))
    (call $exit (i32.const 3))))""")
"""Copies stdin to stdout, says "err" on stderr and exits with 3."""

WORLD = figwasp.wat("""(module
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ_sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $environ (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_prestat_get" (func $prestat (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (drop (call $args_sizes (i32.const 0) (i32.const 4)))
    (drop (call $args (i32.const 1024) (i32.const 8192)))
    (i32.store (i32.const 8) (i32.const 8192))
    (i32.store (i32.const 12) (i32.load (i32.const 4)))
    (drop (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 0)))
    (drop (call $environ_sizes (i32.const 0) (i32.const 4)))
    (drop (call $environ (i32.const 1024) (i32.const 16384)))
    (i32.store (i32.const 8) (i32.const 16384))
    (i32.store (i32.const 12) (i32.load (i32.const 4)))
    (drop (call $write (i32.const 2) (i32.const 8) (i32.const 1) (i32.const 0)))
    (call $exit (call $prestat (i32.const 3) (i32.const 0)))))""")
"""Prints its arguments, and on stderr its environment; exits with what it is told of descriptor 3, 8 (BADF) if there is none."""

HELLO = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\10\\00\\00\\00\\06\\00\\00\\00")
  (data (i32.const 16) "hello\\0a")
  (func $speak (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
  (func (export "_start") (call $speak) %s))"""


def hello(then: str = "") -> bytes:
    """Return a program that says hello and goes on with some code."""
    return figwasp.wat(HELLO % then)


def test_the_arguments_are_those_of_subprocess() -> None:
    """Same names and defaults as far as they make sense for a guest."""
    ours = inspect.signature(figwasp.run).parameters
    theirs = {**inspect.signature(subprocess.Popen).parameters, **inspect.signature(subprocess.run).parameters}
    shared = [name for name in ours if name in theirs]
    assert shared == [
        "args", "input", "stdin", "stdout", "stderr", "capture_output", "text", "encoding", "errors", "env", "check", "timeout",
    ]  # fmt: skip
    for name in shared:
        if name not in {"args", "timeout"}:
            assert ours[name].default == theirs[name].default, name


def test_capture() -> None:
    done = figwasp.run(ECHO, ["x"], input=b"a\r\nb\n", capture_output=True)
    assert isinstance(done, subprocess.CompletedProcess)
    assert (done.args, done.returncode, done.stdout, done.stderr) == (["main.wasm", "x"], 3, b"a\r\nb\n", b"err\n")


def test_streams_are_captured_one_by_one() -> None:
    def captured(data: bytes | memoryview, out: int, err: int) -> tuple[Any, Any]:
        done = figwasp.run(ECHO, input=data, stdout=out, stderr=err)
        return done.stdout, done.stderr

    assert captured(b"x", subprocess.PIPE, subprocess.DEVNULL) == (b"x", None)
    assert captured(memoryview(b"x"), subprocess.DEVNULL, subprocess.PIPE) == (None, b"err\n")
    assert captured(b"x", subprocess.PIPE, subprocess.STDOUT) == (b"xerr\n", None)


@pytest.mark.parametrize("how", [{"text": True}, {"encoding": "utf-8"}, {"errors": "strict"}])
def test_text(how: dict[str, Any]) -> None:
    done = figwasp.run(ECHO, input="a\r\nb\rü", capture_output=True, **{"encoding": "utf-8", **how})
    assert (done.stdout, done.stderr) == ("a\nb\nü", "err\n")


def test_encodings() -> None:
    assert figwasp.run(ECHO, input="ü", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="latin-1").stdout == "ü"
    done = figwasp.run(ECHO, input=b"\xff", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="ascii", errors="replace")
    assert done.stdout == "\ufffd"
    with pytest.raises(UnicodeDecodeError):
        figwasp.run(ECHO, input=b"\xff", capture_output=True, encoding="utf-8")


def test_files(tmp_path: Path) -> None:
    """Paths, descriptors and file objects."""
    (tmp_path / "in").write_bytes(b"from a file")
    done: subprocess.CompletedProcess[Any] = figwasp.run(ECHO, stdin=tmp_path / "in", stdout=tmp_path / "out", stderr=subprocess.STDOUT)
    assert (done.stdout, done.stderr) == (None, None)
    assert (tmp_path / "out").read_bytes() == b"from a fileerr\n"
    with (tmp_path / "in").open("rb") as source, (tmp_path / "out").open("wb") as target:
        figwasp.run(ECHO, stdin=source.fileno(), stdout=target.fileno(), stderr=subprocess.DEVNULL)
    assert (tmp_path / "out").read_bytes() == b"from a file"
    out, err = io.BytesIO(), io.BytesIO()
    figwasp.run(ECHO, stdin=io.BytesIO(b"from memory"), stdout=out, stderr=err)
    assert (out.getvalue(), err.getvalue()) == (b"from memory", b"err\n")


def test_no_input() -> None:
    assert figwasp.run(ECHO, stdin=subprocess.DEVNULL, capture_output=True).stdout == b""
    assert figwasp.run(ECHO, stdin=subprocess.PIPE, capture_output=True).stdout == b""


def test_streams_not_given_are_the_process_s_own() -> None:
    code = "import sys, figwasp; print('before'); sys.exit(figwasp.run(sys.argv[1]).returncode)"
    done = subprocess.run(
        [sys.executable, "-c", code.replace("sys.argv[1]", repr(ECHO))], input=b"x", capture_output=True, env=environment(), check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, b"before\nx", b"err\n")


def test_nothing_is_visible_that_was_not_given() -> None:
    done = figwasp.run(WORLD, capture_output=True)
    assert (done.stdout, done.stderr, done.returncode) == (b"main.wasm\0", b"", 8)


def test_the_world_of_a_guest(tmp_path: Path) -> None:
    done = figwasp.run(
        WORLD, ["a", b"b", "ü"], argv0="tool", env={"A": "1", "B": "2"}, dirs={"/d": tmp_path}, capture_output=True
    )
    assert (done.stdout, done.stderr, done.returncode) == ("tool\0a\0b\0ü\0".encode(), b"A=1\0B=2\0", 0)
    with pytest.raises(TypeError, match="args must be a sequence"):
        figwasp.run(WORLD, "one string")
    with pytest.raises(TypeError):
        figwasp.run(WORLD, [1])  # type: ignore[list-item]


def test_programs(tmp_path: Path) -> None:
    """A path, a text, bytes, a module, and resources, also in a zip file."""

    def name_of(program: Any) -> bytes:
        done = figwasp.run(program, ["x"], capture_output=True)
        assert done.args[1:] == ["x"]
        assert done.args[0] in (program, "main.wasm")
        assert isinstance(done.stdout, bytes)
        return done.stdout.split(b"\0")[0]

    path = tmp_path / "world.wasm"
    path.write_bytes(WORLD)
    assert name_of(path) == name_of(str(path)) == b"world.wasm"
    assert name_of(bytearray(WORLD)) == b"main.wasm"
    assert name_of(figwasp.Module(WORLD)) == b"main.wasm"
    assert figwasp.run(figwasp.Module(ECHO), input=b"", capture_output=True).returncode == 3
    (tmp_path / "hello.wat").write_text(HELLO % "")
    assert figwasp.run(tmp_path / "hello.wat", capture_output=True).stdout == b"hello\n"
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("p/world.wasm", WORLD)
        archive.writestr("p/hello.wat", HELLO % "")
    folder = zipfile.Path(tmp_path / "a.zip") / "p"
    assert name_of(folder / "world.wasm") == b"world.wasm"
    assert figwasp.run(folder / "hello.wat", capture_output=True).stdout == b"hello\n"
    with pytest.raises(TypeError, match="program must be a path, bytes, a Module or a resource, not int"):
        figwasp.run(3)  # type: ignore[call-overload]


def test_a_list(tmp_path: Path) -> None:
    """The program and its arguments in one list, as `subprocess.run` has it."""
    (tmp_path / "hello.wasm").write_bytes(figwasp.wat(HELLO % ""))
    done = figwasp.run([tmp_path / "hello.wasm", "a"], ["b"], capture_output=True)
    assert (done.args, done.stdout) == ([tmp_path / "hello.wasm", "a", "b"], b"hello\n")
    with pytest.raises(ValueError, match="must not be empty"):
        figwasp.run([])


def test_resources_of_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "carrier_of_wasm"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "hello.wasm").write_bytes(hello())
    monkeypatch.syspath_prepend(tmp_path)
    assert figwasp.run(files("carrier_of_wasm") / "hello.wasm", capture_output=True).stdout == b"hello\n"


def test_a_reactor() -> None:
    done = figwasp.run(figwasp.wat('(module (func (export "_initialize")) (func (export "f") unreachable))'))
    assert done.returncode == 0
    with pytest.raises(figwasp.Error, match="neither _start nor _initialize"):
        figwasp.run(figwasp.wat("(module)"))


@pytest.mark.parametrize(("code", "status"), [(0, 0), (3, 3), (255, 255), (256, 0), (-1, 255)])
def test_exit_status(code: int, status: int) -> None:
    """As the host reports it: the lowest eight bits."""
    text = f"""(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1) (func (export "_start") (call $exit (i32.const {code}))))"""
    assert figwasp.run(figwasp.wat(text)).returncode == status


def test_check() -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        figwasp.run(ECHO, ["x"], input="in", text=True, capture_output=True, check=True)
    error = caught.value
    assert (error.returncode, error.cmd, error.stdout, error.stderr) == (3, ["main.wasm", "x"], "in", "err\n")
    assert figwasp.run(hello(), capture_output=True, check=True).stdout == b"hello\n"


def test_a_trap_is_an_exit_status() -> None:
    done = figwasp.run(hello("(call $speak) unreachable"), capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (134, "hello\nhello\n")
    first, *frames = done.stderr.splitlines()
    assert first == "figwasp: trap: unreachable"
    assert any("_start" in line for line in frames)
    with pytest.raises(subprocess.CalledProcessError, match="134"):
        figwasp.run(hello("unreachable"), capture_output=True, check=True)


def test_a_trap_is_reported_where_stderr_goes(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    trap = hello("unreachable")
    with (tmp_path / "text").open("w") as file:
        figwasp.run(trap, stdout=subprocess.DEVNULL, stderr=file)
    figwasp.run(trap, stdout=tmp_path / "both", stderr=subprocess.STDOUT)
    figwasp.run(trap, stdout=subprocess.DEVNULL, stderr=tmp_path / "path")
    figwasp.run(trap, stdout=subprocess.DEVNULL)
    assert figwasp.run(trap, stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout.startswith(b"hello\nfigwasp: trap: unreach")
    assert capfd.readouterr().err.startswith("figwasp: trap: unreachable\n")
    for name in ("text", "path"):
        assert (tmp_path / name).read_text().startswith("figwasp: trap: unreachable\n")
    assert (tmp_path / "both").read_text().startswith("hello\nfigwasp: trap: unreachable\n")
    assert figwasp.run(trap, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 134


LOOP = "(loop $forever (br $forever))"
START_LOOPS = figwasp.wat(f'(module (func $f {LOOP}) (start $f) (func (export "_start")))')


def test_timeout() -> None:
    for seconds in (0.1, 1, 10, 100):  # long enough to say hello
        with pytest.raises(subprocess.TimeoutExpired) as caught:
            figwasp.run(hello(LOOP), capture_output=True, text=True, timeout=seconds)
        if caught.value.stdout:
            break
    error = caught.value
    assert (error.cmd, error.timeout, error.stdout, error.stderr) == (["main.wasm"], seconds, b"hello\n", b"")
    assert figwasp.run(hello(), timeout=HANG_GUARD, capture_output=True).stdout == b"hello\n"


@pytest.mark.parametrize("program", [START_LOOPS, figwasp.Module(START_LOOPS), figwasp.Module(hello(LOOP))])
def test_timeout_of_modules_and_start_functions(program: Any) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        figwasp.run(program, stdout=subprocess.DEVNULL, timeout=0.05)


@pytest.mark.parametrize("timeout", [0, -1])
def test_no_time_at_all(timeout: float) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        figwasp.run(hello(), stdout=subprocess.DEVNULL, timeout=timeout)


def test_timeout_while_waiting_for_input() -> None:
    reader, writer = os.pipe()
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            figwasp.run(ECHO, stdin=reader, capture_output=True, timeout=0.05)
    finally:
        os.close(reader)
        os.close(writer)


def test_an_engine_s_own_timeout_is_a_trap() -> None:
    done = figwasp.run(hello(LOOP), engine=figwasp.Engine(timeout=0.05), capture_output=True)
    assert done.returncode == 134
    assert done.stderr.startswith(b"figwasp: trap: timeout")


GROWS = hello("(if (i32.ne (memory.grow (i32.const 15)) (i32.const 1)) (then unreachable))")


def test_max_memory() -> None:
    assert figwasp.run(GROWS, stdout=subprocess.DEVNULL).returncode == 0
    for program in (GROWS, figwasp.Module(GROWS)):
        assert figwasp.run(program, stdout=subprocess.DEVNULL, max_memory=16 << 16).returncode == 0
        assert figwasp.run(program, capture_output=True, max_memory=15 << 16).returncode == 134
        with pytest.raises(figwasp.LimitExceeded):
            figwasp.run(program, max_memory=1000)


def test_fuel() -> None:
    for program in (hello(LOOP), figwasp.Module(hello(LOOP))):
        done = figwasp.run(program, capture_output=True, fuel=10_000)
        assert (done.returncode, done.stdout) == (134, b"hello\n")
        assert done.stderr.startswith(b"figwasp: trap: out of fuel\n")
    assert figwasp.run(hello(), capture_output=True, fuel=10_000).returncode == 0


def test_engine() -> None:
    engine = figwasp.Engine(memory="checked", fuel=10)
    assert figwasp.run(ECHO, input=b"x", engine=engine, capture_output=True).returncode == 134
    assert figwasp.run(ECHO, input=b"x", engine=engine, fuel=100_000, capture_output=True).returncode == 3
    with pytest.raises(ValueError, match="a module has an engine of its own"):
        figwasp.run(figwasp.Module(ECHO), engine=engine)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ({"input": b"", "stdin": subprocess.PIPE}, "stdin and input"),
        ({"capture_output": True, "stdout": subprocess.PIPE}, "capture_output"),
        ({"stdout": subprocess.STDOUT}, "only be used for stderr"),
        ({"env": {"": "x"}}, "not a name"),
    ],
)
def test_contradictions(words: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        figwasp.run(hello(), **words)


@pytest.mark.parametrize("words", [{"input": "text"}, {"stdout": 1.5}, {"stdin": 1.5}, {"timeout": "1"}])
def test_wrong_types(words: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        figwasp.run(hello(), **words)


def test_what_cannot_be_run() -> None:
    with pytest.raises(FileNotFoundError):
        figwasp.run("absent.wasm")
    with pytest.raises(FileNotFoundError):
        figwasp.run(hello(), dirs={"/": "absent-folder"})
    with pytest.raises(figwasp.Malformed):
        figwasp.run(b"")
    with pytest.raises(figwasp.Unlinkable):
        figwasp.run(figwasp.wat('(module (import "env" "f" (func)) (func (export "_start")))'))


def test_interrupts_reach_the_caller() -> None:
    """Ctrl-C is KeyboardInterrupt, wherever the guest is, and what the guest had open is closed."""
    code = f"""
import figwasp, os, signal, sys, threading
figwasp.run({hello()!r})
before = len(os.listdir("/proc/self/fd"))
def interrupt():
    sys.stdin.read()  # until what the guest says has been seen
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt).start()
try:
    figwasp.run({hello(LOOP)!r}, dirs={{"/": "."}})
except KeyboardInterrupt:
    print("interrupted", len(os.listdir("/proc/self/fd")) - before)
"""
    words = [sys.executable, "-c", code]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == process.stdout.readline() == b"hello\n"
        time.sleep(0.1)  # let it get into the loop
        assert process.communicate(timeout=HANG_GUARD)[0] == b"interrupted 0\n"


def test_import_is_light() -> None:
    """Nothing heavy is imported before it is asked for, and every name is there when it is."""
    code = """
import sys, figwasp
assert [name for name in sys.modules if name.startswith("figwasp.")] == ["figwasp.lazy"]
for name in figwasp.__all__:
    assert getattr(figwasp, name) is getattr(figwasp, name), name
    assert name in dir(figwasp)
figwasp.errors, figwasp.wasi, figwasp.types
try:
    figwasp.absent
except AttributeError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=False)
    assert (done.stdout, done.stderr) == ("module 'figwasp' has no attribute 'absent'\n", "")
