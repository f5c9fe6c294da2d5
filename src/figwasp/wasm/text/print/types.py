"""Types to the text format (spec 6.4). Floor 1.

Goes in: a `Module` and which of its names to use. Comes out: text, with the identifiers of types and fields in place of indices.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from figwasp.wasm.syntax.module import Module
from figwasp.wasm.syntax.names import Names
from figwasp.wasm.syntax.types import (
    CONCRETE,
    I64,
    INDEX_SHIFT,
    NON_NULL,
    CompType,
    FieldType,
    FuncType,
    GlobalType,
    MemoryType,
    StructType,
    SubType,
    TableType,
    Types,
    heap_name,
    storage_name,
    type_name,
)
from figwasp.wasm.text.print.names import Space

__all__ = ["TypePrinter"]

DEFAULT_PAGE: Final = 16
MAX_INLINE: Final = 100
"""Most parameters and results that are repeated where a type is used, lest a small binary make a huge text."""


class TypePrinter:
    """Writes types.

    Attributes:
        module: where they come from.
        names: its names, none if they are not to be used.
        types: the identifiers of types.
    """

    __slots__ = ("_fields", "_locals", "module", "names", "types")

    def __init__(self, module: Module, names: Names) -> None:
        self.module = module
        self.names = names
        self.types = Space(names.types)
        self._fields: dict[int, Space] = {}
        self._locals = Space({})

    # Value types

    def value(self, code: int) -> str:
        """Return a value type."""
        if code & 0xFF != CONCRETE:
            return type_name(code)
        return f"(ref {self.heap(code)})" if code & NON_NULL else f"(ref null {self.heap(code)})"

    def heap(self, code: int) -> str:
        """Return the heap type of a reference."""
        return self.types.ref(code >> INDEX_SHIFT) if code & 0xFF == CONCRETE else heap_name(code)

    def values(self, keyword: str, types: Types) -> str:
        """Return `(keyword type...)` with a space in front, or nothing for no types."""
        return f" ({keyword} {' '.join(map(self.value, types))})" if types else ""

    def declared(self, keyword: str, types: Types, first: int) -> str:
        """Return `(param ...)` or `(local ...)`, one form for each with a name and for each run without.

        Args:
            keyword: which of the two.
            types: those of the locals.
            first: index of the first.
        """
        forms: list[str] = []
        run: list[str] = []
        for index, code in enumerate(types, first):
            if index not in self._locals:
                run.append(self.value(code))
                continue
            if run:
                forms.append(f" ({keyword} {' '.join(run)})")
                run = []
            forms.append(f" ({keyword}{self._locals.bind(index)} {self.value(code)})")
        if run:
            forms.append(f" ({keyword} {' '.join(run)})")
        return "".join(forms)

    # Definitions

    def func_type(self, index: int) -> FuncType | None:
        """Return a function type by its index, or None if there is none of that index."""
        types = self.module.types
        comp = types[index].comp if index < len(types) else None
        return comp if isinstance(comp, FuncType) else None

    def type_use(self, index: int) -> str:
        """Return a type use, with what it stands for if that is not too much or has names."""
        type_ = self.func_type(index)
        text = f" (type {self.types.ref(index)})"
        if type_ is None or (len(type_.params) + len(type_.results) > MAX_INLINE and not len(self._locals)):
            return text
        return text + self.declared("param", type_.params, 0) + self.values("result", type_.results)

    def rec_groups(self) -> Iterator[list[str]]:
        """Yield the lines of every recursion group."""
        module = self.module
        for start, end in zip(module.groups, [*module.groups[1:], len(module.types)]):
            lines = [self.type_definition(index) for index in range(start, end)]
            if end - start == 1:
                yield lines
            else:
                yield ["(rec", *[f"  {line}" for line in lines[:-1]], f"  {lines[-1]})"]

    def type_definition(self, index: int) -> str:
        """Return one definition of the type section."""
        return f"(type{self.types.head(index)} {self.sub(index, self.module.types[index])})"

    def sub(self, index: int, type_: SubType) -> str:
        """Return a subtype; `index` is its own."""
        comp = self.comp(index, type_.comp)
        if type_.final and not type_.supers:
            return comp
        supers = "".join(f" {self.types.ref(super_)}" for super_ in type_.supers)
        return f"(sub{' final' if type_.final else ''}{supers} {comp})"

    def comp(self, index: int, type_: CompType) -> str:
        """Return a composite type; `index` is that of its definition."""
        if isinstance(type_, FuncType):
            return f"(func{self.values('param', type_.params)}{self.values('result', type_.results)})"
        if isinstance(type_, StructType):
            space = self.fields(index)
            fields = [f" (field{space.bind(at)} {self.field(field)})" for at, field in enumerate(type_.fields)]
            return f"(struct{''.join(fields)})"
        return f"(array {self.field(type_.field)})"

    def field(self, type_: FieldType) -> str:
        """Return the type of a field."""
        name = self.value(type_.storage) if type_.storage & 0xFF == CONCRETE else storage_name(type_.storage)
        return f"(mut {name})" if type_.mutable else name

    def fields(self, index: int) -> Space:
        """Return the identifiers of the fields of a type."""
        space = self._fields.get(index)
        if space is None:
            space = self._fields[index] = Space(self.names.fields.get(index, {}))
        return space

    def table_type(self, type_: TableType) -> str:
        address = "i64 " if type_.address == I64 else ""
        return f"{address}{type_.limits!r} {self.value(type_.elem)}"

    def memory_type(self, type_: MemoryType) -> str:
        address = "i64 " if type_.address == I64 else ""
        shared = " shared" if type_.shared else ""
        page = "" if type_.page == DEFAULT_PAGE else f" (pagesize {1 << type_.page})"
        return f"{address}{type_.limits!r}{shared}{page}"

    def global_type(self, type_: GlobalType) -> str:
        name = self.value(type_.type)
        return f"(mut {name})" if type_.mutable else name
