"""What a collection keeps: whatever code, Python or a suspended call can still reach, wherever the only reference to it is.

FIGWASP_GC=stress makes a collection of every allocation, and fills what is free with something that is no reference.
"""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable

import pytest

import figwasp
from figwasp import layout
from figwasp.runtime.platform import linux
from tests.runtime.test_time import interrupt

TYPES = """(type $box (struct (field (mut i64)) (field (mut (ref null $box)))))
  (type $boxes (array (mut (ref null $box)))) (type $bytes (array (mut i8)))
  (func $new (param $n i64) (result (ref $box)) (struct.new $box (local.get $n) (ref.null $box)))
  (func $churn (param $n i32)
    (loop $again
      (drop (struct.new $box (i64.const -1) (ref.null $box)))
      (drop (array.new $bytes (i32.const 255) (i32.and (local.get $n) (i32.const 127))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
  (func $sum (param $b (ref null $box)) (result i64) (local $s i64)
    (block $done (loop $again
      (br_if $done (ref.is_null (local.get $b)))
      (local.set $s (i64.add (i64.mul (local.get $s) (i64.const 3)) (struct.get $box 0 (local.get $b))))
      (local.set $b (struct.get $box 1 (local.get $b)))
      (br $again)))
    (local.get $s))"""


@pytest.fixture
def stress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIGWASP_GC", "stress")


def load(text: str, imports: dict[str, dict[str, object]] | None = None, **settings: object) -> figwasp.Instance:
    engine = figwasp.Engine(**settings)  # type: ignore[arg-type]
    return figwasp.load(figwasp.Module(figwasp.wat(f"(module {text})"), engine=engine), imports)


def heap(instance: figwasp.Instance, field: int) -> int:
    """Return a field of the heap record of an instance's store."""
    return linux.read_u64(linux.read_u64(instance._state.store.current.record + layout.STORE_HEAP) + field)


