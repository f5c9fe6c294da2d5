"""Floor 4: what the instances of an engine may use: budgets of memory and table elements, and slots for instances.

In: the limits of a configuration. Out: answers whether there is still room. What is given back when an instance goes may be given
back at any moment, in any thread, between any two instructions.
"""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable

from figwasp.errors import LimitExceeded

__all__ = ["Budget", "InstanceSlots"]


class Budget:
    """How much of something an instance may have, all its memories or tables together.

    Attributes:
        limit: the most.
        used: how much it has.
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
        self._lock = threading.RLock()  # a signal handler may grow what is growing

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

    def begin(self, amount: int, what: str) -> None:
        """Use what an instance begins with.

        Raises:
            LimitExceeded: that is too much.
        """
        if not self.take(amount):
            raise LimitExceeded(f"the instance needs {self.used + amount} {what} at least, and {self._name} is {self.limit}")


def budget(limit: int | None, name: str) -> Budget | None:
    """Return a budget when there is a limit."""
    return None if limit is None else Budget(limit, name)


class Slot:
    """Room for an instance, as long as somebody has it."""

    __slots__ = ("__weakref__",)


class InstanceSlots:
    """Room for live instances."""

    __slots__ = ("_limit", "_taken")

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._taken: dict[weakref.ref[Slot], None] = {}  # each removes itself when its slot goes

    def take(self, reap: Callable[[], None]) -> Slot | None:
        """Take one, which is free again when nobody has it any more; None where there is no limit.

        Args:
            reap: releases what belongs to instances that have gone.

        Raises:
            LimitExceeded: there is none.
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
