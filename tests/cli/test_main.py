"""The command line as a whole: exit status, what goes to which stream, how a program is started."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

import figwasp
from tests.cli.process import figwasp_command, run_figwasp
from tests.environment import HANG_GUARD, environment

STARTS = '(module (memory (export "memory") 1) (func (export "_start") %s) %s)'

PRINTS = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\10\\00\\00\\00\\06\\00\\00\\00")
  (data (i32.const 16) "hello\\0a")
  (func (export "_start")
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
    (call $proc_exit (i32.const 7))))"""

LIBRARY = """(module
  (global $ready (mut i32) (i32.const 0))
  (func (export "_initialize") (global.set $ready (i32.const 100)))
  (func (export "ready") (result i32) (global.get $ready))
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "half") (param f64) (result f64) (f64.mul (local.get 0) (f64.const 0.5)))
  (func (export "both") (param i64) (result i64 i64)
    (local.get 0) (i64.add (local.get 0) (i64.const 1)))
  (func (export "nothing")))"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    return tmp_path / "program.wat"


def outcome(done: subprocess.CompletedProcess[bytes]) -> tuple[int, str, str]:
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"], ["help", "--help"]])
def test_help(words: list[str]) -> None:
    status, out, err = outcome(run_figwasp(words))
    assert (status, err) == (0, "")
    assert out.startswith("usage: figwasp ")


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_version(option: str) -> None:
    status, out, err = outcome(run_figwasp([option]))
    assert (status, err) == (0, "")
    assert out == f"figwasp {figwasp.__version__}\n"


@pytest.mark.parametrize("words", [["run", "--help"], ["help", "run"]])
def test_run_help(words: list[str]) -> None:
    status, out, _ = outcome(run_figwasp(words))
    assert status == 0
    assert "--dir HOST[::GUEST]" in out


@pytest.mark.parametrize("words", [["walk"], ["--walk"], ["run"], ["run", "--walk", "p.wasm"]])
def test_wrong_usage(words: list[str]) -> None:
    status, out, err = outcome(run_figwasp(words))
    assert (status, out) == (2, "")
    assert "error: " in err


def test_output_and_exit_status_are_the_programs(program: Path) -> None:
    program.write_text(PRINTS)
    assert outcome(run_figwasp(["run", str(program)])) == (7, "hello\n", "")


def test_a_program_needs_no_run(program: Path) -> None:
    """A file, or what has the name of a program; what is a command stays one."""
    program.write_text(PRINTS)
    assert outcome(run_figwasp([str(program), "--help"])) == (7, "hello\n", "")
    plain = program.with_name("program")
    plain.write_text(PRINTS)
    assert outcome(run_figwasp(["program", "x"], cwd=plain.parent)) == (7, "hello\n", "")
    (plain.parent / "validate").write_text(PRINTS)
    assert outcome(run_figwasp(["validate", "program"], cwd=plain.parent)) == (0, "", "")
    assert outcome(run_figwasp(["absent.wasm"])) == (1, "", "figwasp: error: absent.wasm: No such file or directory\n")


def test_returning_from_start_is_success(program: Path) -> None:
    program.write_text(STARTS % ("", ""))
    assert outcome(run_figwasp(["run", str(program)])) == (0, "", "")


def test_trap(program: Path) -> None:
    program.write_text(STARTS % ("call $inner", "(func $inner (drop (i32.div_u (i32.const 1) (i32.const 0))))"))
    status, out, err = outcome(run_figwasp(["run", str(program)]))
    assert (status, out) == (134, "")
    first, *frames = err.splitlines()
    assert first == "figwasp: trap: integer divide by zero"
    assert any("inner" in frame for frame in frames)
    assert any("_start" in frame for frame in frames)


def test_invoke(program: Path) -> None:
    program.write_text(LIBRARY)

    def invoke(*words: str) -> tuple[int, str, str]:
        return outcome(run_figwasp(["run", "--invoke", words[0], str(program), *words[1:]]))

    assert invoke("add", "0x10", "-3") == (0, "13\n", "")
    assert invoke("half", "1e1") == (0, "5.0\n", "")
    assert invoke("both", "41") == (0, "41\n42\n", "")
    assert invoke("nothing") == (0, "", "")
    assert invoke("ready") == (0, "100\n", "")
    status, out, err = invoke("add", "1")
    assert (status, out) == (2, "")
    assert "add: 1 arguments given, 2 expected (i32 i32)" in err
    status, out, err = invoke("sub", "1")
    assert (status, out, err) == (1, "", f"figwasp: error: {program}: no exported function 'sub'; there are _initialize, ready, add, half, both, nothing\n")


def test_nothing_to_start(program: Path) -> None:
    program.write_text("(module)")
    status, out, err = outcome(run_figwasp(["run", str(program)]))
    assert (status, out) == (1, "")
    assert "exports neither _start nor _initialize" in err


IMPORTING = """(module (import "env" "missing" (func $missing))
  (func (export "_start")) (func (export "calls") (call $missing)))"""


def test_unknown_imports_are_refused(program: Path) -> None:
    program.write_text(IMPORTING)
    status, out, err = outcome(run_figwasp(["run", str(program)]))
    assert (status, out) == (1, "")
    assert err.startswith("figwasp: error: ")
    assert "missing" in err
    assert err.count("\n") == 1


def test_unknown_imports_may_trap_when_called(program: Path) -> None:
    program.write_text(IMPORTING)
    assert outcome(run_figwasp(["run", "--unknown-imports", "trap", str(program)])) == (0, "", "")
    status, _, err = outcome(run_figwasp(["run", "--unknown-imports=trap", "--invoke", "calls", str(program)]))
    assert status == 134
    assert err.startswith("figwasp: trap: unknown import: env.missing called\n")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty-but-invalid-to-start"),
        pytest.param(b"\0asm\1\0\0\0\1\xff", id="truncated"),
        pytest.param(b"\0asm\2\0\0\0", id="version"),
        pytest.param(b"\xff\xfe\0\1", id="neither"),
        pytest.param(b"(module (func", id="text"),
        pytest.param(b'(module (func (export "_start") (drop (i32.add (i64.const 1) (i32.const 1)))))', id="invalid"),
    ],
)
def test_programs_that_cannot_be_loaded(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "program.bin"
    path.write_bytes(data)
    status, out, err = outcome(run_figwasp(["run", str(path)]))
    assert (status, out) == (1, "")
    assert err.startswith(f"figwasp: error: {path}:")
    assert err.count("figwasp: error: ") == 1


def test_no_such_file(tmp_path: Path) -> None:
    path = tmp_path / "absent.wasm"
    expected = f"figwasp: error: {path}: No such file or directory\n"
    assert outcome(run_figwasp(["run", str(path)])) == (1, "", expected)


def test_no_such_directory(program: Path, tmp_path: Path) -> None:
    program.write_text(PRINTS)
    status, out, err = outcome(run_figwasp(["run", "--dir", str(tmp_path / "absent"), str(program)]))
    assert (status, out) == (1, "")
    assert err.startswith(f"figwasp: error: --dir {tmp_path / 'absent'}: ")
    assert err.count("\n") == 1


LOOPS = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\10\\00\\00\\00\\06\\00\\00\\00")
  (data (i32.const 16) "ready\\0a")
  (func (export "_start")
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
    (loop $forever (br $forever))))"""


def test_interrupt(program: Path) -> None:
    program.write_text(LOOPS)
    words = figwasp_command("run", str(program))
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            assert process.stdout.readline() == b"ready\n"
            time.sleep(0.2)  # let it get into the loop
            process.send_signal(signal.SIGINT)
            assert process.wait(HANG_GUARD) == 130
            assert process.stderr.read() == b""
        finally:
            process.kill()
