"""The option of a compiled build: what its list of modules says holds for the sources, and what mypyc takes otherwise than Python."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

import pytest

import setup
from tests.environment import ROOT

PACKAGE: Final = ROOT / "src" / "figwasp"
COMPILED: Final = [ROOT / path for path in setup.modules()]
TREES: Final = {path: ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}


def test_what_is_compiled_are_modules_of_these_floors() -> None:
    assert len(COMPILED) == len(set(COMPILED)) > 100
    assert {path.relative_to(PACKAGE).parts[0] for path in COMPILED} == set(setup.FLOORS)
    assert {path.name for path in COMPILED} >= set(setup.LAST)


@pytest.mark.parametrize("pattern", setup.LEFT_OUT)
def test_what_is_left_out_is_there(pattern: str) -> None:
    left_out = set(PACKAGE.glob(pattern))
    assert left_out
    assert left_out.isdisjoint(COMPILED)


def test_classes_of_compiled_modules_have_no_other_subclasses() -> None:
    """Python refuses a subclass of a native class that is not native itself when its module is imported."""
    native = {node.name: path for path in COMPILED for node in _classes(path)}
    bases = [(path, ast.unparse(base)) for path in set(TREES) - set(COMPILED) for node in _classes(path) for base in node.bases]
    assert [(path, base) for path, base in bases if base in native and _imports(path, base, native[base])] == []


def test_one_name_is_for_exceptions_of_one_class() -> None:
    """To mypyc a variable of a function has one type, and the first `except ... as` is what says so."""
    assert [
        f"{path}:{node.lineno}: {name}"
        for path in COMPILED
        for node in ast.walk(TREES[path])
        if isinstance(node, ast.FunctionDef)
        for name, types in _caught(node).items()
        if len(types) > 1
    ] == []


def _classes(path: Path) -> list[ast.ClassDef]:
    return [node for node in ast.walk(TREES[path]) if isinstance(node, ast.ClassDef)]


def _imports(path: Path, name: str, origin: Path) -> bool:
    module = ".".join(origin.relative_to(PACKAGE.parent).with_suffix("").parts)
    imports = (node for node in ast.walk(TREES[path]) if isinstance(node, ast.ImportFrom))
    return any(node.module == module and name in [alias.name for alias in node.names] for node in imports)


def _caught(function: ast.FunctionDef) -> dict[str, set[str]]:
    caught: dict[str, set[str]] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.ExceptHandler) and node.name and node.type:
            caught.setdefault(node.name, set()).add(ast.unparse(node.type))
    return caught
