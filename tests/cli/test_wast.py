"""`figwasp wast`: the table, the exit status, what goes to which stream."""

from __future__ import annotations

from pathlib import Path

import pytest

from figwasp.wast.modes import MODES
from tests.cli.process import run_figwasp

GOOD = """(module (func (export "f") (result i32) i32.const 7))
(assert_return (invoke "f") (i32.const 7))
(assert_invalid (module (func (result i32))) "type mismatch")"""

MIXED = """(module (func (export "f") (param f64) (result f64) local.get 0 f64.neg))
(assert_return (invoke "f" (f64.const nan:0x4000000000001)) (f64.const -nan:0x4000000000001))

(assert_return
  (invoke "f" (f64.const 1))
  (f64.const 1))
(module (func (export "g")))
(invoke "g")
(assert_return (invoke "g"))"""


def figwasp_wast(*words: str) -> tuple[int, list[str], str]:
    done = run_figwasp(["wast", *words])
    return done.returncode, done.stdout.decode().splitlines(), done.stderr.decode()


def counts(lines: list[str], name: str) -> list[str]:
    """Return what the row that begins with `name` says."""
    (row,) = [line for line in lines if line.startswith(name)]
    return row[len(name) :].split()


@pytest.mark.parametrize("mode", MODES)
def test_everything_passes(tmp_path: Path, mode: str) -> None:
    script = tmp_path / "good.wast"
    script.write_text(GOOD)
    status, lines, err = figwasp_wast("--mode", mode, str(script))
    assert (status, err) == (0, "")
    assert lines[0].split() == ["file", "passed", "failed"]
    assert counts(lines, str(script)) == counts(lines, "1 file ") == ["3", "0"]
    assert counts(lines, "assert_return") == ["1", "0"]


def test_failures(tmp_path: Path) -> None:
    (tmp_path / "good.wast").write_text(GOOD)
    (tmp_path / "mixed.wast").write_text(MIXED)
    (tmp_path / "other.txt").write_text("not a script")
    status, lines, err = figwasp_wast(str(tmp_path))
    assert (status, err) == (1, "")
    assert counts(lines, f"{tmp_path}/good.wast") == ["3", "0"]
    assert counts(lines, f"{tmp_path}/mixed.wast") == ["5", "1"]
    assert counts(lines, "2 files") == ["8", "1"]
    assert not any("expected" in line for line in lines)


def test_verbose(tmp_path: Path) -> None:
    script = tmp_path / "mixed.wast"
    script.write_text(MIXED)
    status, lines, _ = figwasp_wast("-v", str(script))
    assert status == 1
    start = lines.index(f'  {script}:4: (assert_return (invoke "f" (f64.const 1)) (f64.const 1))')
    assert [line.strip() for line in lines[start + 1 : start + 3]] == [
        "expected f64 1 (0x3ff0000000000000)",
        "found    f64 -1 (0xbff0000000000000)",
    ]


def test_proposals_are_switched(tmp_path: Path) -> None:
    script = tmp_path / "switched.wast"
    script.write_text("(module (func (i64.mul_wide_u (i64.const 1) (i64.const 2)) (drop) (drop)))")
    assert figwasp_wast(str(script))[0] == 1
    status, lines, _ = figwasp_wast("--enable", "wide-arithmetic", str(script))
    assert (status, counts(lines, "1 file ")) == (0, ["1", "0"])
    assert figwasp_wast("--enable", "wide-arithmetic", "--disable", "wide-arithmetic", str(script))[0] == 1
    status, _, err = figwasp_wast("--enable", "what", str(script))
    assert status == 2
    assert "'what'" in err and "wide-arithmetic" in err


def test_what_is_no_script(tmp_path: Path) -> None:
    script = tmp_path / "bad.wast"
    script.write_bytes(b"(module)\n(what)\xff")
    status, lines, err = figwasp_wast("-v", str(script))
    assert (status, err) == (1, "")
    assert any(line.startswith(f"  {script}:2: the script") for line in lines)
    assert any("malformed UTF-8 encoding" in line for line in lines)


@pytest.mark.parametrize(
    ("make", "message"),
    [(False, "No such file or directory"), (True, "no .wast files")],
    ids=["absent", "empty folder"],
)
def test_what_cannot_be_read(tmp_path: Path, make: bool, message: str) -> None:
    path = tmp_path / "absent"
    if make:
        path.mkdir()
    status, _, err = figwasp_wast(str(path))
    assert status == 1
    assert err == f"figwasp: error: {path}: {message}\n"


@pytest.mark.parametrize("words", [[], ["--mode", "fast", "a.wast"], ["--walk", "a.wast"]])
def test_wrong_usage(words: list[str]) -> None:
    status, lines, err = figwasp_wast(*words)
    assert (status, lines) == (2, [])
    assert "error: " in err


def test_help() -> None:
    status, lines, err = figwasp_wast("--help")
    assert (status, err) == (0, "")
    assert any("--mode" in line for line in lines)
    assert any(line.split()[:1] == ["wast"] for line in run_figwasp(["--help"]).stdout.decode().splitlines())
