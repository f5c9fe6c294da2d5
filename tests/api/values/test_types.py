"""Types are values: what users reach of them cannot be changed, so that nothing compiled trusts what has become of one."""

from __future__ import annotations

import copy
import pickle

import pytest

import figwasp
from figwasp.types import (
    F64,
    FUNCREF,
    I32,
    I64,
    ArrayType,
    FieldType,
    FuncType,
    GlobalType,
    Limits,
    MemoryType,
    StructType,
    TableType,
)

FIELD = FieldType("i8", mutable=True)
TYPES = [
    FuncType((I32, F64), (I64,)), GlobalType(I64, True), Limits(1, 2), MemoryType(Limits(1)), TableType(FUNCREF, Limits(0, 9)),
    FIELD, StructType([FIELD, FieldType(I32)]), ArrayType(FIELD),
]  # fmt: skip


@pytest.mark.parametrize("type_", TYPES, ids=lambda type_: type(type_).__name__)
def test_fields_cannot_be_assigned(type_: FuncType | GlobalType | StructType | ArrayType | Limits) -> None:
    shown, hashed = repr(type_), hash(type_)
    for name in type_.__slots__:
        with pytest.raises(AttributeError, match=f"cannot assign '{name}': a {type(type_).__name__} cannot be changed"):
            setattr(type_, name, I32)
        with pytest.raises(AttributeError, match="cannot be changed"):
            delattr(type_, name)
    with pytest.raises(AttributeError):
        setattr(type_, "other", 1)  # noqa: B010
    assert (repr(type_), hash(type_)) == (shown, hashed)


@pytest.mark.parametrize("type_", TYPES, ids=lambda type_: type(type_).__name__)
def test_copies_are_equal(type_: object) -> None:
    for other in (copy.copy(type_), copy.deepcopy(type_), pickle.loads(pickle.dumps(type_))):
        assert other == type_ and hash(other) == hash(type_) and repr(other) == repr(type_)


def test_no_object_gives_out_a_type_by_which_a_number_becomes_a_pointer() -> None:
    """An i64 that could be read as the address of an object stays an i64, whatever is assigned."""
    text = """(module (global (export "g") (mut i64) (i64.const 0x4141414141)) (table (export "t") 1 externref)
        (func (export "f") (param i64) (result i64) (local.get 0)))"""
    instance = figwasp.load(figwasp.wat(text))
    with pytest.raises(AttributeError):
        instance.g.type.type = FUNCREF
    with pytest.raises(AttributeError):
        instance.f.type.results = (FUNCREF,)
    with pytest.raises(AttributeError):
        instance.t.type.elem = FUNCREF
    assert instance.g.value == 0x4141414141 and instance.f(0x4141414141, timeout=5) == 0x4141414141 and instance.t[0] is None
