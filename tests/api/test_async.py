"""Async host functions: calls suspended on their own stacks, several in flight, ended in every way there is."""

from __future__ import annotations

import asyncio
import ctypes
import functools
import gc
import threading
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import figwasp
from tests.environment import HANG_GUARD

TEXT = """
(module $calls
  (import "host" "get" (func $get (param i32) (result i32)))
  (import "host" "plain" (func $plain (param i32) (result i32)))
  (import "host" "many" (func $many (param i64 f64 f32) (result f64 i64 i32 f32)))
  (import "host" "nothing" (func $nothing))
  (memory (export "memory") 1)
  (global $seen (export "seen") (mut i32) (i32.const 0))
  (func (export "sum") (param i32) (result i32)
    (i32.add (call $get (local.get 0)) (call $get (i32.const 5))))
  (func (export "count") (param $n i32) (result i32) (local $total i32)
    (loop $next
      (local.set $total (i32.add (local.get $total) (call $get (local.get $n))))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $total))
  (func (export "many") (param i64 f64 f32) (result f64 i64 i32 f32)
    (call $many (local.get 0) (local.get 1) (local.get 2)))
  (func $wide (export "wide") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)
    (call $get (local.get 0)) (local.get 1) (local.get 2) (local.get 3) (local.get 4)
    (local.get 5) (local.get 6) (local.get 7) (local.get 8) (call $get (local.get 9)))
  (func (export "through_python") (param i32) (result i32) (call $plain (local.get 0)))
  (func (export "trap") (drop (call $get (i32.const 1))) (unreachable))
  (func $deep (export "deep") (param i32) (result i32)
    (if (result i32) (local.get 0)
      (then (i32.add (call $deep (i32.sub (local.get 0) (i32.const 1))) (i32.const 1)))
      (else (call $get (i32.const 0)))))
  (func (export "note") (global.set $seen (i32.add (global.get $seen) (i32.const 1))) (call $nothing))
  (func (export "keep") (param externref i32) (result externref)
    (drop (call $get (local.get 1))) (local.get 0))
  (func (export "plain_add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "spin") (drop (call $get (i32.const 1))) (loop (br 0)))
  (export "get" (func $get)))
"""

Run = Callable[[Coroutine[Any, Any, Any]], Any]


async def double(number: int) -> int:
    """Wait a moment and answer."""
    await asyncio.sleep(0)
    return 2 * number


async def many(a: int, b: float, c: float) -> tuple[float, int, int, float]:
    """Answer with several results."""
    await asyncio.sleep(0)
    return 2 * b, a + 1, 7, -c


async def nothing() -> None:
    """Wait a moment."""
    await asyncio.sleep(0)


def finish(call: Coroutine[Any, Any, Any]) -> Any:
    """Run a call to its end without an event loop; return what it returns."""
    while True:
        try:
            call.send(None)
        except StopIteration as done:
            return done.value


def make(get: Any = double, plain: Any = abs) -> figwasp.Instance:
    """Return an instance of the module above."""
    return figwasp.load(figwasp.wat(TEXT), {"host": {"get": get, "plain": plain, "many": many, "nothing": nothing}})


def test_results_come_back_where_they_belong() -> None:
    calls = make().acall
    assert asyncio.run(calls.sum(1)) == 12
    assert asyncio.run(calls["many"](5, 1.5, 0.25)) == (3.0, 6, 7, -0.25)
    assert asyncio.run(calls.wide(*range(1, 11))) == (2, 2, 3, 4, 5, 6, 7, 8, 9, 20)
    assert asyncio.run(calls.deep(500)) == 500
    assert asyncio.run(calls.plain_add(2, 3)) == 5
    assert asyncio.run(calls.get(21)) == 42


