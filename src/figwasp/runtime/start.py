"""Floor 4: the one native runtime of the process: where its parts and the Python functions that they call are put together.

All that is made below an engine gets the native runtime handed to it; only the objects that users begin with ask for it here.
"""

from __future__ import annotations

from figwasp.codegen.isa import host
from figwasp.errors import BUSY, Busy
from figwasp.lazy import importing
from figwasp.locks import is_mine, new_lock
from figwasp.runtime.code import collector
from figwasp.runtime.code.ranges import CodeTable
from figwasp.runtime.code.tiers import TierUp
from figwasp.runtime.native.runtime import NativeRuntime
from figwasp.runtime.objects.builtins import BUILTINS, compile_on_call
from figwasp.runtime.objects.exceptions import Bridge
from figwasp.runtime.objects.func import References, box_results
from figwasp.runtime.store import listened
from figwasp.runtime.store.contexts import Contexts
from figwasp.runtime.stubs.symbols import Callbacks
from figwasp.runtime.trap import tracebacks
from figwasp.runtime.trap.traps import TrapReporter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["native_runtime"]

_lock = new_lock()
_native: NativeRuntime | None = None


def native_runtime() -> NativeRuntime:
    """Return the native runtime, made on first use.

    Raises:
        Unsupported: this platform cannot run compiled code.
        Busy: it is just being made, and a signal handler or a finalizer has come in between.
    """
    global _native
    if _native is None:
        if is_mine(_lock):
            raise Busy("what runs modules is being made for the first time in this process, and is needed by what comes in between")
        with importing, _lock:  # so a fork waits
            if _native is None:
                _native = collector.without_collections(_make)  # looking for garbage took a third of the time
    return _native


def _make() -> NativeRuntime:
    table = CodeTable()
    contexts = Contexts()
    callbacks = Callbacks()
    bridge = Bridge(contexts, References)
    callbacks.explain_trap = TrapReporter(table, host(), bridge.take).explain
    callbacks.offer_exception = bridge.offer
    callbacks.finish_chain = contexts.finish_chain
    callbacks.refuse_cleared = _refuse_cleared
    callbacks.box_results = box_results
    callbacks.claim_chain = _claim_chain
    callbacks.refuse_busy = _refuse_busy
    callbacks.end_listened_calls = listened.abandon
    callbacks.trim_traceback = tracebacks.tidy
    callbacks.refuel = contexts.refuel
    callbacks.hot = TierUp(table).hot
    callbacks.grow_heap = contexts.grow_heap
    callbacks.compile = compile_on_call
    callbacks.before_call = listened.before
    callbacks.after_call = listened.after
    callbacks.builtins = BUILTINS
    return NativeRuntime(table, contexts, callbacks, listened.forget, References)


def _refuse_cleared(*_args: object) -> None:
    """Raise the error for an object that the cycle collector has already cleared."""
    raise ReferenceError("the instance this belongs to has been collected")


def _claim_chain(slow_path: Any) -> None:
    """Bind the chain of a function's store to the calling thread."""
    slow_path.store.claim()


def _refuse_busy() -> None:
    """Raise the error for a chain that another thread took between two steps."""
    raise Busy(BUSY)
