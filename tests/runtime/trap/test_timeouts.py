"""Timeouts: every kind of call that takes too long ends, and instance and process are usable after it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

import figwasp
from figwasp import Engine, Timeout
from figwasp.runtime.trap import deadline
from figwasp.wasi import WASI
from figwasp.wasi.abi import SUBSCRIPTION
from figwasp.wasm.binary.leb128 import write_unsigned
from tests.environment import HANG_GUARD, environment
from tests.runtime.support import check_script

SHORT = 0.1
"""A timeout that is to be reached."""
LONG = HANG_GUARD
"""One that is not."""

TEXT = """(module (import "host" "f" (func $f (param i32) (result i32)))
  (memory (export "memory") 1024 65536)
  (func (export "endless") (loop $l (br $l)))
  (func $fib (export "fib") (param i32) (result i32)
    (if (result i32) (i32.lt_s (local.get 0) (i32.const 2)) (then (local.get 0))
      (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1))) (call $fib (i32.sub (local.get 0) (i32.const 2)))))))
  (func (export "calls") (local i32) (loop $l (local.set 0 (call $f (local.get 0))) (br $l)))
  (func (export "host") (param i32) (result i32) (call $f (local.get 0)))
  (func (export "fill") (loop $l (memory.fill (i32.const 0) (i32.const 7) (i32.const 0x4000000)) (br $l)))
  (func (export "fill_all") (if (i32.lt_u (memory.size) (i32.const 65535)) (then (drop (memory.grow (i32.const 64511)))))
    (loop $l (memory.fill (i32.const 0) (i32.const 0) (i32.const 0xffff0000)) (br $l)))
  (func (export "copy") (loop $l (memory.copy (i32.const 1) (i32.const 0) (i32.const 0x3ffffff)) (br $l)))
  (func (export "ref") (param externref) (result externref) (local.get 0))
  (func (export "endless_ref") (param externref) (loop $l (br $l)))
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))"""

CALLS: dict[str, Callable[..., object]] = {
    "endless loop": lambda inst, **k: inst.endless(**k),
    "fib(60)": lambda inst, **k: inst.fib(60, **k),
    "calls of Python": lambda inst, **k: inst.calls(**k),
    "memory.fill": lambda inst, **k: inst.fill(**k),
    "memory.copy": lambda inst, **k: inst.copy(**k),
    "with a reference": lambda inst, **k: inst.endless_ref(object(), **k),
}


def load(f: Callable[[int], object] = lambda x: 0, engine: Engine | None = None) -> figwasp.Instance:
    """Load the module."""
    return figwasp.load(figwasp.wat(TEXT), {"host": {"f": f}}, engine=engine)


@contextmanager
def ended(kind: type[BaseException] = Timeout) -> Iterator[Any]:
    """Expect an exception of what has no end of its own, and no deadline left behind."""
    with pytest.raises(kind) as caught:
        yield caught
    assert deadline.due() == 0


def usable(inst: figwasp.Instance) -> None:
    """Check that calls work, with and without a limit."""
    assert inst.add(40, 2) == 42 and inst.add(40, 2, timeout=LONG) == 42 and inst.fib(15) == 610


@pytest.mark.parametrize("name", CALLS)
def test_timeout(name: str) -> None:
    """A timeout ends every kind of long call, again and again."""
    inst = load()
    for _ in range(2):
        with ended() as caught:
            CALLS[name](inst, timeout=SHORT)
        error = caught.value
        assert error.code == "timeout" and issubclass(Timeout, TimeoutError) and issubclass(Timeout, figwasp.Trap)
        assert error.frames[-1].name in ("endless", "fib", "calls", "fill", "copy", "endless_ref")
        usable(inst)


def test_filling_all_of_a_memory() -> None:
    """An operation over 4 GiB is given up in between. (Zeros go to pages that nobody has touched: a second is not enough.)"""
    inst = load()
    with ended():
        inst.fill_all(timeout=SHORT)
    usable(inst)


@pytest.mark.parametrize("name", CALLS)
def test_timeout_of_the_engine(name: str) -> None:
    """The engine's timeout holds for plain calls; a call may say otherwise."""
    inst = load(engine=Engine(timeout=SHORT))
    with ended():
        CALLS[name](inst)
    with ended():
        CALLS[name](inst, timeout=SHORT / 2)
    assert inst.add(40, 2, timeout=LONG) == 42 and inst.fib(15, timeout=None) == 610


