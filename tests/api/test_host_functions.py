"""Host functions: exceptions come out as themselves, results are checked, and wasm and Python nest."""

from __future__ import annotations

import contextlib
import functools
import gc
import math
import operator
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import figwasp
from tests.runtime.support import check_script, host, load

CALLS = """(module (import "host" "f" (func $f (param i32) (result i32)))
  (func $inner (export "inner") (param i32) (result i32) (i32.add (call $f (local.get 0)) (i32.const 1)))
  (func (export "outer") (param i32) (result i32) (call $inner (local.get 0))))"""


def caller(function: Callable[..., Any]) -> figwasp.Instance:
    """Load a module that calls `function` from a nested function."""
    return load(CALLS, host(f=function))


def test_arguments_and_result() -> None:
    """A host function gets plain numbers and its result is converted to the import's type."""
    got = []

    def f(x: int) -> int:
        got.append(x)
        return x * 2

    inst = caller(f)
    assert inst.outer(21) == 43 and inst.outer(2**32 - 1) == -1
    assert got == [21, -1]


@pytest.mark.parametrize(
    "error",
    [ValueError("x"), KeyError(3), SystemExit(7), KeyboardInterrupt(), StopIteration(4), GeneratorExit(), MemoryError()]
    + [figwasp.Trap("mine"), figwasp.Exit(3), RecursionError("r"), BaseException("base"), AssertionError()],
    ids=lambda e: type(e).__name__,
)
def test_exceptions_come_out_as_themselves(error: BaseException) -> None:
    """Whatever a host function raises reaches the caller as the same object; the instance goes on."""
    fail = [True]

    def f(x: int) -> int:
        if fail[0]:
            raise error
        return x

    inst = caller(f)
    for _ in range(3):
        fail[0] = True
        with pytest.raises(type(error)) as caught:
            inst.outer(1)
        assert caught.value is error
        fail[0] = False
        assert inst.outer(1) == 2


def test_exception_crosses_many_levels() -> None:
    """One exception object passes through Python, wasm, Python, wasm and so on, and each Python level may handle it."""
    error = LookupError("deep")
    seen: list[BaseException] = []

    def f(depth: int) -> int:
        if depth == 0:
            raise error
        try:
            result: int = inst.outer(depth - 1)
        except LookupError as caught:
            seen.append(caught)
            raise
        return result

    inst = caller(f)
    with pytest.raises(LookupError) as caught:
        inst.outer(20)
    assert caught.value is error and len(seen) == 20 and all(one is error for one in seen)
    names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    assert names.count("f") >= 21


def test_exception_handled_at_a_middle_level() -> None:
    """A host function may handle what came out of wasm and go on; its own wasm caller notices nothing."""

    def f(depth: int) -> int:
        if depth == 0:
            raise ValueError
        try:
            result: int = inst.outer(depth - 1)
        except ValueError:
            return 100
        return result

    inst = caller(f)
    assert inst.outer(0 + 5) == 105


def test_context_of_a_new_exception() -> None:
    """An exception raised while handling one that crossed wasm has it as its context."""

    def f(depth: int) -> int:
        if depth == 0:
            raise ValueError("first")
        try:
            result: int = inst.outer(depth - 1)
        except ValueError:
            raise KeyError("second")  # noqa: B904
        return result

    inst = caller(f)
    with pytest.raises(KeyError) as caught:
        inst.outer(1)
    assert isinstance(caught.value.__context__, ValueError)


def test_exception_state_of_the_caller_is_untouched() -> None:
    """A call inside an except clause leaves the exception being handled in place."""
    inst = caller(lambda x: x)
    try:
        raise ValueError("held")
    except ValueError as error:
        assert inst.outer(1) == 2
        assert sys.exc_info()[1] is error  # noqa: PT017


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        ("x", TypeError, r"result of host\.f\(\) must be an int \(i32\), not str"),
        (None, TypeError, r"result of host\.f\(\) must be an int \(i32\), not NoneType"),
        (1.0, TypeError, r"result of host\.f\(\) must be an int \(i32\), not float"),
        ((1,), TypeError, r"result of host\.f\(\) must be an int \(i32\), not tuple"),
        (2**32, OverflowError, r"result of host\.f\(\) is out of range for i32"),
        (-(2**31) - 1, OverflowError, r"result of host\.f\(\) is out of range for i32"),
        (10**40, OverflowError, r"result of host\.f\(\) is out of range for i32"),
    ],
)
def test_wrong_results(answer: object, error: type[Exception], text: str) -> None:
    """A result of the wrong type or out of range is an error that names the import and the type."""
    inst = caller(lambda x: answer)
    for _ in range(2):
        with pytest.raises(error, match=text):
            inst.outer(1)


