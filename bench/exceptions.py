"""Exceptions: what it costs to throw one and to catch it, across one and across many frames, beside wasmtime-py.

    python bench/exceptions.py [--rounds N] [--count N]

A loop in WebAssembly calls a function that throws; it is caught in the loop. Between the two are so many frames. The exception
carries an i32. Beside it the same loop whose innermost function returns, which is what a program pays that never throws, and the
same without a `try_table`. Figures are medians of the rounds, in nanoseconds for each turn of the loop; a ratio is the median of
the rounds' ratios.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from typing import Any

import side  # puts the tree's own src first

import figwasp

DEPTHS = (1, 5, 20)


def text(depth: int) -> str:
    """Return a module with so many frames between a throw and where it is caught."""
    calls = "\n".join(
        f"(func $f{k} (param i32) (result i32) (i32.add (call $f{k - 1} (local.get 0)) (i32.const 1)))" for k in range(1, depth)
    )
    loop = """(local $sum i32)
      (loop $again
        {body}
        (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
      (local.get $sum))"""
    caught = """(block $h (result i32)
          (try_table (result i32) (catch $t $h) (call $f{last} ({arg})))
        )
        (local.set $sum (i32.add (local.get $sum)))"""
    plain = "(local.set $sum (i32.add (call $f{last} ({arg})) (local.get $sum)))"
    last = depth - 1
    bodies = [caught.format(last=last, arg="i32.const 1"), caught.format(last=last, arg="i32.const 0")]
    bodies.append(plain.format(last=last, arg="i32.const 0"))
    made = [
        f'(func (export "{name}") (param $n i32) (result i32) {loop.format(body=body)}'
        for name, body in zip(("thrown", "returned", "plain"), bodies, strict=True)
    ]
    return f"""(module (tag $t (param i32))
      (func $f0 (param i32) (result i32)
        (if (local.get 0) (then (throw $t (i32.const 3)))) (i32.const 2))
      {calls} {" ".join(made)})"""


def ours(depth: int) -> dict[str, Callable[[int], Any]]:
    """Return figwasp's functions."""
    instance = figwasp.load(figwasp.wat(text(depth)))
    return {name: getattr(instance, name) for name in ("thrown", "returned", "plain")}


def theirs(depth: int) -> dict[str, Callable[[int], Any]] | None:
    """Return wasmtime's functions, or None without wasmtime."""
    wasmtime = side.peer()
    if wasmtime is None:
        return None
    config = wasmtime.Config()
    for name in ("wasm_exceptions", "wasm_gc", "wasm_function_references"):
        setattr(config, name, True)
    store = wasmtime.Store(wasmtime.Engine(config))
    module = wasmtime.Module(store.engine, figwasp.wat(text(depth)))
    exports = wasmtime.Instance(store, module, []).exports(store)

    def caller(name: str) -> Callable[[int], Any]:
        func = exports[name]
        return lambda count: func(store, count)

    return {name: caller(name) for name in ("thrown", "returned", "plain")}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="cost of an exception")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--count", type=int, default=100_000)
    options = parser.parse_args()
    print(side.machine())
    for depth in DEPTHS:
        mine, peer = ours(depth), theirs(depth)
        for name in mine:
            sides = [mine[name]] if peer is None else [mine[name], peer[name]]
            results = [call(options.count) for call in sides]
            if len(set(results)) > 1:
                raise SystemExit(f"different results: {results}")
            times = side.interleave([lambda call=call: call(options.count) for call in sides], options.rounds)
            figures = [statistics.median(one) / options.count * 1e9 for one in times]
            shown = f"{depth:3} frames, {name:9} {figures[0]:8.1f} ns"
            if peer is not None:
                shown += f"   wasmtime {figures[1]:8.1f} ns   ratio {side.median_ratio(*times):.2f}"
            print(shown, flush=True)


if __name__ == "__main__":
    main()
