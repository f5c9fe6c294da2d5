"""Cost of a call: Python to wasm and wasm to Python, each beside the same thing in Python, wasmtime-py, wasmer and ctypes.

    python bench/calls.py [--rounds N] [--json]

Python to wasm: functions of several types, called from a Python loop, beside Python functions that return the same, called from the
same loop. The empty loop is timed as well and taken off every side, so that the ratios are of the calls alone.

wasm to Python: wasm loops that call an imported Python function and use what it returns, beside Python loops that do the same
with the same function, loop included on all sides.

ctypes calls C functions of the same types, from a library built by the C compiler if there is one, and C loops that call back.
Sides that are not installed, or that have nothing of the kind, are left out. Figures are medians; a ratio is the median of the
rounds' ratios.
"""

from __future__ import annotations

import argparse
import ctypes
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any, NamedTuple

import side  # puts the tree's own src first

import figwasp

CALLS = 100_000
SLOW_CALLS = 2_000
SIDES = ("figwasp", "python", "ctypes", "wasmtime", "wasmer")

Func = Callable[..., Any]

WAT = """(module
  (import "env" "h0" (func $h0))
  (import "env" "h1" (func $h1 (param i32) (result i32)))
  (import "env" "h6" (func $h6 (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "hf" (func $hf (param f64 f64) (result f64)))
  (import "env" "hl" (func $hl (param i64 i64) (result i64)))
  (import "env" "hm" (func $hm (param i32 i32) (result i32 i32)))
  (import "env" "hr" (func $hr (param externref) (result i32)))
  (func (export "f0"))
  (func (export "f2") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "f6") (param i32 i32 i32 i32 i32 i32) (result i32)
    (i32.add (i32.add (i32.add (local.get 0) (local.get 1)) (i32.add (local.get 2) (local.get 3)))
      (i32.add (local.get 4) (local.get 5))))
  (func (export "ff") (param f64 f64) (result f64) (f64.add (local.get 0) (local.get 1)))
  (func (export "fl") (param i64 i64) (result i64) (i64.add (local.get 0) (local.get 1)))
  (func (export "fm") (param i32 i32) (result i32 i32) (local.get 1) (local.get 0))
  (func (export "fr") (param externref) (result externref) (local.get 0))
  (func (export "l0") (param $n i32)
    (loop $l (call $h0) (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
  (func (export "l1") (param $n i32) (result i32) (local $t i32)
    (loop $l (local.set $t (i32.add (local.get $t) (call $h1 (local.get $n))))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))) (local.get $t))
  (func (export "l6") (param $n i32) (result i32) (local $t i32)
    (loop $l (local.set $t (i32.add (local.get $t) (call $h6
        (local.get $n) (local.get $n) (local.get $n) (local.get $n) (local.get $n) (local.get $n))))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))) (local.get $t))
  (func (export "lf") (param $n i32) (result f64) (local $t f64)
    (loop $l (local.set $t (call $hf (local.get $t) (f64.const 1.5)))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))) (local.get $t))
  (func (export "ll") (param $n i32) (result i64) (local $t i64)
    (loop $l (local.set $t (call $hl (local.get $t) (i64.const 3)))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))) (local.get $t))
  (func (export "lm") (param $n i32) (result i32) (local $a i32) (local $b i32)
    (loop $l (call $hm (local.get $a) (local.get $b)) (local.set $b) (local.set $a)
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))) (local.get $a))
  (func (export "lr") (param $n i32) (param $r externref) (result i32) (local $t i32)
    (loop $l (local.set $t (i32.add (local.get $t) (call $hr (local.get $r))))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))) (local.get $t)))"""

VECTORS = """(module
  (import "env" "hv" (func $hv (param v128) (result v128)))
  (func (export "fv") (param v128) (result v128) (local.get 0))
  (func (export "lv") (param $n i32) (param $v v128) (result v128)
    (loop $l (local.set $v (call $hv (local.get $v)))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))) (local.get $v)))"""
"""Apart from the others, since not every side has such values."""

C = """
#include <stdint.h>
typedef struct { char b[16]; } v;
v fv(v a) { return a; }

typedef int32_t i; typedef int64_t l; typedef double d; typedef struct { i a, b; } two;
void f0(void) {}
i f2(i a, i b) { return a + b; }
i f6(i a, i b, i c, i d_, i e, i f) { return a + b + c + d_ + e + f; }
d ff(d a, d b) { return a + b; }
l fl(l a, l b) { return a + b; }
two fm(i a, i b) { two t = {b, a}; return t; }
void l0(i n, void (*h)(void)) { do h(); while (--n); }
i l1(i n, i (*h)(i)) { i t = 0; do t += h(n); while (--n); return t; }
i l6(i n, i (*h)(i, i, i, i, i, i)) { i t = 0; do t += h(n, n, n, n, n, n); while (--n); return t; }
d lf(i n, d (*h)(d, d)) { d t = 0; do t = h(t, 1.5); while (--n); return t; }
l ll(i n, l (*h)(l, l)) { l t = 0; do t = h(t, 3); while (--n); return t; }
i lr(i n, void *r, i (*h)(void *)) { i t = 0; do t += h(r); while (--n); return t; }
"""


