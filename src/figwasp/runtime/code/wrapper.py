"""Floor 4: wrappers of functions that a listener listens to.

In: a function's type, index and code. Out: IR in the wasm convention. The wrapper stores its operands in a buffer in its own frame,
has the call reported (`store.listened`), calls the code, stores the results, and has them reported. So a tail call of a listened
function needs stack, as the wrapper is there until it returns.
"""

from __future__ import annotations

from figwasp.ir import ops
from figwasp.ir.func import CONV_WASM, Call
from figwasp.ir.types import CELL, I64, buffer_layout, ir_types
from figwasp.runtime.stubs.builder import Stub

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from figwasp.ir.func import Func, Value
    from figwasp.wasm.syntax.types import FuncType

__all__ = ["wrapper"]

_HEADER: Final = 32  # bytes before the operands in a wrapper's cells: function index, address of the operands, context


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
