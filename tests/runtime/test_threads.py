"""Threads: one at a time in a store, whatever they do there; many stores at once; what they share stays whole."""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import figwasp
from figwasp import layout
from figwasp.runtime.platform.linux import read_u64
from tests.environment import HANG_GUARD
from tests.runtime.support import host, load

SECONDS = 1.0
"""How long a fight takes."""

WAT = """(module (import "host" "f" (func $f (param externref) (result externref))) (import "host" "g" (func $g (param i32) (result i32)))
  (memory (export "memory") 1 400) (table $t (export "table") 4 externref) (table $fs (export "funcs") 4 funcref)
  (global (export "kept") (mut externref) (ref.null extern)) (global $n (export "n") (mut i64) (i64.const 0))
  (func (export "id") (param externref) (result externref) (table.set $t (i32.const 0) (local.get 0)) (call $f (local.get 0)))
  (func (export "pass") (param externref i32) (result externref i32) (local.get 0) (local.get 1))
  (func (export "num") (param i64) (result i64) (local i64)
    (loop $l (local.set 1 (i64.add (local.get 1) (local.get 0)))
      (br_if $l (i64.ne (local.tee 0 (i64.sub (local.get 0) (i64.const 1))) (i64.const 0)))) (local.get 1))
  (func (export "count") (param i64) (result i64) (local $start i64) (local.set $start (global.get $n))
    (loop $l (global.set $n (i64.add (global.get $n) (i64.const 1)))
      (br_if $l (i64.ne (local.tee 0 (i64.sub (local.get 0) (i64.const 1))) (i64.const 0))))
    (i64.sub (global.get $n) (local.get $start)))
  (func (export "host") (param i32) (result i32) (call $g (local.get 0)))
  (func (export "trap") (param externref) (unreachable)) (func (export "func") (param funcref) (result funcref) (local.get 0))
  (func $deep (export "deep") (call $deep)))"""

MODULE = figwasp.Module(figwasp.wat(WAT))


def make(f: Callable[[Any], Any] = lambda x: x, g: Callable[[int], int] = lambda x: x + 1) -> figwasp.Instance:
    """Load the module of this file."""
    return figwasp.load(MODULE, host(f=f, g=g))


