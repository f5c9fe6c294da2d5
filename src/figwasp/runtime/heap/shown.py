"""Floor 4: objects of the heap as they come to Python: a place that refers to one, to its handle."""

from __future__ import annotations

from figwasp import layout
from figwasp.runtime.heap.handles import Core, root_of
from figwasp.wasm.syntax.types import StructType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from figwasp.runtime.heap.handles import Handle
    from figwasp.runtime.store.store import Store

__all__ = ["handle_at", "is_object"]


def is_object(bits: int) -> bool:
    """Return whether a reference of the hierarchies of any and extern refers to an object of the heap."""
    return bits != 0 and not bits & layout.REFERENCE_TAGS


def handle_at(store: Store, place: int) -> Handle:
    """Return a handle to the object that a place refers to, which the collector sees there."""
    core = Core(store, root_of(store, place))
    if isinstance(core.known.comp, StructType):
        from figwasp.runtime.heap.structs import (
            show_struct,  # what few programs have, and the classes for users with it
        )

        return show_struct(core)
    from figwasp.runtime.heap.arrays import show_array

    return show_array(core)
