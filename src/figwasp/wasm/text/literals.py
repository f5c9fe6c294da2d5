"""Floor 1: number tokens to values and back (spec 6.3.1 integers, 6.3.2 floating-point).

In: one token of the text format. Out: an int, or the bits of a float as an int; None when the token is no such literal.
Going back, the shortest text that reads as the same bits.

A decimal is rounded once, from all its digits to the format asked for. Python's `float` does that for f64. Rounding its
result again for f32 errs only where it lies exactly halfway between two f32 (every such midpoint is an f64), so there, and
only there, the literal is compared exactly.
"""

from __future__ import annotations

import math
import re
import struct
from typing import Final

from figwasp.lazy import importing

__all__ = ["RANGE_ERROR", "float_bits", "float_text", "integer"]

_INTEGER: Final = re.compile(r"[+-]?(?:0x[0-9a-fA-F](?:_?[0-9a-fA-F])*|[0-9](?:_?[0-9])*)")
_DECIMAL: Final = re.compile(r"([+-]?)([0-9](?:_?[0-9])*(?:\.(?:[0-9](?:_?[0-9])*)?)?(?:[eE][+-]?[0-9](?:_?[0-9])*)?)")
_HEX: Final = re.compile(
    r"([+-]?)(0x([0-9a-fA-F](?:_?[0-9a-fA-F])*)(?:\.((?:[0-9a-fA-F](?:_?[0-9a-fA-F])*)?))?(?:[pP]([+-]?[0-9](?:_?[0-9])*))?)"
)
_SPECIAL: Final = re.compile(r"([+-]?)(inf|nan)(?::0x([0-9a-fA-F](?:_?[0-9a-fA-F])*))?")
_MANY: Final = 40
"""More decimal digits than this, leading zeros aside, and an integer is out of every range."""

RANGE_ERROR: Final = -1
"""The result of `float_bits` for a literal that is well-formed but out of range."""


def integer(token: str) -> int | None:
    """Return the value of an integer literal; beyond 40 digits, some value that is out of every range."""
    if _INTEGER.fullmatch(token) is None:
        return None
    digits = token.replace("_", "")
    if "x" in digits:
        return int(digits, 16)
    if len(digits) > _MANY:
        sign = digits[0] if digits[0] in "+-" else ""
        digits = sign + (digits.lstrip("+-0") or "0")[: _MANY + 1]
    return int(digits)


def float_bits(token: str, width: int) -> int | None:
    """Return the bits of a float literal, None if it is none, or -1 if its value is out of range.

    Args:
        token: the literal.
        width: 32 or 64.
    """
    if token[-1] in "fnN" or ":" in token:
        special = _SPECIAL.fullmatch(token)
        if special is not None:
            return _special_bits(special, width)
    match = _DECIMAL.fullmatch(token)
    if match is not None:
        sign, digits = match[1], match[2].replace("_", "")
        value = float(digits)
    else:
        match = _HEX.fullmatch(token)
        if match is None:
            return None
        sign, digits = match[1], match[2].replace("_", "")
        try:
            value = float.fromhex(digits)
        except OverflowError:
            return RANGE_ERROR
    if math.isinf(value):
        return RANGE_ERROR
    sign_bit = 1 << (width - 1) if sign == "-" else 0
    if width == 64:
        return sign_bit | int.from_bytes(struct.pack(">d", value), "big")
    if _halfway(value):
        order = _compare_hex(match, value) if "x" in digits else _compare_decimal(digits, value)
        value = math.nextafter(value, math.inf if order > 0 else 0.0) if order else value
    try:
        return sign_bit | int.from_bytes(struct.pack(">f", value), "big")
    except OverflowError:
        return RANGE_ERROR


def float_text(bits: int, width: int) -> str:
    """Return the literal for the bits of a float: a decimal, inf or nan:0x payload."""
    mantissa = 23 if width == 32 else 52
    sign = "-" if bits >> (width - 1) else ""
    magnitude = bits & ((1 << (width - 1)) - 1)
    infinity = (1 << (width - 1 - mantissa)) - 1 << mantissa
    if magnitude == infinity:
        return sign + "inf"
    if magnitude > infinity:
        payload = magnitude - infinity
        return f"{sign}nan" if payload == 1 << (mantissa - 1) else f"{sign}nan:{payload:#x}"
    if width == 64:
        value: float = struct.unpack(">d", magnitude.to_bytes(8, "big"))[0]
        return sign + _plain(repr(value))
    value = struct.unpack(">f", magnitude.to_bytes(4, "big"))[0]
    for digits in range(1, 10):
        text = f"{value:.{digits}g}"
        if float_bits(text, 32) == magnitude:
            break
    return sign + _plain(text)


def _plain(text: str) -> str:
    return text.removesuffix(".0")


def _special_bits(match: re.Match[str], width: int) -> int | None:
    sign, name, payload = match.groups()
    mantissa = 23 if width == 32 else 52
    bits = (1 << (width - 1 - mantissa)) - 1 << mantissa
    if name == "inf":
        if payload is not None:
            return None
    elif payload is None:
        bits |= 1 << (mantissa - 1)
    else:
        number = int(payload.replace("_", ""), 16)
        if not 0 < number < 1 << mantissa:
            return RANGE_ERROR
        bits |= number
    return bits | (1 << (width - 1) if sign == "-" else 0)


def _halfway(value: float) -> bool:
    """Return whether a value, not negative, lies exactly between two neighbours of f32."""
    if value >= 2.0**-126:
        return int.from_bytes(struct.pack(">d", value), "big") & 0x1FFF_FFFF == 0x1000_0000
    units = value * 2.0**150  # halves of the distance between two subnormals of f32; exact, a power of two
    return units % 2.0 == 1.0


def _compare_decimal(digits: str, value: float) -> int:
    with importing:
        from decimal import Decimal  # takes as long to load as ten of our modules, and few literals need it

    exact, rounded = Decimal(digits), Decimal(value)
    return (exact > rounded) - (exact < rounded)


def _compare_hex(match: re.Match[str], value: float) -> int:
    """Compare a hexadecimal literal with a value next to it, sign aside."""
    fraction = (match[4] or "").replace("_", "")
    exact = int(match[3].replace("_", "") + fraction, 16)
    shift = (integer(match[5] or "0") or 0) - 4 * len(fraction)
    rounded, denominator = value.as_integer_ratio()
    shift += denominator.bit_length() - 1
    if shift >= 0:
        exact <<= shift
    else:
        rounded <<= -shift
    return (exact > rounded) - (exact < rounded)
