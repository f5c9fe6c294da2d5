"""The name section: names of a module and of what is in it (appendix A.4 "Custom Sections"). Floor 1.

In: the content of the section; out: `Names`; and back. Reading never fails: what is malformed ends the reading of its
subsection, and what was read before it stays.
"""

from __future__ import annotations

from figwasp.errors import Malformed
from figwasp.wasm.binary.leb128 import read_u32, write_unsigned

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

__all__ = ["NameMap", "Names", "read_field_names", "read_names", "write_names"]

NameMap = dict[int, str]
"""Index -> name."""

MODULE: Final = 0
FUNCS: Final = 1
LOCALS: Final = 2
LABELS: Final = 3
TYPES: Final = 4
TABLES: Final = 5
MEMORIES: Final = 6
GLOBALS: Final = 7
ELEMS: Final = 8
DATAS: Final = 9
FIELDS: Final = 10
TAGS: Final = 11
"""Ids of the subsections."""


class Names:
    """The names of one module.

    Attributes:
        module: name of the module, or None.
        funcs, types, tables, memories, globals, elems, datas, tags: index in the index space -> name.
        locals: function index -> local index -> name.
        labels: function index -> number of the block in its function, in the order of the binary from 0 -> name.
        fields: index of the type of a structure -> field index -> name.
    """

    __slots__ = (
        "datas",
        "elems",
        "fields",
        "funcs",
        "globals",
        "labels",
        "locals",
        "memories",
        "module",
        "tables",
        "tags",
        "types",
    )

    def __init__(self) -> None:
        self.module: str | None = None
        self.funcs: NameMap = {}
        self.types: NameMap = {}
        self.tables: NameMap = {}
        self.memories: NameMap = {}
        self.globals: NameMap = {}
        self.elems: NameMap = {}
        self.datas: NameMap = {}
        self.tags: NameMap = {}
        self.locals: dict[int, NameMap] = {}
        self.labels: dict[int, NameMap] = {}
        self.fields: dict[int, NameMap] = {}


def _flat_maps(names: Names) -> dict[int, NameMap]:
    """Return the maps of plain index spaces by the id of their subsection."""
    return {
        FUNCS: names.funcs,
        TYPES: names.types,
        TABLES: names.tables,
        MEMORIES: names.memories,
        GLOBALS: names.globals,
        ELEMS: names.elems,
        DATAS: names.datas,
        TAGS: names.tags,
    }


def _nested_maps(names: Names) -> dict[int, dict[int, NameMap]]:
    """Return the maps of index spaces within items by the id of their subsection."""
    return {LOCALS: names.locals, LABELS: names.labels, FIELDS: names.fields}


def read_names(data: bytes, start: int, end: int) -> Names:
    """Read the content of a name section, the bytes from `start` to `end`."""
    names = Names()
    for kind, content in _subsections(data[:end], start):
        _read_subsection(names, kind, content)
    return names


def read_field_names(data: bytes, start: int, end: int) -> dict[int, NameMap]:
    """Read `Names.fields` only, without looking into the rest."""
    names = Names()
    for kind, content in _subsections(data[:end], start):
        if kind == FIELDS:
            _read_subsection(names, kind, content)
    return names.fields


def _subsections(data: bytes, pos: int) -> Iterator[tuple[int, bytes]]:
    """Yield the id and the content of every subsection, up to one that is malformed."""
    try:
        while pos < len(data):
            kind = data[pos]
            size, pos = read_u32(data, pos + 1)
            if size > len(data) - pos:
                return
            yield kind, data[pos : pos + size]
            pos += size
    except Malformed:
        return


def _read_subsection(names: Names, kind: int, data: bytes) -> None:
    flat = _flat_maps(names).get(kind)
    nested = _nested_maps(names).get(kind)
    try:
        if kind == MODULE:
            names.module = _read_name(data, 0)[0]
        elif flat is not None:
            _read_map(data, 0, flat)
        elif nested is not None:
            count, pos = read_u32(data, 0)
            for _ in range(count):
                index, pos = read_u32(data, pos)
                pos = _read_map(data, pos, nested.setdefault(index, {}))
    except (Malformed, UnicodeDecodeError):
        pass


def _read_map(data: bytes, pos: int, into: NameMap) -> int:
    count, pos = read_u32(data, pos)
    for _ in range(count):
        index, pos = read_u32(data, pos)
        name, pos = _read_name(data, pos)
        into[index] = name
    return pos


def _read_name(data: bytes, pos: int) -> tuple[str, int]:
    size, pos = read_u32(data, pos)
    raw = data[pos : pos + size]
    if len(raw) < size:
        raise Malformed("unexpected end", pos)
    return raw.decode(), pos + size


def write_names(names: Names) -> bytes:
    """Return the content of a name section; empty maps are left out."""
    out = bytearray()
    if names.module is not None:
        _write_subsection(out, MODULE, _name(names.module))
    flat = _flat_maps(names)
    nested = _nested_maps(names)
    for kind in range(FUNCS, TAGS + 1):
        if kind in flat:
            if flat[kind]:
                _write_subsection(out, kind, _map(flat[kind]))
        else:
            _write_nested(out, kind, nested[kind])
    return bytes(out)


def _write_nested(out: bytearray, kind: int, maps: dict[int, NameMap]) -> None:
    filled = {index: names for index, names in sorted(maps.items()) if names}
    if not filled:
        return
    content = bytearray()
    write_unsigned(content, len(filled))
    for index, names in filled.items():
        write_unsigned(content, index)
        content += _map(names)
    _write_subsection(out, kind, content)


def _write_subsection(out: bytearray, kind: int, content: bytes | bytearray) -> None:
    out.append(kind)
    write_unsigned(out, len(content))
    out += content


def _name(text: str) -> bytearray:
    raw = text.encode()
    out = bytearray()
    write_unsigned(out, len(raw))
    out += raw
    return out


def _map(names: NameMap) -> bytearray:
    out = bytearray()
    write_unsigned(out, len(names))
    for index, name in sorted(names.items()):
        write_unsigned(out, index)
        out += _name(name)
    return out
