"""Bounds checks do without luck: what lies behind a memory may be accessible, and still is not accessed; or it is kept free."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

import figwasp
from figwasp.layout import LEAST_MARGIN

PAGE = 65536
TEXT = """(module (memory (export "memory") 65536 65536 (pagesize 1))
  (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
  (func (export "far") (param i32) (result i64) (i64.load offset=65528 (local.get 0)))
  (func (export "store") (param i32) (i64.store offset=1 (local.get 0) (i64.const -1))))"""


def start(inst: figwasp.Instance) -> int:
    """Return the address of an instance's memory."""
    return ctypes.addressof(ctypes.c_char.from_buffer(memoryview(inst.exports.memory)))


def neighbours() -> tuple[figwasp.Instance, figwasp.Instance]:
    """Give two instances with memories that reserve no more than they have; one lies right behind the other.

    They cannot grow, and where pages have one byte nothing is kept free behind a memory.
    """
    engine = figwasp.Engine(features=figwasp.Engine().features.including("custom-page-sizes"))
    known: dict[int, figwasp.Instance] = {}
    for _ in range(100):
        inst = figwasp.load(figwasp.wat(TEXT), engine=engine)
        place = start(inst)
        known[place] = inst
        for first in (place - PAGE, place):
            if first in known and first + PAGE in known:
                return known[first], known[first + PAGE]
    raise AssertionError("the system maps no two of 100 memories side by side")


def test_an_access_that_ends_in_another_memory_traps() -> None:
    inst, behind = neighbours()
    behind.memory[:] = b"\1" * PAGE
    assert inst.load(PAGE - 4) == 0 and inst.far(0) == 0
    for call, address in ((inst.load, PAGE - 3), (inst.load, PAGE), (inst.far, 1), (inst.store, PAGE - 8), (inst.store, PAGE - 1)):
        with pytest.raises(figwasp.Trap, match="out of bounds memory access"):
            call(address)
    assert bytes(behind.exports.memory) == b"\1" * PAGE
    assert bytes(inst.exports.memory) == bytes(PAGE)


def accessible(first: int, end: int) -> bool:
    """Return whether a process may read or write anything from one address to another."""
    for line in Path("/proc/self/maps").read_text(encoding="ascii").splitlines():
        span, rights = line.split()[:2]
        low, high = (int(part, 16) for part in span.split("-"))
        if low < end and first < high and rights[:3] != "---":
            return True
    return False


@pytest.mark.parametrize(
    ("mode", "memory", "kept"),
    [
        ("checked", "1 1", 2 * LEAST_MARGIN),
        ("checked", "1", 2 * LEAST_MARGIN),
        ("checked", "i64 1 1", 2 * LEAST_MARGIN),
        ("guard", "i64 1 1", 1 << 32),
        ("guard", "1 1", (8 << 30) - PAGE),
    ],
)
def test_behind_other_memories_nothing_is_accessible_as_far_as_code_relies_on_it(mode: str, memory: str, kept: int) -> None:
    engine = figwasp.Engine(memory=mode)
    instances = [figwasp.load(figwasp.wat(f'(module (memory (export "memory") {memory}))'), engine=engine) for _ in range(20)]
    for instance in instances:
        place = start(instance)
        assert accessible(place, place + PAGE)
        assert not accessible(place + PAGE, place + PAGE + kept)
