"""Exceptions that cross between WebAssembly and Python: who catches what, what they carry, what tracebacks show."""

from __future__ import annotations

import asyncio
import gc
import math
import pickle
import traceback
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import figwasp
from figwasp import WasmException, load, wat
from figwasp.types import EXTERNREF, F32, F64, I32, I64, V128

CATCHER = """(module
  (import "" "host" (func $host (param i32)))
  (import "" "t" (tag $t (param i32 i64)))
  (tag $own (export "own") (param f64))
  (func $deep (param $n i32)
    (if (i32.eqz (local.get $n)) (then (call $host (i32.const 7)) (return)))
    (call $deep (i32.sub (local.get $n) (i32.const 1))))
  (func (export "all") (param $n i32) (result i32)
    (block $h (try_table (catch_all $h) (call $deep (local.get $n)) (return (i32.const 0))))
    (i32.const 1))
  (func (export "tagged") (param $n i32) (result i32 i64)
    (block $h (result i32 i64)
      (try_table (catch $t $h) (call $deep (local.get $n)))
      (i32.const 0) (i64.const 0)))
  (func (export "none") (param $n i32) (call $deep (local.get $n)))
  (func (export "again") (param $n i32)
    (block $h (result exnref)
      (try_table (catch_all_ref $h) (call $deep (local.get $n)))
      (return))
    (throw_ref))
  (func (export "reference") (param $n i32) (result exnref)
    (block $h (result exnref)
      (try_table (catch_all_ref $h) (call $deep (local.get $n)))
      (ref.null exn)))
  (func (export "throw_it") (param exnref) (throw_ref (local.get 0)))
  (func (export "throw_own") (param f64) (throw $own (local.get 0))))"""
TAG = figwasp.Tag([I32, I64])


def instance_of(host: Callable[[int], object]) -> Any:
    return load(wat(CATCHER), {"": {"host": host, "t": TAG}})


def raising(error: BaseException) -> Callable[[int], None]:
    def host(number: int) -> None:
        assert number == 7
        raise error

    return host


DEPTHS = [0, 1, 20, 500]


@pytest.mark.parametrize("depth", DEPTHS)
def test_python_throws_and_wasm_catches(depth: int) -> None:
    instance = instance_of(raising(WasmException(TAG, -3, 2**40)))
    assert instance.tagged(depth) == (-3, 2**40)
    assert instance.all(depth) == 1
    other = instance_of(raising(WasmException(figwasp.Tag([I32, I64]), 1, 2)))
    assert other.all(depth) == 1
    with pytest.raises(WasmException) as caught:
        other.tagged(depth)
    assert caught.value.args == (1, 2) and caught.value.tag is not TAG


@pytest.mark.parametrize("depth", DEPTHS)
def test_a_foreign_exception_keeps_its_identity(depth: int) -> None:
    error = ValueError("from the host")
    instance = instance_of(raising(error))
    assert instance.all(depth) == 1
    for name in ("none", "tagged", "again"):
        with pytest.raises(ValueError, match="from the host") as caught:
            instance.exports[name](depth)
        assert caught.value is error
    assert instance.reference(depth) is error
    with pytest.raises(ValueError, match="from the host") as caught:
        instance.throw_it(error)
    assert caught.value is error


class Stop(BaseException):
    pass


