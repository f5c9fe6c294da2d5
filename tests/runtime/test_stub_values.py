"""Values on their way through the stubs: small ints and floats read in place, cells for objects, tuples of results."""

from __future__ import annotations

import gc
import math
import sys
import threading
import time
import weakref
from typing import Any

import pytest

import figwasp
from figwasp import layout
from figwasp.runtime.platform import interpreter
from figwasp.runtime.platform.linux import read_u64, write_u64
from tests.runtime.support import check_script, host, load

NUMBERS = """(module
  (import "host" "i" (func $i (param i32) (result i32))) (import "host" "l" (func $l (param i64) (result i64)))
  (import "host" "f" (func $f (param f32) (result f32))) (import "host" "d" (func $d (param f64) (result f64)))
  (import "host" "all" (func $all (param i32 i64 f32 f64) (result i32 i64 f32 f64)))
  (func (export "i") (param i32) (result i32) (call $i (local.get 0))) (func (export "l") (param i64) (result i64) (call $l (local.get 0)))
  (func (export "f") (param f32) (result f32) (call $f (local.get 0))) (func (export "d") (param f64) (result f64) (call $d (local.get 0)))
  (func (export "all") (param i32 i64 f32 f64) (result i32 i64 f32 f64)
    (call $all (local.get 0) (local.get 1) (local.get 2) (local.get 3))))"""

CHECKS = """
def check(inst, figwasp):
    import math
    edges = {sign * ((1 << bit) + near) for bit in (0, 1, 8, 29, 30, 31, 32, 45, 59, 60, 61, 62, 63, 64, 90)
             for near in (-2, -1, 0, 1, 2) for sign in (1, -1)}
    for number in sorted(edges):
        for call, bits in ((inst.i, 32), (inst.l, 64)):
            if -(1 << (bits - 1)) <= number < 1 << bits:
                assert call(number) == (number + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1)), number
            else:
                try:
                    call(number)
                except OverflowError:
                    continue
                raise SystemExit(f"{number} of {bits} bits")
    class Int(int):
        pass
    class Float(float):
        pass
    class Index:
        def __index__(self):
            return 9
    for value, number in ((True, 1), (False, 0), (Int(7), 7), (Int(-(1 << 30)), -(1 << 30)), (Index(), 9)):
        assert inst.i(value) == inst.l(value) == number and inst.d(value) == inst.f(value) == float(number)
        assert inst.all(value, value, value, value) == (number, number, float(number), float(number))
    for value in (0.0, -0.0, 1.5, 1e308, 5e-324, float("inf"), Float(2.5), 3, 1 << 60):
        assert inst.d(value) == value and math.copysign(1, inst.d(value)) == math.copysign(1, value)
    assert math.isnan(inst.d(float("nan"))) and inst.f(1e300) == float("inf") and inst.f(0.1) != 0.1
    for value in ("1", b"1", None, [], 1j, object()):
        for call in (inst.i, inst.l, inst.f, inst.d):
            try:
                call(value)
            except TypeError:
                continue
            raise SystemExit(f"{value!r}")
    for value in (1.5, 1.0):
        for call in (inst.i, inst.l):
            try:
                call(value)
            except TypeError:
                continue
            raise SystemExit(f"{value!r}")
"""


def identity(value: Any) -> Any:
    """Return what comes."""
    return value


def numbers() -> figwasp.Instance:
    """Load the module of numbers."""
    return load(NUMBERS, host(i=identity, l=identity, f=identity, d=identity, all=lambda *values: values))


def test_numbers_at_their_edges() -> None:
    """Ints of every length, their subclasses, bools and floats arrive and come back as they should, both ways."""
    scope: dict[str, Any] = {}
    exec(CHECKS, scope)
    scope["check"](numbers(), figwasp)


def test_numbers_where_the_layout_is_not_known() -> None:
    """On a build that lays numbers out in another way the C API converts them: same results."""
    check_script(
        CHECKS
        + f'''
import figwasp
from figwasp.runtime.platform import interpreter
assert interpreter.INTS and interpreter.SINGLE_INTS and interpreter.FLOATS and interpreter.TUPLE_ITEMS
interpreter.INTS, interpreter.COUNTS, interpreter.SINGLE_INTS = 0, 0, False
interpreter.FLOATS, interpreter.TUPLE_ITEMS = False, 0
f = lambda x: x
inst = figwasp.load(figwasp.wat("""{NUMBERS}"""), {{"host": dict(i=f, l=f, f=f, d=f, all=lambda *values: values)}})
check(inst, figwasp)
'''
    )


