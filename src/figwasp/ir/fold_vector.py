"""The value of every vector operation of the IR on constants (spec 4.3.5). Floor 2.

Goes in: vectors as ints, lane 0 in the lowest bits, then the aux for those of `ops.WITH_AUX`. Comes out: the result likewise.
Most of it is what numbers of the lanes' width do (`arithmetic.py`), lane by lane; here stands how vectors are taken apart and put
together, and what is done to lanes only.

A relaxed operation has, of the results that are allowed, that of the machine instruction of x86-64 that is made for it; where there
is none, as for conversion to unsigned numbers, that of the strict operation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from figwasp.ir import ops
from figwasp.ir.arithmetic import (
    F32,
    F64,
    UNDEFINED,
    Fold,
    Format,
    bounds,
    comparisons,
    convert,
    demote,
    float_comparisons,
    floating,
    integer,
    promote,
    signed,
    trunc,
    trunc_sat,
)

__all__ = ["VECTORS"]

VECTORS: Final[dict[str, Fold]] = {}
"""By name of the operation."""

_BITS: Final = 128
_MASK: Final = (1 << _BITS) - 1


def _row(name: str, function: Fold) -> None:
    """Enter an operation, if there is one of this name: not every shape has each."""
    if name in ops.BY_NAME:
        VECTORS[name] = function


class _Shape:
    """Lanes of one width.

    Attributes:
        width: bits of a lane.
        count: how many there are.
        name: of integers in this shape.
    """

    __slots__ = ("_mask", "count", "name", "width")

    def __init__(self, width: int) -> None:
        self.width = width
        self.count = _BITS // width
        self.name = f"i{width}x{self.count}"
        self._mask = (1 << width) - 1

    def split(self, vector: int) -> list[int]:
        """Return the lanes as unsigned numbers."""
        return [vector >> place & self._mask for place in range(0, _BITS, self.width)]

    def signed(self, vector: int) -> list[int]:
        """Return the lanes as signed numbers."""
        return [signed(lane, self.width) for lane in self.split(vector)]

    def reader(self, letter: str) -> Callable[[int], list[int]]:
        """Return what reads the lanes of an operation whose name ends in s or u."""
        return self.signed if letter == "s" else self.split

    def join(self, lanes: Iterable[int]) -> int:
        """Return a vector of the low bits of some numbers; lanes for which there are none are 0."""
        vector = 0
        for number, lane in enumerate(lanes):
            vector |= (lane & self._mask) << number * self.width
        return vector

    def each(self, function: Fold) -> Fold:
        """Make a function of lanes one of vectors: first lanes, second lanes, and so on."""
        return lambda *vectors: self.join(map(function, *map(self.split, vectors)))

    def test(self, function: Fold) -> Fold:
        """Make a comparison one of vectors: all ones in the lanes where it holds."""
        return self.each(lambda a, b: -function(a, b))


BYTES: Final = _Shape(8)
SHORTS: Final = _Shape(16)
WORDS: Final = _Shape(32)
LONGS: Final = _Shape(64)
_SHAPES: Final = (BYTES, SHORTS, WORDS, LONGS)
_WIDER: Final = ((BYTES, SHORTS), (SHORTS, WORDS), (WORDS, LONGS))
_FLOATS: Final = (("f32x4", WORDS, F32), ("f64x2", LONGS, F64))


# Whole vectors


def _select(a: int, b: int, mask: int) -> int:
    return a & mask | b & ~mask


_row("v128_not", lambda a: a ^ _MASK)
_row("v128_and", lambda a, b: a & b)
_row("v128_andnot", lambda a, b: a & ~b)
_row("v128_or", lambda a, b: a | b)
_row("v128_xor", lambda a, b: a ^ b)
_row("v128_bitselect", _select)
_row("v128_any_true", lambda a: int(a != 0))


# Lanes in and out


def _places(name: str, shape: _Shape) -> None:
    def replace(vector: int, number: int, lane: int) -> int:
        lanes = shape.split(vector)
        lanes[lane] = number
        return shape.join(lanes)

    _row(f"{name}_splat", lambda a: shape.join([a] * shape.count))
    _row(f"{name}_extract_lane", lambda vector, lane: shape.split(vector)[lane])
    _row(f"{name}_extract_lane_u", lambda vector, lane: shape.split(vector)[lane])
    _row(f"{name}_extract_lane_s", lambda vector, lane: shape.signed(vector)[lane] & 0xFFFF_FFFF)
    _row(f"{name}_replace_lane", replace)


def _shuffle(a: int, b: int, numbers: int) -> int:
    both = BYTES.split(a) + BYTES.split(b)
    return BYTES.join(both[number] for number in BYTES.split(numbers))


def _swizzle(a: int, b: int) -> int:
    lanes = BYTES.split(a)
    return BYTES.join(lanes[number] if number < 16 else 0 for number in BYTES.split(b))


for _shape in _SHAPES:
    _places(_shape.name, _shape)
for _name, _shape, _ in _FLOATS:
    _places(_name, _shape)
_row("i8x16_shuffle", _shuffle)
_row("i8x16_swizzle", _swizzle)


# Integers, lane by lane


def _saturate(number: int, low: int, high: int) -> int:
    return min(max(number, low), high)


def _integers(shape: _Shape) -> None:
    name = shape.name
    functions = integer(shape.width)
    for rest in ("add", "sub", "mul", "popcnt"):
        _row(f"{name}_{rest}", shape.each(functions[rest]))
    for rest in ("shl", "shr_s", "shr_u"):
        _row(f"{name}_{rest}", _shift(shape, functions[rest]))
    for rest, function in comparisons(shape.width).items():
        _row(f"{name}_{rest}", shape.test(function))
    _row(f"{name}_abs", lambda a: shape.join(map(abs, shape.signed(a))))
    _row(f"{name}_neg", shape.each(lambda a: -a))
    _row(f"{name}_avgr_u", shape.each(lambda a, b: a + b + 1 >> 1))
    _row(f"{name}_all_true", lambda a: int(all(shape.split(a))))
    _row(f"{name}_bitmask", lambda a: sum(1 << number for number, lane in enumerate(shape.signed(a)) if lane < 0))


def _shift(shape: _Shape, function: Fold) -> Fold:
    return lambda a, count: shape.join(function(lane, count) for lane in shape.split(a))


def _ordered(shape: _Shape, letter: str) -> None:
    """Enter what depends on whether lanes are signed, but for comparisons and shifts."""
    name = shape.name
    read = shape.reader(letter)
    low, high = bounds(shape.width, letter == "s")
    _row(f"{name}_min_{letter}", lambda a, b: shape.join(map(min, read(a), read(b))))
    _row(f"{name}_max_{letter}", lambda a, b: shape.join(map(max, read(a), read(b))))
    _row(f"{name}_add_sat_{letter}", lambda a, b: shape.join(_saturate(x + y, low, high) for x, y in zip(read(a), read(b))))
    _row(f"{name}_sub_sat_{letter}", lambda a, b: shape.join(_saturate(x - y, low, high) for x, y in zip(read(a), read(b))))


def _products(a: list[int], b: list[int]) -> list[int]:
    return [x * y for x, y in zip(a, b, strict=True)]


def _rounded_products(a: int, b: int) -> list[int]:
    """Multiply lanes that stand for 2**15 times as little, rounding half up; only -1 * -1 does not fit."""
    return [product + (1 << 14) >> 15 for product in _products(SHORTS.signed(a), SHORTS.signed(b))]


for _shape in _SHAPES:
    _integers(_shape)
    for _letter in "su":
        _ordered(_shape, _letter)
_row("i16x8_q15mulr_sat_s", lambda a, b: SHORTS.join(_saturate(lane, *bounds(16, True)) for lane in _rounded_products(a, b)))


# Integers of two widths


def _pairs(lanes: list[int]) -> list[int]:
    """Return the sums of neighbours."""
    return [x + y for x, y in zip(lanes[::2], lanes[1::2], strict=True)]


def _widening(small: _Shape, large: _Shape, letter: str) -> None:
    read = small.reader(letter)
    for half, part in (("low", slice(large.count)), ("high", slice(large.count, None))):
        _widening_half(large, read, part, half, f"{small.name}_{letter}")
    _row(f"{large.name}_extadd_pairwise_{small.name}_{letter}", lambda a: large.join(_pairs(read(a))))


def _widening_half(large: _Shape, read: Callable[[int], list[int]], part: slice, half: str, source: str) -> None:
    _row(f"{large.name}_extend_{half}_{source}", lambda a: large.join(read(a)[part]))
    _row(f"{large.name}_extmul_{half}_{source}", lambda a, b: large.join(_products(read(a)[part], read(b)[part])))


def _narrowing(small: _Shape, large: _Shape, letter: str) -> None:
    low, high = bounds(small.width, letter == "s")
    _row(
        f"{small.name}_narrow_{large.name}_{letter}",
        lambda a, b: small.join(_saturate(lane, low, high) for lane in large.signed(a) + large.signed(b)),
    )


for _small, _large in _WIDER:
    for _letter in "su":
        _widening(_small, _large, _letter)
        _narrowing(_small, _large, _letter)
_row("i32x4_dot_i16x8_s", lambda a, b: WORDS.join(_pairs(_products(SHORTS.signed(a), SHORTS.signed(b)))))


# Floats


def _floats(name: str, shape: _Shape, f: Format) -> None:
    for rest, function in floating(f).items():
        _row(f"{name}_{rest}", shape.each(function))
    tests = float_comparisons(f)
    for rest, function in tests.items():
        _row(f"{name}_{rest}", shape.test(function))
    less = tests["lt"]
    _row(f"{name}_pmin", shape.each(lambda a, b: b if less(b, a) else a))
    _row(f"{name}_pmax", shape.each(lambda a, b: b if less(a, b) else a))
    _row(f"{name}_relaxed_min", shape.each(lambda a, b: a if less(a, b) else b))
    _row(f"{name}_relaxed_max", shape.each(lambda a, b: a if less(b, a) else b))
    _row(f"{name}_relaxed_madd", shape.each(f.fused))
    _row(f"{name}_relaxed_nmadd", shape.each(lambda a, b, c: f.fused(a ^ f.sign, b, c)))


def _converted(source: _Shape, target: _Shape, function: Fold) -> Fold:
    """Make a conversion one of vectors: where the lanes become wider, of the low half; where they become narrower, zeros follow."""
    return lambda a: target.join(map(function, source.split(a)[: target.count]))


def _trunc_or_least(f: Format) -> Fold:
    """Return the conversion to i32 for which what does not fit becomes the least number."""
    inside = trunc(f, 32, True)

    def fold(a: int) -> int:
        bits = inside(a)
        return 1 << 31 if bits == UNDEFINED else bits

    return fold


def _conversions(name: str, shape: _Shape, f: Format) -> None:
    half, end = ("", "") if shape is WORDS else ("low_", "_zero")
    for letter in "su":
        _row(f"i32x4_trunc_sat_{name}_{letter}{end}", _converted(shape, WORDS, trunc_sat(f, 32, letter == "s")))
        _row(f"{name}_convert_{half}i32x4_{letter}", _converted(WORDS, shape, convert(f, 32, letter == "s")))
    _row(f"i32x4_relaxed_trunc_{name}_s{end}", _converted(shape, WORDS, _trunc_or_least(f)))
    _row(f"i32x4_relaxed_trunc_{name}_u{end}", _converted(shape, WORDS, trunc_sat(f, 32, False)))


for _name, _shape, _format in _FLOATS:
    _floats(_name, _shape, _format)
    _conversions(_name, _shape, _format)
_row("f32x4_demote_f64x2_zero", _converted(LONGS, WORDS, demote))
_row("f64x2_promote_low_f32x4", _converted(WORDS, LONGS, promote))


# Relaxed integers


def _relaxed_swizzle(a: int, b: int) -> int:
    """Choose bytes as `pshufb`: the number's top bit says 0, otherwise its low 4 bits count."""
    lanes = BYTES.split(a)
    return BYTES.join(0 if number & 0x80 else lanes[number & 15] for number in BYTES.split(b))


