"""Arrays of the heap as Python objects: sequences, and buffers."""

from __future__ import annotations

import array as arrays
import io
import struct
from collections.abc import Sequence
from typing import Any, assert_type

import pytest

from figwasp import Array, Struct, load, types, wat
from tests.api.heap.guests import SHAPES
from tests.tools import package

NUMBERS = [
    ("bytes", "b", 1, [-128, 127, 0]),
    ("shorts", "h", 2, [-32768, 32767, 1]),
    ("ints", "i", 4, [-(2**31), 2**31 - 1, 2]),
    ("longs", "q", 8, [-(2**63), 2**63 - 1, 3]),
    ("floats", "f", 4, [1.5, -0.25, float("inf")]),
    ("doubles", "d", 8, [1.5, 1e300, -0.1]),
]


@pytest.fixture(scope="module")
def inst() -> Any:
    return load(wat(SHAPES))


@pytest.mark.parametrize(("name", "code", "size", "values"), NUMBERS)
def test_numbers(inst: Any, name: str, code: str, size: int, values: list[float]) -> None:
    made = Array(inst, name, values)
    assert isinstance(made, Array) and isinstance(made, Sequence)
    assert len(made) == 3 and list(made) == values and made[:] == values and made[::-1] == values[::-1] and made[1:] == values[1:]
    assert made[-1] == values[-1] and values[1] in made and 99 not in made and made.index(values[2]) == 2 and made.count(values[0]) == 1
    view = memoryview(made)
    assert (view.format, view.itemsize, view.shape, view.strides, view.readonly) == (code, size, (3,), (size,), False)
    assert view.nbytes == 3 * size and view.ndim == 1 and view.contiguous and view.tolist() == values
    assert bytes(made) == struct.pack(f"<3{code}", *values) == view.tobytes()
    view[0] = values[2]
    assert made[0] == values[2]
    made[0] = values[0]
    assert view[0] == values[0]
    made[1:] = made[:2]
    assert list(made) == [values[0], values[0], values[1]]
    made[::2] = [values[2], values[2]]
    assert list(made) == [values[2], values[0], values[2]]
    assert repr(made) == f"<figwasp.Array of 3 {made.type.field!r}>".replace("(mut ", "").replace(")", "")


@pytest.mark.parametrize(("name", "bits"), [("bytes", 8), ("shorts", 16), ("ints", 32), ("longs", 64)])
def test_integers_of_both_ranges(inst: Any, name: str, bits: int) -> None:
    made = Array(inst, name, [2**bits - 1, -(2 ** (bits - 1)), 2 ** (bits - 1)])
    assert list(made) == [-1, -(2 ** (bits - 1)), -(2 ** (bits - 1))]
    made[0] = 2**bits - 2
    made[1:] = [2**bits - 3, 5]
    assert list(made) == [-2, -3, 5]
    for value in (2**bits, -(2 ** (bits - 1)) - 1):
        with pytest.raises(OverflowError, match=f"element 1 .*is out of range for i{bits}: {value}"):
            made[1] = value
        with pytest.raises(OverflowError, match=f"element 0 is out of range for i{bits}: {value}"):
            made[1:] = [value, 1]
        with pytest.raises(OverflowError, match=f"element 2 is out of range for i{bits}: {value}"):
            Array(inst, name, [0, 0, value])
    assert list(made) == [-2, -3, 5]


def test_bytes(inst: Any) -> None:
    made = Array(inst, "bytes", b"\x01\xff\x02")
    assert list(made) == [1, -1, 2] and bytes(made) == b"\x01\xff\x02" and inst.sum(made) == 2
    made[1:] = bytearray(b"ab")
    assert bytes(made) == b"\x01ab" and list(Array(inst, "ints", b"ab")) == [97, 98]
    assert io.BytesIO(b"xyz").readinto(memoryview(made)) == 3 and bytes(made) == b"xyz"
    assert memoryview(made).cast("B")[0] == ord("x")
    whole = arrays.array("i", [1, 2, 3])
    assert list(Array(inst, "ints", whole)) == [1, 2, 3] and list(Array(inst, "ints", memoryview(whole)[1:])) == [2, 3]


def test_numpy(inst: Any) -> None:
    numpy = package("numpy")
    made = Array(inst, "shorts", range(10))
    seen = numpy.asarray(made)
    assert seen.dtype == "int16" and seen.shape == (10,) and seen.sum() == 45
    seen += 1
    assert list(made) == [*range(1, 11)]
    assert numpy.frombuffer(Array(inst, "doubles", 4), "f8").tolist() == [0.0] * 4


