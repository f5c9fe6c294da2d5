"""The floors: a module imports its own floor and lower ones only, and only the standard library from outside.

The rules are read from the source with `ast`, so an import hidden in a function or under TYPE_CHECKING counts as well.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[1] / "src"

FLOORS = {
    "errors": 0, "features": 0, "layout": 0,
    "wasm": 1,
    "ir": 2,
    "codegen": 3,
    "runtime": 4,
    "api": 5, "types": 5,
    "wasi": 6, "wast": 6, "explain": 6, "importer": 6, "cli": 6,
}  # fmt: skip
FACE_FLOOR = 5  # `figwasp` itself gives out the names of api
EXEMPT = {"figwasp", "figwasp.__main__"}
NATIVE = {"ctypes", "_ctypes", "mmap", "signal", "_signal"}
NATIVE_FLOOR = 4
OPTIONAL = {"figwasp.wasm.debug.demangle": {"demangle"}, "figwasp.api.memory": {"numpy"}}
"""Modules that use a package from outside when it is installed."""
WATCHED_BY = {"explain": {"explain", "cli"}}
"""Parts that only these parts may import."""


def source_modules() -> dict[str, Path]:
    """Map every module below src to its file."""
    found = {}
    for path in sorted((SRC / "figwasp").rglob("*.py")):
        parts = path.relative_to(SRC).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = source_modules()


def imported(tree: ast.Module, package: str, known: set[str]) -> Iterator[tuple[int, str]]:
    """Yield the line and the full name of every module that a source imports.

    Args:
        tree: the parsed source.
        package: the package that relative imports start from.
        known: the project's modules, to tell `from a import module` from `from a import name`.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                base = ".".join(parts[: len(parts) - node.level + 1] + ([base] if base else []))
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}" if f"{base}.{alias.name}" in known else base
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in {"import_module", "__import__"}:
                yield node.lineno, str(node.args[0].value)


def part_of(module: str) -> str:
    """Name the part of the house that a figwasp module belongs to, or "" for the package itself."""
    return module.split(".")[1] if "." in module else ""


def floor_of(module: str) -> int:
    """Tell the floor of a figwasp module."""
    return FLOORS[part_of(module)] if "." in module else FACE_FLOOR


def violations(module: str, source: str, *, is_package: bool = False, known: set[str] | None = None) -> list[str]:
    """List what a module imports against the rules, one sentence each."""
    if module in EXEMPT:
        own_floor, own_part = 6, "cli"
    else:
        own_floor, own_part = floor_of(module), part_of(module)
    package = module if is_package else module.rpartition(".")[0]
    found = []
    for line, name in imported(ast.parse(source), package, set(MODULES) if known is None else known):
        where = f"{module}:{line}"
        top = name.partition(".")[0]
        if top in NATIVE and own_floor != NATIVE_FLOOR:
            found.append(f"{where}: {top} belongs to floor {NATIVE_FLOOR}")
        elif top != "figwasp":
            if top not in sys.stdlib_module_names and top not in OPTIONAL.get(module, ()):
                found.append(f"{where}: {top} is not in the standard library")
        elif floor_of(name) > own_floor:
            found.append(f"{where}: {name} is on floor {floor_of(name)}, above floor {own_floor}")
        elif own_part not in WATCHED_BY.get(part_of(name), {own_part}):
            found.append(f"{where}: nothing but cli imports {part_of(name)}")
    return found


def test_every_part_has_a_floor() -> None:
    parts = {part_of(module) for module in MODULES if module not in EXEMPT}
    assert parts
    assert parts <= set(FLOORS)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_module_stays_on_its_floor(module: str) -> None:
    path = MODULES[module]
    assert violations(module, path.read_text(encoding="utf-8"), is_package=path.name == "__init__.py") == []


KNOWN = {"figwasp", "figwasp.errors", "figwasp.wasm.binary.decode", "figwasp.ir.func", "figwasp.codegen.emit",
         "figwasp.runtime.link", "figwasp.api.engine", "figwasp.wasi.directories.paths", "figwasp.explain.page"}  # fmt: skip


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("figwasp.wasm.binary.decode", "from figwasp.ir import func", "figwasp.ir.func is on floor 2, above floor 1"),
        ("figwasp.wasm.binary.decode", "import figwasp.runtime.link", "on floor 4, above floor 1"),
        ("figwasp.wasm.binary.decode", "from ...api.engine import Engine", "on floor 5, above floor 1"),
        ("figwasp.wasm.binary.decode", "from figwasp import load", "figwasp is on floor 5, above floor 1"),
        ("figwasp.errors", "from figwasp.wasm.binary.decode import decode", "on floor 1, above floor 0"),
        ("figwasp.ir.func", "def f():\n    import figwasp.codegen.emit", "figwasp.ir.func:2: "),
        ("figwasp.ir.func", "import importlib\nimportlib.import_module('figwasp.runtime.link')", "above floor 2"),
        ("figwasp.codegen.emit", "import ctypes", "ctypes belongs to floor 4"),
        ("figwasp.codegen.emit", "from ctypes.util import find_library", "ctypes belongs to floor 4"),
        ("figwasp.wasi.directories.paths", "import signal", "signal belongs to floor 4"),
        ("figwasp.api.engine", "from mmap import mmap", "mmap belongs to floor 4"),
        ("figwasp.runtime.link", "import numpy", "numpy is not in the standard library"),
        ("figwasp.runtime.link", "from figwasp.wasi import paths", "on floor 6, above floor 4"),
        ("figwasp.wasi.directories.paths", "from figwasp.explain.page import render", "nothing but cli imports explain"),
    ],
)
def test_checker_catches(module: str, source: str, complaint: str) -> None:
    found = violations(module, source, known=KNOWN)
    assert len(found) == 1
    assert complaint in found[0]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("figwasp.runtime.link", "import ctypes, mmap, signal, os\nfrom figwasp.codegen.emit import emit"),
        ("figwasp.wasm.binary.decode", "from figwasp import errors\nfrom figwasp.errors import Malformed\nfrom . import types"),
        ("figwasp.cli.main", "import figwasp\nfrom figwasp.explain.page import render"),
        ("figwasp.wasi.directories.paths", "from figwasp.api.engine import Engine"),
        ("figwasp.__main__", "from figwasp.cli.main import main"),
    ],
)
def test_checker_lets_pass(module: str, source: str) -> None:
    assert violations(module, source, known=KNOWN) == []
