"""What every pure numeric operation of the IR computes, on bits, in plain Python (spec 4.3). Nothing of figwasp is used."""

from __future__ import annotations

import ctypes
import math
import struct
from collections.abc import Callable

I32, I64, F32, F64 = range(4)
MASK = (0xFFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF)
NAN = {F32: 0x7FC0_0000, F64: 0x7FF8_0000_0000_0000}
Model = Callable[..., int]


def signed(n: int, width: int) -> int:
    """Read the lowest bits of n as a two's complement number."""
    n &= (1 << width) - 1
    return n - (1 << width) if n >> width - 1 else n


def to_float(bits: int, type: int) -> float:
    """Read bits as a float."""
    if type == F32:
        return float(struct.unpack("<f", bits.to_bytes(4, "little"))[0])
    return float(struct.unpack("<d", bits.to_bytes(8, "little"))[0])


def to_bits(value: float, type: int) -> int:
    """Round to the type and give the bits; a NaN is the canonical one."""
    if math.isnan(value):
        return NAN[type]
    if type == F32:
        return int.from_bytes(bytes(ctypes.c_float(value)), "little")
    return int.from_bytes(struct.pack("<d", value), "little")


def is_nan(bits: int, type: int) -> bool:
    """Tell whether bits are a NaN."""
    return math.isnan(to_float(bits, type))


def round_int(n: int, type: int) -> int:
    """Round an integer to a float, ties to even, and give its bits."""
    if type == F64:
        return to_bits(float(n), F64)
    excess = abs(n).bit_length() - 24
    if excess > 0:
        magnitude = abs(n)
        half = 1 << excess - 1
        rest = magnitude & ((1 << excess) - 1)
        magnitude >>= excess
        if rest > half or (rest == half and magnitude & 1):
            magnitude += 1
        n = (magnitude << excess) * (1 if n > 0 else -1)
    return to_bits(float(n), F32)


def _int_models(type: int) -> dict[str, Model]:
    width = 32 << type
    mask = MASK[type]
    s: Callable[[int], int] = lambda n: signed(n, width)  # noqa: E731

    def div_s(a: int, b: int) -> int:
        quotient = abs(s(a)) // abs(s(b))
        return quotient if (s(a) < 0) == (s(b) < 0) else -quotient

    def rotate(a: int, n: int) -> int:
        n %= width
        return a << n | a >> (width - n)

    models: dict[str, Model] = {
        "add": lambda a, b: a + b,
        "sub": lambda a, b: a - b,
        "mul": lambda a, b: a * b,
        "and": lambda a, b: a & b,
        "or": lambda a, b: a | b,
        "xor": lambda a, b: a ^ b,
        "shl": lambda a, b: a << b % width,
        "shr_u": lambda a, b: a >> b % width,
        "shr_s": lambda a, b: s(a) >> b % width,
        "rotl": rotate,
        "rotr": lambda a, b: rotate(a, -b),
        "div_s": div_s,
        "div_u": lambda a, b: a // b,
        "rem_s": lambda a, b: s(a) - s(b) * div_s(a, b),
        "rem_u": lambda a, b: a % b,
        "clz": lambda a: width - a.bit_length(),
        "ctz": lambda a: (a & -a).bit_length() - 1 if a else width,
        "popcnt": lambda a: a.bit_count(),
        "extend8_s": lambda a: signed(a, 8),
        "extend16_s": lambda a: signed(a, 16),
    }
    if type == I64:
        models["extend32_s"] = lambda a: signed(a, 32)
        models["mul_hi_s"] = lambda a, b: s(a) * s(b) >> 64
        models["mul_hi_u"] = lambda a, b: a * b >> 64
    return {name: (lambda *args, _model=model: _model(*args) & mask) for name, model in models.items()}


