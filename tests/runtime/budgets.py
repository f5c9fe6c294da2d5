"""Guests that use up what the tables of docs/limits.md limit, each in a process of its own, which says how it ended and what it took.

A row gives the limit in MiB and how a guest that has reached it is told: an exception, an answer, or an error number of WASI.
"""

from __future__ import annotations

import asyncio
import io
import sys
import tempfile
import traceback
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import figwasp
from figwasp import Engine
from figwasp.runtime.store import externs
from figwasp.wasi import CAPTURE, WASI, Directory, HostDirectory, MemoryDirectory, ZipDirectory
from figwasp.wasi.abi import ERRNO_NAMES, SUBSCRIPTION
from figwasp.wasi.descriptors.table import LISTINGS
from figwasp.wasm.binary.decode import decode
from figwasp.wasm.debug.reader import ROOM
from figwasp.wasm.debug.source import SourceMap
from tests.wasi.guest import ALL, ROOT, Guest
from tests.wasm.debug.test_kept import FUNCS, files_module, inlined_module

MIB: Final = 1 << 20
PAGE: Final = 1 << 16
CREAT, DIRECTORY, READ, READDIR = 1, 2, 1 << 1, 1 << 14


def load(text: str, imports: dict[str, Any] | None = None, **limits: Any) -> figwasp.Instance:
    """Load a module with an engine of its own."""
    return figwasp.load(figwasp.wat(text), imports, engine=Engine(**limits))


def ended(work: Callable[[], object]) -> str:
    """Do something until an exception ends it, whose traceback is printed as the host would; give its type."""
    try:
        while True:
            work()
    except Exception as error:
        traceback.print_exception(error, file=io.StringIO())
        return type(error).__name__


# Engines


def memory(mode: str) -> str:
    inst = load(
        """(module (memory $a 0) (memory $b 0) (func (export "grow") (result i32) (local $old i32)
          (if (i32.lt_s (local.tee $old (memory.grow $a (i32.const 16))) (i32.const 0)) (then (return (i32.const -1))))
          (memory.fill $a (i32.mul (local.get $old) (i32.const 65536)) (i32.const 7) (i32.const 1048576))
          (memory.grow $b (i32.const 1))))""",
        max_memory=48 * MIB,
        memory=mode,
    )
    while (answer := inst.grow()) >= 0:
        pass
    return str(answer)


def table(kind: str, elements: int) -> str:
    inst = load(
        f"""(module (table $t 0 {kind}) (func (export "grow") (param {kind}) (result i32)
          (table.grow $t (local.get 0) (i32.const 10000))))""",
        max_table=elements,
    )
    while (answer := inst.grow(inst.grow if kind == "funcref" else "thing")) >= 0:
        pass
    return str(answer)


def instances() -> str:
    text = figwasp.wat('(module (memory 16) (func $f (memory.fill (i32.const 0) (i32.const 7) (i32.const 1048576))) (start $f))')
    module = figwasp.Module(text, engine=Engine(max_instances=32, max_memory=MIB))
    held: list[figwasp.Instance] = []
    return ended(lambda: held.append(figwasp.load(module)))


def stack() -> str:
    inst = load('(module (func $f (export "f") (param i64) (call $f (local.get 0)) (call $f (i64.const 1))))', stack_size=32 * MIB)
    return ended(lambda: inst.f(1))


def frames() -> str:
    """Whoever looks at the frames of a trap gets all of them."""
    inst = load('(module (func $f (export "f") (call $f)))', stack_size=2 * MIB)
    try:
        inst.f()
    except figwasp.Exhaustion as error:
        return f"{type(error).__name__} {len(error.frames) > 50_000}"
    return ""


def stack_with_python_between() -> str:
    text = '(module (import "m" "f" (func $f)) (func (export "g") (call $f)))'
    inst: figwasp.Instance = load(text, {"m": {"f": lambda: inst.g()}}, stack_size=32 * MIB)
    return ended(lambda: inst.g())


def objects() -> str:
    """A guest keeps whatever it gets from a host function."""
    externs._MAX_CELLS = 1 << 16  # type: ignore[misc]
    text = """(module (import "m" "f" (func $f (result externref))) (table $t 70000 externref)
      (func (export "g") (local $i i32) (loop $l (table.set $t (local.get $i) (call $f))
        (local.set $i (i32.add (local.get $i) (i32.const 1))) (br $l))))"""
    inst = load(text, {"m": {"f": object}})
    return ended(lambda: inst.g())


