"""Floor 4: how memory accesses are made safe in this process. In: the environment, address space. Out: GUARD or CHECKED."""

from __future__ import annotations

import os as _os

from figwasp.layout import CHECKED, GUARD, PAGE_SIZE
from figwasp.runtime.platform import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["CHECKED", "GUARD", "GUARD_SIZE", "choose_mode"]

GUARD_SIZE: Final = (8 << 30) + PAGE_SIZE
"""Bytes that a 32-bit index and a 32-bit offset can reach, and the widest access at their end."""

_mode: int | None = None


def choose_mode() -> int:
    """Return the mode of this process: FIGWASP_MEMORY=guard|checked, else guard if address space allows at first use."""
    global _mode
    if _mode is None:
        _mode = _find_mode()
    return _mode


def _find_mode() -> int:
    wanted = _os.environ.get("FIGWASP_MEMORY", "")
    if wanted == "checked":
        return CHECKED
    try:
        linux.release(linux.reserve(GUARD_SIZE), GUARD_SIZE)
    except OSError:
        return CHECKED
    return GUARD
