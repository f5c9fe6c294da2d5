"""Ownership: instances in cycles, dropped in every order, with views held; nothing leaks and nothing is freed early."""

from __future__ import annotations

import gc
import itertools
import sys
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import figwasp
from tests.runtime.support import check_script, count_mappings, host, load, resident_bytes

MIB = 1 << 20

PLUGIN = figwasp.Module(
    figwasp.wat(
        """(module (import "host" "log" (func $log (param i32) (result i32)))
        (memory (export "memory") 1) (table $t (export "table") 4 funcref) (global $n (export "n") (mut i32) (i32.const 0))
        (type $v (func (result i32)))
        (func $count (export "count") (result i32)
          (global.set $n (i32.add (global.get $n) (i32.const 1))) (i32.store (i32.const 64) (global.get $n)) (i32.load (i32.const 64)))
        (func (export "work") (param i32) (result i32) (i32.add (call $log (local.get 0)) (call_indirect $t (type $v) (i32.const 0))))
        (elem (i32.const 0) func $count))"""
    )
)


class Plugin:
    """An object that owns an instance whose import is its own bound method, and that calls exports when it dies."""

    deaths: list[int] = []

    def __init__(self) -> None:
        self.calls = 0
        self.inst = figwasp.load(PLUGIN, {"host": {"log": self.log}})

    def log(self, x: int) -> int:
        self.calls += 1
        return x * 2

    def __del__(self) -> None:
        Plugin.deaths.append(self.inst.exports.work(10) + self.inst.exports.count() * 0)


def collect() -> None:
    """Collect garbage, and again what finalizers have made to refer to it.

    CPython 3.15 clears weak references after finalizers, so they show what the first collection leaves to the second.
    """
    gc.collect()
    gc.collect()


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    """Start and end without garbage."""
    gc.collect()
    Plugin.deaths.clear()
    yield
    gc.enable()
    gc.collect()


def test_cycle_with_bound_method_and_del() -> None:
    """A cycle through a bound-method import is collected, its __del__ able to call exports that call back."""
    plugin = Plugin()
    assert plugin.inst.work(1) == 3
    watch = weakref.ref(plugin)
    del plugin
    assert watch() is not None
    collect()
    assert watch() is None and Plugin.deaths == [22]


PARTS: dict[str, Callable[[Plugin], Any]] = {
    "instance": lambda p: p.inst,
    "func": lambda p: p.inst.exports.count,
    "work": lambda p: p.inst.exports.work,
    "view": lambda p: memoryview(p.inst.exports.memory),
    "table": lambda p: p.inst.exports.table,
    "global": lambda p: p.inst.exports.n,
    "element": lambda p: p.inst.exports.table[0],
}


def use(name: str, part: Any) -> None:
    """Use a part that outlived its plugin."""
    if name == "view":
        part[5] = 7
        assert part[5] == 7 and len(part) == 65536
    elif name == "table":
        assert part[0]() > 0
        part[1] = part[0]
        assert part[1] == part[0]
    elif name == "global":
        part.value += 1
        assert part.value > 0
    elif name == "instance":
        assert part.exports.count() > 0 and part.exports.memory[64] > 0
    elif name == "work":
        assert part(5) > 10
    else:
        assert part() > 0


@pytest.mark.parametrize("last", PARTS)
def test_each_part_keeps_what_it_needs(last: str) -> None:
    """Whichever part is held last still works, and everything goes with it."""
    plugin = Plugin()
    watch = weakref.ref(plugin)
    part = PARTS[last](plugin)
    del plugin
    gc.collect()
    assert watch() is not None, "the host function belongs to what the instance needs"
    for _ in range(3):
        load("(module (memory 1))")
        use(last, part)
    del part
    collect()
    assert watch() is None and len(Plugin.deaths) == 1


def test_every_order_of_dropping() -> None:
    """Dropping instance, function, view and table in every order, with uses between, neither crashes nor leaks."""
    names = ["instance", "func", "view", "table", "work"]
    for order in itertools.permutations(names):
        plugin = Plugin()
        parts = {name: PARTS[name](plugin) for name in names}
        del plugin
        for name in order:
            del parts[name]
            for other, part in parts.items():
                use(other, part)
    del part
    gc.collect()
    assert len(Plugin.deaths) == 120


def test_a_thousand_rounds_stay_flat() -> None:
    """A thousand rounds of cyclic instances with views held for a while leave the resident size where it was."""

    def rounds(count: int) -> None:
        held: list[Any] = []
        for k in range(count):
            plugin = Plugin()
            assert plugin.inst.work(1) == 3
            held.append(PARTS[list(PARTS)[k % len(PARTS)]](plugin))
            if k % 3 == 0:
                plugin.other = held[-1]  # type: ignore[attr-defined]
            if len(held) > 20:
                del held[k % 20]
            del plugin
            if k % 50 == 0:
                collect()
        held.clear()
        collect()
        Plugin.deaths.clear()

    rounds(1200)  # pools fill
    size, mappings = resident_bytes(), count_mappings()
    rounds(1000)
    assert resident_bytes() - size < 4 * MIB
    assert count_mappings() - mappings < 20


