"""What the tests of listeners share: modules, a listener that notes everything, and ways to make instances."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import figwasp

FAC = """(module $math
  (func $fac (export "fac") (param i32) (result i32)
    (if (result i32) (i32.lt_s (local.get 0) (i32.const 2))
      (then (i32.const 1))
      (else (i32.mul (local.get 0) (call $fac (i32.sub (local.get 0) (i32.const 1)))))))
  (func $twice (export "twice") (param f64) (result f64) (f64.add (local.get 0) (local.get 0)))
  (func (export "never")))"""

DEEP = """(module
  (import "host" "call" (func $call (param i32)))
  (func $inner (export "inner") (param i32) (call $call (local.get 0)))
  (func $trap (export "trap") (param i32)
    (if (i32.eqz (local.get 0)) (then unreachable))
    (call $trap (i32.sub (local.get 0) (i32.const 1))))
  (func $outer (export "outer") (param i32) (call $inner (local.get 0)))
  (func $endless (export "endless") (result i32) (i32.add (i32.const 1) (call $endless))))"""


class Log:
    """A listener that notes every event as (what, function, values or exception, depth)."""

    def __init__(self, names: set[str] | None = None) -> None:
        self.names = names
        self.asked: list[figwasp.FuncInfo] = []
        self.events: list[tuple[str, str, Any, int]] = []

    def __call__(self, func: figwasp.FuncInfo) -> Log | None:
        self.asked.append(func)
        return self if self.names is None or func.name in self.names else None

    def before(self, func: figwasp.FuncInfo, args: tuple[Any, ...], depth: int) -> None:
        self.events.append(("before", func.name, args, depth))

    def after(self, func: figwasp.FuncInfo, results: tuple[Any, ...], depth: int) -> None:
        self.events.append(("after", func.name, results, depth))

    def abort(self, func: figwasp.FuncInfo, error: BaseException | None, depth: int) -> None:
        self.events.append(("abort", func.name, error, depth))

    def take(self) -> list[tuple[str, str, Any, int]]:
        events, self.events = self.events, []
        return events


def load(text: str, listener: Any, imports: Any = None) -> figwasp.Instance:
    engine = figwasp.Engine(listener=listener)
    return figwasp.load(figwasp.Module(figwasp.wat(text), engine=engine), imports)


def deep(log: Any, call: Callable[[int], None]) -> Any:
    return load(DEEP, log, {"host": {"call": call}}).exports
