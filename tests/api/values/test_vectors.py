"""Vectors between Python and WebAssembly: 16 bytes, lane 0 first, in calls, host functions, globals, listeners and suspended calls."""

from __future__ import annotations

import asyncio
from array import array
from typing import Any

import pytest

import figwasp
from tests.runtime.support import host, load

ONE = bytes(range(16))
TWO = bytes(range(16, 32))

TEXT = """(module
  (memory (export "memory") 1)
  (global $g (export "g") (mut v128) (v128.const i64x2 5 6))
  (func (export "same") (param v128) (result v128) (local.get 0))
  (func (export "exchange") (param v128) (result v128 i32 v128)
    (global.get $g) (i32.const 7) (global.set $g (local.get 0)) (global.get $g))
  (func (export "choose") (param v128 v128 i32) (result v128) (select (local.get 0) (local.get 1) (local.get 2)))
  (func (export "turn") (param v128 v128 i32) (result v128) (local v128)
    (loop
      (local.set 3 (local.get 0)) (local.set 0 (local.get 1)) (local.set 1 (local.get 3))
      (br_if 0 (local.tee 2 (i32.sub (local.get 2) (i32.const 1)))))
    (local.get 0))
  (func $many (export "many")
    (param v128 i32 v128 v128 v128 v128 v128 v128 v128 f32 v128 i64 v128) (result v128 v128 v128 v128 v128 v128 v128 v128 v128 f32)
    (local.get 12) (local.get 10) (local.get 8) (local.get 7) (local.get 6) (local.get 5) (local.get 4) (local.get 3)
    (local.get 0) (local.get 9))
  (func (export "nested") (param v128 v128) (result v128)
    (call $many (local.get 0) (i32.const 1) (local.get 1) (local.get 1) (local.get 1) (local.get 1) (local.get 1) (local.get 1)
      (local.get 1) (f32.const 2) (local.get 1) (i64.const 3) (local.get 1))
    drop (global.set $g) drop drop drop drop drop drop drop)
  (func (export "move") (param i32 v128) (result v128)
    (v128.store (local.get 0) (local.get 1)) (v128.load offset=3 (local.get 0))))"""


@pytest.fixture
def instance() -> figwasp.Instance:
    return load(TEXT)


def test_parameters_and_results(instance: figwasp.Instance) -> None:
    assert instance.same(ONE) == ONE
    assert type(instance.same(ONE)) is bytes
    assert instance.exchange(ONE) == (bytes([5, *7 * [0], 6, *7 * [0]]), 7, ONE)
    assert instance.choose(ONE, TWO, 1) == ONE
    assert instance.choose(ONE, TWO, 0) == TWO
    assert [instance.turn(ONE, TWO, count) for count in (1, 2, 7)] == [TWO, ONE, TWO]
    assert instance.same.type.params == instance.same.type.results == (figwasp.types.V128,)


def test_more_than_registers_hold(instance: figwasp.Instance) -> None:
    values: list[Any] = [bytes([number]) * 16 for number in range(13)]
    values[1], values[9], values[11] = 4, 2.5, 77
    assert instance.many(*values) == tuple(values[number] for number in (12, 10, 8, 7, 6, 5, 4, 3, 0, 9))
    assert instance.nested(ONE, TWO) == TWO
    assert instance.g.value == ONE