PLAIN = {
    "numbers": '(module (memory (export "memory") 1) (func (export "f") (result i32) (i32.const 1)))',
    "own table": '(module (memory 1) (table 1 funcref) (func $f (export "f") (result i32) (i32.const 1)) (elem (i32.const 0) func $f))',
    "own global": '(module (memory 1) (func $f (export "f") (result i32) (i32.const 1)) (global (export "g") funcref (ref.func $f)))',
    "host": '(module (import "host" "h" (func $h (result i32))) (memory 1) (func (export "f") (result i32) (call $h)))',
    "host table": '(module (import "host" "h" (func $h (result i32))) (memory 1) (table 1 funcref) (elem (i32.const 0) func $h)'
    '(func (export "f") (result i32) (call $h)))',
    "externref": '(module (memory 1) (global $g (export "g") (mut externref) (ref.null extern))'
    '(func (export "keep") (param externref) (global.set $g (local.get 0))) (func (export "f") (result i32) (i32.const 1)))',
    "start": '(module (memory 1) (func $s) (start $s) (func (export "f") (result i32) (i32.const 1)))',
    "trap": '(module (memory 1) (func $f (export "f") (result i32) (i32.const 1)) (func (export "t") (unreachable)))',
}


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("fresh", [True, False], ids=["fresh module", "one module"])
def test_plain_use_frees_without_the_collector(name: str, fresh: bool) -> None:
    """Load, call, drop frees memory, code and stack at once, without the cycle collector."""
    binary = figwasp.wat(PLAIN[name])
    module = figwasp.Module(binary)

    def once() -> None:
        inst = figwasp.load(binary if fresh else module, host(h=lambda: 1))
        assert inst.f() == 1
        exports = [inst.exports[export] for export in inst.exports]
        if name == "externref":
            inst.keep(object())
        if name == "trap":
            try:
                inst.t()
            except figwasp.Trap:
                pass
        exports.clear()

    gc.collect()
    gc.disable()
    for _ in range(30):
        once()
    size, mappings = resident_bytes(), count_mappings()
    for _ in range(300):
        once()
    assert count_mappings() - mappings <= 2
    assert resident_bytes() - size < 2 * MIB


def test_objects_die_with_their_instance_without_the_collector() -> None:
    """Host functions and objects in tables die when the instance does."""
    gc.disable()

    class Thing:
        def __call__(self) -> int:
            return 1

    thing, inside = Thing(), Thing()
    watches = [weakref.ref(thing), weakref.ref(inside)]
    inst = load(
        '(module (import "host" "h" (func $h (result i32))) (table $t (export "t") 2 externref) (func (export "f") (result i32) (call $h)))',
        host(h=thing),
    )
    inst.t[1] = inside
    del thing, inside
    assert inst.f() == 1
    assert all(watch() is not None for watch in watches)
    del inst
    assert all(watch() is None for watch in watches)


def test_worker_thread_frees_while_the_main_thread_waits() -> None:
    """Instances made and dropped in a thread are released although the main thread does nothing."""
    check_script("""
        import threading, gc, figwasp
        from pathlib import Path
        module = figwasp.Module(figwasp.wat('(module (memory 1) (func (export "f") (result i32) (i32.const 1)))'))
        count = lambda: len(Path("/proc/self/maps").read_text().splitlines())
        found = []
        def work():
            gc.disable()
            for k in range(220):
                assert figwasp.load(module).f() == 1
                if k in (20, 219):
                    found.append(count())
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert found[1] - found[0] < 20, found
    """)


def test_traceback_that_outlives_the_instance() -> None:
    """A kept exception, and what the runtime knew of the instance it came from, do not let later calls write into freed memory."""
    module = figwasp.Module(
        figwasp.wat(
            """(module (table $t 1 externref) (global (mut externref) (ref.null extern)) (elem $e externref (ref.null extern))
            (func (export "init") (table.init $t $e (i32.const 0) (i32.const 0) (i32.const 9)))
            """
            + "".join(f'(func (export "f{k}") (param externref) (result i32) (i32.const {k}))' for k in range(40))
            + ")"
        )
    )
    kept: list[object] = []
    for _ in range(20):
        inst = figwasp.load(module)
        try:
            inst.init()
        except figwasp.Trap as error:
            kept += [error, inst._state]
        del inst
    other = figwasp.load(module)
    for k in range(40):
        assert other.exports[f"f{k}"](object()) == k
    third = load('(module (import "m" "f0" (func (param externref) (result i32))) (import "m" "f1" (func (param externref) (result i32))))',
                 {"m": other})  # fmt: skip
    assert third and other.f2(kept) == 2


