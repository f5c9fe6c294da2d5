"""What holds of a process in which nobody runs WebAssembly: nothing is taken twice, nothing is still running, nothing is kept."""

from __future__ import annotations

import gc
import itertools
import os
import threading
from copy import copy
from typing import Any

from figwasp import layout
from figwasp.runtime import start
from figwasp.runtime.code.descriptors import TYPES
from figwasp.runtime.native.runtime import NativeRuntime
from figwasp.runtime.objects import closing, suspend, table
from figwasp.runtime.platform import linear, linux
from figwasp.runtime.store import listened
from figwasp.runtime.store.store import Store
from figwasp.runtime.trap import deadline
from tests.environment import HANG_GUARD


class Kept:
    """What is kept by whatever is alive, in numbers.

    Attributes:
        figures: name -> number.
    """

    def __init__(self) -> None:
        gc.collect()
        native = start.native_runtime()
        native.owners.reap()
        used = _contexts_in_use(native)
        self.figures = {
            "blocks": len(native.owners._releases),
            "contexts": len(used),
            "stores": len(native.contexts._stores),
            "reservations": sum(map(len, linear._live.values())),
            "descriptors": len(os.listdir("/proc/self/fd")),
            "suspended calls": len(suspend._chains),
            "listened calls": len(listened._chains),
            "threads": threading.active_count(),
        }


def holders(store: Store) -> int:
    """Return how often objects stand in the tables, globals and segments of a store."""
    store = store.current
    cells = [array._base + layout.EXTERN_HOLDERS for array in store._externs._arrays]
    return sum(sum(linux.read_words(place, 256)) for place in cells)


def is_whole() -> None:
    """Assert what holds at any time at which this thread runs no WebAssembly and no other thread does anything."""
    native = start.native_runtime()
    native.owners.reap()  # what has been stopped
    _nothing_runs(native)
    _stacks_have_one_user(native)
    _memories_have_one_user()
    _arrays_are_empty()
    _code_has_one_address(native)
    _types_have_one_place()
    assert not native.owners._due
    assert gc.isenabled()
    _locks_are_free()


def _nothing_runs(native: NativeRuntime) -> None:
    for context in _contexts(native):
        assert linux.read_u64(context + layout.CTX_DEPTH) == 0
    assert deadline.due() == 0
    assert linux.read_u64(linux.thread_word(native.thread_key)) == 0
    assert not deadline._pending.value


def _contexts(native: NativeRuntime) -> range:
    number = linux.read_u64(native.stacks.used)
    return range(native.stacks.contexts, native.stacks.contexts + number * layout.CTX_SIZE, layout.CTX_SIZE)


def _contexts_in_use(native: NativeRuntime) -> set[int]:
    free = native.stacks._free
    assert len(free) == len({*free})
    assert not {*free} & {*native.contexts._stores}
    fresh: Any = native.stacks._fresh
    return {*_contexts(native)} - {*copy(fresh)} - {*free}


def _stacks_have_one_user(native: NativeRuntime) -> None:
    stacks = native.stacks
    kept = [base for pool in stacks._pools.values() for base in pool]
    used = [linux.read_u64(c + layout.CTX_STACK_BASE) for c in _contexts(native) if linux.read_u64(c + layout.CTX_STACK_TOP)]
    assert len({*kept, *used}) == len(kept) + len(used)
    assert {*kept, *used} <= {*stacks._sizes}  # one that was being taken may be lost
    assert {*stacks._lent} <= _contexts_in_use(native)


def _memories_have_one_user() -> None:
    kept = [base for pool in linear._pool.values() for base in pool]
    live = [base for bases in linear._live.values() for base in bases]
    assert len({*kept, *live}) == len(kept) + len(live)


def _arrays_are_empty() -> None:
    kept = [(base, size) for size, bases in table._arrays.items() for base in bases]
    assert len({*kept}) == len(kept)
    for base, size in kept:
        first = min(size, 1 << 12)
        assert linux.read(base, first) == bytes(first)


def _code_has_one_address(native: NativeRuntime) -> None:
    for piece in native.table._pieces.values():
        for one, two in itertools.pairwise(piece):
            assert one is two or one.end <= two.start


def _types_have_one_place() -> None:
    places = [TYPES._places[number] for number in TYPES.kinds]
    free = copy(TYPES._free)
    assert len({*free, *places}) == len(free) + len(places)
    assert {*places} <= {*TYPES._numbers}


def _locks_are_free() -> None:
    """Another thread can take every lock that the process has one of."""
    taken: list[bool] = []

    def take() -> None:
        for lock in (closing._closing, TYPES._lock, start._lock, start.native_runtime().types._lock):
            taken.append(lock.acquire(timeout=HANG_GUARD))
            lock.release()

    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    assert all(taken)
