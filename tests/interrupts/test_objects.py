"""An exception at every line of what Python does with objects of the heap: making them, reading and assigning their fields."""

from __future__ import annotations

import gc
from typing import Any

import pytest

import figwasp
from figwasp import Array, Struct
from figwasp.runtime.code.descriptors import TYPES
from figwasp.types import ArrayType, FieldType, StructType
from tests.api.heap.guests import SHAPES
from tests.interrupts.lines import stop_everywhere
from tests.interrupts.whole import is_whole

pytestmark = [
    pytest.mark.usefixtures("old_objects_left_alone"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # some lines are those of finalizers
]
MODULE = figwasp.Module(figwasp.wat(SHAPES))
PAIR = StructType([FieldType("anyref", mutable=True), FieldType("funcref")])
BYTES = ArrayType(FieldType("i8", mutable=True))


def prepare() -> tuple[Any, Any]:
    instance: Any = figwasp.load(MODULE)
    return instance, Array(instance, "row", [instance.point(k, k) for k in range(3)])


def check(made: tuple[Any, Any]) -> None:
    instance, row = made
    instance.garbage(50)
    assert [one.y for one in row if isinstance(one, Struct)] in ([0, 1, 2], [0, 0])
    assert list(Struct(instance, PAIR, [row, instance.sum])) == [row, instance.sum]
    assert instance.sum(Array(instance, BYTES, b"\1\2")) == 3
    is_whole()


def test_making() -> None:
    def operation(made: tuple[Any, Any]) -> None:
        instance, row = made
        pair = Struct(instance, PAIR, [row, instance.sum])
        assert instance.any(pair) == pair and instance.sum(Array(instance, BYTES, [1, 2])) == 3

    check(prepare())
    gc.collect()
    TYPES.intern([], [])
    before = len(TYPES._known)
    assert stop_everywhere(prepare, operation, check, 0.05) > 100
    gc.collect()
    TYPES.intern([], [])
    assert len(TYPES._known) <= before + 4  # one of those stopped may have stayed


def test_reading_and_assigning() -> None:
    def operation(made: tuple[Any, Any]) -> None:
        instance, row = made
        row[1:] = [row[0], "object"]
        assert row[1].y == 0 and [*row][2] == "object" and instance.extern(row[0]).x == 0.0
        row[0].next = row[1]

    assert stop_everywhere(prepare, operation, check, 0.05) > 100
