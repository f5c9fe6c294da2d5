"""Floor 5: modules: decoded and validated, ready to be instantiated any number of times."""

from __future__ import annotations

import os
from typing import Final

from figwasp.api.engine import Engine, default_engine
from figwasp.runtime.compile import CompiledModule
from figwasp.wasm.decode import decode
from figwasp.wasm.module import FUNC, GLOBAL, MEMORY, TABLE, TAG
from figwasp.wasm.module import Module as Decoded
from figwasp.wasm.parse import wat
from figwasp.wasm.types import FuncType, GlobalType, MemoryType, TableType

ExternType = FuncType | TableType | MemoryType | GlobalType
"""The type of an import or export; that of a tag is a function type without results."""

KINDS: Final = {FUNC: "func", TABLE: "table", MEMORY: "memory", GLOBAL: "global", TAG: "tag"}

Source = str | os.PathLike[str] | bytes | bytearray | memoryview
"""A path (of a binary, or of a text ending in .wat), or the bytes of a binary."""


class ImportType:
    """An import of a module: `module`, `name`, `kind` ("func", "table", "memory", "global") and `type`."""

    __slots__ = ("kind", "module", "name", "type")

    def __init__(self, module: str, name: str, kind: str, type: ExternType) -> None:
        self.module = module
        self.name = name
        self.kind = kind
        self.type = type

    def __repr__(self) -> str:
        return f"<import {self.module}.{self.name}: {self.kind} {self.type}>"


class ExportType:
    """An export of a module: `name`, `kind` and `type`."""

    __slots__ = ("kind", "name", "type")

    def __init__(self, name: str, kind: str, type: ExternType) -> None:
        self.name = name
        self.kind = kind
        self.type = type

    def __repr__(self) -> str:
        return f"<export {self.name}: {self.kind} {self.type}>"


class Module:
    """A WebAssembly module.

    Args:
        source: a path, or the bytes of a binary.
        engine: what it is compiled with; None means the default.
        lazy: validate each function when it is first called instead of all of them now.

    Raises:
        Malformed: it is not a module.
        Invalid: it does not validate.
        OSError: the file cannot be read.
    """

    __slots__ = ("code", "engine")

    def __init__(self, source: Source, *, engine: Engine | None = None, lazy: bool = False) -> None:
        self.engine = engine or default_engine()
        config = self.engine.config
        self.code = CompiledModule(decode(_read(source), config.features), lazy, config)

    @property
    def decoded(self) -> Decoded:
        """The decoded module (for tools)."""
        return self.code.module

    @property
    def name(self) -> str | None:
        """Its name, from the name section."""
        return self.decoded.name

    @property
    def imports(self) -> list[ImportType]:
        """Its imports, in order."""
        signature = self.decoded.signature
        return [
            ImportType(item.module, item.name, KINDS[item.kind], signature(item.desc) if isinstance(item.desc, int) else item.desc)
            for item in self.decoded.imports
        ]

    @property
    def exports(self) -> list[ExportType]:
        """Its exports, in order."""
        decoded = self.decoded
        return [ExportType(item.name, KINDS[item.kind], extern_type(decoded, item.kind, item.index)) for item in decoded.exports]

    def __repr__(self) -> str:
        decoded = self.decoded
        return f"<figwasp.Module {decoded.name or ''} of {len(decoded.bodies)} functions, {len(decoded.data)} bytes>"


def extern_type(module: Decoded, kind: int, index: int) -> ExternType:
    """Return the type of an item of an index space."""
    if kind == FUNC:
        return module.func_type(index)
    if kind == TAG:
        return module.signature(module.tags[index])
    if kind == TABLE:
        return module.tables[index]
    return module.memories[index] if kind == MEMORY else module.globals[index]


def _read(source: Source) -> bytes:
    if isinstance(source, (bytes, bytearray, memoryview)):
        return bytes(source)
    path = os.fspath(source)
    with open(path, "rb") as file:
        data = file.read()
    return wat(data) if path.endswith(".wat") else data
