"""Floor 4: references held by tables and globals: the owners of functions they refer to, and externrefs of their store."""

from __future__ import annotations

import weakref

from figwasp import layout
from figwasp.runtime.platform import cpython, linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Final

    from figwasp.runtime.native.owner import Owner
    from figwasp.runtime.store.store import Store

__all__ = ["Holding", "chunks", "keep", "owner_of"]

_CHUNK: Final = 1 << 14


def owner_of(reference: int) -> Owner:
    """Return the owner of the instance that a FuncRef belongs to."""
    block = linux.read_u64(reference + layout.FUNCREF_INSTANCE)
    if linux.read_u32(reference + layout.FUNCREF_INDEX) == layout.HOST_INDEX:
        record: Any = cpython.object_at(block + 8)
        block = record.block
    owner: Owner = cpython.object_at(block + layout.INST_OWNER)
    return owner


def keep(keeper: Owner, references: Iterable[int], kept: int) -> None:
    """Keep the owners of functions as long as a container, unless the container goes with an owner anyway.

    Args:
        keeper: goes with the container.
        references: to functions, or null.
        kept: address of the word that tells compiled code which functions it may put into the container itself.
    """
    instances: set[int] = set()  # an element segment may have thousands of functions of one
    for reference in set(references):
        if reference:
            instance = linux.read_u64(reference + layout.FUNCREF_INSTANCE)
            if instance not in instances:
                instances.add(instance)
                owner = owner_of(reference)
                if keeper not in owner.holds:
                    keeper.hold(owner)
                linux.write_u64(kept, instance)


class Holding:
    """The externrefs that a container holds, dropped when it goes."""

    __slots__ = ("_store_ref",)

    def __init__(self, store_ref: list[weakref.ref[Store]]) -> None:
        """Begin with a container in use.

        Args:
            store_ref: leads to the store.
        """
        self._store_ref = store_ref

    def forget(self, place: int, count: int) -> None:
        """Set the externrefs from a place on to null; to be repeated when an exception strikes in here.

        A store that has gone has no cells any more.
        """
        store = self._store_ref[0]()
        if store is None:
            return
        for first, size in chunks(count):
            store.clear_externs(place + 8 * first, size)
        store.clean_up_if_asked()


def chunks(count: int) -> list[tuple[int, int]]:
    """Split a run of references into chunks that take milliseconds; return the start and the length of each."""
    return [(first, min(_CHUNK, count - first)) for first in range(0, count, _CHUNK)]