def _int_tests(type: int) -> dict[str, Model]:
    width = 32 << type
    s: Callable[[int], int] = lambda n: signed(n, width)  # noqa: E731
    return {
        "eq": lambda a, b: int(a == b),
        "ne": lambda a, b: int(a != b),
        "lt_s": lambda a, b: int(s(a) < s(b)),
        "lt_u": lambda a, b: int(a < b),
        "gt_s": lambda a, b: int(s(a) > s(b)),
        "gt_u": lambda a, b: int(a > b),
        "le_s": lambda a, b: int(s(a) <= s(b)),
        "le_u": lambda a, b: int(a <= b),
        "ge_s": lambda a, b: int(s(a) >= s(b)),
        "ge_u": lambda a, b: int(a >= b),
        "eqz": lambda a: int(a == 0),
    }


def _divide(a: float, b: float) -> float:
    if b != 0:
        return a / b
    if a == 0 or math.isnan(a):
        return math.nan
    return math.copysign(math.inf, a) * math.copysign(1.0, b)


def _minimum(a: float, b: float) -> float:
    if math.isnan(a) or math.isnan(b):
        return math.nan
    if a == b == 0:
        return a if math.copysign(1, a) < 0 else b
    return min(a, b)


def _rounder(function: Callable[[float], int]) -> Callable[[float], float]:
    def apply(a: float) -> float:
        return a if math.isnan(a) or math.isinf(a) else math.copysign(float(function(a)), a)

    return apply


def _float_models(type: int) -> dict[str, Model]:
    f: Callable[[int], float] = lambda bits: to_float(bits, type)  # noqa: E731
    sign = 1 << (31 if type == F32 else 63)
    computed: dict[str, Callable[..., float]] = {
        "add": lambda a, b: a + b,
        "sub": lambda a, b: a - b,
        "mul": lambda a, b: a * b,
        "div": _divide,
        "min": _minimum,
        "max": lambda a, b: -_minimum(-a, -b),
        "ceil": _rounder(math.ceil),
        "floor": _rounder(math.floor),
        "trunc": _rounder(math.trunc),
        "nearest": _rounder(round),
        "sqrt": lambda a: math.sqrt(a) if a >= 0 else math.nan,
    }
    models: dict[str, Model] = {
        name: (lambda *args, _model=model: to_bits(_model(*map(f, args)), type)) for name, model in computed.items()
    }
    models |= {
        "abs": lambda a: a & ~sign,
        "neg": lambda a: a ^ sign,
        "copysign": lambda a, b: (a & ~sign) | (b & sign),
        "eq": lambda a, b: int(f(a) == f(b)),
        "ne": lambda a, b: int(f(a) != f(b)),
        "lt": lambda a, b: int(f(a) < f(b)),
        "gt": lambda a, b: int(f(a) > f(b)),
        "le": lambda a, b: int(f(a) <= f(b)),
        "ge": lambda a, b: int(f(a) >= f(b)),
    }
    return models


def truncated(bits: int, float_type: int, int_type: int, is_signed: bool) -> int | None:
    """Truncate a float; None when it does not fit."""
    value = to_float(bits, float_type)
    if math.isnan(value) or math.isinf(value):
        return None
    width = 32 << int_type
    low, high = (-(1 << width - 1), (1 << width - 1) - 1) if is_signed else (0, (1 << width) - 1)
    n = int(value)
    return n & MASK[int_type] if low <= n <= high else None


def _saturated(bits: int, float_type: int, int_type: int, is_signed: bool) -> int:
    value = to_float(bits, float_type)
    if math.isnan(value):
        return 0
    width = 32 << int_type
    low, high = (-(1 << width - 1), (1 << width - 1) - 1) if is_signed else (0, (1 << width) - 1)
    n = low if value == -math.inf else high if value == math.inf else int(value)
    return max(low, min(high, n)) & MASK[int_type]


