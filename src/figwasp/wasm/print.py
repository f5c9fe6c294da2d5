"""Floor 1: a decoded `Module` to the text format (spec 6).

In: a `Module`, best a validated one: what cannot be decoded raises `Malformed`. Out: text that parses back to the same module;
types, blocks and segments stay as they are in the binary. Identifiers come from the name section: two items of one name get
numbers to tell them apart, characters that identifiers cannot have are quoted as in Wasm 3.0. Every index, and with
`offsets` every byte offset, stands in a comment beside what it belongs to.
"""

from __future__ import annotations

from typing import Final

from figwasp.wasm.module import (
    ACTIVE,
    DECLARATIVE,
    FUNC,
    GLOBAL,
    MEMORY,
    TABLE,
    Data,
    Elem,
    Import,
    Module,
)
from figwasp.wasm.opcodes import BY_NAME
from figwasp.wasm.print_code import CodePrinter, as_identifier, as_string, type_list
from figwasp.wasm.types import FUNCREF, GlobalType, MemoryType, TableType, type_name

__all__ = ["func_lines", "show", "show_func"]

REF_FUNC: Final = BY_NAME["ref.func"].code
KEYWORDS: Final = {FUNC: "func", TABLE: "table", MEMORY: "memory", GLOBAL: "global"}


def show(module: Module, *, offsets: bool = False) -> str:
    """Return a module in the text format.

    Args:
        module: the module.
        offsets: whether each line of code begins with the byte offset of its instruction, as a comment.

    Raises:
        Malformed: if the code of a function cannot be decoded.
    """
    printer = _Printer(module)
    printer.all()
    return _joined(printer.lines, offsets)


def show_func(module: Module, index: int, *, offsets: bool = False) -> str:
    """Return one function, imported or defined, in the text format; arguments as for `show`."""
    return _joined(func_lines(module, index), offsets)


def func_lines(module: Module, index: int) -> list[tuple[int, str]]:
    """Return the lines of one function, each with its byte offset in the binary, or -1 for none."""
    printer = _Printer(module)
    if index < module.num_imported_funcs:
        imports = [item for item in module.imports if item.kind == FUNC]
        printer.import_(imports[index], index)
    else:
        printer.func(index)
    return printer.lines


def _joined(lines: list[tuple[int, str]], offsets: bool) -> str:
    if not offsets:
        return "".join(f"{text}\n" for _, text in lines)
    return "".join(f"(;{offset:06x};) {text}\n" if offset >= 0 else f"{'':11}{text}\n" for offset, text in lines)


class _Printer(CodePrinter):
    """Collects the lines of a module."""

    __slots__ = ()

    def all(self) -> None:
        module = self.module
        self.line(f"(module {as_identifier(module.name)}" if module.name else "(module")
        self.margin = "  "
        for index, type_ in enumerate(module.types):
            params, results = type_list("param", type_.params), type_list("result", type_.results)
            self.line(f"(type (;{index};) (func{params}{results}))")
        counts = [0, 0, 0, 0]
        for item in module.imports:
            self.import_(item, counts[item.kind])
            counts[item.kind] += 1
        for index in range(module.num_imported_funcs, len(module.func_types)):
            self.func(index)
        for index in range(module.num_imported_tables, len(module.tables)):
            self.line(f"(table (;{index};) {_table_type(module.tables[index])})")
        for index in range(module.num_imported_memories, len(module.memories)):
            self.line(f"(memory (;{index};) {module.memories[index].limits!r})")
        for at, init in enumerate(module.global_inits):
            index = module.num_imported_globals + at
            self.line(f"(global (;{index};) {_global_type(module.globals[index])} {self.expr(init)})")
        for export in module.exports:
            index_ = self.func_id(export.index) if export.kind == FUNC else export.index
            self.line(f"(export {as_string(export.name)} ({KEYWORDS[export.kind]} {index_}))")
        if module.start is not None:
            self.line(f"(start {self.func_id(module.start)})")
        for index, elem in enumerate(module.elems):
            self.line(f"(elem (;{index};){self.elem(elem)})")
        for index, data in enumerate(module.datas):
            self.line(f"(data (;{index};){self.data(data)})")
        self.close()

    def import_(self, item: Import, index: int) -> None:
        head = f"(import {as_string(item.module)} {as_string(item.name)} ({KEYWORDS[item.kind]}"
        desc = item.desc
        if isinstance(desc, int):
            head += self.func_head(index)
        elif isinstance(desc, TableType):
            head += f" (;{index};) {_table_type(desc)}"
        elif isinstance(desc, MemoryType):
            head += f" (;{index};) {desc.limits!r}"
        else:
            head += f" (;{index};) {_global_type(desc)}"
        self.line(head + "))")

    def elem(self, elem: Elem) -> str:
        text = " declare" if elem.mode == DECLARATIVE else ""
        if elem.mode == ACTIVE and elem.offset is not None:
            text = f" (table {elem.table}) (offset {self.expr(elem.offset)})"
        plain = all(len(init.instrs) == 1 and init.instrs[0][0] == REF_FUNC for init in elem.inits)
        if elem.type == FUNCREF and plain:
            return text + " func" + "".join(self.expr(init).removeprefix("ref.func") for init in elem.inits)
        return f"{text} {type_name(elem.type)}" + "".join(f" (item {self.expr(init)})" for init in elem.inits)

    def data(self, data: Data) -> str:
        text = ""
        if data.mode == ACTIVE and data.offset is not None:
            text = f" (memory {data.memory}) (offset {self.expr(data.offset)})"
        return f'{text} "{_escaped(self.module.data[data.start : data.end])}"'


_ESCAPES: Final = [chr(byte) if 0x20 <= byte < 0x7F and byte not in b'"\\' else f"\\{byte:02x}" for byte in range(256)]


def _escaped(data: bytes) -> str:
    return "".join(map(_ESCAPES.__getitem__, data))


def _table_type(type_: TableType) -> str:
    return f"{type_.limits!r} {type_name(type_.elem)}"


def _global_type(type_: GlobalType) -> str:
    name = type_name(type_.type)
    return f"(mut {name})" if type_.mutable else name
