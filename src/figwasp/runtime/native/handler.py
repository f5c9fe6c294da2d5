"""Floor 4: the handler of faults at guard pages: emitted code that takes those of compiled code and passes every other on.

In: the stubs. Out: a SIGSEGV handler in force, in front of all others.

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

from figwasp.runtime.platform import interpreter, linux
from figwasp.runtime.stubs.interface import FAULT_HANDLERS, UNUSED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

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

    def __init__(self, stubs: StubLibrary, statics: Statics) -> None:
        _make_handlers(stubs, statics)
        keep = stubs.stub("keep_in_front")
        linux.write_u64(statics.handler + 16, keep)
        self.check: Callable[[], int] = _FRONT(keep)
        self.check()
        for number, function in enumerate(_installers()):
            place = interpreter.method_place(function)
            if place:
                stubs.symbols.define(f"method.{number}", linux.read_u64(place))
                linux.write_u64(place, stubs.stub(f"followed:{number}"))


def _make_handlers(stubs: StubLibrary, statics: Statics) -> None:
    """Make all handlers, one after the other, and the addresses that `keep_in_front` needs."""
    start, entries = stubs.sequence("fault_handlers")
    for number in range(FAULT_HANDLERS):
        linux.write_u64(statics.previous_handler + 8 * number, UNUSED)
        action = linux.handler_action(start + entries[f"{number}"])
        linux.write(statics.our_action + linux.ACTION_SIZE * number, action)
    linux.write_u64(statics.handler, start)
    linux.write_u64(statics.handler + 8, entries["end"])


def _installers() -> list[BuiltinFunctionType]:
    """Return the functions of Python that install or remove handlers of SIGSEGV."""
    found: list[Any] = [faulthandler.enable, faulthandler.disable, linux.c_signal.signal, linux.c_signal.siginterrupt]
    return [function for function in found if type(function) is BuiltinFunctionType]
