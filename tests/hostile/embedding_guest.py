"""What the cases of `embedding` share: a module with a bit of everything, what must hold of its instances, and the list of cases."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import Any, Final

import figwasp

WAT: Final = """(module (import "host" "f" (func $f (param i32) (result i32))) (import "host" "r" (func $r (param externref) (result externref)))
  (import "host" "two" (func $two (param i64 f64) (result f64 i64)))
  (memory (export "memory") 1 20) (table $t (export "table") 8 externref) (table $fs (export "funcs") 4 funcref)
  (global (export "kept") (mut externref) (ref.null extern)) (global (export "n") (mut i32) (i32.const 0))
  (func (export "call") (param i32) (result i32) (i32.add (call $f (local.get 0)) (i32.const 1)))
  (func (export "ref") (param externref) (result externref) (call $r (local.get 0)))
  (func (export "two") (param i64 f64) (result f64 i64) (call $two (local.get 0) (local.get 1)))
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "wide") (param i64 f32 f64) (result i64) (local.get 0))
  (func (export "pass") (param externref i32 externref) (result externref i32 externref) (local.get 2) (local.get 1) (local.get 0))
  (func (export "put") (param i32 externref) (table.set $t (local.get 0) (local.get 1)))
  (func (export "get") (param i32) (result externref) (table.get $t (local.get 0)))
  (func (export "keep") (param externref) (global.set 0 (local.get 0)))
  (func (export "func") (param funcref) (result funcref) (local.get 0))
  (func (export "indirect") (param i32 i32) (result i32) (call_indirect $fs (param i32) (result i32) (local.get 1) (local.get 0)))
  (func (export "trap") (param externref) (unreachable))
  (func $deep (export "deep") (call $deep))
  (func (export "loop") (loop $l (drop (call $f (i32.const 1))) (br $l)))
  (func (export "endless") (loop $l (br $l)))
  (func (export "grow") (result i32) (memory.grow (i32.const 1))))"""

MODULE: Final = figwasp.Module(figwasp.wat(WAT))
CASES: Final[dict[str, Callable[[], None]]] = {}


def case(function: Callable[[], None]) -> Callable[[], None]:
    """Make a function a case."""
    CASES[function.__name__] = function
    return function


def load(f: Any = lambda x: x, r: Any = lambda x: x, two: Any = lambda a, b: (b, a), module: Any = MODULE) -> Any:
    """Instantiate the module of the cases."""
    return figwasp.load(module, {"host": {"f": f, "r": r, "two": two}})


def sound(inst: Any) -> None:
    """Assert that an instance works as ever."""
    thing = object()
    before = sys.getrefcount(thing)
    assert inst.add(2, 3) == 5 and inst.exports["pass"](thing, 7, None) == (None, 7, thing)
    inst.put(3, thing)
    assert inst.get(3) is thing
    inst.put(3, None)
    raises(figwasp.Trap, inst.trap, thing)
    raises(figwasp.Exhaustion, inst.deep)
    gc.collect()
    assert sys.getrefcount(thing) == before, (before, sys.getrefcount(thing))


def raises(kinds: Any, function: Callable[..., object], *args: object, **names: object) -> BaseException:
    """Assert that a call raises; return what."""
    try:
        result = function(*args, **names)
    except kinds as error:
        found: BaseException = error
        return found
    raise AssertionError(f"{function} returned {result!r} instead of raising {kinds}")


class Oops(Exception):
    """What hooks raise."""


def harmless(error: Exception) -> None:
    """Raise an exception again that only an extension with errors causes; any other is fine."""
    if isinstance(error, SystemError):
        raise error


def throw(error: BaseException) -> None:
    """Raise."""
    raise error
