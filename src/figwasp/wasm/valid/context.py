"""The context of validation: the parts of a module that checking bodies and constant expressions needs. Floor 1.

Goes in: a module whose type section and index spaces of functions have been checked. Comes out: a `Context`, made once per module.
"""

from __future__ import annotations

from typing import Final

from figwasp.features import BEGUN
from figwasp.wasm.syntax import limits
from figwasp.wasm.syntax.module import Module
from figwasp.wasm.syntax.types import (
    CONCRETE,
    INDEX_SHIFT,
    CompType,
    FuncType,
    MemoryType,
    SubType,
    TableType,
    Types,
    known_codes,
    missing_proposal,
)
from figwasp.wasm.valid.subtyping import ModuleTypes

__all__ = ["Context", "memory_needs", "needed", "table_needs"]

_RUNS: Final = known_codes(BEGUN)


class Context:
    """A module as the checker of bodies wants it.

    Attributes:
        module: the module.
        types: its defined types.
        callees: type of every function, by its index.
        signatures: per type the function type, or None for structures and arrays.
        plain: whether all types and items of the module are of proposals that figwasp executes.
        needs: per type the first proposal of a function type that figwasp does not execute.
        tag_params: per tag the types of what its exceptions carry.
        field_values: index of a structure -> the types its fields are made from, as far as anyone has asked.
        defaultable: indices of structures that are known to be made of fields with default values.
        budget: how many types may still be compared one by one.
        declared: the functions that `ref.func` may name in a body.
    """

    __slots__ = (
        "budget",
        "callees",
        "declared",
        "defaultable",
        "field_values",
        "module",
        "needs",
        "plain",
        "signatures",
        "tag_params",
        "types",
    )

    def __init__(self, module: Module, types: ModuleTypes) -> None:
        self.module = module
        self.types = types
        self.signatures = [_function(type_.comp) for type_ in module.types]
        self.callees = [module.func_type(index) for index in range(len(module.func_types))]
        self.tag_params = [module.signature(index).params for index in module.tags]
        self.field_values: dict[int, Types] = {}
        self.defaultable: set[int] = set()
        self.budget = limits.FREE_COMPARISONS + limits.COMPARISONS_PER_BYTE * len(module.data)
        self.declared: set[int] = set()
        self.needs = [None if type_ is None else needed(type_.params + type_.results, module.types) for type_ in self.signatures]
        self.plain = (
            not any(self.needs)
            and not any(map(memory_needs, module.memories))
            and not any(table_needs(type_, module.types) for type_ in module.tables)
            and needed(tuple([type_.type for type_ in module.globals]), module.types) is None
        )


def _function(comp: CompType) -> FuncType | None:
    return comp if isinstance(comp, FuncType) else None


def needed(codes: Types, types: list[SubType]) -> str | None:
    """Return the first proposal that value types need and that figwasp does not execute.

    Args:
        codes: the value types.
        types: the type section that their indices are of.
    """
    if _RUNS.issuperset(codes):
        return None
    for code in codes:
        missing = missing_proposal(code, BEGUN)
        if code & 0xFF == CONCRETE and "gc" not in BEGUN:
            missing = missing if isinstance(types[code >> INDEX_SHIFT].comp, FuncType) else "gc"
        if missing is not None:
            return missing
    return None


def memory_needs(type_: MemoryType) -> str | None:
    """Return the proposal that a memory needs and that figwasp does not execute."""
    return "threads" if type_.shared and "threads" not in BEGUN else None


def table_needs(type_: TableType, types: list[SubType]) -> str | None:
    """Return the proposal that a table needs and that figwasp does not execute."""
    return needed((type_.elem,), types)
