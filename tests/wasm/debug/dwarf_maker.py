"""Modules with DWARF made by hand: line programs of any version, as bytes."""

from __future__ import annotations

from collections.abc import Iterable

import figwasp

Row = tuple[int, int, int]
"""Address, file number, line."""


def uleb(value: int) -> bytes:
    out = bytearray()
    while True:
        byte = value & 0x7F
        value >>= 7
        out.append(byte | (0x80 if value else 0))
        if not value:
            return bytes(out)


def sleb(value: int) -> bytes:
    out = bytearray()
    while True:
        byte = value & 0x7F
        value >>= 7
        done = value == (-1 if byte & 0x40 else 0)
        out.append(byte if done else byte | 0x80)
        if done:
            return bytes(out)


def custom(name: str, content: bytes) -> bytes:
    """Give a custom section."""
    body = uleb(len(name)) + name.encode() + content
    return b"\0" + uleb(len(body)) + body


def with_sections(module: bytes, **sections: bytes) -> bytes:
    """Append DWARF sections to a module; `line` is `.debug_line`."""
    return module + b"".join(custom(f".debug_{name}", content) for name, content in sections.items())


def code_start(module: bytes) -> int:
    """Give the offset that addresses count from."""
    pos = 8
    while pos < len(module):
        kind, size, shift = module[pos], 0, 0
        pos += 1
        while True:
            byte = module[pos]
            pos += 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        if kind == 10:
            return pos
        pos += size
    raise AssertionError("no code section")


def sequence(rows: Iterable[Row], end: int) -> bytes:
    """Give the opcodes of one sequence of rows that ends at an address; plain opcodes only."""
    out = bytearray()
    address, file, line = 0, 1, 1
    for k, (to, number, wanted) in enumerate(rows):
        out += b"\0\x05\x02" + to.to_bytes(4, "little") if k == 0 else b"\x02" + uleb(to - address)
        if number != file:
            out += b"\x04" + uleb(number)
        out += b"\x03" + sleb(wanted - line) + b"\x01"
        address, file, line = to, number, wanted
    return bytes(out) + b"\x02" + uleb(end - address) + b"\0\x01\x01"


def unit(body: bytes, wide: bool = False) -> bytes:
    """Put a length before the content of a unit."""
    return b"\xff\xff\xff\xff" + len(body).to_bytes(8, "little") + body if wide else len(body).to_bytes(4, "little") + body


LENGTHS = bytes((0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1))
"""Operands of the standard opcodes from 1 on."""


def program(
    version: int,
    directories: list[str],
    files: list[tuple[str, int]],
    opcodes: bytes,
    *,
    wide: bool = False,
    base: int = -5,
    step: int = 14,
    lengths: bytes = LENGTHS,
) -> bytes:
    """Give a line program; files and directories are numbered as the version does."""
    size = 8 if wide else 4
    head = b"\x01" + (b"\x01" if version >= 4 else b"") + b"\x01" + bytes((base & 255, step, len(lengths) + 1)) + lengths
    if version == 5:
        head += b"\x01\x01\x08" + uleb(len(directories)) + b"".join(name.encode() + b"\0" for name in directories)
        head += b"\x02\x01\x08\x02\x0b" + uleb(len(files)) + b"".join(n.encode() + b"\0" + bytes((d,)) for n, d in files)
    else:
        head += b"".join(name.encode() + b"\0" for name in directories) + b"\0"
        head += b"".join(n.encode() + b"\0" + uleb(d) + b"\0\0" for n, d in files) + b"\0"
    before = version.to_bytes(2, "little") + (b"\x04\0" if version == 5 else b"")
    return unit(before + len(head).to_bytes(size, "little") + head + opcodes, wide)


def with_lines(text: str, path: str, lines: dict[bytes, int]) -> bytes:
    """Give a module from text in which instructions, found by their bytes, have lines of one file."""
    module = figwasp.wat(text)
    start = code_start(module)
    opcodes = b""
    for pattern, line in lines.items():
        assert module.count(pattern) == 1, pattern
        address = module.index(pattern) - start
        opcodes += sequence([(address, 1, line)], address + len(pattern))
    return with_sections(module, line=program(4, [], [(path, 0)], opcodes))
