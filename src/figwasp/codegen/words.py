"""Floor 3: words: what code refers to outside of itself, at fixed distances from where it stands.

In: `Code` and the distance of the place where it is to stand from its region's *origin*. Out: code that is right there.

Theory of operation. Every relocation leads to a word, 8 bytes that hold an address. The words of a region stand right in front
of its origin, those of functions first, by index; then their counters; then those of builtins; then those of `code.STUB_*`.
Nothing but distances goes into the code, so what stands at one distance from the origin is the same in every process.
"""

from __future__ import annotations

from figwasp.codegen.code import RELOC_BUILTIN, RELOC_CELL, RELOC_COUNTER, RELOC_STUB, STUB_COUNT
from figwasp.codegen.isa import host
from figwasp.ir import builtins

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["WORD", "Words"]

WORD = 8


class Words:
    """The words of a region.

    Attributes:
        size: bytes of them.
    """

    __slots__ = ("_starts", "size")

    def __init__(self, functions: int) -> None:
        """Lay out the words of a region with a number of functions, imported ones included."""
        self.size = WORD * (2 * functions + builtins.COUNT + STUB_COUNT)
        stubs = -WORD * STUB_COUNT
        self._starts = {
            RELOC_CELL: -self.size,
            RELOC_COUNTER: WORD * functions - self.size,
            RELOC_BUILTIN: stubs - WORD * builtins.COUNT,
            RELOC_STUB: stubs,
        }

    def offset(self, kind: int, target: int) -> int:
        """Return the place of the word for a relocation's target, from the origin."""
        return self._starts[kind] + WORD * target

    def at(self, offset: int) -> tuple[int, int] | None:
        """Return the kind and the target of relocations that lead to a place, from the origin; None if no word is there."""
        if offset % WORD or not -self.size <= offset < 0:
            return None
        kind = max((start, kind) for kind, start in self._starts.items() if start <= offset)[1]
        return kind, (offset - self._starts[kind]) // WORD

    def relocate(self, data: bytes, relocs: Iterable[tuple[int, int, int, int]], place: int) -> bytes:
        """Return code with its fields filled in.

        Args:
            data: the code, with its records.
            relocs: `Code.relocs`.
            place: where the code will stand, from the origin.

        Raises:
            OverflowError: a word is out of reach.
        """
        filled = bytearray(data)
        apply = host().apply
        for offset, field, kind, target in relocs:
            apply(filled, offset, field, place, self._starts[kind] + WORD * target)
        return bytes(filled)

    def unrelocate(self, data: bytearray, fields: Iterable[tuple[int, int]], place: int) -> list[tuple[int, int, int, int]] | None:
        """Clear the fields of code that stands at a place, and return the relocations that fill them in again.

        Args:
            data: the code.
            fields: offset and FIELD_* of each.
            place: where the code stands, from the origin.

        Returns:
            `Code.relocs`; None if a field is outside of the code or refers to no word.
        """
        relocs = []
        goal, sizes = host().goal, host().field_sizes
        for offset, field in fields:
            if field >= len(sizes) or offset + sizes[field] > len(data):
                return None
            word = self.at(goal(data, offset, field, place))
            if word is None:
                return None
            data[offset : offset + sizes[field]] = bytes(sizes[field])
            relocs.append((offset, field, *word))
        return relocs