# The Python side: the functions of the module, the functions that it imports, and its loops. Reference for everybody else.


def f0() -> None:
    """Do nothing."""


def f2(a: int, b: int) -> int:
    """Add."""
    return a + b


def f6(a: int, b: int, c: int, d: int, e: int, f: int) -> int:
    """Add six."""
    return a + b + c + d + e + f


def fm(a: int, b: int) -> tuple[int, int]:
    """Swap."""
    return b, a


def fr(thing: object) -> object:
    """Return what came."""
    return thing


def h1(n: int) -> int:
    """Be called back."""
    return n + 1


def hm(a: int, b: int) -> tuple[int, int]:
    """Return two results."""
    return b, a + 1


def hr(thing: object) -> int:
    """Take an object."""
    return 1


HOSTS: dict[str, Func] = {"h0": f0, "h1": h1, "h6": f6, "hf": f2, "hl": f2, "hm": hm, "hr": hr, "hv": fr}


def l0(n: int) -> None:
    """Call h0."""
    while n:
        f0()
        n = n - 1


def l1(n: int) -> int:
    """Add up what h1 returns."""
    total = 0
    while n:
        total = total + h1(n)
        n = n - 1
    return total


def l6(n: int) -> int:
    """Add up what h6 returns."""
    total = 0
    while n:
        total = total + f6(n, n, n, n, n, n)
        n = n - 1
    return (total + (1 << 31)) % (1 << 32) - (1 << 31)


def lf(n: int) -> float:
    """Pass a float through hf."""
    total = 0.0
    while n:
        total = f2(total, 1.5)  # type: ignore[arg-type]
        n = n - 1
    return total


def ll(n: int) -> int:
    """Pass an integer through hl."""
    total = 0
    while n:
        total = f2(total, 3)
        n = n - 1
    return total


def lm(n: int) -> int:
    """Pass two integers through hm."""
    a = b = 0
    while n:
        a, b = hm(a, b)
        n = n - 1
    return a


def lr(n: int, thing: object) -> int:
    """Give hr an object."""
    total = 0
    while n:
        total = total + hr(thing)
        n = n - 1
    return total


def lv(n: int, vector: object) -> object:
    """Pass 16 bytes through hv."""
    while n:
        vector = fr(vector)
        n = n - 1
    return vector


THING = ["an object"]
VECTOR = bytes(range(16))


class Row(NamedTuple):
    """A line of the table.

    Attributes:
        name: what is called.
        export: its name on every side.
        args: arguments; of a loop, those after the number of rounds.
    """

    name: str
    export: str
    args: tuple[Any, ...] = ()


INWARD = [
    Row("f()", "f0"),
    Row("add(i32, i32) -> i32", "f2", (1, 2)),
    Row("f(6 i32) -> i32", "f6", (1, 2, 3, 4, 5, 6)),
    Row("f(f64, f64) -> f64", "ff", (1.25, 2.5)),
    Row("f(i64, i64) -> i64", "fl", (1 << 40, 1 << 41)),
    Row("f(i32, i32) -> (i32, i32)", "fm", (1, 2)),
    Row("f(externref) -> externref", "fr", (THING,)),
    Row("f(v128) -> v128", "fv", (VECTOR,)),
]
OUTWARD = [
    Row("f()", "l0"),
    Row("f(i32) -> i32", "l1"),
    Row("f(6 i32) -> i32", "l6"),
    Row("f(f64, f64) -> f64", "lf"),
    Row("f(i64, i64) -> i64", "ll"),
    Row("f(i32, i32) -> (i32, i32)", "lm"),
    Row("f(externref) -> i32", "lr", (THING,)),
    Row("f(v128) -> v128", "lv", (VECTOR,)),
]
PYTHON: dict[str, Func] = {
    "f0": f0, "f2": f2, "f6": f6, "ff": f2, "fl": f2, "fm": fm, "fr": fr, "fv": fr,
    "l0": l0, "l1": l1, "l6": l6, "lf": lf, "ll": ll, "lm": lm, "lr": lr, "lv": lv,
}  # fmt: skip