def test_results_accept_what_arguments_accept() -> None:
    """Results may be bools, unsigned, or have __index__, as arguments may."""
    answers: list[Any] = [True, 2**32 - 1, -1, -(2**31)]
    inst = caller(lambda x: answers[x])
    assert [inst.outer(k) for k in range(4)] == [2, 0, 0, -(2**31) + 1]
    wide = load('(module (import "host" "f" (func $f (result i64))) (func (export "g") (result i64) (call $f)))', host(f=lambda: 2**64 - 1))
    assert wide.g() == -1


def test_error_of_a_result_is_raised_once() -> None:
    """An exception in __index__ of a result comes out as itself, after one attempt."""
    calls = []

    class Odd:
        def __index__(self) -> int:
            calls.append(1)
            raise ZeroDivisionError

    inst = caller(lambda x: Odd())
    with pytest.raises(ZeroDivisionError):
        inst.outer(1)
    assert len(calls) == 1


@pytest.mark.parametrize("answer", [0, False, "x", (), []])
def test_no_result_means_none(answer: object) -> None:
    """An import without results must return None."""
    inst = load('(module (import "host" "f" (func $f)) (func (export "g") (call $f)))', host(f=lambda: answer))
    with pytest.raises(TypeError, match=rf"result of host\.f\(\) must be None, not {type(answer).__name__}"):
        inst.g()


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (1, r"host\.f\(\) must return a tuple of 2 results, got int"),
        (None, r"host\.f\(\) must return a tuple of 2 results, got NoneType"),
        ((1,), r"host\.f\(\) must return a tuple of 2 results, got 1"),
        ((1, 2, 3), r"host\.f\(\) must return a tuple of 2 results, got 3"),
        ("ab", r"host\.f\(\) must return a tuple of 2 results, got str"),
        ((1, "x"), r"result 2 of host\.f\(\) must be a float \(f64\), not str"),
        (("x", 1), r"result 1 of host\.f\(\) must be an int \(i32\), not str"),
    ],
)
def test_wrong_number_of_results(answer: object, text: str) -> None:
    """Several results must be a tuple of that length, each of its type."""
    inst = load(
        '(module (import "host" "f" (func $f (result i32 f64))) (func (export "g") (result i32 f64) (call $f)))', host(f=lambda: answer)
    )
    with pytest.raises(TypeError, match=text):
        inst.g()


def test_wrong_signature_of_the_callable() -> None:
    """A callable that does not take the import's arguments is refused when linking, or if nobody can tell fails as any Python call would."""
    with pytest.raises(TypeError, match=r"host\.f must be a function \(i32\) -> i32, not .*<lambda>\(\), which cannot be called with 1 argument"):
        caller(lambda: 1)

    class Silent:
        __signature__ = "unknown"

        def __call__(self) -> int:
            return 1

    inst = caller(Silent())
    with pytest.raises(TypeError, match="positional argument"):
        inst.outer(1)


class Bound:
    """Callables of several kinds."""

    def __init__(self) -> None:
        self.total = 0

    def method(self, x: int) -> int:
        self.total += x
        return self.total

    def __call__(self, x: int) -> int:
        return -x

    @staticmethod
    def static(x: int) -> int:
        return x + 10

    @classmethod
    def class_(cls, x: int) -> int:
        return x + 20


def test_kinds_of_callables() -> None:
    """Bound methods, C builtins, types, partials, instances with __call__ and wasm functions all serve as imports."""
    bound = Bound()
    assert [caller(bound.method).outer(k) for k in (5, 6)] == [6, 12]
    assert caller(abs).outer(-5) == 6
    assert caller(int).outer(5) == 6
    assert caller(bool).outer(5) == 2
    assert caller(bound).outer(5) == -4
    assert caller(Bound.static).outer(5) == 16 and caller(bound.class_).outer(5) == 26
    assert caller(functools.partial(operator.add, 100)).outer(5) == 106
    assert caller(operator.neg).outer(5) == -4
    assert caller([7, 8, 9].__getitem__).outer(2) == 10
    assert caller(functools.lru_cache(lambda x: x * x)).outer(4) == 17
    assert caller(caller(abs).outer).outer(-5) == 7
    with pytest.raises(IndexError):
        caller([7, 8, 9].__getitem__).outer(3)


