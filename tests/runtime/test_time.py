"""Long calls: Ctrl-C, other threads, forks, and the end of the process."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import figwasp
from tests.environment import HANG_GUARD
from tests.runtime.support import check_script, host, load, run_script

LONG = """(module (import "host" "f" (func $f (param i32) (result i32)))
  (memory 1024)
  (func (export "endless") (loop $l (br $l)))
  (func (export "counting") (result i64) (local i64)
    (loop $l (local.set 0 (i64.add (local.get 0) (i64.const 1))) (br_if $l (i64.ne (local.get 0) (i64.const -1)))) (local.get 0))
  (func $fib (export "fib") (param i32) (result i32)
    (if (result i32) (i32.lt_s (local.get 0) (i32.const 2)) (then (local.get 0))
      (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1))) (call $fib (i32.sub (local.get 0) (i32.const 2)))))))
  (func (export "calls") (local i32) (loop $l (local.set 0 (call $f (local.get 0))) (br $l)))
  (func (export "fill") (loop $l (memory.fill (i32.const 0) (i32.const 7) (i32.const 0x4000000)) (br $l)))
  (func (export "copy") (loop $l (memory.copy (i32.const 1) (i32.const 0) (i32.const 0x3ffffff)) (br $l)))
  (func (export "one_fill") (memory.fill (i32.const 0) (i32.const 0) (i32.const 0x4000000)))
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "spin") (param i64) (result i64) (local i64)
    (loop $l (local.set 1 (i64.xor (i64.mul (local.get 1) (i64.const 5)) (local.get 0)))
      (br_if $l (i64.ne (local.tee 0 (i64.sub (local.get 0) (i64.const 1))) (i64.const 0)))) (local.get 1)))"""


def long(f: Callable[[int], int] = lambda x: 0) -> figwasp.Instance:
    """Load the module of long calls."""
    return load(LONG, host(f=f))


@contextmanager
def interrupt(after: float = 0.15) -> Iterator[None]:
    """Send SIGINT to this process after a while."""

    def send() -> None:
        time.sleep(after)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        thread.join()


CALLS: dict[str, Callable[[figwasp.Instance], object]] = {
    "endless loop": lambda inst: inst.endless(),
    "counting loop": lambda inst: inst.counting(),
    "fib(60)": lambda inst: inst.fib(60),
    "memory.fill": lambda inst: inst.fill(),
    "memory.copy": lambda inst: inst.copy(),
    "host calls": lambda inst: inst.calls(),
}


@pytest.mark.parametrize("name", CALLS)
def test_ctrl_c(name: str) -> None:
    """Ctrl-C stops every kind of call that has no end, and the instance is usable after it."""
    inst = long()
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt), interrupt():
            CALLS[name](inst)
        assert inst.add(40, 2) == 42 and inst.fib(15) == 610


@pytest.mark.parametrize("f", [abs, int, (5).__add__], ids=["abs", "int", "method"])
def test_ctrl_c_among_calls_of_c_functions(f: Callable[[int], int]) -> None:
    """A loop of host calls that never runs Python code stops as well."""
    inst = long(f)
    with pytest.raises((KeyboardInterrupt, OverflowError)), interrupt():
        inst.calls()


def test_ctrl_c_in_nested_calls() -> None:
    """Ctrl-C in an inner call passes through every level."""
    depth = []

    def f(x: int) -> int:
        depth.append(x)
        if len(depth) < 5:
            inst.calls()
        with interrupt():
            inst.endless()
        return 0

    inst = long(f)
    with pytest.raises(KeyboardInterrupt):
        inst.calls()
    assert len(depth) == 5
    assert inst.add(1, 2) == 3


def test_signal_handlers_run_and_the_call_goes_on() -> None:
    """A Python signal handler runs during a call, may call the same instance, and the call ends with its result."""
    inst = long()
    seen: list[int] = []
    expected = inst.spin(60_000_000)
    old = signal.signal(signal.SIGALRM, lambda *_: seen.append(inst.fib(10)))
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    try:
        deadline = time.monotonic() + HANG_GUARD
        while len(seen) < 3 and time.monotonic() < deadline:
            assert inst.spin(60_000_000) == expected
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert len(seen) >= 3 and set(seen) == {55}


def test_handler_that_raises_ends_the_call_with_its_exception() -> None:
    """An exception raised by a signal handler ends the call as itself: a timeout in one line."""

    class TimesUp(Exception):
        pass

    def handler(*_: object) -> None:
        raise TimesUp

    inst = long()
    old = signal.signal(signal.SIGALRM, handler)
    try:
        with pytest.raises(TimesUp):  # noqa: PT012
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            inst.fib(60)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert inst.fib(10) == 55


def test_other_threads_go_on() -> None:
    """A second Python thread gets a good part of the processor time that a long call gets: the call does not hold the GIL."""
    stop = threading.Event()
    used: list[float] = []

    def counting() -> None:
        while not stop.is_set():
            for _ in range(1000):
                pass
        used.append(time.thread_time())

    inst = long()
    inst.spin(1)
    thread = threading.Thread(target=counting)
    thread.start()
    before = time.thread_time()
    try:
        inst.spin(800_000_000)
    finally:
        spent = time.thread_time() - before
        stop.set()
        thread.join()
    assert used[0] > 0.2 * spent


def test_many_short_calls_beside_a_busy_thread() -> None:
    """Host calls in a loop beside a busy Python thread neither starve nor starve it."""
    calls = 0
    turns = 0
    ended = False

    def f(x: int) -> int:
        nonlocal calls
        calls += 1
        return 1 // (calls < 300_000)

    def busy() -> None:
        nonlocal turns
        while not ended:
            turns += 1

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        with pytest.raises(ZeroDivisionError):
            long(f).calls()
    finally:
        ended = True
        thread.join()
    assert calls == 300_000 and turns > 0


def test_threads_run_in_parallel_on_their_own_instances() -> None:
    """Long calls in several threads, each on an instance of its own, give right results and let each other run."""
    source = figwasp.Module(figwasp.wat(LONG))
    expected = figwasp.load(source, host(f=abs)).spin(20_000_000)
    results: list[Any] = []

    def work() -> None:
        inst = figwasp.load(source, host(f=abs))
        for _ in range(5):
            results.append(inst.spin(20_000_000))
            results.append(inst.fib(18))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, results)) == sorted([str(expected), "2584"] * 20)


def test_busy() -> None:
    """A second thread finds a running store busy, for calls and for whatever else takes part in it, and free afterwards."""
    inside, leave = threading.Event(), threading.Event()

    def f(x: int) -> int:
        inside.set()
        leave.wait(HANG_GUARD)
        raise LookupError

    inst = load(
        """(module (import "host" "f" (func $f (param i32) (result i32))) (table (export "t") 2 externref)
        (global (export "g") (mut externref) (ref.null extern)) (memory (export "m") 1)
        (func (export "go") (drop (call $f (i32.const 0)))) (func (export "add") (param i32 i32) (result i32) (i32.const 5))
        (func (export "id") (param externref) (result externref) (local.get 0)))""",
        host(f=f),
    )
    errors: list[BaseException] = []

    def work() -> None:
        try:
            inst.go()
        except LookupError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert inside.wait(HANG_GUARD)
        for call in (
            lambda: inst.add(1, 2),
            lambda: inst.id(None),
            lambda: inst.go(),
            lambda: inst.t.grow(1),
            lambda: inst.t.__setitem__(0, 5),
            lambda: setattr(inst.g, "value", 5),
            lambda: load('(module (import "m" "add" (func (param i32 i32) (result i32))))', {"m": inst}),
        ):
            with pytest.raises(figwasp.Busy):
                call()
        assert inst.m[0] == 0
    finally:
        leave.set()
        thread.join()
    assert len(errors) == 1
    assert inst.add(1, 2) == 5 and inst.id(3) == 3


def test_threads_fighting_over_one_store() -> None:
    """Threads that call one instance at the same time get results or Busy, never anything else."""
    inst = load(
        """(module (import "host" "f" (func $f (param externref) (result externref))) (table $t 4 externref)
        (func (export "id") (param externref) (result externref) (table.set $t (i32.const 0) (local.get 0)) (call $f (local.get 0)))
        (func (export "num") (param i64) (result i64) (local i64)
          (loop $l (local.set 1 (i64.add (local.get 1) (local.get 0)))
            (br_if $l (i64.ne (local.tee 0 (i64.sub (local.get 0) (i64.const 1))) (i64.const 0)))) (local.get 1))
        (func (export "trap") (param externref) (unreachable)) (func (export "f") (param funcref) (result funcref) (local.get 0)))""",
        host(f=lambda x: x),
    )
    counts = {"ok": 0, "busy": 0}
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        k = seed
        while counts["ok"] < 2000 and not failures:
            k += 1
            thing = [k, seed]
            try:
                if k % 4 == 0:
                    assert inst.num(1000 + seed) == (1000 + seed) * (1001 + seed) // 2
                elif k % 4 == 1:
                    assert inst.id(thing) is thing
                elif k % 4 == 2:
                    with pytest.raises(figwasp.Trap):
                        inst.trap(thing)
                else:
                    assert inst.f(inst.exports.num) == inst.exports.num
                counts["ok"] += 1
            except figwasp.Busy:
                counts["busy"] += 1
            except BaseException as error:
                failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not failures
    assert inst.num(3) == 6


def test_threads_compiling_one_module() -> None:
    """Many threads that first call the functions of one module at the same time all get right results."""
    count = 60
    source = figwasp.Module(
        figwasp.wat(
            "(module "
            + "".join(
                f'(func (export "f{k}") (param i32) (result i32) (i32.add (i32.mul (local.get 0) (i32.const {k})) (i32.const {k * k})))'
                for k in range(count)
            )
            + ")"
        )
    )
    failures: list[object] = []

    def work(seed: int) -> None:
        inst = figwasp.load(source)
        for k in range(count):
            k = (k * 7 + seed * 11) % count
            if inst.exports[f"f{k}"](3) != 3 * k + k * k:
                failures.append((seed, k))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_many_short_lived_threads() -> None:
    """An instance may be used by one thread after another, also when thread states and stacks are recycled."""
    inst = long()
    results: list[int] = []
    for k in range(60):
        threading.stack_size((256 << 10) * (1 + k % 3))
        thread = threading.Thread(target=lambda: results.append(inst.fib(12)))
        thread.start()
        thread.join()
    threading.stack_size(0)
    assert results == [144] * 60


FORK = """
    import os, sys, threading, time, figwasp
    TEXT = '''(module (import "host" "f" (func $f (param i32) (result i32))) (memory 1)
      (func (export "call") (param i32) (result i32) (i32.add (call $f (local.get 0)) (i32.const 1)))
      (func (export "a") (result i32) (i32.const 10)) (func (export "b") (result i32) (i32.const 20))
      (func (export "c") (result i32) (i32.const 30)) (func (export "d") (result i32) (i32.const 40))
      (func (export "get") (param i32) (result i32) (i32.load (local.get 0)))
      (func (export "spin") (param i64) (loop $l (br_if $l (i64.ne (local.tee 0 (i64.sub (local.get 0) (i64.const 1))) (i64.const 0)))))
      (func (export "endless") (loop $l (br $l))))'''
    def checks(inst, order):
        for name in order:
            assert inst.exports[name]() == 10 * (1 + "abcd".index(name)), name
        inst.spin(50_000_000)
        try:
            inst.get(-1)
        except figwasp.Trap:
            pass
        else:
            raise SystemExit("no trap")
        fresh = figwasp.load(figwasp.wat(TEXT), {"host": {"f": abs}})
        assert fresh.call(-4) == 5 and fresh.a() == 10
    def wait(pid):
        _, status = os.waitpid(pid, 0)
        assert status == 0, status
    def interrupted(inst):
        import signal
        main = os.getpid()
        threading.Timer(0.2, lambda: os.kill(main, signal.SIGINT)).start()
        try:
            inst.endless()
        except KeyboardInterrupt:
            return
        raise SystemExit("not interrupted")
