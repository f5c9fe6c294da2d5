"""Floor 4: externref values of a store (spec 4.2.1): native cells that hold Python objects, and when they may go.

Theory of operation. An externref is the address of a cell, and a cell owns one Python object, the same for every time that object
comes in. Whatever wasm keeps beyond a call is in a table, a global or an element segment; what writes those counts the holders
of each cell (`stubs.builtins.cells`). A cell that came in, or whose count fell to zero, is a suspect: when the outermost call has
ended no frame can hold it, and it goes unless the count says that something keeps it.

Free cells are on a list of the store, from which stubs take those for the objects that calls from Python bring (see `stubs.refs`):
such a cell is unknown here, and no suspect, until a table, a global or a segment holds it.
"""

from __future__ import annotations

import itertools
from functools import partial
from typing import Final

from figwasp import layout
from figwasp.errors import LimitExceeded
from figwasp.runtime.native.owner import Owner, Owners, grow_slots
from figwasp.runtime.once import Once, together
from figwasp.runtime.platform import cpython, linux
from figwasp.runtime.stubs.library import StubLibrary

_MAX_CELLS: Final = layout.EXTERN_CELLS
_LENT: Final = 32  # cells made for stubs at a time


class _ExternCells:
    """An array of owned references that never moves.

    Every change is one step, since two threads may convert arguments at once, and a finalizer may at any line.

    Attributes:
        owner: keeps it; the cells are its slots, so the collector sees the objects.
    """

    __slots__ = ("_base", "_numbers", "_stubs", "owner")

    def __init__(self, owners: Owners, stubs: StubLibrary) -> None:
        try:
            base = self._base = linux.allocate(layout.EXTERN_SIZE)
        except OSError as error:
            raise LimitExceeded(f"no memory for externref values: {error}") from None
        self._stubs = stubs
        self._numbers = itertools.count()
        block = cpython.raw_calloc(1, 16)
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

    __slots__ = ("_arrays", "_by_object", "_owners", "_stubs")

    def __init__(self, owners: Owners, stubs: StubLibrary) -> None:
        self._owners = owners
        self._stubs = stubs
        self._arrays: list[_ExternCells] = []
        self._by_object: dict[int, int] = {}  # id -> cell; the cell keeps the object, so the id stays its own

    def put(self, value: object, store_owner: Owner, record: int) -> int:
        """Return the address of the cell that holds an object, which is a suspect from then on.

        Args:
            value: the object.
            store_owner: of the store: the cells live as long.
            record: of the store; it gets free cells if it has none left.
        """
        cell = self._by_object.get(id(value))
        if cell is None:
            cell = self._stubs.take_cell(record) or self._array(store_owner).new_cell()
            known = partial(self._by_object.setdefault, id(value), cell)
            together(cpython.setting_reference(cell, value), known, partial(self._stubs.suspect, cell, record))
            cell = self._by_object.get(id(value), cell)  # another one if whoever came between was faster
        self._stubs.suspect(cell, record)
        if not linux.read_u64(record + layout.STORE_FREE_EXTERN):
            self._array(store_owner).lend(record)
        return cell

    def _array(self, store_owner: Owner) -> _ExternCells:
        if not self._arrays:
            made = _ExternCells(self._owners, self._stubs)
            store_owner.hold(made.owner)
            self._arrays.append(made)
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

    def release_unheld(self, record: int) -> None:
        """Release the suspects that nothing holds. No call is running; a finalizer may begin one at any line.

        Args:
            record: of the store.
        """
        while cell := linux.read_u64(record + layout.STORE_SUSPECTS):
            if linux.read_u64(cell + layout.EXTERN_HOLDERS):
                self._stubs.clear_suspect(record, cell)
                continue
            thing = linux.read_u64(cell)
            if self._by_object.get(thing) == cell:  # an object that a stub put in may have this cell beside its own
                self._by_object.pop(thing, None)  # from here on nobody can come to hold it
            self._stubs.settle_suspect(record, cell)
