"""Floor 4: Python callables that are told which instance calls them.

In: a callable, and a maker of its first argument from an instance. Out: for every instance that imports it, a callable with that
argument in place. Neither the argument nor anything else here may own the instance, since the instance owns them.
"""

from __future__ import annotations

import functools
import weakref

from figwasp import layout
from figwasp.runtime.platform import cpython, linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from figwasp.runtime.native.owner import Owner
    from figwasp.runtime.objects.instance import InstanceState

__all__ = ["WithCaller", "owner_of"]


class WithCaller:
    """A callable to be given the instance that calls it as the first argument.

    Attributes:
        function: the callable.
        make: makes the first argument from a reference to the instance's state.
    """

    __slots__ = ("function", "make")

    def __init__(self, function: Callable[..., Any], make: Callable[[weakref.ref[InstanceState]], object]) -> None:
        self.function = function
        self.make = make

    def bind(self, state: InstanceState) -> Callable[..., Any]:
        """Return the callable for one instance."""
        return functools.partial(self.function, self.make(weakref.ref(state)))

    def __call__(self, *_args: object) -> Any:
        """Refuse: a `WithCaller` is called only after an instance has bound it."""
        raise TypeError("no instance is calling")


def owner_of(state: InstanceState | None) -> Owner:
    """Return the owner of an instance.

    Raises:
        ReferenceError: the instance has gone.
    """
    if state is None or not state.block or not linux.read_u64(linux.read_u64(state.block + layout.INST_STATE)):
        raise ReferenceError("the instance this belongs to has been collected")
    owner: Owner = cpython.object_at(state.block + layout.INST_OWNER)
    return owner
