"""Floor 5: functions. `Func` is native and made below; this is where users find it."""

from __future__ import annotations

from figwasp.runtime.objects.func import Func

__all__ = ["Func"]
