"""Tail calls in figwasp and in wasmtime-py, on the same modules in the same run.

    python bench/tail.py [--calls N] [--rounds N] [--json]

Two functions call each other as their last act, with a few arguments that each changes, until a number of calls has been made: in
the module, through a table, with more arguments than there are registers, and between two instances by an import and a table. A
first call on both sides compiles, and has its result compared; then the sides take turns. A figure is nanoseconds a call, the
median of the rounds; the ratio is the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from typing import Any, NamedTuple

import side  # puts the tree's own src first

import figwasp

Func = Callable[[int], int]

_MANY = 10


class Row(NamedTuple):
    """A line of the table.

    Attributes:
        name: what is measured.
        modules: texts, each of which may import what the ones before export, as module "m"; the last exports `run`.
    """

    name: str
    modules: tuple[str, ...]


def step(name: str, call: str, operator: str, count: int) -> str:
    """Write a function that counts its first argument down, changes the second, and makes a tail call with both and others."""
    others = " ".join(f"(local.get {k})" for k in range(2, count))
    index = "(i32.const 0)" if "indirect" in call else ""
    return f"""(func ${name} (export "{name}") (type $f)
      (if (result i64) (i64.eqz (local.get 0)) (then (local.get 1))
        (else ({call} (i64.sub (local.get 0) (i64.const 1)) (i64.{operator} (local.get 1) (local.get 0)) {others} {index}))))"""


def entry(count: int) -> str:
    """Write the function that begins."""
    others = " ".join(f"(i64.const {k})" for k in range(2, count))
    return f'(func (export "run") (param i64) (result i64) (call $a (local.get 0) (i64.const 0) {others}))'


def alone(calls: tuple[str, str], count: int) -> tuple[str]:
    """Write a module whose two functions call each other."""
    fields = step("a", calls[0], "add", count) + step("b", calls[1], "xor", count) + entry(count)
    tables = "(table $x funcref (elem $a)) (table $y funcref (elem $b))"
    return (f"(module {_type(count)} {tables} {fields})",)


def apart(count: int) -> tuple[str, str]:
    """Write two modules, one with each function."""
    second = f"""(module {_type(count)} (table $x (export "x") 1 funcref)
      {step("b", "return_call_indirect $x (type $f)", "xor", count)})"""
    first = f"""(module {_type(count)} (import "m" "x" (table $x 1 funcref)) (import "m" "b" (func $b (type $f)))
      (elem (table $x) (i32.const 0) func $a) {step("a", "return_call $b", "add", count)} {entry(count)})"""
    return second, first


def _type(count: int) -> str:
    return f"(type $f (func (param{' i64' * count}) (result i64)))"


_TABLES = ("return_call_indirect $y (type $f)", "return_call_indirect $x (type $f)")
ROWS = (
    Row("return_call, 2 arguments", alone(("return_call $b", "return_call $a"), 2)),
    Row("return_call, 5 arguments", alone(("return_call $b", "return_call $a"), 5)),
    Row(f"return_call, {_MANY} arguments", alone(("return_call $b", "return_call $a"), _MANY)),
    Row("return_call_indirect, 2 arguments", alone(_TABLES, 2)),
    Row(f"return_call_indirect, {_MANY} arguments", alone(_TABLES, _MANY)),
    Row("between instances, 2 arguments", apart(2)),
    Row(f"between instances, {_MANY} arguments", apart(_MANY)),
)


def figwasp_side(row: Row) -> Func:
    """Give the function in figwasp."""
    before: dict[str, Any] = {}
    for text in row.modules:
        instance = figwasp.load(figwasp.wat(text), before)
        before = {"m": instance}
    func: Func = instance.exports["run"]
    return func


def peer_side(row: Row) -> Func | None:
    """Give the function in wasmtime-py, or None where it is not installed."""
    wasmtime = side.peer()
    if wasmtime is None:
        return None
    config = wasmtime.Config()
    config.wasm_tail_call = True
    engine = wasmtime.Engine(config)
    store, linker = wasmtime.Store(engine), wasmtime.Linker(engine)
    for text in row.modules:
        instance = linker.instantiate(store, wasmtime.Module(engine, text))
        linker.define_instance(store, "m", instance)
        linker.allow_shadowing = True
    func = instance.exports(store)["run"]
    return lambda count: func(store, count)


def measure(row: Row, calls: int, rounds: int) -> dict[str, float]:
    """Time a row: nanoseconds a call of each side, and the ratio."""
    mine, other = figwasp_side(row), peer_side(row)
    if other is not None and mine(1001) != other(1001):
        raise SystemExit(f"{row.name}: figwasp says {mine(1001)}, wasmtime {other(1001)}")
    mine(1)
    sides = [lambda: mine(calls)] if other is None else [lambda: mine(calls), lambda: other(calls)]
    times = side.interleave(sides, rounds)
    figures = {name: statistics.median(found) / calls * 1e9 for name, found in zip(("figwasp", "wasmtime"), times, strict=False)}
    if other is not None:
        figures["ratio"] = side.median_ratio(*times)
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="cost of tail calls")
    parser.add_argument("--calls", type=int, default=100_000_000, help="tail calls a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    table = {row.name: measure(row, options.calls, options.rounds) for row in ROWS}
    if options.json:
        print(json.dumps(table, indent=1))
        return
    print(side.machine())
    print(f"\n{f'median ns a call, {options.calls:,} calls':44}{'figwasp':>10}{'wasmtime':>10}{'ratio':>10}")
    for name, figures in table.items():
        cells = [f"{figures[key]:10.2f}" if key in figures else f"{'-':>10}" for key in ("figwasp", "wasmtime", "ratio")]
        print(f"{name:44}" + "".join(cells))


if __name__ == "__main__":
    main()
