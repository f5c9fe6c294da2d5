"""Floor 5: how long the running call may go on: for host functions that take long or wait for something.

A host function is Python, and nothing ends it from outside. A host function that computes for long calls `check` now and then;
one that waits for descriptors of the host calls `wait`.
"""

from __future__ import annotations

from figwasp.runtime.trap.deadline import check
from figwasp.runtime.trap.waits import wait

__all__ = ["check", "wait"]
