"""From wasm text or bytes to the SSA form, for tests."""

from __future__ import annotations

import os

from figwasp.features import DEFAULT
from figwasp.ir.build.builder import build
from figwasp.ir.func import Func
from figwasp.ir.layouts import layout_of
from figwasp.layout import GUARD
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.syntax.module import Module
from figwasp.wasm.text.parse.module import wat
from figwasp.wasm.valid.module import validate

os.environ["FIGWASP_CHECK"] = "1"

_FEATURES = DEFAULT.including("threads")


def module_of(source: str | bytes) -> Module:
    """Read a module from text or bytes."""
    return decode(wat(source) if isinstance(source, str) else source, _FEATURES)


def build_all(module: Module, mode: int = GUARD) -> list[Func]:
    """Build all functions of a module."""
    layout = layout_of(module)
    first = module.num_imported_funcs
    return [build(module, first + place, facts, layout, mode) for place, facts in enumerate(validate(module))]


def build_one(source: str, mode: int = GUARD) -> Func:
    """Build the only function of a module."""
    (func,) = build_all(module_of(source), mode)
    return func
