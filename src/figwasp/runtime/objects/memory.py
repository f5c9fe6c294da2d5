"""Floor 4: memory instances (spec 4.2.8): a record in native memory, which instances share, and the limits of its growth."""

from __future__ import annotations

import weakref

from figwasp import layout
from figwasp.errors import LimitExceeded
from figwasp.runtime.platform import linear, linux, modes
from figwasp.runtime.stubs.interface import CHANGED, GROWN
from figwasp.wasm.syntax.types import I64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from figwasp.runtime.limits import Budget
    from figwasp.runtime.native.owner import Owner
    from figwasp.runtime.native.runtime import NativeRuntime
    from figwasp.runtime.store.store import Store
    from figwasp.wasm.syntax.types import MemoryType

    class Window(Protocol):
        """What keeps a buffer of a memory between uses."""

        def close(self) -> None:
            """Release the buffer; the next use makes another."""


__all__ = ["Memory", "Window", "new_memory"]


class Memory:
    """A memory instance (spec 4.2.8).

    Attributes:
        native: the native runtime it is part of.
        record: address of its record.
        type: with the limits it was made with.
        mode: modes.GUARD or modes.CHECKED: what code may access it.
        limit: the most pages that it can ever have.
        owner: keeps the record and the pages, for a memory made by the host and for a shared one; None for one that its instance
            owns.
        budget: what its instance may have of memory, or None.
    """

    __slots__ = ("__weakref__", "_home", "_windows", "budget", "limit", "mode", "native", "owner", "record", "type")

    def __init__(
        self, native: NativeRuntime, type_: MemoryType, mode: int, budget: Budget | None = None, pages: int | None = None
    ) -> None:
        """Make a memory.

        Args:
            native, type_, mode, budget: the attributes.
            pages: how large it is; None for the minimum of its type.
        """
        self.native = native
        self.type = type_
        self.budget = budget
        self.mode = mode
        most = layout.largest(type_.address == I64)
        self.limit = min(most >> type_.page, most - 1)  # a number of pages that an address can be
        if type_.limits.max is not None:
            self.limit = min(self.limit, type_.limits.max)
        size = (type_.limits.min if pages is None else pages) << type_.page
        if size > most:
            raise LimitExceeded(f"a memory of {size} bytes (at most {most})")
        if budget is not None:
            budget.begin(size, "bytes of memory")
            self.limit = min(self.limit, budget.limit >> type_.page)
        self.record = linear.create(size, self.limit << type_.page, layout.margin(mode, type_.address == I64, type_.page))
        self.owner: Owner | None = None
        self._home: dict[None, Store] = {}
        self._windows: dict[weakref.ref[Window], None] = {}

    def belong(self, store: Store) -> Store:
        """Return the store that a memory which is not shared belongs to: the first that it was asked to."""
        return self._home.setdefault(None, store)

    @property
    def pages(self) -> int:
        """The present size in pages."""
        return linux.read_u64(self.record + layout.MEM_LENGTH) >> self.type.page

    @property
    def base(self) -> int:
        """The address of the first byte."""
        return linux.read_u64(self.record + layout.MEM_BASE)

    def grow(self, delta: int) -> int:
        """Grow by pages; return the old size or -1."""
        page = self.type.page
        budget = self.budget
        if budget is None:
            return linear.grow(self.record, delta << page, self.limit << page, self._commit) >> page
        more = delta << page
        before = self.pages
        if not budget.take(more):
            return -1
        old: int | None = None
        try:
            old = linear.grow(self.record, more, self.limit << page, self._commit) >> page
        finally:
            # Where an exception keeps it from saying whether it has grown, what it is now does, to be on the safe side.
            if old == -1 or (old is None and self.pages == before):
                budget.give_back(more)
        return old

    def _commit(self, record: int, old: int, new: int) -> bool | None:
        """Change the length in one step, as `linear.grow` needs it."""
        answer = self.native.stubs.grow_memory(record, old, new, linux.ACCESSIBLE)
        return None if answer == CHANGED else answer == GROWN

    def add_window(self, window: Window) -> None:
        """Have a window closed when the memory is to become smaller."""
        self._windows[weakref.ref(window, self._windows.pop)] = None

    def close_windows(self) -> None:
        """Close all windows."""
        for window in [reference() for reference in list(self._windows)]:
            if window is not None:
                window.close()

    def own(self) -> Owner:
        """Give the memory an owner of its own, and return that."""
        owner = self.owner = self.native.owners.make(self.record, linear.releaser(self.record))
        return owner


def new_memory(native: NativeRuntime, type_: MemoryType, mode: int, budget: Budget | None = None) -> Memory:
    """Make a memory that the host owns: in the mode given, or checked when there is no address space for a guard area."""
    try:
        memory = Memory(native, type_, mode, budget)
    except linear.NoGuard:
        memory = Memory(native, type_, modes.CHECKED, budget)
    memory.own()
    return memory
