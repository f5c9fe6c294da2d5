"""Stores: what importing joins together, while idle and while running, and references that cross."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import figwasp
from figwasp import layout
from figwasp.runtime.platform.linux import read_u64
from figwasp.runtime.start import native_runtime
from tests.environment import HANG_GUARD
from tests.runtime.support import host, load

REFS = """(module
  (import "host" "go" (func $go))
  (table $t (export "table") 4 externref) (global $g (export "global") (mut externref) (ref.null extern))
  (elem $e externref (ref.null extern))
  (func (export "hold") (param externref) (result externref) (call $go) (local.get 0))
  (func (export "id") (param externref) (result externref) (local.get 0))
  (func (export "put") (param i32 externref) (table.set $t (local.get 0) (local.get 1)))
  (func (export "get") (param i32) (result externref) (table.get $t (local.get 0)))
  (func (export "callf") (param funcref) (result i32) (call $go) (table.set $f (i32.const 0) (local.get 0))
    (call_indirect $f (type $v) (i32.const 0)))
  (type $v (func (result i32))) (table $f 1 funcref))"""


class Thing:
    """An object that can be watched."""


def refs(go: Callable[[], None] = lambda: None) -> figwasp.Instance:
    """Load the module of references."""
    return load(REFS, host(go=go))


def both(one: figwasp.Instance, two: figwasp.Instance) -> figwasp.Instance:
    """Load an instance that imports from two others, and so joins their stores."""
    return load('(module (import "one" "id" (func (param externref) (result externref))) '
                '(import "two" "id" (func (param externref) (result externref))))', {"one": one, "two": two})  # fmt: skip


def store(inst: figwasp.Instance) -> Any:
    """Give the store of an instance."""
    return inst.exports.id._store


def test_unrelated_instances_have_their_own_stores() -> None:
    """Loading from the same module or with the same host function joins nothing."""
    assert store(refs()) is not store(refs())


def test_importing_joins() -> None:
    """An instance that imports from two others puts all three in one store; their references stay what they are."""
    one, two = refs(), refs()
    things = [Thing(), Thing(), Thing()]
    one.put(0, things[0])
    two.put(0, things[1])
    two.exports["global"].value = things[2]
    joined = both(one, two)
    assert store(one) is store(two) and joined
    gc.collect()
    one.id(None)
    assert one.get(0) is things[0] and two.get(0) is things[1] and two.exports["global"].value is things[2]
    watches = [weakref.ref(thing) for thing in things]
    things.clear()
    two.id(Thing())
    assert all(watch() is not None for watch in watches)
    two.put(0, None)
    two.exports["global"].value = None
    assert [watch() is None for watch in watches] == [False, True, True]
    assert one.get(0) is watches[0]()


def test_join_while_both_are_running() -> None:
    """Joining stores from a host function, while chains run in both, keeps what their frames hold until each has ended."""
    joined: list[figwasp.Instance] = []

    def inner() -> None:
        joined.append(both(one, two))
        for _ in range(50):
            one.id(Thing())
            two.id(Thing())
            two.put(1, Thing())
        gc.collect()

    def outer() -> None:
        thing = Thing()
        watch = weakref.ref(thing)
        got = two.hold(thing)
        assert got is thing
        del thing, got
        kept.append(watch)

    kept: list[weakref.ref[Thing]] = []
    one, two = refs(outer), refs(inner)
    for _ in range(3):
        mine = Thing()
        watch = weakref.ref(mine)
        assert one.hold(mine) is mine
        del mine
        one.id(None)
        assert watch() is None and kept[-1]() is None
    assert store(one) is store(two)


def test_function_on_the_stack_survives_a_join() -> None:
    """A function that only a suspended frame holds is kept when its store is joined to another and that one finishes calls."""
    text = '(module (memory 1) (func (export "f") (result i32) (i32.store (i32.const 0) (i32.const 7)) (i32.load (i32.const 0))))'

    def go() -> None:
        both(one, two)
        for _ in range(20):
            one.id(Thing())
            one.callf(load(text).f) if depth.pop() else None
            depth.append(False)
            load(text).f()
        gc.collect()

    depth = [True]
    one, two = refs(lambda: None), refs(go)
    for _ in range(3):
        depth[:] = [True]
        assert two.callf(load(text).f) == 7


def test_host_tables_and_globals_follow_their_store() -> None:
    """A host table used by two instances leads to the store they share, whoever was joined first."""
    table = figwasp.Table("externref", 2)
    cell = figwasp.Global("externref", None, mutable=True)
    text = """(module (import "m" "t" (table 2 externref)) (import "m" "g" (global (mut externref)))
      (func (export "id") (param externref) (result externref) (local.get 0))
      (func (export "get") (result externref externref) (table.get 0 (i32.const 1)) (global.get 0)))"""
    users = [load(text, {"m": {"t": table, "g": cell}}) for _ in range(3)]
    thing = Thing()
    watch = weakref.ref(thing)
    table[1] = thing
    cell.value = thing
    del thing
    for user in users:
        user.id(Thing())
        assert user.get() == (watch(), watch()) and watch() is not None
        assert store(user) is table._core.store is cell._core.store
    late = load(text, {"m": {"t": table, "g": figwasp.Global("externref", 5, mutable=True)}})
    assert late.get() == (watch(), 5)
    del users, late, user
    gc.collect()
    assert table[1] is watch() is cell.value
    table[1] = None
    assert watch() is not None
    cell.value = None
    assert watch() is None


def test_objects_in_a_dropped_instances_table_are_released() -> None:
    """When an instance goes, the objects in its own tables, globals and segments go, although its store lives on."""
    hub = refs()
    things = [Thing() for _ in range(3)]
    watches = [weakref.ref(thing) for thing in things]
    spoke = load(
        """(module (import "hub" "id" (func $id (param externref) (result externref))) (import "m" "x" (global $x externref))
        (table $t 2 externref) (global $g (mut externref) (ref.null extern)) (elem $e externref (global.get $x))
        (func (export "keep") (param externref externref) (table.set $t (i32.const 0) (local.get 0)) (global.set $g (local.get 1)))
        (func (export "init") (result externref) (table.init $t $e (i32.const 1) (i32.const 0) (i32.const 1)) (table.get $t (i32.const 1)))
        (func (export "drop") (elem.drop $e)))""",
        {"hub": hub, "m": {"x": things[2]}},
    )
    spoke.keep(things[0], things[1])
    things.clear()
    gc.collect()
    hub.id(None)
    assert all(watch() is not None for watch in watches)
    assert spoke.init() is watches[2]()
    del spoke
    gc.collect()
    hub.id(None)
    assert [watch() for watch in watches] == [None, None, None]


def test_segment_keeps_its_externref() -> None:
    """An object that only a passive element segment refers to lives until the segment is dropped."""
    thing = Thing()
    watch = weakref.ref(thing)
    cell = figwasp.Global("externref", thing, mutable=False)
    inst = load(
        """(module (import "m" "x" (global $x externref)) (table $t (export "t") 2 externref) (elem $e externref (global.get $x))
        (func (export "init") (table.init $t $e (i32.const 1) (i32.const 0) (i32.const 1)))
        (func (export "drop") (elem.drop $e)) (func (export "id") (param externref)))""",
        {"m": {"x": cell}},
    )
    del thing, cell
    for _ in range(3):
        inst.id(Thing())
    inst.init()
    assert inst.t[1] is watch() is not None
    inst.t[1] = None
    inst.init()
    assert inst.t[1] is watch() is not None


def test_joining_many_leaves_no_contexts_behind() -> None:
    """Small stores that join a lasting one again and again, in either order of import, give their chains back."""
    hub = refs()
    spoke = figwasp.Module(
        figwasp.wat(
            """(module (import "t" "t" (table 1 funcref)) (import "hub" "id" (func $id (param externref) (result externref)))
            (import "t" "g" (global (mut externref)))
            (func (export "go") (param externref) (result externref) (call $id (local.get 0))))"""
        )
    )

    def once() -> None:
        own = {"t": figwasp.Table("funcref", 1), "g": figwasp.Global("externref", None, mutable=True)}
        inst = figwasp.load(spoke, {"t": own, "hub": hub})
        assert inst.go(own) is own

    for _ in range(20):
        once()
    gc.collect()
    stacks = native_runtime().stacks
    before = read_u64(stacks.used), len(stacks._free)
    for _ in range(1000):
        once()
    gc.collect()
    assert read_u64(stacks.used) == before[0]
    assert len(stacks._free) >= before[1] - 10
    assert store(hub).contexts == [store(hub).context]


def test_busy_after_a_join_is_not_spurious() -> None:
    """Stores joined while running and dropped afterwards do not make the remaining one busy."""
    import threading

    hub: figwasp.Instance

    def go() -> None:
        other = refs(lambda: both(hub, other) and None)  # type: ignore[arg-type]
        other.hold(Thing())

    hub = refs(go)
    for _ in range(5):
        hub.hold(Thing())
        gc.collect()
    results: list[object] = []
    busy = threading.Event()
    leave = threading.Event()

    def wait() -> None:
        busy.set()
        leave.wait(HANG_GUARD)

    blockers = [refs(wait) for _ in range(8)]
    threads = [threading.Thread(target=inst.hold, args=(None,)) for inst in blockers]
    for thread in threads:
        thread.start()
    assert busy.wait(HANG_GUARD)
    try:
        results.append(hub.id(5))
        results.append(hub.exports.callf is not None)
    finally:
        leave.set()
        for thread in threads:
            thread.join()
    assert results == [5, True]


@pytest.mark.parametrize("first", ["table", "function"])
def test_either_order_of_merging(first: str) -> None:
    """Whether the imported function or the imported table comes first, calls and references work."""
    hub = refs()
    table = figwasp.Table("externref", 1)
    table[0] = marker = Thing()
    parts = ['(import "m" "t" (table 1 externref))', '(import "m" "id" (func $id (param externref) (result externref)))']
    if first == "function":
        parts.reverse()
    inst = load(
        f'(module {"".join(parts)} (func (export "go") (result externref) (call $id (table.get 0 (i32.const 0)))))',
        {"m": {"t": table, "id": hub.exports.id}},
    )
    assert inst.go() is marker
    hub.put(0, marker)
    table[0] = None
    assert hub.get(0) is marker and inst.go() is None


def test_many_distinct_references_are_cheap() -> None:
    """Thousands of objects put one call at a time take time proportional to their number."""
    inst = load(
        '(module (table $t (export "t") 50000 externref) (func (export "put") (param i32 externref) (table.set $t (local.get 0) (local.get 1))))'
    )
    for k in range(20_000):
        inst.put(k, (k,))
    assert inst.t[19_999] == (19_999,) and inst.t[0] == (0,)


@pytest.mark.parametrize("swapped", [False, True])
def test_a_store_in_which_another_thread_runs_is_not_joined(swapped: bool) -> None:
    entered, leave = threading.Event(), threading.Event()

    def go() -> None:
        entered.set()
        leave.wait(60)

    idle, running = refs(), refs(go)
    thread = threading.Thread(target=running.hold, args=(Thing(),))
    thread.start()
    assert entered.wait(60)
    try:
        with pytest.raises(figwasp.Busy):
            both(running, idle) if swapped else both(idle, running)
    finally:
        leave.set()
        thread.join()
    both(idle, running)


def free_cells(record: int) -> int:
    """Count the cells that the stubs of a store may take for references."""
    count, cell = 0, read_u64(record + layout.STORE_FREE_EXTERN)
    while cell:
        count, cell = count + 1, read_u64(cell + layout.EXTERN_STATE)
    return count


def test_free_cells_of_both_stores_are_used_on() -> None:
    one, two = refs(), refs()
    for inst in (one, two):
        inst.hold(Thing())
    before = [free_cells(store(inst).record) for inst in (one, two)]
    both(one, two)
    assert min(before) > 0 and free_cells(store(one).current.record) == sum(before)


def test_taking_over_again_frees_nothing_twice() -> None:
    """What is left to do of a merge may be done again, even when what it moved has been used since: no two objects share a cell."""
    things = [Thing() for _ in range(8)]
    large = refs()
    both(large, refs())
    retired: list[Any] = []

    def go() -> None:
        retired.append(store(small).current)
        both(large, small)

    small = refs(go)
    assert small.hold(things[0]) is things[0]
    current = store(large).current
    assert retired[0] is not current
    current._take_over(retired[0])
    assert large.get(0) is None  # a call, after which what nothing holds is released
    for at in range(4):
        large.table[at] = things[4 + at]
        small.table[at] = things[at]
    assert [*large.table] == things[4:] and [*small.table] == things[:4]


def test_a_lost_call_is_ended_by_the_store_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that is gone is forgotten also when its store is taken into another just as that is about to happen."""
    one, two = refs(), refs()
    goes, stays = store(one), store(two)
    stays._joined += 10  # the larger one stays
    chain = goes.add_chain(None, False)
    del chain  # nobody has ended it
    prepare, end_lost = type(goes)._ending_chain, type(goes)._end_lost_chains

    def merged_meanwhile(self: Any, *args: Any) -> Any:
        ending = prepare(self, *args)
        stays.merge(goes)
        return ending

    with monkeypatch.context() as patch:
        patch.setattr(type(goes), "_ending_chain", merged_meanwhile)
        patch.setattr(type(goes), "_end_lost_chains", bool)  # not the one that merging may call
        end_lost(goes)
    assert goes.current is stays and stays.chains
    assert not stays.under_way and not stays.chains
    assert one.id(3) == 3 == two.id(3)
