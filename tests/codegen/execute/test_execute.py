"""Every pure operation of the IR, compiled and run on edge values, against models in plain Python.

Each operation runs in a loop over a table of operands, in several shapes: operands in registers, operands that may become
memory operands, each operand in turn a constant; comparisons also as what branches, selects and traps consume.
"""

from __future__ import annotations

import ctypes
import itertools
import struct
from collections.abc import Callable

import pytest

from figwasp.ir import ops
from figwasp.ir.build.emitter import Emitter
from figwasp.ir.func import CONV_C, Func, Value
from figwasp.ir.ops import F32, F64, I32, I64
from tests.codegen.execute.machine import TRAPPED, Machine
from tests.codegen.execute.models import EDGES, MODELS, NAN, is_nan, truncated

pytestmark = pytest.mark.usefixtures("processor")

LOADS = (ops.I32_LOAD, ops.I64_LOAD, ops.F32_LOAD, ops.F64_LOAD)
STORES = (ops.I32_STORE, ops.I64_STORE, ops.F32_STORE, ops.F64_STORE)
TYPES = {"i": I32, "l": I64, "f": F32, "d": F64}
ROW = 32
"""Bytes of a row of operands."""

NUMERIC = [name for name in ops.NAMES if name in MODELS]
Operands = Callable[[Emitter, list[Value]], list[Value]]


def test_models_cover_the_table() -> None:
    last = ops.BY_NAME["f64_reinterpret_i64"]
    assert set(ops.NAMES[ops.CONST + 1 : last + 1]) == set(MODELS)


def operand_types(name: str) -> list[int]:
    """Tell the types of an operation's operands."""
    return [TYPES[letter] for letter in ops.OPERANDS[ops.BY_NAME[name]]]


def valid(name: str, row: tuple[int, ...]) -> bool:
    """Tell whether an unchecked operation may be applied to operands."""
    if "_div_" in name or "_rem_" in name:
        width = 32 if name.startswith("i32") else 64
        overflow = row == (1 << width - 1, (1 << width) - 1)
        return row[1] != 0 and not (name.endswith("_s") and (("_rem_" in name and row[1] == (1 << width) - 1) or overflow))
    if "_trunc_f" in name:
        float_type = F32 if "_f32_" in name else F64
        return truncated(row[0], float_type, I32 if name.startswith("i32") else I64, name.endswith("_s")) is not None
    return True


def loop(types: list[int], result: int, body: Callable[[Emitter, Value], Value]) -> Func:
    """Make f(rows, results, count): results[i] = body(address of rows[i])."""
    func = Func("loop", -1, bytes([I64, I64, I64]), b"", CONV_C)
    e = Emitter(func)
    header = func.new_block(1)
    header.loop = True
    latch = func.new_block(1)
    end = func.new_block()
    rows, results, count = [func.new_param(header, I64) for _ in range(3)]
    e.jump(header, list(e.block.params))
    e.block = header
    value = body(e, rows)
    if e.block is not header:  # the body has branched: its blocks lie before the latch
        func.blocks.remove(latch)
        func.blocks.remove(end)
        func.blocks += [latch, end]
    e.store(STORES[result], value, results, 0)
    left = e.emit(ops.I64_ADD, [count, e.const(I64, (1 << 64) - 1)])
    following = [e.emit(ops.I64_ADD, [rows, e.const(I64, ROW)]), e.emit(ops.I64_ADD, [results, e.const(I64, 8)]), left]
    e.jump(latch)
    e.block = latch
    e.brif(e.emit(ops.I64_NE, [left, e.const(I64, 0)]), header, end)
    latch.args[0] = following
    e.block = end
    e.ret([])
    return func


def run(machine: Machine, func: Func, types: list[int], result: int, rows: list[tuple[int, ...]]) -> list[int]:
    """Run a loop over rows of operands."""
    data = b"".join(b"".join(bits.to_bytes(8, "little") for bits in row).ljust(ROW, b"\xcc") for row in rows)
    source = ctypes.create_string_buffer(data, len(data))
    target = ctypes.create_string_buffer(8 * len(rows))
    machine.callable(func)(ctypes.addressof(source), ctypes.addressof(target), len(rows))
    mask = 0xFFFF_FFFF if result in (I32, F32) else (1 << 64) - 1
    return [bits & mask for (bits,) in struct.iter_unpack("<Q", target.raw)]


