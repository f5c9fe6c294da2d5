"""Floor 3: the serial form of `Code`, for another process and for a file.

In: `Code`. Out: bytes, and from bytes `Code` again, or `BadCode`. The form, little-endian throughout:

    magic, version, checksum: the CRC-32 of magic and version, of what the code is made for, then of all that follows
    index, frame size, incoming, tier, bytes of text, bytes of the name, of those of symbols, of data, rows of each table
    the name in UTF-8, those of symbols, with NULs between, the data
    the tables as one block of unsigned 32-bit numbers: of each table column by column

The sizes in front give the size of the whole, which has to be that of what is read: with that one comparison nothing is made that
the bytes at hand do not fill, whatever they claim. The checksum finds what got damaged, not what was forged: whoever can write here
can write machine code. What is read is consistent all the same: offsets lie inside of the code, what relocations refer to is there.
"""

from __future__ import annotations

import sys
from array import array
from binascii import crc32
from struct import Struct

from figwasp.codegen.code import (
    IN_FRAME,
    RELOC_COUNTER,
    STUB_COUNT,
    Code,
)
from figwasp.ir import builtins

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    Table = Sequence[tuple[int, ...]]

__all__ = ["VERSION", "BadCode", "from_bytes", "pack_tables", "tables_of", "to_bytes", "unpack_tables"]

VERSION: Final = 5
"""Goes up with every change of the form, and of what its numbers mean: of kinds of relocations, stubs, builtins, trap codes."""

_HEAD: Final = Struct("<4sI").pack(b"fwco", VERSION)
_SEED: Final = crc32(_HEAD)
_CHECKSUM: Final = Struct("<I")
_FIELDS: Final = Struct("<iIi12I")
_BODY: Final = len(_HEAD) + _CHECKSUM.size
_START: Final = _BODY + _FIELDS.size
_CELL: Final = "I"
_CELL_SIZE: Final = 4
_SWAP: Final = sys.byteorder == "big"
_LEAST_FIELD: Final = 4  # bytes of a field of whatever kind
_UNLIMITED: Final = 1 << 32
"""Targets of relocations of kinds RELOC_CELL and RELOC_COUNTER: how many functions there are only the module says."""
_BETWEEN: Final = "\0"


class BadCode(ValueError):
    """Bytes that are not the serial form of a `Code`, or not of this version."""


def to_bytes(code: Code, machine: int = 0) -> bytes:
    """Return the serial form of code.

    Args:
        code: the code.
        machine: `Target.fingerprint` of what it is made for.

    Raises:
        UnicodeEncodeError: its name has a surrogate, which no function of a module has.
        OverflowError, struct.error: a number does not fit its place, which no compiler makes.
    """
    name = code.name.encode()
    symbols = _BETWEEN.join(code.symbols).encode()
    data = code.data
    counts, cells = pack_tables([code.relocs, *tables_of(code)])
    sizes = (code.text_size, len(name), len(symbols), len(data))
    fields = _FIELDS.pack(code.index, code.frame_size, code.incoming, code.tier, *sizes, *counts)
    body = b"".join((fields, name, symbols, data, cells))
    return _HEAD + _CHECKSUM.pack(crc32(body, _seed(machine))) + body


def tables_of(code: Code) -> list[Table]:
    """Return the tables of code but that of its relocations, in the order in which `unpack_tables` takes them."""
    return [code.traps, code.positions, code.frame_size_exceptions, code.pushed, code.saved, code.handlers]


def pack_tables(tables: list[Table]) -> tuple[list[int], bytes]:
    """Return the number of rows of each table, and all cells, column by column."""
    numbers: list[int] = []
    for table in tables:
        for column in zip(*table):
            numbers += column
    cells = array(_CELL, numbers)
    if _SWAP:
        cells.byteswap()
    return [len(table) for table in tables], cells.tobytes()


def _size_of(counts: list[int]) -> int:
    """Return the bytes of tables with so many rows, those of the relocations first."""
    return _CELL_SIZE * (2 * sum(counts) + 2 * counts[0] + counts[-1])


def unpack_tables(code: Code, counts: list[int], data: bytes | memoryview, size: int) -> None:
    """Fill in the tables of code, those of its relocations first.

    Args:
        code: the code, whose sizes are there.
        counts: rows of each table.
        data: all cells.
        size: bytes of the code's data.

    Raises:
        BadCode: there are not as many cells, or what they refer to is not there.
    """
    if _size_of(counts) != len(data):
        raise BadCode("the sizes are not those of what is there")
    cells = array(_CELL, bytes(data))
    if _SWAP:
        cells.byteswap()
    _read_tables(code, cells.tolist(), counts, size)


