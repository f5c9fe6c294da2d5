"""How fast functions are compiled: microseconds per wasm instruction, split by stage, in plain CPython.

`python bench/compile.py [--checked] [--tier baseline] [FILE ...]` compiles every function of whole modules, with explicit
checks of memory accesses if asked; without files, some programs of the test data. With `--tier baseline` it is the baseline
compiler, and what part of functions and of instructions goes through templates stands behind.
Garbage collection is off, as it is when figwasp compiles.
"""

from __future__ import annotations

import argparse
import gc
from pathlib import Path
from time import perf_counter

from side import machine, need_shared

from figwasp.codegen import frame
from figwasp.codegen.baseline.compiler import Baseline
from figwasp.codegen.emit import emit
from figwasp.codegen.regalloc.allocate import allocate
from figwasp.errors import Error
from figwasp.ir import pipeline
from figwasp.ir.build.builder import build
from figwasp.ir.layouts import layout_of
from figwasp.layout import CHECKED, GUARD, InstanceLayout
from figwasp.runtime.platform.processor import machine as target
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.syntax.module import Module
from figwasp.wasm.valid.context import Context
from figwasp.wasm.valid.module import validate_func, validate_module

STAGES = ("validate", "build", "passes", "select", "allocate", "emit")
PROGRAMS = ("quickjs", "hello-wasi-rs", "mandel", "smallpt-ex", "mal", "brotli")


class Times:
    """Seconds by stage, instructions and bytes of machine code, summed over functions."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self.ops = 0
        self.size = 0
        self.refused = 0

    def add(self, other: Times) -> None:
        """Add the figures of another."""
        for stage, seconds in other.seconds.items():
            self.seconds[stage] += seconds
        self.ops += other.ops
        self.size += other.size
        self.refused += other.refused


def compile_module(module: Module, mode: int) -> Times:
    """Compile all functions of a module."""
    context = validate_module(module)
    layout = layout_of(module)
    times = Times()
    for place in range(len(module.bodies)):
        try:
            times.add(compile_func(context, layout, mode, module.num_imported_funcs + place))
        except Error as problem:
            times.refused += 1
            print(f"    function {module.num_imported_funcs + place}: {problem}")
    return times


def compile_func(context: Context, layout: InstanceLayout, mode: int, index: int) -> Times:
    """Compile one function."""
    module = context.module
    marks = [perf_counter()]

    def mark() -> None:
        marks.append(perf_counter())

    facts = validate_func(context, index)
    mark()
    func = build(module, index, facts, layout, mode)
    mark()
    pipeline.run(func)
    mark()
    machine_func = target().select(func)
    func.release()
    del func
    mark()
    allocate(machine_func, target())
    mark()
    frame.finish(machine_func, target())
    code = emit(machine_func, target())
    mark()
    times = Times()
    times.ops = facts.num_ops
    times.size = len(code.data)
    times.seconds = {stage: marks[number + 1] - marks[number] for number, stage in enumerate(STAGES)}
    return times


def show(name: str, times: Times) -> None:
    """Print the microseconds per instruction."""
    each = [times.seconds[stage] / max(times.ops, 1) * 1e6 for stage in STAGES]
    columns = "".join(f"{value:9.2f}" for value in [*each, sum(each)])
    print(f"{name:20}{times.ops:9}{columns}{times.size / max(times.ops, 1):8.1f}", flush=True)


def head() -> None:
    """Print the names of the columns."""
    print(machine())
    print(
        f"{'us per instruction':20}{'ops':>9}" + "".join(f"{stage:>9}" for stage in (*STAGES, "sum")) + f"{'B/op':>8}"
    )


def whole_modules(files: list[Path], mode: int) -> None:
    """Compile modules one after the other and print a line for each, and for all."""
    head()
    total = Times()
    for path in files:
        times = compile_module(decode(path.read_bytes()), mode)
        show(path.stem, times)
        total.add(times)
    show("all", total)


def baseline_modules(files: list[Path], mode: int) -> None:
    """Compile modules by the baseline compiler and print a line for each."""
    print(machine())
    print(f"{'us per instruction':20}{'ops':>9} validate baseline    B/op  functions  instructions")
    for path in files:
        module = decode(path.read_bytes())
        context = validate_module(module)
        compiler = Baseline(module, layout_of(module), mode, metered=False, counted=True)
        first, count = module.num_imported_funcs, len(module.bodies)
        start = perf_counter()
        facts = [validate_func(context, first + number) for number in range(count)]
        middle = perf_counter()
        codes = [compiler.take(first + number, found) for number, found in enumerate(facts)]
        end = perf_counter()
        ops = sum(found.num_ops for found in facts)
        done = sum(found.num_ops for found, code in zip(facts, codes, strict=True) if code is not None)
        size = sum(len(code.data) for code in codes if code is not None)
        parts = sum(code is not None for code in codes) / count, done / ops
        each = (middle - start) / ops * 1e6, (end - middle) / ops * 1e6
        print(
            f"{path.stem:20}{ops:9}{each[0]:9.2f}{each[1]:9.2f}{size / max(done, 1):8.1f}{parts[0]:11.2%}{parts[1]:14.2%}",
            flush=True,
        )


def main() -> None:
    """Compile the modules named by the arguments."""
    gc.disable()
    parser = argparse.ArgumentParser(description="microseconds per instruction, by stage")
    parser.add_argument("files", nargs="*", metavar="FILE", type=Path)
    parser.add_argument("--checked", action="store_true", help="code with explicit checks of memory accesses")
    parser.add_argument("--tier", choices=("optimize", "baseline"), default="optimize")
    options = parser.parse_args()
    files = options.files
    if not files:
        folder = need_shared() / "programs/modules"
        files = [folder / f"{name}.wasm" for name in PROGRAMS]
    compile_all = whole_modules if options.tier == "optimize" else baseline_modules
    compile_all(files, CHECKED if options.checked else GUARD)


if __name__ == "__main__":
    main()
