"""What a reference refers to: tests, casts, and the branches that they decide (spec 4.4.3, 4.4.4, 4.4.8). Floor 2.

Theory of operation. The type of an object is two loads and a comparison away: its type descriptor, and the entry of that for the
depth of the wanted type, where the wanted type stands if the object's derives from it. A final type has no others below it, so the
first load will do. Nothing of that branches: a reference without an object has the region of descriptors in its place, whose start
is the descriptor of no type (all zeros); or, where null passes, null has the word of the instance that names the wanted type in
its place. What the static type of the operand rules out is not asked for.
"""

from __future__ import annotations

from typing import Final

from figwasp import errors, layout
from figwasp.ir import builtins, ops
from figwasp.ir.build.base import Builder, Method
from figwasp.ir.build.control import branch_where
from figwasp.ir.build.memory import call_builtin
from figwasp.ir.func import Value
from figwasp.ir.type_descriptors import depth_of
from figwasp.wasm.binary.immediates import READERS
from figwasp.wasm.syntax.immediates import CAST, HEAPTYPE, number, numbers
from figwasp.wasm.syntax.types import (
    ANYREF,
    ARRAYREF,
    CONCRETE,
    EQREF,
    EXNREF,
    EXTERNREF,
    FUNCREF,
    I31REF,
    INDEX_SHIFT,
    NON_NULL,
    NULLEXNREF,
    NULLEXTERNREF,
    NULLFUNCREF,
    NULLREF,
    STRUCTREF,
)
from figwasp.wasm.valid.subtyping import kind_of, top_of

__all__ = ["METHODS", "compared", "test"]

_TOPS: Final = frozenset((ANYREF, FUNCREF, EXTERNREF, EXNREF))
_BOTTOMS: Final = frozenset((NULLREF, NULLFUNCREF, NULLEXTERNREF, NULLEXNREF))
_TAGGED: Final = frozenset((ANYREF, EQREF, I31REF))
"""Heap types of references that may have tags, and that casts to types of objects start from."""
_KINDS: Final = {STRUCTREF: layout.KIND_STRUCT, ARRAYREF: layout.KIND_ARRAY}


def compared(b: Builder, actual: Value, index: int) -> list[Value]:
    """Append what finds out whether a type is type `index` of the module or derives from it.

    Args:
        b: the builder.
        actual: the descriptor of the type, an i32; 0 for no type.
        index: of a type in the module.

    Returns:
        Two i32 that are equal if it is.
    """
    wanted = b.emit(ops.I32_LOAD, [b.instance], ops.memory_aux(b.layout.type_id(index), ops.REGION_CONST))
    types = b.module.types
    if types[index].final:
        return [actual, wanted]
    depth = depth_of(index, types)
    if depth >= layout.DISPLAY_DEPTHS:
        return [call_builtin(b, builtins.SUBTYPE, [actual, wanted]), b.const(ops.I32, 1)]
    return [_field(b, actual, layout.TYPE_DISPLAY + 4 * depth), wanted]


def _field(b: Builder, descriptor: Value, offset: int) -> Value:
    """Append the load of 4 bytes of a descriptor."""
    return b.emit(ops.I32_LOAD, [_region(b), b.widen(descriptor)], ops.memory_aux(offset, ops.REGION_CONST))


def _region(b: Builder) -> Value:
    return b.load_const(b.instance, layout.INST_DESCRIPTORS)


def _descriptor(b: Builder, reference: Value, source: int, offset: int, null_type: int = -1) -> Value:
    """Append the load of the descriptor of the object that a reference refers to, if any; else that of no type.

    Args:
        b: the builder.
        reference: the reference.
        source: its static type.
        offset: where objects of its hierarchy have their descriptor.
        null_type: index of the type that null passes for, or -1.
    """
    place = reference
    if source & 0xFF in _TAGGED:
        place = b.emit_typed(ops.SELECT, ops.I64, [_region(b), place, _is(b, ops.I64_NE, _tags(b, reference), 0)])
    if not source & NON_NULL:
        null = _region(b) if null_type < 0 else _inside(b, b.layout.type_id(null_type) - offset)
        place = b.emit_typed(ops.SELECT, ops.I64, [place, null, _is(b, ops.I64_NE, reference, 0)])
    return b.emit(ops.I32_LOAD, [place], ops.memory_aux(offset, ops.REGION_CONST))


def _inside(b: Builder, offset: int) -> Value:
    """Append the address of a place in the instance block."""
    return b.emit(ops.I64_ADD, [b.instance, b.const(ops.I64, offset)])


def _tags(b: Builder, reference: Value) -> Value:
    return b.emit(ops.I64_AND, [reference, b.const(ops.I64, layout.REFERENCE_TAGS)])


def _is(b: Builder, comparison: int, value: Value, bits: int) -> Value:
    """Append the comparison of an i64 with a constant."""
    return b.emit(comparison, [value, b.const(ops.I64, bits)])


