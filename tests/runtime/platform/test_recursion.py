"""Near the limit of recursion everything either works or raises RecursionError: no error of ctypes comes out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

import figwasp

TEXT = """(module (import "host" "f" (func $f (param i32) (result i32))) (import "host" "g" (func $g (param i32) (result i32)))
  (memory (export "memory") 1 1000) (table (export "table") 2 1000 funcref)
  (func (export "both") (param i32) (result i32) (i32.add (call $g (local.get 0)) (call $f (local.get 0))))
  (func (export "call") (param i32) (result i32) (call $g (local.get 0)))
  (func (export "ref") (param externref) (result externref) (local.get 0))
  (func (export "grow") (drop (memory.grow (i32.const 1))))
  (func (export "trap") unreachable))"""
BINARY = figwasp.wat(TEXT)
HERE = 70
"""Levels below those of the tests that are gone through one by one; no operation needs as many."""


async def answer(x: int) -> int:
    """Return an argument."""
    return x


def load() -> figwasp.Instance:
    """Load the module."""
    return figwasp.load(BINARY, {"host": {"f": answer, "g": lambda x: x}})


OPERATIONS: dict[str, Callable[[figwasp.Instance], object]] = {
    "acall": lambda inst: inst.acall.both(1).send(None),
    "call": lambda inst: inst.call(1),
    "timeout": lambda inst: inst.call(1, timeout=100),
    "trap": lambda inst: inst.trap(),
    "reference": lambda inst: inst.ref(object()),
    "memory.grow": lambda inst: inst.memory.grow(1),
    "memory.grow from wasm": lambda inst: inst.grow(),
    "table.grow": lambda inst: inst.table.grow(1),
    "loading": lambda inst: load(),
}


def depth() -> int:
    """Return how deep the caller is."""
    frame, count = sys._getframe(1), 0
    while frame is not None:
        frame, count = frame.f_back, count + 1  # type: ignore[assignment]
    return count


@contextmanager
def room_for(levels: int) -> Iterator[None]:
    """Leave room for so many levels below the caller."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(depth() + levels)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("name", OPERATIONS)
def test_at_every_level(name: str, fresh: bool) -> None:
    """An operation has room or raises RecursionError; after that it works."""
    operation, inst = OPERATIONS[name], load()
    kinds = set()
    for levels in range(3, HERE):
        if fresh:
            inst = load()
        try:
            with room_for(levels):
                operation(inst)
        except (RecursionError, StopIteration, figwasp.Trap) as error:
            kinds.add(type(error))
    assert RecursionError in kinds
    assert inst.call(41) == 41 and inst.memory.grow(0) >= 1


def test_recursion_through_acall() -> None:
    """A guest that calls itself through `acall` without end reaches the limit as any Python function does."""
    inst: figwasp.Instance = figwasp.load(BINARY, {"host": {"f": answer, "g": lambda x: inst.acall.both(x + 1).send(None)}})
    for levels in range(150, 300):
        with pytest.raises(RecursionError), room_for(levels):
            inst.acall.both(0).send(None)