@pytest.mark.usefixtures("thawed")
def test_freeze_and_collection_during_calls() -> None:
    """Collections, freezing and thresholds of 1 during calls that allocate leave everything intact."""
    old = gc.get_threshold()
    trash: list[Any] = []

    def f(x: int) -> int:
        trash.append([trash])
        gc.collect()
        return x

    inst = load(
        """(module (import "host" "f" (func $f (param i32) (result i32))) (table $t 8 externref)
        (func (export "go") (param i32 externref) (result i32 externref)
          (table.set $t (i32.const 1) (local.get 1)) (call $f (local.get 0)) (table.get $t (i32.const 1))))""",
        host(f=f),
    )
    gc.freeze()
    gc.set_threshold(1, 1, 1)
    try:
        for k in range(20):
            assert inst.go(k, trash) == (k, trash)
            plugin = Plugin()
            plugin.inst.work(3)
            del plugin
    finally:
        gc.set_threshold(*old)
        gc.unfreeze()
    gc.collect()
    assert len(Plugin.deaths) == 20


def test_weakref_callbacks_call_wasm() -> None:
    """A weakref callback that runs during a collection may call into another instance."""
    survivor = Plugin()
    seen: list[int] = []
    watches = []
    for _ in range(10):
        plugin = Plugin()
        watches.append(weakref.ref(plugin, lambda _: seen.append(survivor.inst.work(1))))
        del plugin
    gc.collect()
    assert len(seen) == 10 and len(Plugin.deaths) == 10
    assert survivor.calls == 10


def test_resurrection() -> None:
    """An object that resurrects itself in __del__ leaves a working instance, which goes the second time."""
    saved: list[Any] = []

    class Lazarus(Plugin):
        def __del__(self) -> None:
            saved.append(self)

    thing = Lazarus()
    del thing
    gc.collect()
    assert len(saved) == 1
    again = saved.pop()
    assert again.inst.work(4) == 9 and again.inst.memory[64] == 1
    watch = weakref.ref(again)
    del again
    gc.collect()
    assert watch() is None and not saved


def test_collected_function_held_by_a_finalizer_raises() -> None:
    """A function whose instance was cleared raises ReferenceError, or still works, but never crashes."""
    outcomes: list[object] = []

    class Late:
        """Calls from a weakref-less cycle part when it is torn down, after others may have been cleared."""

        def __init__(self, func: figwasp.Func) -> None:
            self.func = func

        def __call__(self, x: int) -> int:
            return x

        def __del__(self) -> None:
            for _ in range(2):
                try:
                    outcomes.append(self.func(1))
                except ReferenceError as error:
                    outcomes.append(error)

    for _ in range(10):
        pairs = [Plugin() for _ in range(4)]
        for k, plugin in enumerate(pairs):
            plugin.friends = [Late(other.inst.exports.work) for other in pairs]  # type: ignore[attr-defined]
            plugin.next = pairs[(k + 1) % 4]  # type: ignore[attr-defined]
        del pairs, plugin
        gc.collect()
    assert len(outcomes) == 10 * 4 * 4 * 2 and len(Plugin.deaths) == 40


def test_instances_importing_each_other_through_tables() -> None:
    """Two instances whose tables hold each other's functions are one cycle, and are collected."""

    class Marker:
        def __call__(self) -> int:
            return 3

    text = """(module (import "host" "m" (func $m (result i32))) (table (export "t") 2 funcref) (memory 1)
      (type $v (func (result i32))) (func $f (export "f") (result i32) (i32.add (call $m) (i32.load (i32.const 0))))
      (func (export "call") (result i32) (call_indirect (type $v) (i32.const 1))) (elem (i32.const 0) func $f))"""
    marker = Marker()
    watch = weakref.ref(marker)
    one, two = load(text, host(m=marker)), load(text, host(m=marker))
    one.t[1], two.t[1] = two.t[0], one.t[0]
    del marker
    assert one.call() == 3 and two.call() == 3
    del one
    gc.collect()
    assert two.call() == 3 and watch() is not None
    del two
    gc.collect()
    gc.collect()
    assert watch() is None


