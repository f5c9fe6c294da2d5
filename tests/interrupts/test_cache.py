"""An exception at every line of reading and writing the cache, and of compiling into it: no descriptor and no part is left, and an entry is the old one or the new one."""

from __future__ import annotations

import itertools
import os
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

import figwasp
from figwasp.cache import entries, eviction
from figwasp.cache.cache import Cache
from tests.interrupts.lines import OpcodeStopper, Stopper, stop_everywhere

pytestmark = pytest.mark.usefixtures("old_objects_left_alone")

KEY = bytes(32)
OLD, NEW = b"old" * 100, b"new" * 100


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_writing_and_reading(tmp_path: Path) -> None:
    numbers = itertools.count()

    def prepare() -> Cache:
        cache = Cache(str(tmp_path / str(next(numbers))))
        assert cache.write(KEY, OLD)
        old = time.time() - 2 * entries.DAY
        os.utime(entries.path_of(cache.path, KEY), (old, old))
        Path(cache.path, "written").write_bytes(bytes(eviction.BETWEEN))
        return cache

    def check(cache: Cache) -> None:
        assert cache.read(KEY) in (OLD, NEW)
        assert open_files() == before
        assert not any(entries.is_part(name) for name in os.listdir(cache.path))

    def operation(cache: Cache) -> None:
        assert cache.read(KEY) in (OLD, NEW)
        assert cache.write(KEY, NEW)

    before = open_files()
    assert stop_everywhere(prepare, operation, check, 1.0, (Stopper, OpcodeStopper)) > 150


DATA = figwasp.wat("".join(f'(func (export "f{k}") (result i32) (i32.const {k}))' for k in range(3)))


@pytest.mark.parametrize("is_used", [False, True])
def test_compiling_in_other_processes(tmp_path: Path, is_used: bool) -> None:
    """`Module.compile`: the processes end, no pipe is left open, and the module does what it did."""
    engine = figwasp.Engine(cache=tmp_path)

    def prepare() -> figwasp.Module:
        for entry in tmp_path.glob("*.entry"):
            entry.unlink()
        module = figwasp.Module(DATA, engine=engine)
        if is_used:
            module.instantiate().f1()
        return module

    def check(module: figwasp.Module) -> None:
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)
        assert pipes() == before
        instance = module.instantiate()
        assert [instance.f0(), instance.f1(), instance.f2()] == [0, 1, 2]

    os.register_at_fork(after_in_child=lambda: sys.settrace(None))  # there signals are blocked and then ignored
    before = pipes()
    assert stop_everywhere(prepare, lambda module: module.compile(2), check, 0.02) > 200


def pipes() -> int:
    """The number of ends of pipes that are open."""
    found = 0
    for file in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # what the listing itself had open
            found += os.readlink(f"/proc/self/fd/{file}").startswith("pipe")
    return found