def load(e: Emitter, type: int, rows: Value, number: int) -> Value:
    """Load an operand."""
    return e.load(LOADS[type], rows, 8 * number)


def barrier(e: Emitter, rows: Value) -> None:
    """Store something that keeps loads from becoming memory operands."""
    e.store(ops.I32_STORE, e.const(I32, 1), rows, ROW - 4)


def in_registers(types: list[int]) -> Operands:
    def make(e: Emitter, rows: list[Value]) -> list[Value]:
        operands = [load(e, type, rows[0], number) for number, type in enumerate(types)]
        barrier(e, rows[0])
        return operands

    return make


def from_memory(types: list[int]) -> Operands:
    return lambda e, rows: [load(e, type, rows[0], number) for number, type in enumerate(types)]


def with_constant(types: list[int], place: int, bits: int) -> Operands:
    def make(e: Emitter, rows: list[Value]) -> list[Value]:
        operands = [
            e.const(type, bits) if number == place else load(e, type, rows[0], number) for number, type in enumerate(types)
        ]
        barrier(e, rows[0])
        return operands

    return make


def matches(actual: int, expected: int, type: int, operands: tuple[int, ...], types: list[int]) -> bool:
    """Compare results; where the model says NaN any quiet NaN will do, but a canonical one if all NaN operands are."""
    if type < F32 or not is_nan(expected, type) or actual == expected:
        return actual == expected
    quiet = NAN[type]
    if actual & quiet != quiet:
        return False
    sign = 1 << (31 if type == F32 else 63)
    canonical = all(not is_nan(bits, t) or bits & (sign - 1) == NAN[t] for bits, t in zip(operands, types) if t >= F32)
    return not canonical or actual & (sign - 1) == quiet


def check(machine: Machine, name: str, operands: Operands, rows: list[tuple[int, ...]]) -> None:
    """Run one operation on rows of operands and compare."""
    op = ops.BY_NAME[name]
    types = operand_types(name)
    result = ops.RESULTS[op]
    rows = [row for row in rows if valid(name, row)]
    if not rows:
        return
    func = loop(types, result, lambda e, row: e.emit(op, operands(e, [row])))
    answers = run(machine, func, types, result, rows)
    exact = name.partition("_")[2] in ("neg", "abs", "copysign") or "reinterpret" in name
    for row, answer in zip(rows, answers):
        expected = MODELS[name](*row)
        same = answer == expected if exact else matches(answer, expected, result, row, types)
        assert same, f"{name}{tuple(map(hex, row))} = {answer:#x}, not {expected:#x}"


def all_rows(types: list[int]) -> list[tuple[int, ...]]:
    return list(itertools.product(*[EDGES[type] for type in types]))


@pytest.fixture(scope="module")
def machine() -> Machine:
    return Machine()


@pytest.mark.parametrize("name", NUMERIC)
def test_operation(machine: Machine, name: str) -> None:
    types = operand_types(name)
    rows = all_rows(types)
    check(machine, name, in_registers(types), rows)
    check(machine, name, from_memory(types), rows)


@pytest.mark.parametrize("name", NUMERIC)
def test_operation_with_constant(machine: Machine, name: str) -> None:
    types = operand_types(name)
    rows = all_rows(types)
    for place, type in enumerate(types):
        for bits in EDGES[type][:: 1 if len(types) == 1 else 3]:
            check(machine, name, with_constant(types, place, bits), [row for row in rows if row[place] == bits])


TESTS = [name for name in NUMERIC if ops.RESULTS[ops.BY_NAME[name]] == I32 and name.rpartition("_")[2] != "s"
         and name.split("_")[1] in ("eq", "ne", "lt", "gt", "le", "ge", "eqz", "and")] + [
             f"i{width}_{kind}_s" for width in (32, 64) for kind in ("lt", "gt", "le", "ge")]  # fmt: skip


