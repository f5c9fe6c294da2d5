"""Time to first result: whole processes from their start to their end, with nothing cached, beside wasmtime-py.

    python bench/start.py [--rounds N]

QuickJS evaluates `1+1` and CPython 3.12 runs `print(1+1)`, each under `python -m figwasp run` and, where wasmtime is
installed, under a script of ten lines with it, which caches nothing either. Wall time is the best and the median of some
rounds; memory is the most that the process held (`ru_maxrss`). Functions compiled are counted in a run of their own.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from tempfile import TemporaryFile
from typing import NamedTuple

import side

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

PEER = """
import sys
import wasmtime
engine = wasmtime.Engine()
store = wasmtime.Store(engine)
wasi = wasmtime.WasiConfig()
wasi.argv = sys.argv[2:]
wasi.inherit_stdout()
wasi.inherit_stderr()
store.set_wasi(wasi)
linker = wasmtime.Linker(engine)
linker.define_wasi()
linker.instantiate(store, wasmtime.Module.from_file(engine, sys.argv[1])).exports(store)["_start"](store)
"""


class Program(NamedTuple):
    """A program and what it is asked.

    Attributes:
        name: for the table.
        module: file name of the module.
        args: arguments, the program's own name first.
    """

    name: str
    module: str
    args: list[str]


PROGRAMS = [
    Program("QuickJS, 1+1", "quickjs.wasm", ["qjs", "-e", "console.log(1+1)"]),
    Program("CPython 3.12, print(1+1)", "cpython-3.12.wasm", ["python", "-c", "print(1+1)"]),
]


def process(words: list[str], expected: bytes | None = b"2\n") -> tuple[bytes, int]:
    """Run Python once and insist on what it prints; give what went to stderr, and the peak of its memory in MB."""
    with TemporaryFile() as out, TemporaryFile() as err:
        actions = [(os.POSIX_SPAWN_DUP2, out.fileno(), 1), (os.POSIX_SPAWN_DUP2, err.fileno(), 2)]
        environment = {**os.environ, "PYTHONPATH": str(side.ROOT / "src")}
        pid = os.posix_spawn(sys.executable, [sys.executable, *words], environment, file_actions=actions)
        _, status, usage = os.wait4(pid, 0)
        out.seek(0)
        err.seek(0)
        printed, errors = out.read(), err.read()
    if expected is not None and (status, printed) != (0, expected):
        raise SystemExit(f"exit status {os.waitstatus_to_exitcode(status)}\n{printed.decode()}{errors.decode()}")
    return errors, usage.ru_maxrss >> 10


def ours(program: Program, *python: str) -> tuple[bytes, int]:
    """Run a program under figwasp; `python` are the interpreter's arguments that start the command line."""
    module = side.need_shared() / "programs/modules" / program.module
    return process([*(python or ("-m", "figwasp")), "run", "--argv0", program.args[0], str(module), *program.args[1:]])


def peers(program: Program) -> tuple[bytes, int]:
    """Run a program under wasmtime."""
    return process(["-c", PEER, str(side.need_shared() / "programs/modules" / program.module), *program.args])


def measure(program: Program, rounds: int) -> None:
    """Print the lines of a program."""
    sides = {"figwasp": ours, "wasmtime-py": peers} if side.peer() else {"figwasp": ours}
    memory = dict.fromkeys(sides, 0)

    def run(name: str) -> None:
        memory[name] = max(memory[name], sides[name](program)[1])

    times = side.interleave([lambda name=name: run(name) for name in sides], rounds)  # type: ignore[misc]
    for name, took in zip(sides, times, strict=True):
        print(f"{program.name:26}{name:12}{min(took):8.2f} s  median {statistics.median(took):6.2f} s  peak {memory[name]:5} MB")
    if len(times) == 2:
        print(f"{'':26}ratio {side.median_ratio(times[0], times[1]):.2f}")
    print(f"{'':26}functions compiled: {ours(program, '-c', COUNTING)[0].split()[-1].decode()}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="time to first result")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(side.machine())
    for program in PROGRAMS:
        measure(program, options.rounds)
    nothing = side.interleave([lambda: process(["-c", "pass"], None)], options.rounds)[0]
    print(f"{'Python alone':38}{min(nothing):8.2f} s")


if __name__ == "__main__":
    main()
