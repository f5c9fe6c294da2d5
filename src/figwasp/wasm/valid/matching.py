"""Which definitions an import accepts (spec 3.5.2, import matching). Floor 1.

Goes in: the type of what is offered and the type that the import asks for. Comes out: whether one will do for the other.
Indices in value types stand for canonical numbers of a world that both modules share (`subtyping.canonical_type`).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from figwasp.wasm.syntax.types import GlobalType, Limits, MemoryType, TableType
    from figwasp.wasm.valid.subtyping import TypeWorld

__all__ = ["global_matches", "limits_match", "memory_matches", "table_matches"]


def limits_match(size: int, found: Limits, wanted: Limits) -> bool:
    """Return whether limits match, the present size counting as the minimum."""
    if wanted.max is not None and (found.max is None or found.max > wanted.max):
        return False
    return size >= wanted.min


def memory_matches(size: int, found: MemoryType, wanted: MemoryType) -> bool:
    """Return whether a memory of `size` pages will do."""
    same = (found.address, found.shared, found.page) == (wanted.address, wanted.shared, wanted.page)
    return same and limits_match(size, found.limits, wanted.limits)


def table_matches(size: int, found: TableType, elem: int, wanted: TableType, wanted_elem: int) -> bool:
    """Return whether a table of `size` elements will do; `elem` and `wanted_elem` are the canonical element types."""
    return elem == wanted_elem and found.address == wanted.address and limits_match(size, found.limits, wanted.limits)


def global_matches(world: TypeWorld, found: GlobalType, content: int, wanted: GlobalType, wanted_content: int) -> bool:
    """Return whether a global will do; `content` and `wanted_content` are the canonical value types."""
    if found.mutable or wanted.mutable:
        return found.mutable == wanted.mutable and content == wanted_content
    return world.matches(content, wanted_content)