def test_values_in_registers_survive_a_suspension() -> None:
    locals_ = " ".join(f"(local.set {i} (call $get (i32.const {i})))" for i in range(24))
    adds = "(i32.const 0) " + " ".join(f"(i32.mul (local.get {i}) (i32.const {i})) i32.add" for i in range(24))
    text = f"""(module (import "h" "get" (func $get (param i32) (result i32)))
        (func (export "f") (result i32) (local {"i32 " * 24}) {locals_} {adds}))"""
    instance = figwasp.load(figwasp.wat(text), {"h": {"get": double}})
    assert asyncio.run(instance.acall.f()) == sum(2 * i * i for i in range(24))


def test_many_calls_in_flight() -> None:
    order: list[int] = []

    async def get(number: int) -> int:
        await asyncio.sleep(0.001 * (number % 7))
        order.append(number)
        return number

    instance = make(get)

    async def run() -> list[int]:
        return list(await asyncio.gather(*[instance.acall.sum(n) for n in range(200)]))

    assert asyncio.run(run()) == [n + 5 for n in range(200)]
    assert order[:200] != sorted(order[:200])


def test_other_calls_run_while_one_is_suspended() -> None:
    instance = make()

    async def run() -> None:
        first = asyncio.ensure_future(instance.acall.count(50))
        seen = 0
        while not first.done():
            assert instance.plain_add(20, 22) == 42
            await instance.acall.note()
            seen += 1
        assert first.result() == 2 * sum(range(51))
        assert instance.seen.value == seen > 10

    asyncio.run(run())


def test_a_host_function_may_await_calls_of_the_same_instance() -> None:
    async def get(number: int) -> int:
        return int(await instance.acall.plain_add(number, 1))

    instance = make(get)
    assert asyncio.run(instance.acall.sum(1)) == 2 + 6


def test_calls_that_await_each_other_without_end() -> None:
    async def get(number: int) -> int:
        return int(await instance.acall.sum(number))

    instance = make(get)
    # ctypes gives a RecursionError that it meets while converting arguments another class.
    with pytest.raises((RecursionError, ctypes.ArgumentError), match="recursion"):
        asyncio.run(instance.acall.sum(1))
    assert instance.plain_add(1, 2) == 3


def test_exceptions_of_the_host_function_pass_through() -> None:
    class Odd(BaseException):
        pass

    error = Odd("thirteen")

    async def get(number: int) -> int:
        await asyncio.sleep(0)
        if number == 13:
            raise error
        return number

    instance = make(get)
    with pytest.raises(Odd) as caught:
        finish(instance.acall.sum(13))
    assert caught.value is error
    assert asyncio.run(instance.acall.sum(1)) == 6


def test_a_wrong_answer_is_an_error_where_it_was_awaited() -> None:
    async def get(number: int) -> str:
        await asyncio.sleep(0)
        return "no number"

    instance = make(get)
    with pytest.raises(TypeError, match=r"result of host\.get\(\) must be an int"):
        asyncio.run(instance.acall.sum(1))


def test_cancelling_ends_the_call() -> None:
    ended: list[str] = []

    async def get(number: int) -> int:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("get")
        return number

    instance = make(get)

    async def run() -> None:
        task = asyncio.ensure_future(instance.acall.sum(1))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert ended == ["get"]
    assert instance.plain_add(1, 2) == 3


def test_closing_and_forgetting_a_suspended_call() -> None:
    async def get(number: int) -> int:
        await Never()
        return number

    class Never:
        def __await__(self) -> Any:
            yield self

    instance = make(get)
    closed = instance.acall.sum(1)
    closed.send(None)
    closed.close()
    forgotten = instance.acall.deep(100)
    forgotten.send(None)
    del forgotten
    gc.collect()
    unstarted = instance.acall.sum(1)
    unstarted.close()
    assert instance.plain_add(1, 2) == 3


def test_a_suspended_call_keeps_its_instance() -> None:
    instance = make()
    memory = weakref.ref(instance)
    call = instance.acall.count(3)
    call.send(None)
    del instance
    gc.collect()
    assert finish(call) == 12
    del call
    gc.collect()
    assert memory() is None