"""


def test_fork_while_idle() -> None:
    """After a fork parent and child both go on, compile more functions, trap, tick and take Ctrl-C, generation after generation."""
    check_script(
        FORK
        + """
    inst = figwasp.load(figwasp.wat(TEXT), {"host": {"f": abs}})
    assert inst.a() == 10
    def generation(depth):
        pid = os.fork()
        if pid == 0:
            checks(inst, "bcd" if depth % 2 else "dcb")
            interrupted(inst)
            if depth:
                generation(depth - 1)
            os._exit(0)
        checks(inst, "cdb" if depth % 2 else "bdc")
        wait(pid)
    generation(2)
    interrupted(inst)
    """
    )


def test_fork_inside_a_host_call() -> None:
    """A fork inside a host function leaves two processes whose wasm frames go on, each with its own code and memory."""
    check_script(
        FORK
        + """
    def f(x):
        global pid
        pid = os.fork()
        checks(inst, "ab" if pid else "ba")
        return 100 if pid else 200
    inst = figwasp.load(figwasp.wat(TEXT), {"host": {"f": f}})
    result = inst.call(1)
    assert result == (101 if pid else 201), (pid, result)
    checks(inst, "cdab" if pid else "dcba")
    interrupted(inst)
    if pid == 0:
        os._exit(0)
    wait(pid)
    """
    )


def test_fork_in_a_thread_while_another_runs_wasm() -> None:
    """A child forked by a thread while another runs wasm finds every store usable, and the parent's call goes on."""
    check_script(
        FORK
        + """
    inst = figwasp.load(figwasp.wat(TEXT), {"host": {"f": abs}})
    other = figwasp.load(figwasp.wat(TEXT), {"host": {"f": abs}})
    other.a()
    done = []
    runner = threading.Thread(target=lambda: (inst.spin(3_000_000_000), done.append(1)))
    runner.start()
    time.sleep(0.1)
    def forker():
        pid = os.fork()
        if pid == 0:
            try:
                checks(other, "bacd")
                checks(inst, "abcd")
                interrupted(other)
                os._exit(0)
            except BaseException:
                import traceback
                traceback.print_exc()
                os._exit(1)
        wait(pid)
        done.append(2)
    thread = threading.Thread(target=forker)
    thread.start()
    thread.join()
    runner.join()
    assert sorted(done) == [1, 2]
    checks(inst, "dcba")
    """
    )