def test_floats_to_c_builtins() -> None:
    """Floats go to and come from C functions."""
    inst = load('(module (import "host" "f" (func $f (param f64 f64) (result f64))) (export "g" (func $f))'
                '(func (export "h") (param f64 f64) (result f64) (call $f (local.get 0) (local.get 1))))', host(f=math.hypot))  # fmt: skip
    assert inst.h(3.0, 4.0) == 5.0 and inst.g(3.0, 4.0) == 5.0
    with pytest.raises(TypeError, match="argument 2 of host.f"):
        inst.g(3.0, None)


def test_generators_drive_calls() -> None:
    """A generator may call wasm between its yields, and a host function may run a generator that calls wasm."""
    inst: figwasp.Instance

    def numbers() -> Iterator[int]:
        for k in range(5):
            yield inst.outer(k) if k else 0

    def f(x: int) -> int:
        return sum(numbers()) if x == 100 else x

    inst = caller(f)
    assert list(numbers()) == [0, 2, 3, 4, 5]
    assert inst.outer(100) == 15
    halfway = numbers()
    next(halfway)
    next(halfway)
    del halfway


def test_generator_suspended_inside_a_host_function() -> None:
    """A generator started in one call may be resumed in another and outside."""
    inst: figwasp.Instance

    def counting() -> Iterator[int]:
        k = 0
        while True:
            k += inst.inner(-k) if k % 3 == 2 else 1
            yield k

    running: Iterator[int] = iter(())

    def f(x: int) -> int:
        return next(running) if x > 0 else 0

    inst = caller(f)
    running = counting()
    found = [inst.outer(1), next(running), inst.outer(1), inst.outer(1)]
    assert found == [2, 2, 4, 5]


def test_reentry_into_the_same_instance() -> None:
    """A host function may call the instance that calls it, 200 levels deep and more, and change its state."""
    inst: figwasp.Instance

    def f(depth: int) -> int:
        return int(inst.down(depth - 1)) + 1 if depth else 0

    inst = load(
        """(module (import "host" "f" (func $f (param i32) (result i32))) (global $n (mut i32) (i32.const 0))
        (func (export "count") (result i32) (global.get $n))
        (func (export "down") (param i32) (result i32) (local i32 i64 f64)
          (local.set 1 (i32.mul (local.get 0) (i32.const 3))) (local.set 3 (f64.convert_i32_s (local.get 0)))
          (global.set $n (i32.add (global.get $n) (i32.const 1)))
          (i32.add (call $f (local.get 0)) (i32.sub (local.get 1) (i32.mul (i32.trunc_f64_s (local.get 3)) (i32.const 3))))))""",
        host(f=f),
    )
    assert inst.down(200) == 200
    assert inst.count() == 201


def test_recursion_through_python_ends_in_an_error() -> None:
    """Endless recursion through wasm and Python is a RecursionError or Exhaustion; the instance is usable after it."""

    def f(x: int) -> int:
        return int(inst.outer(x))

    inst = caller(f)
    for _ in range(3):
        with pytest.raises((RecursionError, figwasp.Exhaustion)):
            inst.outer(1)
    other = caller(lambda x: x)
    assert other.outer(1) == 2


def test_recursion_without_pythons_limit() -> None:
    """With Python's own limit out of the way the native and the wasm stack end the recursion, not a crash."""
    check_script("""
        import sys, threading, figwasp
        sys.setrecursionlimit(10**9)
        source = figwasp.wat('''(module (import "host" "f" (func $f (param i32) (result i32)))
          (func $go (export "go") (param i32) (result i32) (call $f (local.get 0)))
          (func (export "wide") (param i32) (result i32) (i32.add (i32.const 1) (call $go (local.get 0)))))''')

        def run():
            deepest = 0
            def f(x):
                nonlocal deepest
                deepest = max(deepest, x)
                return inst.wide(x + 1)
            inst = figwasp.load(source, {"host": {"f": f}})
            for _ in range(3):
                try:
                    inst.go(0)
                except (RecursionError, figwasp.Exhaustion):
                    pass
                else:
                    raise SystemExit("no error")
            assert deepest > 100, deepest
            ok = figwasp.load(source, {"host": {"f": abs}})
            assert ok.wide(-3) == 4

        run()
        for size in (256 << 10, 1 << 20, 64 << 20):
            threading.stack_size(size)
            failures = []
            def guarded():
                try:
                    run()
                except BaseException as error:
                    failures.append(error)
            thread = threading.Thread(target=guarded)
            thread.start()
            thread.join()
            assert not failures or size == 256 << 10 and isinstance(failures[0], AssertionError), failures
    """)