def test_long_chain_is_dropped_without_recursion() -> None:
    """A chain of thousands of instances that import one another is dropped at once without overrunning the stack."""
    check_script("""
        import figwasp
        first = figwasp.load(figwasp.wat('(module (func (export "f") (result i32) (i32.const 1)))'))
        link = figwasp.Module(figwasp.wat('(module (import "m" "f" (func $f (result i32))) (export "f" (func $f)))'))
        inst = first
        for _ in range(20_000):
            inst = figwasp.load(link, {"m": {"f": inst.f}})
        chained = figwasp.Module(figwasp.wat('(module (import "m" "f" (func $f (result i32))) (func (export "f") (result i32) (call $f)))'))
        for _ in range(5000):
            inst = figwasp.load(chained, {"m": inst})
        assert figwasp.load(link, {"m": first}).f() == 1
        del inst
        assert first.f() == 1
    """)


def test_views_outlive_everything() -> None:
    """A memoryview, and a slice of it, stays valid after instance and memory objects have gone."""
    inst = load('(module (memory (export "memory") 2 100) (data (i32.const 70000) "hello"))')
    part = memoryview(inst.memory)[70000:70005]
    inst.memory.grow(10)
    del inst
    gc.collect()
    for _ in range(20):
        load("(module (memory 2))")
    assert bytes(part) == b"hello"
    part[0] = ord("j")
    assert part.tobytes() == b"jello"
    with pytest.raises(TypeError):
        part[0:2] = "xy"  # type: ignore[call-overload]


def test_reference_counts_of_exports() -> None:
    """Getting exports again and again leaves no references behind."""
    inst = load('(module (memory (export "memory") 1) (func (export "f") (param externref)) (table (export "t") 1 externref))')
    thing = object()
    base = sys.getrefcount(thing)
    for _ in range(100):
        inst.f(thing)
        inst.t[0] = thing
        inst.t[0] = None
    inst.f(None)
    assert sys.getrefcount(thing) == base


@pytest.mark.parametrize(
    "ending",
    [
        "",
        "sys.exit(0)",
        "import atexit; atexit.register(lambda: plugin.inst.work(1))",
        "sys.keep = plugin; del plugin",
        "import builtins; builtins.keep = [plugin, memoryview(plugin.inst.memory)]",
        "gc.disable(); del plugin",
        "gc.freeze()",
        "plugin.inst.table[1] = plugin.inst.count; keep = plugin.inst.table",
        "import threading; threading.Thread(target=plugin.inst.work, args=(1,)).start()",
        "threading_local = __import__('threading').local(); threading_local.x = plugin",
    ],
)
def test_interpreter_exit_with_live_instances(ending: str) -> None:
    """The interpreter ends well and silently with live instances, cycles, views and finalizers that call exports."""
    check_script(
        """
        import sys, gc, figwasp
        module = figwasp.Module(figwasp.wat('''(module (import "host" "log" (func $log (param i32) (result i32)))
          (memory (export "memory") 1) (table (export "table") 4 funcref) (table (export "refs") 4 externref)
          (func (export "count") (result i32) (i32.load (i32.const 0)))
          (func (export "work") (param i32) (result i32) (call $log (local.get 0))))'''))
        class Plugin:
            def __init__(self):
                self.inst = figwasp.load(module, {"host": {"log": self.log}})
                self.inst.refs[0] = self
            def log(self, x):
                return x * 2
            def __del__(self):
                assert self.inst.work(10) == 20 and self.inst.count() == 0
        plugin = Plugin()
        assert plugin.inst.work(4) == 8
        view = memoryview(plugin.inst.memory)
        others = [Plugin() for _ in range(10)]
        others.append(others)
        """
         "\n        "
        + ending
    )


def test_reference_cycle_through_exports_cache() -> None:
    """An instance kept by an attribute of its own host object dies by reference counting once the cycle is cut."""
    gc.disable()
    plugin = Plugin()
    watch = weakref.ref(plugin)
    plugin.inst.work(1)
    inst = plugin.inst
    del plugin.inst
    Plugin.__del__, saved = lambda self: None, Plugin.__del__  # type: ignore[method-assign]
    try:
        del plugin
        assert watch() is not None
        del inst
        assert watch() is None
    finally:
        Plugin.__del__ = saved  # type: ignore[method-assign]


def test_a_collection_does_not_swallow_an_interrupt() -> None:
    """Ctrl-C that comes while the collector runs is raised where the program goes on, not in a callback that ignores it."""
    check_script(
        """
        import ctypes, gc
        import figwasp
        figwasp.load(figwasp.wat('(module (func (export "f")))')).f()
        interrupt = ctypes.pythonapi.PyErr_SetInterrupt  # in C, or this callback would be where it is noticed
        interrupt.argtypes, interrupt.restype = [ctypes.py_object, ctypes.py_object], None
        gc.disable()
        gc.callbacks.insert(0, interrupt)
        caught = False
        try:
            gc.collect()
            for _ in range(1000):
                pass
        except KeyboardInterrupt:
            caught = True
        gc.callbacks.remove(interrupt)
        assert caught
        """
    )
