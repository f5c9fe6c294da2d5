"""Strings in a memory, arrays over it, and bytes in and out of it."""

from __future__ import annotations

import array
import gc
import sys
import threading
from typing import Any

import pytest

import figwasp
from tests.runtime.support import load
from tests.tools import package

PAGE = 65536


@pytest.fixture
def memory() -> figwasp.Memory:
    return figwasp.Memory(1, 10)


def test_strings(memory: figwasp.Memory) -> None:
    """Text goes in and out in any encoding; the number of bytes is returned."""
    for text, encoding in (("héllo", "utf-8"), ("héllo", "latin-1"), ("日本", "utf-16-le"), ("", "utf-8"), ("a\0b", "ascii")):
        size = memory.write_str(100, text, encoding)
        assert size == len(text.encode(encoding)) and memory.read_str(100, size, encoding) == text
    assert memory.write_str(PAGE - 2, "é") == 2 and memory.read_str(PAGE - 2, 2) == "é"
    assert memory.read_str(PAGE, 0) == "" and memory.write_str(PAGE, "") == 0
    memory.write(0, b"a\xff")
    assert memory.read_str(0, 2, errors="replace") == "a\ufffd" and memory.read_str(0, 2, "utf-8", "ignore") == "a"
    assert memory.write_str(0, "a\udc80", errors="surrogateescape") == 2 and memory[1] == 0x80
    with pytest.raises(UnicodeDecodeError):
        memory.read_str(0, 2)
    with pytest.raises(UnicodeEncodeError):
        memory.write_str(0, "é", "ascii")
    with pytest.raises(LookupError):
        memory.read_str(0, 2, "no-such-encoding")
    for offset, size in ((-1, 1), (PAGE, 1), (PAGE - 1, 2), (0, -1), (2**70, 1), (1, 2**70), (PAGE + 1, 0)):
        with pytest.raises(IndexError, match="do not lie in a memory of 65536 bytes"):
            memory.read_str(offset, size)
    with pytest.raises(IndexError):
        memory.write_str(PAGE - 1, "é")
    assert memory[PAGE - 1] == 0xA9, "nothing is written of what does not fit"


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 191, 192, 193, 5000])
@pytest.mark.parametrize("offset", [0, 3, PAGE - 5001])
def test_strings_that_end_with_a_nul(memory: figwasp.Memory, offset: int, size: int) -> None:
    text = "x" * size
    memory.write(0, b"y" * PAGE)
    memory.write_str(offset, text + "\0")
    assert memory.read_cstr(offset) == text and memory.read_cstr(offset, size + 1) == text
    with pytest.raises(IndexError, match="no NUL byte"):
        memory.read_cstr(offset, size)


def test_strings_without_a_nul(memory: figwasp.Memory) -> None:
    memory.write(0, b"y" * PAGE)
    for offset in (0, PAGE - 1, PAGE, PAGE + 1, -1, 2**70):
        with pytest.raises(IndexError):
            memory.read_cstr(offset)
    memory[PAGE - 1] = 0
    assert memory.read_cstr(PAGE - 1) == "" and len(memory.read_cstr(0)) == PAGE - 1
    memory.write(0, "é\0".encode("latin-1"))
    assert memory.read_cstr(0, encoding="latin-1") == "é" and memory.read_cstr(0, errors="replace") == "\ufffd"


def test_writing_buffers_of_every_kind(memory: figwasp.Memory) -> None:
    """Any buffer is written as its bytes; strided ones are gathered."""
    ints = array.array("i", [1, -2, 3])
    strided = memoryview(b"a-b-c-")[::2]
    for data, expected in (
        (b"abc", b"abc"), (bytearray(b"abc"), b"abc"), (memoryview(b"xabcx")[1:4], b"abc"), (strided, b"abc"), (ints, ints.tobytes()),
        (memoryview(ints), ints.tobytes()), (array.array("d", [1.5]), array.array("d", [1.5]).tobytes()), (array.array("i"), b""), (b"", b""),
        (memoryview(bytes(24)).cast("H", [3, 4]), bytes(24)),
    ):  # fmt: skip
        memory.write(8, b"\xaa" * 32)
        memory.write(8, data)
        assert memory.read(8, len(expected)) == expected and memory[8 + len(expected)] == 0xAA
    for wrong in ("text", 5, None, [1, 2]):
        with pytest.raises(TypeError):
            memory.write(0, wrong)  # type: ignore[arg-type]
    for offset in (-1, PAGE, PAGE - 2, 2**70, -(2**70)):
        with pytest.raises(IndexError):
            memory.write(offset, b"abc")
    memory.write(PAGE, b"")