def _laneselect(shape: _Shape) -> Fold:
    """Make a choice between lanes by the top bit of the mask's."""
    return lambda a, b, mask: _select(a, b, shape.join(-1 if lane < 0 else 0 for lane in shape.signed(mask)))


def _dot(a: int, b: int) -> list[int]:
    """Multiply bytes as `pmaddubsw`: those of b, which are to have 7 bits, are unsigned; the sums saturate."""
    return [_saturate(pair, *bounds(16, True)) for pair in _pairs(_products(BYTES.signed(a), BYTES.split(b)))]


_row("i8x16_relaxed_swizzle", _relaxed_swizzle)
_row("i8x16_relaxed_laneselect", _laneselect(BYTES))
_row("i16x8_relaxed_laneselect", _laneselect(BYTES))  # there is a `pblendvb`, and none for this width
_row("i32x4_relaxed_laneselect", _laneselect(WORDS))
_row("i64x2_relaxed_laneselect", _laneselect(LONGS))
_row("i16x8_relaxed_q15mulr_s", lambda a, b: SHORTS.join(_rounded_products(a, b)))
_row("i16x8_relaxed_dot_i8x16_i7x16_s", lambda a, b: SHORTS.join(_dot(a, b)))
_row("i32x4_relaxed_dot_i8x16_i7x16_add_s", lambda a, b, c: WORDS.join(map(sum, zip(_pairs(_dot(a, b)), WORDS.split(c)))))
