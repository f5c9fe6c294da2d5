"""Stack effects: how many operands an instruction takes and how many results it leaves (spec 3.3). Floor 1.

Goes in: an instruction and the arities of the labels around it. Comes out: two counts, good enough to lay code out: an
instruction that the validator would refuse takes and leaves nothing. Types are not looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from figwasp.wasm.syntax.immediates import Immediate, number, numbers
from figwasp.wasm.syntax.module import Module
from figwasp.wasm.syntax.opcodes import BY_NAME, ROWS, Opcode
from figwasp.wasm.syntax.types import FuncType, StructType

__all__ = ["CLOSERS", "SEPARATORS", "OPENERS", "Effect", "block_effect", "effect"]

Effect = tuple[int, int]
"""How many operands are taken, how many results are left."""

NOTHING: Final[Effect] = (0, 0)

OPENERS: Final = frozenset(BY_NAME[name].code for name in ("block", "loop", "if", "try", "try_table"))
SEPARATORS: Final = frozenset(BY_NAME[name].code for name in ("else", "catch", "catch_all"))
CLOSERS: Final = frozenset(BY_NAME[name].code for name in ("end", "delegate"))
"""The instructions that open blocks, separate their arms, and close them."""

_FIXED: Final = """
unreachable 0 0             throw_ref 1 0               rethrow 0 0                 drop 1 0
ref.null 0 1                ref.is_null 1 1             ref.func 0 1                ref.as_non_null 1 1
ref.test 1 1                ref.test_null 1 1           ref.cast 1 1                ref.cast_null 1 1
any.convert_extern 1 1      extern.convert_any 1 1      ref.i31 1 1                 struct.new_default 0 1
struct.get 1 1              struct.get_s 1 1            struct.get_u 1 1            struct.set 2 0
array.new 2 1               array.new_default 1 1       array.new_data 2 1          array.new_elem 2 1
array.get 2 1               array.get_s 2 1             array.get_u 2 1             array.set 3 0
array.fill 4 0              array.copy 5 0              array.init_data 4 0         array.init_elem 4 0
select 3 1                  select_t 3 1                local.get 0 1               local.set 1 0
local.tee 1 1               global.get 0 1              global.set 1 0              table.get 1 1
table.set 2 0               table.copy 3 0              table.grow 2 1              table.fill 3 0
memory.copy 3 0
"""
"""Instructions that always take and leave as much but have no type in the instruction table."""

Finder = Callable[[Module, Immediate, list[int]], Effect]


def effect(module: Module, row: Opcode, immediate: Immediate, labels: list[int]) -> Effect:
    """Return how many operands an instruction takes and leaves.

    Args:
        module: where it stands.
        row: the instruction; none of those that open, divide or close a block.
        immediate: its immediate.
        labels: number of operands that a branch takes to each label around, the function's own first.
    """
    fixed = FIXED.get(row.code)
    return FINDERS[row.code](module, immediate, labels) if fixed is None else fixed


def block_effect(module: Module, block: int) -> Effect:
    """Return how many operands a block takes and leaves, by its block type."""
    if block < 0:
        return (0, 0) if block == ~0x40 else (0, 1)
    return _signature(module, block)


def _signature(module: Module, index: int) -> Effect:
    comp = module.types[index].comp if index < len(module.types) else None
    return (len(comp.params), len(comp.results)) if isinstance(comp, FuncType) else NOTHING


def _branch(labels: list[int], label: Immediate) -> int:
    depth = number(label)
    return labels[-1 - depth] if depth < len(labels) else 0


def _func(module: Module, immediate: Immediate) -> Effect:
    index = number(immediate)
    return _signature(module, module.func_types[index]) if index < len(module.func_types) else NOTHING


def _type(module: Module, index: Immediate) -> Effect:
    """Return the effect of calling a function of a type by a reference."""
    params, results = _signature(module, number(index))
    return params + 1, results


def _throw(module: Module, immediate: Immediate, labels: list[int]) -> Effect:
    index = number(immediate)
    return (_signature(module, module.tags[index])[0], 0) if index < len(module.tags) else NOTHING


def _struct_new(module: Module, immediate: Immediate, labels: list[int]) -> Effect:
    index = number(immediate)
    comp = module.types[index].comp if index < len(module.types) else None
    return (len(comp.fields) if isinstance(comp, StructType) else 0), 1


def _new_fixed(module: Module, immediate: Immediate, labels: list[int]) -> Effect:
    return numbers(immediate)[1], 1


def _conditional(module: Module, label: Immediate, labels: list[int]) -> Effect:
    arity = _branch(labels, label)
    return arity + 1, arity


def _on_null(module: Module, label: Immediate, labels: list[int]) -> Effect:
    arity = _branch(labels, label)
    return arity + 1, arity + 1


def _on_non_null(module: Module, label: Immediate, labels: list[int]) -> Effect:
    arity = _branch(labels, label)
    return arity, max(arity - 1, 0)


def _on_cast(module: Module, immediate: Immediate, labels: list[int]) -> Effect:
    arity = _branch(labels, numbers(immediate)[0])
    return arity, arity


_FINDERS: Final[dict[str, Finder]] = {
    "br": lambda module, label, labels: (_branch(labels, label), 0),
    "br_if": _conditional,
    "br_table": lambda module, depths, labels: (_branch(labels, numbers(depths)[-1]) + 1, 0),
    "br_on_null": _on_null,
    "br_on_non_null": _on_non_null,
    "br_on_cast": _on_cast,
    "br_on_cast_fail": _on_cast,
    "return": lambda module, _, labels: (labels[0] if labels else 0, 0),
    "call": lambda module, index, labels: _func(module, index),
    "call_indirect": lambda module, pair, labels: _type(module, numbers(pair)[0]),
    "call_ref": lambda module, index, labels: _type(module, index),
    "return_call": lambda module, index, labels: (_func(module, index)[0], 0),
    "return_call_indirect": lambda module, pair, labels: (_type(module, numbers(pair)[0])[0], 0),
    "return_call_ref": lambda module, index, labels: (_type(module, index)[0], 0),
    "throw": _throw,
    "struct.new": _struct_new,
    "array.new_fixed": _new_fixed,
}
FINDERS: Final[dict[int, Finder]] = {BY_NAME[name].code: finder for name, finder in _FINDERS.items()}


def _fixed() -> dict[int, Effect]:
    words = _FIXED.split()
    found = {BY_NAME[words[at]].code: (int(words[at + 1]), int(words[at + 2])) for at in range(0, len(words), 3)}
    for row in ROWS:
        if row.params is not None and row.results is not None:
            found[row.code] = (len(row.params), len(row.results))
    return found


FIXED: Final[dict[int, Effect]] = _fixed()
_MISSING: Final = [row.name for row in ROWS if row.code not in {*FIXED, *FINDERS, *OPENERS, *SEPARATORS, *CLOSERS}]
if _MISSING:
    raise ValueError(f"instructions without a stack effect: {', '.join(_MISSING)}")
