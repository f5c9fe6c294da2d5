"""What the operations of `test_threads.py` work on: instances that share a module, a store, a table, a memory, a global or an engine."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any

import pytest

import figwasp
from figwasp import layout
from figwasp.runtime.native.runtime import NativeRuntime
from figwasp.runtime.platform import linux
from figwasp.runtime.start import native_runtime

PARTS = """(module
  (import "host" "back" (func $back (param i32) (result i32)))
  (import "host" "wait" (func $wait (param i32) (result i32)))
  (table $f (export "functions") 4 1000 funcref) (table $x (export "objects") 4 1000 externref)
  (global $o (export "object") (mut externref) (ref.null extern)) (global (export "function") (mut funcref) (ref.null func))
  (memory (export "memory") 1 400)
  (type $binary (func (param i32 i32) (result i32)))
  (func $add (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "grow_memory") (result i32) (memory.grow (i32.const 1)))
  (func (export "grow_functions") (result i32) (table.grow $f (ref.func $add) (i32.const 2)))
  (func (export "grow_objects") (param externref) (result i32) (table.grow $x (local.get 0) (i32.const 2)))
  (func (export "put") (param i32 externref) (table.set $x (local.get 0) (local.get 1)))
  (func (export "get") (param i32) (result externref) (table.get $x (local.get 0)))
  (func (export "fill") (param externref) (table.fill $x (i32.const 0) (local.get 0) (i32.const 4)))
  (func (export "keep") (param externref) (global.set $o (local.get 0)))
  (func (export "put_function") (param i32 funcref) (table.set $f (local.get 0) (local.get 1)))
  (func (export "indirect") (param i32) (result i32)
    (call_indirect $f (type $binary) (i32.const 20) (i32.const 3) (local.get 0)))
  (func (export "echo") (param externref i32) (result externref i32) (local.get 0) (local.get 1))
  (func (export "pass") (param funcref) (result funcref) (local.get 0))
  (func (export "round") (param i32) (result i32) (call $back (local.get 0)))
  (func (export "waits") (param i32) (result i32) (i32.add (call $wait (local.get 0)) (call $back (i32.const 1))))
  (func (export "poke") (param i32) (i32.store8 (local.get 0) (i32.const 1)))
  (func (export "endless") (loop (br 0)))
  (elem declare func $add))"""
USER = """(module
  (import "one" "add" (func $add (param i32 i32) (result i32)))
  (import "one" "functions" (table 4 1000 funcref)) (import "one" "objects" (table 4 1000 externref))
  (import "one" "object" (global $o (mut externref))) (import "one" "memory" (memory 1 400))
  (func (export "use") (param i32) (result i32) (call $add (local.get 0) (i32.const 1)))
  (func (export "see") (result externref) (global.get $o)))"""
LINK = """(module
  (import "one" "round" (func $one (param i32) (result i32))) (import "two" "round" (func $two (param i32) (result i32)))
  (import "one" "objects" (table 4 1000 externref)) (import "two" "object" (global (mut externref)))
  (func (export "both") (param i32) (result i32)
    (call $two (call $one (local.get 0)))))"""
FRESH = """(module (type $t (func (param i64 f32) (result i64))) (memory 1 9)
  (func $g (type $t) (i64.extend_i32_s (memory.grow (i32.const 1)))) (table 1 funcref) (elem (i32.const 0) $g)
  (func (export "f") (param i64) (result i64)
    (call_indirect (type $t) (local.get 0) (f32.const 1) (i32.const 0))))"""
BURN = """(module (func (export "burn") (param i32) (result i32) (local i32)
  (loop (local.set 1 (i32.add (local.get 1) (i32.const 1)))
    (br_if 0 (i32.lt_u (local.get 1) (local.get 0)))) (local.get 1)))"""

MODULES = {name: figwasp.Module(figwasp.wat(text)) for name, text in (("parts", PARTS), ("user", USER), ("link", LINK))}
_FRESH = figwasp.wat(FRESH)
_BURN = figwasp.wat(BURN)
METERED = figwasp.Module(_BURN, engine=figwasp.Engine(fuel=10_000))

_PARTS = {
    "dropped": {"drop"},
    "closing": {"close", "use_closing"},
    "fresh": {"first_call", "first_call_elsewhere"},
    "limited": {"load_limited"},
    "listened": {"listen"},
    "metered": {"fuel_set", "fuel_burn"},
    "suspended": {"acall_resume", "acall_cancel"},
}
"""What there is only if an operation needs it -> the operations that do."""


class _Pause:
    """What `wait` awaits: it suspends the call once."""

    def __await__(self) -> Generator[None, None, None]:
        yield


class World:
    """The subject of an operation in each of two threads: of what only some operations need, what one of these two does.

    Attributes:
        one, two, three: instances with stores of their own, of the same module.
        user: an instance linked with the first one.
        inside: what the next calls of the host function `back` do.
        pages: how often the first one's memory has been grown; `grown`: also its two tables, by name.
    """

    def __init__(self, *operations: str) -> None:
        self.inside: list[Callable[[], object]] = []
        self.one, self.two, self.three = (self.parts() for _ in range(3))
        self.user = figwasp.load(MODULES["user"], {"one": self.one})
        self.pages: list[None] = []
        self.grown: dict[str, list[None]] = {"functions": [], "objects": []}
        self.things = [["thing", k] for k in range(4)]
        self.made: list[str] = []
        for part, users in _PARTS.items():
            if users & {*operations}:
                getattr(self, f"make_{part}")()
                self.made.append(part)

    def make_dropped(self) -> None:
        self.dropped = [figwasp.load(MODULES["user"], {"one": self.one}), self.parts()]

    def make_closing(self) -> None:
        self.closing = figwasp.load(MODULES["user"], {"one": self.one})

    def make_fresh(self) -> None:
        module = figwasp.Module(_FRESH)
        self.fresh = [figwasp.load(module) for _ in range(2)]

    def make_limited(self) -> None:
        self.small = figwasp.Module(figwasp.wat("(module)"), engine=figwasp.Engine(max_instances=2))
        self.alive = [figwasp.load(self.small)]

    def make_listened(self) -> None:
        self.heard: list[str] = []
        engine = figwasp.Engine(listener=lambda _: _Ear(self.heard))
        self.listened = figwasp.load(figwasp.Module(_BURN, engine=engine))

    def make_metered(self) -> None:
        self.metered = figwasp.load(METERED)
        self.metered.on_out_of_fuel = lambda: 1000

    def make_suspended(self) -> None:
        self.coroutine = threading.Lock()
        self.suspended = self.two.acall.waits(5)
        self.suspended.send(None)

    def parts(self) -> figwasp.Instance:
        """Load the module with everything, and have what is in it compiled."""

        def back(number: int) -> int:
            instance._state.store.check_thread()  # no other thread is in this store
            if self.inside:
                self.inside.pop()()
            found = instance.add(number, 1)
            assert isinstance(found, int)
            return found

        async def wait(number: int) -> int:
            await _Pause()
            return number

        instance = figwasp.load(MODULES["parts"], {"host": {"back": back, "wait": wait}})
        return instance

    def check(self) -> None:
        """Everything is as it should be, and can be used."""
        self.inside.clear()
        for part in self.made:
            getattr(self, f"check_{part}", bool)()
        for instance in (self.one, self.two, self.three):
            whole(instance)
        length = 65536 * (1 + len(self.pages))
        assert len(self.one.memory) == length
        with pytest.raises(figwasp.Trap):
            self.one.poke(length)
        self.one.poke(length - 1)
        for name, grown in self.grown.items():
            assert len(getattr(self.one, name)) == 4 + 2 * len(grown)
        assert self.user.use(4) == 5
        assert self.user.see() == self.one.object.value

    def check_suspended(self) -> None:
        self.suspended.close()

    def check_fresh(self) -> None:
        assert all(fresh.f(1) in (1, 2, 3, 4) for fresh in self.fresh)

    def check_limited(self) -> None:
        """The engine has room for two instances, no more and no less."""
        del self.alive[1:]
        gc.collect()
        self.alive.append(figwasp.load(self.small))
        with pytest.raises(figwasp.LimitExceeded):
            figwasp.load(self.small)

    def check_listened(self) -> None:
        assert self.listened.burn(2) == 2 and self.heard[-2:] == ["before", "after"]

    def check_metered(self) -> None:
        assert self.metered.burn(100) == 100 and self.metered.fuel >= 0


class _Ear:
    """A listener."""

    def __init__(self, heard: list[str]) -> None:
        self._heard = heard

    def before(self, _func: object, _args: object, _depth: int) -> None:
        self._heard.append("before")

    def after(self, _func: object, _results: object, _depth: int) -> None:
        self._heard.append("after")


def whole(instance: figwasp.Instance) -> None:
    """An instance can do all it could, and its tables hold what can be used."""
    assert instance.add(1, 2) == 3 and instance.round(5) == 6
    assert all(one is None or one(20, 3) == 23 for one in instance.functions)
    assert all(thing is None or thing[0] == "thing" for thing in instance.objects)
    mine = [["thing", k] for k in range(4)]
    for k in range(4):
        instance.put(k, mine[k])
    assert all(found is thing for found, thing in zip(instance.objects, mine, strict=False))
    instance.object.value = mine[0]
    assert instance.object.value is mine[0]
    idle(native_runtime(), instance)


def idle(native: NativeRuntime, instance: figwasp.Instance) -> None:
    """Nothing runs in the store of an instance, nothing is pinned there, and its fuel and its record are its own."""
    store = instance._state.store
    assert store is store.current and not store.under_way
    assert linux.read_u64(instance._state.block + layout.INST_STORE) == store.record
    assert linux.read_u64(store.record + layout.STORE_CONTEXT) == store.context
    assert native.contexts.store_of(store.context) is store


# Operations. Each asserts that what it got is right.


def load_again(w: World) -> None:
    instance = w.parts()
    assert instance.add(1, 2) == 3


def load_linked(w: World) -> None:
    instance = figwasp.load(MODULES["user"], {"one": w.one})
    assert instance.use(8) == 9


def link_one_two(w: World) -> None:
    assert figwasp.load(MODULES["link"], {"one": w.one, "two": w.two}).both(3) == 5


def link_two_one(w: World) -> None:
    assert figwasp.load(MODULES["link"], {"one": w.two, "two": w.one}).both(3) == 5


def link_two_three(w: World) -> None:
    assert figwasp.load(MODULES["link"], {"one": w.two, "two": w.three}).both(3) == 5


def link_three_two(w: World) -> None:
    assert figwasp.load(MODULES["link"], {"one": w.three, "two": w.two}).both(3) == 5


def link_three_one(w: World) -> None:
    assert figwasp.load(MODULES["link"], {"one": w.three, "two": w.one}).both(3) == 5


def first_call(w: World) -> None:
    assert w.fresh[0].f(1) in (1, 2, 3)


def first_call_elsewhere(w: World) -> None:
    assert w.fresh[1].f(1) in (1, 2, 3)


def call(w: World) -> None:
    assert w.one.add(2, 3) == 5


def call_user(w: World) -> None:
    assert w.user.use(2) == 3


def call_back(w: World) -> None:
    assert w.one.round(2) == 3


def echo(w: World) -> None:
    thing = ["thing"]
    found = w.one.echo(thing, 7)
    assert found[0] is thing and found[1] == 7


def wasm_memory_grow(w: World) -> None:
    if w.one.grow_memory() >= 0:
        w.pages.append(None)


def memory_grow(w: World) -> None:
    w.user  # noqa: B018
    w.one.memory.grow(1)
    w.pages.append(None)


def grow_functions(w: World) -> None:
    if w.one.grow_functions() >= 0:
        w.grown["functions"].append(None)


def grow_objects(w: World) -> None:
    if w.one.grow_objects(["thing"]) >= 0:
        w.grown["objects"].append(None)


def table_grow(w: World) -> None:
    w.one.objects.grow(2, w.things[0])
    w.grown["objects"].append(None)


def table_fill(w: World) -> None:
    w.one.fill(w.things[1])


def table_set(w: World) -> None:
    w.one.put(1, ["thing"])


def table_item(w: World) -> None:
    w.one.objects[2] = w.things[2]


def table_read(w: World) -> None:
    assert all(thing is None or thing[0] == "thing" for thing in w.one.objects)


def table_function(w: World) -> None:
    w.one.functions[0] = w.one.add
    assert w.one.indirect(0) == 23


def table_foreign(w: World) -> None:
    w.one.functions[1] = w.three.add
    assert w.one.indirect(1) == 23


def global_object(w: World) -> None:
    w.one.object.value = ["thing"]
    found = w.one.object.value
    assert found is None or found[0] == "thing"


def global_wasm(w: World) -> None:
    w.one.keep(w.things[3])


def global_foreign(w: World) -> None:
    w.one.function.value = w.two.add
    assert w.one.function.value(1, 1) == 2


def pass_foreign(w: World) -> None:
    assert w.one.exports["pass"](w.three.add)(3, 4) == 7


def pass_back(w: World) -> None:
    assert w.three.exports["pass"](w.one.add)(3, 4) == 7


def close(w: World) -> None:
    w.closing.close()
    with pytest.raises(figwasp.Closed):
        w.closing.use(1)


def use_closing(w: World) -> None:
    assert w.closing.use(1) == 2


def drop(w: World) -> None:
    w.dropped.clear()
    gc.collect()
    native_runtime().owners.reap()  # before a pending call does so in the main thread


def new_types(w: World) -> None:
    assert figwasp.load(_FRESH).f(1) == 1


def make_host_things(_w: World) -> None:
    table = figwasp.Table("externref", 2, value=["thing"])
    table[0] = ["thing", 1]
    assert table[0] == ["thing", 1] and figwasp.Global("externref", ["x"]).value == ["x"]


def load_limited(w: World) -> None:
    w.alive.append(figwasp.load(w.small))


def listen(w: World) -> None:
    assert w.listened.burn(3) == 3


def fuel_set(w: World) -> None:
    w.metered.fuel = 500
    assert w.metered.fuel >= 0


def fuel_burn(w: World) -> None:
    assert w.metered.burn(3000) == 3000


def _drive(coroutine: Any) -> Any:
    try:
        while True:
            coroutine.send(None)
    except StopIteration as stop:
        return stop.value


def acall(w: World) -> None:
    assert _drive(w.two.acall.waits(5)) == 7


def acall_linked(w: World) -> None:
    assert _drive(w.one.acall.waits(5)) == 7


def _alone(w: World, action: Callable[[], object]) -> None:
    """Do something with the coroutine of both threads, unless the other one is doing so, or has: CPython says it executes already.

    Not always: what is thrown into one that executes a coroutine of its own goes there, and the frames of both threads with it.
    """
    if w.coroutine.acquire(blocking=False):
        try:
            action()
        except RuntimeError as error:
            if "coroutine" not in str(error):
                raise
        finally:
            w.coroutine.release()


def acall_resume(w: World) -> None:
    _alone(w, lambda: _drive(w.suspended))


def acall_cancel(w: World) -> None:
    with suppress(asyncio.CancelledError):
        _alone(w, lambda: w.suspended.throw(asyncio.CancelledError))


def timeout(w: World) -> None:
    assert w.one.add(4, 5, timeout=60) == 9


def time_out(w: World) -> None:
    with pytest.raises(figwasp.Timeout):
        w.one.endless(timeout=0.005)


OPERATIONS: dict[str, Callable[[World], None]] = {
    operation.__name__: operation
    for operation in (
        load_again, load_linked, link_one_two, link_two_one, link_two_three, link_three_two, link_three_one, first_call, first_call_elsewhere,
        call, call_user, call_back, echo, wasm_memory_grow, memory_grow, grow_functions, grow_objects, table_grow, table_fill,
        table_set, table_item, table_read, table_function, table_foreign, global_object, global_wasm, global_foreign,
        pass_foreign, pass_back, close, use_closing, drop, new_types, make_host_things, load_limited, listen, fuel_set,
        fuel_burn, acall, acall_linked, acall_resume, acall_cancel, timeout, time_out,
    )
}  # fmt: skip
