"""Floor 5: resolving imports: Python objects looked up by their two names and checked against the types (spec 3.5.2, 4.7.3).

In: a module and a way to find things. Out: one extern for each import, or one error that names all that are missing.
"""

from __future__ import annotations

from collections.abc import Mapping

from figwasp.api import global_ as globals_
from figwasp.api.exports import Exports
from figwasp.api.externs import show_import
from figwasp.api.global_ import Global
from figwasp.api.instance import Instance
from figwasp.api.memory import Memory
from figwasp.api.module import Module
from figwasp.api.signature import adapt_host_function
from figwasp.api.table import Table
from figwasp.errors import Closed, Incompatible, Trap, Unlinkable, printable
from figwasp.runtime.code.descriptors import TYPES
from figwasp.runtime.objects.func import Func
from figwasp.runtime.objects.tag import Tag
from figwasp.wasm.syntax.module import FUNC, KIND_NAMES, TAG
from figwasp.wasm.syntax.types import FUNCREF, GlobalType, MemoryType, TableType, is_ref
from figwasp.wasm.valid.matching import global_matches, memory_matches, table_matches
from figwasp.wasm.valid.subtyping import canonical_type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final, NoReturn

    from figwasp.runtime.code.compile import CompiledModule
    from figwasp.runtime.native.owner import Owner
    from figwasp.runtime.objects import global_ as runtime
    from figwasp.runtime.objects.instantiate import Extern
    from figwasp.wasm.syntax.module import Import

    Imports = Mapping[str, Any]
    """Module name -> a mapping, an instance, a Python module, or any object whose attributes are the imports."""

__all__ = ["MISSING", "Imports", "Late", "check_imports", "check_namespace", "look_up", "member", "resolve"]

MISSING: Final = object()
_NO_NAMESPACES: Final = (Func, Memory, Table, Global, Tag, Module, str, bytes, bytearray, int, float, list, tuple, set, frozenset)
_NO_IMPORTS: Final = (*_NO_NAMESPACES, Instance, Exports, type(None))
_NOUNS: Final = ((Func, "a WebAssembly function"), (Memory, "a memory"), (Table, "a table"), (Global, "a global"), (Tag, "a tag"))


class Late:
    """An import that exists, but is made only when nothing is missing.

    Attributes:
        get: makes and returns the import.
    """

    __slots__ = ("get",)

    def __init__(self, get: Callable[[], Any]) -> None:
        self.get = get


def look_up(imports: object, module: str, name: str) -> Any:
    """Return the import under two names in nested imports, or MISSING.

    Raises:
        TypeError: a namespace is expected, and something else is there.
    """
    namespace = member(imports, module)
    if namespace is MISSING or namespace is None:
        return MISSING
    check_namespace(module, namespace)
    return member(namespace, name)


def check_imports(imports: object) -> None:
    """Make sure that module names can be looked up in the imports of a caller.

    Raises:
        TypeError: the imports are an object without names in it, or one that has the second names.
    """
    if not isinstance(imports, _NO_IMPORTS) or _is_namedtuple(imports):
        return
    hint = '{"MODULE": {"NAME": ...}}'
    if isinstance(imports, (Instance, Exports)):
        hint = '{"MODULE": instance}'
    raise TypeError(f"imports must be a mapping of module names, not {type(imports).__name__}: give {hint}")


def check_namespace(name: str, namespace: object) -> None:
    """Make sure that imports can be looked up in the value under a module name.

    Raises:
        TypeError: the value is an object without names in it.
    """
    if namespace is None or (isinstance(namespace, _NO_NAMESPACES) and not _is_namedtuple(namespace)):
        hint = "instantiate it, or use a Linker" if isinstance(namespace, Module) else f'give {{"{name}": {{NAME: ...}}}}'
        wanted = "must be a mapping, an instance or an object with attributes"
        raise TypeError(f"imports from {name!r} {wanted}, not {type(namespace).__name__}: {hint}")


def _is_namedtuple(thing: object) -> bool:
    return isinstance(thing, tuple) and hasattr(thing, "_fields")


def member(namespace: object, name: str) -> Any:
    """Return the member of a namespace of any kind by name, or MISSING."""
    if isinstance(namespace, Instance):
        namespace = namespace.exports
    if isinstance(namespace, Mapping):
        return namespace.get(name, MISSING)
    if isinstance(namespace, Exports):
        return namespace[name] if name in namespace else MISSING  # noqa: SIM401
    return getattr(namespace, name, MISSING)


def resolve(module: Module, find: Callable[[str, str], Any], unknown: str = "error") -> list[tuple[Extern, Owner | None]]:
    """Find the extern for each import of a module, with the owner that keeps it alive.

    Args:
        module: the module.
        find: returns the value under the two names of an import, as it is or as Late, or MISSING.
        unknown: "error", or "trap" to have functions that are missing trap when they are called.

    Raises:
        ValueError: `unknown` is something else.
        Unlinkable: an import is missing or of another type; all that are missing are named.
    """
    if unknown not in ("error", "trap"):
        raise ValueError(f"unknown_imports must be 'error' or 'trap', not {unknown!r}")
    items = module._decoded.imports
    values: dict[tuple[str, str], Any] = {}
    for item in items:
        names = item.module, item.name
        if names not in values:
            try:
                values[names] = find(*names)
            except Exception as error:
                error.add_note(f"while looking up the import {show_import(item)} of {module!r}")
                raise
    missing = [item for item in items if values[item.module, item.name] is MISSING]
    if unknown == "trap":
        values.update(((item.module, item.name), _trapping(item, module._code)) for item in missing if item.kind == FUNC)
        missing = [item for item in missing if item.kind != FUNC]
    if missing:
        raise _missing(missing, module._code)
    return [_check(item, _made(values[item.module, item.name]), module) for item in items]


