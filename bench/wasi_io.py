"""Reading and writing through WASI preview 1, beside wasmtime-py: as ratios.

    python bench/wasi_io.py [--rounds N]

One guest, made of text here, does all: it copies a file of 256 MB in pieces of 64 KiB, and writes 1e5 single bytes, to a file in a
preopened directory and to the stdout of the process, which is a file meanwhile. Each time is that of the guest's loop; modules are
compiled and files exist before. In memory: the same on a `MemoryDirectory`, which has no peer.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import side

import figwasp
from figwasp.wasi import MemoryDirectory

COPIED = 256 << 20
WRITES = 100_000
PIECE = 1 << 16

GUEST = f"""(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (memory (export "memory") 3)
  (data (i32.const 0) "source") (data (i32.const 16) "target")
  (func $must (param i32) (if (local.get 0) (then unreachable)))
  (func $opened (param $path i32) (param $flags i32) (param $rights i64) (result i32)
    (call $must (call $open (i32.const 3) (i32.const 0) (local.get $path) (i32.const 6) (local.get $flags) (local.get $rights)
      (i64.const 0) (i32.const 0) (i32.const 48)))
    (i32.load (i32.const 48)))
  (func (export "copy") (local $source i32) (local $target i32)
    (local.set $source (call $opened (i32.const 0) (i32.const 0) (i64.const 2)))
    (local.set $target (call $opened (i32.const 16) (i32.const 9) (i64.const 64)))
    (i32.store (i32.const 32) (i32.const {PIECE}))
    (block $end
      (loop $again
        (i32.store (i32.const 36) (i32.const {PIECE}))
        (call $must (call $read (local.get $source) (i32.const 32) (i32.const 1) (i32.const 40)))
        (br_if $end (i32.eqz (i32.load (i32.const 40))))
        (i32.store (i32.const 36) (i32.load (i32.const 40)))
        (call $must (call $write (local.get $target) (i32.const 32) (i32.const 1) (i32.const 44)))
        (br_if $again (i32.eq (i32.load (i32.const 40)) (i32.load (i32.const 44))))
        unreachable))
    (call $must (call $close (local.get $source)))
    (call $must (call $close (local.get $target))))
  (func $bytes (param $fd i32) (param $count i32)
    (i32.store (i32.const 32) (i32.const 0))
    (i32.store (i32.const 36) (i32.const 1))
    (loop $again
      (call $must (call $write (local.get $fd) (i32.const 32) (i32.const 1) (i32.const 40)))
      (br_if $again (local.tee $count (i32.sub (local.get $count) (i32.const 1))))))
  (func (export "file") (local $target i32)
    (local.set $target (call $opened (i32.const 16) (i32.const 9) (i64.const 64)))
    (call $bytes (local.get $target) (i32.const {WRITES}))
    (call $must (call $close (local.get $target))))
  (func (export "stdout") (call $bytes (i32.const 1) (i32.const {WRITES}))))"""

TASKS = {
    "copy": f"{COPIED >> 20} MB in pieces of {PIECE >> 10} KiB",
    "file": f"{WRITES} single bytes to a file",
    "stdout": f"{WRITES} single bytes to stdout",
}


@contextmanager
def stdout_in(path: Path) -> Iterator[None]:
    """Have the stdout of this process be a file."""
    sys.stdout.flush()
    kept = os.dup(1)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        os.dup2(fd, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(fd)


def ours(root: object) -> dict[str, Callable[[], object]]:
    """Give the guest's functions under figwasp."""
    wasi = figwasp.WASI(dirs={"/": root})
    exports = figwasp.load(figwasp.wat(GUEST), wasi.imports()).exports
    return {task: exports[task] for task in TASKS}


def peers(wasmtime: ModuleType, root: Path) -> dict[str, Callable[[], object]]:
    """Give the guest's functions under wasmtime."""
    engine = wasmtime.Engine()
    store = wasmtime.Store(engine)
    wasi = wasmtime.WasiConfig()
    wasi.preopen_dir(str(root), "/")
    wasi.inherit_stdout()
    store.set_wasi(wasi)
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    exports = linker.instantiate(store, wasmtime.Module(engine, GUEST)).exports(store)
    return {task: lambda task=task: exports[task](store) for task in TASKS}  # type: ignore[misc]


def checked(task: str, run: Callable[[], object], root: Path) -> Callable[[], None]:
    """Run a task once, see that it did what it should, and give it for timing."""
    printed = root / "stdout"

    def timed() -> None:
        with stdout_in(printed):
            run()

    timed()
    size = (printed if task == "stdout" else root / "target").stat().st_size
    if size != (COPIED if task == "copy" else WRITES):
        raise SystemExit(f"{task}: wrote {size} bytes")
    return timed


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="reading and writing through WASI")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(side.machine())
    wasmtime = side.peer()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "source").write_bytes(os.urandom(1 << 20) * (COPIED >> 20))
        sides = [ours(root)] + ([peers(wasmtime, root)] if wasmtime else [])
        for task, described in TASKS.items():
            times = side.interleave([checked(task, functions[task], root) for functions in sides], options.rounds)
            shown = "  ".join(f"{statistics.median(each):6.3f} s" for each in times)
            ratio = f"  ratio {side.median_ratio(times[0], times[1]):.2f}" if wasmtime else ""
            print(f"{described:36}{shown}{ratio}")
        files = MemoryDirectory(limit=2 * COPIED + (1 << 20))
        files.write_bytes("source", (root / "source").read_bytes())
        inside = ours(files)
        for task in ("copy", "file"):
            times = side.interleave([inside[task]], options.rounds)
            print(f"{TASKS[task] + ', in memory':36}{statistics.median(times[0]):6.3f} s")


if __name__ == "__main__":
    main()
