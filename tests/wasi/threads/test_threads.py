"""Programs with threads: the suite of wasi-threads; what ends one thread ends the program; how many there may be, and with what."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import figwasp
from figwasp.features import DEFAULT
from figwasp.runtime.trap import parking
from figwasp.wasi.threads import MAX_THREADS, Threads
from tests.environment import HANG_GUARD, SHARED, environment

SUITE = sorted((SHARED / "wasi/wasi-threads").glob("*.wasm"))
ENGINES = {mode: figwasp.Engine(features=DEFAULT.including("threads"), memory=mode) for mode in ("guard", "checked")}
ENGINE = ENGINES["guard"]
HEAD = """(module (import "env" "memory" (memory 1 4 shared)) (export "memory" (memory 0))
  (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (func $wait (param $at i32) (drop (memory.atomic.wait32 (local.get $at) (i32.const 0) (i64.const -1))))
  (func $count (result i32) (i32.add (i32.atomic.rmw.add (i32.const 0) (i32.const 1)) (i32.const 1)))
  (func $meet (param $n i32) (loop $l (br_if $l (i32.lt_u (i32.atomic.load (i32.const 0)) (local.get $n)))))"""


def program(thread: str, start: str, more: str = "") -> bytes:
    """A program: what its threads do with $tid and $arg, and what `_start` does."""
    parts = f'(func (export "wasi_thread_start") (param $tid i32) (param $arg i32) {thread}) (func (export "_start") (local $n i32) {start})'
    return figwasp.wat(f"{HEAD} {more} {parts})")


def outcome(guest: bytes, engine: figwasp.Engine = ENGINE, **how: object) -> tuple[int, str]:
    """Run a program; return its exit status and what was said about its end. No thread of it is left."""
    before = threading.active_count()
    done = figwasp.run(guest, engine=engine, capture_output=True, text=True, **{"timeout": HANG_GUARD, **how})  # type: ignore[call-overload]
    assert threading.active_count() == before
    assert not parking._waiting
    return done.returncode, done.stderr


@pytest.fixture
def silent() -> Iterator[int]:
    """A pipe to read from in which nothing ever is."""
    reading, writing = os.pipe()
    yield reading
    os.close(reading)
    os.close(writing)


@pytest.mark.parametrize("mode", ENGINES)
@pytest.mark.parametrize("path", SUITE, ids=lambda path: path.stem)
def test_suite(path: Path, mode: str, silent: int) -> None:
    wanted = path.with_suffix(".json")
    code = json.loads(wanted.read_text()).get("exit_code", 0) if wanted.exists() else 0
    done = figwasp.run(path, engine=ENGINES[mode], stdin=silent, capture_output=True, timeout=HANG_GUARD)
    assert (done.returncode, done.stderr) == (code, b"")


def test_the_suite_is_here(whole: Path) -> None:
    assert len(SUITE) == 15


def test_the_command_line_runs_them(tmp_path: Path) -> None:
    path = tmp_path / "threads.wasm"
    path.write_bytes(program("(call $exit (i32.add (local.get $arg) (local.get $tid)))", "(drop (call $spawn (i32.const 40))) (call $wait (i32.const 8))"))
    words = [sys.executable, "-m", "figwasp", "run", "--enable", "threads"]
    assert subprocess.run([*words, path], env=environment(), timeout=HANG_GUARD, check=False).returncode == 41
    done = subprocess.run([*words, "--invoke", "_start", path], env=environment(), timeout=HANG_GUARD, check=False)
    assert done.returncode == 41
    without = subprocess.run([*words[:-2], path], env=environment(), timeout=HANG_GUARD, capture_output=True, text=True, check=False)
    assert (without.returncode, "threads" in without.stderr) == (1, True)


# What ends one thread ends all


ENDLESS = ["(call $wait (i32.const 8))", "(loop $l (br $l))"]


@pytest.mark.parametrize("rest", ENDLESS, ids=["wait", "loop"])
@pytest.mark.parametrize(
    ("end", "status", "said"),
    [("(call $exit (i32.const 7))", 7, ""), ("unreachable", 134, "trap: unreachable"), ("(drop (i32.load (i32.const -4)))", 134, "out of bounds")],
    ids=["exit", "trap", "fault"],
)
def test_a_thread_ends_the_program(end: str, status: int, said: str, rest: str) -> None:
    """The last of four threads does; the others and the main one are in whatever has no end."""
    guest = program(
        f"(if (i32.eq (call $count) (i32.const 4)) (then {end})) {rest}",
        f"(loop $l (drop (call $spawn (local.get $n))) (br_if $l (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 4)))) {rest}",
    )
    code, err = outcome(guest)
    assert code == status
    assert said in err


@pytest.mark.parametrize("rest", ENDLESS, ids=["wait", "loop"])
@pytest.mark.parametrize(("end", "status"), [("", 0), ("(call $exit (i32.const 7))", 7), ("unreachable", 134)])
def test_the_main_thread_ends_the_program(end: str, status: int, rest: str) -> None:
    guest = program(
        f"(drop (call $count)) {rest}",
        f"""(loop $l (drop (call $spawn (local.get $n))) (br_if $l (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 4))))
        (call $meet (i32.const 4)) {end}""",
    )
    assert outcome(guest)[0] == status


def test_a_thread_ends_alone_when_it_returns() -> None:
    guest = program("(drop (call $count))", "(drop (call $spawn (i32.const 0))) (drop (call $spawn (i32.const 0))) (call $meet (i32.const 2)) (call $exit (i32.const 5))")
    assert outcome(guest) == (5, "")


def test_time_is_up_for_all() -> None:
    guest = program(ENDLESS[1], f"(drop (call $spawn (i32.const 0))) {ENDLESS[0]}")
    before = threading.active_count()
    with pytest.raises(subprocess.TimeoutExpired):
        figwasp.run(guest, engine=ENGINE, timeout=0.3)
    assert threading.active_count() == before


def test_ctrl_c_ends_all() -> None:
    guest = program(f"(drop (call $count)) {ENDLESS[1]}", f"(drop (call $spawn (i32.const 0))) (call $meet (i32.const 1)) {ENDLESS[0]}")
    sent: list[float] = []

    def send() -> None:
        while not parking._waiting:
            time.sleep(0.001)
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    before = threading.active_count()
    sender = threading.Thread(target=send)
    sender.start()
    with pytest.raises(KeyboardInterrupt):
        figwasp.run(guest, engine=ENGINE)
    sender.join()
    assert time.monotonic() - sent[0] < 1
    assert threading.active_count() == before


def test_an_exception_of_the_host_is_the_programs(tmp_path: Path) -> None:
    """Raised by a function of the host that a thread has called, it reaches whoever has called the program."""
    text = """(module (import "env" "memory" (memory 1 1 shared)) (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
      (import "host" "fail" (func $fail)) (func (export "wasi_thread_start") (param i32 i32) (call $fail))
      (func (export "go") (drop (call $spawn (i32.const 0))) (loop (br 0))))"""
    module = figwasp.Module(figwasp.wat(text), engine=ENGINE)

    def fail() -> None:
        raise LookupError("nothing there")

    with (
        Threads(module, {"host": {"fail": fail}}) as threads,
        threads.instantiate() as instance,
        pytest.raises(LookupError, match="nothing there"),
    ):
        threads.run(instance, instance.go)


def test_a_start_function_may_start_threads() -> None:
    """It runs before there is a main function to be ended."""
    guest = program("(call $exit (i32.const 9))", ENDLESS[1], '(func $begin (if (i32.eqz (call $count_once)) (then (drop (call $spawn (i32.const 0))) (loop $l (br $l))))) (func $count_once (result i32) (i32.atomic.rmw.add (i32.const 16) (i32.const 1))) (start $begin)')
    assert outcome(guest) == (9, "")


# Bounds


SPAWN_ALL = "(loop $l (if (i32.gt_s (call $spawn (i32.const 0)) (i32.const 0)) (then (local.set $n (i32.add (local.get $n) (i32.const 1))) (br $l)))) (call $exit (local.get $n))"


@pytest.mark.parametrize(("given", "most"), [(None, MAX_THREADS), (3, 3), (0, 0)])
def test_threads_without_end(given: int | None, most: int) -> None:
    """A program gets as many as it may have, then an error."""
    assert outcome(program(ENDLESS[0], SPAWN_ALL), max_threads=given) == (most, "")


def test_threads_that_start_threads() -> None:
    """Every thread starts others until there is no room: no more than so many at once, and all of them end."""
    guest = program("(loop $l (br_if $l (i32.gt_s (call $spawn (i32.const 0)) (i32.const 0)))) (drop (call $count)) " + ENDLESS[0], "(drop (call $spawn (i32.const 0))) (call $meet (i32.const 20))")
    assert outcome(guest, max_threads=20) == (0, "")


def test_threads_one_after_another() -> None:
    """What has ended makes room; every thread has a number of its own, above 0."""
    start = """(loop $l (if (i32.ne (call $spawn (i32.const 0)) (i32.add (local.get $n) (i32.const 1))) (then unreachable))
      (loop $w (br_if $w (i32.le_u (i32.atomic.load (i32.const 0)) (local.get $n))))
      (br_if $l (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 300))))"""
    assert outcome(program("(drop (call $count))", start), max_threads=8)[0] == 0


def test_instances_count() -> None:
    """A limit of instances holds for those of threads: `thread-spawn` says that there is no room."""
    engine = figwasp.Engine(features=ENGINE.features, max_instances=4)
    assert outcome(program(ENDLESS[0], SPAWN_ALL), engine) == (3, "")


def test_memory_is_limited() -> None:
    guest = program("", "(call $exit (i32.add (memory.grow (i32.const 2)) (i32.mul (memory.grow (i32.const 1)) (i32.const -16))))")
    assert outcome(guest, max_memory=3 << 16) == (1 + 16, "")
    assert outcome(guest)[0] == (1 - 3 * 16) & 0xFF
    with pytest.raises(figwasp.LimitExceeded, match="max_memory"):
        outcome(guest, max_memory=100)


def test_fuel_is_divided() -> None:
    """All threads together have no more than the program was given; each new one gets half of what its parent has left."""
    busy = "(loop $l (br_if $l (i32.ne (local.tee $arg (i32.sub (local.get $arg) (i32.const 1))) (i32.const 0)))) (drop (call $count)) "
    guest = program(busy, "(drop (call $spawn (i32.const 20000))) (drop (call $spawn (i32.const 20000))) (call $meet (i32.const 2))")
    assert outcome(guest, fuel=10**9) == (0, "")
    code, err = outcome(guest, fuel=100_000)
    assert (code, "out of fuel" in err) == (134, True)


@pytest.mark.parametrize("export", ["", '(func (export "wasi_thread_start") (param i32))', '(global (export "wasi_thread_start") i32 (i32.const 0))'])
def test_a_program_without_a_start_for_threads(export: str) -> None:
    text = f'(module (import "wasi" "thread-spawn" (func (param i32) (result i32))) {export} (func (export "_start")))'
    with pytest.raises(figwasp.Error, match=r"imports wasi.thread-spawn, and does not export wasi_thread_start \(i32, i32\) -> \(\)"):
        figwasp.run(figwasp.wat(text), engine=ENGINE)


def test_thread_spawn_of_another_type() -> None:
    text = '(module (import "wasi" "thread-spawn" (func $f (param i64) (result i64))) (func (export "wasi_thread_start") (param i32 i32)) (func (export "_start") (drop (call $f (i64.const 0)))))'
    with pytest.raises(figwasp.Unlinkable):
        figwasp.run(figwasp.wat(text), engine=ENGINE)


def test_a_program_that_only_imports_a_shared_memory() -> None:
    text = '(module (import "env" "memory" (memory 1 4 shared)) (func (export "_start") (i32.atomic.store (i32.const 0) (i32.const 1))))'
    assert figwasp.run(figwasp.wat(text), engine=ENGINE).returncode == 0
