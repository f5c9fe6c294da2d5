"""Arithmetic of the specification (4.3.2 to 4.3.4) on bits: integers of any width, floats, conversions. Floor 2.

Goes in: a width or a format. Comes out: the functions of it that `fold.py` has for numbers and `fold_vector.py` for lanes.

A result that is a NaN is one that the spec permits (4.3.3): the first operand that is a NaN, made quiet, or the canonical
NaN when no operand is one. Bits are looked at before they become a Python float, since that conversion makes NaNs quiet.
Arithmetic on f32 is done in f64 and rounded once more, which gives the right result: 53 >= 2 * 24 + 2 (Figueroa, "When is
double rounding innocuous?", 1995), and likewise for subnormal results of these operations.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from struct import Struct
from typing import Final

__all__ = [
    "F32",
    "F64",
    "UNDEFINED",
    "Fold",
    "Format",
    "bounds",
    "comparisons",
    "convert",
    "demote",
    "float_comparisons",
    "floating",
    "integer",
    "promote",
    "signed",
    "trunc",
    "trunc_sat",
]

UNDEFINED: Final = -1
"""The operands are outside of the operation's domain."""

Fold = Callable[..., int]
"""Operands as bits -> result as bits, or UNDEFINED."""


# Integers (4.3.2)


def signed(bits: int, width: int) -> int:
    """Return the signed number that the low `width` bits are."""
    half = 1 << width - 1
    return (bits & half - 1) - (bits & half)


def bounds(width: int, is_signed: bool) -> tuple[int, int]:
    """Return the least and the greatest integer of a width."""
    return (-1 << width - 1, (1 << width - 1) - 1) if is_signed else (0, (1 << width) - 1)


def integer(width: int) -> dict[str, Fold]:
    """Return the functions of integers of `width` bits; counts of shifts are of any width."""
    mask = (1 << width) - 1
    turn = width - 1
    return {
        "add": lambda a, b: a + b & mask,
        "sub": lambda a, b: a - b & mask,
        "mul": lambda a, b: a * b & mask,
        "and": lambda a, b: a & b,
        "or": lambda a, b: a | b,
        "xor": lambda a, b: a ^ b,
        "popcnt": lambda a: a.bit_count(),
        "shl": lambda a, b: a << (b & turn) & mask,
        "shr_u": lambda a, b: a >> (b & turn),
        "shr_s": lambda a, b: signed(a, width) >> (b & turn) & mask,
    }


def comparisons(width: int) -> dict[str, Fold]:
    """Return the comparisons of integers of `width` bits, with 1 for those that hold."""
    flip = 1 << width - 1  # turns the order of signed numbers into that of unsigned ones
    return {
        "eq": lambda a, b: int(a == b),
        "ne": lambda a, b: int(a != b),
        "lt_u": lambda a, b: int(a < b),
        "gt_u": lambda a, b: int(a > b),
        "le_u": lambda a, b: int(a <= b),
        "ge_u": lambda a, b: int(a >= b),
        "lt_s": lambda a, b: int(a ^ flip < b ^ flip),
        "gt_s": lambda a, b: int(a ^ flip > b ^ flip),
        "le_s": lambda a, b: int(a ^ flip <= b ^ flip),
        "ge_s": lambda a, b: int(a ^ flip >= b ^ flip),
    }


# Floats (4.3.3)


class Format:
    """A float format.

    Attributes:
        name: of the type.
        exponent: the bits of infinity.
        sign: the sign bit.
        quiet: the bit that tells quiet NaNs.
        nan: the canonical NaN.
    """

    __slots__ = ("_bits", "_float", "exponent", "name", "nan", "quiet", "sign")

    def __init__(self, name: str, width: int, fraction: int) -> None:
        self.name = name
        self.sign = 1 << width - 1
        self.exponent = self.sign - (1 << fraction)
        self.quiet = 1 << fraction - 1
        self.nan = self.exponent | self.quiet
        self._bits = Struct("<I" if width == 32 else "<Q")
        self._float = Struct("<f" if width == 32 else "<d")

    def is_nan(self, bits: int) -> bool:
        return bits & ~self.sign > self.exponent

    def read(self, bits: int) -> float:
        """Return the number that bits other than a NaN stand for."""
        number: float = self._float.unpack(self._bits.pack(bits))[0]
        return number

    def round(self, number: float) -> int:
        """Return the bits of the nearest number of this format; the canonical NaN for a NaN."""
        if number != number:
            return self.nan
        try:
            data = self._float.pack(number)
        except OverflowError:  # the nearest f32 is infinite
            return self.exponent if number > 0 else self.sign | self.exponent
        bits: int = self._bits.unpack(data)[0]
        return bits

    def unary(self, function: Callable[[float], float]) -> Fold:
        """Make a fold of a function of floats."""

        def fold(a: int) -> int:
            return a | self.quiet if self.is_nan(a) else self.round(function(self.read(a)))

        return fold

    def binary(self, function: Callable[[float, float], float]) -> Fold:
        """Make a fold of a function of two floats."""

        def fold(a: int, b: int) -> int:
            if self.is_nan(a):
                return a | self.quiet
            if self.is_nan(b):
                return b | self.quiet
            return self.round(function(self.read(a), self.read(b)))

        return fold

    def relation(self, function: Callable[[float, float], bool], unordered: int) -> Fold:
        """Make a fold of a comparison; `unordered` is its answer for NaNs."""

        def fold(a: int, b: int) -> int:
            if self.is_nan(a) or self.is_nan(b):
                return unordered
            return int(function(self.read(a), self.read(b)))

        return fold

    def fused(self, a: int, b: int, c: int) -> int:
        """Return a * b + c, rounded once."""
        for bits in (a, b, c):
            if self.is_nan(bits):
                return bits | self.quiet
        x, y, z = self.read(a), self.read(b), self.read(c)
        if not x or not y or math.isinf(x) or math.isinf(y):  # the product is exact
            return self.round(x * y + z)
        if math.isinf(z):
            return c
        (p, p_below), (q, q_below), (r, r_below) = x.as_integer_ratio(), y.as_integer_ratio(), z.as_integer_ratio()
        below = p_below * q_below * r_below
        exact = p * q * r_below + r * p_below * q_below
        return self.round(_odd(exact, below) if self is F32 else _nearest(exact, below))


