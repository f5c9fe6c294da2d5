"""`figwasp explain`: what it prints, its exit status, and that it runs nothing."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

import figwasp
from figwasp.explain import STAGES
from tests.cli.process import figwasp_command, run_figwasp
from tests.environment import environment

PROGRAM = """(module
  (import "env" "nobody" (func $nobody (param i32)))
  (memory 1)
  (func $double (export "twice") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
  (func $begin (unreachable))
  (start $begin))"""


@pytest.fixture
def program(tmp_path: Path) -> str:
    path = tmp_path / "program.wat"
    path.write_text(PROGRAM)
    return str(path)


def explained(*words: str) -> tuple[int, str, str]:
    done = run_figwasp(["explain", *words])
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_list(program: str) -> None:
    status, out, err = explained(program)
    assert (status, err) == (0, "")
    heading, *rows = out.splitlines()
    assert heading.split() == ["func", "bytes", "type", "name"]
    assert [re.split("  +", row.strip()) for row in rows] == [
        ["0", "(i32) -> ()", "$nobody", 'import "env" "nobody"'],
        ["1", "7", "(i32) -> i32", "$double", 'export "twice"'],
        ["2", "3", "() -> ()", "$begin", "start"],
    ]


def test_binary_and_text_are_the_same(program: str, tmp_path: Path) -> None:
    binary = tmp_path / "program.wasm"
    binary.write_bytes(figwasp.wat(PROGRAM))
    words = ("1", "--stage", "wat", "--stage", "code")
    assert explained(str(binary), *words) == explained(program, *words)


@pytest.mark.parametrize("function", ["1", "twice", "double", "$double"])
def test_everything(program: str, function: str) -> None:
    status, out, err = explained(program, function)
    assert (status, err) == (0, "")
    assert re.findall("(?m)^--- (.*)$", out) == STAGES
    assert out.startswith('=== function 1 "double" (i32) -> i32, ')
    assert "i32.mul" in out
    assert "i32_shl" in out
    assert re.search("(?m)^ +[0-9a-f]+  c3 +ret$", out)


def test_stages(program: str) -> None:
    status, out, _ = explained(program, "twice", "--stage", "ssa", "--stage", "select")
    assert status == 0
    assert re.findall("(?m)^--- (.*)$", out) == ["ssa", "select"]
    assert re.findall("(?m)^--- (.*)$", explained(program, "twice", "--side-by-side")[1]) == ["joined"]
    assert re.findall("(?m)^--- (.*)$", explained(program, "twice", "--stage", "all")[1]) == STAGES


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage(program: str, stage: str) -> None:
    status, out, err = explained(program, "twice", "--stage", stage)
    assert (status, err) == (0, "")
    assert out.count("\n") >= 4


@pytest.mark.parametrize("words", [[], ["{p}", "1", "--stage", "nix"], ["{p}", "--stage", "wat"], ["{p}", "1", "2"]])
def test_wrong_usage(program: str, words: list[str]) -> None:
    status, out, err = explained(*[word.replace("{p}", program) for word in words])
    assert (status, out) == (2, "")
    assert "usage: figwasp explain" in err


def test_help_lists_the_stages() -> None:
    status, out, _ = explained("--help")
    assert status == 0
    assert all(stage in out for stage in STAGES)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("twise", 'no function "twise"; did you mean "twice"?'),
        ("3", "no function 3: the module has 3"),
        ("nobody", 'function 0 is imported: "env" "nobody"'),
    ],
)
def test_no_such_function(program: str, function: str, message: str) -> None:
    assert explained(program, function) == (1, "", f"figwasp: error: {program}: {message}\n")


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\0asm\1\0\0\0\1\xff", b"\xff\xfe", b"(module (func", b"(module (func (result i32)))", b"(module (start 3))",
    ],
)  # fmt: skip
def test_programs_that_cannot_be_explained(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "program.bin"
    path.write_bytes(data)
    status, out, err = explained(str(path), "0")
    assert (status, out) == (1, "")
    assert err.startswith(f"figwasp: error: {path}:")
    assert err.count("figwasp: error: ") == 1


def test_no_such_file(tmp_path: Path) -> None:
    path = tmp_path / "absent.wasm"
    assert explained(str(path)) == (1, "", f"figwasp: error: {path}: No such file or directory\n")


def test_checked_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "load.wat"
    path.write_text('(module (memory 1) (func (export "get") (param i32) (result i32) (i32.load (local.get 0))))')
    monkeypatch.setenv("FIGWASP_MEMORY", "checked")
    _, out, _ = explained(str(path), "get", "--stage", "code")
    assert ", checked memory\n" in out
    assert "call <trap>  ; out of bounds memory access" in out


def test_a_reader_may_stop_early(program: str) -> None:
    words = figwasp_command("explain", program, "1")
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1


def test_names_that_the_terminal_cannot_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "names.wat"
    path.write_text('(module (func (export "größe\\1b[2J")))')
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    status, out, err = explained(str(path))
    assert (status, err) == (0, "")
    assert 'export "gr\\xf6\\xdfe\\u{1b}[2J"' in out
