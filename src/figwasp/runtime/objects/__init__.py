"""Floor 4: what a running program consists of: instances, functions, memories, tables, globals, stores (spec 4.2)."""

from __future__ import annotations

from figwasp.runtime import platform as _  # noqa: F401  refuses platforms that cannot run compiled code, before ctypes is missed
