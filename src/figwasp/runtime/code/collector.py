"""Floor 4: the cycle collector, paused while something is compiled: it would look at every object, and find nothing.

The compiler makes many short-lived objects and no cycles that outlive it. Any thread may pause the collector; it goes on when the
last pause is over.

Theory of operation. `gc.disable` is the user's; a pause is a threshold that is never reached. Which pauses there are stands in a
dict, where each comes and goes in one step, and `_adjust` makes the threshold follow: if an interrupt or another thread in
between has left it wrong, the next pause puts it right. A threshold that somebody else has set meanwhile stays.
"""

from __future__ import annotations

import gc
import os
import threading

from figwasp.runtime.platform import cpython

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final, TypeVar

    _T = TypeVar("_T")

_NEVER: Final = 2**30 + 88_651  # objects; a number that nobody else would choose
_pauses: Final[dict[object, int]] = {}
"""Pauses in force -> the thread of each."""
_before: tuple[int, int, int] = gc.get_threshold()


def _adjust() -> None:
    """Have the threshold follow the pauses."""
    global _before
    while True:
        present = gc.get_threshold()
        paused = bool(_pauses)  # looked at once: another thread may begin or end one at any line
        if (present[0] == _NEVER) == paused:
            return
        if paused:
            _before = present
            gc.set_threshold(_NEVER, *present[1:])
        else:
            gc.set_threshold(*_before)


class _Pause:
    """A pause of the collector.

    Attributes:
        over: whether the pause has been ended, and the threshold follows.
    """

    __slots__ = ("over",)

    def __init__(self) -> None:
        self.over = False

    def begin(self) -> None:
        _pauses[self] = threading.get_ident()
        _adjust()

    def end(self) -> None:
        """End the pause; to be repeated when an exception strikes in here."""
        _pauses.pop(self, None)
        _adjust()
        self.over = True


def without_collections(work: Callable[..., _T], *args: Any) -> _T:
    """Call something during a pause of its own, which is over afterwards whatever strikes.

    Raises:
        RecursionError: the stack is nearly used up; there has been no pause.
    """
    cpython.check_recursion()  # what ends the pause has room then
    pause = _Pause()
    error: BaseException | None = None
    try:
        pause.begin()
        result = work(*args)
    except BaseException as raised:
        error = raised
    while not pause.over:
        try:
            pause.end()
        except RecursionError as raised:  # it would be one for ever; the next pause makes up for it
            error = raised
            break
        except BaseException as raised:
            error = raised
    if error is None:
        return result
    try:
        raise error
    finally:
        error = None


def age() -> None:
    """Make young objects old without a collection: the next collections leave them alone.

    Nothing is done when the user has frozen some, which would be unfrozen.
    """
    if not gc.get_freeze_count():
        gc.freeze()
        gc.unfreeze()


def _after_fork() -> None:
    """Go on in a forked child, where the other threads do not exist."""
    here = threading.get_ident()
    for pause, thread in list(_pauses.items()):
        if thread != here:
            del _pauses[pause]
    _adjust()

os.register_at_fork(after_in_child=_after_fork)
