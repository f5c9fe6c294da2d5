"""Floor 4: changes that must happen once, in whichever thread, however often they are begun.

In: calls of functions that are written in C. Out: one call that makes them all. CPython handles signals, pending calls and other
threads' turns between instructions of Python code; no such code runs inside that call, so nothing comes between.

A change that has to be repeatable is written as: prepare, which may be done again and again; then everything that may happen only
once, and the record that it has happened, `together`.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from operator import call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from functools import cached_property as Lazily
    from typing import Any, Final, TypeVar

    _T = TypeVar("_T")

    Once = Callable[[], object]
    """A function written in C, with its arguments (`functools.partial`)."""

    Release = Callable[[], Sequence[Once]]
    """Prepares the release of something, as often as it is called, and returns what remains to be done once.

    The first call is one of a ctypes function: near the limit of recursion it fails if any of the others would, before them all.
    """

__all__ = ["Lazily", "Once", "Release", "exhaust", "move_all", "step", "together"]

exhaust: Final[Callable[[Any], None]] = deque(maxlen=0).extend
"""Exhausts an iterator."""


def step(*calls: Once) -> Once:
    """Return a call of C functions, one after the other, to be made once: right after a look at what must hold then."""
    return partial(exhaust, map(call, calls))


if not TYPE_CHECKING:

    class Lazily:
        """An attribute that is computed when it is first read, the same for all readers, without a lock.

        The lock of `functools.cached_property` of CPython 3.11 would stay locked in a process forked while another thread has it.
        """

        def __init__(self, make: Callable[[Any], object]) -> None:
            self._make = make
            self.__doc__ = make.__doc__

        def __get__(self, owner: Any, _: type) -> object:
            return vars(owner).setdefault(self._make.__name__, self._make(owner))


def together(*calls: Once) -> None:
    """Make calls of C functions, one after the other, with nothing between."""
    exhaust(map(call, calls))


def move_all(source: list[_T], target: list[_T]) -> None:
    """Move the items of one list to the end of another."""
    together(partial(target.extend, source), source.clear)
