"""`figwasp run --trace GLOB` and `--perf-map`."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from pathlib import Path

import pytest

from figwasp.cli.running.options import parse_run
from tests.cli.commands import outcome
from tests.cli.process import figwasp_command, run_figwasp
from tests.environment import HANG_GUARD, environment

TEXT = """(module
  (func $fac (export "fac") (param $n i64) (result i64)
    (if (result i64) (i64.lt_s (local.get $n) (i64.const 2))
      (then (i64.const 1))
      (else (i64.mul (local.get $n) (call $fac (i64.sub (local.get $n) (i64.const 1)))))))
  (func $pair (export "pair") (param f32 f64) (result f64 f32) (local.get 1) (local.get 0))
  (func $boom (export "boom") (call $inner (i32.const -1)))
  (func $inner (param i32) (if (local.get 0) (then unreachable)))
  (func (export "none") (call 5))
  (func)
  (func $"evil\\1b[31m\\0aname" (export "evil")))"""

HELLO = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\10\\00\\00\\00\\03\\00\\00\\00") (data (i32.const 16) "hi\\0a")
  (func $say (param $fd i32) (drop (call $write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8))))
  (func (export "_start") (call $say (i32.const 2)) (call $exit (i32.const 3))))"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program.wat"
    path.write_text(TEXT)
    return path


def trace(program: Path, name: str, *args: str, globs: list[str]) -> list[str]:
    words = [word for glob in globs for word in ("--trace", glob)]
    return outcome("run", *words, "--invoke", name, program, *args)[2].splitlines()


def test_calls_and_results_are_indented(program: Path) -> None:
    assert trace(program, "fac", "3", globs=["fac"]) == [
        "-> fac(n=3)",
        "  -> fac(n=2)",
        "    -> fac(n=1)",
        "    <- fac = 1",
        "  <- fac = 2",
        "<- fac = 6",
    ]


def test_values_are_shown_as_python_shows_them(program: Path) -> None:
    assert trace(program, "pair", "1.5", "-inf", globs=["*"]) == ["-> pair(1.5, -inf)", "<- pair = -inf, 1.5"]


def test_a_trap_ends_the_calls(program: Path) -> None:
    status, out, err = outcome("run", "--trace", "*", "--invoke", "boom", program)
    assert (status, out) == (134, b"")
    lines = err.splitlines()
    assert lines[:4] == ["-> boom()", "  -> inner(-1)", "  !! inner: unreachable", "!! boom: unreachable"]
    assert lines[4].startswith("figwasp: trap: unreachable")


@pytest.mark.parametrize(
    ("globs", "expected"),
    [
        (["inner"], ["-> inner(-1)", "!! inner: unreachable"]),
        (["i*r", "nothing"], ["-> inner(-1)", "!! inner: unreachable"]),
        (["func[3]"], ["-> inner(-1)", "!! inner: unreachable"]),
        (["Inner", "func[4]", "bo"], []),
        (["[ab]oom"], ["-> boom()", "!! boom: unreachable"]),
    ],
)
def test_patterns(program: Path, globs: list[str], expected: list[str]) -> None:
    lines = trace(program, "boom", globs=globs)
    assert [line for line in lines if line[:2] in ("->", "<-", "!!")] == expected


def test_functions_without_a_name(program: Path) -> None:
    assert trace(program, "none", globs=["func[[]*"]) == ["-> func[5]()", "<- func[5]"]


def test_a_name_cannot_write_to_the_terminal(program: Path) -> None:
    assert trace(program, "evil", globs=["evil*"]) == ["-> evil\\x1b[31m\\nname()", "<- evil\\x1b[31m\\nname"]


def test_lines_stand_between_those_of_the_program(tmp_path: Path) -> None:
    path = tmp_path / "hello.wat"
    path.write_text(HELLO)
    done = run_figwasp(["run", "--trace", "*", str(path)])
    assert done.returncode == 3
    assert done.stderr.decode().splitlines() == [
        "-> _start()",
        "  -> say(fd=2)",
        "    -> wasi_snapshot_preview1.fd_write(2, 0, 1, 8)",
        "hi",
        "    <- wasi_snapshot_preview1.fd_write = 0",
        "  <- say",
        "  -> wasi_snapshot_preview1.proc_exit(3)",
        "  !! wasi_snapshot_preview1.proc_exit: Exit: the program has exited with code 3",
        "!! _start: Exit: the program has exited with code 3",
    ]


def test_nobody_reads_the_trace(tmp_path: Path) -> None:
    path = tmp_path / "count.wat"
    path.write_text("""(module (func $f) (func (export "run") (result i32) (local i32)
      (loop $l (call $f) (br_if $l (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 2000)))) (local.get 0)))""")
    process = subprocess.Popen(
        figwasp_command("run", "--trace", "f", "--invoke", "run", str(path)),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
    )  # fmt: skip
    assert process.stderr is not None
    assert process.stdout is not None
    process.stderr.close()
    with process.stdout as out:
        assert out.read() == b"2000\n"
    assert process.wait(HANG_GUARD) == 0


def test_a_real_program(shared: Path) -> None:
    path = (shared / "programs" / "modules" / "greet-wasi-rs.wasm").resolve(strict=True)
    plain = run_figwasp(["run", str(path)], stdin=b"someone\n")
    traced = run_figwasp(["run", "--trace", "*alloc*", "--trace", "wasi_*", str(path)], stdin=b"someone\n")
    assert (traced.returncode, traced.stdout) == (plain.returncode, plain.stdout)
    lines = traced.stderr.decode().splitlines()
    assert plain.stderr == b""
    assert any("fd_write(1, " in line for line in lines)
    assert sum("-> " in line for line in lines) == sum("<- " in line or "!! " in line for line in lines) > 4
    assert all(re.match(r"( {2})*(->|<-|!!) ", line) for line in lines)


def test_the_help_tells(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_run(["--help"])
    out = capsys.readouterr().out
    assert "--trace GLOB" in out
    assert "--perf-map" in out


def test_options_end_at_the_program() -> None:
    options = parse_run(["--trace", "a", "--perf-map", "--trace", "b", "p.wasm", "--trace", "c"])
    assert (options.trace, options.perf_map, options.args) == (["a", "b"], True, ["--trace", "c"])
    assert parse_run(["p.wasm"]).perf_map is False


def test_perf_map(program: Path) -> None:
    process = subprocess.Popen(
        figwasp_command("run", "--perf-map", "--invoke", "fac", str(program), "3"), stdout=subprocess.PIPE, env=environment()
    )
    path = Path(f"/tmp/perf-{process.pid}.map")
    try:
        out, _ = process.communicate(timeout=HANG_GUARD)
        assert out == b"6\n"
        found = path.stat()
        assert stat.S_IMODE(found.st_mode) == 0o600
        assert found.st_uid == os.geteuid()
        lines = path.read_text().splitlines()
    finally:
        path.unlink(missing_ok=True)
    assert all(re.fullmatch(r"[0-9a-f]+ [0-9a-f]+ \S.*", line) for line in lines)
    names = [line.split(" ", 2)[2] for line in lines]
    assert names.count("wasm::fac") == 1
    assert "wasm::pair" not in names
    assert "figwasp::enter" in names
