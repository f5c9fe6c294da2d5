"""Modules made of random bytes by wasm-smith, with the outcomes that another implementation recorded: every call gives the same.

Every other one runs with guard pages, the rest with bounds checks; with FIGWASP_SMITH=all each runs with both. Those whose proposals are not in yet must say which one is missing.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

import figwasp
from figwasp.runtime.linear import CHECKED, GUARD
from figwasp.wasm.types import F32, F64, NUM_TYPES, FuncType
from tests.property.constants import float_bits
from tests.property.outcomes import from_python, seen

NOT_YET: Final = "no support for "
_TRAPS: Final = {
    "wasm `unreachable` instruction executed": ("unreachable",),
    "undefined element: out of bounds table access": ("undefined element", "out of bounds table access"),
}
"""What the recorded outcome says where it is not the spec's wording -> what it may be."""


def _argument(text: str, type_: str) -> int | float:
    return float(text) if type_[0] == "f" else int(text)


def _result(type_: int, text: str) -> int:
    """Return the bits of a recorded result as they are compared."""
    if type_ not in NUM_TYPES:
        return int(not text.startswith("<null"))
    if type_ in (F32, F64):
        return seen(type_, float_bits(type_, float(text)))
    return seen(type_, int(text))


def _expected(type_: FuncType, texts: list[str]) -> list[int]:
    """Return the recorded results of a call; a null reference has been split at its space."""
    words = iter(texts)
    found = []
    for result in type_.results:
        text = next(words)
        if text.startswith("<null"):
            next(words)
        found.append(_result(result, text))
    return found


def _call(module: figwasp.Module, name: str, args: list[int | float]) -> tuple[FuncType, Any]:
    """Call an export of a new instance; return the function's type, and bits or the trap's wording."""
    type_ = next(export.type for export in module.exports if export.name == name)
    assert isinstance(type_, FuncType)
    try:
        answer = figwasp.load(module).exports[name](*args)
    except figwasp.Trap as trap:
        return type_, trap.code
    values = () if not type_.results else (answer,) if len(type_.results) == 1 else answer
    return type_, [seen(result, from_python(result, value)) for result, value in zip(type_.results, values, strict=True)]


def _wrong(module: figwasp.Module, calls: list[Any]) -> Iterator[str]:
    """Give a line for every call with another outcome."""
    for name, texts, types, outcome in calls:
        if outcome == "trap-or-any":
            continue
        args = [_argument(text, type_) for text, type_ in zip(texts, types, strict=True)]
        type_, answer = _call(module, name, args)
        kind, recorded = outcome
        if kind == "trap" and answer not in _TRAPS.get(recorded, (recorded,)):
            yield f"{name!r} {args}: {answer} instead of trap {recorded!r}"
        elif kind == "ok" and answer != _expected(type_, recorded):
            yield f"{name!r} {args}: {answer} instead of {recorded}"


def _load(path: Path) -> figwasp.Module | str:
    """Return a module, or the proposal that it waits for."""
    try:
        return figwasp.Module(path)
    except (figwasp.Malformed, figwasp.Invalid) as error:
        assert NOT_YET in str(error), f"{path.name}: {error}"  # noqa: PT017
        return str(error).partition(NOT_YET)[2].partition(" yet")[0]


@pytest.mark.parametrize("mode", [GUARD, CHECKED], ids=["guard", "checked"])
def test_outcomes(shared: Path, mode: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("figwasp.runtime.compile.linear.choose_mode", lambda: mode)
    wrong: list[str] = []
    done: Counter[str] = Counter()
    missing: Counter[str] = Counter()
    paths = sorted((shared / "fuzz/smith-visible").glob("*.wasm"))
    for path in paths if os.environ.get("FIGWASP_SMITH") == "all" else paths[mode::2]:
        record = json.loads(path.with_suffix(".json").read_text())
        module = _load(path)
        if isinstance(module, str):
            missing[module] += 1
            continue
        done[record["profile"]] += 1
        wrong += [f"{path.name} {line}" for line in _wrong(module, record["calls"])]
    print(f"run: {dict(done)}; not yet: {dict(missing)}")
    assert not wrong, "\n".join(wrong)
    assert done["mvp"] >= 60
