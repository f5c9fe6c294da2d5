"""The context of validation: the parts of a module that checking bodies and constant expressions needs. Floor 1.

Goes in: a module whose type section and index spaces of functions have been checked. Comes out: a `Context`, made once per module.
"""

from __future__ import annotations

from figwasp.wasm.syntax import limits
from figwasp.wasm.syntax.module import Module
from figwasp.wasm.syntax.types import CompType, FuncType, Types
from figwasp.wasm.valid.subtyping import ModuleTypes

__all__ = ["Context"]


class Context:
    """A module as the checker of bodies wants it.

    Attributes:
        module: the module.
        types: its defined types.
        callees: type of every function, by its index.
        signatures: per type the function type, or None for structures and arrays.
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


def _function(comp: CompType) -> FuncType | None:
    return comp if isinstance(comp, FuncType) else None
