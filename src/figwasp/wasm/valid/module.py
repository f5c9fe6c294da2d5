"""Validation (spec 3). Floor 1.

Goes in: a decoded `Module`. Comes out: one `FuncFacts` per defined function, or the error. `validate` does everything;
`validate_module` and `validate_func` are its two halves, for callers that check a body only when they come to compile it:
the first gives a `Context`, which they keep, and the second wants it. `facts_at_once` and `facts_when_asked` are both ways as
functions from an index to the facts.
The rules for bodies begin in `valid/body.py`, those for types in `valid/types.py` and for constant expressions in
`valid/const.py`; here stands what holds a module together (spec 3.5).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from figwasp.errors import Invalid, LimitExceeded
from figwasp.features import off
from figwasp.wasm.syntax import limits
from figwasp.wasm.syntax.module import ACTIVE, FUNC, GLOBAL, KIND_NAMES, MEMORY, TABLE, Module
from figwasp.wasm.syntax.types import NON_NULL, FuncType, is_ref, type_name
from figwasp.wasm.valid.body import check_body
from figwasp.wasm.valid.const import check_const
from figwasp.wasm.valid.context import Context
from figwasp.wasm.valid.state import FuncFacts
from figwasp.wasm.valid.types import check_func_types, check_memory, check_table, check_types, known_type

__all__ = ["FactsOf", "FuncFacts", "facts_at_once", "facts_when_asked", "validate", "validate_func", "validate_module"]

FactsOf = Callable[[int], FuncFacts]
"""A callable that returns the facts of a defined function by its index among all functions; it raises what `validate` does."""


def facts_at_once(module: Module) -> FactsOf:
    """Check a module completely; what is returned only looks facts up.

    Raises:
        Invalid, Malformed, LimitExceeded: as for `validate`.
    """
    facts, first = validate(module), module.num_imported_funcs
    return lambda index: facts[index - first]


def facts_when_asked(module: Module) -> FactsOf:
    """Check everything but the bodies; what is returned checks a body whenever it is asked for its facts.

    Raises:
        Invalid, Malformed, LimitExceeded: as for `validate`.
    """
    return partial(validate_func, validate_module(module))


def validate(module: Module) -> list[FuncFacts]:
    """Check a module completely and return the facts of its defined functions.

    Raises:
        Invalid: the module breaks a rule of validation.
        Malformed: a body is not made of instructions.
        LimitExceeded: a body, or all together, are out of proportion.
    """
    context = validate_module(module)
    first = module.num_imported_funcs
    room = limits.MAX_FACTS + limits.FACTS_PER_BYTE * len(module.data)
    found: list[FuncFacts] = []
    for place in range(len(module.bodies)):
        facts = check_body(context, first + place)
        room -= facts.size
        if room < 0:
            raise LimitExceeded(f"function {first + place}: the functions up to it declare and assign too many locals")
        facts.callees = []  # all of them together would take more room than the module
        found.append(facts)
    return found


def validate_func(context: Context, index: int) -> FuncFacts:
    """Check the body of one defined function, by its index among all functions.

    Args:
        context: the result of `validate_module` for its module.
        index: of the function.

    Raises:
        Invalid, Malformed, LimitExceeded: as for `validate`.
    """
    return check_body(context, index)


def validate_module(module: Module) -> Context:
    """Check everything but the bodies, and return what checking those needs to know.

    Raises:
        Invalid, Malformed, LimitExceeded: as for `validate`.
    """
    types = check_types(module)
    check_func_types(module)
    _check_imports(module)
    for place, table in enumerate(module.tables):
        check_table(module, place, table)
    if len(module.tables) > 1 and "reference-types" not in module.features:
        raise Invalid(off("multiple tables: a second table", "reference-types"))
    for place, memory in enumerate(module.memories):
        check_memory(module, place, memory)
    if len(module.memories) > 1 and "multi-memory" not in module.features:
        raise Invalid(off("multiple memories: a second memory", "multi-memory"))
    for place, type_ in enumerate(module.globals):
        known_type(module, type_.type, f"global {place}")
    context = Context(module, types)
    _check_globals(context)
    _check_table_inits(context)
    _check_exports(context)
    _check_start(module)
    _check_elems(context)
    _check_datas(context)
    return context


def _check_imports(module: Module) -> None:
    if "mutable-globals" not in module.features:
        for type_ in module.globals[: module.num_imported_globals]:
            if type_.mutable:
                raise Invalid(off("mutable globals cannot be imported: importing one", "mutable-globals"))


def _check_globals(context: Context) -> None:
    """Check the initial values; each may read the globals before it."""
    module = context.module
    for place, init in enumerate(module.global_inits, module.num_imported_globals):
        check_const(context, init, module.globals[place].type, f"global {place}", place)


def _check_table_inits(context: Context) -> None:
    """Check the initial values of tables, which may read imported globals only."""
    module = context.module
    for place, init in enumerate(module.table_inits, module.num_imported_tables):
        elem = module.tables[place].elem
        if init is not None:
            check_const(context, init, elem, f"table {place}", module.num_imported_globals)
        elif elem & NON_NULL:
            raise Invalid(f"type mismatch: table {place} of {type_name(elem)} needs an initial value")


def _check_exports(context: Context) -> None:
    module = context.module
    seen: set[str] = set()
    sizes = (len(module.func_types), len(module.tables), len(module.memories), len(module.globals), len(module.tags))
    for export in module.exports:
        if export.index >= sizes[export.kind]:
            raise Invalid(f"unknown {KIND_NAMES[export.kind]} {export.index}: export {export.name!r}")
        if export.name in seen:
            raise Invalid(f"duplicate export name {export.name!r}")
        seen.add(export.name)
        if export.kind == FUNC:
            context.declared.add(export.index)
        elif export.kind == GLOBAL and "mutable-globals" not in module.features:
            if module.globals[export.index].mutable:
                raise Invalid(off(f"mutable globals cannot be exported: {export.name!r}", "mutable-globals"))


def _check_start(module: Module) -> None:
    if module.start is None:
        return
    if module.start >= len(module.func_types):
        raise Invalid(f"unknown {KIND_NAMES[FUNC]} {module.start}: start")
    type_ = module.func_type(module.start)
    if type_ != FuncType((), ()):
        raise Invalid(f"start function must have type () -> (), found {type_}", None, module.start)


def _check_elems(context: Context) -> None:
    module = context.module
    visible = len(module.globals)
    for place, elem in enumerate(module.elems):
        what = f"element segment {place}"
        assert is_ref(elem.type)
        known_type(module, elem.type, what)
        if elem.mode == ACTIVE:
            if elem.table >= len(module.tables):
                raise Invalid(f"unknown {KIND_NAMES[TABLE]} {elem.table}: {what}")
            table = module.tables[elem.table]
            if not context.types.matches(elem.type, table.elem):
                raise Invalid(f"type mismatch: {what} of {type_name(elem.type)} for {table}")
            assert elem.offset is not None
            check_const(context, elem.offset, table.address, what, visible)
        for init in dict.fromkeys(elem.inits):
            check_const(context, init, elem.type, what, visible)


def _check_datas(context: Context) -> None:
    module = context.module
    for place, data in enumerate(module.datas):
        if data.mode == ACTIVE:
            what = f"data segment {place}"
            if data.memory >= len(module.memories):
                raise Invalid(f"unknown {KIND_NAMES[MEMORY]} {data.memory}: {what}")
            assert data.offset is not None
            check_const(context, data.offset, module.memories[data.memory].address, what, len(module.globals))
