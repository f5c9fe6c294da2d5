"""Floor 4: from a function of a module to code in place: compiling on first call, ahead, and under a listener."""

from __future__ import annotations

from figwasp.runtime import platform as _  # noqa: F401  refuses platforms that cannot run compiled code, before ctypes is missed
