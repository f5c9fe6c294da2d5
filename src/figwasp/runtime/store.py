"""Floor 4: stores, and what instances are made of: memories, tables, globals (spec 4.2).

A `Store` is what importing has linked together: one chain of execution at a time, on one thread. It couples threads, not
lifetimes. Whatever converts references for a call from Python, or releases them after it, does so in `run`, as part of the chain.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from figwasp import layout
from figwasp.errors import Busy, LimitExceeded
from figwasp.runtime import cpython, linear, os, process
from figwasp.runtime.externs import Externs
from figwasp.runtime.owner import Owner, make_owner
from figwasp.wasm.types import EXTERNREF, FUNCREF, GlobalType, MemoryType, TableType

if TYPE_CHECKING:
    from figwasp.runtime.instance import State

_T = TypeVar("_T")
_NATIVE_MARGIN: Final = 128 << 10
_TABLE_LIMIT: Final = 10_000_000
_ATTEMPTS: Final = 3


class Store:
    """One chain of execution and the instances that share it.

    Attributes:
        record: address of the store record, which the instances point to.
        context: address of the context.
        owner: keeps both.
    """

    def __init__(self) -> None:
        machine = process.get()
        context = machine.stacks.new_context()
        self.context = context
        record = cpython.raw_calloc(1, layout.STORE_SIZE)
        os.write_u64(record + layout.STORE_CONTEXT, context)
        self.record: int = record

        def release() -> None:
            machine.on_cleanup(context, None)
            machine.stacks.release_context(context)
            cpython.raw_free(record)

        self.owner = make_owner(record, release)
        itself = weakref.ref(self)

        def clean_up(leaving: int) -> None:
            store = itself()
            if store is not None:
                store.clean_up(leaving)

        machine.on_cleanup(context, clean_up)
        self._clean_up_hook = clean_up
        self._successor: Store | None = None  # the store this one was merged into, for whoever still has this one in hand
        self._contexts = [context]  # and those of stores merged into this one while a chain was running there, until it ends
        self._states: weakref.WeakSet[State] = weakref.WeakSet()
        self._tables: weakref.WeakSet[Table] = weakref.WeakSet()
        self._globals: weakref.WeakSet[Global] = weakref.WeakSet()
        self._externs = Externs()
        self._pinned: list[Owner] = []

    # Members

    def add_state(self, state: State) -> None:
        """Let an instance run in this store."""
        self._states.add(state)

    def add_table(self, table: Table) -> None:
        """Let a table follow its store when that is merged into another."""
        self._tables.add(table)

    def add_global(self, global_: Global) -> None:
        """Let a global follow its store when that is merged into another."""
        self._globals.add(global_)

    def remove(self, state: State, tables: Sequence[Table], globals_: Sequence[Global]) -> None:
        """Forget an instance whose block goes, and what it owns."""
        self._states.discard(state)
        for table in tables:
            self._tables.discard(table)
        for global_ in globals_:
            self._globals.discard(global_)

    @property
    def running(self) -> bool:
        """Whether a chain is running or suspended in a host function."""
        return any(_is_running(context) for context in self._contexts)

    @property
    def sole_context(self) -> int:
        """The context that is running when there is just one, else 0."""
        running = [context for context in self._contexts if _is_running(context)]
        return running[0] if len(running) == 1 else 0

    def check_thread(self) -> None:
        """Make sure that no other thread runs in this store.

        Raises:
            Busy: one does.
        """
        for context in self._contexts:
            if _is_running(context) and os.read_u64(context + layout.CTX_THREAD_STATE) != cpython.thread_state():
                raise Busy("another thread is running in this store")

    @property
    def current(self) -> Store:
        """The store that this one has become part of, or itself."""
        store = self
        while store._successor is not None:
            store = store._successor
        return store

    def merge(self, other: Store) -> None:
        """Make one of two stores: an instance of one imports from the other, or calls a function from there.

        Raises:
            Busy: another thread runs in one of them.
        """
        one, two = self.current, other.current
        if one is not two:
            one.check_thread()
            two.check_thread()
            # The larger one stays, so that many small ones joining a lasting one leave nothing behind.
            if one._size() >= two._size():
                one._absorb(two)
            else:
                two._absorb(one)

    def _size(self) -> int:
        return len(self._states) + len(self._tables) + len(self._globals)

    def _absorb(self, other: Store) -> None:
        other.owner.hold(self.owner)
        for context in other._contexts:
            if _is_running(context):
                process.get().on_cleanup(context, self._clean_up_hook)
                _set_cleanup(context, True)
                self._contexts.append(context)
        if not _is_running(self.context):
            # Whoever claimed this chain must do so again: it has to look at the other's chain as well.
            os.write_u64(self.context + layout.CTX_THREAD_STATE, 0)
        for state in list(other._states):
            state.join(self)
            self._states.add(state)
        for table in list(other._tables):
            table.join(self)
            self._tables.add(table)
        for global_ in list(other._globals):
            global_.join(self)
            self._globals.add(global_)
        self._externs.absorb(other._externs, self.owner)
        self._pinned += other._pinned
        other._retire(self)
        if self._pinned or self._externs.suspects:
            self.ask_for_cleanup()

    def _retire(self, successor: Store) -> None:
        self._successor = successor
        self._states.clear()
        self._tables.clear()
        self._globals.clear()
        self._pinned = []

    # Entering

    def claim(self) -> None:
        """Bind the chain to the calling thread and give it a stack.

        Raises:
            Busy: another thread is running in this store.
            LimitExceeded: no memory for a stack.
        """
        if self._successor is not None:
            self.current.claim()
            return
        self.check_thread()
        machine = process.get()
        machine.check_handler()
        machine.start_ticker()
        lowest, size = os.native_stack()
        on_main = threading.current_thread() is threading.main_thread()
        stack = 0 if os.read_u64(self.context + layout.CTX_STACK_TOP) else machine.stacks.take_stack()
        busy = machine.claim(self.context, stack, lowest + _NATIVE_MARGIN, max(size - _NATIVE_MARGIN, 0), int(on_main))
        if stack and os.read_u64(self.context + layout.CTX_STACK_BASE) != stack:
            machine.stacks.give_back_stack(stack)
        if busy:
            raise Busy("another thread is running in this store")

    def run(self, work: Callable[[], _T]) -> _T:
        """Call `work` as a part of this thread's chain: other threads find the store busy until it is done.

        Raises:
            Busy: another thread is running in this store.
        """
        guard = process.get().guard
        for _ in range(_ATTEMPTS):
            answer: Any = guard(self.current.context, work)
            if answer is not NotImplemented:
                result: _T = answer
                return result
            self.claim()
        raise Busy("another thread is running in this store")

    # References

    def pin(self, owner: Owner) -> None:
        """Keep an owner until the running chain has finished: a reference to it is on the wasm stack."""
        store = self.current
        if not any(owner is one for one in store._pinned):
            store._pinned.append(owner)
        store.ask_for_cleanup()

    def ask_for_cleanup(self) -> None:
        """Have `clean_up` called when the outermost entry leaves."""
        for context in self.current._contexts:
            _set_cleanup(context, True)

    def clean_up_if_asked(self) -> None:
        """Release what can go now, unless a call is running, which will do so."""
        context = self.current.context
        if os.read_u32(context + layout.CTX_FLAGS) & layout.FLAG_CLEANUP and not self.current.running:
            try:
                self.run(_nothing)
            except Busy:
                pass

    def clean_up(self, leaving: int) -> None:
        """Release what the finished chain had pinned, and the externref cells that nothing holds.

        Args:
            leaving: the context whose outermost entry is about to leave.
        """
        if leaving != self.context and leaving in self._contexts:
            self._contexts.remove(leaving)
        _set_cleanup(leaving, False)
        if any(context != leaving and _is_running(context) for context in self._contexts):
            return
        _set_cleanup(self.context, False)
        self._pinned.clear()
        self._externs.release_unheld()

    def extern_to_bits(self, value: object) -> int:
        """Return the address of a cell that holds an object."""
        store = self.current
        cell = store._externs.put(value, store.owner)
        store.ask_for_cleanup()
        return cell

    def extern_from_bits(self, bits: int) -> object:
        """Return the object in a cell."""
        return cpython.object_at(bits)

    def replace_externs(self, old: Iterable[int], new: Iterable[int]) -> None:
        """Note that a table, a global or a segment holds the externrefs `new` instead of `old`."""
        store = self.current
        store._externs.replace(old, new)
        if store._externs.suspects:
            store.ask_for_cleanup()

    def func_to_bits(self, value: object) -> int | None:
        """Return the address of a callable's FuncRef, kept for the running chain; None when it is no wasm function."""
        from figwasp.runtime.func import Func

        if not isinstance(value, Func):
            return None
        self.merge(value.store)
        self.pin(value.owner)
        return value.address

    def func_from_bits(self, bits: int) -> object:
        """Return the callable of a FuncRef."""
        from figwasp.runtime.func import func_at

        return func_at(bits)


