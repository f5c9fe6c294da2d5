"""Validation (spec 3). Floor 1.

Goes in: a decoded `Module`. Comes out: one `FuncFacts` per defined function, or the error. `validate` does everything;
`validate_module` and `validate_func` are its two halves, for callers that check a body only when they come to compile it.
The rules for bodies are in `validate_body.py`; here stand those for all the rest (spec 3.2, 3.3.12, 3.4).
"""

from __future__ import annotations

from typing import Final

from figwasp.errors import Invalid
from figwasp.wasm import limits, opcodes
from figwasp.wasm.later import no_support
from figwasp.wasm.module import ACTIVE, FUNC, GLOBAL, KIND_NAMES, MEMORY, TABLE, ConstExpr, Module
from figwasp.wasm.types import I32, FuncType, Limits, MemoryType, TableType, type_name, type_names
from figwasp.wasm.validate_body import check_body
from figwasp.wasm.validate_state import FuncFacts

__all__ = ["FuncFacts", "validate", "validate_func", "validate_module"]

GLOBAL_GET: Final = 0x23
REF_NULL: Final = 0xD0
REF_FUNC: Final = 0xD2
_CONSTS: Final[dict[int, int]] = {
    row.code: row.results[0] for row in opcodes.ROWS if row.name.endswith(".const") and row.results
}
_LATER_CONSTS: Final = frozenset("i32.add i32.sub i32.mul i64.add i64.sub i64.mul".split())


def validate(module: Module) -> list[FuncFacts]:
    """Check a module completely and return the facts of its defined functions.

    Raises:
        Invalid: it breaks a rule of validation.
        Malformed: a body is not made of instructions.
        LimitExceeded: a body is out of proportion.
    """
    validate_module(module)
    first = module.num_imported_funcs
    return [check_body(module, first + place) for place in range(len(module.bodies))]


def validate_func(module: Module, index: int) -> FuncFacts:
    """Check the body of one defined function, by its index among all functions; the module itself is checked first.

    Raises:
        Invalid, Malformed, LimitExceeded: as for `validate`.
    """
    if module.declared is None:
        validate_module(module)
    return check_body(module, index)


def validate_module(module: Module) -> None:
    """Check everything but the bodies, and set `module.declared`."""
    module.declared = None
    _check_types(module)
    _check_imports(module)
    for place, table in enumerate(module.tables):
        _check_table(place, table)
    if len(module.tables) > 1 and "reference-types" not in module.features:
        raise Invalid("multiple tables")
    for place, memory in enumerate(module.memories):
        _check_memory(place, memory)
    if len(module.memories) > 1 and "multi-memory" not in module.features:
        raise Invalid("multiple memories" + no_support("multi-memory"))
    declared: set[int] = set()
    _check_globals(module, declared)
    _check_exports(module, declared)
    _check_start(module)
    _check_elems(module, declared)
    _check_datas(module, declared)
    module.declared = declared


def _check_types(module: Module) -> None:
    if "multi-value" not in module.features:
        for place, type_ in enumerate(module.types):
            if len(type_.results) > 1:
                raise Invalid(f"invalid result arity: type {place}, {type_}")
    count = len(module.types)
    for place, index in enumerate(module.func_types):
        if index >= count:
            raise Invalid(f"unknown type {index}", None, place)


def _check_imports(module: Module) -> None:
    if "mutable-globals" not in module.features:
        for type_ in module.globals[: module.num_imported_globals]:
            if type_.mutable:
                raise Invalid("mutable globals cannot be imported")


def _check_limits(size: Limits, what: str) -> None:
    if size.max is not None and size.min > size.max:
        raise Invalid(f"size minimum must not be greater than maximum: {what}, {size}")


def _check_table(place: int, type_: TableType) -> None:
    if max(type_.limits.min, type_.limits.max or 0) > limits.MAX_TABLE_SIZE:
        raise Invalid(f"table size must be at most 2^32-1 elements: table {place}, {type_.limits}")
    _check_limits(type_.limits, f"table {place}")


def _check_memory(place: int, type_: MemoryType) -> None:
    most = type_.limits.min if type_.limits.max is None else max(type_.limits.min, type_.limits.max)
    if most > limits.MAX_PAGES:
        raise Invalid(f"memory size must be at most {limits.MAX_PAGES} pages (4GiB): memory {place}, {type_.limits}")
    _check_limits(type_.limits, f"memory {place}")


