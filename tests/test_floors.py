"""The floors: a module imports its own floor and lower ones only, nothing in a circle, and only the standard library from outside.

The rules are read from the source with `ast`, so an import hidden in a function or under TYPE_CHECKING counts as well. Folders are
to be small enough to be looked over at once.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath

import pytest

TESTS = Path(__file__).resolve().parent
SRC = TESTS.parent / "src"

FLOORS = {
    "errors": 0, "features": 0, "layout": 0, "lazy": 0, "locks": 0, "records": 0,
    "wasm": 1,
    "ir": 2,
    "codegen": 3,
    "runtime": 4, "cache": 4,
    "api": 5, "types": 5,
    "wasi": 6, "wast": 6, "explain": 6, "importer": 6,
    "figwasp": 6,  # the package itself, which gives out the names of wasi, too
    "cli": 7, "__main__": 7,
}  # fmt: skip
NATIVE = {"ctypes", "_ctypes", "mmap", "signal", "_signal"}
NATIVE_FLOOR = 4
OPTIONAL = {"figwasp.wasm.debug.demangle": {"demangle"}, "figwasp.api.memory": {"numpy"}}
"""Modules that use a package from outside when it is installed."""
WATCHED_BY = {"explain": {"explain", "cli"}}
"""Parts that only these parts may import."""
WRITTEN_AGAINST = {"wasi": {"errors", "features", "lazy", "locks", "records", "api", "types", "wasi"}}
"""Parts that import only these parts of figwasp."""
SYSTEM_CALLS = {"figwasp.wasi.directories.host": {"figwasp.runtime.platform.linux"}}
"""Modules that may ask the operating system what Python's `os` has no function for: `openat2`."""


def source_modules() -> dict[str, Path]:
    """Map every module below src to its file."""
    found = {}
    for path in sorted((SRC / "figwasp").rglob("*.py")):
        parts = path.relative_to(SRC).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = source_modules()
PACKAGES = {module for module, path in MODULES.items() if path.name == "__init__.py"}
SOURCES = {module: path.read_text(encoding="utf-8") for module, path in MODULES.items()}


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
            if called in {"import_module", "__import__", "imported"}:
                yield node.lineno, str(node.args[0].value)


def package_of(module: str, packages: set[str]) -> str:
    """Name the package that a module's relative imports start from."""
    return module if module in packages else module.rpartition(".")[0]


def part_of(module: str) -> str:
    """Name the part of the house that a figwasp module belongs to, which is "figwasp" for the package itself."""
    return module.split(".")[1] if "." in module else module


def floor_of(module: str) -> int:
    """Tell the floor of a figwasp module."""
    return FLOORS[part_of(module)]


# Upwards


def violations(module: str, source: str, known: set[str], packages: set[str]) -> list[str]:
    """List what a module imports against the rules, one sentence each."""
    own_floor, own_part = floor_of(module), part_of(module)
    found = []
    for line, name in imported(ast.parse(source), package_of(module, packages), known):
        where = f"{module}:{line}"
        top = name.partition(".")[0]
        if top in NATIVE and own_floor != NATIVE_FLOOR:
            found.append(f"{where}: {top} belongs to floor {NATIVE_FLOOR}")
        elif top != "figwasp":
            if top not in sys.stdlib_module_names and top not in OPTIONAL.get(module, ()):
                found.append(f"{where}: {top} is not in the standard library")
        elif floor_of(name) > own_floor:
            found.append(f"{where}: {name} is on floor {floor_of(name)}, above floor {own_floor}")
        elif part_of(name) not in WRITTEN_AGAINST.get(own_part, FLOORS) and name not in SYSTEM_CALLS.get(module, ()):
            found.append(f"{where}: {own_part} is written against the public API, and {name} is not of it")
        elif own_part not in WATCHED_BY.get(part_of(name), {own_part}):
            found.append(f"{where}: nothing but cli imports {part_of(name)}")
    return found


def test_every_part_has_a_floor() -> None:
    assert {part_of(module) for module in MODULES} == set(FLOORS)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_module_stays_on_its_floor(module: str) -> None:
    assert violations(module, SOURCES[module], set(MODULES), PACKAGES) == []


