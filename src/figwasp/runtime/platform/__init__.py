"""Floor 4: the operating system and the Python interpreter: memory, stacks, executable code, object layouts.

An interpreter or a system that this version cannot run on is refused here, before anything is imported that may be missing
there: so whatever runs a module cannot be imported, and all else works. docs/decisions/018 has what stands in the way.
"""

from __future__ import annotations

import os
import struct
import sys

from figwasp.errors import Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["check"]

_WORKS: Final = "reading, validating, printing and explaining modules works here"
"""What every refusal ends with."""


def check() -> None:
    """Refuse a platform that this version cannot run on.

    Raises:
        Unsupported: not 64-bit x86 Linux, or an interpreter other than the main one of a CPython with the GIL and ctypes.
    """
    if missing := _missing_of_the_system() or _missing_of_the_interpreter():
        raise Unsupported(f"running WebAssembly needs {missing}; {_WORKS}")


def _missing_of_the_system() -> str:
    """Return what is needed and what there is instead; nothing when all is well."""
    if sys.implementation.name != "cpython":
        return f"CPython, this is {sys.implementation.name}: use CPython 3.11 or later for it"
    machine = os.uname().machine if hasattr(os, "uname") else "this machine"
    if sys.platform != "linux" or machine != "x86_64" or struct.calcsize("P") != 8:
        return f"Linux on x86-64 as yet, this is {sys.platform} on {machine}"
    gil_enabled = getattr(sys, "_is_gil_enabled", None)
    # With the GIL switched on objects of the free-threaded build differ as well.
    if "t" in getattr(sys, "abiflags", "") or (gil_enabled is not None and not gil_enabled()):
        usual = "python{}.{}".format(*sys.version_info)
        instead = f"use {usual} instead of {usual}t (PYTHON_GIL=1 does not help)"
        return f"CPython with the GIL as yet, this is the free-threaded build: {instead}"
    return ""


def _missing_of_the_interpreter() -> str:
    """Return what this process's Python is missing; nothing when all is well."""
    try:
        import ctypes
        import faulthandler  # noqa: F401
    except ImportError as error:
        # In subinterpreters with a GIL of their own CPython 3.12 has no ctypes, and CPython 3.15 no faulthandler.
        return f"ctypes and faulthandler, and an interpreter has not both (use the main one if it is a subinterpreter): {error}"
    state = ctypes.PYFUNCTYPE(ctypes.c_void_p)(("PyInterpreterState_Get", ctypes.pythonapi))
    number = ctypes.PYFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)(("PyInterpreterState_GetID", ctypes.pythonapi))
    if number(state()) != 0:
        return "the main interpreter as yet, this is a subinterpreter: use a thread of the main one, or a process"
    return ""


check()
