"""Validation of the type section, and of types elsewhere in a module (spec 3.2). Floor 1.

Goes in: a decoded module. Comes out: its `ModuleTypes`, or the error.
"""

from __future__ import annotations

from figwasp.errors import Invalid, LimitExceeded
from figwasp.features import off
from figwasp.wasm.syntax import limits
from figwasp.wasm.syntax.module import Module
from figwasp.wasm.syntax.types import (
    CONCRETE,
    I64,
    INDEX_SHIFT,
    FuncType,
    Limits,
    MemoryType,
    StructType,
    SubType,
    TableType,
    Types,
    type_names,
)
from figwasp.wasm.valid.subtyping import ModuleTypes

__all__ = ["check_func_types", "check_memory", "check_table", "check_types", "known_type"]


def check_types(module: Module) -> ModuleTypes:
    """Check the type section and return what is known of it."""
    types = module.types
    groups = module.groups
    if "multi-value" not in module.features:
        _check_arity(module)
    for place, start in enumerate(groups):
        end = groups[place + 1] if place + 1 < len(groups) else len(types)
        for index in range(start, end):
            _check_indices(types[index], index, end)
    _check_depths(types)
    known = ModuleTypes(types, groups)
    for index, type_ in enumerate(types):
        if type_.supers:
            _check_super(known, types, index)
    return known


def _check_depths(types: list[SubType]) -> None:
    """Refuse deep hierarchies of supertypes, before anything is made of them that would take long or much."""
    depths = [0] * len(types)
    for index, type_ in enumerate(types):
        if type_.supers:
            depths[index] = depths[type_.supers[0]] + 1
            if depths[index] > limits.MAX_SUBTYPE_DEPTH:
                raise LimitExceeded(f"type {index} has more than {limits.MAX_SUBTYPE_DEPTH} supertypes")


def _check_arity(module: Module) -> None:
    for index, type_ in enumerate(module.types):
        if isinstance(type_.comp, FuncType) and len(type_.comp.results) > 1:
            raise Invalid(off(f"invalid result arity: type {index}, {type_}, of several results", "multi-value"))


def _check_indices(type_: SubType, index: int, end: int) -> None:
    """Check that a type refers to types up to the end of its group only."""
    for code in _parts(type_):
        if code & 0xFF == CONCRETE and code >> INDEX_SHIFT >= end:
            raise Invalid(f"unknown type {code >> INDEX_SHIFT}: type {index}")
    if len(type_.supers) > 1:
        raise Invalid(f"sub type {index} declares {len(type_.supers)} supertypes: one at most")
    if type_.supers and type_.supers[0] >= index:
        raise Invalid(f"unknown type {type_.supers[0]}: sub type {index} must follow its supertype")


def _parts(type_: SubType) -> Types:
    comp = type_.comp
    if isinstance(comp, FuncType):
        return comp.params + comp.results
    if isinstance(comp, StructType):
        return tuple([field.storage for field in comp.fields])
    return (comp.field.storage,)


def _check_super(known: ModuleTypes, types: list[SubType], index: int) -> None:
    """Check that a type may be a subtype of the one it names."""
    above = types[index].supers[0]
    if types[above].final:
        raise Invalid(f"sub type {index} of type {above}, which is final")
    if not known.comp_matches(types[index].comp, types[above].comp):
        raise Invalid(f"sub type {index} does not match type {above}: expected {types[above].comp}, found {types[index].comp}")


def known_type(module: Module, code: int, what: str) -> None:
    """Insist that the type that a value type names exists."""
    if code & 0xFF == CONCRETE and code >> INDEX_SHIFT >= len(module.types):
        raise Invalid(f"unknown type {code >> INDEX_SHIFT}: {what}")


def check_func_types(module: Module) -> None:
    """Check the types of functions and tags."""
    for place, index in enumerate(module.func_types):
        _function_type(module, index, f"function {place}")
    for place, index in enumerate(module.tags):
        results = _function_type(module, index, f"tag {place}").results
        if results:
            raise Invalid(f"non-empty tag result type {type_names(results)}: tag {place}")


def _function_type(module: Module, index: int, what: str) -> FuncType:
    if index >= len(module.types):
        raise Invalid(f"unknown type {index}: {what}")
    comp = module.types[index].comp
    if not isinstance(comp, FuncType):
        raise Invalid(f"type mismatch: type {index} of {what} is not a function type, but {comp}")
    return comp


def check_table(module: Module, place: int, type_: TableType) -> None:
    """Check the type of a table."""
    what = f"table {place}"
    known_type(module, type_.elem, what)
    limit = limits.MAX_TABLE_SIZE
    if type_.address == I64:
        _need(module, "memory64", what)
        limit = limits.MAX_TABLE_SIZE_64
    if _largest(type_.limits) > limit:
        raise Invalid(f"table size must be at most {limit} elements: {what}, {type_.limits}")
    _check_limits(type_.limits, what)


def check_memory(module: Module, place: int, type_: MemoryType) -> None:
    """Check the type of a memory."""
    what = f"memory {place}"
    if type_.page != 0 and type_.page != 16:
        raise Invalid(f"invalid custom page size 2^{type_.page}, must be 1 or 65536: {what}")
    if type_.page == 0:
        _need(module, "custom-page-sizes", what)
    if type_.address == I64:
        _need(module, "memory64", what)
        limit = limits.MAX_PAGES_64 if type_.page else limits.MAX_BYTE_PAGES_64
    else:
        limit = limits.MAX_PAGES if type_.page else limits.MAX_BYTE_PAGES
    if _largest(type_.limits) > limit:
        more = " (4GiB)" if limit == limits.MAX_PAGES else ""
        raise Invalid(f"memory size must be at most {limit} pages{more}: {what}, {type_.limits}")
    _check_limits(type_.limits, what)
    if type_.shared:
        _need(module, "threads", what)
        if type_.limits.max is None:
            raise Invalid(f"shared memory must have maximum: {what}")


def _need(module: Module, proposal: str, what: str) -> None:
    if proposal not in module.features:
        raise Invalid(off(what, proposal))


def _largest(size: Limits) -> int:
    return size.min if size.max is None else max(size.min, size.max)


def _check_limits(size: Limits, what: str) -> None:
    if size.max is not None and size.min > size.max:
        raise Invalid(f"size minimum must not be greater than maximum: {what}, {size}")
