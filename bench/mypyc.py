"""What is gained when floors 1 to 3 are compiled with mypyc: figwasp as it is beside the build of `make mypyc`, which take turns.

`python bench/mypyc.py [--python PYTHON] [--rounds N]`; PYTHON is that of the environment with the compiled build. Medians:
microseconds per instruction over the functions of whole modules, as `bench/compile.py` has them, and whole processes of `figwasp
run` with the cache off and with all in it. Python finds the bytecode of its files in a cache, as it does once they are installed.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import side
from compile import STAGES, compile_module

from figwasp.codegen.baseline.compiler import Baseline
from figwasp.ir.layouts import layout_of
from figwasp.layout import GUARD
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.valid.module import validate_func, validate_module

ROUNDS = 5
COMPILED = "cpython-3.12", "quickjs"
"""What goes through the baseline compiler; the last goes through the optimising one as well."""
RUN = {
    "hello world in Rust": ("hello-wasi-rs",),
    "QuickJS, `1+1`": ("quickjs", "-e", "console.log(1+1)"),
    "CPython 3.12, `print(1+1)`": ("cpython-3.12", "-c", "print(1+1)"),
}
COMMAND = "from figwasp.cli.main import console; console()"


def modules() -> Path:
    """Give the folder of the programs' modules."""
    return side.need_shared() / "programs" / "modules"


def measure() -> dict[str, float]:
    """Compile whole modules here; return figures by what they are of."""
    gc.disable()
    figures = {}
    for name in COMPILED:
        data = (modules() / f"{name}.wasm").read_bytes()
        start = perf_counter()
        module = decode(data)
        figures[f"{name}: decode, ms"] = (perf_counter() - start) * 1e3
        context = validate_module(module)
        compiler = Baseline(module, layout_of(module), GUARD, metered=False, counted=True)
        indices = range(module.num_imported_funcs, module.num_imported_funcs + len(module.bodies))
        start = perf_counter()
        facts = [validate_func(context, index) for index in indices]
        middle = perf_counter()
        for index, found in zip(indices, facts):
            compiler.take(index, found)
        end = perf_counter()
        ops = sum(found.num_ops for found in facts)
        figures[f"{name}: validate, us"] = (middle - start) / ops * 1e6
        figures[f"{name}: baseline compiler, us"] = (end - middle) / ops * 1e6
    times = compile_module(module, GUARD)
    for stage in STAGES[1:]:
        figures[f"{name}: {stage}, us"] = times.seconds[stage] / times.ops * 1e6
    figures[f"{name}: optimising line, us"] = sum(times.seconds[stage] for stage in STAGES[1:]) / times.ops * 1e6
    return figures


def run(python: str, env: dict[str, str], *args: str) -> str:
    """Run Python; return what it prints."""
    done = subprocess.run([python, *args], env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout


def figures_of(python: str, env: dict[str, str]) -> dict[str, float]:
    """Return the figures of a round of one side."""
    found: dict[str, float] = json.loads(run(python, env, __file__, "--measure"))
    for state in ("off", "warm"):
        for name, (module, *args) in RUN.items():
            given = {**env, "FIGWASP_CACHE": "off"} if state == "off" else env
            start = perf_counter()
            run(python, given, "-c", COMMAND, "run", str(modules() / f"{module}.wasm"), *args)
            found[f"`figwasp run`, cache {state}: {name}, s"] = perf_counter() - start
    return found


def main() -> None:
    """Let the sides take turns and print a row for each figure."""
    parser = argparse.ArgumentParser(description="pure Python beside the build of `make mypyc`")
    parser.add_argument("--python", default=str(side.ROOT / ".venv-mypyc" / "bin" / "python"), help="that has the compiled figwasp")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure()))
        return
    print(side.machine())
    with TemporaryDirectory() as folder:
        env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")}
        env["PYTHONPYCACHEPREFIX"] = f"{folder}/bytecode"
        pure = sys.executable, {**env, "PYTHONPATH": str(side.ROOT / "src"), "FIGWASP_CACHE": f"{folder}/pure"}
        compiled = options.python, {**env, "FIGWASP_INSTALLED": "1", "FIGWASP_CACHE": f"{folder}/compiled"}
        rounds = [(figures_of(*pure), figures_of(*compiled)) for _ in range(options.rounds + 1)][1:]  # the first fills the caches
    print("| | pure | mypyc | ratio |\n|---|---|---|---|")
    for name in rounds[0][0]:
        left, right = (statistics.median(of[number][name] for of in rounds) for number in (0, 1))
        ratio = side.median_ratio([theirs[name] for _, theirs in rounds], [ours[name] for ours, _ in rounds])
        print(f"| {name} | {left:.3g} | {right:.3g} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