def test_references_live_as_long_as_the_call() -> None:
    class Thing:
        pass

    instance = make()

    async def run() -> None:
        thing = Thing()
        gone = weakref.ref(thing)
        task = asyncio.ensure_future(instance.acall.keep(thing, 3))
        del thing
        await asyncio.sleep(0)
        for n in range(20):
            assert isinstance(await instance.acall.keep(Thing(), n), Thing)
            instance.plain_add(1, n)
        assert gone() is not None
        assert isinstance(await task, Thing)
        del task
        await asyncio.sleep(0)
        gc.collect()
        instance.plain_add(1, 2)
        assert gone() is None

    asyncio.run(run())


def test_a_call_with_references_waits_for_one_that_takes_turns() -> None:
    instance = make()

    async def run() -> None:
        other = asyncio.ensure_future(instance.acall.spin(timeout=0.3))
        while not instance._state.store.current.turn and not other.done():
            await asyncio.sleep(0)
        thing = object()
        assert await instance.acall.keep(thing, 3) is thing
        with pytest.raises(figwasp.Timeout):
            await other

    asyncio.run(run())


def test_a_trap_after_a_suspension_has_its_frames() -> None:
    with pytest.raises(figwasp.Trap) as caught:
        asyncio.run(make().acall.trap())
    assert caught.value.code == "unreachable"
    assert [frame.func for frame in caught.value.frames] == [9]


def test_a_plain_call_says_how_to_call() -> None:
    instance = make()
    with pytest.raises(RuntimeError, match=r"host\.get\(\) is async.*acall"):
        instance.sum(1)
    with pytest.raises(RuntimeError, match=r"host\.get\(\) is async.*acall"):
        instance.get(1)
    assert asyncio.run(instance.acall.sum(1)) == 12


def test_python_in_between_cannot_be_suspended() -> None:
    instance: figwasp.Instance = make(plain=lambda n: instance.sum(n))
    with pytest.raises(RuntimeError, match="cannot suspend"):
        asyncio.run(instance.acall.through_python(1))

    def nested(number: int) -> int:
        return int(asyncio.run(other.acall.sum(number)))

    other: figwasp.Instance = make(plain=nested)
    # A loop of its own in between is a new chain, which may.
    assert other.through_python(1) == 12


def test_through_a_linked_instance() -> None:
    inner = make()
    text = """(module (import "inner" "sum" (func $sum (param i32) (result i32)))
        (func (export "outer") (param i32) (result i32) (i32.mul (call $sum (local.get 0)) (i32.const 10))))"""
    outer = figwasp.load(figwasp.wat(text), {"inner": inner})
    assert asyncio.run(outer.acall.outer(1)) == 120


def test_linking_while_a_call_is_suspended() -> None:
    instance = make()
    call = instance.acall.count(5)
    call.send(None)
    text = '(module (import "i" "plain_add" (func $f (param i32 i32) (result i32))) (func (export "g") (result i32) (call $f (i32.const 1) (i32.const 2))))'
    users = [figwasp.load(figwasp.wat(text), {"i": instance}) for _ in range(3)]
    assert [user.g() for user in users] == [3, 3, 3]
    assert finish(call) == 30


def test_what_counts_as_async() -> None:
    class Callable_:
        async def __call__(self, number: int) -> int:
            return number + 1

        async def method(self, base: int, number: int) -> int:
            return base + number

    for get, expected in (
        (Callable_(), 2 + 6),
        (functools.partial(Callable_().method, 10), 11 + 15),
        (make().acall.sum, 12 + 20),
    ):
        assert asyncio.run(make(get).acall.sum(1)) == expected


