"""Floor 4: the handler of faults at guard pages: emitted code that takes those of compiled code and passes every other on.

In: the addresses of compiled code, contexts and the way out of wasm. Out: a SIGSEGV handler in force, in front of all others.

Theory of operation. Code that installs a handler may keep the one before it, to restore it or to pass faults on to it; so the
handler that one of ours passes faults on to must not change once ours has been in force. There are several, alike but for that.
When a foreign handler is found in front, the one of ours that passes on to it is put before it, or one that has not been used.
Ticks look (`stubs.ticks.tick`), and so does every function of Python that installs or removes a handler, at its end: their C
functions are replaced by ones that call them and look.
"""

from __future__ import annotations

import ctypes
import faulthandler
from types import BuiltinFunctionType

from figwasp.codegen.sequences import FaultPlaces
from figwasp.errors import TRAP_OUT_OF_BOUNDS_MEMORY
from figwasp.runtime.platform import codespace, interpreter, linux
from figwasp.runtime.stubs.interface import FAULT_HANDLERS, UNUSED, FaultFront

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

    from figwasp.runtime.platform.stack import Stacks
    from figwasp.runtime.platform.statics import Statics
    from figwasp.runtime.stubs.library import StubLibrary

__all__ = ["FaultHandler"]

_FRONT: Final = ctypes.PYFUNCTYPE(ctypes.c_uint64)


class FaultHandler:
    """The fault handlers; making them installs one.

    Attributes:
        check: puts one of them in front of one that was installed after it.
    """

    __slots__ = ("check",)

    def __init__(self, stubs: StubLibrary, space: codespace.Space, stacks: Stacks, statics: Statics) -> None:
        from figwasp.runtime.stubs.faults import followed, keep_in_front

        p = FaultPlaces()
        p.code_start = space.start
        p.code_size = codespace.RANGE_SIZE
        p.contexts_start = stacks.contexts
        p.contexts_size = stacks.contexts_size
        p.back = stubs.returned
        p.default_action = statics.default_action
        p.program_counter, p.stack_pointer, p.context_register = linux.SAVED_REGISTERS
        p.fault_address = linux.SIGINFO_ADDRESS
        p.sys_sigaction = linux.SYS_RT_SIGACTION
        _make_handlers(stubs, p, statics)
        front = FaultFront(statics.handler, statics.previous_handler, statics.our_action, statics.present_action)
        keep = stubs.compile(keep_in_front(front))
        linux.write_u64(statics.handler + 16, keep)
        self.check: Callable[[], int] = _FRONT(keep)
        self.check()
        for function in _installers():
            place = interpreter.method_place(function)
            if place:
                linux.write_u64(place, stubs.compile(followed(linux.read_u64(place), keep)))


def _make_handlers(stubs: StubLibrary, p: FaultPlaces, statics: Statics) -> None:
    """Make all handlers, one after the other, and the addresses that `keep_in_front` needs."""
    data = b""
    sizes = []
    for k in range(FAULT_HANDLERS):
        p.previous = statics.previous_handler + 8 * k
        linux.write_u64(p.previous, UNUSED)
        made = stubs.sequences.fault_handler(p, TRAP_OUT_OF_BOUNDS_MEMORY)
        sizes.append(len(made))
        data += made
    start = address = stubs.put(data)
    for k, size in enumerate(sizes):
        linux.write(statics.our_action + linux.ACTION_SIZE * k, linux.handler_action(address))
        address += size
    linux.write_u64(statics.handler, start)
    linux.write_u64(statics.handler + 8, len(data))


def _installers() -> list[BuiltinFunctionType]:
    """Return the functions of Python that install or remove handlers of SIGSEGV."""
    found: list[Any] = [faulthandler.enable, faulthandler.disable, linux.c_signal.signal, linux.c_signal.siginterrupt]
    return [function for function in found if type(function) is BuiltinFunctionType]
