"""Arrays (spec 4.4.4 of Wasm 3.0). Floor 2.

An access checks for null and compares the index with the length, which never changes. Arrays whose length is known to be small are
made inline; all others, and operations on ranges, are builtins. A range pays fuel for every 64 bytes.
"""

from __future__ import annotations

from typing import Final

from figwasp import errors, layout
from figwasp.ir import builtins, ops
from figwasp.ir.build.base import Builder, Method
from figwasp.ir.build.memory import call_builtin
from figwasp.ir.build.objects import cells
from figwasp.ir.func import Value
from figwasp.ir.layouts import element_shift
from figwasp.ir.ops import F32, F64, I32, I64, V128
from figwasp.ir.types import MASKS, ir_types
from figwasp.wasm.syntax.types import ArrayType, FieldType

__all__ = ["METHODS"]

_MOST_INLINE: Final = 64
"""The most bytes of elements that are written in place when an array of known length is made."""
_MOST_OFFSET: Final = 1 << 24
"""Elements with indexes below this that are known have their place in the offset."""
_BYTES_SHIFT: Final = 6
_WORD_SHIFT: Final = 3
_LANE: Final = ops.BY_NAME["i64x2_extract_lane"]
_LENGTH: Final = ops.memory_aux(layout.ARRAY_LENGTH, ops.REGION_CONST)


def _element(b: Builder, index: int) -> FieldType:
    """Return the type of the elements of an array type."""
    comp = b.module.types[index].comp
    assert isinstance(comp, ArrayType)
    return comp.field


def _known(length: Value) -> int:
    """Return a length that is known, or -1."""
    bits = length.aux if length.op == ops.CONST else -1
    assert type(bits) is int
    return bits


# New arrays


def _new_cell(b: Builder, index: int, length: Value, shift: int) -> Value:
    """Append what takes a cell for an array of known length and fills in the header, but no elements."""
    reference = cells.new_cell(b, layout.OBJECT_FIELDS + (_known(length) << shift))
    cells.header(b, reference, index)
    b.emit(ops.I32_STORE, [length, reference], ops.memory_aux(layout.ARRAY_LENGTH, ops.REGION_INITIAL))
    return reference


def _new_zeros(b: Builder, index: int, length: Value) -> Value:
    return call_builtin(b, builtins.ARRAY_NEW, [cells.type_word(b, index), length])


def _is_short(length: Value, shift: int) -> bool:
    """Return whether an array of a length is to be made inline."""
    return 0 <= _known(length) << shift <= _MOST_INLINE


def _build_new(b: Builder, pos: int) -> int:
    index, pos = b.unsigned(pos)
    field = _element(b, index)
    shift = element_shift(field.storage)
    b.charge_bulk(b.stack[-1], _BYTES_SHIFT - shift)
    value, length = b.pop(2)
    cells.keep(b, field.storage, value)
    if _is_short(length, shift):
        word = _repeated(b, value, shift)
        reference = _new_cell(b, index, length, shift)
        if shift > _WORD_SHIFT:
            _write_all(b, field, reference, [value] * _known(length))
        else:
            cells.words(b, reference, layout.OBJECT_FIELDS + (_known(length) << shift), word)
    else:
        reference = _new_zeros(b, index, length)
        if _known(value) != 0:
            _fill(b, field, reference, b.const(I32, 0), value, length)
    b.stack.append(reference)
    return pos


