"""Floor 4: element segments (spec 4.2.11): the references of those that have not been dropped, where compiled code finds them.

In: a module, the block of an instance. Out: an array in native memory for each passive segment, and the words of the block that
lead to it. The other segments are copied when the instance is made, and have no array.
"""

from __future__ import annotations

from figwasp import layout
from figwasp.runtime.code.descriptors import TYPES
from figwasp.runtime.heap.roots import Roots
from figwasp.runtime.objects.keeping import Holding
from figwasp.runtime.platform import cpython, linux
from figwasp.wasm.syntax.module import PASSIVE
from figwasp.wasm.syntax.types import FUNCREF, may_be_host
from figwasp.wasm.valid.subtyping import canonical_type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from figwasp.runtime.objects.instance import InstanceState
    from figwasp.runtime.once import Once, Release
    from figwasp.wasm.syntax.module import Elem

__all__ = ["drop", "fill", "make", "references"]


def make(state: InstanceState) -> Release:
    """Make the arrays of an instance's passive segments, all null; return their release.

    Before it, what they hold is to be dropped, which the release does as often as it is called.
    """
    block, places = state.block, state.code.layout
    kept = [(number, elem) for number, elem in enumerate(state.code.module.elems) if elem.mode == PASSIVE]
    area: int = cpython.raw_calloc(1, 8 * sum(len(elem.inits) for _, elem in kept) or 8)
    if not area:
        raise MemoryError
    base = area
    held: list[tuple[int, int]] = []
    followed: list[tuple[int, int]] = []  # where the segments say where they are, and how long
    for number, elem in kept:
        linux.write_u64(block + places.elem(number) + layout.SEGMENT_BASE, base)
        linux.write_u64(block + places.elem(number) + layout.SEGMENT_LENGTH, len(elem.inits))
        if TYPES.top(canonical_type(elem.type, state.code.numbers)) != FUNCREF:
            record = block + places.elem(number)
            followed.append((record + layout.SEGMENT_BASE, record + layout.SEGMENT_LENGTH))
        if may_be_host(elem.type):
            held.append((base, len(elem.inits)))
        base += 8 * len(elem.inits)
    holding = Holding(state.store_ref) if held else None
    roots = Roots(state.store.native.stubs, followed, [])
    roots.link(state.store)

    def release() -> tuple[Once, ...]:
        if holding is not None:
            for place, count in held:
                holding.forget(place, count)
        return *roots.releasing(), cpython.freeing(area)

    return release


def _place(state: InstanceState, number: int) -> tuple[int, int]:
    """Return the address and the number of a segment's references."""
    record = state.block + state.code.layout.elem(number)
    return linux.read_u64(record + layout.SEGMENT_BASE), linux.read_u64(record + layout.SEGMENT_LENGTH)


def references(state: InstanceState, number: int) -> list[int]:
    """Return the references of a segment; a dropped one is empty."""
    base, count = _place(state, number)
    return linux.read_words(base, count)


def fill(state: InstanceState, number: int, values: list[int]) -> None:
    """Fill in a passive segment's references."""
    base, _ = _place(state, number)
    if may_be_host(_elem(state, number).type):
        state.store.set_externs(base, values)
    else:
        linux.write_words(base, values)


def drop(state: InstanceState, number: int) -> None:
    """Drop a segment."""
    base, count = _place(state, number)
    empty = linux.writing(state.block + state.code.layout.elem(number) + layout.SEGMENT_LENGTH, bytes(8))
    if count and may_be_host(_elem(state, number).type):
        state.store.clear_externs(base, count, empty)
    else:
        empty()


def _elem(state: InstanceState, number: int) -> Elem:
    return state.code.module.elems[number]
