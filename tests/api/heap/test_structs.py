"""Structures of the heap as Python objects: their fields, names, types, identity."""

from __future__ import annotations

import copy
import pickle
from typing import Any, assert_type

import pytest

import figwasp
from figwasp import Struct, load, types, wat
from tests.api.heap.guests import SHAPES, point_of


@pytest.fixture(scope="module")
def inst() -> Any:
    return load(wat(SHAPES))


def test_fields_by_index_and_by_name(inst: Any) -> None:
    point = inst.point(1.5, -2)
    assert isinstance(point, Struct) and type(point).__name__ == "Struct"
    assert len(point) == 3 and list(point) == [1.5, -2, None]
    assert (point[0], point[-3], point["x"], point.x, point[1], point["y"], point.y) == (1.5, 1.5, 1.5, 1.5, -2, -2, -2)
    point.x = 4
    point["y"] = 2**32 - 1
    assert inst.x(point) == 4.0 and inst.y(point) == -1 and point.y == -1
    point[-1] = point
    assert point.next == point and inst.next(point) == point


def test_what_cannot_be_assigned(inst: Any) -> None:
    fixed = inst.fixed()
    assert list(fixed) == [7, -1, b"\1" + bytes(15)]
    for set_it in (lambda: fixed.__setitem__(0, 1), lambda: setattr(fixed, "id", 1), lambda: fixed.__setitem__("id", 1)):
        with pytest.raises(TypeError, match=r"^field 0 \(id\) of a structure is immutable$"):
            set_it()
    assert fixed.id == 7


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("x", "1", TypeError, r"field 0 \(x\) of a structure must be a float \(f64\), not str"),
        ("y", 1.5, TypeError, r"field 1 \(y\) of a structure must be an int \(i32\), not float"),
        ("y", 2**32, OverflowError, r"field 1 \(y\) of a structure is out of range for i32: 4294967296"),
        ("next", 5, TypeError, r"field 2 \(next\) of a structure must be an object of WebAssembly \(\(ref null \d+\)\), not int"),
        ("next", lambda: 1, TypeError, "must be an object of WebAssembly"),
    ],
)
def test_values_that_do_not_fit(inst: Any, name: str, value: object, error: type[Exception], message: str) -> None:
    point = inst.point(1, 2)
    with pytest.raises(error, match=message):
        setattr(point, name, value)
    assert list(point) == [1.0, 2, None]


def test_objects_of_another_type(inst: Any) -> None:
    point = inst.point(1, 2)
    with pytest.raises(TypeError, match=r"field 2 \(next\).* must be of type .*, which <figwasp.Struct id=7 .*> is not"):
        point.next = inst.fixed()
    with pytest.raises(TypeError, match=r"argument 1 of x\(\) must be of type \(ref 0\), which <figwasp.Array of 2 i8> is not"):
        inst.x(inst.bytes(2))


def test_what_is_no_field(inst: Any) -> None:
    point = inst.point(1, 2)
    for index in (3, -4, 2**70):
        with pytest.raises(IndexError, match=f"field {index} of a structure of 3"):
            point[index]
    with pytest.raises(KeyError, match="'z'"):
        point["z"]
    with pytest.raises(AttributeError, match="the structure has no field 'z'"):
        _ = point.z
    with pytest.raises(AttributeError, match="no field 'z'"):
        point.z = 1
    with pytest.raises(TypeError):
        point[1.0]
    with pytest.raises(AttributeError):
        del point.x


def test_names_that_are_attributes_of_every_structure(inst: Any) -> None:
    odd = inst.odd()
    assert odd["type"] == 5 and isinstance(odd.type, types.StructType) and odd["not a name"] == 6
    with pytest.raises(AttributeError, match=r"it is struct\[\.\.\.\]"):
        odd.type = 3
    odd["type"] = 3
    assert odd[0] == 3
    assert {"type", "x", "__len__"} <= {*dir(inst.point(1, 2)), *dir(odd)} and "not a name" not in dir(odd)


def test_packed_fields_are_signed(inst: Any) -> None:
    packed = Struct(inst, "packed", [255, -32768])
    assert list(packed) == [-1, -32768] and inst.packed_u(packed) == 255
    packed[0], packed[1] = 127, 65535
    assert list(packed) == [127, -1]
    for index, value in ((0, 256), (0, -129), (1, 65536), (1, -32769)):
        with pytest.raises(OverflowError, match=f"out of range for i{8 << index}: {value}"):
            packed[index] = value


def test_equal_when_they_are_the_same_object(inst: Any) -> None:
    one, two = inst.point(1, 2), inst.point(1, 2)
    assert one != two and one == one and one is not inst.same(one) and one == inst.same(one) and hash(one) == hash(inst.same(one))
    assert {one: 1, two: 2}[inst.same(two)] == 2
    assert one != 5 and one != "x" and (one == inst.bytes(1)) is False


def test_copying_is_refused(inst: Any) -> None:
    point = inst.point(1, 2)
    for do in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="cannot be copied or pickled"):
            do(point)


def test_repr_does_not_go_on_for_ever(inst: Any) -> None:
    point = inst.point(1, 2)
    assert repr(point) == "<figwasp.Struct x=1.0 y=2 next=None>"
    point.next = point
    assert repr(point) == "<figwasp.Struct x=1.0 y=2 next=...>"
    wide = Struct(inst, types.StructType([types.FieldType("i8")] * 100))
    assert repr(wide) == f"<figwasp.Struct {'0 ' * 12}and 88 more>"
    assert repr(Struct(inst, types.StructType([types.FieldType("anyref")] * 3), [-5, None, "x"])) == "<figwasp.Struct -5 None ...>"
    assert repr(Struct(inst, types.StructType([]))) == "<figwasp.Struct>"


def test_the_type(inst: Any) -> None:
    point = inst.point(1, 2)
    assert assert_type(Struct(inst, "point").type, types.StructType) == point.type
    assert point.type.fields[:2] == (types.FieldType("f64", True), types.FieldType("i32", True))
    assert repr(point.type.fields[2]).startswith("(mut (ref null ")
    assert inst.fixed().type == types.StructType(
        [types.FieldType(types.I32), types.FieldType(types.I64), types.FieldType(types.V128)]
    )


def test_names_of_several_modules() -> None:
    """Modules name the fields of one type as they like; what they disagree about is asked for by index."""
    unusual = "(type $t (struct (field {} i64) (field {} (mut f32)) (field f32) (field i16)))"
    text = "(module " + unusual + ' (func (export "make") (result (ref $t)) (struct.new_default $t)))'
    first = load(wat(text.format("$a", "$b")))
    second = load(wat(text.format("$left", "$a")))
    third = load(wat(text.format("", "")))
    for instance in (first, second, third):
        made = instance.make()
        assert made.left == 0 and made.b == 0.0
        with pytest.raises(AttributeError, match="'a' is what modules call different fields"):
            _ = made.a
        with pytest.raises(KeyError, match="asked for by its index"):
            made["a"] = 5
        assert repr(made) == "<figwasp.Struct a=0 b=0.0 0.0 0>"


def test_names_go_with_the_type() -> None:
    assert point_of(load(wat(SHAPES))).x == 3.0  # the instance has gone


def test_methods_for_anything_else() -> None:
    core: Any = vars(Struct.__mro__[1])["_core"]
    for other in (5, figwasp.Memory(1), object.__new__(Struct)):
        with pytest.raises(TypeError, match=f"this is no Handle but {type(other).__name__}"):
            core.fget(other)
    with pytest.raises(TypeError, match="this is no Handle but Struct"):
        len(object.__new__(Struct))
