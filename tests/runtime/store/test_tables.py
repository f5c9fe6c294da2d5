"""Tables, globals and segments of references, written by WebAssembly: who is kept by what, and until when."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import figwasp
from tests.interrupts.whole import holders

TEXT = """(module
  (import "host" "thing" (global $t externref))
  (import "host" "func" (global $i funcref))
  (table $x (export "x") 4 40 externref) (table $y (export "y") 4 externref)
  (table $f (export "f") 4 40 funcref) (table $h (export "h") 4 funcref)
  (memory (export "m") 1)
  (elem $things externref (global.get $t) (global.get $t)) (elem $ones funcref (ref.func $one) (global.get $i))
  (data $b "bytes")
  (global $gx (export "gx") (mut externref) (ref.null extern)) (global $gf (export "gf") (mut funcref) (ref.null func))
  (func $one (export "one") (result i32) (i32.const 1))
  (func (export "set") (param i32 externref) (table.set $x (local.get 0) (local.get 1)))
  (func (export "fill") (param i32 externref i32) (table.fill $x (local.get 0) (local.get 1) (local.get 2)))
  (func (export "grow") (param externref i32) (result i32) (table.grow $x (local.get 0) (local.get 1)))
  (func (export "copy") (param i32 i32 i32) (table.copy $x $x (local.get 0) (local.get 1) (local.get 2)))
  (func (export "across") (param i32 i32 i32) (table.copy $y $x (local.get 0) (local.get 1) (local.get 2)))
  (func (export "init") (param i32 i32 i32) (table.init $x $things (local.get 0) (local.get 1) (local.get 2)))
  (func (export "drop") (elem.drop $things))
  (func (export "set_global") (param externref) (global.set $gx (local.get 0)))
  (func (export "set_func") (param i32 funcref) (table.set $f (local.get 0) (local.get 1)))
  (func (export "fill_func") (param i32 funcref i32) (table.fill $f (local.get 0) (local.get 1) (local.get 2)))
  (func (export "grow_func") (param funcref i32) (result i32) (table.grow $f (local.get 0) (local.get 1)))
  (func (export "across_func") (param i32 i32 i32) (table.copy $h $f (local.get 0) (local.get 1) (local.get 2)))
  (func (export "init_func") (param i32 i32 i32) (table.init $f $ones (local.get 0) (local.get 1) (local.get 2)))
  (func (export "set_global_func") (param funcref) (global.set $gf (local.get 0)))
  (func (export "own") (table.set $f (i32.const 0) (ref.func $one)) (global.set $gf (ref.func $one)))
  (func (export "memory_init") (param i32 i32 i32) (memory.init $b (local.get 0) (local.get 1) (local.get 2)))
  (func (export "data_drop") (data.drop $b))
  (func (export "many") (param i32 externref externref)
    (loop
      (table.set $x (i32.const 1) (local.get 1)) (table.set $x (i32.const 1) (local.get 2))
      (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))"""
MODULE = figwasp.Module(figwasp.wat(TEXT))


class Thing:
    """An object that can be watched."""


def make(thing: object = None, func: Any = None) -> figwasp.Instance:
    return MODULE.instantiate({"host": {"thing": thing, "func": figwasp.Global("funcref", func)}})


def watched() -> tuple[list[Thing], weakref.ref[Thing]]:
    """Return an object, in a list, and a reference that tells whether it is there."""
    things = [Thing()]
    return things, weakref.ref(things[0])


PUT: dict[str, tuple[Callable[[figwasp.Instance, Any], object], Callable[[figwasp.Instance], object]]] = {
    "set": (lambda inst, thing: inst.set(3, thing), lambda inst: inst.set(3, None)),
    "fill": (lambda inst, thing: inst.fill(0, thing, 4), lambda inst: inst.fill(0, None, 4)),
    "fill, then one by one": (
        lambda inst, thing: inst.fill(0, thing, 3),
        lambda inst: [inst.set(place, None) for place in range(3)],
    ),
    "grow": (lambda inst, thing: inst.grow(thing, 5), lambda inst: inst.fill(len(inst.x) - 5, None, 5)),
    "copy": (
        lambda inst, thing: (inst.set(0, thing), inst.copy(1, 0, 3), inst.set(0, None)),
        lambda inst: inst.fill(1, None, 3),
    ),
    "across": (
        lambda inst, thing: (inst.set(0, thing), inst.across(2, 0, 1), inst.set(0, None)),
        lambda inst: inst.across(2, 1, 1),
    ),
    "global": (lambda inst, thing: inst.set_global(thing), lambda inst: inst.set_global(None)),
    "from Python": (lambda inst, thing: inst.x.__setitem__(2, thing), lambda inst: inst.set(2, None)),
    "global from Python": (lambda inst, thing: setattr(inst.gx, "value", thing), lambda inst: inst.set_global(None)),
}


@pytest.mark.parametrize("name", PUT)
def test_objects_stay_as_long_as_they_stand_somewhere(name: str) -> None:
    put, take = PUT[name]
    inst = make()
    store = inst.x._core.store
    for _ in range(3):
        things, seen = watched()
        put(inst, things[0])
        things.clear()
        assert seen() is not None
        take(inst)
        assert seen() is None
        assert holders(store) == 0
    things, seen = watched()
    put(inst, things[0])
    things.clear()
    del inst, store
    gc.collect()
    assert seen() is None


def test_segments_hold_objects() -> None:
    things, seen = watched()
    inst = make(things[0])
    things.clear()
    inst.init(1, 0, 2)
    assert inst.x[1] is inst.x[2] is seen()
    inst.fill(0, None, 4)
    assert holders(inst.x._core.store) == 3
    inst.drop()
    assert holders(inst.x._core.store) == 1
    with pytest.raises(figwasp.Trap, match="out of bounds table access"):
        inst.init(0, 0, 1)
    inst.init(0, 0, 0)
    inst.drop()


def test_an_object_that_is_put_in_again_and_again() -> None:
    inst = make()
    one, two = Thing(), Thing()
    inst.many(1000, one, two)
    assert inst.x[1] is two
    assert holders(inst.x._core.store) == 1
    seen = weakref.ref(one)
    del one
    assert seen() is None


def other() -> Any:
    """A function of an instance that nothing else refers to."""
    return figwasp.load(figwasp.wat('(module (func (export "seven") (result i32) (i32.const 7)))')).seven


def host_func() -> Any:
    """A function of the host that came out of an instance."""
    text = '(module (import "host" "f" (func $f (result i32))) (export "seven" (func $f)))'
    return figwasp.load(figwasp.wat(text), {"host": {"f": lambda: 7}}).seven


KEPT: dict[str, tuple[Callable[[figwasp.Instance, Any], object], Callable[[figwasp.Instance], Any]]] = {
    "set": (lambda inst, func: inst.set_func(2, func), lambda inst: inst.f[2]),
    "fill": (lambda inst, func: inst.fill_func(1, func, 3), lambda inst: inst.f[3]),
    "grow": (lambda inst, func: inst.grow_func(func, 2), lambda inst: inst.f[len(inst.f) - 1]),
    "across": (lambda inst, func: (inst.set_func(0, func), inst.across_func(1, 0, 1)), lambda inst: inst.h[1]),
    "global": (lambda inst, func: inst.set_global_func(func), lambda inst: inst.gf.value),
}


@pytest.mark.parametrize("first", ["own", "another's", "nobody's"])
@pytest.mark.parametrize("source", [other, host_func])
@pytest.mark.parametrize("name", KEPT)
def test_instances_stay_as_long_as_a_table_may_have_their_functions(name: str, source: Callable[[], Any], first: str) -> None:
    """Whichever instance the table was made to keep before."""
    put, get = KEPT[name]
    inst = make()
    if first == "own":
        inst.own()
    elif first == "another's":
        put(inst, other())
    put(inst, source())
    gc.collect()
    assert get(inst)() == 7
    inst.fill_func(0, None, 4)
    put(inst, inst.one)
    assert get(inst)() == 1
    put(inst, source())
    gc.collect()
    assert get(inst)() == 7


@pytest.mark.parametrize("source", [other, host_func])
def test_functions_of_segments(source: Callable[[], Any]) -> None:
    inst = make(func=source())
    gc.collect()
    inst.init_func(0, 0, 2)
    assert [inst.f[0](), inst.f[1]()] == [1, 7]
    inst.across_func(0, 1, 1)
    assert inst.h[0]() == 7


OUTSIDE: list[Callable[[figwasp.Instance], object]] = [
    lambda inst: inst.set(4, None), lambda inst: inst.set(-1, None), lambda inst: inst.fill(3, None, 2),
    lambda inst: inst.fill(0, None, -1), lambda inst: inst.copy(3, 0, 2), lambda inst: inst.copy(0, 3, 2),
    lambda inst: inst.across(0, 2, 3), lambda inst: inst.init(0, 1, 2), lambda inst: inst.init(3, 0, 2),
    lambda inst: inst.set_func(4, inst.one), lambda inst: inst.fill_func(-1, inst.one, 2), lambda inst: inst.init_func(0, -1, 2),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(OUTSIDE)))
def test_nothing_is_written_outside(number: int) -> None:
    inst = make()
    marks = [Thing() for _ in range(4)]
    for place, mark in enumerate(marks):
        inst.set(place, mark)
    with pytest.raises(figwasp.Trap, match="out of bounds table access"):
        OUTSIDE[number](inst)
    assert [inst.x[place] for place in range(4)] == marks
    assert [inst.f[place] for place in range(4)] == [None] * 4


def test_growing_to_the_limits() -> None:
    inst = make()
    assert [inst.grow(None, 36), inst.grow(None, 1), inst.grow(None, 0), inst.grow(None, -1)] == [4, -1, 40, -1]
    assert [inst.grow_func(inst.one, 36), inst.grow_func(None, 1)] == [4, -1]
    assert [inst.f[place]() for place in range(4, 40)] == [1] * 36
    limited = figwasp.Module(MODULE._decoded.data, engine=figwasp.Engine(max_table=20))
    one = limited.instantiate({"host": {"thing": None, "func": figwasp.Global("funcref", None)}})
    assert [one.grow(None, 3), one.grow_func(None, 2), one.grow_func(None, 1), one.grow(None, 1)] == [4, -1, 4, -1]


def test_passive_data() -> None:
    inst = make()
    inst.memory_init(10, 1, 3)
    assert inst.m[10:13] == b"yte"
    for arguments in ((0, 3, 3), (65534, 0, 3), (-1, 0, 1), (0, -1, 2), (0, 0, -1)):
        with pytest.raises(figwasp.Trap, match="out of bounds memory access"):
            inst.memory_init(*arguments)
    second = make()
    inst.data_drop()
    inst.data_drop()
    inst.memory_init(0, 0, 0)
    with pytest.raises(figwasp.Trap):
        inst.memory_init(0, 0, 1)
    second.memory_init(0, 0, 5)
    assert second.m[:5] == b"bytes"
