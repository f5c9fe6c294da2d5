"""Calls of every kind, compiled and run: registers, stack cells, result areas, branches through tables, frames."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Callable

import pytest

from figwasp.ir import ops, order
from figwasp.ir.build.emitter import Emitter
from figwasp.ir.func import CONV_C, Call, Func, Value
from figwasp.ir.ops import F32, F64, I32, I64
from figwasp.ir.text import parse
from figwasp.ir.verify import verify
from tests.codegen.execute.machine import Machine

INSTANCE = 0x1234_5678_9ABC_DEF0
LOADS = (ops.I32_LOAD, ops.I64_LOAD, ops.F32_LOAD, ops.F64_LOAD)
STORES = (ops.I32_STORE, ops.I64_STORE, ops.F32_STORE, ops.F64_STORE)
ADDS = (ops.I32_ADD, ops.I64_ADD, ops.F32_ADD, ops.F64_ADD)
MIXED = bytes([I32, F64, I64, F32])
SIGNATURES = [
    (b"", b""),
    (bytes([I32]), bytes([I32])),
    (bytes([F32, F64]), bytes([F64, F32])),
    (bytes([I64] * 7), bytes([I64] * 7)),
    (bytes([I32] * 8), bytes([I32] * 8)),
    (MIXED * 3, MIXED),
    (MIXED * 6, MIXED * 6),
    (bytes([F32] * 9 + [I32] * 9), bytes([F32] * 9 + [I32] * 9)),
    (b"", bytes([I64] * 12)),
    (bytes([F64] * 20), b""),
]
_indexes = itertools.count()


@pytest.fixture(scope="module")
def machine() -> Machine:
    return Machine()


def wasm_func(params: bytes, results: bytes) -> tuple[Func, Emitter]:
    func = Func("callee", next(_indexes), bytes([I64]) + params, results)
    return func, Emitter(func)


def mix(e: Emitter, inputs: list[Value], results: bytes) -> list[Value]:
    """Compute results that depend on all inputs of their type and on their number."""
    made = []
    for number, type in enumerate(results):
        bits = {I32: number + 1, I64: number + 1, F32: 0x3F80_0000, F64: 0x3FF0_0000_0000_0000}[type]
        value = e.const(type, bits)
        for place, other in enumerate(inputs):
            if other.type == type and place >= number % 3:
                value = e.emit(ADDS[type], [value, other])
        made.append(value)
    return made


def call(e: Emitter, op: int, args: list[Value], info: Call) -> list[Value]:
    """Emit a call and the projections of its results."""
    first = e.emit(op, args, info, info.results[0] if info.results else ops.VOID)
    rest = [e.emit(ops.RESULT, [first], number, type) for number, type in enumerate(info.results) if number]
    return [first, *rest] if info.results else []


def stub(machine: Machine, address: int, params: bytes, results: bytes) -> Callable[..., int]:
    """Make f(inputs, outputs), which enters a wasm function with as many parameters as fit in registers."""
    func = Func("enter", -1, bytes([I64, I64]), b"", CONV_C)
    e = Emitter(func)
    inputs, outputs = e.block.params
    args = [e.load(LOADS[type], inputs, 8 * number) for number, type in enumerate(params)]
    head = [e.const(I64, address), e.const(I64, INSTANCE)]
    for number, value in enumerate(call(e, ops.ENTER_WASM, head + args, Call(params, results))):
        e.store(STORES[value.type], value, outputs, 8 * number)
    e.ret([])
    return machine.callable(func)


def run(machine: Machine, address: int, params: bytes, results: bytes, bits: list[int]) -> list[int]:
    """Call a wasm function through a stub."""
    source = ctypes.create_string_buffer(b"".join(value.to_bytes(8, "little") for value in bits), 8 * len(bits) + 8)
    target = ctypes.create_string_buffer(8 * len(results) + 8)
    stub(machine, address, params, results)(ctypes.addressof(source), ctypes.addressof(target))
    sizes = [4 if type in (I32, F32) else 8 for type in results]
    return [int.from_bytes(target.raw[8 * k : 8 * k + size], "little") for k, size in enumerate(sizes)]


def number_bits(type: int, number: int) -> int:
    """Give the bits of a small number."""
    if type < F32:
        return number
    c_type = ctypes.c_float if type == F32 else ctypes.c_double
    return int.from_bytes(bytes(c_type(number)), "little")


def expected_mix(inputs: list[tuple[int, int]], results: bytes) -> list[int]:
    """Do what `mix` does, on (type, small number)."""
    totals = []
    for number, type in enumerate(results):
        total = number + 1 if type < F32 else 1
        total += sum(value for place, (other, value) in enumerate(inputs) if other == type and place >= number % 3)
        totals.append(number_bits(type, total))
    return totals


@pytest.mark.parametrize("kind", ["direct", "pointer", "folded", "builtin"])
@pytest.mark.parametrize("signature", range(len(SIGNATURES)))
def test_call(machine: Machine, signature: int, kind: str) -> None:
    """An outer function calls an inner one twice, with results and other values alive in between."""
    params, results = SIGNATURES[signature]
    inner, e = wasm_func(params, results)
    e.ret(mix(e, e.block.params[1:], results))
    address = machine.install(inner)
    machine.set_builtin(inner.index, address)
    outer, e = wasm_func(bytes([I64]), bytes([I64]))
    instance, table = e.block.params
    numbers = list(range(2, 2 + len(params)))
    args = [e.const(type, number_bits(type, number)) for type, number in zip(params, numbers)]
    code = e.const(I64, address) if kind == "pointer" else e.load(ops.I64_LOAD, table, 8, ops.REGION_TABLE)
    if kind == "folded":
        code = e.load(ops.I64_LOAD, table, 8, ops.REGION_TABLE)

    def once() -> list[Value]:
        if kind == "direct":
            return call(e, ops.CALL, [instance, *args], Call(params, results, inner.index))
        if kind == "builtin":
            return call(e, ops.CALL_BUILTIN, [instance, *args], Call(params, results, inner.index))
        return call(e, ops.CALL_PTR, [code, e.const(I64, 99), *args], Call(params, results))

    first = once()
    total = e.const(I64, 5)
    if kind == "folded":
        code = e.load(ops.I64_LOAD, table, 8, ops.REGION_TABLE)
    for value in once() + first:
        wide = (ops.I64_EXTEND_I32_U, -1, ops.I64_TRUNC_F32_S, ops.I64_TRUNC_F64_S)[value.type]
        total = e.emit(ops.I64_ADD, [total, value if wide < 0 else e.emit(wide, [value])])
    e.ret([e.emit(ops.I64_ADD, [total, e.emit(ops.I64_XOR, [instance, e.const(I64, INSTANCE)])])])
    place = ctypes.create_string_buffer(bytes(8) + address.to_bytes(8, "little"), 16)
    (answer,) = run(machine, machine.install(outer), bytes([I64]), bytes([I64]), [ctypes.addressof(place)])
    plain = sum(n for n in _plain(expected_mix(list(zip(params, numbers)), results), results))
    assert answer == 5 + 2 * plain


def _plain(bits: list[int], types: bytes) -> list[int]:
    """Read small numbers back."""
    read = []
    for value, type in zip(bits, types):
        if type >= F32:
            size, c_type = (4, ctypes.c_float) if type == F32 else (8, ctypes.c_double)
            value = int(c_type.from_buffer_copy(value.to_bytes(size, "little")).value)
        read.append(value)
    return read


@pytest.mark.parametrize("signature", [n for n, (params, _) in enumerate(SIGNATURES) if len(params) <= 7 or n == 5])
def test_enter_wasm(machine: Machine, signature: int) -> None:
    params, results = SIGNATURES[signature]
    func, e = wasm_func(params, results)
    e.ret(mix(e, e.block.params[1:], results))
    numbers = list(range(3, 3 + len(params)))
    bits = [number_bits(type, number) for type, number in zip(params, numbers)]
    assert run(machine, machine.install(func), params, results, bits) == expected_mix(list(zip(params, numbers)), results)


def test_native_code(machine: Machine) -> None:
    """Wasm calls a C function; an i32 that comes back has a clean upper half whatever C left there."""
    prototype = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint64)
    native = prototype(lambda a, b, c, d: 0xDEAD_BEEF_0000_0000 + a + 2 * b + 3 * c + 4 * d)
    address = ctypes.cast(native, ctypes.c_void_p).value or 0
    func, e = wasm_func(bytes([I64, I32]), bytes([I64, I64]))
    instance, a, b = e.block.params
    args = [e.const(I64, address), a, b, e.const(I64, 30), e.const(I64, 40)]
    info = Call(bytes([I64, I32, I64, I64]), bytes([I32]))
    (value,) = call(e, ops.CALL_NATIVE, args, info)
    wide = e.emit(ops.I64_EXTEND_I32_U, [value])
    e.ret([e.emit(ops.I64_ADD, [wide, e.const(I64, 1)]), e.emit(ops.I64_ADD, [e.emit(ops.I64_ADD, [a, wide]), instance])])
    answers = run(machine, machine.install(func), bytes([I64, I32]), bytes([I64, I64]), [10, 20])
    total = 10 + 40 + 90 + 160
    assert answers == [total + 1, INSTANCE + 10 + total]


def test_c_function_called(machine: Machine) -> None:
    """A C-convention function calls another, with more arguments than registers."""
    types = [ctypes.c_int64] * 9 + [ctypes.c_double] * 2
    native = ctypes.CFUNCTYPE(ctypes.c_int64, *types)(lambda *args: int(sum((k + 1) * n for k, n in enumerate(args))))
    address = ctypes.cast(native, ctypes.c_void_p).value or 0
    func = Func("caller", -1, bytes([I64]), bytes([I64]), CONV_C)
    e = Emitter(func)
    args = [e.emit(ops.I64_ADD, [e.block.params[0], e.const(I64, k)]) for k in range(9)]
    args += [e.const(F64, number_bits(F64, 7)), e.const(F64, number_bits(F64, 8))]
    (value,) = call(e, ops.CALL_C, [e.const(I64, address), *args], Call(bytes([I64] * 9 + [F64] * 2), bytes([I64])))
    e.ret([e.emit(ops.I64_SUB, [value, args[8]])])
    expected = sum((k + 1) * n for k, n in enumerate([100 + k for k in range(9)] + [7, 8])) - 108
    assert machine.callable(func)(100) == expected


def test_c_parameters(machine: Machine) -> None:
    """The seventh integer comes on the stack; the upper half of an i32 is not trusted."""
    func = Func("params", -1, bytes([I64] * 6 + [I32, F64, I64]), bytes([I64]), CONV_C)
    e = Emitter(func)
    params = e.block.params
    total = e.emit(ops.I64_EXTEND_I32_U, [params[6]])
    for value in [*params[:6], params[8], e.emit(ops.I64_TRUNC_F64_S, [params[7]])]:
        total = e.emit(ops.I64_ADD, [e.emit(ops.I64_MUL, [total, e.const(I64, 3)]), value])
    e.ret([total])
    expected = 50
    for n in (1, 2, 3, 4, 5, 6, 7, 8):
        expected = 3 * expected + n
    assert machine.callable(func)(1, 2, 3, 4, 5, 6, 50, 8.5, 7) == expected


def test_dirty_i32_parameter(machine: Machine) -> None:
    func = Func("dirty", -1, bytes([I32, I64]), bytes([I64]), CONV_C)
    e = Emitter(func)
    narrow, base = e.block.params
    e.ret([e.emit(ops.I64_ADD, [base, e.emit(ops.I64_EXTEND_I32_U, [narrow])])])
    address = machine.install(func)
    call_wide = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint64)(address)
    assert call_wide(0xFFFF_FFFF_0000_0005, 100) == 105


@pytest.mark.parametrize("count", [1, 2, 3, 9, 300])
@pytest.mark.parametrize("bounded", [False, True])
def test_table_branch(machine: Machine, count: int, bounded: bool) -> None:
    """Every third successor is the same block with its own argument, the others are blocks of their own."""
    func = Func("table", -1, bytes([I32]), bytes([I32]), CONV_C)
    e = Emitter(func)
    index = e.block.params[0]
    if bounded:
        index = e.emit(ops.I32_AND, [index, e.const(I32, 7)])
    start = e.block
    numbers = [e.const(I32, 1000 + k % 5) for k in range(count)]
    join = Func("", -1, b"", b"").new_block()
    merged = func.new_param(join, I32)
    e.emit(ops.BRTABLE, [index])
    for k in range(count):
        if k % 3 == 0:
            start.succs.append(join)
            start.args.append([numbers[k]])
        else:
            e.block = func.new_block()
            start.succs.append(e.block)
            start.args.append([])
            e.ret([e.const(I32, k)])
    join.id = len(func.blocks)
    func.blocks.append(join)
    e.block = join
    e.ret([merged])
    run_it = machine.callable(func)
    for n in [0, 1, 2, 3, 4, 7, 8, 9, count - 1, count, count + 1, 0x7FFF_FFFF, 0xFFFF_FFFF]:
        k = min(n & 7 if bounded else n, count - 1)
        assert run_it(n) == (1000 + k % 5 if k % 3 == 0 else k)


def test_symbols(machine: Machine) -> None:
    """They are called, loaded, compared, added, passed over edges, and made anew where there are too few registers."""
    double = parse('func -1 "double" (i64) -> (i64) c {\nb0(v0: i64):\n  v1 = i64_add v0, v0\n  return v1\n}')
    order.run(double)
    machine.set_symbol("double", machine.install(double))
    values = {f"value.{number}": 0x1234_5678_9ABC_0000 + number * number for number in range(24)}
    for name, value in values.items():
        machine.set_symbol(name, value)
    loads = "".join(f"  v{10 + number} = symbol {name}\n" for number, name in enumerate(values))
    args = ", ".join(f"v{10 + number}" for number in range(24))
    sums = "".join(f"  v{80 + number} = i64_add v{79 + number}, v{50 + number}\n" for number in range(24))
    params = ", ".join(f"v{50 + number}: i64" for number in range(24))
    text = f"""func -1 "symbols" (i64) -> (i64) c {{
b0(v0: i64):
  v1 = symbol double
{loads}  v2 = i64_eq v0, v13
  v3 = i64_lt_u v13, v0
  v4 = i32_or v2, v3
  brif v4, b1, b2
b1:
  v5 = call_c v1, v12 : (i64) -> (i64)
  jump b3({args}, v5)
b2:
  v6 = i64_sub v0, v11
  jump b3({args}, v6)
b3({params}, v79: i64):
{sums}  v200 = call_c v1, v103 : (i64) -> (i64)
  return v200
}}"""
    func = parse(text)
    order.run(func)
    verify(func)
    run = machine.callable(func)
    third = values["value.3"]
    for given in (0, 1, third - 1, third, third + 1, 2**64 - 1):
        first = 2 * values["value.2"] if given >= third else given - values["value.1"]
        assert run(given) == 2 * (first + sum(values.values())) % 2**64


def test_frame_areas(machine: Machine) -> None:
    """Two areas and stack arguments of a call do not overlap, and areas are aligned to 16."""
    inner, e = wasm_func(bytes([I64] * 10), bytes([I64] * 9))
    e.ret(mix(e, e.block.params[1:], bytes([I64] * 9)))
    machine.install(inner)
    func, e = wasm_func(b"", bytes([I64, I64]))
    instance = e.block.params[0]
    first = e.emit(ops.FRAME_AREA, [], 24)
    second = e.emit(ops.FRAME_AREA, [], 8)
    for k in range(3):
        e.store(ops.I64_STORE, e.const(I64, 111 * (k + 1)), first, 8 * k)
    e.store(ops.I64_STORE, e.const(I64, 444), second, 0)
    call(e, ops.CALL, [instance, *[e.const(I64, k) for k in range(10)]], Call(bytes([I64] * 10), bytes([I64] * 9), inner.index))
    total = e.load(ops.I64_LOAD, second, 0)
    for k in range(3):
        total = e.emit(ops.I64_ADD, [total, e.load(ops.I64_LOAD, first, 8 * k)])
    low = e.emit(ops.I64_AND, [e.emit(ops.I64_OR, [first, second]), e.const(I64, 15)])
    e.ret([total, low])
    assert run(machine, machine.install(func), b"", bytes([I64, I64]), []) == [111 + 222 + 333 + 444, 0]


def test_context(machine: Machine) -> None:
    """The pinned register as a base and as a value; a poll changes nothing."""
    func, e = wasm_func(bytes([I64]), bytes([I64, I64]))
    e.emit(ops.POLL, [])
    context = e.emit(ops.CONTEXT, [])
    e.store(ops.I64_STORE, e.block.params[1], context, 200)
    e.ret([context, e.load(ops.I64_LOAD, context, 200)])
    assert run(machine, machine.install(func), bytes([I64]), bytes([I64, I64]), [77]) == [machine.context, 77]


def test_tail_call(machine: Machine) -> None:
    """The callee returns to the caller's caller, results in memory included."""
    results = bytes([I64] * 9)
    target, e = wasm_func(bytes([I64, F64]), results)
    e.ret(mix(e, e.block.params[1:], results))
    address = machine.install(target)
    func, e = wasm_func(bytes([F64]), results)
    instance, number = e.block.params
    args = [e.const(I64, address), instance, e.const(I64, 50), number]
    e.emit(ops.TAIL_PTR, args, Call(bytes([I64, F64]), results))
    answers = run(machine, machine.install(func), bytes([F64]), results, [number_bits(F64, 3)])
    assert answers == expected_mix([(I64, 50), (F64, 3)], results)
