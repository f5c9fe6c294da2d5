"""`Instance.close`: what can still be done, what cannot, and when the memory goes."""

from __future__ import annotations

import asyncio
import gc
import linecache
import sys
import threading
import time
import weakref
from types import FrameType
from typing import Any

import pytest

import figwasp
from tests.environment import HANG_GUARD
from tests.runtime.support import host, load, settle
from tests.speed import spent

TEXT = """(module $m (import "host" "f" (func $f (param i32) (result i32))) (memory (export "memory") 1) (table (export "t") 1 funcref)
  (type $unary (func (param i32) (result i32))) (global (export "g") (mut i32) (i32.const 3))
  (func $later (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
  (func $run (export "run") (param i32) (result i32) (call_indirect (type $unary) (call $later (call $f (local.get 0))) (i32.const 0)))
  (elem (i32.const 0) $later) (func (export "seven") (result i32) (i32.const 7)) (export "f" (func $f)))"""


def make(function: Any = lambda x: x) -> figwasp.Instance:
    return load(TEXT, host(f=function))


@pytest.mark.parametrize("called", [False, True])
def test_calls_after_close(called: bool) -> None:
    """Functions raise Closed, whether they had been called before or not; closing twice is fine."""
    instance = make()
    run, seven, exports, in_table = instance.run, instance.seven, instance.exports, instance.t[0]
    if called:
        assert run(1) == 3 and seven() == 7 and in_table(1) == 2
    instance.close()
    instance.close()
    assert instance.closed
    for call in (lambda: run(1), seven, lambda: in_table(1), lambda: instance.run(1), lambda: instance.exports.run(1), lambda: exports["run"](1)):
        for _ in range(2):
            with pytest.raises(figwasp.Closed):
                call()
    with pytest.raises(figwasp.Closed, match="^the instance m has been closed$"):
        seven()


def test_what_is_left_of_a_closed_instance() -> None:
    """Its names, its module and what was taken out of it stay; new things cannot be taken out."""
    instance = make()
    memory, cell, table, exports = instance.memory, instance.g, instance.t, instance.exports
    instance.close()
    assert repr(instance) == "<figwasp.Instance m, closed>" and instance.module.name == "m"
    assert repr(load("(module)").__class__) and list(exports) == ["memory", "t", "g", "run", "seven", "f"] and "run" in exports
    memory.write(0, b"still")
    assert memory[:5] == b"still" and cell.value == 3 and len(table) == 1 and memory.grow(1) == 1
    for name in ("memory", "run"):
        with pytest.raises(figwasp.Closed, match=name):
            exports[name]
        with pytest.raises(figwasp.Closed, match=name):
            getattr(instance, name)
    with pytest.raises(KeyError):
        exports["absent"]
    assert not hasattr(instance, "absent") and not hasattr(exports, "absent")
    for name in ("_state", "_owner"):
        with pytest.raises(figwasp.Closed):
            getattr(instance, name)


def test_as_a_context_manager() -> None:
    with make() as instance:
        assert instance.run(1) == 3 and not instance.closed
    assert instance.closed
    with pytest.raises(LookupError), make() as instance:
        raise LookupError
    assert instance.closed


USER = """(module (import "m" "run" (func $run (param i32) (result i32))) (import "m" "t" (table 1 funcref))
  (func (export "import") (param i32) (result i32) (call $run (local.get 0)))
  (func (export "table") (param i32) (result i32) (call_indirect (param i32) (result i32) (local.get 0) (i32.const 0)))
  (func (export "own") (result i32) (i32.const 8)))"""


def test_calls_from_other_instances() -> None:
    """An instance that imported something of it is told at the call; the rest of it goes on."""
    instance = make()
    user = load(USER, {"m": instance})
    assert user.exports["import"](1) == 3 and user.table(1) == 2
    instance.close()
    for name in ("import", "table"):
        with pytest.raises(figwasp.Closed):
            user.exports[name](1)
    assert user.own() == 8


def test_linking_with_a_closed_instance() -> None:
    instance = make()
    run = instance.run
    instance.close()
    with pytest.raises(figwasp.Closed):
        load(USER, {"m": instance})
    with pytest.raises(figwasp.Closed, match=r"m\.run is given as run\(\), whose instance has been closed"):
        load(USER, {"m": {"run": run, "t": figwasp.Table("funcref", 1)}})


def test_closing_while_it_runs() -> None:
    """The call goes on to its end, functions compiled late and calls through tables included; Python cannot get in any more."""
    caught: list[BaseException] = []

    def f(x: int) -> int:
        instance.close()
        try:
            run(5)
        except figwasp.Closed as error:
            caught.append(error)
        return x * 10

    instance = make(f)
    run = instance.run
    assert run(2) == 22
    assert len(caught) == 1
    with pytest.raises(figwasp.Closed):
        run(2)


def test_what_runs_may_go_on_calling_it_until_its_end() -> None:
    """Another instance's call under way still reaches it, in that call and not in the next."""

    def stop(x: int) -> int:
        instance.close()
        return x

    instance = make()
    user = load(
        """(module (import "m" "run" (func $run (param i32) (result i32))) (import "host" "stop" (func $stop (param i32) (result i32)))
        (func (export "both") (param i32) (result i32) (call $run (call $stop (local.get 0)))))""",
        {"m": instance, **host(stop=stop)},
    )
    assert user.both(1) == 3
    with pytest.raises(figwasp.Closed):
        user.both(1)


