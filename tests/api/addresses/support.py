"""Modules with memories of all kinds, for tests: an engine of either mode, functions that load and store, what traps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import figwasp
from figwasp import errors

PAGE = 65536
MODES = ("guard", "checked")
Load = Callable[..., figwasp.Instance]


def loader(mode: str) -> Load:
    """Return a function that makes an instance of a module's fields, its memory accesses made safe in a mode."""

    def make(fields: str, imports: Any = None, **options: Any) -> figwasp.Instance:
        features = figwasp.Engine().features.including("custom-page-sizes", "threads")
        engine = figwasp.Engine(memory=mode, features=features, **options)
        return figwasp.load(figwasp.wat(f"(module {fields})"), imports, engine=engine)

    return make


def access(op: str, offset: int, type_: str) -> str:
    """Return a function that loads, and one that stores 1, at its argument."""
    value = "i64" if op.startswith("i64") else "i32"
    index = "(local.get 0)"
    return (
        f'(func (export "get") (param {type_}) (result {value}) ({op}.load offset={offset} {index}))'
        f'(func (export "set") (param {type_}) ({op}.store offset={offset} {index} ({value}.const 1)))'
    )


def traps(call: Callable[..., object], *args: int) -> bool:
    """Return whether a call traps for want of memory."""
    try:
        call(*args)
    except errors.Trap as trap:
        return "out of bounds memory access" in str(trap)
    return False
