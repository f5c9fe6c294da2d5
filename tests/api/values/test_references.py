"""References across the border: externref identity and lifetime, funcref in and out."""

from __future__ import annotations

import asyncio
import gc
import sys
import weakref
from typing import Any

import pytest

import figwasp
from tests.runtime.support import host, load

PASS = """(module
  (import "host" "see" (func $see (param externref)))
  (import "host" "make" (func $make (result externref)))
  (table $t (export "table") 8 externref)
  (global $g (export "global") (mut externref) (ref.null extern))
  (func (export "id") (param externref) (result externref) (local.get 0))
  (func (export "see") (param externref) (call $see (local.get 0)))
  (func (export "made") (result externref) (call $make))
  (func (export "make_and_drop") (drop (call $make)))
  (func (export "is_null") (param externref) (result i32) (ref.is_null (local.get 0)))
  (func (export "put") (param i32 externref) (table.set $t (local.get 0) (local.get 1)))
  (func (export "get") (param i32) (result externref) (table.get $t (local.get 0)))
  (func (export "keep") (param externref) (global.set $g (local.get 0)))
  (func (export "kept") (result externref) (global.get $g))
  (func (export "swap") (param externref externref) (result externref externref) (local.get 1) (local.get 0))
  (func (export "copy") (table.copy $t $t (i32.const 4) (i32.const 0) (i32.const 4)))
  (func (export "fill") (param externref) (table.fill $t (i32.const 0) (local.get 0) (i32.const 8)))
  (func (export "grow") (param externref) (result i32) (table.grow $t (local.get 0) (i32.const 3)))
  (func (export "trap") (param externref) (unreachable))
  (func (export "nothing")))"""


class Thing:
    """An object that can be watched."""


