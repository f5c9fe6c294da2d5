"""Floor 4: the builtins that are IR: bulk operations on memories, on tables, and the cells that these count."""

from __future__ import annotations

from figwasp.runtime import platform as _  # noqa: F401  refuses platforms that cannot run compiled code, before ctypes is missed
