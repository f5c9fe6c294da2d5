"""Floor 4: objects of the heap as they come to Python: a place that refers to one, to its handle."""

from __future__ import annotations

from functools import cache

from figwasp import layout
from figwasp.lazy import importing
from figwasp.runtime.heap.handles import Core, root_of
from figwasp.wasm.syntax.types import StructType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from figwasp.runtime.heap.handles import Handle
    from figwasp.runtime.store.store import Store

__all__ = ["handle_at", "is_object"]


def is_object(bits: int) -> bool:
    """Return whether a reference of the hierarchies of any and extern refers to an object of the heap."""
    return bits != 0 and not bits & layout.REFERENCE_TAGS


def handle_at(store: Store, place: int) -> Handle:
    """Return a handle to the object that a place refers to, which the collector sees there."""
    core = Core(store, root_of(store, place))
    show_struct, show_array = _makers()
    return show_struct(core) if isinstance(core.known.comp, StructType) else show_array(core)


@cache  # at the very end nothing can be imported, even if it has been before
def _makers() -> tuple[Callable[[Core], Handle], Callable[[Core], Handle]]:
    """Return what makes handles; with it come classes for users, and few programs have any such objects."""
    with importing:
        from figwasp.runtime.heap.arrays import show_array
        from figwasp.runtime.heap.structs import show_struct

    return show_struct, show_array
