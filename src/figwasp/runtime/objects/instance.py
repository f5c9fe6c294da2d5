"""Floor 4: the Python side of an instance: what its native block refers to, for whoever finds the block.

Theory of operation. An instance is a native block (offsets in `layout`) and an `InstanceState`. The block's owner refers to the
state through slot 0; the state never refers to the owner, so that dropping the last callable, view or handle frees everything at
once, without the cycle collector. Whoever holds an export holds the owner.
"""

from __future__ import annotations

import weakref

from figwasp import layout
from figwasp.runtime.platform import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from figwasp.runtime.code.compile import CompiledModule
    from figwasp.runtime.native.owner import Owner
    from figwasp.runtime.objects.global_ import Global
    from figwasp.runtime.objects.memory import Memory
    from figwasp.runtime.objects.table import Table
    from figwasp.runtime.objects.tag import Tag
    from figwasp.runtime.store.store import Store

__all__ = ["InstanceState"]


class InstanceState:
    """The Python side of an instance.

    Attributes:
        code: the compiled module.
        block: address of the instance block; 0 when it has gone.
        store: the store it runs in.
        store_ref: leads to the store, for objects that outlive this one.
        closed: None, or from closing on, the object that is pinned as long as the chain of that moment runs (see `closing`).
        is_closed: whether closing is complete.
        handle: leads to the object that users hold, if there is one.
        restoration: the last state that it has been put into, prepared (`runtime.snapshots`), or None.
        memories, tables, globals, tags: in index space order, imports first.
    """

    __slots__ = (
        "__weakref__",
        "block",
        "closed",
        "code",
        "globals",
        "handle",
        "is_closed",
        "store_ref",
        "memories",
        "restoration",
        "store",
        "tables",
        "tags",
    )

    def __init__(self, code: CompiledModule, block: int, store: Store) -> None:
        self.code = code
        self.block = block
        self.store = store
        self.store_ref = [weakref.ref(store)]
        self.closed: Owner | None = None
        self.is_closed = False
        self.handle: weakref.ref[Any] | None = None
        self.restoration: object = None
        self.memories: list[Memory] = []
        self.tables: list[Table] = []
        self.globals: list[Global] = []
        self.tags: list[Tag] = []

    def leave(self) -> None:
        """Remove this instance from its module and store: the block goes. A traceback may keep this object longer than that."""
        self.code.remove_user(self)
        self.store.remove(self)
        self.block = 0

    def join(self, store: Store) -> None:
        """Run in another store from now on, with the tables and globals that the instance has made."""
        self.store = store
        self.store_ref[0] = weakref.ref(store)
        place = linux.word(self.block + layout.INST_STORE)
        if not self.block:
            return  # it has gone; else it cannot before the line below is done
        place.value = store.record
        module = self.code.module
        for table in self.tables[module.num_imported_tables :]:
            table.join(store)
        for global_ in self.globals[module.num_imported_globals :]:
            global_.join(store)

    def func_references(self, indices: Iterable[int]) -> list[int]:
        """Return the addresses of the FuncRefs of functions."""
        places = self.code.layout
        first = places.num_imported_funcs
        imported = [self.func_reference(index) for index in range(first)]
        base = self.block + places.funcref(first) - layout.FUNCREF_SIZE * first
        return [imported[index] if index < first else base + layout.FUNCREF_SIZE * index for index in indices]

    def func_reference(self, index: int) -> int:
        """Return the address of the FuncRef of a function of the index space."""
        places = self.code.layout
        if index < places.num_imported_funcs:
            return linux.read_u64(self.block + places.imported_func(index))
        return self.block + places.funcref(index)
