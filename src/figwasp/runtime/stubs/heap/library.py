"""Floor 4: the heap's stubs of a process: compiled when they are first asked for, and kept for ever.

In: stubs by their keys. Out: native functions for Python, and the space of heaps.
"""

from __future__ import annotations

import ctypes

from figwasp.runtime.once import Lazily
from figwasp.runtime.platform.heapspace import HeapSpace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

__all__ = ["HeapLibrary"]

_ONE: Final = ctypes.PYFUNCTYPE(ctypes.c_uint64, ctypes.c_uint64)
_TWO: Final = ctypes.PYFUNCTYPE(ctypes.c_uint64, *[ctypes.c_uint64] * 2)
_THREE: Final = ctypes.PYFUNCTYPE(ctypes.c_uint64, *[ctypes.c_uint64] * 3)
_FOUR: Final = ctypes.PYFUNCTYPE(ctypes.c_uint64, *[ctypes.c_uint64] * 4)


class HeapLibrary:
    """The stubs of heaps.

    Attributes:
        space: the address space of all heaps.
    """

    def __init__(self, stub: Callable[[str], int]) -> None:
        """Begin with nothing compiled; stubs are asked for by their keys."""
        self._stub = stub
        self.space = HeapSpace()

    @Lazily
    def new_object(self) -> Callable[[int, int, int, int], int]:
        """The native function that makes an object for Python (`stubs.heap.collect.new_object`)."""
        return _FOUR(self._stub("heap.new_object"))

    @Lazily
    def collect(self) -> Callable[[int], int]:
        """The native function that makes a collection (`stubs.heap.collect.collect`)."""
        return _ONE(self._stub("heap.collect"))

    @Lazily
    def look_for_cells(self) -> Callable[[int], int]:
        """The native function that finds the externref cells that are dying, without a heap (`collect.look_for_cells`)."""
        return _ONE(self._stub("heap.look_for_cells"))

    @Lazily
    def add_blocks(self) -> Callable[[int, int, int, int], int]:
        """The native function that gives a heap free blocks (`stubs.heap.steps.add_blocks`)."""
        return _FOUR(self._stub("heap.add_blocks"))

    @Lazily
    def take_dead(self) -> Callable[[int], int]:
        """The native function that takes a dead large object from a heap (`stubs.heap.steps.take_dead`)."""
        return _ONE(self._stub("heap.take_dead"))

    @Lazily
    def take_free(self) -> Callable[[int, int, int], int]:
        """The native function that takes free blocks from a heap (`stubs.heap.steps.take_free`)."""
        return _THREE(self._stub("heap.take_free"))

    @Lazily
    def merge(self) -> Callable[[int, int], int]:
        """The native function that gives what one store has on the heap to another (`stubs.heap.steps.merge_heaps`)."""
        return _TWO(self._stub("heap.merge"))
