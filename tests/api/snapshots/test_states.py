"""What a snapshot has of an instance, and what becomes of it when another state is put in place."""

from __future__ import annotations

import gc
import os
from typing import Any

import pytest

import figwasp
from figwasp.runtime.platform import linux, written
from tests.runtime.support import load

PAGE = 65536
STATE = """(module
  (import "host" "ask" (func $ask (result i32)))
  (memory (export "memory") 1 100) (table $f (export "functions") 3 20 funcref) (table $x (export "objects") 3 20 externref)
  (global (export "number") (mut i64) (i64.const 5)) (global (export "real") (mut f32) (f32.const 1.5))
  (global (export "object") (mut externref) (ref.null extern)) (global (export "function") (mut funcref) (ref.func $one))
  (elem (table $f) (i32.const 0) func $one $ask) (elem $passive funcref (ref.func $two)) (data $bytes "passive")
  (data (i32.const 100) "active")
  (func $one (export "one") (result i32) (i32.const 1)) (func $two (export "two") (result i32) (i32.const 2))
  (func (export "drop") (elem.drop $passive) (data.drop $bytes))
  (func (export "use") (table.init $f $passive (i32.const 2) (i32.const 0) (i32.const 1))
    (memory.init $bytes (i32.const 0) (i32.const 0) (i32.const 7)))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "grow_table") (result i32) (table.grow $f (ref.func $two) (i32.const 4)))
  (func (export "call") (param i32) (result i32) (call_indirect $f (result i32) (local.get 0)))
  (func (export "load") (param i32) (result i32) (i32.load8_u (local.get 0)))
  (func (export "store") (param i32 i32) (i32.store8 (local.get 0) (local.get 1))))"""
MODULE = figwasp.Module(figwasp.wat(STATE))
FALLBACKS = ["pages that are copied", "no scan of pages", "no files in memory"]


