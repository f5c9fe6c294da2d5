"""Floor 4: which store a context belongs to: for emitted code, which knows contexts only.

In: contexts, by their addresses, and the stores that run on them, which are not kept alive here. Out: the requests of a leaving
chain and of one out of fuel, passed to their store.
"""

from __future__ import annotations

import weakref

from figwasp import layout
from figwasp.runtime.platform import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class _Store(Protocol):
        """The part of a store that contexts need."""

        def clean_up(self, leaving: int) -> None:
            """Release what the finished chain had pinned; `leaving` is its context."""

        def refuel(self, context: int) -> bool:
            """Return whether a context whose fuel is used up may go on."""

        def grow_heap(self, size: int) -> int:
            """Find memory for objects; return what `runtime.heap.heap.Heap.grow` does."""

        def forget(self, context: int) -> None:
            """Forget a context, which goes."""

        @property
        def record(self) -> int:
            """The address of its record."""

__all__ = ["Contexts"]


class Contexts:
    """The contexts of the process."""

    __slots__ = ("_stores",)

    def __init__(self) -> None:
        self._stores: dict[int, weakref.ref[_Store]] = {}

    def assign(self, context: int, store: _Store | None) -> None:
        """Note the store that a context belongs to; None when the context goes."""
        if store is not None:
            self._stores[context] = weakref.ref(store)
            linux.write_u64(context + layout.CTX_STORE, store.record)
            return
        linux.write_u64(context + layout.CTX_STORE, 0)
        last = self.store_of(context)
        if last is not None:
            last.forget(context)
        self._stores.pop(context, None)

    def store_of(self, context: int) -> _Store | None:
        """Return the store of a context."""
        reference = self._stores.get(context)
        return None if reference is None else reference()

    def finish_chain(self, context: int) -> None:
        """Have the store clean up: the outermost entry of a context leaves, and the flag for that was set."""
        store = self.store_of(context)
        if store is not None:
            store.clean_up(context)

    def refuel(self, context: int) -> bool:
        """Return whether a context whose fuel is used up may go on."""
        store = self.store_of(context)
        return store is not None and store.refuel(context)

    def grow_heap(self, context: int, size: int) -> int:
        """Find memory for objects of the store of a context (`runtime.heap.heap.Heap.grow`)."""
        store = self.store_of(context)
        return 0 if store is None else store.grow_heap(size)
