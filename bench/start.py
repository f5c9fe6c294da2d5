"""Time to first result: a QuickJS that evaluates `1+1`, from starting the process to its end.

    python bench/start.py [--rounds N]

Wall time of `python -m figwasp run qjs -e "console.log(1+1)"` with the code cache off, the best and the median of some
rounds, beside a Python that starts and does nothing. How many functions that compiles is counted in a run of its own.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys

import side

PROGRAM = ["-e", "console.log(1+1)"]

COUNTING = """
import os, sys
built = 0
def watch(frame, event, _):
    global built
    code = frame.f_code
    if event == "call" and code.co_name == "build" and code.co_filename.endswith(os.path.join("ir", "build.py")):
        built += 1
from figwasp.cli.main import main
sys.setprofile(watch)
try:
    main(sys.argv[1:])
finally:
    sys.setprofile(None)
    print(built, file=sys.stderr)
"""
"""Runs the command line and counts the entries into ir.build, one for each function that is compiled."""


def environment() -> dict[str, str]:
    """Give the environment of the runs: the tree's own figwasp, no code cache."""
    return {**os.environ, "PYTHONPATH": str(side.ROOT / "src")}


def run_quickjs(*python: str) -> str:
    """Run the program once, insist on what it prints, and give what went to stderr.

    Args:
        python: the interpreter's arguments that start the command line; `-m figwasp` unless given.
    """
    module = side.need_shared() / "programs" / "modules" / "quickjs.wasm"
    words = [sys.executable, *(python or ("-m", "figwasp")), "run", "--argv0", "qjs", str(module), *PROGRAM]
    done = subprocess.run(words, capture_output=True, env=environment(), check=False)
    if (done.returncode, done.stdout) != (0, b"2\n"):
        raise SystemExit(f"exit status {done.returncode}\n{done.stdout.decode()}{done.stderr.decode()}")
    return done.stderr.decode()


def count_compiled() -> str:
    """Count the functions that the program needs compiled, in a run of its own."""
    counted = run_quickjs("-c", COUNTING).split()
    return counted[-1] if counted and counted[-1] != "0" else "not counted"


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
    print(f"functions compiled: {count_compiled()}")
    print(f"Python alone: best {min(nothing):.2f} s")


if __name__ == "__main__":
    main()
