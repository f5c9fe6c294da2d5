"""Floor 4: roots: places outside of the heap whose references the collector follows, as parts of a store.

In: addresses of words, and of the words that say where and how many these are. Out: `Roots`, unlinked before the places go.
"""

from __future__ import annotations

import struct
from functools import partial

from figwasp import layout
from figwasp.runtime.platform import cpython, linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from figwasp.runtime.native.owner import Owner
    from figwasp.runtime.once import Once
    from figwasp.runtime.store.store import Store
    from figwasp.runtime.stubs.library import StubLibrary

__all__ = ["RootWords", "Roots"]

_NODE: Final = struct.Struct("<7Q")


class Roots:
    """Roots with one lifetime: tables, globals or segments, where the objects of the host are counted.

    Attributes:
        nodes: address of their records; 0 for none.
    """

    __slots__ = ("_count", "_stubs", "nodes")

    def __init__(
        self, stubs: StubLibrary, places: list[tuple[int, int]], words: list[tuple[int, int]], counted: bool = True
    ) -> None:
        """Describe roots, of no store yet.

        Args:
            stubs: the library.
            places: for each root the addresses of the words that hold its address and its number of references.
            words: for each root its address and its number of references, which stay what they are.
            counted: whether the objects of the host there are counted.
        """
        self._stubs = stubs
        self._count = len(places) + len(words)
        self.nodes: int = cpython.raw_calloc(self._count, layout.ROOT_SIZE) if self._count else 0
        if self._count and not self.nodes:
            raise MemoryError
        node = self.nodes
        for base, count in places:
            linux.write(node, _NODE.pack(0, 0, base, count, 0, 0, counted))
            node += layout.ROOT_SIZE
        for base, count in words:
            own = node + layout.ROOT_OWN_BASE, node + layout.ROOT_OWN_COUNT
            linux.write(node, _NODE.pack(0, 0, *own, base, count, counted))
            node += layout.ROOT_SIZE

    def link(self, store: Store) -> None:
        """Make them roots of a store."""
        if not self.nodes:
            return
        while True:
            record = store.current.record
            cpython.check_recursion()
            self._stubs.unlink_roots(self.nodes, self._count)
            self._stubs.link_roots(record, self.nodes, self._count)
            if store.current.record == record:  # else it may have been too late for whoever merged it
                return

    def copy(self, place: int) -> int:
        """Let the first word of the first root be what stands at a place, in one step, and return that."""
        cpython.check_recursion()
        return self._stubs.copy_root(self.nodes, place)

    def releasing(self) -> list[Once]:
        """Return the calls that end it, before the places go."""
        if not self.nodes:
            return []
        return [partial(self._stubs.unlink_roots, self.nodes, self._count), cpython.freeing(self.nodes)]


class RootWords:
    """Words of native memory that refer to objects as long as this object is there: operands and results on their way.

    Attributes:
        address: of the first.
    """

    __slots__ = ("_owner", "_roots", "address")

    def __init__(self, store: Store, count: int, more: int = 0) -> None:
        """Make words of 0.

        Args:
            store: whose objects they refer to.
            count: their number.
            more: number of words behind them that are no references, and live as long.
        """
        native = store.native
        area: int = cpython.raw_calloc(1 + count + more, 8)  # the first word is the owner's
        if not area:
            raise MemoryError
        self.address = area + 8
        roots = self._roots = Roots(native.stubs, [], [(self.address, count)], counted=False)
        self._owner = native.owners.make(area, lambda: [*roots.releasing(), cpython.freeing(area)])
        self._owner.hold(store.owner)
        roots.link(store)

    @property
    def owner(self) -> Owner:
        """Keeps the words, and the store."""
        return self._owner

    def copy(self, place: int) -> int:
        """Let the first word be what stands at a place, in one step, and return that."""
        return self._roots.copy(place)