def _repeated(b: Builder, value: Value, shift: int) -> Value:
    """Return a word full of an element, or of its first half if it is longer."""
    word, _ = _words(b, value)
    if shift >= _WORD_SHIFT:
        return word
    mask = (1 << (8 << shift)) - 1
    return b.emit(ops.I64_MUL, [b.emit(ops.I64_AND, [word, b.const(I64, mask)]), b.const(I64, MASKS[I64] // mask)])


def _write_all(b: Builder, field: FieldType, reference: Value, values: list[Value]) -> None:
    """Append the stores of all elements of a new array."""
    shift = element_shift(field.storage)
    for number, value in enumerate(values):
        cells.store_first(b, field.storage, value, reference, layout.OBJECT_FIELDS + (number << shift))


def _build_new_default(b: Builder, pos: int) -> int:
    index, pos = b.unsigned(pos)
    shift = element_shift(_element(b, index).storage)
    b.charge_bulk(b.stack[-1], _BYTES_SHIFT - shift)
    length = b.stack.pop()
    if _is_short(length, shift):
        reference = _new_cell(b, index, length, shift)
        cells.zeros(b, reference, layout.OBJECT_FIELDS + (_known(length) << shift))
    else:
        reference = _new_zeros(b, index, length)
    b.stack.append(reference)
    return pos


def _build_new_fixed(b: Builder, pos: int) -> int:
    index, pos = b.unsigned(pos)
    count, pos = b.unsigned(pos)
    field = _element(b, index)
    values = b.pop(count)
    for value in values:
        cells.keep(b, field.storage, value)
    length, shift = b.const(I32, count), element_shift(field.storage)
    if cells.small(layout.OBJECT_FIELDS + (count << shift)):
        reference = _new_cell(b, index, length, shift)
    else:
        reference = _new_zeros(b, index, length)
    _write_all(b, field, reference, values)
    b.stack.append(reference)
    return pos


def _check_segment(b: Builder, segment: int, from_: Value, length: Value, shift: int, trap: int) -> None:
    """Append what traps unless a range lies in a segment, before an array is made for it."""
    held = b.load(b.instance, segment + layout.SEGMENT_LENGTH, ops.REGION_NATIVE)
    size = b.emit(ops.I64_SHL, [b.widen(length), b.const(I64, shift)])
    b.trap_if(b.emit(ops.I64_GT_U, [b.emit(ops.I64_ADD, [b.widen(from_), size]), held]), trap)


def _build_new_data(b: Builder, pos: int) -> int:
    index, pos = b.unsigned(pos)
    segment, pos = b.unsigned(pos)
    shift = element_shift(_element(b, index).storage)
    b.charge_bulk(b.stack[-1], _BYTES_SHIFT - shift)
    from_, length = b.pop(2)
    _check_segment(b, b.layout.data(segment), from_, length, shift, errors.TRAP_OUT_OF_BOUNDS_MEMORY)
    reference = _new_zeros(b, index, length)
    _init_data(b, segment, shift, [reference, b.const(I32, 0), from_, length])
    b.stack.append(reference)
    return pos


def _build_new_elem(b: Builder, pos: int) -> int:
    index, pos = b.unsigned(pos)
    segment, pos = b.unsigned(pos)
    b.charge_bulk(b.stack[-1], _BYTES_SHIFT - element_shift(_element(b, index).storage))
    from_, length = b.pop(2)
    _check_segment(b, b.layout.elem(segment), from_, length, 0, errors.TRAP_OUT_OF_BOUNDS_TABLE)
    reference = _new_zeros(b, index, length)
    _init_elem(b, segment, [reference, b.const(I32, 0), from_, length])
    b.stack.append(reference)
    return pos


# Elements


def _length(b: Builder, reference: Value) -> Value:
    """Append the load of an array's length, after a check for null."""
    cells.check(b, reference, errors.TRAP_NULL_ARRAY)
    return b.emit(ops.I32_LOAD, [reference], _LENGTH)


def _place(b: Builder, field: FieldType, reference: Value, index: Value) -> tuple[list[Value], int]:
    """Append the checks of an access; return the operands that address the element, and the aux."""
    b.trap_if(b.emit(ops.I32_GE_U, [index, _length(b, reference)]), errors.TRAP_OUT_OF_BOUNDS_ARRAY)
    region = ops.REGION_ELEMENT if field.mutable else ops.REGION_CONST
    shift = element_shift(field.storage)
    known = _known(index)
    if 0 <= known < _MOST_OFFSET:
        return [reference], ops.memory_aux(layout.OBJECT_FIELDS + (known << shift), region)
    if shift:
        index = b.emit(ops.I64_SHL, [b.widen(index), b.const(I64, shift)])
    return [reference, index], ops.memory_aux(layout.OBJECT_FIELDS, region)


def _get(b: Builder, pos: int, signed: bool) -> int:
    type_, pos = b.unsigned(pos)
    field = _element(b, type_)
    place, aux = _place(b, field, *b.pop(2))
    op = cells.load_op(field.storage, ir_types((field.value,))[0], signed)
    b.stack.append(b.emit(op, place, aux))
    return pos


def _build_get(b: Builder, pos: int) -> int:
    return _get(b, pos, signed=False)


def _build_get_signed(b: Builder, pos: int) -> int:
    return _get(b, pos, signed=True)


def _build_set(b: Builder, pos: int) -> int:
    type_, pos = b.unsigned(pos)
    field = _element(b, type_)
    reference, index, value = b.pop(3)
    cells.keep(b, field.storage, value)
    place, aux = _place(b, field, reference, index)
    b.emit(cells.store_op(field.storage, value), [value, *place], aux)
    return pos


def _build_len(b: Builder, pos: int) -> int:
    b.stack.append(_length(b, b.stack.pop()))
    return pos


# Ranges


def _words(b: Builder, value: Value) -> list[Value]:
    """Return a value as two words; the second matters for vectors only."""
    if value.type == V128:
        return [b.emit(_LANE, [value], lane) for lane in (0, 1)]
    if value.type == F32:
        value = b.emit(ops.I32_REINTERPRET_F32, [value])
    elif value.type == F64:
        value = b.emit(ops.I64_REINTERPRET_F64, [value])
    return [b.widen(value), b.const(I64, 0)]


def _fill(b: Builder, field: FieldType, reference: Value, start: Value, value: Value, length: Value) -> None:
    shift = b.const(I32, element_shift(field.storage))
    call_builtin(b, builtins.ARRAY_FILL, [reference, shift, start, length, *_words(b, value)])


def _build_fill(b: Builder, pos: int) -> int:
    type_, pos = b.unsigned(pos)
    field = _element(b, type_)
    b.charge_bulk(b.stack[-1], _BYTES_SHIFT - element_shift(field.storage))
    reference, start, value, length = b.pop(4)
    cells.keep(b, field.storage, value)
    _fill(b, field, reference, start, value, length)
    return pos


def _build_copy(b: Builder, pos: int) -> int:
    type_, pos = b.unsigned(pos)
    _, pos = b.unsigned(pos)
    shift = element_shift(_element(b, type_).storage)
    b.charge_bulk(b.stack[-1], _BYTES_SHIFT - shift)
    target, to, source, from_, length = b.pop(5)
    call_builtin(b, builtins.ARRAY_COPY, [target, source, b.const(I32, shift), to, from_, length])
    return pos


def _init_data(b: Builder, segment: int, shift: int, args: list[Value]) -> None:
    """Append the copy of a range of a data segment: array, target, source and length."""
    call_builtin(b, builtins.ARRAY_INIT_DATA, [args[0], b.const(I32, segment), b.const(I32, shift), *args[1:]])


def _init_elem(b: Builder, segment: int, args: list[Value]) -> None:
    """Append the copy of a range of an element segment, whose functions are this instance's or kept by it."""
    call_builtin(b, builtins.ARRAY_INIT_ELEM, [args[0], b.const(I32, segment), *args[1:]])


def _build_init_data(b: Builder, pos: int) -> int:
    type_, pos = b.unsigned(pos)
    segment, pos = b.unsigned(pos)
    shift = element_shift(_element(b, type_).storage)
    b.charge_bulk(b.stack[-1], _BYTES_SHIFT - shift)
    _init_data(b, segment, shift, b.pop(4))
    return pos


def _build_init_elem(b: Builder, pos: int) -> int:
    type_, pos = b.unsigned(pos)
    segment, pos = b.unsigned(pos)
    b.charge_bulk(b.stack[-1], _BYTES_SHIFT - element_shift(_element(b, type_).storage))
    _init_elem(b, segment, b.pop(4))
    return pos

METHODS: Final[dict[str, Method]] = {
    "array.new": _build_new,
    "array.new_default": _build_new_default,
    "array.new_fixed": _build_new_fixed,
    "array.new_data": _build_new_data,
    "array.new_elem": _build_new_elem,
    "array.get": _build_get,
    "array.get_s": _build_get_signed,
    "array.get_u": _build_get,
    "array.set": _build_set,
    "array.len": _build_len,
    "array.fill": _build_fill,
    "array.copy": _build_copy,
    "array.init_data": _build_init_data,
    "array.init_elem": _build_init_elem,
}
