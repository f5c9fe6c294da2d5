"""Floor 4: what a process has once: the parts of the native runtime, and who owns native blocks."""

from __future__ import annotations

from figwasp.runtime import platform as _  # noqa: F401  refuses platforms that cannot run compiled code, before ctypes is missed
