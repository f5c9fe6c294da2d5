"""An exception at every line of calls: the first ones, listened ones, those with a deadline or fuel, those that are
suspended, and those that are interrupted."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import time
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from typing import Any

import pytest

import figwasp
from figwasp.runtime.store import listened
from tests.environment import COMPILED, HANG_GUARD
from tests.interrupts.lines import OpcodeStopper, Stopped, Stopper, stop_everywhere
from tests.interrupts.whole import Kept, is_whole

pytestmark = [
    pytest.mark.usefixtures("old_objects_left_alone"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # some lines are those of finalizers
]


# Code

ADD = '(func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))'
TWICE = """(func (export "twice") (param i32) (result i32) (call 0 (local.get 0) (local.get 0)))
    (table 1 funcref) (elem (i32.const 0) 0)
    (func (export "through") (param i32 i32) (result i32) (call_indirect (param i32 i32) (result i32)
      (local.get 0) (local.get 1) (i32.const 0)))"""


def test_installing_code() -> None:
    """Two instances share what is compiled when it is first called: stopped anywhere, both call the same code afterwards."""
    source = figwasp.wat(f"(module {ADD} {TWICE})")

    def prepare() -> list[figwasp.Instance]:
        module = figwasp.Module(source)
        return [figwasp.load(module), figwasp.load(module)]

    def operation(both: list[figwasp.Instance]) -> None:
        assert both[0].twice(4) == 8

    def check(both: list[figwasp.Instance]) -> None:
        for one in both:
            assert (one.twice(3), one.add(1, 2), one.through(2, 2)) == (6, 3, 4)
        is_whole()

    assert stop_everywhere(prepare, operation, check, 0.001) > (500 if COMPILED else 1000)  # the compiler's lines are seen or not


# Exceptions

THROWING = """(module (import "" "host" (func $host (param i32))) (import "" "t" (tag $t (param i32 externref)))
  (func $deep (param i32) (if (local.get 0) (then (call $deep (i32.sub (local.get 0) (i32.const 1)))) (else (call $host (i32.const 1)))))
  (func (export "caught") (result i32 externref)
    (block $h (result i32 externref) (try_table (catch $t $h) (call $deep (i32.const 3))) unreachable))
  (func (export "passed") (block $h (result exnref) (try_table (catch_all_ref $h) (call $deep (i32.const 3))) unreachable) (throw_ref)))"""


@pytest.mark.parametrize("name", ["caught", "passed"])
def test_exceptions_of_host_functions(name: str) -> None:
    """What Python throws is caught, or passes; stopped anywhere on its way, the next one is."""
    tag = figwasp.Tag([figwasp.types.I32, figwasp.types.EXTERNREF])
    module = figwasp.Module(figwasp.wat(THROWING))
    thing = object()

    def host(_number: int) -> None:
        raise figwasp.WasmException(tag, 5, thing)

    def prepare() -> figwasp.Instance:
        return figwasp.load(module, {"": {"host": host, "t": tag}})

    def operation(instance: figwasp.Instance) -> None:
        if name == "caught":
            assert instance.caught() == (5, thing)
        else:
            with pytest.raises(figwasp.WasmException):
                instance.passed()

    def check(instance: figwasp.Instance) -> None:
        for _ in range(2):
            assert instance.caught() == (5, thing)
        with pytest.raises(figwasp.WasmException) as caught:
            instance.passed()
        assert caught.value.args == (5, thing)
        is_whole()

    operation(prepare())
    assert stop_everywhere(prepare, operation, check, 0.2) > 50


# Listeners


class Diary:
    """A listener that counts the calls that are under way."""

    def __init__(self) -> None:
        self.depth = 0

    def __call__(self, func: figwasp.FuncInfo) -> Diary:
        return self

    def before(self, func: figwasp.FuncInfo, args: tuple[Any, ...], depth: int) -> None:
        self.depth += 1

    def after(self, func: figwasp.FuncInfo, results: tuple[Any, ...], depth: int) -> None:
        self.depth -= 1

    def abort(self, func: figwasp.FuncInfo, error: BaseException | None, depth: int) -> None:
        self.depth -= 1


def test_listened_calls() -> None:
    """No listened call is under way when the call from Python has ended, however it has."""
    source = figwasp.wat(f'(module {ADD} {TWICE} (func (export "fail") (drop (call 1 (i32.const 1))) unreachable))')

    diary = Diary()
    module = figwasp.Module(source, engine=figwasp.Engine(listener=diary))

    def prepare() -> tuple[Diary, figwasp.Instance]:
        instance = figwasp.load(module)
        instance.twice(1)
        return diary, instance

    def operation(subject: tuple[Diary, figwasp.Instance]) -> None:
        assert subject[1].twice(2) == 4
        with pytest.raises(figwasp.Trap):
            subject[1].fail()

    def check(subject: tuple[Diary, figwasp.Instance]) -> None:
        diary, instance = subject
        assert instance.twice(2) == 4
        with pytest.raises(figwasp.Trap):
            instance.fail()  # this also ends what an exception kept from being told
        assert not listened._chains
        before = diary.depth
        assert instance.twice(2) == 4
        assert diary.depth == before
        is_whole()

    assert stop_everywhere(prepare, operation, check, 0.015, (Stopper, OpcodeStopper)) > 100


# Deadlines and fuel


def test_deadlines() -> None:
    """Nested calls with deadlines leave none behind."""
    inner = figwasp.load(figwasp.wat(f"(module {ADD})"))
    source = figwasp.wat("""(module (import "host" "call" (func $call (result i32)))
      (func (export "go") (result i32) (call $call)) (func (export "spin") (loop (br 0))))""")
    module = figwasp.Module(source)

    def prepare() -> figwasp.Instance:
        outer = figwasp.load(module, {"host": {"call": lambda: inner.add(1, 2, timeout=HANG_GUARD)}})
        outer.go(timeout=HANG_GUARD)
        return outer

    def check(outer: figwasp.Instance) -> None:
        is_whole()
        assert outer.go() == 3

    def operation(outer: figwasp.Instance) -> None:
        assert outer.go(timeout=HANG_GUARD) == 3
        with pytest.raises(figwasp.Timeout):
            outer.spin(timeout=0.001)

    assert stop_everywhere(prepare, operation, check, 0.015, (Stopper, OpcodeStopper)) > 100


BURN = figwasp.wat("""(module (func (export "burn") (param i32)
      (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))""")


def test_fuel() -> None:
    """There is never more than has been given, and who is asked for more is asked again."""
    module = figwasp.Module(BURN, engine=figwasp.Engine(fuel=True))

    def prepare() -> figwasp.Instance:
        instance = figwasp.load(module)
        instance.fuel = 100
        instance.on_out_of_fuel = lambda: 1000
        instance.burn(200)
        return instance

    def operation(instance: figwasp.Instance) -> None:
        instance.fuel = 100
        instance.burn(1000)
        assert instance.fuel < 2000

    def check(instance: figwasp.Instance) -> None:
        assert 0 <= instance.fuel < 2000
        instance.burn(1000)
        is_whole()

    assert stop_everywhere(prepare, operation, check, 0.02, (Stopper, OpcodeStopper)) > 100


# Calls that are suspended

ASYNC = figwasp.wat("""(module (import "host" "wait" (func $wait (param i32) (result i32)))
      (global $pending (mut i32) (i32.const 0)) (table $kept 1 externref)
      (func (export "add") (param i32 externref) (result i32)
        (table.set $kept (i32.const 0) (local.get 1))
        (i32.add (call $wait (local.get 0)) (call $wait (i32.const 1)))))""")


class Later:
    """What an async host function awaits: it is suspended once."""

    def __await__(self) -> Generator[None]:
        yield


async def wait(number: int) -> int:
    await Later()
    return number


def drive(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine to its end, without an event loop, which the exceptions would stop as well."""
    try:
        while True:
            coroutine.send(None)
    except StopIteration as end:
        return end.value


def finish_two(instance: figwasp.Instance) -> None:
    """Two calls at once are what `max_acalls` allows, and as many as can begin."""
    calls = [instance.acall.add(number, object()) for number in range(3)]
    for one in calls[:2]:
        one.send(None)
    with pytest.raises(figwasp.LimitExceeded):
        calls[2].send(None)
    assert [drive(one) for one in calls[:2]] == [1, 2]


def nothing_is_suspended(instance: figwasp.Instance) -> None:
    gc.collect()  # exceptions that keep what was stopped
    finish_two(instance)
    store = instance._state.store.current
    store._end_lost_chains()
    assert not store._chains and not store._pinned
    assert len(store._spare) == len({*store._spare}) <= 4
    is_whole()


def begin_and_finish(instance: figwasp.Instance) -> None:
    assert drive(instance.acall.add(3, object())) == 4


def begin_and_cancel(instance: figwasp.Instance) -> None:
    call = instance.acall.add(3, object())
    call.send(None)
    with pytest.raises(KeyError):
        call.throw(KeyError())


def begin_and_close(instance: figwasp.Instance) -> None:
    call = instance.acall.add(3, object())
    call.send(None)
    call.close()


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")  # as is so where the call was stopped; pytest would keep the frames
@pytest.mark.parametrize("operation", [begin_and_finish, begin_and_cancel, begin_and_close])
def test_suspended_calls(operation: Callable[[figwasp.Instance], None]) -> None:
    """Wherever a call is stopped, its context comes back, and as many calls as before can be under way."""
    module = figwasp.Module(ASYNC, engine=figwasp.Engine(max_acalls=2))

    def prepare() -> figwasp.Instance:
        instance = figwasp.load(module, {"host": {"wait": wait}})
        finish_two(instance)
        return instance

    operation(prepare())
    before = Kept().figures

    def after() -> None:
        now = Kept().figures
        assert now == before, f"{now} {before}"

    assert stop_everywhere(prepare, operation, nothing_is_suspended, 0.006, (Stopper, OpcodeStopper), after) > 100


# Interrupts and turns

SPIN = figwasp.Module(figwasp.wat('(module (func (export "spin") (loop (br 0))) (func (export "one") (result i32) (i32.const 1)))'))


def spinning() -> figwasp.Instance:
    """An instance where a call has been interrupted, with all that needs to be compiled."""
    instance = figwasp.load(SPIN)
    with suppress(Stopped):
        interrupt_from_here(instance)
    return instance


def interrupt_from_here(instance: figwasp.Instance) -> None:
    """End a call that another thread has begun."""
    ends: list[BaseException] = []

    def run() -> None:
        try:
            instance.spin(timeout=HANG_GUARD)
        except figwasp.Trap as error:
            ends.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        while not instance.interrupt():
            time.sleep(0)
    finally:
        while thread.is_alive():
            with suppress(Stopped):
                instance.interrupt()
            thread.join(0.001)
    assert [type(error) for error in ends] == [figwasp.Interrupted]


def take_turns_and_interrupt(instance: figwasp.Instance) -> None:
    """Have a call give turns to an event loop, and end it there."""

    async def run() -> None:
        call = asyncio.create_task(instance.acall.spin())
        while not instance._state.store.current.turn and not call.done():
            await asyncio.sleep(0)
        instance.interrupt()
        with suppress(figwasp.Interrupted):
            await call

    asyncio.run(run())


def nothing_spins(instance: figwasp.Instance) -> None:
    gc.collect()
    assert instance.one() == 1
    store = instance._state.store.current
    assert not store.under_way and not store.turn
    is_whole()


@pytest.mark.parametrize("operation", [interrupt_from_here, take_turns_and_interrupt])
def test_interrupts(operation: Callable[[figwasp.Instance], None], caplog: pytest.LogCaptureFixture) -> None:
    """Wherever interrupting or a turn is stopped, the call ends, the next one knows nothing of it, and the store is free."""
    caplog.set_level(logging.CRITICAL, "asyncio")  # which tells of exceptions in its callbacks
    assert stop_everywhere(spinning, operation, nothing_spins, 0.03, (Stopper, OpcodeStopper)) > 20
