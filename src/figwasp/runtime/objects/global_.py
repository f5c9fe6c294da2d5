"""Floor 4: global instances (spec 4.2.9): one or two cells in native memory, which compiled code writes as well."""

from __future__ import annotations

import weakref

from figwasp import layout
from figwasp.ir.types import CELL
from figwasp.runtime.code.descriptors import TYPES
from figwasp.runtime.heap.roots import Roots
from figwasp.runtime.objects.keeping import Holding, keep
from figwasp.runtime.platform import linux
from figwasp.wasm.syntax.types import FUNCREF, INDEX_SHIFT, V128, is_ref, may_be_host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from figwasp.runtime.native.owner import Owner
    from figwasp.runtime.store.store import Store
    from figwasp.wasm.syntax.types import GlobalType

__all__ = ["Global"]


class Global:
    """A global instance (spec 4.2.9).

    Attributes:
        address: of its cells (`ir.types.CELLS`).
        type: value type and mutability.
        content: the value type, with a canonical number for an index.
        store: where an externref in it lives.
        keeper: owner that holds the owner of a foreign function in it.
        owner: keeps the cell, for a global made by the host; None for one that its instance owns.
        roots: the cell as a root, if it may refer to an object; released before the cell.
    """

    __slots__ = ("__weakref__", "address", "content", "store_ref", "keeper", "owner", "roots", "store", "type")

    def __init__(self, type_: GlobalType, content: int, address: int, store: Store, keeper: Owner) -> None:
        self.type = type_
        self.content = content
        self.address = address
        self.store = store
        self.store_ref = [weakref.ref(store)]  # for what outlives this object
        self.keeper = keeper
        self.owner: Owner | None = None
        words = [(address, 1)] if is_ref(content) and TYPES.top(content) != FUNCREF else []
        self.roots = Roots(store.native.stubs, [], words)
        self.roots.link(store)

    def releaser(self) -> Callable[[], None]:
        """Return the release of the cell's reference, to be called before the cell goes: once, or more often."""
        address = self.address
        holding = Holding(self.store_ref) if may_be_host(self.content) else None

        def release() -> None:
            if holding is not None:
                holding.forget(address, 1)

        return release

    def join(self, store: Store) -> None:
        """Move to another store."""
        self.store = store
        self.store_ref[0] = weakref.ref(store)

    @property
    def numbers(self) -> dict[int, int]:
        """The canonical number of the index in its value type, if that has one."""
        return {self.type.type >> INDEX_SHIFT: self.content >> INDEX_SHIFT}

    def get(self) -> int:
        """Return the raw bits of the value."""
        return int.from_bytes(linux.read(self.address, self._size), "little")

    def set(self, bits: int) -> None:
        """Set the raw bits of the value, and keep alive what they refer to."""
        if may_be_host(self.content):
            self.store.set_externs(self.address, [bits])
            return
        if is_ref(self.content) and TYPES.top(self.content) == FUNCREF:
            keep(self.keeper, (bits,), self.address + layout.GLOBAL_KEPT)
        linux.write(self.address, bits.to_bytes(self._size, "little"))

    @property
    def _size(self) -> int:
        return 2 * CELL if self.content == V128 else CELL
