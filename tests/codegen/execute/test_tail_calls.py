"""Tail calls through a pointer: stack arguments of any number, instances that are left, and the caller's instance afterwards."""

from __future__ import annotations

import itertools

import pytest

from figwasp.ir import ops
from figwasp.ir.build.emitter import Emitter
from figwasp.ir.func import Call, Value
from figwasp.ir.ops import F64, I32, I64
from tests.codegen.execute.machine import Machine
from tests.codegen.execute.test_execute_calls import INSTANCE, call, run, wasm_func

OTHER = 0x0FED_CBA9_8765_4321
COUNTS = [0, 1, 7, 8, 9, 10, 12, 31]
"""Numbers of i64 parameters: seven are passed in registers, the rest in cells of the stack, of which an even number is reserved."""


@pytest.fixture(scope="module")
def machine() -> Machine:
    return Machine()


def total(e: Emitter, values: list[Value]) -> Value:
    """Add up values, each times its place from 1."""
    result = e.const(I64, 0)
    for place, value in enumerate(values, 1):
        result = e.emit(ops.I64_ADD, [result, e.emit(ops.I64_MUL, [value, e.const(I64, place)])])
    return result


def last(machine: Machine, count: int) -> int:
    """Install C: returns what its parameters add up to, and its instance."""
    func, e = wasm_func(bytes([I64] * count), bytes([I64, I64]))
    instance, *params = e.block.params
    e.ret([total(e, params), instance])
    return machine.install(func)


def leaver(machine: Machine, count: int, code: int, passed: int, instance: int | None, frame: int = 0) -> int:
    """Install B: tail-calls `code` with parameter k + 1 or a constant as argument k; `instance`: another one, None for its own."""
    func, e = wasm_func(bytes([I64] * count), bytes([I64, I64]))
    own, *params = e.block.params
    if frame:
        area = e.emit(ops.FRAME_AREA, [], frame)
        e.store(ops.I64_STORE, own, area, 0)
        own = e.load(ops.I64_LOAD, area, 0)
    args = [params[(k + 1) % count] if k % 3 != 2 and count else e.const(I64, 1000 + k) for k in range(passed)]
    target = own if instance is None else e.const(I64, instance)
    e.emit(ops.TAIL_PTR, [e.const(I64, code), target, *args], Call(bytes([I64] * passed), bytes([I64, I64])))
    return machine.install(func)


def outer(machine: Machine, count: int, code: int) -> int:
    """Install A: calls `code` in its own instance with 1, 2, 3, ..., and returns the results and its instance, seen afterwards."""
    func, e = wasm_func(b"", bytes([I64] * 4))
    instance = e.block.params[0]
    kept = e.emit(ops.I64_ADD, [instance, e.const(I64, 5)])
    args = [e.const(I64, k + 1) for k in range(count)]
    results = call(e, ops.CALL_PTR, [e.const(I64, code), instance, *args], Call(bytes([I64] * count), bytes([I64, I64])))
    e.ret([*results, instance, kept])
    return machine.install(func)


def expected(count: int, passed: int) -> int:
    args = [(k + 1) % count + 1 if k % 3 != 2 and count else 1000 + k for k in range(passed)]
    return sum(place * value for place, value in enumerate(args, 1))


@pytest.mark.parametrize("instance", [OTHER, INSTANCE, None], ids=["another", "the same by another way", "its own"])
@pytest.mark.parametrize(("count", "passed"), list(itertools.product(COUNTS, COUNTS)))
def test_the_caller_has_its_instance_and_its_stack_again(machine: Machine, count: int, passed: int, instance: int | None) -> None:
    code = leaver(machine, count, last(machine, passed), passed, instance)
    found = run(machine, outer(machine, count, code), b"", bytes([I64] * 4), [])
    assert found == [expected(count, passed), instance or INSTANCE, INSTANCE, INSTANCE + 5]


