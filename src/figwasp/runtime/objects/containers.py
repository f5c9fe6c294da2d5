"""Floor 4: what instances share: memories, tables, globals (spec 4.2.7 to 4.2.9), as records in native memory.

A table or global keeps the owners of the functions it refers to as long as it lives, and tells its store which objects it
refers to. What it refers to is written by Python code only; compiled code reads it.
"""

from __future__ import annotations

import weakref
from array import array
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from figwasp import layout
from figwasp.errors import LimitExceeded, Unsupported
from figwasp.runtime.objects import linear
from figwasp.runtime.objects.limits import Budget
from figwasp.runtime.objects.owner import Owner, make_owner
from figwasp.runtime.platform import cpython, linux, modes
from figwasp.runtime.trap import deadline
from figwasp.wasm.syntax.types import I64, FuncType, GlobalType, MemoryType, TableType, is_extern, is_ref

if TYPE_CHECKING:
    from figwasp.runtime.objects.store import Store

_TABLE_LIMIT: Final = 10_000_000
_PIECE: Final = 1 << 14
_MAX_ARRAYS: Final = 64

_arrays: Final[dict[int, list[int]]] = {}
"""Size in bytes -> arrays of former tables, which the next ones get."""


class Memory:
    """A memory instance (spec 4.2.8).

    Attributes:
        record: address of its record.
        type: with the limits it was made with.
        mode: modes.GUARD or modes.CHECKED.
        owner: keeps the record and the pages, for a memory made by the host; None for one that its instance owns.
    """

    __slots__ = ("__weakref__", "_budget", "limit", "mode", "owner", "record", "type")

    def __init__(self, type_: MemoryType, mode: int, budget: Budget | None = None) -> None:
        self.type = type_
        self._budget = budget
        self.mode = mode
        self.limit = linear.MAX_PAGES if type_.limits.max is None else min(type_.limits.max, linear.MAX_PAGES)
        size = type_.limits.min << type_.page
        if size > linear.MAX_PAGES * layout.PAGE_SIZE:
            if type_.address == I64:
                raise Unsupported(f"a memory of {size} bytes: no support for memory64 yet", "memory64")
            raise LimitExceeded(f"a memory of {size} bytes (at most {linear.MAX_PAGES * layout.PAGE_SIZE})")
        if budget is not None:
            budget.begin(size, "bytes of memory")
            self.limit = min(self.limit, budget.limit >> type_.page)
        most = None if type_.limits.max is None and budget is None else self.limit
        self.record = linear.create(-(-size // layout.PAGE_SIZE), most, mode)
        linux.write_u64(self.record + layout.MEM_LENGTH, size)
        self.owner: Owner | None = None

    @property
    def pages(self) -> int:
        """The present size in pages."""
        return linux.read_u64(self.record + layout.MEM_LENGTH) >> self.type.page

    @property
    def base(self) -> int:
        """The address of its first byte."""
        return linux.read_u64(self.record + layout.MEM_BASE)

    def grow(self, delta: int) -> int:
        """Grow by pages; return the old size or -1."""
        if self.type.page != 16:
            raise Unsupported("growing a memory with small pages: no support for custom-page-sizes yet", "custom-page-sizes")
        budget = self._budget
        if budget is None:
            return linear.grow(self.record, delta, self.limit)
        more = delta << self.type.page
        if not budget.take(more):
            return -1
        old = linear.grow(self.record, delta, self.limit)
        if old < 0:
            budget.give_back(more)
        return old


def new_memory(type_: MemoryType, mode: int) -> Memory:
    """Make a memory that the host owns: in the mode given, or checked when there is no address space for a guard area."""
    try:
        return Memory(type_, mode)
    except linear.NoGuard:
        return Memory(type_, modes.CHECKED)


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

    __slots__ = ("__weakref__", "_budget", "elem", "home", "keeper", "owner", "record", "store", "type")

    def __init__(self, type_: TableType, elem: int, store: Store, keeper: Owner, budget: Budget | None = None) -> None:
        self.type = type_
        self._budget = budget
        self.elem = elem
        self.store = store
        self.home = [weakref.ref(store)]  # for what outlives this object
        self.keeper = keeper
        self.owner: Owner | None = None
        size = type_.limits.min
        if size > _TABLE_LIMIT:
            raise LimitExceeded(f"a table of {size} elements (at most {_TABLE_LIMIT})")
        # The array never moves: room for the largest size is reserved, pages are committed when touched.
        most = _TABLE_LIMIT if type_.limits.max is None else min(type_.limits.max, _TABLE_LIMIT)
        if budget is not None:
            budget.begin(size, "table elements")
            most = min(most, budget.limit)
        try:
            base = _take_array(8 * most or 8)
        except OSError as error:
            raise LimitExceeded(f"no memory for a table that may have {most} elements: {error}") from None
        self.record: int = cpython.raw_calloc(1, layout.TABLE_RECORD_SIZE)
        linux.write_u64(self.record + layout.TABLE_BASE, base)
        linux.write_u64(self.record + layout.TABLE_LENGTH, size)
        linux.write_u64(self.record + 16, most)

    def releaser(self) -> Callable[[], None]:
        """Return what frees the record and the array when nobody refers to them."""
        record = self.record
        base = linux.read_u64(record + layout.TABLE_BASE)
        size = 8 * linux.read_u64(record + 16) or 8
        home = self.home if is_extern(self.elem) else None

        def release() -> None:
            if home is not None:
                forget_externs(home, _words(base, linux.read_u64(record + layout.TABLE_LENGTH)))
            _give_back_array(base, size, 8 * linux.read_u64(record + layout.TABLE_LENGTH))
            cpython.raw_free(record)

        return release

    def __len__(self) -> int:
        return linux.read_u64(self.record + layout.TABLE_LENGTH)

    def join(self, store: Store) -> None:
        """Belong to another store from now on."""
        self.store = store
        self.home[0] = weakref.ref(store)

    def get(self, index: int) -> int:
        """Return the raw bits of an element; the index is in range."""
        return linux.read_u64(linux.read_u64(self.record + layout.TABLE_BASE) + 8 * index)

    def set(self, index: int, bits: int) -> None:
        """Set an element from raw bits; the index is in range."""
        self._replace(index, 1, [bits])
        linux.write_u64(linux.read_u64(self.record + layout.TABLE_BASE) + 8 * index, bits)

    def fill(self, start: int, bits: int, count: int) -> None:
        """Set a run of elements, which is in range. It may end at a deadline, in part."""
        for first, size in _pieces(count):
            self._fill_piece(start + first, bits, size)

    def _fill_piece(self, start: int, bits: int, count: int) -> None:
        deadline.check()
        self._replace(start, count, [bits] * count if is_extern(self.elem) else [bits])
        linux.write(linux.read_u64(self.record + layout.TABLE_BASE) + 8 * start, bits.to_bytes(8, "little") * count)

    def write(self, start: int, references: list[int]) -> None:
        """Set a run of elements from raw bits, which is in range. It may end at a deadline, in part."""
        if len(references) <= _PIECE:
            self._put(start, references)
            return
        for first, size in _pieces(len(references)):
            self._put(start + first, references[first : first + size])

    def copy(self, start: int, source: Table, source_start: int, count: int) -> None:
        """Set a run of elements from a run of another table or of this one, both in range. It may end at a deadline, in part."""
        # Backwards where an element would be overwritten before it has been read.
        for first, size in _pieces(count) if start <= source_start else reversed(_pieces(count)):
            self._put(start + first, source.read(source_start + first, size))

    def _put(self, start: int, references: list[int]) -> None:
        """Set a piece."""
        deadline.check()
        self._replace(start, len(references), references)
        base = linux.read_u64(self.record + layout.TABLE_BASE)
        linux.write(base + 8 * start, array("Q", references).tobytes())

    def read(self, start: int, count: int) -> list[int]:
        """Return the raw bits of a run of elements, which is in range."""
        base = linux.read_u64(self.record + layout.TABLE_BASE)
        return _words(base + 8 * start, count)

    def _replace(self, start: int, count: int, references: list[int]) -> None:
        """Keep what a run of elements is about to refer to: functions as long as the table lives, objects until overwritten."""
        if is_extern(self.elem):
            self.store.replace_externs(self.read(start, count), references)
            return
        for bits in set(references):
            if bits:
                keep(self.keeper, owner_of(bits))

    def grow(self, bits: int, delta: int) -> int:
        """Grow; return the old size or -1. It may end at a deadline, in part."""
        old = len(self)
        if old + delta > linux.read_u64(self.record + 16) or (self._budget is not None and not self._budget.take(delta)):
            return -1
        try:
            for first, size in _pieces(delta):
                self._fill_piece(old + first, bits, size)
                linux.write_u64(self.record + layout.TABLE_LENGTH, old + first + size)
        finally:
            if self._budget is not None:
                self._budget.give_back(old + delta - len(self))
        return old


class Global:
    """A global instance (spec 4.2.9).

    Attributes:
        address: of its 8-byte cell.
        type: value type and mutability.
        content: the value type, with a canonical number for an index.
        store: where an externref in it lives.
        keeper: owner that holds the owner of a foreign function in it.
        owner: keeps the cell, for a global made by the host; None for one that its instance owns.
    """

    __slots__ = ("__weakref__", "address", "content", "home", "keeper", "owner", "store", "type")

    def __init__(self, type_: GlobalType, content: int, address: int, store: Store, keeper: Owner) -> None:
        self.type = type_
        self.content = content
        self.address = address
        self.store = store
        self.home = [weakref.ref(store)]  # for what outlives this object
        self.keeper = keeper
        self.owner: Owner | None = None

    def releaser(self) -> Callable[[], None]:
        """Return what must be called before the cell goes."""
        address = self.address
        home = self.home if is_extern(self.content) else None

        def release() -> None:
            if home is not None:
                forget_externs(home, [linux.read_u64(address)])

        return release

    def join(self, store: Store) -> None:
        """Belong to another store from now on."""
        self.store = store
        self.home[0] = weakref.ref(store)

    def get(self) -> int:
        """Return its raw bits."""
        return linux.read_u64(self.address)

    def set(self, bits: int) -> None:
        """Set its raw bits, and keep alive what they refer to."""
        if is_extern(self.content):
            self.store.replace_externs([self.get()], [bits])
        elif bits and is_ref(self.content):
            keep(self.keeper, owner_of(bits))
        linux.write_u64(self.address, bits)


class Tag:
    """A tag instance (spec 4.2.10): nothing but its identity, and the type of the values that an exception with it carries.

    >>> import figwasp
    >>> figwasp.load(figwasp.wat('(module (tag (export "overflow") (param i64)))')).overflow
    <figwasp.Tag (i64) -> ()>

    Attributes:
        type: parameters; the results are empty.
        number: canonical number of the type.
        keeper: what keeps the number (runtime only).
    """

    __slots__ = ("keeper", "number", "type")

    def __init__(self, type_: FuncType, number: int, keeper: object = None) -> None:
        self.type = type_
        self.number = number
        self.keeper = keeper

    def __repr__(self) -> str:
        return f"<figwasp.Tag {self.type!r}>"


def _take_array(size: int) -> int:
    """Return the address of an array of zeros for a table."""
    kept = _arrays.get(size)
    try:
        return kept.pop() if kept else linux.allocate(size)
    except IndexError:
        return linux.allocate(size)


def _give_back_array(base: int, size: int, used: int) -> None:
    """Keep an array for the next table of the same size, or unmap it."""
    kept = _arrays.setdefault(size, [])
    if sum(map(len, _arrays.values())) < _MAX_ARRAYS:
        if used <= linux.PAGE:
            linux.zero(base, used)  # what is there stays: cheaper than having the system bring another page
        else:
            linux.discard(base, used)
        kept.append(base)
    else:
        linux.release(base, size)


def _pieces(count: int) -> list[tuple[int, int]]:
    """Cut a run of elements into pieces that take milliseconds; return where each starts and how many it has."""
    return [(first, min(_PIECE, count - first)) for first in range(0, count, _PIECE)]


def _words(address: int, count: int) -> list[int]:
    return memoryview(linux.read(address, 8 * count)).cast("Q").tolist()


def owner_of(reference: int) -> Owner:
    """Return the owner of the instance that a FuncRef belongs to."""
    block = linux.read_u64(reference + layout.FUNCREF_INSTANCE)
    if linux.read_u32(reference + layout.FUNCREF_INDEX) == layout.HOST_INDEX:
        record: Any = cpython.object_at(block + 8)
        block = record.block
    owner: Owner = cpython.object_at(block + layout.INST_OWNER)
    return owner


def keep(keeper: Owner, owner: Owner) -> None:
    """Keep the owner of a function as long as a container, unless the container goes with that owner anyway."""
    if keeper not in owner.holds:
        keeper.hold(owner)


def host_keeper() -> Owner:
    """Return an owner that only holds others."""
    return make_owner(0)


def forget_externs(home: list[weakref.ref[Store]], references: list[int]) -> None:
    """Note that what held externrefs is gone.

    Args:
        home: leads to the store.
        references: their raw bits.
    """
    store = home[0]()
    if store is not None and any(references):
        store.replace_externs(references, ())
        store.clean_up_if_asked()