def test_resumed_on_another_thread() -> None:
    instance = make()
    call = instance.acall.count(3)
    call.send(None)
    results: list[int] = []

    thread = threading.Thread(target=lambda: results.append(finish(call)))
    thread.start()
    thread.join()
    assert results == [12]
    assert instance.plain_add(1, 1) == 2


def test_another_thread_finds_the_store_busy() -> None:
    entered, leave = threading.Event(), threading.Event()

    def wait(number: int) -> int:
        entered.set()
        assert leave.wait(HANG_GUARD)
        return number

    instance = make(plain=wait)
    thread = threading.Thread(target=lambda: asyncio.run(instance.acall.through_python(1)))
    thread.start()
    assert entered.wait(HANG_GUARD)
    with pytest.raises(figwasp.Busy):
        instance.plain_add(1, 2)
    call = instance.acall.sum(1)
    with pytest.raises(figwasp.Busy):
        call.send(None)
    leave.set()
    thread.join()
    assert instance.plain_add(1, 2) == 3


def test_names_and_mistakes() -> None:
    instance = make()
    assert "sum" in list(instance.acall) and "memory" not in list(instance.acall)
    assert "sum" in dir(instance.acall)
    assert "AsyncFunc" in repr(instance.acall.sum)
    with pytest.raises(AttributeError, match="no export 'nope'"):
        _ = instance.acall.nope
    with pytest.raises(TypeError, match="no function but a Memory"):
        _ = instance.acall.memory
    with pytest.raises(TypeError, match="takes 1 arguments"):
        asyncio.run(instance.acall.sum())
    with pytest.raises(TypeError, match="must be an int"):
        asyncio.run(instance.acall.sum("x"))


def test_nothing_is_left_behind() -> None:
    from figwasp.runtime.objects import suspend

    instance = make()
    before = {*suspend._chains}  # what other tests have left to the collector

    async def run(count: int) -> None:
        for _ in range(count):
            await instance.acall.sum(1)
            await asyncio.gather(*[instance.acall.sum(n) for n in range(40)])

    asyncio.run(run(3))
    assert {*suspend._chains} <= before
    assert not instance._state.store.current._chains


def test_a_timeout_while_computing_and_while_waiting() -> None:
    async def get(number: int) -> int:
        if number == 2:
            await asyncio.sleep(600)
        return number

    instance = make(get)
    with pytest.raises(figwasp.Timeout) as caught:
        asyncio.run(instance.acall.spin(timeout=0.05))
    assert caught.value.frames
    with pytest.raises(figwasp.Timeout):
        asyncio.run(instance.acall.sum(2, timeout=0.05))
    assert asyncio.run(instance.acall.sum(1, timeout=HANG_GUARD)) == 6
    with pytest.raises(TypeError, match="no keyword argument 'seconds'"):
        asyncio.run(instance.acall.sum(1, seconds=2))  # type: ignore[call-arg]

    # A timeout of the host function's own is an exception like any other.
    async def own(number: int) -> int:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(600)
        return number

    with pytest.raises(TimeoutError) as mine:
        asyncio.run(make(own).acall.sum(1, timeout=600))
    assert not isinstance(mine.value, figwasp.Timeout)


def test_fuel_is_shared_by_calls_in_flight() -> None:
    engine = figwasp.Engine(fuel=True)
    imports = {"host": {"get": double, "plain": abs, "many": many, "nothing": nothing}}
    instance = figwasp.load(figwasp.wat(TEXT), imports, engine=engine)
    instance.fuel = 1_000_000
    asyncio.run(instance.acall.sum(1))
    one = 1_000_000 - instance.fuel
    assert one > 0

    async def run() -> None:
        await asyncio.gather(*[instance.acall.sum(1) for _ in range(10)])

    instance.fuel = 1_000_000
    asyncio.run(run())
    assert 1_000_000 - instance.fuel == 10 * one
    instance.fuel = 5 * one
    with pytest.raises(figwasp.OutOfFuel):
        asyncio.run(run())
