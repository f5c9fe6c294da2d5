"""Vector instructions by definition (spec 4.3.5, 4.4.7): on lanes that `struct` reads, with the numbers of `numeric_model`.

A result is the width of its lanes, and for each lane the bits that are permitted: several for NaNs and for relaxed operations.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from fractions import Fraction
from typing import Final

from figwasp.ir import ops
from tests.ir.fold import numeric_model as scalar

Lanes = tuple[int, list[list[int]]]

_CODES: Final = {8: "b", 16: "h", 32: "i", 64: "q"}
_SHAPE: Final = re.compile(r"([if])(\d+)x(\d+)_(.*)")
_SOURCE: Final = re.compile(r"([if])(\d+)x(\d+)")
_FORMATS: Final = {32: scalar.F32, 64: scalar.F64}


def lanes(vector: int, width: int, signed: bool = False) -> tuple[int, ...]:
    """Return the lanes of a vector."""
    code = _CODES[width] if signed else _CODES[width].upper()
    return struct.unpack(f"<{128 // width}{code}", vector.to_bytes(16, "little"))


def vector(width: int, parts: list[int]) -> int:
    """Return the vector of unsigned lanes."""
    return int.from_bytes(struct.pack(f"<{128 // width}{_CODES[width].upper()}", *parts), "little")


def permits(result: Lanes, bits: int) -> bool:
    """Return whether bits are a permitted result."""
    width, parts = result
    if len(parts) == 1:
        return bits in parts[0]
    return all(lane in permitted for lane, permitted in zip(lanes(bits, width), parts, strict=True))


def compute(op: int, *operands: int) -> Lanes:
    """Return the results that an operation may have; the aux, if it has one, is the last operand."""
    name = ops.NAMES[op]
    if name in _SPECIAL:
        return _SPECIAL[name](*operands)
    match = _SHAPE.fullmatch(name)
    assert match is not None
    kind, width, rest = match[1], int(match[2]), match[4]
    for pattern, function in _PATTERNS:
        if re.fullmatch(pattern, rest):
            return function(kind, width, rest, *operands)
    raise AssertionError(f"the model does not know {name}")


def _single(width: int, parts: list[int]) -> Lanes:
    return width, [[part % (1 << width)] for part in parts]


def _limits(width: int, letter: str) -> tuple[int, int]:
    return (-(2 ** (width - 1)), 2 ** (width - 1) - 1) if letter == "s" else (0, 2**width - 1)


def _clamp(number: int, width: int, letter: str) -> int:
    low, high = _limits(width, letter)
    return low if number < low else high if number > high else number


# Integers


def _integer_lane(width: int, rest: str, a: int, b: int) -> int:
    x, y = scalar.signed(a, width), scalar.signed(b % 2**width, width)
    table: dict[str, Callable[[], int]] = {
        "add": lambda: x + y,
        "sub": lambda: x - y,
        "mul": lambda: x * y,
        "add_sat_s": lambda: _clamp(x + y, width, "s"),
        "add_sat_u": lambda: _clamp(a + b, width, "u"),
        "sub_sat_s": lambda: _clamp(x - y, width, "s"),
        "sub_sat_u": lambda: _clamp(a - b, width, "u"),
        "min_s": lambda: x if x <= y else y,
        "min_u": lambda: a if a <= b else b,
        "max_s": lambda: x if x >= y else y,
        "max_u": lambda: a if a >= b else b,
        "avgr_u": lambda: (a + b + 1) // 2,
        "q15mulr_sat_s": lambda: _clamp((x * y + 0x4000) // 0x8000, width, "s"),
        "abs": lambda: x if x >= 0 else -x,
        "neg": lambda: -x,
        "popcnt": lambda: bin(a).count("1"),
        "shl": lambda: a * 2 ** (b % width),
        "shr_s": lambda: x // 2 ** (b % width),
        "shr_u": lambda: a // 2 ** (b % width),
        "eq": lambda: -int(a == b),
        "ne": lambda: -int(a != b),
        "lt_s": lambda: -int(x < y),
        "lt_u": lambda: -int(a < b),
        "gt_s": lambda: -int(x > y),
        "gt_u": lambda: -int(a > b),
        "le_s": lambda: -int(x <= y),
        "le_u": lambda: -int(a <= b),
        "ge_s": lambda: -int(x >= y),
        "ge_u": lambda: -int(a >= b),
    }
    return table[rest]()


def _integers(kind: str, width: int, rest: str, a: int, b: int = 0) -> Lanes:
    count = 128 // width
    second = (b,) * count if rest.startswith("sh") else lanes(b, width)
    return _single(width, [_integer_lane(width, rest, x, y) for x, y in zip(lanes(a, width), second)])


def _extend(kind: str, width: int, rest: str, a: int) -> Lanes:
    """i8x16_extend_low and high."""
    source = lanes(a, width // 2, rest.endswith("_s"))
    count = 128 // width
    return _single(width, list(source[:count] if "low" in rest else source[count:]))


def _extmul(kind: str, width: int, rest: str, a: int, b: int) -> Lanes:
    parts = [_extend(kind, width, rest, one)[1] for one in (a, b)]
    return _single(width, [scalar.signed(x, width) * scalar.signed(y, width) for (x,), (y,) in zip(*parts)])


def _extadd(kind: str, width: int, rest: str, a: int) -> Lanes:
    source = lanes(a, width // 2, rest.endswith("_s"))
    return _single(width, [source[2 * k] + source[2 * k + 1] for k in range(128 // width)])


def _narrow(kind: str, width: int, rest: str, a: int, b: int) -> Lanes:
    source = [*lanes(a, 2 * width, True), *lanes(b, 2 * width, True)]
    return _single(width, [_clamp(number, width, rest[-1]) for number in source])


def _dot(a: int, b: int) -> Lanes:
    x, y = lanes(a, 16, True), lanes(b, 16, True)
    return _single(32, [x[2 * k] * y[2 * k] + x[2 * k + 1] * y[2 * k + 1] for k in range(4)])


def _all_true(kind: str, width: int, rest: str, a: int) -> Lanes:
    return _single(32, [int(0 not in lanes(a, width))])


def _bitmask(kind: str, width: int, rest: str, a: int) -> Lanes:
    return _single(32, [int("".join("01"[lane < 0] for lane in lanes(a, width, True)[::-1]), 2)])


# Places


def _splat(kind: str, width: int, rest: str, a: int) -> Lanes:
    return _single(width, [a] * (128 // width))


def _extract(kind: str, width: int, rest: str, a: int, lane: int) -> Lanes:
    return _single(max(width, 32), [lanes(a, width, rest.endswith("_s"))[lane]])


def _replace(kind: str, width: int, rest: str, a: int, number: int, lane: int) -> Lanes:
    parts = list(lanes(a, width))
    return _single(width, [*parts[:lane], number, *parts[lane + 1 :]])


def _shuffle(a: int, b: int, numbers: int) -> Lanes:
    data = a.to_bytes(16, "little") + b.to_bytes(16, "little")
    return _single(8, [data[number] for number in numbers.to_bytes(16, "little")])


def _swizzle(a: int, b: int) -> Lanes:
    data = a.to_bytes(16, "little") + bytes(240)
    return _single(8, [data[number] for number in b.to_bytes(16, "little")])


# Bits


def _bits(function: Callable[[str, str, str], bool]) -> Callable[..., Lanes]:
    def whole(a: int, b: int = 0, c: int = 0) -> Lanes:
        digits = zip(*[format(operand, "0128b") for operand in (a, b, c)])
        bits = int("".join("01"[function(*digit)] for digit in digits), 2)
        return _single(64, list(lanes(bits, 64)))

    return whole


# Floats


def _float_name(kind: str, width: int, rest: str) -> int:
    return ops.BY_NAME[f"{kind}{width}_{rest}"]


def _floats(kind: str, width: int, rest: str, a: int, b: int = 0) -> Lanes:
    op = _float_name(kind, width, rest)
    parts = []
    for x, y in zip(lanes(a, width), lanes(b, width)):
        found = scalar.compute(op, x, y)
        assert found is not None
        parts.append(found)
    if ops.RESULTS[op] == ops.I32:
        return width, [[part * (2**width - 1) for part in permitted] for permitted in parts]
    return width, parts


def _pick(kind: str, width: int, rest: str, a: int, b: int) -> Lanes:
    """Pseudo-minimum and maximum: an operand as it is."""
    less = _float_name(kind, width, "lt")

    def one(x: int, y: int) -> int:
        first, second = (y, x) if rest == "pmin" else (x, y)
        return y if scalar.compute(less, first, second) == [1] else x

    return width, [[one(x, y)] for x, y in zip(lanes(a, width), lanes(b, width))]


def _relaxed_pick(kind: str, width: int, rest: str, a: int, b: int) -> Lanes:
    """Relaxed minimum and maximum: for NaNs and for two zeros any operand, too."""
    _, strict = _floats(kind, width, rest.removeprefix("relaxed_"), a, b)
    f = _FORMATS[width]
    parts = []
    for x, y, permitted in zip(lanes(a, width), lanes(b, width), strict):
        loose = f.is_nan(x) or f.is_nan(y) or f.finite(x) == f.finite(y) == 0
        parts.append([*permitted, x, y] if loose else permitted)
    return width, parts


def _madd(kind: str, width: int, rest: str, a: int, b: int, c: int) -> Lanes:
    f = _FORMATS[width]
    flip = 2 ** (width - 1) if "nmadd" in rest else 0
    triples = zip(lanes(a, width), lanes(b, width), lanes(c, width))
    return width, [_madd_lane(f, kind, width, x, y, z, flip) for x, y, z in triples]


def _madd_lane(f: scalar.Format, kind: str, width: int, x: int, y: int, z: int, flip: int) -> list[int]:
    nans = f.nans(x, y, z)
    if nans is not None:
        return nans + [nan ^ 2 ** (width - 1) for nan in nans]
    mul, add = _float_name(kind, width, "mul"), _float_name(kind, width, "add")
    products = scalar.compute(mul, x ^ flip, y)
    assert products is not None
    twice = scalar.compute(add, products[0], z)
    assert twice is not None
    numbers = [f.finite(bits) for bits in (x ^ flip, y, z)]
    if numbers[0] is None or numbers[1] is None or not numbers[0] or not numbers[1]:  # the product has not been rounded
        return twice
    if numbers[2] is None:
        return [*twice, z]
    return [*twice, f.round(Fraction(numbers[0] * numbers[1] + numbers[2]))]


# Conversions


def _scalar_conversion(rest: str, target: str, source: str) -> str:
    verb = re.sub(r"_(zero|low)(?=_|$)", "", rest)
    return re.sub(r"[if]\d+x\d+", source, f"{target}_{verb}")


def _convert(kind: str, width: int, rest: str, a: int) -> Lanes:
    """Make lanes of another kind: of the low half where they become wider, followed by zeros where they become narrower."""
    match = _SOURCE.search(rest)
    assert match is not None
    source_width = int(match[2])
    op = ops.BY_NAME[_scalar_conversion(rest.replace("relaxed_trunc", "trunc_sat"), f"{kind}{width}", f"{match[1]}{source_width}")]
    count = 128 // max(width, source_width)
    parts: list[list[int]] = []
    for bits in lanes(a, source_width)[:count]:
        found = scalar.compute(op, bits)
        assert found is not None
        parts.append(found + _relaxed_bounds(source_width, rest, bits))
    return width, parts + [[0]] * (128 // width - count)


def _relaxed_bounds(width: int, rest: str, bits: int) -> list[int]:
    """Return what a relaxed conversion may also make of a NaN or of what is out of range."""
    f = _FORMATS[width]
    if not rest.startswith("relaxed"):
        return []
    low, high = _limits(32, "s" if "_s" in rest else "u")
    number = f.finite(bits)
    if number is not None and low <= int(number) <= high:
        return []
    return [2**31] if "_s" in rest else [2**32 - 1]


# Relaxed integers


def _relaxed_swizzle(a: int, b: int) -> Lanes:
    data = lanes(a, 8)
    numbers = lanes(b, 8)
    return 8, [[data[n]] if n < 16 else [0, data[n % 16]] if n < 128 else [0] for n in numbers]


def _laneselect(kind: str, width: int, rest: str, a: int, b: int, mask: int) -> Lanes:
    parts = []
    for x, y, m in zip(lanes(a, width), lanes(b, width), lanes(mask, width)):
        bitwise = (x & m) + (y & (2**width - 1 - m))
        permitted = [bitwise, x if m >> (width - 1) else y]
        if width == 16:  # the specification's script allows the top bit of each byte
            permitted.append((x if m & 0x8000 else y) & 0xFF00 | (x if m & 0x80 else y) & 0xFF)
        parts.append(permitted)
    return width, parts


def _relaxed_q15mulr(a: int, b: int) -> Lanes:
    _, parts = _integers("i", 16, "q15mulr_sat_s", a, b)
    return 16, [[part, 0x8000] if part == 0x7FFF else [part] for (part,) in parts]


def _relaxed_sums(a: int, b: int, saturate: bool = True) -> list[list[int]]:
    """Return the ways of adding products by pairs: signed by signed, signed by unsigned with saturation, unsigned by unsigned."""
    ways = []
    for first, second in ((True, True), (True, False), (False, False)):
        x, y = lanes(a, 8, first), lanes(b, 8, second)
        sums = [x[2 * k] * y[2 * k] + x[2 * k + 1] * y[2 * k + 1] for k in range(8)]
        ways.append([_clamp(one, 16, "s") for one in sums] if saturate and first != second else sums)
    return ways


def _relaxed_dot(a: int, b: int) -> Lanes:
    return 16, [[one % 2**16 for one in lane] for lane in zip(*_relaxed_sums(a, b))]


def _relaxed_dot_add(a: int, b: int, c: int) -> Lanes:
    parts: list[list[int]] = [[], [], [], []]
    for sums in _relaxed_sums(a, b) + _relaxed_sums(a, b, saturate=False):
        for k, one in enumerate(lanes(c, 32)):
            parts[k].append((sums[2 * k] + sums[2 * k + 1] + one) % 2**32)
    return 32, parts


_SPECIAL: Final[dict[str, Callable[..., Lanes]]] = {
    "i8x16_shuffle": _shuffle,
    "i8x16_swizzle": _swizzle,
    "v128_not": _bits(lambda a, b, c: a == "0"),
    "v128_and": _bits(lambda a, b, c: a == b == "1"),
    "v128_andnot": _bits(lambda a, b, c: a == "1" and b == "0"),
    "v128_or": _bits(lambda a, b, c: "1" in (a, b)),
    "v128_xor": _bits(lambda a, b, c: a != b),
    "v128_bitselect": _bits(lambda a, b, c: (a if c == "1" else b) == "1"),
    "v128_any_true": lambda a: _single(32, [int(a > 0)]),
    "i32x4_dot_i16x8_s": _dot,
    "i8x16_relaxed_swizzle": _relaxed_swizzle,
    "i16x8_relaxed_q15mulr_s": _relaxed_q15mulr,
    "i16x8_relaxed_dot_i8x16_i7x16_s": _relaxed_dot,
    "i32x4_relaxed_dot_i8x16_i7x16_add_s": _relaxed_dot_add,
}
_PATTERNS: Final[list[tuple[str, Callable[..., Lanes]]]] = [
    ("splat", _splat),
    ("extract_lane.*", _extract),
    ("replace_lane", _replace),
    ("all_true", _all_true),
    ("bitmask", _bitmask),
    ("extend_.*", _extend),
    ("extmul_.*", _extmul),
    ("extadd_.*", _extadd),
    ("narrow_.*", _narrow),
    ("(relaxed_)?trunc_.*|convert_.*|demote_.*|promote_.*", _convert),
    ("pmin|pmax", _pick),
    ("relaxed_(min|max)", _relaxed_pick),
    ("relaxed_n?madd", _madd),
    ("relaxed_laneselect", _laneselect),
    (".*", lambda kind, *rest: (_integers if kind == "i" else _floats)(kind, *rest)),
]


def is_nan(width: int, bits: int) -> bool:
    """Return whether the bits of a lane of floats are a NaN."""
    return _FORMATS[width].is_nan(bits)
