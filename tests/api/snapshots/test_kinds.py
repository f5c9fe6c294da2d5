"""Snapshots of all kinds of memories, and of references that are no functions."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from typing import Any

import pytest

import figwasp
from figwasp.runtime.platform import linear
from tests.environment import environment
from tests.runtime.support import load

PAGE = 65536
FEATURES = figwasp.Engine().features.including("custom-page-sizes", "memory64", "threads")
KINDS = {
    "i32": ("memory 2 9", PAGE),
    "i64": ("memory i64 2 9", PAGE),
    "pages of a byte": ("memory 131072 900000 (pagesize 1)", 1),
    "odd bytes": ("memory 70001 900000 (pagesize 1)", 1),
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_memories(kind: str) -> None:
    text, page = KINDS[kind]
    address = "i64" if "i64" in text else "i32"
    engine = figwasp.Engine(features=FEATURES)
    text = f"""(module ({text.replace("memory", 'memory (export "memory")')})
      (func (export "load") (param {address}) (result i32) (i32.load8_u (local.get 0))))"""
    instance: Any = figwasp.Module(figwasp.wat(text), engine=engine).instantiate()
    size = len(instance.memory)
    instance.memory[size - 1] = 77
    instance.snapshot()
    other = instance.module.instantiate(snapshot=instance.snapshot())
    for one in (instance, other):
        for more in (1, 3, 5000):
            one.memory[size - 1] = 1
            one.memory.grow(min(more, 7) if page > 1 else more)
            one.memory[len(one.memory) - 1] = 5
            one.reset()
            assert len(one.memory) == size and one.load(size - 1) == 77
            with pytest.raises(figwasp.Trap):
                one.load(size)
            one.memory.grow(1)
            assert one.load(size) == 0
            one.reset()


def test_without_guard_areas() -> None:
    """The same in checked mode, which a process is in as a whole."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", "kinds_of_memories or several"],
        env=environment(FIGWASP_MEMORY="checked"), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0 and "5 passed" in done.stdout, done.stdout + done.stderr


def test_memories_where_no_guard_area_is_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """An instance of which the memory is checked takes the state of one of which it is not."""
    instance = several()
    snapshot = instance.snapshot()
    monkeypatch.setattr(linear, "_MOST_GUARDED", 0)
    other = instance.module.instantiate(snapshot=snapshot)
    assert other.a.read(5, 1) == b"a"
    other.a.write(5, b"x")
    other.reset()
    assert other.a.read(5, 1) == b"a"


def several() -> Any:
    """Give an instance with several memories and tables."""
    instance: Any = load("""(module (memory (export "a") 1 5) (memory (export "b") 2 5) (memory (export "none") 0)
      (data (memory 0) (i32.const 5) "a") (data (memory 1) (i32.const 70000) "b")
      (table (export "t") 1 5 funcref) (table (export "u") 2 5 funcref) (func $f) (elem (table 1) (i32.const 1) func $f))""")
    return instance


def test_several_memories_and_tables() -> None:
    instance = several()
    snapshot = instance.snapshot()
    for one in (instance, instance.module.instantiate(snapshot=snapshot)):
        one.a.grow(1)
        one.b.grow(2)
        one.a.write(0, bytes(100))
        one.b.write(70000, b"x")
        one.t.grow(3)
        one.u[1] = None
        one.reset()
        assert (one.a.pages, one.b.pages, one.none.pages, len(one.t), len(one.u)) == (1, 2, 0, 1, 2)
        assert one.a.read(5, 1) == b"a" and one.b.read(70000, 1) == b"b" and one.u[1] is not None and one.u[0] is None


def test_numbers_vectors_and_i31() -> None:
    instance: Any = load("""(module
      (global (export "v") (mut v128) (v128.const i64x2 1 2)) (global (export "d") (mut f64) (f64.const 0.5))
      (global (export "i") (mut i31ref) (ref.i31 (i32.const -7))) (global (export "a") (mut anyref) (ref.i31 (i32.const 9)))
      (table (export "t") 2 9 anyref (ref.i31 (i32.const 3))) (table (export "e") 2 9 i31ref (ref.i31 (i32.const 4))))""")
    snapshot = instance.snapshot()
    vector = instance.v.value
    for one in (instance, instance.module.instantiate(snapshot=snapshot)):
        one.v.value, one.d.value, one.i.value, one.a.value = bytes(16), 1.5, 1, "text"
        one.t[0], one.t[1], one.e[0] = None, "text", None
        one.t.grow(4, "text")
        one.reset()
        assert (one.v.value, one.d.value, one.i.value, one.a.value) == (vector, 0.5, -7, 9)
        assert list(one.t) == [3, 3] and list(one.e) == [4, 4]


class Thing:
    """What references refer to."""


def test_objects_live_as_long_as_the_snapshot_or_an_instance_has_them() -> None:
    text = """(module (table (export "t") 2 9 externref) (global (export "g") (mut externref) (ref.null extern))
      (global $given externref (global.get 0)) (import "host" "thing" (global externref))
      (elem $p externref (global.get 0)) (func (export "init") (table.init $p (i32.const 1) (i32.const 0) (i32.const 1)))
      (func (export "drop") (elem.drop $p)))"""
    text = text.replace('(import "host" "thing" (global externref))', "").replace(
        "(module", '(module (import "host" "thing" (global externref))', 1
    )
    module = figwasp.Module(figwasp.wat(text))
    thing, given = Thing(), Thing()
    known, given_known = weakref.ref(thing), weakref.ref(given)
    instance: Any = module.instantiate({"host": {"thing": given}})
    instance.t[0] = instance.g.value = thing
    snapshot = instance.snapshot()
    del thing, given
    for _ in range(3):
        instance.t[0] = instance.g.value = None
        instance.t.grow(3, Thing())
        instance.drop()
        instance.reset()
        instance.init()
        assert instance.t[0] is instance.g.value is known() and instance.t[1] is given_known() and len(instance.t) == 2
    instance.close()
    del instance
    gc.collect()
    other: Any = module.instantiate({"host": {"thing": None}}, snapshot=snapshot)
    other.init()
    assert other.t[0] is known() is not None and other.t[1] is given_known() is not None
    other.t[0] = other.t[1] = other.g.value = None
    del snapshot
    other.close()
    del other
    gc.collect()
    load("(module)")  # whatever has gone is released by now
    gc.collect()
    assert known() is None and given_known() is None


def test_a_cycle_through_a_snapshot_goes() -> None:
    instance: Any = load('(module (table (export "t") 1 externref) (memory 1))')
    thing = Thing()
    known = weakref.ref(thing)
    instance.t[0] = thing
    thing.snapshot = instance.snapshot()  # type: ignore[attr-defined]
    thing.instance = instance  # type: ignore[attr-defined]
    instance.reset()
    del instance, thing
    gc.collect()
    gc.collect()
    assert known() is None
