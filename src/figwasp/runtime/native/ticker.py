"""Floor 4: the thread that interrupts compiled code every few milliseconds: emitted code that knows nothing of Python.

In: the contexts. Out: their stack limits raised at each tick, which the next stack check in compiled code notices. The thread
sleeps when nothing has run for some ticks, until a tick's slow path wakes it.
"""

from __future__ import annotations

from figwasp.codegen.sequences import TickerPlaces
from figwasp.runtime.platform import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from figwasp.runtime.platform.stack import Stacks
    from figwasp.runtime.platform.statics import Statics
    from figwasp.runtime.stubs.library import StubLibrary

__all__ = ["TICK_NS", "Ticker"]

TICK_NS: Final = 5_000_000
_IDLE_ROUNDS: Final = 10


class Ticker:
    """The thread, started when wasm is first entered."""

    __slots__ = ("_address", "_stacks", "_statics", "_stubs")

    def __init__(self, stubs: StubLibrary, stacks: Stacks, statics: Statics) -> None:
        self._stubs = stubs
        self._stacks = stacks
        self._statics = statics
        self._address = 0

    def start(self) -> None:
        """Start the thread unless it runs."""
        if self._address:
            return
        s = self._statics
        linux.write_u64(s.interval, 0)
        linux.write_u64(s.interval + 8, TICK_NS)
        p = TickerPlaces()
        p.contexts = self._stacks.contexts
        p.used = self._stacks.used
        p.parked = s.parked
        p.interval = s.interval
        p.idle_rounds = _IDLE_ROUNDS
        p.sys_futex, p.sys_nanosleep = linux.SYS_FUTEX, linux.SYS_NANOSLEEP
        address = self._stubs.put(self._stubs.sequences.ticker(p))
        linux.start_thread(address, 0)
        self._address = address

    def restart(self) -> None:
        """Start the thread again in a forked child, if it ran in the parent."""
        if self._address:
            linux.write_u64(self._statics.parked, 0)
            linux.start_thread(self._address, 0)
