"""An exception at every line of reading and writing the cache: no descriptor and no part is left, and an entry is the old one or the new one."""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path

import pytest

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
