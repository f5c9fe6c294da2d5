"""Floor 6: the code of the baseline compiler for a function, with the instructions that each part of it is for.

In: a module, the settings that it is compiled with, and a function. Out: a product: the code, or in words why there is none. A run
of instructions has code of its own, headed by what they are in the wasm text; what has no code stands with what comes next.
"""

from __future__ import annotations

from time import perf_counter
from typing import Final

from figwasp.codegen.baseline.compiler import Baseline
from figwasp.codegen.baseline.template import NoTemplate
from figwasp.codegen.baseline.trace import Trace
from figwasp.codegen.emit import Origin
from figwasp.codegen.isa import host
from figwasp.codegen.mach import NONE
from figwasp.errors import Unsupported
from figwasp.explain import listing
from figwasp.explain.products import CodeProduct, Line, Product
from figwasp.ir.layouts import layout_of
from figwasp.wasm.syntax.module import Module
from figwasp.wasm.valid.state import FuncFacts

NAME: Final = "baseline"
_FRAME: Final = -2
"""The part of the code that makes the frame. The others have the numbers of their runs, or NONE for what is out of line."""


def compile_baseline(
    module: Module, index: int, facts: FuncFacts, rows: list[Line], mode: int, *, metered: bool, counted: bool
) -> Product:
    """Compile a defined function by the baseline compiler.

    Args:
        module: the module.
        index: of the function.
        facts: of the function.
        rows: the lines of its wasm text.
        mode: GUARD or CHECKED memory.
        metered: whether the code counts fuel.
        counted: whether it counts how often it runs.

    Returns:
        A `CodeProduct`; or a `Product`, if this compiler makes no code of the function or there is none for this machine.
    """
    try:
        baseline = Baseline(module, layout_of(module), mode, metered=metered, counted=counted)
        trace = baseline.trace(index, facts)
    except NoTemplate as reason:
        return without_code(f"the optimising compiler makes its code at once: there is no template for {reason}")
    except Unsupported as reason:
        return without_code(str(reason))
    clock = perf_counter()
    code = baseline.take(index, facts)
    seconds = perf_counter() - clock
    assert code is not None
    code.traps, code.positions = trace.notes.traps, trace.notes.positions
    headings = _headings(trace, rows)
    return CodeProduct(NAME, code, host(), _origins(trace, code.text_size), seconds, headings.__getitem__)


def without_code(reason: str) -> Product:
    """Return what stands in the place of the code where there is none."""
    return Product(NAME, f"(none: {reason})\n")


def _origins(trace: Trace, end: int) -> list[Origin]:
    """Return the parts of code whose instructions end at an offset."""
    origins = [Origin(0, _FRAME, 0)]
    origins += [Origin(offset, number, begin) for number, (offset, begin, _) in enumerate(trace.runs)]
    origins += [Origin(offset, NONE, pos) for offset, pos in trace.sites]
    origins.append(Origin(end - len(host().filler), NONE, 0))
    return origins


def _headings(trace: Trace, rows: list[Line]) -> dict[int, str]:
    """Return what stands above the code of each part: the lines of the wasm text since the part before."""
    headings = {NONE: listing.heading(NONE)}
    starts = [start for start, _, _ in trace.runs] + [trace.sites[0][0]]
    shown = 0
    for number, end in enumerate([trace.runs[0][1], *[end for _, _, end in trace.runs]], -1):
        if number < 0 or starts[number] < starts[number + 1]:
            lines = [f"(;{at:06x};) {text}" for at, text in rows if shown <= at < end]
            headings[_FRAME if number < 0 else number] = "\n".join(lines)
            shown = end
    return headings
