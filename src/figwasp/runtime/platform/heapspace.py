"""Floor 4: the address space of all garbage-collected heaps of the process. In: numbers of blocks. Out: runs of blocks, all zeros.

One range holds the objects of all heaps, so that "may this word be a reference" is one comparison. It is handed out in blocks
(`layout.BLOCK_BYTES`); beside it stand a table with an entry for each block and the mark bits, of which pages are committed when
touched. Whoever takes a run out of a list of free ones is its only owner; an exception afterwards loses it, but gives it to nobody
twice.
"""

from __future__ import annotations

import struct
from functools import partial

from figwasp import layout
from figwasp.errors import LimitExceeded
from figwasp.runtime.platform import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from figwasp.runtime.once import Once

__all__ = ["HeapSpace"]

_SIZES: Final = tuple(1 << bits for bits in range(36, 25, -2))
"""Bytes of address space that are asked for, one after the other, where the system allows less."""
_GRANULE: Final = 8  # bytes for each mark bit
_CLASS: Final = struct.Struct("<4I")


class HeapSpace:
    """The range.

    Attributes:
        start, size: of the range.
        blocks: address of the table of blocks.
        marks: of the mark bits.
        classes: of the table of classes of cells (`stubs.heap.heapstub.Places`).
        class_of: of a table of bytes: for each number of 8 bytes the class of cells for an object of that size.
    """

    def __init__(self) -> None:
        for size in _SIZES:
            try:
                self._reserve(size)
                break
            except OSError as error:
                last = error
        else:
            raise LimitExceeded(f"no address space for a heap: {last}") from None
        most = layout.BLOCK_BYTES
        rows = b"".join(_CLASS.pack(cell, -(-(1 << 32) // cell), most // cell * cell, 0) for cell in layout.CELL_SIZES)
        self.classes = linux.allocate(len(rows))
        linux.write(self.classes, rows)
        sizes = range(0, layout.CELL_SIZES[-1] + 1, 8)
        self.class_of = linux.allocate(len(sizes))
        linux.write(self.class_of, bytes(map(layout.cell_class, sizes)))
        self._free: dict[int, list[int]] = {}  # runs of blocks that have been given back, by their numbers of blocks
        self._taken: dict[int, list[int]] = {}  # by its address, each run that has been taken fresh
        self._end = self.start  # where some run ends, seldom not the last

    def _reserve(self, size: int) -> None:
        self.size = size
        self.start = linux.reserve(size + layout.BLOCK_BYTES) + layout.BLOCK_BYTES - 1 & -layout.BLOCK_BYTES
        self.blocks = linux.allocate(size // layout.BLOCK_BYTES * layout.BLOCK_SIZE)
        self.marks = linux.allocate(size // (8 * _GRANULE))

    def take(self, count: int) -> int:
        """Return the address of a run of blocks, which can be read and written.

        Raises:
            LimitExceeded: there is no room or no memory for it.
        """
        start = self._take_free(count)
        if start:
            return start
        start = self._take_fresh(count)
        try:
            linux.commit(start, count * layout.BLOCK_BYTES)
        except OSError as error:
            raise LimitExceeded(f"no memory for a heap: {error}") from None
        return start

    def _take_free(self, count: int) -> int:
        """Take a run that has been given back, the smallest that will do; 0 when there is none."""
        for size in sorted(self._free):
            if size >= count:
                try:
                    start = self._free[size].pop()
                except IndexError:  # another thread was faster
                    continue
                if size > count:
                    self._free.setdefault(size - count, []).append(start + count * layout.BLOCK_BYTES)
                return start
        return 0

    def _take_fresh(self, count: int) -> int:
        """Take addresses that have never been used."""
        run = [count]
        start = self._end
        while start + count * layout.BLOCK_BYTES <= self.start + self.size:
            holder = self._taken.setdefault(start, run)
            after = start + holder[0] * layout.BLOCK_BYTES
            if holder is run:
                self._end = after
                return start
            start = after
        raise LimitExceeded(f"the address space of all heaps ({self.size >> 20} MiB) is used up")

    def giving_back(self, start: int, count: int) -> tuple[Once, ...]:
        """Return the calls that give back a run to which nothing refers: no word points into it from then on."""
        size = count * layout.BLOCK_BYTES
        return (
            linux.zeroing(self.entry(start), count * layout.BLOCK_SIZE),
            linux.discarding(start, size),
            partial(self._free.setdefault(count, []).append, start),
        )

    def entry(self, start: int) -> int:
        """Return the address of the entry of a block."""
        return self.blocks + (start - self.start) // layout.BLOCK_BYTES * layout.BLOCK_SIZE
