"""Floor 6: the stub through which Python calls functions of a type, compiled as the runtime does, with every product kept.

In: a function type. Out: a `Compilation`. The stub is not installed: what it refers to has no address.
"""

from __future__ import annotations

from time import perf_counter

from figwasp.explain.products import Compilation, compile
from figwasp.ir import order
from figwasp.ir.types import ir_types
from figwasp.runtime.objects.values import numbers_only
from figwasp.runtime.platform.processor import machine
from figwasp.runtime.stubs import enter
from figwasp.wasm.syntax.types import FuncType


def compile_entry(type: FuncType) -> Compilation:
    """Compile the stub for a type."""
    clock = perf_counter()
    if numbers_only(type.params) and numbers_only(type.results):
        func = enter.enter(ir_types(type.params), ir_types(type.results))
    else:
        func = enter.slow()
    order.run(func)
    return compile(func, machine(), perf_counter() - clock)