def _conversions() -> dict[str, Model]:
    models: dict[str, Model] = {
        "i32_wrap_i64": lambda a: a & MASK[I32],
        "i64_extend_i32_s": lambda a: signed(a, 32) & MASK[I64],
        "i64_extend_i32_u": lambda a: a,
        "f32_demote_f64": lambda a: to_bits(to_float(a, F64), F32),
        "f64_promote_f32": lambda a: to_bits(to_float(a, F32), F64),
        "i32_reinterpret_f32": lambda a: a,
        "i64_reinterpret_f64": lambda a: a,
        "f32_reinterpret_i32": lambda a: a,
        "f64_reinterpret_i64": lambda a: a,
    }
    for i, int_name in ((I32, "i32"), (I64, "i64")):
        for f, float_name in ((F32, "f32"), (F64, "f64")):
            for is_signed, suffix in ((True, "s"), (False, "u")):
                models[f"{float_name}_convert_{int_name}_{suffix}"] = lambda a, i=i, f=f, is_signed=is_signed: round_int(
                    signed(a, 32 << i) if is_signed else a, f
                )
                models[f"{int_name}_trunc_{float_name}_{suffix}"] = (
                    lambda a, i=i, f=f, is_signed=is_signed: truncated(a, f, i, is_signed) or 0
                )
                models[f"{int_name}_trunc_sat_{float_name}_{suffix}"] = lambda a, i=i, f=f, is_signed=is_signed: _saturated(
                    a, f, i, is_signed
                )
    return models


MODELS: dict[str, Model] = _conversions()
for _type, _name in enumerate(("i32", "i64")):
    MODELS |= {f"{_name}_{op}": model for op, model in (_int_models(_type) | _int_tests(_type)).items()}
for _type, _name in ((F32, "f32"), (F64, "f64")):
    MODELS |= {f"{_name}_{op}": model for op, model in _float_models(_type).items()}
"""Name of an operation -> function from operand bits to result bits."""


def _int_edges(width: int) -> list[int]:
    edges = [0, 1, 2, 3, 7, 31, 32, 33, 63, 64, 127, 128, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 0x7FFF_FFFF, 0x1234_5678]
    mask = (1 << width) - 1
    edges += [-n & mask for n in (1, 2, 3, 128, 129, 0x8000, 0x7FFF_FFFF, 0x8000_0000)]
    if width == 64:
        edges += [1 << 31, 1 << 32, (1 << 32) - 1, 1 << 53, (1 << 53) + 1, (1 << 63) - 1, 1 << 63, (1 << 63) + 1025,
                  0x8000_0080_0000_0001, 0x8000_0080_0000_0000, 0x7FFF_FF40_0000_0001, 0x0123_4567_89AB_CDEF]  # fmt: skip
    else:
        edges += [0x0100_0001, 0x0100_0003, 0xFFFF_FF7F, 0xFFFF_FF81]
    return sorted(set(edges))


def _float_edges(type: int) -> list[int]:
    values = [0.0, 0.5, 0.49999999999999994, 1.0, 1.5, 2.5, 0.1, 3.7, 4294967295.0, 4294967296.0, 2147483647.0, 2147483648.0,
              2147483649.0, 4294967295.9, 2147483647.9, 2147483648.9, 9223372036854775807.0, 9223372036854774784.0,
              18446744073709551615.0, 18446744073709549568.0, 1e10, 1e300, math.inf, 4503599627370497.5, 8388609.0,
              0.99999999]  # fmt: skip
    bits = [to_bits(value, type) for value in values] + [1, 2]  # denormals
    bits.append(0x7F7F_FFFF if type == F32 else 0x7FEF_FFFF_FFFF_FFFF)  # largest
    bits.append(0x0080_0000 if type == F32 else 0x0010_0000_0000_0000)  # smallest normal
    if type == F32:
        bits += [0x4EFF_FFFF, 0x4F7F_FFFF, 0x5EFF_FFFF, 0x5F7F_FFFF]  # just below powers of two
    nan = NAN[type]
    bits += [nan, nan + 5, (nan & ~(nan & -nan)) | 1]  # canonical, another quiet one, a signalling one
    sign = 1 << (31 if type == F32 else 63)
    return sorted({b | s for b in bits for s in (0, sign)})


EDGES: dict[int, list[int]] = {I32: _int_edges(32), I64: _int_edges(64), F32: _float_edges(F32), F64: _float_edges(F64)}
"""Values at which operations tend to go wrong, by type, as bits."""
