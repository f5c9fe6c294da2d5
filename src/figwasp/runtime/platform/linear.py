"""Floor 4: linear memories (spec 4.2.8). The base never moves, so views and compiled code may keep it.

A guarded memory has reserved all that a 32-bit index and a 32-bit offset can reach; an access to what is not committed faults, and
the fault is a trap. Other memories, those with 64-bit addresses and all of checked mode, for processes that cannot reserve so much
(address space limits), are checked: code compares, and growing past the reservation answers -1. Behind them twice the margin that
code relies on (`layout.margin`) is reserved too, and never committed.

Address space is 128 TiB: 16,000 guarded memories would fill it. They get three quarters; memories made while so many live are those
of checked mode, with reservations that become smaller as the rest fills up, and so are those for which a large margin is too much.
Module code exists in both modes then (see `CompiledModule.checked`). Some reservations are kept for the next memory of the same
size: their pages are given back.
"""

from __future__ import annotations

import struct
from functools import partial

from figwasp import layout
from figwasp.errors import LimitExceeded
from figwasp.layout import EVERYWHERE, PAGE_SIZE
from figwasp.runtime.platform import cpython, linux
from figwasp.runtime.platform.modes import GUARD_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from figwasp.runtime.once import Once, Release

_CHECKED_SIZES: Final = (64 << 30, 16 << 30, 4 << 30, 1 << 30, 256 << 20, 64 << 20, 16 << 20, 4 << 20)
_REC_ROOM: Final = 16  # further fields of a memory record, for the runtime alone: bytes that the memory may have
_REC_RESERVED: Final = 24  # bytes that are reserved
_RECORD: Final = struct.Struct("<4Q")  # MEM_BASE, MEM_LENGTH, _REC_ROOM, _REC_RESERVED
_MOST_GUARDED: Final = 12 << 10  # memories at once
_CHECKED_SPACE: Final = 16 << 40  # bytes that checked reservations may have together
_HINT: Final = "ulimit -v and the sysctl vm.max_map_count limit them"
_LARGEST_32: Final = 4 << 30  # bytes that a 32-bit address can reach
_LARGE_MARGINS: Final = 1 << 30  # bytes behind a memory that only guard mode can afford
_SHARE: Final = 1 << 10  # a reservation takes at most this part of what is left of them
_SHARE_64: Final = 1 << 6  # and this part where it may be larger than what 32-bit addresses reach

_MAX_POOLED: Final = 64
_COMMITTED_BITS: Final = 47  # as many as a user's address has

_pool: Final[dict[int, list[int]]] = {}
"""Reserved bytes << _COMMITTED_BITS | committed bytes -> the bases of the reservations that are kept."""
_live: Final[dict[int, dict[int, int]]] = {size: {} for size in (GUARD_SIZE, *_CHECKED_SIZES)}
"""Size -> the bases of the reservations of at most that size, and what is kept free behind each.

Adding and removing one is one step for other threads.
"""


class NoGuard(LimitExceeded):
    """No address space for a memory of guard mode; one of checked mode may do."""


def create(minimum: int, maximum: int, margin: int) -> int:
    """Make a memory and return the address of its record.

    Args:
        minimum, maximum: bytes; there is no need to reserve more than the maximum.
        margin: as `layout.margin` says.

    Raises:
        NoGuard: no address space for a guarded one, or for the large margin of one.
        LimitExceeded: no address space, or no memory for the minimum.
    """
    committed = whole_pages(minimum)
    if margin == EVERYWHERE:
        base, room, class_ = _reserve_guarded(committed)
        behind = 0
    else:
        behind = 2 * margin
        base, room, class_ = _reserve_checked(committed, whole_pages(maximum), behind)
    record = cpython.raw_calloc(1, layout.MEM_RECORD_SIZE)
    if not record:
        linux.release(base, room + behind)
        raise MemoryError
    linux.write(record, _RECORD.pack(base, minimum, room, room + behind))
    _live[class_][base] = behind
    return int(record)


