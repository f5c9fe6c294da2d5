"""Floor 1: reading DWARF's primitives from a guest's bytes: bounded, and never beyond a section (DWARF 5, section 7).

In: the bytes of a module and the limits of a section. Out: numbers and strings, or `Broken`. All work, and all that is kept of
it, is counted against a `WorkLimit`, so that nothing that the bytes say makes reading take long or fills memory.
"""

from __future__ import annotations

from sys import getsizeof
from typing import Final

__all__ = ["BUDGET", "ROOM", "Broken", "WorkLimit", "DwarfReader", "Span", "size_of"]

BUDGET: Final = 1_000_000
"""Steps that may be spent on a module: each reads some bytes, of a line program, an entry or a list."""
ROOM: Final = 32 << 20
"""Bytes that may be kept of what has been read, with what Python needs for objects."""
LONGEST_STRING: Final = 4096
_TEXT: Final = 80
"""Bytes that a string takes at most beside its characters."""

Span = tuple[int, int]
"""Start and end of a section's content in the module's bytes."""


def size_of(text: str) -> int:
    """Return how many bytes a string takes; at most, where Python does not tell, as PyPy does not."""
    return getsizeof(text, _TEXT + len(text) * (1 if text.isascii() else 4))


class Broken(Exception):
    """The bytes are no DWARF that we understand, or there is too much of it."""


class WorkLimit:
    """An amount of work that may still be spent.

    Attributes:
        left: steps.
        room: bytes.
    """

    __slots__ = ("left", "room")

    def __init__(self, left: int = BUDGET, room: int = ROOM) -> None:
        self.left = left
        self.room = room

    def spend(self, steps: int = 1) -> None:
        """Spend steps.

        Raises:
            Broken: there are not so many left.
        """
        self.left -= steps
        if self.left < 0:
            raise Broken

    def keep(self, size: int, *texts: str) -> None:
        """Account for what is kept: so many bytes, and strings.

        Raises:
            Broken: there is no room for it, nor for anything after it.
        """
        self.room -= size + sum(map(size_of, texts))
        if self.room < 0:
            raise Broken


class DwarfReader:
    """A place in a section.

    Attributes:
        data: the bytes of the module.
        pos: where it is.
        end: where it must not go beyond.
        wide: whether offsets take 8 bytes: the 64-bit format.
    """

    __slots__ = ("budget", "data", "end", "pos", "wide")

    def __init__(self, data: bytes, pos: int, end: int, budget: WorkLimit) -> None:
        self.data = data
        self.pos = pos
        self.end = end
        self.budget = budget
        self.wide = False

    def fixed(self, size: int) -> int:
        """Read an unsigned number of so many bytes."""
        pos = self.pos
        self.skip(size)
        return int.from_bytes(self.data[pos : pos + size], "little")

    def skip(self, size: int) -> None:
        """Go on by so many bytes."""
        self.budget.spend()
        if not 0 <= size <= self.end - self.pos:
            raise Broken
        self.pos += size

    def offset(self) -> int:
        """Read an offset into a section."""
        return self.fixed(8 if self.wide else 4)

    def unsigned(self) -> int:
        """Read a ULEB128 of at most 64 bits; more are cut off."""
        self.budget.spend()
        data, end = self.data, min(self.end, self.pos + 10)
        result = shift = 0
        for pos in range(self.pos, end):
            byte = data[pos]
            result |= (byte & 0x7F) << shift
            if byte < 0x80:
                self.pos = pos + 1
                return result & 0xFFFF_FFFF_FFFF_FFFF
            shift += 7
        raise Broken

    def signed(self) -> int:
        """Read an SLEB128 of at most 64 bits."""
        start = self.pos
        result = self.unsigned()
        bits = 7 * (self.pos - start)
        return result - (1 << bits) if bits < 64 and result >> bits - 1 else result - (1 << 64) if result >> 63 else result

    def string(self) -> str:
        """Read a string up to its NUL."""
        start = self.pos
        found = self.data.find(b"\0", start, min(self.end, start + LONGEST_STRING))
        self.budget.spend(1 + (found - start >> 6))
        if found < 0:
            raise Broken
        self.pos = found + 1
        return self.data[start:found].decode("utf-8", "replace")

    def unit(self) -> int:
        """Read the length that begins a unit; the reader then has the unit's format. Return where the unit ends."""
        length = self.fixed(4)
        self.wide = length == 0xFFFF_FFFF
        if self.wide:
            length = self.fixed(8)
        if length > self.end - self.pos:
            raise Broken
        return self.pos + length
