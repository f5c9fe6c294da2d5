"""Instantiation: how long it takes, what stays behind, and how many instances can live at once.

    python bench/instantiate.py [--count N] [--live N]

One compiled module with a memory of 64 pages, a table and a data segment is instantiated and dropped N times, in blocks of a
thousand, beside wasmtime-py where that is installed (an instance in a store of its own, which is what goes when it is dropped). The
resident size is that after each block. Then instances are kept, each of them called once, until there are as many as asked for;
those for which there is no address space left with a guard area run code that checks bounds.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import time
from pathlib import Path
from typing import Any

import side  # puts the tree's own src first

import figwasp

WAT = """(module
  (memory (export "memory") 64) (table 4 funcref) (data (i32.const 1024) "a string") (global $n (mut i32) (i32.const 7))
  (func $add (export "add") (param i32 i32) (result i32)
    (i32.store (i32.const 64) (local.get 0)) (i32.add (i32.load (i32.const 64)) (local.get 1)))
  (func (export "outside") (result i32) (i32.load (i32.const 4194301)))
  (elem (i32.const 1) $add))"""
BLOCK = 1000


def resident() -> int:
    """Give the resident size of this process in KiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") >> 10


def mappings() -> int:
    """Give the number of mappings of this process."""
    with open("/proc/self/maps", encoding="utf-8") as file:
        return sum(1 for _ in file)


def ours() -> Any:
    """Give what makes and drops one instance of figwasp."""
    module = figwasp.Module(figwasp.wat(WAT))
    return lambda: figwasp.load(module)


def peer() -> Any:
    """Give what makes and drops one instance of wasmtime-py, or None."""
    wasmtime = side.peer()
    if wasmtime is None:
        return None
    engine = wasmtime.Engine()
    module = wasmtime.Module(engine, WAT)
    return lambda: wasmtime.Instance(wasmtime.Store(engine), module, [])


def turnover(count: int) -> None:
    """Print the time of an instance and the growth of the process over `count` of them."""
    for name, make in (("figwasp", ours()), ("wasmtime-py", peer())):
        if make is None:
            continue
        times, sizes = [], []
        for _ in range(max(count // BLOCK, 2)):
            start = time.perf_counter()
            for _ in range(BLOCK):
                make()
            times.append((time.perf_counter() - start) / BLOCK * 1e6)
            sizes.append(resident())
        gc.collect()
        print(f"{name:12} {statistics.median(times):8.1f} us each (first thousand {times[0]:.1f}), ", end="")
        print(f"resident after the first thousand {sizes[0]} KiB, after {count} {sizes[-1]} KiB: {sizes[-1] - sizes[0]:+} KiB")


def live(count: int) -> None:
    """Print what it takes to have `count` instances at once, each called once."""
    module = figwasp.Module(figwasp.wat(WAT))
    kept: list[figwasp.Instance] = []
    before, start = resident(), time.perf_counter()
    try:
        for number in range(count):
            instance = figwasp.load(module)
            if instance.exports.add(number, 1) != number + 1:
                raise SystemExit("wrong result")
            kept.append(instance)
        ending = ""
    except figwasp.LimitExceeded as error:
        ending = f"; then LimitExceeded: {error}"
    took = time.perf_counter() - start
    checked = sum(instance._state.code is not module._code for instance in kept)
    for instance in (kept[0], kept[len(kept) // 2], kept[-1]):
        try:
            instance.exports.outside()
        except figwasp.Trap:
            continue
        raise SystemExit("an access out of bounds did not trap")
    print(f"{len(kept)} live instances, {checked} of them with bounds checks: {took / len(kept) * 1e6:.1f} us each, ", end="")
    print(f"called once, {(resident() - before) / len(kept):.1f} KiB each, {mappings()} mappings{ending}")
    start = time.perf_counter()
    kept.clear()
    del instance
    print(f"dropping them: {(time.perf_counter() - start) / count * 1e6:.1f} us each; {mappings()} mappings, ", end="")
    print(f"the next one {'has' if figwasp.load(module)._state.code is module._code else 'has no'} guard area")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="cost of an instance")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--live", type=int, default=20_000)
    options = parser.parse_args()
    print(side.machine())
    turnover(options.count)
    live(options.live)


if __name__ == "__main__":
    main()