# The other sides: export -> callable


def figwasp_side() -> dict[str, Func]:
    """Give the functions in figwasp."""
    exports = [figwasp.load(figwasp.wat(text), {"env": HOSTS}).exports for text in (WAT, VECTORS)]
    return {name: every[name] for every in exports for name in every}


def wasmtime_side() -> dict[str, Func]:
    """Give the functions in wasmtime-py; none where it is not installed."""
    wasmtime = side.peer()
    if wasmtime is None:
        return {}
    engine = wasmtime.Engine()
    store = wasmtime.Store(engine)
    module = wasmtime.Module(engine, WAT)
    linker = wasmtime.Linker(engine)
    for item in module.imports:
        linker.define_func("env", item.name, item.type, HOSTS[item.name])
    exports = linker.instantiate(store, module).exports(store)

    def bind(func: Any) -> Func:
        return lambda *args: func(store, *args)

    return {row.export: bind(exports[row.export]) for row in INWARD + OUTWARD if row.export in exports}


def wasmer_side() -> dict[str, Func]:
    """Give the functions in wasmer; none where it is not installed or has no build for this Python."""
    try:
        import wasmer  # type: ignore[import-not-found]
        import wasmer_compiler_cranelift  # type: ignore[import-not-found]
    except ImportError:
        return {}
    store = wasmer.Store(wasmer.engine.JIT(wasmer_compiler_cranelift.Compiler))
    module = wasmer.Module(store, WAT)
    imports = wasmer.ImportObject()
    functions = {item.name: wasmer.Function(store, HOSTS[item.name], item.type) for item in module.imports}
    imports.register("env", functions)
    exports = wasmer.Instance(module, imports).exports
    return {row.export: getattr(exports, row.export) for row in INWARD + OUTWARD if hasattr(exports, row.export)}


class _Two(ctypes.Structure):
    _fields_ = (("a", ctypes.c_int32), ("b", ctypes.c_int32))


class _Vector(ctypes.Structure):
    _fields_ = (("b", ctypes.c_char * 16),)


def ctypes_side() -> dict[str, Func]:
    """Give C functions through ctypes: from a library built for this; without a compiler what libc has of the kind."""
    i, l, d, p = ctypes.c_int32, ctypes.c_int64, ctypes.c_double, ctypes.py_object  # noqa: E741
    found: dict[str, Func] = {}
    same = ctypes.pythonapi.Py_NewRef
    same.restype, same.argtypes = p, [p]
    found["fr"] = same
    library = _build()
    if library is None:
        fmax = ctypes.CDLL("libm.so.6").fmax
        fmax.restype, fmax.argtypes = d, [d, d]
        found["ff"] = lambda a, b: fmax(a, b) and a + b
        return found
    types: dict[str, tuple[Any, list[Any]]] = {
        "f0": (None, []), "f2": (i, [i, i]), "f6": (i, [i] * 6), "ff": (d, [d, d]), "fl": (l, [l, l]), "fm": (_Two, [i, i]),
    }  # fmt: skip
    for name, (result, params) in types.items():
        func = library[name]
        func.restype, func.argtypes = result, params
        found[name] = func
    hosts: dict[str, tuple[str, Any, list[Any]]] = {
        "l0": ("h0", None, []), "l1": ("h1", i, [i]), "l6": ("h6", i, [i] * 6), "lf": ("hf", d, [d, d]), "ll": ("hl", l, [l, l]),
        "lr": ("hr", i, [p]),
    }  # fmt: skip
    for name, (host, result, params) in hosts.items():
        kind = ctypes.CFUNCTYPE(result, *params)
        loop = library[name]
        loop.restype, loop.argtypes = result, [i, *([p] if name == "lr" else []), kind]
        found[name] = _with_callback(loop, kind(HOSTS[host]))
    same_vector = library["fv"]
    same_vector.restype, same_vector.argtypes = _Vector, [_Vector]
    found["fv"] = lambda vector: bytes(same_vector(_Vector.from_buffer_copy(vector)))  # no callback can return a structure
    return found


def _with_callback(loop: Func, callback: Any) -> Func:
    return lambda *args: loop(*args, callback)


