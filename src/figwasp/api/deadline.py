"""Floor 5: how much time the running call has left: for host functions that wait for something.

A host function is Python, and nothing ends it from outside. One that may wait long asks here how long it may.
"""

from __future__ import annotations

import time

from figwasp.runtime.trap.deadline import check, due

__all__ = ["check", "due", "left"]


def left() -> float | None:
    """Return how many seconds the running calls of this thread have left, not less than 0; None for any number.

    Raises:
        Timeout: none.
    """
    end = due()
    if not end:
        return None
    check()
    return max(end - time.monotonic_ns(), 0) / 1e9