LAYOUTS: dict[str, list[tuple[str, Any]]] = {
    "signed ints": [("INT_SIZE", 8), ("INT_DIGIT", 16), ("INT_DIGIT", 28)],
    "tagged ints": [("INT_SIZE", 8), ("INT_DIGIT", 16), ("INT_DIGIT", 28)],
    "whole counts": [("OB_COUNT", 8), ("OB_COUNT", 4)],
    "low counts": [("OB_COUNT", 8), ("OB_COUNT", 4)],
    "array of ints": [("INT_STRIDE", 64), ("SINGLETONS", (-5, 5000))],
    "floats": [("FLOAT_VALUE", 8)],
    "plain tuples": [("TUPLE_SIZE", 8), ("_ITEMS_AT_ONCE", 32)],
    "hashed tuples": [("TUPLE_SIZE", 8), ("_ITEMS_BEHIND_HASH", 24)],
    "types of objects": [("OB_TYPE", 0)],
    "thread states": [("_BLOCK_SELF", 8)],
    "built-in functions": [("_DEFINITION_CODE", 24), ("_DEFINITION_FLAGS", 24)],
}


@pytest.mark.parametrize("row", interpreter.ASSUMPTIONS, ids=lambda row: row.name)
def test_probes_notice(row: interpreter.Assumption, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row holds on the versions that it is for, its probe succeeds there alone, and notices a field that stands elsewhere."""
    known = row.since <= sys.version_info[:2] <= row.until and not (hasattr(sys, "gettotalrefcount") and "counts" in row.name)
    assert row.holds() == row.probe() == known
    for name, value in LAYOUTS[row.name] if known else ():
        with monkeypatch.context() as patch:
            patch.setattr(interpreter, name, value)
            assert not row.probe()
    assert not row._replace(until=(3, 10)).holds()


def test_which_ints_are_single() -> None:
    """They are those that CPython has one object each of: it has more of them from 3.15 on."""
    first, last = interpreter.SINGLETONS
    for number in (first, 0, 7, 256, last):
        assert int(str(number)) is int(str(number))
    for number in (first - 1, last + 1):
        assert int(str(number)) is not int(str(number))
    assert (first, last) == (-5, 256 if sys.version_info < (3, 15) else 1024)


# Arguments of host functions in objects that are used again


def test_arguments_that_are_kept_stay_as_they_were() -> None:
    """Whoever keeps an argument keeps its value, whatever later calls pass; so does a call within a call."""
    kept: list[tuple[Any, ...]] = []

    def keep(*values: Any) -> tuple[Any, ...]:
        kept.append(values)
        return values

    inst = load(NUMBERS, host(i=identity, l=identity, f=identity, d=identity, all=keep))
    rounds = [(n * 1000, n << 40, n + 0.5, n + 0.25) for n in (*range(-300, 300), 1 << 20)]
    for values in rounds:
        inst.exports.all(*values)
    assert kept == rounds


def test_calls_within_calls_have_arguments_of_their_own() -> None:
    """A host function that calls the guest again finds its own arguments unchanged afterwards, in every frame."""

    def down(*values: Any) -> tuple[Any, ...]:
        before = repr(values)
        if values[0] > 1000:
            inner = inst.exports.all(values[0] - 1, values[1] - 1, values[2] - 1, values[3] - 1)
            assert inner == tuple(value - 1 for value in values)
        assert repr(values) == before
        return values

    inst = load(NUMBERS, host(i=identity, l=identity, f=identity, d=identity, all=down))
    assert inst.exports.all(1050, 1 << 45, 70000.5, 1e9) == (1050, 1 << 45, 70000.5, 1e9)


def test_small_ints_are_the_ones_there_are() -> None:
    """Ints of which CPython has one object each arrive as those objects: `is` goes on to work as it does."""
    seen: list[tuple[int, bool]] = []
    ours = {n: n for n in range(-5, 257)}

    def look(number: int) -> int:
        seen.append((number, number is ours[number]))
        return number

    inst = load(NUMBERS, host(i=look, l=identity, f=identity, d=identity, all=lambda *values: values))
    for number in ours:
        inst.exports.i(number)
    assert seen == [(number, True) for number in ours]


def test_arguments_are_not_shared_between_threads() -> None:
    """Threads that call host functions at once see their own arguments, also when they lose the GIL in the middle."""
    wrong: list[Any] = []

    def look(*values: Any) -> tuple[Any, ...]:
        before = repr(values)
        time.sleep(0)
        if repr(values) != before:
            wrong.append((before, values))
        return values

    def work(base: int) -> None:
        inst = load(NUMBERS, host(i=identity, l=identity, f=identity, d=identity, all=look))
        for k in range(2000):
            values = (base + k, (base + k) << 20, k + 0.5, base + k + 0.25)
            if inst.exports.all(*values) != values:
                wrong.append(values)

    threads = [threading.Thread(target=work, args=(base,)) for base in (1_000_000, 500_000_000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# Tuples of results from host functions


def test_several_results_of_a_host_function() -> None:
    """A tuple is taken apart by the stub, a list and odd numbers by the record; anything else is a TypeError that says so."""
    answers: list[Any] = []
    inst = load(NUMBERS, host(i=identity, l=identity, f=identity, d=identity, all=lambda *_: answers.pop()))
    answer: Any
    for answer in ((1, 2, 3.0, 4.0), [1, 2, 3, 4], (True, 2, 3, 4), (1, (1 << 64) - 1, 3, 4)):
        answers.append(answer)
        assert inst.all(0, 0, 0, 0) == (1, answer[1] if answer[1] < 5 else -1, 3.0, 4.0)
    held = [object()]
    before = sys.getrefcount(held)
    wrong = [(1, 2, 3.0), (1, 2, 3.0, 4.0, 5), (1, 2, 3.0, "4"), (1 << 33, 2, 3, 4), 1, "abcd", {}, (held, 2, 3, 4), (1, 2, held, 4)]
    for answer in wrong:
        answers.append(answer)
        with pytest.raises((TypeError, OverflowError), match="result"):
            inst.all(0, 0, 0, 0)
    del wrong, answer
    gc.collect()
    assert sys.getrefcount(held) == before


# Cells


CELLS = """(module (import "host" "f" (func $f (param externref externref)))
  (table $t (export "table") 64 externref)
  (func (export "id") (param externref) (result externref) (local.get 0))
  (func (export "swap") (param externref externref) (result externref externref) (local.get 1) (local.get 0))
  (func (export "put") (param i32 externref) (table.set $t (local.get 0) (local.get 1)))
  (func (export "put_and_drop") (param externref) (table.set $t (i32.const 1) (local.get 0)) (table.set $t (i32.const 1) (ref.null extern)))
  (func (export "get") (param i32) (result externref) (table.get $t (local.get 0)))
  (func (export "both") (param externref externref) (call $f (local.get 0) (local.get 1)))
  (func (export "trap") (param externref) (unreachable))
  (func (export "many") (param externref externref externref externref externref externref externref externref externref externref i32)
    (result externref) (local.get 9)))"""


def cells(f: Any = lambda a, b: None) -> figwasp.Instance:
    """Load the module of references."""
    return load(CELLS, host(f=f))


def free_cells(inst: figwasp.Instance) -> int:
    """Count the cells that stubs may take."""
    count = 0
    cell = read_u64(inst.exports.id._store.record + layout.STORE_FREE_EXTERN)
    while cell:
        assert read_u64(cell) == 0
        count += 1
        cell = read_u64(cell + layout.EXTERN_STATE)
    return count


class Thing:
    """An object that can be watched."""


def test_cells_come_back() -> None:
    """Whatever becomes of a call, its cells are free afterwards and its objects are not held."""
    inst = cells()
    thing = Thing()
    inst.id(thing)
    present = free_cells(inst)
    assert present > 10
    before = sys.getrefcount(thing)
    for _ in range(200):
        assert inst.id(thing) is thing and inst.swap(thing, None) == (None, thing) and inst.swap(1, thing) == (thing, 1)
        inst.both(thing, thing)
        with pytest.raises(figwasp.Trap):
            inst.trap(thing)
        assert inst.many(*[thing] * 10, 5) is thing
        with pytest.raises(TypeError):
            inst.many(*[thing] * 10, "x")
        with pytest.raises(TypeError):
            inst.many(*[thing] * 9)
        with pytest.raises(TypeError):
            inst.id(thing, x=1)
    gc.collect()
    assert sys.getrefcount(thing) == before and free_cells(inst) == present


def test_objects_die_at_the_end_of_their_call() -> None:
    """An object that only wasm held dies when the call returns; until then a host function finds it alive."""
    seen: list[Any] = []
    watches: list[weakref.ref[Thing]] = []

    def f(a: Any, b: Any) -> None:
        gc.collect()
        seen.append(watches[-1]() is not None and b is watches[-1]())

    inst = cells(f)
    inst.id(None)
    for k in range(100):
        thing = Thing()
        watches.append(weakref.ref(thing))
        things = [thing]
        del thing
        inst.both(k, things.pop())
        assert watches[-1]() is None
    assert seen == [True] * 100


def test_cells_that_a_table_holds_are_the_stores() -> None:
    """A reference put into a table stays when its call ends, and goes when it is overwritten, in the same call or later."""
    inst = cells()
    inst.id(Thing())
    for _ in range(3):
        watches = []
        for k in range(64):
            thing = Thing()
            watches.append(weakref.ref(thing))
            inst.put(k, thing)
            del thing
        gc.collect()
        assert all(inst.get(k) is watch() is not None for k, watch in enumerate(watches))
        for k in range(64):
            inst.put(k, None)
        assert not any(watch() for watch in watches)
        thing = Thing()
        watch = weakref.ref(thing)
        inst.put_and_drop(thing)
        del thing
        assert watch() is None


def test_a_cleared_cell_is_none() -> None:
    """What the collector has cleared already, when a finalizer calls, reads as None."""
    inst = cells()
    text = ["text"]
    inst.put(1, text)
    table = inst._state.tables[0]
    write_u64(read_u64(table.place(1)) - layout.HOST_TAG, 0)
    assert inst.get(1) is None
    write_u64(read_u64(table.place(1)) - layout.HOST_TAG, id(text))
    assert inst.get(1) is text
    inst.put(1, None)


def test_calls_within_calls_have_cells_of_their_own() -> None:
    """Nested calls that pass the same and other objects do not disturb each other, deeper than there are free cells."""
    def f(a: Any, b: Any) -> None:
        if a:
            inner = Thing()
            assert inst.id(inner) is inner and inst.swap(b, inner) == (inner, b)
            inst.both(a - 1, b)
            assert inst.id(b) is b

    inst = cells(f)
    thing = Thing()
    before = sys.getrefcount(thing)
    inst.both(100, thing)
    assert sys.getrefcount(thing) == before


def test_free_cells_survive_a_merge_of_stores() -> None:
    """When stores are merged, also in the middle of calls, their free cells are the merged one's; none is lost or used twice."""
    def f(a: Any, b: Any) -> None:
        if a is not None:
            load('(module (import "m" "id" (func (param externref) (result externref))) (import "m" "table" (table 64 externref)))',
                 {"m": {"id": a.exports.id, "table": inst.table}})  # fmt: skip
            assert inst.id(b) is b and a.id(b) is b

    inst, other = cells(f), cells(f)
    thing = Thing()
    assert inst.id(thing) is thing and other.id(thing) is thing
    before = sys.getrefcount(thing)
    total = free_cells(inst) + free_cells(other)
    inst.both(other, thing)
    assert inst.exports.id._store is other.exports.id._store
    assert free_cells(inst) == free_cells(other) == total
    for one in (inst, other):
        assert one.swap(thing, [1]) == ([1], thing)
    assert sys.getrefcount(thing) == before


def test_cells_among_threads() -> None:
    """A thread that comes in while another drops the objects of its call finds the free cells in order."""
    inst = cells()

    class Slow:
        def __del__(self) -> None:
            done.set()
            other.wait(0.001)

    done, other = threading.Event(), threading.Event()
    failures: list[object] = []

    def work() -> None:
        for _ in range(200):
            thing = Thing()
            try:
                if inst.id(thing) is not thing or inst.swap(thing, 5) != (5, thing):
                    failures.append(thing)
            except figwasp.Busy:
                pass

    inst.id(None)
    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(100):
        try:
            inst.swap(Slow(), Slow())
        except figwasp.Busy:
            pass
    for thread in threads:
        thread.join()
    assert not failures
    thing = Thing()
    assert inst.id(thing) is thing and free_cells(inst) > 0 and math.isfinite(free_cells(inst))