@pytest.mark.usefixtures("stress")
class TestWhatIsKept:
    def test_values_across_a_host_function_that_calls_back(self) -> None:
        """They are in registers that native code preserves, or in the frame: more of them than there are registers."""
        names = [f"$v{k}" for k in range(14)]
        body = " ".join(f"(local.set {name} (call $new (i64.const {k + 5})))" for k, name in enumerate(names))
        after = " ".join(f"(local.set $s (i64.add (i64.mul (local.get $s) (i64.const 3)) (struct.get $box 0 (local.get {name}))))" for name in names)
        text = f"""(import "h" "back" (func $back)) {TYPES}
          (func (export "churn") (call $churn (i32.const 40)))
          (func (export "run") (result i64) (local $s i64) {" ".join(f"(local {name} (ref null $box))" for name in names)}
            {body} (call $back) {after} (local.get $s))"""
        instance: figwasp.Instance
        instance = load(text, {"h": {"back": lambda: instance.churn()}})
        expected = 0
        for k in range(14):
            expected = expected * 3 + k + 5
        assert instance.run() == expected
        assert heap(instance, layout.HEAP_COLLECTIONS) > 40

    def test_a_chain_that_only_its_first_object_refers_to(self) -> None:
        instance = load(
            f"""{TYPES} (func (export "run") (param $n i64) (result i64) (local $b (ref null $box))
              (loop $again
                (local.set $b (struct.new $box (local.get $n) (local.get $b)))
                (br_if $again (i32.eqz (i64.eqz (local.tee $n (i64.sub (local.get $n) (i64.const 1)))))))
              (call $churn (i32.const 30)) (call $sum (local.get $b)))"""
        )
        expected = 0
        for k in range(1, 61):
            expected = (expected * 3 + k) % 2**64
        assert instance.run(60) % 2**64 == expected

    @pytest.mark.parametrize("place", ["table", "global", "segment", "element", "field"])
    def test_places(self, place: str) -> None:
        keep = {
            "table": "(table.set $t (i32.const 3) (call $new (i64.const 77)))",
            "global": "(global.set $g (call $new (i64.const 77)))",
            "segment": "",
            "element": """(global.set $a (array.new_default $boxes (i32.const 9)))
              (array.set $boxes (global.get $a) (i32.const 8) (call $new (i64.const 77)))""",
            "field": "(global.set $g (struct.new $box (i64.const 0) (call $new (i64.const 77))))",
        }[place]
        find = {
            "table": "(table.get $t (i32.const 3))",
            "global": "(global.get $g)",
            "segment": "(array.get $boxes (array.new_elem $boxes $e (i32.const 0) (i32.const 2)) (i32.const 1))",
            "element": "(array.get $boxes (global.get $a) (i32.const 8))",
            "field": "(struct.get $box 1 (global.get $g))",
        }[place]
        instance = load(
            f"""{TYPES} (table $t 5 (ref null $box)) (global $g (mut (ref null $box)) (ref.null $box))
              (global $a (mut (ref null $boxes)) (ref.null $boxes))
              (elem $e (ref null $box) (item (ref.null $box)) (item (struct.new $box (i64.const 77) (ref.null $box))))
              (func (export "keep") {keep}) (func (export "churn") (call $churn (i32.const 20)))
              (func (export "find") (result i64) (struct.get $box 0 {find}))"""
        )
        instance.keep()
        for _ in range(3):
            instance.churn()
        assert instance.find() == 77

    def test_objects_of_constant_expressions(self) -> None:
        instance = load(
            f"""{TYPES} (global $g (ref $boxes) (array.new_fixed $boxes 3 (struct.new $box (i64.const 1) (ref.null $box))
                (struct.new $box (i64.const 2) (struct.new $box (i64.const 3) (ref.null $box))) (ref.null $box)))
              (table $t 4 (ref null $box) (struct.new $box (i64.const 5) (struct.new $box (i64.const 7) (ref.null $box))))
              (func (export "run") (result i64) (call $churn (i32.const 20))
                (i64.add (call $sum (array.get $boxes (global.get $g) (i32.const 1)))
                  (i64.mul (i64.const 100) (call $sum (table.get $t (i32.const 2))))))"""
        )
        assert instance.run() == 9 + 100 * 22

    def test_payloads_of_exceptions(self) -> None:
        instance = load(
            f"""{TYPES} (tag $t (param i64 (ref $box)))
              (func $throw (param $n i64) (throw $t (local.get $n) (struct.new $box (i64.const 6) (call $new (local.get $n)))))
              (func $pass (param $n i64) (block $h (result exnref)
                (try_table (catch_all_ref $h) (call $throw (local.get $n))) (unreachable)) (call $churn (i32.const 9)) (throw_ref))
              (func (export "run") (param $n i64) (result i64) (local $b (ref null $box))
                (block $h (result i64 (ref $box)) (try_table (catch $t $h) (call $pass (local.get $n))) (unreachable))
                (local.set $b) (drop) (call $churn (i32.const 9)) (call $sum (local.get $b)))"""
        )
        assert [instance.run(k) for k in (1, 10, 50)] == [19, 28, 68]

    def test_suspended_calls(self) -> None:
        async def wait(number: int) -> int:
            await asyncio.sleep(0)
            return number + 1

        instance = load(
            f"""(import "h" "wait" (func $wait (param i32) (result i32))) {TYPES}
              (func (export "run") (param $n i64) (result i64) (local $b (ref null $box)) (local $k i32)
                (local.set $b (struct.new $box (local.get $n) (call $new (i64.add (local.get $n) (i64.const 1)))))
                (loop $again
                  (local.set $k (call $wait (local.get $k)))
                  (br_if $again (i32.lt_u (local.get $k) (i32.const 5))))
                (call $sum (local.get $b)))
              (func (export "churn") (call $churn (i32.const 30)))""",
            {"h": {"wait": wait}},
        )

        async def main() -> list[int]:
            tasks = [asyncio.ensure_future(instance.acall.run(k)) for k in range(6)]
            for _ in range(4):
                await instance.acall.churn()
            return [await task for task in tasks]

        assert asyncio.run(main()) == [3 * k + k + 1 for k in range(6)]

    def test_objects_of_the_host(self) -> None:
        """In fields, elements and exceptions nobody counts them."""

        class Thing:
            pass

        watches: list[weakref.ref[Thing]] = []

        def make() -> Thing:
            thing = Thing()
            watches.append(weakref.ref(thing))
            return thing

        seen: list[object] = []
        instance = load(
            f"""(import "h" "make" (func $make (result externref))) (import "h" "see" (func $see (param externref))) {TYPES}
              (type $holder (struct (field (mut externref)) (field anyref)))
              (global $h (mut (ref null $holder)) (ref.null $holder))
              (func (export "keep") (global.set $h (struct.new $holder (call $make) (any.convert_extern (call $make)))) (drop (call $make)))
              (func (export "given") (param externref) (global.set $h (struct.new $holder (local.get 0) (ref.null any))))
              (func (export "churn") (call $churn (i32.const 40)))
              (func (export "show") (call $see (struct.get $holder 0 (global.get $h)))
                (call $see (extern.convert_any (struct.get $holder 1 (global.get $h)))))
              (func (export "forget") (global.set $h (ref.null $holder)))""",
            {"h": {"make": make, "see": seen.append}},
        )
        instance.keep()
        instance.churn()
        instance.show()
        assert seen == [watches[0](), watches[1]()] and None not in seen
        seen.clear()
        thing = Thing()
        watches.append(weakref.ref(thing))
        instance.given(thing)
        del thing
        instance.churn()
        instance.show()
        assert seen == [watches[3](), None] and watches[3]() is not None
        seen.clear()
        instance.forget()
        instance.churn()
        assert [watch() for watch in watches] == [None] * 4

    def test_functions(self) -> None:
        """The instance of a function that an object refers to stays."""
        holder = load(
            f"""{TYPES} (type $f (func (result i32))) (type $ref (struct (field (mut funcref))))
              (global $r (mut (ref null $ref)) (ref.null $ref))
              (func (export "keep") (param funcref) (global.set $r (struct.new $ref (local.get 0))))
              (func (export "churn") (call $churn (i32.const 20)))
              (func (export "call") (result i32) (call_ref $f (ref.cast (ref $f) (struct.get $ref 0 (global.get $r)))))"""
        )
        other = load('(global $g (mut i32) (i32.const 41)) (func (export "f") (result i32) (i32.add (global.get $g) (i32.const 1)))')
        holder.keep(other.f)
        del other
        gc.collect()
        holder.churn()
        assert holder.call() == 42

    def test_merged_stores(self) -> None:
        """Objects made before two stores become one are kept by what referred to them."""
        text = f"""{TYPES} (global $g (export "g") (mut (ref null $box)) (ref.null $box))
          (func (export "make") (param $n i64) (global.set $g (struct.new $box (local.get $n) (call $new (i64.const 1)))))
          (func (export "churn") (call $churn (i32.const 20)))
          (func (export "look") (result i64) (call $sum (global.get $g)))"""
        one, two = load(text), load(text)
        one.make(10)
        two.make(20)
        both = load(
            f"""(import "a" "look" (func $a (result i64))) (import "b" "look" (func $b (result i64))) {TYPES}
              (func (export "look") (result i64) (call $churn (i32.const 20)) (i64.add (i64.mul (call $a) (i64.const 1000)) (call $b)))""",
            {"a": {"look": one.look}, "b": {"look": two.look}},
        )
        for _ in range(2):
            assert both.look() == 31_061
            one.churn()
            two.churn()


