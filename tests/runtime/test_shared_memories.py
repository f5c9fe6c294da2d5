"""Shared memories: several threads with an instance each over one; growth, waits and wake-ups, and whose a memory is."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

import figwasp
from figwasp.errors import Interrupted, Timeout
from figwasp.features import DEFAULT
from figwasp.runtime.platform import linear
from figwasp.runtime.trap import parking
from tests.environment import HANG_GUARD
from tests.runtime.support import check_script, settle

SOON = 0.3
"""Seconds within which an endless wait ends once it has been ended; measured from the moment when nothing else is to be done."""
FEATURES = DEFAULT.including("threads")
WAT = """(module (import "host" "memory" (memory 1 200 shared))
  (func (export "meet") (param $n i32) (drop (i32.atomic.rmw.add (i32.const 512) (i32.const 1)))
    (loop $l (br_if $l (i32.lt_u (i32.atomic.load (i32.const 512)) (local.get $n)))))
  (func (export "add") (param $n i32) (loop $l (drop (i32.atomic.rmw.add (i32.const 0) (i32.const 1)))
    (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
  (func (export "lock_add") (param $n i32) (loop $l
    (loop $spin (br_if $spin (i32.atomic.rmw.cmpxchg (i32.const 8) (i32.const 0) (i32.const 1))))
    (i64.store (i32.const 16) (i64.add (i64.load (i32.const 16)) (i64.const 1)))
    (i32.atomic.store (i32.const 8) (i32.const 0))
    (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
  (func (export "hand") (param $me i32) (param $n i32) (loop $l
    (block $mine (loop $wait
      (br_if $mine (i32.eq (i32.atomic.load (i32.const 24)) (local.get $me)))
      (drop (memory.atomic.wait32 (i32.const 24) (i32.sub (i32.const 1) (local.get $me)) (i64.const -1)))
      (br $wait)))
    (i32.atomic.store (i32.const 24) (i32.sub (i32.const 1) (local.get $me)))
    (drop (memory.atomic.notify (i32.const 24) (i32.const 1)))
    (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
  (func (export "wait") (param i32 i32 i64) (result i32) (memory.atomic.wait32 (local.get 0) (local.get 1) (local.get 2)))
  (func (export "wait64") (param i32 i64 i64) (result i32) (memory.atomic.wait64 (local.get 0) (local.get 1) (local.get 2)))
  (func (export "notify") (param i32 i32) (result i32) (memory.atomic.notify (local.get 0) (local.get 1)))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "pages") (result i32) (memory.size))
  (func (export "poke") (param i32) (i32.store8 (local.get 0) (i32.const 1)))
  (func (export "publish") (result i32) (local $old i32)
    (local.set $old (memory.grow (i32.const 1)))
    (if (i32.ne (local.get $old) (i32.const -1)) (then
      (i32.store (i32.shl (local.get $old) (i32.const 16)) (i32.const 0x5eed))
      (i32.atomic.store (i32.const 32) (i32.add (local.get $old) (i32.const 1)))))
    (local.get $old))
  (func (export "follow") (param $until i32) (result i32) (local $seen i32) (local $pages i32) (local $wrong i32)
    (loop $l (local.set $pages (i32.atomic.load (i32.const 32)))
      (if (i32.ne (local.get $pages) (local.get $seen)) (then (local.set $seen (local.get $pages))
        (if (i32.ne (i32.load (i32.shl (i32.sub (local.get $pages) (i32.const 1)) (i32.const 16))) (i32.const 0x5eed))
          (then (local.set $wrong (i32.add (local.get $wrong) (i32.const 1)))))
        (if (i32.lt_u (memory.size) (local.get $pages)) (then (local.set $wrong (i32.add (local.get $wrong) (i32.const 1)))))))
      (br_if $l (i32.lt_u (local.get $pages) (local.get $until))))
    (local.get $wrong))
  (func (export "bulk") (param $n i32) (loop $l
    (memory.fill (i32.const 4096) (local.get $n) (i32.sub (i32.shl (memory.size) (i32.const 16)) (i32.const 4096)))
    (memory.copy (i32.const 8192) (i32.const 4096) (i32.sub (i32.shl (memory.size) (i32.const 16)) (i32.const 8192)))
    (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))"""


@pytest.fixture(scope="module", params=["guard", "checked"])
def module(request: pytest.FixtureRequest) -> figwasp.Module:
    return figwasp.Module(figwasp.wat(WAT), engine=figwasp.Engine(features=FEATURES, memory=request.param))


@pytest.fixture
def memory() -> figwasp.Memory:
    return figwasp.Memory(1, 200, shared=True)


def instance_of(module: figwasp.Module, memory: figwasp.Memory) -> figwasp.Instance:
    return figwasp.load(module, {"host": {"memory": memory}})


def together(*jobs: Callable[[], object]) -> list[Any]:
    """Do each job in a thread of its own; return their results, exceptions among them."""
    results: list[Any] = [None] * len(jobs)

    def do(number: int) -> None:
        try:
            results[number] = jobs[number]()
        except BaseException as error:
            results[number] = error

    threads = [threading.Thread(target=do, args=(number,), daemon=True) for number in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG_GUARD)
        assert not thread.is_alive()
    return results


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that another thread does."""
    end = time.monotonic() + HANG_GUARD
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def are_waiting(count: int) -> bool:
    return waiting() == count


def waiting() -> int:
    """The number of threads that wait at all."""
    return len(parking._waiting)


# Accesses


@pytest.mark.parametrize(("name", "place"), [("add", 0), ("lock_add", 16)])
def test_two_threads_count(module: figwasp.Module, memory: figwasp.Memory, name: str, place: int) -> None:
    """Both have met before they begin: neither is done before the other has started."""
    times = 1_000_000 if name == "add" else 100_000
    instances = [instance_of(module, memory) for _ in range(2)]

    def work(instance: figwasp.Instance) -> None:
        instance.meet(2)
        instance.exports[name](times)

    assert together(*[lambda one=one: work(one) for one in instances]) == [None, None]
    assert memory.read_u64(place) == 2 * times


def test_threads_hand_a_word_to_each_other(module: figwasp.Module, memory: figwasp.Memory) -> None:
    instances = [instance_of(module, memory) for _ in range(2)]
    assert together(lambda: instances[0].hand(0, 10_000), lambda: instances[1].hand(1, 10_000)) == [None, None]
    assert memory.read_u32(24) == 0
    assert not waiting()


LITMUS = """(module (import "host" "memory" (memory 1 200 shared))
  (func $meet (param $k i32) (drop (i32.atomic.rmw.add (i32.const 0) (i32.const 1)))
    (loop $l (br_if $l (i32.lt_u (i32.atomic.load (i32.const 0)) (local.get $k)))))
  (func (export "run") (param $mine i32) (param $other i32) (param $seen i32) (param $n i32) (local $k i32) (loop $l
    (call $meet (local.tee $k (i32.add (local.get $k) (i32.const 2))))
    (i32.atomic.store (local.get $mine) (i32.const 1))
    (i32.store (local.get $seen) (i32.atomic.load (local.get $other)))
    (call $meet (local.tee $k (i32.add (local.get $k) (i32.const 2))))
    (if (i32.eqz (i32.or (i32.load (i32.const 1024)) (i32.load (i32.const 2048))))
      (then (drop (i32.atomic.rmw.add (i32.const 4096) (i32.const 1)))))
    (call $meet (local.tee $k (i32.add (local.get $k) (i32.const 2))))
    (i32.store (local.get $mine) (i32.const 0))
    (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))"""
"""Two threads write a word each and then read the other's; they count how often neither has seen the other."""


def test_a_load_does_not_come_before_a_store(module: figwasp.Module, memory: figwasp.Memory) -> None:
    """Of plain accesses, one in a hundred does on x86-64."""
    litmus = figwasp.Module(figwasp.wat(LITMUS), engine=module.engine)
    one, two = instance_of(litmus, memory), instance_of(litmus, memory)
    assert together(lambda: one.run(256, 512, 1024, 20_000), lambda: two.run(512, 256, 2048, 20_000)) == [None, None]
    assert memory.read_u32(4096) == 0


# Growth


def test_all_growth_is_had_once(module: figwasp.Module, memory: figwasp.Memory) -> None:
    """Four threads grow by a page until there is no room: each old size is given to one of them."""
    instances = [instance_of(module, memory) for _ in range(4)]

    def work(grow: Callable[[int], int]) -> list[int]:
        return list(iter(lambda: grow(1), -1))

    def by_hand(delta: int) -> int:
        try:
            return memory.grow(delta)
        except MemoryError:
            return -1

    found = together(*[lambda one=one: work(one.grow) for one in instances], lambda: work(by_hand))
    assert sorted(size for sizes in found for size in sizes) == [*range(1, 200)]
    assert memory.pages == 200 == instances[0].pages()


def test_a_length_is_published_after_its_pages(module: figwasp.Module, memory: figwasp.Memory) -> None:
    """Whoever learns by an atomic load that there is a page finds it, with what has been written there, and the size says so."""
    one, *others = [instance_of(module, memory) for _ in range(3)]

    def grow() -> int:
        while one.publish() != -1:
            pass
        return 0

    assert together(grow, *[lambda other=other: other.follow(200) for other in others]) == [0, 0, 0]


def test_bulk_operations_race_with_growth(module: figwasp.Module, memory: figwasp.Memory) -> None:
    instances = [instance_of(module, memory) for _ in range(3)]

    def grow() -> int:
        for _ in range(199):
            instances[0].grow(1)
            time.sleep(0)
        return 0

    assert together(grow, lambda: instances[1].bulk(20), lambda: instances[2].bulk(20)) == [0, None, None]
    assert memory.pages == 200


def test_what_lies_beyond_traps(module: figwasp.Module, memory: figwasp.Memory) -> None:
    instance = instance_of(module, memory)
    for bad in (65536, 0xFFFF_FFFC):
        for func, *rest in ((instance.wait, 0, 0), (instance.notify, 1)):
            with pytest.raises(figwasp.Trap, match="out of bounds memory access"):
                func(bad, *rest)
    with pytest.raises(figwasp.Trap, match="out of bounds"):
        instance.poke(65536)
    memory.grow(1)
    instance.poke(65536)
    for func, *args in ((instance.wait, 2, 0, 0), (instance.wait64, 4, 0, 0), (instance.notify, 1, 1)):
        with pytest.raises(figwasp.Trap, match="unaligned atomic"):
            func(*args)


# Waits


def test_results_of_waits(module: figwasp.Module, memory: figwasp.Memory) -> None:
    instance = instance_of(module, memory)
    memory.write_u32(0, 7)
    memory.write_u64(8, 2**64 - 1)
    assert instance.wait(0, 8, -1) == instance.wait64(8, -2, -1) == 1
    assert instance.wait(0, 7, 0) == instance.wait64(8, -1, 0) == instance.wait(0, 7, 2_000_000) == 2
    assert instance.notify(0, 1) == instance.notify(0, -1) == 0
    assert not waiting()


def test_wakes_those_that_came_first(module: figwasp.Module, memory: figwasp.Memory) -> None:
    """In order, no more than were asked for; a count may be huge, and one of 0 wakes nobody."""
    woken: list[int] = []
    threads = []

    def work(number: int) -> None:
        assert instance_of(module, memory).wait(64, 0, -1 if number % 2 else 2**62) == 0
        woken.append(number)

    for number in range(6):
        threads.append(threading.Thread(target=work, args=(number,), daemon=True))
        threads[-1].start()
        until(partial(are_waiting, number + 1))
    instance = instance_of(module, memory)
    assert instance.notify(64, 0) == instance.notify(68, -1) == 0
    assert instance.notify(64, 1) == 1
    until(lambda: woken == [0])
    assert instance.notify(64, 2) == 2
    until(lambda: sorted(woken) == [0, 1, 2])
    assert instance.notify(64, -1) == 3
    for thread in threads:
        thread.join(HANG_GUARD)
    assert sorted(woken) == [*range(6)]
    assert instance.notify(64, -1) == 0
    assert not parking._waiting


def endless(instance: figwasp.Instance, **how: Any) -> BaseException | int:
    try:
        result: int = instance.wait(0, 0, -1, **how)
        return result
    except BaseException as error:
        return error


@pytest.mark.parametrize("end", ["interrupt", "close"])
def test_another_thread_ends_a_wait(module: figwasp.Module, memory: figwasp.Memory, end: str) -> None:
    instance = instance_of(module, memory)
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(endless(instance)), daemon=True)
    thread.start()
    until(lambda: waiting() == 1)
    began = time.monotonic()
    getattr(instance, end)()
    thread.join(HANG_GUARD)
    assert isinstance(found[0], Interrupted)
    assert time.monotonic() - began < SOON
    assert not waiting()
    assert memory.read_u32(0) == 0  # which is nobody's who has been closed
    assert instance_of(module, memory).notify(0, -1) == 0


def test_a_deadline_ends_a_wait(module: figwasp.Module, memory: figwasp.Memory) -> None:
    assert isinstance(endless(instance_of(module, memory), timeout=0.05), Timeout)
    assert not waiting()


def test_ctrl_c_ends_a_wait(module: figwasp.Module, memory: figwasp.Memory) -> None:
    instance = instance_of(module, memory)
    sent: list[float] = []

    def send() -> None:
        until(lambda: waiting() == 1)
        time.sleep(0.05)
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=send)
    thread.start()
    assert isinstance(endless(instance), KeyboardInterrupt)
    assert time.monotonic() - sent[0] < SOON
    thread.join()
    assert not waiting()
    assert instance.wait(0, 0, 0) == 2


def test_a_signal_handler_may_wake_and_wait(module: figwasp.Module, memory: figwasp.Memory) -> None:
    """Its thread may be waiting there, or be anywhere in waking."""
    instance, other = instance_of(module, memory), instance_of(module, memory)
    seen: list[int] = []

    def handle(*_: object) -> None:
        seen.append(other.notify(0, 1))
        seen.append(other.wait(4, 0, 1000))

    before = signal.signal(signal.SIGALRM, handle)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        assert instance.wait(0, 0, -1) == 0
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert seen == [1, 2]


def test_nothing_waits_in_a_forked_child() -> None:
    assert check_script(f"""
        import os, threading, time, figwasp
        from figwasp.features import DEFAULT
        from figwasp.runtime.trap import parking
        module = figwasp.Module(figwasp.wat({WAT!r}), engine=figwasp.Engine(features=DEFAULT.including("threads")))
        memory = figwasp.Memory(1, 200, shared=True)
        one, two = [figwasp.load(module, {{"host": {{"memory": memory}}}}) for _ in range(2)]
        thread = threading.Thread(target=lambda: one.wait(0, 0, -1))
        thread.start()
        while not parking._waiting:
            time.sleep(0.001)
        child = os.fork()
        if not child:
            os._exit(two.notify(0, -1))
        print(os.waitpid(child, 0)[1], two.notify(0, -1))
        thread.join()
    """) == "0 1\n"


# Whose a memory is


def test_only_shared_memories_cross_threads(module: figwasp.Module, memory: figwasp.Memory) -> None:
    """Instances over one shared memory are not linked; those over any other are, and then they are for one thread at a time."""
    plain = figwasp.wat("""(module (import "host" "memory" (memory 1)) (func (export "spin") (loop (br 0))) (func (export "f")))""")
    one, two = [figwasp.load(plain, {"host": {"memory": figwasp_memory}}) for figwasp_memory in [figwasp.Memory(1)] * 2]
    thread = threading.Thread(target=lambda: endless_loop(one), daemon=True)
    thread.start()
    until(lambda: one._state.store.running)
    with pytest.raises(figwasp.Busy):
        two.f()
    one.interrupt()
    thread.join(HANG_GUARD)
    two.f()

    first, second = instance_of(module, memory), instance_of(module, memory)
    thread = threading.Thread(target=lambda: endless(first), daemon=True)
    thread.start()
    until(lambda: waiting() == 1)
    assert second.notify(0, 1) == 1
    thread.join(HANG_GUARD)
    assert first._state.store.current is not second._state.store.current


def endless_loop(instance: figwasp.Instance) -> None:
    try:
        instance.spin()
    except Interrupted:
        pass


def test_a_memory_outlives_the_instance_that_defined_it(module: figwasp.Module) -> None:
    """It goes with its last holder, an instance in another store or a view."""
    def live() -> int:
        gc.collect()
        settle()
        return sum(map(len, linear._live.values()))

    before = live()
    text = '(module (memory (export "memory") 1 200 shared) (func (export "f") (i32.store (i32.const 0) (i32.const 5))))'
    engine = figwasp.Engine(features=FEATURES, memory=module.engine.settings["memory"])
    defining = figwasp.load(figwasp.Module(figwasp.wat(text), engine=engine))
    defining.f()
    memory = defining.memory
    user = instance_of(module, memory)
    assert user._state.store.current is not defining._state.store.current
    defining.close()
    del defining
    assert live() == before + 1
    assert memory.read_u32(0) == 5
    assert user.wait(0, 4, -1) == 1
    user.close()
    del user
    assert live() == before + 1
    view = memoryview(memory)
    del memory
    assert (live(), view[0]) == (before + 1, 5)
    del view
    assert live() == before


def test_limits(module: figwasp.Module) -> None:
    with pytest.raises(ValueError, match="a shared memory must have a maximum"):
        figwasp.Memory(1, shared=True)
    with pytest.raises(ValueError, match="maximum not below the minimum"):
        figwasp.Memory(2, 1, shared=True)
    memory = figwasp.Memory(1, 3, shared=True)
    assert repr(memory) == "<figwasp.Memory of 1 page, shared>"
    assert repr(memory.type) == "memory 1 3 shared"
    assert memory.grow(2) == 1
    with pytest.raises(MemoryError):
        memory.grow(1)
    instance_of(module, memory)
    for wrong in (figwasp.Memory(1, 200), figwasp.Memory(1, 201, shared=True)):
        with pytest.raises(figwasp.Unlinkable, match="must be memory 1 200 shared, not memory"):
            instance_of(module, wrong)
    with pytest.raises(figwasp.Unlinkable, match="not memory 1 3 shared"):
        figwasp.load(figwasp.wat('(module (import "host" "memory" (memory 1 3)))'), {"host": {"memory": memory}})


def test_a_memory_that_a_module_defines_is_within_its_budget(module: figwasp.Module) -> None:
    text = '(module (memory (export "memory") 1 200 shared) (memory 1 200 shared) (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))'
    engine = figwasp.Engine(features=FEATURES, memory=module.engine.settings["memory"], max_memory=10 << 16)
    instance = figwasp.load(figwasp.Module(figwasp.wat(text), engine=engine))
    memory = instance.memory
    assert (instance.grow(9), instance.grow(8), instance.grow(1)) == (-1, 1, -1)
    instance.close()
    with pytest.raises(MemoryError):
        memory.grow(1)
    with pytest.raises(figwasp.LimitExceeded):
        figwasp.load(figwasp.Module(figwasp.wat("(module (memory 11 20 shared))"), engine=engine))


def test_waits_and_wake_ups_of_other_memories() -> None:
    """Nobody waits at a memory that is not shared."""
    text = """(module (memory 1) (func (export "wait") (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const 0))))
      (func (export "notify") (result i32) (memory.atomic.notify (i32.const 0) (i32.const 9)))
      (func (export "add") (result i32) (i32.atomic.rmw.add (i32.const 0) (i32.const 9))))"""
    instance = figwasp.load(figwasp.Module(figwasp.wat(text), engine=figwasp.Engine(features=FEATURES)))
    with pytest.raises(figwasp.Trap, match="expected shared memory"):
        instance.wait()
    assert (instance.notify(), instance.add(), instance.add()) == (0, 0, 9)
