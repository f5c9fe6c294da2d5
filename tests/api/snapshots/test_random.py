"""Random changes of an instance, undone by a reset: compared with a plain copy of the state, made with what the API has."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final

import pytest

import figwasp

PAGE: Final = 65536
TEXT: Final = """(module
  (import "host" "give" (func $give (result i32)))
  (memory $m (export "m") 1 12) (memory $n (export "n") 2 12)
  (table $f (export "f") 4 40 funcref) (table $x (export "x") 4 40 externref) (table $y (export "y") 2 40 anyref)
  (global (export "i") (mut i32) (i32.const 1)) (global (export "l") (mut i64) (i64.const 2))
  (global (export "v") (mut v128) (v128.const i32x4 1 2 3 4)) (global (export "o") (mut externref) (ref.null extern))
  (global (export "r") (mut funcref) (ref.null func))
  (elem $p funcref (ref.func $zero) (ref.func $one) (ref.func $give)) (elem (table $f) (i32.const 0) func $zero $give)
  (elem declare func $zero $one $give)
  (data $d "0123456789") (data (memory $n) (i32.const 65530) "across the pages")
  (func $zero (export "zero") (result i32) (i32.const 0)) (func $one (export "one") (result i32) (i32.const 1))
  (export "give" (func $give))
  (func (export "init") (param i32) (table.init $f $p (local.get 0) (i32.const 0) (i32.const 3))
    (memory.init $m $d (local.get 0) (i32.const 0) (i32.const 10)))
  (func (export "drop_elem") (elem.drop $p)) (func (export "drop_data") (data.drop $d))
  (func (export "fill") (param i32 i32 i32) (memory.fill $n (local.get 0) (local.get 1) (local.get 2)))
  (func (export "grow_f") (param i32) (result i32) (table.grow $f (ref.func $one) (local.get 0)))
  (func (export "store") (param i32 i32) (i32.store $m (local.get 0) (local.get 1))))"""
MODULE: Final = figwasp.Module(figwasp.wat(TEXT))


class Changer:
    """Makes random changes of an instance."""

    def __init__(self, seed: int, instance: Any) -> None:
        self.chance = random.Random(seed)
        self.instance = instance

    def change(self) -> None:
        """Make some changes, of which some trap or are refused."""
        for _ in range(self.chance.randrange(1, 30)):
            operation: Callable[[], object] = self.chance.choice(
                [self.write, self.fill, self.grow, self.set_table, self.grow_table, self.set_globals, self.call]
            )
            try:
                operation()
            except (figwasp.Trap, MemoryError, IndexError):
                pass

    def write(self) -> None:
        memory = self.chance.choice([self.instance.m, self.instance.n])
        place = self.chance.randrange(len(memory))
        memory[place : place + 9] = self.chance.randbytes(len(memory[place : place + 9]))

    def fill(self) -> None:
        self.instance.fill(self.chance.randrange(3 * PAGE), self.chance.randrange(256), self.chance.randrange(PAGE))
        self.instance.store(self.chance.randrange(2 * PAGE), 99)

    def grow(self) -> None:
        self.chance.choice([self.instance.m, self.instance.n]).grow(self.chance.randrange(3))

    def set_table(self) -> None:
        name, index = self.chance.choice("fxy"), self.chance.randrange(8)
        functions = [None, self.instance.zero, self.instance.one, self.instance.give]
        objects = [None, "text", 5, ["list"], self]
        self.instance.exports[name][index] = self.chance.choice(functions if name == "f" else objects)

    def grow_table(self) -> None:
        self.instance.grow_f(self.chance.randrange(4))
        self.instance.x.grow(self.chance.randrange(4), self.chance.choice([None, "grown", object()]))
        self.instance.y.grow(self.chance.randrange(4), self.chance.choice([None, 7, "grown"]))

    def set_globals(self) -> None:
        one = self.instance
        one.i.value, one.l.value = self.chance.randrange(-100, 100), self.chance.randrange(-(1 << 63), 1 << 63)
        one.v.value, one.o.value = self.chance.randbytes(16), self.chance.choice([None, "o", 3])
        one.r.value = self.chance.choice([None, one.zero, one.give])

    def call(self) -> None:
        self.chance.choice([lambda: self.instance.init(self.chance.randrange(6)), self.instance.drop_elem, self.instance.drop_data])()


def seen(instance: Any) -> tuple[object, ...]:
    """Give what can be seen, and what dropped segments do, on a copy of nothing: `init` is undone by the caller."""
    plain = [instance.i.value, instance.l.value, instance.v.value, instance.o.value, _called(instance.r.value)]
    memories = [bytes(instance.m), bytes(instance.n)]
    return (*plain, *memories, list(map(_called, instance.f)), list(instance.x), list(instance.y))


def _called(function: Any) -> object:
    return None if function is None else function()


def segments(instance: Any) -> list[bool]:
    """Tell which segments are there; the instance has to be reset afterwards."""
    found = []
    for operation in (lambda: instance.init(1), instance.drop_elem):
        try:
            operation()
            found.append(True)
        except figwasp.Trap:
            found.append(False)
    return found


@pytest.mark.parametrize("seed", range(40))
def test_random_changes_are_undone(seed: int) -> None:
    instance: Any = MODULE.instantiate({"host": {"give": lambda: 42}})
    other: Any = MODULE.instantiate({"host": {"give": lambda: 42}})
    changer = Changer(seed, instance)
    states = []
    for _ in range(4):
        changer.change()
        snapshot = instance.snapshot()
        before = seen(instance)
        there = segments(instance)
        instance.reset()
        states.append((snapshot, before, there))
    for _ in range(12):
        changer.change()
        snapshot, before, there = changer.chance.choice(states)
        subject = changer.chance.choice([instance, other, MODULE.instantiate({"host": {"give": lambda: 42}}, snapshot=snapshot)])
        subject.reset(snapshot)
        assert seen(subject) == before
        assert segments(subject) == there
        subject.reset()
        assert seen(subject) == before
    assert _undisturbed(states)


def _undisturbed(states: list[tuple[figwasp.Snapshot, Any, Any]]) -> bool:
    """Tell whether instances that begin in the states are still in those."""
    return all(seen(MODULE.instantiate({"host": {"give": lambda: 42}}, snapshot=snapshot)) == before for snapshot, before, _ in states)
