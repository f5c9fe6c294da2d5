"""Floor 4: the heap of a store: where its blocks come from, and how many there may be.

In: requests of the slow paths of allocation (`stubs.heap.collect`). Out: blocks of the process's space, given back when the store
has gone. Collections happen without Python.
"""

from __future__ import annotations

import os
from array import array
from functools import partial

from figwasp import layout
from figwasp.errors import LimitExceeded
from figwasp.runtime.once import together
from figwasp.runtime.platform import cpython, linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from figwasp.runtime.once import Once
    from figwasp.runtime.stubs.heap.library import HeapLibrary

__all__ = ["DEFAULT_LIMIT", "GROWN", "Heap"]

DEFAULT_LIMIT: Final = 4 << 30
"""Bytes that a heap may have unless an engine says otherwise."""

_LEAST_BLOCKS: Final = 32
_LEAST_MARKS: Final = 1 << 20
_STRIDE: Final = layout.BLOCK_SIZE // 8
GROWN: Final = 1  # what `grow` answers when there are more blocks


class Heap:
    """The memory of a heap.

    Attributes:
        record: address of its record, to which the store's refers.
    """

    __slots__ = ("_mark_stack", "_native", "_runs", "record")

    def __init__(self, native: HeapLibrary, limit: int) -> None:
        """Make an empty heap.

        Args:
            native: the stubs.
            limit: the most bytes that it may have.
        """
        self._native = native
        self._runs: dict[int, int] = {}  # address of each run of blocks -> how many
        self._mark_stack: list[tuple[int, int]] = []  # address and size of the one in use, if there is one
        self.record: int = cpython.raw_calloc(1, layout.HEAP_SIZE)
        if not self.record:
            raise MemoryError
        linux.write_u64(self.record + layout.HEAP_LIMIT, limit)
        linux.write_u64(self.record + layout.HEAP_STRESS, os.environ.get("FIGWASP_GC") == "stress")
        linux.write_u64(self.record + layout.HEAP_GOAL, min(limit, 8 << 20))

    def raise_limit(self, limit: int) -> None:
        """Let the heap have so many bytes, if that is more than it may have now."""
        if limit > self._get(layout.HEAP_LIMIT):
            linux.write_u64(self.record + layout.HEAP_LIMIT, limit)

    def releasing(self) -> list[Once]:
        """Return the calls that give everything back, when nothing refers to it any more."""
        space = self._native.space
        rest: list[Once] = [cpython.freeing(self.record)]
        for start, count in self._runs.items():
            rest += space.giving_back(start, count)
        return rest + [linux.releasing(*one) for one in self._mark_stack]

    def _get(self, field: int) -> int:
        return linux.read_u64(self.record + field)

    def grow(self, size: int) -> int:
        """Serve a slow path: find blocks for cells, or for a large object.

        Args:
            size: bytes of a large object, 0 for cells.

        Returns:
            The address of the large object, which is the heap's as soon as the caller says so; GROWN when there are more blocks
            for cells; 0 when there is no memory, or the limit does not allow it.
        """
        self._take_dead_back()
        if size > self._room:
            self._take_free_back()
        room = self._room
        if size:
            count = -(-size // layout.BLOCK_BYTES)
        else:
            wanted = max(_LEAST_BLOCKS, self._get(layout.HEAP_USED) // layout.BLOCK_BYTES // 8)
            count = min(wanted, room // layout.BLOCK_BYTES)
        if not 0 < count * layout.BLOCK_BYTES <= room:
            return 0
        try:
            self.prepare(self._get(layout.HEAP_BYTES) + count * layout.BLOCK_BYTES)
            start = self._native.space.take(count)
        except (LimitExceeded, OSError):
            return 0
        self._runs[start] = count
        return self._begin_large(start, count) if size else self._begin_cells(start, count)

    @property
    def _room(self) -> int:
        """Bytes of blocks that the heap may still get."""
        return self._get(layout.HEAP_LIMIT) - self._get(layout.HEAP_BYTES)

    def _begin_large(self, start: int, count: int) -> int:
        """Describe the blocks of a large object; they are nobody's yet."""
        entry = self._native.space.entry(start)
        row = array("Q", bytes(layout.BLOCK_SIZE))
        row[layout.BLOCK_OBJECT // 8] = start
        rows = row * count
        rows[layout.BLOCK_LENGTH // 8] = count * layout.BLOCK_BYTES
        linux.write(entry, rows.tobytes())
        return start

    def _begin_cells(self, start: int, count: int) -> int:
        """Add free blocks to the heap."""
        entry = self._native.space.entry(start)
        rows = array("Q", bytes(layout.BLOCK_SIZE)) * count
        rows[layout.BLOCK_HEAP // 8 :: _STRIDE] = array("Q", [self.record]) * count
        rows[layout.BLOCK_CLEAN // 8 :: _STRIDE] = array("Q", [1]) * count
        following = range(entry + layout.BLOCK_SIZE, entry + layout.BLOCK_SIZE * (count + 1), layout.BLOCK_SIZE)
        rows[layout.BLOCK_NEXT // 8 :: _STRIDE] = array("Q", following)
        linux.write(entry, rows.tobytes())
        last = entry + layout.BLOCK_SIZE * (count - 1)
        self._native.add_blocks(self.record, entry, last, count * layout.BLOCK_BYTES)
        return GROWN

    def _take_dead_back(self) -> None:
        """Give back the large objects that no collection has reached. An exception may leave one out, until the store goes."""
        space = self._native.space
        while entry := self._native.take_dead(self.record):
            start = linux.read_u64(entry + layout.BLOCK_OBJECT)
            count = self._runs.get(start)
            if count is not None:
                cpython.check_recursion()
                together(partial(self._runs.pop, start, None), *space.giving_back(start, count))

    def _take_free_back(self) -> None:
        """Give back the runs of blocks for cells that are all free: what follows each other in one run does not do so in many."""
        space = self._native.space
        for start, count in list(self._runs.items()):
            entry = space.entry(start)
            cpython.check_recursion()
            if self._native.take_free(self.record, entry, entry + count * layout.BLOCK_SIZE):
                together(partial(self._runs.pop, start, None), *space.giving_back(start, count))

    def prepare(self, size: int) -> None:
        """Have a mark stack for so many bytes of blocks. No collection is under way.

        Raises:
            OSError: there is no address space for it.
        """
        needed = size // 2  # 8 bytes for each object, of which none is smaller than 16
        if self._mark_stack and self._mark_stack[0][1] >= needed:
            return
        room = max(2 * needed, _LEAST_MARKS)
        made = (linux.allocate(room), room)
        old = self._mark_stack[:]
        use = linux.writing(self.record + layout.HEAP_MARKS, made[0].to_bytes(8, "little"))
        cpython.check_recursion()
        together(use, self._mark_stack.clear, partial(self._mark_stack.append, made), *[linux.releasing(*one) for one in old])

    def prepare_for(self, other: Heap) -> None:
        """Get ready to take over the blocks of another heap."""
        self.prepare(self._get(layout.HEAP_BYTES) + other._get(layout.HEAP_BYTES))

    def taking_in(self, other: Heap) -> tuple[Once, ...]:
        """Return the calls by which the memory of another heap is this one's, in the step in which its blocks are."""
        return partial(self._runs.update, other._runs), other._runs.clear
