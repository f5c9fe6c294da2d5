"""What no snapshot can be taken of, and when an instance cannot be reset: nothing has changed then."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import Any

import pytest

import figwasp
from figwasp.runtime.platform import linux
from tests.environment import HANG_GUARD
from tests.runtime.support import host, load

GIVER = """(module (memory (export "memory") 1) (table (export "table") 1 funcref) (global (export "global") (mut i32) (i32.const 0))
  (func (export "f")))"""
ALSO_THREADS = figwasp.Engine(features=figwasp.Engine().features.including("threads"))


def refused(instance: figwasp.Instance, message: str) -> None:
    """Assert that there is no snapshot of an instance."""
    with pytest.raises(figwasp.Error, match=message):
        instance.snapshot()


@pytest.mark.parametrize(
    ("item", "what"), [("memory", "a memory, g.memory"), ("table", "a table, g.table"), ("global", "a mutable global, g.global")]
)
def test_imports_that_change(item: str, what: str) -> None:
    types = {"memory": "memory 1", "table": "table 1 funcref", "global": "global (mut i32)"}
    instance = load(f'(module (import "g" "{item}" ({types[item]})))', {"g": load(GIVER)})
    refused(instance, f"the instance imports {what}, and a snapshot has what the instance defines")


def test_shared_memories() -> None:
    module = figwasp.Module(figwasp.wat("(memory 1 2 shared)"), engine=ALSO_THREADS)
    refused(module.instantiate(), "memory 0 is shared")


def test_functions_of_others() -> None:
    instance: Any = load(
        '(module (table (export "t") 4 funcref) (table (export "u") 4 funcref) (global (export "g") (mut funcref) (ref.null func)))'
    )
    instance.u[2] = load(GIVER).f
    refused(instance, "element 2 of table 1 is a function of another instance, not imported")
    instance.u[2] = None
    instance.g.value = load(GIVER).f
    refused(instance, "global 0 is a function of another instance")
    instance.g.value = None
    assert instance.snapshot()


def test_objects_of_the_heap() -> None:
    instance: Any = load("""(module (type $s (struct (field (mut i32)))) (table (export "t") 4 structref)
      (global (export "g") (mut anyref) (ref.null any)) (func (export "new") (result structref) (struct.new $s (i32.const 1)))
      (table (export "x") 4 externref))""")
    for place, index, where in ((instance.t, 3, "element 3 of table 0"), (instance.x, 1, "element 1 of table 1")):
        place[index] = instance.new()
        refused(instance, f"{where} is an object of the garbage-collected heap, whose contents it would not have")
        place[index] = None
    instance.g.value = instance.new()
    refused(instance, "global 0 is an object of the garbage-collected heap")
    instance.g.value = None
    snapshot = instance.snapshot()
    instance.t[3] = instance.g.value = instance.new()
    instance.reset(snapshot)
    assert list(instance.t) == [None] * 4 and instance.g.value is None


def test_objects_of_the_heap_in_segments_and_constants() -> None:
    refused(
        load("(module (type $s (struct)) (elem $p structref (item (ref.null struct)) (item (struct.new $s))))"),
        "element 1 of element segment 0 is an object of the garbage-collected heap",
    )
    refused(load("(module (type $s (struct)) (global (ref $s) (struct.new $s)))"), "global 0 is an object")


def test_a_reset_needs_a_snapshot_of_the_module() -> None:
    instance, other = load("(memory 1)"), load("(memory 2)")
    with pytest.raises(ValueError, match="has no snapshot to be reset to"):
        instance.reset()
    snapshot = other.snapshot()
    with pytest.raises(ValueError, match="not of <figwasp.Module"):
        instance.reset(snapshot)
    with pytest.raises(ValueError, match="not of <figwasp.Module"):
        instance.module.instantiate(snapshot=snapshot)
    with pytest.raises(ValueError, match="not of <figwasp.Module"):  # limits of another engine
        figwasp.Module(figwasp.wat("(memory 2)"), engine=figwasp.Engine(max_memory=1 << 20)).instantiate(snapshot=snapshot)
    with pytest.raises(TypeError, match="must be a figwasp.Snapshot, not int"):
        instance.reset(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="taken by the method"):
        figwasp.Snapshot()
    with pytest.raises(TypeError, match="cannot be copied or pickled"):
        snapshot.__reduce__()


def test_closed_instances() -> None:
    instance = load("(memory 1)")
    snapshot = instance.snapshot()
    instance.close()
    for operation in (instance.snapshot, instance.reset, lambda: instance.reset(snapshot)):
        with pytest.raises(figwasp.Closed):
            operation()


CALLING = """(module (import "host" "f" (func $f)) (memory (export "memory") 1 9) (func (export "run") (call $f)))"""


def test_not_during_a_call() -> None:
    """Neither of the instance nor of one that is linked with it."""
    busy: list[object] = []

    def try_all() -> None:
        for operation in (instance.snapshot, instance.reset, user.snapshot):
            with pytest.raises(figwasp.Busy, match="a call is under way"):
                operation()
            busy.append(operation)

    instance: Any = load(CALLING, host(f=try_all))
    user: Any = load('(module (import "i" "run" (func $run)) (memory 1) (func (export "run") (call $run)))', {"i": instance})
    instance.snapshot()
    user.run()
    instance.run()
    assert len(busy) == 6
    instance.reset()
    user.snapshot()


def test_not_while_a_call_is_suspended() -> None:
    async def wait() -> None:
        await going.wait()

    async def main() -> None:
        call = asyncio.ensure_future(instance.acall.run())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for operation in (instance.snapshot, instance.reset):
            with pytest.raises(figwasp.Busy):
                operation()
        going.set()
        await call
        instance.reset()

    going = asyncio.Event()
    instance: Any = load(CALLING, host(f=wait))
    instance.snapshot()
    asyncio.run(main())


def test_not_while_another_thread_calls() -> None:
    begun, over = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        over.wait(HANG_GUARD)

    instance: Any = load(CALLING, host(f=wait))
    instance.snapshot()
    thread = threading.Thread(target=instance.run)
    thread.start()
    try:
        begun.wait(HANG_GUARD)
        for operation in (instance.snapshot, instance.reset):
            with pytest.raises(figwasp.Busy):
                operation()
    finally:
        over.set()
        thread.join()
    instance.reset()


def test_buffers_keep_a_memory_from_becoming_smaller() -> None:
    instance: Any = load('(module (memory (export "memory") 1 9) (global (export "g") (mut i32) (i32.const 1)))')
    instance.snapshot()
    view = memoryview(instance.memory)
    instance.memory[5] = 1
    instance.reset()  # a buffer of the old length sees the old contents
    assert view[5] == 0
    instance.memory.grow(2)
    instance.memory[5], instance.g.value = 1, 2
    inner = memoryview(instance.memory)[100:]
    view.release()
    with pytest.raises(BufferError, match="of 65536 bytes instead of 196608"):
        instance.reset()
    assert (instance.memory.pages, instance.memory[5], instance.g.value, len(inner)) == (3, 1, 2, 196508)
    inner.release()
    instance.reset()
    assert (instance.memory.pages, instance.memory[5], instance.g.value) == (1, 0, 1)


def test_what_is_read_and_written_leaves_no_buffer() -> None:
    instance: Any = load('(module (memory (export "memory") 1 9))')
    instance.snapshot()
    memory = instance.memory
    for operation in (
        lambda: memory.read(70000, 1), lambda: memory[131071], lambda: memory.write(65536, b"x"), lambda: memory.read_f64(65532),
        lambda: memory.write_u8(0, 256), lambda: memory.read_cstr(0, 5), lambda: next(iter(memory)), lambda: 300 in memory,
    ):  # fmt: skip
        memory.grow(1)
        try:
            operation()
        except (IndexError, OverflowError, TypeError, ValueError):
            pass
        instance.reset()
        assert memory.pages == 1


def test_a_wasi_program_keeps_no_buffer() -> None:
    """The window that WASI has on a memory goes when the memory becomes smaller, and comes again."""
    text = """(module (import "wasi_snapshot_preview1" "random_get" (func $get (param i32 i32) (result i32)))
      (memory (export "memory") 1 9)
      (func (export "fill") (param i32) (result i32) (call $get (local.get 0) (i32.const 100))))"""
    with figwasp.WASI() as wasi:
        instance: Any = load(text, wasi.imports())
        assert instance.fill(0) == 0
        instance.snapshot()
        for _ in range(3):
            instance.memory.grow(1)
            assert instance.fill(65536) == 0
            instance.reset()
            assert instance.fill(65536) == 21  # EFAULT
            assert instance.fill(65000) == 0


def test_limits() -> None:
    engine = figwasp.Engine(max_memory=4 << 16, max_table=10)
    module = figwasp.Module(
        figwasp.wat('(module (memory (export "memory") 1) (memory (export "other") 1) (table (export "t") 2 funcref))'), engine=engine
    )
    instance: Any = module.instantiate()
    small = instance.snapshot()
    instance.memory.grow(2)
    instance.t.grow(8)
    large = instance.snapshot()
    for one in (instance, module.instantiate(snapshot=large)):
        with pytest.raises(MemoryError):
            one.other.grow(1)
        one.reset(small)
        one.other.grow(2)
        with pytest.raises(MemoryError):
            one.memory.grow(1)
        one.t.grow(3)
        one.reset(large)
        with pytest.raises(MemoryError):
            one.other.grow(1)
        with pytest.raises(MemoryError):
            one.t.grow(1)
        one.reset(small)
        one.t.grow(8)


def test_no_memory_for_a_larger_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the system refuses leaves an instance as it was; where another memory had been changed already, it is closed."""
    instance: Any = load('(module (memory (export "a") 1 9) (memory (export "b") 1 9) (func (export "f")))')
    small = instance.snapshot()
    instance.b.grow(1)
    large = instance.snapshot()
    instance.reset(small)
    stubs = instance.a._core.native.stubs
    real = stubs.restore_memory
    for refused_at, closed in ((0, False), (1, True)):
        count = iter(range(10))
        monkeypatch.setitem(vars(stubs), "restore_memory", lambda plan, at=refused_at, it=count: next(it) != at and real(plan))
        with pytest.raises(figwasp.LimitExceeded, match="has been closed" if closed else "no memory for the memories"):
            instance.reset(large)
        monkeypatch.setitem(vars(stubs), "restore_memory", real)
        if closed:
            with pytest.raises(figwasp.Closed):
                instance.f()
        else:
            instance.f()
            assert (instance.a.pages, instance.b.pages) == (1, 1)


