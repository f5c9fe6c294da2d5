"""figwasp: WebAssembly from the inside out, in Python.

>>> import figwasp
>>> text = '(module (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))'
>>> figwasp.load(figwasp.wat(text)).exports.add(1, 2)
3
"""

from __future__ import annotations

from figwasp.api.engine import Engine
from figwasp.api.func import Func
from figwasp.api.global_ import Global
from figwasp.api.instance import Exports, Instance, load
from figwasp.api.memory import Memory
from figwasp.api.module import Module
from figwasp.api.table import Table
from figwasp.errors import (
    Busy,
    Error,
    Exhaustion,
    Exit,
    Frame,
    Invalid,
    LimitExceeded,
    Malformed,
    ParseError,
    Trap,
    Unlinkable,
    Unsupported,
)
from figwasp.wasm.parse import wat

__all__ = [
    "Busy",
    "Engine",
    "Error",
    "Exhaustion",
    "Exit",
    "Exports",
    "Frame",
    "Func",
    "Global",
    "Instance",
    "Invalid",
    "LimitExceeded",
    "Malformed",
    "Memory",
    "Module",
    "ParseError",
    "Table",
    "Trap",
    "Unlinkable",
    "Unsupported",
    "load",
    "wat",
]
