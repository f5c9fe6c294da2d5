"""How long objects of the heap live, whose they are, and where they go: stores, threads, collections, host functions, the other heap."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest

import figwasp
from figwasp import Array, Struct, WasmException, load, types, wat
from tests.api.heap.guests import SHAPES, point_of
from tests.runtime.support import check_script, settle


@pytest.fixture
def inst() -> Any:
    return load(wat(SHAPES))


# References in and out


def test_an_object_is_the_same_reference_everywhere(inst: Any) -> None:
    point, array = inst.point(1, 2), inst.bytes(3)
    for _ in range(30):
        assert inst.any(point) == point == inst.extern(point) and inst.eq(point, point) == 1 == inst.inside(point)
        assert inst.outside(point) == point and inst.both(array, 2.5) == (2.5, array) and inst.inside(array) == 0
        assert inst.any("x") == "x" == inst.extern("x") and inst.inside("x") == 0 and inst.outside(None) is None
    assert type(inst.extern(array)) is type(array) and type(inst.extern(point)) is type(point)
    inst.kept.value = point
    assert inst.kept.value == point
    inst.table[1] = array
    inst.table.grow(2, point)
    assert list(inst.table) == [None, array, None, None, point, point]
    with pytest.raises(TypeError, match=r"argument 1 of eq\(\) must be an int \(eqref\), not str"):
        inst.eq("x", None)
    assert inst.eq(5, 5) == 1 and inst.eq(point, array) == 0


def test_host_functions() -> None:
    text = """(module (type $t (struct (field $n (mut i32))))
      (import "h" "typed" (func $typed (param (ref $t)) (result (ref null $t))))
      (import "h" "plain" (func $plain (param externref i32)))
      (import "h" "both" (func $both (param externref) (result externref anyref)))
      (func (export "typed") (param i32) (result i32) (struct.get $t 0 (call $typed (struct.new $t (local.get 0)))))
      (func (export "plain") (param i32) (call $plain (extern.convert_any (struct.new $t (local.get 0))) (local.get 0)))
      (func (export "both") (result externref anyref) (call $both (extern.convert_any (struct.new $t (i32.const 3))))))"""
    seen: list[Any] = []

    def typed(thing: Any) -> Any:
        thing.n += 1
        return Struct(instance, "t", [thing.n * 10]) if thing.n < 100 else None if thing.n > 200 else "other"

    def plain(thing: Any, number: int) -> None:
        seen.append((thing, number))

    instance: Any = load(wat(text), {"h": {"typed": typed, "plain": plain, "both": lambda one: (one, one)}})
    assert instance.typed(4) == 50
    with pytest.raises(figwasp.Trap):
        instance.typed(500)
    with pytest.raises(TypeError, match=r"result of h.typed\(\) must be an object of WebAssembly \(\(ref null 0\)\), not str"):
        instance.typed(150)
    for number in range(30):  # the last ones by code made for the type
        instance.plain(number)
    assert [(thing.n, number) for thing, number in seen] == [(number, number) for number in range(30)]
    one, other = instance.both()
    assert one == other and one.n == 3


def test_calls_that_wait() -> None:
    text = """(module (type $t (struct (field $n (mut i32)))) (import "h" "later" (func $later (param anyref) (result anyref)))
      (func (export "f") (param anyref) (result anyref externref)
        (call $later (local.get 0)) (extern.convert_any (struct.new $t (i32.const 9)))))"""

    async def later(thing: Any) -> Any:
        await asyncio.sleep(0)
        gc.collect()
        return Array(instance, types.ArrayType(types.FieldType("anyref")), [thing, thing.n])

    instance: Any = load(wat(text), {"h": {"later": later}})

    async def main() -> None:
        point = Struct(instance, "t", [4])
        array, other = await instance.acall.f(point)
        assert list(array) == [point, 4] and other.n == 9

    asyncio.run(main())


def test_exceptions_carry_objects(inst: Any) -> None:
    tag = figwasp.Tag([types.ANYREF, types.EXTERNREF])
    thrower: Any = load(
        wat("""(module (import "" "t" (tag $t (param anyref externref)))
          (func (export "throw") (param anyref externref) (throw $t (local.get 0) (local.get 1))))"""),
        {"": {"t": tag}},
    )
    array = Array(thrower, types.ArrayType(types.FieldType("i8")), b"abc")
    with pytest.raises(WasmException) as caught:
        thrower.throw(array, array)
    assert caught.value.args == (array, array) and bytes(caught.value.args[0]) == b"abc"


def test_listeners_see_objects() -> None:
    seen: list[Any] = []

    class Listener:
        def before(self, func: figwasp.FuncInfo, args: tuple[object, ...], depth: int) -> None:
            seen.append(args)

        def after(self, func: figwasp.FuncInfo, results: tuple[object, ...], depth: int) -> None:
            seen.append(results)

    instance: Any = load(wat(SHAPES), engine=figwasp.Engine(listener=lambda info: Listener() if info.name == "same" else None))
    point = instance.point(1, 2)
    instance.same(point)
    assert seen == [(point,), (point,)]


# Lives


def test_an_object_outlives_its_instance() -> None:
    instance: Any = load(wat(SHAPES))
    point, array, ints = instance.point(1, 2), instance.bytes(4), Array(instance, "ints", [1, 2, 3])
    point.next = point_of(instance)
    row = Array(instance, "row", [point, "text", instance.sum])
    instance.close()
    with pytest.raises(figwasp.Closed):
        row[2](array)
    del instance
    settle()
    point.x = 7
    assert list(point) == [7.0, 2, point.next] and point.next.x == 3.0 and list(ints) == [1, 2, 3]
    assert row[0] == point and row[1] == "text"
    row[1] = row[0].next
    assert row[1].y == 4
    memoryview(array)[3] = 9
    assert list(array) == [0, 0, 0, 9]


def test_the_store_goes_with_the_last_handle() -> None:
    class Thing:
        pass

    instance: Any = load(wat(SHAPES))
    thing = Thing()
    row = Array(instance, "row", [thing])
    watch, store = weakref.ref(thing), weakref.ref(instance._state.store)
    del thing, instance
    settle()
    assert watch() is row[0] and store() is not None
    del row
    settle()
    assert watch() is None and store() is None


def test_a_view_keeps_its_array(inst: Any) -> None:
    view = memoryview(Array(inst, "ints", [1, 2, 3]))[1:]
    point = memoryview(Array(inst, "longs", 10_000))  # a large object
    inst.close()
    del inst
    settle()
    other: Any = load(wat(SHAPES))
    other.garbage(30_000)
    assert view.tolist() == [2, 3] and not any(point)
    view[0] = 5
    held: Any = view.obj
    assert held[1] == 5


def test_dropped_objects_are_collected(inst: Any) -> None:
    engine = figwasp.Engine(max_gc_heap=4 << 20)
    instance: Any = load(wat(SHAPES), engine=engine)
    kept = [instance.point(k, k) for k in range(100)]
    for _ in range(2000):
        instance.bytes(20_000)
        Array(instance, "ints", range(100))
    assert [(one.x, one.y) for one in kept] == [(k, k) for k in range(100)]


def test_a_cycle_through_both_heaps_goes_with_its_store(inst: Any) -> None:
    class Thing:
        def __init__(self, handle: object) -> None:
            self.handle = handle

    row = Array(inst, "row", 2)
    thing = Thing(row)
    row[0] = thing
    watch = weakref.ref(thing)
    del row, thing
    settle()
    inst.garbage(200_000)
    assert watch() is not None  # which the documentation says
    assert inst.closed is False
    inst.close()
    del inst
    settle()
    gc.collect()
    assert watch() is None


def test_functions_in_objects_stay() -> None:
    owner: Any = load(wat(SHAPES))
    other: Any = load(wat('(module (func $seven (export "seven") (result i32) (i32.const 7)))'))
    calls = Array(owner, "calls", 3)
    calls[1] = other.seven
    made = Array(owner, "calls", [other.seven])
    del other
    settle()
    load(wat('(module (func (export "eight") (result i32) (i32.const 8)))')).eight()
    assert calls[1]() == 7 and made[0]() == 7 and calls[1] == made[0]


# Stores


def test_an_object_of_another_store(inst: Any) -> None:
    other: Any = load(wat(SHAPES))
    point, row = inst.point(1, 2), Array(inst, "row", 1)
    message = "which belongs to another store: to instances that are not linked with these"
    for call, what in (
        (lambda: other.x(point), r"argument 1 of x\(\)"),
        (lambda: other.any(row), r"argument 1 of any\(\)"),
        (lambda: other.extern(point), r"argument 1 of extern\(\)"),
        (lambda: other.point(1, 2).__setitem__(2, point), r"field 2 \(next\) of a structure"),
        (lambda: Struct(other, "point", [1, 2, point]), r"field 2 \(next\) of a structure"),
        (lambda: Array(other, "row", [None, row]), "element 1"),
        (lambda: other.table.__setitem__(0, point), "a table element"),
        (lambda: setattr(other.kept, "value", point), "the value of a global"),
        (lambda: figwasp.Global("anyref", point), "the value of a global"),
        (lambda: figwasp.Table("externref", 1, value=point), "a table element"),
    ):
        with pytest.raises(ValueError, match=f"{what} is <figwasp.*, {message}"):
            call()
    assert inst.x(point) == 1.0 and other.table[0] is None and other.kept.value is None


def test_stores_that_have_become_one(inst: Any) -> None:
    """Objects from before and after belong to both instances; each heap goes on."""
    other: Any = load(wat(SHAPES))
    before, others = inst.point(1, 2), other.point(3, 4)
    rows = [Array(one, "row", [thing, "kept"]) for one, thing in ((inst, before), (other, others))]
    linking: Any = load(wat("""(module (type $point (struct (field (mut f64)) (field (mut i32)) (field (mut (ref null $point)))))
      (import "a" "x" (func $x (param (ref $point)) (result f64))) (import "b" "x" (func $y (param (ref $point)) (result f64)))
      (func (export "x") (param (ref $point) (ref $point)) (result f64)
        (f64.add (call $x (local.get 0)) (call $y (local.get 1)))))"""), {"a": inst, "b": other})  # fmt: skip
    assert linking.x(before, others) == 4.0 == linking.x(others, before) and other.x(before) == 1.0
    others.next = before
    rows[1][1] = rows[0]
    inst.garbage(30_000)
    other.garbage(30_000)
    assert others.next == before and rows[1][1] == rows[0] and rows[0][1] == "kept" and list(before) == [1.0, 2, None]
    table = figwasp.Table("anyref", 1)
    load(wat('(module (import "" "t" (table 1 anyref)) (import "a" "x" (func (param (ref $p)) (result f64)))'
             ' (type $p (struct (field (mut f64)) (field (mut i32)) (field (mut (ref null $p))))))'), {"": {"t": table}, "a": inst})  # fmt: skip
    table[0] = others
    assert table[0].next == before


# Threads


def test_another_thread_reads_numbers_only(inst: Any) -> None:
    """While a call runs elsewhere, numbers are there to be read and written; references have to wait for it."""
    text = '(module (import "h" "wait" (func $wait)) (func (export "f") (call $wait)))'
    inside, over = threading.Event(), threading.Event()

    def wait() -> None:
        inside.set()
        over.wait()

    running: Any = load(wat(text), {"h": {"wait": wait}})
    array = Array(running, types.ArrayType(types.FieldType("i32", True)), [1, 2])
    row = Array(running, types.ArrayType(types.FieldType("anyref", True)), [array])
    pair = Struct(running, types.StructType([types.FieldType("i32", True), types.FieldType("anyref", True)]), [1, array])
    thread = threading.Thread(target=running.f)
    thread.start()
    inside.wait()
    try:
        array[0] = 5
        pair[0] = 6
        assert list(array) == [5, 2] and memoryview(array)[0] == 5 and pair[0] == 6 and len(row) == 1
        assert repr(pair) == "<figwasp.Struct 6 ...>" and array == array and hash(row) == hash(row)
        for do in (
            lambda: row[0],
            lambda: row[:],
            lambda: list(row),
            lambda: pair[1],
            lambda: row.__setitem__(0, None),
            lambda: pair.__setitem__(1, None),
            lambda: row.__setitem__(slice(None), [None]),
            lambda: Array(running, row.type, 1),
            lambda: Struct(running, pair.type),
        ):
            with pytest.raises(figwasp.Busy):
                do()
    finally:
        over.set()
        thread.join()
    assert row[0] == array == pair[1]


def test_handles_of_several_threads() -> None:
    """Each thread has an instance; handles are made and dropped everywhere, while others collect."""
    wrong: list[object] = []

    def work(number: int) -> None:
        try:
            instance: Any = load(wat(SHAPES), engine=figwasp.Engine(max_gc_heap=8 << 20))
            kept = [instance.point(number, k) for k in range(200)]
            for _ in range(5):
                instance.garbage(5000)
                row = Array(instance, "row", kept)
                if [one.y for one in row] != [*range(200)]:
                    wrong.append(number)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# Collections at every allocation


@pytest.mark.parametrize("name", ["structs", "arrays", "making"])
def test_under_stress(name: str) -> None:
    """The other tests, with a collection at every allocation."""
    path = Path(__file__).with_name(f"test_{name}.py")
    skipped = "limit or long or forgotten or numpy"
    code = f"""
        import contextlib, io, pytest
        with contextlib.redirect_stdout(io.StringIO()) as said:
            status = pytest.main(["-q", "-p", "no:cacheprovider", "-k", "not ({skipped})", {str(path)!r}])
        assert status == 0, said.getvalue()
    """
    check_script(code, env={"FIGWASP_GC": "stress"})


def test_finalizers_that_collect() -> None:
    """Objects of Python go at odd moments, and their finalizers allocate, which collects: nothing on its way is lost."""
    check_script(
        """
        import gc
        from figwasp import Array, Struct, load, wat
        from tests.api.heap.guests import SHAPES

        gc.set_threshold(1, 1, 1)
        inst = load(wat(SHAPES))

        class Noisy:
            def __init__(self):
                self.me = self
            def __del__(self):
                inst.garbage(2)

        for round in range(60):
            Noisy()
            row = Array(inst, "row", [inst.point(k, k) for k in range(8)])
            for k, one in enumerate(row):
                Noisy()
                assert (one.x, one.y) == (k, k)
                one.next = inst.point(k + 1, k + 1)
                assert one.next.y == k + 1
            other = Struct(inst, "point", [1, 2, Struct(inst, "point", [3, 4, Struct(inst, "point", [5, 6, None])])])
            assert inst.extern(other).next.next.y == 6 and inst.both(other, 1.0)[1].x == 1.0
            assert [one.y for one in row[2:4]] == [2, 3]
        """,
        env={"FIGWASP_GC": "stress"},
    )
