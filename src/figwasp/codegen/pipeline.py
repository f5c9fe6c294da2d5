"""Floor 3: the compiler's line from an IR function to code: passes, selection, allocation, frame, bytes."""

from __future__ import annotations

from figwasp.codegen import frame
from figwasp.codegen.code import Code
from figwasp.codegen.regalloc import allocate
from figwasp.codegen.target import Target
from figwasp.ir import pipeline
from figwasp.ir.func import Func


def compile(func: Func, target: Target) -> Code:
    """Compile a function in SSA form. The function is consumed."""
    pipeline.run(func)
    machine = target.select(func)
    func.release()
    allocate(machine, target)
    frame.finish(machine, target)
    return target.emit(machine)
