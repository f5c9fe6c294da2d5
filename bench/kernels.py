"""Compute kernels in figwasp and in wasmtime-py, on the same .wasm in the same run.

    python bench/kernels.py [--rounds N] [--small] [--json] [--fuel | --memory checked] [--simd | --wasm64] [NAME ...]

Each kernel is one exported function i32 -> i32 of kernels/kernels.json. A first call on both sides compiles it and has its
result checked (every later one too); then the sides take turns. The ratio is of the best rounds; the median's stands beside it.
With --fuel figwasp's metered code takes turns with its other code instead, with --memory checked that with explicit checks of
memory accesses with that which relies on guard pages. With --simd the kernels are those that were compiled to vector instructions.
With --wasm64 they are compiled for 64-bit addresses first, by ziglang, as those in the file are, or by the clang of the system.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import side

ISSUE_SET = ("fib", "sieve", "matmul", "sha256", "quicksort", "nbody")
"""The kernels of which a geometric mean of their own is printed."""

Kernel = Callable[[int], int]


def figwasp_kernel(path: Path, export: str, **options: Any) -> Kernel:
    """Load a kernel in figwasp, in an engine with these options."""
    import figwasp

    func: Kernel = figwasp.load(path, engine=figwasp.Engine(**options)).exports[export]
    return func


def compile_64(name: str, folder: Path) -> Path:
    """Compile a kernel for a memory with 64-bit addresses."""
    compiler = ["clang"]
    target = "wasm64"
    if importlib.util.find_spec("ziglang") is not None:
        compiler, target = [sys.executable, "-m", "ziglang", "cc"], "wasm64-freestanding"
    path = folder / f"{name}.wasm"
    source = side.need_shared() / "kernels" / "src" / f"{name}.c"
    flags = ["-O2", "-fno-builtin", "-nostdlib", "-mcpu=generic", "-Wl,--no-entry", "-Wl,--strip-all"]
    subprocess.run([*compiler, "-target", target, *flags, "-o", str(path), str(source)], check=True)
    return path


def peer_kernel(path: Path, export: str) -> Kernel | None:
    """Load a kernel in wasmtime-py, or give None where it is not installed."""
    wasmtime = side.peer()
    if wasmtime is None:
        return None
    engine = wasmtime.Engine()
    store = wasmtime.Store(engine)
    func = wasmtime.Instance(store, wasmtime.Module.from_file(engine, str(path)), []).exports(store)[export]
    return lambda n: func(store, n)


def checked(kernel: Kernel, n: int, expected: int, who: str) -> Callable[[], None]:
    """Make a call of the kernel that insists on its result."""

    def call() -> None:
        result = kernel(n)
        if result != expected:
            raise SystemExit(f"{who}: {result}, expected {expected}")

    return call


def measure(
    path: Path, case: dict[str, Any], *, small: bool, simd: bool, rounds: int, options: dict[str, Any]
) -> dict[str, float]:
    """Time one kernel, in an engine with these options beside one without, or beside the peer; give milliseconds and ratios."""
    name = path.stem
    size, result = ("n_small", "expect_small") if small else ("n", "expect")
    n, expected = case[size], case[result + "_simd" * simd]
    ours = checked(figwasp_kernel(path, case["export"], **options), n, expected, f"figwasp {name}")
    theirs_kernel = (figwasp_kernel if options else peer_kernel)(path, case["export"])
    first = side.interleave([ours], 1)[0][0]
    if theirs_kernel is None:
        (mine,) = side.interleave([ours], rounds)
        return {"first_ms": first * 1e3, "figwasp_ms": min(mine) * 1e3}
    theirs = checked(theirs_kernel, n, expected, f"peer of {name}")
    theirs()
    mine, other = side.interleave([ours, theirs], rounds)
    return {
        "first_ms": first * 1e3,
        "figwasp_ms": min(mine) * 1e3,
        "peer_ms": min(other) * 1e3,
        "ratio": min(mine) / min(other),
        "median_ratio": statistics.median(mine) / statistics.median(other),
    }


def geomean(values: list[float]) -> float:
    """Give the geometric mean."""
    return math.exp(sum(map(math.log, values)) / len(values))


def report(name: str, row: dict[str, float]) -> None:
    """Print one kernel's line."""
    line = f"{name:12} {row['first_ms']:9.1f} {row['figwasp_ms']:9.2f}"
    if "ratio" in row:
        line += f" {row['peer_ms']:9.2f} {row['ratio']:7.2f} {row['median_ratio']:7.2f}"
    print(line, flush=True)


def report_means(rows: dict[str, dict[str, float]]) -> None:
    """Print the geometric means and the worst ratio."""
    ratios = {name: row["ratio"] for name, row in rows.items() if "ratio" in row}
    for label, names in (("of these", list(ratios)), ("of " + ", ".join(ISSUE_SET), list(ISSUE_SET))):
        if ratios and all(name in ratios for name in names):
            print(f"geomean {geomean([ratios[name] for name in names]):.2f} {label}")
    if ratios:
        worst = max(ratios, key=lambda name: ratios[name])
        print(f"worst   {ratios[worst]:.2f} ({worst})")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="compute kernels beside wasmtime-py")
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--small", action="store_true", help="the small sizes, to see that everything runs")
    parser.add_argument("--json", action="store_true")
    engines = parser.add_mutually_exclusive_group()
    engines.add_argument("--fuel", action="store_true", help="metered code beside other code, both figwasp's")
    engines.add_argument("--memory", choices=["checked"], help="code with explicit checks beside other code, both figwasp's")
    builds = parser.add_mutually_exclusive_group()
    builds.add_argument("--simd", action="store_true", help="the kernels with vector instructions")
    builds.add_argument("--wasm64", action="store_true", help="kernels compiled for 64-bit addresses")
    options = parser.parse_args()
    cases = json.loads((side.need_shared() / "kernels" / "kernels.json").read_text(encoding="utf-8"))
    unknown = set(options.names) - set(cases)
    if unknown:
        parser.error(f"no kernel {', '.join(sorted(unknown))}; there are {', '.join(cases)}")
    rows = {}
    engine: dict[str, Any] = {}
    if options.fuel:
        engine["fuel"] = 2**62  # more than a kernel uses
    elif options.memory:
        engine["memory"] = options.memory
    if not options.json:
        print(side.machine())
        ours, theirs = (("metered" if options.fuel else options.memory), "figwasp") if engine else ("figwasp", "wasmtime")
        print(f"{'best, ms':12} {'1st call':>9} {ours:>9} {theirs:>9} {'ratio':>7} {'median':>7}")
    with tempfile.TemporaryDirectory() as folder:
        for name in options.names or cases:
            wasm = side.need_shared() / "kernels" / "wasm" / f"{name}{'.simd' * options.simd}.wasm"
            path = compile_64(name, Path(folder)) if options.wasm64 else wasm
            sizes: dict[str, bool] = {"small": options.small, "simd": options.simd}
            rows[name] = measure(path, cases[name], rounds=options.rounds, options=engine, **sizes)
            if not options.json:
                report(name, rows[name])
    if options.json:
        print(json.dumps(rows, indent=1))
    else:
        report_means(rows)


if __name__ == "__main__":
    main()
