"""Floor 1: functions to the text format (spec 6.5), flat instructions with indentation.

In: a `Module` and the index of a function. Out: lines with their byte offsets. Every kind of immediates that the instruction
table uses has its printer here; a kind without one is an error on import.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from figwasp.errors import LimitExceeded, Malformed
from figwasp.wasm.cursor import HEAP_TYPES, VALUE_TYPES, text_name
from figwasp.wasm.immediates import KIND_NAMES, READERS, Immediate
from figwasp.wasm.leb128 import read_u32
from figwasp.wasm.lexer import identifier
from figwasp.wasm.limits import MAX_LOCALS
from figwasp.wasm.literals import float_text
from figwasp.wasm.module import ConstExpr, Module
from figwasp.wasm.opcodes import BY_CODE, BY_NAME, PREFIXES, Opcode, illegal, pack
from figwasp.wasm.types import type_name

__all__ = ["CodePrinter", "as_identifier", "as_string", "type_list"]

ELSE: Final = BY_NAME["else"].code
END: Final = BY_NAME["end"].code
BLOCK_TYPE: Final = KIND_NAMES.index("block")
VALUE_CODES: Final = frozenset(VALUE_TYPES.values())
HEAP_NAMES: Final = {code: name for name, code in HEAP_TYPES.items()}
MAX_INDENT: Final = 60
"""Deepest indentation in columns, so that deep nesting does not make the text quadratic."""
MAX_LABEL_COMMENTS: Final = 8


class CodePrinter:
    """Collects the lines of functions.

    Attributes:
        module: where they come from.
        lines: byte offset in the binary, or -1, and text of each line.
        margin: what every line begins with.
    """

    __slots__ = ("_func_ids", "_labels", "_local_ids", "_row", "lines", "margin", "module")

    def __init__(self, module: Module) -> None:
        self.module = module
        self.lines: list[tuple[int, str]] = []
        self.margin = ""
        self._func_ids = _identifiers(module.names.funcs)
        self._local_ids: dict[int, str] = {}
        self._labels: list[int] = []
        self._row = BY_NAME["nop"]

    def line(self, text: str, offset: int = -1) -> None:
        """Add a line."""
        self.lines.append((offset, self.margin + text))

    def close(self) -> None:
        """Put a closing parenthesis after the last line."""
        offset, text = self.lines[-1]
        self.lines[-1] = (offset, text + ")")

    def func_id(self, index: int) -> str:
        """Return how to refer to a function."""
        return self._func_ids.get(index) or str(index)

    def func_head(self, index: int) -> str:
        """Return what stands after `(func` up to the results; sets up the identifiers of locals."""
        type_index = self.module.func_types[index]
        self._local_ids = _identifiers(self.module.names.locals.get(index, {}))
        name = self._func_ids.get(index)
        text = (f" {name}" if name else "") + f" (;{index};) (type {type_index})"
        if type_index < len(self.module.types):
            type_ = self.module.types[type_index]
            text += self.declared("param", type_.params, 0) + type_list("result", type_.results)
        return text

    def declared(self, keyword: str, types: bytes, first: int) -> str:
        """Return `(param ...)` or `(local ...)`, one form for each with an identifier and for each run without."""
        forms: list[str] = []
        run: list[str] = []
        for index, code in enumerate(types, first):
            name = self._local_ids.get(index)
            if name is None:
                run.append(type_name(code))
                continue
            if run:
                forms.append(f" ({keyword} {' '.join(run)})")
                run = []
            forms.append(f" ({keyword} {name} {type_name(code)})")
        if run:
            forms.append(f" ({keyword} {' '.join(run)})")
        return "".join(forms)

    def expr(self, expr: ConstExpr) -> str:
        """Return a constant expression."""
        self._labels.clear()
        return " ".join(self.instr(BY_CODE[code], immediate) for code, immediate in expr.instrs)

    def func(self, index: int) -> None:
        """Print a defined function."""
        module = self.module
        body = module.body(index)
        self.line(f"(func{self.func_head(index)}", body.start)
        type_index = module.func_types[index]
        params = len(module.types[type_index].params) if type_index < len(module.types) else 0
        types, pos = _locals(module.data, body.start)
        if types:
            self.line(" " + self.declared("local", types, params), body.start)
        self.code(pos, body.end)
        self.close()

    def code(self, pos: int, end: int) -> None:
        """Print instructions up to the `end` of the function, which is left out."""
        data = self.module.data
        labels = self._labels
        labels.clear()
        opened = 0
        while True:
            start = pos
            row, pos = _opcode(data, pos)
            immediate, pos = READERS[row.immediates](data, pos)
            if pos > end:
                raise Malformed("unexpected end", end)
            if row.code == END:
                if not labels:
                    break
                labels.pop()
            depth = len(labels) + (row.code != ELSE)
            text = self.instr(row, immediate)
            if row.immediates == BLOCK_TYPE:
                opened += 1
                labels.append(opened)
                text += f"  ;; label = @{opened}"
            self.line(" " * min(2 * depth, MAX_INDENT) + text, start)
        if pos != end:
            raise Malformed("junk after the end of a function", pos)

    def instr(self, row: Opcode, immediate: Immediate) -> str:
        """Return one instruction."""
        self._row = row
        return text_name(row) + SHOWERS[row.immediates](self, immediate)

    # Immediates: each with a space in front

    def block_type(self, value: Immediate) -> str:
        index = _int(value)
        if index >= 0:
            return f" (type {index})"
        return "" if index == -0x40 else f" (result {type_name(index & 0x7F)})"

    def label(self, value: Immediate) -> str:
        depth = _int(value)
        known = depth < len(self._labels)
        return f" {depth} (;@{self._labels[-1 - depth]};)" if known else f" {depth}"

    def label_list(self, value: Immediate) -> str:
        depths = _ints(value)
        if len(depths) <= MAX_LABEL_COMMENTS:
            return "".join(self.label(depth) for depth in depths)
        return " " + " ".join(map(str, depths))

    def local(self, value: Immediate) -> str:
        return " " + (self._local_ids.get(_int(value)) or str(_int(value)))

    def memarg(self, value: Immediate) -> str:
        align, offset, memory = _ints(value)
        text = f" {memory}" if memory else ""
        if offset:
            text += f" offset={offset}"
        return text if align == self._row.align else f"{text} align={1 << align}"

    def type_table(self, value: Immediate) -> str:
        type_, table = _ints(value)
        return (f" {table}" if table else "") + f" (type {type_})"

    def segment(self, value: Immediate) -> str:
        segment, place = _ints(value)
        return f" {place} {segment}" if place else f" {segment}"

    def pair(self, value: Immediate) -> str:
        first, second = _ints(value)
        return f" {first} {second}" if first or second else ""


Shower = Callable[[CodePrinter, Immediate], str]


def _number(printer: CodePrinter, value: Immediate) -> str:
    return f" {_int(value)}"


def _unless_0(printer: CodePrinter, value: Immediate) -> str:
    return f" {_int(value)}" if value else ""


_SHOWERS: Final[dict[str, Shower]] = {
    "none": lambda printer, value: "",
    "block": CodePrinter.block_type,
    "label": CodePrinter.label,
    "labels": CodePrinter.label_list,
    "func": lambda printer, value: " " + printer.func_id(_int(value)),
    "type_table": CodePrinter.type_table,
    "local": CodePrinter.local,
    "global": _number,
    "table": _unless_0,
    "memory": _unless_0,
    "memarg": CodePrinter.memarg,
    "i32": _number,
    "i64": _number,
    "f32": lambda printer, value: " " + float_text(_int(value), 32),
    "f64": lambda printer, value: " " + float_text(_int(value), 64),
    "reftype": lambda printer, value: " " + HEAP_NAMES[_int(value)],
    "data_memory": CodePrinter.segment,
    "data": _number,
    "memory_memory": CodePrinter.pair,
    "elem_table": CodePrinter.segment,
    "elem": _number,
    "table_table": CodePrinter.pair,
    "select_types": lambda printer, value: type_list("result", _bytes(value)) or " (result)",
}
SHOWERS: Final[list[Shower]] = [_SHOWERS[kind] for kind in KIND_NAMES]
"""What prints each kind of immediates, in the order of `immediates.py`."""


def _opcode(data: bytes, pos: int) -> tuple[Opcode, int]:
    """Read an opcode."""
    if pos >= len(data):
        raise Malformed("unexpected end", pos)
    start = pos
    code = data[pos]
    pos += 1
    if code in PREFIXES:
        sub, pos = read_u32(data, pos)
        code = pack(code, sub)
    row = BY_CODE.get(code)
    if row is None:
        raise Malformed(illegal(code), start)
    return row, pos


def _locals(data: bytes, pos: int) -> tuple[bytes, int]:
    """Read the locals of a code entry."""
    types = bytearray()
    count, pos = read_u32(data, pos)
    for _ in range(count):
        run, pos = read_u32(data, pos)
        if pos >= len(data):
            raise Malformed("unexpected end", pos)
        if data[pos] not in VALUE_CODES:
            raise Malformed(f"malformed value type {data[pos]:#04x}", pos)
        if len(types) + run > MAX_LOCALS:
            raise LimitExceeded(f"a function with more than {MAX_LOCALS} locals")
        types += data[pos : pos + 1] * run
        pos += 1
    return bytes(types), pos


def _identifiers(names: dict[int, str]) -> dict[int, str]:
    """Return index -> identifier, no two the same."""
    taken = set(names.values())
    used: set[str] = set()
    repeats: dict[str, int] = {}
    ids: dict[int, str] = {}
    for index, name in sorted(names.items()):
        if not name:
            continue
        distinct = name
        while distinct in used or (distinct != name and distinct in taken):
            repeats[name] = repeats.get(name, 0) + 1
            distinct = f"{name}#{repeats[name]}"
        used.add(distinct)
        ids[index] = as_identifier(distinct)
    return ids


def as_identifier(name: str) -> str:
    return "$" + (name if identifier("$" + name) == name else as_string(name))


def as_string(name: str) -> str:
    """Return a name as a string literal; what does not print is escaped."""
    return '"' + "".join(_char(char) for char in name) + '"'


def _char(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    return char if char.isprintable() else f"\\u{{{ord(char):x}}}"


def type_list(keyword: str, types: Iterable[int]) -> str:
    """Return `(keyword type...)` with a space in front, or nothing for no types."""
    names = " ".join(map(type_name, types))
    return f" ({keyword} {names})" if names else ""


def _int(value: Immediate) -> int:
    assert isinstance(value, int), value
    return value


def _ints(value: Immediate) -> tuple[int, ...]:
    assert isinstance(value, tuple), value
    return value


def _bytes(value: Immediate) -> bytes:
    assert isinstance(value, bytes), value
    return value
