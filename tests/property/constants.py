"""Constants for generated modules: values at the edges of what instructions do, and short programs that compilers treat specially.

A short program is a line of tokens: an instruction; a type, for a value of that type; `type:number`, for a constant; `>x` and `<x`
to set and get a temporary local named by a letter. `:k` stands for any edge constant, `:n` for one that is neither 0 nor -1.
"""

from __future__ import annotations

import struct
from random import Random
from typing import Final

from figwasp.wasm.syntax.opcodes import BY_NAME
from figwasp.wasm.syntax.types import F32, F64, I32, I64, V128

_SMALL: Final = [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 31, 32, 33, 63, 64, 100, 127, 128, 255, 256, -1, -2, -8, -127, -128, -129, -256]
INTS: Final[dict[int, list[int]]] = {
    I32: [*_SMALL, 0x7FFF, 0x8000, 0xFFFF, 0x1_0000, -0x8000, -0x8001, 0x7FFF_FFFF, -0x8000_0000, -0x7FFF_FFFF, 0x5555_5555, 0x0F0F_0F0F],
    I64: [
        *_SMALL, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 1 << 32, -0x8000_0000, -0x8000_0001, -(1 << 32), (1 << 63) - 1, -(1 << 63),
        1 - (1 << 63), 0x5555_5555_5555_5555, 0x0123_4567_89AB_CDEF, 1 << 53, (1 << 53) + 1, (1 << 62) + 1,
    ],
}  # fmt: skip
"""Type -> signed numbers."""

FLOATS: Final = [
    0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, 3.0, 0.1, -0.1, 1e-3, 1e10, -1e10, 127.0, 128.5, 255.0, 65536.0, 16777216.0, 16777217.0,
    2147483647.0, 2147483648.0, -2147483648.0, -2147483649.0, 4294967295.0, 4294967296.0, 9007199254740993.0, 9223372036854775807.0,
    -9223372036854775808.0, 1.8446744073709552e19, 1.1754943508222875e-38, 1e-45, 5e-324, 2.2250738585072014e-308, 1e308,
    float("inf"), float("-inf"), 3.4028234663852886e38, -3.4028234663852886e38,
]  # fmt: skip
_NANS: Final[dict[int, list[int]]] = {
    F32: [0x7FC0_0000, 0xFFC0_0000, 0x7F80_0001, 0xFFFF_FFFF, 0x7FA1_2345],
    F64: [0x7FF8 << 48, 0xFFF8 << 48, 0x7FF0_0000_0000_0001, 0xFFFF_FFFF_FFFF_FFFF, 0x7FF4_0000_1234_5678],
}
CANONICAL_NAN: Final[dict[int, int]] = {F32: 0x7FC0_0000, F64: 0x7FF8 << 48}


def float_bits(type_: int, number: float) -> int:
    """Return the bits of a number rounded to a float type."""
    if type_ == F64:
        return int.from_bytes(struct.pack("<d", number), "little")
    try:
        return int.from_bytes(struct.pack("<f", number), "little")
    except OverflowError:
        return 0x7F80_0000 if number > 0 else 0xFF80_0000


def bits_float(type_: int, bits: int) -> float:
    """Return the number that bits stand for."""
    number: float = struct.unpack("<d", bits.to_bytes(8, "little"))[0] if type_ == F64 else struct.unpack("<f", bits.to_bytes(4, "little"))[0]
    return number


def constant(random: Random, type_: int, nans: bool = True) -> int:
    """Return the immediate of a constant: a signed integer, or the bits of a float or vector.

    Args:
        random: source of chance.
        type_: number type, or V128.
        nans: whether NaNs other than the canonical one may be among them; in the lanes of a vector they may always.
    """
    if type_ == V128:
        return vector(random)
    if type_ == I32 or type_ == I64:
        return integer(random, type_)
    kind = random.random()
    if kind < 0.08:
        return random.choice(_NANS[type_]) if nans else CANONICAL_NAN[type_]
    if kind < 0.7:
        return float_bits(type_, random.choice(FLOATS))
    if kind < 0.9:
        return float_bits(type_, float(random.randrange(-1000, 1000)) / random.choice((1, 1, 2, 3)))
    bits = random.getrandbits(32 if type_ == F32 else 64)
    return CANONICAL_NAN[type_] if is_nan(type_, bits) and not nans else bits


