"""The value of every pure IR operation on constants (spec 4.3). Floor 2.

Goes in: the operands as bits, unsigned. Comes out: the result as bits, or UNDEFINED where the operation of the IR is none:
division by zero and its overflow, conversion of a float that does not fit (the builder traps before these).

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

from figwasp.ir import ops

__all__ = ["FOLD", "UNDEFINED", "Fold"]

UNDEFINED: Final = -1
"""The operands are outside of the operation's domain."""

Fold = Callable[..., int]
"""Operands as bits -> result as bits, or UNDEFINED."""

FOLD: Final[list[Fold | None]] = [None] * ops.COUNT
"""By operation; None for those that do not compute."""

_NOT_COMPUTED: Final = frozenset((ops.NOP, ops.CONST, ops.CONTEXT, ops.FRAME_AREA, ops.THREAD_WORD))


def _row(name: str, function: Fold) -> None:
    FOLD[ops.BY_NAME[name]] = function


# Integers (4.3.2)


def _sign(bits: int, width: int) -> int:
    """Return the signed number that the low `width` bits are."""
    half = 1 << width - 1
    return (bits & half - 1) - (bits & half)


def _divide(a: int, b: int) -> int:
    """Divide signed numbers, rounding towards 0."""
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


def _arithmetic(name: str, width: int) -> None:
    mask = (1 << width) - 1
    _row(f"{name}_add", lambda a, b: a + b & mask)
    _row(f"{name}_sub", lambda a, b: a - b & mask)
    _row(f"{name}_mul", lambda a, b: a * b & mask)
    _row(f"{name}_and", lambda a, b: a & b)
    _row(f"{name}_or", lambda a, b: a | b)
    _row(f"{name}_xor", lambda a, b: a ^ b)
    _row(f"{name}_clz", lambda a: width - a.bit_length())
    _row(f"{name}_ctz", lambda a: (a & -a).bit_length() - 1 if a else width)
    _row(f"{name}_popcnt", lambda a: a.bit_count())
    for size in (8, 16, 32):
        if size < width:
            _row(f"{name}_extend{size}_s", lambda a, size=size: _sign(a, size) & mask)


def _shifts(name: str, width: int) -> None:
    mask = (1 << width) - 1
    turn = width - 1
    _row(f"{name}_shl", lambda a, b: a << (b & turn) & mask)
    _row(f"{name}_shr_u", lambda a, b: a >> (b & turn))
    _row(f"{name}_shr_s", lambda a, b: _sign(a, width) >> (b & turn) & mask)
    _row(f"{name}_rotl", lambda a, b: (a << (b & turn) | a >> (-b & turn)) & mask)
    _row(f"{name}_rotr", lambda a, b: (a >> (b & turn) | a << (-b & turn)) & mask)


