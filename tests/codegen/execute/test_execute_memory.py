"""Loads, stores and addresses of every shape, compiled and run; and random programs against a plain evaluator."""

from __future__ import annotations

import ctypes
import itertools
import random

import pytest

from figwasp.ir import ops
from figwasp.ir.build.emitter import Emitter
from figwasp.ir.func import CONV_C, Func, Value
from figwasp.ir.ops import F32, F64, I32, I64
from tests.codegen.execute.machine import Machine
from tests.codegen.execute.models import EDGES, MASK, MODELS, is_nan, signed

pytestmark = pytest.mark.usefixtures("processor")

M64 = MASK[I64]
LOADS = {
    "i32_load": (I32, 4, False), "i64_load": (I64, 8, False), "f32_load": (F32, 4, False), "f64_load": (F64, 8, False),
    "i32_load8_s": (I32, 1, True), "i32_load8_u": (I32, 1, False), "i32_load16_s": (I32, 2, True),
    "i32_load16_u": (I32, 2, False), "i64_load8_s": (I64, 1, True), "i64_load8_u": (I64, 1, False),
    "i64_load16_s": (I64, 2, True), "i64_load16_u": (I64, 2, False), "i64_load32_s": (I64, 4, True),
    "i64_load32_u": (I64, 4, False),
}  # fmt: skip
STORES = {
    "i32_store": (I32, 4), "i64_store": (I64, 8), "f32_store": (F32, 4), "f64_store": (F64, 8), "i32_store8": (I32, 1),
    "i32_store16": (I32, 2), "i64_store8": (I64, 1), "i64_store16": (I64, 2), "i64_store32": (I64, 4),
}  # fmt: skip
FULL_LOAD = (ops.I32_LOAD, ops.I64_LOAD, ops.F32_LOAD, ops.F64_LOAD)
FULL_STORE = (ops.I32_STORE, ops.I64_STORE, ops.F32_STORE, ops.F64_STORE)
PATTERN = bytes((i * 37 + 129) & 0xFF for i in range(256))
OFFSETS = (0, 5, 127, 128, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF)


@pytest.fixture(scope="module")
def machine() -> Machine:
    return Machine()


def test_tables_are_complete() -> None:
    names = {name for name in ops.NAMES if ("_load" in name or "_store" in name) and not name.startswith("v128") and "_atomic_" not in name}
    assert names == set(LOADS) | set(STORES)


def add(e: Emitter, value: Value, number: int, type: int = I64) -> Value:
    return e.emit(ops.I64_ADD if type == I64 else ops.I32_ADD, [value, e.const(type, number & MASK[type])])


def shapes(e: Emitter, base: Value, index32: Value, index64: Value, offset: int) -> list[tuple[list[Value], int]]:
    """List (address operands, what they add to the base beyond the offset); index32 is 3 and index64 -5 at run time."""
    scaled = e.emit(ops.I64_SHL, [index64, e.const(I64, 3)])
    wide = e.emit(ops.I64_EXTEND_I32_U, [index32])
    context_free = e.emit(ops.I64_ADD, [base, index64])
    return [
        ([base], 0),
        ([base, index32], 3),
        ([base, index64], -5),
        ([add(e, base, 7)], 7),
        ([add(e, base, -7)], -7),
        ([add(e, base, 1 << 40)], 1 << 40),
        ([context_free], -5),
        ([base, e.const(I32, 9)], 9),
        ([base, e.const(I32, 0xFFFF_FFFE)], 0xFFFF_FFFE),
        ([base, e.const(I64, M64 - 3)], -4),
        ([base, add(e, index32, 4, I32)], 7),
        ([base, add(e, index32, -4, I32)], 0xFFFF_FFFF),  # wraps at 32 bits
        ([base, add(e, index64, 6)], 1),
        ([base, scaled], -40),
        ([base, add(e, scaled, 8)], -32),
        ([base, e.emit(ops.I64_SHL, [add(e, index64, 1), e.const(I64, 1)])], -8),
        ([base, e.emit(ops.I32_SHL, [index32, e.const(I32, 31)])], 0x8000_0000),
        ([base, wide], 3),
        ([base, e.emit(ops.I64_SHL, [wide, e.const(I64, 2)])], 12),
        ([base, e.emit(ops.I32_WRAP_I64, [index64])], 0xFFFF_FFFB),
        ([base, add(e, e.emit(ops.I32_WRAP_I64, [index64]), 9, I32)], 4),  # wraps too, with a constant that fits everywhere
    ]


NUM_SHAPES = 21


def access(shape: int, offset: int, start: int, region: int) -> tuple[Func, Emitter, list[Value], int, list[int]]:
    """Begin f(base, index32, index64, out) with the operands of one shape; the arguments make it hit start."""
    func = Func("access", -1, bytes([I64, I32, I64, I64]), b"", CONV_C)
    e = Emitter(func)
    base, index32, index64, _out = e.block.params
    operands, extra = shapes(e, base, index32, index64, offset)[shape]
    arguments = [(start - extra - offset) & M64, 3, M64 - 4]
    return func, e, operands, ops.memory_aux(offset, region), arguments


