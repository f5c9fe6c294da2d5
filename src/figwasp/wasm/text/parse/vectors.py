"""Floor 1: vector literals and lane indices in the text format (spec 6.5.9).

In: a `Cursor` on the first token. Out: the bits of a vector as one int, lane 0 lowest; lane indices.
"""

from __future__ import annotations

from typing import Final, NoReturn

from figwasp.wasm.text.cursor import Cursor
from figwasp.wasm.text.literals import RANGE_ERROR, float_bits, integer

__all__ = ["SHAPES", "lane", "lanes", "vector"]

SHAPES: Final = {
    "i8x16": (16, 8), "i16x8": (8, 16), "i32x4": (4, 32), "i64x2": (2, 64), "f32x4": (4, 32), "f64x2": (2, 64),
}  # fmt: skip
"""Shape of a vector literal -> number and width of its lanes."""
_LANES: Final = 16
_MAX_LANE: Final = 255


def vector(cursor: Cursor) -> int:
    """Read a vector literal: its shape and its lanes."""
    shape = cursor.items[cursor.at]
    if shape not in SHAPES:
        cursor.unexpected("the shape of a vector")
    cursor.at += 1
    count, width = SHAPES[shape]
    value = 0
    for index in range(count):
        bits = _float(cursor, width) if shape[0] == "f" else _integer(cursor, width)
        value |= bits << index * width
    if cursor.items[cursor.at][:1].isdecimal():
        cursor.fail("wrong number of lane literals")
    return value


def _integer(cursor: Cursor, width: int) -> int:
    token = cursor.items[cursor.at]
    value = integer(token)
    if value is None:
        _wrong_lane(cursor)
    if not -1 << (width - 1) <= value < 1 << width:
        cursor.fail(f"constant out of range for i{width}")
    cursor.at += 1
    return value & (1 << width) - 1


def _float(cursor: Cursor, width: int) -> int:
    token = cursor.items[cursor.at]
    bits = float_bits(token, width) if token else None
    if bits is None:
        _wrong_lane(cursor)
    if bits == RANGE_ERROR:
        cursor.fail(f"constant out of range for f{width}")
    cursor.at += 1
    return bits


def _wrong_lane(cursor: Cursor) -> NoReturn:
    if cursor.items[cursor.at] in ("(", ")"):
        cursor.fail("wrong number of lane literals")
    cursor.unexpected("a number")


def lane(cursor: Cursor) -> int:
    """Read a lane index; whether there is such a lane is for the validator."""
    token = cursor.items[cursor.at]
    value = integer(token) if token[:1].isdecimal() else None
    if value is None:
        cursor.unexpected("a lane index")
    if value > _MAX_LANE:
        cursor.fail("i8 constant out of range: malformed lane index")
    cursor.at += 1
    return value


def lanes(cursor: Cursor) -> bytes:
    """Read the sixteen lane indices of a shuffle."""
    found = bytearray()
    while len(found) < _LANES:
        if cursor.items[cursor.at] in ("(", ")"):
            cursor.fail("invalid lane length")
        found.append(lane(cursor))
    if cursor.items[cursor.at][:1].isdecimal():
        cursor.fail("invalid lane length")
    return bytes(found)