def _nothing() -> None:
    """Do nothing, for the sake of what `run` does afterwards."""


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


def _is_running(context: int) -> bool:
    return os.read_u64(context + layout.CTX_DEPTH) != 0


def _set_cleanup(context: int, wanted: bool) -> None:
    flags = os.read_u32(context + layout.CTX_FLAGS) & ~layout.FLAG_CLEANUP
    os.write_u32(context + layout.CTX_FLAGS, flags | layout.FLAG_CLEANUP * wanted)


class Memory:
    """A memory instance (spec 4.2.8).

    Attributes:
        record: address of its record.
        type: with the limits it was made with.
        mode: linear.GUARD or linear.CHECKED.
        owner: keeps the record and the pages, for a memory made by the host; None for one that its instance owns.
    """

    __slots__ = ("__weakref__", "limit", "mode", "owner", "record", "type")

    def __init__(self, type_: MemoryType, mode: int) -> None:
        self.type = type_
        self.mode = mode
        self.record = linear.create(type_.limits.min, type_.limits.max, mode)
        self.limit = linear.MAX_PAGES if type_.limits.max is None else type_.limits.max
        self.owner: Owner | None = None

    @property
    def pages(self) -> int:
        """The present size in pages."""
        return os.read_u64(self.record + layout.MEM_LENGTH) // layout.PAGE_SIZE

    @property
    def base(self) -> int:
        """The address of its first byte."""
        return os.read_u64(self.record + layout.MEM_BASE)

    def grow(self, delta: int) -> int:
        """Grow by pages; return the old size or -1."""
        return linear.grow(self.record, delta, self.limit)


