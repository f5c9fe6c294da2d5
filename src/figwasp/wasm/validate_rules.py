"""Rules of the instructions whose row in the table does not say everything (spec 3.3). Floor 1.

Each rule gets the checker, the decoded immediates, whose indices are known to exist, and the block's height and
reachability as `Checker.pop` wants them. It takes operands and adds results for a row of type "*"; for any other row the
operands have been exchanged before, and it checks what remains. A row without a rule is an error at import.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from figwasp.wasm import opcodes
from figwasp.wasm.immediates import Immediate
from figwasp.wasm.types import FUNCREF, I32, REF_TYPES, type_name
from figwasp.wasm.validate_state import ANY, Checker, Mismatch, show

__all__ = ["RULES", "Rule"]

_I32: Final = bytes((I32,))


def _br_table(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    assert isinstance(value, tuple)
    labels = checker.labels
    indices = set(value)
    if max(indices) >= len(labels):
        raise Mismatch(f"unknown label {max(indices)}")
    checker.pop(_I32, height, dead)
    default = labels[-1 - value[-1]]
    wanted = {labels[-1 - index]: None for index in indices}
    for types in wanted:
        if len(types) != len(default):
            raise Mismatch(f"type mismatch: labels take {show(types)} and {show(default)}")
    for types in wanted:
        checker.fits(types, height, dead)


def _return(checker: Checker, _: Immediate, height: int, dead: bool) -> None:
    checker.pop(checker.labels[0], height, dead)


def _call_indirect(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    assert isinstance(value, tuple)
    if checker.module.tables[value[1]].elem != FUNCREF:
        raise Mismatch(f"type mismatch: expected a table of funcref, found {checker.module.tables[value[1]]}")
    type_ = checker.module.types[value[0]]
    checker.facts.has_calls = True
    checker.pop(_I32, height, dead)
    checker.pop(type_.params, height, dead)
    checker.stack += type_.results
    checker.check_height()


def _drop(checker: Checker, _: Immediate, height: int, dead: bool) -> None:
    checker.pop_one(height, dead)


def _select(checker: Checker, _: Immediate, height: int, dead: bool) -> None:
    checker.pop(_I32, height, dead)
    second = checker.pop_one(height, dead)
    first = checker.pop_one(height, dead)
    for type_ in (first, second):
        if type_ in REF_TYPES:
            raise Mismatch(f"type mismatch: select without a type cannot choose {type_name(type_)}")
    if first != second and first != ANY and second != ANY:
        raise Mismatch(f"type mismatch: expected two operands of one type, found {show(bytes((first, second)))}")
    checker.stack.append(first or second)


def _select_t(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    assert isinstance(value, bytes)
    if len(value) != 1:
        raise Mismatch(f"invalid result arity: {len(value)} types")
    checker.pop(value + value + _I32, height, dead)
    checker.stack += value


def _global_set(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    assert isinstance(value, int)
    type_ = checker.module.globals[value]
    if not type_.mutable:
        raise Mismatch(f"global is immutable: {value}")
    checker.pop(bytes((type_.type,)), height, dead)


def _ref_null(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    assert isinstance(value, int)
    checker.stack.append(value)


def _ref_is_null(checker: Checker, _: Immediate, height: int, dead: bool) -> None:
    type_ = checker.pop_one(height, dead)
    if type_ != ANY and type_ not in REF_TYPES:
        raise Mismatch(f"type mismatch: expected a reference, found {type_name(type_)}")
    checker.stack.append(I32)


def _ref_func(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    assert isinstance(value, int)
    if checker.module.declared is None or value not in checker.module.declared:
        raise Mismatch(f"undeclared function reference: {value}")


def _table_access(checker: Checker, value: Immediate) -> bytes:
    assert isinstance(value, int)
    return bytes((checker.module.tables[value].elem,))


def _table_get(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    checker.pop(_I32, height, dead)
    checker.stack += _table_access(checker, value)


def _table_set(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    checker.pop(_I32 + _table_access(checker, value), height, dead)


def _table_grow(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    checker.pop(_table_access(checker, value) + _I32, height, dead)
    checker.stack.append(I32)


def _table_fill(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    checker.pop(_I32 + _table_access(checker, value) + _I32, height, dead)


def _table_init(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    assert isinstance(value, tuple)
    _same_elem(checker.module.tables[value[1]].elem, checker.module.elems[value[0]].type)


def _table_copy(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    assert isinstance(value, tuple)
    _same_elem(checker.module.tables[value[0]].elem, checker.module.tables[value[1]].elem)


def _same_elem(target: int, source: int) -> None:
    if target != source:
        raise Mismatch(f"type mismatch: a table of {type_name(target)} cannot take {type_name(source)}")


Rule = Callable[[Checker, Immediate, int, bool], None]
RULES: Final[dict[str, Rule]] = {
    "br_table": _br_table,
    "return": _return,
    "call_indirect": _call_indirect,
    "drop": _drop,
    "select": _select,
    "select_t": _select_t,
    "global.set": _global_set,
    "ref.null": _ref_null,
    "ref.is_null": _ref_is_null,
    "ref.func": _ref_func,
    "table.get": _table_get,
    "table.set": _table_set,
    "table.grow": _table_grow,
    "table.fill": _table_fill,
    "table.init": _table_init,
    "table.copy": _table_copy,
}
"""What a row's type does not say."""

_IN_LOOP: Final = frozenset(
    "unreachable block loop if else end br br_if call local.get local.set local.tee global.get".split()
)
for _row in opcodes.ROWS:
    if _row.params is None and _row.name not in RULES and _row.name not in _IN_LOOP:
        raise ValueError(f"no rule for {_row.name}")
