"""Memory as a Python object: buffer, sequence of bytes, typed scalars."""

from __future__ import annotations

import array
import gc
import hashlib
import io
import math
import struct
import zlib
from typing import Any

import pytest

import figwasp
from tests.runtime.support import load

PAGE = 65536


@pytest.fixture
def inst() -> figwasp.Instance:
    return load(
        """(module (memory (export "memory") 1 10) (data (i32.const 16) "hello, world")
        (func (export "get") (param i32) (result i32) (i32.load8_u (local.get 0)))
        (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))"""
    )


@pytest.fixture
def memory(inst: figwasp.Instance) -> figwasp.Memory:
    found: figwasp.Memory = inst.memory
    return found


def test_length_pages_type_and_repr(inst: figwasp.Instance, memory: figwasp.Memory) -> None:
    """A memory tells its length in bytes and pages and its limits."""
    assert isinstance(memory, figwasp.Memory)
    assert len(memory) == PAGE and memory.pages == 1
    assert (memory.type.limits.min, memory.type.limits.max) == (1, 10)
    assert "1 page" in repr(memory)
    inst.grow(2)
    assert len(memory) == 3 * PAGE and memory.pages == 3


def test_indexing(memory: figwasp.Memory) -> None:
    """Single bytes are ints; what is outside is an IndexError, what does not fit an OverflowError."""
    assert memory[16] == ord("h") and memory[PAGE - 1] == 0
    memory[PAGE - 1] = 255
    assert memory[PAGE - 1] == 255
    for bad in (PAGE, -1, -PAGE, -PAGE - 1, 10**30, -(10**30)):
        with pytest.raises(IndexError, match="do not lie in a memory of 65536 bytes"):
            memory[bad]
        with pytest.raises(IndexError, match="do not lie in a memory of 65536 bytes"):
            memory[bad] = 1
    for value in (256, -1, 10**30, -(10**30)):
        with pytest.raises(OverflowError, match="out of range for u8"):
            memory[0] = value
    for wrong in ("a", 1.5, None, b"a"):
        with pytest.raises(TypeError):
            memory[0] = wrong
        with pytest.raises(TypeError):
            memory[wrong]  # type: ignore[call-overload]
        with pytest.raises(TypeError):
            memory[wrong] = 1  # type: ignore[index]
    assert memory[0] == 0 and memory[:16] == bytes(16)


def test_slices(memory: figwasp.Memory) -> None:
    """Slices are copies as bytes, with steps and open ends as usual; assignment needs the same length."""
    assert memory[16:28] == b"hello, world" and memory[16:28:2] == b"hlo ol" and memory[27:15:-1] == b"dlrow ,olleh"
    assert memory[PAGE:] == b"" and memory[PAGE - 4 :] == memory[PAGE - 4 : PAGE + 4] == bytes(4) and len(memory[:]) == PAGE
    assert memory[::-1] == memory[:][::-1] and memory[5:2] == b"" == memory[2**70 :]
    copy = memory[16:21]
    memory[16:21] = b"HELLO"
    assert copy == b"hello" and memory[16:28] == b"HELLO, world"
    memory[0:4] = bytearray(b"abcd")
    memory[4:8] = memoryview(b"efgh")
    memory[8:16:2] = b"1234"
    assert memory[:16] == b"abcdefgh1\x002\x003\x004\x00"
    for part, value in ((slice(0, 4), b"abc"), (slice(0, 4), b"abcde"), (slice(PAGE - 1, None), b"ab")):
        with pytest.raises(ValueError, match="different structures"):
            memory[part] = value
    with pytest.raises(TypeError):
        memory[0:4] = 1


@pytest.mark.parametrize("part", [slice(-4, None), slice(None, -1), slice(-1, PAGE), slice(0, -PAGE), slice(-(10**30), None), slice(5, -1, -1)])
def test_slices_are_not_counted_from_the_end(memory: figwasp.Memory, part: slice) -> None:
    with pytest.raises(IndexError, match=r"a slice of a memory cannot (start|stop) at -.*p & 0xFFFFFFFF is its offset"):
        memory[part]
    with pytest.raises(IndexError, match=r"p & 0xFFFFFFFF is its offset"):
        memory[part] = b""
    with pytest.raises(TypeError):
        memory["a":"b"]


def test_a_pointer_from_two_gigabytes_on(memory: figwasp.Memory) -> None:
    """As an i32 it is a negative int, which is refused wherever an offset is taken; masked, it is the offset."""
    inst = load('(module (memory (export "memory") 32769) (func (export "high") (result i32) (i32.const 0x80000010)))')
    p, big = inst.high(), inst.memory
    assert p == -0x7FFFFFF0
    names = [name for name in dir(figwasp.Memory) if name.startswith("read_")]
    assert len(names) == 12
    for name in names:
        with pytest.raises(IndexError, match=r"p & 0xFFFFFFFF is its offset"):
            getattr(big, name)(p, *([1] if name in ("read_str", "read_cstr") else []))
    for name in (name for name in dir(figwasp.Memory) if name.startswith("write_")):
        with pytest.raises(IndexError, match=r"p & 0xFFFFFFFF is its offset"):
            getattr(big, name)(p, "x" if name == "write_str" else 1)
    for call, arguments in ((big.__getitem__, (p,)), (big.read, (p, 1)), (big.write, (p, b"x")), (big.read, (0, p))):
        with pytest.raises(IndexError, match=r"p & 0xFFFFFFFF is its offset"):
            call(*arguments)
    big[p & 0xFFFFFFFF] = 7
    assert big[0x80000010] == 7 == big.read_u8(p & 0xFFFFFFFF)


