"""Calls (spec 4.4.10). Floor 2.

A call inside the module is direct. An imported function is reached through its FuncRef, which tells code and instance; so
is what a table holds, after the checks that the spec asks for. The code pointer of a FuncRef changes when the function gets
compiled, its instance does not.

A tail call is the same call as the end of a block: it passes values, and nothing of the frame that it leaves but the address of the
results, which is the caller's.
"""

from __future__ import annotations

from typing import Final

from figwasp import errors, layout
from figwasp.ir import ops
from figwasp.ir.build.base import Builder, Edge, Method
from figwasp.ir.build.casts import compared
from figwasp.ir.build.control import unreachable_from
from figwasp.ir.build.refs import element
from figwasp.ir.func import Call, Value
from figwasp.ir.types import ir_types
from figwasp.wasm.syntax.types import FuncType

__all__ = ["METHODS", "call_in_scope", "table_element"]

_FEW_CLAUSES: Final = 8
_MANY_COST: Final = 8
"""What is caught around calls counts as arguments of their edges do; more than a few clauses, which only malice has, count more."""
_WITH_HANDLER: Final = {ops.CALL: ops.INVOKE, ops.CALL_PTR: ops.INVOKE_PTR, ops.CALL_BUILTIN: ops.INVOKE_BUILTIN}


def _call(b: Builder, op: int, callee: list[Value], type: FuncType, target: int = -1) -> None:
    """Append a call with its operands from the stack, and push its results."""
    args = callee + _operands(b, type)
    results = ir_types(type.results)
    b.close_run()
    info = Call(ir_types(type.params), results, target)
    call = call_in_scope(b, op, results[0] if results else ops.VOID, args, info)
    if results:
        b.stack.append(call)
        for number in range(1, len(results)):
            b.stack.append(b.emit_typed(ops.RESULT, results[number], [call], number))
    b.open_run()


def call_in_scope(b: Builder, op: int, type: int, args: list[Value], call: Call) -> Value:
    """Append a call, which gets a handler where something is caught, and go on behind it."""
    scope = b.scope
    if scope is None or not scope.catches:
        return b.emit_typed(op, type, args, call)
    caught = len(scope.catches)
    b.charge(caught if caught <= _FEW_CLAUSES else _MANY_COST * caught)
    call.catches = scope.catches
    value = b.emit_typed(_WITH_HANDLER[op], type, args, call)
    block, rest = b.block, b.func.new_block(b.depth)
    block.succs = [rest, rest]
    block.args = [[], []]
    scope.edges.append(Edge(block, [1], [], b.env.seal()))
    b.start(rest)
    return value


def _operands(b: Builder, type: FuncType) -> list[Value]:
    """Pop the operands of a call.

    Raises:
        LimitExceeded: a row of calls that each take and give a thousand values is two bytes and two thousand values a call.
    """
    b.call_values -= len(type.params) + len(type.results)
    if b.call_values < 0:
        raise errors.LimitExceeded(f"function {b.func.index} passes values in calls out of all proportion to its size")
    return b.pop(len(type.params))


def _callee(b: Builder, reference: Value) -> list[Value]:
    """Append the loads of what a FuncRef tells: code and instance."""
    code = b.load(reference, layout.FUNCREF_CODE, ops.REGION_TABLE)
    return [code, b.load_const(reference, layout.FUNCREF_INSTANCE)]


def _imported(b: Builder, index: int) -> list[Value]:
    """Append the loads of what the FuncRef of an imported function tells, its instance being in the block as well."""
    reference = b.load_const(b.instance, b.layout.imported_func(index))
    code = b.load(reference, layout.FUNCREF_CODE, ops.REGION_TABLE)
    return [code, b.load_const(b.instance, b.layout.imported_instance(index))]


def _call_reference(b: Builder, reference: Value, type: FuncType) -> None:
    """Append a call through a FuncRef."""
    _call(b, ops.CALL_PTR, _callee(b, reference), type)


def _build_call(b: Builder, pos: int) -> int:
    index, pos = b.unsigned(pos)
    type = b.module.func_type(index)
    if index < b.module.num_imported_funcs:
        _call(b, ops.CALL_PTR, _imported(b, index), type)
    else:
        _call(b, ops.CALL, [b.instance], type, index)
    return pos


def table_element(b: Builder, pos: int) -> tuple[Value, FuncType, int]:
    """Append the load and the checks of a function in a table; return its FuncRef, its type, and where the immediates end."""
    index, pos = b.unsigned(pos)
    table, pos = b.unsigned(pos)
    reference = element(b, table, b.stack.pop(), errors.TRAP_UNDEFINED_ELEMENT)
    b.trap_if(b.emit(ops.I64_EQZ, [reference]), errors.TRAP_UNINITIALIZED_ELEMENT)
    actual = b.emit(ops.I32_LOAD, [reference], ops.memory_aux(layout.FUNCREF_TYPE, ops.REGION_CONST))
    b.trap_if(b.emit(ops.I32_NE, compared(b, actual, index)), errors.TRAP_INDIRECT_CALL_TYPE_MISMATCH)
    return reference, b.module.signature(index), pos


def _build_call_indirect(b: Builder, pos: int) -> int:
    reference, type, pos = table_element(b, pos)
    _call_reference(b, reference, type)
    return pos


def _build_call_ref(b: Builder, pos: int) -> int:
    index, pos = b.unsigned(pos)
    reference = b.stack.pop()
    if b.pos not in b.operands:  # which are those that are not null
        b.trap_if(b.emit(ops.I64_EQZ, [reference]), errors.TRAP_NULL_FUNCTION_REFERENCE)
    _call_reference(b, reference, b.module.signature(index))
    return pos


# Tail calls


def _tail(b: Builder, op: int, callee: list[Value], type: FuncType, target: int = -1) -> None:
    """End the block with a tail call, with its operands from the stack."""
    args = callee + _operands(b, type)
    b.close_run()
    b.emit(op, args, Call(ir_types(type.params), ir_types(type.results), target))


def _tail_reference(b: Builder, reference: Value, type: FuncType) -> None:
    """End the block with a tail call through a FuncRef."""
    _tail(b, ops.TAIL_PTR, _callee(b, reference), type)


def _build_return_call(b: Builder, pos: int) -> int:
    index, pos = b.unsigned(pos)
    type = b.module.func_type(index)
    if index < b.module.num_imported_funcs:
        _tail(b, ops.TAIL_PTR, _imported(b, index), type)
    else:
        _tail(b, ops.TAIL, [b.instance], type, index)
    return unreachable_from(b, pos)


def _build_return_call_indirect(b: Builder, pos: int) -> int:
    reference, type, pos = table_element(b, pos)
    _tail_reference(b, reference, type)
    return unreachable_from(b, pos)


def _build_return_call_ref(b: Builder, pos: int) -> int:
    index, pos = b.unsigned(pos)
    reference = b.stack.pop()
    b.trap_if(b.emit(ops.I64_EQZ, [reference]), errors.TRAP_NULL_FUNCTION_REFERENCE)
    _tail_reference(b, reference, b.module.signature(index))
    return unreachable_from(b, pos)

METHODS: Final[dict[str, Method]] = {
    "call": _build_call,
    "call_indirect": _build_call_indirect,
    "call_ref": _build_call_ref,
    "return_call": _build_return_call,
    "return_call_indirect": _build_return_call_indirect,
    "return_call_ref": _build_return_call_ref,
}
