"""Cases of `embedding`: calls of every kind, calls within calls, and instances that are closed while something goes on."""

from __future__ import annotations

import functools
import gc
import operator
import sys
import threading
import weakref
from typing import Any

import figwasp
from tests.hostile.embedding_guest import case, load, raises, sound

# Reentrancy


@case
def reentrancy_to_the_bottom_of_the_stack() -> None:
    """Python and wasm call each other in one instance until no stack is left: RecursionError or Exhaustion, and all is well after."""
    depth = 0

    def f(x: int) -> int:
        nonlocal depth
        depth += 1
        result: int = inst.call(x + 1)
        return result

    inst = load(f)
    for limit in (500, 20_000, 200_000):
        sys.setrecursionlimit(limit)
        raises((RecursionError, figwasp.Exhaustion), inst.call, 1)
    assert depth > 400
    sys.setrecursionlimit(1000)
    sound(load())
    raises((RecursionError, figwasp.Exhaustion), inst.call, 1)


@case
def reentrancy_in_every_conversion() -> None:
    """Objects whose conversion calls the very instance that they are given to."""

    class Number:
        def __index__(self) -> int:
            assert inst.call(3) == 4
            raises(figwasp.Trap, inst.trap, self)
            raises(figwasp.Exhaustion, inst.deep)
            return 7

        def __float__(self) -> float:
            return float(self.__index__())

    inst = load(f=lambda x: x, two=lambda a, b: (Number(), Number()))
    assert inst.add(Number(), Number()) == 14 and inst.wide(Number(), Number(), Number()) == 7
    assert inst.two(1, 2.0) == (7.0, 7)
    assert inst.exports["pass"](inst, Number(), Number)[1] == 7
    inst = load(f=lambda x: Number() if x == 1 else x)
    assert inst.call(1) == 8


@case
def reentrancy_through_finalizers() -> None:
    """Objects that wasm lets go call the instance as they die, and put others where they were."""
    died = []

    class Thing:
        def __init__(self, level: int) -> None:
            self.level = level

        def __del__(self) -> None:
            died.append(self.level)
            if self.level and len(died) < 500:
                inst.put(2, Thing(self.level - 1))
                inst.ref(Thing(0))
                assert inst.add(1, 1) == 2

    inst = load()
    for level in range(10):
        inst.put(2, Thing(level))
        inst.keep(Thing(level))
        inst.ref(Thing(level))
        inst.exports["pass"](Thing(level), 1, Thing(level))
        raises(figwasp.Trap, inst.trap, Thing(level))
    inst.put(2, None)
    inst.keep(None)
    assert len(died) > 50
    sound(inst)


@case
def reentrancy_between_two_instances() -> None:
    """Two linked instances call each other through Python and through a table, to the bottom."""
    both: list[Any] = []
    first, second = load(f=lambda x: both[1].indirect(0, x + 1)), load(f=lambda x: both[0].indirect(0, x + 1))
    both += [first, second]
    first.funcs[0] = second.exports.call
    second.funcs[0] = first.exports.call
    raises((RecursionError, figwasp.Exhaustion), first.call, 0)
    raises((RecursionError, figwasp.Exhaustion), second.indirect, 0, 1)
    assert first.add(1, 2) == second.add(2, 1) == 3


# Closing while something goes on


