"""Floor 4: the code between Python and WebAssembly, as IR."""

from __future__ import annotations

from figwasp.runtime import platform as _  # noqa: F401  refuses platforms that cannot run compiled code, before ctypes is missed
