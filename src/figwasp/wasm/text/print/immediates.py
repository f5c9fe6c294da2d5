"""Immediates of instructions to the text format (spec 6.5). Floor 1.

Goes in: an instruction's row and decoded immediate. Comes out: text, names in place of indices where there are any. Every kind of
immediates that the instruction table uses has its printer here; a kind without one is an error on import.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from figwasp.wasm.syntax.immediates import KIND_NAMES, Immediate, block_and_clauses, number, numbers
from figwasp.wasm.syntax.module import Module
from figwasp.wasm.syntax.names import Names
from figwasp.wasm.syntax.opcodes import BY_NAME, Opcode
from figwasp.wasm.syntax.types import EMPTY, NON_NULL
from figwasp.wasm.text.literals import float_text
from figwasp.wasm.text.print.names import Space
from figwasp.wasm.text.print.types import TypePrinter

__all__ = ["ImmediatePrinter", "Label"]

REF_NULL: Final = BY_NAME["ref.null"].code
TO_NON_NULL: Final = (BY_NAME["ref.test"].code, BY_NAME["ref.cast"].code)
"""Instructions whose heap type stands for the reference without null."""

CLAUSES: Final = ("catch", "catch_ref", "catch_all", "catch_all_ref")
MAX_LABEL_COMMENTS: Final = 8


class Label:
    """A label of the blocks around an instruction.

    Attributes:
        bound: its identifier, with a space in front, or "".
        id: its identifier, or "".
        number: which of the function's labels it is, from 1.
        used: whether something that has been printed refers to it by number.
    """

    __slots__ = ("bound", "id", "number", "used")

    def __init__(self, bound: str, id: str, number: int) -> None:
        self.bound = bound
        self.id = id
        self.number = number
        self.used = False


class ImmediatePrinter(TypePrinter):
    """Writes instructions.

    Attributes:
        funcs, tables, memories, globals, tags, elems, datas: identifiers of the items in each index space.
        labels: the labels of the blocks around, the innermost last.
    """

    __slots__ = (
        "_bearers",
        "_label_names",
        "_opened",
        "_row",
        "datas",
        "elems",
        "funcs",
        "globals",
        "labels",
        "memories",
        "tables",
        "tags",
    )

    def __init__(self, module: Module, names: Names) -> None:
        super().__init__(module, names)
        self.funcs = Space(names.funcs)
        self.tables = Space(names.tables)
        self.memories = Space(names.memories)
        self.globals = Space(names.globals)
        self.tags = Space(names.tags)
        self.elems = Space(names.elems)
        self.datas = Space(names.datas)
        self.labels: list[Label] = []
        self._label_names: dict[int, str] = {}
        self._bearers: dict[str, list[Label]] = {}
        self._opened = 0
        self._row = BY_NAME["nop"]

    # Labels

    def start_labels(self, names: dict[int, str]) -> None:
        """Begin with the labels of a function; the names are those of its labels in the order in which they are opened."""
        self._label_names = names
        self._opened = 0
        self._bearers.clear()
        self.labels.clear()

    def open_label(self) -> Label:
        """Enter a block."""
        name = self._label_names.get(self._opened)
        self._opened += 1
        if name is None:
            label = Label("", "", self._opened)
        else:
            space = Space({0: name})
            label = Label(space.bind(0), space.ref(0) if name else "", self._opened)
            self._bearers.setdefault(label.id, []).append(label)
        self.labels.append(label)
        return label

    def close_label(self) -> Label:
        """Leave a block."""
        label = self.labels.pop()
        if label.bound:
            self._bearers[label.id].pop()
        return label

    def instr(self, row: Opcode, immediate: Immediate) -> str:
        """Return one instruction."""
        self._row = row
        return row.text + SHOWERS[row.immediates](self, immediate)

    def operands(self, row: Opcode, immediate: Immediate) -> str:
        """Return what stands after the name of an instruction."""
        self._row = row
        return SHOWERS[row.immediates](self, immediate)

    # Immediates: each with a space in front

    def none(self, value: Immediate) -> str:
        return ""

    def number(self, value: Immediate) -> str:
        return f" {number(value)}"

    def block_type(self, value: Immediate) -> str:
        index = number(value)
        if index >= 0:
            return f" (type {self.types.ref(index)})"
        return "" if index == ~EMPTY else f" (result {self.value(~index)})"

    def label(self, value: Immediate) -> str:
        depth = number(value)
        labels = self.labels
        if depth >= len(labels):
            return f" {depth}"
        label = labels[-1 - depth]
        if label.id and self._bearers[label.id][-1] is label:  # else a label further in has that name
            return f" {label.id}"
        label.used = True
        return f" {depth} (;@{label.number};)"

    def label_list(self, value: Immediate) -> str:
        depths = numbers(value)
        if len(depths) <= MAX_LABEL_COMMENTS:
            return "".join(map(self.label, depths))
        for depth in set(depths):
            if depth < len(self.labels):
                self.labels[-1 - depth].used = True
        return " " + " ".join(map(str, depths))

    def local(self, value: Immediate) -> str:
        return " " + self._locals.ref(number(value))

    def func_index(self, value: Immediate) -> str:
        return " " + self.funcs.ref(number(value))

    def type(self, value: Immediate) -> str:
        return " " + self.types.ref(number(value))

    def tag(self, value: Immediate) -> str:
        return " " + self.tags.ref(number(value))

    def global_(self, value: Immediate) -> str:
        return " " + self.globals.ref(number(value))

    def data(self, value: Immediate) -> str:
        return " " + self.datas.ref(number(value))

    def elem(self, value: Immediate) -> str:
        return " " + self.elems.ref(number(value))

    def table(self, value: Immediate) -> str:
        return " " + self.tables.ref(number(value)) if value else ""

    def memory(self, value: Immediate) -> str:
        return " " + self.memories.ref(number(value)) if value else ""

    def memarg(self, value: Immediate) -> str:
        align, offset, memory, *_ = numbers(value)
        text = self.memory(memory)
        if offset:
            text += f" offset={offset}"
        return text if align == self._row.align else f"{text} align={1 << align}"

    def memarg_lane(self, value: Immediate) -> str:
        return f"{self.memarg(value)} {numbers(value)[3]}"

    def type_table(self, value: Immediate) -> str:
        type_, table = numbers(value)
        return f"{self.table(table)} (type {self.types.ref(type_)})"

    def data_memory(self, value: Immediate) -> str:
        data, memory = numbers(value)
        return self.memory(memory) + self.data(data)

    def elem_table(self, value: Immediate) -> str:
        elem, table = numbers(value)
        return self.table(table) + self.elem(elem)

    def memory_memory(self, value: Immediate) -> str:
        target, source = numbers(value)
        return f" {self.memories.ref(target)} {self.memories.ref(source)}" if target or source else ""

    def table_table(self, value: Immediate) -> str:
        target, source = numbers(value)
        return f" {self.tables.ref(target)} {self.tables.ref(source)}" if target or source else ""

    def type_type(self, value: Immediate) -> str:
        target, source = numbers(value)
        return self.type(target) + self.type(source)

    def type_field(self, value: Immediate) -> str:
        type_, field = numbers(value)
        return f"{self.type(type_)} {self.fields(type_).ref(field)}"

    def type_u32(self, value: Immediate) -> str:
        type_, count = numbers(value)
        return f"{self.type(type_)} {count}"

    def type_data(self, value: Immediate) -> str:
        type_, data = numbers(value)
        return self.type(type_) + self.data(data)

    def type_elem(self, value: Immediate) -> str:
        type_, elem = numbers(value)
        return self.type(type_) + self.elem(elem)

    def heap_type(self, value: Immediate) -> str:
        code = number(value)
        if self._row.code == REF_NULL:
            return " " + self.heap(code)
        return " " + self.value(code | NON_NULL if self._row.code in TO_NON_NULL else code)

    def cast(self, value: Immediate) -> str:
        label, source, target = numbers(value)
        return f"{self.label(label)} {self.value(source)} {self.value(target)}"

    def select_types(self, value: Immediate) -> str:
        return self.values("result", numbers(value)) or " (result)"

    def try_table(self, value: Immediate) -> str:
        block, clauses = block_and_clauses(value)
        text = self.block_type(block)
        for kind, tag, label in clauses:
            text += f" ({CLAUSES[kind]}{self.tag(tag) if tag >= 0 else ''}{self.label(label)})"
        return text

    def f32(self, value: Immediate) -> str:
        return " " + float_text(number(value), 32)

    def f64(self, value: Immediate) -> str:
        return " " + float_text(number(value), 64)

    def v128(self, value: Immediate) -> str:
        bits = number(value)
        return " i32x4" + "".join(f" 0x{bits >> shift & 0xFFFF_FFFF:08x}" for shift in (0, 32, 64, 96))

    def lanes(self, value: Immediate) -> str:
        assert isinstance(value, bytes), value
        return "".join(f" {lane}" for lane in value)


Shower = Callable[[ImmediatePrinter, Immediate], str]

_SHOWERS: Final[dict[str, Shower]] = {
    "none": ImmediatePrinter.none,
    "block": ImmediatePrinter.block_type,
    "label": ImmediatePrinter.label,
    "labels": ImmediatePrinter.label_list,
    "func": ImmediatePrinter.func_index,
    "type_table": ImmediatePrinter.type_table,
    "local": ImmediatePrinter.local,
    "global": ImmediatePrinter.global_,
    "table": ImmediatePrinter.table,
    "memory": ImmediatePrinter.memory,
    "memarg": ImmediatePrinter.memarg,
    "i32": ImmediatePrinter.number,
    "i64": ImmediatePrinter.number,
    "f32": ImmediatePrinter.f32,
    "f64": ImmediatePrinter.f64,
    "heaptype": ImmediatePrinter.heap_type,
    "data_memory": ImmediatePrinter.data_memory,
    "data": ImmediatePrinter.data,
    "memory_memory": ImmediatePrinter.memory_memory,
    "elem_table": ImmediatePrinter.elem_table,
    "elem": ImmediatePrinter.elem,
    "table_table": ImmediatePrinter.table_table,
    "select_types": ImmediatePrinter.select_types,
    "type": ImmediatePrinter.type,
    "tag": ImmediatePrinter.tag,
    "try_table": ImmediatePrinter.try_table,
    "type_type": ImmediatePrinter.type_type,
    "type_field": ImmediatePrinter.type_field,
    "type_u32": ImmediatePrinter.type_u32,
    "type_data": ImmediatePrinter.type_data,
    "type_elem": ImmediatePrinter.type_elem,
    "cast": ImmediatePrinter.cast,
    "v128": ImmediatePrinter.v128,
    "lane": ImmediatePrinter.number,
    "lanes": ImmediatePrinter.lanes,
    "memarg_lane": ImmediatePrinter.memarg_lane,
    "zero": ImmediatePrinter.none,
}
SHOWERS: Final[list[Shower]] = [_SHOWERS[kind] for kind in KIND_NAMES]
"""The printer of each kind of immediates, in the order of `immediates.py`."""
