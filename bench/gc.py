"""Garbage collection: programs that make objects, beside wasmtime-py and node.

    python bench/gc.py [--rounds N] [--node PATH] [PROGRAM...]

Each program is one module. The sides take turns; figures are medians of the rounds, a ratio is the median of the rounds' ratios.
wasmtime runs with the collector that it has by default. Node runs the same module in a process of its own, which times each
round itself (`performance.now`), after one round that it does not count, as the others have it too. `--node` names the program,
which must be able to run the final encoding of the proposal (22 or later). With `--memory` the peak memory of each program is shown
as well, in a process of its own, beside the bytes that are alive at once at most.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any, Final, NamedTuple

import side  # puts the tree's own src first

import figwasp


class Program(NamedTuple):
    """A program.

    Attributes:
        text: the module, which exports `run`: (i32) -> i32.
        argument: what it is called with.
        answer: what it returns.
        alive: bytes that are alive at once at most, as objects have them in figwasp.
    """

    text: str
    argument: int
    answer: int
    alive: int


_TREES: Final = """(module
  (type $node (struct (field (ref null $node)) (field (ref null $node))))
  (func $make (param $depth i32) (result (ref $node))
    (if (result (ref $node)) (local.get $depth)
      (then (struct.new $node (call $make (i32.sub (local.get $depth) (i32.const 1)))
                              (call $make (i32.sub (local.get $depth) (i32.const 1)))))
      (else (struct.new $node (ref.null $node) (ref.null $node)))))
  (func $check (param $n (ref $node)) (result i32)
    (local $left (ref null $node))
    (local.set $left (struct.get $node 0 (local.get $n)))
    (if (result i32) (ref.is_null (local.get $left))
      (then (i32.const 1))
      (else (i32.add (i32.const 1) (i32.add
        (call $check (ref.as_non_null (local.get $left)))
        (call $check (ref.as_non_null (struct.get $node 1 (local.get $n)))))))))
  (func (export "run") (param $rounds i32) (result i32) (local $sum i32)
    (loop $again
      (local.set $sum (i32.add (local.get $sum) (call $check (call $make (i32.const 16)))))
      (br_if $again (local.tee $rounds (i32.sub (local.get $rounds) (i32.const 1)))))
    (local.get $sum)))"""

_LIST: Final = """(module
  (type $cell (struct (field i32) (field (mut (ref null $cell)))))
  (func (export "run") (param $count i32) (result i32)
    (local $list (ref null $cell)) (local $back (ref null $cell)) (local $next (ref null $cell)) (local $sum i32)
    (loop $make
      (local.set $list (struct.new $cell (local.get $count) (local.get $list)))
      (br_if $make (local.tee $count (i32.sub (local.get $count) (i32.const 1)))))
    (loop $reverse
      (local.set $next (struct.get $cell 1 (local.get $list)))
      (struct.set $cell 1 (local.get $list) (local.get $back))
      (local.set $back (local.get $list))
      (br_if $reverse (i32.eqz (ref.is_null (local.tee $list (local.get $next))))))
    (loop $add
      (local.set $sum (i32.add (i32.mul (local.get $sum) (i32.const 31)) (struct.get $cell 0 (local.get $back))))
      (br_if $add (i32.eqz (ref.is_null (local.tee $back (struct.get $cell 1 (local.get $back)))))))
    (local.get $sum)))"""

_SORT: Final = """(module
  (type $item (struct (field i32) (field i64)))
  (type $items (array (mut (ref null $item))))
  (func $key (param $a (ref $items)) (param $i i32) (result i32)
    (struct.get $item 0 (array.get $items (local.get $a) (local.get $i))))
  (func $sink (param $a (ref $items)) (param $root i32) (param $end i32)
    (local $child i32) (local $kept (ref null $item))
    (local.set $kept (array.get $items (local.get $a) (local.get $root)))
    (block $done
      (loop $again
        (local.set $child (i32.add (i32.shl (local.get $root) (i32.const 1)) (i32.const 1)))
        (br_if $done (i32.ge_u (local.get $child) (local.get $end)))
        (if (i32.lt_u (i32.add (local.get $child) (i32.const 1)) (local.get $end))
          (then (if (i32.lt_u (call $key (local.get $a) (local.get $child))
                              (call $key (local.get $a) (i32.add (local.get $child) (i32.const 1))))
            (then (local.set $child (i32.add (local.get $child) (i32.const 1)))))))
        (br_if $done (i32.ge_u (struct.get $item 0 (local.get $kept)) (call $key (local.get $a) (local.get $child))))
        (array.set $items (local.get $a) (local.get $root) (array.get $items (local.get $a) (local.get $child)))
        (local.set $root (local.get $child))
        (br $again)))
    (array.set $items (local.get $a) (local.get $root) (local.get $kept)))
  (func (export "run") (param $count i32) (result i32)
    (local $a (ref null $items)) (local $i i32) (local $x i32) (local $first (ref null $item)) (local $sum i32)
    (local.set $a (array.new_default $items (local.get $count)))
    (loop $fill
      (local.set $x (i32.add (i32.mul (local.get $x) (i32.const 1664525)) (i32.const 1013904223)))
      (array.set $items (local.get $a) (local.get $i) (struct.new $item (local.get $x) (i64.extend_i32_u (local.get $i))))
      (br_if $fill (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $count))))
    (local.set $i (i32.shr_u (local.get $count) (i32.const 1)))
    (loop $heap
      (local.set $i (i32.sub (local.get $i) (i32.const 1)))
      (call $sink (ref.as_non_null (local.get $a)) (local.get $i) (local.get $count))
      (br_if $heap (local.get $i)))
    (local.set $i (local.get $count))
    (loop $sort
      (local.set $i (i32.sub (local.get $i) (i32.const 1)))
      (local.set $first (array.get $items (local.get $a) (i32.const 0)))
      (array.set $items (local.get $a) (i32.const 0) (array.get $items (local.get $a) (local.get $i)))
      (array.set $items (local.get $a) (local.get $i) (local.get $first))
      (call $sink (ref.as_non_null (local.get $a)) (i32.const 0) (local.get $i))
      (br_if $sort (i32.gt_u (local.get $i) (i32.const 1))))
    (local.set $i (i32.const 0))
    (loop $add
      (local.set $sum (i32.add (i32.mul (local.get $sum) (i32.const 31))
        (i32.wrap_i64 (struct.get $item 1 (array.get $items (local.get $a) (local.get $i))))))
      (br_if $add (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $count))))
    (local.get $sum)))"""

_CASTS: Final = """(module
  (type $shape (sub (struct (field i32))))
  (type $round (sub $shape (struct (field i32) (field i32))))
  (type $square (sub $shape (struct (field i32) (field i64))))
  (type $small (sub $round (struct (field i32) (field i32) (field i32))))
  (type $shapes (array (mut (ref null $shape))))
  (func (export "run") (param $count i32) (result i32)
    (local $all (ref null $shapes)) (local $i i32) (local $sum i32) (local $one (ref null $shape))
    (local.set $all (array.new_default $shapes (i32.const 64)))
    (loop $fill
      (array.set $shapes (local.get $all) (local.get $i)
        (if (result (ref $shape)) (i32.and (local.get $i) (i32.const 1))
          (then (struct.new $square (local.get $i) (i64.const 7)))
          (else (if (result (ref $shape)) (i32.and (local.get $i) (i32.const 2))
            (then (struct.new $small (local.get $i) (i32.const 3) (i32.const 5)))
            (else (struct.new $round (local.get $i) (i32.const 3)))))))
      (br_if $fill (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 64))))
    (loop $again
      (local.set $one (array.get $shapes (local.get $all) (i32.and (local.get $count) (i32.const 63))))
      (local.set $sum (i32.add (local.get $sum)
        (if (result i32) (ref.test (ref $round) (local.get $one))
          (then (struct.get $round 1 (ref.cast (ref $round) (local.get $one))))
          (else (i32.wrap_i64 (struct.get $square 1 (ref.cast (ref $square) (local.get $one))))))))
      (br_if $again (local.tee $count (i32.sub (local.get $count) (i32.const 1)))))
    (local.get $sum)))"""

_STRINGS: Final = """(module
  (type $string (array (mut i8)))
  (type $strings (array (mut (ref null $string))))
  (func $number (param $n i32) (result (ref $string))
    (local $s (ref null $string)) (local $length i32) (local $rest i32)
    (local.set $rest (local.get $n))
    (loop $count
      (local.set $length (i32.add (local.get $length) (i32.const 1)))
      (br_if $count (local.tee $rest (i32.div_u (local.get $rest) (i32.const 10)))))
    (local.set $s (array.new_default $string (local.get $length)))
    (loop $digit
      (array.set $string (local.get $s) (local.tee $length (i32.sub (local.get $length) (i32.const 1)))
        (i32.add (i32.const 48) (i32.rem_u (local.get $n) (i32.const 10))))
      (local.set $n (i32.div_u (local.get $n) (i32.const 10)))
      (br_if $digit (local.get $length)))
    (ref.as_non_null (local.get $s)))
  (func $concat (param $a (ref $string)) (param $b (ref $string)) (result (ref $string))
    (local $s (ref null $string))
    (local.set $s (array.new_default $string (i32.add (array.len (local.get $a)) (array.len (local.get $b)))))
    (array.copy $string $string (local.get $s) (i32.const 0) (local.get $a) (i32.const 0) (array.len (local.get $a)))
    (array.copy $string $string (local.get $s) (array.len (local.get $a)) (local.get $b) (i32.const 0) (array.len (local.get $b)))
    (ref.as_non_null (local.get $s)))
  (func $hash (param $s (ref $string)) (result i32) (local $h i32) (local $i i32)
    (block $done (loop $again
      (br_if $done (i32.ge_u (local.get $i) (array.len (local.get $s))))
      (local.set $h (i32.add (i32.mul (local.get $h) (i32.const 31)) (array.get_u $string (local.get $s) (local.get $i))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $again)))
    (local.get $h))
  (func (export "run") (param $count i32) (result i32)
    (local $sum i32) (local $line (ref null $string)) (local $kept (ref null $strings))
    (local.set $kept (array.new_default $strings (i32.const 1024)))
    (loop $again
      (local.set $line (call $concat (call $number (local.get $count)) (call $number (i32.mul (local.get $count) (i32.const 7)))))
      (local.set $line (call $concat (ref.as_non_null (local.get $line)) (ref.as_non_null (local.get $line))))
      (array.set $strings (local.get $kept) (i32.and (local.get $count) (i32.const 1023)) (local.get $line))
      (local.set $sum (i32.add (local.get $sum) (call $hash (ref.as_non_null (local.get $line)))))
      (br_if $again (local.tee $count (i32.sub (local.get $count) (i32.const 1)))))
    (local.get $sum)))"""

PROGRAMS: Final = {
    "trees": Program(_TREES, 20, 20 * ((1 << 17) - 1), 24 * ((1 << 17) - 1)),
    "list": Program(_LIST, 1_000_000, 0, 24 * 1_000_000),
    "sort": Program(_SORT, 200_000, 0, 24 * 200_000 + 8 * 200_000),
    "casts": Program(_CASTS, 20_000_000, 0, 64 * 32),
    "strings": Program(_STRINGS, 500_000, 0, 1024 * 48),
}


def ours(program: Program) -> Callable[[], int]:
    """Return a run by figwasp."""
    run = figwasp.load(figwasp.wat(program.text)).run
    return lambda: int(run(program.argument))


def theirs(program: Program) -> Callable[[], int] | None:
    """Return a run by wasmtime, or None without wasmtime."""
    wasmtime = side.peer()
    if wasmtime is None:
        return None
    config = wasmtime.Config()
    for name in ("wasm_gc", "wasm_function_references"):
        setattr(config, name, True)
    store = wasmtime.Store(wasmtime.Engine(config))
    module = wasmtime.Module(store.engine, figwasp.wat(program.text))
    run = wasmtime.Instance(store, module, []).exports(store)["run"]
    return lambda: int(run(store, program.argument))


_NODE: Final = """
const fs = require("fs"), readline = require("readline");
const run = new WebAssembly.Instance(new WebAssembly.Module(fs.readFileSync(process.argv[1]))).exports.run;
const argument = Number(process.argv[2]);
readline.createInterface({input: process.stdin}).on("line", () => {
  const start = performance.now(), answer = run(argument);
  console.log(JSON.stringify([performance.now() - start, answer]));
});
"""


class Node:
    """A process of node that runs a program when it is asked to, and says how long that took."""

    def __init__(self, path: str, program: Program) -> None:
        self._file = tempfile.NamedTemporaryFile(suffix=".wasm")  # noqa: SIM115 (`close` closes it)
        self._file.write(figwasp.wat(program.text))
        self._file.flush()
        command = [path, "-e", _NODE, self._file.name, str(program.argument)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self) -> tuple[float, int]:
        """Run once; return the seconds and the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        milliseconds, answer = json.loads(self._process.stdout.readline())
        return milliseconds / 1e3, answer

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        self._file.close()


def measure(name: str, program: Program, rounds: int, node_path: str | None) -> tuple[float | None, float | None]:
    """Measure a program and print a line; return the ratios to wasmtime and to node."""
    mine, other = ours(program), theirs(program)
    node = Node(node_path, program) if node_path else None
    answer = mine()
    assert not program.answer or answer == program.answer
    assert other is None or other() == answer, name
    assert node is None or node()[1] == answer, name
    times: dict[str, list[float]] = {"figwasp": [], "wasmtime": [], "node": []}
    for _ in range(rounds):
        times["figwasp"].append(_timed(mine))
        if other is not None:
            times["wasmtime"].append(_timed(other))
        if node is not None:
            times["node"].append(node()[0])
    if node is not None:
        node.close()
    ratios = [
        statistics.median(a / b for a, b in zip(times["figwasp"], times[peer], strict=True)) if times[peer] else None
        for peer in ("wasmtime", "node")
    ]
    shown = "  ".join(f"{peer} {statistics.median(found) * 1e3:8.1f} ms" for peer, found in times.items() if found)
    said = "  ".join(f"/{peer} {ratio:5.2f}" for peer, ratio in zip(("wasmtime", "node"), ratios, strict=True) if ratio)
    print(f"{name:10} {shown}  {said}", flush=True)
    return ratios[0], ratios[1]


def _timed(run: Callable[[], int]) -> float:
    start = perf_counter()
    run()
    return perf_counter() - start


def show_memory(name: str, program: Program) -> None:
    """Print by how much a program raises the memory of a process of its own at most, beside what is alive."""
    out = subprocess.run([sys.executable, __file__, "--peak", name], capture_output=True, text=True, check=True).stdout
    most = 2 * program.alive + (16 << 20)
    print(
        f"{name:10} peak {int(out) / 2**20:6.1f} MiB, alive {program.alive / 2**20:6.1f} MiB,"
        f" twice that and 16 MiB: {most / 2**20:6.1f}"
    )


def print_peak(program: Program) -> None:
    """Print by how many bytes a program raises the memory of this process at most."""
    ours(program._replace(argument=2))()  # what is compiled, and kept for the process, does not count
    run = ours(program)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is now what there is
    before = _peak()
    run()
    print(_peak() - before)


def _peak() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="programs that make objects")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--node", default=shutil.which("node"), help="the program node, 22 or later")
    parser.add_argument("--memory", action="store_true", help="show the peak memory of each program as well")
    parser.add_argument("--peak", metavar="PROGRAM", help="show only by how many bytes a program raises the memory of this process")
    parser.add_argument("programs", nargs="*", metavar="PROGRAM", help=", ".join(PROGRAMS))
    arguments = parser.parse_args()
    if arguments.peak:
        print_peak(PROGRAMS[arguments.peak])
        return
    chosen = arguments.programs or list(PROGRAMS)
    found: list[tuple[Any, Any]] = [measure(name, PROGRAMS[name], arguments.rounds, arguments.node) for name in chosen]
    for place, peer in enumerate(("wasmtime", "node")):
        ratios = [both[place] for both in found if both[place]]
        if ratios:
            print(f"geomean to {peer}: {math.exp(statistics.fmean(map(math.log, ratios))):.2f}")
    if arguments.memory:
        for name in chosen:
            show_memory(name, PROGRAMS[name])


if __name__ == "__main__":
    main()
