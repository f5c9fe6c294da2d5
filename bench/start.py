"""Time to first result: whole processes from their start to their end, with nothing cached, beside wasmtime-py.

    python bench/start.py [--rounds N]

A C program of 50 KB says hello, QuickJS evaluates `1+1` and CPython 3.12 runs `print(1+1)`, each under `figwasp run`, started as an
installed script starts it, and, where wasmtime is installed, under a script of ten lines with it, which caches nothing either. Both
find the bytecode of their Python files in a cache, as they do once they are installed. Wall time is the best and the median of some
rounds; memory is the most that the process held (`ru_maxrss`). Functions compiled are counted in a run of their own.

The C program is compiled here by `zig cc`, or by whatever $WASI_CC is.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shlex
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import NamedTuple

import side

COUNTING = """
import os, sys
built = 0
def watch(frame, event, _):
    global built
    code = frame.f_code
    if event == "call" and code.co_name == "build" and code.co_filename.endswith(os.path.join("ir", "build", "builder.py")):
        built += 1
from figwasp.cli.main import main
sys.setprofile(watch)
try:
    main(sys.argv[1:])
finally:
    sys.setprofile(None)
    print(built, file=sys.stderr)
"""
"""Runs the command line and counts the entries into ir.build.builder, one for each function that is compiled."""

SCRIPT = "from figwasp.cli.main import console; console()"
"""What an installer makes of the entry point."""

HELLO = """
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv)
{
    if (argc > 1) {  /* it is not: the library is to be as large as in a program that does more */
        FILE *file = fopen(argv[1], "r");
        fprintf(file, "%f %s", strtod(argv[1], argv), getenv(argv[1]));
        fclose(file);
    }
    printf("Hello, %s! %d\\n", "world", 42);
    return 0;
}
"""

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
        expected: what it prints.
    """

    name: str
    module: str
    args: list[str]
    expected: bytes = b"2\n"


PROGRAMS = [
    Program("QuickJS, 1+1", "quickjs.wasm", ["qjs", "-e", "console.log(1+1)"]),
    Program("CPython 3.12, print(1+1)", "cpython-3.12.wasm", ["python", "-c", "print(1+1)"]),
]


_bytecode = TemporaryDirectory()


def hello(folder: str) -> Program | None:
    """Compile the C program, if there is a compiler for it."""
    command = shlex.split(os.environ.get("WASI_CC", ""))
    if not command and shutil.which("zig"):
        command = ["zig", "cc", "--target=wasm32-wasi"]
    elif not command and importlib.util.find_spec("ziglang"):
        command = [sys.executable, "-m", "ziglang", "cc", "--target=wasm32-wasi"]
    if not command:
        print("no C program: neither zig nor $WASI_CC")
        return None
    source, target = Path(folder, "hello.c"), Path(folder, "hello.wasm")
    source.write_text(HELLO, encoding="utf-8")
    subprocess.run([*command, "-O2", "-s", "-o", str(target), str(source)], check=True)
    return Program(f"hello in C, {target.stat().st_size // 1000} KB", str(target), ["hello"], b"Hello, world! 42\n")


def process(words: list[str], expected: bytes | None = b"2\n") -> tuple[bytes, int]:
    """Run Python once and insist on what it prints; give what went to stderr, and the peak of its memory in MB."""
    with TemporaryFile() as out, TemporaryFile() as err:
        actions = [(os.POSIX_SPAWN_DUP2, out.fileno(), 1), (os.POSIX_SPAWN_DUP2, err.fileno(), 2)]
        environment = {**os.environ, "PYTHONPATH": str(side.ROOT / "src"), "PYTHONPYCACHEPREFIX": _bytecode.name}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
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
    words = [*(python or ("-c", SCRIPT)), "run", "--argv0", program.args[0], str(module), *program.args[1:]]
    return process(words, program.expected)


def peers(program: Program) -> tuple[bytes, int]:
    """Run a program under wasmtime."""
    return process(["-c", PEER, str(side.need_shared() / "programs/modules" / program.module), *program.args], program.expected)


def measure(program: Program, rounds: int) -> None:
    """Print the lines of a program."""
    sides = {"figwasp": ours, "wasmtime-py": peers} if side.peer() else {"figwasp": ours}
    memory = dict.fromkeys(sides, 0)
    for warm in sides.values():  # bytecode
        warm(program)

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
    parser.add_argument("--only", default="", help="those with this in their names")
    options = parser.parse_args()
    print(side.machine())
    with TemporaryDirectory() as folder:
        compiled = hello(folder)
        for program in [*filter(None, [compiled]), *PROGRAMS]:
            if options.only in program.name:
                measure(program, options.rounds)
    nothing = side.interleave([lambda: process(["-c", "pass"], None)], options.rounds)[0]
    print(f"{'Python alone':38}{min(nothing):8.2f} s")


if __name__ == "__main__":
    main()