@case
def closing_in_every_hook() -> None:
    """An instance that is closed in a host function, a conversion, a finalizer, by a buffer, by a trace function."""

    def close_in_host(x: int) -> int:
        insts[0].close()
        return x

    class Closing:
        def __index__(self) -> int:
            insts[0].close()
            return 1

        def __float__(self) -> float:
            return float(self.__index__())

        def __del__(self) -> None:
            insts[0].close()

    def fresh(**names: Any) -> Any:
        insts[:] = [load(**names)]
        return insts[0]

    insts: list[Any] = []
    assert fresh(f=close_in_host).call(4) == 5
    raises(figwasp.Closed, lambda: insts[0].add(1, 2))
    for name, args in (("add", (Closing(), 1)), ("add", (1, Closing())), ("wide", (Closing(), Closing(), Closing()))):
        inst = fresh()
        call = inst.exports[name]
        try:
            call(*args)
        except figwasp.Closed:
            pass
        raises(figwasp.Closed, call, *[1] * len(args))
    assert fresh(f=lambda x: Closing()).call(4) == 2
    inst = fresh()
    inst.ref(Closing())
    gc.collect()
    assert inst.closed
    inst = fresh()
    call, passing = inst.exports.call, inst.exports["pass"]
    assert passing(Closing(), 2, None)[1] == 2
    raises(figwasp.Closed, call, 1)
    inst = fresh()
    memory = inst.memory
    view = memoryview(memory)
    inst.close()
    view[3] = 9
    assert memory[3] == 9 and memory.grow(1) == 1 and memory.read(3, 1) == b"\x09"
    inst = fresh()
    call = inst.exports.call
    sys.setprofile(lambda frame, event, arg: insts[0].close() if event == "call" and frame.f_code.co_name == "<lambda>" else None)
    try:
        assert call(4) == 5
    finally:
        sys.setprofile(None)
    raises(figwasp.Closed, call, 4)


@case
def closing_and_dropping_what_runs() -> None:
    """The last reference to an instance goes while it runs: the call ends well, and the instance goes then."""
    gone: list[Any] = []

    def f(x: int) -> int:
        insts.clear()
        gc.collect()
        return x

    inst = load(f)
    inst.memory[5] = 6
    weakref.finalize(inst._state, gone.append, 1)
    insts = [inst]
    call = [inst.exports.call]
    del inst
    assert call.pop()(4) == 5
    gc.collect()
    assert gone == [1]


@case
def closing_in_another_thread() -> None:
    """Another thread closes an instance that is inside an endless call, which ends with that."""
    inst = load()
    endless = inst.exports.endless
    threading.Timer(0.2, inst.close).start()
    raises(figwasp.Interrupted, endless)
    raises(figwasp.Closed, endless)


@case
def calls_in_every_way() -> None:
    """Functions called with too many, too few and named arguments, with stars, partials, maps and descriptors."""
    inst = load()
    add = inst.exports.add
    for args in ((), (1,), (1, 2, 3), tuple(range(300))):
        raises(TypeError, add, *args)
    for names in ({"a": 1}, {"timeout": "x"}, {"timeout": None, "b": 1}, {f"n{k}": k for k in range(300)}):
        raises(TypeError, add, 1, 2, **names)
    assert add(*[1, 2]) == 3 and add(*iter([1, 2]), **dict[str, Any]()) == 3 and functools.partial(add, 1)(2) == 3
    assert list(map(add, [1, 2], [3, 4])) == [4, 6] and functools.reduce(add, range(10)) == 45
    assert operator.call(add, 1, 2) == 3 and add.__call__(1, 2) == 3 and type(add).__call__(add, 1, 2) == 3

    class Holder:
        method = add
        static = staticmethod(add)

    assert Holder.method(1, 2) == 3 and Holder().static(1, 2) == 3
    assert Holder().method(1, 2) == 3  # no method of the object: a function that binds nothing, like built-ins
    raises(TypeError, type(add).__call__, 5, 1, 2)
    raises(TypeError, type(add).__call__)
    sound(inst)


@case
def interpreter_shutdown_in_the_middle() -> None:
    """The process ends with an instance in a cycle, a suspended coroutine, live views and a call that has not returned."""
    import asyncio

    async def slow(x: int) -> int:
        await asyncio.sleep(1000)
        return x

    async def start() -> None:
        task = asyncio.ensure_future(inst.acall.call(1))
        await asyncio.sleep(0.01)
        assert not task.done() and inst.add(1, 2) == 3

    inst = load(f=slow)
    asyncio.run(start())
    suspended = inst.acall.call(1)
    keep: list[Any] = [inst, memoryview(inst.memory), suspended]
    keep.append(keep)
    suspended.close()
    sys.modules["kept"] = keep  # type: ignore[assignment]
    other = load(f=lambda x: sys.exit(0))
    other.call(1)
