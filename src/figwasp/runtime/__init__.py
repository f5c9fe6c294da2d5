"""Floor 4: memory, executable code, traps, instances. Without ctypes there is none of it, which is said here once."""

from __future__ import annotations

from figwasp.errors import Unsupported

try:
    import ctypes as _  # noqa: F401
except ImportError as error:
    # CPython 3.12 has none in subinterpreters with a GIL of their own.
    raise Unsupported(f"figwasp needs ctypes, which is not to be had in this interpreter (a subinterpreter?): {error}") from error
