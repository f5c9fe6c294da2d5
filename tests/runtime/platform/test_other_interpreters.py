"""Interpreters that cannot run modules, where the machine has them: PyPy, GraalPy, free-threaded CPython. All else works on them.

The same is tested in poses that any CPython can take, in `test_platforms`; these are the interpreters themselves.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.environment import HANG_GUARD, ROOT, WARNINGS, environment
from tests.runtime.platform.test_platforms import ADD, USE
from tests.tools import OTHER_INTERPRETERS, tool

MODULES = ("demo/words.wasm", "tests/data/programs/modules/mal.wasm")
COMPARED = ("wat", "ssa", "select", "allocate", "code", "joined")
"""Stages of a function; the others say how long they took."""


def run(python: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run an interpreter in the folder of the project, where it finds figwasp."""
    return subprocess.run(
        [python, *words], capture_output=True, text=True, env=environment(PYTHONDONTWRITEBYTECODE="1"), cwd=ROOT, timeout=HANG_GUARD
    )  # fmt: skip


def output(python: str, *words: str) -> str:
    """Return what a command of figwasp prints, which must end well and silently."""
    done = run(python, *WARNINGS, "-m", "figwasp", *words)
    assert (done.returncode, done.stderr) == (0, ""), (words, done.stdout, done.stderr)
    return done.stdout


@pytest.fixture(params=OTHER_INTERPRETERS)
def other(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Give the path of an interpreter, and the word by which figwasp names it."""
    name: str = request.param
    path = tool(name)
    version = run(path, "-c", "import sys; print(*sys.version_info[:2], sep='.')")
    if version.returncode:  # a shim of pyenv's for what is not installed
        pytest.skip(f"{name} does not run")
    if tuple(map(int, version.stdout.split("."))) < (3, 11):
        pytest.skip(f"{name} is Python {version.stdout.strip()}, and figwasp needs 3.11")
    return path, OTHER_INTERPRETERS[name]


def test_what_works_there(other: tuple[str, str], tmp_path: Path) -> None:
    path, word = other
    done = run(path, *WARNINGS, "-c", f"WORD, PATH = {word!r}, {str(tmp_path / 'add.wasm')!r}\n{USE}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_running_is_refused_there(other: tuple[str, str], tmp_path: Path) -> None:
    path, word = other
    program = tmp_path / "add.wat"
    program.write_text(ADD)
    done = run(path, "-m", "figwasp", "run", str(program))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("figwasp: error: running WebAssembly needs CPython") and word in done.stderr and " use " in done.stderr


@pytest.mark.parametrize("module", MODULES)
def test_commands_print_the_same_there(module: str, other: tuple[str, str]) -> None:
    """What is read, printed and compiled on it is what is read, printed and compiled here."""
    path, _word = other
    stages = [word for stage in COMPARED for word in ("--stage", stage)]
    rows = output(sys.executable, "explain", module).splitlines()[1:]
    biggest = max((row.split() for row in rows if row.split()[1].isdigit()), key=lambda row: int(row[1]))[0]
    for words in (("validate", module), ("wasm2wat", module), ("objdump", module), ("stubs", module), ("explain", module),
                  ("explain", module, biggest, *stages)):  # fmt: skip
        assert output(path, *words) == output(sys.executable, *words), words