def test(b: Builder, reference: Value, source: int, target: int) -> Value:
    """Append the question whether a reference is of a type: an i32 that is 0 or 1.

    Args:
        b: the builder.
        reference: the reference.
        source: its static type.
        target: the type, of the same hierarchy.
    """
    null_passes = not (target | source) & NON_NULL
    low = target & 0xFF
    if low in _BOTTOMS:
        return b.emit(ops.I64_EQZ, [reference]) if null_passes else b.const(ops.I32, 0)
    if low in _TOPS:
        if null_passes or source & NON_NULL:
            return b.const(ops.I32, 1)
        return _is(b, ops.I64_NE, reference, 0)
    if low == EQREF:
        passes = _is(b, ops.I64_NE, _tags(b, reference), layout.HOST_TAG)
        if null_passes or source & NON_NULL:
            return passes
        return b.emit(ops.I32_AND, [passes, _is(b, ops.I64_NE, reference, 0)])
    if low == CONCRETE:
        return _is_defined(b, reference, source, target >> INDEX_SHIFT, null_passes)
    if low == I31REF:
        passes = _is(b, ops.I64_NE, b.emit(ops.I64_AND, [reference, b.const(ops.I64, layout.I31_TAG)]), 0)
    else:
        actual = _descriptor(b, reference, source, layout.OBJECT_TYPE)
        passes = b.emit(ops.I32_EQ, [_field(b, actual, layout.TYPE_KIND), b.const(ops.I32, _KINDS[low])])
    return b.emit(ops.I32_OR, [passes, b.emit(ops.I64_EQZ, [reference])]) if null_passes else passes


def _is_defined(b: Builder, reference: Value, source: int, index: int, null_passes: bool) -> Value:
    """Do what `test` does for a defined type. Where null is of it, it has for a descriptor what the instance has for the type."""
    function = kind_of(b.module.types[index].comp) == FUNCREF
    offset = layout.FUNCREF_TYPE if function else layout.OBJECT_TYPE
    return b.emit(ops.I32_EQ, compared(b, _descriptor(b, reference, source, offset, index if null_passes else -1), index))


# Instructions


def _source(b: Builder, target: int) -> int:
    """Return the static type of the operand of the present instruction: what validation has noted, or the top of the hierarchy."""
    return b.operands.get(b.pos) or top_of(target, b.module.types)


def _build_test(b: Builder, target: int) -> None:
    b.stack.append(test(b, b.stack.pop(), _source(b, target), target))


def _build_cast(b: Builder, target: int) -> None:
    passes = test(b, b.stack[-1], _source(b, target), target)
    b.trap_if(b.emit(ops.I32_EQZ, [passes]), errors.TRAP_CAST_FAILURE)


def _build_ref_test(b: Builder, pos: int) -> int:
    target, pos = READERS[HEAPTYPE](b.data, pos)
    _build_test(b, number(target) | NON_NULL)
    return pos


def _build_ref_test_null(b: Builder, pos: int) -> int:
    target, pos = READERS[HEAPTYPE](b.data, pos)
    _build_test(b, number(target))
    return pos


def _build_ref_cast(b: Builder, pos: int) -> int:
    target, pos = READERS[HEAPTYPE](b.data, pos)
    _build_cast(b, number(target) | NON_NULL)
    return pos


def _build_ref_cast_null(b: Builder, pos: int) -> int:
    target, pos = READERS[HEAPTYPE](b.data, pos)
    _build_cast(b, number(target))
    return pos


def _build_br_on_cast(b: Builder, pos: int) -> int:
    immediate, pos = READERS[CAST](b.data, pos)
    depth, source, target = numbers(immediate)
    branch_where(b, test(b, b.stack[-1], source, target), depth)
    return pos


def _build_br_on_cast_fail(b: Builder, pos: int) -> int:
    immediate, pos = READERS[CAST](b.data, pos)
    depth, source, target = numbers(immediate)
    branch_where(b, b.emit(ops.I32_EQZ, [test(b, b.stack[-1], source, target)]), depth)
    return pos


def _build_br_on_null(b: Builder, pos: int) -> int:
    depth, pos = b.unsigned(pos)
    reference = b.stack.pop()
    branch_where(b, b.emit(ops.I64_EQZ, [reference]), depth)
    b.stack.append(reference)
    return pos


def _build_br_on_non_null(b: Builder, pos: int) -> int:
    depth, pos = b.unsigned(pos)
    branch_where(b, _is(b, ops.I64_NE, b.stack[-1], 0), depth)
    b.stack.pop()
    return pos


METHODS: Final[dict[str, Method]] = {
    "ref.test": _build_ref_test,
    "ref.test_null": _build_ref_test_null,
    "ref.cast": _build_ref_cast,
    "ref.cast_null": _build_ref_cast_null,
    "br_on_cast": _build_br_on_cast,
    "br_on_cast_fail": _build_br_on_cast_fail,
    "br_on_null": _build_br_on_null,
    "br_on_non_null": _build_br_on_non_null,
}
