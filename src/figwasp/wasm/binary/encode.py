"""Module -> bytes (spec 5.5). Floor 1.

Goes in: a `Module` whose `bodies`, data ranges and custom sections are ignored, the code entries, data bytes and custom
sections that take their place, and names. Comes out: the binary, every integer in its shortest form. Nothing is checked:
what goes in decides whether the result is valid. `encode_decoded` takes all of that from the module's own bytes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Final

from figwasp.wasm.binary.immediates import WRITERS
from figwasp.wasm.binary.leb128 import write_unsigned
from figwasp.wasm.binary.types import value_type_bytes, value_types_bytes
from figwasp.wasm.syntax.immediates import Immediate
from figwasp.wasm.syntax.module import (
    ACTIVE,
    DECLARATIVE,
    PASSIVE,
    TAG,
    ConstExpr,
    Data,
    Elem,
    Import,
    Module,
)
from figwasp.wasm.syntax.names import Names, write_names
from figwasp.wasm.syntax.opcodes import BY_CODE, subcode
from figwasp.wasm.syntax.types import (
    FUNCREF,
    I8,
    I16,
    I64,
    NON_NULL,
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
)

__all__ = ["MAGIC", "Section", "encode", "encode_decoded", "locals_vector", "write_instr", "write_name"]

MAGIC: Final = b"\0asm\1\0\0\0"
REF_FUNC: Final = 0xD2
END: Final = 0x0B


Section = tuple[int, str, bytes]
"""A custom section: its position, its name, its content."""

_ORDER: Final = (1, 2, 3, 4, 5, 13, 6, 7, 8, 9, 12, 10, 11)
"""Ids of the sections in the order of the binary."""
FIRST: Final = 0
"""Position before all sections; further positions are before and after each section, and LAST."""
BEFORE: Final = {id_: 2 * place + 1 for place, id_ in enumerate(_ORDER)}
"""Section id -> the position directly before that section."""
AFTER: Final = {0: FIRST, **{id_: position + 1 for id_, position in BEFORE.items()}}
"""Section id -> the position directly after that section, which comes before the position that is before the next one."""
LAST: Final = 2 * len(_ORDER) + 1
"""Position after all sections and the name section."""


def encode(
    module: Module, bodies: Sequence[bytes], datas: Sequence[bytes], names: Names | None = None, customs: Sequence[Section] = ()
) -> bytes:
    """Return a module's binary.

    Args:
        module: what to write.
        bodies: per defined function its code entry without the size: locals, instructions, the final `end`.
        datas: per data segment its bytes.
        names: written as the name section, after everything but the custom sections at LAST, unless it is empty.
        customs: custom sections; those at the same position in their order. Where a section is left out, as it has no content,
            the positions before and after it remain, one after the other.
    """
    out = bytearray(MAGIC)
    waiting = deque(sorted(customs, key=itemgetter(0)))
    for section, content in _sections(module, bodies, datas):
        if content:
            _write_customs(out, waiting, BEFORE[section])
            _sized(out, section, content)
    _write_customs(out, waiting, LAST - 1)
    section_names = write_names(names) if names is not None else b""
    if section_names:
        _sized(out, 0, write_name("name") + section_names)
    _write_customs(out, waiting, LAST)
    return bytes(out)


def encode_decoded(module: Module) -> bytes:
    """Return the binary of a module with the bodies, data and custom sections that it was decoded from."""
    data = module.data
    bodies = [data[body.start : body.end] for body in module.bodies]
    datas = [data[segment.start : segment.end] for segment in module.datas]
    customs = [(AFTER[item.after], item.name, data[item.start : item.end]) for item in module.customs]
    return encode(module, bodies, datas, None, customs)


def _sections(module: Module, bodies: Sequence[bytes], datas: Sequence[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield the sections in the order of the binary; those without content are left out."""
    yield 1, _vector(_rec_groups(module))
    yield 2, _vector([_import(item) for item in module.imports])
    yield 3, _vector([_index(type_) for type_ in module.func_types[module.num_imported_funcs :]])
    tables = zip(module.tables[module.num_imported_tables :], module.table_inits, strict=True)
    yield 4, _vector([_table(type_, init) for type_, init in tables])
    yield 5, _vector([_memory_type(type_) for type_ in module.memories[module.num_imported_memories :]])
    yield 13, _vector([_tag(type_) for type_ in module.tags[module.num_imported_tags :]])
    globals_ = zip(module.globals[module.num_imported_globals :], module.global_inits, strict=True)
    yield 6, _vector([_global_type(type_) + _expr(init) for type_, init in globals_])
    yield 7, _vector([write_name(item.name) + bytes((item.kind,)) + _index(item.index) for item in module.exports])
    yield 8, _index(module.start) if module.start is not None else b""
    yield 9, _vector([_elem(module, elem) for elem in module.elems])
    yield 12, _index(module.data_count) if module.data_count is not None else b""
    yield 10, _vector([_index(len(body)) + body for body in bodies])
    yield 11, _vector([_data(data, init) for data, init in zip(module.datas, datas, strict=True)])


