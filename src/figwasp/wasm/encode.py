"""Module -> bytes (spec 5.5). Floor 1.

Goes in: a `Module` whose `bodies` and data ranges are ignored, the code entries and data bytes that take their place,
and names. Comes out: the binary, every integer in its shortest form. Nothing is checked: what goes in decides whether
the result is valid.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from figwasp.wasm.immediates import WRITERS, Immediate
from figwasp.wasm.leb128 import write_unsigned
from figwasp.wasm.module import (
    ACTIVE,
    DECLARATIVE,
    GLOBAL,
    MEMORY,
    PASSIVE,
    TABLE,
    ConstExpr,
    Data,
    Elem,
    Import,
    Module,
)
from figwasp.wasm.names import Names, write_names
from figwasp.wasm.opcodes import BY_CODE, subcode
from figwasp.wasm.types import FUNCREF, FuncType, GlobalType, Limits, MemoryType, TableType

__all__ = ["MAGIC", "encode", "locals_vector", "write_instr", "write_name"]

MAGIC: Final = b"\0asm\1\0\0\0"
REF_FUNC: Final = 0xD2
END: Final = 0x0B


def encode(module: Module, bodies: Sequence[bytes], datas: Sequence[bytes], names: Names | None = None) -> bytes:
    """Return a module's binary.

    Args:
        module: what to write; custom sections other than the name section are not written.
        bodies: per defined function its code entry without the size: locals, instructions, the final `end`.
        datas: per data segment its bytes.
        names: written as the name section unless it is empty.
    """
    out = bytearray(MAGIC)
    _section(out, 1, [_func_type(type_) for type_ in module.types])
    _section(out, 2, [_import(item) for item in module.imports])
    _section(out, 3, [_index(type_) for type_ in module.func_types[module.num_imported_funcs :]])
    _section(out, 4, [_table_type(type_) for type_ in module.tables[module.num_imported_tables :]])
    _section(out, 5, [_limits(type_.limits) for type_ in module.memories[module.num_imported_memories :]])
    globals_ = zip(module.globals[module.num_imported_globals :], module.global_inits, strict=True)
    _section(out, 6, [_global_type(type_) + _expr(init) for type_, init in globals_])
    _section(out, 7, [write_name(item.name) + bytes((item.kind,)) + _index(item.index) for item in module.exports])
    if module.start is not None:
        _sized(out, 8, _index(module.start))
    _section(out, 9, [_elem(elem) for elem in module.elems])
    if module.data_count is not None:
        _sized(out, 12, _index(module.data_count))
    _section(out, 10, [_index(len(body)) + body for body in bodies])
    _section(out, 11, [_data(data, init) for data, init in zip(module.datas, datas, strict=True)])
    section = write_names(names) if names is not None else b""
    if section:
        _sized(out, 0, write_name("name") + section)
    return bytes(out)


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


def locals_vector(types: bytes) -> bytes:
    """Return the locals of a code entry, runs of one type counted."""
    runs: list[tuple[int, int]] = []
    for code in types:
        if runs and runs[-1][1] == code:
            runs[-1] = (runs[-1][0] + 1, code)
        else:
            runs.append((1, code))
    return _index(len(runs)) + b"".join(_index(count) + bytes((code,)) for count, code in runs)


def _index(value: int) -> bytes:
    out = bytearray()
    write_unsigned(out, value)
    return bytes(out)


def _sized(out: bytearray, section: int, content: bytes) -> None:
    out.append(section)
    write_unsigned(out, len(content))
    out += content


def _section(out: bytearray, section: int, items: list[bytes]) -> None:
    if items:
        _sized(out, section, _index(len(items)) + b"".join(items))


def _func_type(type_: FuncType) -> bytes:
    return b"\x60" + _index(len(type_.params)) + type_.params + _index(len(type_.results)) + type_.results


def _limits(limits: Limits) -> bytes:
    if limits.max is None:
        return b"\0" + _index(limits.min)
    return b"\1" + _index(limits.min) + _index(limits.max)


def _table_type(type_: TableType) -> bytes:
    return bytes((type_.elem,)) + _limits(type_.limits)


def _global_type(type_: GlobalType) -> bytes:
    return bytes((type_.type, type_.mutable))


def _import(item: Import) -> bytes:
    desc = item.desc
    if isinstance(desc, int):
        raw = b"\0" + _index(desc)
    elif isinstance(desc, TableType):
        raw = bytes((TABLE,)) + _table_type(desc)
    elif isinstance(desc, MemoryType):
        raw = bytes((MEMORY,)) + _limits(desc.limits)
    else:
        raw = bytes((GLOBAL,)) + _global_type(desc)
    return write_name(item.module) + write_name(item.name) + raw


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


def _elem(elem: Elem) -> bytes:
    """Write a segment in the shortest of the eight forms of spec 5.5.12."""
    funcs = _func_indices(elem) if elem.type == FUNCREF else None
    flags = 0 if funcs is not None else 4
    head = b""
    if elem.mode == ACTIVE:
        assert elem.offset is not None
        implied = elem.table == 0 and elem.type == FUNCREF
        head = _expr(elem.offset) if implied else _index(elem.table) + _expr(elem.offset)
        flags |= 0 if implied else 2
    else:
        flags |= 1 if elem.mode == PASSIVE else 3
        assert elem.mode in (PASSIVE, DECLARATIVE)
    if flags & 3:
        head += b"\0" if funcs is not None else bytes((elem.type,))
    items = [_index(index) for index in funcs] if funcs is not None else [_expr(init) for init in elem.inits]
    return _index(flags) + head + _index(len(items)) + b"".join(items)


def _data(data: Data, init: bytes) -> bytes:
    head = b"\1"
    if data.mode == ACTIVE:
        assert data.offset is not None
        head = b"\2" + _index(data.memory) + _expr(data.offset) if data.memory else b"\0" + _expr(data.offset)
    return head + _index(len(init)) + init
