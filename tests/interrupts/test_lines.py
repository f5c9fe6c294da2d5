"""An exception at every line of an operation: what is left behind is whole, and the operation works when it is repeated."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

import figwasp
from figwasp.runtime.trap import parking
from tests.interrupts.lines import Stopper, run, stop_everywhere

TABLES = figwasp.Module(
    figwasp.wat("""(module
      (table $f (export "functions") 2 100000 funcref) (table $x (export "objects") 4 100000 externref)
      (global (export "object") (mut externref) (ref.null extern)) (memory (export "memory") 1 60000)
      (func $one (export "one") (result i32) (i32.const 1))
      (elem $e externref (ref.null extern))
      (func (export "grow_memory") (drop (memory.grow (i32.const 1))))
      (func (export "grow_functions") (param i32) (drop (table.grow $f (ref.func $one) (local.get 0))))
      (func (export "grow_others") (param funcref i32) (drop (table.grow $f (local.get 0) (local.get 1))))
      (func (export "grow_objects") (param externref) (drop (table.grow $x (local.get 0) (i32.const 3))))
      (func (export "put") (param i32 externref) (table.set $x (local.get 0) (local.get 1)))
      (func (export "get") (param i32) (result externref) (table.get $x (local.get 0)))
      (func (export "fill") (param externref) (table.fill $x (i32.const 0) (local.get 0) (i32.const 4)))
      (func (export "shift") (table.copy $x $x (i32.const 1) (i32.const 0) (i32.const 3)))
      (func (export "poke") (param i32) (i32.store8 (local.get 0) (i32.const 1))))""")
)
NULLS = figwasp.Module(
    figwasp.wat("""(module (table 100000 100000 funcref)
      (func (export "find") (result i32) (local i32)
        (loop (if (i32.eqz (ref.is_null (table.get (local.get 0)))) (then (return (local.get 0))))
          (br_if 0 (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 100000))))
        (i32.const -1)))""")
)


@cache
def other() -> figwasp.Func:
    """A function of another instance, whose owner a table has to keep."""
    one: figwasp.Func = figwasp.load(TABLES).one
    one()
    return one


@cache
def compile_stubs() -> None:
    """Have what calls with objects go through, which would be compiled again wherever that is stopped."""
    figwasp.load(TABLES).put(0, ["x"])
    figwasp.load(TABLES).fill(["x"])


def ready() -> figwasp.Instance:
    """An instance whose functions are compiled."""
    compile_stubs()
    instance = figwasp.load(TABLES)
    instance.one()
    instance.grow_memory()
    instance.poke(0)
    instance.grow_functions(1)
    instance.grow_objects(None)
    instance.fill(None)
    instance.shift()
    instance.put(0, None)
    instance.get(0)
    return instance


def memory_ends(instance: figwasp.Instance) -> None:
    """What lies behind the end of the memory cannot be reached."""
    with pytest.raises(figwasp.Trap):
        instance.poke(len(instance.memory))
    instance.poke(len(instance.memory) - 1)


def nothing_is_left(instance: figwasp.Instance) -> None:
    """The length is right, and what is there can be called."""
    functions = instance.functions
    assert all(one is None or one() == 1 for one in (functions[at] for at in range(len(functions))))


def objects_are_whole(instance: figwasp.Instance) -> None:
    """Every element can be read, replaced and read again."""
    for at in range(4):
        value = instance.get(at)
        assert value is None or value == ["x"]
    kept = [["y"] for _ in range(4)]
    for at in range(4):
        instance.put(at, kept[at])
    assert [instance.get(at) for at in range(4)] == kept
    instance.object.value = None
    for at in range(4):
        instance.put(at, None)


OPERATIONS: dict[str, tuple[Callable[[Any], object], Callable[[Any], None]]] = {
    "memory.grow": (lambda instance: instance.grow_memory(), memory_ends),
    "Memory.grow": (lambda instance: instance.memory.grow(1), memory_ends),
    "Table.grow of functions": (lambda instance: instance.functions.grow(3, instance.one), nothing_is_left),
    "table.grow of another's functions": (lambda instance: instance.grow_others(other(), 3), nothing_is_left),
    "table.grow of objects": (lambda instance: instance.grow_objects(["x"]), objects_are_whole),
    "table.set": (lambda instance: instance.put(1, ["x"]), objects_are_whole),
    "table.fill": (lambda instance: instance.fill(["x"]), objects_are_whole),
    "table.copy": (lambda instance: instance.shift(), objects_are_whole),
    "Table.__setitem__": (lambda instance: instance.objects.__setitem__(2, ["x"]), objects_are_whole),
    "Global.value": (lambda instance: setattr(instance.object, "value", ["x"]), objects_are_whole),
}


PARKING = figwasp.Module(
    figwasp.wat("""(module (memory (export "memory") 1 1 shared)
      (func (export "wait") (result i32) (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const 1000)))
      (func (export "notify") (result i32) (memory.atomic.notify (i32.const 0) (i32.const 1))))"""),
    engine=figwasp.Engine(features=figwasp.features.DEFAULT.including("threads")),
)


def new_parking() -> figwasp.Instance:
    instance = figwasp.load(PARKING)
    instance.wait()
    instance.notify()
    return instance


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # some lines are those of finalizers
@pytest.mark.parametrize("name", ["wait", "notify"])
def test_nobody_is_left_waiting(name: str) -> None:
    def check(instance: figwasp.Instance) -> None:
        assert instance.notify() == 0
        assert not parking._waiting
        assert instance.wait() == 2

    assert stop_everywhere(new_parking, lambda instance: instance.exports[name](), check) > 5


def one_waits() -> tuple[figwasp.Instance, threading.Thread, list[int]]:
    """An instance, and a thread that waits at its memory."""
    instance = new_parking()
    other = figwasp.load(figwasp.Module(figwasp.wat(WAITING), engine=PARKING.engine), {"m": {"m": instance.memory}})
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(other.wait()), daemon=True)
    thread.start()
    while not parking._waiting:
        time.sleep(0.0001)
    return instance, thread, found


WAITING = """(module (import "m" "m" (memory 1 1 shared))
  (func (export "wait") (result i32) (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1))))"""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_no_wake_up_is_lost() -> None:
    """Whoever was to be woken is, or can be woken by the next who tries."""

    def check(state: tuple[figwasp.Instance, threading.Thread, list[int]]) -> None:
        instance, thread, found = state
        while thread.is_alive():
            instance.notify()
            thread.join(0.001)
        assert found == [0]
        assert not parking._waiting

    assert stop_everywhere(one_waits, lambda state: state[0].notify(), check) > 5


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations(name: str) -> None:
    operation, check = OPERATIONS[name]
    assert stop_everywhere(ready, operation, check) > 5


def test_what_a_table_was_filled_with_is_gone_with_it() -> None:
    """The next table of the same size is made of nulls, wherever growing the last one was stopped."""
    at = 0
    stopped = True
    while stopped:
        instance = ready()
        stopped = run(lambda instance: instance.grow_functions(40000), instance, Stopper(at))
        del instance
        gc.collect()
        assert figwasp.load(NULLS).find() == -1, at
        at += 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # some lines are those of finalizers
def test_types_and_code() -> None:
    """Loading and calling can be stopped anywhere: types keep their numbers, and functions their code."""
    source = figwasp.wat("""(module (type $t (func (param i64) (result i64))) (table 1 funcref) (memory 1 9)
      (elem (i32.const 0) $g) (func $g (param i64) (result i64) (i64.extend_i32_s (memory.grow (i32.const 1))))
      (func (export "f") (param i64) (result i64) (call_indirect (type $t) (local.get 0) (i32.const 0))))""")
    first = figwasp.load(source)
    first.f(1)

    def check(_: None) -> None:
        assert figwasp.load(source).f(1) == 1
        assert first.f(1) > 0 or first.f(1) == -1

    assert stop_everywhere(lambda: None, lambda _: figwasp.load(source).f(1), check, 0.04) > 500
