"""`figwasp validate`: silence for valid modules, one line for each other."""

from __future__ import annotations

from pathlib import Path

import pytest

import figwasp
from tests.cli.commands import ADD, INVALID, MALFORMED, SHARED_MEMORY, outcome


def test_valid_modules_are_passed_in_silence(tmp_path: Path) -> None:
    (tmp_path / "add.wat").write_text(ADD)
    (tmp_path / "add.wasm").write_bytes(figwasp.wat(ADD))
    assert outcome("validate", "add.wat", "add.wasm", cwd=tmp_path) == (0, b"", "")


@pytest.mark.parametrize("words", [[], ["-"]])
def test_standard_input(words: list[str]) -> None:
    assert outcome("validate", *words, stdin=ADD.encode()) == (0, b"", "")
    assert outcome("validate", *words, stdin=figwasp.wat(ADD)) == (0, b"", "")
    status, out, err = outcome("validate", *words, stdin=INVALID.encode())
    assert (status, out) == (1, b"")
    assert err.startswith("figwasp: error: <stdin>: type mismatch")


def test_each_bad_file_has_its_line(tmp_path: Path) -> None:
    (tmp_path / "invalid.wat").write_text(INVALID)
    (tmp_path / "malformed.wat").write_text(MALFORMED)
    (tmp_path / "good.wat").write_text(ADD)
    (tmp_path / "cut.wasm").write_bytes(figwasp.wat(ADD)[:20])
    (tmp_path / "image.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    names = ["invalid.wat", "missing.wat", "malformed.wat", "good.wat", "cut.wasm", "image.png", "."]
    status, out, err = outcome("validate", *names, cwd=tmp_path)
    assert (status, out) == (1, b"")
    lines = err.splitlines()
    assert lines.pop(4) == "           ^"  # below the column that the line of the source begins with two spaces for
    assert lines.pop(3) == "    (func (i32.ad)))"
    assert [line.split(":")[:3] for line in lines] == [
        ["figwasp", " error", f" {name}"] for name in names if name != "good.wat"
    ]
    assert "type mismatch" in lines[0] and "in function 0 (bad) at byte offset" in lines[0]
    assert lines[1].endswith("No such file or directory")
    assert "malformed.wat:2:10: unknown operator i32.ad" in lines[2]
    assert "length out of bounds" in lines[3] or "unexpected end" in lines[3]
    assert lines[4].endswith("neither a WebAssembly binary nor text")
    assert lines[5].endswith("Is a directory")


def test_proposals_are_switched(tmp_path: Path) -> None:
    (tmp_path / "shared.wat").write_text(SHARED_MEMORY)
    status, _, err = outcome("validate", "shared.wat", cwd=tmp_path)
    assert status == 1
    assert "threads" in err
    assert outcome("validate", "--enable", "threads", "shared.wat", cwd=tmp_path) == (0, b"", "")
    status, _, err = outcome("validate", "--disable", "multi-value", stdin=b"(func (result i32 i32) unreachable)")
    assert status == 1
    status, _, err = outcome("validate", "--enable=threads", "--disable=threads", "shared.wat", cwd=tmp_path)
    assert status == 1


def test_unknown_proposals() -> None:
    status, out, err = outcome("validate", "--enable", "thread")
    assert (status, out) == (2, b"")
    assert err.endswith("unknown proposal 'thread'; did you mean threads?\n")
    status, _, err = outcome("validate", "--disable", "xyz")
    assert status == 2
    assert "unknown proposal 'xyz'; known are mutable-globals, sign-extension" in err


def test_help() -> None:
    status, out, _ = outcome("validate", "--help")
    assert status == 0
    assert b"--enable PROPOSAL" in out
    assert b"threads" in out


PROGRAM = """(module (import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))
  (func (export "_start") (call 0 (i32.const 0))) (memory (export "memory") 1) %s)"""


def runnable(source: str, *words: str) -> tuple[int, list[str]]:
    """Return the status and the reasons of `validate --runnable`."""
    status, out, err = outcome("validate", "--runnable", *words, stdin=source.encode())
    assert out == b""
    assert all(line.startswith("figwasp: error: <stdin>: ") for line in err.splitlines())
    return status, [line.removeprefix("figwasp: error: <stdin>: ") for line in err.splitlines()]


def test_programs_that_can_be_run() -> None:
    assert runnable(PROGRAM % "") == (0, [])
    assert runnable(PROGRAM % "(func atomic.fence)", "--enable", "threads") == (0, [])


def test_everything_that_is_off_is_told() -> None:
    source = PROGRAM % "(func atomic.fence) (func) (func atomic.fence) (func (i64.mul_wide_u (i64.const 0) (i64.const 0)) drop drop)"
    data = figwasp.wat(source)
    fence, wide = data.index(b"\xfe\x03"), data.index(b"\xfc\x16")
    how = "which is off (on with DEFAULT.including({0!r}) or --enable {0})"
    assert runnable(source) == (1, [
        f"atomic.fence needs threads, {how.format('threads')} in function 2 at byte offset {fence:#x}; 2 functions need it",
        f"i64.mul_wide_u needs wide-arithmetic, {how.format('wide-arithmetic')} in function 5 at byte offset {wide:#x}",
    ])  # fmt: skip
    status, reasons = runnable(source, "--enable", "threads", "--disable", "bulk-memory")
    assert status == 1 and len(reasons) == 1 and "wide-arithmetic" in reasons[0]
    status, reasons = runnable(PROGRAM % "(memory 1 1 shared)")
    assert status == 1 and len(reasons) == 1 and reasons[0].startswith("memory section needs threads")


def test_what_else_keeps_a_program_from_running() -> None:
    status, reasons = runnable('(module (import "env" "f" (func)) (import "env" "m" (memory 1)) (import "wasi_unstable" "sock_accept" (func)))')
    assert status == 1
    assert [reason.split(",")[0] for reason in reasons] == [
        "imports the function env.f", "imports the memory env.m", "imports the function wasi_unstable.sock_accept",
        "exports neither _start nor _initialize; only --invoke FUNC can call something",
    ]  # fmt: skip
    status, reasons = runnable(INVALID)
    assert status == 1 and reasons[0].startswith("type mismatch")


def test_programs_with_threads() -> None:
    threads = '(import "wasi" "thread-spawn" (func (param i32) (result i32)))'
    memory = '(import "env" "memory" (memory 1 1 shared))'
    source = f'(module %s {memory} (func (export "_start")) (func (export "wasi_thread_start") (param i32 i32)))'
    assert runnable(source % threads, "--enable", "threads") == (0, [])
    assert runnable(source % "", "--enable", "threads")[0] == 1
