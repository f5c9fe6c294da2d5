"""Floor 4: the cycle collector, paused while something is compiled or dismantled: it would look at every object, and find nothing.

The compiler makes many short-lived objects and no cycles that outlive it. Any thread may pause the collector; it is enabled again
when the last pause is over, if it was enabled when the first began.
"""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable
from typing import Any, TypeVar

_T = TypeVar("_T")

_lock = threading.Lock()
pauses = 0
"""How many are in force."""
_to_be_enabled = False


def pause() -> None:
    """Keep the collector from running until `resume`."""
    global pauses, _to_be_enabled
    with _lock:
        if gc.isenabled():
            gc.disable()
            _to_be_enabled = True
        pauses += 1


def resume() -> None:
    """End a pause."""
    global pauses, _to_be_enabled
    with _lock:
        pauses -= 1
        if not pauses and _to_be_enabled:
            _to_be_enabled = False
            gc.enable()


def without_collections(work: Callable[..., _T], *args: Any) -> _T:
    """Call something during a pause of its own."""
    pause()
    try:
        return work(*args)
    finally:
        resume()


def _after_fork() -> None:
    """Go on in a child, where the threads are no more."""
    global _lock, pauses, _to_be_enabled
    _lock = threading.Lock()
    pauses = 0
    if _to_be_enabled:
        _to_be_enabled = False
        gc.enable()


os.register_at_fork(after_in_child=_after_fork)