def _write_customs(out: bytearray, waiting: deque[Section], position: int) -> None:
    """Write the custom sections at and before a position."""
    while waiting and waiting[0][0] <= position:
        _, name, content = waiting.popleft()
        _sized(out, 0, write_name(name) + content)


def write_instr(out: bytearray, code: int, immediate: Immediate) -> None:
    """Append one instruction.

    Args:
        out: grows by the instruction.
        code: opcode as in `opcodes.py`.
        immediate: its immediate in the decoded form of `immediates.py`.
    """
    if code > 0xFF:
        out.append(code >> 8 & 0xFF)
        write_unsigned(out, subcode(code))
    else:
        out.append(code)
    WRITERS[BY_CODE[code].immediates](out, immediate)


def write_name(text: str) -> bytes:
    """Return a name: its length in bytes and its UTF-8."""
    raw = text.encode()
    return _index(len(raw)) + raw


def locals_vector(types: Types) -> bytes:
    """Return the locals of a code entry, runs of one type counted."""
    runs: list[tuple[int, int]] = []
    for code in types:
        if runs and runs[-1][1] == code:
            runs[-1] = (runs[-1][0] + 1, code)
        else:
            runs.append((1, code))
    return _index(len(runs)) + b"".join(_index(count) + value_type_bytes(code) for count, code in runs)


def _index(value: int) -> bytes:
    out = bytearray()
    write_unsigned(out, value)
    return bytes(out)


def _sized(out: bytearray, section: int, content: bytes) -> None:
    out.append(section)
    write_unsigned(out, len(content))
    out += content


def _vector(items: list[bytes]) -> bytes:
    return _index(len(items)) + b"".join(items) if items else b""


def _rec_groups(module: Module) -> list[bytes]:
    """Return the recursion groups; a group of one type is the type alone (spec 5.3.9)."""
    ends = [*module.groups, len(module.types)][1:]
    groups: list[bytes] = []
    for start, end in zip(module.groups, ends, strict=True):
        types = b"".join(map(_sub_type, module.types[start:end]))
        groups.append(types if end - start == 1 else b"\x4e" + _index(end - start) + types)
    return groups


def _sub_type(type_: SubType) -> bytes:
    if type_.final and not type_.supers:
        return _comp_type(type_.comp)
    head = b"\x4f" if type_.final else b"\x50"
    return head + _index(len(type_.supers)) + b"".join(map(_index, type_.supers)) + _comp_type(type_.comp)


def _comp_type(type_: CompType) -> bytes:
    if isinstance(type_, FuncType):
        return b"\x60" + _types(type_.params) + _types(type_.results)
    if isinstance(type_, StructType):
        return b"\x5f" + _index(len(type_.fields)) + b"".join(map(_field, type_.fields))
    return b"\x5e" + _field(type_.field)


def _types(types: Types) -> bytes:
    return _index(len(types)) + value_types_bytes(types)