def test_host_function_loads_an_instance_that_imports_the_running_one() -> None:
    """While an instance runs, a host function may load another that imports it and call through both."""
    inst: figwasp.Instance
    made: list[figwasp.Instance] = []

    def f(x: int) -> int:
        if x == 0:
            return 7
        made.append(
            load(
                '(module (import "a" "inner" (func $in (param i32) (result i32)))'
                '(func (export "g") (param i32) (result i32) (i32.mul (call $in (local.get 0)) (i32.const 10))))',
                {"a": inst},
            )
        )
        return int(made[-1].g(x - 1))

    inst = caller(f)
    assert inst.outer(3) == (((7 + 1) * 10 + 1) * 10 + 1) * 10 + 1
    assert made[0].g(0) == 80
    made.clear()
    gc.collect()
    assert inst.outer(1) == 81


def test_host_function_drops_its_own_instance() -> None:
    """A host function may drop every name of the instance that is calling it."""
    holder: dict[str, figwasp.Instance] = {}

    def f(x: int) -> int:
        holder.clear()
        gc.collect()
        return x + 1

    for _ in range(5):
        holder["inst"] = caller(f)
        assert holder["inst"].exports.outer(1) == 3


def test_host_function_grows_what_wasm_uses() -> None:
    """Memory and table grown by a host function, and code compiled meanwhile, are seen by the running function."""
    inst: figwasp.Instance

    def grow() -> None:
        inst.memory.grow(1)
        inst.memory.write_u32(65536 + 4, 99)
        inst.table.grow(5, inst.exports.late)

    inst = load(
        """(module (import "host" "grow" (func $grow)) (memory (export "memory") 1) (table $t (export "table") 1 funcref)
        (type $v (func (result i32)))
        (func $late (export "late") (type $v) (i32.const 5))
        (func (export "go") (result i32 i32 i32 i32) (call $grow) (i32.load (i32.const 65540)) (memory.size) (table.size $t)
          (call_indirect $t (type $v) (i32.const 5))))""",
        host(grow=grow),
    )
    assert inst.go() == (99, 2, 6, 5)


def test_host_function_called_from_another_thread_while_idle() -> None:
    """An instance made in one thread may be used in another when it does not run."""
    inst = caller(lambda x: x + threading.get_native_id() * 0)
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(inst.outer(1)))
    thread.start()
    thread.join()
    assert found == [2] and inst.outer(1) == 2


def test_system_exit_ends_the_process() -> None:
    """SystemExit from a host function ends the interpreter with its status when nobody handles it."""
    from tests.runtime.support import run_script

    done = run_script("""
        import sys, figwasp
        inst = figwasp.load(figwasp.wat('(module (import "h" "exit" (func $e (param i32))) (func (export "go") (call $e (i32.const 9))))'),
                            {"h": {"exit": sys.exit}})
        inst.go()
    """)
    assert (done.returncode, done.stderr) == (9, "")


def test_trap_inside_nested_chain() -> None:
    """A trap in an inner call reaches the host function between as a Trap, with the frames of the inner chain first."""
    caught: list[figwasp.Trap] = []

    def f(x: int) -> int:
        try:
            inst.fail()
        except figwasp.Trap as trap:
            caught.append(trap)
            if x:
                raise
        return 5

    inst = load(
        """(module (import "host" "f" (func $f (param i32) (result i32)))
        (func $fail (export "fail") (unreachable))
        (func $go (export "go") (param i32) (result i32) (i32.add (call $f (local.get 0)) (i32.const 1))))""",
        host(f=f),
    )
    assert inst.go(0) == 6
    with pytest.raises(figwasp.Trap, match="unreachable") as error:
        inst.go(1)
    assert error.value is caught[1]
    assert caught[0].frames[0].name == "fail"


def test_context_managers_see_the_exception() -> None:
    """Cleanup code between the levels runs in order."""
    order: list[str] = []

    @contextlib.contextmanager
    def noting(name: str) -> Iterator[None]:
        try:
            yield
        finally:
            order.append(name)

    def f(depth: int) -> int:
        with noting(str(depth)):
            if depth == 0:
                raise OSError("end")
            return int(inst.outer(depth - 1))

    inst = caller(f)
    with pytest.raises(OSError, match="end"):
        inst.outer(4)
    assert order == ["0", "1", "2", "3", "4"]
