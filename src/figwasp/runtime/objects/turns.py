"""Floor 4: turns: sharing an event loop of asyncio between calls that compute for long and all else that runs in it.

In: calls that a tick has suspended, and calls that begin. Out: when each goes on. In a round of the loop that is at most one of
either kind, so the other tasks of the loop wait for two of them at most, however many there are. A call that begins goes ahead
unless others wait for their turn.
"""

from __future__ import annotations

import threading
import weakref

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from typing import Final

__all__ = ["Turns", "of_loop"]


class Turns:
    """The turns of one event loop. Each kind of call waits in the line of a lock, which its first holds until the next round.

    Attributes:
        loop: the loop.
    """

    __slots__ = ("_begin", "_go_on", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        import asyncio

        self._begin = asyncio.Lock()
        self._go_on = asyncio.Lock()
        self.loop = weakref.ref(loop)

    @property
    def wanted(self) -> bool:
        """Whether calls wait for their turn."""
        return self._go_on.locked()

    async def begin(self) -> None:
        """Wait until a call may begin."""
        if self.wanted:
            await _in_line(self._begin)

    async def go_on(self) -> None:
        """Wait until a call that has run for a tick may go on."""
        await _in_line(self._go_on)


async def _in_line(lock: asyncio.Lock) -> None:
    import asyncio

    async with lock:
        await asyncio.sleep(0)


class _ThreadTurns(threading.local):
    """The turns of the loop that gave turns last in a thread."""

    turns: Turns | None = None


_own: Final = _ThreadTurns()


def of_loop(loop: asyncio.AbstractEventLoop) -> Turns:
    """Return the turns of the event loop that runs in this thread."""
    turns = _own.turns
    if turns is None or turns.loop() is not loop:
        turns = _own.turns = Turns(loop)
    return turns