class Table:
    """A table instance (spec 4.2.7).

    Attributes:
        record: address of its record.
        type: with the limits it was made with.
        store: where its externrefs live.
        keeper: owner that holds the owners of foreign functions in it.
        owner: keeps the record, for a table made by the host; None for one that its instance owns.
    """

    __slots__ = ("__weakref__", "home", "keeper", "owner", "record", "store", "type")

    def __init__(self, type_: TableType, store: Store, keeper: Owner) -> None:
        self.type = type_
        self.store = store
        self.home = [weakref.ref(store)]  # for what outlives this object
        self.keeper = keeper
        self.owner: Owner | None = None
        size = type_.limits.min
        if size > _TABLE_LIMIT:
            raise LimitExceeded(f"a table of {size} elements (at most {_TABLE_LIMIT})")
        self.record: int = cpython.raw_calloc(1, layout.TABLE_RECORD_SIZE)
        # The array never moves: room for the largest size is reserved, pages are committed when touched.
        most = _TABLE_LIMIT if type_.limits.max is None else min(type_.limits.max, _TABLE_LIMIT)
        os.write_u64(self.record + layout.TABLE_BASE, os.allocate(8 * most or 8))
        os.write_u64(self.record + layout.TABLE_LENGTH, size)
        os.write_u64(self.record + 16, most)
        store.add_table(self)

    def releaser(self) -> Callable[[], None]:
        """Return what frees the record and the array when nobody refers to them."""
        record = self.record
        base = os.read_u64(record + layout.TABLE_BASE)
        size = 8 * os.read_u64(record + 16) or 8
        home = self.home if self.type.elem == EXTERNREF else None

        def release() -> None:
            if home is not None:
                forget_externs(home, _words(base, os.read_u64(record + layout.TABLE_LENGTH)))
            os.release(base, size)
            cpython.raw_free(record)

        return release

    def __len__(self) -> int:
        return os.read_u64(self.record + layout.TABLE_LENGTH)

    def join(self, store: Store) -> None:
        """Belong to another store from now on."""
        self.store = store
        self.home[0] = weakref.ref(store)

    def get(self, index: int) -> int:
        """Return the raw bits of an element; the index is in range."""
        return os.read_u64(os.read_u64(self.record + layout.TABLE_BASE) + 8 * index)

    def set(self, index: int, bits: int) -> None:
        """Set an element from raw bits; the index is in range."""
        self._replace(index, 1, [bits])
        os.write_u64(os.read_u64(self.record + layout.TABLE_BASE) + 8 * index, bits)

    def fill(self, start: int, bits: int, count: int) -> None:
        """Set a run of elements, which is in range."""
        self._replace(start, count, [bits] * count if self.type.elem == EXTERNREF else [bits])
        base = os.read_u64(self.record + layout.TABLE_BASE)
        os.write(base + 8 * start, bits.to_bytes(8, "little") * count)

    def write(self, start: int, references: list[int]) -> None:
        """Set a run of elements from raw bits, which is in range."""
        self._replace(start, len(references), references)
        base = os.read_u64(self.record + layout.TABLE_BASE)
        os.write(base + 8 * start, b"".join([bits.to_bytes(8, "little") for bits in references]))

    def read(self, start: int, count: int) -> list[int]:
        """Return the raw bits of a run of elements, which is in range."""
        base = os.read_u64(self.record + layout.TABLE_BASE)
        return _words(base + 8 * start, count)

    def _replace(self, start: int, count: int, references: list[int]) -> None:
        """Keep what a run of elements is about to refer to: functions as long as the table lives, objects until overwritten."""
        if self.type.elem == EXTERNREF:
            self.store.replace_externs(self.read(start, count), references)
            return
        for bits in set(references):
            if bits:
                keep(self.keeper, owner_of(bits))

    def grow(self, bits: int, delta: int) -> int:
        """Grow; return the old size or -1."""
        old = len(self)
        if old + delta > os.read_u64(self.record + 16):
            return -1
        os.write_u64(self.record + layout.TABLE_LENGTH, old + delta)
        self.fill(old, bits, delta)
        return old


