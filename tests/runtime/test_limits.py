"""Limits of an engine: memory, tables, instances, stack depth; and what its arguments may be."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest

import figwasp
from figwasp import Engine, Exhaustion, LimitExceeded
from figwasp.runtime.objects.memory import Memory

PAGE = 65536
MEMORIES = """(module (memory $a (export "a") 1) (memory $b (export "b") 2 100)
  (func (export "grow_a") (param i32) (result i32) (memory.grow $a (local.get 0)))
  (func (export "grow_b") (param i32) (result i32) (memory.grow $b (local.get 0)))
  (func (export "store") (param i32) (i32.store $a (local.get 0) (i32.const 1))))"""
TABLES = """(module (table $a (export "a") 10 funcref) (table $b (export "b") 20 1000 externref)
  (func (export "grow_a") (param i32) (result i32) (table.grow $a (ref.null func) (local.get 0)))
  (func (export "grow_b") (param i32) (result i32) (table.grow $b (ref.null extern) (local.get 0))))"""
DEEP = """(module
  (func $down (export "down") (param i32) (result i32)
    (if (result i32) (local.get 0) (then (i32.add (i32.const 1) (call $down (i32.sub (local.get 0) (i32.const 1))))) (else (i32.const 0))))
  (func $forever (export "forever") (call $forever)))"""


def load(text: str, imports: dict[str, Any] | None = None, **limits: Any) -> figwasp.Instance:
    """Load a module with an engine of its own."""
    return figwasp.load(figwasp.wat(text), imports, engine=Engine(**limits))


class TestMemory:
    @pytest.mark.parametrize("mode", ["guard", "checked"])
    def test_all_memories_together(self, mode: str) -> None:
        inst = load(MEMORIES, max_memory=6 * PAGE + 5, memory=mode)
        assert (inst.grow_a(2), inst.grow_b(2), inst.grow_b(1), inst.grow_b(1)) == (1, -1, 2, -1)
        assert (inst.a.pages, inst.b.pages) == (3, 3)
        assert inst.grow_a(-1) == -1 and inst.grow_a(0) == 3
        inst.store(3 * PAGE - 4)
        with pytest.raises(figwasp.Trap, match="out of bounds"):
            inst.store(3 * PAGE - 3)

    def test_growing_from_python(self) -> None:
        inst = load(MEMORIES, max_memory=4 * PAGE)
        inst.a.grow(1)
        with pytest.raises(MemoryError):
            inst.a.grow(1)
        with pytest.raises(MemoryError):
            inst.b.grow(1)

    def test_what_could_not_grow_is_not_counted(self) -> None:
        """Beyond the memory's own maximum nothing is taken from the limit."""
        text = '(module (memory 1 3) (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))'
        inst = load(text, max_memory=3 * PAGE)
        assert [inst.grow(n) for n in (3, 3, 3, 2, 1)] == [-1, -1, -1, 1, -1]

    def test_minimum(self) -> None:
        load(MEMORIES, max_memory=3 * PAGE)
        with pytest.raises(LimitExceeded, match=f"needs {3 * PAGE} bytes of memory at least, and max_memory is {3 * PAGE - 1}"):
            load(MEMORIES, max_memory=3 * PAGE - 1)
        with pytest.raises(LimitExceeded):
            load("(module (memory 65536))", max_memory=1 << 30)
        load("(module (memory 0))", max_memory=0)

    def test_imported_memories_are_not_its_own(self) -> None:
        memory = figwasp.Memory(10)
        text = """(module (import "m" "m" (memory 1)) (memory 1)
          (func (export "grow") (param i32) (result i32) (memory.grow 0 (local.get 0))))"""
        inst = load(text, {"m": {"m": memory}}, max_memory=PAGE)
        assert inst.grow(5) == 10

    def test_growing_in_vain_while_another_thread_grows(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What was set aside for a growth that fails can be had afterwards, also when the memory is larger by then."""
        inst = load(MEMORIES, max_memory=8 * PAGE)
        real = Memory._commit

        def commit(memory: Memory, record: int, old: int, new: int) -> bool:
            monkeypatch.undo()
            assert real(memory, record, old, old + PAGE) and memory.budget is not None and memory.budget.take(PAGE)
            return False

        monkeypatch.setattr(Memory, "_commit", commit)
        assert inst.grow_b(2) == -1 and len(inst.b) == 3 * PAGE
        assert inst.grow_b(5) == -1 and inst.grow_b(4) == 3

    def test_instances_have_their_own(self) -> None:
        engine = Engine(max_memory=4 * PAGE)
        module = figwasp.Module(figwasp.wat(MEMORIES), engine=engine)
        for _ in range(3):
            inst = figwasp.load(module)
            assert (inst.grow_a(1), inst.grow_a(1)) == (1, -1)

    def test_growing_in_threads(self) -> None:
        """Threads that grow at the same time do not get more than there is."""
        inst = load('(module (memory (export "a") 0) (memory (export "b") 0))', max_memory=100 * PAGE)

        def grow(memory: figwasp.Memory) -> None:
            for _ in range(100):
                try:
                    memory.grow(1)
                except MemoryError:
                    return

        threads = [threading.Thread(target=grow, args=(memory,)) for memory in (inst.a, inst.b, inst.a, inst.b)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert inst.a.pages + inst.b.pages == 100


class TestTables:
    def test_all_tables_together(self) -> None:
        inst = load(TABLES, max_table=50)
        assert (inst.grow_a(15), inst.grow_b(6), inst.grow_b(5), inst.grow_a(1)) == (10, -1, 20, -1)
        assert (len(inst.a), len(inst.b)) == (25, 25)
        with pytest.raises(MemoryError):
            inst.b.grow(1)

    def test_minimum(self) -> None:
        load(TABLES, max_table=30)
        with pytest.raises(LimitExceeded, match="needs 30 table elements at least, and max_table is 29"):
            load(TABLES, max_table=29)


class TestInstances:
    TEXT = '(module (import "m" "f" (func)) (func (export "f")))'

    def load(self, engine: Engine, f: Callable[[], None] = lambda: None) -> figwasp.Instance:
        return figwasp.load(figwasp.wat(self.TEXT), {"m": {"f": f}}, engine=engine)

    def test_most(self) -> None:
        engine = Engine(max_instances=3)
        held = [self.load(engine) for _ in range(3)]
        with pytest.raises(LimitExceeded, match="3 instances of the engine are alive, and max_instances is 3"):
            self.load(engine)
        del held[0]
        held.append(self.load(engine))
        with pytest.raises(LimitExceeded):
            self.load(engine)
        self.load(Engine(max_instances=1))
        assert len(held) == 3

    def test_slots_come_back(self) -> None:
        engine = Engine(max_instances=2)
        for _ in range(20):
            one = self.load(engine)
            two = figwasp.load(figwasp.wat(self.TEXT), {"m": one}, engine=engine)
            with pytest.raises(LimitExceeded):
                self.load(engine)
            del one, two

    def test_an_export_keeps_it(self) -> None:
        engine = Engine(max_instances=1)
        f = self.load(engine).exports.f
        with pytest.raises(LimitExceeded):
            self.load(engine)
        f()
        del f
        self.load(engine)

    def test_cycles_are_collected_first(self) -> None:
        engine = Engine(max_instances=1)

        def make() -> None:
            held: list[figwasp.Instance] = []
            held.append(self.load(engine, lambda: held.clear()))

        gc.disable()
        try:
            for _ in range(3):
                make()
        finally:
            gc.enable()

    def test_failures_take_none(self) -> None:
        engine = Engine(max_instances=1, max_memory=0)
        for text in ("(module (memory 1))", "(module (func unreachable) (start 0))", "(module (table 1 funcref) (elem (i32.const 5) 0) (func))"):
            for _ in range(3):
                with pytest.raises((LimitExceeded, figwasp.Trap)) as caught:
                    figwasp.load(figwasp.wat(text), engine=engine)
                assert "max_instances" not in str(caught.value)
                del caught
        self.load(engine)

    def test_none_at_all(self) -> None:
        with pytest.raises(LimitExceeded):
            self.load(Engine(max_instances=0))


def deepest(inst: figwasp.Instance) -> int:
    """Return how deep a recursion can go."""
    low, high = 0, 10**7
    while high - low > 1:
        middle = (low + high) // 2
        try:
            inst.down(middle)
            low = middle
        except Exhaustion:
            high = middle
    return low


class TestStack:
    def test_depth(self) -> None:
        """The depth of recursion is proportional to the stack, less what is kept free of it."""
        depths = {size: deepest(load(DEEP, stack_size=size << 10)) for size in (128, 256, 1024, 4096)}
        frame = (1 << 20) * 3 / (depths[4096] - depths[1024])
        for size, depth in depths.items():
            assert abs(depth - ((size - 64) << 10) / frame) < 64

    def test_pools_do_not_mix(self) -> None:
        """Stacks of different sizes come and go."""
        small = deepest(load(DEEP, stack_size=128 << 10))
        for _ in range(3):
            big = load(DEEP, stack_size=2 << 20)
            assert big.down(50_000) == 50_000
            del big
            inst = load(DEEP, stack_size=128 << 10)
            assert deepest(inst) == small
            with pytest.raises(Exhaustion):
                inst.forever()

    def test_linked_instances_have_the_larger_one(self) -> None:
        small = load(DEEP, stack_size=128 << 10)
        small.down(10)
        with pytest.raises(Exhaustion):
            small.down(20_000)
        text = '(module (import "m" "down" (func $f (param i32) (result i32))) (func (export "f") (param i32) (result i32) (call $f (local.get 0))))'
        big = load(text, {"m": small}, stack_size=4 << 20)
        assert big.f(20_000) == 20_000 and small.down(20_000) == 20_000

    def test_linked_with_more_instances_that_have_a_smaller_one(self) -> None:
        """The store with fewer members goes, and the larger stack stays."""
        text = '(module (import "a" "down" (func (param i32) (result i32))) (import "b" "down" (func (param i32) (result i32))))'
        one, other = load(DEEP, stack_size=128 << 10), load(DEEP, stack_size=128 << 10)
        load(text, {"a": one, "b": other}, stack_size=128 << 10)
        with pytest.raises(Exhaustion):
            one.down(20_000)
        load(text, {"a": one, "b": load(DEEP, stack_size=4 << 20)}, stack_size=128 << 10)
        assert one.down(20_000) == 20_000

    def test_linked_while_running(self) -> None:
        """A call goes on on the stack that it has; the next one has the larger one."""
        held = []

        def f(x: int) -> int:
            text = '(module (import "m" "g" (func $g (param i32) (result i32))) (func (export "f") (param i32) (result i32) (call $g (local.get 0))))'
            held.append(load(text, {"m": inst}, stack_size=4 << 20))
            with pytest.raises(Exhaustion):
                inst.down(20_000)
            return int(held[0].exports.f(x))

        text = DEEP[:-1].replace("(module", '(module (import "m" "f" (func $f (param i32) (result i32)))', 1)
        text += ' (func (export "g") (param i32) (result i32) (call $down (local.get 0))) (func (export "h") (result i32) (call $f (i32.const 7))))'
        inst = load(text, {"m": {"f": f}}, stack_size=128 << 10)
        assert inst.h() == 7
        assert inst.down(20_000) == 20_000

    def test_mixed_calls(self) -> None:
        """Python between calls of wasm: each level takes its part of the one stack, and no more."""

        def f(x: int) -> int:
            return inst.g(x - 1) if x else 0

        text = '(module (import "m" "f" (func $f (param i32) (result i32))) (func (export "g") (param i32) (result i32) (call $f (local.get 0))))'
        inst = load(text, {"m": {"f": f}}, stack_size=128 << 10)
        assert inst.g(100) == 0


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("stack_size", 64 << 10, ValueError), ("stack_size", (1 << 20) + 1, ValueError), ("stack_size", 1 << 40, ValueError),
        ("stack_size", -4096, ValueError), ("stack_size", 1e6, TypeError), ("stack_size", None, TypeError),
        ("max_memory", -1, ValueError), ("max_memory", "1", TypeError), ("max_memory", 1.0, TypeError), ("max_memory", True, TypeError),
        ("max_table", -1, ValueError), ("max_instances", -1, ValueError), ("max_instances", 0.5, TypeError), ("max_acalls", -1, ValueError),
        ("fuel", -1, ValueError), ("fuel", 1.5, TypeError), ("fuel", None, TypeError), ("timeout", 0, ValueError), ("timeout", "1", TypeError),
        ("memory", "quick", ValueError),
    ],
)  # fmt: skip
def test_odd_arguments(name: str, value: Any, kind: type[Exception]) -> None:
    """An engine says which of its arguments is wrong."""
    with pytest.raises(kind, match=name):
        Engine(**{name: value})


def test_engines_show_their_limits() -> None:
    """The settings of an engine are those it was given."""
    engine = Engine(fuel=True, max_memory=PAGE, timeout=2, stack_size=1 << 21)
    assert engine.settings == {"fuel": True, "max_memory": PAGE, "timeout": 2.0, "stack_size": 1 << 21}
    assert Engine(fuel=100).settings == {"fuel": 100} and Engine(fuel=False).settings == {}
    assert Engine(fuel=0).settings == {"fuel": True}


def test_calls_that_wait() -> None:
    """So many calls of an instance, and of those it is linked with, can be suspended; each that ends makes room."""
    text = """(module (import "host" "wait" (func $wait)) (func (export "f") (call $wait)) (export "wait" (func $wait)))"""
    module = figwasp.Module(figwasp.wat(text), engine=Engine(max_acalls=3))
    until = asyncio.Event()

    async def wait() -> None:
        await until.wait()

    async def run() -> None:
        instance = figwasp.load(module, {"host": {"wait": wait}})
        linked = figwasp.load(module, {"host": {"wait": instance.exports["wait"]}})
        other = figwasp.load(module, {"host": {"wait": wait}})
        tasks = [asyncio.create_task(one.acall.f()) for one in (instance, linked, instance)]
        await asyncio.sleep(0)
        for refused in (instance, linked):
            with pytest.raises(LimitExceeded, match="3 calls are under way, and max_acalls is 3"):
                await refused.acall.f()
        tasks.append(asyncio.create_task(other.acall.f()))
        await asyncio.sleep(0)
        tasks[0].cancel()
        await asyncio.gather(tasks[0], return_exceptions=True)
        tasks.append(asyncio.create_task(instance.acall.f()))
        await asyncio.sleep(0)
        until.set()
        await asyncio.gather(*tasks[1:])
        await instance.acall.f()

    asyncio.run(run())