def test_a_buffer_is_written_if_elements_are_mutable(inst: Any) -> None:
    made = inst.constant()
    view = memoryview(made)
    assert view.readonly and view.tolist() == [1, 2, -3] == list(made)
    with pytest.raises(TypeError):
        view[0] = 1
    with pytest.raises((TypeError, BufferError)):
        io.BytesIO(bytes(12)).readinto(made)
    for key, value in ((0, 1), (slice(0, 1), [1])):
        with pytest.raises(TypeError, match="the elements of the array are immutable"):
            made[key] = value
    assert list(made) == [1, 2, -3]


def test_references(inst: Any) -> None:
    point = inst.point(1, 2)
    row = Array(inst, "row", [point, None, 5, "text", row_of := Array(inst, "row", 2)])
    assert list(row) == [point, None, 5, "text", row_of] == row[:] and row[::-2] == [row_of, 5, point] and row[-2] == "text"
    assert point in row and row.index(row_of) == 4 and row.count(None) == 1 and 6 not in row
    row[0] = row
    row[1:3] = [point, point]
    assert row[0] == row and row[1] == row[2] == point
    assert repr(row) == "<figwasp.Array of 5 anyref>"
    for take in (memoryview, bytes, bytearray):
        with pytest.raises(BufferError, match="only arrays of integers and floats have a buffer"):
            take(row)
    with pytest.raises(TypeError, match=r"element 1 of an array must be an object of WebAssembly"):
        Array(inst, "points", 3)[1] = "text"
    with pytest.raises(TypeError, match="element 1 must be an object of WebAssembly"):
        Array(inst, "points", [point, "text"])


def test_functions(inst: Any) -> None:
    calls = Array(inst, "calls", [inst.sum, None])
    assert calls[0] == inst.sum and calls[0](inst.bytes(3)) == 0
    with pytest.raises(TypeError, match="element 0 must be a WebAssembly function or None"):
        Array(inst, "calls", [print])


def test_vectors(inst: Any) -> None:
    made = Array(inst, "vectors", [bytes(range(16)), bytearray(16)])
    assert list(made) == [bytes(range(16)), bytes(16)] == made[:]
    made[1] = made[0]
    assert made[1] == bytes(range(16))
    with pytest.raises(ValueError, match="element 0 of an array must be 16 bytes"):
        made[0] = b"short"
    with pytest.raises(BufferError):
        memoryview(made)


def test_indices(inst: Any) -> None:
    made = inst.bytes(3)
    for index in (3, -4, 2**70):
        with pytest.raises(IndexError, match=f"element {index} of an array of 3"):
            made[index]
        with pytest.raises(IndexError):
            made[index] = 0
    for key in (1.0, "x", None):
        with pytest.raises(TypeError):
            made[key]
    for values in ([], [1, 2, 3, 4]):
        with pytest.raises(ValueError, match=f"cannot change its length: 3 elements are to be {len(values)}"):
            made[:] = values
    with pytest.raises((TypeError, AttributeError)):
        del made[0]
    with pytest.raises(ValueError, match="7 is not in the array"):
        made.index(7)
    made[1:1] = []
    assert made[5:] == [] and made[1:1] == []


def test_empty_and_long(inst: Any) -> None:
    empty = Array(inst, "ints", [])
    assert len(empty) == 0 and list(empty) == [] and memoryview(empty).nbytes == 0 and bytes(empty) == b""
    long = Array(inst, "longs", 100_000)
    memoryview(long)[99_999] = -1
    assert long[-1] == -1 and long[99_998:] == [0, -1] and sum(long) == -1
    assert list(Array(inst, "row", [None] * 70_000)) == [None] * 70_000


def test_lengths_that_are_none(inst: Any) -> None:
    for length in (-1, 2**32, 2**70):
        with pytest.raises(ValueError, match=f"an array has 0 to 4294967295 elements, not {length}"):
            Array(inst, "bytes", length)
    with pytest.raises(TypeError, match=r"elements of type \(ref \d+\) need values"):
        Array(inst, "full", 1)
    assert len(Array(inst, "full", 0)) == 0 and len(Array(inst, "full", [inst.point(1, 2)])) == 1
    with pytest.raises(TypeError, match=r"element 0 must not be None \(\(ref \d+\)\)"):
        Array(inst, "full", [None])


def test_the_type(inst: Any) -> None:
    made = inst.bytes(1)
    assert assert_type(Array(inst, "bytes", 1).type, types.ArrayType) == made.type == types.ArrayType(types.FieldType("i8", True))
    assert assert_type(Array(inst, "bytes", [5])[0], Any) == 5 and assert_type(Array(inst, "bytes", [5])[:], list[Any]) == [5]
    assert made != b"\0" and made != [0] and made == inst.any(made)
    assert isinstance(Struct(inst, "point").type, types.StructType)