class Global:
    """A global instance (spec 4.2.9).

    Attributes:
        address: of its 8-byte cell.
        type: value type and mutability.
        store: where an externref in it lives.
        keeper: owner that holds the owner of a foreign function in it.
        owner: keeps the cell, for a global made by the host; None for one that its instance owns.
    """

    __slots__ = ("__weakref__", "address", "home", "keeper", "owner", "store", "type")

    def __init__(self, type_: GlobalType, address: int, store: Store, keeper: Owner) -> None:
        self.type = type_
        self.address = address
        self.store = store
        self.home = [weakref.ref(store)]  # for what outlives this object
        self.keeper = keeper
        self.owner: Owner | None = None
        store.add_global(self)

    def releaser(self) -> Callable[[], None]:
        """Return what must be called before the cell goes."""
        address = self.address
        home = self.home if self.type.type == EXTERNREF else None

        def release() -> None:
            if home is not None:
                forget_externs(home, [os.read_u64(address)])

        return release

    def join(self, store: Store) -> None:
        """Belong to another store from now on."""
        self.store = store
        self.home[0] = weakref.ref(store)

    def get(self) -> int:
        """Return its raw bits."""
        return os.read_u64(self.address)

    def set(self, bits: int) -> None:
        """Set its raw bits, and keep alive what they refer to."""
        if bits and self.type.type == FUNCREF:
            keep(self.keeper, owner_of(bits))
        elif self.type.type == EXTERNREF:
            self.store.replace_externs([self.get()], [bits])
        os.write_u64(self.address, bits)


def _words(address: int, count: int) -> list[int]:
    return memoryview(os.read(address, 8 * count)).cast("Q").tolist()


def owner_of(reference: int) -> Owner:
    """Return the owner of the instance that a FuncRef belongs to."""
    block = os.read_u64(reference + layout.FUNCREF_INSTANCE)
    if os.read_u32(reference + layout.FUNCREF_INDEX) == layout.HOST_INDEX:
        record: Any = cpython.object_at(block + 8)
        block = record.block
    owner: Owner = cpython.object_at(block + layout.INST_OWNER)
    return owner


def keep(keeper: Owner, owner: Owner) -> None:
    """Keep the owner of a function as long as a container, unless the container goes with that owner anyway."""
    if not any(keeper is one for one in owner.holds):
        keeper.hold(owner)


def host_keeper() -> Owner:
    """Return an owner that only holds others."""
    return make_owner(0)
