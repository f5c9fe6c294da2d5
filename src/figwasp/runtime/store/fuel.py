"""Floor 4: fuel: what metered code may still execute, of a store as a whole.

In: the contexts of a store, each of which holds a part. Out: more for the chain that has run out, or nothing, which traps. Compiled
code takes fuel from the context it runs on and asks here when less than nothing is left; the other contexts' parts and the
embedder's supply are moved there then. `ir.build.control` has the cost of code.
"""

from __future__ import annotations

from figwasp import layout
from figwasp.runtime import arguments
from figwasp.runtime.arguments import MAX_FUEL
from figwasp.runtime.once import together
from figwasp.runtime.platform import cpython, linux
from figwasp.runtime.trap import deadline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final, Protocol

    from figwasp.runtime.once import Once
    from figwasp.runtime.stubs.library import StubLibrary

    class FuelContexts(Protocol):
        """The part of a store that fuel needs."""

        @property
        def context(self) -> int:
            """The context that stays."""

        @property
        def contexts(self) -> list[int]:
            """All contexts of the store."""

        @property
        def fuel(self) -> Fuel:
            """The fuel of the store."""

_WORD: Final = 1 << 64


class Fuel:
    """The fuel of a store, which lies in its contexts.

    Attributes:
        ask: called without arguments when the fuel is used up; returns how much more there is, None or 0 for nothing.
    """

    __slots__ = ("_asking", "_stubs", "ask")

    def __init__(self, stubs: StubLibrary) -> None:
        self._stubs = stubs
        self._asking = False
        self.ask: Callable[[], Any] | None = None

    def get(self, store: FuelContexts) -> int:
        """Return the amount of fuel."""
        return max(_total(store), 0)

    def set(self, store: FuelContexts, amount: int) -> None:
        """Set the amount of fuel."""
        _hold(store, amount, store.context)

    def add(self, store: FuelContexts, amount: int) -> None:
        """Add an amount of fuel."""
        _putting(store.context, _part(store.context) + amount)()

    def move(self, context: int, to: int) -> None:
        """Take back the part of a context that is not to be used any more."""
        if linux.read_u64(context + layout.CTX_FUEL):
            cpython.check_recursion()
            self._stubs.move_fuel(context, to)

    def refill(self, store: FuelContexts, context: int) -> bool:
        """Refill a context whose part is less than nothing; return whether it can go on.

        Raises:
            BaseException: the embedder's function raised it; or TypeError, ValueError for the value that it returned.
        """
        rest = _total(store)
        while rest < 0:
            deadline.check()
            _hold(store, 0, context)
            given = self._ask() + max(_total(store), 0)
            if given == 0:
                return False
            rest += given
        _hold(store, rest, context)
        return True

    def _ask(self) -> int:
        """Ask the embedder, unless it is doing so already."""
        if self.ask is None or self._asking:
            return 0
        self._asking = True
        try:
            answer = self.ask()
        finally:
            self._asking = False
        return 0 if answer is None else arguments.fuel(answer, "what on_out_of_fuel returns")


def _total(store: FuelContexts) -> int:
    return sum(map(_part, store.contexts))


def _hold(store: FuelContexts, amount: int, context: int) -> None:
    """Move all fuel to one context."""
    together(*[_putting(other, 0) for other in store.contexts], _putting(context, amount))


def _part(context: int) -> int:
    amount = linux.read_u64(context + layout.CTX_FUEL)
    return amount - _WORD if amount > MAX_FUEL else amount


def _putting(context: int, amount: int) -> Once:
    return linux.writing(context + layout.CTX_FUEL, (min(amount, MAX_FUEL) % _WORD).to_bytes(8, "little"))
