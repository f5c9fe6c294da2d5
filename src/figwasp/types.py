"""Floor 5: types as users see them: what `Module.imports`, `Func.type`, `Memory.type` and their like consist of.

>>> import figwasp
>>> text = '(module (func (export "f") (param i32 f64) (result externref) (ref.null extern)) (memory (export "m") 1 2))'
>>> module = figwasp.Module(figwasp.wat(text))
>>> func, memory = [export.type for export in module.exports]
>>> print(func, "|", memory)
(i32, f64) -> externref | memory 1 2
>>> [figwasp.types.type_name(param) for param in func.params], memory.limits.max
(['i32', 'f64'], 2)

A value type is an int, `I32` for example; `type_name` says how the text format writes it.
"""

from __future__ import annotations

from figwasp.api.module import ExportType, ExternType, ImportType
from figwasp.wasm.syntax.types import (
    EXTERNREF,
    F32,
    F64,
    FUNCREF,
    I32,
    I64,
    V128,
    FuncType,
    GlobalType,
    Limits,
    MemoryType,
    TableType,
    type_name,
)

__all__ = [
    "EXTERNREF",
    "F32",
    "F64",
    "FUNCREF",
    "I32",
    "I64",
    "V128",
    "ExportType",
    "ExternType",
    "FuncType",
    "GlobalType",
    "ImportType",
    "Limits",
    "MemoryType",
    "TableType",
    "type_name",
]
