"""Floor 4: the exception that Ctrl-C raises, for a process that is figwasp's own.

In: an exception. Out: nothing; from then on the main thread raises it where Python would raise KeyboardInterrupt.
"""

from __future__ import annotations

import signal
from typing import NoReturn

__all__ = ["raise_on_interrupt"]


def raise_on_interrupt(error: BaseException) -> None:
    """Have Ctrl-C raise another exception, unless its handler is not Python's own: shells let background jobs ignore it."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return

    def interrupt(_number: int, _frame: object) -> NoReturn:
        raise error

    signal.signal(signal.SIGINT, interrupt)