def vector(random: Random) -> int:
    """Return the bits of a vector, often the same in all lanes."""
    kind = random.random()
    if kind < 0.1:
        return random.choice((0, (1 << 128) - 1))
    type_ = random.choice((I32, I32, I64, F32, F64))
    size = 32 if type_ in (I32, F32) else 64
    if kind < 0.3:
        size = random.choice((8, 16))
    lanes = [constant(random, type_) % (1 << size) for _ in range(128 // size)]
    if kind > 0.6:
        lanes = lanes[:1] * len(lanes)
    return sum(lane << size * number for number, lane in enumerate(lanes))


def shuffle(random: Random) -> bytes:
    """Return the lanes of a shuffle, often of a kind that compilers write."""
    size = random.choice((1, 2, 4, 8))
    count = 16 // size
    kinds = [
        [random.randrange(2 * count) for _ in range(count)],
        [random.randrange(count) for _ in range(count)],
        [random.choice((lane, lane + count)) for lane in range(count)],
        [lane // 2 + count * (lane % 2) for lane in range(count)],
        [(lane + count) // 2 + count * (lane % 2) for lane in range(count)],
        [(lane + random_start) % (2 * count) for random_start in [random.randrange(2 * count)] for lane in range(count)],
        [random.randrange(2 * count)] * count,
        [count - 1 - lane for lane in range(count)],
        [2 * lane for lane in range(count)],
        [2 * lane + 1 for lane in range(count)],
    ]
    return bytes(lane * size + byte for lane in random.choice(kinds) for byte in range(size))


def integer(random: Random, type_: int) -> int:
    """Return a signed integer of a type."""
    size = 32 if type_ == I32 else 64
    kind = random.random()
    if kind < 0.7:
        return random.choice(INTS[type_])
    if kind < 0.85:
        number = (1 << random.randrange(size)) + random.choice((-1, 0, 0, 1))
    else:
        number = random.getrandbits(random.randrange(1, size + 1))
    number = (number ^ -random.getrandbits(1)) & (1 << size) - 1
    return number - (1 << size) if number >> (size - 1) else number


def is_nan(type_: int, bits: int) -> bool:
    """Say whether bits of a float type are a NaN."""
    if type_ == F32:
        return bits & 0x7FFF_FFFF > 0x7F80_0000
    return bits & (1 << 63) - 1 > 0x7FF0 << 48


_IDIOMS: Final = """
i32 i32:3 i32.mul
i32 i32:-1 i32.mul
i32 i32 i32:3 i32.shl i32.add i32:12 i32.add
i32 i32 i32:2 i32.shl i32.sub
i32 i32:31 i32.and >a i32 <a i32.shl
i32 >a <a <a i32:31 i32.shr_s i32.xor
i32 i32:k i32.and i32.eqz
i32 i32:7 i32.shr_u i32:1 i32.and
i32 i32:k i32.add i32:k i32.add
i32 i32:k i32.sub i32:k i32.lt_u
i32:0 i32 i32.sub
i32 i32:-1 i32.xor
i32 i32.eqz i32.eqz
i32 >a <a <a i32:-1 i32.add i32.and i32.popcnt
i32 >a i32 >b <a <b <a <b i32.lt_s select
i32 >a i32 >b <a <b <a <b i32.gt_u select
i32 >a i32:0 <a i32.sub <a <a i32:0 i32.lt_s select
i32 i32 i32.lt_s i32 i32 i32.lt_u i32.and
i32 i32 i32.eq i64 i64 i64.ne i32.or
i64 i64:32 i64.shr_u i32.wrap_i64
i64 i64 i64.add i32.wrap_i64
i32 >a <a i32:8 i32.shl <a i32:8 i32.shr_u i32.or
i32 >a <a i32:24 i32.rotl i32:0xff00ff i32.and <a i32:8 i32.rotl i32:-16711936 i32.and i32.or
i32 i32:24 i32.shl i32:24 i32.shr_s
i32 i32:255 i32.and i32:4 i32.eq
i32 i32:n i32.div_u
i32 i32:n i32.rem_s
i32 i64.extend_i32_u i64.eqz
f64 f64 f64.lt i32.eqz
f32 f32 f32.ge i32.eqz
f64 >a <a <a f64.ne
i64 i64:3 i64.mul
i64 i64:5 i64.mul i64:7 i64.add
i64 i64 i64:3 i64.shl i64.add
i32 i64.extend_i32_u i64:32 i64.shl i32 i64.extend_i32_u i64.or
i64 i32.wrap_i64 i64.extend_i32_s
i64 i32.wrap_i64 i64.extend_i32_u
i64 i64:4294967295 i64.and
i64 i64:k i64.and i64:k i64.xor
i64 i64:63 i64.and >a i64 <a i64.rotr
i64 >a i64 >b <a <b <a <b i64.ge_s select
i64 >a i64:0 <a i64.sub <a <a i64:0 i64.lt_s select
i64 i64:56 i64.shl i64:56 i64.shr_s
i64 i64:k i64.add i64:k i64.sub
i64:0 i64 i64.sub
i64 i64:-1 i64.xor i64 i64.and
i32 i64.extend_i32_u i32 i64.extend_i32_u i64.mul i64:32 i64.shr_u
i64 i64:n i64.div_s
i64 i64:n i64.rem_u
f32 f32:1 f32.mul
f32 f32.neg f32 f32.mul f32.neg
f32 f32:-0 f32.add
f32 f32:0.5 f32.add f32.floor
f32 f64.promote_f32 f64 f64.add f32.demote_f64
f32 >a f32 >b <a <b <a <b f32.lt select
f32 f32.abs f32.sqrt
f64 f64:2 f64.div
f64 f64.neg f64 f64.sub
f64 f64:0 f64.sub
f64 >a f64 >b <a <b <a <b f64.gt select
f64 f64.abs f64.neg
f64 f64 f64.mul f64 f64.add
i32 f64.convert_i32_u f64:0.5 f64.mul
i64 f64.convert_i64_u
f64 f32.demote_f64 f64.promote_f32
i32 f32.convert_i32_s f64.promote_f32
"""

_VECTOR_IDIOMS: Final = """
v128 v128.not v128 v128.and
v128 v128 v128.not v128.and
v128 v128:k v128.and v128 v128:k v128.and v128.or
v128 >a v128 >b <a <b <a <b i32x4.lt_s v128.bitselect
v128 >a v128 >b <a <b <b <a f32x4.lt v128.bitselect
v128 >a v128 >b <a <b <a <b i8x16.gt_u v128.bitselect
v128 >a v128 >b <a <b <a <b f64x2.le v128.bitselect
v128 >a <a <a v128.xor
v128 >a <a <a i8x16.eq
v128 i32:k i8x16.shl
v128 i32:k i8x16.shr_s
v128 i32:k i16x8.shr_u
v128 i32:k i32x4.shl
v128 i32:k i64x2.shr_s
v128 i32:3 i16x8.shl v128 i16x8.add
i32 i32x4.splat v128 i32x4.mul
i32 i8x16.splat v128 i8x16.eq
i64 i64x2.splat v128 i64x2.add
v128 i32x4.abs
v128:0 v128 i16x8.sub
v128 v128:k i8x16.swizzle
v128 v128:k i32x4.min_u
v128 v128:k i16x8.mul v128 i16x8.add
v128 f32x4.neg
v128 f64x2.abs f64x2.neg
v128 i16x8.extend_low_i8x16_s v128 i16x8.extend_high_i8x16_s i16x8.mul
v128 v128 i8x16.eq i8x16.bitmask i32:0xffff i32.xor
v128 v128 i8x16.eq i8x16.all_true i32.eqz
v128 v128 v128.xor v128.any_true i32.eqz
v128 v128 i32x4.gt_s i32x4.bitmask i32.ctz
v128 v128 i64x2.eq i64x2.bitmask i32.popcnt
v128 v128.any_true i32.eqz
"""

_RESULT: Final = {"f32": F32, "f64": F64, "i32": I32, "i64": I64}


def _result(tokens: list[str]) -> int:
    """Return the type of what a short program leaves."""
    last = tokens[-1]
    if last in BY_NAME and BY_NAME[last].results == (V128,):
        return V128
    if last == "select":
        return _RESULT[tokens[0].partition(":")[0]]
    name = last.partition(".")[2]
    compares = {"eqz", "eq", "ne", "lt", "gt", "le", "ge", "lt_s", "lt_u", "gt_s", "gt_u", "le_s", "le_u", "ge_s", "ge_u"}
    return I32 if name in compares else _RESULT[last.partition(".")[0]]


def _idioms(table: str) -> dict[int, list[list[str]]]:
    found: dict[int, list[list[str]]] = {I32: [], I64: [], F32: [], F64: [], V128: []}
    for line in table.strip().split("\n"):
        tokens = line.split()
        found[_result(tokens)].append(tokens)
    return found


IDIOMS: Final[dict[int, list[list[str]]]] = _idioms(_IDIOMS)
"""Type -> short programs that leave one value of it."""
VECTOR_IDIOMS: Final[dict[int, list[list[str]]]] = _idioms(_VECTOR_IDIOMS)
"""The same, on vectors."""
