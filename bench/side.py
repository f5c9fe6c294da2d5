"""What the benchmarks share: where the test data lies, fair alternation between the sides, and the peer.

A figure is a ratio within one run: the sides take turns, round after round, so that whatever else the machine does spoils
both alike.
"""

from __future__ import annotations

import os
import platform
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("FIGWASP_SHARED") or ROOT.parent / "shared")

if not os.environ.get("FIGWASP_INSTALLED"):  # then it is the figwasp of this Python that is measured, such as a compiled one
    sys.path.insert(0, str(ROOT / "src"))


def need_shared() -> Path:
    """Give the folder of test data or end the run with the reason."""
    if not SHARED.is_dir():
        sys.exit(f"no test data at {SHARED} (set FIGWASP_SHARED to its folder)")
    return SHARED


def peer() -> ModuleType | None:
    """Import wasmtime if it is installed."""
    try:
        import wasmtime
    except ImportError:
        return None
    module: ModuleType = wasmtime
    return module


def interleave(sides: Sequence[Callable[[], object]], rounds: int) -> list[list[float]]:
    """Time each side once a round, in turn; give the seconds of each side's rounds."""
    times: list[list[float]] = [[] for _ in sides]
    for number in range(rounds):
        order = range(len(sides)) if number % 2 == 0 else range(len(sides) - 1, -1, -1)
        for index in order:
            start = perf_counter()
            sides[index]()
            times[index].append(perf_counter() - start)
    return times


def median_ratio(times: list[float], base: list[float]) -> float:
    """Give the median over the rounds of one side's time to the other's."""
    return statistics.median(mine / other for mine, other in zip(times, base, strict=True))


def machine() -> str:
    """Describe the machine in a line."""
    model = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    return f"{model}, {os.cpu_count()} CPUs, {platform.system()} {platform.release()}, CPython {platform.python_version()}"
