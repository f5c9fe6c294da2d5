"""Bounds checks do without luck: what lies behind a memory may be accessible, and still is not accessed."""

from __future__ import annotations

import ctypes

import pytest

import figwasp

PAGE = 65536
TEXT = """(module (memory (export "memory") 1 1)
  (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
  (func (export "far") (param i32) (result i64) (i64.load offset=65528 (local.get 0)))
  (func (export "store") (param i32) (i64.store offset=1 (local.get 0) (i64.const -1))))"""


def start(inst: figwasp.Instance) -> int:
    """Return the address of an instance's memory."""
    return ctypes.addressof(ctypes.c_char.from_buffer(memoryview(inst.exports.memory)))


def neighbours() -> tuple[figwasp.Instance, figwasp.Instance]:
    """Give two instances with memories that cannot grow, and so reserve no more than they have; one lies right behind the other."""
    engine = figwasp.Engine(memory="checked")
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
