"""Floor 4: function listeners: methods called before and after the calls of chosen functions, and when such a call is given up.

In: the listener of an engine, asked once per function when that is compiled. Out: for a function that it listens to, the
address of a wrapper that goes into the function's cell and FuncRefs in place of its code. Other functions are as they would be
without a listener.

The wrapper (wasm convention) stores its operands in a buffer in its own frame, has the call reported
(`store.listened`), calls the code, stores the results, and has them reported. So a tail call of a listened function needs stack, as
the wrapper is there until it returns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from figwasp.codegen.abi import buffer_layout
from figwasp.errors import printable
from figwasp.ir import ops
from figwasp.ir.build.base import ir_types
from figwasp.ir.func import CONV_WASM, Call, Func, Value
from figwasp.ir.types import CELL, I64
from figwasp.runtime.stubs.builder import Stub
from figwasp.wasm.syntax.types import FuncType

if TYPE_CHECKING:
    from figwasp.wasm.syntax.module import Module

__all__ = ["FuncInfo", "Listened", "Listener", "Listeners", "ask", "wrapper"]

_HEADER: Final = 32  # bytes before the operands in a wrapper's cells: function index, address of the operands, context


class FuncInfo:
    """A function, described to a listener.

    Attributes:
        module: name of its module, or "".
        index: its index in the module, imported functions counted.
        name: its name: from the name section, an export, or "func[INDEX]".
        type: its type: `params` and `results`.
    """

    __slots__ = ("index", "module", "name", "type")

    def __init__(self, module: str, index: int, name: str, type: FuncType) -> None:
        self.module = module
        self.index = index
        self.name = name
        self.type = type

    def __repr__(self) -> str:
        return f"<function {printable(self.module) or '<module>'}!{printable(self.name)} {self.type}>"


Listener = Callable[[FuncInfo], object]
"""Called once per function of a module, when it is compiled; answers None, or an object with any of the methods

    before(func: FuncInfo, args: tuple, depth: int)
    after(func: FuncInfo, results: tuple, depth: int)
    abort(func: FuncInfo, error: BaseException | None, depth: int)

`depth` counts the listened calls of the same chain that are under way around it."""


class Listened:
    """A function with a listener.

    Attributes:
        info: the function as listeners see it.
        before, after, abort: the listener's methods, or None.
    """

    __slots__ = ("abort", "after", "before", "info")

    def __init__(self, info: FuncInfo, listener: object) -> None:
        self.info = info
        self.before: Callable[..., object] | None = getattr(listener, "before", None)
        self.after: Callable[..., object] | None = getattr(listener, "after", None)
        self.abort: Callable[..., object] | None = getattr(listener, "abort", None)


Listeners = dict[int, Listened | None]
"""The functions of a module that a listener has been asked about, by index; None: nobody listens."""

# Compiling


def ask(listener: Listener, module: Module, index: int, listeners: Listeners) -> bool:
    """Ask a listener about a function once, and keep the answer; return whether the function has a listener."""
    if index not in listeners:
        info = FuncInfo(module.name or "", index, module.func_name(index) or f"func[{index}]", module.func_type(index))
        answer = listener(info)
        listeners.setdefault(index, None if answer is None else Listened(info, answer))  # another thread may have been faster
    return listeners[index] is not None


def wrapper(type_: FuncType, index: int, code: int, report: int, listeners: tuple[int, int]) -> Func:
    """Build the wrapper of a function with a listener.

    Args:
        type_: type of the function.
        index: its index.
        code: address of its code.
        report: address of the native function that calls a Python function about an instance with three operands.
        listeners: PyObject* of the Python functions to be called before and after.
    """
    params, results = ir_types(type_.params), ir_types(type_.results)
    e = Stub(f"listen.{index}", bytes([I64]) + params, results, CONV_WASM)
    instance, *values = e.params
    context = e.emit(ops.CONTEXT, [])
    cells = e.emit(ops.FRAME_AREA, [], _HEADER + CELL * max(buffer_layout(params)[1], buffer_layout(results)[1]))
    e.put(e.word(index), cells, 0)
    e.put(e.emit(ops.I64_ADD, [cells, e.word(_HEADER)]), cells, 8)
    e.put(context, cells, 16)
    _report(e, values, cells, report, listeners[0])
    answers = _call(e, [e.word(code), instance, *values], Call(params, results))
    _report(e, answers, cells, report, listeners[1])
    e.ret(answers)
    return e.func


def _report(e: Stub, values: list[Value], cells: Value, report: int, function: int) -> None:
    """Report operands or results by a Python function; leave wasm when that raises."""
    e.store_values(values, cells, _HEADER)
    status = e.native(e.word(report), [e.params[0], cells, e.word(function), e.emit(ops.CONTEXT, [])])
    failed, done = e.new(), e.new()
    e.brif(e.emit(ops.I64_NE, [status, e.word(0)]), failed, done)
    e.at(failed)
    e.emit(ops.UNWIND, [])
    e.at(done)


def _call(e: Stub, operands: list[Value], call: Call) -> list[Value]:
    results = call.results
    first = e.emit(ops.CALL_PTR, operands, call, results[0] if results else ops.VOID)
    rest = [e.emit(ops.RESULT, [first], i, results[i]) for i in range(1, len(results))]
    return [first, *rest] if results else []
