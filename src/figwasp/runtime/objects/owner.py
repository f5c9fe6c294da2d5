"""Floor 4: who owns native blocks.

Theory of operation. A finalizer must not free native memory: the cycle collector may run it while something in the same cycle can
still call into the block. So a block belongs to an `Owner`, an object whose slots are emitted code. Callables and views
refer to the owner until they are deallocated. The collector sees what the block refers to (the owner's slots, and other
owners in `holds`) and may clear the slots, which stubs test; what an owner holds is dropped only when the collection is over.
Deallocation puts the block on a list that the interpreter's next pending call releases.
"""

from __future__ import annotations

from collections.abc import Callable

from figwasp.runtime import process
from figwasp.runtime.platform import cpython, linux
from figwasp.runtime.stubs.objects import OWNER_COUNT, OWNER_HOLDS, OWNER_SIZE, OWNER_SLOTS


class Owner:
    """Keeps a native block, and what the block refers to."""

    __slots__ = ()

    @property
    def holds(self) -> tuple[Owner, ...]:
        """The owners that go no earlier than this one."""
        cpython.check_type(self, _type)
        if not cpython.get_field(self, OWNER_HOLDS):
            return ()
        held: tuple[Owner, ...] = cpython.object_at(id(self) + OWNER_HOLDS)
        return held

    def hold(self, *others: Owner) -> None:
        """Keep other owners as long as this one."""
        present = self.holds
        added = tuple([other for other in others if other is not self and other not in present])
        if added:
            cpython.set_field(self, OWNER_HOLDS, 0)
            cpython.set_reference(id(self) + OWNER_HOLDS, present + added)
            if present:
                cpython.drop_reference(present)


_type: type | None = None


def _owner_type() -> type:
    global _type
    if _type is None:
        traverse, clear, dealloc = process.get().owner_functions()
        _type = cpython.make_type("figwasp._Owner", OWNER_SIZE, Owner, traverse=traverse, clear=clear, dealloc=dealloc)
    return _type


def make_owner(block: int, release: Callable[[], None] | None = None, slots: int = 0, count: int = 0) -> Owner:
    """Make the owner of a block.

    Args:
        block: its address, or 0 for an owner that only holds others.
        release: called when the owner has gone; by then the block's first word may be overwritten.
        slots: address of an array of PyObject* in the block, all 0 or owned.
        count: their number.
    """
    machine = process.get()
    if release is not None:
        if machine.dead.value:
            machine.reap()  # pending calls run on the main thread only, which may be waiting
        machine.on_release(block, release)
    owner: Owner = machine.new_owner(id(_owner_type()), block, slots, count)
    return owner


def set_slots(owner: Owner, slots: int, count: int) -> None:
    """Give an owner another array of slots."""
    cpython.set_field(owner, OWNER_COUNT, 0)
    cpython.set_field(owner, OWNER_SLOTS, slots)
    cpython.set_field(owner, OWNER_COUNT, count)


def clear_slot(address: int) -> None:
    """Drop the reference in a slot."""
    value = linux.read_u64(address)
    if value:
        thing = cpython.object_at(address)
        linux.write_u64(address, 0)
        cpython.drop_reference(thing)