class Host:
    """The imports: remembers what it saw and makes objects."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.made: list[weakref.ref[Thing]] = []

    def see(self, value: object) -> None:
        self.seen.append(value)

    def make(self) -> Thing:
        thing = Thing()
        self.made.append(weakref.ref(thing))
        return thing


def start() -> tuple[figwasp.Instance, Host]:
    """Load the module with a host of its own."""
    own = Host()
    return load(PASS, host(see=own.see, make=own.make)), own


@pytest.mark.parametrize("value", [0, "text", (), [1], {}, object(), int, print, 1.5, True, sys])
def test_any_object_passes_as_itself(value: object) -> None:
    """Any object goes in and comes out as itself, through parameters, tables, globals and host functions."""
    inst, own = start()
    assert inst.id(value) is value
    inst.see(value)
    assert own.seen[0] is value
    inst.put(3, value)
    assert inst.get(3) is value and inst.table[3] is value
    inst.keep(value)
    assert inst.kept() is value and inst.exports["global"].value is value
    assert inst.swap(value, None) == (None, value)
    assert inst.is_null(value) == 0


def test_none_is_null() -> None:
    """None is the null reference, both ways."""
    inst, own = start()
    assert inst.id(None) is None and inst.is_null(None) == 1 and inst.get(0) is None
    inst.see(None)
    assert own.seen == [None]


def test_reference_counts_come_back() -> None:
    """After calls that leave nothing behind, an object has the references that it had before."""
    inst, own = start()
    thing = Thing()
    before = sys.getrefcount(thing)
    for _ in range(5):
        inst.id(thing)
        inst.see(thing)
        own.seen.clear()
        with pytest.raises(figwasp.Trap):
            inst.trap(thing)
        inst.swap(thing, thing)
    gc.collect()
    inst.id(None)
    assert sys.getrefcount(thing) == before


def test_object_dies_after_the_call() -> None:
    """An object that wasm does not keep is released when the call is over."""
    inst, _ = start()
    thing = Thing()
    watch = weakref.ref(thing)
    inst.id(thing)
    del thing
    assert watch() is None


def test_object_made_by_the_host_dies_after_the_call() -> None:
    """An object that only a host function handed in dies with the call that dropped it."""
    inst, own = start()
    inst.make_and_drop()
    assert own.made[0]() is None
    thing = inst.made()
    assert own.made[1]() is thing
    del thing
    assert own.made[1]() is None


def test_slot_keeps_and_overwriting_releases() -> None:
    """A table slot and a global keep an object; after overwriting it dies at the end of the next call."""
    inst, _ = start()
    for store, clear in ((lambda v: inst.put(2, v), lambda: inst.put(2, None)), (inst.keep, lambda: inst.keep(None))):
        thing = Thing()
        watch = weakref.ref(thing)
        store(thing)
        del thing
        gc.collect()
        inst.nothing()
        assert watch() is not None
        clear()  # type: ignore[no-untyped-call]
        inst.id(1)
        assert watch() is None


def test_python_side_of_tables_and_globals_releases() -> None:
    """Overwriting from Python releases as well."""
    inst, _ = start()
    thing = Thing()
    watch = weakref.ref(thing)
    inst.table[1] = thing
    inst.exports["global"].value = thing
    del thing
    inst.id(2)
    assert watch() is not None and inst.get(1) is watch() and inst.kept() is watch()
    inst.table[1] = None
    assert watch() is not None
    inst.exports["global"].value = None
    inst.id(2)
    assert watch() is None


def test_objects_die_with_the_instance() -> None:
    """What tables and globals hold goes when the instance goes."""
    inst, own = start()
    thing = Thing()
    watch = weakref.ref(thing)
    inst.put(0, thing)
    inst.keep(thing)
    del thing, inst, own
    gc.collect()
    assert watch() is None


def test_fill_grow_and_copy_keep() -> None:
    """table.fill, table.grow and table.copy keep what they wrote."""
    inst, _ = start()
    thing = Thing()
    watch = weakref.ref(thing)
    inst.fill(thing)
    del thing
    for k in range(8):
        inst.put(k, None) if k != 2 else None
    inst.id(None)
    assert inst.get(2) is watch() is not None
    inst.copy()
    inst.put(2, None)
    inst.id(None)
    assert inst.get(6) is watch() is not None
    inst.put(6, None)
    inst.id(0)
    assert watch() is None
    other = Thing()
    watch_other = weakref.ref(other)
    assert inst.grow(other) == 8
    del other
    inst.id(None)
    assert [inst.get(k) is watch_other() for k in (8, 9, 10)] == [True] * 3 and watch_other() is not None


def test_object_on_the_wasm_stack_lives_through_host_calls() -> None:
    """An object that only a wasm frame holds survives nested calls and collections in a host function."""
    inst: figwasp.Instance

    def nest() -> None:
        for k in range(20):
            inst.id(Thing())
            inst.put(k % 8, Thing())
        gc.collect()

    inst = load(
        """(module (import "host" "make" (func $make (result externref))) (import "host" "nest" (func $nest))
        (table $t 8 externref)
        (func (export "id") (param externref) (result externref) (local.get 0))
        (func (export "put") (param i32 externref) (table.set $t (local.get 0) (local.get 1)))
        (func (export "hold") (result externref) (local externref) (local.set 0 (call $make)) (call $nest) (local.get 0)))""",
        host(make=Thing, nest=nest),
    )
    for _ in range(5):
        assert type(inst.hold()) is Thing


def test_cycle_through_a_table_is_collected() -> None:
    """An instance that an object in its own table refers to is garbage that the collector finds."""
    inst, own = start()
    thing = Thing()
    thing.inst = inst  # type: ignore[attr-defined]
    watch = weakref.ref(thing)
    inst.put(0, thing)
    del thing, inst, own
    gc.collect()
    gc.collect()
    assert watch() is None


class Counted:
    """An object of which it is known how many there are."""

    live = most = 0

    def __init__(self) -> None:
        Counted.live += 1
        Counted.most = max(Counted.most, Counted.live)

    def __del__(self) -> None:
        Counted.live -= 1


def test_objects_go_during_a_long_call() -> None:
    """Of many objects that a host hands in during one call few are alive at once, though each stands in a table."""
    inst = load(
        """(module (import "host" "make" (func $make (result externref))) (table 1 externref)
        (func (export "loop") (param i32) (loop $l (table.set (i32.const 0) (call $make))
          (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))""",
        host(make=Counted),
    )
    Counted.most = Counted.live
    inst.loop(50_000)
    assert Counted.most < Counted.live + 1_000


def test_objects_go_while_a_call_is_suspended() -> None:
    """A suspended call keeps what it holds, and nothing of other calls."""
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        arrived.set()
        await go_on.wait()

    inst = load(
        """(module (import "host" "wait" (func $wait)) (import "host" "make" (func $make (result externref)))
        (func (export "serve") (result externref) (local externref) (local.set 0 (call $make)) (call $wait) (local.get 0))
        (func (export "one") (drop (call $make))))""",
        host(wait=wait, make=Counted),
    )
    before = Counted.live

    async def main() -> None:
        task = asyncio.ensure_future(inst.acall.serve())
        waited = asyncio.ensure_future(arrived.wait())
        await asyncio.wait([task, waited], return_when=asyncio.FIRST_COMPLETED)
        for _ in range(5_000):
            inst.one()
        assert before < Counted.live < before + 1_000
        go_on.set()
        assert type(await task) is Counted

    asyncio.run(main())


FUNCS = """(module
  (type $bin (func (param i32 i32) (result i32)))
  (table $t (export "table") 4 funcref)
  (global $g (export "global") (mut funcref) (ref.null func))
  (func $add (export "add") (type $bin) (i32.add (local.get 0) (local.get 1)))
  (func (export "id") (param funcref) (result funcref) (local.get 0))
  (func (export "own") (result funcref) (ref.func $add))
  (func (export "put") (param i32 funcref) (table.set $t (local.get 0) (local.get 1)))
  (func (export "get") (param i32) (result funcref) (table.get $t (local.get 0)))
  (func (export "keep") (param funcref) (global.set $g (local.get 0)))
  (func (export "kept") (result funcref) (global.get $g))
  (func (export "call") (param i32 i32 i32) (result i32) (call_indirect $t (type $bin) (local.get 1) (local.get 2) (local.get 0))))"""


def test_funcref_out_is_a_func() -> None:
    """A funcref comes out as a Func equal to the export, and can be called."""
    inst = load(FUNCS)
    func = inst.own()
    assert isinstance(func, figwasp.Func) and func == inst.exports.add and func(2, 3) == 5
    assert inst.id(func) == func and inst.id(None) is None


@pytest.mark.parametrize("value", [1, "x", print, lambda a, b: a, int])
def test_only_wasm_functions_are_funcrefs(value: object) -> None:
    """A Python callable, or anything else that is no wasm function, is refused as a funcref."""
    inst = load(FUNCS)
    with pytest.raises(TypeError, match=r"argument 1 of id\(\) must be a WebAssembly function or None \(funcref\)"):
        inst.id(value)


def test_foreign_functions_in_tables_and_globals_live_on() -> None:
    """A function of another instance stays callable through a table or global after its own instance was dropped."""
    inst = load(FUNCS)
    other = load('(module (memory 1) (func (export "sub") (param i32 i32) (result i32) (i32.store (i32.const 8) (local.get 1))'
                 "(i32.sub (local.get 0) (i32.load (i32.const 8)))))")  # fmt: skip
    inst.put(1, other.sub)
    inst.table[2] = other.sub
    inst.keep(other.sub)
    inst.exports["global"].value = other.sub
    del other
    gc.collect()
    for _ in range(50):
        load("(module (memory 1))")
    assert inst.call(1, 50, 8) == 42 and inst.call(2, 7, 8) == -1
    assert inst.kept()(9, 4) == 5 and inst.get(1)(1, 1) == 0 and inst.table[2](5, 6) == -1


def test_foreign_function_on_the_stack_lives_through_the_call() -> None:
    """A function that only the running call holds is not released before the call ends."""
    inst: figwasp.Instance

    def make() -> figwasp.Func:
        func: figwasp.Func = load('(module (memory 1) (func (export "f") (result i32) (i32.load8_u (i32.const 65535))))').exports.f
        return func

    def nest() -> None:
        gc.collect()
        for _ in range(30):
            inst.id(make())

    inst = load(
        """(module (type $f (func (result i32)))
        (import "host" "make" (func $make (result funcref))) (import "host" "nest" (func $nest))
        (table $t 1 funcref)
        (func (export "id") (param funcref) (result funcref) (local.get 0))
        (func (export "hold") (result i32) (local funcref)
          (local.set 0 (call $make)) (call $nest)
          (table.set $t (i32.const 0) (local.get 0)) (call_indirect $t (type $f) (i32.const 0))))""",
        host(make=make, nest=nest),
    )
    for _ in range(3):
        assert inst.hold() == 0


def test_imported_host_function_as_funcref() -> None:
    """A host function that wasm hands out is a Func that converts and checks as the import does."""
    inst = load(
        """(module (import "host" "f" (func $f (param i32) (result i32))) (elem declare func $f)
        (func (export "own") (result funcref) (ref.func $f)) (export "again" (func $f)))""",
        host(f=lambda x: x if x < 100 else "bad"),
    )
    func = inst.own()
    assert func == inst.exports.again and func(2**32 - 1) == -1 and repr(func)
    assert "host.f" in func.name
    with pytest.raises(TypeError, match="host.f"):
        func("x")
    with pytest.raises(TypeError, match=r"result of host.f\(\)"):
        func(100)
    with pytest.raises(OverflowError):
        func(2**32)
    with pytest.raises(TypeError):
        func()
    del inst
    gc.collect()
    assert func(5) == 5


def test_func_wrapped_as_externref() -> None:
    """A Func passes as an externref like any object."""
    inst, _ = start()
    func = inst.exports.nothing
    assert inst.id(func) is func
