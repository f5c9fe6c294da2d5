"""LEB128 integers (spec 5.2.2). Floor 1.

Readers take bytes and a position and return (value, next position); they raise `Malformed` for what the spec forbids:
running past the end of the data, more bytes than the width allows, unused bits that are not a proper extension. Callers
whose range ends before the data does compare the position themselves. Hot loops inline the one-byte case.
"""

from __future__ import annotations

from figwasp.errors import Malformed

__all__ = [
    "read_i32",
    "read_i64",
    "read_s33",
    "read_u32",
    "read_u64",
    "signed",
    "skip",
    "unsigned",
    "write_signed",
    "write_unsigned",
]


def _groups(data: bytes, pos: int, bits: int) -> tuple[int, int, int]:
    """Read the groups of seven bits; return the number they make, where in it the last one begins, and the next position."""
    start = pos
    result = 0
    shift = 0
    try:
        while True:
            byte = data[pos]
            pos += 1
            if byte < 0x80:
                break
            result |= (byte & 0x7F) << shift
            shift += 7
            if shift >= bits:
                raise Malformed("integer representation too long", start)
    except IndexError:
        raise Malformed("unexpected end", start) from None
    return result | byte << shift, shift, pos


def unsigned(data: bytes, pos: int, bits: int) -> tuple[int, int]:
    """Read an unsigned integer of at most `bits` bits."""
    result, _, after = _groups(data, pos, bits)
    if result >> bits:
        raise Malformed("integer too large", pos)
    return result, after


def signed(data: bytes, pos: int, bits: int) -> tuple[int, int]:
    """Read a two's complement integer of at most `bits` bits."""
    result, shift, after = _groups(data, pos, bits)
    if result >> shift & 0x40:
        result -= 0x80 << shift
    if not -1 << bits - 1 <= result < 1 << bits - 1:
        raise Malformed("integer too large", pos)
    return result, after


def read_u32(data: bytes, pos: int) -> tuple[int, int]:
    """Read a u32."""
    try:
        byte = data[pos]
    except IndexError:
        raise Malformed("unexpected end", pos) from None
    return (byte, pos + 1) if byte < 0x80 else unsigned(data, pos, 32)


def read_u64(data: bytes, pos: int) -> tuple[int, int]:
    """Read a u64."""
    return unsigned(data, pos, 64)


def read_i32(data: bytes, pos: int) -> tuple[int, int]:
    """Read an i32 as a signed number."""
    return signed(data, pos, 32)


def read_s33(data: bytes, pos: int) -> tuple[int, int]:
    """Read an s33, the width of block types."""
    return signed(data, pos, 33)


def read_i64(data: bytes, pos: int) -> tuple[int, int]:
    """Read an i64 as a signed number."""
    return signed(data, pos, 64)


def skip(data: bytes, pos: int) -> int:
    """Return the position after an integer that is known to be well-formed."""
    while data[pos] >= 0x80:
        pos += 1
    return pos + 1


def write_unsigned(out: bytearray, value: int) -> None:
    """Append an unsigned integer in its shortest form."""
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def write_signed(out: bytearray, value: int) -> None:
    """Append a signed integer in its shortest form."""
    while not -0x40 <= value < 0x40:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value & 0x7F)
