"""Bytes -> Module (spec 5.5). Floor 1.

Goes in: a binary and the set of proposals. Comes out: a `Module` in which every section has been read; function bodies and
data stay byte ranges. All that is malformed outside of bodies is found here; what is malformed inside one is found by the
validator, which reads it anyway. Counts and sizes are held to the limits that the JavaScript API gives
(https://webassembly.github.io/spec/js-api/#limits), so that a hostile binary costs time and memory in proportion to its size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from figwasp.errors import LimitExceeded, Malformed
from figwasp.features import DEFAULT, Features, off
from figwasp.wasm.binary.immediates import READERS
from figwasp.wasm.binary.leb128 import read_u32
from figwasp.wasm.binary.reader import Reader
from figwasp.wasm.syntax import limits, opcodes
from figwasp.wasm.syntax.immediates import BLOCK, TRY_TABLE, Immediate
from figwasp.wasm.syntax.module import (
    ACTIVE,
    DECLARATIVE,
    FUNC,
    GLOBAL,
    MEMORY,
    PASSIVE,
    TABLE,
    TAG,
    Body,
    ConstExpr,
    Custom,
    Data,
    Elem,
    Export,
    Import,
    Module,
)
from figwasp.wasm.syntax.types import (
    FUNCREF,
    I8,
    I16,
    NON_NULL,
    ArrayType,
    CompType,
    FieldType,
    FuncType,
    GlobalType,
    MemoryType,
    StructType,
    SubType,
    TableType,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["SECTIONS", "decode", "sections"]

CUSTOM: Final = 0
SECTIONS: Final = (
    "custom", "type", "import", "function", "table", "memory", "global", "export", "start", "element", "code", "data",
    "data count", "tag",
)  # fmt: skip
ORDER: Final = (0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 12, 13, 11, 6)
"""Section id -> its place: the tag section follows the memories, the data count section stands before the code section."""

NEEDS: Final = {12: "bulk-memory", 13: "exceptions"}
"""Section id -> the proposal that brought it."""

# Forms of the type section (spec 5.3.8 and 5.3.9)
REC: Final = 0x4E
SUB_FINAL: Final = 0x4F
SUB: Final = 0x50
ARRAY: Final = 0x5E
STRUCT: Final = 0x5F
FUNC_FORM: Final = 0x60

END: Final = 0x0B
REF_FUNC: Final = 0xD2


def decode(data: bytes | bytearray | memoryview, features: Features = DEFAULT) -> Module:
    """Read a binary module.

    Raises:
        Malformed: the bytes are not a module.
        LimitExceeded: a limit of the JavaScript API is passed.
    """
    raw = data if isinstance(data, bytes) else bytes(data)
    if len(raw) > limits.MAX_MODULE:
        raise LimitExceeded(f"module of {len(raw)} bytes; the limit is {limits.MAX_MODULE}")
    _check_header(raw)
    decoder = _Decoder(raw, features)
    decoder.sections()
    return decoder.module


def sections(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Give the sections of a binary that has been decoded: where each begins, its id, where its content begins and ends."""
    pos = 8
    while pos < len(data):
        start = pos
        size, pos = read_u32(data, pos + 1)
        yield start, data[start], pos, pos + size
        pos += size


def _check_header(data: bytes) -> None:
    if data[:4] != b"\0asm":
        if b"\0asm".startswith(data[:4]):
            raise Malformed("unexpected end", len(data))
        raise Malformed("magic header not detected", 0)
    version = data[4:8]
    if len(version) < 4:
        raise Malformed("unexpected end", len(data))
    if version[2:] == b"\1\0":
        raise Malformed("unknown binary version: this is a component, not a core module", 4)
    if version != b"\1\0\0\0":
        raise Malformed(f"unknown binary version {int.from_bytes(version, 'little')}", 4)