@pytest.mark.parametrize("module", sorted(MODULES))
def test_docstring_names_the_floor(module: str) -> None:
    docstring = ast.get_docstring(ast.parse(SOURCES[module])) or ""
    told = re.findall(r"\bFloor (\d)", docstring)
    assert told == [str(floor_of(module))] or (told == [] and module in PACKAGES | {"figwasp.__main__"})


KNOWN = {"figwasp", "figwasp.errors", "figwasp.wasm.binary.decode", "figwasp.ir.func", "figwasp.codegen.emit", "figwasp.types",
         "figwasp.runtime.link", "figwasp.api.engine", "figwasp.wasi.directories.paths", "figwasp.explain.page"}  # fmt: skip


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("figwasp.wasm.binary.decode", "from figwasp.ir import func", "figwasp.ir.func is on floor 2, above floor 1"),
        ("figwasp.wasm.binary.decode", "import figwasp.runtime.link", "on floor 4, above floor 1"),
        ("figwasp.wasm.binary.decode", "from ...api.engine import Engine", "on floor 5, above floor 1"),
        ("figwasp.wasm.binary.decode", "from figwasp import load", "figwasp is on floor 6, above floor 1"),
        ("figwasp.api.engine", "import figwasp", "figwasp is on floor 6, above floor 5"),
        ("figwasp.errors", "from figwasp.wasm.binary.decode import decode", "on floor 1, above floor 0"),
        ("figwasp.ir.func", "def f():\n    import figwasp.codegen.emit", "figwasp.ir.func:2: "),
        ("figwasp.ir.func", "import importlib\nimportlib.import_module('figwasp.runtime.link')", "above floor 2"),
        ("figwasp.codegen.emit", "import ctypes", "ctypes belongs to floor 4"),
        ("figwasp.codegen.emit", "from ctypes.util import find_library", "ctypes belongs to floor 4"),
        ("figwasp.wasi.directories.paths", "import signal", "signal belongs to floor 4"),
        ("figwasp.api.engine", "from mmap import mmap", "mmap belongs to floor 4"),
        ("figwasp.runtime.link", "import numpy", "numpy is not in the standard library"),
        ("figwasp.runtime.link", "from figwasp.wasi import paths", "on floor 6, above floor 4"),
        ("figwasp.importer", "from figwasp.cli.main import main", "on floor 7, above floor 6"),
        ("figwasp.wast.runner", "from figwasp.explain.page import render", "nothing but cli imports explain"),
        ("figwasp.wasi.directories.paths", "from figwasp.explain.page import render", "figwasp.explain.page is not of it"),
        ("figwasp.wasi.directories.paths", "from figwasp.runtime.platform.linux import pipe", "linux is not of it"),
        ("figwasp.wasi.directories.paths", "import figwasp.errors, figwasp.wasm.binary.decode", "decode is not of it"),
        ("figwasp.wasi.directories.host", "def f():\n    from figwasp.runtime.link import f", "link is not of it"),
        ("figwasp.wasi.directories.host", "from figwasp import wat", "figwasp is not of it"),
    ],
)
def test_checker_catches(module: str, source: str, complaint: str) -> None:
    found = violations(module, source, KNOWN, set())
    assert len(found) == 1
    assert complaint in found[0]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("figwasp.runtime.link", "import ctypes, mmap, signal, os\nfrom figwasp.codegen.emit import emit"),
        ("figwasp.wasm.binary.decode", "from figwasp import errors\nfrom figwasp.errors import Malformed\nfrom . import types"),
        ("figwasp.cli.main", "import figwasp\nfrom figwasp.explain.page import render"),
        ("figwasp.wasi.directories.paths", "from figwasp.api.engine import Engine\nfrom figwasp import errors, types\nimport os"),
        ("figwasp.wasi.directories.host", "from figwasp.runtime.platform.linux import enter_beneath"),
        ("figwasp.importer", "import figwasp"),
        ("figwasp.__main__", "from figwasp.cli.main import main"),
    ],
)
def test_checker_lets_pass(module: str, source: str) -> None:
    assert violations(module, source, KNOWN, set()) == []