def _field(type_: FieldType) -> bytes:
    packed = type_.storage == I8 or type_.storage == I16
    return (bytes((type_.storage,)) if packed else value_type_bytes(type_.storage)) + bytes((type_.mutable,))


def _limits(limits: Limits, flags: int) -> bytes:
    if limits.max is None:
        return bytes((flags,)) + _index(limits.min)
    return bytes((flags | 1,)) + _index(limits.min) + _index(limits.max)


def _table_type(type_: TableType) -> bytes:
    return value_type_bytes(type_.elem) + _limits(type_.limits, 4 if type_.address == I64 else 0)


def _table(type_: TableType, init: ConstExpr | None) -> bytes:
    return _table_type(type_) if init is None else b"\x40\0" + _table_type(type_) + _expr(init)


def _memory_type(type_: MemoryType) -> bytes:
    flags = (2 if type_.shared else 0) | (4 if type_.address == I64 else 0)
    if type_.page == 16:
        return _limits(type_.limits, flags)
    return _limits(type_.limits, flags | 8) + _index(type_.page)


def _global_type(type_: GlobalType) -> bytes:
    return value_type_bytes(type_.type) + bytes((type_.mutable,))


def _tag(type_: int) -> bytes:
    return b"\0" + _index(type_)


def _import(item: Import) -> bytes:
    desc = item.desc
    if isinstance(desc, int):
        raw = _tag(desc) if item.kind == TAG else _index(desc)
    elif isinstance(desc, TableType):
        raw = _table_type(desc)
    else:
        raw = _memory_type(desc) if isinstance(desc, MemoryType) else _global_type(desc)
    return write_name(item.module) + write_name(item.name) + bytes((item.kind,)) + raw


def _expr(expr: ConstExpr) -> bytes:
    out = bytearray()
    for code, immediate in expr.instrs:
        write_instr(out, code, immediate)
    out.append(END)
    return bytes(out)


def _func_indices(elem: Elem) -> list[int] | None:
    """Return the function indices of a segment that is nothing but `ref.func`, else None."""
    indices: list[int] = []
    for init in elem.inits:
        if len(init.instrs) != 1 or init.instrs[0][0] != REF_FUNC:
            return None
        index = init.instrs[0][1]
        assert isinstance(index, int)
        indices.append(index)
    return indices


def _items(elem: Elem, funcs: list[int] | None) -> bytes:
    """Return the elements of a segment, function indices where there are some; each is encoded once, as segments repeat few."""
    out = bytearray()  # to join them would take 80 bytes an element
    if funcs is None:
        exprs = {init: _expr(init) for init in dict.fromkeys(elem.inits)}
        for init in elem.inits:
            out += exprs[init]
    else:
        indices = {index: _index(index) for index in set(funcs)}
        for index in funcs:
            out += indices[index]
    return bytes(out)


def _elem(module: Module, elem: Elem) -> bytes:
    """Write a segment in the shortest of the eight forms of spec 5.5.12 that keeps its type."""
    implied = FUNCREF | NON_NULL if "function-references" in module.features else FUNCREF
    funcs = _func_indices(elem) if elem.type == implied else None
    flags = 0 if funcs is not None else 4
    head = b""
    if elem.mode == ACTIVE:
        assert elem.offset is not None
        short = elem.table == 0 and (funcs is not None or elem.type == FUNCREF)
        head = _expr(elem.offset) if short else _index(elem.table) + _expr(elem.offset)
        flags |= 0 if short else 2
    else:
        flags |= 1 if elem.mode == PASSIVE else 3
        assert elem.mode in (PASSIVE, DECLARATIVE)
    if flags & 3:
        head += b"\0" if funcs is not None else value_type_bytes(elem.type)
    return _index(flags) + head + _index(len(elem.inits)) + _items(elem, funcs)


def _data(data: Data, init: bytes) -> bytes:
    head = b"\1"
    if data.mode == ACTIVE:
        assert data.offset is not None
        head = b"\2" + _index(data.memory) + _expr(data.offset) if data.memory else b"\0" + _expr(data.offset)
    return head + _index(len(init)) + init