def test_multiprocessing_pool_by_fork() -> None:
    """A pool of forked workers shares a loaded module."""
    check_script(
        """
        import multiprocessing, figwasp
        inst = figwasp.load(figwasp.wat('''(module (func $fib (export "fib") (param i32) (result i32)
          (if (result i32) (i32.lt_s (local.get 0) (i32.const 2)) (then (local.get 0))
            (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1))) (call $fib (i32.sub (local.get 0) (i32.const 2))))))))'''))
        def work(n):
            return inst.fib(n)
        if __name__ == "__main__":
            with multiprocessing.get_context("fork").Pool(3) as pool:
                assert pool.map(work, range(20)) == [inst.fib(n) for n in range(20)]
        """
    )


@pytest.mark.parametrize("call", ["endless", "fib60", "calls", "fill"])
def test_daemon_thread_in_a_long_call_at_exit(call: str) -> None:
    """The process ends well although a daemon thread is inside a call that never ends."""
    check_script(
        """
        import sys, threading, time, figwasp
        inst = figwasp.load(figwasp.wat('''(module (import "host" "f" (func $f)) (memory 256)
          (func (export "endless") (loop $l (br $l)))
          (func $fib (param i32) (result i32)
            (if (result i32) (i32.lt_s (local.get 0) (i32.const 2)) (then (local.get 0))
              (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1))) (call $fib (i32.sub (local.get 0) (i32.const 2)))))))
          (func (export "fib60") (drop (call $fib (i32.const 60))))
          (func (export "calls") (loop $l (call $f) (br $l)))
          (func (export "fill") (loop $l (memory.fill (i32.const 0) (i32.const 7) (i32.const 0x1000000)) (br $l))))'''),
          {"host": {"f": lambda: None}})
        threading.Thread(target=inst.exports[sys.argv[1]], daemon=True).start()
        time.sleep(0.3)
        print("leaving")
        """,
        call,
    )


