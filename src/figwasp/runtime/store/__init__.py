"""Floor 4: stores (spec 4.2.3): chains of calls and what belongs to them."""

from __future__ import annotations

from figwasp.runtime import platform as _  # noqa: F401  refuses platforms that cannot run compiled code, before ctypes is missed
