"""Floor 6: results of a script's actions against the patterns that it gives for them, and both as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from figwasp.wasm.text.literals import float_text
from figwasp.wast.engine import Found
from figwasp.wast.script import ScriptValue

__all__ = ["matches", "show", "show_patterns"]


_ABOVE: Final = dict.fromkeys(("i31ref", "structref", "arrayref"), ("eqref", "anyref"))
"""Type of a result -> patterns for other types that it matches."""


def matches(pattern: ScriptValue, found: Found) -> bool:
    """Return whether a result matches a pattern."""
    if pattern.either:
        return any(matches(one, found) for one in pattern.either)
    if pattern.type not in ("", found.type, *_ABOVE.get(found.type, ())):
        return False
    if pattern.bits is None or found.bits is None:
        return pattern.bits is found.bits
    return found.bits & pattern.mask == pattern.bits


def show(found: Found) -> str:
    """Return a result as the text of a message."""
    if found.bits is None:
        return f"{found.type} null"
    if found.type in ("f32", "f64"):
        width = int(found.type[1:])
        return f"{found.type} {float_text(found.bits, width)} ({found.bits:#x})"
    return f"{found.type} {found.bits:#x}" if found.bits >= 0 else found.type


def _show_pattern(pattern: ScriptValue) -> str:
    if pattern.either:
        return f"one of {show_patterns(pattern.either)}"
    if pattern.bits is None:
        return f"{pattern.type or 'any'} null"
    if pattern.type in ("f32", "f64") and pattern.mask + 1 != 1 << int(pattern.type[1:]):
        return f"{pattern.type} nan (bits {pattern.bits:#x} of {pattern.mask:#x})"
    return show(Found(pattern.type, pattern.bits)) if pattern.mask else f"{pattern.type} not null"


def show_patterns(patterns: Sequence[ScriptValue]) -> str:
    """Return patterns as the text of a message."""
    return " ".join(map(_show_pattern, patterns)) or "no result"