@pytest.mark.parametrize(
    "error",
    [
        KeyboardInterrupt(),
        SystemExit(3),
        GeneratorExit(),
        asyncio.CancelledError(),
        Stop(),
        figwasp.Trap("x"),
        figwasp.Timeout("x"),
        figwasp.Exit(0),
        figwasp.LimitExceeded("x"),
        RecursionError(),
        MemoryError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_cannot_be_caught(error: BaseException) -> None:
    instance = instance_of(raising(error))
    for name in ("all", "again", "reference"):
        with pytest.raises(type(error)) as caught:
            instance.exports[name](2)
        assert caught.value is error


def test_traps_cannot_be_caught() -> None:
    text = """(module (memory 1) (func $f (drop (i32.load (i32.const -1))))
      (func $g (drop (i32.div_u (i32.const 1) (i32.const 0)))) (func $h (call $h)) (func $i (loop $l (br $l)))
      (func (export "run") (param i32) (block $c (try_table (catch_all $c)
        (block $3 (block $2 (block $1 (block $0 (br_table $0 $1 $2 $3 (local.get 0)))
          (call $f)) (call $g)) (call $h)) (call $i)))))"""
    run = load(wat(text)).run
    for number, kind in enumerate((figwasp.Trap, figwasp.Trap, figwasp.Exhaustion, figwasp.Timeout)):
        with pytest.raises(kind):
            run(number, timeout=0.1 if number == 3 else None)


def test_an_exception_that_leaves_has_tag_arguments_and_frames() -> None:
    instance = instance_of(lambda _number: None)
    with pytest.raises(WasmException, match="2.5") as caught:
        instance.throw_own(2.5)
    error = caught.value
    assert error.tag is instance.exports.own and error.args == (2.5,)
    assert [frame.name for frame in error.frames] == ["throw_own"] and "throw_own" in error.backtrace
    assert isinstance(error, figwasp.Error)
    shown = "".join(traceback.format_exception(error))
    assert "throw_own" in shown and "<wasm>" in shown
    raised = instance_of(raising(error))
    with pytest.raises(WasmException) as again:
        raised.none(3)
    assert again.value is error
    assert "".join(traceback.format_exception(again.value)).count("in deep @") == 4


@pytest.mark.parametrize(
    ("type_", "value"),
    [(I32, -5), (I64, -(2**63)), (F32, 0.5), (F64, -math.inf), (V128, bytes(range(16))), (EXTERNREF, ["thing"]), (EXTERNREF, None)],
)
def test_what_exceptions_carry(type_: int, value: object) -> None:
    """Alone and among others, through WebAssembly and back."""
    types = [I32, type_, V128, type_, F32]
    values = [3, value, bytes(16), value, 1.5]
    names = " ".join(figwasp.types.type_name(one) for one in types)
    text = f"""(module (import "" "host" (func $host)) (import "" "t" (tag $t (param {names})))
      (func (export "run") (result {names}) (block $h (result {names}) (try_table (catch $t $h) (call $host)) unreachable))
      (func (export "through") (block $h (result {names}) (try_table (catch $t $h) (call $host)) unreachable) (throw $t)))"""
    tag = figwasp.Tag(types)

    def host() -> None:
        raise WasmException(tag, *values)

    instance = load(wat(text), {"": {"host": host, "t": tag}})
    assert instance.run() == tuple(values)
    with pytest.raises(WasmException) as caught:
        instance.through()
    assert caught.value.args == tuple(values)
    assert caught.value.args[1] is value or type_ != EXTERNREF


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (WasmException(TAG, 1), TypeError, "carries 2 values, got 1"),
        (WasmException(TAG, 1, "x"), TypeError, "value 2 of an exception must be an int"),
        (WasmException(TAG, 1 << 40, 0), OverflowError, "value 1 of an exception is out of range"),
        (WasmException("tag", 1), TypeError, "must be a figwasp.Tag, not str"),
    ],
)
def test_exceptions_that_do_not_fit_their_tag(error: WasmException, kind: type[Exception], message: str) -> None:
    instance = instance_of(raising(error))
    with pytest.raises(kind, match=message):
        instance.all(1)
    assert instance.all.type  # and it can go on
    assert instance_of(raising(ValueError())).all(1) == 1


def test_the_references_of_exceptions() -> None:
    instance = instance_of(lambda _number: None)
    assert instance.reference(1) is None
    with pytest.raises(figwasp.Trap, match="null exception reference"):
        instance.throw_it(None)
    with pytest.raises(TypeError, match="must be an exception"):
        instance.throw_it(5)
    with pytest.raises(WasmException) as caught:
        instance.throw_it(WasmException(TAG, 1, 2))
    assert caught.value.tag is TAG and caught.value.args == (1, 2)
    thrown = instance_of(raising(WasmException(TAG, 5, 6))).reference(0)
    assert thrown.tag is TAG and thrown.args == (5, 6)


def test_exceptions_through_several_entries() -> None:
    """What a nested call throws passes through Python, where it is an ordinary exception, and on to whoever catches it."""
    seen: list[object] = []

    def host(_number: int) -> None:
        try:
            inner.throw_own(1.0)
        except WasmException as error:
            seen.append(error.args)
            raise

    inner = instance_of(lambda _number: None)
    outer = instance_of(host)
    assert outer.all(3) == 1
    with pytest.raises(WasmException) as caught:
        outer.none(3)
    assert caught.value.tag is inner.exports.own and seen == [(1.0,), (1.0,)]


def test_exceptions_across_instances() -> None:
    text = """(module (import "a" "own" (tag $own (param f64))) (import "a" "throw_own" (func $f (param f64)))
      (func (export "run") (result f64) (block $h (result f64) (try_table (catch $own $h) (call $f (f64.const 2))) unreachable)))"""
    first = instance_of(lambda _number: None)
    assert load(wat(text), {"a": first.exports}).run() == 2.0
    another = instance_of(lambda _number: None)
    mixed = {"a": {"own": another.exports.own, "throw_own": first.exports.throw_own}}
    with pytest.raises(WasmException):
        load(wat(text), mixed).run()


