"""Floor 1: the fields of a module in the text format (spec 6.6).

In: a `TypeCursor` on the first field. Out: `Parsed`: the module, the code entries, the data, the names that identifiers and
annotations give, and the custom sections, as `encode` takes them.

Fields are walked three times, since any of them may refer to what follows: to number the items of every index space
(`parse/numbering.py`), to read the types, to read everything else in the order of the text. Types implied by type uses are
appended in that order.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from figwasp.wasm.binary.encode import Section, locals_vector
from figwasp.wasm.syntax.module import FUNC, GLOBAL, MEMORY, TABLE, TAG, Export, Import, Module
from figwasp.wasm.syntax.names import NameMap, Names
from figwasp.wasm.syntax.types import GlobalType, MemoryType, SubType, TableType
from figwasp.wasm.text.cursor import DATA
from figwasp.wasm.text.parse.annotations import Annotations, hint_section
from figwasp.wasm.text.parse.code import InstructionParser
from figwasp.wasm.text.parse.numbering import KINDS, number
from figwasp.wasm.text.parse.segments import Segments
from figwasp.wasm.text.parse.types import TypeCursor

__all__ = ["Fields", "Parsed"]


class Parsed(NamedTuple):
    """A module read from text: the arguments of `encode`."""

    module: Module
    bodies: list[bytes]
    datas: list[bytes]
    names: Names
    customs: list[Section]


class Fields(Segments):
    """Reads the fields of one module."""

    __slots__ = ("_hints", "_maps", "_waiting", "bodies")

    def __init__(self, cursor: TypeCursor) -> None:
        super().__init__(cursor)
        self.bodies: list[bytes] = []
        names = self.names
        self._maps: list[NameMap] = [names.funcs, names.tables, names.memories, names.globals, names.tags]
        # Functions whose type use names a type that a later field will imply: token, index, identifiers of parameters.
        self._waiting: list[tuple[int, int, dict[str, int]]] = []
        self._hints: dict[int, list[tuple[int, int]]] = {}

    def parse(self, name: str | None, start: int) -> Parsed:
        """Read all fields.

        Args:
            name: identifier of the module.
            start: index of the first token in front of which an annotation belongs to the module.
        """
        cursor = self.cursor
        begin = cursor.at
        starts = number(cursor)
        end = cursor.at
        notes = cursor.tokens.notes_between(start, end)
        annotations = Annotations(cursor, notes) if notes else None
        cursor.at = begin
        self.names.module = cursor.title(name)
        self.module.types = cursor.types
        self.module.groups = cursor.groups
        for walk in (_TYPE_READERS, _READERS):
            for at in starts:
                read = walk.get(cursor.items[at])
                if read is not None:
                    cursor.at = at + 1
                    read(self)
                    cursor.expect(")")
        for at, index, locals_ in self._waiting:
            cursor.at = at
            self._body(index, locals_)
        cursor.at = end
        self.names.fields = {index: titles for index, titles in cursor.field_titles.items() if titles}
        customs = annotations.finish(starts, begin, end) if annotations is not None else []
        if self._hints:
            customs.append(hint_section(self._hints))
        return Parsed(self.module, self.bodies, self.datas, self.names, customs)

    # Second walk

    def _type(self) -> None:
        self.cursor.add_group([self._sub_type(len(self.cursor.types))])

    def _rec(self) -> None:
        cursor = self.cursor
        types: list[SubType] = []
        while cursor.opens("type"):
            types.append(self._sub_type(len(cursor.types) + len(types)))
            cursor.expect(")")
        cursor.add_group(types)

    def _sub_type(self, index: int) -> SubType:
        cursor = self.cursor
        title = cursor.title(cursor.identifier())
        if title is not None:
            self.names.types[index] = title
        return cursor.sub_type(index)

    # Third walk

    def _identifier(self, kind: int, index: int) -> None:
        """Read the identifier of an item, and keep its name."""
        cursor = self.cursor
        title = cursor.title(cursor.identifier())
        if title is not None:
            self._maps[kind][index] = title

    def _count(self, kind: int) -> int:
        """Return how many items of a kind there are so far."""
        module = self.module
        if kind == FUNC:
            return len(module.func_types)
        if kind == TABLE:
            return len(module.tables)
        if kind == MEMORY:
            return len(module.memories)
        return len(module.globals) if kind == GLOBAL else len(module.tags)

    def _import(self) -> None:
        cursor = self.cursor
        module, name = cursor.name(), cursor.name()
        cursor.expect("(")
        kind = KINDS[cursor.items[cursor.at]]
        cursor.at += 1
        self._identifier(kind, self._count(kind))
        self._imported(module, name, kind)
        cursor.expect(")")

    def _imported(self, module: str, name: str, kind: int) -> None:
        """Read the type of an import."""
        cursor = self.cursor
        desc: int | TableType | MemoryType | GlobalType
        if kind == FUNC:
            locals_: dict[str, int] = {}
            desc = cursor.type_use(locals_)
            self._name_locals(self.module.num_imported_funcs, locals_)
        elif kind == TAG:
            desc = cursor.type_use({})
            cursor.local_titles.clear()
        elif kind == TABLE:
            desc = cursor.table_type(cursor.address())
        elif kind == MEMORY:
            desc = cursor.memory_type()
        else:
            desc = cursor.global_type()
        self.module.add_import(Import(module, name, kind, desc))

    def _inline(self, kind: int, index: int) -> bool:
        """Read identifier, inline exports and an inline import; return whether the field is an import."""
        cursor = self.cursor
        self._identifier(kind, index)
        while cursor.opens("export"):
            self.module.exports.append(Export(cursor.name(), kind, index))
            cursor.expect(")")
        if not cursor.opens("import"):
            return False
        module, name = cursor.name(), cursor.name()
        cursor.expect(")")
        self._imported(module, name, kind)
        return True

    def _func(self) -> None:
        cursor = self.cursor
        index = len(self.module.func_types)
        if self._inline(FUNC, index):
            return
        locals_: dict[str, int] = {}
        type_ = cursor.type_use(locals_)
        self.module.func_types.append(type_)
        self.bodies.append(b"")
        self._name_locals(index, locals_)
        if type_ < len(cursor.types):
            self._body(index, locals_)
        else:
            self._waiting.append((cursor.at, index, locals_))
            cursor.skip_form()
            cursor.at -= 1

    def _body(self, index: int, locals_: dict[str, int]) -> None:
        cursor = self.cursor
        module = self.module
        types = cursor.declarations("local", locals_, cursor.params(module.func_types[index]))
        self._name_locals(index, locals_)
        code = InstructionParser(cursor, locals_)
        body = code.body()
        head = locals_vector(types)
        self.bodies[index - module.num_imported_funcs] = head + body
        if code.uses_data:
            module.data_count = cursor.counts[DATA]
        if code.names:
            self.names.labels[index] = code.names
        if code.hints:
            self._hints[index] = [(len(head) + at, hint) for at, hint in code.hints]

    def _name_locals(self, index: int, locals_: dict[str, int]) -> None:
        titles = self.cursor.local_titles
        if locals_ or titles:
            names = self.names.locals.setdefault(index, {})
            for name, local in locals_.items():
                names.setdefault(local, name[1:])
            names.update(titles)
            titles.clear()

    def _table(self) -> None:
        index = len(self.module.tables)
        if not self._inline(TABLE, index):
            self.table(index)

    def _memory(self) -> None:
        index = len(self.module.memories)
        if not self._inline(MEMORY, index):
            self.memory(index)

    def _global(self) -> None:
        module = self.module
        if not self._inline(GLOBAL, len(module.globals)):
            module.globals.append(self.cursor.global_type())
            module.global_inits.append(InstructionParser(self.cursor, {}).const_expr())

    def _tag(self) -> None:
        module = self.module
        if not self._inline(TAG, len(module.tags)):
            module.tags.append(self.cursor.type_use({}))
            self.cursor.local_titles.clear()

    def _export(self) -> None:
        cursor = self.cursor
        name = cursor.name()
        cursor.expect("(")
        kind = KINDS.get(cursor.items[cursor.at])
        if kind is None:
            cursor.unexpected("the kind of an export")
        cursor.at += 1
        self.module.exports.append(Export(name, kind, cursor.index(kind)))
        cursor.expect(")")

    def _start(self) -> None:
        if self.module.start is not None:
            self.cursor.fail("multiple start sections", self.cursor.at - 1)
        self.module.start = self.cursor.index(FUNC)


_TYPE_READERS: Final = {"type": Fields._type, "rec": Fields._rec}
_READERS: Final = {
    "import": Fields._import,
    "func": Fields._func,
    "table": Fields._table,
    "memory": Fields._memory,
    "global": Fields._global,
    "tag": Fields._tag,
    "export": Fields._export,
    "start": Fields._start,
    "elem": Segments.elem,
    "data": Segments.data,
}
