"""Floor 6: the stub through which Python calls functions of a type, compiled as the runtime does, with every product kept.

In: a function type. Out: a `Compilation`. The stub is not installed, so what it refers to stands at made-up addresses.
"""

from __future__ import annotations

from time import perf_counter
from typing import Final

from figwasp.explain.products import Compilation, compile
from figwasp.explain.symbols import Symbols
from figwasp.ir import order
from figwasp.ir.types import ir_types
from figwasp.runtime.objects.values import numbers_only
from figwasp.runtime.platform import cpython, interpreter
from figwasp.runtime.platform.processor import machine
from figwasp.runtime.stubs import builder, enter
from figwasp.runtime.stubs.hooks import Hooks
from figwasp.wasm.syntax.types import FuncType

_NOWHERE: Final = 0x0F16_0000_0000_0000
"""As wide as an address, and such that nothing can stand there."""


def compile_entry(type: FuncType) -> Compilation:
    """Compile the stub for a type."""
    hooks = Hooks.__new__(Hooks)
    for number, name in enumerate(Hooks.__slots__):
        setattr(hooks, name, _NOWHERE + 16 * number)
    clock = perf_counter()
    if numbers_only(type.params) and numbers_only(type.results):
        func = enter.enter(ir_types(type.params), ir_types(type.results), hooks)
    else:
        func = enter.slow(hooks)
    order.run(func)
    seconds = perf_counter() - clock
    names = {getattr(hooks, name): f"hook_{name}" for name in hooks.__slots__}
    names |= {id(None): "Py_None", id(int): "PyLong_Type", id(float): "PyFloat_Type"}
    names |= {id(builder.MISMATCH): "mismatch", id(interpreter.SINGLETONS[0]): "small_ints"}
    return compile(func, machine(), Symbols(cpython.symbols | names), seconds)
