"""Floor 3: the compiler's line from an IR function to code: passes, selection, allocation, frame, bytes."""

from __future__ import annotations

from figwasp.codegen import frame
from figwasp.codegen.code import Code
from figwasp.codegen.emit import Origin, emit
from figwasp.codegen.mach import MFunc
from figwasp.codegen.regalloc.allocate import allocate
from figwasp.codegen.target import Target
from figwasp.ir import pipeline
from figwasp.ir.func import Func


class Trace:
    """Is handed every product of the line as it is made. Later stages change or consume it, so it is to be read at once."""

    __slots__ = ()

    def improved(self, name: str, func: Func) -> None:
        """Look at the form after the pass `name`."""

    def selected(self, func: MFunc) -> None:
        """Look at the machine instructions over virtual registers."""

    def allocated(self, func: MFunc) -> None:
        """Look at the machine instructions over physical registers."""

    def framed(self, func: MFunc) -> None:
        """Look at the function whose frame is laid out."""

    def emitted(self, code: Code, origins: list[Origin]) -> None:
        """Look at the code, and at what each piece of it comes from."""


def compile(func: Func, target: Target, trace: Trace | None = None) -> Code:
    """Compile a function in SSA form. The function is consumed."""
    pipeline.run(func, None if trace is None else trace.improved)
    machine = target.select(func)
    func.release()
    if trace is not None:
        trace.selected(machine)
    allocate(machine, target)
    if trace is not None:
        trace.allocated(machine)
    frame.finish(machine, target)
    if trace is None:
        return target.emit(machine)
    trace.framed(machine)
    origins: list[Origin] = []
    code = emit(machine, target, origins)
    trace.emitted(code, origins)
    return code