@contextmanager
def hasty() -> Iterator[None]:
    """Have threads switch as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)


class Fight:
    """Threads that do things at the same time until time is up; each thing is done, or finds the store busy.

    Attributes:
        done: by name, how often a thing was done.
        busy: how often the store was.
    """

    def __init__(self) -> None:
        self.done: dict[str, int] = {}
        self.busy = 0
        self._failures: list[BaseException] = []

    def run(self, *jobs: Callable[[int], None], seconds: float = SECONDS) -> None:
        """Do every job in a thread of its own, with 0, 1, 2... for an argument."""
        end = time.monotonic() + seconds
        threads = [threading.Thread(target=self._repeat, args=(job, end)) for job in jobs]
        with hasty():
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert not self._failures, self._failures[0]

    def until(self, enough: dict[str, int], *jobs: Callable[[int], None], seconds: float = SECONDS) -> None:
        """Repeat `run` until jobs have been done so often: a slow machine may need many rounds."""
        for _ in range(100):
            self.run(*jobs, seconds=seconds)
            if all(self.done.get(name, 0) >= count for name, count in enough.items()):
                return
        raise AssertionError(f"{self.done} of {enough}")

    def _repeat(self, job: Callable[[int], None], end: float) -> None:
        k = 0
        while time.monotonic() < end and not self._failures:
            k += 1
            try:
                job(k)
                self.done[job.__name__] = self.done.get(job.__name__, 0) + 1
                time.sleep(1e-5)  # whoever has had its turn lets others come in
            except figwasp.Busy:
                self.busy += 1
            except BaseException as error:
                self._failures.append(error)


def test_busy_never_a_race() -> None:
    """Calls that count in wasm for a while are never interleaved: each sees only its own counts."""
    inst = make()
    fight = Fight()

    def count(k: int) -> None:
        assert inst.count(20_000 + k % 7) == 20_000 + k % 7

    fight.until({"count": 21}, count, count, count)
    assert inst.n.value >= 20_000 * fight.done["count"]
    assert inst.count(3) == 3


def test_everything_at_once() -> None:
    """Calls of every kind, tables, globals, memory and linking fight over one store; what each thread sees is right."""
    inst = make()
    fight = Fight()

    def ident(k: int) -> None:
        thing = [k]
        assert inst.id(thing) is thing

    def passing(k: int) -> None:
        thing = [k]
        result = inst.exports["pass"](thing, k)
        assert result[0] is thing and result[1] == k

    def trap(k: int) -> None:
        with pytest.raises(figwasp.Trap):
            inst.trap([k])

    def numbers(k: int) -> None:
        assert inst.num(1000 + k % 5) == (1000 + k % 5) * (1001 + k % 5) // 2

    def containers(k: int) -> None:
        inst.table[k % 3 + 1] = [k]
        inst.kept.value = [k]
        assert isinstance(inst.table[k % 3 + 1], list) and isinstance(inst.kept.value, list)
        inst.funcs[k % 4] = inst.exports.num
        assert inst.func(inst.funcs[k % 4]) == inst.exports.num

    def linking(k: int) -> None:
        other = load(
            """(module (import "m" "num" (func $n (param i64) (result i64))) (import "m" "table" (table 4 externref))
            (func (export "go") (result i64) (call $n (i64.const 10))))""",
            {"m": inst},
        )
        assert other.go() == 55

    fight.run(ident, passing, trap, numbers, containers, linking)
    assert len(fight.done) == 6, fight.done
    assert inst.num(3) == 6 and inst.id(None) is None


def test_exhaustion_in_threads() -> None:
    """Threads that recurse until the stack is used up, on stacks of their own, leave the others alone."""
    instances = [make() for _ in range(3)]
    fight = Fight()

    def deep(k: int) -> None:
        with pytest.raises(figwasp.Exhaustion):
            instances[k % 3].deep()

    def numbers(k: int) -> None:
        assert instances[k % 3].num(100) == 5050

    fight.until({"deep": 4}, deep, deep, numbers, seconds=0.5)


def test_collector_runs_in_another_thread() -> None:
    """The cycle collector may run in any thread, at any moment of a call that holds references."""
    instances = [make() for _ in range(3)]
    fight = Fight()

    def collect(k: int) -> None:
        gc.collect()

    def references(k: int) -> None:
        inst = instances[k % 3]
        cycle: list[Any] = [inst, k]
        cycle.append(cycle)
        assert inst.id(cycle) is cycle
        got, _ = inst.exports["pass"](cycle, k)
        assert got is cycle
        inst.table[2] = cycle

    def turnover(k: int) -> None:
        inst = make()
        cycle: list[Any] = [inst]
        inst.kept.value = cycle
        assert inst.id(cycle) is cycle

    fight.until({"collect": 3, "turnover": 3}, collect, references, references, turnover)


def test_references_come_and_go_with_their_calls() -> None:
    """However threads interleave, an object that wasm does not keep is not kept."""
    inst = make()
    thing = object()
    before = sys.getrefcount(thing)
    fight = Fight()

    def passing(k: int) -> None:
        assert inst.exports["pass"](thing, k)[0] is thing

    def ident(k: int) -> None:
        assert inst.id(thing) is thing

    fight.run(passing, passing, ident, seconds=0.5)
    inst.table[0] = None
    assert inst.exports["pass"](1, 2) == (1, 2)
    gc.collect()
    assert sys.getrefcount(thing) == before


def test_growing_memory_beside_views() -> None:
    """One thread grows a memory, others read and write it through views made at any time: none fails, nothing moves."""
    inst = make()
    memory = inst.memory
    fight = Fight()

    def grow(k: int) -> None:
        if memory.pages < 300:
            memory.grow(1)

    def views(k: int) -> None:
        view = memoryview(memory)
        view[k % 60_000] = k % 256
        assert len(view) % 65536 == 0 and memory[65535] in range(256)
        memory.write(100, bytes([k % 256] * 50))
        assert len(set(memory.read(100, 50))) == 1

    fight.run(grow, views, seconds=0.5)
    assert memory.pages > 1


def test_parallel_stores_share_a_module() -> None:
    """Threads with instances of their own of one module never find anything busy, and hosts are called in their own threads."""
    fight = Fight()
    mine = threading.local()
    wrong: list[int] = []

    def g(x: int) -> int:
        if x != threading.get_ident() % 1000:
            wrong.append(x)
        return x

    def call(k: int) -> None:
        if not hasattr(mine, "inst"):
            mine.inst = make(g=g)
        assert mine.inst.host(threading.get_ident() % 1000) == threading.get_ident() % 1000
        assert mine.inst.num(50) == 1275

    fight.run(*[call] * 6, seconds=0.5)
    assert fight.busy == 0 and not wrong and fight.done["call"] > 100


def test_handing_an_instance_around() -> None:
    """An instance that is not running may be used by any thread, one after the other, and from a thread that has ended before."""
    inst = make()
    results: list[int] = []
    for k in range(50):
        thread = threading.Thread(target=lambda k=k: results.append(inst.host(k)))
        thread.start()
        thread.join()
    assert results == list(range(1, 51)) and inst.host(7) == 8


def test_waiting_for_another_thread_in_a_host_function() -> None:
    """A host function may wait for a thread that tries to come in: that finds the store busy, and nothing waits for ever."""
    found: list[type[BaseException]] = []

    def intrude() -> None:
        try:
            inst.num(3)
        except figwasp.Busy as error:
            found.append(type(error))

    def g(x: int) -> int:
        thread = threading.Thread(target=intrude)
        thread.start()
        thread.join(HANG_GUARD)
        return x + len(found)

    inst = make(g=g)
    assert inst.host(1) == 2 and inst.host(1) == 3 and found == [figwasp.Busy] * 2


def test_drop_in_another_thread_while_compiling() -> None:
    """Instances that go while a function of their module is being compiled are not written to any more."""
    count = 300
    text = "".join(f'(func (export "f{k}") (result i32) (i32.const {k}))' for k in range(count))
    module = figwasp.Module(figwasp.wat(f"(module {text})"))
    kept = figwasp.load(module)
    fight = Fight()

    def turnover(k: int) -> None:
        for inst in [figwasp.load(module) for _ in range(20)]:
            assert inst.f0() == 0

    def compiling(k: int) -> None:
        if k < count:
            assert kept.exports[f"f{k}"]() == k

    fight.run(turnover, compiling, seconds=0.5)
    assert kept.f299() == 299


def test_release_waits_for_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """The block of an instance that goes just when compiled code is about to be written there is released afterwards."""
    from figwasp.runtime.platform import linux
    from figwasp.runtime.start import native_runtime

    module = figwasp.Module(figwasp.wat('(module (func (export "f") (result i32) (i32.const 9)))'))
    instances = [figwasp.load(module) for _ in range(4)]
    blocks = {inst._state.block for inst in instances}
    gone = blocks - {instances[2]._state.block}  # which its function keeps
    owners = native_runtime().owners
    written: list[int] = []
    real = linux.word
    calling = instances[2].exports.f

    class Place:
        """Where something may be written."""

        def __init__(self, address: int) -> None:
            self.address = address

        def __setattr__(self, name: str, value: int) -> None:
            object.__setattr__(self, name, value)
            if name == "value":
                written.append(self.address)
                real(self.address).value = value

    def word(address: int) -> Any:
        if instances and any(block <= address < block + 1024 for block in blocks):
            instances.clear()
            owners.reap()
            return Place(address)
        return real(address)

    monkeypatch.setattr(linux, "word", word)
    assert calling() == 9
    monkeypatch.undo()
    owners.reap()
    assert not instances and not any(block <= address < block + 1024 for block in gone for address in written) and calling() == 9


def test_stacks_are_lent_among_many_stores() -> None:
    """Of very many stores that have run, those idle for longest give up their stacks, and get others when they run again."""
    from figwasp.runtime.platform import stack
    from figwasp.runtime.start import native_runtime

    stacks = native_runtime().stacks
    instances = [make() for _ in range(stack._MAX_LENT + 200)]
    running = make(g=lambda x: sum(inst.host(0) == 1 or inst.num(2) for inst in instances) if x else 0)
    assert running.host(1) == len(instances)  # its own stack stays while it runs
    assert all(inst.num(4) == 10 for inst in instances)
    with_stack = sum(read_u64(inst.exports.num._store.context + layout.CTX_STACK_TOP) != 0 for inst in instances)
    assert with_stack <= stack._MAX_LENT == 1024 < len(instances)
    assert len(stacks._lent) <= stack._MAX_LENT + 1
    with pytest.raises(figwasp.Exhaustion):
        instances[0].deep()
    assert instances[0].num(4) == 10
