"""Floor 1: the fields of a module in the text format (spec 6.6).

In: a `Cursor` on the first field. Out: `Parsed`: the module, the code entries, the data and the names that identifiers
give, as `encode` takes them.

Fields are walked three times, since any of them may refer to what follows: to number the items of every index space, to
read the types, to read everything else in the order of the text. Types implied by type uses are appended in that order.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from figwasp.wasm.cursor import ADDRESS_TYPES, DATA, ELEM, TYPE, Cursor, is_index
from figwasp.wasm.encode import locals_vector
from figwasp.wasm.later import no_support
from figwasp.wasm.module import (
    ACTIVE,
    DECLARATIVE,
    FUNC,
    GLOBAL,
    KIND_NAMES,
    MEMORY,
    PASSIVE,
    TABLE,
    ConstExpr,
    Data,
    Elem,
    Export,
    Import,
    Module,
)
from figwasp.wasm.names import Names
from figwasp.wasm.opcodes import BY_NAME
from figwasp.wasm.parse_code import Code
from figwasp.wasm.types import FUNCREF, GlobalType, Limits, MemoryType, TableType

__all__ = ["Fields", "Parsed"]

KINDS: Final = {"func": FUNC, "table": TABLE, "memory": MEMORY, "global": GLOBAL}
"""Keyword -> kind of import or export, which is also its index space."""
SPACES: Final = {**KINDS, "type": TYPE, "elem": ELEM, "data": DATA}
"""Keyword of a field that may have an identifier -> its index space."""
FIELDS: Final = frozenset((*SPACES, "import", "export", "start"))
PAGE: Final = 0x10000
I32_CONST: Final = BY_NAME["i32.const"].code
REF_FUNC: Final = BY_NAME["ref.func"].code


class Parsed(NamedTuple):
    """A module read from text: the arguments of `encode`."""

    module: Module
    bodies: list[bytes]
    datas: list[bytes]
    names: Names


class Fields:
    """Reads the fields of one module."""

    __slots__ = ("bodies", "cursor", "datas", "module", "names", "starts", "waiting")

    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor
        self.module = Module()
        self.bodies: list[bytes] = []
        self.datas: list[bytes] = []
        self.names = Names()
        self.starts: list[int] = []
        # Functions whose type use names a type that a later field will imply: token, index, identifiers of parameters.
        self.waiting: list[tuple[int, int, dict[str, int]]] = []

    def parse(self, name: str | None) -> Parsed:
        """Read all fields; `name` is the identifier of the module."""
        cursor = self.cursor
        self.names.module = name[1:] if name else None
        self._number()
        end = cursor.at
        self.module.types = cursor.types
        for keyword in ("type", ""):
            for start in self.starts:
                cursor.at = start + 1
                field = cursor.items[start]
                if (field == "type") == (keyword == "type"):
                    _READERS[field](self)
                    cursor.expect(")")
        for at, index, locals_ in self.waiting:
            cursor.at = at
            self._body(index, locals_)
        cursor.at = end
        return Parsed(self.module, self.bodies, self.datas, self.names)

    # First walk

    def _number(self) -> None:
        """Give every item its index, and step over all fields."""
        cursor = self.cursor
        items = cursor.items
        defined = ""
        while items[cursor.at] == "(":
            cursor.at += 1
            keyword = items[cursor.at]
            if keyword not in FIELDS:
                cursor.unexpected("a module field")
            start = cursor.at
            self.starts.append(start)
            cursor.at += 1
            if keyword == "import":
                self._number_import(defined)
            elif keyword in SPACES:
                cursor.bind(SPACES[keyword])
                if keyword in KINDS and not self._number_inline(keyword, defined):
                    defined = defined or keyword
            cursor.skip_form()
        if items[cursor.at] not in ("", ")"):
            cursor.unexpected("a module field")

    def _number_import(self, defined: str) -> None:
        cursor = self.cursor
        at = cursor.at
        cursor.name()
        cursor.name()
        cursor.expect("(")
        keyword = cursor.items[cursor.at]
        if keyword not in KINDS:
            cursor.unexpected("the kind of an import")
        if defined:
            cursor.fail(f"import after {KIND_NAMES[KINDS[defined]]}", at - 1)
        cursor.at += 1
        cursor.bind(KINDS[keyword])
        cursor.skip_form()

    def _number_inline(self, keyword: str, defined: str) -> bool:
        """Step over inline exports, number inline segments; answer whether the field is an import."""
        cursor = self.cursor
        while cursor.opens("export"):
            cursor.skip_form()
        if cursor.opens("import"):
            if defined:
                cursor.fail(f"import after {KIND_NAMES[KINDS[defined]]}", cursor.at - 1)
            cursor.skip_form()
            return True
        if keyword == "memory" and cursor.items[cursor.at : cursor.at + 2] == ["(", "data"]:
            cursor.counts[DATA] += 1
        elif keyword == "table" and cursor.items[cursor.at + 1 : cursor.at + 3] == ["(", "elem"]:
            cursor.counts[ELEM] += 1
        return False

    # Second walk

    def _type(self) -> None:
        cursor = self.cursor
        cursor.identifier()
        if not cursor.opens("func"):
            cursor.expect("(")
            cursor.unexpected("'func'")
        cursor.add_type(cursor.signature({}))
        cursor.expect(")")

    # Third walk

    def _import(self) -> None:
        cursor = self.cursor
        module, name = cursor.name(), cursor.name()
        cursor.expect("(")
        keyword = cursor.items[cursor.at]
        cursor.at += 1
        key = cursor.identifier()
        self._imported(module, name, KINDS[keyword], key)
        cursor.expect(")")

    def _imported(self, module: str, name: str, kind: int, key: str | None) -> None:
        """Read the type of an import."""
        cursor = self.cursor
        desc: int | TableType | MemoryType | GlobalType
        if kind == FUNC:
            names: dict[str, int] = {}
            desc = cursor.type_use(names)
            self._name_func(self.module.num_imported_funcs, key, names)
        elif kind == TABLE:
            desc = TableType(limits=cursor.limits(), elem=cursor.ref_type())
        elif kind == MEMORY:
            desc = MemoryType(cursor.limits())
        else:
            desc = self._global_type()
        self.module.add_import(Import(module, name, kind, desc))

    def _inline(self, kind: int, index: int) -> tuple[str | None, bool]:
        """Read identifier, inline exports and an inline import; return the identifier and whether it is an import."""
        cursor = self.cursor
        key = cursor.identifier()
        while cursor.opens("export"):
            self.module.exports.append(Export(cursor.name(), kind, index))
            cursor.expect(")")
        if not cursor.opens("import"):
            return key, False
        module, name = cursor.name(), cursor.name()
        cursor.expect(")")
        self._imported(module, name, kind, key)
        return key, True

    def _func(self) -> None:
        cursor = self.cursor
        index = len(self.module.func_types)
        key, imported = self._inline(FUNC, index)
        if imported:
            return
        locals_: dict[str, int] = {}
        type_ = cursor.type_use(locals_)
        self.module.func_types.append(type_)
        self.bodies.append(b"")
        self._name_func(index, key, locals_)
        if type_ < len(cursor.types):
            self._body(index, locals_)
        else:
            self.waiting.append((cursor.at, index, locals_))
            cursor.skip_form()
            cursor.at -= 1

    def _body(self, index: int, locals_: dict[str, int]) -> None:
        cursor = self.cursor
        module = self.module
        type_ = module.func_types[index]
        params = len(cursor.types[type_].params) if type_ < len(cursor.types) else 0
        types = cursor.declarations("local", locals_, params)
        self._name_func(index, None, locals_)
        code = Code(cursor, locals_)
        body = code.body()
        self.bodies[index - module.num_imported_funcs] = locals_vector(types) + body
        if code.uses_data:
            module.data_count = cursor.counts[DATA]

    def _name_func(self, index: int, key: str | None, locals_: dict[str, int]) -> None:
        if key is not None:
            self.names.funcs[index] = key[1:]
        if locals_:
            self.names.locals[index] = {local: name[1:] for name, local in locals_.items()}

    def _table(self) -> None:
        cursor = self.cursor
        module = self.module
        index = len(module.tables)
        if self._inline(TABLE, index)[1]:
            return
        if cursor.items[cursor.at][:1].isdecimal() or cursor.items[cursor.at] in ADDRESS_TYPES:
            module.tables.append(TableType(limits=cursor.limits(), elem=cursor.ref_type()))
            if cursor.items[cursor.at] == "(":
                cursor.fail("unexpected token (, an initial value" + no_support("typed function references"))
            return
        type_ = cursor.ref_type()
        if not cursor.opens("elem"):
            cursor.unexpected("'(elem'")
        inits = self._elem_exprs() if cursor.items[cursor.at] == "(" else self._elem_funcs()
        cursor.expect(")")
        module.tables.append(TableType(type_, Limits(len(inits), len(inits))))
        module.elems.append(Elem(type_, ACTIVE, index, _zero(), inits))

    def _memory(self) -> None:
        cursor = self.cursor
        module = self.module
        index = len(module.memories)
        if self._inline(MEMORY, index)[1]:
            return
        if not cursor.opens("data"):
            module.memories.append(MemoryType(cursor.limits()))
            return
        data = cursor.strings()
        cursor.expect(")")
        pages = (len(data) + PAGE - 1) // PAGE
        module.memories.append(MemoryType(Limits(pages, pages)))
        module.datas.append(Data(ACTIVE, index, _zero()))
        self.datas.append(data)

    def _global_type(self) -> GlobalType:
        cursor = self.cursor
        if not cursor.opens("mut"):
            return GlobalType(cursor.value_type(), mutable=False)
        type_ = GlobalType(cursor.value_type(), mutable=True)
        cursor.expect(")")
        return type_

    def _global(self) -> None:
        module = self.module
        if self._inline(GLOBAL, len(module.globals))[1]:
            return
        module.globals.append(self._global_type())
        module.global_inits.append(Code(self.cursor, {}).const_expr())

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

    # Segments

    def _offset(self) -> ConstExpr:
        """Read `(offset instr...)` or one folded instruction."""
        cursor = self.cursor
        if not cursor.opens("offset"):
            return Code(cursor, {}).const_instr()
        expr = Code(cursor, {}).const_expr()
        cursor.expect(")")
        return expr

    def _target(self, keyword: str) -> int | None:
        """Read the table or memory of a segment, `(table x)`, or just the number as in Wasm 1.0."""
        cursor = self.cursor
        if is_index(cursor.items[cursor.at]) and cursor.items[cursor.at + 1] == "(":
            return cursor.index(KINDS[keyword])
        if not cursor.opens(keyword):
            return None
        index = cursor.index(KINDS[keyword])
        cursor.expect(")")
        return index

    def _elem(self) -> None:
        cursor = self.cursor
        cursor.identifier()
        if cursor.items[cursor.at] == "declare":
            cursor.at += 1
            self._elem_list(DECLARATIVE, 0, None)
            return
        table = self._target("table")
        if table is None and cursor.items[cursor.at] != "(":
            self._elem_list(PASSIVE, 0, None)
            return
        offset = self._offset()
        token = cursor.items[cursor.at]
        if token == ")" or is_index(token):
            self.module.elems.append(Elem(FUNCREF, ACTIVE, table or 0, offset, self._elem_funcs()))
        else:
            self._elem_list(ACTIVE, table or 0, offset)

    def _elem_list(self, mode: int, table: int, offset: ConstExpr | None) -> None:
        cursor = self.cursor
        if cursor.items[cursor.at] == "func":
            cursor.at += 1
            self.module.elems.append(Elem(FUNCREF, mode, table, offset, self._elem_funcs()))
        else:
            type_ = cursor.ref_type()
            self.module.elems.append(Elem(type_, mode, table, offset, self._elem_exprs()))

    def _elem_funcs(self) -> list[ConstExpr]:
        cursor = self.cursor
        inits: list[ConstExpr] = []
        while cursor.items[cursor.at] != ")":
            inits.append(ConstExpr([(REF_FUNC, cursor.index(FUNC))]))
        return inits

    def _elem_exprs(self) -> list[ConstExpr]:
        cursor = self.cursor
        code = Code(cursor, {})
        inits: list[ConstExpr] = []
        while cursor.items[cursor.at] == "(":
            if cursor.opens("item"):
                inits.append(code.const_expr())
                cursor.expect(")")
            else:
                inits.append(code.const_instr())
        return inits

    def _data(self) -> None:
        cursor = self.cursor
        cursor.identifier()
        memory = self._target("memory")
        if memory is None and cursor.items[cursor.at] != "(":
            segment = Data(PASSIVE, 0, None)
        else:
            segment = Data(ACTIVE, memory or 0, self._offset())
        self.module.datas.append(segment)
        self.datas.append(cursor.strings())


def _zero() -> ConstExpr:
    return ConstExpr([(I32_CONST, 0)])


_READERS: Final = {
    "type": Fields._type,
    "import": Fields._import,
    "func": Fields._func,
    "table": Fields._table,
    "memory": Fields._memory,
    "global": Fields._global,
    "export": Fields._export,
    "start": Fields._start,
    "elem": Fields._elem,
    "data": Fields._data,
}
