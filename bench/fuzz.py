"""Long runs of what tests/property and tests/hostile do briefly.

    python bench/fuzz.py modules --count 5000       random modules, compared between implementations
    python bench/fuzz.py vectors --count 5000       the same, with vectors
    python bench/fuzz.py latest --count 5000        with 64-bit addresses, atomics and whatever else figwasp executes
    python bench/fuzz.py objects --count 5000       with structures, arrays and casts
    python bench/fuzz.py control --count 5000       the same, with exceptions, tail calls, and calls of typed references
    python bench/fuzz.py binaryen --count 5000      modules of Binaryen's fuzzer
    python bench/fuzz.py mutations --count 20000    damaged modules, which must end in an error of figwasp or run

Modules are compared on `--engines`: guard, checked, stress (a collection at every allocation), wasmtime; and all but Binaryen's
with the evaluator. For Binaryen's `npm install binaryen`, and tell where its `wasm-opt` is, with a node that is not too old for it:

    FIGWASP_WASM_OPT="node node_modules/binaryen/bin/wasm-opt" python bench/fuzz.py binaryen --count 5000

It makes modules of random bytes (`-ttf`), with legacy exceptions, which the modes checked and stress run, and translates these for
the others. What a module imports is a module in WebAssembly that records what it is given, and another calls what it exports.

Every case has a number, which is all that is needed to run it again: `--first N --count 1`. FIGWASP_CHECK=1 adds the verifiers.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.hostile.workers import Watch  # noqa: E402


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["modules", "vectors", "latest", "objects", "control", "binaryen", "mutations"])
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--count", type=int, default=1000, help="how many")
    engines = "guard checked stress wasmtime"
    parser.add_argument("--engines", default=engines, help="what modules are compared on (default: %(default)s)")
    options = parser.parse_args()
    os.environ["FIGWASP_FUZZ"] = options.engines
    start = time.perf_counter()
    watch = Watch(options.kind)
    watch.run(options.first, options.count)
    for number, what in watch.bad:
        print(f"{number}: {what}")
    counts = ", ".join(f"{count} {word}" for word, count in watch.counts.most_common())
    print(f"{sum(watch.counts.values())} {options.kind} in {time.perf_counter() - start:.0f} s: {counts}")
    sys.exit(1 if watch.bad else 0)


if __name__ == "__main__":
    main()