# In circles

RETURNS = {"figwasp.api.module": {"figwasp.api.linker", "figwasp.api.instance", "figwasp.api.snapshot"}}
"""Imports that do not count: a module has a method that makes instances of it, and an instance and a snapshot have their module."""


def import_graph(sources: dict[str, str], packages: set[str]) -> dict[str, set[str]]:
    """Map every module to those of the others that it imports itself; what a package's `__init__` imports counts for that alone."""
    known = set(sources)
    return {
        module: {name for _, name in imported(ast.parse(source), package_of(module, packages), known)} & known - {module}
        - RETURNS.get(module, set())
        for module, source in sources.items()
    }


def reached(module: str, graph: dict[str, set[str]]) -> set[str]:
    """Return the modules that importing a module leads to; itself only if it is in a circle."""
    found: set[str] = set()
    ahead = [module]
    while ahead:
        new = graph[ahead.pop()] - found
        found |= new
        ahead += new
    return found


def circles(graph: dict[str, set[str]]) -> set[frozenset[str]]:
    """Return the sets of modules of which each leads to all of them."""
    reach = {module: reached(module, graph) for module in graph}
    return {frozenset(other for other in reach[module] if module in reach[other]) for module in graph if module in reach[module]}


def test_no_circles() -> None:
    assert circles(import_graph(SOURCES, PACKAGES)) == set()


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ({"a": "import b", "b": "from a import f"}, ["a b"]),
        ({"a": "def f():\n    import b", "b": "import a"}, ["a b"]),
        ({"a": "if TYPE_CHECKING:\n    from b import B", "b": "import a"}, ["a b"]),
        ({"a": "importlib.import_module('b')", "b": "import a"}, ["a b"]),
        ({"p.a": "from . import b", "p.b": "from .a import f"}, ["p.a p.b"]),
        ({"p": "from p.a import f", "p.a": "import p"}, ["p p.a"]),
        ({"a": "import b", "b": "import c", "c": "import d", "d": "import b"}, ["b c d"]),
        ({"a": "import b, d", "b": "import a", "c": "import d", "d": "import c"}, ["a b", "c d"]),
        ({"a": "import b, c", "b": "import a", "c": "import a"}, ["a b c"]),
    ],
)
def test_circles_are_found(sources: dict[str, str], expected: list[str]) -> None:
    assert circles(import_graph(sources, set())) == {frozenset(names.split()) for names in expected}


@pytest.mark.parametrize(
    "sources",
    [
        {"a": "import b, c", "b": "import d", "c": "import d", "d": "import os"},
        {"a": "'''import b'''", "b": "import a"},
        {"p": "from p.a import f", "p.a": "from p.b import g\nfrom p import b", "p.b": ""},
        {"a": "import a"},
    ],
)
def test_what_is_no_circle(sources: dict[str, str]) -> None:
    assert circles(import_graph(sources, set())) == set()


# In crowds

MOST = 16


def crowded(paths: Iterable[PurePath]) -> list[str]:
    """List the folders with too many modules; `__init__` and data do not count."""
    counts = Counter(path.parent for path in paths if path.suffix == ".py" and path.stem != "__init__")
    return [f"{folder}: {count} modules, and {MOST} are enough" for folder, count in sorted(counts.items()) if count > MOST]


@pytest.mark.parametrize("root", [SRC / "figwasp", TESTS])
def test_no_folder_is_crowded(root: Path) -> None:
    assert crowded(root.rglob("*")) == []


def test_crowds_are_found() -> None:
    modules = [PurePath(f"a/b/m{number}.py") for number in range(MOST)]
    others = [PurePath("a/b/__init__.py"), PurePath("a/b/data.wat"), PurePath("a/m.py"), PurePath("a/b/c/m.py")]
    assert crowded([*modules, *others]) == []
    assert crowded([*modules, *others, PurePath("a/b/one.py")]) == ["a/b: 17 modules, and 16 are enough"]
