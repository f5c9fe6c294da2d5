"""Floor 5: what a module imports and exports, as its users see it: names, kinds and types, and text of them for people."""

from __future__ import annotations

import itertools

from figwasp.errors import printable
from figwasp.wasm.syntax.module import FUNC, GLOBAL, MEMORY, TABLE, TAG
from figwasp.wasm.syntax.types import FuncType, GlobalType, MemoryType, TableType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

    from figwasp.wasm.syntax.module import Import, Module

__all__ = ["KINDS", "ExportType", "ExternType", "ImportType", "extern_type", "listed", "show_import"]

ExternType = FuncType | TableType | MemoryType | GlobalType
"""The type of an import or export; that of a tag is a function type without results."""

KINDS: Final = {FUNC: "func", TABLE: "table", MEMORY: "memory", GLOBAL: "global", TAG: "tag"}

_MOST_LISTED: Final = 20


class ImportType:
    """An import of a module: `module`, `name`, `kind` ("func", "table", "memory", "global", "tag") and `type`."""

    __slots__ = ("kind", "module", "name", "type")

    def __init__(self, module: str, name: str, kind: str, type: ExternType) -> None:
        self.module = module
        self.name = name
        self.kind = kind
        self.type = type

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ImportType) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[object, ...]:
        return self.module, self.name, self.kind, self.type

    def __repr__(self) -> str:
        return f"<import {printable(self.module)}.{printable(self.name)}: {_described(self.kind, self.type)}>"


class ExportType:
    """An export of a module: `name`, `kind` and `type`."""

    __slots__ = ("kind", "name", "type")

    def __init__(self, name: str, kind: str, type: ExternType) -> None:
        self.name = name
        self.kind = kind
        self.type = type

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ExportType) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[object, ...]:
        return self.name, self.kind, self.type

    def __repr__(self) -> str:
        return f"<export {printable(self.name)}: {_described(self.kind, self.type)}>"


def _described(kind: str, type_: ExternType) -> str:
    """Write a type with its kind, which the text of table, memory and global types includes already."""
    return f"{kind} {type_}" if isinstance(type_, FuncType) else str(type_)


def show_import(item: Import) -> str:
    """Write the two names of an import, with quotes where they would be misread."""
    plain = item.module.isprintable() and item.name.isprintable() and "." not in item.module and item.module and item.name
    return f"{item.module}.{item.name}" if plain else f"{item.module!r} {item.name!r}"


def extern_type(module: Module, kind: int, index: int) -> ExternType:
    """Return the type of an item of an index space."""
    if kind == FUNC:
        return module.func_type(index)
    if kind == TAG:
        return module.signature(module.tags[index])
    if kind == TABLE:
        return module.tables[index]
    return module.memories[index] if kind == MEMORY else module.globals[index]


def listed(names: Iterable[str]) -> str:
    """Write the names of exports for a line of output: the guest chooses them, as many and as odd as it likes."""
    shown = [printable(name) for name in itertools.islice(names, _MOST_LISTED + 1)]
    return ", ".join(shown if len(shown) <= _MOST_LISTED else [*shown[:-1], "..."])