F32: Final = Format("f32", 32, 23)
F64: Final = Format("f64", 64, 52)


def _nearest(above: int, below: int) -> float:
    """Return the f64 that is nearest to a fraction."""
    try:
        return above / below
    except OverflowError:
        return math.inf if above > 0 else -math.inf


def _odd(above: int, below: int) -> float:
    """Return the f64 that is equal to a fraction, else the odd one of its neighbours: it is rounded to f32 as the fraction is."""
    near = _nearest(above, below)
    p, q = near.as_integer_ratio()
    if p * below == above * q or F64.round(near) & 1:
        return near
    return math.nextafter(near, math.inf if p * below < above * q else -math.inf)


def _quotient(a: float, b: float) -> float:
    if b:
        return a / b
    return math.copysign(math.inf, a) * math.copysign(1.0, b) if a else math.nan


def _min(a: float, b: float) -> float:
    if a == b:
        return a if math.copysign(1.0, a) < 0 else b
    return a if a < b else b


def _max(a: float, b: float) -> float:
    if a == b:
        return b if math.copysign(1.0, a) < 0 else a
    return a if a > b else b


def _sqrt(a: float) -> float:
    return math.sqrt(a) if a >= 0 else math.nan


def _integral(function: Callable[[float], int]) -> Callable[[float], float]:
    """Make a rounding of floats to integral floats; the sign stays, that of 0 too."""

    def rounded(a: float) -> float:
        return math.copysign(float(function(a)), a) if abs(a) < 2.0**52 else a

    return rounded


def floating(f: Format) -> dict[str, Fold]:
    """Return the functions of floats of a format."""
    sign = f.sign
    return {
        "add": f.binary(lambda a, b: a + b),
        "sub": f.binary(lambda a, b: a - b),
        "mul": f.binary(lambda a, b: a * b),
        "div": f.binary(_quotient),
        "min": f.binary(_min),
        "max": f.binary(_max),
        "sqrt": f.unary(_sqrt),
        "ceil": f.unary(_integral(math.ceil)),
        "floor": f.unary(_integral(math.floor)),
        "trunc": f.unary(_integral(math.trunc)),
        "nearest": f.unary(_integral(round)),
        "abs": lambda a: a & ~sign,
        "neg": lambda a: a ^ sign,
    }


def float_comparisons(f: Format) -> dict[str, Fold]:
    """Return the comparisons of floats of a format, with 1 for those that hold."""
    return {
        "eq": f.relation(lambda a, b: a == b, 0),
        "ne": f.relation(lambda a, b: a != b, 1),
        "lt": f.relation(lambda a, b: a < b, 0),
        "gt": f.relation(lambda a, b: a > b, 0),
        "le": f.relation(lambda a, b: a <= b, 0),
        "ge": f.relation(lambda a, b: a >= b, 0),
    }


# Conversions (4.3.4)


def trunc(f: Format, width: int, is_signed: bool) -> Fold:
    low, high = bounds(width, is_signed)

    def fold(a: int) -> int:
        if a & f.exponent == f.exponent:
            return UNDEFINED
        number = int(f.read(a))
        return number & (1 << width) - 1 if low <= number <= high else UNDEFINED

    return fold


def trunc_sat(f: Format, width: int, is_signed: bool) -> Fold:
    mask = (1 << width) - 1
    low, high = bounds(width, is_signed)
    inside = trunc(f, width, is_signed)

    def fold(a: int) -> int:
        if f.is_nan(a):
            return 0
        bits = inside(a)
        if bits == UNDEFINED:
            bits = (low if a & f.sign else high) & mask
        return bits

    return fold


def convert(f: Format, width: int, is_signed: bool) -> Fold:
    def fold(a: int) -> int:
        number = signed(a, width) if is_signed else a
        if f is F32 and abs(number) >> 53:
            # Would be rounded twice. What matters of the lowest bits is only whether they are 0: 53 bits are left.
            sticky = int(number & 0x7FF != 0)
            return f.round((number >> 11 | sticky) * 2048.0)
        return f.round(float(number))

    return fold


def demote(a: int) -> int:
    if F64.is_nan(a):
        return a >> 32 & F32.sign | F32.nan | a >> 29 & F32.quiet - 1
    return F32.round(F64.read(a))


def promote(a: int) -> int:
    if F32.is_nan(a):
        return (a & F32.sign) << 32 | F64.nan | (a & F32.quiet - 1) << 29
    return F64.round(F32.read(a))
