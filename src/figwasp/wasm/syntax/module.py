"""A decoded module (spec 2.5). Floor 1.

`decode` makes a `Module` from bytes; function bodies and data stay byte ranges of these bytes. Index spaces (functions,
tables, memories, globals) hold imports first, as in the spec. The encoder takes the same class.
"""

from __future__ import annotations

import keyword

from figwasp.features import DEFAULT
from figwasp.wasm.syntax.names import NameMap, Names, read_field_names, read_names
from figwasp.wasm.syntax.types import FuncType, MemoryType, TableType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from figwasp.features import Features
    from figwasp.wasm.syntax.immediates import Immediate
    from figwasp.wasm.syntax.types import GlobalType, SubType

__all__ = [
    "ACTIVE",
    "DECLARATIVE",
    "FUNC",
    "GLOBAL",
    "KIND_NAMES",
    "MEMORY",
    "PASSIVE",
    "TABLE",
    "TAG",
    "Body",
    "ConstExpr",
    "Custom",
    "Data",
    "Elem",
    "Export",
    "Import",
    "Module",
]

FUNC: Final = 0
TABLE: Final = 1
MEMORY: Final = 2
GLOBAL: Final = 3
TAG: Final = 4
KIND_NAMES: Final = ("function", "table", "memory", "global", "tag")
"""Kind of an import or export -> its name in messages."""

ACTIVE: Final = 0
PASSIVE: Final = 1
DECLARATIVE: Final = 2


class Import:
    """An import.

    Attributes:
        module: first half of its name.
        name: second half.
        kind: FUNC, TABLE, MEMORY, GLOBAL or TAG.
        desc: index of the type of a function or tag, or the table, memory or global type.
    """

    __slots__ = ("desc", "kind", "module", "name")

    def __init__(self, module: str, name: str, kind: int, desc: int | TableType | MemoryType | GlobalType) -> None:
        self.module = module
        self.name = name
        self.kind = kind
        self.desc = desc


class Export:
    """An export: a name for the item `index` of the index space `kind`."""

    __slots__ = ("index", "kind", "name")

    def __init__(self, name: str, kind: int, index: int) -> None:
        self.name = name
        self.kind = kind
        self.index = index


class ConstExpr:
    """A constant expression.

    Attributes:
        instrs: pairs of opcode (as in `opcodes.py`) and decoded immediate, without the final `end`.
        start: byte offset of the first instruction, or -1 when the expression was implied (a bare function index).
        end: byte offset after the final `end`.
    """

    __slots__ = ("end", "instrs", "start")

    def __init__(self, instrs: list[tuple[int, Immediate]], start: int = -1, end: int = -1) -> None:
        self.instrs = instrs
        self.start = start
        self.end = end


class Elem:
    """An element segment.

    Attributes:
        type: reference type of the elements.
        mode: ACTIVE, PASSIVE or DECLARATIVE.
        table: index of the table an active segment goes to.
        offset: where it goes, for active segments.
        inits: one expression per element; equal simple ones are one object.
    """

    __slots__ = ("inits", "mode", "offset", "table", "type")

    def __init__(self, type: int, mode: int, table: int, offset: ConstExpr | None, inits: Sequence[ConstExpr]) -> None:
        self.type = type
        self.mode = mode
        self.table = table
        self.offset = offset
        self.inits = inits


class Data:
    """A data segment; its bytes are `module.data[start:end]`.

    Attributes:
        mode: ACTIVE or PASSIVE.
        memory: index of the memory an active segment goes to.
        offset: where it goes, for active segments.
        start: byte offset of the first byte of data.
        end: byte offset after the last.
    """

    __slots__ = ("end", "memory", "mode", "offset", "start")

    def __init__(self, mode: int, memory: int, offset: ConstExpr | None, start: int = 0, end: int = 0) -> None:
        self.mode = mode
        self.memory = memory
        self.offset = offset
        self.start = start
        self.end = end


class Body:
    """The code entry of a defined function, after its size field: locals, then instructions, as a byte range."""

    __slots__ = ("end", "start")

    def __init__(self, start: int, end: int) -> None:
        self.start = start
        self.end = end


class Custom:
    """A custom section; its content after the name is `module.data[start:end]`.

    Attributes:
        name: its name.
        start, end: byte offsets of the content.
        after: id of the section before it that is not custom, 0 at the beginning of the module.
    """

    __slots__ = ("after", "end", "name", "start")

    def __init__(self, name: str, start: int, end: int, after: int) -> None:
        self.name = name
        self.start = start
        self.end = end
        self.after = after