def test_what_nothing_refers_to_goes() -> None:
    instance = load(f'{TYPES} (func (export "churn") (param i32) (call $churn (local.get 0)))')
    instance.churn(2_000_000)
    assert heap(instance, layout.HEAP_COLLECTIONS) > 5
    assert heap(instance, layout.HEAP_BYTES) < 20 << 20
    assert heap(instance, layout.HEAP_LIVE) < 1 << 16


def test_large_objects_come_and_go() -> None:
    instance = load(
        """(type $words (array (mut i64)))
        (func (export "run") (param $count i32) (result i64) (local $kept (ref null $words)) (local $a (ref null $words)) (local $s i64)
          (local.set $kept (array.new $words (i64.const 3) (i32.const 100000)))
          (loop $again
            (local.set $a (array.new_default $words (i32.const 50000)))
            (array.set $words (local.get $a) (i32.const 49999) (i64.const 1))
            (local.set $s (i64.add (local.get $s) (i64.add (array.get $words (local.get $a) (i32.const 49999))
              (array.get $words (local.get $a) (i32.const 25000)))))
            (br_if $again (local.tee $count (i32.sub (local.get $count) (i32.const 1)))))
          (i64.add (local.get $s) (array.get $words (local.get $kept) (i32.const 99999))))"""
    )
    assert instance.run(1000) == 1003
    assert heap(instance, layout.HEAP_BYTES) < 24 << 20


def test_a_deep_list_and_a_wide_array() -> None:
    instance = load(
        f"""{TYPES} (func (export "run") (param $n i32) (result i64) (local $a (ref null $boxes)) (local $b (ref null $box)) (local $k i32)
          (local.set $a (array.new_default $boxes (local.get $n)))
          (loop $again
            (local.set $b (struct.new $box (i64.extend_i32_u (local.get $k)) (local.get $b)))
            (array.set $boxes (local.get $a) (local.get $k) (struct.new $box (i64.const 1) (local.get $b)))
            (br_if $again (i32.lt_u (local.tee $k (i32.add (local.get $k) (i32.const 1))) (local.get $n))))
          (call $churn (i32.const 1000000))
          (i64.add (call $sum (array.get $boxes (local.get $a) (i32.const 2))) (call $sum (array.get $boxes (local.get $a) (i32.const 0)))))"""
    )
    assert instance.run(400_000) == ((1 * 3 + 2) * 3 + 1) * 3 + 0 + 3