def heap() -> str:
    """A list that grows on the garbage-collected heap."""
    text = """(module (type $l (struct (field (ref null $l)) (field i64))) (global $all (mut (ref null $l)) (ref.null $l))
      (func (export "g") (loop $l (global.set $all (struct.new $l (global.get $all) (i64.const 1))) (br $l))))"""
    inst = load(text, max_gc_heap=16 * MIB)
    return ended(lambda: inst.g())


def fuel() -> str:
    inst = load('(module (memory 1) (func (export "f") (loop $l (drop (memory.grow (i32.const 1))) (br $l))))', fuel=9999, max_memory=4 * MIB)
    return ended(lambda: inst.f())


def timeout() -> str:
    """An object is stored again and again."""
    text = """(module (table $t 1 externref) (func (export "f") (param externref) (loop $l
      (table.set $t (i32.const 0) (local.get 0)) (br $l))))"""
    inst = load(text, timeout=0.3)
    return ended(lambda: inst.f("thing"))


def acalls() -> str:
    """Each waits with a stack of which it has used all."""
    text = """(module (import "m" "wait" (func $wait)) (func $f (export "f") (param i32)
      (if (local.get 0) (then (call $f (i32.sub (local.get 0) (i32.const 1)))) (else (call $wait)))))"""

    async def wait() -> None:
        await asyncio.Event().wait()

    async def run() -> str:
        inst = load(text, {"m": {"wait": wait}}, max_acalls=24)
        tasks = []
        while True:
            task = asyncio.create_task(inst.acall.f(58_000))
            await asyncio.sleep(0)
            if task.done():
                return type(task.exception()).__name__
            tasks.append(task)

    return asyncio.run(run())


# WASI


def guest_of(directory: Directory, size: int = 1 << 17, **options: Any) -> Guest:
    """Make a guest with a directory."""
    return Guest(WASI(dirs={"/": directory}, stdin=b"", stdout=io.BytesIO(), stderr=io.BytesIO(), **options), size=size)


def listings() -> str:
    guest = guest_of(MemoryDirectory({f"{k:0200}": "" for k in range(4000)}))
    while (answer := guest.call("fd_readdir", guest.fd(".", DIRECTORY, READDIR), guest.room(8), 8, 0, guest.room(4))) == "success":
        pass
    return answer


def members() -> str:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for k in range(8):
            made.writestr(f"{k}", bytes(8 * MIB))
    guest = guest_of(ZipDirectory(zipfile.ZipFile(file), limit=40 * MIB))
    return next(answer for k in range(8) if isinstance(answer := guest.open(f"{k}", 0, READ), str))


def output(piped: bool) -> str:
    text = figwasp.wat("""(module (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 2) (data (i32.const 0) "\\10\\00\\00\\00\\00\\00\\01\\00")
      (func (export "_start") (local $answer i32) (loop $more
        (br_if $more (i32.eqz (local.tee $answer (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))))
        (call $exit (local.get $answer))))""")
    if piped:
        return ERRNO_NAMES[figwasp.run(text, capture_output=True, max_output=48 * MIB).returncode]
    with WASI(stdout=CAPTURE, max_output=48 * MIB) as wasi:
        try:
            figwasp.load(text, wasi.imports())._start()
        except figwasp.Exit as error:
            return f"{ERRNO_NAMES[error.code]} {len(wasi.stdout or b'') // MIB}"
    return ""


def contents(step: int) -> str:
    """Files are written a piece at a time."""
    guest = guest_of(MemoryDirectory(limit=48 * MIB), 2 * MIB)
    fd = guest.fd("file", CREAT, ALL)
    vector = guest.vectors((1024, step))
    while (answer := guest.call("fd_write", fd, *vector, guest.room(4))) == "success":
        pass
    return answer


def lengths() -> str:
    """Files are made longer at once, several of them."""
    guest = guest_of(MemoryDirectory(limit=48 * MIB))
    for k in range(9):
        fd = guest.fd(f"{k}", CREAT, ALL)
        if (answer := guest.call("fd_filestat_set_size", fd, 10 * MIB)) != "success":
            return answer
    return ""


def names(kind: str) -> str:
    guest = guest_of(MemoryDirectory(limit=16 * MIB))
    k = 0
    while True:
        k += 1
        name = f"{k:x}" + "n" * 200
        if kind == "links":
            answer = guest.call("path_symlink", *guest.text("t" * 4000), ROOT, *guest.text(name))
        else:
            answer = guest.on_path("path_create_directory", name)
        if answer != "success":
            return answer


