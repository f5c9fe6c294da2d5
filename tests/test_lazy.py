"""Names that come from their modules when they are first used; and that the lists of them in a package are the same."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
import types
from typing import Any

import pytest

from figwasp.lazy import on_first_use

HOMES = {"string": "digits capwords", "colorsys": "ONE_THIRD"}


def test_names_are_imported_when_they_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    namespace: dict[str, Any] = {"__name__": "some"}
    ask, names = on_first_use(namespace, HOMES)
    assert names() == ["ONE_THIRD", "__name__", "capwords", "digits"]
    assert ask("digits") == "0123456789" == namespace["digits"]
    assert "colorsys" not in sys.modules and "capwords" not in namespace
    assert ask("ONE_THIRD") == 1 / 3
    with pytest.raises(AttributeError, match="module 'some' has no attribute 'absent'"):
        ask("absent")


def test_modules_of_the_package_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    own = types.ModuleType("some.own")
    monkeypatch.setitem(sys.modules, "some", types.ModuleType("some"))
    monkeypatch.setitem(sys.modules, "some.own", own)
    ask, names = on_first_use({"__name__": "some"}, HOMES, "own other")
    assert ask("own") is own
    assert {"own", "other"} < set(names())


@pytest.mark.parametrize(("package", "modules"), [("figwasp", {"errors", "types", "wasi"}), ("figwasp.wasi", set())])
def test_lists_agree(package: str, modules: set[str]) -> None:
    """What type checkers are told is what `__all__` says and what there is."""
    module = importlib.import_module(package)
    block = next(node for node in ast.parse(inspect.getsource(module)).body if isinstance(node, ast.If))
    told = {alias.name for line in block.body if isinstance(line, ast.ImportFrom) for alias in line.names}
    assert told == set(module.__all__)
    assert set(dir(module)) - set(vars(module)) <= told | modules <= set(dir(module))
    assert all(getattr(module, name) is not None for name in told | modules)
