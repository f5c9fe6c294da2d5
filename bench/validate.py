"""How fast modules are read and checked, side by side with wasmtime's `Module.validate`, which does both at once.

`python bench/validate.py [FILE ...]`; without files, the programs of the test data. Columns: MB of code; the best times of
decoding and validating; MB of code a second and microseconds an instruction of validation alone; MB of code a second of
wasmtime; and how many times longer our two stages take together. Then the largest file: decoding alone, with its peak memory.
"""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

from side import machine, need_shared, peer

from figwasp.errors import Error
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.valid.module import validate

ROUNDS = 3


class Row:
    """The best times of a module, in seconds, with its bytes of code and its instructions; `theirs` is 0 without a peer."""

    def __init__(self) -> None:
        self.decode = self.validate = self.theirs = 0.0
        self.size = self.ops = 0

    def add(self, other: Row) -> None:
        """Add another module to this sum."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


def measure(path: Path, check: Callable[[bytes], None] | None) -> Row:
    """Measure a module; `check` is the peer's validation."""
    data = path.read_bytes()
    row = Row()
    row.decode = row.validate = row.theirs = float("inf")
    for _ in range(ROUNDS):
        start = perf_counter()
        module = decode(data)
        middle = perf_counter()
        facts = validate(module)
        end = perf_counter()
        row.decode = min(row.decode, middle - start)
        row.validate = min(row.validate, end - middle)
        row.size = sum(body.end - body.start for body in module.bodies)
        row.ops = sum(fact.num_ops for fact in facts)
        if check is not None:
            start = perf_counter()
            check(data)
            row.theirs = min(row.theirs, perf_counter() - start)
    if check is None:
        row.theirs = 0.0
    return row


def their_check() -> Callable[[bytes], None] | None:
    """Return wasmtime's validation with the proposals of Wasm 3.0, or None where it is not installed."""
    wasmtime = peer()
    if wasmtime is None:
        return None
    config = wasmtime.Config()
    for name in ("wasm_gc", "wasm_function_references", "wasm_exceptions", "wasm_tail_call", "wasm_memory64", "wasm_multi_memory"):
        if hasattr(config, name):
            setattr(config, name, True)
    engine = wasmtime.Engine(config)

    def check(data: bytes) -> None:
        wasmtime.Module.validate(engine, data)

    return check


def show(name: str, row: Row) -> None:
    """Print one line."""
    speed = row.size / row.validate / 1e6
    theirs = f"{row.size / row.theirs / 1e6:9.1f} {(row.decode + row.validate) / row.theirs:6.1f}" if row.theirs else ""
    per_op = row.validate / row.ops * 1e6
    print(f"{name:24} {row.size / 1e6:8.2f} {row.decode:9.3f} {row.validate:11.3f} {speed:6.1f} {per_op:6.2f} {theirs}")


def show_decoding(path: Path) -> None:
    """Print the time and the peak memory that decoding one file takes, beside the file itself."""
    data = path.read_bytes()
    best = float("inf")
    for _ in range(ROUNDS):
        start = perf_counter()
        decode(data)
        best = min(best, perf_counter() - start)
    tracemalloc.start()
    decode(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    print(f"decoding {path.name}, {len(data) / 1e6:.1f} MB: {best:.3f} s, {peak / 1e6:.1f} MB at most")


def main() -> None:
    """Print a line per module, the sum, and the decoding of the largest."""
    files = [Path(name) for name in sys.argv[1:]] or sorted((need_shared() / "programs/modules").glob("*.wasm"))
    check = their_check()
    print(machine())
    print(f"{'module':24} {'code MB':>8} {'decode s':>9} {'validate s':>11} {'MB/s':>6} {'us/op':>6} {'wasmtime':>9} {'ratio':>6}")
    total = Row()
    for path in files:
        try:
            row = measure(path, check)
        except Error as problem:
            print(f"{path.stem:24} {problem}")
            continue
        total.add(row)
        show(path.stem, row)
    if total.ops:
        show("all", total)
    show_decoding(max(files, key=lambda path: path.stat().st_size))


if __name__ == "__main__":
    main()
