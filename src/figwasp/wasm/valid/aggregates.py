"""Rules of structures and arrays (spec 3.4.6 and 3.4.7). Floor 1.

`valid/rules.py` says what a rule is.
"""

from __future__ import annotations

from figwasp.errors import LimitExceeded
from figwasp.wasm.syntax import limits
from figwasp.wasm.syntax.immediates import Immediate, number, pair
from figwasp.wasm.syntax.types import (
    I8,
    I16,
    I32,
    NON_NULL,
    ArrayType,
    FieldType,
    StructType,
    Types,
    concrete,
    is_ref,
    storage_name,
    type_name,
)
from figwasp.wasm.valid.state import Checker, Mismatch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["AGGREGATES"]


def _struct(checker: Checker, index: int) -> StructType:
    comp = checker.module.types[index].comp
    if not isinstance(comp, StructType):
        raise Mismatch(f"type mismatch: type {index} is not a structure, but {checker.module.types[index]}")
    return comp


def _array(checker: Checker, index: int) -> FieldType:
    comp = checker.module.types[index].comp
    if not isinstance(comp, ArrayType):
        raise Mismatch(f"type mismatch: type {index} is not an array, but {checker.module.types[index]}")
    return comp.field


def _assignable_array(checker: Checker, index: int) -> FieldType:
    field = _array(checker, index)
    if not field.mutable:
        raise Mismatch(f"immutable array {index}")
    return field


def _need_default(field: FieldType) -> None:
    if is_ref(field.storage) and field.storage & NON_NULL:
        raise Mismatch(f"type mismatch: {type_name(field.storage)} has no default value")


def _packed(field: FieldType, wanted: bool) -> None:
    if (field.storage == I8 or field.storage == I16) != wanted:
        how = "only packed fields are extended" if wanted else "a packed field needs _s or _u"
        raise Mismatch(f"type mismatch: field is {'un' if wanted else ''}packed, {storage_name(field.storage)}: {how}")


def _note_operand(checker: Checker, number: int, dead: bool) -> None:
    """Note that the object of an access, which is that many operands from the top, is never null."""
    if not dead:
        code = checker.stack[-number]
        if code & NON_NULL:
            checker.facts.operands[checker.base + checker.at] = code


# Structures