def test_tags_are_checked_when_they_are_imported() -> None:
    text = '(module (import "" "t" (tag (param i32))))'
    load(wat(text), {"": {"t": figwasp.Tag([I32])}})
    for other in (figwasp.Tag(), figwasp.Tag([I64]), 5):
        with pytest.raises(figwasp.Incompatible):
            load(wat(text), {"": {"t": other}})
    with pytest.raises(ValueError, match="not a value type"):
        figwasp.Tag([99])
    assert repr(figwasp.Tag([I32, EXTERNREF])) == "<figwasp.Tag (i32, externref) -> ()>"


def test_a_tag_that_has_gone() -> None:
    """The exception is still one; nobody can tell what it carries."""
    holder = load(wat('(module (global $g (export "g") (mut exnref) (ref.null exn)) (func (export "f") (throw_ref (global.get $g))))'))
    text = """(module (import "" "g" (global $g (mut exnref))) (tag $t (param i32))
      (func (export "run") (block $h (result exnref)
        (try_table (catch_all_ref $h) (throw $t (i32.const 1))) unreachable) (global.set $g)))"""
    made = load(wat(text), {"": {"g": holder.exports.g}})
    made.run()
    del made
    gc.collect()
    with pytest.raises(WasmException) as caught:
        holder.f()
    assert caught.value.tag is None or caught.value.args == (1,)


def test_exceptions_are_copied_and_pickled() -> None:
    error = WasmException(None, 1, 2.0)
    copy = pickle.loads(pickle.dumps(error))
    assert copy.args == (1, 2.0) and copy.tag is None and str(copy) == "WebAssembly threw (1, 2.0)"


def test_async_host_functions() -> None:
    async def host(_number: int) -> None:
        await asyncio.sleep(0)
        raise WasmException(TAG, 1, 2)

    async def foreign(_number: int) -> None:
        await asyncio.sleep(0)
        raise ValueError("x")

    async def main() -> None:
        instance = load(wat(CATCHER), {"": {"host": host, "t": TAG}})
        assert await instance.acall.tagged(3) == (1, 2)
        assert await instance.acall.all(3) == 1
        instance = load(wat(CATCHER), {"": {"host": foreign, "t": TAG}})
        assert await instance.acall.all(3) == 1
        with pytest.raises(ValueError, match="x"):
            await instance.acall.again(3)
        task = asyncio.ensure_future(load(wat(CATCHER), {"": {"host": forever, "t": TAG}}).acall.all(3))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def forever(_number: int) -> None:
        await asyncio.sleep(1000)

    asyncio.run(main())


@pytest.mark.parametrize(("scopes", "calls"), [(2000, 4000), (20_000, 1), (40, 500)])
def test_what_is_caught_is_in_proportion_to_the_code(scopes: int, calls: int) -> None:
    """Every call of the innermost of many scopes is caught by all of them: such code is refused before it takes the memory."""
    text = "(module (tag $t) (func $f)\n(func (export \"run\") " + "(block (try_table (catch $t 0)\n" * scopes
    module = figwasp.Module(wat(text + "(call $f)\n" * calls + "))" * scopes + "))"))
    try:
        load(module).run()
    except figwasp.LimitExceeded:
        assert scopes > 40
    else:
        assert scopes == 40


@pytest.mark.parametrize("count", [0, 2, 12], ids=lambda count: f"{count} arguments")
def test_through_tail_calls_that_leave_the_instance(count: int) -> None:
    """A calls B, which is left by a tail call to C, which throws: A finds its own instance again, whatever the arguments."""
    params, args = "i64 " * count, "(i64.const 5) " * count
    last = load(wat(f"""(module (tag $t (export "t") (param i32)) (global $g (mut i32) (i32.const 300))
      (func (export "c") (param i64 {params}) (if (i64.eqz (local.get 0)) (then (throw $t (global.get $g))))))"""))
    middle = load(wat(f"""(module (import "" "c" (func $c (param i64 {params}))) (global $g (mut i32) (i32.const 20))
      (func (export "b") (param i64) (return_call $c (local.get 0) {args})))"""), {"": last.exports})
    first = load(wat("""(module (import "" "b" (func $b (param i64))) (import "" "t" (tag $t (param i32))) (global $g (mut i32) (i32.const 1))
      (func (export "a") (param i64) (result i32)
        (block $h (result i32) (try_table (catch $t $h) (call $b (local.get 0))) (i32.const 0)) (i32.add (global.get $g))))"""),
      {"": {"b": middle.exports.b, "t": last.exports.t}})  # fmt: skip
    for _ in range(3):
        assert [first.a(0), first.a(1)] == [301, 1]
        with pytest.raises(WasmException) as caught:
            middle.b(0)
        assert caught.value.args == (300,)


