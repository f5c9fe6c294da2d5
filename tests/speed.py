"""How much processor time work takes, measured so that slow and busy machines say the same: against other work done beside it."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from typing import Final

BRIEF: Final = 0.5
"""Seconds of which nobody asks how many turns they are: no Python does a hundred million meanwhile."""

TURN: Final = 0.03
"""Seconds that a million turns take on CPython, on a machine of 2026."""


def spent(work: Callable[[], object]) -> float:
    """Return the processor seconds that this process takes for something."""
    start = time.process_time()
    work()
    return time.process_time() - start


def _loop() -> None:
    for _ in range(1_000_000):
        pass


def turns(seconds: float) -> float:
    """Return how many million turns an empty loop takes in so much processor time, now; where it is compiled to nothing, on CPython."""
    if sys.implementation.name != "cpython":
        return seconds / TURN
    return seconds / max(spent(_loop), spent(_loop))


def exceeds(seconds: float, most: float) -> bool:
    """Say whether so much processor time is more than so many million turns of an empty loop; what is brief is not measured."""
    return seconds > BRIEF and turns(seconds) > most


def growth(make: Callable[[int], Callable[[], object]], less: int, more: int) -> float:
    """Return how many times as long as the smaller of two pieces of work the larger takes; best of three, lest a pause count.

    Args:
        make: prepares work of a size.
        less: the smaller size.
        more: the larger one.
    """
    gc.collect()
    gc.disable()  # what a collection takes depends on what other tests have left
    try:
        small, large = (min(spent(make(size)) for _ in range(3)) for size in (less, more))
    finally:
        gc.enable()
    return large / small
