"""Modules made of random bytes by wasm-smith, with the outcomes that another implementation recorded: every call gives the same.

Every other one runs with guard pages, the rest with bounds checks; with FIGWASP_SMITH=all each runs with both.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

import figwasp
from figwasp.features import DEFAULT, Features
from figwasp.wasm.syntax.module import FUNC
from figwasp.wasm.syntax.types import F32, F64, NUM_TYPES, FuncType, is_ref
from tests.hostile.mutants import load
from tests.property.constants import float_bits
from tests.property.outcomes import from_python, seen

PARTS: Final = 4
"""Into how many tests the modules of a mode are split."""
_VECTORS: Final = frozenset(("simd", "relaxed-simd"))
_PROFILES: Final = {
    "mvp": frozenset[str](),
    "simd": _VECTORS,
    "full": _VECTORS | {"function-references", "gc", "exceptions", "memory64", "wide-arithmetic"},
}
"""Profile of a module -> the proposals that it may use."""
_ESCAPE: Final = re.compile(r"\\u\{([0-9a-f]+)\}")
"""How the records write characters of names that are hard to see."""
_TRAPS: Final = {
    "wasm `unreachable` instruction executed": ("unreachable",),
    "undefined element: out of bounds table access": ("undefined element", "out of bounds table access"),
    "null reference": ("null reference", *(f"null {kind} reference" for kind in ("structure", "array", "i31", "function"))),
    "allocation size too large": ("garbage-collected heap exhausted",),
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
    decoded = module._decoded
    type_ = next(decoded.func_type(export.index) for export in decoded.exports if export.kind == FUNC and export.name == name)
    try:
        answer = figwasp.load(module).exports[name](*args)
    except figwasp.Trap as trap:
        return type_, trap.code
    except figwasp.WasmException:
        return type_, "thrown Wasm exception"
    values = () if not type_.results else (answer,) if len(type_.results) == 1 else answer
    return type_, [_seen(result, value) for result, value in zip(type_.results, values, strict=True)]


def _seen(type_: int, value: Any) -> int:
    """Return the bits of a result as they are compared; of a reference whether it is one at all."""
    return int(value is not None) if is_ref(type_) else seen(type_, from_python(type_, value))


def _wrong(module: figwasp.Module, calls: list[Any]) -> Iterator[str]:
    """Give a line for every call with another outcome."""
    for escaped, texts, types, outcome in calls:
        name = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), escaped)
        if outcome == "trap-or-any":
            continue
        args = [_argument(text, type_) for text, type_ in zip(texts, types, strict=True)]
        type_, answer = _call(module, name, args)
        kind, recorded = outcome
        if kind == "trap" and answer not in _TRAPS.get(recorded, (recorded,)):
            yield f"{name!r} {args}: {answer} instead of trap {recorded!r}"
        elif kind == "ok" and answer != _expected(type_, recorded):
            yield f"{name!r} {args}: {answer} instead of {recorded}"


def _features(profile: str) -> Features:
    return DEFAULT.including(*_PROFILES[profile])


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("mode", ["guard", "checked"])
def test_outcomes(whole: Path, mode: str, part: int) -> None:
    wrong: list[str] = []
    done: Counter[str] = Counter()
    paths = sorted((whole / "fuzz/smith-visible").glob("*.wasm"))
    paths = paths if os.environ.get("FIGWASP_SMITH") == "all" else paths[mode == "checked" :: 2]
    for path in paths[part::PARTS]:
        record = json.loads(path.with_suffix(".json").read_text())
        profile = record["profile"]
        data = path.read_bytes()
        module = load(data, _features(profile), memory=mode)
        wrong += [f"{path.name} {line}" for line in _wrong(module, record["calls"])]
        done[profile] += 1
    print(f"run: {dict(done)}")
    assert not wrong, "\n".join(wrong)
    assert done["mvp"] >= 60 // PARTS - 4
