"""Floor 5: types as users see them: what `Module.imports`, `Func.type`, `Memory.type` and their like consist of.

>>> import figwasp
>>> text = '(module (func (export "f") (param i32 f64) (result externref) (ref.null extern)) (memory (export "m") 1 2))'
>>> module = figwasp.Module(figwasp.wat(text))
>>> func, memory = [export.type for export in module.exports]
>>> print(func, "|", memory)
(i32, f64) -> externref | memory 1 2
>>> [figwasp.types.type_name(param) for param in func.params], memory.limits.max
(['i32', 'f64'], 2)

A value type is an int, `I32` for example; `type_name` says how the text format writes it. Structures and arrays have fields, which
may also be `I8` and `I16`, and which are named more easily:

>>> figwasp.types.StructType([figwasp.types.FieldType("i32", mutable=True), figwasp.types.FieldType("externref")])
(struct (field (mut i32)) (field externref))
"""

from __future__ import annotations

from figwasp.api.externs import ExportType, ExternType, ImportType
from figwasp.wasm.syntax.types import (
    ANYREF,
    ARRAYREF,
    EQREF,
    EXTERNREF,
    F32,
    F64,
    FUNCREF,
    I8,
    I16,
    I31REF,
    I32,
    I64,
    STRUCTREF,
    V128,
    ArrayType,
    FieldType,
    FuncType,
    GlobalType,
    Limits,
    MemoryType,
    StructType,
    TableType,
    type_name,
)

__all__ = [
    "ANYREF",
    "ARRAYREF",
    "EQREF",
    "EXTERNREF",
    "F32",
    "F64",
    "FUNCREF",
    "I8",
    "I16",
    "I31REF",
    "I32",
    "I64",
    "STRUCTREF",
    "V128",
    "ArrayType",
    "ExportType",
    "ExternType",
    "FieldType",
    "FuncType",
    "GlobalType",
    "ImportType",
    "Limits",
    "MemoryType",
    "StructType",
    "TableType",
    "type_name",
]