def whole_pages(size: int) -> int:
    """Return a length in bytes, rounded up to pages of 64 KiB: what is committed of a memory with smaller ones."""
    return -(-size // PAGE_SIZE) * PAGE_SIZE


def _reserve_guarded(minimum: int) -> tuple[int, int, int]:
    """Return the base, the size and the class of a reservation with a guard area, `minimum` bytes of it committed."""
    if len(_live[GUARD_SIZE]) >= _MOST_GUARDED:
        raise NoGuard(_no_space())
    try:
        return _take(GUARD_SIZE, minimum), GUARD_SIZE, GUARD_SIZE
    except OSError:
        raise NoGuard(_no_space()) from None


def _reserve_checked(minimum: int, limit: int, behind: int) -> tuple[int, int, int]:
    """Return the base, the size and the class of a reservation of `minimum` to `limit` bytes, `minimum` of them committed.

    `behind` bytes more are reserved after it.
    """
    left = _CHECKED_SPACE - sum([size * len(_live[size]) for size in _CHECKED_SIZES])
    if behind > _LARGE_MARGINS:
        left -= behind * sum([len(_live[size]) for size in _CHECKED_SIZES])  # most of them have one as large
        if behind > left // _SHARE_64:
            raise NoGuard(_no_space())
    share = left // (_SHARE if limit <= _LARGEST_32 else _SHARE_64)
    for class_ in _CHECKED_SIZES:
        size = max(min(class_, limit), minimum, linux.PAGE)
        too_large = class_ > _LARGEST_32 and limit <= _LARGEST_32  # classes that only memories with 64-bit addresses need
        if too_large or (class_ > share and class_ != _CHECKED_SIZES[-1]):
            continue
        try:
            return _take(size + behind, minimum), size, class_
        except OSError:
            continue
    raise (NoGuard if behind > _LARGE_MARGINS else LimitExceeded)(_no_space())


def _take(size: int, committed: int) -> int:
    """Return the base of a reservation of which so many bytes are committed and zero.

    Raises:
        OSError: no address space.
        LimitExceeded: no memory.
    """
    kept = _pool.get(size << _COMMITTED_BITS | committed)
    try:
        return kept.pop() if kept else _map(size, committed)
    except IndexError:
        return _map(size, committed)


def _map(size: int, committed: int) -> int:
    try:
        base = linux.reserve(size)
    except OSError:
        drain()
        base = linux.reserve(size)
    try:
        linux.commit(base, committed)
    except OSError as error:
        linux.release(base, size)
        raise LimitExceeded(f"no memory for {committed // PAGE_SIZE} pages: {error} ({_HINT})") from error
    return base


def _giving_back(base: int, size: int, committed: int, shows_image: bool) -> Once:
    """Return a callable that takes back a reservation, of which nothing is used any more; the next user is to find zeros."""
    kept = _pool.setdefault(size << _COMMITTED_BITS | committed, [])
    if sum(map(len, _pool.values())) < _MAX_POOLED and (not shows_image or _cleared(base, committed)):
        linux.discard(base, committed)
        return partial(kept.append, base)
    return linux.releasing(base, size)


def _cleared(base: int, committed: int) -> bool:
    """Have zeros instead of an image; return whether there are."""
    try:
        linux.commit_in(base, committed)
    except OSError:
        return False
    return True


def drain() -> None:
    """Unmap the reservations that are kept."""
    for key, kept in list(_pool.items()):
        while kept:
            linux.release(kept.pop(), key >> _COMMITTED_BITS)


def _no_space() -> str:
    alive = sum(map(len, _live.values()))
    return f"no address space for another memory beside {alive} others ({_HINT})"


def grow(record: int, delta: int, limit: int, commit: Callable[[int, int, int], bool | None]) -> int:
    """Grow by `delta` bytes and return the old size in bytes, or -1 when that cannot be (spec 4.6.10).

    Args:
        record: memory record.
        delta: bytes, whole pages.
        limit: largest size in bytes that the type and the embedder allow.
        commit: given the record, the present length and the new one in bytes, makes the pages accessible and changes the length in
            one step; False where there is no memory, None where the length is another by now.

    Raises:
        RecursionError: the stack is nearly used up; nothing has changed.
    """
    cpython.check_recursion()
    while True:
        old = linux.read_u64(record + layout.MEM_LENGTH)
        new = old + delta
        if new > limit or new > linux.read_u64(record + _REC_ROOM):
            return -1
        done = commit(record, old, new)
        if done is not None:  # else another thread that shares the memory has grown it meanwhile
            return old if done else -1


def releaser(record: int) -> Release:
    """Return the release of a memory, which unmaps it and frees its record when it is no longer referred to."""
    base = linux.read_u64(record + layout.MEM_BASE)
    reserved = linux.read_u64(record + _REC_RESERVED)

    def release() -> tuple[Once, Once]:
        for class_ in _live.values():
            class_.pop(base, None)
        committed = whole_pages(linux.read_u64(record + layout.MEM_LENGTH))
        shows_image = linux.read_u64(record + layout.MEM_IMAGE) != 0
        return cpython.freeing(record), _giving_back(base, reserved, committed, shows_image)

    return release
