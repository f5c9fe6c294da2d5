"""Floor 5: functions. `Func` is native and made below; this is where users find it."""

from __future__ import annotations

from figwasp.runtime.func import Func

__all__ = ["Func"]
