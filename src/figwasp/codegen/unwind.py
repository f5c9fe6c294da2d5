"""Floor 3: what a walk over frames by machine code needs to know of code, as bytes that are installed with it.

In: `Code`. Out: its *record*, which stands behind it (`layout.FRAME_*`), and for a map of the range of all code one byte for each
granule of 16 bytes, by which the record is found from any address in the code.

Theory of operation. A byte of the map says how far it is to the record in granules, as one step: below HOP it is the distance; from
HOP on it is a hop of `HOP_BASE << byte - HOP` granules, less than the distance, after which to look again. A byte of 0 is no
code that has a record. What stands for a function in the map is thus a slice of one constant, and the number of steps is at most
logarithmic. All of it is position independent.
"""

from __future__ import annotations

import struct

from figwasp import layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from figwasp.codegen.code import Code

GRANULE_BITS: Final = 4
GRANULE: Final = 1 << GRANULE_BITS
"""Bytes of code that one byte of the map stands for. Code begins at a multiple of it."""
HOP: Final = 128
HOP_BASE: Final = HOP - 1

_HEAD: Final = struct.Struct("<IiIII")
_SITE: Final = struct.Struct("<4I")
_U32: Final = 4


def describe(data: bytes, parts: list[tuple[int, int, Code]], instance_reg: int) -> tuple[bytes, bytes]:
    """Append the records of what stands in a piece of code.

    Args:
        data: the bytes.
        parts: of each function start and end in them, and the `Code` that tells of its frames.
        instance_reg: the register that holds the instance where a function begins.

    Returns:
        The bytes with the records, and the bytes of the map for them.
    """
    size = _round(len(data))
    pieces = [data, bytes(size - len(data))]
    places = bytearray(size >> GRANULE_BITS)
    for start, end, code in parts:
        record = _record(code, size - start, instance_reg)
        first = max(start - 1, 0) >> GRANULE_BITS  # what returns to the first instruction is looked up as the byte before it
        after = (end - 1 >> GRANULE_BITS) + 1
        places[first:after] = _steps((size >> GRANULE_BITS) - first, after - first)
        pieces.append(record)
        size += len(record)
    return b"".join(pieces), bytes(places)


def _round(size: int) -> int:
    return (size + GRANULE - 1) & -GRANULE

_known = bytes(range(HOP_BASE, 0, -1))
"""The bytes of the map for distances from the largest so far down to 1."""


def _steps(distance: int, count: int) -> bytes:
    """Return the bytes of the map for so many granules, the first of which is at a distance from the record."""
    global _known
    known = _known
    hop = HOP
    while len(known) < distance:
        if len(known) < HOP_BASE << hop - HOP + 1:
            known = bytes((hop,)) * (HOP_BASE << hop - HOP) + known
        hop += 1
    _known = known
    start = len(known) - distance
    return known[start : start + count]


def _record(code: Code, distance: int, instance_reg: int) -> bytes:
    """Return the record of a function that begins at a distance in front of it."""
    sizes = dict(code.frame_size_exceptions)
    pushed = dict(code.pushed)
    caught: dict[int, list[tuple[int, int]]] = {}
    for offset, clause, pad in code.handlers:
        caught.setdefault(offset, []).append((clause, pad))
    sites = sorted({*sizes, *pushed, *caught})
    lists = _Lists(layout.FRAME_SITES + _SITE.size * len(sites))
    rows = [
        _SITE.pack(offset, sizes.get(offset, code.frame_size), pushed.get(offset, 0), lists.add(caught.get(offset)))
        for offset in sites
    ]
    instance = dict(code.saved)[instance_reg] if caught else 0
    head = _HEAD.pack(code.frame_size, code.incoming, distance, len(sites), instance).ljust(layout.FRAME_SITES, b"\0")
    record = head + b"".join(rows) + lists.data
    return record.ljust(_round(len(record)), b"\0")


class _Lists:
    """The lists of what calls catch, each once: landing pad, number of clauses, clauses."""

    __slots__ = ("_places", "_start", "data")

    def __init__(self, start: int) -> None:
        self._start = start
        self._places: dict[tuple[tuple[int, int], ...], int] = {}
        self.data = b""

    def add(self, caught: list[tuple[int, int]] | None) -> int:
        """Return the offset of a list in the record, 0 for none."""
        if caught is None:
            return 0
        key = tuple(caught)
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = self._start + len(self.data)
            self.data += struct.pack(f"<{2 + len(caught)}I", caught[0][1], len(caught), *[clause for clause, _ in caught])
        return place
