"""Floor 4: externref values of a store (spec 4.2.1): native cells that hold Python objects, and when they may go.

Theory of operation. An externref is the address of a cell, tagged, and a cell owns one Python object, the same every time that
object comes in. What tables, globals and element segments hold is counted (`stubs.builtins.cells`). A cell that was given to code,
or whose count fell to zero, is a suspect: frames may have it, and objects on the heap. When the outermost call has ended there is
no frame, and suspects go unless there is a heap. Else the store looks at the frames and the heap now and then: when there are
twice as many cells as were left the last time.

A cell is given to code by writing its address where the collector sees it, in one step: into a frame, or into a root.

Free cells are on a list of the store, from which stubs take those for the objects that calls from Python bring (see `stubs.refs`):
such a cell is unknown here, and no suspect, until a table, a global or a segment holds it.
"""

from __future__ import annotations

import itertools
from functools import partial

from figwasp import layout
from figwasp.errors import LimitExceeded
from figwasp.runtime.native.owner import grow_slots
from figwasp.runtime.once import together
from figwasp.runtime.platform import cpython, linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from figwasp.runtime.native.owner import Owner, Owners
    from figwasp.runtime.once import Once
    from figwasp.runtime.stubs.library import StubLibrary

_MAX_CELLS: Final = layout.EXTERN_CELLS
_LENT: Final = 32  # cells made for stubs at a time
_LEAST: Final = 32  # cells given to code between two looks at its frames at least


class _ExternCells:
    """An array of owned references that never moves.

    Every change is one step, since two threads may convert arguments at once, and a finalizer may at any line.

    Attributes:
        owner: keeps it; the cells are its slots, so the collector sees the objects.
        node: address of the record by which the collector of the heap finds the cells.
    """

    __slots__ = ("_base", "_numbers", "_stubs", "node", "owner")

    def __init__(self, owners: Owners, stubs: StubLibrary) -> None:
        try:
            base = self._base = linux.allocate(layout.EXTERN_SIZE)
        except OSError as error:
            raise LimitExceeded(f"no memory for externref values: {error}") from None
        self._stubs = stubs
        self._numbers = itertools.count()
        block = cpython.raw_calloc(1, layout.ARRAY_SIZE)
        linux.write_u64(block + layout.ARRAY_BASE, base)
        self.node: int = block
        self.owner = owners.make(block, lambda: (linux.releasing(base, layout.EXTERN_SIZE), cpython.freeing(block)), base)

    def new_cell(self) -> int:
        """Return a cell that has never been used."""
        cpython.check_recursion()
        number = next(self._numbers)
        if number >= _MAX_CELLS:
            raise LimitExceeded(f"more than {_MAX_CELLS} externref values at once")
        grow_slots(self.owner, number + 1, self._stubs)
        return self._base + 8 * number

    def lend(self, record: int) -> None:
        """Put new cells on the list of a store's record, if there are so many."""
        try:
            cells = [self.new_cell() for _ in range(_LENT)]
        except LimitExceeded:
            return
        for cell, following in itertools.pairwise(cells):
            linux.write_u64(cell + layout.EXTERN_STATE, following)
        self._stubs.lend(record, cells[0], cells[-1])


class Externs:
    """The cells of a store."""

    __slots__ = ("_arrays", "_by_object", "_given", "_most", "_owners", "_stubs")

    def __init__(self, owners: Owners, stubs: StubLibrary) -> None:
        self._owners = owners
        self._stubs = stubs
        self._arrays: list[_ExternCells] = []
        self._by_object: dict[int, int] = {}  # id -> cell; the cell keeps the object, so the id stays its own
        self._given = 0  # how often a cell has been given to code since the last look
        self._most = _LEAST  # how often that may be

    @property
    def is_due(self) -> bool:
        """Whether so many cells have been given to code that a look at the frames is worth its while."""
        return self._given >= self._most

    def give(self, value: object, place: int, store_owner: Owner, record: int) -> None:
        """Give code the cell that holds an object, which is a suspect from then on: its reference is written to a place.

        Args:
            value: the object.
            place: address in a frame or a root.
            store_owner: of the store: the cells live as long.
            record: of the store; it gets free cells if it has none left.
        """
        self._given += 1
        while True:
            cell = self._by_object.get(id(value))
            cpython.check_recursion()
            if cell is not None:
                if self._stubs.give_cell(record, cell, id(value), place):
                    break
                self._by_object.pop(id(value), None)  # a finalizer has come between, and the cell has gone
                continue
            cell = self._stubs.take_cell(record) or self._array(store_owner, record).new_cell()
            known = partial(self._by_object.setdefault, id(value), cell)
            give = partial(self._stubs.give_cell, record, cell, id(value), place)
            together(cpython.setting_reference(cell, value), known, give)  # another cell than the known one, if somebody was faster
            break
        if not linux.read_u64(record + layout.STORE_FREE_EXTERN):
            self._array(store_owner, record).lend(record)

    def _array(self, store_owner: Owner, record: int) -> _ExternCells:
        if not self._arrays:
            made = _ExternCells(self._owners, self._stubs)
            store_owner.hold(made.owner)
            cpython.check_recursion()
            together(partial(self._stubs.link_array, record, made.node), partial(self._arrays.append, made))
        return self._arrays[0]

    def share(self, other: Externs, store_owner: Owner) -> None:
        """Keep the cells of another store, which this one has taken in. Repeating this is fine."""
        store_owner.hold(*[array.owner for array in other._arrays])
        self._arrays.extend([array for array in other._arrays if array not in self._arrays])

    def taking_in(self, other: Externs) -> tuple[Once, Once, Once]:
        """Return the calls that take over the cells of another store, in the step in which this one takes that in."""
        known = partial(self._arrays.extend, other._arrays)  # which are the other's present ones when that is called
        same = partial(setattr, other, "_by_object", self._by_object)  # what comes in there, too late, is known here
        return known, partial(self._by_object.update, other._by_object), same

    def look(self, record: int, context: int, frames: bool) -> None:
        """Find the suspects that nobody refers to, and release them. Finalizers may call wasm at any line.

        Args:
            record: of the store.
            context: on which its calls run.
            frames: whether there are calls that have begun and not ended, suspended ones included.
        """
        cpython.check_recursion()
        self._given = 0
        if linux.read_u64(record + layout.STORE_HEAP):
            self._stubs.heap.collect(context)
        elif frames:
            self._stubs.heap.look_for_cells(record)
        else:
            self._stubs.forget_marks(record)
            self._stubs.partition(record)
        self.release_dying(record)
        self._most = max(_LEAST, 2 * len(self._by_object))

    def release_dying(self, record: int) -> None:
        """Release the cells that are dying, unless code has got hold of them meanwhile.

        Args:
            record: of the store.
        """
        cpython.check_recursion()
        while cell := linux.read_u64(record + layout.STORE_DYING):
            thing = linux.read_u64(cell)
            if self._by_object.get(thing) == cell:  # an object that a stub put in may have this cell beside its own
                self._by_object.pop(thing, None)  # from here on nobody can come to hold it but through the heap
            self._stubs.settle_cell(record, cell, thing)
