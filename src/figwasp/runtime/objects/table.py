"""Floor 4: table instances (spec 4.2.7): a record and an array in native memory, which instances share.

A table keeps the owners of the functions it refers to as long as it lives, and counts as a holder of the objects it refers to.
Compiled code writes its elements too (`stubs.builtins`): functions of instances that it keeps already, and objects.
"""

from __future__ import annotations

import struct
import weakref
from functools import partial

from figwasp import layout
from figwasp.errors import LimitExceeded
from figwasp.runtime.code.descriptors import TYPES
from figwasp.runtime.heap.roots import Roots
from figwasp.runtime.objects.keeping import Holding, chunks, keep
from figwasp.runtime.once import together
from figwasp.runtime.platform import cpython, linux
from figwasp.runtime.trap import deadline
from figwasp.wasm.syntax.types import FUNCREF, INDEX_SHIFT, may_be_host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from figwasp.runtime.native.owner import Owner
    from figwasp.runtime.once import Once, Release
    from figwasp.runtime.store.store import Store
    from figwasp.wasm.syntax.types import TableType

__all__ = ["Table"]

_TABLE_LIMIT: Final = 10_000_000
_MAX_ARRAYS: Final = 64
_RECORD: Final = struct.Struct("<7Q")  # all of its fields in their order

_nothing: Final[Once] = partial(int)

_arrays: Final[dict[int, list[int]]] = {}
"""Size in bytes -> arrays of former tables, which the next ones get."""


