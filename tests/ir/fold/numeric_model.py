"""Arithmetic of the spec (4.3) by definition: on rationals, and nothing rounds but `Format.round`. The model for `fold`.

A result is a list of the bits that are permitted, or None where the operation is not defined.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

from figwasp.ir import ops

Result = list[int] | None
Number = Fraction | str
"""A finite number other than 0, or "0", "-0", "inf", "-inf", "nan"."""

WIDTHS = {"i": 32, "l": 64, "f": 32, "d": 64}


def signed(bits: int, width: int) -> int:
    return int.from_bytes(bits.to_bytes(width // 8, "little"), "little", signed=True)


class Format:
    """A float format: `digits` of the significand, exponents from `least` to `most`."""

    def __init__(self, width: int, digits: int, most: int) -> None:
        self.width = width
        self.digits = digits
        self.most = most
        self.least = 1 - most
        self.infinity = ((1 << width - digits) - 1) << digits - 1
        self.quiet = 1 << digits - 2

    def is_nan(self, bits: int) -> bool:
        return bits % (1 << self.width - 1) > self.infinity

    def is_negative(self, bits: int) -> bool:
        return bits >> self.width - 1 == 1

    def finite(self, bits: int) -> Fraction | None:
        """Return a finite number, 0 for both zeros, None for the others."""
        exponent = bits >> self.digits - 1 & (1 << self.width - self.digits) - 1
        fraction = bits & (1 << self.digits - 1) - 1
        if exponent == (1 << self.width - self.digits) - 1:
            return None
        if exponent:
            fraction += 1 << self.digits - 1
        else:
            exponent = 1
        number = fraction * Fraction(2) ** (exponent - 1 + self.least - self.digits + 1)
        return -number if self.is_negative(bits) else number

    def sign(self, bits: int, negative: bool) -> int:
        return bits | int(negative) << self.width - 1

    def round(self, number: Fraction, negative_zero: bool = False) -> int:
        """Return the bits of the nearest number, ties to even."""
        size = abs(number)
        if size == 0:
            return self.sign(0, negative_zero)
        exponent = max(size.numerator.bit_length() - size.denominator.bit_length() - 1, self.least)
        while size >= Fraction(2) ** (exponent + 1):
            exponent += 1
        scaled = size / Fraction(2) ** (exponent - self.digits + 1)
        digits = round(scaled)  # of a Fraction: half to even
        # A subnormal number has no leading 1 and the exponent field 0; a carry into the exponent comes out right by itself.
        bits = (exponent - self.least << self.digits - 1) + digits
        return self.sign(min(bits, self.infinity), number < 0)

    def nans(self, *operands: int) -> list[int] | None:
        """Return None when no operand is a NaN, else NaNs that may be the result: canonical, or an operand made quiet."""
        found = [bits | self.quiet for bits in operands if self.is_nan(bits)]
        return [*found, *self.canonical()] if found else None

    def canonical(self) -> list[int]:
        return [self.infinity | self.quiet, self.sign(self.infinity | self.quiet, True)]


F32 = Format(32, 24, 127)
F64 = Format(64, 53, 1023)


# Integers


def _integer(name: str, width: int, a: int, b: int) -> int | None:
    x, y = signed(a, width), signed(b, width)
    count = b % width
    if name in ("div_s", "rem_s", "div_u", "rem_u"):
        if name[4] == "u":
            x, y = a, b
        if y == 0:
            return None
        quotient = math.trunc(Fraction(x, y))
        if name[4] == "s" and quotient == 1 << width - 1:
            return None
        return quotient if name[:3] == "div" else x - y * quotient
    digits = format(a, f"0{width}b")
    table: dict[str, Callable[[], int]] = {
        "add": lambda: x + y,
        "sub": lambda: x - y,
        "mul": lambda: x * y,
        "and": lambda: x & y,
        "or": lambda: x | y,
        "xor": lambda: x ^ y,
        "shl": lambda: x * 2**count,
        "shr_u": lambda: a // 2**count,
        "shr_s": lambda: x // 2**count,
        "rotl": lambda: int(digits[count:] + digits[:count], 2),
        "rotr": lambda: int(digits[width - count :] + digits[: width - count], 2),
        "eqz": lambda: x == 0,
        "eq": lambda: x == y,
        "ne": lambda: x != y,
        "lt_s": lambda: x < y,
        "lt_u": lambda: a < b,
        "gt_s": lambda: x > y,
        "gt_u": lambda: a > b,
        "le_s": lambda: x <= y,
        "le_u": lambda: a <= b,
        "ge_s": lambda: x >= y,
        "ge_u": lambda: a >= b,
        "clz": lambda: len(digits) - len(digits.lstrip("0")),
        "ctz": lambda: len(digits) - len(digits.rstrip("0")),
        "popcnt": lambda: digits.count("1"),
        "extend8_s": lambda: signed(a % 2**8, 8),
        "extend16_s": lambda: signed(a % 2**16, 16),
        "extend32_s": lambda: signed(a % 2**32, 32),
        "wrap_i64": lambda: b,
        "mul_hi_s": lambda: x * y // 2**width,
        "mul_hi_u": lambda: a * b // 2**width,
    }
    return table[name]()


# Floats


def _arithmetic(f: Format, name: str, a: int, b: int) -> list[int]:
    """Return the result of +, -, *, / on numbers, of which some may be infinite or 0."""
    x, y = f.finite(a), f.finite(b)
    if name == "sub":
        name, b = "add", b ^ 1 << f.width - 1
        y = None if y is None else -y
    negative = f.is_negative(a) != f.is_negative(b)
    if name == "add":
        if x is None or y is None:
            if x is None and y is None and negative:
                return f.canonical()
            return [a if x is None else b]
        return [f.round(x + y, f.is_negative(a) and f.is_negative(b))]
    if name == "mul":
        if x is None or y is None:
            return f.canonical() if x == 0 or y == 0 else [f.sign(f.infinity, negative)]
        return [f.round(x * y, negative)]
    if x is None or y == 0:
        return f.canonical() if y is None or (x == 0 and y == 0) else [f.sign(f.infinity, negative)]
    return [f.sign(0, negative) if y is None else f.round(x / y, negative)]


def _order(f: Format, bits: int) -> Fraction:
    """Return a number, where an infinity is one beyond all others."""
    number = f.finite(bits)
    if number is None:
        number = Fraction(2) ** (f.most + 2) * (-1 if f.is_negative(bits) else 1)
    return number


def _extreme(f: Format, name: str, a: int, b: int) -> int:
    """Return min or max; -0 is less than 0."""
    first, last = sorted((a, b), key=lambda bits: (_order(f, bits), not f.is_negative(bits)))
    return first if name == "min" else last


def _integral(f: Format, name: str, a: int) -> list[int]:
    x = f.finite(a)
    if x is None:
        return [a]
    roundings: dict[str, Callable[[Fraction], int]] = {
        "ceil": math.ceil,
        "floor": math.floor,
        "trunc": math.trunc,
        "nearest": round,
    }
    return [f.round(Fraction(roundings[name](x)), f.is_negative(a))]


def _sqrt(f: Format, a: int) -> list[int]:
    x = f.finite(a)
    if x == 0 or (x is None and not f.is_negative(a)):
        return [a]
    if x is None or x < 0:
        return f.canonical()
    # 200 binary places and a last one that tells whether there are more
    root = math.isqrt(math.floor(x * 4**1200))
    return [f.round(Fraction(2 * root + int(root * root != x * 4**1200), 2**1201))]


def _relation(f: Format, name: str, a: int, b: int) -> int:
    if f.is_nan(a) or f.is_nan(b):
        return int(name == "ne")
    x, y = _order(f, a), _order(f, b)
    return int({"eq": x == y, "ne": x != y, "lt": x < y, "gt": x > y, "le": x <= y, "ge": x >= y}[name])


def _float(f: Format, name: str, a: int, b: int) -> list[int]:
    sign = 1 << f.width - 1
    if name == "abs":
        return [a % sign]
    if name == "neg":
        return [(a + sign) % (2 * sign)]
    if name == "copysign":
        return [f.sign(a % sign, f.is_negative(b))]
    if name in ("eq", "ne", "lt", "gt", "le", "ge"):
        return [_relation(f, name, a, b)]
    nans = f.nans(a, b) if name in ("add", "sub", "mul", "div", "min", "max") else f.nans(a)
    if nans is not None:
        return nans
    if name in ("min", "max"):
        return [_extreme(f, name, a, b)]
    if name == "sqrt":
        return _sqrt(f, a)
    return _arithmetic(f, name, a, b) if name in ("add", "sub", "mul", "div") else _integral(f, name, a)


# Conversions


def _trunc(f: Format, name: str, width: int, a: int) -> int | None:
    saturating = "_sat_" in name
    low, high = (-(1 << width - 1), (1 << width - 1) - 1) if name.endswith("_s") else (0, (1 << width) - 1)
    if f.is_nan(a):
        return 0 if saturating else None
    number = math.trunc(_order(f, a))
    if low <= number <= high:
        return number
    return (low if number < low else high) if saturating else None


def _resize(source: Format, target: Format, a: int) -> list[int]:
    if source.is_nan(a):
        payload = a % (1 << source.digits - 1)
        distance = target.digits - source.digits
        payload = payload << distance if distance > 0 else payload >> -distance
        return [target.sign(target.infinity | target.quiet | payload, source.is_negative(a)), *target.canonical()]
    number = source.finite(a)
    if number is None:
        return [target.sign(target.infinity, source.is_negative(a))]
    return [target.round(number, source.is_negative(a))]


def compute(op: int, a: int, b: int = 0) -> Result:
    """Return the results that an operation on one or two operands may have."""
    name = ops.NAMES[op]
    kind, _, rest = name.partition("_")
    f = F32 if "f32" in name else F64
    width = int(kind[1:])
    single: int | None
    if "reinterpret" in rest:
        single = a
    elif rest == "promote_f32":
        return _resize(F32, F64, a)
    elif rest == "demote_f64":
        return _resize(F64, F32, a)
    elif rest.startswith("convert"):
        source = int(rest[9:11])
        target = F32 if kind == "f32" else F64
        return [target.round(Fraction(signed(a, source) if rest.endswith("_s") else a))]
    elif kind[0] == "f":
        return _float(f, rest, a, b)
    elif rest.startswith("trunc"):
        single = _trunc(f, rest, width, a)
    elif rest.startswith("extend_i32"):
        single = signed(a, 32) if rest.endswith("_s") else a
    elif rest == "wrap_i64":
        single = a
    else:
        single = _integer(rest, width, a, b)
    return None if single is None else [single % (1 << (32 if ops.RESULTS[op] == ops.I32 else width))]