class Module:
    """A module.

    Attributes:
        data: the whole binary.
        features: the proposals it was decoded with, and will be validated with.
        types: the type section; the types that imply each other stand in groups.
        groups: index of the first type of every recursion group, in order; empty groups leave no trace.
        imports: in order of the import section.
        func_types: type index of every function, imports first.
        tables, memories, globals: the types in each index space, imports first.
        tags: type index of every tag, imports first.
        table_inits: initial value of the elements of the defined tables, None for null.
        global_inits: initial values of the defined globals.
        exports, start, elems, datas: the sections of these names; `start` is None without one.
        data_count: content of the data count section, or None.
        bodies: code of the defined functions.
        customs: custom sections in order.
    """

    __slots__ = (
        "bodies",
        "customs",
        "data",
        "data_count",
        "datas",
        "elems",
        "exports",
        "features",
        "func_types",
        "global_inits",
        "globals",
        "groups",
        "imports",
        "memories",
        "num_imported_funcs",
        "num_imported_globals",
        "num_imported_memories",
        "num_imported_tables",
        "num_imported_tags",
        "start",
        "table_inits",
        "tables",
        "tags",
        "types",
        "_export_names",
        "_names",
        "_passive_datas",
    )

    def __init__(self, data: bytes = b"", features: Features = DEFAULT) -> None:
        self.data = data
        self.features = features
        self.types: list[SubType] = []
        self.groups: list[int] = []
        self.imports: list[Import] = []
        self.func_types: list[int] = []
        self.tables: list[TableType] = []
        self.memories: list[MemoryType] = []
        self.globals: list[GlobalType] = []
        self.tags: list[int] = []
        self.num_imported_funcs = 0
        self.num_imported_tables = 0
        self.num_imported_memories = 0
        self.num_imported_globals = 0
        self.num_imported_tags = 0
        self.table_inits: list[ConstExpr | None] = []
        self.global_inits: list[ConstExpr] = []
        self.exports: list[Export] = []
        self.start: int | None = None
        self.elems: list[Elem] = []
        self.datas: Sequence[Data] = []
        self.data_count: int | None = None
        self.bodies: Sequence[Body] = []
        self.customs: list[Custom] = []
        self._passive_datas: list[int] | None = None
        self._names: Names | None = None
        self._export_names: dict[int, str] | None = None

    @property
    def passive_datas(self) -> list[int]:
        """The numbers of the data segments that are passive, found on first use."""
        if self._passive_datas is None:
            self._passive_datas = [number for number, data in enumerate(self.datas) if data.mode == PASSIVE]
        return self._passive_datas

    @property
    def names(self) -> Names:
        """The name section, read on first use; empty where there is none or it is malformed."""
        if self._names is None:
            section = self._name_section
            self._names = read_names(self.data, section.start, section.end) if section else Names()
        return self._names

    @property
    def field_names(self) -> dict[int, NameMap]:
        """The names of fields in the name section, of which the rest is not read for that."""
        section = self._name_section
        return read_field_names(self.data, section.start, section.end) if section else {}

    @property
    def _name_section(self) -> Custom | None:
        return next((custom for custom in self.customs if custom.name == "name"), None)

    @property
    def name(self) -> str | None:
        """The module's own name from the name section."""
        return self.names.module

    def signature(self, index: int) -> FuncType:
        """Return the function type with an index in the type section."""
        comp = self.types[index].comp
        assert isinstance(comp, FuncType)
        return comp

    def func_type(self, index: int) -> FuncType:
        """Return the type of a function by its index in the index space."""
        return self.signature(self.func_types[index])

    def func_name(self, index: int) -> str | None:
        """Return a function's name: from the name section, else one it is exported under, else None."""
        name = self.names.funcs.get(index)
        if name is not None:
            return name
        if self._export_names is None:
            self._export_names = {export.index: export.name for export in reversed(self.exports) if export.kind == FUNC}
        return self._export_names.get(index)

    def local_name(self, func: int, index: int) -> str | None:
        """Return the name of a local from the name section."""
        names = self.names.locals.get(func)
        return names.get(index) if names else None

    def parameter_names(self, func: int) -> list[str]:
        """Return names for a function's parameters that Python allows: from the name section, once each, otherwise p0, p1, ..."""
        names = [f"p{i}" for i in range(len(self.func_type(func).params))]
        for i in range(len(names)):
            name = self.local_name(func, i) or ""
            if name.isidentifier() and not keyword.iskeyword(name) and name not in names:
                names[i] = name
        return names

    def body(self, func: int) -> Body:
        """Return the body of a defined function by its index in the index space."""
        return self.bodies[func - self.num_imported_funcs]

    def add_import(self, item: Import) -> None:
        """Append an import, and its item to the index space of its kind; imports come before definitions."""
        self.imports.append(item)
        desc = item.desc
        if item.kind == TAG:
            assert isinstance(desc, int)
            self.tags.append(desc)
            self.num_imported_tags += 1
        elif isinstance(desc, int):
            self.func_types.append(desc)
            self.num_imported_funcs += 1
        elif isinstance(desc, TableType):
            self.tables.append(desc)
            self.num_imported_tables += 1
        elif isinstance(desc, MemoryType):
            self.memories.append(desc)
            self.num_imported_memories += 1
        else:
            self.globals.append(desc)
            self.num_imported_globals += 1