class Table:
    """A table instance (spec 4.2.7).

    Attributes:
        record: address of its record.
        type: with the limits it was made with.
        elem: type of its elements, with a canonical number for an index.
        store: where its externrefs live.
        keeper: owner that holds the owners of foreign functions in it.
        owner: keeps the record, for a table made by the host; None for one that its instance owns.
    """

    __slots__ = ("__weakref__", "_roots", "_functions", "elem", "store_ref", "keeper", "owner", "record", "store", "type")

    def __init__(self, type_: TableType, elem: int, store: Store, keeper: Owner, room: int = 0) -> None:
        """Make a table of null references.

        Args:
            type_, elem, store, keeper: the attributes.
            room: address of the number of elements that the tables of its instance may still get, which are as many as it needs
                at least; 0 where there is no limit.

        Raises:
            LimitExceeded: there is no memory for so many.
        """
        self.type = type_
        self.elem = elem
        self.store = store
        self.store_ref = [weakref.ref(store)]  # for what outlives this object
        self.keeper = keeper
        self.owner: Owner | None = None
        self._functions = TYPES.top(elem) == FUNCREF
        size = type_.limits.min
        if size > _TABLE_LIMIT:
            raise LimitExceeded(f"a table of {size} elements (at most {_TABLE_LIMIT})")
        # The array never moves: room for the largest size is reserved, pages are committed when touched.
        most = _TABLE_LIMIT if type_.limits.max is None else min(type_.limits.max, _TABLE_LIMIT)
        if room:
            left = linux.read_u64(room)
            most = min(most, left)
            linux.write_u64(room, left - size)
        try:
            base = _take_array(8 * most or 8)
        except OSError as error:
            raise LimitExceeded(f"no memory for a table that may have {most} elements: {error}") from None
        self.record: int = cpython.raw_calloc(1, layout.TABLE_RECORD_SIZE)
        linux.write(self.record, _RECORD.pack(base, size, most, size, not self._functions, 0, room))
        words = [] if self._functions else [(self.record + layout.TABLE_BASE, self.record + layout.TABLE_LENGTH)]
        self._roots = Roots(store.native.stubs, words, [])
        self._roots.link(store)

    def releaser(self) -> Release:
        """Return the release of the record and the array, for when they are no longer referred to."""
        record = self.record
        base = linux.read_u64(record + layout.TABLE_BASE)
        size = 8 * linux.read_u64(record + layout.TABLE_MOST) or 8
        holding = Holding(self.store_ref) if may_be_host(self.elem) else None
        roots = self._roots

        def release() -> tuple[Once, ...]:
            filled = linux.read_u64(record + layout.TABLE_FILLED)
            if holding is not None:
                holding.forget(base, filled)
            return *roots.releasing(), cpython.freeing(record), _giving_back_array(base, size, 8 * filled)

        return release

    @property
    def numbers(self) -> dict[int, int]:
        """The canonical number of the index in its element type, if that has one."""
        return {self.type.elem >> INDEX_SHIFT: self.elem >> INDEX_SHIFT}

    def __len__(self) -> int:
        return linux.read_u64(self.record + layout.TABLE_LENGTH)

    def join(self, store: Store) -> None:
        """Move to another store."""
        self.store = store
        self.store_ref[0] = weakref.ref(store)

    @property
    def holds_functions(self) -> bool:
        """Whether its elements are functions."""
        return self._functions

    def place(self, index: int) -> int:
        """Return the address of an element; the index is in range."""
        return linux.read_u64(self.record + layout.TABLE_BASE) + 8 * index

    def set(self, index: int, bits: int) -> None:
        """Set an element from raw bits; the index is in range."""
        self._put(index, [bits])

    def fill(self, start: int, bits: int, count: int) -> None:
        """Set a run of elements, which is in range, to one reference. A deadline may end it in part."""
        for first, size in chunks(count):
            self._put(start + first, [bits] * size)

    def write(self, start: int, references: list[int]) -> None:
        """Set a run of elements, which is in range, from raw bits. A deadline may end it in part."""
        for first, size in chunks(len(references)):
            self._put(start + first, references[first : first + size])

    def copy(self, start: int, source: Table, source_start: int, count: int) -> None:
        """Set a run of elements from a run of another table or of this one, both in range. It may end at a deadline, in part."""
        # Backwards where an element would be overwritten before it has been read.
        for first, size in chunks(count) if start <= source_start else reversed(chunks(count)):
            self._put(start + first, source.read(source_start + first, size))

    def _put(self, start: int, references: list[int]) -> None:
        """Set a chunk: functions are kept as long as the table lives, objects until they are overwritten."""
        deadline.check()
        place = linux.read_u64(self.record + layout.TABLE_BASE) + 8 * start
        if may_be_host(self.elem):
            self.store.set_externs(place, references)
            return
        if self._functions:
            keep(self.keeper, references, self.record + layout.TABLE_KEPT)
        linux.write_words(place, references)

    def read(self, start: int, count: int) -> list[int]:
        """Return the raw bits of a run of elements, which is in range."""
        base = linux.read_u64(self.record + layout.TABLE_BASE)
        return linux.read_words(base + 8 * start, count)

    def grow(self, bits: int, delta: int) -> int:
        """Grow; return the old size or -1. A deadline may end it in part."""
        old = len(self)
        if old + delta > linux.read_u64(self.record + layout.TABLE_MOST):
            return -1
        room = linux.read_u64(self.record + layout.TABLE_ROOM)
        if room and delta > linux.read_u64(room):
            return -1
        for first, size in chunks(delta):
            filled = max(old + first + size, linux.read_u64(self.record + layout.TABLE_FILLED))
            linux.write_u64(self.record + layout.TABLE_FILLED, filled)
            self._put(old + first, [bits] * size)
            longer = linux.writing(self.record + layout.TABLE_LENGTH, _word(old + first + size))
            less = linux.writing(room, _word(linux.read_u64(room) - size)) if room else _nothing
            together(less, longer)
        return old


def _take_array(size: int) -> int:
    """Return the address of an array of zeros for a table."""
    kept = _arrays.get(size)
    try:
        return kept.pop() if kept else linux.allocate(size)
    except IndexError:
        return linux.allocate(size)


def _giving_back_array(base: int, size: int, used: int) -> Once:
    """Return a call that keeps an array for the next table of the same size, or unmaps it."""
    kept = _arrays.setdefault(size, [])
    if sum(map(len, _arrays.values())) < _MAX_ARRAYS:
        if used <= linux.PAGE:
            linux.zero(base, used)  # what is there stays: cheaper than having the system bring another page
        else:
            linux.discard(base, used)
        return partial(kept.append, base)
    return linux.releasing(base, size)


def _word(number: int) -> bytes:
    return number.to_bytes(8, "little")
