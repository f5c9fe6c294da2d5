"""Floor 4: limits of the instances of an engine: budgets of memory and table elements, and slots for instances.

In: the limits of a configuration. Out: answers whether there is still room. When an instance goes its share is given back, which
may happen at any moment, in any thread, between any two instructions.
"""

from __future__ import annotations

import gc
import weakref
from functools import partial

from figwasp.errors import LimitExceeded
from figwasp.locks import new_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from figwasp.runtime.once import Once

__all__ = ["Budget", "InstanceSlots"]


class Budget:
    """The amount that an instance may have of something, all its memories or tables together.

    Attributes:
        limit: the most.
        used: the amount in use.
    """

    __slots__ = ("_lock", "_name", "limit", "used")

    def __init__(self, limit: int, name: str) -> None:
        """Begin with nothing used.

        Args:
            limit: the most.
            name: of the engine's argument.
        """
        self.limit = limit
        self.used = 0
        self._name = name
        self._lock = new_lock()  # a signal handler may grow what is growing

    def take(self, amount: int) -> bool:
        """Use more, if there is room for it; return whether there was."""
        with self._lock:
            if self.used + amount > self.limit:
                return False
            self.used += amount
            return True

    def give_back(self, amount: int) -> None:
        """Use less again."""
        with self._lock:
            self.used -= amount

    def held(self) -> AbstractContextManager[object]:
        """Return a context in which no other thread uses more or less."""
        return self._lock

    def changing(self, more: int) -> Once:
        """Return the call that uses more, or less if it is negative, while it is held.

        Raises:
            LimitExceeded: there is no room for it.
        """
        if self.used + more > self.limit:
            raise LimitExceeded(f"the instance would use {self.used + more}, and {self._name} is {self.limit}")
        return partial(setattr, self, "used", self.used + more)

    def begin(self, amount: int, what: str) -> None:
        """Use the amount that an instance begins with.

        Raises:
            LimitExceeded: the amount is over the limit.
        """
        if not self.take(amount):
            raise LimitExceeded(f"the instance needs {self.used + amount} {what} at least, and {self._name} is {self.limit}")


def budget(limit: int | None, name: str) -> Budget | None:
    """Return a budget when there is a limit."""
    return None if limit is None else Budget(limit, name)


class Slot:
    """Room for an instance, taken as long as the object is referred to."""

    __slots__ = ("__weakref__",)


class InstanceSlots:
    """Room for live instances."""

    __slots__ = ("_limit", "_taken")

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._taken: dict[weakref.ref[Slot], None] = {}  # each removes itself when its slot goes

    def take(self, reap: Callable[[], None]) -> Slot | None:
        """Take a slot, which is free again when it is no longer referred to; return None where there is no limit.

        Args:
            reap: releases what belongs to instances that have gone.

        Raises:
            LimitExceeded: no slot is free.
        """
        if self._limit is None:
            return None
        slot = Slot()
        self._taken[weakref.ref(slot, self._taken.pop)] = None
        if len(self._taken) > self._limit:
            # Some may be of instances that nobody can reach any more.
            gc.collect()
            reap()
            if len(self._taken) > self._limit:
                del slot  # a traceback would keep it
                raise LimitExceeded(f"{self._limit} instances of the engine are alive, and max_instances is {self._limit}")
        return slot