class _Decoder(Reader):
    """A reader that makes the module."""

    __slots__ = ("elem_exprs", "elem_funcs", "fields", "last_section", "module")

    def __init__(self, data: bytes, features: Features) -> None:
        super().__init__(data, features)
        self.module = Module(data, features)
        self.last_section = CUSTOM
        self.fields: dict[bytes, FieldType] = {}
        self.elem_funcs: dict[int, ConstExpr] = {}
        self.elem_exprs: dict[bytes, ConstExpr] = {}

    # Sections

    def sections(self) -> None:
        """Read all sections, then check what two sections say of each other."""
        total = len(self.data)
        last = 0
        while self.pos < total:
            start = self.pos
            self.end = total
            section = self.data[start]
            self.pos = start + 1
            size = self.u32()
            if size > total - self.pos:
                raise Malformed(f"length out of bounds: section of {size} bytes", start)
            self.end = self.pos + size
            last = self.section(section, start, last)
        self.check_counts()

    def section(self, section: int, start: int, last: int) -> int:
        """Read one section and return the greatest place in the order so far."""
        if section >= len(SECTIONS):
            raise Malformed(f"malformed section id {section}", start)
        if NEEDS.get(section, "mvp") not in self.features:
            raise Malformed(off(f"malformed section id {section}: a {SECTIONS[section]} section", NEEDS[section]), start)
        if section != CUSTOM:
            if ORDER[section] <= last:
                raise Malformed(f"unexpected content after last section: {SECTIONS[section]} section", start)
            last = ORDER[section]
            self.last_section = section
        _READ[section](self)
        if self.pos != self.end:
            raise Malformed(f"section size mismatch: {SECTIONS[section]} section", start)
        return last

    def check_counts(self) -> None:
        module = self.module
        defined = len(module.func_types) - module.num_imported_funcs
        if defined != len(module.bodies):
            found = f"{defined} functions, {len(module.bodies)} bodies"
            raise Malformed(f"function and code section have inconsistent lengths: {found}")
        if module.data_count is not None and module.data_count != len(module.datas):
            found = f"{module.data_count} announced, {len(module.datas)} found"
            raise Malformed(f"data count and data section have inconsistent lengths: {found}")

    def custom_section(self) -> None:
        name = self.name()
        self.module.customs.append(Custom(name, self.pos, self.end, self.last_section))
        self.pos = self.end

    def type_section(self) -> None:
        for _ in range(self.count("types", limits.MAX_ITEMS)):
            self.rec_type()

    def import_section(self) -> None:
        for _ in range(self.count("imports", limits.MAX_ITEMS)):
            module = self.name()
            name = self.name()
            start = self.pos
            kind = self.byte()
            desc: int | TableType | MemoryType | GlobalType
            if kind == FUNC:
                desc = self.u32()
            elif kind == TAG and "exceptions" in self.features:
                desc = self.tag()
            elif kind == TABLE:
                desc = self.table_type()
            elif kind == MEMORY:
                desc = self.memory_type()
            elif kind == GLOBAL:
                desc = self.global_type()
            else:
                raise Malformed(f"malformed import kind {kind:#04x}{self.without(kind == TAG, ': a tag', 'exceptions')}", start)
            self.module.add_import(Import(module, name, kind, desc))
        if len(self.module.memories) > limits.MAX_MEMORIES or len(self.module.tables) > limits.MAX_TABLES:
            raise LimitExceeded(f"more than {limits.MAX_MEMORIES} memories or {limits.MAX_TABLES} tables")

    def func_section(self) -> None:
        room = limits.MAX_ITEMS - len(self.module.func_types)
        self.module.func_types += [self.u32() for _ in range(self.count("functions", room))]

    def table_section(self) -> None:
        room = limits.MAX_TABLES - len(self.module.tables)
        for _ in range(self.count("tables", room)):
            self.table()

    def table(self) -> None:
        if self.data[self.pos : self.pos + 1] != b"\x40":
            self.module.tables.append(self.table_type())
            self.module.table_inits.append(None)
            return
        if "function-references" not in self.features:
            raise Malformed(off("malformed reference type 0x40: a table with an initial value", "function-references"), self.pos)
        self.pos += 1
        start = self.pos
        if self.byte():
            raise Malformed("malformed table", start)
        self.module.tables.append(self.table_type())
        self.module.table_inits.append(self.const_expr())

    def tag_section(self) -> None:
        room = limits.MAX_ITEMS - len(self.module.tags)
        self.module.tags += [self.tag() for _ in range(self.count("tags", room))]

    def tag(self) -> int:
        start = self.pos
        if self.byte():
            raise Malformed("malformed tag attribute", start)
        return self.u32()

    def memory_section(self) -> None:
        room = limits.MAX_MEMORIES - len(self.module.memories)
        self.module.memories += [self.memory_type() for _ in range(self.count("memories", room))]

    def global_section(self) -> None:
        for _ in range(self.count("globals", limits.MAX_ITEMS - len(self.module.globals))):
            self.module.globals.append(self.global_type())
            self.module.global_inits.append(self.const_expr())

    def export_section(self) -> None:
        for _ in range(self.count("exports", limits.MAX_ITEMS)):
            name = self.name()
            start = self.pos
            kind = self.byte()
            if kind > (TAG if "exceptions" in self.features else GLOBAL):
                raise Malformed(f"malformed export kind {kind:#04x}{self.without(kind == TAG, ': a tag', 'exceptions')}", start)
            self.module.exports.append(Export(name, kind, self.u32()))

    def start_section(self) -> None:
        self.module.start = self.u32()

    def elem_section(self) -> None:
        for _ in range(self.count("element segments", limits.MAX_ELEMS)):
            self.module.elems.append(self.elem())

    def code_section(self) -> None:
        self.module.bodies = [self.body() for _ in range(self.count("bodies", limits.MAX_ITEMS))]

    def data_section(self) -> None:
        self.module.datas = [self.data_segment() for _ in range(self.count("data segments", limits.MAX_DATAS))]

    def data_count_section(self) -> None:
        self.module.data_count = self.u32()

    # Types

    def rec_type(self) -> None:
        """Read a recursion group (spec 5.3.9), which may be a single type without one."""
        module = self.module
        count = 1
        if self.form("gc") == REC:
            self.pos += 1
            count = self.count("types", limits.MAX_ITEMS - len(module.types))
        elif len(module.types) >= limits.MAX_ITEMS:
            raise LimitExceeded(f"more than {limits.MAX_ITEMS} types")
        if count:
            module.groups.append(len(module.types))
        for _ in range(count):
            module.types.append(self.sub_type())

    def form(self, proposal: str) -> int:
        """Return the next byte without stepping over it; 0 while the proposal that gives it a meaning is off."""
        return self.data[self.pos] if self.pos < self.end and proposal in self.features else 0

    def without(self, known: bool, what: str, proposal: str) -> str:
        """Return the end of a message about something that a proposal gives a meaning, if that is the reason."""
        return off(what, proposal) if known and proposal not in self.features else ""

    def sub_type(self) -> SubType:
        form = self.form("gc")
        if form != SUB and form != SUB_FINAL:
            return SubType(self.comp_type())
        self.pos += 1
        supers = tuple([self.u32() for _ in range(self.count("supertypes", limits.MAX_SUPERTYPES))])
        return SubType(self.comp_type(), supers, form == SUB_FINAL)

    def comp_type(self) -> CompType:
        start = self.pos
        form = self.byte()
        if form == FUNC_FORM:
            params = self.type_vector()
            return FuncType(params, self.type_vector())
        if form == STRUCT and "gc" in self.features:
            return StructType(tuple([self.field() for _ in range(self.count("fields", limits.MAX_FIELDS))]))
        if form == ARRAY and "gc" in self.features:
            return ArrayType(self.field())
        gc = self.without(form in (REC, SUB, SUB_FINAL, STRUCT, ARRAY), ": it", "gc")
        raise Malformed(f"malformed type {form:#04x}{gc}", start)

    def field(self) -> FieldType:
        """Read the type of a field; those that are alike and two bytes long are one object."""
        pair = self.data[self.pos : self.pos + 2]
        known = self.fields.get(pair)
        if known is not None and self.pos + 2 <= self.end:
            self.pos += 2
            return known
        first = self.pos
        packed = self.form("gc")
        if packed == I8 or packed == I16:
            self.pos += 1
            storage = packed
        else:
            storage = self.value_type()
        start = self.pos
        mutable = self.byte()
        if mutable > 1:
            raise Malformed(f"malformed mutability {mutable:#04x}", start)
        type_ = FieldType(storage, mutable == 1)
        if self.pos == first + 2:
            self.fields[pair] = type_
        return type_

    # Items

    def elem(self) -> Elem:
        """Read an element segment: bit 0 of its flags not active, bit 1 table index or declarative, bit 2 expressions."""
        start = self.pos
        flags = self.u32()
        if flags > 7 or (flags and "bulk-memory" not in self.features):
            bulk = self.without(flags <= 7, ": it", "bulk-memory")
            raise Malformed(f"malformed element segment flags {flags}{bulk}", start)
        mode = ACTIVE
        table = 0
        offset: ConstExpr | None = None
        if flags & 1:
            mode = DECLARATIVE if flags & 2 else PASSIVE
        else:
            table = self.u32() if flags & 2 else 0
            offset = self.const_expr()
        type_ = FUNCREF if flags & 4 or "function-references" not in self.features else FUNCREF | NON_NULL
        if flags & 3:
            type_ = self.ref_type() if flags & 4 else self.elem_kind()
        count = self.count("elements", limits.MAX_ELEMS)
        inits = [self.elem_expr() for _ in range(count)] if flags & 4 else [self.elem_func() for _ in range(count)]
        return Elem(type_, mode, table, offset, inits)

    def elem_kind(self) -> int:
        start = self.pos
        kind = self.byte()
        if kind:
            raise Malformed(f"malformed element kind {kind:#04x}", start)
        return FUNCREF | NON_NULL if "function-references" in self.features else FUNCREF

    def elem_func(self) -> ConstExpr:
        """Return the one expression for a function index; a large segment is then one pointer per element."""
        index = self.u32()
        expr = self.elem_funcs.get(index)
        if expr is None:
            expr = self.elem_funcs[index] = ConstExpr([(REF_FUNC, index)])
            self.check_inits()
        return expr

    def elem_expr(self) -> ConstExpr:
        start = self.pos
        expr = self.const_expr()
        known = self.elem_exprs.setdefault(self.data[start : self.pos], expr)
        if known is expr:
            self.check_inits()
        return known

    def check_inits(self) -> None:
        if len(self.elem_funcs) + len(self.elem_exprs) > limits.MAX_DISTINCT_INITS:
            raise LimitExceeded(f"more than {limits.MAX_DISTINCT_INITS} different element expressions")

    def body(self) -> Body:
        start = self.pos
        size = self.u32()
        if size > limits.MAX_BODY:
            raise LimitExceeded(f"function body of {size} bytes at byte offset {start:#x}; the limit is {limits.MAX_BODY}")
        if size > self.end - self.pos:
            raise Malformed("unexpected end: function body goes beyond its section", start)
        self.pos += size
        return Body(self.pos - size, self.pos)

    def data_segment(self) -> Data:
        start = self.pos
        flags = self.u32()
        if flags > 2 or (flags and "bulk-memory" not in self.features):
            bulk = self.without(flags <= 2, ": it", "bulk-memory")
            raise Malformed(f"malformed data segment kind {flags}{bulk}", start)
        memory = self.u32() if flags == 2 else 0
        offset = None if flags == 1 else self.const_expr()
        size = self.u32()
        if size > self.end - self.pos:
            raise Malformed("unexpected end of section or function: data segment", start)
        self.pos += size
        return Data(PASSIVE if flags == 1 else ACTIVE, memory, offset, self.pos - size, self.pos)

    def const_expr(self) -> ConstExpr:
        """Read instructions up to the `end` that closes them; whether they are constant is for the validator."""
        start = self.pos
        instrs: list[tuple[int, Immediate]] = []
        depth = 0
        while True:
            at = self.pos
            code = self.opcode()
            if code == END:
                if not depth:
                    return ConstExpr(instrs, start, self.pos)
                depth -= 1
            row = opcodes.BY_CODE.get(code)
            if row is None or row.proposal not in self.features:
                raise Malformed(opcodes.illegal(code), at)
            if row.immediates == BLOCK or row.immediates == TRY_TABLE:
                depth += 1
            immediate, self.pos = READERS[row.immediates](self.data, self.pos)
            if self.pos > self.end:
                raise Malformed("unexpected end", at)
            instrs.append((code, immediate))
            if len(instrs) > limits.MAX_CONST_INSTRS:
                raise LimitExceeded(
                    f"constant expression of more than {limits.MAX_CONST_INSTRS} instructions at {start:#x}"
                )

    def opcode(self) -> int:
        code = self.byte()
        return opcodes.pack(code, self.u32()) if code in opcodes.BY_PREFIX else code


_READ: Final[tuple[Callable[[_Decoder], None], ...]] = (
    _Decoder.custom_section,
    _Decoder.type_section,
    _Decoder.import_section,
    _Decoder.func_section,
    _Decoder.table_section,
    _Decoder.memory_section,
    _Decoder.global_section,
    _Decoder.export_section,
    _Decoder.start_section,
    _Decoder.elem_section,
    _Decoder.code_section,
    _Decoder.data_section,
    _Decoder.data_count_section,
    _Decoder.tag_section,
)
