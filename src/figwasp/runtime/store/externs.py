"""Floor 4: externref values of a store (spec 4.2.1): native cells that hold Python objects, and when they may go.

Theory of operation. An externref is the address of a cell, and a cell owns one Python object, the same for every time that object
comes in. Whatever wasm keeps beyond a call is in a table, a global or an element segment; those are written by Python code only,
which keeps a count here of the holders of each cell. A cell that came in, or whose count fell to zero, is a suspect: when the
outermost call has ended no frame can hold it, and it goes unless the count says that something keeps it.

Stubs have some cells for the objects that calls from Python bring (see `stubs.refs`): such a cell is unknown here until a table,
a global or a segment holds it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final

from figwasp import layout
from figwasp.errors import LimitExceeded
from figwasp.runtime.native.owner import Owner, Owners, grow_slots
from figwasp.runtime.once import Once, exhaust, step, together
from figwasp.runtime.platform import cpython, linux
from figwasp.runtime.stubs.library import StubLibrary

_MAX_CELLS: Final = layout.EXTERN_CELLS
_SIZE: Final = _MAX_CELLS * 16  # bytes of an array: cells and states
_LENT: Final = 32  # cells given to stubs at a time
_MANAGED: Final = 1


class _ExternCells:
    """An array of owned references that never moves.

    Every change is one step, since two threads may convert arguments at once, and a finalizer may at any line.

    Attributes:
        owner: keeps it; the cells are its slots, so the collector sees the objects.
    """

    __slots__ = ("_base", "_by_object", "_free", "_numbers", "_stubs", "owner")

    def __init__(self, owners: Owners, stubs: StubLibrary) -> None:
        try:
            base = self._base = linux.allocate(_SIZE)
        except OSError as error:
            raise LimitExceeded(f"no memory for externref values: {error}") from None
        self._stubs = stubs
        self._free: list[int] = []
        self._numbers = itertools.count()
        self._by_object: dict[int, int] = {}  # id -> cell; the cell keeps the object, so the id stays its own
        block = cpython.raw_calloc(1, 16)
        self.owner = owners.make(block, lambda: (linux.releasing(base, _SIZE), cpython.freeing(block)), base)

    def __contains__(self, cell: int) -> bool:
        return self._base <= cell < self._base + 8 * _MAX_CELLS

    def put(self, value: object, suspects: set[int]) -> int:
        """Return the address of the cell that holds an object, which is a suspect from then on."""
        cell = self._by_object.get(id(value))
        if cell is None:
            cell = self._free_cell()
            linux.write_u64(cell + layout.EXTERN_STATE, _MANAGED)
            known = partial(self._by_object.setdefault, id(value), cell)
            together(cpython.setting_reference(cell, value), known, partial(suspects.add, cell))
            cell = self._by_object.get(id(value), cell)  # another one if whoever came between was faster
        suspects.add(cell)
        return cell

    def _free_cell(self) -> int:
        if self._free:
            try:
                return self._free.pop()
            except IndexError:
                pass  # another thread was faster
        return self._new_cell()

    def _new_cell(self) -> int:
        cpython.check_recursion()
        number = next(self._numbers)
        if number >= _MAX_CELLS:
            raise LimitExceeded(f"more than {_MAX_CELLS} externref values at once")
        grow_slots(self.owner, number + 1, self._stubs)
        return self._base + 8 * number

    def lend(self, record: int) -> None:
        """Put free cells on the list of a store's record, from which stubs take them, if there are so many."""
        cpython.check_recursion()
        try:
            cells = [self._free_cell() for _ in range(_LENT)]
        except LimitExceeded:
            return
        for cell, following in itertools.pairwise(cells):
            linux.write_u64(cell + layout.EXTERN_STATE, following)
        self._stubs.lend(record, cells[0], cells[-1])

    def forget(self, cell: int) -> None:
        """Forget the object of a cell, which gets another cell when it comes in again."""
        thing = linux.read_u64(cell)
        if self._by_object.get(thing) == cell:  # an object that a stub put in may have this cell beside its own
            self._by_object.pop(thing, None)

    def taking_out(self, cell: int) -> tuple[Once, Once]:
        """Return the calls that release the object in a forgotten cell. The object's finalizer may put others in."""
        return cpython.clearing_reference(cell), partial(self._free.append, cell)


