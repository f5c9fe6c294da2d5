"""Floor 0: locks that a forked child finds free.

In: nothing. Out: locks that one thread may take several times over, as a signal handler or a finalizer comes in between.

Theory of operation. A process may be forked while another thread holds a lock, and that thread does not exist in the child: there
the lock would stay taken for good. So the child makes each one free that its only thread does not hold. What such a lock guards
must be sound wherever its holder is stopped, which an exception may do as well.
"""

from __future__ import annotations

import _thread
import os
import weakref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

__all__ = ["is_mine", "new_lock"]

_locks: Final[dict[weakref.ref[_thread.RLock], None]] = {}
"""The locks there are. Each removes itself when it goes."""


def new_lock() -> _thread.RLock:
    """Return a new lock."""
    lock = _thread.RLock()
    _locks[weakref.ref(lock, _locks.pop)] = None
    return lock


def is_mine(lock: Any) -> bool:
    """Return whether this thread holds a lock."""
    return bool(lock._is_owned())  # these two are how `threading` itself gets on after a fork


def _after_fork() -> None:
    """Make the locks free that other threads of the parent held."""
    for found in list(_locks):
        lock: Any = found()
        if lock is not None and not is_mine(lock):
            lock._at_fork_reinit()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
