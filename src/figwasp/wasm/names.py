"""The name section: names of the module, its functions and their locals (appendix A.4 "Custom Sections"). Floor 1.

Reading never fails: what is malformed ends the reading of its subsection, and what was read before it stays.
"""

from __future__ import annotations

from typing import Final

from figwasp.errors import Malformed
from figwasp.wasm.leb128 import read_u32, write_unsigned

__all__ = ["Names", "read_names", "write_names"]

MODULE: Final = 0
FUNCS: Final = 1
LOCALS: Final = 2


class Names:
    """The names of one module.

    Attributes:
        module: name of the module, or None.
        funcs: function index -> name.
        locals: function index -> local index -> name.
    """

    __slots__ = ("funcs", "locals", "module")

    def __init__(self) -> None:
        self.module: str | None = None
        self.funcs: dict[int, str] = {}
        self.locals: dict[int, dict[int, str]] = {}


def read_names(data: bytes, start: int, end: int) -> Names:
    """Read the content of a name section, the bytes from `start` to `end`."""
    names = Names()
    pos = start
    data = data[:end]
    try:
        while pos < end:
            kind = data[pos]
            size, pos = read_u32(data, pos + 1)
            if size > end - pos:
                break
            _read_subsection(names, kind, data[pos : pos + size])
            pos += size
    except Malformed:
        pass
    return names


def _read_subsection(names: Names, kind: int, data: bytes) -> None:
    try:
        if kind == MODULE:
            names.module = _read_name(data, 0)[0]
        elif kind == FUNCS:
            _read_map(data, 0, names.funcs)
        elif kind == LOCALS:
            count, pos = read_u32(data, 0)
            for _ in range(count):
                func, pos = read_u32(data, pos)
                pos = _read_map(data, pos, names.locals.setdefault(func, {}))
    except (Malformed, UnicodeDecodeError):
        pass


def _read_map(data: bytes, pos: int, into: dict[int, str]) -> int:
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
    if names.funcs:
        _write_subsection(out, FUNCS, _map(names.funcs))
    local_maps = {func: local for func, local in sorted(names.locals.items()) if local}
    if local_maps:
        content = bytearray()
        write_unsigned(content, len(local_maps))
        for func, local in local_maps.items():
            write_unsigned(content, func)
            content += _map(local)
        _write_subsection(out, LOCALS, content)
    return bytes(out)


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


def _map(names: dict[int, str]) -> bytearray:
    out = bytearray()
    write_unsigned(out, len(names))
    for index, name in sorted(names.items()):
        write_unsigned(out, index)
        out += _name(name)
    return out