@pytest.mark.parametrize("frame", [16, 200, 5000])
@pytest.mark.parametrize("instance", [OTHER, None])
def test_from_frames_of_any_size(machine: Machine, instance: int | None, frame: int) -> None:
    for count, passed in ((0, 12), (12, 0), (9, 10)):
        code = leaver(machine, count, last(machine, passed), passed, instance, frame)
        found = run(machine, outer(machine, count, code), b"", bytes([I64] * 4), [])
        assert found == [expected(count, passed), instance or INSTANCE, INSTANCE, INSTANCE + 5]


@pytest.mark.parametrize("count", [1, 8, 20])
def test_a_chain_that_leaves_and_comes_back(machine: Machine, count: int) -> None:
    """From the first instance to another, on to a third, back to the first: each finds its own, and the caller its own at the end."""
    code = last(machine, count)
    for instance in (INSTANCE, OTHER ^ 1, None, OTHER, None):
        code = leaver(machine, count, code, count, instance)
    found = run(machine, outer(machine, count, code), b"", bytes([I64] * 4), [])
    assert found[1:] == [INSTANCE, INSTANCE, INSTANCE + 5]


@pytest.mark.parametrize("counts", [(2, 2), (2, 12), (9, 10)])
@pytest.mark.parametrize("instances", [(INSTANCE, OTHER), (OTHER, INSTANCE), (OTHER, OTHER ^ 1)])
def test_the_stack_stays_constant(machine: Machine, counts: tuple[int, int], instances: tuple[int, int]) -> None:
    """Three million mutual tail calls between two instances: a word a call would be more than any stack holds."""
    cells = [machine.address + 8 * 4000, machine.address + 8 * 4001]  # where each finds the address of the other
    for number in (0, 1):
        count, other = counts[number], counts[1 - number]
        func, e = wasm_func(bytes([I64] * count), bytes([I64, I64]))
        instance, *params = e.block.params
        more, done = e.func.new_block(), e.func.new_block()
        e.brif(e.emit(ops.I64_NE, [params[0], e.const(I64, 0)]), more, done)
        e.block = more
        left = e.emit(ops.I64_SUB, [params[0], e.const(I64, 1)])
        code = e.load(ops.I64_LOAD, e.const(I64, cells[1 - number]), 0)
        args = [left, *[params[min(k, count - 1)] for k in range(1, other)]]
        e.emit(ops.TAIL_PTR, [code, e.const(I64, instances[1 - number]), *args], Call(bytes([I64] * other), bytes([I64, I64])))
        e.block = done
        e.ret([params[-1], instance])
        machine.set_cell(4000 + number, machine.install(func))
    func, e = wasm_func(b"", bytes([I64] * 3))
    instance = e.block.params[0]
    args = [e.const(I64, 3_000_000), *[e.const(I64, 77)] * (counts[0] - 1)]
    code = e.load(ops.I64_LOAD, e.const(I64, cells[0]), 0)
    results = call(e, ops.CALL_PTR, [code, e.const(I64, instances[0]), *args], Call(bytes([I64] * counts[0]), bytes([I64, I64])))
    e.ret([*results, instance])
    assert run(machine, machine.install(func), b"", bytes([I64] * 3), []) == [77, instances[0], INSTANCE]


def test_results_in_memory_and_floats_pass(machine: Machine) -> None:
    """The area for results that the caller gave goes on to the callee, as a stack argument where registers do not suffice."""
    results = bytes([I64] * 9 + [F64])
    params = bytes([I64] * 8 + [F64] * 9 + [I32])
    func, e = wasm_func(params, results)
    e.ret([*e.block.params[1:9], e.block.params[0], e.block.params[17]])
    code = machine.install(func)
    func, e = wasm_func(bytes([I64]), results)
    args = [e.emit(ops.I64_ADD, [e.block.params[1], e.const(I64, k)]) for k in range(8)]
    floats = [e.const(F64, 0x3FF0_0000_0000_0000 + k) for k in range(9)]
    e.emit(ops.TAIL_PTR, [e.const(I64, code), e.const(I64, OTHER), *args, *floats, e.const(I32, 9)], Call(params, results))
    found = run(machine, machine.install(func), bytes([I64]), results, [100])
    assert found == [*range(100, 108), OTHER, 0x3FF0_0000_0000_0008]
