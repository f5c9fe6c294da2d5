"""Real programs built by others, run as a user runs them; what they must print is in each case's folder."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import figwasp
from figwasp.codegen.regalloc import allocate
from tests.cli.process import run_figwasp
from tests.environment import HANG_GUARD

PROGRAMS = [
    "quickjs-eval", "quickjs-script", "mandel", "mandel_dd", "smallpt-ex", "smallpt-ex-mv", "mal", "hello-wasi-rs", "brotli",
    "c-ray", "icepll", "cpython312-exit3", "cpython312-script", "greet-wasi-rs", "hello-world-swift", "main-go", "raymarcher",
    "resvg-render", "self-hosting-fib", "stream", "javy-convertors", "hello-world-kt", "icepack", "iceunpack", "micropython-script",
]  # fmt: skip
FROM_PYTHON = ["quickjs-script", "brotli", "icepll", "greet-wasi-rs", "hello-world-swift"]
"""Programs that are run by `figwasp.run` too."""
LARGE = ["cpython312-exit3", "cpython312-script", "main-go", "resvg-render", "javy-convertors"]
"""Programs of thousands of functions."""
UNCHECKED = {*LARGE, *FROM_PYTHON, "quickjs-eval"}
"""Programs that are run without the checks after every stage, which take four times as long as compiling, from the command line: all that
these compile is checked where Python runs them, but for the large ones. (What quickjs-eval needs of QuickJS, quickjs-script does too.)"""

STDERR = {"cpython312-exit3": b"bye\n"}
"""What programs write to stderr, where it is anything."""
TALKATIVE = {"mandel", "mandel_dd", "smallpt-ex", "smallpt-ex-mv", "c-ray"}
"""Programs that write to stderr how long they take."""


def test_every_program_is_run(whole: Path) -> None:
    """None is left out."""
    assert sorted(PROGRAMS) == sorted(path.parent.name for path in whole.glob("programs/*/case.json"))


def command_words(case: dict[str, Any], folder: Path, work: Path) -> list[str]:
    """Give the words after `figwasp` for a case whose preopened folders were copied below `work`."""
    words = ["run"]
    for preopen in case["preopens"]:
        words += ["--dir", f"{work / preopen['host']}::{preopen['guest']}"]
    for name, value in case["env"].items():
        words += ["--env", f"{name}={value}"]
    if case["argv0"] is not None:
        words += ["--argv0", case["argv0"]]
    if case.get("unknown_imports") == "trap":
        words += ["--unknown-imports", "trap"]
    return [*words, str((folder / case["module"]).resolve()), *case["args"]]


def prepared(name: str, shared: Path, work: Path) -> tuple[dict[str, Any], Path, bytes]:
    """Return a case, its folder and its stdin; its preopened folders are below `work`."""
    folder = shared / "programs" / name
    case = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    for preopen in case["preopens"]:
        shutil.copytree(folder / preopen["host"], work / preopen["host"], copy_function=shutil.copyfile)
    return case, folder, (folder / case["stdin"]).read_bytes() if case["stdin"] else b""


def check(done: subprocess.CompletedProcess[bytes], case: dict[str, Any], folder: Path, work: Path) -> None:
    """Compare what happened with what is expected."""
    assert done.returncode == case["exit"], done.stderr[-2000:].decode(errors="replace")
    if case["stdout"] is not None:
        assert done.stdout == (folder / case["stdout"]).read_bytes()
    for text in case.get("stdout_contains", []):
        assert text.encode() in done.stdout
    if case["name"] not in TALKATIVE:
        assert done.stderr == STDERR.get(case["name"], b"")
    for path, expected in case["outputs"].items():
        written = (work / path).read_bytes()
        assert (len(written), hashlib.sha256(written).hexdigest()) == (expected["bytes"], expected["sha256"])


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name: str, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program prints, exits and writes what it should."""
    if name in UNCHECKED:
        monkeypatch.setenv("FIGWASP_CHECK", "0")
    case, folder, stdin = prepared(name, shared, tmp_path)
    check(run_figwasp(command_words(case, folder, tmp_path), stdin=stdin, cwd=tmp_path), case, folder, tmp_path)


@pytest.mark.parametrize("name", FROM_PYTHON)
def test_program_from_python(name: str, shared: Path, tmp_path: Path) -> None:
    """So it does when `figwasp.run` runs it, with the checks."""
    assert allocate.CHECK and os.environ["FIGWASP_CHECK"] == "1"
    case, folder, stdin = prepared(name, shared, tmp_path)
    dirs = {preopen["guest"]: tmp_path / preopen["host"] for preopen in case["preopens"]}
    program = folder / case["module"]
    done = figwasp.run(
        program, case["args"], argv0=case["argv0"], env=case["env"], dirs=dirs, input=stdin, capture_output=True, timeout=HANG_GUARD
    )
    check(done, case, folder, tmp_path)
