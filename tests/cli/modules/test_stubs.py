"""`figwasp stubs`: what it writes, that mypy takes it, and that a program which imports the module is checked by it."""

from __future__ import annotations

import subprocess
import sys
from importlib import util
from pathlib import Path

import pytest

from tests.cli.commands import INVALID, outcome
from tests.environment import HANG_GUARD, environment

PLUGIN = """(module
  (memory (export "memory") 1) (table (export "table") 1 funcref) (global (export "count") (mut i32) (i32.const 0))
  (tag (export "failed") (param i32))
  (func (export "add") (param $left i32) (param $right i64) (result i64) (i64.add (i64.extend_i32_s (local.get 0)) (local.get 1)))
  (func (export "int") (param $timeout f64) (param $class f32) (result f64 i32) (local.get 0) (i32.const 1))
  (func (export "float"))
  (func (export "keep") (param externref) (result externref) (local.get 0))
  (func (export "_figwasp")) (func (export "two words")) (func (export "class")) (func (export "__name__")) (func (export "\\ef\\ac\\81")))"""

STUB = """\
# Made by `figwasp stubs` of plugin.wat.
import builtins as _builtins
import typing as _typing
import figwasp as _figwasp_

__instance__: _figwasp_.Instance
memory: _figwasp_.Memory
table: _figwasp_.Table
count: _figwasp_.Global
failed: _figwasp_.Tag
def add(left: _builtins.int, right: _builtins.int, /, *, timeout: _builtins.float | None = ...) -> _builtins.int: ...
def int(timeout_: _builtins.float, p1: _builtins.float, /, *, timeout: _builtins.float | None = ...) -> \
_builtins.tuple[_builtins.float, _builtins.int]: ...
def float(*, timeout: _builtins.float | None = ...) -> None: ...
def keep(p0: _typing.Any, /, *, timeout: _builtins.float | None = ...) -> _typing.Any: ...
def _figwasp(*, timeout: _builtins.float | None = ...) -> None: ...
"""

USES = """\
import figwasp.importer
import plugin

total: int = plugin.add(1, 2, timeout=1.5)
pair: tuple[float, int] = plugin.int(1, 2.5)
plugin.count.value = plugin.memory.pages + len(plugin.table)
plugin.float()
print(total, pair, plugin.count.value, plugin.__instance__.exports is None)
"""

MISUSES = """\
import plugin

plugin.add("1", 2)
plugin.add(1)
plugin.absent
text: str = plugin.add(1, 2)
plugin.memory()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "plugin.wat").write_text(PLUGIN)
    return tmp_path


def test_exports(folder: Path) -> None:
    assert outcome("stubs", "plugin.wat", cwd=folder) == (0, STUB.encode(), "")
    assert outcome("stubs", "plugin.wat", "-o", "plugin.pyi", cwd=folder) == (0, b"", "")
    assert (folder / "plugin.pyi").read_text() == STUB


def test_invalid(folder: Path) -> None:
    status, out, err = outcome("stubs", stdin=INVALID.encode())
    assert (status, out) == (1, b"")
    assert err.startswith("figwasp: error: <stdin>: type mismatch")


def python(folder: Path, *words: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, capture_output=True, text=True, env=environment(), check=False, timeout=HANG_GUARD
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.skipif(util.find_spec("mypy") is None, reason="no mypy")
def test_mypy(folder: Path) -> None:
    """A program that mypy accepts runs; one that misuses the exports is refused, line by line."""
    (folder / "plugin.pyi").write_bytes(outcome("stubs", "plugin.wat", cwd=folder)[1])
    (folder / "uses.py").write_text(USES)
    (folder / "misuses.py").write_text(MISUSES)
    status, out, err = python(folder, "-m", "mypy", "--strict", "--no-error-summary", "plugin.pyi", "uses.py", "misuses.py")
    assert [line.split(": ")[0] for line in out.splitlines()] == [f"misuses.py:{number}" for number in range(3, 8)], out + err
    assert status == 1
    assert python(folder, "uses.py") == (0, "3 (1.0, 1) 2 False\n", "")