def test_closing_from_another_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host function that another thread is in goes on to its end, and its call too where nothing looks; then nothing works any more.

    Baseline code looks wherever a function begins.
    """
    monkeypatch.setattr("figwasp.api.engine._default", figwasp.Engine(tier="optimize"))
    inside, leave = threading.Event(), threading.Event()
    results: list[int] = []

    def f(x: int) -> int:
        inside.set()
        leave.wait(HANG_GUARD)
        return x

    instance = make(f)
    run = instance.run
    thread = threading.Thread(target=lambda: results.append(run(1)))
    thread.start()
    assert inside.wait(HANG_GUARD)
    instance.close()
    leave.set()
    thread.join()
    assert results == [3]
    with pytest.raises(figwasp.Closed):
        run(1)


def test_closing_while_another_thread_computes() -> None:
    """Many times over: closing in the middle of WebAssembly code that has given the GIL up ends that."""
    text = """(module (type $n (func (result i32))) (table 1 funcref) (elem (i32.const 0) $one) (func $one (result i32) (i32.const 1))
      (func (export "spin") (param $n i32) (result i32) (local $sum i32)
        (loop $l (local.set $sum (i32.add (local.get $sum) (call_indirect (type $n) (i32.const 0))))
          (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))) (local.get $sum)))"""
    count = 3_000_000
    for _ in range(5):
        instance = load(text)
        spin = instance.spin
        assert spin(1) == 1
        outcomes: list[object] = []

        def run() -> None:
            try:
                outcomes.append(spin(count))  # noqa: B023
            except (figwasp.Closed, figwasp.Interrupted) as error:
                outcomes.append(type(error))  # noqa: B023

        thread = threading.Thread(target=run)
        thread.start()
        time.sleep(0.012)
        instance.close()
        thread.join()
        # Either the thread had done it before, or it was interrupted, or it found the instance closed.
        assert outcomes in ([count], [figwasp.Interrupted], [figwasp.Closed])
        with pytest.raises(figwasp.Closed):
            spin(1)


def test_the_memory_goes_with_the_last_holder() -> None:
    """A closed instance holds nothing; what was taken out of it does."""
    instance = make()
    memory = instance.memory
    view = memoryview(memory)
    state = weakref.ref(instance._state)
    instance.close()
    gc.collect()
    settle()
    assert state() is not None
    view[0] = 9
    assert memory[0] == 9
    del view, memory
    settle()
    assert state() is None


def test_a_closed_instance_that_runs_is_kept_by_its_frames() -> None:
    def f(x: int) -> int:
        holder.pop().close()
        gc.collect()
        settle()
        return x

    holder = [make(f)]
    assert holder[0].run(4) == 6


def test_host_functions_it_exports_again_are_not_its_own() -> None:
    instance = make(lambda x: x + 100)
    f = instance.f
    instance.close()
    assert f(1) == 101


def test_caller_in_a_closed_instance() -> None:
    """A host function called by what is still running can reach the memory."""
    seen: list[Any] = []

    def f(caller: figwasp.Caller, x: int) -> int:
        caller.memory.write(0, b"a")
        caller.instance.close()
        seen.append((caller.memory.read(0, 1), caller.exports.g.value, caller.instance.closed))
        return x

    assert make(f).run(1) == 3
    assert seen == [(b"a", 3, True)]


def test_closing_during_a_suspended_call() -> None:
    """A call that waits in an async host function goes on to its end; no other can be made."""

    reached: list[int] = []

    async def f(x: int) -> int:
        reached.append(x)
        await asyncio.sleep(0.01)
        return x

    instance = make(f)
    seven, acall = instance.seven, instance.acall

    async def main() -> int:
        task = asyncio.ensure_future(acall.run(1))
        while not reached:
            await asyncio.sleep(0)
        instance.close()
        with pytest.raises(figwasp.Closed):
            seven()
        with pytest.raises(figwasp.Closed):
            await acall.run(1)
        return int(await task)

    assert asyncio.run(main()) == 3
    with pytest.raises(figwasp.Closed):
        seven()


def test_closing_from_two_threads() -> None:
    for _ in range(50):
        instance = make()
        threads = [threading.Thread(target=instance.close) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert instance.closed


def test_many_functions_close_quickly() -> None:
    """Much sooner than they were loaded."""
    text = "(module" + "".join(f'(func (export "f{k}") (result i32) (i32.const {k}))' for k in range(20_000)) + ")"
    start = time.process_time()
    instance = load(text)
    loading = time.process_time() - start
    f = instance.f123
    assert f() == 123
    assert spent(instance.close) < loading / 20
    with pytest.raises(figwasp.Closed):
        f()


def test_closing_while_a_function_is_compiled() -> None:
    """Wherever another thread closes an instance while code is made for all that have the function: it stays closed."""
    for line in range(200):
        module = figwasp.Module(figwasp.wat('(module (func (export "seven") (result i32) (i32.const 7)))'))
        one, other = figwasp.load(module), figwasp.load(module)
        seven, left = one.seven, [line]

        def trace(frame: FrameType, event: str, arg: object, one: figwasp.Instance = one, left: list[int] = left) -> Any:
            if not frame.f_code.co_filename.endswith("/code/compile.py"):
                return None
            # CPython lets threads in at calls, jumps back and where functions start: not before an assignment that follows a test.
            if event == "line" and "place.value =" not in linecache.getline(frame.f_code.co_filename, frame.f_lineno):
                left[0] -= 1
                if left[0] == -1:
                    one.close()
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            assert other.seven() == 7
        finally:
            sys.settrace(before)
        if left[0] >= 0:
            assert line > 20
            return
        with pytest.raises(figwasp.Closed):
            seven()
        assert other.seven() == 7
    raise AssertionError("it never came to an end")