def test_view_before_and_after_growing(inst: figwasp.Instance, memory: figwasp.Memory) -> None:
    """A view keeps the length it was made with and stays valid when the memory grows; a new one sees all."""
    old = memoryview(memory)
    assert (old.nbytes, old.itemsize, old.format, old.readonly, old.ndim, old.contiguous) == (PAGE, 1, "B", False, 1, True)
    assert inst.grow(3) == 1
    memory.grow(1)
    new = memoryview(memory)
    assert len(old) == PAGE and len(new) == 5 * PAGE
    old[20] = 1
    assert new[20] == 1 and inst.get(20) == 1
    new[4 * PAGE] = 9
    assert inst.get(4 * PAGE) == 9
    new.release()
    old.release()


def test_growing(memory: figwasp.Memory) -> None:
    """grow returns the old size; too much is a MemoryError, less than nothing a ValueError."""
    assert memory.grow(0) == 1 and memory.grow(2) == 1 and memory.pages == 3
    for bad in (8, 65536, 2**40):
        with pytest.raises(MemoryError):
            memory.grow(bad)
    with pytest.raises(ValueError, match="shrink"):
        memory.grow(-1)
    assert memory.grow(7) == 3


def test_typed_reads_and_writes(memory: figwasp.Memory) -> None:
    """Typed scalars are little-endian, checked for range, and kept bit for bit."""
    cases: list[tuple[str, str, list[Any]]] = [
        ("i8", "<b", [0, -128, 127]),
        ("u8", "<B", [0, 255]),
        ("i16", "<h", [-(2**15), 2**15 - 1]),
        ("u16", "<H", [2**16 - 1]),
        ("i32", "<i", [-(2**31), 2**31 - 1]),
        ("u32", "<I", [2**32 - 1]),
        ("i64", "<q", [-(2**63), 2**63 - 1]),
        ("u64", "<Q", [2**64 - 1]),
        ("f32", "<f", [0.5, -0.0, math.inf, 2.0**-149]),
        ("f64", "<d", [0.1, -0.0, -math.inf, 5e-324]),
    ]
    for name, code, values in cases:
        read, write = getattr(memory, "read_" + name), getattr(memory, "write_" + name)
        size = struct.calcsize(code)
        for value in values:
            for offset in (0, 1, 7, PAGE - size):
                write(offset, value)
                assert memory.read(offset, size) == struct.pack(code, value)
                found = read(offset)
                assert found == value and math.copysign(1, found) == math.copysign(1, value)
        for offset in (PAGE - size + 1, PAGE, -1, -PAGE, 2**32, 2**64, -(2**64)):
            with pytest.raises(IndexError):
                read(offset)
            with pytest.raises(IndexError):
                write(offset, values[0])
        with pytest.raises(TypeError, match=f"must be an? .*{name}.*not str"):
            write(0, "x")
        if name[0] in "iu":
            with pytest.raises(OverflowError, match=f"out of range for {name}"):
                write(0, 2 ** int(name[1:]))


def test_read_and_write_bytes(memory: figwasp.Memory) -> None:
    """read and write copy bytes exactly within bounds."""
    assert memory.read(16, 5) == b"hello" and memory.read(PAGE, 0) == b"" and len(memory.read(0, PAGE)) == PAGE
    memory.write(100, b"bytes")
    memory.write(105, bytearray(b"array"))
    memory.write(110, memoryview(b"xviewx")[1:5])
    memory.write(120, array.array("H", [1, 2]))
    memory.write(PAGE, b"")
    assert memory[100:114] == b"bytesarrayview" and memory[120:124] == struct.pack("=HH", 1, 2)
    memory.write(200, memoryview(memory)[16:21])
    assert memory[200:205] == b"hello"
    for offset, size in ((0, PAGE + 1), (PAGE, 1), (-1, 1), (1, -1), (PAGE + 1, 0), (2**64, 1), (1, 2**64)):
        with pytest.raises(IndexError):
            memory.read(offset, size)
    for offset, data in ((PAGE, b"a"), (PAGE - 1, b"ab"), (-1, b"a"), (2**64, b"a")):
        with pytest.raises(IndexError):
            memory.write(offset, data)
    with pytest.raises(TypeError):
        memory.write(0, "text")  # type: ignore[arg-type]


