"""The examples in docstrings, wherever they stand, and in the pages do what they say."""

from __future__ import annotations

import doctest
import importlib
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

import figwasp
from tests.environment import ROOT
from tests.tools import package

SOURCES = ROOT / "src"
MODULES = sorted(
    ".".join(path.relative_to(SOURCES).with_suffix("").parts).removesuffix(".__init__")
    for path in (SOURCES / "figwasp").rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)
PAGES = sorted(path.name for path in (ROOT / "docs").glob("*.md") if ">>> " in path.read_text(encoding="utf-8"))
FENCE = re.compile(r"^```.*$", re.MULTILINE)
FLAGS = doctest.ELLIPSIS
WITHOUT_EXAMPLE = {"Frame", "FuncInfo", "Place"}
"""What the pages on traps and on observation show."""


def check(found: list[doctest.DocTest]) -> int:
    """Run examples and return how many there were."""
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=FLAGS, verbose=False)
    for test in found:
        runner.run(test, out=said.append)
    assert not said, "".join(said)
    return runner.tries


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert check(doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(name))) > 0


@pytest.mark.parametrize("name", PAGES)
def test_pages(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every example of a page runs, in order, in one namespace and a directory with nothing but the plug-ins that it names."""
    if ".as_array(" in (text := (ROOT / "docs" / name).read_text(encoding="utf-8")):
        package("numpy")
    monkeypatch.chdir(tmp_path)
    for plugin in (ROOT / "docs/plugins").glob("*.wasm"):
        if plugin.name in text:
            shutil.copy(plugin, tmp_path)
    names: dict[str, Any] = {}
    text = FENCE.sub("", text)
    assert check([doctest.DocTestParser().get_doctest(text, names, name, name, 0)]) > 0


def test_the_guide_is_there() -> None:
    assert "guide.md" in PAGES


def test_public_classes_have_examples() -> None:
    """Whatever `figwasp` gives out and users make or hold has a docstring with an example."""
    lacking = []
    for name in set(figwasp.__all__) - WITHOUT_EXAMPLE:
        thing = getattr(figwasp, name)
        if isinstance(thing, type) and not issubclass(thing, BaseException) and ">>> " not in (thing.__doc__ or ""):
            lacking.append(name)
    assert sorted(lacking) == []
