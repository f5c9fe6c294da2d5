"""Throughput of threads: two threads, two instances, fib(38), against one after the other.

    python bench/threads.py [--rounds N] [--n N]

Needs two free cores. A round does both, and the same in two processes, which shows what the machine has to give: two virtual cores
may be less than two. The speed-ups are the medians of the rounds' ratios.
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
    parser.add_argument("--rounds", type=int, default=15)
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

    def in_processes() -> None:
        child = os.fork()
        if not child:
            os._exit(calls[1](options.n) != a)
        results.append(calls[0](options.n))
        if os.waitpid(child, 0)[1]:
            raise SystemExit("wrong result in the other process")

    for call in calls:
        call(10)
    serial, parallel, apart = side.interleave([one_after_the_other, together, in_processes], options.rounds)
    if set(results) != {a}:
        raise SystemExit(f"wrong results: {set(results)}, not {a}")
    print(side.machine())
    print(f"fib({options.n}) twice, one after the other: {statistics.median(serial):.3f} s")
    for name, times in (("two threads", parallel), ("two processes", apart)):
        ratios = [s / p for s, p in zip(serial, times, strict=True)]
        rounds = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        print(f"in {name}: {statistics.median(times):.3f} s; speed-up {statistics.median(ratios):.2f} (rounds {rounds})")
    print(f"load of the machine: {os.getloadavg()[0]:.2f}; process time {time.process_time():.1f} s")


if __name__ == "__main__":
    main()
