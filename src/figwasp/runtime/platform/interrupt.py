"""Floor 4: the exception that Ctrl-C raises, for a process that is figwasp's own.

In: an exception. Out: nothing; from then on the main thread raises it where Python would raise KeyboardInterrupt.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from typing import NoReturn
else:
    import _signal  # what `signal` is made of: that module would have to be imported, with `enum`

__all__ = ["raise_on_interrupt"]


def raise_on_interrupt(error: BaseException) -> None:
    """Have Ctrl-C raise another exception, unless its handler is not Python's own: shells let background jobs ignore it."""
    if _signal.getsignal(_signal.SIGINT) is not _signal.default_int_handler:
        return

    def interrupt(_number: int, _frame: object) -> NoReturn:
        raise error

    _signal.signal(_signal.SIGINT, interrupt)
