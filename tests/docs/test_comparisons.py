"""The programs of docs/compare: ours are shorter than the peer's, and both print the same."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.environment import HANG_GUARD, ROOT, environment
from tests.tools import package

FOLDER = ROOT / "docs" / "compare"
TASKS = {
    "host_function": ("Call with a host function", "42\n"),
    "wasi_output": ("WASI with captured output", "b'hello, world\\n'\n"),
    "timeout": ("A timeout", "stopped\n"),
    "memory_limit": ("A memory limit", "1 -1\n"),
    "async_host_function": ("An async host function", "[30, 70]\n"),
    "plugin": ("A plug-in with memory exchange", "GRüßE, PLUG-IN\n"),
}

HEAD = """\
# Side by side with wasmtime-py

<!-- Written by tests/docs/test_comparisons.py from docs/compare: run it with FIGWASP_GOLDEN=update. -->

The shortest programs for six tasks. Both are run by the tests and print the same.

"""


def run(path: Path) -> str:
    """Run a program; return what it prints."""
    utf_8 = environment(PYTHONIOENCODING="utf-8")
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, encoding="utf-8", env=utf_8, timeout=HANG_GUARD)
    assert done.returncode == 0, done.stderr
    return done.stdout


def length(path: Path) -> tuple[int, int]:
    """Return the lines of code of a program, and its syntax nodes without those of text."""
    text = path.read_text(encoding="utf-8")
    return sum(bool(line.strip()) for line in text.splitlines()), sum(1 for _ in ast.walk(ast.parse(text)))


@pytest.mark.parametrize("task", TASKS)
def test_ours_prints_what_it_should(task: str) -> None:
    assert run(FOLDER / f"{task}.figwasp.py") == TASKS[task][1]


@pytest.mark.parametrize("task", TASKS)
def test_the_peer_prints_the_same(task: str) -> None:
    package("wasmtime")
    assert run(FOLDER / f"{task}.wasmtime.py") == TASKS[task][1]


@pytest.mark.parametrize("task", TASKS)
def test_ours_is_shorter(task: str) -> None:
    ours, theirs = length(FOLDER / f"{task}.figwasp.py"), length(FOLDER / f"{task}.wasmtime.py")
    assert ours[0] < theirs[0] and ours[1] < theirs[1]


def document() -> str:
    """Return the page that shows them."""
    parts = [HEAD, "| task | figwasp, lines | wasmtime-py, lines |\n|---|---|---|\n"]
    for task, (title, _) in TASKS.items():
        ours, theirs = length(FOLDER / f"{task}.figwasp.py"), length(FOLDER / f"{task}.wasmtime.py")
        parts.append(f"| [{title}](#{title.lower().replace(' ', '-')}) | {ours[0]} | {theirs[0]} |\n")
    for task, (title, _) in TASKS.items():
        parts.append(f"\n## {title}\n")
        for name, peer in (("figwasp", "figwasp"), ("wasmtime-py", "wasmtime")):
            text = (FOLDER / f"{task}.{peer}.py").read_text(encoding="utf-8")
            parts.append(f"\n{name}:\n\n```python\n{text}```\n")
    return "".join(parts)


def test_the_page_is_up_to_date() -> None:
    page = FOLDER / "README.md"
    if os.environ.get("FIGWASP_GOLDEN") == "update":
        page.write_text(document(), encoding="utf-8")
    assert page.read_text(encoding="utf-8") == document(), "out of date: run this test with FIGWASP_GOLDEN=update"