def _check_globals(module: Module, declared: set[int]) -> None:
    first = module.num_imported_globals
    for place, init in enumerate(module.global_inits, first):
        _check_const(module, init, module.globals[place].type, f"global {place}", declared, place)


def _check_exports(module: Module, declared: set[int]) -> None:
    seen: set[str] = set()
    sizes = (len(module.func_types), len(module.tables), len(module.memories), len(module.globals))
    for export in module.exports:
        if export.index >= sizes[export.kind]:
            raise Invalid(f"unknown {KIND_NAMES[export.kind]} {export.index}: export {export.name!r}")
        if export.name in seen:
            raise Invalid(f"duplicate export name {export.name!r}")
        seen.add(export.name)
        if export.kind == FUNC:
            declared.add(export.index)
        elif export.kind == GLOBAL and "mutable-globals" not in module.features:
            if module.globals[export.index].mutable:
                raise Invalid(f"mutable globals cannot be exported: {export.name!r}")


def _check_start(module: Module) -> None:
    if module.start is None:
        return
    if module.start >= len(module.func_types):
        raise Invalid(f"unknown function {module.start}: start")
    type_ = module.func_type(module.start)
    if type_ != FuncType(b"", b""):
        raise Invalid(f"start function must have type () -> (), found {type_}", None, module.start)


def _check_elems(module: Module, declared: set[int]) -> None:
    for place, elem in enumerate(module.elems):
        what = f"element segment {place}"
        if elem.mode == ACTIVE:
            if elem.table >= len(module.tables):
                raise Invalid(f"unknown {KIND_NAMES[TABLE]} {elem.table}: {what}")
            table = module.tables[elem.table]
            if table.elem != elem.type:
                raise Invalid(f"type mismatch: {what} of {type_name(elem.type)} for {table}")
            assert elem.offset is not None
            _check_const(module, elem.offset, I32, what, declared)
        for init in set(elem.inits):
            _check_const(module, init, elem.type, what, declared)


def _check_datas(module: Module, declared: set[int]) -> None:
    for place, data in enumerate(module.datas):
        if data.mode == ACTIVE:
            if data.memory >= len(module.memories):
                raise Invalid(f"unknown {KIND_NAMES[MEMORY]} {data.memory}: data segment {place}")
            assert data.offset is not None
            _check_const(module, data.offset, I32, f"data segment {place}", declared)


def _check_const(
    module: Module, expr: ConstExpr, expected: int, what: str, declared: set[int], visible: int | None = None
) -> None:
    """Check a constant expression (spec 3.3.12) and note the functions it names.

    Args:
        module: what it is part of.
        expr: the expression.
        expected: type of the result.
        what: names it in messages.
        declared: receives the functions it names.
        visible: how many globals Wasm 3.0 would let it read, by default all.
    """
    stack = bytearray()
    offset = expr.start if expr.start >= 0 else None
    for code, immediate in expr.instrs:
        if code in _CONSTS:
            stack.append(_CONSTS[code])
            continue
        if code == REF_FUNC:
            assert isinstance(immediate, int)
            if immediate >= len(module.func_types):
                raise Invalid(f"unknown function {immediate}: {what}", offset)
            declared.add(immediate)
            stack += opcodes.BY_CODE[REF_FUNC].results or b""
        elif code == REF_NULL:
            assert isinstance(immediate, int)
            stack.append(immediate)
        elif code == GLOBAL_GET:
            assert isinstance(immediate, int)
            stack.append(_const_global(module, immediate, what, offset, len(module.globals) if visible is None else visible))
        else:
            name = opcodes.BY_CODE[code].name
            later = no_support("extended constant expressions") if name in _LATER_CONSTS else ""
            raise Invalid(f"constant expression required: {name} in {what}{later}", offset)
    if stack != bytes((expected,)):
        found = type_names(bytes(stack))
        raise Invalid(f"type mismatch: expected [{type_name(expected)}], found {found}: {what}", offset)


def _const_global(module: Module, index: int, what: str, offset: int | None, visible: int) -> int:
    """Return the type of a global that a constant expression reads: an imported, immutable one."""
    if index >= module.num_imported_globals:
        later = index < visible and not module.globals[index].mutable
        raise Invalid(f"unknown global {index}: {what}{no_support('extended constant expressions') if later else ''}", offset)
    if module.globals[index].mutable:
        raise Invalid(f"constant expression required: global {index} is mutable: {what}", offset)
    return module.globals[index].type
