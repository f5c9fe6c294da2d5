"""Memory from Python: reading and writing 4 B, 1 KiB and 1 MiB, by methods, slices and typed scalars, beside wasmtime-py.

    python bench/memory.py [--rounds N] [--json]

Both sides copy: `read` gives bytes here and a bytearray there, `write` is given what each side takes fastest (bytes here, a
bytearray there). wasmtime-py has neither slices nor typed access: there it is its `read` or `write`, and `struct`. Figures are
medians; a ratio is the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import struct
from collections.abc import Callable
from typing import Any

import side  # puts the tree's own src first

import figwasp

WAT = '(module (memory (export "memory") 64))'
SIZES = {"4 B": 4, "1 KiB": 1 << 10, "1 MiB": 1 << 20}
OFFSET = 4096
SECONDS = 0.01  # what a round of one side should take
U32 = struct.Struct("<I")

Action = Callable[[], object]


def ours(memory: Any, size: int) -> dict[str, Action]:
    """Give the accesses of figwasp."""
    data = bytes(range(256)) * (size // 256) or b"wasp"
    end = OFFSET + size

    def write_slice() -> None:
        memory[OFFSET:end] = data

    actions: dict[str, Action] = {
        "read": lambda: memory.read(OFFSET, size),
        "write": lambda: memory.write(OFFSET, data),
        "slice": lambda: memory[OFFSET:end],
        "slice assignment": write_slice,
    }
    if size == 4:
        actions["read_u32"] = lambda: memory.read_u32(OFFSET)
        actions["write_u32"] = lambda: memory.write_u32(OFFSET, 123456789)
    return actions


def peers(memory: Any, store: Any, size: int) -> dict[str, Action]:
    """Give the accesses of wasmtime-py."""
    data = bytearray(bytes(range(256)) * (size // 256) or b"wasp")
    end = OFFSET + size
    actions: dict[str, Action] = {
        "read": lambda: memory.read(store, OFFSET, end),
        "write": lambda: memory.write(store, data, OFFSET),
    }
    actions["slice"] = actions["read"]
    actions["slice assignment"] = actions["write"]
    if size == 4:
        actions["read_u32"] = lambda: U32.unpack(memory.read(store, OFFSET, end))[0]
        actions["write_u32"] = lambda: memory.write(store, bytearray(U32.pack(123456789)), OFFSET)
    return actions


def repeat(action: Action) -> tuple[Action, int]:
    """Make a loop over an action that takes about SECONDS, and tell how often it does it."""

    def loop() -> None:
        for _ in itertools.repeat(None, count):
            action()

    count = 1
    while (took := min(side.interleave([loop], 2)[0])) < SECONDS / 4:
        count *= 2
    count = max(int(count * SECONDS / took), 1)
    return loop, count


def measure(mine: Action, other: Action | None, rounds: int) -> dict[str, float]:
    """Reduce two actions to nanoseconds and their ratio."""
    loops = [repeat(action) for action in (mine, other) if action is not None]
    times = side.interleave([loop for loop, _ in loops], rounds)
    each = [[t / count for t in series] for series, (_, count) in zip(times, loops, strict=True)]
    result = {"figwasp": statistics.median(each[0]) * 1e9}
    if other is not None:
        result["wasmtime"] = statistics.median(each[1]) * 1e9
        result["ratio"] = side.median_ratio(each[0], each[1])
    return result


def check(mine: dict[str, Action], other: dict[str, Action], size: int) -> None:
    """See that both sides read the same after both have written the same."""
    for actions in (mine, other):
        actions["write"]()
    for name in ("read", "slice"):
        if bytes(mine[name]()) != bytes(other[name]()) or len(mine[name]()) != size:  # type: ignore[call-overload, arg-type]
            raise SystemExit(f"{name} of {size} bytes differs")
    if size == 4 and mine["read_u32"]() != other["read_u32"]():
        raise SystemExit("read_u32 differs")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="memory access from Python")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    memory = figwasp.load(figwasp.wat(WAT)).exports["memory"]
    wasmtime = side.peer()
    if wasmtime is not None:
        store = wasmtime.Store()
        peer_memory = wasmtime.Instance(store, wasmtime.Module(store.engine, WAT), []).exports(store)["memory"]
    table: dict[str, dict[str, float]] = {}
    for label, size in SIZES.items():
        mine = ours(memory, size)
        other = peers(peer_memory, store, size) if wasmtime is not None else {}
        if other:
            check(mine, other, size)
        for name, action in mine.items():
            table[f"{name}, {label}"] = measure(action, other.get(name), options.rounds)
    if options.json:
        print(json.dumps(table, indent=1))
        return
    print(side.machine())
    print(f"{'median ns':28}{'figwasp':>12}{'wasmtime':>12}{'ratio':>8}")
    for name, row in table.items():
        beside = f"{row['wasmtime']:12.0f}{row['ratio']:8.3f}" if "ratio" in row else f"{'-':>12}"
        print(f"{name:28}{row['figwasp']:12.0f}{beside}")


if __name__ == "__main__":
    main()