def _divisions(name: str, width: int) -> None:
    mask = (1 << width) - 1
    least = 1 << width - 1

    def div_s(a: int, b: int) -> int:
        if b == 0 or (a == least and b == mask):
            return UNDEFINED
        return _divide(_sign(a, width), _sign(b, width)) & mask

    def rem_s(a: int, b: int) -> int:
        quotient = div_s(a, b)
        return UNDEFINED if quotient < 0 else a - quotient * b & mask

    _row(f"{name}_div_s", div_s)
    _row(f"{name}_rem_s", rem_s)
    _row(f"{name}_div_u", lambda a, b: a // b if b else UNDEFINED)
    _row(f"{name}_rem_u", lambda a, b: a % b if b else UNDEFINED)


def _comparisons(name: str, width: int) -> None:
    flip = 1 << width - 1  # turns the order of signed numbers into that of unsigned ones
    _row(f"{name}_eqz", lambda a: int(a == 0))
    _row(f"{name}_eq", lambda a, b: int(a == b))
    _row(f"{name}_ne", lambda a, b: int(a != b))
    _row(f"{name}_lt_u", lambda a, b: int(a < b))
    _row(f"{name}_gt_u", lambda a, b: int(a > b))
    _row(f"{name}_le_u", lambda a, b: int(a <= b))
    _row(f"{name}_ge_u", lambda a, b: int(a >= b))
    _row(f"{name}_lt_s", lambda a, b: int(a ^ flip < b ^ flip))
    _row(f"{name}_gt_s", lambda a, b: int(a ^ flip > b ^ flip))
    _row(f"{name}_le_s", lambda a, b: int(a ^ flip <= b ^ flip))
    _row(f"{name}_ge_s", lambda a, b: int(a ^ flip >= b ^ flip))


_row("i64_mul_hi_s", lambda a, b: _sign(a, 64) * _sign(b, 64) >> 64 & 0xFFFF_FFFF_FFFF_FFFF)
_row("i64_mul_hi_u", lambda a, b: a * b >> 64)
for _name, _width in (("i32", 32), ("i64", 64)):
    _arithmetic(_name, _width)
    _shifts(_name, _width)
    _divisions(_name, _width)
    _comparisons(_name, _width)


# Floats (4.3.3)


class _Format:
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


F32: Final = _Format("f32", 32, 23)
F64: Final = _Format("f64", 64, 52)


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


def _float_arithmetic(f: _Format) -> None:
    name = f.name
    _row(f"{name}_add", f.binary(lambda a, b: a + b))
    _row(f"{name}_sub", f.binary(lambda a, b: a - b))
    _row(f"{name}_mul", f.binary(lambda a, b: a * b))
    _row(f"{name}_div", f.binary(_quotient))
    _row(f"{name}_min", f.binary(_min))
    _row(f"{name}_max", f.binary(_max))
    _row(f"{name}_sqrt", f.unary(_sqrt))
    _row(f"{name}_ceil", f.unary(_integral(math.ceil)))
    _row(f"{name}_floor", f.unary(_integral(math.floor)))
    _row(f"{name}_trunc", f.unary(_integral(math.trunc)))
    _row(f"{name}_nearest", f.unary(_integral(round)))


def _float_bits(f: _Format) -> None:
    name = f.name
    sign = f.sign
    _row(f"{name}_abs", lambda a: a & ~sign)
    _row(f"{name}_neg", lambda a: a ^ sign)
    _row(f"{name}_copysign", lambda a, b: a & ~sign | b & sign)
    _row(f"{name}_eq", f.relation(lambda a, b: a == b, 0))
    _row(f"{name}_ne", f.relation(lambda a, b: a != b, 1))
    _row(f"{name}_lt", f.relation(lambda a, b: a < b, 0))
    _row(f"{name}_gt", f.relation(lambda a, b: a > b, 0))
    _row(f"{name}_le", f.relation(lambda a, b: a <= b, 0))
    _row(f"{name}_ge", f.relation(lambda a, b: a >= b, 0))


for _format in (F32, F64):
    _float_arithmetic(_format)
    _float_bits(_format)


# Conversions (4.3.4)


def _trunc(f: _Format, width: int, signed: bool) -> Fold:
    low = -1 << width - 1 if signed else 0
    high = (1 << width - int(signed)) - 1

    def fold(a: int) -> int:
        if a & f.exponent == f.exponent:
            return UNDEFINED
        number = int(f.read(a))
        return number & (1 << width) - 1 if low <= number <= high else UNDEFINED

    return fold


def _trunc_sat(f: _Format, width: int, signed: bool) -> Fold:
    mask = (1 << width) - 1
    low = -1 << width - 1 if signed else 0
    high = (1 << width - int(signed)) - 1
    inside = _trunc(f, width, signed)

    def fold(a: int) -> int:
        if f.is_nan(a):
            return 0
        bits = inside(a)
        if bits == UNDEFINED:
            bits = (low if a & f.sign else high) & mask
        return bits

    return fold


def _convert(f: _Format, width: int, signed: bool) -> Fold:
    def fold(a: int) -> int:
        number = _sign(a, width) if signed else a
        if f is F32 and abs(number) >> 53:
            # Would be rounded twice. What matters of the lowest bits is only whether they are 0: 53 bits are left.
            sticky = int(number & 0x7FF != 0)
            return f.round((number >> 11 | sticky) * 2048.0)
        return f.round(float(number))

    return fold


def _demote(a: int) -> int:
    if F64.is_nan(a):
        return a >> 32 & F32.sign | F32.nan | a >> 29 & F32.quiet - 1
    return F32.round(F64.read(a))


def _promote(a: int) -> int:
    if F32.is_nan(a):
        return (a & F32.sign) << 32 | F64.nan | (a & F32.quiet - 1) << 29
    return F64.round(F32.read(a))


for _name, _width in (("i32", 32), ("i64", 64)):
    for _format in (F32, F64):
        for _letter in "su":
            _row(f"{_name}_trunc_{_format.name}_{_letter}", _trunc(_format, _width, _letter == "s"))
            _row(f"{_name}_trunc_sat_{_format.name}_{_letter}", _trunc_sat(_format, _width, _letter == "s"))
            _row(f"{_format.name}_convert_{_name}_{_letter}", _convert(_format, _width, _letter == "s"))
_row("i32_wrap_i64", lambda a: a & 0xFFFF_FFFF)
_row("i64_extend_i32_s", lambda a: _sign(a, 32) & 0xFFFF_FFFF_FFFF_FFFF)
_row("i64_extend_i32_u", lambda a: a)
_row("f32_demote_f64", _demote)
_row("f64_promote_f32", _promote)
for _name in ("i32_reinterpret_f32", "i64_reinterpret_f64", "f32_reinterpret_i32", "f64_reinterpret_i64"):
    _row(_name, lambda a: a)
_row("select", lambda a, b, condition: a if condition else b)


for _op in range(ops.COUNT):
    if _op < ops.BY_NAME["i8x16_shuffle"] and bool(ops.FLAGS[_op] & ops.PURE) != bool(FOLD[_op] or _op in _NOT_COMPUTED):
        raise ValueError(f"fold.py and ops.py disagree on whether {ops.NAMES[_op]} computes")