def test_threads_go_on_while_one_throws() -> None:
    """Exceptions in a loop that takes ticks: the GIL is given up and taken back, and signals are handled."""
    import threading

    text = """(module (import "" "h" (func $h)) (import "" "t" (tag $t (param i32)))
      (func (export "run") (param $n i32) (result i32) (local $sum i32)
        (loop $again
          (block $h (result i32) (try_table (catch $t $h) (call $h)) (i32.const 0))
          (local.set $sum (i32.add (local.get $sum)))
          (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $sum)))"""
    tag = figwasp.Tag([I32])

    def host() -> None:
        raise WasmException(tag, 2)

    results: list[int] = []

    def work() -> None:
        results.append(load(wat(text), {"": {"h": host, "t": tag}}).run(3000))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [6000] * 3


def test_listened_calls_that_an_exception_ends() -> None:
    """They are aborted at the next event of their chain, or when the call that has caught it ends."""
    events: list[str] = []

    class Diary:
        def __init__(self, info: figwasp.FuncInfo) -> None:
            self.name = info.name

        def before(self, _func: object, _args: object, depth: int) -> None:
            events.append(f"{self.name} {depth}")

        def after(self, _func: object, _results: object, _depth: int) -> None:
            events.append(f"{self.name} ends")

        def abort(self, _func: object, _error: object, _depth: int) -> None:
            events.append(f"{self.name} is aborted")

    text = """(module (tag $t) (func $inner (throw $t)) (func $outer (call $inner))
      (func $f (export "f") (block $h (try_table (catch $t $h) (call $outer)))))"""
    instance = load(wat(text), engine=figwasp.Engine(listener=Diary))
    instance.f()
    assert events == ["f 0", "outer 1", "inner 2", "inner is aborted", "outer is aborted", "f ends"]


def test_what_has_been_thrown_goes_with_the_instance() -> None:
    """Neither the exceptions nor the stores are kept, although something of these is used again for the next exception."""
    thrown: list[weakref.ref[BaseException]] = []
    stores: list[weakref.ref[object]] = []

    def host(_number: int) -> None:
        error = Thrown()
        thrown.append(weakref.ref(error))
        raise error

    def use() -> None:
        for _ in range(20):
            instance = instance_of(host)
            for _ in range(3):
                assert instance.all(1) == 1
                assert isinstance(instance.reference(2), Thrown)
            stores.append(weakref.ref(instance._state.store))

    use()
    gc.collect()
    gc.collect()
    assert len(thrown) == 120
    assert not [reference for reference in thrown + stores if reference() is not None]


class Thrown(Exception):
    """Can be referred to weakly."""


def test_a_program_that_ends_by_an_exception() -> None:
    text = '(module $m (tag $t (param i32)) (func $thrower (throw $t (i32.const 3))) (func (export "_start") (call $thrower)))'
    done = figwasp.run(wat(text), capture_output=True, text=True)
    assert done.returncode == 134
    assert done.stderr.startswith("figwasp: exception: WebAssembly threw (3)\n  wasm backtrace:\n    m!thrower")


def test_linkers_know_tags() -> None:
    linker = figwasp.Linker()
    linker.define("", "t", TAG)
    linker.define("", "host", raising(WasmException(TAG, 1, 2)))
    instance: Any = linker.instantiate(wat(CATCHER))
    assert instance.tagged(3) == (1, 2)


def test_every_clause_of_several_scopes() -> None:
    """The number of a clause counts the clauses of the inner scopes too, and tells each scope which of its own it is."""
    text = """(module (tag $0) (tag $1) (tag $2) (tag $3) (tag $4)
      (func $throw (param i32)
        (block $d (block $c (block $b (block $a (block $z (br_table $z $a $b $c $d (local.get 0)))
          (throw $0)) (throw $1)) (throw $2)) (throw $3)) (throw $4))
      (func (export "run") (param i32) (result i32)
        (block $h4 (block $h3 (block $h2 (block $h1 (block $h0
          (try_table (catch $3 $h3) (catch_all $h4)
            (try_table (catch $1 $h1) (catch $2 $h2)
              (try_table (catch $0 $h0) (call $throw (local.get 0))))))
          (return (i32.const 100))) (return (i32.const 101))) (return (i32.const 102))) (return (i32.const 103)))
        (i32.const 104)))"""
    run = load(wat(text)).run
    assert [run(number) for number in range(5)] == [100, 101, 102, 103, 104]
