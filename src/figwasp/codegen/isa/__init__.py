"""Floor 3: the machines, which of them this is, and what a row of an instruction table means for all of them."""

from __future__ import annotations

import os
from functools import cache

from figwasp.errors import Unsupported
from figwasp.lazy import imported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from figwasp.codegen.target import Target

__all__ = ["NAMES", "host", "host_or_any", "named"]

NAMES: Final = {"x86_64": "x64", "AMD64": "x64"}
"""A system's name of a machine -> the folder of its target."""


def named(name: str) -> Target:
    """Return the target in a folder; others are not loaded."""
    target: Target = imported(f"figwasp.codegen.isa.{name}.target").TARGET
    return target


@cache
def host() -> Target:
    """Return the machine that this process runs on.

    Raises:
        Unsupported: there is no compiler for it.
    """
    machine = os.uname().machine if hasattr(os, "uname") else os.environ.get("PROCESSOR_ARCHITECTURE", "")
    if machine not in NAMES:
        raise Unsupported(f"no compiler for {machine or 'this machine'} yet (x86-64 is supported)")
    return named(NAMES[machine])


def host_or_any() -> Target:
    """Return the machine of this process, or any where there is no compiler for that: enough to look at code."""
    try:
        return host()
    except Unsupported:
        return named(next(iter(NAMES.values())))