def negated(e: Emitter, test: Value, times: int) -> Value:
    for _ in range(times):
        test = e.emit(ops.I32_EQZ, [test])
    return test


def consumed_by_select(e: Emitter, test: Value, type: int) -> Value:
    yes, no = {I32: (7, 9), I64: (1 << 40, 3), F32: (0x3F80_0000, 0), F64: (1 << 62, 5)}[type]
    return e.emit(ops.SELECT, [e.const(type, yes), e.const(type, no), test], type=type)


def consumed_by_branch(e: Emitter, test: Value) -> Value:
    """Branch and merge: 7 or 9, as an argument of the critical edge and from a block."""
    func = e.func
    yes, no = func.new_block(1), func.new_block(1)
    merged = func.new_param(no, I32)
    e.brif(test, yes, no)
    e.block.args[1] = [e.const(I32, 9)]
    code = e.block.code
    code.insert(-1, code.pop())  # the constant stands before the terminator
    e.block = yes
    e.jump(no, [e.const(I32, 7)])
    e.block = no
    return merged


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("name", TESTS)
def test_condition_consumed(machine: Machine, name: str, folded: bool) -> None:
    op = ops.BY_NAME[name]
    types = operand_types(name)
    rows = all_rows(types)
    operands = from_memory(types) if folded else in_registers(types)
    expected = [MODELS[name](*row) != 0 for row in rows]
    for times in (0, 1, 2):
        wanted = [answer != (times == 1) for answer in expected]

        def branch(e: Emitter, row: Value, times: int = times) -> Value:
            return consumed_by_branch(e, negated(e, e.emit(op, operands(e, [row])), times))

        assert run(machine, loop(types, I32, branch), types, I32, rows) == [7 if yes else 9 for yes in wanted]
        for type, yes, no in ((I32, 7, 9), (I64, 1 << 40, 3), (F32, 0x3F80_0000, 0), (F64, 1 << 62, 5)):

            def select(e: Emitter, row: Value, times: int = times, type: int = type) -> Value:
                return consumed_by_select(e, negated(e, e.emit(op, operands(e, [row])), times), type)

            assert run(machine, loop(types, type, select), types, type, rows) == [yes if true else no for true in wanted]


@pytest.mark.parametrize("name", TESTS)
def test_condition_consumed_often(machine: Machine, name: str) -> None:
    """Two selects, a branch and a plain use share one comparison."""
    op = ops.BY_NAME[name]
    types = operand_types(name)

    def body(e: Emitter, row: Value) -> Value:
        test = e.emit(op, from_memory(types)(e, [row]))
        first = consumed_by_select(e, test, I32)
        second = e.emit(ops.SELECT, [e.const(I32, 100), e.const(I32, 200), test], type=I32)
        total = e.emit(ops.I32_ADD, [e.emit(ops.I32_ADD, [first, second]), e.emit(ops.I32_NE, [test, e.const(I32, 0)])])
        return e.emit(ops.I32_ADD, [total, consumed_by_branch(e, test)])

    rows = all_rows(types)
    expected = [7 + 100 + 1 + 7 if MODELS[name](*row) else 9 + 200 + 9 for row in rows]
    assert run(machine, loop(types, I32, body), types, I32, rows) == expected


@pytest.mark.parametrize("name", TESTS)
def test_condition_traps(machine: Machine, name: str) -> None:
    types = operand_types(name)
    func = Func("traps", -1, bytes([I64]), bytes([I32]), CONV_C)
    e = Emitter(func)
    rows = e.block.params[0]
    e.emit(ops.TRAPIF, [e.emit(ops.BY_NAME[name], from_memory(types)(e, [rows]))], 3)
    e.ret([e.const(I32, 1)])
    call = machine.callable(func)
    for row in all_rows(types)[::7]:
        buffer = ctypes.create_string_buffer(b"".join(bits.to_bytes(8, "little") for bits in row), ROW)
        assert call(ctypes.addressof(buffer)) == (TRAPPED if MODELS[name](*row) else 1)
