"""Calls by `acall` that compute for long share the event loop with all else, and can be stopped."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any

import pytest

import figwasp

TEXT = """(module (import "env" "pause" (func $pause)) (import "env" "again" (func $again))
  (global $count (export "count") (mut i32) (i32.const 0))
  (func (export "spin") (loop (br 0)))
  (func $work (export "work") (param i32) (result i32) (local i32)
    (loop (local.set 1 (i32.add (local.get 1) (i32.const 3))) (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (local.get 1))
  (func (export "add_slowly") (param i32) (result i32) (local i32)
    (local.set 1 (global.get $count)) (drop (call $work (local.get 0)))
    (global.set $count (i32.add (local.get 1) (i32.const 1))) (global.get $count))
  (func (export "pause_and_spin") (call $pause) (loop (br 0)))
  (func (export "spin_below") (call $again))
  (func (export "floats") (param f64 f64 i64) (result f64 i64) (local i32)
    (local.set 3 (i32.const 30000000))
    (loop (local.set 0 (f64.add (local.get 0) (local.get 1))) (local.set 2 (i64.add (local.get 2) (i64.const 7)))
      (br_if 0 (local.tee 3 (i32.sub (local.get 3) (i32.const 1)))))
    (local.get 0) (local.get 2))
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "trap") (param i32) (drop (call $work (local.get 0))) (unreachable)))"""
MODULE = figwasp.Module(figwasp.wat(TEXT))
LONG = 50_000_000
WORKED = 3 * LONG


async def pause() -> None:
    await asyncio.sleep(0)


def make(again: Any = lambda: None) -> figwasp.Instance:
    return figwasp.load(MODULE, {"env": {"pause": pause, "again": again}})


async def rounds(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def ends(instance: figwasp.Instance) -> None:
    """Nothing is left of what has run there."""
    assert instance.add(1, 2) == 3
    store = instance._state.store.current
    assert not store.under_way and not store.turn


def test_the_loop_has_turns() -> None:
    """Something else runs a hundred rounds while calls are endless, and ends them."""

    async def run() -> None:
        instances = [make() for _ in range(4)]
        tasks = [asyncio.create_task(instance.acall.spin()) for instance in instances]
        await rounds(100)
        for task in tasks:
            assert not task.done()
            task.cancel()
        assert {type(error) for error in await asyncio.gather(*tasks, return_exceptions=True)} == {asyncio.CancelledError}
        for instance in instances:
            ends(instance)

    asyncio.run(run())


def test_results_are_as_ever() -> None:
    """Registers, the stack, results in memory and traps are the same after turns."""

    async def run() -> None:
        instance = make()
        other = asyncio.create_task(rounds(10**9))
        assert await instance.acall.work(LONG) == WORKED
        assert await instance.acall.floats(0.5, 0.25, 5) == (0.5 + 0.25 * 30_000_000, 5 + 7 * 30_000_000)
        with pytest.raises(figwasp.Trap, match="unreachable") as caught:
            await instance.acall.trap(LONG)
        assert len(caught.value.frames) == 1
        assert not other.done()
        other.cancel()
        ends(instance)

    asyncio.run(run())


def test_calls_of_one_instance_do_not_mix() -> None:
    """What a guest does between two instructions is its own affair: another call of it waits."""

    async def run() -> None:
        instance = make()
        calls = [instance.acall.add_slowly(LONG // (1 + k)) for k in range(5)]
        assert sorted(await asyncio.gather(*calls)) == [1, 2, 3, 4, 5]
        assert instance.count.value == 5
        ends(instance)

    asyncio.run(run())


def test_plain_calls_do_not_come_between() -> None:
    async def run() -> None:
        instance = make()
        task = asyncio.create_task(instance.acall.spin())
        await rounds(3)
        with pytest.raises(figwasp.Busy, match="acall"):
            instance.add(1, 2)
        with pytest.raises(figwasp.Busy):
            figwasp.load(figwasp.wat('(module (import "m" "f" (func $f)) (export "f" (func $f)))'), {"m": {"f": instance.spin}})
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        ends(instance)

    asyncio.run(run())


def test_what_waits_for_a_host_function_waits_for_the_others() -> None:
    """A call whose host function has answered goes on when another one has ended that is between two instructions by then."""

    async def run() -> None:
        paused, gate = asyncio.Event(), asyncio.Event()

        async def wait() -> None:
            paused.set()
            await gate.wait()

        instance = figwasp.load(MODULE, {"env": {"pause": wait, "again": lambda: None}})
        waiting = asyncio.create_task(instance.acall.pause_and_spin())
        await paused.wait()
        working = asyncio.create_task(instance.acall.spin())
        while not (turn := instance._state.store.turn):
            await rounds(1)
        gate.set()
        for _ in range(20):
            await rounds(1)
            assert instance._state.store.turn == turn
        working.cancel()
        while instance._state.store.turn in (turn, 0):
            await rounds(1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        ends(instance)

    asyncio.run(run())


@pytest.mark.parametrize("name", ["spin", "pause_and_spin"])
def test_interrupts(name: str) -> None:
    """Another thread ends a call wherever it is; the task that awaits it is not cancelled."""

    async def run() -> None:
        instance = make()
        for turns in (1, 2, 5):
            task = asyncio.create_task(instance.acall[name]())
            await rounds(turns)
            thread = threading.Thread(target=instance.interrupt)
            thread.start()
            with pytest.raises(figwasp.Interrupted):
                await task
            thread.join()
            assert not task.cancelled()
            ends(instance)

    asyncio.run(run())


def test_interrupting_what_a_host_function_keeps_waiting() -> None:
    async def run() -> None:
        ended = []

        async def forever() -> None:
            try:
                await asyncio.sleep(1e6)
            finally:
                ended.append(1)

        instance = figwasp.load(MODULE, {"env": {"pause": forever, "again": lambda: None}})

        async def outer() -> str:
            try:
                await instance.acall.pause_and_spin()
            except figwasp.Interrupted:
                await asyncio.sleep(0)  # which a task that was still being cancelled could not
                return "interrupted"
            return "ended"

        task = asyncio.create_task(outer())
        await rounds(3)
        assert instance.interrupt()
        assert await task == "interrupted" and ended == [1]
        ends(instance)

    asyncio.run(run())


def test_interrupting_what_waits_to_begin() -> None:
    """A call that has not entered wasm, as another one has its turn to come there, does not enter it any more."""

    async def run() -> None:
        instance = make()
        first = asyncio.create_task(instance.acall.spin())
        while not instance._state.store.turn:
            await rounds(1)
        second = asyncio.create_task(instance.acall.add(1, 2))
        await rounds(3)
        assert instance.interrupt()
        ended = await asyncio.gather(first, second, return_exceptions=True)
        assert [type(error) for error in ended] == [figwasp.Interrupted] * 2
        ends(instance)

    asyncio.run(run())


def test_timeouts() -> None:
    async def run() -> None:
        instance = make()
        for name in ("spin", "pause_and_spin"):
            with pytest.raises(figwasp.Timeout):
                await instance.acall[name](timeout=0.05)
            ends(instance)

    asyncio.run(run())


def test_no_turns_below_a_host_function() -> None:
    """A call that a host function makes cannot be suspended; it goes on to its end."""
    instances: list[figwasp.Instance] = []
    results = []

    def again() -> None:
        results.append(instances[0].work(LONG))

    async def run() -> None:
        instances.append(make(again))
        await instances[0].acall.spin_below()
        assert results == [WORKED]
        ends(instances.pop())

    asyncio.run(run())


def test_a_coroutine_that_nobody_awaits_any_more() -> None:
    """It is closed, or collected, while the call has its turn to come: the instance can be used."""

    async def run() -> None:
        instance = make()
        for collected in (False, True):
            call: Any = instance.acall.spin()
            for _ in range(3):
                call.send(None)
                await asyncio.sleep(0)
            assert instance._state.store.turn
            if not collected:
                call.close()
            del call
            gc.collect()
            ends(instance)

    asyncio.run(run())


def test_without_asyncio() -> None:
    """In another event loop, which may know nothing of futures, a call runs to its end."""
    instance = make()
    call: Any = instance.acall.work(LONG)
    with pytest.raises(StopIteration) as caught:
        call.send(None)
    assert caught.value.value == WORKED
    ends(instance)
