"""Images of memories below instances: of big data segments, in forked processes, between threads, of locked pages."""

from __future__ import annotations

import ctypes
import gc
import os
import random
import struct
import threading
from typing import Any

import pytest

import figwasp
from figwasp import layout
from figwasp.runtime.code import initial
from figwasp.runtime.platform import linux, written
from tests.environment import HANG_GUARD
from tests.runtime.support import check_script, load

BIG = 300 << 10


def text_of(data: bytes) -> str:
    """Write bytes as a string of the text format."""
    return '"' + "".join(f"\\{byte:02x}" for byte in data) + '"'


def shows_image(instance: Any) -> bool:
    """Tell whether the first memory of an instance shows an image."""
    return linux.read_u64(instance._state.memories[0].record + layout.MEM_IMAGE) != 0


def test_big_segments_are_an_image_from_the_second_instance_on() -> None:
    content = random.Random(1).randbytes(BIG)
    module = figwasp.Module(
        figwasp.wat(f"""(module (memory (export "memory") 9 10) (data (i32.const 5000) {text_of(content)})
          (data (i32.const 5010) "over") (data (i32.const 500000) "far") (data (i32.const 589824) ""))""")
    )
    instances: list[Any] = [module.instantiate() for _ in range(4)]
    assert list(map(shows_image, instances)) == [False, True, True, True]
    wanted = bytes(instances[0].memory)
    assert wanted[5000:5014] == content[:10] + b"over" and wanted[5014 : 5000 + BIG] == content[14:]
    for instance in instances:
        assert bytes(instance.memory) == wanted
        instance.memory[5000:6000] = bytes(1000)
        instance.memory.grow(1)
        assert not any(instance.memory[9 << 16 : 10 << 16])
    assert bytes(module.instantiate().memory) == wanted
    snapshot = instances[1].snapshot()
    instances[1].memory[7000] ^= 1
    instances[1].reset()
    assert bytes(instances[1].memory) == bytes(instances[0].memory) and snapshot.nbytes >= BIG - 8192


@pytest.mark.parametrize(
    "rest",
    ['(data (i32.const 65530) "beyond") (memory 1)', '(data (global.get 0) "elsewhere") (memory 9)'],
    ids=["does not fit", "depends on an import"],
)
def test_segments_that_are_copied_every_time(rest: str) -> None:
    """The error of the specification, and a place that is known late."""
    module = figwasp.Module(
        figwasp.wat(f"""(module (import "g" "place" (global i32)) {rest}
          (data (i32.const 0) {text_of(b"x" * BIG)}) (export "memory" (memory 0)))""")
    )
    for place in (400_000, 500_000, 500_001):
        if "beyond" in rest:
            with pytest.raises(figwasp.Trap, match="out of bounds memory access"):
                module.instantiate({"g": {"place": place}})
        else:
            instance: Any = module.instantiate({"g": {"place": place}})
            assert instance.memory.read(place, 9) == b"elsewhere" and not shows_image(instance)


