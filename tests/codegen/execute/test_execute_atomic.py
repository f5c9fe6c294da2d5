"""Atomic accesses of every shape, compiled and run: what they leave in memory, what they give back, that nothing is lost in between."""

from __future__ import annotations

import ctypes
import threading

import pytest

from figwasp.ir import ops
from figwasp.ir.func import Value
from figwasp.ir.ops import I32, I64
from tests.codegen.execute.machine import Machine
from tests.codegen.execute.models import EDGES
from tests.codegen.execute.test_execute_memory import NUM_SHAPES, PATTERN, access

CHANGES = {
    "add": lambda old, value: old + value,
    "and": lambda old, value: old & value,
    "or": lambda old, value: old | value,
    "xor": lambda old, value: old ^ value,
    "xchg": lambda old, value: value,
}
NAMES = [name for name in ops.NAMES if "_atomic_" in name]
PLACE = 104  # of what is accessed, among the bytes of PATTERN


class Shared:
    """Aligned bytes that code accesses, and what it returns."""

    def __init__(self, data: bytes = PATTERN) -> None:
        self._buffer = ctypes.create_string_buffer(len(data) + 64)
        self.start = (ctypes.addressof(self._buffer) + 63) & -64
        ctypes.memmove(self.start, data, len(data))

    def number(self, place: int, size: int) -> int:
        return int.from_bytes(ctypes.string_at(self.start + place, size), "little")


@pytest.fixture(scope="module")
def machine() -> Machine:
    return Machine()


def size_of(name: str) -> int:
    digits = "".join(char for char in name.partition("_")[2] if char.isdigit())
    return int(digits) // 8 if digits else int(name[1:3]) // 8


def operands_for(name: str, old: int, bits: int, equal: bool) -> list[int]:
    """Return the data operands of an operation: `equal`, what a comparison expects is there, with other bits above it."""
    size = size_of(name)
    if not name.endswith("cmpxchg"):
        return [bits][: ops.DATA[ops.BY_NAME[name]]]
    wide = 64 if name.startswith("i64") else 32
    above = 0xA5A5A5A5_A5A5A5A5 << 8 * size & (1 << wide) - 1
    return [(old if equal else old ^ 1) | above, bits]


def expected_after(name: str, old: int, data: list[int]) -> int:
    mask = (1 << 8 * size_of(name)) - 1
    if "load" in name:
        return old
    if "store" in name:
        return data[0] & mask
    change = CHANGES.get(name.rpartition("_")[2])
    if change is not None:
        return int(change(old, data[0])) & mask
    return data[1] & mask if data[0] & mask == old else old


@pytest.mark.parametrize("used", [True, False], ids=["used", "unused"])
@pytest.mark.parametrize("name", NAMES)
def test_operation(machine: Machine, name: str, used: bool) -> None:
    op = ops.BY_NAME[name]
    size = size_of(name)
    type = I64 if name.startswith("i64") else I32
    for number, bits in enumerate(EDGES[type]):
        constant, equal = number % 3 == 0, number % 2 == 0
        memory = Shared()
        old = memory.number(PLACE, size)
        data = operands_for(name, old, bits, equal)
        source = Shared(b"".join(value.to_bytes(8, "little") for value in (*data, 0, 0)))
        func, e, operands, aux, arguments = access(number % NUM_SHAPES, 8, memory.start + PLACE, ops.REGION_MEMORY)
        out = func.blocks[0].params[3]
        load = ops.I64_LOAD if type == I64 else ops.I32_LOAD
        values: list[Value] = [e.const(type, one) if constant else e.load(load, out, 8 * k) for k, one in enumerate(data)]
        value = e.emit(op, [*values, *operands], aux)
        if used and ops.RESULTS[op] != ops.VOID:
            wide = value if type == I64 else e.emit(ops.I64_EXTEND_I32_U, [value])
            e.store(ops.I64_STORE, wide, out, 24)
        e.ret([])
        machine.callable(func)(*arguments, source.start)
        assert memory.number(PLACE, size) == expected_after(name, old, data), (bits, equal)
        assert ctypes.string_at(memory.start, PLACE) == PATTERN[:PLACE]
        assert ctypes.string_at(memory.start + PLACE + size, 64) == PATTERN[PLACE + size :][:64]
        if used and ops.RESULTS[op] != ops.VOID:
            assert source.number(24, 8) == old