def test_more_time_than_the_engine_gives() -> None:
    """A call may take longer than the engine says, or as long as it wants."""

    def slow(x: int) -> int:
        time.sleep(0.03)
        return x

    text = """(module (import "host" "f" (func $f (param i32) (result i32)))
      (func (export "f") (drop (call $f (i32.const 0))) (drop (call $f (i32.const 0))) (loop $l (br_if $l (i32.const 0)))))"""
    inst = figwasp.load(figwasp.wat(text), {"host": {"f": slow}}, engine=Engine(timeout=0.005))
    inst.f(timeout=None)
    inst.f(timeout=LONG)


def test_start_function() -> None:
    """The engine's timeout holds for a start function."""
    with ended():
        figwasp.load(figwasp.wat("(module (func (loop (br 0))) (start 0))"), engine=Engine(timeout=SHORT))


@pytest.mark.parametrize(
    ("value", "kind"), [(0, ValueError), (-1, ValueError), (float("nan"), ValueError), (float("inf"), ValueError), ("1", TypeError), (True, TypeError)]
)  # fmt: skip
def test_odd_timeouts(value: Any, kind: type[Exception]) -> None:
    """A timeout is a positive number."""
    inst = load()
    with pytest.raises(kind):
        inst.add(1, 2, timeout=value)
    with pytest.raises(kind):
        Engine(timeout=value)


def test_other_keywords() -> None:
    """There is no other keyword argument."""
    inst = load()
    with pytest.raises(TypeError, match="'time_out'"):
        inst.add(1, 2, time_out=1)
    assert inst.add(1, 2, timeout=LONG) == 3 and inst.add(1, 2, timeout=None) == 3
    with pytest.raises(TypeError):
        inst.add(1, timeout=1)


def test_results_and_arguments() -> None:
    """A call with a timeout takes and gives what one without does."""
    inst = load()
    thing = object()
    assert inst.ref(thing, timeout=LONG) is thing and inst.add(2**32 - 1, -1, timeout=LONG) == -2


class TestNested:
    """Calls from host functions that were called with a timeout."""

    @pytest.mark.parametrize("how", [{}, {"timeout": LONG}, {"timeout": None}], ids=["plain", "later", "none"])
    def test_the_outer_one_holds(self, how: dict[str, Any]) -> None:
        inst = load(lambda x: inst.endless(**how))
        with ended():
            inst.host(1, timeout=SHORT)
        usable(inst)

    def test_the_inner_one_is_earlier(self) -> None:
        """The inner call ends; the outer one goes on, with its own deadline."""
        seen: list[int] = []

        def f(x: int) -> int:
            if x == 0:
                with pytest.raises(Timeout):
                    inst.endless(timeout=SHORT / 4)
                seen.append(deadline.due())
                return 5
            return int(inst.endless())

        inst = load(f)
        assert inst.host(0, timeout=LONG) == 5
        assert seen[0] - time.monotonic_ns() > 10**9
        with ended():
            inst.host(1, timeout=SHORT)
        assert inst.host(0) == 5 and seen[1] == 0
        usable(inst)

    def test_an_instance_that_is_not_linked(self) -> None:
        """The deadline holds for whatever the host function calls."""
        other = load()
        usable(other)
        inst = load(lambda x: other.endless())
        with ended():
            inst.host(1, timeout=SHORT)
        usable(inst)
        usable(other)

    def test_caught_inside(self) -> None:
        """A host function that goes on after a timeout of the outer call does not get far in wasm."""
        times: list[int] = []

        def f(x: int) -> int:
            try:
                inst.endless()
            except Timeout:
                times.append(1)
            return 0

        inst = load(f)
        with ended():
            inst.calls(timeout=10 * SHORT)
        assert 1 <= len(times) <= 5
        usable(inst)


