"""Floor 4: closing an instance: its functions cannot be entered any more, and calls that are running go on to their end.

Theory of operation. Whoever calls a function of an instance from outside its own code, be it Python, another instance or a table,
goes through the function's FuncRef. Closing leads all FuncRefs of the instance back to the lazy entries that stood there
before anything was compiled; these ask Python for the code (`builtins.compile_on_call`), which for a closed instance asks `check`.
Calls cost nothing more than before.
"""

from __future__ import annotations

from array import array

from figwasp import layout
from figwasp.errors import Closed, printable
from figwasp.locks import new_lock
from figwasp.runtime.platform import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from figwasp.runtime.objects.instance import InstanceState

__all__ = ["check", "close"]

_closing: Final = new_lock()  # a signal handler may close what is being closed
_WORDS: Final = layout.FUNCREF_SIZE // 8


def close(state: InstanceState) -> None:
    """Close an instance. Closing it again does nothing, or finishes what an exception has interrupted."""
    with _closing:
        if state.is_closed:
            return
        code = state.code
        native = code.native
        if state.closed is None:
            state.closed = native.owners.make(0)
        # It stays pinned until the chain that is running now, if there is one, has ended.
        store = state.store.current
        if store.under_way:
            store.pin(state.closed)
        code.remove_user(state)
        first, count = code.module.num_imported_funcs, len(code.module.bodies)
        if count:
            start = state.block + code.layout.funcref(first)
            words = array("Q", linux.read(start, layout.FUNCREF_SIZE * count))
            words[layout.FUNCREF_CODE // 8 :: _WORDS] = code.entries.of(first, count)
            linux.write(start, words.tobytes())
        state.is_closed = True


def check(state: InstanceState, context: int) -> None:
    """Make sure that a function of a closed instance may be entered: by wasm, in the chain that was running when it was closed.

    A tail call of the function that Python has called looks as if Python had made it, unless it comes from another instance.

    Args:
        state: the instance.
        context: of the chain, suspended in the lazy entry.

    Raises:
        Closed: the function may not be entered.
    """
    assert state.closed is not None
    if state.store.is_pinned(state.closed):
        # Where `to_native` left the wasm stack; the lazy entry's frame is on top of it.
        pointer = linux.read_u64(context + layout.CTX_WASM_SP)
        stubs = state.code.native.stubs
        if linux.read_u64(pointer + stubs.sequences.lazy_return) != stubs.returned:
            return
    raise Closed(f"the instance {printable(state.code.module.name or '')} has been closed".replace("  ", " "))
