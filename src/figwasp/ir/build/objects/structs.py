"""Structures (spec 4.4.4 of Wasm 3.0): made, read and written inline. Floor 2."""

from __future__ import annotations

from typing import Final

from figwasp import errors
from figwasp.ir import builtins, ops
from figwasp.ir.build.base import Builder, Method
from figwasp.ir.build.memory import call_builtin
from figwasp.ir.build.objects import cells
from figwasp.ir.func import Value
from figwasp.ir.layouts import HEADER, field_offsets
from figwasp.ir.types import ir_types
from figwasp.wasm.syntax.types import FieldType, StructType

__all__ = ["METHODS"]

_MOST_ZEROS: Final = 128
"""The largest structure, in bytes, that is made zero in place: its fields one by one, or where that is less in words."""


def _fields(b: Builder, index: int) -> tuple[tuple[FieldType, ...], list[int], int]:
    """Return the fields of a structure, their offsets, and its size."""
    comp = b.module.types[index].comp
    assert isinstance(comp, StructType)
    known = b.layout.structures.get(index)
    if known is None:
        known = b.layout.structures[index] = field_offsets([field.storage for field in comp.fields])
    return comp.fields, *known


def _new(b: Builder, index: int, values: list[Value]) -> Value:
    """Append what makes a structure of values."""
    fields, offsets, size = _fields(b, index)
    for field, value in zip(fields, values, strict=True):
        cells.keep(b, field.storage, value)
    if cells.small(size):
        reference = cells.new_cell(b, size)
        cells.header(b, reference, index)
    else:
        reference = _new_zeros(b, index, size)
    for field, offset, value in zip(fields, offsets, values, strict=True):
        cells.store_first(b, field.storage, value, reference, offset)
    return reference


def _new_zeros(b: Builder, index: int, size: int) -> Value:
    return call_builtin(b, builtins.OBJECT_NEW, [cells.type_word(b, index), b.const(ops.I64, size)])


def _build_new(b: Builder, pos: int) -> int:
    index, pos = b.unsigned(pos)
    b.stack.append(_new(b, index, b.pop(len(_fields(b, index)[0]))))
    return pos


def _build_new_default(b: Builder, pos: int) -> int:
    index, pos = b.unsigned(pos)
    fields, _, size = _fields(b, index)
    if size > _MOST_ZEROS:
        reference = _new_zeros(b, index, size)
    elif len(fields) > (size - HEADER) // 4:
        reference = cells.new_cell(b, size)
        cells.header(b, reference, index)
        cells.zeros(b, reference, size)
    else:
        types = ir_types(tuple([field.value for field in fields]))
        zeros = {type: b.const(type, 0) for type in sorted(set(types))}
        reference = _new(b, index, [zeros[type] for type in types])
    b.stack.append(reference)
    return pos


def _field(b: Builder, pos: int) -> tuple[FieldType, int, int]:
    """Read the immediates of an access; return the field, the aux of the access, and the position after them."""
    index, pos = b.unsigned(pos)
    number, pos = b.unsigned(pos)
    fields, offsets, _ = _fields(b, index)
    field = fields[number]
    region = ops.REGION_FIELD if field.mutable else ops.REGION_CONST
    return field, ops.memory_aux(offsets[number], region), pos


def _get(b: Builder, pos: int, signed: bool) -> int:
    field, aux, pos = _field(b, pos)
    reference = b.stack.pop()
    cells.check(b, reference, errors.TRAP_NULL_STRUCTURE)
    op = cells.load_op(field.storage, ir_types((field.value,))[0], signed)
    b.stack.append(b.emit(op, [reference], aux))
    return pos


def _build_get(b: Builder, pos: int) -> int:
    return _get(b, pos, signed=False)


def _build_get_signed(b: Builder, pos: int) -> int:
    return _get(b, pos, signed=True)


def _build_set(b: Builder, pos: int) -> int:
    field, aux, pos = _field(b, pos)
    reference, value = b.pop(2)
    cells.keep(b, field.storage, value)
    cells.check(b, reference, errors.TRAP_NULL_STRUCTURE)
    b.emit(cells.store_op(field.storage, value), [value, reference], aux)
    return pos

METHODS: Final[dict[str, Method]] = {
    "struct.new": _build_new,
    "struct.new_default": _build_new_default,
    "struct.get": _build_get,
    "struct.get_s": _build_get_signed,
    "struct.get_u": _build_get,
    "struct.set": _build_set,
}
