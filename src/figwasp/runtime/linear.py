"""Floor 4: linear memories (spec 4.2.8). The base never moves, so views and compiled code may keep it.

Guard mode reserves all that a 32-bit index and a 32-bit offset can reach; what is not committed faults, and the fault is a
trap. Checked mode is for where that is not to be had (address space limits): code compares, and growing past the reservation
answers -1.
"""

from __future__ import annotations

import os as _os
from collections.abc import Callable
from typing import Final

from figwasp import layout
from figwasp.errors import LimitExceeded
from figwasp.layout import PAGE_SIZE
from figwasp.runtime import cpython, os, process

GUARD: Final = 0
CHECKED: Final = 1

_GUARD_SIZE: Final = (8 << 30) + PAGE_SIZE
_CHECKED_SIZES: Final = (4 << 30, 1 << 30, 256 << 20, 64 << 20, 16 << 20, 4 << 20)
_REC_RESERVED: Final = 16  # further fields of a memory record, for the runtime alone
MAX_PAGES: Final = 65536


_mode: int | None = None


def choose_mode() -> int:
    """Return the mode of this process: FIGWASP_MEMORY=guard|checked, else guard if address space allows at first use."""
    global _mode
    if _mode is None:
        _mode = _find_mode()
    return _mode


def _find_mode() -> int:
    wanted = _os.environ.get("FIGWASP_MEMORY", "")
    if wanted == "checked":
        return CHECKED
    try:
        os.release(os.reserve(_GUARD_SIZE), _GUARD_SIZE)
    except OSError:
        return CHECKED
    return GUARD


def create(minimum: int, maximum: int | None, mode: int) -> int:
    """Make a memory and return the address of its record.

    Args:
        minimum, maximum: pages.
        mode: GUARD or CHECKED.

    Raises:
        LimitExceeded: no address space, or no memory for the minimum.
    """
    limit = MAX_PAGES if maximum is None else min(maximum, MAX_PAGES)
    sizes = (_GUARD_SIZE,) if mode == GUARD else _CHECKED_SIZES
    base = 0
    reserved = 0
    for size in sizes:
        reserved = size if mode == GUARD else max(min(size, limit * PAGE_SIZE), minimum * PAGE_SIZE, os.PAGE)
        try:
            base = os.reserve(reserved)
            break
        except OSError:
            continue
    if not base:
        raise LimitExceeded("no address space for another memory")
    try:
        os.commit(base, minimum * PAGE_SIZE)
    except OSError as error:
        os.release(base, reserved)
        raise LimitExceeded(f"no memory for {minimum} pages: {error}") from error
    record = cpython.raw_calloc(1, layout.MEM_RECORD_SIZE)
    if not record:
        os.release(base, reserved)
        raise MemoryError
    os.write_u64(record + layout.MEM_BASE, base)
    os.write_u64(record + layout.MEM_LENGTH, minimum * PAGE_SIZE)
    os.write_u64(record + _REC_RESERVED, reserved)
    return int(record)


def grow(record: int, delta: int, limit: int) -> int:
    """Grow by `delta` pages and return the old size in pages, or -1 when that cannot be (spec 4.6.10).

    Args:
        record: memory record.
        delta: pages.
        limit: largest size in pages that the type and the embedder allow.
    """
    exchange = process.get().exchange
    while True:
        length = os.read_u64(record + layout.MEM_LENGTH)
        old = length // PAGE_SIZE
        new = old + delta
        if new > min(limit, MAX_PAGES) or new * PAGE_SIZE > os.read_u64(record + _REC_RESERVED):
            return -1
        try:
            os.commit(os.read_u64(record + layout.MEM_BASE) + length, delta * PAGE_SIZE)
        except OSError:
            return -1
        # Another thread that shares the memory may have grown it meanwhile.
        if exchange(record + layout.MEM_LENGTH, length, new * PAGE_SIZE):
            return old


def releaser(record: int) -> Callable[[], None]:
    """Return what unmaps a memory and frees its record when nobody refers to it any more."""
    base = os.read_u64(record + layout.MEM_BASE)
    reserved = os.read_u64(record + _REC_RESERVED)

    def release() -> None:
        os.release(base, reserved)
        cpython.raw_free(record)

    return release