@pytest.mark.parametrize(("size", "what"), [(1 << 20, "(struct.new $box (i64.const 0) (global.get $g))"), (16 << 20, "")])
def test_a_heap_has_a_limit(size: int, what: str) -> None:
    instance = load(
        f"""{TYPES} (global $g (mut (ref null $box)) (ref.null $box)) (global $b (mut (ref null $bytes)) (ref.null $bytes))
          (func (export "fill") (loop $again (global.set $g {what or "(call $new (i64.const 0))"}) (br $again)))
          (func (export "large") (param i32) (global.set $b (array.new_default $bytes (local.get 0))))
          (func (export "forget") (global.set $g (ref.null $box)) (global.set $b (ref.null $bytes)))
          (func (export "churn") (call $churn (i32.const 10000)))""",
        max_gc_heap=size,
    )
    for _ in range(3):
        if what:
            with pytest.raises(figwasp.Exhaustion, match="garbage-collected heap exhausted") as caught:
                instance.fill()
            assert caught.value.frames[0].func == 3
        with pytest.raises(figwasp.Exhaustion, match="garbage-collected heap exhausted"):
            instance.large(2**32 - 1)
        with pytest.raises(figwasp.Exhaustion, match="garbage-collected heap exhausted"):
            instance.large(size)
        instance.forget()
        instance.large(size // 4)
        instance.churn()
        assert heap(instance, layout.HEAP_BYTES) <= size


def test_an_object_of_a_constant_expression_may_be_too_large() -> None:
    with pytest.raises(figwasp.Exhaustion, match="garbage-collected heap exhausted"):
        load("(type $a (array i64)) (global (ref $a) (array.new_default $a (i32.const -1)))")


def test_a_heap_goes_with_its_store() -> None:
    space = load("")._state.store.native.stubs.heap.space
    free = sum(size * len(starts) for size, starts in space._free.items())
    instance = load(f'{TYPES} (func (export "churn") (call $churn (i32.const 10000)))')
    instance.churn()
    del instance
    gc.collect()
    assert sum(size * len(starts) for size, starts in space._free.items()) >= free


def run_until(call: Callable[[], object]) -> figwasp.Trap:
    with pytest.raises(figwasp.Trap) as caught:
        call()
    return caught.value


ENDLESS = f"""{TYPES} (global $g (mut (ref null $box)) (ref.null $box)) (global $n (mut i32) (i32.const 0))
  (func (export "loop") (loop $again
    (global.set $g (struct.new $box (i64.const 0) (global.get $g)))
    (if (i32.gt_u (global.get $n) (i32.const 3000000)) (then (global.set $g (ref.null $box)) (global.set $n (i32.const 0))))
    (global.set $n (i32.add (global.get $n) (i32.const 1)))
    (br $again)))"""


def test_a_timeout_ends_a_loop_of_allocations() -> None:
    assert isinstance(run_until(lambda: load(ENDLESS).loop(timeout=0.3)), figwasp.Timeout)


def test_fuel_ends_a_loop_of_allocations() -> None:
    instance = load(ENDLESS, fuel=5_000_000)
    assert isinstance(run_until(instance.loop), figwasp.OutOfFuel)


def test_an_interrupt_ends_a_loop_of_allocations() -> None:
    """Also while a collection goes on, which it is most of the time here."""
    instance = load(
        f"""{TYPES} (global $kept (mut (ref null $box)) (ref.null $box))
          (func (export "keep") (param $n i32) (loop $again
            (global.set $kept (struct.new $box (i64.const 0) (global.get $kept)))
            (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
          (func (export "loop") (loop $again (call $churn (i32.const 1000)) (br $again)))"""
    )
    instance.keep(1_000_000)
    with interrupt(), pytest.raises(KeyboardInterrupt):
        instance.loop()
    before = heap(instance, layout.HEAP_COLLECTIONS)
    with pytest.raises(figwasp.Timeout):
        instance.loop(timeout=1.0)
    assert heap(instance, layout.HEAP_COLLECTIONS) > before
