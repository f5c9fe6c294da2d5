"""Objects that Python makes: of which types, for whom, with which values."""

from __future__ import annotations

import gc
from typing import Any

import pytest

import figwasp
from figwasp import Array, Struct, load, wat
from figwasp.runtime.code.descriptors import TYPES
from figwasp.types import (
    ANYREF,
    EXTERNREF,
    FUNCREF,
    I8,
    I16,
    I32,
    STRUCTREF,
    ArrayType,
    FieldType,
    FuncType,
    StructType,
)
from tests.api.heap.guests import SHAPES


@pytest.fixture(scope="module")
def inst() -> Any:
    return load(wat(SHAPES))


def test_types_of_the_module(inst: Any) -> None:
    by_name = Struct(inst, "point", [1, 2, None])
    by_value = Struct(inst, inst.x.type.params[0], [1, 2, by_name])
    by_object = Struct(inst, by_name.type, [1, 2, by_value])
    assert inst.next(by_object) == by_value and by_object.next.next == by_name
    assert by_name.type == by_value.type == by_object.type
    assert inst.sum(Array(inst, inst.sum.type.params[0], [1, 2])) == 3
    assert inst.sum(Array(inst, inst.bytes(0).type, [1, 2])) == 3
    assert inst.sum(Array(inst, ArrayType(FieldType("i8", mutable=True)), [4, 5])) == 9  # the same type as that of the module


def test_types_of_the_host(inst: Any) -> None:
    fields = [FieldType(I8), FieldType(I16, True), FieldType(I32), FieldType(FUNCREF), FieldType(EXTERNREF), FieldType(STRUCTREF)]
    type_ = StructType([*fields, FieldType("arrayref"), FieldType("i31ref"), FieldType("eqref"), FieldType(ANYREF)])
    point, row = inst.point(1, 2), inst.bytes(2)
    made = Struct(inst, type_, [1, 2, 3, inst.sum, row, point, row, 5, row, point])
    assert list(made) == [1, 2, 3, inst.sum, row, point, row, 5, row, point] and made.type == type_
    again = Struct(inst, type_, made)
    assert again == inst.any(again) != made and list(again) == list(made)
    assert list(Struct(inst, type_)) == [0, 0, 0, *[None] * 7]
    with pytest.raises(TypeError, match="field 5 of a structure must be of type structref, which <figwasp.Array of 2 i8> is not"):
        Struct(inst, type_, [1, 2, 3, None, None, row, *[None] * 4])


def test_objects_whose_type_the_host_has_go_to_guests_that_declare_it() -> None:
    type_ = StructType([FieldType("f32", True), FieldType("i16")])
    text = """(module (type $t (struct (field (mut f32)) (field i16)))
        (func (export "f") (param (ref $t)) (result i32) (struct.get_s $t 1 (local.get 0))))"""
    instance = load(wat(text))
    assert instance.f(Struct(instance, type_, [1, -9])) == -9
    with pytest.raises(TypeError, match=r"must be of type \(ref 0\)"):
        instance.f(Struct(instance, StructType([FieldType("f32"), FieldType("i16")]), [1, -9]))


@pytest.mark.parametrize("values", [[], [1], [1, 2, None, 3]])
def test_a_value_for_each_field(inst: Any, values: list[object]) -> None:
    with pytest.raises(TypeError, match=f"a structure of this type has 3 fields, got {len(values)} values"):
        Struct(inst, "point", values)


def test_values_that_do_not_fit(inst: Any) -> None:
    with pytest.raises(OverflowError, match=r"field 1 \(y\) of a structure is out of range"):
        Struct(inst, "point", [1, 2**40, None])
    with pytest.raises(TypeError, match="not iterable"):
        Struct(inst, "point", 5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"a field of type \(ref \d+\) needs a value"):
        Struct(load(wat("(module (type $a (struct)) (type $b (struct (field (ref $a)))))")), "b")


