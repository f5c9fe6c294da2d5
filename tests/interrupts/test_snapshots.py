"""An exception at every line of taking a snapshot, of a reset, and of making an instance in a state."""

from __future__ import annotations

import gc
import sys
from typing import Any

import pytest

import figwasp
from tests.interrupts.lines import OpcodeStopper, Stopper, stop_everywhere
from tests.interrupts.whole import Kept, is_whole

pytestmark = [
    pytest.mark.usefixtures("old_objects_left_alone"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # some lines are those of finalizers
]

MODULE = figwasp.Module(
    figwasp.wat("""(module (import "host" "f" (func $given (result i32)))
      (memory (export "memory") 1 9) (memory (export "second") 1 9)
      (table (export "functions") 2 9 funcref) (table (export "objects") 2 9 externref)
      (global (export "number") (mut i32) (i32.const 1)) (global (export "object") (mut externref) (ref.null extern))
      (elem (table 0) (i32.const 0) func $one $given) (elem $p funcref (ref.func $one)) (data $d "x")
      (func $one (export "one") (result i32) (i32.const 1)) (func (export "drop") (elem.drop $p) (data.drop $d))
      (func (export "init") (table.init $p (i32.const 1) (i32.const 0) (i32.const 1))))"""),
    engine=figwasp.Engine(max_memory=9 << 16, max_table=14, max_instances=3),
)


class Thing:
    """What externrefs refer to."""


class Changed:
    """An instance that has been changed since its snapshot."""

    def __init__(self) -> None:
        self.thing, self.other = Thing(), Thing()
        self.instance: Any = MODULE.instantiate({"host": {"f": lambda: 2}})
        self.instance.memory[5000] = 1
        self.instance.objects[0] = self.instance.object.value = self.thing
        self.snapshot = self.instance.snapshot()
        self.before = self.state()
        self.change()
        self.after = self.state()

    def change(self) -> None:
        """Change all that there is."""
        instance = self.instance
        instance.memory[5000], instance.number.value = 2, 2
        instance.memory.grow(2)
        instance.second.grow(1)
        instance.functions[0] = None
        instance.objects[0] = instance.object.value = self.other
        instance.objects.grow(3, self.other)
        instance.drop()

    def state(self) -> list[object]:
        """Give the state."""
        one = self.instance
        functions = [None if function is None else function() for function in one.functions]
        return [
            one.memory.pages, one.memory[5000], one.second.pages, functions, list(one.objects), one.number.value, one.object.value
        ]  # fmt: skip


def is_before_or_after(subject: Changed) -> None:
    """The instance is in one of the two states as a whole, and can go from one to the other."""
    assert subject.state() in (subject.before, subject.after)
    if subject.state() == subject.before:
        subject.instance.init()
        subject.instance.functions[1] = subject.instance.exports.functions[1]
        subject.instance.reset(subject.snapshot)
        subject.change()
    assert subject.state() == subject.after
    with pytest.raises(figwasp.Trap):
        subject.instance.init()
    is_whole()


def within_limits(subject: Changed) -> None:
    """What the engine allows is known of the state that the instance is in."""
    is_before_or_after(subject)
    instance = subject.instance
    instance.reset(subject.snapshot)
    assert subject.state() == subject.before
    instance.memory.grow(7)
    with pytest.raises(MemoryError):
        instance.second.grow(1)
    instance.reset(subject.snapshot)
    assert instance.functions.grow(7) == 2 and instance.objects.grow(3) == 2
    with pytest.raises(MemoryError):
        instance.functions.grow(1)
    instance.reset(subject.snapshot)
    subject.change()


@pytest.mark.parametrize("stopper", [Stopper, OpcodeStopper])
def test_resetting(stopper: type[Stopper]) -> None:
    def operation(subject: Changed) -> None:
        subject.instance.reset(subject.snapshot)

    lines = stop_everywhere(Changed, operation, within_limits, 0.25 if stopper is Stopper else 0.08, (stopper,))
    assert lines > 100


def test_resetting_again() -> None:
    """The same when everything has been prepared, and the image is mapped."""

    def prepare() -> Changed:
        subject = Changed()
        subject.instance.reset(subject.snapshot)
        subject.change()
        return subject

    def operation(subject: Changed) -> None:
        subject.instance.reset()

    assert stop_everywhere(prepare, operation, within_limits, 0.25) > 50


def test_objects_are_free_afterwards() -> None:
    def operation(subject: Changed) -> None:
        subject.instance.reset(subject.snapshot)

    def check(subject: Changed) -> None:
        is_before_or_after(subject)
        subject.instance.reset(subject.snapshot)
        subject.instance.objects[0] = subject.instance.object.value = None
        subject.instance.one()
        gc.collect()
        subject.instance.one()
        counts.append(sys.getrefcount(subject.other))
        subject.instance.reset(subject.snapshot)
        subject.change()

    counts: list[int] = []
    check(Changed())  # where nothing has been stopped
    assert stop_everywhere(Changed, operation, check, 0.1) > 100
    assert {*counts} == {counts[0]}


def test_taking() -> None:
    """Nothing changes, and nothing is kept of a snapshot that was not to be."""

    def operation(subject: Changed) -> None:
        subject.instance.snapshot()

    def check(subject: Changed) -> None:
        is_before_or_after(subject)

    figures: list[dict[str, int]] = []

    def after() -> None:
        figures.append(Kept().figures)
        more = {name: number - figures[0][name] for name, number in figures[-1].items() if number > figures[0][name]}
        assert set(more) <= {"blocks", "reservations"} and sum(more.values()) <= 2 * len(figures), more

    assert stop_everywhere(Changed, operation, check, 0.1, after=after) > 200


def test_beginning_in_a_state() -> None:
    """Slots, memories and objects are there again when the instance did not come to be."""

    def operation(subject: Changed) -> None:
        other: Any = MODULE.instantiate({"host": {"f": lambda: 3}}, snapshot=subject.snapshot)
        assert [one() for one in other.functions] == [1, 3] and other.objects[0] is subject.thing

    def check(subject: Changed) -> None:
        is_before_or_after(subject)
        gc.collect()
        others: list[Any] = [MODULE.instantiate({"host": {"f": lambda: 3}}, snapshot=subject.snapshot) for _ in range(2)]
        for other in others:
            assert other.memory[5000] == 1 and other.object.value is subject.thing

    assert stop_everywhere(Changed, operation, check, 0.02) > 500