def test_threads_have_their_own() -> None:
    """The timeout of one thread is not that of another."""
    done: list[float] = []
    other = load()

    def run() -> None:
        with pytest.raises(Timeout):
            other.endless(timeout=4 * SHORT)
        done.append(time.monotonic())

    thread = threading.Thread(target=run)
    start = time.monotonic()
    thread.start()
    inst = load()
    for _ in range(3):
        with ended():
            inst.endless(timeout=SHORT / 2)
    thread.join()
    assert done and done[0] - start >= 4 * SHORT
    usable(inst)
    usable(other)


def nested_stores(count: int, seconds: float) -> bool:
    """Have threads spin in a store below a store, all at the same time, each with a timeout; say whether all got there before it."""
    spin = figwasp.wat('(module (func (export "nop")) (func (export "spin") (loop $l (br $l))))')
    call = figwasp.wat('(module (import "host" "f" (func $f)) (func (export "call") (call $f)))')
    all_there = threading.Barrier(count)
    endings: list[type[BaseException]] = []

    def run(outer: figwasp.Instance) -> None:
        try:
            outer.call(timeout=seconds)
        except BaseException as error:
            endings.append(type(error))
            all_there.abort()  # whoever is still to come is late

    threads = []
    for _ in range(count):
        inner = figwasp.load(spin)
        inner.nop()

        def f(inner: figwasp.Instance = inner) -> None:
            inner.nop()  # from now on a call goes in without Python
            all_there.wait()
            inner.spin()

        outer = figwasp.load(call, {"host": {"f": f}})
        threads.append(threading.Thread(target=run, args=(outer,)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(endings) == count and set(endings) <= {Timeout, threading.BrokenBarrierError}
    return set(endings) == {Timeout}


def test_many_threads_in_nested_stores() -> None:
    """The timeout holds in another store that a host function calls into, however many other threads have deadlines."""
    assert any(nested_stores(150, seconds) for seconds in (2, 8, 32, 128))


def test_other_threads_run_meanwhile() -> None:
    """A call under a timeout gives the GIL up like any other."""
    counted = [0]
    stop = threading.Event()

    def count() -> None:
        while not stop.is_set():
            counted[0] += 1

    thread = threading.Thread(target=count)
    thread.start()
    inst = load()
    before = counted[0]
    try:
        with ended():
            inst.endless(timeout=4 * SHORT)
    finally:
        stop.set()
        thread.join()
    assert counted[0] - before > 100


def test_a_signal_handler_runs_before() -> None:
    """Signal handlers run during a call with a timeout, and may use the instance."""
    inst = load()
    seen: list[int] = []
    old = signal.signal(signal.SIGALRM, lambda *_: seen.append(inst.fib(10)))
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    try:
        with ended():
            inst.endless(timeout=4 * SHORT)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert seen and set(seen) == {55}


def huge_module(count: int) -> bytes:
    """Make a module with a function of so many arithmetic instructions, and a small one."""
    body = b"\0" + b"".join(
        b"\x20\x00\x41" + bytes([i % 60]) + (b"\x6a" if i % 3 else b"\x6c") + b"\x21\x00" for i in range(count // 4)
    ) + b"\x20\x00\x0b"  # fmt: skip

    def sized(content: bytes) -> bytes:
        out = bytearray()
        write_unsigned(out, len(content))
        return bytes(out) + content

    def section(number: int, content: bytes) -> bytes:
        return bytes([number]) + sized(content)

    return (
        b"\0asm\1\0\0\0" + section(1, b"\2\x60\1\x7f\1\x7f\x60\0\0") + section(3, b"\2\0\1")
        + section(7, b"\2\4huge\0\0\5small\0\1") + section(10, b"\2" + sized(body) + b"\2\0\x0b")
    )  # fmt: skip


def model(x: int, count: int) -> int:
    """Compute what the huge function does."""
    for i in range(count // 4):
        x = (x + i % 60 if i % 3 else x * (i % 60)) & 0xFFFF_FFFF
    return x - (x >> 31 << 32)


@pytest.mark.usefixtures("thawed")
class TestCompilation:
    """The compilation of a huge function ends as well, and can be done later."""

    COUNT = 400_000

    def test_timeout(self) -> None:
        inst = figwasp.load(huge_module(self.COUNT), engine=Engine(tier="optimize"))
        tries = []
        for _ in range(2):
            start = time.thread_time()
            with ended():
                inst.huge(3, timeout=SHORT)
            tries.append(time.thread_time() - start)
            assert inst.small() is None
        start = time.thread_time()
        assert inst.huge(3) == model(3, self.COUNT)
        assert max(tries) < (time.thread_time() - start) / 2

    def test_ctrl_c(self) -> None:
        inst = figwasp.load(huge_module(self.COUNT), engine=Engine(tier="optimize"))
        start = time.thread_time()
        with ended(KeyboardInterrupt):
            threading.Timer(SHORT, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
            inst.huge(3)
        stopped = time.thread_time()
        assert inst.huge(3) == model(3, self.COUNT)
        assert stopped - start < (time.thread_time() - stopped) / 2

    def test_tracing_goes_on_after_it(self) -> None:
        """Nothing is left for CPython to look for, which would hang a traced function."""
        printed = check_script(
            """
            import sys, figwasp
            from tests.runtime.trap.test_timeouts import huge_module
            inst = figwasp.load(huge_module(400_000), engine=figwasp.Engine(tier="optimize"))
            try:
                inst.huge(1, timeout=0.1)
            except figwasp.Timeout:
                print("timeout")
            def traced(x):
                return x + 1
            sys.settrace(lambda *_: None)
            print(traced(1))
            """
        )
        assert printed == "timeout\n2\n"

    def test_in_time(self) -> None:
        """A compilation that is done in time leaves no exception behind."""
        before = threading.active_count()
        for _ in range(20):
            assert figwasp.load(huge_module(2000)).huge(3, timeout=LONG) == model(3, 2000)
        end = time.monotonic() + HANG_GUARD
        while threading.active_count() > before + 1:
            assert time.monotonic() < end
            time.sleep(0.01)

    def test_deadlines_at_every_moment(self) -> None:
        """Whenever the deadline comes, the call ends with a result or with Timeout, and nothing comes after it."""
        module = huge_module(4000)
        kinds = set()
        for step in range(1, 60):
            inst = figwasp.load(module, engine=Engine(tier="optimize"))
            try:
                assert inst.huge(1, timeout=step * 0.002) == model(1, 4000)
                kinds.add("result")
            except Timeout:
                kinds.add("timeout")
            for _ in range(100):
                pass
            assert inst.huge(2) == model(2, 4000)
        assert "timeout" in kinds


WASI_TEXT = """(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (memory (export "memory") 1024)
  (func (export "poll") (param i32) (result i32) (call $poll (i32.const 64) (i32.const 512) (local.get 0) (i32.const 8)))
  (func (export "read") (param i32) (result i32)
    (i32.store (i32.const 16) (i32.const 1024)) (i32.store (i32.const 20) (i32.const 100))
    (call $read (local.get 0) (i32.const 16) (i32.const 1) (i32.const 8)))
  (func (export "write") (param i32 i32) (result i32)
    (i32.store (i32.const 16) (i32.const 1024)) (i32.store (i32.const 20) (local.get 1))
    (loop $l (br_if $l (i32.eqz (call $write (local.get 0) (i32.const 16) (i32.const 1) (i32.const 8))))) (i32.const 1))
  (func (export "random") (result i32)
    (loop $l (drop (call $random (i32.const 0) (i32.const 0x4000000))) (br $l)) (i32.const 0)))"""


class TestWasi:
    """Waits of WASI end with the deadline."""

    @contextmanager
    def guest(self, **how: Any) -> Iterator[figwasp.Instance]:
        with WASI(**how) as wasi:
            inst = figwasp.load(figwasp.wat(WASI_TEXT), wasi.imports())
            yield inst

    def subscribe_clock(self, inst: figwasp.Instance, seconds: float) -> None:
        inst.memory.write(64, SUBSCRIPTION.pack(7, 0, 1, int(seconds * 1e9), 0, 0))

    def test_sleep(self) -> None:
        with self.guest() as inst:
            self.subscribe_clock(inst, 1000)
            with ended() as caught:
                inst.poll(1, timeout=SHORT)
            assert [frame.name for frame in caught.value.frames] == ["poll"]
            self.subscribe_clock(inst, 0.01)
            assert inst.poll(1, timeout=LONG) == 0 and inst.memory.read_u32(8) == 1

    @pytest.fixture
    def pipe(self) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
        ends = os.pipe()
        with open(ends[0], "rb") as source, open(ends[1], "wb", buffering=0) as sink:
            yield source, sink

    def test_read_of_a_file_object(self, pipe: tuple[IO[bytes], IO[bytes]]) -> None:
        """A pipe as a buffered file object: what has been buffered is read, what has not come is waited for."""
        source, sink = pipe
        with self.guest(stdin=source) as inst:
            with ended():
                inst.read(0, timeout=SHORT)
            assert os.get_blocking(source.fileno())
            sink.write(b"ab" + b"c" * 200)
            assert source.read(2) == b"ab"  # so that the rest is in Python's buffer
            assert inst.read(0, timeout=LONG) == 0 and inst.memory.read_u32(8) == 100
            assert inst.read(0, timeout=LONG) == 0 and inst.memory.read_u32(8) == 100
            with ended():
                inst.read(0, timeout=SHORT)
            threading.Timer(SHORT / 2, lambda: sink.write(b"late")).start()
            assert inst.read(0, timeout=LONG) == 0 and inst.memory.read(1024, 4) == b"late"

    def test_read_of_a_fifo(self, tmp_path: Path) -> None:
        """A pipe that the process has inherited as standard input."""
        script = """
import os, figwasp, sys
from figwasp.wasi import WASI
text = sys.argv[1]
with WASI() as wasi:
    inst = figwasp.load(figwasp.wat(text), wasi.imports())
    try:
        inst.read(0, timeout=0.1)
    except figwasp.Timeout:
        print("timeout")
    sys.stdout.flush()
    print(inst.read(0, timeout=1200), inst.memory.read(1024, 5))
"""
        with subprocess.Popen(
            [sys.executable, "-c", script, WASI_TEXT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()
        ) as process:
            assert process.stdin is not None and process.stdout is not None
            assert process.stdout.readline() == b"timeout\n"
            out, _ = process.communicate(b"hello", timeout=HANG_GUARD)
            assert out == b"0 b'hello'\n"

    def test_write_into_a_full_pipe(self) -> None:
        """A write that nobody takes away from ends; what has been taken is counted."""
        with self.full_pipe() as inst, ended():
            inst.write(1, 100_000, timeout=SHORT)

    @contextmanager
    def full_pipe(self) -> Iterator[figwasp.Instance]:
        """Give a guest whose standard output is a pipe that nobody reads."""
        ends = os.pipe()
        saved = os.dup(1)
        os.dup2(ends[1], 1)
        try:
            with self.guest() as inst:
                yield inst
        finally:
            os.dup2(saved, 1)
            for fd in (saved, *ends):
                os.close(fd)

    def test_random_bytes(self) -> None:
        with self.guest() as inst, ended():
            inst.random(timeout=SHORT)


TABLES = """(module (table $a (export "a") 3000000 6000000 funcref) (table $b 3000000 funcref) (func $f (export "f")) (elem declare func $f)
  (func (export "fill") (loop $l (table.fill $a (i32.const 0) (ref.func $f) (i32.const 3000000)) (br $l)))
  (func (export "copy") (loop $l (table.copy $b $a (i32.const 0) (i32.const 0) (i32.const 3000000)) (br $l)))
  (func (export "move") (loop $l (table.copy $a $a (i32.const 1) (i32.const 0) (i32.const 2999999)) (br $l)))
  (func (export "grow") (loop $l (br_if $l (i32.ge_s (table.grow $a (ref.func $f) (i32.const 3000000)) (i32.const 0))) (br $l)))
  (func (export "get") (param i32) (result funcref) (table.get $a (local.get 0))))"""


@pytest.mark.parametrize("name", ["fill", "copy", "move", "grow"])
def test_bulk_operations_on_tables(name: str) -> None:
    """Operations over millions of references are given up in between; the table is whole."""
    inst = figwasp.load(figwasp.wat(TABLES))
    with ended():
        inst.exports[name](timeout=SHORT / 5)
    for index in (0, len(inst.a) // 2, len(inst.a) - 1):
        assert inst.get(index) in (None, inst.exports.f)
