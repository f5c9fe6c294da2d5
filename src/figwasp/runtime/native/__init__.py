"""Floor 4: the native runtime, of which a process has one: its parts, and the owners of native blocks."""

from __future__ import annotations

from figwasp.runtime import platform as _  # noqa: F401  refuses platforms that cannot run compiled code, before ctypes is missed