@pytest.mark.parametrize("kind", [bytearray, memoryview, lambda data: memoryview(array("I", data))])
def test_other_buffers(instance: figwasp.Instance, kind: Any) -> None:
    assert instance.same(kind(ONE)) == ONE
    instance.g.value = kind(TWO)
    assert instance.g.value == TWO


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (3, TypeError, r"argument 1 of same\(\) must be 16 bytes \(v128\), not int"),
        (None, TypeError, "not NoneType"),
        ("0123456789abcdef", TypeError, "not str"),
        (ONE[:15], ValueError, r"must be 16 bytes \(v128\), not 15"),
        (ONE + b"x", ValueError, "not 17"),
    ],
)
def test_what_is_no_vector(instance: figwasp.Instance, value: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        instance.same(value)
    with pytest.raises(error):
        instance.g.value = value
    assert instance.same(ONE) == ONE


def test_memory_and_its_end(instance: figwasp.Instance) -> None:
    assert instance.move(100, ONE) == ONE[3:] + bytes(3)
    assert instance.memory[100:116] == ONE
    with pytest.raises(figwasp.Trap, match="out of bounds"):
        instance.move(65536 - 15, ONE)
    with pytest.raises(figwasp.Trap, match="out of bounds"):  # the store is in bounds, the load is not
        instance.move(65536 - 16, TWO)
    assert instance.memory[65520:] == TWO


HOST = """(module (import "host" "f" (func $f (param v128 i32) (result v128)))
  (import "host" "two" (func $two (param i32) (result v128 v128)))
  (func (export "call") (param v128 i32) (result v128) (call $f (local.get 0) (local.get 1)))
  (func (export "second") (result v128) (call $two (i32.const 3)) (return)))"""


def test_host_functions() -> None:
    answers: list[Any] = [TWO, bytearray(TWO), 5, b"short"]
    seen: list[Any] = []

    def f(vector: bytes, number: int) -> Any:
        seen.append((vector, number))
        return answers.pop(0)

    instance = load(HOST, host(f=f, two=lambda number: (ONE, bytes([number]) * 16)))
    assert instance.call(ONE, 9) == TWO
    assert instance.call(ONE, 9) == TWO
    assert seen == 2 * [(ONE, 9)]
    with pytest.raises(TypeError, match=r"must be 16 bytes \(v128\), not int"):
        instance.call(ONE, 9)
    with pytest.raises(ValueError, match=r"must be 16 bytes \(v128\), not 5"):
        instance.call(ONE, 9)
    assert instance.second() == bytes([3]) * 16


def test_suspended_calls() -> None:
    async def f(vector: bytes, number: int) -> bytes:
        await asyncio.sleep(0)
        return vector[::-1] if number else vector

    instance = load(HOST, host(f=f, two=lambda number: (ONE, TWO)))
    assert asyncio.run(instance.acall.call(ONE, 1)) == ONE[::-1]
    assert asyncio.run(instance.acall.second()) == TWO


def test_listeners() -> None:
    heard: list[Any] = []

    class Listener:
        def before(self, func: Any, args: tuple[Any, ...], depth: int) -> None:
            heard.append(args)

        def after(self, func: Any, results: tuple[Any, ...], depth: int) -> None:
            heard.append(results)

    module = figwasp.Module(figwasp.wat(TEXT), engine=figwasp.Engine(listener=lambda func: Listener()))
    instance = module.instantiate()
    assert instance.exchange(ONE)[1:] == (7, ONE)
    assert heard == [(ONE,), (bytes([5, *7 * [0], 6, *7 * [0]]), 7, ONE)]


def test_globals_of_the_host() -> None:
    level = figwasp.Global("v128", ONE, mutable=True)
    text = """(module (import "host" "level" (global $level (mut v128)))
      (global (export "fixed") v128 (v128.const i32x4 1 2 3 4))
      (func (export "read") (result v128) (global.get $level))
      (func (export "write") (param v128) (global.set $level (local.get 0))))"""
    instance = load(text, host(level=level))
    assert instance.read() == ONE
    instance.write(TWO)
    assert level.value == TWO
    level.value = ONE
    assert instance.read() == ONE
    assert list(memoryview(instance.fixed.value).cast("I")) == [1, 2, 3, 4]
    assert repr(level) == f"<figwasp.Global mut v128 {ONE!r}>"


def test_fuel_and_polls_keep_vectors() -> None:
    module = figwasp.Module(figwasp.wat(TEXT), engine=figwasp.Engine(fuel=10_000_000))
    assert module.instantiate().turn(ONE, TWO, 100_001) == TWO