def from_bytes(data: bytes, machine: int = 0) -> Code:
    """Return the code of a serial form.

    Raises:
        BadCode: the bytes are no code, or of another version, or for another machine, or damaged.
    """
    _check(data, machine)
    index, frame_size, incoming, tier, text_size, name_size, symbols_size, size, *counts = _FIELDS.unpack_from(data, _BODY)
    names = _START + name_size
    place = names + symbols_size
    end = place + size
    if end + _size_of(counts) != len(data):
        raise BadCode("the sizes are not those of what is there")
    if text_size > size or incoming < IN_FRAME:
        raise BadCode("the text is larger than the data, or less than nothing is popped")
    try:
        code = Code(data[_START:names].decode(), index)
        if symbols_size:
            code.symbols = data[names:place].decode().split(_BETWEEN)
    except UnicodeDecodeError:
        raise BadCode("a name is not UTF-8") from None
    code.data = data[place:end]
    code.text_size = text_size
    code.frame_size = frame_size
    code.incoming = incoming
    code.tier = tier
    unpack_tables(code, counts, data[end:], size)
    return code


def _seed(machine: int) -> int:
    """Return what the checksum begins with."""
    return crc32(machine.to_bytes(4, "little"), _SEED) if machine else _SEED


def _check(data: bytes, machine: int) -> None:
    """See that the bytes begin as they should, and are those that were written."""
    if len(data) < _START:
        raise BadCode(f"{len(data)} bytes are too few")
    if data[: len(_HEAD)] != _HEAD:
        raise BadCode("not the serial form of code, or not of this version")
    if _CHECKSUM.unpack_from(data, len(_HEAD))[0] != crc32(memoryview(data)[_BODY:], _seed(machine)):
        raise BadCode("the checksum is not that of what is there, or it is for another machine")


def _read_tables(code: Code, cells: list[int], counts: list[int], size: int) -> None:
    """Fill in the tables; there are as many cells as the counts say."""
    relocs, traps, positions, exceptions, pushed, saved, handlers = counts
    text = code.text_size
    start = 4 * relocs
    if relocs:
        code.relocs = _relocs(cells, relocs, size, len(code.symbols))
    if traps:
        code.traps = _places(cells, start, traps, text)
        start += 2 * traps
    if positions:
        code.positions = _places(cells, start, positions, text)
        start += 2 * positions
    if exceptions:
        code.frame_size_exceptions = _places(cells, start, exceptions, text)
        start += 2 * exceptions
    if pushed:
        code.pushed = _places(cells, start, pushed, text)
        start += 2 * pushed
    if saved:
        code.saved = _saved(cells, start, saved, code.frame_size)
        start += 2 * saved
    if handlers:
        code.handlers = _handlers(cells[start:], handlers, text)


def _places(cells: list[int], start: int, count: int, text: int) -> list[tuple[int, int]]:
    """Return the rows of a table of places in the text and something about each."""
    middle = start + count
    offsets = cells[start:middle]
    if max(offsets) > text:
        raise BadCode("a place is outside of the text")
    return list(zip(offsets, cells[middle : middle + count]))


def _relocs(cells: list[int], count: int, size: int, symbols: int) -> list[tuple[int, int, int, int]]:
    offsets = cells[:count]
    fields = cells[count : 2 * count]
    kinds = cells[2 * count : 3 * count]
    targets = cells[3 * count : 4 * count]
    if max(offsets) + _LEAST_FIELD > size:
        raise BadCode("a field is outside of the data")
    most = (_UNLIMITED, builtins.COUNT, STUB_COUNT, symbols, _UNLIMITED)
    if max(kinds) > RELOC_COUNTER or [kind for target, kind in zip(targets, kinds) if target >= most[kind]]:
        raise BadCode("a field refers to what there is not")
    return list(zip(offsets, fields, kinds, targets))


def _saved(cells: list[int], start: int, count: int, frame_size: int) -> list[tuple[int, int]]:
    middle = start + count
    offsets = cells[middle : middle + count]
    if max(offsets) >= frame_size:
        raise BadCode("a register is saved outside of the frame")
    return list(zip(cells[start:middle], offsets))


def _handlers(cells: list[int], count: int, text: int) -> list[tuple[int, int, int]]:
    offsets = cells[:count]
    pads = cells[2 * count :]
    if max(offsets) > text or max(pads) >= text:
        raise BadCode("a handler is outside of the text")
    return list(zip(offsets, cells[count : 2 * count], pads))
