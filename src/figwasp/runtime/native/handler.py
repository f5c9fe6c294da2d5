"""Floor 4: the handler of faults at guard pages: emitted code that takes those of compiled code and passes every other on.

In: where compiled code, contexts and the way out of wasm are. Out: a SIGSEGV handler in force, in front of whatever was there.
"""

from __future__ import annotations

from figwasp.codegen.sequences import FaultPlaces
from figwasp.errors import TRAP_OUT_OF_BOUNDS_MEMORY
from figwasp.runtime.platform import codespace, linux
from figwasp.runtime.platform.stack import Stacks
from figwasp.runtime.platform.statics import Statics
from figwasp.runtime.stubs.library import StubLibrary

__all__ = ["FaultHandler"]


class FaultHandler:
    """The handler; making it installs it."""

    __slots__ = ("_address", "_statics")

    def __init__(self, stubs: StubLibrary, space: codespace.Space, stacks: Stacks, statics: Statics) -> None:
        self._statics = statics
        p = FaultPlaces()
        p.code_start = space.start
        p.code_size = codespace.RANGE_SIZE
        p.contexts_start = stacks.contexts
        p.contexts_size = stacks.contexts_size
        p.previous = statics.previous_handler
        p.back = stubs.unwind
        p.default_action = statics.default_action
        p.program_counter, p.stack_pointer, p.context_register = linux.SAVED_REGISTERS
        p.fault_address = linux.SIGINFO_ADDRESS
        p.sys_sigaction = linux.SYS_RT_SIGACTION
        self._address = stubs.put(stubs.sequences.fault_handler(p, TRAP_OUT_OF_BOUNDS_MEMORY))
        linux.write(statics.our_action, linux.handler_action(self._address))
        self.check()
        linux.write_u64(statics.handler, self._address)

    def check(self) -> None:
        """Put the handler in front of one that was installed after it."""
        present = linux.segv_handler()
        if present != self._address:
            linux.write_u64(self._statics.previous_handler, present)
            linux.install_segv_handler(self._statics.our_action)
