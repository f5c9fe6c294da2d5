"""Floor 6: the ways in which a script can be run, by name."""

from __future__ import annotations

from typing import Final

from figwasp.features import DEFAULT, Features
from figwasp.runtime.platform import modes
from figwasp.wast.compiled import CompiledEngine
from figwasp.wast.engine import Engine
from figwasp.wast.evaluated import EvaluatedEngine

__all__ = ["MODES", "default_mode", "new_engine"]

_MEMORY: Final = {"guard": modes.GUARD, "checked": modes.CHECKED}
MODES: Final = (*_MEMORY, "evaluate")
"""Machine code with guard pages, machine code with checks, the evaluator of the optimised IR."""


def new_engine(mode: str, features: Features = DEFAULT) -> Engine:
    """Make an engine, for one script.

    Args:
        mode: one of `MODES`.
        features: the proposals that are on.
    """
    return CompiledEngine(mode, features) if mode in _MEMORY else EvaluatedEngine(features=features)


def default_mode() -> str:
    """Return the name of the mode that this process uses for its memories."""
    return next(name for name, mode in _MEMORY.items() if mode == modes.choose_mode())
