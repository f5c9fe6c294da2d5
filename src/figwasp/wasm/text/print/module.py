"""A decoded `Module` to the text format (spec 6). Floor 1.

In: a `Module`, best a validated one: what cannot be decoded raises `Malformed`. Out: text that parses back to the same module;
types, blocks and segments stay as they are in the binary. Identifiers come from the name section, the other custom sections
become annotations. Every index, and with `offsets` every byte offset, stands in a comment beside what it belongs to.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from figwasp.wasm.syntax.module import (
    ACTIVE,
    DECLARATIVE,
    FUNC,
    GLOBAL,
    MEMORY,
    TABLE,
    TAG,
    Data,
    Elem,
    Import,
    Module,
)
from figwasp.wasm.syntax.opcodes import BY_NAME
from figwasp.wasm.syntax.types import FUNCREF, NON_NULL, MemoryType, TableType
from figwasp.wasm.text.print.code import CodePrinter, as_string
from figwasp.wasm.text.print.customs import custom_sections, string_lines, used_names, with_strings
from figwasp.wasm.text.print.names import Space

__all__ = ["func_lines", "module_lines", "show", "show_func"]

REF_FUNC: Final = BY_NAME["ref.func"].code
KEYWORDS: Final = {FUNC: "func", TABLE: "table", MEMORY: "memory", GLOBAL: "global", TAG: "tag"}
MAX_WIDTH: Final = 100
"""Columns after which the items of a list go on in the next line."""

Line = tuple[int, str]
"""The byte offset of what a line shows in the binary, or -1 for none, and the line."""


def show(module: Module, *, offsets: bool = False, fold: bool = False) -> str:
    """Return a module in the text format.

    Args:
        module: the module.
        offsets: whether each line of code begins with the byte offset of its instruction, as a comment.
        fold: whether operands stand within the instruction that takes them.

    Raises:
        Malformed: if the code of a function cannot be decoded.
    """
    return "".join(_text(line, offsets) for line in module_lines(module, fold=fold))


def show_func(module: Module, index: int, *, offsets: bool = False, fold: bool = False) -> str:
    """Return one function, imported or defined, in the text format; arguments as for `show`."""
    return "".join(_text(line, offsets) for line in func_lines(module, index, fold=fold))


def module_lines(module: Module, *, fold: bool = False) -> Iterator[Line]:
    """Return the lines of a module, made as they are asked for; arguments and errors as for `show`."""
    return _Printer(module, fold).all()


def func_lines(module: Module, index: int, *, fold: bool = False) -> list[Line]:
    """Return the lines of one function."""
    printer = _Printer(module, fold)
    if index < module.num_imported_funcs:
        imports = [item for item in module.imports if item.kind == FUNC]
        printer.import_(imports[index], index)
    else:
        printer.func(index)
    return printer.lines


def _text(line: Line, offsets: bool) -> str:
    offset, text = line
    if not offsets:
        return text + "\n"
    return f"(;{offset:06x};) {text}\n" if offset >= 0 else f"{'':11}{text}\n"


class _Printer(CodePrinter):
    """Collects the lines of a module."""

    __slots__ = ()

    def __init__(self, module: Module, fold: bool) -> None:
        super().__init__(module, used_names(module), fold)

    def all(self) -> Iterator[Line]:
        """Yield all lines, in the order of the binary."""
        module = self.module
        name = self.names.module
        self.line("(module" + ("" if name is None else Space({0: name}).bind(0)))
        self.margin = "  "
        for group in self.rec_groups():
            self.block(group)
        self.imports()
        self.definitions()
        for index, elem in enumerate(module.elems):
            self.elem_segment(index, elem)
        for index in range(module.num_imported_funcs, len(module.func_types)):
            self.func(index)
            yield from self.ready()
        for index, data in enumerate(module.datas):
            self.data_segment(index, data)
            yield from self.ready()
        for lines in custom_sections(module, self.names):
            self.block(lines)
            yield from self.ready()
        self.close()
        yield from self.lines

    def ready(self) -> list[Line]:
        """Take all lines but the last, after which the module may have to be closed."""
        lines = self.lines
        self.lines = [lines.pop()]
        return lines

    def imports(self) -> None:
        counts = [0, 0, 0, 0, 0]
        for item in self.module.imports:
            self.import_(item, counts[item.kind])
            counts[item.kind] += 1

    def definitions(self) -> None:
        """Add what takes a line each."""
        module = self.module
        for index, init in enumerate(module.table_inits, module.num_imported_tables):
            text = "" if init is None else f" {self.expr(init)}"
            self.line(f"(table{self.tables.head(index)} {self.table_type(module.tables[index])}{text})")
        for index in range(module.num_imported_memories, len(module.memories)):
            self.line(f"(memory{self.memories.head(index)} {self.memory_type(module.memories[index])})")
        for index in range(module.num_imported_tags, len(module.tags)):
            self.line(f"(tag{self.tag_head(index)})")
        for index, value in enumerate(module.global_inits, module.num_imported_globals):
            type_ = self.global_type(module.globals[index])
            self.line(f"(global{self.globals.head(index)} {type_} {self.expr(value)})")
        spaces = {FUNC: self.funcs, TABLE: self.tables, MEMORY: self.memories, GLOBAL: self.globals, TAG: self.tags}
        for export in module.exports:
            reference = f"({KEYWORDS[export.kind]} {spaces[export.kind].ref(export.index)})"
            self.line(f"(export {as_string(export.name)} {reference})")
        if module.start is not None:
            self.line(f"(start {self.funcs.ref(module.start)})")

    def block(self, lines: list[str]) -> None:
        for line in lines:
            self.line(line)

    def import_(self, item: Import, index: int) -> None:
        desc = item.desc
        if isinstance(desc, int):
            head = self.tag_head(index) if item.kind == TAG else self.func_head(index)
        elif isinstance(desc, TableType):
            head = f"{self.tables.head(index)} {self.table_type(desc)}"
        elif isinstance(desc, MemoryType):
            head = f"{self.memories.head(index)} {self.memory_type(desc)}"
        else:
            head = f"{self.globals.head(index)} {self.global_type(desc)}"
        self.line(f"(import {as_string(item.module)} {as_string(item.name)} ({KEYWORDS[item.kind]}{head}))")

    def tag_head(self, index: int) -> str:
        self._locals = Space({})
        return self.tags.head(index) + self.type_use(self.module.tags[index])

    def elem_segment(self, index: int, elem: Elem) -> None:
        head = f"(elem{self.elems.head(index)}" + (" declare" if elem.mode == DECLARATIVE else "")
        if elem.mode == ACTIVE and elem.offset is not None:
            head += (f" (table {self.tables.ref(elem.table)})" if elem.table else "")
            head += " " + self.one_of("offset", elem.offset)
        implied = FUNCREF | NON_NULL if "function-references" in self.module.features else FUNCREF
        plain = all(len(init.instrs) == 1 and init.instrs[0][0] == REF_FUNC for init in elem.inits)
        known: dict[int, str] = {}
        items: list[str] = []
        for init in elem.inits:
            text = known.get(id(init))
            if text is None:
                text = known[id(init)] = self.one_of("item", init)
            items.append(text)
        if plain and elem.type == implied:
            self.listing(head + " func", [text[len("(ref.func ") : -1] for text in items])
        else:
            self.listing(f"{head} {self.value(elem.type)}", items)

    def listing(self, head: str, items: list[str]) -> None:
        """Add a form that ends with a list, on several lines if need be."""
        width = len(head) + 1
        line = head
        for text in items:
            if width + len(text) > MAX_WIDTH:
                self.line(line)
                line = " "
                width = 1
            line += f" {text}"
            width += len(text) + 1
        self.line(line + ")")

    def data_segment(self, index: int, data: Data) -> None:
        head = f"(data{self.datas.head(index)}"
        if data.mode == ACTIVE and data.offset is not None:
            head += (f" (memory {self.memories.ref(data.memory)})" if data.memory else "")
            head += " " + self.one_of("offset", data.offset)
        self.block(with_strings(head, string_lines(self.module.data[data.start : data.end])))
