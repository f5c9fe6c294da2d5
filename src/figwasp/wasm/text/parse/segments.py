"""Floor 1: tables, memories and their segments in the text format (spec 6.6.5 to 6.6.12).

In: a `TypeCursor` on what follows the keyword and the identifier of a field. Out: entries of the module that is being made.
Segments within the definition of a table or a memory are the same as segments of their own.
"""

from __future__ import annotations

from typing import Final

from figwasp.features import ALL
from figwasp.wasm.syntax.module import ACTIVE, DECLARATIVE, FUNC, MEMORY, PASSIVE, TABLE, ConstExpr, Data, Elem, Module
from figwasp.wasm.syntax.names import Names
from figwasp.wasm.syntax.opcodes import BY_NAME
from figwasp.wasm.syntax.types import FUNCREF, I64, NON_NULL, Limits, MemoryType, TableType
from figwasp.wasm.text.cursor import DATA, ELEM, is_index
from figwasp.wasm.text.parse.code import InstructionParser
from figwasp.wasm.text.parse.types import TypeCursor

__all__ = ["Segments"]

I32_CONST: Final = BY_NAME["i32.const"].code
I64_CONST: Final = BY_NAME["i64.const"].code
REF_FUNC: Final = BY_NAME["ref.func"].code
FUNC_INDICES: Final = FUNCREF | NON_NULL
"""Type of a segment that is given by the indices of functions."""


class Segments:
    """Reads tables, memories and segments of one module.

    Attributes:
        cursor: where reading goes on.
        module: grows by what is read.
        segments: its data segments, which grow as it does.
        datas: per data segment its bytes.
        names: receives the names that identifiers give.
    """

    __slots__ = ("cursor", "datas", "module", "names", "segments")

    def __init__(self, cursor: TypeCursor) -> None:
        self.cursor = cursor
        self.module = Module(features=ALL)
        self.segments: list[Data] = []
        self.module.datas = self.segments
        self.datas: list[bytes] = []
        self.names = Names()

    # Tables and memories

    def table(self, index: int) -> None:
        """Read a table: its type and an initial value, or the type of its elements and those."""
        cursor = self.cursor
        module = self.module
        address = cursor.address()
        init: ConstExpr | None = None
        if cursor.items[cursor.at][:1].isdecimal():
            module.tables.append(cursor.table_type(address))
            if cursor.items[cursor.at] != ")":
                init = InstructionParser(cursor, {}).const_expr()
        else:
            type_ = cursor.ref_type()
            if not cursor.opens("elem"):
                cursor.unexpected("'(elem'")
            by_index = cursor.items[cursor.at] != "("
            inits = self._funcs() if by_index else self._exprs()
            cursor.expect(")")
            elem_type = FUNC_INDICES if by_index and type_ == FUNCREF else type_
            module.tables.append(TableType(type_, Limits(len(inits), len(inits)), address))
            module.elems.append(Elem(elem_type, ACTIVE, index, _zero(address), inits))
        module.table_inits.append(init)

    def memory(self, index: int) -> None:
        """Read a memory: its type, or its content."""
        cursor = self.cursor
        module = self.module
        start = cursor.at
        address = cursor.address()
        page = cursor.page_size()
        if not cursor.opens("data"):
            cursor.at = start
            module.memories.append(cursor.memory_type())
            return
        data = cursor.strings()
        cursor.expect(")")
        pages = (len(data) + (1 << page) - 1) >> page
        module.memories.append(MemoryType(Limits(pages, pages), address, shared=False, page=page))
        self.segments.append(Data(ACTIVE, index, _zero(address)))
        self.datas.append(data)

    # Segments

    def _name(self, space: int, index: int) -> None:
        """Read the identifier of a segment."""
        title = self.cursor.title(self.cursor.identifier())
        if title is not None:
            (self.names.elems if space == ELEM else self.names.datas)[index] = title

    def _offset(self) -> ConstExpr:
        """Read `(offset instr...)` or one folded instruction."""
        cursor = self.cursor
        if not cursor.opens("offset"):
            return InstructionParser(cursor, {}).const_instr()
        expr = InstructionParser(cursor, {}).const_expr()
        cursor.expect(")")
        return expr

    def _use(self, keyword: str, kind: int) -> int | None:
        """Read the table or memory of a segment, `(table x)` or `(memory x)`, if it is given."""
        cursor = self.cursor
        if not cursor.opens(keyword):
            return None
        index = cursor.index(kind)
        cursor.expect(")")
        return index

    def elem(self) -> None:
        """Read an element segment."""
        cursor = self.cursor
        items = cursor.items
        self._name(ELEM, len(self.module.elems))
        if items[cursor.at] == "declare":
            cursor.at += 1
            self._elem_list(DECLARATIVE, 0, None)
            return
        table = self._use("table", TABLE)
        if table is None and (items[cursor.at] != "(" or items[cursor.at + 1] == "ref"):
            self._elem_list(PASSIVE, 0, None)
            return
        offset = self._offset()
        token = items[cursor.at]
        if table is None and (token == ")" or is_index(token)):
            # As in Wasm 1.0, which has neither the use of a table nor "func".
            self.module.elems.append(Elem(FUNC_INDICES, ACTIVE, 0, offset, self._funcs()))
        else:
            self._elem_list(ACTIVE, table or 0, offset)

    def _elem_list(self, mode: int, table: int, offset: ConstExpr | None) -> None:
        cursor = self.cursor
        if cursor.items[cursor.at] == "func":
            cursor.at += 1
            self.module.elems.append(Elem(FUNC_INDICES, mode, table, offset, self._funcs()))
        else:
            type_ = cursor.ref_type()
            self.module.elems.append(Elem(type_, mode, table, offset, self._exprs()))

    def _funcs(self) -> list[ConstExpr]:
        cursor = self.cursor
        inits: list[ConstExpr] = []
        while cursor.items[cursor.at] != ")":
            inits.append(ConstExpr([(REF_FUNC, cursor.index(FUNC))]))
        return inits

    def _exprs(self) -> list[ConstExpr]:
        cursor = self.cursor
        code = InstructionParser(cursor, {})
        inits: list[ConstExpr] = []
        while cursor.items[cursor.at] == "(":
            if cursor.opens("item"):
                inits.append(code.const_expr())
                cursor.expect(")")
            else:
                inits.append(code.const_instr())
        return inits

    def _memory_use(self) -> int | None:
        """Read the memory of a data segment, also by its number alone: so it is in Wasm 1.0, and scripts still have it."""
        cursor = self.cursor
        if cursor.items[cursor.at][:1].isdecimal() and cursor.items[cursor.at + 1] == "(":
            return cursor.index(MEMORY)
        return self._use("memory", MEMORY)

    def data(self) -> None:
        """Read a data segment."""
        cursor = self.cursor
        self._name(DATA, len(self.segments))
        memory = self._memory_use()
        if memory is None and cursor.items[cursor.at] != "(":
            segment = Data(PASSIVE, 0, None)
        else:
            segment = Data(ACTIVE, memory or 0, self._offset())
        self.segments.append(segment)
        self.datas.append(cursor.strings())


def _zero(address: int) -> ConstExpr:
    return ConstExpr([(I64_CONST if address == I64 else I32_CONST, 0)])
