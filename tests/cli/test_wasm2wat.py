"""`figwasp wasm2wat`: flat and folded text, that it parses back, and what becomes of failures and of closed pipes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

import figwasp
from figwasp.features import ALL
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.text.print.module import show
from tests.cli.commands import ADD, INVALID, MALFORMED, SHARED_MEMORY, outcome
from tests.cli.process import figwasp_command
from tests.environment import environment

FLAT = """\
(module $calc
  (type (;0;) (func (param i32 i32) (result i32)))
  (export "add" (func $add))
  (func $add (;0;) (type 0) (param $a i32) (param $b i32) (result i32)
    local.get $a
    local.get $b
    i32.add))
"""
FOLDED = FLAT[: FLAT.index("    local.get")] + "    (i32.add (local.get $a) (local.get $b))))\n"


@pytest.mark.parametrize(("words", "expected"), [([], FLAT), (["--fold"], FOLDED), (["-f", "-"], FOLDED)])
def test_text(words: list[str], expected: str) -> None:
    data = figwasp.wat(ADD)
    assert outcome("wasm2wat", *words, stdin=data) == (0, expected.encode(), "")
    assert outcome("wasm2wat", *words, stdin=expected.encode()) == (0, expected.encode(), "")
    assert figwasp.wat(expected) == data


def test_to_a_file(tmp_path: Path) -> None:
    (tmp_path / "add.wasm").write_bytes(figwasp.wat(ADD))
    assert outcome("wasm2wat", "add.wasm", "-o", "add.wat", cwd=tmp_path) == (0, b"", "")
    assert (tmp_path / "add.wat").read_text() == FLAT
    assert sorted(os.listdir(tmp_path)) == ["add.wasm", "add.wat"]


def test_what_is_printed_need_not_be_valid() -> None:
    for source in (INVALID, SHARED_MEMORY):
        text = show(decode(figwasp.wat(source), ALL))
        assert outcome("wasm2wat", stdin=source.encode()) == (0, text.encode(), "")
    status, _, err = outcome("wasm2wat", "--disable", "threads", stdin=SHARED_MEMORY.encode())
    assert status == 1
    assert "threads" in err


def test_text_is_utf_8_wherever_it_goes(tmp_path: Path) -> None:
    source = '(module (export "\u00e9\u4e16" (func 0)) (func))'
    done = subprocess.run(
        figwasp_command("wasm2wat"),
        input=source.encode(),
        capture_output=True,
        env={**environment(), "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
        check=True,
    )
    assert '"\u00e9\u4e16"' in done.stdout.decode()


def test_nothing_is_left_of_a_failure(tmp_path: Path) -> None:
    """The second function cannot be decoded, which shows when the first has been printed."""
    data = figwasp.wat("(module (func) (func nop))")
    assert data.endswith(b"\x01\x0b")
    (tmp_path / "bad.wasm").write_bytes(data[:-2] + b"\xff\x0b")
    (tmp_path / "bad.wat").write_text(MALFORMED)
    for name in ("bad.wasm", "bad.wat"):
        status, out, err = outcome("wasm2wat", name, "-o", "out.wat", cwd=tmp_path)
        assert (status, out) == (1, b"")
        assert err.startswith(f"figwasp: error: {name}:")
        assert "Traceback" not in err
    assert sorted(os.listdir(tmp_path)) == ["bad.wasm", "bad.wat"]


@pytest.mark.parametrize("command", ["wasm2wat", "objdump"])
def test_whoever_reads_may_stop_early(command: str) -> None:
    exports = "".join(f'(export "{number:0>1000}" (func 0))' for number in range(5_000))  # more than any pipe holds
    source = f"(module (func) {exports})"
    with subprocess.Popen(
        figwasp_command(command),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        process.stdin.write(source.encode())
        process.stdin.close()
        assert len(process.stdout.read(100)) == 100
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1


def test_help() -> None:
    status, out, _ = outcome("wasm2wat", "--help")
    assert status == 0
    assert b"--fold" in out
