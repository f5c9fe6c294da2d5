"""An exception at every line of what makes instances, links them and lets them go."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import Any

import pytest

import figwasp
from tests.interrupts.lines import OpcodeStopper, Stopper, stop_everywhere
from tests.interrupts.whole import Kept, holders, is_whole

pytestmark = [
    pytest.mark.usefixtures("old_objects_left_alone"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # some lines are those of finalizers
]

GIVER = figwasp.Module(
    figwasp.wat("""(module
      (memory (export "memory") 1 4) (table (export "functions") 4 funcref) (table (export "objects") 4 externref)
      (global (export "number") i32 (i32.const 2)) (global (export "object") (mut externref) (ref.null extern))
      (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))""")
)
TAKER = """(module
      (import "giver" "memory" (memory 1 4)) (import "giver" "functions" (table $f 4 funcref))
      (import "giver" "objects" (table $x 4 externref)) (import "giver" "number" (global $n i32))
      (import "giver" "add" (func $add (param i32 i32) (result i32))) (import "host" "tell" (func $tell (param i32)))
      (import "host" "thing" (global $thing externref))
      (memory 1 9) (table $own 2 9 funcref) (table $things 3 9 externref) (global $kept (mut externref) (global.get $thing))
      (global $g (mut funcref) (ref.func $one))
      (elem (table $f) (i32.const 1) func $add $add) (elem (table $x) (i32.const 0) externref (global.get $thing))
      (elem (table $own) (i32.const 0) func $add $one) (elem $passive externref (global.get $thing) (global.get $thing))
      (elem declare func $one)
      (data (memory 0) (i32.const 8) "shared") (data (memory 1) (i32.const 8) "own")
      (func $one (export "one") (result i32) (i32.const 1))
      (func (export "sum") (result i32)
        (table.init $things $passive (i32.const 0) (i32.const 0) (i32.const 2))
        (i32.add (call_indirect $own (result i32) (i32.const 1)) (call_indirect $own (param i32 i32) (result i32)
          (global.get $n) (i32.load8_u 1 (i32.const 8)) (i32.const 0))))
      (start $begin) (func $begin (call $tell (call $add (global.get $n) (i32.const 3)))))"""
SUM = 1 + 2 + ord("o")


class Thing:
    """What externrefs refer to."""


class Nothing:
    """Asserts that as much is kept as the last time, but for a block and a memory that were just being made."""

    def __init__(self, prepare: Callable[[], Any], operation: Callable[[Any], object]) -> None:
        operation(prepare())  # what stays of the first time belongs to the process
        self._before = Kept().figures

    def __call__(self) -> None:
        is_whole()
        before, self._before = self._before, Kept().figures
        more = {name: number - before[name] for name, number in self._before.items() if number != before[name]}
        assert more in ({}, {"blocks": 1}, {"reservations": 1}), more


class Linked:
    """A module that imports one of everything from an instance, whose engine allows two instances."""

    def __init__(self) -> None:
        self.module = figwasp.Module(figwasp.wat(TAKER), engine=figwasp.Engine(max_instances=2, max_memory=9 << 16, max_table=20))
        self.giver = figwasp.load(GIVER)
        self.thing = Thing()
        self.told: list[int] = []

    def load(self) -> figwasp.Instance:
        return figwasp.load(self.module, {"giver": self.giver, "host": {"tell": self.told.append, "thing": self.thing}})


def instances_can_be_made(linked: Linked) -> None:
    """There is room for two, whatever became of others, and what they have in common is whole."""
    gc.collect()
    both = [linked.load(), linked.load()]
    with pytest.raises(figwasp.LimitExceeded):
        linked.load()
    assert [one.sum() for one in both] == [SUM, SUM]
    assert linked.giver.objects[0] is linked.thing and linked.giver.functions[2](3, 4) == 7
    assert bytes(linked.giver.memory[8:14]) == b"shared"
    assert {*linked.told} == {5}
    linked.giver.objects[0] = None
    linked.giver.functions[1] = linked.giver.functions[2] = None


def thing_is_free(linked: Linked) -> None:
    """Nothing holds the object any more when the instances are gone."""
    instances_can_be_made(linked)
    gc.collect()
    linked.giver.add(1, 2)
    references = sys.getrefcount(linked.thing)
    assert references == 2  # the linked one's, and the argument's


def test_instantiating() -> None:
    """Wherever it is stopped, the slot of the instance, its memories, tables and externrefs are there again."""
    def operation(linked: Linked) -> None:
        linked.load()

    assert stop_everywhere(Linked, operation, thing_is_free, 0.005, after=Nothing(Linked, operation)) > 500


def released(linked: Linked) -> None:
    """Make an instance and let it go, together with what it has made."""
    instance = linked.load()
    instance.sum()
    del instance
    gc.collect()


def test_releasing() -> None:
    linked = Linked()
    assert stop_everywhere(lambda: linked, released, thing_is_free, 0.004) > 500


# Linking

LONELY = figwasp.Module(
    figwasp.wat("""(module
      (table $f (export "functions") 2 funcref) (table $x (export "objects") 2 externref)
      (func $one (export "one") (result i32) (i32.const 1))
      (func (export "put") (param i32 externref) (table.set $x (local.get 0) (local.get 1)))
      (func (export "get") (param i32) (result externref) (table.get $x (local.get 0)))
      (func (export "pass") (param funcref externref) (result externref) (table.set $f (i32.const 0) (local.get 0)) (local.get 1))
      (func (export "run") (result i32) (call_indirect $f (result i32) (i32.const 0))))""")
)
IMPORTER = figwasp.Module(
    figwasp.wat("""(module (import "one" "one" (func $one (result i32))) (import "two" "objects" (table 2 externref))
      (func (export "sum") (param externref) (result i32) (table.set (i32.const 1) (local.get 0)) (call $one)))""")
)


class Apart:
    """Two instances that know nothing of each other, each with objects in its table."""

    def __init__(self) -> None:
        self.things = [Thing(), Thing()]
        self.one, self.two = figwasp.load(LONELY), figwasp.load(LONELY)
        for instance, thing in zip((self.one, self.two), self.things, strict=True):
            instance.put(0, thing)
            instance.put(1, Thing())
            instance.put(1, None)


def both_work(apart: Apart) -> None:
    """Objects in both can be read and replaced; what is replaced, and what only passed, is free."""
    for instance, thing in zip((apart.one, apart.two), apart.things, strict=True):
        assert instance.get(0) is thing
        other = Thing()
        alone = sys.getrefcount(other)
        instance.put(1, other)
        assert instance.get(1) is other
        instance.put(1, None)
        instance.one()
        references = sys.getrefcount(other)
        assert references == alone
        assert instance.exports["pass"](instance.exports.one, other) is other
        assert instance.run() == 1
        references = sys.getrefcount(other)
        assert references == alone


def test_merging_by_a_function() -> None:
    def operation(apart: Apart) -> None:
        apart.one.exports["pass"](apart.two.exports.one, apart.things[0])

    assert stop_everywhere(Apart, operation, both_work, 0.02) > 100


def test_merging_by_importing() -> None:
    def operation(apart: Apart) -> None:
        thing = Thing()
        instance = figwasp.load(IMPORTER, {"one": apart.one, "two": apart.two})
        assert instance.sum(thing) == 1
        apart.two.put(1, None)

    assert stop_everywhere(Apart, operation, both_work, 0.01) > 100


# Closing


def test_closing() -> None:
    """Stopped anywhere, closing again closes; whoever has its functions gets `Closed` then."""

    def prepare() -> tuple[figwasp.Instance, Any]:
        instance = figwasp.load(LONELY)
        instance.one()
        return instance, instance.exports.one

    def check(both: tuple[figwasp.Instance, Any]) -> None:
        if both[0].closed:
            with pytest.raises(figwasp.Closed):
                both[1]()
        else:
            try:
                assert both[1]() == 1
            except figwasp.Closed:
                pass

    assert stop_everywhere(prepare, lambda both: both[0].close(), check, 0.3, (Stopper, OpcodeStopper)) > 50


CLOSER = figwasp.Module(
    figwasp.wat("""(module (import "host" "close" (func $close)) (func $one (result i32) (i32.const 1))
      (func (export "go") (result i32) (call $close) (call $one)))""")
)


def test_closing_while_a_call_runs() -> None:
    """The call goes on to its end; afterwards nothing can be called."""

    def prepare() -> list[figwasp.Instance]:
        closer: list[figwasp.Instance] = []
        closer.append(figwasp.load(CLOSER, {"host": {"close": lambda: closer[0].close()}}))
        return closer

    def check(closer: list[figwasp.Instance]) -> None:
        is_whole()

    def operation(closer: list[figwasp.Instance]) -> None:
        try:
            assert closer[0].go() == 1
        except figwasp.Closed:
            pass

    assert stop_everywhere(prepare, operation, check, 0.05) > 50


# Segments

SEGMENTS = """(module (import "host" "thing" (global $t externref)) (table $x 3 externref) (table $f 3 funcref) (memory 1)
      (elem $things externref (global.get $t) (global.get $t)) (elem $ones func $one $one) (data $bytes "bytes")
      (func $one (export "one") (result i32) (i32.const 1))
      (func (export "use") (table.init $x $things (i32.const 0) (i32.const 0) (i32.const 2))
        (table.init $f $ones (i32.const 0) (i32.const 0) (i32.const 2))
        (memory.init $bytes (i32.const 0) (i32.const 0) (i32.const 5)))
      (func (export "drop") (elem.drop $things) (elem.drop $ones) (data.drop $bytes))
      (func (export "clear") (table.fill $x (i32.const 0) (ref.null extern) (i32.const 3))))"""


def test_dropping_segments() -> None:
    """What a segment holds is free when it has been dropped, and not before."""
    module = figwasp.Module(figwasp.wat(SEGMENTS))

    def prepare() -> tuple[figwasp.Instance, Thing]:
        thing = Thing()
        instance = figwasp.load(module, {"host": {"thing": thing}})
        for name in ("use", "clear", "one"):
            instance.exports[name]()
        return instance, thing

    def check(both: tuple[figwasp.Instance, Thing]) -> None:
        instance = both[0]
        instance.clear()
        instance.one()
        instance.one()
        held = holders(instance._state.store.current)
        dropped = held == 1  # by the global
        assert dropped or held == 3
        try:
            instance.use()
        except figwasp.Trap:
            return
        assert not dropped
        instance.clear()

    def operation(both: tuple[figwasp.Instance, Thing]) -> None:
        both[0].drop()

    assert stop_everywhere(prepare, operation, check, 0.1, (Stopper, OpcodeStopper)) > 50
