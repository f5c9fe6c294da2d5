"""What stays behind: load, link, call, drop, ten thousand times, and the resident size every thousand rounds.

    python bench/leaks.py [--rounds N] [--only NAME] [--flat KIB]

Every way of using figwasp is a case: a module compiled anew each time, with types of its own; one linked to another; host
functions; references; traps; memories with views; tables and globals of the host; failed loads. A case is flat when its size after
the last round is within a megabyte (or `--flat`) of that after the first fifth. One that is not runs once more: the allocator gets
memory from the system in steps of 256 KiB, of which one may fall into any run, but a leak grows in both.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import side  # puts the tree's own src first

import figwasp

FLAT = 1 << 10  # KiB, of what may be noise

PROVIDER = """(module (memory (export "memory") 1) (table (export "table") 4 funcref) (global (export "n") (mut i32) (i32.const 0))
  (func (export "inc") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1))))"""
USER = """(module
  (import "provider" "memory" (memory 1)) (import "provider" "table" (table 4 funcref))
  (import "provider" "n" (global $n (mut i32))) (import "provider" "inc" (func $inc (param i32) (result i32)))
  (import "host" "f" (func $f (param i32 externref) (result externref)))
  (elem (i32.const 1) $own)
  (func $own (export "own") (param i32) (result i32)
    (global.set $n (local.get 0)) (i32.store (i32.const 8) (local.get 0)) (call $inc (global.get $n)))
  (func (export "ref") (param i32 externref) (result externref) (call $f (local.get 0) (local.get 1)))
  (func (export "trap") (param i32) (result i32) (i32.div_s (local.get 0) (i32.const 0)))
  (func (export "deep") (call_indirect (i32.const 3))))"""
provider_module = figwasp.Module(figwasp.wat(PROVIDER))
user_module = figwasp.Module(figwasp.wat(USER))
binary = figwasp.wat(USER)
numbers = itertools.count()


def imports() -> dict[str, object]:
    """Give the imports of the user."""
    return {"provider": figwasp.load(provider_module), "host": {"f": lambda x, thing: thing}}


def linked() -> None:
    """Link two instances, call through both, and drop them."""
    user = figwasp.load(user_module, imports())
    assert user.exports.own(4) == 5
    assert user.exports.ref(1, user_module) is user_module


def compiled() -> None:
    """Compile a module anew."""
    user = figwasp.load(binary, imports())
    assert user.exports.own(4) == 5


def fresh_types() -> None:
    """Compile a module with function types that no module had before."""
    number = next(numbers)
    params = " ".join(("i32", "i64", "f32", "f64")[number >> 2 * k & 3] for k in range(9))
    text = f'(module (func (export "f") (param {params})) (func (export "g") (result i32) (i32.const 1)))'
    assert figwasp.load(figwasp.wat(text)).exports.g() == 1


def trapping() -> None:
    """Trap, and let host functions raise."""
    user = figwasp.load(user_module, imports())
    for call in (lambda: user.exports.trap(1), lambda: user.exports.deep(), lambda: user.exports.own("x")):
        try:
            call()
        except (figwasp.Trap, TypeError):
            continue
        raise SystemExit("no exception")


def cycles() -> None:
    """Leave cycles through host functions and references to the collector."""
    box: list[object] = []
    user = figwasp.load(user_module, {**imports(), "host": {"f": lambda x, thing: (box, thing)[1]}})
    box.append(user)
    assert user.exports.ref(1, box) is box


def containers() -> None:
    """Make memories, tables and globals in Python, and views of them."""
    memory, table, number = figwasp.Memory(1), figwasp.Table("funcref", 4), figwasp.Global("i32", 1, mutable=True)
    inc = figwasp.load(provider_module).exports.inc
    user = figwasp.load(user_module, {"provider": {"memory": memory, "table": table, "n": number, "inc": inc}, "host": {"f": max}})
    view = memoryview(memory)
    assert (user.exports.own(3), view[8], number.value, table[1](1)) == (4, 3, 3, 2)


def failing() -> None:
    """Load what is malformed, invalid, unlinkable, or traps at once."""
    texts = ("(module (func (result i32)))", '(module (import "a" "b" (func)))', '(module (memory 1) (data (i32.const 65536) "x"))')
    for text in texts:
        try:
            figwasp.load(figwasp.wat(text))
        except figwasp.Error:
            continue
        raise SystemExit("no exception")
    try:
        figwasp.load(b"\\0asm\\1\\0\\0\\0\\1\\1\\1")
    except figwasp.Malformed:
        return
    raise SystemExit("no exception")


CASES: dict[str, Callable[[], None]] = {
    "linked": linked,
    "compiled anew": compiled,
    "fresh types": fresh_types,
    "traps": trapping,
    "cycles": cycles,
    "containers": containers,
    "failed loads": failing,
}


def resident() -> int:
    """Give the resident size of this process in KiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") >> 10


def run(case: Callable[[], None], rounds: int) -> list[int]:
    """Run a case and give the resident size ten times."""
    sizes = []
    for _ in range(10):
        for _ in range(max(rounds // 10, 1)):
            case()
        gc.collect()
        sizes.append(resident())
    return sizes


def is_flat(name: str, case: Callable[[], None], options: argparse.Namespace) -> bool:
    """Run a case, print what came of it, and tell whether it is flat."""
    start = time.perf_counter()
    sizes = run(case, options.rounds)
    us = (time.perf_counter() - start) / options.rounds * 1e6
    grown = sizes[-1] - sizes[1]
    print(f"{name:16}{us:8.0f} us a round, KiB resident: {' '.join(map(str, sizes))}; grown by {grown}")
    return bool(grown <= options.flat)


def main() -> None:
    """Measure and print; exit status 1 when a case is not flat."""
    parser = argparse.ArgumentParser(description="leaks")
    parser.add_argument("--rounds", type=int, default=10_000)
    parser.add_argument("--only")
    parser.add_argument("--flat", type=int, default=FLAT)
    options = parser.parse_args()
    print(side.machine())
    bad = False
    for name, case in CASES.items():
        if options.only in (None, name):
            leaks = not is_flat(name, case, options) and not is_flat(name, case, options)
            if leaks:
                print(f"{name}: LEAK")
            bad |= leaks
    sys.exit(bad)


if __name__ == "__main__":
    main()
