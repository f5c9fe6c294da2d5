"""How fast modules are read and checked: seconds, MB of code a second, microseconds an instruction.

`python bench/validate.py [FILE ...]`; without files, the programs of the test data that validate.
"""

from __future__ import annotations

import sys
from pathlib import Path
from time import perf_counter

from side import need_shared

from figwasp.errors import Error
from figwasp.wasm.decode import decode
from figwasp.wasm.validate import validate


def measure(path: Path, rounds: int = 3) -> tuple[float, float, int, int]:
    """Return the best times of decoding and validating a module, its bytes of code and its instructions."""
    data = path.read_bytes()
    best_decode = best_validate = float("inf")
    size = ops = 0
    for _ in range(rounds):
        start = perf_counter()
        module = decode(data)
        middle = perf_counter()
        facts = validate(module)
        end = perf_counter()
        best_decode = min(best_decode, middle - start)
        best_validate = min(best_validate, end - middle)
        size = sum(body.end - body.start for body in module.bodies)
        ops = sum(fact.num_ops for fact in facts)
    return best_decode, best_validate, size, ops


def main() -> None:
    """Print a line per module and the sum."""
    files = [Path(name) for name in sys.argv[1:]] or sorted((need_shared() / "programs/modules").glob("*.wasm"))
    print(f"{'module':24} {'code MB':>8} {'decode s':>9} {'validate s':>11} {'MB/s':>6} {'us/op':>6}")
    total = [0.0, 0.0, 0, 0]
    for path in files:
        try:
            row = measure(path)
        except Error as problem:
            print(f"{path.stem:24} {problem}")
            continue
        total = [so_far + value for so_far, value in zip(total, row, strict=True)]
        show(path.stem, *row)
    if total[3]:
        show("all", *total)


def show(name: str, decode_s: float, validate_s: float, size: float, ops: float) -> None:
    """Print one line."""
    speed = size / validate_s / 1e6
    print(f"{name:24} {size / 1e6:8.2f} {decode_s:9.3f} {validate_s:11.3f} {speed:6.1f} {validate_s / ops * 1e6:6.2f}")


if __name__ == "__main__":
    main()
