"""Calls that are ended from outside: `Instance.interrupt`, and closing what another thread runs."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import figwasp
from figwasp.wasi import WASI
from figwasp.wasi.abi import SUBSCRIPTION

TEXT = """(module $guest
  (import "env" "f" (func $f (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1024)
  (func (export "spin") (loop (br 0)))
  (func $fib (export "fib") (param i32) (result i32)
    (if (result i32) (i32.lt_s (local.get 0) (i32.const 2)) (then (local.get 0))
      (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1))) (call $fib (i32.sub (local.get 0) (i32.const 2)))))))
  (func (export "host") (loop (drop (call $f (i32.const 1))) (br 0)))
  (func (export "once") (param i32) (result i32) (call $f (local.get 0)))
  (func (export "fill") (loop (memory.fill (i32.const 0) (i32.const 0) (i32.const 0x4000000)) (br 0)))
  (func (export "copy") (loop (memory.copy (i32.const 1) (i32.const 0) (i32.const 0x3ffffff)) (br 0)))
  (func (export "sleep") (drop (call $poll (i32.const 64) (i32.const 512) (i32.const 1) (i32.const 8))))
  (func $buffer (i32.store (i32.const 16) (i32.const 1024)) (i32.store (i32.const 20) (i32.const 100000)))
  (func (export "read") (call $buffer) (drop (call $read (i32.const 0) (i32.const 16) (i32.const 1) (i32.const 8))))
  (func (export "write") (call $buffer)
    (loop (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8))) (br 0)))
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))"""
MODULE = figwasp.Module(figwasp.wat(TEXT))
FOREVER = 10**13  # nanoseconds


@contextmanager
def guest(f: Callable[[int], int] = lambda x: x) -> Iterator[figwasp.Instance]:
    """An instance whose standard input never has anything, and whose standard output takes a pipe full and no more."""
    source, sink = os.pipe()
    output, full = os.pipe()
    with open(source, "rb") as stdin, WASI(stdin=stdin, stdout=f"/dev/fd/{full}") as wasi:
        instance = figwasp.load(MODULE, {"env": {"f": f}, **wasi.imports()})
        instance.memory.write(64, SUBSCRIPTION.pack(7, 0, 1, FOREVER, 0, 0))
        yield instance
        for host in (sink, output, full):
            os.close(host)


def stop_it(instance: figwasp.Instance, begun: threading.Event | None = None) -> threading.Thread:
    """Have another thread interrupt an instance as soon as there is something to interrupt."""

    def run() -> None:
        if begun is not None:
            begun.wait()
        while not instance.interrupt():
            time.sleep(0.001)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.mark.parametrize("name", ["spin", "fib", "host", "fill", "copy", "sleep", "read", "write"])
def test_another_thread_ends_a_call(name: str) -> None:
    with guest() as instance:
        for _ in range(3):
            thread = stop_it(instance)
            with pytest.raises(figwasp.Interrupted) as caught:
                instance.exports[name](*[60] * (name == "fib"))
            thread.join()
            assert isinstance(caught.value, figwasp.Trap) and caught.value.code == "interrupted"
            assert instance.add(1, 2) == 3


@pytest.mark.parametrize("name", ["spin", "host", "sleep", "read"])
def test_a_signal_handler_ends_a_call(name: str) -> None:
    with guest() as instance:
        handler = signal.signal(signal.SIGALRM, lambda *_: instance.interrupt() and None)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
            with pytest.raises(figwasp.Interrupted):
                instance.exports[name]()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, handler)
        assert instance.add(1, 2) == 3


def test_compilation_ends() -> None:
    """A function that takes long to compile is not compiled to its end, and can be compiled later."""
    rows = "(if (local.tee 0 (i32.mul (local.get 0) (i32.const 3))) (then (local.set 1 (i32.add (local.get 0) (i32.const 5)))))\n"
    text = f'(module (func (export "f") (param i32) (result i32) (local i32) {rows * 4000} (local.get 1)) (func (export "g")))'
    instance = figwasp.load(figwasp.wat(text))
    thread = stop_it(instance)
    with pytest.raises(figwasp.Interrupted):
        instance.f(1)
    thread.join()
    instance.g()
    assert instance.f(0) == 0


def test_nothing_runs() -> None:
    with guest() as instance:
        assert instance.interrupt() is False
        assert instance.add(1, 2) == 3
        instance.close()
        with pytest.raises(figwasp.Closed):
            instance.interrupt()


def test_what_a_call_has_brought_about_ends_too() -> None:
    """The outer of two stores is interrupted while the inner one computes: both calls end, and nothing else of the thread."""
    begun = threading.Event()
    with guest() as inner:

        def f(_: int) -> int:
            begun.set()
            inner.spin()
            return 0

        with guest(f) as outer:
            thread = stop_it(outer, begun)
            with pytest.raises(figwasp.Interrupted):
                outer.once(1)
            thread.join()
            assert inner.fib(10) == 55 == outer.fib(10)


def test_the_inner_call_alone() -> None:
    """The inner of two stores is interrupted: the host function between them may go on, and so may the outer one."""
    begun = threading.Event()
    caught: list[figwasp.Interrupted] = []
    with guest() as inner:

        def f(_: int) -> int:
            begun.set()
            try:
                inner.spin()
            except figwasp.Interrupted as error:
                caught.append(error)
            return int(inner.fib(20))

        with guest(f) as outer:
            thread = stop_it(inner, begun)
            assert outer.once(1) == 6765
            thread.join()
            assert len(caught) == 1 and outer.fib(20) == 6765


def test_catching_it_does_not_help() -> None:
    """A host function that goes on finds the next call ended, and so its own caller."""
    ends: list[str] = []
    begun = threading.Event()

    def f(x: int) -> int:
        for _ in range(3):
            try:
                begun.set()
                instance.spin()
            except figwasp.Interrupted:
                ends.append("inner")
        return x

    with guest(f) as instance:
        thread = stop_it(instance, begun)
        with pytest.raises(figwasp.Interrupted):
            instance.host()
        thread.join()
        assert ends == ["inner"] * 3 and instance.add(1, 2) == 3


def test_one_that_comes_as_a_call_ends_does_not_remain() -> None:
    """Each call ends well or with the exception; the next ones of the thread, in whatever store, know nothing of it."""
    with guest() as instance, guest() as other:
        over = threading.Event()

        def interrupt() -> None:
            while not over.is_set():
                instance.interrupt()

        thread = threading.Thread(target=interrupt)
        thread.start()
        outcomes = set()
        try:
            for _ in range(300):
                try:
                    outcomes.add(instance.fib(15))
                except figwasp.Interrupted:
                    outcomes.add(0)
                assert other.fib(15) == 610
        finally:
            over.set()
            thread.join()
        assert outcomes <= {0, 610}
        assert all(instance.fib(15) == 610 for _ in range(100))


@pytest.mark.parametrize("name", ["spin", "host", "sleep"])
def test_closing_ends_what_another_thread_runs(name: str) -> None:
    with guest() as instance:
        call = instance.exports[name]
        errors: list[BaseException] = []

        def run() -> None:
            try:
                call()
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        while not instance._state.store.runs_elsewhere:
            time.sleep(0.001)
        instance.close()
        thread.join()
        assert [type(error) for error in errors] == [figwasp.Interrupted]
        with pytest.raises(figwasp.Closed):
            call()


def test_closing_from_a_host_function_does_not() -> None:
    instances: list[Any] = []

    def f(x: int) -> int:
        instances[0].close()
        return x

    with guest(f) as instance:
        instances.append(instance)
        assert instance.once(5) == 5


def test_without_a_descriptor_for_an_event() -> None:
    """A process that has no descriptors left can still wait, and be interrupted."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    errors: list[BaseException] = []
    with guest() as instance:

        def run() -> None:
            try:
                instance.sleep()
            except BaseException as error:
                errors.append(error)

        highest = os.open(os.devnull, os.O_RDONLY)
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
        try:
            taken = []
            try:
                while True:
                    taken.append(os.open(os.devnull, os.O_RDONLY))
            except OSError:
                pass
            other = threading.Thread(target=run)
            other.start()
            stop_it(instance).join()
            other.join()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for host in (*taken, highest):
                os.close(host)
    assert [type(error) for error in errors] == [figwasp.Interrupted]