class Externs:
    """The cells of a store.

    Attributes:
        suspects: cells to be checked, and perhaps released, when no call is running.
        live: whether the store has not been taken into another, which counts the holders from then on.
    """

    __slots__ = ("_arrays", "_holders", "_owners", "_stubs", "live", "suspects")

    def __init__(self, owners: Owners, stubs: StubLibrary) -> None:
        self._owners = owners
        self._stubs = stubs
        self._arrays: list[_ExternCells] = []
        self._holders: dict[int, list[None]] = {}  # cell -> one for each table, global or segment that holds it
        self.suspects: set[int] = set()
        self.live = True

    def put(self, value: object, store_owner: Owner, record: int) -> int:
        """Return the address of a cell that holds an object; the cells live as long as the store's owner.

        Args:
            value: the object.
            store_owner: keeps the cells.
            record: of the store; stubs get free cells if they have none left.
        """
        if not self._arrays:
            made = _ExternCells(self._owners, self._stubs)
            store_owner.hold(made.owner)
            self._arrays.append(made)
        array = self._arrays[0]
        cell = array.put(value, self.suspects)
        if not linux.read_u64(record + layout.STORE_FREE_EXTERN):
            array.lend(record)
        return cell

    def exchange(self, new: Iterable[int], old: Sequence[int], *change: Once) -> bool:
        """Have a table, a global or a segment hold references instead of others, in one step; 0 is the null reference.

        Args:
            new: what it will hold.
            old: what it held; looked at after the change.
            change: the change itself, and the call that records that it has been made.

        Returns:
            Whether the change has been made: not where the store has been taken into another meanwhile.
        """
        coming = [cell for cell in new if cell]
        holders = self._holders
        for cell in coming:
            holders.setdefault(cell, [])
            linux.write_u64(cell + layout.EXTERN_STATE, _MANAGED)  # from now on no stub takes it back
        self.suspects.update(coming)  # should it not come to that
        exchange = step(
            partial(exhaust, map(list.append, map(holders.__getitem__, coming), itertools.repeat(None))),
            *change,
            partial(exhaust, map(list.pop, filter(None, map(holders.get, old)))),
            partial(self.suspects.update, filter(None, old)),
        )
        live = self.live
        if live:  # nothing is called between the look and the step
            exchange()
        return live

    def share(self, other: Externs, store_owner: Owner) -> None:
        """Keep the cells of another store, which this one has taken in. Repeating this is fine."""
        store_owner.hold(*[array.owner for array in other._arrays])
        self._arrays.extend([array for array in other._arrays if array not in self._arrays])

    def taking_in(self, other: Externs) -> tuple[Once, Once, Once]:
        """Return the calls that take over the cells and counts of another store, in the step in which this one takes that in."""
        known = partial(self._arrays.extend, other._arrays)  # which are the other's present ones when that is called
        return known, partial(self._holders.update, other._holders), partial(setattr, other, "live", False)

    def take_suspects(self, other: Externs) -> None:
        """Take over the suspects of a store that is part of this one by now: each once, since it may be gone the next time."""
        together(partial(self.suspects.update, other.suspects), other.suspects.clear)

    def release_unheld(self) -> None:
        """Release the suspects that nothing holds. No call is running; a finalizer may begin one at any line."""
        suspects = self.suspects
        while suspects and self.live:
            for cell in suspects:  # noqa: B007  one of them: no finalizer comes between as with `iter` and `next`
                break
            if self._holders.get(cell):
                suspects.discard(cell)
                if self._holders.get(cell):
                    continue  # whoever drops it makes it one again
                suspects.add(cell)
            array = next(array for array in self._arrays if cell in array)
            array.forget(cell)  # from here on nobody can come to hold it
            release = step(partial(suspects.discard, cell), partial(self._holders.pop, cell, None), *array.taking_out(cell))
            if not self._holders.get(cell) and self.live:  # somebody may have held it before
                release()
