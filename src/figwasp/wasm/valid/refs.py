"""Rules of references, casts, tables and copies whose row does not say everything (spec 3.4.4 to 3.4.10). Floor 1.

`valid/rules.py` says what a rule is.
"""

from __future__ import annotations

from figwasp.wasm.syntax.immediates import Immediate, number, pair
from figwasp.wasm.syntax.types import (
    ANYREF,
    EXTERNREF,
    FUNCREF,
    I31REF,
    I32,
    NON_NULL,
    concrete,
    type_name,
)
from figwasp.wasm.valid.immediates import smaller
from figwasp.wasm.valid.state import ANY, Checker, Mismatch
from figwasp.wasm.valid.subtyping import top_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["REFS"]


# References


def _ref_null(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    checker.stack.append(number(value))


def _ref_is_null(checker: Checker, _: Immediate, height: int, dead: bool) -> None:
    checker.pop_ref(height, dead)
    checker.stack.append(I32)


def _ref_as_non_null(checker: Checker, _: Immediate, height: int, dead: bool) -> None:
    checker.stack.append(checker.pop_ref(height, dead) | NON_NULL)


def _ref_func(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    index = number(value)
    if checker.index < 0:
        checker.declared.add(index)
    elif index not in checker.context.declared:
        raise Mismatch(f"undeclared function reference: {index}")
    typed = "function-references" in checker.module.features
    checker.stack.append(concrete(checker.module.func_types[index], nullable=False) if typed else FUNCREF)


def _ref_i31(checker: Checker, _: Immediate, height: int, dead: bool) -> None:
    checker.pop((I32,), height, dead)
    checker.stack.append(I31REF | NON_NULL)


def _any_convert_extern(checker: Checker, _: Immediate, height: int, dead: bool) -> None:
    _convert(checker, EXTERNREF, ANYREF, height, dead)


def _extern_convert_any(checker: Checker, _: Immediate, height: int, dead: bool) -> None:
    _convert(checker, ANYREF, EXTERNREF, height, dead)


def _convert(checker: Checker, source: int, target: int, height: int, dead: bool) -> None:
    """Exchange a reference of one hierarchy for one of another; it stays without null if it was."""
    code = checker.stack[-1] if len(checker.stack) > height + 1 else ANY
    checker.pop((source,), height, dead)
    checker.stack.append(target | (NON_NULL if code == ANY else code & NON_NULL))


def _pop_operand(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    """Take the operand of a cast or a test, and note its type, where that leaves something out."""
    top = top_of(number(value), checker.module.types)
    code = checker.stack[-1]
    checker.pop((top,), height, dead)
    if not dead and code != top:
        checker.facts.operands[checker.base + checker.at] = code


def _test(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    _pop_operand(checker, value, height, dead)
    checker.stack.append(I32)


def _cast(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    _pop_operand(checker, value, height, dead)
    checker.stack.append(number(value) | NON_NULL)


def _cast_null(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    _pop_operand(checker, value, height, dead)
    checker.stack.append(number(value))


# Tables and memories


def _table_get(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    table = checker.module.tables[number(value)]
    checker.pop((table.address,), height, dead)
    checker.stack.append(table.elem)


def _table_set(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    table = checker.module.tables[number(value)]
    checker.pop((table.address, table.elem), height, dead)


def _table_grow(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    table = checker.module.tables[number(value)]
    checker.pop((table.elem, table.address), height, dead)
    checker.stack.append(table.address)


def _table_fill(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    table = checker.module.tables[number(value)]
    checker.pop((table.address, table.elem, table.address), height, dead)


def _table_init(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    elem, table = pair(value)
    _may_hold(checker, checker.module.tables[table].elem, checker.module.elems[elem].type)


def _table_copy(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    first, second = pair(value)
    target = checker.module.tables[first]
    source = checker.module.tables[second]
    _may_hold(checker, target.elem, source.elem)
    checker.pop((target.address, source.address, smaller(target.address, source.address)), height, dead)


def _may_hold(checker: Checker, target: int, source: int) -> None:
    if not checker.types.matches(source, target):
        raise Mismatch(f"type mismatch: a table of {type_name(target)} cannot take {type_name(source)}")


def _memory_copy(checker: Checker, value: Immediate, height: int, dead: bool) -> None:
    first, second = pair(value)
    target = checker.module.memories[first].address
    source = checker.module.memories[second].address
    checker.pop((target, source, smaller(target, source)), height, dead)


REFS: Final = {
    "ref.null": _ref_null,
    "ref.is_null": _ref_is_null,
    "ref.as_non_null": _ref_as_non_null,
    "ref.func": _ref_func,
    "ref.i31": _ref_i31,
    "ref.test": _test,
    "ref.test_null": _test,
    "ref.cast": _cast,
    "ref.cast_null": _cast_null,
    "any.convert_extern": _any_convert_extern,
    "extern.convert_any": _extern_convert_any,
    "table.get": _table_get,
    "table.set": _table_set,
    "table.grow": _table_grow,
    "table.fill": _table_fill,
    "table.init": _table_init,
    "table.copy": _table_copy,
    "memory.copy": _memory_copy,
}
