"""Rules of control, parametric and variable instructions whose row does not say everything (spec 3.4.1 to 3.4.3). Floor 1.

`valid/rules.py` says what a rule is. Blocks and what closes or divides them are the loop's own, except for their immediates.
"""

from __future__ import annotations

from figwasp.errors import Malformed
from figwasp.wasm.syntax.immediates import CATCH_ALL_REF, CATCH_REF, Immediate, block_and_clauses, number, numbers, pair
from figwasp.wasm.syntax.types import (
    EXNREF,
    FUNCREF,
    I32,
    NON_NULL,
    NUM_TYPES,
    V128,
    FuncType,
    Types,
    concrete,
    is_ref,
    type_name,
    type_names,
)
from figwasp.wasm.valid.state import ANY, ANY_REF, Checker, Mismatch, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["CONTROL", "close_with_delegate", "read_catch", "enter_try_table", "tag_params"]

_TRY: Final = 0x06
_CATCH: Final = 0x07
_CATCH_ALL: Final = 0x19
_NO_TYPES: Final[Types] = ()


# Branches


def _br_table(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    indices = numbers(value)
    labels = checker.labels
    checker.pop((I32,), height, dead)
    # By identity: blocks of one type share its sequence, and hashing a long one costs as much as comparing it.
    wanted: dict[int, Types] = {}
    default = _NO_TYPES
    for index in indices if len(indices) < 8 else [*set(indices), indices[-1]]:
        default = labels[-1 - index]
        wanted[id(default)] = default
    for types in wanted.values():
        if len(types) != len(default):
            raise Mismatch(f"type mismatch: labels take {show(types)} and {show(default)}")
        checker.fits(types, height, dead)


def _br_on_null(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    label = checker.labels[-1 - number(value)]
    code = checker.pop_ref(height, dead)
    checker.pop(label, height, dead)
    checker.push(label)
    checker.stack.append(code | NON_NULL)


def _br_on_non_null(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    label = checker.labels[-1 - number(value)]
    last = _last_ref(label)
    checker.pop((*label[:-1], last & ~NON_NULL), height, dead)
    checker.push(label[:-1])


def _br_on_cast(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    label, source, target = _cast(checker, value)
    _branch_with(checker, label, target)
    checker.pop((*label[:-1], source), height, dead)
    checker.push(label[:-1])
    checker.stack.append(_rest(source, target))


def _br_on_cast_fail(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    label, source, target = _cast(checker, value)
    _branch_with(checker, label, _rest(source, target))
    checker.pop((*label[:-1], source), height, dead)
    checker.push(label[:-1])
    checker.stack.append(target)


def _cast(checker: Checker, value: Immediate) -> tuple[Types, int, int]:
    index, source, target = numbers(value)
    if not checker.types.matches(target, source):
        raise Mismatch(f"type mismatch: {type_name(target)} does not match {type_name(source)}, which it is cast from")
    return checker.labels[-1 - index], source, target


def _branch_with(checker: Checker, label: Types, code: int) -> None:
    if not checker.types.matches(code, _last_ref(label)):
        raise Mismatch(f"type mismatch: the label takes {show(label)}, the branch brings {type_name(code)}")


def _last_ref(label: Types) -> int:
    if not label or not is_ref(label[-1]):
        raise Mismatch(f"type mismatch: expected a label that takes a reference, found {show(label)}")
    return label[-1]


def _rest(source: int, target: int) -> int:
    """Return what is left of a type after a cast has failed: no null where the cast lets null pass."""
    return source if target & NON_NULL else source | NON_NULL


def _return(checker: Checker, _: Immediate, height: int, dead: bool) -> None:
    checker.pop(checker.labels[0], height, dead)


# Calls


def _enter(checker: Checker, type_: FuncType, height: int, dead: bool) -> None:
    checker.pop(type_.params, height, dead)
    checker.push(type_.results)


def _leave(checker: Checker, type_: FuncType, height: int, dead: bool) -> None:
    """Check a tail call: its results must match those of the function."""
    if not checker.sequence_matches(type_.results, checker.labels[0]):
        found = f"{type_names(type_.results)} from the callee"
        raise Mismatch(f"type mismatch: expected {type_names(checker.labels[0])} to return, found {found}")
    checker.pop(type_.params, height, dead)


def _table_callee(checker: Checker, value: Immediate, height: int, dead: bool) -> FuncType:
    type_, index = pair(value)
    table = checker.module.tables[index]
    if not checker.types.matches(table.elem, FUNCREF):
        raise Mismatch(f"type mismatch: expected a table of funcref, found {table}")
    signature = checker.signature(type_)
    checker.pop((table.address,), height, dead)
    return signature


def _ref_callee(checker: Checker, value: Immediate, height: int, dead: bool) -> FuncType:
    signature = checker.signature(number(value))
    code = checker.stack[-1]
    checker.pop((concrete(number(value), nullable=True),), height, dead)
    if not dead and code & NON_NULL:
        checker.facts.operands[checker.base + checker.at] = code
    return signature


def _call_indirect(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    _enter(checker, _table_callee(checker, value, height, dead), height, dead)


def _call_ref(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    _enter(checker, _ref_callee(checker, value, height, dead), height, dead)


def _return_call(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    checker.facts.callees.append(number(value))
    _leave(checker, checker.context.callees[number(value)], height, dead)


def _return_call_indirect(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    _leave(checker, _table_callee(checker, value, height, dead), height, dead)


def _return_call_ref(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    _leave(checker, _ref_callee(checker, value, height, dead), height, dead)


# Exceptions


def tag_params(checker: Checker, index: int) -> Types:
    """Return the types of what exceptions with a tag carry."""
    return checker.context.tag_params[index]


def _throw(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    checker.pop(tag_params(checker, number(value)), height, dead)


def _throw_ref(checker: Checker, _: Immediate, height: int, dead: bool) -> None:
    checker.pop((EXNREF,), height, dead)


def _rethrow(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    index = number(value)
    opened = checker.outer[-index][0] if index else checker.block_op
    if opened != _CATCH and opened != _CATCH_ALL:
        raise Mismatch(f"invalid rethrow label {index}: no catch")


def enter_try_table(checker: Checker, value: Immediate) -> None:
    """Check the clauses of a `try_table`, which lie outside of it (spec 3.4.1)."""
    for kind, tag, label in block_and_clauses(value)[1]:
        brings = tag_params(checker, tag) if kind <= CATCH_REF else _NO_TYPES
        if kind == CATCH_REF or kind == CATCH_ALL_REF:
            brings = (*brings, EXNREF | NON_NULL)
        takes = checker.labels[-1 - label]
        if not checker.sequence_matches(brings, takes):
            raise Mismatch(f"type mismatch: label {label} takes {show(takes)}, the clause brings {show(brings)}")


def read_catch(checker: Checker, op: int, pos: int) -> tuple[Types, int]:
    """Read `catch` or `catch_all` of legacy exceptions; return what it puts on the stack and the position after it."""
    if checker.block_op != _TRY and checker.block_op != _CATCH:
        raise Malformed(f"unexpected {'catch' if op == _CATCH else 'catch_all'}", checker.base + pos - 1)
    if op == _CATCH_ALL:
        return (), pos
    tag, pos = checker.read_u32(pos)
    if tag >= len(checker.module.tags):
        raise Mismatch(f"unknown tag {tag}")
    return tag_params(checker, tag), pos


def close_with_delegate(checker: Checker, pos: int) -> int:
    """Read the label of a `delegate`, which closes a `try` without catches, and return the position after it."""
    if checker.block_op != _TRY:
        raise Malformed("unexpected delegate", checker.base + pos - 1)
    label, pos = checker.read_u32(pos)
    if label >= len(checker.labels) - 1:
        raise Mismatch(f"unknown label {label}")
    return pos


# Parametric and variable instructions


def _drop(checker: Checker, _: Immediate, height: int, dead: bool) -> None:
    checker.pop_one(height, dead)


def _select(checker: Checker, _: Immediate, height: int, dead: bool) -> None:
    checker.pop((I32,), height, dead)
    second = checker.pop_one(height, dead)
    first = checker.pop_one(height, dead)
    for code in (first, second):
        if code not in NUM_TYPES and code != V128 and code != ANY:
            raise Mismatch(f"type mismatch: select without a type cannot choose {'ref' if code == ANY_REF else type_name(code)}")
    if first != second and first != ANY and second != ANY:
        raise Mismatch(f"type mismatch: expected two operands of one type, found {show((first, second))}")
    checker.stack.append(first or second)


def _select_t(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    types = numbers(value)
    if len(types) != 1:
        raise Mismatch(f"invalid result arity: {len(types)} types")
    code = types[0]
    checker.pop((code, code, I32), height, dead)
    checker.stack.append(code)


def _global_get(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    checker.stack.append(checker.module.globals[number(value)].type)


def _global_set(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    type_ = checker.module.globals[number(value)]
    if not type_.mutable:
        raise Mismatch(f"immutable global {number(value)}")
    checker.pop((type_.type,), height, dead)


def _nothing(checker: Checker, _: Immediate, height: int, dead: bool) -> None:
    pass


CONTROL: Final = {
    "unreachable": _nothing,
    "br_table": _br_table,
    "br_on_null": _br_on_null,
    "br_on_non_null": _br_on_non_null,
    "br_on_cast": _br_on_cast,
    "br_on_cast_fail": _br_on_cast_fail,
    "return": _return,
    "call_indirect": _call_indirect,
    "call_ref": _call_ref,
    "return_call": _return_call,
    "return_call_indirect": _return_call_indirect,
    "return_call_ref": _return_call_ref,
    "throw": _throw,
    "throw_ref": _throw_ref,
    "rethrow": _rethrow,
    "drop": _drop,
    "select": _select,
    "select_t": _select_t,
    "global.get": _global_get,
    "global.set": _global_set,
}
