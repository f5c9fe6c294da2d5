"""Floor 5: instances and their exports; imports given as Python objects are resolved here (spec 4.7.3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from figwasp.api import global_ as globals_
from figwasp.api import memory as memories
from figwasp.api import table as tables
from figwasp.api.engine import Engine
from figwasp.api.func import Func
from figwasp.api.global_ import Global
from figwasp.api.memory import Memory
from figwasp.api.module import Module, Source
from figwasp.api.table import Table
from figwasp.errors import Unlinkable
from figwasp.runtime import containers as runtime
from figwasp.runtime.compile import TYPES, CompiledModule
from figwasp.runtime.containers import Tag
from figwasp.runtime.func import func_at
from figwasp.runtime.instance import Extern, State, instantiate
from figwasp.runtime.owner import Owner
from figwasp.wasm.matching import global_matches, memory_matches, table_matches
from figwasp.wasm.module import FUNC, KIND_NAMES, MEMORY, TABLE, TAG, Import
from figwasp.wasm.subtyping import canonical_type
from figwasp.wasm.types import GlobalType, MemoryType, TableType

Imports = Mapping[str, Any]
"""Module name -> a mapping, an instance, or any object whose attributes are the imports."""

_MISSING: Final = object()


class Exports:
    """The exports of an instance: by attribute, by item, and iterable by name."""

    # What has been asked for once is in __dict__, so that getting it again as an attribute runs no code of ours.
    __slots__ = ("__dict__", "__instance")

    def __init__(self, instance: Instance) -> None:
        object.__setattr__(self, "_Exports__instance", (instance.state, instance.owner))

    def __getitem__(self, name: str) -> Any:
        found = self.__dict__.get(name, _MISSING)
        if found is _MISSING:
            state, owner = self.__instance
            found = self.__dict__[name] = _export(state, owner, name)
        return found

    def __getattr__(self, name: str) -> Any:
        if name == "_Exports__instance":
            raise AttributeError(name)  # of an object that copy or pickle has made without __init__
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the instance has no export {name!r}") from None

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"cannot set {name!r}: exports are what the module says")

    def __contains__(self, name: object) -> bool:
        return any(export.name == name for export in self.__instance[0].code.module.exports)

    def __iter__(self) -> Iterator[str]:
        return iter([export.name for export in self.__instance[0].code.module.exports])

    def __len__(self) -> int:
        return len(self.__instance[0].code.module.exports)

    def __dir__(self) -> list[str]:
        return list(self)

    def __repr__(self) -> str:
        return f"<exports {', '.join(self)}>"


class Instance:
    """An instance of a module: `instance.exports.name`, `instance.exports["name"]`, or `instance.name` where it does not clash.

    Attributes:
        exports: its exports.
        state: its runtime side (runtime only).
        owner: what keeps it (runtime only).
    """

    __slots__ = ("__dict__", "__weakref__", "exports", "owner", "state")

    exports: Exports
    state: State
    owner: Owner

    def __init__(self, state: State, owner: Owner) -> None:
        put = object.__setattr__
        put(self, "state", state)
        put(self, "owner", owner)
        put(self, "exports", Exports(self))

    def __getattr__(self, name: str) -> Any:
        if name in Instance.__slots__:
            raise AttributeError(name)
        found = self.__dict__[name] = getattr(self.exports, name)
        return found

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"cannot set {name!r}: an instance is what its module says")

    def __repr__(self) -> str:
        return f"<figwasp.Instance {self.state.code.module.name or ''} exporting {', '.join(self.exports) or 'nothing'}>"


def _export(state: State, owner: Owner, name: str) -> Any:
    """Return the Python object for an export.

    Raises:
        KeyError: there is none of that name.
    """
    for export in state.code.module.exports:
        if export.name == name:
            if export.kind == FUNC:
                return func_at(state.func_reference(export.index))
            if export.kind == TABLE:
                return tables.view(state.tables[export.index], owner)
            if export.kind == MEMORY:
                return memories.view(state.memories[export.index], owner)
            if export.kind == TAG:
                return state.tags[export.index]
            return globals_.view(state.globals[export.index], owner)
    raise KeyError(name)


def load(source: Source | Module, imports: Imports | None = None, *, engine: Engine | None = None) -> Instance:
    """Instantiate a module.

    Args:
        source: a path, the bytes of a binary, or a module.
        imports: per module name a mapping, an instance, or an object with attributes; functions are wasm functions or plain Python
            callables, an immutable global may be a plain number.
        engine: what to compile it with, unless it is a module already.

    Raises:
        Malformed, Invalid: it is no valid module.
        Unlinkable: an import is missing or has another type.
        Trap: a segment did not fit, or the start function trapped.
    """
    module = source if isinstance(source, Module) else Module(source, engine=engine)
    decoded = module.decoded
    found = [_resolve(item, imports or {}, module.code) for item in decoded.imports]
    return Instance(*instantiate(module.code, found))


def _resolve(item: Import, imports: Imports, code: CompiledModule) -> tuple[Extern, Owner | None]:
    """Find what satisfies an import and check its type."""
    value = _look_up(item, imports)
    desc = item.desc
    if item.kind == TAG:
        assert isinstance(desc, int)
        if isinstance(value, Tag) and value.number == code.numbers[desc]:
            return value, None
        got = repr(value) if isinstance(value, Tag) else type(value).__name__
        raise _incompatible(item, f"a tag {code.module.signature(desc)}", got)
    if isinstance(desc, int):
        return _check_func(item, value, code, desc)
    if isinstance(desc, GlobalType):
        return _check_global(item, value, desc, canonical_type(desc.type, code.numbers))
    if isinstance(desc, MemoryType) and isinstance(value, Memory):
        core = value.core
        if memory_matches(core.pages, core.type, desc):
            return core, value.owner
        raise _incompatible(item, repr(desc), f"{core.type!r} of {core.pages} pages")
    if isinstance(desc, TableType) and isinstance(value, Table):
        table = value.core
        if table_matches(len(table), table.type, table.elem, desc, canonical_type(desc.elem, code.numbers)):
            return table, value.owner
        raise _incompatible(item, repr(desc), f"{table.type!r} of {len(table)} elements")
    raise _incompatible(item, KIND_NAMES[item.kind], type(value).__name__)


def _look_up(item: Import, imports: Imports) -> Any:
    missing = f"unknown import: {item.module}.{item.name} ({KIND_NAMES[item.kind]}) has not been provided"
    if item.module not in imports:
        raise Unlinkable(missing)
    namespace = imports[item.module]
    if isinstance(namespace, Instance):
        namespace = namespace.exports
    if isinstance(namespace, (Mapping, Exports)):
        if item.name not in namespace:
            raise Unlinkable(missing)
        return namespace[item.name]
    value = getattr(namespace, item.name, _MISSING)
    if value is _MISSING:
        raise Unlinkable(missing)
    return value


def _incompatible(item: Import, expected: str, found: str) -> Unlinkable:
    return Unlinkable(f"incompatible import type: {item.module}.{item.name} must be {expected}, not {found}")


def _check_func(item: Import, value: Any, code: CompiledModule, index: int) -> tuple[Func | Callable[..., Any], Owner | None]:
    type_ = code.module.signature(index)
    if isinstance(value, Func):
        if not TYPES.derives(value.type_number, code.numbers[index]):
            raise _incompatible(item, f"a function {type_}", f"{value.type}")
        return value, value.owner
    if not callable(value) or isinstance(value, (Memory, Table, Global, Tag)):
        raise _incompatible(item, f"a function {type_}", type(value).__name__)
    return value, None


def _check_global(item: Import, value: Any, type_: GlobalType, content: int) -> tuple[runtime.Global, Owner | None]:
    if isinstance(value, Global):
        core = value.core
        if not global_matches(TYPES, core.type, core.content, type_, content):
            raise _incompatible(item, repr(type_), repr(core.type))
        return core, value.owner
    if type_.mutable or isinstance(value, (Func, Memory, Table, Tag)):
        raise _incompatible(item, repr(type_), type(value).__name__)
    try:
        made = globals_.make(type_, content, value)
    except (TypeError, OverflowError) as error:
        raise Unlinkable(f"incompatible import type: {item.module}.{item.name} must be {type_!r}: {error}") from None
    return made.core, made.owner
