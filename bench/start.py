"""Time to first result: a QuickJS that evaluates `1+1`, from starting the process to its end.

    python bench/start.py [--rounds N]

Wall time of `python -m figwasp run qjs -e "console.log(1+1)"` with the code cache off, the best and the median of some
rounds, beside a Python that starts and does nothing.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys

import side

PROGRAM = ["-e", "console.log(1+1)"]


def environment() -> dict[str, str]:
    """Give the environment of the runs: the tree's own figwasp, no code cache."""
    return {**os.environ, "FIGWASP_CACHE": "off", "PYTHONPATH": str(side.ROOT / "src")}


def run_quickjs() -> None:
    """Run the program once and insist on what it prints."""
    module = side.need_shared() / "programs" / "modules" / "quickjs.wasm"
    words = [sys.executable, "-m", "figwasp", "run", "--argv0", "qjs", str(module), *PROGRAM]
    done = subprocess.run(words, capture_output=True, env=environment(), check=False)
    if (done.returncode, done.stdout) != (0, b"2\n"):
        raise SystemExit(f"exit status {done.returncode}\n{done.stdout.decode()}{done.stderr.decode()}")


def run_nothing() -> None:
    """Start Python and end it."""
    subprocess.run([sys.executable, "-c", "pass"], check=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="time to first result")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    ours, nothing = side.interleave([run_quickjs, run_nothing], options.rounds)
    print(side.machine())
    print(f"QuickJS, 1+1: best {min(ours):.2f} s, median {statistics.median(ours):.2f} s")
    print(f"Python alone: best {min(nothing):.2f} s")


if __name__ == "__main__":
    main()
