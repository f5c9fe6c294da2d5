"""Cases of `embedding`: what is collected, and what outlives what."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import figwasp
from tests.hostile.embedding_guest import case, load, raises, sound, throw


@case
def cycles_are_collected() -> None:
    """Instances in cycles through tables, globals, host functions, callers, listeners, closures and exceptions are collected."""
    gone: list[Any] = []

    class Thing:
        pass

    def watch(inst: Any, name: str) -> None:
        weakref.finalize(inst._state, gone.append, name)

    def through_table() -> None:
        inst = load()
        inst.put(1, [inst])
        watch(inst, "table")

    def through_global() -> None:
        inst = load()
        inst.kept.value = [inst.exports.add]
        watch(inst, "global")

    def through_closure() -> None:
        box: list[Any] = []
        inst = load(f=lambda x: box[0].add(x, 1))
        box.append(inst)
        assert inst.call(1) == 3
        watch(inst, "closure")

    def through_memory() -> None:
        inst = load()
        inst.put(1, memoryview(inst.memory))
        watch(inst, "memory")

    def through_exception() -> None:
        inst = load(f=lambda x: 1 // 0)
        error = raises(ZeroDivisionError, inst.call, 1)
        inst.put(1, error)
        watch(inst, "exception")

    def through_each_other() -> None:
        one, two = load(), load()
        one.put(0, two)
        two.put(0, one)
        one.funcs[0] = two.exports.call
        two.funcs[0] = one.exports.call
        watch(one, "one")
        watch(two, "two")

    def through_caller() -> None:
        kept: list[Any] = []

        def f(caller: figwasp.Caller, x: int) -> int:
            kept.append(caller)
            kept.append(caller.exports.add)
            return x

        inst = load(f=f)
        inst.call(1)
        watch(inst, "caller")

    def through_trap() -> None:
        inst = load()
        box: list[Any] = [inst]
        box.append(raises(figwasp.Trap, inst.trap, box))
        watch(inst, "trap")

    makers = [through_table, through_global, through_closure, through_memory, through_exception, through_each_other, through_caller, through_trap]
    for maker in makers:
        maker()
    gc.collect()
    gc.collect()
    assert sorted(gone) == sorted(["table", "global", "closure", "memory", "exception", "one", "two", "caller", "trap"]), gone


@case
def suspended_calls_that_nobody_can_resume_are_collected() -> None:
    """A call is suspended for good, and its own instance refers to its coroutine, in every way there is: all of it goes."""

    class Never:
        def __await__(self) -> Any:
            yield self

    ended: list[str] = []

    async def wait(x: int) -> int:
        try:
            await Never()
        finally:
            ended.append("wait")
        return x

    def suspended(f: Any = wait) -> Any:
        inst = load(f)
        call = inst.acall.call(1)
        call.send(None)
        gone.append(weakref.ref(inst._state))
        return inst, call

    def through_table() -> None:
        inst, call = suspended()
        inst.put(1, call)

    def through_global() -> None:
        inst, call = suspended()
        inst.keep([call])

    class Waiter:
        def __init__(self, kept: list[Any]) -> None:
            self.kept = kept

        async def wait(self, x: int) -> int:
            return await wait(x)

    def through_host_function() -> None:
        kept: list[Any] = []
        kept += suspended(Waiter(kept).wait)

    def through_another_instance() -> None:
        inst, call = suspended()
        other, other_call = suspended()
        inst.put(1, other_call)
        other.put(1, call)
        inst.funcs[0] = other.exports.call

    gone: list[Any] = []
    makers = [through_table, through_global, through_host_function, through_another_instance]
    for maker in makers * 5:
        maker()
    gc.collect()
    gc.collect()
    assert len(gone) == len(ended) == 25 and not any(watch() for watch in gone), [watch() for watch in gone]


@case
def suspended_calls_are_collected_on_another_thread() -> None:
    """Calls that nobody can resume are closed by a collection on another thread while this one runs in the same store: in silence."""

    class Never:
        def __await__(self) -> Any:
            yield self

    async def wait(x: int) -> int:
        await Never()
        return x

    inst = load(wait)
    gc.disable()
    for _ in range(5):
        for _ in range(5):
            cycle: list[Any] = [inst.acall.call(1)]
            cycle[0].send(None)
            cycle.append(cycle)
        del cycle
        collector = threading.Timer(0.02, gc.collect)
        collector.start()
        raises(figwasp.Timeout, inst.endless, timeout=0.1)
        collector.join()
    assert not inst._state.store.current.under_way
    sound(inst)


@case
def parts_outlive_their_instance() -> None:
    """Functions, memories, tables, globals, views and iterators go on working when the instance has been dropped."""
    inst = load()
    call, add, memory, table, number, funcs = inst.exports.call, inst.exports.add, inst.memory, inst.table, inst.n, inst.funcs
    funcs[1] = call
    view, names, everything = memoryview(memory), iter(inst.exports), inst.exports
    del inst
    gc.collect()
    assert call(4) == 5 and add(1, 2) == 3 and funcs[1](5) == 6
    view[0] = 7
    assert memory[0] == 7 and memory.grow(1) == 1
    table[1] = "x"
    number.value = 5
    assert table[1] == "x" and number.value == 5 and "add" in list(names) and everything.add(2, 2) == 4
    del call, add, memory, table, number, everything, names
    gc.collect()
    function = funcs[1]
    del funcs
    gc.collect()
    assert function(6) == 7 and view[0] == 7


@case
def exceptions_keep_what_they_need() -> None:
    """Tracebacks and traps that are kept, looked at and raised again long after their instance has gone."""
    errors = []
    for _ in range(30):
        inst = load(f=lambda x: [x][x])
        errors += [raises(IndexError, inst.call, 1), raises(figwasp.Trap, inst.trap, inst), raises(figwasp.Exhaustion, inst.deep)]
    del inst
    gc.collect()
    load()
    import traceback

    for error in errors:
        text = "".join(traceback.format_exception(error))
        assert type(error).__name__ in text
        frame = error.__traceback__
        while frame is not None:
            repr(frame.tb_frame.f_locals)
            frame = frame.tb_next
        raises(type(error), throw, error)
    errors.clear()
    gc.collect()
