"""Owners that hold others: none is lost and none is dropped twice, whoever comes between."""

from __future__ import annotations

import sys

import pytest

import figwasp
from figwasp.runtime.native import owner as owners
from figwasp.runtime.native.owner import Owner
from figwasp.runtime.platform import cpython
from figwasp.runtime.start import native_runtime
from figwasp.runtime.store import externs
from tests.interrupts.lines import Stopper, between_lines, run


def new_owner() -> Owner:
    return native_runtime().owners.make(cpython.raw_calloc(1, 16), tuple)


@pytest.mark.parametrize("start", range(8))
def test_all_that_were_added_are_held(start: int) -> None:
    """When another owner is added between two lines, both are held, and the tuples have no more references than they should."""
    one, wanted = new_owner(), new_owner()
    added: list[Owner] = []

    def add(line: int) -> None:
        if line == start:
            added.append(new_owner())
            one.hold(added[-1])

    lines = between_lines(owners.__file__, lambda: one.hold(wanted), add)
    references = sys.getrefcount(one.holds)
    assert lines > start and {*one.holds} == {wanted, *added}
    assert references == 2  # the owner's, and the argument's


@pytest.mark.parametrize("present", [0, 2])
def test_adding_can_be_stopped(present: int) -> None:
    at, stopped = 0, True
    while stopped:
        one, wanted = new_owner(), new_owner()
        held = [new_owner() for _ in range(present)]
        one.hold(*held)
        stopped = run(lambda both: both[0].hold(both[1]), (one, wanted), Stopper(at))
        assert [*one.holds] in ([*held, wanted], held)
        one.hold(wanted)
        references = sys.getrefcount(one.holds)
        assert [*one.holds] == [*held, wanted] and references == 2
        at += 1
    assert at > 3


SOURCE = figwasp.Module(
    figwasp.wat("""(module (table (export "table") 4 externref)
      (func (export "put") (param i32 externref) (table.set (local.get 0) (local.get 1)))
      (func (export "get") (param i32) (result externref) (table.get (local.get 0))))""")
)


def put_again(start: int) -> bool:
    """Drop an object from a table and put it into another place at a line; check the table, and say whether there is such a line."""
    instance = figwasp.load(SOURCE)
    instance.put(1, None)
    table, thing = instance.table, ["thing"]
    table[0] = thing
    lines = between_lines(externs.__file__, lambda: instance.put(0, None), lambda at: at == start and table.__setitem__(1, thing))
    for k in range(2, 4):
        instance.put(k, [k])
    found = [instance.get(k) for k in range(4)]
    assert found == [None, thing if start < lines else None, [2], [3]], start
    return start < lines


def test_objects_that_come_in_again_while_their_cells_go() -> None:
    """A call from a finalizer at any line of the clean-up finds the same object: what it puts into a table stays itself."""
    start = 0
    while put_again(start):
        start += 1
    assert start > 4
