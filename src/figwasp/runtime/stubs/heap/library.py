"""Floor 4: the heap's stubs of a process: compiled when they are first asked for, and kept for ever.

In: the compiler of stubs, the space of heaps, what ticks need. Out: addresses for compiled code, and native functions for Python.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Final

from figwasp.ir.func import Func
from figwasp.runtime.once import Lazily
from figwasp.runtime.platform import linux
from figwasp.runtime.platform.heapspace import HeapSpace
from figwasp.runtime.platform.statics import Statics
from figwasp.runtime.stubs.builtins import cells
from figwasp.runtime.stubs.heap import collect, mark, steps, sweep
from figwasp.runtime.stubs.heap.heapstub import Places
from figwasp.runtime.stubs.ticks import Ends

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

    def __init__(
        self, compile: Callable[[Func], int], statics: Statics, ends: Ends, descriptors: int, grow: Callable[[int, int], int]
    ) -> None:
        """Begin with nothing compiled.

        Args:
            compile: compiles and installs a stub.
            statics: where the contexts are.
            ends: what ticks look at.
            descriptors: address of the type descriptors.
            grow: gives a heap more blocks (`stubs.heap.collect.Parts`).
        """
        self._compile = compile
        self._ends = ends
        self._grow = grow  # which emitted code refers to
        self.space = HeapSpace()
        places = self._places = Places()
        places.start, places.size = self.space.start, self.space.size
        places.blocks, places.marks, places.classes = self.space.blocks, self.space.marks, self.space.classes
        places.class_of = self.space.class_of
        places.descriptors = descriptors
        places.contexts, places.used = statics.contexts, statics.contexts_used

    @Lazily
    def _parts(self) -> collect.Parts:
        compile, places = self._compile, self._places
        parts = collect.Parts()
        memset = linux.symbol("memset")
        parts.grow = id(self._grow)
        parts.sweep_run = compile(sweep.sweep_run(places, memset))
        parts.open_block = compile(sweep.open_block(places, memset))
        parts.finish_sweep = compile(sweep.finish_sweep(places, parts.sweep_run, memset))
        parts.sort_blocks = compile(sweep.sort_blocks(places))
        parts.mark_roots = compile(mark.mark_roots(places, compile(mark.scan(places, compile(mark.find(places))))))
        parts.tick = compile(collect.tick(places, self._ends))
        parts.drain = compile(mark.drain(places, parts.tick))
        parts.partition = compile(cells.partition())
        parts.forget_marks = compile(cells.forget_marks())
        parts.own_large = compile(steps.own_large(places))
        parts.collect = compile(collect.collect(places, parts))
        return parts

    @Lazily
    def allocate(self) -> int:
        """The address of the slow path of taking a cell (`stubs.heap.collect.allocate`)."""
        return self._compile(collect.allocate(self._places, self._parts))

    @Lazily
    def allocate_large(self) -> int:
        """The address of what makes large objects (`stubs.heap.collect.allocate_large`)."""
        return self._compile(collect.allocate_large(self._places, self._parts))

    @Lazily
    def new_object(self) -> Callable[[int, int, int, int], int]:
        """The native function that makes an object for Python (`stubs.heap.collect.new_object`)."""
        memset = linux.symbol("memset")
        return _FOUR(self._compile(collect.new_object(self._places, self.allocate, self.allocate_large, memset)))

    @Lazily
    def collect(self) -> Callable[[int], int]:
        """The native function that makes a collection (`stubs.heap.collect.collect`)."""
        return _ONE(self._parts.collect)

    @Lazily
    def look_for_cells(self) -> Callable[[int], int]:
        """The native function that finds the externref cells that are dying, without a heap (`collect.look_for_cells`)."""
        return _ONE(self._compile(collect.look_for_cells(self._places, self._parts)))

    @Lazily
    def add_blocks(self) -> Callable[[int, int, int, int], int]:
        """The native function that gives a heap free blocks (`stubs.heap.steps.add_blocks`)."""
        return _FOUR(self._compile(steps.add_blocks()))

    @Lazily
    def take_dead(self) -> Callable[[int], int]:
        """The native function that takes a dead large object from a heap (`stubs.heap.steps.take_dead`)."""
        return _ONE(self._compile(steps.take_dead()))

    @Lazily
    def take_free(self) -> Callable[[int, int, int], int]:
        """The native function that takes free blocks from a heap (`stubs.heap.steps.take_free`)."""
        return _THREE(self._compile(steps.take_free()))

    @Lazily
    def merge(self) -> Callable[[int, int], int]:
        """The native function that gives what one store has on the heap to another (`stubs.heap.steps.merge_heaps`)."""
        return _TWO(self._compile(steps.merge_heaps(self._places)))
