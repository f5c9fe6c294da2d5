"""Whole processes with both compilers, beside those with the optimising one alone: the kernels, at a length of about a second.

    python bench/tiers.py [--rounds N] [NAME ...]

Each process imports figwasp, loads a kernel and calls it as often as takes a second in optimised code; caches are off. The
processes take turns. The ratio is of the medians. The last column is the ratio of a call in baseline code to optimised code.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
from time import perf_counter

import side

PROCESS = """
import sys
from time import perf_counter
import figwasp
path, export, n, times, tier = sys.argv[1:]
kernel = figwasp.load(path, engine=figwasp.Engine(tier=tier, cache=False)).exports[export]
kernel(int(n))
start = perf_counter()
for _ in range(int(times)):
    answer = kernel(int(n))
print(answer, perf_counter() - start)
"""


def process(words: list[str]) -> tuple[float, str, float]:
    """Run a process; return its seconds, the answer, and the seconds of the calls but the first."""
    environment = {**os.environ, "PYTHONPATH": str(side.ROOT / "src")}
    start = perf_counter()
    done = subprocess.run([sys.executable, "-c", PROCESS, *words], env=environment, stdout=subprocess.PIPE, text=True, check=True)
    answer, seconds = done.stdout.split()
    return perf_counter() - start, answer, float(seconds)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="whole processes with both compilers")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    folder = side.need_shared() / "kernels"
    cases = json.loads((folder / "kernels.json").read_text())
    print(side.machine())
    ratios, slow = [], []
    for name in options.names or cases:
        case = cases[name]
        words = [str(folder / "wasm" / f"{name}.wasm"), case["export"], str(case["n"])]
        once = process([*words, "1", "optimize"])[2]
        times = str(max(1, round(1 / once)))
        taken: dict[str, list[float]] = {"auto": [], "optimize": []}
        for _ in range(options.rounds):
            for tier, seconds in taken.items():
                whole, answer, _ = process([*words, times, tier])
                if int(answer) != case["expect"]:
                    raise SystemExit(f"{name}: {answer}, expected {case['expect']}")
                seconds.append(whole)
        both, alone = (statistics.median(seconds) for seconds in taken.values())
        baseline = process([*words, "1", "baseline"])[2] / once
        ratios.append(both / alone)
        slow.append(baseline)
        figures = f"auto {both:6.3f} s   optimize {alone:6.3f} s   ratio {both / alone:5.3f}   baseline code {baseline:5.2f}"
        print(f"{name:14} {figures}", flush=True)
    print(f"geomean {geomean(ratios):.3f}, worst {max(ratios):.3f}; baseline code {geomean(slow):.2f}")


def geomean(values: list[float]) -> float:
    """Return the geometric mean."""
    return math.exp(statistics.fmean(map(math.log, values)))


if __name__ == "__main__":
    main()