def _struct_new(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    index = number(value)
    checker.pop(_field_values(checker, index), height, dead)
    checker.stack.append(concrete(index, nullable=False))


def _field_values(checker: Checker, index: int) -> Types:
    """Return the types that the fields of a structure are made from, computed once a structure."""
    values = checker.context.field_values.get(index)
    if values is None:
        values = tuple([field.value for field in _struct(checker, index).fields])
        checker.context.field_values[index] = values
    return values


def _struct_new_default(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    index = number(value)
    if index not in checker.context.defaultable:
        for field in _struct(checker, index).fields:
            _need_default(field)
        checker.context.defaultable.add(index)
    checker.stack.append(concrete(index, nullable=False))


def _field(checker: Checker, type_: int, index: int) -> FieldType:
    fields = _struct(checker, type_).fields
    if index >= len(fields):
        raise Mismatch(f"unknown field {index}: type {type_} has {len(fields)}")
    return fields[index]


def _struct_get(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    type_, index = pair(value)
    field = _field(checker, type_, index)
    _packed(field, wanted=False)
    _note_operand(checker, 1, dead)
    checker.pop((concrete(type_, nullable=True),), height, dead)
    checker.stack.append(field.storage)


def _struct_get_packed(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    type_, index = pair(value)
    _packed(_field(checker, type_, index), wanted=True)
    _note_operand(checker, 1, dead)
    checker.pop((concrete(type_, nullable=True),), height, dead)
    checker.stack.append(I32)


def _struct_set(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    type_, index = pair(value)
    field = _field(checker, type_, index)
    if not field.mutable:
        raise Mismatch(f"immutable field {index} of type {type_}")
    _note_operand(checker, 2, dead)
    checker.pop((concrete(type_, nullable=True), field.value), height, dead)


# Arrays


def _array_new(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    checker.pop((_array(checker, number(value)).value, I32), height, dead)
    checker.stack.append(concrete(number(value), nullable=False))


def _array_new_default(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    _need_default(_array(checker, number(value)))
    checker.pop((I32,), height, dead)
    checker.stack.append(concrete(number(value), nullable=False))


def _array_new_fixed(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    index, count = pair(value)
    if count > limits.MAX_FIXED:
        raise LimitExceeded(f"array.new_fixed of {count} elements; the limit is {limits.MAX_FIXED}")
    checker.charge(count)
    checker.pop((_array(checker, index).value,) * count, height, dead)
    checker.stack.append(concrete(index, nullable=False))


def _array_new_data(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    index, _ = pair(value)
    _need_bytes(_array(checker, index))
    checker.pop((I32, I32), height, dead)
    checker.stack.append(concrete(index, nullable=False))


def _array_new_elem(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    index, elem = pair(value)
    _takes_elem(checker, _array(checker, index), elem)
    checker.pop((I32, I32), height, dead)
    checker.stack.append(concrete(index, nullable=False))


def _need_bytes(field: FieldType) -> None:
    if is_ref(field.storage):
        raise Mismatch(f"array type is not numeric or vector: elements are {type_name(field.storage)}")


def _takes_elem(checker: Checker, field: FieldType, elem: int) -> None:
    type_ = checker.module.elems[elem].type
    if not checker.types.matches(type_, field.storage):
        raise Mismatch(f"type mismatch: an array of {storage_name(field.storage)} cannot take {type_name(type_)}")


def _array_get(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    _get_element(checker, value, height, dead, packed=False)


def _array_get_packed(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    _get_element(checker, value, height, dead, packed=True)


def _get_element(checker: Checker, value: Immediate, height: int, dead: bool, *, packed: bool) -> None:
    field = _array(checker, number(value))
    _packed(field, packed)
    _note_operand(checker, 2, dead)
    checker.pop((concrete(number(value), nullable=True), I32), height, dead)
    checker.stack.append(field.value)


def _array_set(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    field = _assignable_array(checker, number(value))
    _note_operand(checker, 3, dead)
    checker.pop((concrete(number(value), nullable=True), I32, field.value), height, dead)


def _array_fill(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    field = _assignable_array(checker, number(value))
    checker.pop((concrete(number(value), nullable=True), I32, field.value, I32), height, dead)


def _array_copy(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    first, second = pair(value)
    target = _assignable_array(checker, first)
    source = _array(checker, second)
    if not checker.types.matches(source.storage, target.storage):
        found = f"{storage_name(source.storage)} into {storage_name(target.storage)}"
        raise Mismatch(f"array types do not match: {found}")
    checker.pop((concrete(first, nullable=True), I32, concrete(second, nullable=True), I32, I32), height, dead)


def _array_init_data(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    index, _ = pair(value)
    _need_bytes(_assignable_array(checker, index))
    checker.pop((concrete(index, nullable=True), I32, I32, I32), height, dead)


def _array_init_elem(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    index, elem = pair(value)
    _takes_elem(checker, _assignable_array(checker, index), elem)
    checker.pop((concrete(index, nullable=True), I32, I32, I32), height, dead)


AGGREGATES: Final = {
    "struct.new": _struct_new,
    "struct.new_default": _struct_new_default,
    "struct.get": _struct_get,
    "struct.get_s": _struct_get_packed,
    "struct.get_u": _struct_get_packed,
    "struct.set": _struct_set,
    "array.new": _array_new,
    "array.new_default": _array_new_default,
    "array.new_fixed": _array_new_fixed,
    "array.new_data": _array_new_data,
    "array.new_elem": _array_new_elem,
    "array.get": _array_get,
    "array.get_s": _array_get_packed,
    "array.get_u": _array_get_packed,
    "array.set": _array_set,
    "array.fill": _array_fill,
    "array.copy": _array_copy,
    "array.init_data": _array_init_data,
    "array.init_elem": _array_init_elem,
}