def test_no_memory_for_a_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    instance: Any = load('(module (memory (export "memory") 1))')
    instance.memory[0] = 1

    def full(*_: object) -> int:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(figwasp.LimitExceeded, match="no memory for a snapshot of 65536 bytes"):
            instance.snapshot()
    with pytest.raises(ValueError, match="has no snapshot"):
        instance.reset()
    assert instance.snapshot().nbytes == linux.PAGE


def test_tables_share_their_limit() -> None:
    """One becomes smaller and the other larger, whichever comes first."""
    engine = figwasp.Engine(max_table=12)
    module = figwasp.Module(figwasp.wat('(module (table (export "a") 1 funcref) (table (export "b") 1 externref))'), engine=engine)
    instance: Any = module.instantiate()
    snapshots = []
    for one, other in ((9, 1), (1, 9), (4, 4)):
        instance = module.instantiate()
        instance.a.grow(one)
        instance.b.grow(other)
        snapshots.append(instance.snapshot())
    for snapshot in (*snapshots, *reversed(snapshots)):
        instance.reset(snapshot)
        left = 12 - len(instance.a) - len(instance.b)
        with pytest.raises(MemoryError):
            instance.a.grow(left + 1)
        instance.b.grow(left)
        instance.reset()
        instance.a.grow(left)
