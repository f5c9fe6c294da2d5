"""Calls (spec 4.4.10). Floor 2.

A call inside the module is direct. An imported function is reached through its FuncRef, which tells code and instance; so
is what a table holds, after the checks that the spec asks for. The code pointer of a FuncRef changes when the function gets
compiled, its instance does not.
"""

from __future__ import annotations

from typing import Final

from figwasp import errors, layout
from figwasp.ir import ops
from figwasp.ir.build.base import Builder, Method, ir_types
from figwasp.ir.build.casts import compared
from figwasp.ir.build.refs import element
from figwasp.ir.func import Call, Value
from figwasp.wasm.syntax.types import FuncType

__all__ = ["METHODS"]


def _call(b: Builder, op: int, callee: list[Value], type: FuncType, target: int = -1) -> None:
    """Append a call with its operands from the stack, and push its results.

    Raises:
        LimitExceeded: a row of calls that each take and give a thousand values is two bytes and two thousand values a call.
    """
    b.call_values -= len(type.params) + len(type.results)
    if b.call_values < 0:
        raise errors.LimitExceeded(f"function {b.func.index} passes values in calls out of all proportion to its size")
    params = ir_types(type.params)
    results = ir_types(type.results)
    args = callee + b.pop(len(params))
    b.close_run()
    call = b.emit_typed(op, results[0] if results else ops.VOID, args, Call(params, results, target))
    if results:
        b.stack.append(call)
        for number in range(1, len(results)):
            b.stack.append(b.emit_typed(ops.RESULT, results[number], [call], number))
    b.open_run()


def _call_reference(b: Builder, reference: Value, type: FuncType) -> None:
    """Append a call through a FuncRef."""
    code = b.load(reference, layout.FUNCREF_CODE, ops.REGION_TABLE)
    instance = b.load_const(reference, layout.FUNCREF_INSTANCE)
    _call(b, ops.CALL_PTR, [code, instance], type)


def _build_call(b: Builder, pos: int) -> int:
    index, pos = b.unsigned(pos)
    type = b.module.func_type(index)
    if index < b.module.num_imported_funcs:
        _call_reference(b, b.load_const(b.instance, b.layout.imported_func(index)), type)
    else:
        _call(b, ops.CALL, [b.instance], type, index)
    return pos


def _build_call_indirect(b: Builder, pos: int) -> int:
    index, pos = b.unsigned(pos)
    table, pos = b.unsigned(pos)
    reference = element(b, table, b.stack.pop(), errors.TRAP_UNDEFINED_ELEMENT)
    b.trap_if(b.emit(ops.I64_EQZ, [reference]), errors.TRAP_UNINITIALIZED_ELEMENT)
    actual = b.emit(ops.I32_LOAD, [reference], ops.memory_aux(layout.FUNCREF_TYPE, ops.REGION_CONST))
    b.trap_if(b.emit(ops.I32_NE, compared(b, actual, index)), errors.TRAP_INDIRECT_CALL_TYPE_MISMATCH)
    _call_reference(b, reference, b.module.signature(index))
    return pos


def _build_call_ref(b: Builder, pos: int) -> int:
    index, pos = b.unsigned(pos)
    reference = b.stack.pop()
    if b.pos not in b.operands:  # which are those that are not null
        b.trap_if(b.emit(ops.I64_EQZ, [reference]), errors.TRAP_NULL_FUNCTION_REFERENCE)
    _call_reference(b, reference, b.module.signature(index))
    return pos


METHODS: Final[dict[str, Method]] = {
    "call": _build_call,
    "call_indirect": _build_call_indirect,
    "call_ref": _build_call_ref,
}