def _made(value: Any) -> Any:
    return value.get() if isinstance(value, Late) else value


def _missing(items: list[Import], code: CompiledModule) -> Unlinkable:
    lines = [f"{show_import(item)} ({_kind_and_type(item, code)})" for item in items]
    if len(lines) == 1:
        return Unlinkable(f"unknown import: {lines[0]} has not been provided")
    return Unlinkable(f"unknown import: {len(lines)} imports have not been provided:" + "".join(f"\n  {line}" for line in lines))


def _trapping(item: Import, code: CompiledModule) -> Callable[..., NoReturn]:
    """Return a callable that traps, to stand for a function that has not been provided."""

    def trap(*_: object) -> NoReturn:
        raise Trap(f"unknown import: {show_import(item)} ({_kind_and_type(item, code)}) has not been provided")

    return trap


def _kind_and_type(item: Import, code: CompiledModule) -> str:
    return f"{KIND_NAMES[item.kind]} {code.module.signature(item.desc)}" if isinstance(item.desc, int) else repr(item.desc)


def _check(item: Import, value: Any, module: Module) -> tuple[Extern, Owner | None]:
    """Check the type of the value that has been found for an import."""
    code = module._code
    desc = item.desc
    if item.kind == TAG:
        assert isinstance(desc, int)
        if isinstance(value, Tag) and value._number == code.numbers[desc]:
            return value, None
        got = f"a tag {value.type}" if isinstance(value, Tag) else _described(value)
        raise _incompatible(item, f"a tag {code.module.signature(desc)}", got)
    if isinstance(desc, int):
        return _check_func(item, value, module, desc)
    if isinstance(desc, GlobalType):
        return _check_global(item, value, desc, canonical_type(desc.type, code.numbers))
    if isinstance(desc, MemoryType) and isinstance(value, Memory):
        core = value._core
        if memory_matches(core.pages, core.type, desc):
            return core, value._owner
        raise _incompatible(item, repr(desc), f"{core.type!r} of {core.pages} page{'s' * (core.pages != 1)}")
    if isinstance(desc, TableType) and isinstance(value, Table):
        table = value._core
        if table_matches(len(table), table.type, table.elem, desc, canonical_type(desc.elem, code.numbers)):
            return table, value._owner
        raise _incompatible(item, repr(desc), f"{table.type!r} of {len(table)} element{'s' * (len(table) != 1)}")
    raise _incompatible(item, repr(desc), _described(value))


def _described(value: object) -> str:
    """Name the kind of a thing in an error."""
    for kind, noun in _NOUNS:
        if isinstance(value, kind):
            return noun
    if isinstance(value, type):
        return f"the class {value.__qualname__}"
    return "a Python function" if callable(value) else type(value).__name__


def _incompatible(item: Import, expected: str, found: str) -> Incompatible:
    return Incompatible(f"incompatible import type: {show_import(item)} must be {expected}, not {found}")


def _check_func(item: Import, value: Any, module: Module, index: int) -> tuple[Extern, Owner | None]:
    code = module._code
    type_ = code.module.signature(index)
    if isinstance(value, Func):
        if not TYPES.derives(value._type_number, code.numbers[index]):
            raise _incompatible(item, f"a function {type_}", f"a function {value.type}")
        if value._state is not None and value._state.closed is not None:
            raise Closed(f"{show_import(item)} is given as {printable(value.name)}(), whose instance has been closed")
        return value, value._owner
    if not callable(value) or isinstance(value, (Memory, Table, Global, Tag)):
        raise _incompatible(item, f"a function {type_}", _described(value))
    try:
        return adapt_host_function(value, len(type_.params), module), None
    except TypeError as error:
        raise _incompatible(item, f"a function {type_}", str(error)) from None


def _check_global(item: Import, value: Any, type_: GlobalType, content: int) -> tuple[runtime.Global, Owner | None]:
    if isinstance(value, Global):
        core = value._core
        if not global_matches(TYPES, core.type, core.content, type_, content):
            raise _incompatible(item, repr(type_), repr(core.type))
        return core, value._owner
    of_functions = is_ref(content) and TYPES.top(content) == FUNCREF
    if type_.mutable or isinstance(value, (Memory, Table, Tag)) or (isinstance(value, Func) and not of_functions):
        raise _incompatible(item, repr(type_), _described(value))
    try:
        made = globals_.make(type_, content, value)
    except (TypeError, OverflowError) as error:
        raise Incompatible(f"incompatible import type: {show_import(item)} must be {type_!r}: {error}") from None
    return made._core, made._owner
