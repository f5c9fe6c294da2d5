"""Real programs built by others, run as a user runs them; what they must print is in each case's folder."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.cli.process import run_figwasp

PROGRAMS = [
    "quickjs-eval", "quickjs-script", "mandel", "mandel_dd", "smallpt-ex", "smallpt-ex-mv", "mal", "hello-wasi-rs", "brotli",
    "c-ray", "icepll", "cpython312-exit3", "cpython312-script",
]  # fmt: skip
UNCHECKED = {"cpython312-exit3", "cpython312-script"}
"""Programs of thousands of functions: without the checks after every stage, which take four times as long as compiling."""


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


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name: str, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program prints, exits and writes what it should."""
    if name in UNCHECKED:
        monkeypatch.setenv("FIGWASP_CHECK", "0")
    folder = shared / "programs" / name
    case = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    for preopen in case["preopens"]:
        shutil.copytree(folder / preopen["host"], tmp_path / preopen["host"], copy_function=shutil.copyfile)
    stdin = (folder / case["stdin"]).read_bytes() if case["stdin"] else b""

    done = run_figwasp(command_words(case, folder, tmp_path), stdin=stdin, cwd=tmp_path)

    assert done.returncode == case["exit"], done.stderr[-2000:].decode(errors="replace")
    if case["stdout"] is not None:
        assert done.stdout == (folder / case["stdout"]).read_bytes()
    for text in case.get("stdout_contains", []):
        assert text.encode() in done.stdout
    for path, expected in case["outputs"].items():
        written = (tmp_path / path).read_bytes()
        assert (len(written), hashlib.sha256(written).hexdigest()) == (expected["bytes"], expected["sha256"])
