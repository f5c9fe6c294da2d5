"""Floor 4: references held by tables and globals: the owners of functions they refer to, and externrefs of their store."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from figwasp import layout
from figwasp.runtime.native.owner import Owner
from figwasp.runtime.platform import cpython, linux
from figwasp.runtime.store.store import Store

__all__ = ["Holding", "keep", "owner_of"]


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


class Holding:
    """The references that a container holds, reported to its store once when it goes."""

    __slots__ = ("_store_ref", "_told")

    def __init__(self, store_ref: list[weakref.ref[Store]]) -> None:
        """Begin with a container in use.

        Args:
            store_ref: leads to the store.
        """
        self._store_ref = store_ref
        self._told: list[None] = []  # one for each chunk that has been told of

    def forget(self, chunks: Iterable[Sequence[int]]) -> None:
        """Report that the container does not hold externrefs any more; to be repeated when an exception strikes in here.

        Args:
            chunks: the raw bits of the externrefs, in chunks, the same ones each time.
        """
        store = self._store_ref[0]()
        if store is None:
            return
        for chunk in itertools.islice(chunks, len(self._told), None):
            told = partial(self._told.append, None)
            if any(chunk):
                store.exchange_externs((), chunk, told)
            else:
                told()
        store.clean_up_if_asked()
