"""Throughput of threads: two threads, two instances, fib(38), against one after the other; and over one shared memory.

    python bench/threads.py [--rounds N] [--n N] [--shared]

With --shared: a million atomic additions to one word in each of two threads, and a word that two threads hand to each other 100,000
times each by `memory.atomic.wait32` and `notify`.

Needs two free cores. A round does both, and the same in two processes, which shows what the machine has to give: two virtual cores
may be less than two. The speed-ups are the medians of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import os
import statistics
import threading
import time
from collections.abc import Callable

import side  # puts the tree's own src first

import figwasp

WAT = """(module (func $fib (export "fib") (param i32) (result i32)
  (if (result i32) (i32.lt_s (local.get 0) (i32.const 2)) (then (local.get 0))
    (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1))) (call $fib (i32.sub (local.get 0) (i32.const 2))))))))"""

SHARED = """(module (import "env" "memory" (memory 1 1 shared))
  (func (export "add") (param $n i32) (drop (i32.atomic.rmw.add (i32.const 8) (i32.const 1)))
    (loop $meet (br_if $meet (i32.lt_u (i32.atomic.load (i32.const 8)) (i32.const 2))))
    (loop $l (drop (i32.atomic.rmw.add (i32.const 0) (i32.const 1)))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
  (func (export "hand") (param $me i32) (param $n i32) (loop $l
    (block $mine (loop $wait
      (br_if $mine (i32.eq (i32.atomic.load (i32.const 16)) (local.get $me)))
      (drop (memory.atomic.wait32 (i32.const 16) (i32.sub (i32.const 1) (local.get $me)) (i64.const -1)))
      (br $wait)))
    (i32.atomic.store (i32.const 16) (i32.sub (i32.const 1) (local.get $me)))
    (drop (memory.atomic.notify (i32.const 16) (i32.const 1)))
    (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))"""
ADDITIONS = 1_000_000
HANDS = 100_000


def in_threads(*jobs: Callable[[], object]) -> None:
    """Do each job in a thread of its own."""
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def measure_shared(rounds: int) -> None:
    """Measure two threads over one shared memory, and print."""
    engine = figwasp.Engine(features=figwasp.features.DEFAULT.including("threads"))
    module = figwasp.Module(figwasp.wat(SHARED), engine=engine)
    memory = figwasp.Memory(1, 1, shared=True)
    one, two = [figwasp.load(module, {"env": {"memory": memory}}) for _ in range(2)]

    def add() -> None:
        memory.write_u64(0, 0)
        memory.write_u32(8, 0)
        in_threads(lambda: one.add(ADDITIONS), lambda: two.add(ADDITIONS))
        if memory.read_u64(0) != 2 * ADDITIONS:
            raise SystemExit(f"{memory.read_u64(0)} additions, not {2 * ADDITIONS}")

    adding, handing = side.interleave([add, lambda: in_threads(lambda: one.hand(0, HANDS), lambda: two.hand(1, HANDS))], rounds)
    print(side.machine())
    print(f"{ADDITIONS} atomic additions in each of two threads: {1e3 * statistics.median(adding):.1f} ms")
    seconds = statistics.median(handing)
    print(f"{HANDS} hand-overs in each of two threads: {seconds:.2f} s, {1e6 * seconds / 2 / HANDS:.1f} us each")
    print(f"load of the machine: {os.getloadavg()[0]:.2f}; process time {time.process_time():.1f} s")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="throughput of threads")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--n", type=int, default=38)
    parser.add_argument("--shared", action="store_true")
    options = parser.parse_args()
    if options.shared:
        measure_shared(options.rounds)
        return
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