@pytest.fixture(params=FALLBACKS)
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have what the system offers, or less."""
    if request.param == "no scan of pages":
        monkeypatch.setattr(written, "scanner", lambda: (-1, 0))
    if request.param == "no files in memory":
        monkeypatch.setattr(linux, "add_memory_file", _refuse)


def _refuse(*_: object) -> None:
    raise OSError("there are none")


def made(answer: int = 7, snapshot: figwasp.Snapshot | None = None) -> Any:
    """Make an instance."""
    return MODULE.instantiate({"host": {"ask": lambda: answer}}, snapshot=snapshot)


def change(instance: Any) -> None:
    """Change all that can be changed."""
    instance.use()
    instance.drop()
    instance.grow(3)
    instance.store(3 * PAGE, 9)
    instance.store(100, 1)
    instance.grow_table()
    instance.functions[0] = None
    instance.objects.grow(2, "more")
    instance.objects[1] = "other"
    instance.number.value, instance.real.value = -1, 2.5
    instance.object.value, instance.function.value = {1}, None


def state(instance: Any) -> tuple[object, ...]:
    """Give all that can be seen of the state."""
    functions = [None if one is None else one() for one in instance.functions]
    function = instance.function.value
    return (
        instance.memory.pages, instance.memory[0:PAGE], functions, list(instance.objects), instance.number.value,
        instance.real.value, instance.object.value, None if function is None else function(),
    )  # fmt: skip


@pytest.mark.usefixtures("_way")
def test_everything_is_as_it_was() -> None:
    instance = made()
    thing = object()
    instance.objects[2] = instance.object.value = thing
    before = state(instance)
    instance.snapshot()
    for _ in range(3):
        change(instance)
        assert state(instance) != before
        instance.reset()
        assert state(instance) == before
        assert instance.objects[2] is thing


@pytest.mark.usefixtures("_way")
def test_what_is_beyond_the_memory_traps_and_comes_back_as_zeros() -> None:
    instance = made()
    instance.snapshot()
    for _ in range(3):
        instance.grow(2)
        instance.store(2 * PAGE, 5)
        instance.reset()
        with pytest.raises(figwasp.Trap, match="out of bounds memory"):
            instance.load(PAGE)
        instance.grow(2)
        assert instance.load(2 * PAGE) == 0
        instance.reset()


@pytest.mark.usefixtures("_way")
def test_a_memory_becomes_larger_again() -> None:
    instance = made()
    small = instance.snapshot()
    instance.grow(2)
    instance.store(2 * PAGE, 5)
    large = instance.snapshot()
    for snapshot, pages in ((small, 1), (large, 3), (small, 1), (large, 3)):
        instance.reset(snapshot)
        assert instance.memory.pages == pages
    assert instance.load(2 * PAGE) == 5 and instance.memory[100:106] == b"active"
    instance.reset(small)
    with pytest.raises(figwasp.Trap):
        instance.load(2 * PAGE)


def test_segments_that_were_dropped_are_there_again_and_the_other_way_round() -> None:
    instance = made()
    whole = instance.snapshot()
    instance.drop()
    dropped = instance.snapshot()
    instance.reset(whole)
    instance.use()
    assert instance.call(2) == 2 and instance.memory[0:7] == b"passive"
    instance.reset(dropped)
    with pytest.raises(figwasp.Trap):
        instance.use()


@pytest.mark.usefixtures("_way")
def test_an_instance_begins_in_the_state() -> None:
    """Its functions are its own, those that it imports are given anew, and nothing that happens to one is seen by another."""
    first = made()
    change(first)
    first.functions[0], first.functions[1] = first.two, first.functions[1]
    snapshot = first.snapshot()
    second, third = made(8, snapshot), made(9, snapshot)
    assert [one() for one in second.functions][:2] == [2, 8] and [one() for one in third.functions][:2] == [2, 9]
    assert second.functions[0] == second.two != first.two
    assert second.memory.pages == 4 and second.load(3 * PAGE) == 9
    second.store(3 * PAGE, 1)
    assert (first.load(3 * PAGE), third.load(3 * PAGE)) == (9, 9)
    second.reset()
    assert second.load(3 * PAGE) == 9
    with pytest.raises(figwasp.Trap):
        second.use()  # segments that were dropped


def test_the_start_function_and_initialisers_do_not_run() -> None:
    told: list[int] = []
    text = """(module (import "host" "tell" (func $tell (param i32))) (import "host" "base" (global $base i32))
      (global (export "n") (mut i32) (global.get $base)) (memory (export "memory") 1) (data (global.get $base) "here")
      (start $begin) (func $begin (call $tell (global.get 1))))"""
    module = figwasp.Module(figwasp.wat(text))
    snapshot = module.instantiate({"host": {"tell": told.append, "base": 5}}).snapshot()
    instance: Any = module.instantiate({"host": {"tell": told.append, "base": 500}}, snapshot=snapshot)
    assert told == [5] and instance.n.value == 5 and instance.memory[5:9] == b"here" and not any(instance.memory[500:504])


def test_the_snapshot_outlives_its_instance_and_its_memory_goes_with_the_last_user() -> None:
    gc.collect()
    made().close()
    written.scanner()
    files, mappings = len(os.listdir("/proc/self/fd")), _images()
    instance = made()
    instance.store(5000, 1)
    snapshot = instance.snapshot()
    instance.close()
    del instance
    gc.collect()
    other = made(snapshot=snapshot)
    del snapshot
    gc.collect()
    assert other.load(5000) == 1
    other.reset()  # it keeps the snapshot that it was made from
    assert other.load(5000) == 1
    other.close()
    del other
    gc.collect()
    made().close()  # and with it blocks of owners that have gone
    assert (len(os.listdir("/proc/self/fd")), _images()) == (files, mappings)


def _images() -> int:
    with open("/proc/self/maps", encoding="utf-8") as file:
        return sum("figwasp-image" in line for line in file)


def test_memory_of_an_image_is_not_found_by_the_next_user() -> None:
    """Reservations are kept for the next memory of the same size, which begins with zeros."""
    instance = made()
    instance.memory[200:300] = b"x" * 100
    snapshot = instance.snapshot()
    instance.reset()
    base = instance.memory._core.base
    del instance
    gc.collect()
    for _ in range(4):
        other = made()
        assert not any(other.memory[200:300]) and other.memory[100:106] == b"active"
        if other.memory._core.base == base:
            break
        del other
    assert snapshot.nbytes == 4096


def test_pages_of_zeros_take_no_memory() -> None:
    instance: Any = load('(module (memory (export "memory") 1000))')
    assert instance.snapshot().nbytes == 0
    instance.memory[500 * PAGE] = 1
    instance.memory[999 * PAGE + 5000] = 1
    snapshot = instance.snapshot()
    assert snapshot.nbytes == 2 * 4096
    ((_, image),) = snapshot._captured.memories
    assert os.fstat(image.file).st_blocks * 512 == 2 * 4096


@pytest.mark.parametrize("count", [1, 200, 600, 3000], ids=lambda count: f"{count} pages")
def test_any_number_of_pages_written(count: int) -> None:
    """Few are copied back, many are given to the system; the first and the last of the image among them, and those around it."""
    instance: Any = load('(module (memory (export "memory") 250))')
    instance.memory[300 * 4096 : 2500 * 4096] = bytes(range(256)) * (2200 * 16)
    instance.snapshot()
    before = bytes(instance.memory)
    for _ in range(3):
        for number in {*range(0, 4000, 4000 // count), 298, 299, 300, 301, 2498, 2499, 2500, 2501}:
            instance.memory[number * 4096 + 7] ^= 0xFF
        instance.reset()
        assert bytes(instance.memory) == before


def test_what_is_equal_and_what_can_be_said_of_a_snapshot() -> None:
    snapshot = made().snapshot()
    assert snapshot.module is MODULE and repr(snapshot) == "<figwasp.Snapshot: 1 page, of which 4096 bytes are not zero>"
    same = figwasp.Module(figwasp.wat(STATE))
    instance: Any = figwasp.load(same, {"host": {"ask": lambda: 3}}, snapshot=snapshot)
    assert instance.call(1) == 3
    linker = figwasp.Linker()
    linker.define("host", "ask", lambda: 4)
    assert linker.instantiate(same, snapshot=snapshot).call(1) == 4