def descriptors(kind: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "file").touch()
        guest = guest_of(MemoryDirectory({"file": "x"}) if kind == "memory" else HostDirectory(folder), max_descriptors=1000)
        while isinstance(answer := guest.open("file", 0, READ), int):
            pass
        guest.wasi.close()
        return answer


def subscriptions(count: int) -> str:
    guest = guest_of(MemoryDirectory(), 16 * MIB)
    for k in range(count):
        SUBSCRIPTION.pack_into(guest.memory, 64 + SUBSCRIPTION.size * k, k, 0, 1, 1, 0, 0)
    return guest.call("poll_oneoff", 64, 8 * MIB, count, 16)


def copies(name: str) -> str:
    """What is moved between the guest and the host at once: all of a large memory."""
    guest = guest_of(MemoryDirectory({"file": bytes(40 * MIB)}), 40 * MIB)
    fd = guest.fd("file", 0, ALL)
    if name == "random_get":
        return guest.call(name, 0, 40 * MIB)
    if name == "path_open":
        return guest.call(name, ROOT, 0, 0, 40 * MIB, 0, READ, 0, 0, 8)
    vectors = guest.vectors(*[(4096, 39 * MIB)] * 1000)
    return guest.call(name, fd, *vectors, 16)


# Debug information


def paths() -> str:
    """The debug information has more of them, and longer ones, than may be kept."""
    count = 2 * ROOM // 4000
    source = SourceMap(decode(files_module(count)))
    return str(len([k for k in range(count) if source.places(0, k + 100)]) < count)


def places() -> str:
    """Traps at ever new places."""
    inst = figwasp.load(inlined_module())
    return "".join({ended(lambda k=k: inst.exports[f"f{k}"](9)) for k in range(FUNCS)})  # type: ignore[misc]


TABLE: Final[dict[str, tuple[float, str, Callable[[], str]]]] = {
    "memory": (48, "-1", lambda: memory("guard")),
    "memory, checked": (48, "-1", lambda: memory("checked")),
    "table of functions": (32, "-1", lambda: table("funcref", 4 * MIB)),
    "table of objects": (16, "-1", lambda: table("externref", 2 * MIB)),
    "instances": (32, "LimitExceeded", instances),
    "stack": (32, "Exhaustion", stack),
    "frames": (2, "Exhaustion True", frames),
    "stack with Python between": (32, "RecursionError", stack_with_python_between),
    "objects": (16, "LimitExceeded", objects),
    "objects of the heap": (16, "Exhaustion", heap),
    "fuel": (4, "OutOfFuel", fuel),
    "timeout": (0, "Timeout", timeout),
    "calls that wait": (24, "LimitExceeded", acalls),
    "listings": (LISTINGS / MIB, "nomem", listings),
    "members of archives": (40, "nomem", members),
    "output, piped": (48, "nospc", lambda: output(True)),
    "output, captured": (48, "nospc 48", lambda: output(False)),
    "contents": (48, "nospc", lambda: contents(MIB)),
    "contents in small pieces": (48, "nospc", lambda: contents(5000)),
    "lengths": (48, "nospc", lengths),
    "names": (16, "nospc", lambda: names("directories")),
    "targets of links": (16, "nospc", lambda: names("links")),
    "descriptors": (0, "mfile", lambda: descriptors("memory")),
    "descriptors of the host": (0, "mfile", lambda: descriptors("host")),
    "subscriptions": (16, "success", lambda: subscriptions(1 << 16)),
    "too many subscriptions": (16, "inval", lambda: subscriptions((1 << 16) + 1)),
    "reading at once": (80, "success", lambda: copies("fd_read")),
    "writing at once": (80, "success", lambda: copies("fd_write")),
    "random bytes": (80, "success", lambda: copies("random_get")),
    "a long path": (80, "nametoolong", lambda: copies("path_open")),
    "paths": (64, "True", paths),
    "places": (64, "Trap", places),
}
"""By name: limit in MiB, how it ends, what ends so."""


def status(name: str) -> float:
    """Give a figure of this process in MiB."""
    with open("/proc/self/status") as file:
        return int(next(line for line in file if line.startswith(name)).split()[1]) / 1024


def main(name: str) -> None:
    """Run a row and print what came of it, and by how many MiB the process was larger at most than before."""
    figwasp.load(figwasp.wat('(module (func (export "f")))')).f()
    before = status("VmRSS")
    answer = TABLE[name][2]()
    print(f"{answer}, {status('VmHWM') - before:.1f} MiB")


if __name__ == "__main__":
    main(sys.argv[1])