def test_what_is_no_type(inst: Any) -> None:
    for type_, error, message in (
        ("nothing", ValueError, "no type with the name 'nothing'"),
        (I32, ValueError, "0x7f is no reference to a defined type"),
        (ANYREF, ValueError, "is no reference to a defined type"),
        (10**6 << 9 | 0x63, ValueError, "is no reference"),
        (-5, ValueError, "is no reference"),
        ("bytes", TypeError, r"\(array \(mut i8\)\) is not the type of a structure"),
        (inst.sum.type.params[0], TypeError, "is not the type of a structure"),
        (ArrayType(FieldType("i8")), TypeError, "is not the type of a structure"),
        (FuncType((), ()), TypeError, "a type is one of figwasp.types"),
        (None, TypeError, "a type is one of figwasp.types"),
        (StructType([FieldType(0x63)]), ValueError, "not a type that a host can name"),
        (StructType([FieldType(0x17F)]), ValueError, "not a type that a host can name"),
        (StructType([FieldType(0x55)]), ValueError, "not a type that a host can name"),
        (StructType([I32]), TypeError, "a field is described by a figwasp.types.FieldType, not by int"),  # type: ignore[list-item]
        (StructType([FieldType("i32")] * 10_001), ValueError, "at most 10000 fields"),
    ):
        with pytest.raises(error, match=message):
            Struct(inst, type_, [])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="there is no type 'i33'"):
        FieldType("i33")
    with pytest.raises(TypeError, match="is not the type of an array"):
        Array(inst, "point", 1)


def test_a_type_that_says_something_else_each_time(inst: Any) -> None:
    """Types of the host are read once: what has been checked is what is made."""

    class Sly(FieldType):
        __slots__ = ("asked",)
        asked: list[int]

        @property
        def storage(self) -> int:  # type: ignore[override]
            self.asked.append(1)
            return I32 if len(self.asked) == 1 else EXTERNREF

    sly = Sly.__new__(Sly)
    object.__setattr__(sly, "asked", [])
    object.__setattr__(sly, "mutable", False)
    assert list(Struct(inst, StructType([sly]), [0x4141])) == [0x4141]


def test_whom_it_is_made_for(inst: Any) -> None:
    for other in (None, 5, inst.module, inst.exports, figwasp.Memory(1)):
        with pytest.raises(TypeError, match=f"an object is made for an instance, not for {type(other).__name__}"):
            Struct(other, "point")
    closed = load(wat(SHAPES))
    closed.close()
    with pytest.raises(figwasp.Closed):
        Struct(closed, "point")


def test_there_is_a_limit() -> None:
    engine = figwasp.Engine(max_gc_heap=1 << 20)
    instance = load(wat(SHAPES), engine=engine)
    with pytest.raises(figwasp.Exhaustion):
        Array(instance, "longs", 1 << 18)
    with pytest.raises(figwasp.Exhaustion):
        Array(instance, "bytes", 2**32 - 1)
    kept: list[Array] = []
    with pytest.raises(figwasp.Exhaustion):
        kept.extend(Array(instance, "longs", 1000) for _ in range(1000))
    assert 50 < len(kept) < 140
    del kept
    gc.collect()
    assert [Array(instance, "longs", 1000)[0] for _ in range(1000)] == [0] * 1000


def test_a_type_goes_to_another_store() -> None:
    """The type of an object is kept by whoever makes another of it, after the module that declared it has gone."""
    first: Any = load(wat("""(module (type $a (struct (field f32) (field $odd i16))) (type $b (struct (field (ref null $a)) (field i8)))
      (func (export "make") (result (ref $b)) (struct.new_default $b)) (func (export "inner") (result (ref $a)) (struct.new_default $a)))"""))
    outer, inner = first.make().type, first.inner().type
    second = load(wat("(module)"))
    made = Struct(second, outer, [Struct(second, inner, [1, 2]), 3])
    del first
    gc.collect()
    for number in range(50):  # which would get the places of the descriptors
        load(wat(f"(module (type (struct (field f32) (field i{8 << number % 2}) {'(field i64)' * number})))"))
    assert made[0].odd == 2 and made[1] == 3 and made.type is outer and made[0].type is inner
    again = Struct(second, outer, [made[0], 4])
    assert again[0] == made[0]


def test_types_are_forgotten() -> None:
    gc.collect()
    TYPES.intern([], [])
    before = len(TYPES._known)
    for number in range(100):
        instance = load(wat("(module)"))
        for _ in range(3):
            Struct(instance, StructType([FieldType("f32"), FieldType("i8"), *[FieldType("i64")] * number]))
    del instance
    gc.collect()
    TYPES.intern([], [])
    assert len(TYPES._known) <= before + 2
    assert len(TYPES._known) == len(TYPES.kinds) >= len(TYPES._number_of)


def test_a_type_that_nobody_has_any_more() -> None:
    stale = load(wat('(module (type $a (struct (field f32 i8 f32))) (type $b (struct (field (ref null $a) f32 f32)))'
                     ' (func (export "make") (result (ref $b)) (struct.new_default $b)))')).make().type  # fmt: skip
    gc.collect()
    instance = load(wat("(module)"))
    with pytest.raises(ValueError, match="take types that refer to others from a module"):
        Struct(instance, stale)