def _build() -> ctypes.CDLL | None:
    """Compile the C functions, with CC, cc or the ziglang package."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    command = [compiler] if compiler else [sys.executable, "-m", "ziglang", "cc"]
    with tempfile.TemporaryDirectory() as folder:
        source, target = os.path.join(folder, "calls.c"), os.path.join(folder, "calls.so")
        with open(source, "w", encoding="utf-8") as file:
            file.write(C)
        try:
            subprocess.run([*command, "-O2", "-shared", "-fPIC", "-o", target, source], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            return None
        return ctypes.CDLL(target)


# Measuring


def call_loop(func: Func, args: tuple[Any, ...], count: int) -> Callable[[], None]:
    """Make a loop that calls a function with up to six arguments `count` times."""
    names = [f"a{i}" for i in range(len(args))]
    code = f"def loop():\n for _ in repeat(None, count):\n  func({', '.join(names)})"
    scope: dict[str, Any] = {"repeat": itertools.repeat, "count": count}
    # Locals, as in a program that has them at hand: the function and its arguments.
    exec(f"def make({', '.join(['func', *names])}):\n {code.replace(chr(10), chr(10) + ' ')}\n return loop", scope)
    made: Callable[[], None] = scope["make"](func, *args)
    return made


def empty_loop(count: int) -> Callable[[], None]:
    """Make the loop that calls nothing."""

    def loop() -> None:
        for _ in itertools.repeat(None, count):
            pass

    return loop


def inward(row: Row, sides: dict[str, dict[str, Func]], rounds: int) -> dict[str, list[float]]:
    """Measure Python to wasm: seconds a call, round by round, of every side that has the function."""
    present = [name for name in SIDES if row.export in sides[name]]
    counts = [SLOW_CALLS if name.startswith("wasm") else CALLS for name in present]
    loops = [call_loop(sides[name][row.export], row.args, count) for name, count in zip(present, counts, strict=True)]
    *times, empty = side.interleave([*loops, empty_loop(CALLS)], rounds)
    base = [e / CALLS for e in empty]
    return {
        name: [t / count - b for t, b in zip(times[k], base, strict=True)]
        for k, (name, count) in enumerate(zip(present, counts, strict=True))
    }


def outward(row: Row, sides: dict[str, dict[str, Func]], rounds: int) -> dict[str, list[float]]:
    """Measure wasm to Python: seconds a call, round by round, of every side that has the loop."""
    present = [name for name in SIDES if row.export in sides[name]]
    counts = [SLOW_CALLS if name.startswith("wasm") else CALLS for name in present]

    def loop(name: str, count: int) -> Callable[[], object]:
        func = sides[name][row.export]
        return lambda: func(count, *row.args)

    times = side.interleave([loop(name, count) for name, count in zip(present, counts, strict=True)], rounds)
    return {name: [t / count for t in times[k]] for k, (name, count) in enumerate(zip(present, counts, strict=True))}


def check(sides: dict[str, dict[str, Func]]) -> None:
    """See that all sides compute the same before timing them."""
    for row in INWARD + OUTWARD:
        args = row.args if row in INWARD else (1000, *row.args)
        expected = PYTHON[row.export](*args)
        for name, functions in sides.items():
            if row.export in functions:
                got = functions[row.export](*args)
                got = (got.a, got.b) if isinstance(got, _Two) else tuple(got) if isinstance(expected, tuple) else got
                if got != expected:
                    raise SystemExit(f"{row.export} of {name} answers {got!r}, not {expected!r}")


def figures(times: dict[str, list[float]]) -> dict[str, float]:
    """Reduce rounds to nanoseconds a call, and the ratio of figwasp to Python."""
    result = {name: statistics.median(values) * 1e9 for name, values in times.items()}
    result["ratio"] = side.median_ratio(times["figwasp"], times["python"])
    return result


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="cost of calls between Python and wasm")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    sides = {
        "figwasp": figwasp_side(),
        "python": PYTHON,
        "ctypes": ctypes_side(),
        "wasmtime": wasmtime_side(),
        "wasmer": wasmer_side(),
    }
    check(sides)
    tables = {
        "Python -> wasm": {row.name: figures(inward(row, sides, options.rounds)) for row in INWARD},
        "wasm -> Python, in a loop": {row.name: figures(outward(row, sides, options.rounds)) for row in OUTWARD},
    }
    if options.json:
        print(json.dumps(tables, indent=1))
        return
    print(side.machine())
    print("not installed, or no build for this Python:", ", ".join(n for n in SIDES if not sides[n]) or "none")
    columns = ("figwasp", "python", "ratio", *SIDES[2:])
    for title, table in tables.items():
        print(f"\n{title + ', median ns a call':44}" + "".join(f"{name:>10}" for name in columns))
        for name, row in table.items():
            cells = [f"{row[key]:10.{2 if key == 'ratio' else 1}f}" if key in row else f"{'-':>10}" for key in columns]
            print(f"{name:44}" + "".join(cells))


if __name__ == "__main__":
    main()