def test_buffer_protocol_in_the_standard_library(memory: figwasp.Memory) -> None:
    """A memory is a buffer to everything that takes one."""
    data = memory[:]
    assert bytes(memory) == data and bytearray(memory) == data
    assert hashlib.sha256(memory).digest() == hashlib.sha256(data).digest()
    assert zlib.crc32(memory) == zlib.crc32(data)
    assert struct.unpack_from("<5s", memory, 16) == (b"hello",)
    struct.pack_into("<I", memory, 0, 0xDEADBEEF)
    assert memory.read_u32(0) == 0xDEADBEEF
    assert io.BytesIO(b"from a file").readinto(memoryview(memory)[300:311]) == 11
    assert memory[300:311] == b"from a file"
    words = memoryview(memory).cast("I")
    words[1] = 7
    assert memory.read_u32(4) == 7 and len(words) == PAGE // 4
    assert b"hello" in bytes(memory) and bytes(memoryview(memory)[16:21]) == b"hello"
    import ctypes

    word = ctypes.c_uint32.from_buffer(memory, 8)
    word.value = 123
    assert memory.read_u32(8) == 123


def test_view_outlives_the_instance() -> None:
    """An exported view keeps the memory; a ctypes object on it as well."""
    import ctypes

    inst = load('(module (memory (export "memory") 1) (data (i32.const 0) "keep"))')
    view = memoryview(inst.memory)
    word = ctypes.c_char.from_buffer(inst.memory, 1)
    del inst
    gc.collect()
    for _ in range(10):
        load("(module (memory 1))")
    assert bytes(view[:4]) == b"keep" and word.value == b"e"
    view.release()
    gc.collect()
    assert word.value == b"e"
    with pytest.raises(ValueError, match="released"):
        view[0]


def test_memory_made_by_the_host() -> None:
    """A memory made in Python is imported, grown and seen by wasm."""
    memory = figwasp.Memory(1, 3)
    memory[0:4] = b"\1\2\3\4"
    inst = load(
        """(module (import "m" "memory" (memory 1 5)) (export "again" (memory 0))
        (func (export "get") (param i32) (result i32) (i32.load (local.get 0)))
        (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))""",
        {"m": {"memory": memory}},
    )
    assert inst.get(0) == 0x04030201
    assert inst.grow(1) == 1 and memory.pages == 2 and len(inst.again) == 2 * PAGE
    memory.grow(1)
    assert inst.grow(1) == -1 and inst.get(3 * PAGE - 4) == 0
    del inst
    gc.collect()
    assert memory[0] == 1
    for bad in ((-1,), (65537,), (2, 1), (0, 65537)):
        with pytest.raises(ValueError, match="pages"):
            figwasp.Memory(*bad)
    empty = figwasp.Memory(0)
    assert len(empty) == 0 and bytes(empty) == b"" and empty[:] == b""
    with pytest.raises(IndexError):
        empty[0]
    assert empty.grow(1) == 0 and len(empty) == PAGE


def test_large_memories() -> None:
    """The largest memory can be made and used at both ends without being touched in between."""
    memory = figwasp.Memory(65536)
    memory.write_u64(2**32 - 8, 2**64 - 1)
    assert memory.read_u8(2**32 - 1) == 255 and memory[0] == 0 and len(memory) == 2**32
    inst = load('(module (import "m" "x" (memory 1)) (func (export "get") (param i32) (result i64) (i64.load (local.get 0))))',
                {"m": {"x": memory}})  # fmt: skip
    assert inst.get(2**32 - 8) == -1
    for bad in (2**32 - 7, 2**32 - 1):
        with pytest.raises(figwasp.Trap, match="out of bounds memory access"):
            inst.get(bad)


def test_memories_cannot_be_compared_hashed_wrongly_or_iterated_wrongly(memory: figwasp.Memory) -> None:
    """A memory hashes by identity and can be iterated as bytes."""
    assert hash(memory) == hash(memory) and memory == memory
    assert list(zip(range(3), memory[16:19], strict=True)) == [(0, 104), (1, 101), (2, 108)]
    assert next(iter(memory)) == 0


def test_exports_of_one_memory_are_one_memory(inst: figwasp.Instance) -> None:
    """The same object comes back for the same export."""
    assert inst.memory is inst.exports.memory is inst.exports["memory"]


@pytest.mark.parametrize("mode", ["guard", "checked"])
def test_more_than_four_gibibytes(mode: str) -> None:
    """Sizes and places of a memory with 64-bit addresses have more than 32 bits from Python's side too."""
    source = figwasp.wat('(module (memory (export "m") i64 65537 65539))')
    memory = figwasp.load(source, engine=figwasp.Engine(memory=mode)).m
    assert (len(memory), memory.grow(2), len(memory)) == (65537 << 16, 65537, 65539 << 16)
    last = (65539 << 16) - 1
    memory[last] = 7
    memory[(1 << 32) + 5 : (1 << 32) + 8] = b"abc"
    assert (memory[last], memory.read((1 << 32) + 4, 5), memory.read(4, 5)) == (7, b"\0abc\0", bytes(5))
    with pytest.raises(IndexError):
        memory[last + 1]
    with pytest.raises(MemoryError):
        memory.grow(1)
