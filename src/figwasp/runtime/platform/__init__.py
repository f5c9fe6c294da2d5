"""Floor 4: the operating system and the Python interpreter: memory, stacks, executable code, object layouts.

A platform that this version cannot run on is refused here, before anything is imported that may be missing there.
"""

from __future__ import annotations

import os
import struct
import sys

from figwasp.errors import Unsupported

__all__ = ["check"]


def check() -> None:
    """Refuse a platform that this version cannot run on.

    Raises:
        Unsupported: not 64-bit x86 Linux, or an interpreter other than CPython with the GIL and ctypes.
    """
    if sys.implementation.name != "cpython":
        raise Unsupported(f"running WebAssembly needs CPython, this is {sys.implementation.name}")
    machine = os.uname().machine if hasattr(os, "uname") else "this machine"
    if sys.platform != "linux" or machine != "x86_64" or struct.calcsize("P") != 8:
        raise Unsupported(f"running WebAssembly needs Linux on x86-64 as yet, this is {sys.platform} on {machine}")
    gil_enabled = getattr(sys, "_is_gil_enabled", None)
    # With the GIL switched on objects of the free-threaded build differ as well.
    if "t" in getattr(sys, "abiflags", "") or (gil_enabled is not None and not gil_enabled()):
        raise Unsupported("running WebAssembly needs CPython with the GIL as yet, this is the free-threaded build")
    try:
        import ctypes  # noqa: F401
        import faulthandler  # noqa: F401
    except ImportError as error:
        # In subinterpreters with a GIL of their own CPython 3.12 has no ctypes, and CPython 3.15 no faulthandler.
        reason = f"running WebAssembly needs a module that this interpreter has not (a subinterpreter?): {error}"
        raise Unsupported(reason) from error


check()
