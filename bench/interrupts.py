"""How fast long calls stop: by Ctrl-C, by `interrupt()` in a second thread and by a timeout, wherever they are; what a second
Python thread gets meanwhile, and what an event loop gets in which calls compute.

Run with `python bench/interrupts.py [--rounds N]`. After each stop the instance is used again.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import side  # puts the tree's own src first

import figwasp
from figwasp.wasi import WASI
from figwasp.wasi.abi import SUBSCRIPTION
from figwasp.wasm.binary.leb128 import write_unsigned

TEXT = """
(module
  (import "env" "f" (func $f (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 65535)
  (func (export "spin") (loop (br 0)))
  (func $fib (export "fib") (param i32) (result i32)
    (if (result i32) (i32.lt_s (local.get 0) (i32.const 2)) (then (local.get 0))
      (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1))) (call $fib (i32.sub (local.get 0) (i32.const 2)))))))
  (func (export "host") (loop (drop (call $f (i32.const 1))) (br 0)))
  (func (export "fill") (param i32) (loop (memory.fill (i32.const 0) (i32.const 0) (local.get 0)) (br 0)))
  (func (export "copy") (param i32) (loop (memory.copy (i32.const 1) (i32.const 0) (local.get 0)) (br 0)))
  (func (export "write") (i32.store (i32.const 16) (i32.const 1024)) (i32.store (i32.const 20) (i32.const 100000))
    (loop (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8))) (br 0)))
  (func (export "sleep") (drop (call $poll (i32.const 64) (i32.const 512) (i32.const 1) (i32.const 8))))
  (func (export "read") (i32.store (i32.const 16) (i32.const 1024)) (i32.store (i32.const 20) (i32.const 100))
    (drop (call $read (i32.const 0) (i32.const 16) (i32.const 1) (i32.const 8))))
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))
"""
AFTER = 0.3  # seconds until the signal
TIMEOUT = 0.2
BEAT = 0.01  # seconds
COMPUTING = 8  # calls
MAX_RESIDENT = 64 << 20  # what `memory.fill` fills when there is too little memory for all of it
HUGE = 600_000  # instructions of the function whose compilation is interrupted

Call = Callable[..., object]


def interrupted(call: Call) -> float:
    """Return the seconds from a signal until the call has ended with KeyboardInterrupt."""
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


def ended(call: Call, instance: figwasp.Instance) -> float:
    """Return the seconds from `interrupt()` in another thread until the call has ended."""
    sent = [0.0]

    def send() -> None:
        time.sleep(AFTER)
        sent[0] = time.perf_counter()
        instance.interrupt()

    thread = threading.Thread(target=send)
    thread.start()
    try:
        call()
    except figwasp.Interrupted:
        stopped = time.perf_counter()
    thread.join()
    return stopped - sent[0]


async def heartbeat(instances: list[figwasp.Instance], seconds: float) -> float:
    """Return how late, in seconds, a task that runs every BEAT was at most, while calls of all the instances compute."""
    calls = [asyncio.create_task(instance.acall.spin()) for instance in instances]
    latest = 0.0
    end = last = time.perf_counter()
    end += seconds
    while last < end:
        await asyncio.sleep(BEAT)
        now = time.perf_counter()
        latest = max(latest, now - last - BEAT)
        last = now
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)
    return latest


def timed_out(call: Call) -> float:
    """Return the seconds by which a call exceeds its timeout."""
    start = time.perf_counter()
    try:
        call(timeout=TIMEOUT)
    except figwasp.Timeout:
        return time.perf_counter() - start - TIMEOUT
    raise SystemExit("the call has ended by itself")


def out_of_fuel(data: bytes, imports: dict[str, Any]) -> float:
    """Return the seconds that an endless loop runs with fuel for some 0.1 seconds."""
    instance = figwasp.load(data, imports, engine=figwasp.Engine(fuel=10**8))
    start = time.perf_counter()
    try:
        instance.spin()
    except figwasp.OutOfFuel:
        stopped = time.perf_counter()
    instance.fuel = 10
    assert instance.add(1, 2) == 3
    return stopped - start


def counting(call: Call) -> float:
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
    interrupted(call)
    thread.join()
    return found[0] / alone


def huge_module() -> bytes:
    """Make a module whose one function computes for a very long time to compile: ifs and loops in a long row."""

    def sized(content: bytes) -> bytes:
        out = bytearray()
        write_unsigned(out, len(content))
        return bytes(out) + content

    # local.get 0; i32.const c; i32.mul; local.tee 0; if; local.get 0; i32.const c; i32.add; local.set 1; end
    body = b"".join(
        b"\x20\0\x41" + bytes([i % 64]) + b"\x6c\x22\0\x04\x40\x20\0\x41" + bytes([i % 64]) + b"\x6a\x21\1\x0b"
        for i in range(HUGE // 10)
    )
    code = sized(b"\2" + sized(b"\1\1\x7f" + body + b"\x20\1\x0b") + sized(b"\0\x0b"))
    return (
        b"\0asm\1\0\0\0\1" + sized(b"\2\x60\1\x7f\1\x7f\x60\0\0") + b"\3" + sized(b"\2\0\1")
        + b"\7" + sized(b"\2\4huge\0\0\5small\0\1") + b"\x0a" + code
    )  # fmt: skip


def room() -> int:
    """Return how many bytes `memory.fill` may touch: 4 GiB where there is so much memory to spare."""
    with open("/proc/meminfo", encoding="ascii") as file:
        free = next(int(line.split()[1]) for line in file if line.startswith("MemAvailable")) << 10
    return 0xFFFF_0000 if free > 6 << 30 else MAX_RESIDENT


def main() -> None:
    """Print a line per case."""
    parser = argparse.ArgumentParser(description="how fast long calls stop")
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    print(side.machine())
    print(f"worst of {rounds}{'':25} after Ctrl-C, interrupt(), timeout={TIMEOUT}; share of another thread's speed")
    data = figwasp.wat(TEXT)
    source, sink = os.pipe()
    output, full = os.pipe()
    with open(source, "rb") as stdin, WASI(stdin=stdin, stdout=f"/dev/fd/{full}") as wasi:
        imports = {"env": {"f": abs}, **wasi.imports()}
        for name, instance, call, use in cases(data, imports):
            stopped = max(interrupted(call) for _ in range(rounds))
            use()
            from_outside = max(ended(call, instance) for _ in range(rounds))
            use()
            late = max(timed_out(call) for _ in range(rounds))
            use()
            print(f"{name:34} {1e3 * stopped:11.0f} ms {1e3 * from_outside:14.0f} ms {1e3 * late:15.0f} ms {counting(call):14.2f}")
            use()
        print(f"{'out of fuel, after 100 million':34} {1e3 * out_of_fuel(data, imports):11.0f} ms")
        computing = [figwasp.load(data, imports) for _ in range(COMPUTING)]
        latest = max(asyncio.run(heartbeat(computing, 1.0)) for _ in range(rounds))
        print(f"task of an event loop beside {COMPUTING} calls, every {1e3 * BEAT:.0f} ms: {1e3 * latest:.0f} ms late at most")
    for host in (sink, output, full):
        os.close(host)


def cases(data: bytes, imports: dict[str, Any]) -> list[tuple[str, figwasp.Instance, Call, Callable[[], object]]]:
    """Return what never ends: its name, the instance, the call, and a call to see that the instance can be used afterwards."""
    instance = figwasp.load(data, {**imports, "env": {"f": lambda x: x}})
    builtin = figwasp.load(data, imports)
    waiting = figwasp.load(data, imports)
    waiting.memory.write(64, SUBSCRIPTION.pack(7, 0, 1, 10**12, 0, 0))
    outer = figwasp.load(data, {**imports, "env": {"f": lambda _: waiting.spin()}})
    huge = figwasp.load(huge_module())
    metered = figwasp.load(data, imports, engine=figwasp.Engine(fuel=True))
    metered.on_out_of_fuel = lambda: 10_000
    size = room()
    f, add = instance.exports, lambda: instance.add(1, 2)
    return [
        ("endless loop", instance, f.spin, add),
        ("fib(60)", instance, lambda **how: f.fib(60, **how), add),
        ("loop of host calls (def)", instance, f.host, add),
        ("loop of host calls (built-in)", builtin, builtin.host, lambda: builtin.add(1, 2)),
        (f"memory.fill of {size >> 20} MiB, repeated", instance, lambda **how: f.fill(size, **how), add),
        (f"memory.copy of {size >> 20} MiB, repeated", instance, lambda **how: f.copy(size - 1, **how), add),
        ("WASI sleep", waiting, waiting.sleep, lambda: waiting.add(1, 2)),
        ("WASI read of a pipe", waiting, waiting.read, lambda: waiting.add(1, 2)),
        ("WASI write to a full pipe", waiting, waiting.write, lambda: waiting.add(1, 2)),
        ("compilation of a huge function", huge, lambda **how: huge.huge(1, **how), huge.small),
        ("loop in a store that Python called", outer, outer.host, lambda: outer.add(1, 2)),
        ("loop that is given more fuel", metered, metered.spin, lambda: metered.add(1, 2)),
    ]


if __name__ == "__main__":
    main()