def test_segments_that_are_far_apart_make_no_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module cannot have much more memory used than it has bytes."""
    monkeypatch.setattr(initial, "_LEAST", 100)
    segments = "".join(f'(data (i32.const {65536 * k}) "0123456789")' for k in range(200))
    module = figwasp.Module(figwasp.wat(f'(module (memory (export "memory") 200) {segments})'))
    instances: list[Any] = [module.instantiate() for _ in range(3)]
    assert not any(map(shows_image, instances)) and bytes(instances[2].memory) == bytes(instances[0].memory)


def test_without_files_in_memory_segments_are_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        with monkeypatch.context() as patch:  # code needs such files, too, where there are some
            patch.delattr(os, "memfd_create")
            real([], "nothing")

    real = linux.add_memory_file
    monkeypatch.setattr(linux, "add_memory_file", refuse)
    module = figwasp.Module(figwasp.wat(f'(module (memory (export "memory") 9) (data (i32.const 7) {text_of(b"y" * BIG)}))'))
    instances: list[Any] = [module.instantiate() for _ in range(3)]
    assert not shows_image(instances[2]) and instances[2].memory[7 + BIG - 1] == ord("y")
    instance = instances[0]
    instance.snapshot()
    instance.memory[7] = 1
    instance.reset()
    assert instance.memory[7] == ord("y") and not shows_image(instance)


FORKED = """
import os, figwasp
instance = figwasp.load(figwasp.wat('(module (memory (export "memory") 9))'))
instance.memory[5000] = 1
instance.snapshot()
instance.reset()
instance.memory[5000] = 2
instance.reset()
for _ in range(2):
    instance.memory[5000] = 3
    child = os.fork()
    for number in range(20):
        instance.memory[4096 * number] = 7
    if child == 0:
        instance.reset()
        well = instance.memory[5000] == 1 and not any(instance.memory[4096 * number] for number in range(20))
        other = instance.module.instantiate(snapshot=instance.snapshot())
        os._exit(0 if well and other.memory[5000] == 1 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert instance.memory[5000] == 3 and instance.memory[4096] == 7
    instance.reset()
    assert instance.memory[5000] == 1 and instance.memory[4096] == 0
"""


def test_forked_processes() -> None:
    """Each sees its own pages, and finds out which of its own have been written."""
    check_script(FORKED)


def test_threads_that_begin_in_one_state() -> None:
    """Each has an instance of its own, and all the same snapshot."""
    module = figwasp.Module(figwasp.wat('(module (memory (export "memory") 4) (global (export "g") (mut i32) (i32.const 0)))'))
    first: Any = module.instantiate()
    first.memory[:] = b"ab" * (2 << 16)
    snapshot = first.snapshot()
    wanted, failed = bytes(first.memory), []

    def work(seed: int) -> None:
        chance = random.Random(seed)
        instance: Any = module.instantiate(snapshot=snapshot)
        for _ in range(50):
            for _ in range(chance.randrange(40)):
                instance.memory[chance.randrange(len(wanted))] = chance.randrange(256)
            instance.reset()
            if bytes(instance.memory) != wanted:
                failed.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG_GUARD)
    assert not failed


def test_a_memory_grows_in_another_thread_meanwhile() -> None:
    """A memory needs no turn to grow: the reset finds it in whichever size, and leaves it as large as it was in the snapshot."""
    instance: Any = load('(module (memory (export "memory") 1 1000) (func (export "size") (result i32) (memory.size)))')
    instance.snapshot()
    over = threading.Event()

    def grow() -> None:
        while not over.is_set():
            try:
                instance.memory.grow(1)
            except MemoryError:
                pass

    thread = threading.Thread(target=grow)
    thread.start()
    resets = 0
    try:
        for _ in range(300):
            try:
                instance.reset()
                resets += 1
            except (BufferError, figwasp.Busy):
                pass
    finally:
        over.set()
        thread.join()
    instance.reset()
    assert instance.size() == 1 and resets > 0


def test_pages_that_are_locked(monkeypatch: pytest.MonkeyPatch) -> None:
    """They cannot be given back to the system: then the contents are copied."""
    monkeypatch.setattr(written, "scanner", lambda: (-1, 0))
    libc = ctypes.CDLL(None)
    instance: Any = load('(module (memory (export "memory") 2))')
    instance.memory[4096:8192] = b"z" * 4096
    instance.snapshot()
    instance.reset()
    base = instance.memory._core.base
    if libc.mlock(ctypes.c_void_p(base + 4096), ctypes.c_size_t(4096)):
        pytest.skip("no page may be locked here")
    for _ in range(2):
        instance.memory[4096], instance.memory[100], instance.memory[100000] = 1, 1, 1
        instance.reset()
        assert (instance.memory[4096], instance.memory[100], instance.memory[100000]) == (ord("z"), 0, 0)
    libc.munlock(ctypes.c_void_p(base + 4096), ctypes.c_size_t(4096))


def test_pages_stay_shared_until_they_are_written() -> None:
    """Instances of one snapshot have nothing of their own at first, and what a reset has taken back is not kept beyond a limit."""
    instance: Any = load('(module (memory (export "memory") 200))')
    instance.memory[:] = b"q" * len(instance.memory)
    snapshot = instance.snapshot()
    others: list[Any] = [instance.module.instantiate(snapshot=snapshot) for _ in range(3)]
    for other in others:
        assert bytes(other.memory) == bytes(instance.memory)
        assert own_pages(other) == 0
        other.memory[0] = 1
        assert own_pages(other) == 1
        for number in range(1000):
            other.memory[4096 * number] = 2
        other.reset()
        assert own_pages(other) <= written.MOST
    del others
    gc.collect()


def own_pages(instance: Any) -> int:
    """Count the pages of a memory that are the process's own."""
    base, count = instance.memory._core.base, len(instance.memory) // linux.PAGE
    with open("/proc/self/pagemap", "rb") as file:
        file.seek(base // linux.PAGE * 8)
        words = struct.unpack(f"<{count}Q", file.read(8 * count))
    return sum(word >> 63 and not word >> 61 & 1 for word in words)
