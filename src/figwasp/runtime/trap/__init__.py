"""Floor 4: how calls end early: traps, their backtraces, deadlines."""

from __future__ import annotations

from figwasp.runtime import platform as _  # noqa: F401  refuses platforms that cannot run compiled code, before ctypes is missed
