"""Floor 4: the native runtime of a process: executable memory, stacks, stubs, the fault handler, the ticker.

In: the Python callables that emitted code calls. Out: the parts, handed to everything that is made below an engine. All of it is
mapped raw and never released. `runtime.start` makes the only one.
"""

from __future__ import annotations

import os

from figwasp.cache.cache import resolved
from figwasp.runtime.native import kept_stubs, shipped_stubs
from figwasp.runtime.native.handler import FaultHandler
from figwasp.runtime.native.owner import Owners
from figwasp.runtime.native.ticker import Ticker
from figwasp.runtime.native.types import NativeTypes
from figwasp.runtime.platform import codespace, cpython, interpreter, linux
from figwasp.runtime.platform.stack import Stacks
from figwasp.runtime.platform.statics import Statics
from figwasp.runtime.stubs.library import StubLibrary
from figwasp.runtime.trap import deadline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from figwasp.runtime.code.ranges import CodeTable
    from figwasp.runtime.store.contexts import Contexts
    from figwasp.runtime.stubs.symbols import Callbacks

__all__ = ["NativeRuntime"]


class NativeRuntime:
    """The native part of the process.

    Attributes:
        table: the installed code by address.
        contexts: the store of each context.
        space: executable memory.
        stacks: contexts and wasm stacks.
        thread_key: of the words in which threads have their deadlines.
        statics: the words that emitted code refers to.
        stubs: the code between Python and WebAssembly.
        types: native types.
        owners: makes owners and releases native blocks.
        references: makes the conversion of references that travel in a store (`objects.func.References`).
        handler: takes faults at guard pages.
        ticker: interrupts compiled code.
    """

    __slots__ = (
        "_callbacks",
        "contexts",
        "handler",
        "owners",
        "references",
        "space",
        "stacks",
        "statics",
        "stubs",
        "table",
        "thread_key",
        "ticker",
        "types",
    )

    def __init__(
        self,
        table: CodeTable,
        contexts: Contexts,
        callbacks: Callbacks,
        forget_calls: Callable[[int], None],
        references: Callable[[Any], Any],
    ) -> None:
        """Make the native runtime.

        Args:
            table: in which `callbacks` find code; empty.
            contexts: in which they find stores; empty.
            callbacks: the Python callables that emitted code calls.
            forget_calls: called with a context whose calls will not go on.
            references: the attribute.

        Raises:
            Unsupported: this platform cannot run compiled code.
        """
        interpreter.require()
        self._callbacks = callbacks  # which emitted code refers to
        self.table = table
        self.contexts = contexts
        self.references = references
        statics = self.statics = Statics()
        self.space = codespace.Space()
        self.thread_key = linux.thread_key()
        shipped, kept = shipped_stubs.look_up(), kept_stubs.look_up(resolved(None))
        self.stubs = StubLibrary(self.space, table, statics, callbacks, self.thread_key, shipped, kept)
        self.stacks = Stacks(statics, self._strip, forget_calls)
        deadline.follow(statics.interrupts, self.stubs.interrupted)
        self.types = NativeTypes(self.stubs)
        self.owners = Owners(self.stubs, self.types, statics)
        self.handler = FaultHandler(self.stubs, statics)
        self.ticker = Ticker(self.stubs, statics)
        os.register_at_fork(after_in_child=self._after_fork)

    def _strip(self, context: int) -> int:
        cpython.check_recursion()
        return self.stubs.strip(context)

    def _after_fork(self) -> None:
        self.stacks.disown_idle()
        self.ticker.restart()
