"""Floor 4: the thread that interrupts compiled code every few milliseconds: emitted code that knows nothing of Python.

In: the contexts. Out: their stack limits raised at each tick, which the next stack check in compiled code notices. The thread
sleeps when nothing has run for some ticks, until a tick's slow path wakes it.
"""

from __future__ import annotations

from figwasp.runtime.platform import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from figwasp.runtime.platform.statics import Statics
    from figwasp.runtime.stubs.library import StubLibrary

__all__ = ["TICK_NS", "Ticker"]

TICK_NS: Final = 5_000_000


class Ticker:
    """The thread, started when wasm is first entered."""

    __slots__ = ("_address", "_statics", "_stubs")

    def __init__(self, stubs: StubLibrary, statics: Statics) -> None:
        self._stubs = stubs
        self._statics = statics
        self._address = 0

    def start(self) -> None:
        """Start the thread unless it runs."""
        if self._address:
            return
        s = self._statics
        linux.write_u64(s.interval, 0)
        linux.write_u64(s.interval + 8, TICK_NS)
        address = self._stubs.stub("ticker")
        linux.start_thread(address, 0)
        self._address = address

    def restart(self) -> None:
        """Start the thread again in a forked child, if it ran in the parent."""
        if self._address:
            linux.write_u64(self._statics.parked, 0)
            linux.start_thread(self._address, 0)
