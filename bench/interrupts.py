"""How fast Ctrl-C stops a long call, and what a second Python thread gets meanwhile.

Run with `python bench/interrupts.py`.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

import side  # puts the tree's own src first

import figwasp

TEXT = """
(module
  (import "env" "f" (func $f (param i32) (result i32)))
  (memory 1024)
  (func (export "spin") (loop (br 0)))
  (func $fib (export "fib") (param i32) (result i32)
    (if (result i32) (i32.lt_s (local.get 0) (i32.const 2)) (then (local.get 0))
      (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1))) (call $fib (i32.sub (local.get 0) (i32.const 2)))))))
  (func (export "host") (loop (drop (call $f (i32.const 1))) (br 0)))
  (func (export "fill") (loop (memory.fill (i32.const 0) (i32.const 1) (i32.const 0x4000000)) (br 0)))
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))
"""
AFTER = 0.7  # seconds until the signal
ROUNDS = 5


def interrupt(call: Callable[[], object]) -> float:
    """Return the seconds from the signal until the call has ended with KeyboardInterrupt."""
    sent = [0.0]

    def send() -> None:
        time.sleep(AFTER)
        sent[0] = time.perf_counter()
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        call()
    except KeyboardInterrupt:
        stopped = time.perf_counter()
    thread.join()
    return stopped - sent[0]


def counting(call: Callable[[], object]) -> float:
    """Return how fast a second thread counts during an interrupted call, as a share of its speed alone."""

    def count(seconds: float) -> int:
        number = 0
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            number += 1
        return number

    alone = count(AFTER * 0.8)
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(count(AFTER * 0.8)))
    thread.start()
    interrupt(call)
    thread.join()
    return found[0] / alone


def main() -> None:
    """Print a line per case."""
    print(side.machine())
    instance = figwasp.load(figwasp.wat(TEXT), {"env": {"f": lambda x: x}})
    f = instance.exports
    builtin = figwasp.load(figwasp.wat(TEXT), {"env": {"f": abs}}).exports
    cases: dict[str, Callable[[], object]] = {
        "endless loop": f.spin,
        "fib(60)": lambda: f.fib(60),
        "loop of host calls (def)": f.host,
        "loop of host calls (built-in)": builtin.host,
        "memory.fill of 64 MiB, repeated": f.fill,
    }
    print(f"{'':32} stops after, worst of {ROUNDS}   other thread's speed")
    for name, call in cases.items():
        worst = max(interrupt(call) for _ in range(ROUNDS))
        share = counting(call)
        assert f.add(1, 2) == 3
        print(f"{name:32} {1e3 * worst:8.0f} ms {share:26.2f}")


if __name__ == "__main__":
    main()
