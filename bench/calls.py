"""Cost of a call: Python to wasm and wasm to Python, each beside the same thing in Python and beside wasmtime-py.

    python bench/calls.py [--rounds N] [--json]

Python to wasm: `add(i32, i32)` of kernels/wasm/tiny.wasm, called from a Python loop, against `def add(a, b)` called from
the same loop. The empty loop is timed as well and taken off both, so that the ratio is of the calls alone.

wasm to Python: `loop_cb` of kernels/wasm/host.wasm calls `cb(i32) -> i32` n times and adds the results up, against a
Python loop that does the same with the same function, loop included on both sides.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
from collections.abc import Callable
from typing import Any

import side

CALLS = 200_000
PEER_CALLS = 2_000

Func = Callable[..., Any]


def add(a: int, b: int) -> int:
    """Add, in Python."""
    return a + b


def cb(n: int) -> int:
    """Be called back."""
    return n + 1


def call_loop(func: Func, count: int) -> Callable[[], None]:
    """Make a loop that calls `func(1, 2)` `count` times."""

    def loop() -> None:
        for _ in itertools.repeat(None, count):
            func(1, 2)

    return loop


def empty_loop(count: int) -> Callable[[], None]:
    """Make the loop that calls nothing."""

    def loop() -> None:
        for _ in itertools.repeat(None, count):
            pass

    return loop


def python_loop_cb(n: int) -> int:
    """Do in Python what `loop_cb` of host.wat does."""
    total = 0
    while n:
        total = total + cb(n)
        n = n - 1
    return total


def figwasp_funcs() -> tuple[Func, Func]:
    """Give `add` and `loop_cb` in figwasp."""
    import figwasp

    folder = side.need_shared() / "kernels" / "wasm"
    tiny = figwasp.load(folder / "tiny.wasm")
    host = figwasp.load(folder / "host.wasm", {"env": {"cb": cb, "cb0": lambda: None, "cbf": lambda a, b: a + b}})
    return tiny.exports["add"], host.exports["loop_cb"]


def peer_funcs() -> tuple[Func, Func] | None:
    """Give `add` and `loop_cb` in wasmtime-py, or None where it is not installed."""
    wasmtime = side.peer()
    if wasmtime is None:
        return None
    folder = side.need_shared() / "kernels" / "wasm"
    engine = wasmtime.Engine()
    store = wasmtime.Store(engine)
    i32, f64 = wasmtime.ValType.i32(), wasmtime.ValType.f64()
    linker = wasmtime.Linker(engine)
    linker.define_func("env", "cb", wasmtime.FuncType([i32], [i32]), cb)
    linker.define_func("env", "cb0", wasmtime.FuncType([], []), lambda: None)
    linker.define_func("env", "cbf", wasmtime.FuncType([f64, f64], [f64]), lambda a, b: a + b)
    tiny = linker.instantiate(store, wasmtime.Module.from_file(engine, str(folder / "tiny.wasm"))).exports(store)["add"]
    host = linker.instantiate(store, wasmtime.Module.from_file(engine, str(folder / "host.wasm")))
    loop_cb = host.exports(store)["loop_cb"]
    return (lambda a, b: tiny(store, a, b)), (lambda n: loop_cb(store, n))


def inward(ours: Func, theirs: Func | None, rounds: int) -> dict[str, float]:
    """Measure Python to wasm."""
    loops = [empty_loop(CALLS), call_loop(add, CALLS), call_loop(ours, CALLS)]
    empty, python, wasm = side.interleave(loops, rounds)
    return figures(
        [t - e for t, e in zip(python, empty, strict=True)],
        [t - e for t, e in zip(wasm, empty, strict=True)],
        side.interleave([call_loop(theirs, PEER_CALLS)], 5)[0] if theirs else None,
    )


def outward(ours: Func, theirs: Func | None, rounds: int) -> dict[str, float]:
    """Measure wasm to Python."""
    python, wasm = side.interleave([lambda: python_loop_cb(CALLS), lambda: ours(CALLS)], rounds)
    return figures(python, wasm, side.interleave([lambda: theirs(PEER_CALLS)], 5)[0] if theirs else None)


def figures(python: list[float], wasm: list[float], peer: list[float] | None) -> dict[str, float]:
    """Reduce the times of the rounds to nanoseconds a call and the ratio."""
    result = {
        "python_ns": statistics.median(python) / CALLS * 1e9,
        "figwasp_ns": statistics.median(wasm) / CALLS * 1e9,
        "ratio": side.median_ratio(wasm, python),
    }
    if peer:
        result["wasmtime_ns"] = statistics.median(peer) / PEER_CALLS * 1e9
    return result


def check(ours: tuple[Func, Func]) -> None:
    """See that both sides compute the same before timing them."""
    if ours[0](1, 2) != add(1, 2) or ours[0](-5, 3) != -2 or ours[1](1000) != python_loop_cb(1000):
        raise SystemExit("results differ between figwasp and Python")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="cost of calls between Python and wasm")
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    ours, theirs = figwasp_funcs(), peer_funcs()
    check(ours)
    rows = {
        "Python -> wasm add(i32, i32)": inward(ours[0], theirs and theirs[0], options.rounds),
        "wasm -> Python cb(i32) -> i32, in a loop": outward(ours[1], theirs and theirs[1], options.rounds),
    }
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    print(side.machine())
    print(f"{'median ns a call':42} {'Python':>8} {'figwasp':>8} {'ratio':>6} {'wasmtime':>9}")
    for name, row in rows.items():
        beside = f"{row['wasmtime_ns']:9.0f}" if "wasmtime_ns" in row else "        -"
        print(f"{name:42} {row['python_ns']:8.1f} {row['figwasp_ns']:8.1f} {row['ratio']:6.2f} {beside}")


if __name__ == "__main__":
    main()