def test_ctrl_c_ends_a_script() -> None:
    """Ctrl-C sent to a script in an endless call ends it as it would end a Python loop."""
    done = run_script(
        """
        import os, signal, threading, figwasp
        inst = figwasp.load(figwasp.wat('(module (func (export "endless") (loop $l (br $l))))'))
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        inst.endless()
        """
    )
    assert done.returncode == -signal.SIGINT and "KeyboardInterrupt" in done.stderr


def test_ctrl_c_during_compilation() -> None:
    """Ctrl-C while a function is being compiled leaves the instance usable."""
    body = "(local.set 0 (i32.add (i32.mul (local.get 0) (i32.const 3)) (i32.const 1)))" * 8_000
    inst = load(f'(module (func (export "big") (param i32) (result i32) {body} (local.get 0)) (func (export "f") (result i32) (i32.const 1)))')
    with pytest.raises(KeyboardInterrupt), interrupt(0.05):  # noqa: PT012
        inst.big(1)
        time.sleep(HANG_GUARD)  # it has been compiled before: the interrupt comes now
    assert inst.f() == 1
    expected = 1
    for _ in range(8_000):
        expected = (expected * 3 + 1) & 0xFFFFFFFF
    assert inst.big(1) & 0xFFFFFFFF == expected


def test_process_that_rests_uses_no_time() -> None:
    """After the last call the ticker goes to sleep: other threads of a resting process never wake."""
    check_script(
        """
        import os, time, figwasp
        inst = figwasp.load(figwasp.wat('(module (func (export "f") (result i32) (i32.const 1)))'))
        inst.f()
        def wakings():
            found = []
            for task in os.listdir("/proc/self/task"):
                if int(task) != os.getpid():
                    with open(f"/proc/self/task/{task}/status") as status:
                        found += [line for line in status if "ctxt_switches" in line]
            assert found
            return found
        def rests():
            before = wakings()
            time.sleep(0.5)
            return wakings() == before
        assert any(rests() for _ in range(100))  # soon, but on a busy machine not at once
        inst.f()
        """
    )
