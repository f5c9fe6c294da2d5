"""Copies and fills of a few bytes, whose number is known: every number, every overlap, and the ends of the memory."""

from __future__ import annotations

import pytest

import figwasp
from figwasp.ir import ops
from figwasp.ir.build.bulk import MOST
from tests.ir.compiling import build_one

SIZE = 65536


def load(count: int, address: str, mode: str) -> figwasp.Instance:
    """Load a module that copies and fills so many bytes."""
    return figwasp.Module(figwasp.wat(module(count, address)), engine=figwasp.Engine(memory=mode)).instantiate()


def module(count: int, address: str = "") -> str:
    index = address or "i32"
    return f"""(module (memory (export "memory") {address} 1) (memory $other (export "other") {address} 1)
      (func (export "copy") (param {index} {index}) (memory.copy (local.get 0) (local.get 1) ({index}.const {count})))
      (func (export "between") (param {index} {index})
        (memory.copy 0 $other (local.get 0) (local.get 1) ({index}.const {count})))
      (func (export "fill") (param {index} i32) (memory.fill (local.get 0) (local.get 1) ({index}.const {count})))
      (func (export "zero") (param {index}) (memory.fill (local.get 0) (i32.const 0) ({index}.const {count}))))"""


@pytest.mark.parametrize("mode", ["guard", "checked"])
@pytest.mark.parametrize("address", ["", "i64"])
@pytest.mark.parametrize("count", [*range(1, 35), 47, 48, 49, 63, MOST])
def test_copies_and_fills(count: int, address: str, mode: str) -> None:
    inst = load(count, address, mode)
    pattern = bytes(range(1, 251)) * 2
    for distance in (0, 1, count - 1, count, count + 1, -1, 1 - count, -count):
        inst.memory[:500] = pattern
        inst.copy(200 + distance, 200)
        expected = bytearray(pattern)
        expected[200 + distance : 200 + distance + count] = pattern[200 : 200 + count]
        assert inst.memory[:500] == expected
    inst.memory[:500] = pattern
    inst.fill(100, 0x1FE)
    assert inst.memory[:500] == pattern[:100] + b"\xfe" * count + pattern[100 + count :]
    inst.zero(300)
    assert inst.memory[300:500] == bytes(count) + pattern[300 + count :]
    inst.other[SIZE - count :] = b"z" * count
    inst.between(0, SIZE - count)
    assert inst.memory[:count] == b"z" * count


@pytest.mark.parametrize("mode", ["guard", "checked"])
@pytest.mark.parametrize("address", ["", "i64"])
@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 15, 16, 17, 33, MOST])
def test_nothing_is_written_beyond_the_end(count: int, address: str, mode: str) -> None:
    """An operation that does not fit leaves the memory as it is, however much of it would have fitted."""
    inst = load(count, address, mode)
    content = b"c" * MOST + b"a" * (SIZE - MOST)
    inst.memory[:] = content
    for start in {SIZE - count + 1, SIZE - count // 2 - 1, SIZE - 1, SIZE, 2**32 - 1} - {SIZE - count}:
        for call in (lambda at: inst.copy(at, 0), lambda at: inst.copy(0, at), lambda at: inst.fill(at, 1), inst.zero):
            with pytest.raises(figwasp.Trap, match="out of bounds memory access"):
                call(start)
    assert inst.memory[:] == content
    inst.fill(SIZE - count, 98)
    assert inst.memory[:] == content[:-count] + b"b" * count


@pytest.mark.parametrize(("count", "called"), [(0, True), (1, False), (MOST, False), (MOST + 1, True), (-1, True)])
def test_others_are_calls(count: int, called: bool) -> None:
    text = f"(module (memory 1) (func (param i32 i32) (memory.copy (local.get 0) (local.get 1) (i32.const {count}))))"
    calls = [value for block in build_one(text).blocks for value in block.code if value.op == ops.CALL_BUILTIN]
    assert bool(calls) == called
