"""Floor 1: types in the text format (spec 6.4): of values, functions, structures and arrays, tables, memories and globals.

In: a `TypeCursor` on the first token of a type. Out: the type as `types.py` has it. The cursor holds the types of the module
it is in; those that type uses imply are appended to them.
"""

from __future__ import annotations

from typing import Final

from figwasp.wasm.syntax.types import (
    EMPTY,
    HEAP_NAMES,
    I8,
    I16,
    I32,
    I64,
    NON_NULL,
    TYPE_CODES,
    ArrayType,
    CompType,
    FieldType,
    FuncType,
    GlobalType,
    Limits,
    MemoryType,
    StructType,
    SubType,
    TableType,
    Types,
    concrete,
    is_ref,
)
from figwasp.wasm.text.cursor import TYPE, U32, U64, Cursor, is_index
from figwasp.wasm.text.lexer import Tokens

__all__ = ["TypeCursor"]

_PACKED: Final = {"i8": I8, "i16": I16}
_ADDRESSES: Final = {"i32": I32, "i64": I64}
_EMPTY_BLOCK: Final = ~EMPTY
_NO_TYPES: Final[Types] = ()


class TypeCursor(Cursor):
    """A cursor that reads types, and the types of the module it is in.

    Attributes:
        types: the types so far; implied ones are appended (spec 6.4.6).
        groups: index of the first type of each recursion group.
        fields: index of the type of a structure -> identifier -> index of a field.
        local_titles: index of a local -> name by annotation, of the declarations read last.
        field_titles: index of the type of a structure -> index of a field -> name.
    """

    __slots__ = ("_implied", "field_titles", "fields", "groups", "local_titles", "types")

    def __init__(self, tokens: Tokens, at: int = 0) -> None:
        super().__init__(tokens, at)
        self.types: list[SubType] = []
        self.groups: list[int] = []
        self.fields: dict[int, dict[str, int]] = {}
        self.local_titles: dict[int, str] = {}
        self.field_titles: dict[int, dict[int, str]] = {}
        self._implied: dict[FuncType, int] = {}

    # Values

    def value_type(self) -> int:
        """Read a value type."""
        code = TYPE_CODES.get(self.items[self.at])
        if code is None:
            return self._ref("a value type")
        self.at += 1
        return code

    def ref_type(self) -> int:
        """Read a reference type."""
        code = TYPE_CODES.get(self.items[self.at])
        if code is None:
            return self._ref("a reference type")
        if not is_ref(code):
            self.unexpected("a reference type")
        self.at += 1
        return code

    def _ref(self, wanted: str) -> int:
        """Read `(ref null? heaptype)`."""
        if not self.opens("ref"):
            self.unexpected(wanted)
        null = self.items[self.at] == "null"
        self.at += null
        code = self.heap_type()
        self.expect(")")
        return code if null else code | NON_NULL

    def heap_type(self) -> int:
        """Read a heap type; return the nullable reference to it."""
        token = self.items[self.at]
        code = HEAP_NAMES.get(token)
        if code is None:
            if not is_index(token):
                self.unexpected("a heap type")
            return concrete(self.index(TYPE), nullable=True)
        self.at += 1
        return code

    def value_types(self) -> Types:
        """Read value types up to and with a closing parenthesis."""
        items = self.items
        types: list[int] = []
        while items[self.at] != ")":
            types.append(self.value_type())
        self.at += 1
        return tuple(types)

    # Functions

    def declarations(self, keyword: str, names: dict[str, int] | None, count: int) -> Types:
        """Read `(param ...)` or `(local ...)` forms.

        Args:
            keyword: which of the two.
            names: receives identifier -> index of the local; None where identifiers may not stand.
            count: index of the first.
        """
        items = self.items
        if items[self.at] != "(" or items[self.at + 1] != keyword:
            return _NO_TYPES
        types: list[int] = []
        while self.opens(keyword):
            key = self.identifier() if names is not None else None
            if self.titles and names is not None:
                self._entitle(count + len(types))
            if key is None or names is None:
                types += self.value_types()
                continue
            if key in names:
                self.fail(f"duplicate local {key}", self.at - 1)
            names[key] = count + len(types)
            types.append(self.value_type())
            self.expect(")")
        return tuple(types)

    def _entitle(self, local: int) -> None:
        """Keep the name that an annotation gives to the one local that is declared next."""
        title = self.title(None)
        if title is not None:
            self.local_titles[local] = title

    def signature(self, names: dict[str, int] | None) -> FuncType:
        """Read parameters and results; `names` as in `declarations`."""
        params = self.declarations("param", names, 0)
        results = self.results()
        if self.items[self.at] == "(" and self.items[self.at + 1] in ("param", "type"):
            self.unexpected(at=self.at + 1)
        return FuncType(params, results)

    def results(self) -> Types:
        """Read `(result ...)` forms."""
        if self.items[self.at] != "(" or self.items[self.at + 1] != "result":
            return _NO_TYPES
        types: list[int] = []
        while self.opens("result"):
            types += self.value_types()
        return tuple(types)

    def type_use(self, names: dict[str, int] | None) -> int:
        """Read a type use and return the index of the type (spec 6.4.6); `names` as in `declarations`."""
        at = self.at
        if not self.opens("type"):
            return self.type_index(self.signature(names))
        index = self.index(TYPE)
        self.expect(")")
        inline = self.signature(names)
        if inline.params or inline.results:
            if index >= len(self.types):
                self.fail(f"unknown type {index}", at + 2)
            if inline != self.types[index].comp:
                self.fail("inline function type does not match the type", at)
        return index

    def block_type(self) -> int:
        """Read a block type in the decoded form of `immediates.py`."""
        items = self.items
        if items[self.at] != "(":
            return _EMPTY_BLOCK
        if items[self.at + 1] == "type":
            return self.type_use(None)
        type_ = self.signature(None)
        if type_.params or len(type_.results) > 1:
            return self.type_index(type_)
        return ~type_.results[0] if type_.results else _EMPTY_BLOCK

    def type_index(self, type_: FuncType) -> int:
        """Return the first index of a function type that stands alone, appending it if there is none."""
        index = self._implied.get(type_)
        if index is None:
            index = len(self.types)
            self.add_group([SubType(type_)])
        return index

    def params(self, index: int) -> int:
        """Return the number of parameters of a type; 0 if it is not known or not of a function."""
        comp = self.types[index].comp if index < len(self.types) else None
        return len(comp.params) if isinstance(comp, FuncType) else 0

    # Definitions

    def add_group(self, types: list[SubType]) -> None:
        """Append a recursion group."""
        if not types:
            return
        index = len(self.types)
        self.groups.append(index)
        self.types += types
        type_ = types[0]
        if len(types) == 1 and type_.final and not type_.supers and isinstance(type_.comp, FuncType):
            self._implied.setdefault(type_.comp, index)

    def sub_type(self, index: int) -> SubType:
        """Read the definition of the type with an index."""
        if not self.opens("sub"):
            return SubType(self._comp_type(index))
        final = self.items[self.at] == "final"
        self.at += final
        supers: list[int] = []
        while is_index(self.items[self.at]):
            supers.append(self.index(TYPE))
        comp = self._comp_type(index)
        self.expect(")")
        return SubType(comp, tuple(supers), final)

    def _comp_type(self, index: int) -> CompType:
        self.expect("(")
        keyword = self.items[self.at]
        self.at += 1
        comp: CompType
        if keyword == "func":
            comp = self.signature({})
            self.local_titles.clear()
        elif keyword == "struct":
            comp = self._struct_type(index)
        elif keyword == "array":
            comp = ArrayType(self._field_type())
        else:
            self.unexpected("'func', 'struct' or 'array'", self.at - 1)
        self.expect(")")
        return comp

    def _struct_type(self, index: int) -> StructType:
        fields: list[FieldType] = []
        names: dict[str, int] = {}
        titles: dict[int, str] = {}
        while self.opens("field"):
            key = self.identifier()
            title = self.title(key)
            if key is not None and key in names:
                self.fail(f"duplicate field {key}", self.at - 1)
            if title is not None:
                titles[len(fields)] = title
            if key is not None:
                names[key] = len(fields)
                fields.append(self._field_type())
            else:
                while self.items[self.at] != ")":
                    fields.append(self._field_type())
            self.expect(")")
        self.fields[index] = names
        self.field_titles[index] = titles
        return StructType(tuple(fields))

    def _field_type(self) -> FieldType:
        if not self.opens("mut"):
            return FieldType(self._storage(), mutable=False)
        field = FieldType(self._storage(), mutable=True)
        self.expect(")")
        return field

    def _storage(self) -> int:
        code = _PACKED.get(self.items[self.at])
        if code is None:
            return self.value_type()
        self.at += 1
        return code

    def field(self, type_: int) -> int:
        """Read the index of a field of the structure with a type."""
        token = self.items[self.at]
        if token[:1] != "$":
            return self.unsigned(U32, "an index")
        key = self.key(token)
        index = self.fields.get(type_, {}).get(key)
        if index is None:
            self.fail(f"unknown field {key}")
        self.at += 1
        return index

    # Tables, memories, globals

    def address(self) -> int:
        """Read the type of addresses, if one is given."""
        code = _ADDRESSES.get(self.items[self.at])
        if code is None:
            return I32
        self.at += 1
        return code

    def limits(self) -> Limits:
        """Read limits."""
        low = self.unsigned(U64)
        return Limits(low, self.unsigned(U64) if self.items[self.at][:1].isdecimal() else None)

    def table_type(self, address: int) -> TableType:
        """Read limits and the type of the elements."""
        limits = self.limits()
        return TableType(self.ref_type(), limits, address)

    def memory_type(self) -> MemoryType:
        """Read the type of a memory."""
        address = self.address()
        limits = self.limits()
        shared = self.items[self.at] == "shared"
        self.at += shared
        return MemoryType(limits, address, shared, self.page_size())

    def page_size(self) -> int:
        """Read `(pagesize n)` if it is given; return the log2 of the size of a page."""
        if not self.opens("pagesize"):
            return 16
        size = self.unsigned(U64)
        if size & (size - 1) or not size:
            self.fail("invalid custom page size: not a power of two", self.at - 1)
        self.expect(")")
        return size.bit_length() - 1

    def global_type(self) -> GlobalType:
        """Read the type of a global."""
        if not self.opens("mut"):
            return GlobalType(self.value_type(), mutable=False)
        type_ = GlobalType(self.value_type(), mutable=True)
        self.expect(")")
        return type_
