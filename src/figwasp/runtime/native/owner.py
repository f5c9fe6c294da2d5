"""Floor 4: owners of native blocks.

Theory of operation. A finalizer must not free native memory: the cycle collector may run it while something in the same cycle can
still call into the block. So a block belongs to an `Owner`, an object whose slots are emitted code. Callables and views
refer to the owner until they are deallocated. The collector sees what the block refers to (the owner's slots, and other
owners in `holds`) and may clear the slots, which stubs test; what an owner holds is dropped only when the collection is over.
Deallocation puts the block on a list that the interpreter's next pending call releases. Whoever releases a block has taken it, in
one step; when an exception comes between, it is put back for the next one, who begins again: a release prepares, as often as it
takes, and then everything that may happen only once happens `together`.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from operator import call

from figwasp.runtime.once import exhaust, move_all
from figwasp.runtime.platform import cpython, linux
from figwasp.runtime.stubs.interface import FUNC_VECTORCALL, OWNER_COUNT, OWNER_HOLDS, OWNER_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

    from figwasp.runtime.native.types import NativeTypes
    from figwasp.runtime.once import Release
    from figwasp.runtime.platform.statics import Statics
    from figwasp.runtime.stubs.library import StubLibrary

__all__ = ["Owner", "Owners", "grow_slots"]

_Word: Final = ctypes.c_uint64
_ZERO: Final = _Word(0)
_NEXT_DEAD: Final = ctypes.PYFUNCTYPE(ctypes.c_uint64)
_EXCHANGE: Final = ctypes.PYFUNCTYPE(ctypes.c_uint64)
_NEW_OWNER: Final = ctypes.PYFUNCTYPE(ctypes.py_object)

_graveyards: Final[list[list[object]]] = []
"""Kept for ever, since the collector calls the function that empties one, even if an exception has stopped the rest."""

_exchange: Callable[..., int]
"""`stubs.steps.exchange_reference`, before there is an owner; no attribute of one, since users can reach those."""


class Owner:
    """Keeps a native block, and what the block refers to."""

    __slots__ = ()

    @property
    def holds(self) -> tuple[Owner, ...]:
        """The owners that go no earlier than this one."""
        cpython.check_type(self, Owner)
        if not cpython.get_field(self, OWNER_HOLDS):
            return ()
        held: tuple[Owner, ...] = cpython.object_at(id(self) + OWNER_HOLDS)
        return held

    def hold(self, *others: Owner) -> None:
        """Keep other owners as long as this one: in one step, whoever else adds some meanwhile."""
        while True:
            present = self.holds
            joined = (*present, *[other for other in others if other is not self and other not in present])
            if len(joined) == len(present):
                return
            place = ctypes.c_uint64(id(self) + OWNER_HOLDS)
            if _exchange(place, ctypes.c_uint64(id(present) if present else 0), ctypes.c_uint64(id(joined))):
                return  # else another thread was faster


class _Sweeper:
    """The callable that the collector calls (`stubs.objects.sweep`)."""

    __slots__ = ()


class Owners:
    """Makes owners, and releases the blocks of those that have gone."""

    def __init__(self, stubs: StubLibrary, types: NativeTypes, statics: Statics) -> None:

        global _exchange
        self._releases: dict[int, Release] = {}
        self._due: list[Release] = []
        self._finalizing = sys.is_finalizing
        self._graveyard: list[object] = []
        _graveyards.append(self._graveyard)
        self._reap = self.reap  # which emitted code refers to
        self._dead = linux.word(statics.reap_list)
        self._next_dead: Callable[[], int] = _NEXT_DEAD(stubs.stub("owner.next_dead"))
        self._new: Callable[..., Any] = _NEW_OWNER(stubs.stub("owner.new"))
        _exchange = _EXCHANGE(stubs.stub("step.exchange_reference"))
        stubs.symbols.define("owner.reap", id(self._reap))
        stubs.symbols.define("owner.graveyard", id(self._graveyard))
        self._type = self._make_type(stubs)
        self._type_word = _Word(id(self._type))
        gc.callbacks.append(self._make_sweeper(stubs, types))

    def _make_type(self, stubs: StubLibrary) -> type:
        return cpython.make_type(
            "figwasp._Owner",
            OWNER_SIZE,
            Owner,
            traverse=stubs.stub("owner.traverse"),
            clear=stubs.stub("owner.clear"),
            dealloc=stubs.stub("owner.dealloc"),
        )

    def _make_sweeper(self, stubs: StubLibrary, types: NativeTypes) -> Any:
        """Return the callable that drops the references of cleared owners, to be called when no collection is under way."""

        made = cpython.new_object(types.get(_Sweeper, "figwasp._Sweeper", callable_=True))
        cpython.set_field(made, FUNC_VECTORCALL, stubs.stub("owner.sweep"))
        return made

    def make(self, block: int, release: Release | None = None, slots: int = 0, count: int = 0) -> Owner:
        """Make the owner of a block.

        Args:
            block: its address, or 0 for an owner that only holds others.
            release: called when the owner has gone, again if it is stopped; by then the block's first word may be overwritten.
            slots: address of an array of PyObject* in the block, all 0 or owned.
            count: their number.
        """
        if release is not None:
            if self._dead.value or self._due:
                self.reap()  # pending calls run on the main thread only, which may be waiting
            self._releases[block] = release
        address = _Word(block)
        if count:
            owner: Owner = self._new(self._type_word, address, _Word(slots), _Word(count))
        else:
            owner = self._new(self._type_word, address, _Word(slots) if slots else _ZERO, _ZERO)
        return owner

    def reap(self) -> None:
        """Release the blocks whose owners have gone: a pending call of the interpreter.

        Nothing is released while the interpreter shuts down: the releases may have lost their globals, and the process ends anyway.
        """
        if self._finalizing():
            return
        taken: list[Release] = []
        try:
            if self._due:
                move_all(self._due, taken)
            taken.extend(map(self._releases.pop, iter(self._next_dead, 0)))  # in one step: nothing comes between
            while taken:
                exhaust(map(call, (*taken[-1](), taken.pop)))
        finally:
            if taken:
                self._due[:0] = taken


def grow_slots(owner: Owner, count: int, stubs: StubLibrary) -> None:
    """Let an owner own so many slots of its array, unless it has more already."""
    stubs.raise_to(id(owner) + OWNER_COUNT, count)