@pytest.mark.parametrize("name", [name for name in NAMES if "rmw" in name])
def test_operands_survive(machine: Machine, name: str) -> None:
    """What the machine writes over is a copy: operands and address are used again."""
    op = ops.BY_NAME[name]
    size = size_of(name)
    type = I64 if name.startswith("i64") else I32
    memory = Shared()
    old = memory.number(PLACE, size)
    data = operands_for(name, old, 0x1234_5678, equal=True)
    source = Shared(b"".join(value.to_bytes(8, "little") for value in (*data, 0, 0)))
    func, e, operands, aux, arguments = access(1, 8, memory.start + PLACE, ops.REGION_MEMORY)
    out = func.blocks[0].params[3]
    load, add = (ops.I64_LOAD, ops.I64_ADD) if type == I64 else (ops.I32_LOAD, ops.I32_ADD)
    values = [e.load(load, out, 8 * k) for k in range(len(data))]
    first = e.emit(op, [*values, *operands], aux)
    second = e.emit(op, [*values, *operands], aux)
    total = e.emit(add, [first, second])
    for value in values:
        total = e.emit(add, [total, value])
    e.store(ops.I64_STORE if type == I64 else ops.I32_STORE, total, out, 24)
    e.ret([])
    machine.callable(func)(*arguments, source.start)
    after = expected_after(name, old, data)
    width = 64 if type == I64 else 32
    assert source.number(24, width // 8) == (old + after + sum(data)) & (1 << width) - 1
    assert memory.number(PLACE, size) == expected_after(name, after, data)


@pytest.mark.parametrize("name", ["i32_atomic_rmw_add", "i32_atomic_rmw8_add", "i64_atomic_rmw_xor", "i32_atomic_rmw16_xor"])
def test_nothing_is_lost_between_threads(machine: Machine, name: str) -> None:
    """Two threads of C functions, which run without the GIL: the sum of what is given back is that of a single order."""
    op = ops.BY_NAME[name]
    type = I64 if name.startswith("i64") else I32
    rounds = 200_000
    memory = Shared(bytes(64))
    func, e, operands, aux, arguments = access(1, 8, memory.start + 8, ops.REGION_MEMORY)
    out = func.blocks[0].params[3]
    loop, after = e.func.new_block(), e.func.new_block()
    loop.loop = True
    e.jump(loop, [e.const(I64, rounds), e.const(I64, 0)])
    e.block = loop
    left, total = e.func.new_param(loop, I64), e.func.new_param(loop, I64)
    value = e.emit(op, [e.const(type, 1), *operands], aux)
    total = e.emit(ops.I64_ADD, [total, value if type == I64 else e.emit(ops.I64_EXTEND_I32_U, [value])])
    left = e.emit(ops.I64_SUB, [left, e.const(I64, 1)])
    again = e.func.new_block()
    e.brif(e.emit(ops.I64_NE, [left, e.const(I64, 0)]), again, after)
    e.block = again
    e.jump(loop, [left, total])
    e.block = after
    e.store(ops.I64_STORE, total, out, 0)
    e.ret([])
    call = machine.callable(func)
    sums = [Shared(bytes(16)) for _ in range(2)]
    threads = [threading.Thread(target=call, args=(*arguments, one.start)) for one in sums]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    steps = 2 * rounds
    mask = (1 << 8 * size_of(name)) - 1
    given = sum(one.number(0, 8) for one in sums)
    if name.endswith("xor"):
        assert given == steps // 2
        assert memory.number(8, size_of(name)) == 0
    else:
        assert given == sum(k & mask for k in range(steps))
        assert memory.number(8, size_of(name)) == steps & mask
