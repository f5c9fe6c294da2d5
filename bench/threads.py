"""Throughput of threads: two threads, two instances, fib(38), against one after the other.

    python bench/threads.py [--rounds N] [--n N]

Needs two free cores. A round does both; the speed-up is the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import os
import statistics
import threading
import time

import side  # puts the tree's own src first

import figwasp

WAT = """(module (func $fib (export "fib") (param i32) (result i32)
  (if (result i32) (i32.lt_s (local.get 0) (i32.const 2)) (then (local.get 0))
    (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1))) (call $fib (i32.sub (local.get 0) (i32.const 2))))))))"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="throughput of threads")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--n", type=int, default=38)
    options = parser.parse_args()
    module = figwasp.Module(figwasp.wat(WAT))
    instances = [figwasp.load(module) for _ in range(2)]
    calls = [instance.exports["fib"] for instance in instances]
    a, b = 0, 1
    for _ in range(options.n):
        a, b = b, a + b
    results: list[int] = []

    def one_after_the_other() -> None:
        for call in calls:
            results.append(call(options.n))

    def together() -> None:
        threads = [threading.Thread(target=lambda call=call: results.append(call(options.n))) for call in calls]  # type: ignore[misc]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    for call in calls:
        call(10)
    serial, parallel = side.interleave([one_after_the_other, together], options.rounds)
    if set(results) != {a}:
        raise SystemExit(f"wrong results: {set(results)}, not {a}")
    ratios = [s / p for s, p in zip(serial, parallel, strict=True)]
    print(side.machine())
    medians = f"one after the other {statistics.median(serial):.3f} s, in two threads {statistics.median(parallel):.3f} s"
    rounds = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    print(f"fib({options.n}) twice: {medians}; speed-up {statistics.median(ratios):.3f} (rounds {rounds})")
    print(f"load of the machine: {os.getloadavg()[0]:.2f}; process time {time.process_time():.1f} s")


if __name__ == "__main__":
    main()
