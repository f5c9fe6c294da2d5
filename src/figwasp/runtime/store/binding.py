"""Floor 4: binding a context to the thread that calls: with a stack of WebAssembly and the bounds of the native one.

In: a context by its address. Out: the context bound, and a stack that is not needed any more given back. `stubs.claim` has the
theory of when the thread may go on.
"""

from __future__ import annotations

import threading

from figwasp import layout
from figwasp.errors import BUSY, Busy
from figwasp.runtime.platform import cpython, linux
from figwasp.runtime.stubs.interface import CLAIM_BUSY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from figwasp.runtime.native.runtime import NativeRuntime

__all__ = ["bind", "busy", "is_running", "set_cleanup", "thread_of"]

_NATIVE_MARGIN: Final = 128 << 10


def bind(native: NativeRuntime, context: int, room: int, replace: bool, confirmed: bool) -> int:
    """Bind a context to the calling thread and give it a stack.

    Args:
        native: the native runtime.
        context: its address.
        room: bytes of the stack.
        replace: whether to replace a stack that is smaller.
        confirmed: whether the thread may enter the context; else that is to be confirmed.

    Returns:
        The size of the native stack, with which it is confirmed.

    Raises:
        Busy: another thread is running in it.
        LimitExceeded: no memory for a stack.
    """
    cpython.check_recursion()
    native.handler.check()
    native.ticker.start()
    lowest, size = linux.native_stack()
    limit, above = lowest + _NATIVE_MARGIN, max(size - _NATIVE_MARGIN, 1)  # 0 is for what is to be confirmed
    on_main = threading.current_thread() is threading.main_thread()
    present = native.stacks.size_of(linux.read_u64(context + layout.CTX_STACK_BASE))
    wanted = present == 0 or (present < room and replace)
    stack = native.stacks.take_stack(room) if wanted else 0
    unused = native.stubs.claim(context, stack, room if wanted else 0, limit, above if confirmed else 0, int(on_main))
    if unused != CLAIM_BUSY:
        if unused:
            native.stacks.give_back_stack(unused)
        return above
    if stack:
        native.stacks.give_back_stack(stack)
    raise busy(context)


def busy(*contexts: int) -> Busy:
    """Return the error for a thread that finds contexts in use."""
    if any(thread_of(context) == layout.HELD for context in contexts):
        return Busy("a call by acall has not ended, which takes turns with the event loop: await others by acall too")
    return Busy(BUSY)


def thread_of(context: int) -> int:
    """Return the thread that a context is bound to, by its state; or HELD, or 0."""
    return linux.read_u64(context + layout.CTX_THREAD_STATE)


def is_running(context: int) -> bool:
    """Return whether a call has entered a context and not left it."""
    return linux.read_u64(context + layout.CTX_DEPTH) != 0


def set_cleanup(context: int, wanted: bool) -> None:
    """Have the outermost entry of a context clean up when it leaves, or not."""
    # One byte: compiled code of another thread may be changing the flags beside it.
    linux.write_u8(context + layout.CTX_FLAGS + 1, wanted * (layout.FLAG_CLEANUP >> 8))