def test_writing_a_part_of_itself(memory: figwasp.Memory) -> None:
    memory.write(0, bytes(range(100)))
    memory.write(10, memoryview(memory)[:50])
    assert memory[10:60] == bytes(range(50))
    memory.write(0, memoryview(memory)[10:60])
    assert memory[:50] == bytes(range(50))


def test_arrays() -> None:
    """as_array gives NumPy arrays without a copy, also from a part; they stay valid when the memory grows and when nothing else is left."""
    numpy = package("numpy")
    memory = figwasp.Memory(1, 10)
    ints = memory.as_array("<i4", 8, 4)
    assert ints.shape == (4,) and ints.dtype == numpy.int32
    ints[:] = [1, 2, 3, -4]
    assert memory.read_i32(20) == -4
    memory.write_f64(64, 2.5)
    assert memory.as_array(numpy.float64)[8] == 2.5 and memory.as_array(numpy.float64, 64, 1).tolist() == [2.5]
    assert len(memory.as_array("u1")) == PAGE and len(memory.as_array("<u4", 2)) == (PAGE - 2) // 4
    memory.grow(1)
    memory.write_i32(8, 77)
    assert ints[0] == 77 and len(memory.as_array("u1")) == 2 * PAGE
    table = memory.as_array("<i4", 8, (2, 2))
    assert table.tolist() == [[77, 2], [3, -4]] and memory.as_array("<i4", 8, (3, 0)).shape == (3, 0)
    table[1, 1] = 9
    assert ints[3] == 9 and memory.as_array("<i4", 20, ()).tolist() == 9
    pairs = memory.as_array([("a", "<u2"), ("b", "<f4")], 100, 3)
    pairs["b"] = 1.5
    assert memory.read_f32(100 + 6 + 2) == 1.5
    assert len(memory.as_array("<i8", 2 * PAGE)) == 0 and len(memory.as_array("<i8", 0, 0)) == 0
    del memory
    gc.collect()
    ints += 1
    assert ints[0] == 78


def test_arrays_that_do_not_fit() -> None:
    package("numpy")
    memory = figwasp.Memory(1)
    for offset, count in ((-1, 1), (PAGE - 3, 1), (0, PAGE // 4 + 1), (0, -1), (PAGE + 1, None), (2**70, None), (0, 2**70)):
        with pytest.raises(IndexError, match="do not lie in a memory"):
            memory.as_array("<i4", offset, count)
    for shape in ((2, -1), (-2, -2), (PAGE, PAGE), (2**40, 2**40)):
        with pytest.raises(IndexError, match="do not lie in a memory"):
            memory.as_array("<i4", 0, shape)
    with pytest.raises(ValueError, match="OBJECT"):
        memory.as_array("O")
    with pytest.raises(TypeError):
        memory.as_array("no such type")


def test_arrays_without_numpy(memory: figwasp.Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(ImportError, match=r"needs NumPy, which is not installed"):
        memory.as_array("u1")


def test_what_wasm_writes_is_seen_in_an_array() -> None:
    numpy = package("numpy")
    instance = load(
        """(module (memory (export "memory") 1) (func (export "double") (param $at i32) (param $n i32)
        (loop $l (f64.store (local.get $at) (f64.mul (f64.const 2) (f64.load (local.get $at)))) (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))"""
    )
    values = instance.memory.as_array(numpy.float64, 0, 1000)
    values[:] = numpy.arange(1000)
    instance.double(0, 1000)
    assert values.sum() == 2 * sum(range(1000))


def test_views_stay_valid_while_another_thread_grows(memory: figwasp.Memory) -> None:
    memory = figwasp.Memory(1, 2000)
    view = memoryview(memory)
    errors: list[Any] = []

    def grow() -> None:
        try:
            for _ in range(1500):
                memory.grow(1)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=grow)
    thread.start()
    for k in range(20_000):
        memory.write_u32(4 * (k % 1000), k)
        assert memory.read(4 * (k % 1000), 4) == k.to_bytes(4, "little") == view[4 * (k % 1000) : 4 * (k % 1000) + 4]
    thread.join()
    assert errors == [] and memory.pages == 1501
