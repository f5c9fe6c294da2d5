"""Floor 6: the table of a guest's descriptors.

In: descriptors. Out: numbers for them. Of those that have become free the highest is given first, as wasmtime does: a program that
has closed its standard output and does not look for errors when it writes there should not write into the next file that it opens.
"""

from __future__ import annotations

from figwasp.wasi.abi import BADF, MASK32, MFILE, Fail
from figwasp.wasi.allowance import Allowance

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from figwasp.wasi.descriptors.files import Descriptor

LISTINGS: Final = 64 << 20
"""Bytes: listings of some 300,000 names at once."""


class Table:
    """The guest's descriptors by number.

    Attributes:
        items: the descriptors; None is one that is not open.
        listings: the allowance for the directory listings that descriptors keep.
    """

    __slots__ = ("_limit", "items", "listings")

    def __init__(self, limit: int, listings: int = LISTINGS) -> None:
        """Begin with no descriptors.

        Args:
            limit: most that the guest can have open.
            listings: most bytes that their listings take.
        """
        self.items: list[Descriptor | None] = []
        self.listings = Allowance(listings)
        self._limit = limit

    def append(self, descriptor: Descriptor | None) -> None:
        """Give the next number to a descriptor, or to one that is closed."""
        self.items.append(descriptor)

    def find(self, fd: int) -> Descriptor:
        """Return a descriptor by number; `fd` may be signed.

        Raises:
            Fail: BADF.
        """
        number = fd & MASK32
        item = self.items[number] if number < len(self.items) else None
        if item is None:
            raise Fail(BADF)
        return item

    def room(self) -> None:
        """Make sure that one more descriptor can be added.

        Raises:
            Fail: MFILE.
        """
        if len(self.items) >= self._limit and None not in self.items:
            raise Fail(MFILE)

    def add(self, descriptor: Descriptor) -> int:
        """Give a descriptor a number."""
        if None not in self.items:
            self.items.append(descriptor)
            return len(self.items) - 1
        fd = len(self.items) - 1 - self.items[::-1].index(None)
        self.items[fd] = descriptor
        return fd

    def remove(self, fd: int) -> Descriptor:
        """Free a number; return what was there."""
        descriptor = self.find(fd)
        self.items[fd & MASK32] = None
        return descriptor

    def replace(self, fd: int, to: int) -> Descriptor | None:
        """Move a descriptor to another number in use; return what was there, unless it is the same."""
        moved = self.find(fd)
        old = self.find(to)
        if moved is old:
            return None
        self.items[to & MASK32] = moved
        self.items[fd & MASK32] = None
        return old

    def all(self) -> list[Descriptor]:
        """Return the descriptors in use."""
        return [item for item in self.items if item is not None]

    def clear(self) -> None:
        """Free every number."""
        self.items.clear()