@pytest.mark.parametrize("region", [ops.REGION_NATIVE, ops.REGION_MEMORY])
@pytest.mark.parametrize("shape", range(NUM_SHAPES))
def test_address(machine: Machine, shape: int, region: int) -> None:
    memory = ctypes.create_string_buffer(PATTERN, len(PATTERN))
    out = ctypes.create_string_buffer(8)
    start = ctypes.addressof(memory) + 100
    for offset in OFFSETS:
        func, e, operands, aux, arguments = access(shape, offset, start, region)
        value = e.emit(ops.I64_LOAD, operands, aux)
        e.store(ops.I64_STORE, value, func.blocks[0].params[3], 0)
        e.ret([])
        machine.callable(func)(*arguments, ctypes.addressof(out))
        assert out.raw == PATTERN[100:108]


@pytest.mark.parametrize("name", LOADS)
def test_load(machine: Machine, name: str) -> None:
    type, size, is_signed = LOADS[name]
    memory = ctypes.create_string_buffer(PATTERN, len(PATTERN))
    out = ctypes.create_string_buffer(8)
    for place, fold in itertools.product(range(90, 104), (False, True)):
        func, e, operands, aux, arguments = access(1, 5, ctypes.addressof(memory) + place, ops.REGION_MEMORY)
        value = e.emit(ops.BY_NAME[name], operands, aux)
        if type < F32 and fold:
            op = ops.I32_ADD if type == I32 else ops.I64_ADD
            value = e.emit(op, [e.emit(op, [value, e.const(type, 0)]), value])
        e.store(FULL_STORE[type], value, func.blocks[0].params[3], 0)
        e.ret([])
        machine.callable(func)(*arguments, ctypes.addressof(out))
        bits = int.from_bytes(PATTERN[place : place + size], "little")
        width = 8 if type in (I64, F64) else 4
        expected = (signed(bits, 8 * size) if is_signed else bits) * (2 if type < F32 and fold else 1)
        assert out.raw[:width] == (expected & ((1 << 8 * width) - 1)).to_bytes(width, "little")


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("name", STORES)
def test_store(machine: Machine, name: str, constant: bool) -> None:
    type, size = STORES[name]
    for bits in EDGES[type]:
        memory = ctypes.create_string_buffer(PATTERN, len(PATTERN))
        source = ctypes.create_string_buffer(bits.to_bytes(8, "little"), 8)
        func, e, operands, aux, arguments = access(1, 5, ctypes.addressof(memory) + 100, ops.REGION_MEMORY)
        value = e.const(type, bits) if constant else e.load(FULL_LOAD[type], func.blocks[0].params[3], 0)
        e.emit(ops.BY_NAME[name], [value, *operands], aux)
        e.ret([])
        machine.callable(func)(*arguments, ctypes.addressof(source))
        expected = PATTERN[:100] + (bits & ((1 << 8 * size) - 1)).to_bytes(size, "little") + PATTERN[100 + size :]
        assert memory.raw == expected


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("name", [f"i{w}_{op}" for w in (32, 64) for op in ("add", "sub", "and", "or", "xor", "mul")])
def test_read_modify_write(machine: Machine, name: str, constant: bool, swapped: bool) -> None:
    type = I32 if name.startswith("i32") else I64
    size = 4 << type
    for operand in EDGES[type]:
        memory = ctypes.create_string_buffer(PATTERN, len(PATTERN))
        source = ctypes.create_string_buffer(operand.to_bytes(8, "little"), 8)
        func, e, operands, aux, arguments = access(1, 5, ctypes.addressof(memory) + 100, ops.REGION_MEMORY)
        other = e.const(type, operand) if constant else e.load(FULL_LOAD[type], func.blocks[0].params[3], 0)
        loaded = e.emit(FULL_LOAD[type], operands, aux)
        pair = [other, loaded] if swapped else [loaded, other]
        e.emit(FULL_STORE[type], [e.emit(ops.BY_NAME[name], pair), *operands], aux)
        e.ret([])
        machine.callable(func)(*arguments, ctypes.addressof(source))
        old = int.from_bytes(PATTERN[100 : 100 + size], "little")
        new = MODELS[name](*((operand, old) if swapped else (old, operand)))
        assert memory.raw == PATTERN[:100] + new.to_bytes(size, "little") + PATTERN[100 + size :]


def test_load_is_not_moved_over_a_store(machine: Machine) -> None:
    """The old value is used after the store that overwrites it, by an instruction that would take the load in."""
    func = Func("order", -1, bytes([I64, I32]), bytes([I32]), CONV_C)
    e = Emitter(func)
    place, other = e.block.params
    old = e.load(ops.I32_LOAD, place, 0)
    e.store(ops.I32_STORE, e.const(I32, 5), place, 0)
    e.ret([e.emit(ops.I32_XOR, [other, old])])
    memory = ctypes.create_string_buffer((41).to_bytes(8, "little"), 8)
    assert machine.callable(func)(ctypes.addressof(memory), 2) == 43
    assert memory.raw[0] == 5


