"""Floor 3: machines, and which one this is."""

from __future__ import annotations

import os
from functools import cache

from figwasp.codegen.target import Target
from figwasp.errors import Unsupported


@cache
def host() -> Target:
    """Return the machine that this process runs on.

    Raises:
        Unsupported: there is no compiler for it.
    """
    machine = os.uname().machine if hasattr(os, "uname") else os.environ.get("PROCESSOR_ARCHITECTURE", "")
    if machine in ("x86_64", "AMD64"):
        from figwasp.codegen.isa.x64.target import TARGET  # of several machines only this one is loaded

        return TARGET
    raise Unsupported(f"no compiler for {machine or 'this machine'} yet (x86-64 is supported)")
