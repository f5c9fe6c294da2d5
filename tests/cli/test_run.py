"""`figwasp run`: what the options give to a program and keep from it, and how a run ends. `test_main` has the plainest cases."""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

import figwasp
from figwasp.cli.running import progress
from tests.cli.process import figwasp_command, run_figwasp
from tests.environment import HANG_GUARD, environment
from tests.wasi.test_run import ECHO, HELLO, LOOP, WORLD, hello

BADF = 8


def run(*words: object, stdin: bytes = b"", cwd: Path | None = None) -> tuple[int, bytes, str]:
    """Run a program; return exit status, output, and what went to stderr."""
    done = run_figwasp(["run", *map(str, words)], stdin=stdin, cwd=cwd)
    return done.returncode, done.stdout, done.stderr.decode()


@pytest.fixture
def world(tmp_path: Path) -> Path:
    path = tmp_path / "world.wasm"
    path.write_bytes(WORLD)
    return path


@pytest.fixture
def echo(tmp_path: Path) -> Path:
    path = tmp_path / "echo.wasm"
    path.write_bytes(ECHO)
    return path


def test_the_environment_is_empty_unless_given(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRST", "1")
    monkeypatch.setenv("SECOND", "2")
    assert run(world) == (BADF, b"world.wasm\0", "")
    assert run("--env-inherit=FIRST", "--env", "A=b=c", world) == (BADF, b"world.wasm\0", "FIRST=1\0A=b=c\0")
    status, out, err = run("--env-inherit", "--argv0", "x", world, "--env-inherit")
    assert (status, out) == (BADF, b"x\0--env-inherit\0")
    assert {"FIRST=1", "SECOND=2"} <= set(err.split("\0"))


def test_a_module_on_stdin() -> None:
    assert run("-", "a", stdin=WORLD) == (8, b"main.wasm\0a\0", "")
    assert run("-", stdin=b'(module (func (export "_start")))') == (0, b"", "")
    status, out, err = run("-", stdin=b"(module (func")
    assert (status, out) == (1, b"")
    assert err.startswith("figwasp: error: <stdin>:1:14: ")


def test_stdin_from_a_file(echo: Path, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"from a file")
    assert run("--stdin", tmp_path / "in", echo, stdin=b"not this") == (3, b"from a file", "err\n")
    assert run("--stdin", tmp_path / "absent", echo) == (
        1, b"", f"figwasp: error: --stdin {tmp_path / 'absent'}: No such file or directory\n",
    )  # fmt: skip


WRITES = """(module
  (import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "new")
  (func (export "_start")
    (call $exit (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 3) (i32.const 1)
      (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 100)))))"""
"""Creates the file `new` in its first directory and exits with the error number."""


def test_directories_are_writable_or_not(tmp_path: Path) -> None:
    program = tmp_path / "writes.wat"
    program.write_text(WRITES)
    folder = tmp_path / "folder"
    folder.mkdir()
    status, _, err = run("--dir", f"{folder}::/x:ro", program)
    assert status != 0
    assert err == ""
    assert list(folder.iterdir()) == []
    assert run("--dir", f"{folder}::/x", program) == (0, b"", "")
    assert [path.name for path in folder.iterdir()] == ["new"]


ACCEPTS = """(module
  (import "wasi_snapshot_preview1" "sock_accept" (func $accept (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sock_send" (func $send (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\10\\00\\00\\00\\06\\00\\00\\00")
  (data (i32.const 16) "ready\\0a")
  (func (export "_start")
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
    (if (call $accept (i32.const 3) (i32.const 0) (i32.const 12)) (then unreachable))
    (if (call $send (i32.load (i32.const 12)) (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 8)) (then unreachable))))"""


def test_listening(tmp_path: Path) -> None:
    program = tmp_path / "accepts.wat"
    program.write_text(ACCEPTS)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, _, err = run("--listen", f"127.0.0.1:{port}", program)
        assert (status, err) == (1, f"figwasp: error: --listen 127.0.0.1:{port}: {os.strerror(errno.EADDRINUSE)}\n")
    words = figwasp_command("run", "--listen", f"127.0.0.1:{port}", str(program))
    with subprocess.Popen(words, stdout=subprocess.PIPE, env=environment()) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        with socket.create_connection(("127.0.0.1", port), timeout=HANG_GUARD) as connection:
            assert connection.recv(100) == b"ready\n"
        assert process.wait(HANG_GUARD) == 0


@pytest.fixture
def loops(tmp_path: Path) -> Path:
    path = tmp_path / "loops.wasm"
    path.write_bytes(hello(LOOP))
    return path


def test_timeout(loops: Path) -> None:
    status, out, err = run("--timeout", "0.2", loops)
    assert (status, err) == (124, f"figwasp: {loops}: not done after 0.2 seconds\n")
    assert out in (b"", b"hello\n")  # loading takes of the time, too
    assert run("--timeout", "0.2s", "--invoke", "_start", loops)[0] == 124
    assert run("--timeout", "1h", "--invoke", "f", "-", stdin=b'(module (func (export "f") (result i32) (i32.const 7)))') == (0, b"7\n", "")


def test_fuel(loops: Path) -> None:
    status, out, err = run("--fuel", "100000", loops)
    assert (status, out) == (134, b"hello\n")
    assert err.startswith("figwasp: trap: out of fuel\n  wasm backtrace:\n")


def test_memory() -> None:
    program = b'(module (memory 2) (func (export "grow") (result i32) (memory.grow (i32.const 1))))'
    assert run("--max-memory", "192K", "--invoke", "grow", "-", stdin=program) == (0, b"2\n", "")
    assert run("--max-memory", "191K", "--invoke", "grow", "-", stdin=program) == (0, b"-1\n", "")
    status, _, err = run("--max-memory", "100K", "--invoke", "grow", "-", stdin=program)
    assert (status, err) == (1, "figwasp: error: <stdin>: the instance needs 131072 bytes of memory at least, and max_memory is 102400\n")


def test_features() -> None:
    program = b'(module (func (export "_start") (drop (i32.extend8_s (i32.const 1)))))'
    assert run("-", stdin=program) == (0, b"", "")
    status, _, err = run("--disable", "sign-extension", "-", stdin=program)
    assert status == 1
    assert "sign-extension" in err


def test_tracing_functions_of_wasi(loops: Path, tmp_path: Path) -> None:
    program = tmp_path / "hello.wasm"
    program.write_bytes(hello())
    status, out, err = run("--trace", "*.fd_write", program)
    assert (status, out) == (0, b"hello\n")
    assert err == "-> wasi_snapshot_preview1.fd_write(1, 0, 1, 8)\n<- wasi_snapshot_preview1.fd_write = 0\n"


@pytest.mark.parametrize("words", [(), ("--invoke", "_start"), ("--timeout", "1200"), ("--fuel", "999999999999")])
def test_interrupt_in_a_tight_loop(loops: Path, words: tuple[str, ...]) -> None:
    """Exit status 130, soon, and nothing said. How soon is measured by bench/interrupts.py; here only that it comes."""
    command = figwasp_command("run", *words, str(loops))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"hello\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.wait(HANG_GUARD) == 130
        assert process.stderr.read() == b""


def test_interrupt_while_waiting_for_input(echo: Path) -> None:
    command = figwasp_command("run", str(echo))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(b"x")
        process.stdin.flush()
        assert process.stdout.read(1) == b"x"
        process.send_signal(signal.SIGINT)
        assert process.wait(HANG_GUARD) == 130
        assert process.stderr.read() == b""


IN_A_COLLECTION = """
import gc, signal, sys
from figwasp.cli import main
imported = main._imported
def collecting(command):
    gc.callbacks.append(lambda *_: signal.raise_signal(signal.SIGINT))
    gc.collect()
    return imported(command)
main._imported = collecting
main.console()
"""


def test_interrupt_where_python_lets_no_exception_out(loops: Path) -> None:
    """What a callback of the garbage collector raises, or a finalizer, is lost; Ctrl-C must not be."""
    words = [sys.executable, "-c", IN_A_COLLECTION, "run", "--timeout", "1200", str(loops)]
    done = subprocess.run(words, capture_output=True, env=environment(), check=False, timeout=HANG_GUARD)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


HELD = """
import os, signal, sys
from figwasp.cli import main
from figwasp.wasm.debug.source import SourceMap
def places(*_):
    print("looked for source lines", file=sys.stderr)
    return []
SourceMap.places = places
main.console()
"""


def test_interrupt_does_not_look_for_source_lines(loops: Path) -> None:
    """Which may take long in a large program, and nobody sees them."""
    words = [sys.executable, "-c", HELD, "run", str(loops)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"hello\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(HANG_GUARD) == 130
        assert process.stderr.read() == b""


def shell(line: str, *words: object) -> tuple[int, str, str]:
    """Run figwasp from a shell, with `$F` for it in the line."""
    command = ["/bin/sh", "-c", line.replace("$F", '"$0" -m figwasp'), sys.executable, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False, timeout=HANG_GUARD)
    return done.returncode, done.stdout, done.stderr


def test_streams_that_are_closed_or_full(tmp_path: Path) -> None:
    """A message for standard error goes nowhere else, and the exit status stays what it is."""
    program = tmp_path / "traps.wat"
    program.write_text('(module (func (export "_start") unreachable) (func (export "f") (result i32) (i32.const 7)))')
    assert shell("$F run $1 2>&-", program) == (134, "", "")
    assert shell("$F run $1 2>/dev/full", program) == (134, "", "")
    assert shell("$F run $1 2>&-", tmp_path / "absent") == (1, "", "")
    assert shell("$F nothing 2>&-") == (2, "", "")
    assert shell("$F run - <&-") == (1, "", "figwasp: error: <stdin>: Bad file descriptor\n")
    assert shell("$F run --invoke f $1 >&-", program) == (1, "", "figwasp: error: <stdout>: Bad file descriptor\n")
    assert shell("$F run --invoke f $1 >/dev/full", program) == (1, "", "figwasp: error: <stdout>: No space left on device\n")


ASKS = """(module
  (import "wasi_snapshot_preview1" "fd_fdstat_get" (func $fdstat (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start") (call $exit (call $fdstat (i32.const 0) (i32.const 0)))))"""
"""Exits with the error number of asking what its stdin is."""


def test_what_is_opened_for_the_program_is_not_its_stdin(tmp_path: Path) -> None:
    """Number 0 is free when the process begins without a stdin; the next thing to be opened gets it."""
    program = tmp_path / "asks.wat"
    program.write_text(ASKS)
    assert shell("$F run --listen 127.0.0.1:0 $1 </dev/null", program) == (0, "", "")
    assert shell("$F run --listen 127.0.0.1:0 $1 <&-", program) == (BADF, "", "")


@pytest.mark.parametrize("program", [b'(module (func (export "_start")))', WORLD])
def test_wrong_options_are_told_of_in_any_case(program: bytes, tmp_path: Path) -> None:
    for option in ("--dir", "--stdin"):
        complaint = f"figwasp: error: {option} {tmp_path / 'absent'}: No such file or directory\n"
        assert run(option, tmp_path / "absent", "-", stdin=program) == (1, b"", complaint)
    for host in ("é..x", "a" * 300):
        status, _, err = run("--listen", f"{host}:0", "-", stdin=program)
        assert (status, err.startswith(f"figwasp: error: --listen {host}:0: "), err.count("\n")) == (1, True, 1)
        assert "while" not in err


def test_names_that_a_terminal_would_obey() -> None:
    program = rb'(module (import "\1b[2J" "f\0a" (func $f)) (func (export "_start") (call $f)))'
    status, _, err = run("--unknown-imports", "trap", "-", stdin=program)
    assert (status, err.splitlines()[0]) == (134, r"figwasp: trap: unknown import: \x1b[2J.f\n called")


def test_as_much_time_as_one_likes(world: Path) -> None:
    assert run("--timeout", "1e300", world)[:2] == (BADF, b"world.wasm\0")


def test_results_to_a_closed_pipe(tmp_path: Path) -> None:
    """Whoever reads the output has gone: no traceback."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        command = figwasp_command("run", "--invoke", "f", "-")
        program = b'(module (func (export "f") (result i32) (i32.const 7)))'
        done = subprocess.run(command, input=program, stdout=writer, stderr=subprocess.PIPE, env=environment(), check=False)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


def on_terminal(words: list[str], lines: int = 24, columns: int = 60) -> tuple[int, bytes]:
    """Run Python at a terminal; return the exit status and all that appeared there."""
    process, terminal = pty.fork()
    if process == 0:
        os.execve(sys.executable, [sys.executable, *words], environment())
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    shown = b""
    try:
        while data := os.read(terminal, 4096):
            shown += data
    except OSError:  # what Linux says when the other side has gone
        pass
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), shown


IMPATIENT = """
import sys
from figwasp.cli.running import progress
from figwasp.cli.main import main
progress.LARGE, progress.PATIENCE, progress.PERIOD = 0, 0.01, 0.01
sys.exit(main(sys.argv[1:]))
"""


def test_progress_at_a_terminal(tmp_path: Path) -> None:
    """It is shown while functions are compiled, fits in a line, and is gone when the program begins to speak."""
    functions = "".join(f'(func $f{i} (result i32) {"(i32.add (i32.const 1) " * 200}(i32.const 1){")" * 200})' for i in range(200))
    calls = "".join(f"(drop (call $f{i}))" for i in range(200))
    program = tmp_path / f"a{'very' * 20}long.wasm"
    program.write_bytes(figwasp.wat(HELLO.replace("(call $speak) %s)", f"{calls} (call $speak)) {functions}")))
    status, shown = on_terminal(["-c", IMPATIENT, "run", str(program)])
    assert status == 0
    before, _, after = shown.partition(b"hello\r\n")
    assert after == b""
    said = before.split(b"\r\x1b[K")
    assert said[0] == said[-1] == b""
    assert any(line.startswith(b"figwasp: compiling a") for line in said)
    assert all(len(line) < 60 for line in said)


def test_no_progress_elsewhere(tmp_path: Path) -> None:
    program = tmp_path / "hello.wasm"
    program.write_bytes(hello())
    assert on_terminal(["-m", "figwasp", "run", str(program)]) == (0, b"hello\r\n")  # too small
    assert progress.for_module("small", progress.LARGE - 1) is None
    program.write_text(f'(module (func (export "_start") {LOOP}))')
    done = subprocess.run([sys.executable, "-c", IMPATIENT, "run", "--timeout", "0.5", str(program)], capture_output=True, env=environment(), check=False)
    assert done.stderr == f"figwasp: {program}: not done after 0.5 seconds\n".encode()  # no terminal


def test_progress_goes_when_the_program_fails(tmp_path: Path) -> None:
    program = tmp_path / "loops.wat"
    program.write_text(f'(module (func $f {LOOP}) (start $f) (func (export "_start")))')
    status, shown = on_terminal(["-c", IMPATIENT, "run", "--timeout", "0.3", str(program)], columns=200)
    assert status == 124
    assert shown.split(b"\r\x1b[K")[-1] == f"figwasp: {program}: not done after 0.3 seconds\r\n".encode()