# Random programs


UNCHECKED = ("_div_", "_rem_", "_trunc_f")
PURE = [name for name in MODELS if not any(part in name for part in UNCHECKED)]
BY_RESULT = {type: [name for name in PURE if ops.RESULTS[ops.BY_NAME[name]] == type] for type in (I32, I64, F32, F64)}
TYPES = {"i": I32, "l": I64, "f": F32, "d": F64}
SLOTS = 24


class Program:
    """A random straight-line function over memory slots, and what it should do."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.func = Func(f"random{seed}", -1, bytes([I64, I32, I64]), b"", CONV_C)
        self.e = Emitter(self.func)
        self.memory = [self.random.choice(EDGES[I64]) for _ in range(SLOTS)]
        self.initial = self.memory.copy()
        self.base, index, wide = self.e.block.params
        self.known: dict[int, list[tuple[Value, int]]] = {I32: [(index, 8)], I64: [(wide, 16)], F32: [], F64: []}
        self.index = index
        self.wide = wide

    def pick(self, type: int) -> tuple[Value, int]:
        """Choose an operand: a constant, a load, a recent value."""
        kind = self.random.random()
        known = self.known[type]
        if kind < 0.25 or not known:
            bits = self.random.choice(EDGES[type])
            return self.e.const(type, bits), bits
        if kind < 0.5:
            return self.load(type)
        return self.random.choice(known[-6:])

    def place(self) -> tuple[list[Value], int, int]:
        """Choose an address: operands, offset, slot."""
        slot = self.random.randrange(SLOTS - 2)
        kind = self.random.randrange(4)
        if kind == 0:
            return [self.base, self.index], 8 * slot, slot + 1
        if kind == 1:
            return [self.base, self.wide], 8 * slot, slot + 2
        if kind == 2:
            return [add(self.e, self.base, 8)], 8 * slot, slot + 1
        return [self.base], 8 * slot, slot

    def load(self, type: int) -> tuple[Value, int]:
        operands, offset, slot = self.place()
        bits = self.memory[slot] & (0xFFFF_FFFF if type in (I32, F32) else M64)
        value = self.e.emit(FULL_LOAD[type], operands, ops.memory_aux(offset, ops.REGION_MEMORY))
        return value, bits

    def store(self) -> None:
        type = self.random.choice((I32, I64, F32, F64))
        value, bits = self.pick(type)
        operands, offset, slot = self.place()
        if type >= F32 and is_nan(bits, type):
            return
        if type in (I32, F32):
            bits |= self.memory[slot] >> 32 << 32
        self.memory[slot] = bits
        self.e.emit(FULL_STORE[type], [value, *operands], ops.memory_aux(offset, ops.REGION_MEMORY))

    def compute(self) -> None:
        type = self.random.choice((I32, I64, I32, I64, F32, F64))
        if self.random.random() < 0.12:
            (a, x), (b, y), (c, z) = self.pick(type), self.pick(type), self.pick(I32)
            if self.random.random() < 0.3:
                self.store()
            self.known[type].append((self.e.emit(ops.SELECT, [a, b, c], type=type), x if z else y))
            return
        name = self.random.choice(BY_RESULT[type])
        op = ops.BY_NAME[name]
        picked = [self.pick(TYPES[letter]) for letter in ops.OPERANDS[op]]
        if self.random.random() < 0.3:
            self.store()
        bits = MODELS[name](*[value[1] for value in picked])
        if any(type >= F32 and is_nan(bits, type) for type, (_, bits) in zip([TYPES[c] for c in ops.OPERANDS[op]], picked)):
            return  # the bits of a NaN may differ
        if type >= F32 and is_nan(bits, type):
            return
        self.known[type].append((self.e.emit(op, [value[0] for value in picked]), bits))

    def finish(self) -> None:
        """Store the last values of each type."""
        for type, values in self.known.items():
            for value, bits in values[-5:]:
                if type >= F32 and is_nan(bits, type):
                    continue
                slot = len(self.memory)
                self.memory.append(bits)
                self.e.emit(FULL_STORE[type], [value, self.base], ops.memory_aux(8 * slot, ops.REGION_NATIVE))
        self.e.ret([])


@pytest.mark.parametrize("part", range(8))
def test_random_program(machine: Machine, part: int) -> None:
    for seed in range(40 * part, 40 * part + 40):
        program = Program(seed)
        for _ in range(program.random.randrange(5, 60)):
            if program.random.random() < 0.25:
                program.store()
            else:
                program.compute()
        program.finish()
        initial = b"".join(bits.to_bytes(8, "little") for bits in program.initial)
        memory = ctypes.create_string_buffer(initial, 8 * len(program.memory))
        machine.callable(program.func)(ctypes.addressof(memory), 8, 16)
        expected = program.memory
        actual = [int.from_bytes(memory.raw[8 * k : 8 * k + 8], "little") for k in range(len(expected))]
        assert [hex(bits) for bits in actual] == [hex(bits) for bits in expected], f"seed {seed}"
