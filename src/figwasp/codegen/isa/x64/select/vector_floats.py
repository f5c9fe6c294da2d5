"""Floor 3: x86-64 selection: vectors of floats, what takes several instructions. In: an operation. Out: a `Sequence`.

Minimum and maximum are in `select.floats`: they differ from those of scalars in their rows only.
"""

from __future__ import annotations

import struct
from typing import Final

from figwasp.codegen.isa.x64 import insts as x
from figwasp.codegen.isa.x64 import insts_vector as v
from figwasp.codegen.isa.x64.features import IN_USE
from figwasp.codegen.isa.x64.select.vectors import Sequence
from figwasp.codegen.mach import NONE
from figwasp.codegen.select import Rule, Selector
from figwasp.ir import ops
from figwasp.ir.func import Value

_op: Final = ops.BY_NAME
_ORDERED: Final = 0  # predicate of a comparison with itself: equal, which a NaN is not
_LE: Final = 2
_TO_ZERO: Final = 11  # immediate of ROUND*


def _singles(number: float) -> bytes:
    return struct.pack("<f", number) * 4


def _doubles(number: float) -> bytes:
    return struct.pack("<d", number) * 2


# Signs

_SIGNS: Final = {
    _op["f32x4_abs"]: (x.ANDPS_RR, b"\xff\xff\xff\x7f" * 4),
    _op["f32x4_neg"]: (x.XORPS_RR, _singles(-0.0)),
    _op["f64x2_abs"]: (x.ANDPS_RR, b"\xff\xff\xff\xff\xff\xff\xff\x7f" * 2),
    _op["f64x2_neg"]: (x.XORPS_RR, _doubles(-0.0)),
}


def _sign(s: Selector, value: Value, rd: int) -> None:
    row, mask = _SIGNS[value.op]
    sequence = Sequence(s)
    sequence.pool(row, sequence.use(value.args[0]), mask, rd)
    sequence.finish()


# To integers


def _trunc_f32(s: Selector, value: Value, rd: int) -> None:
    """Convert NaN as 0; what is too large comes out as the least number, and all its bits are flipped then."""
    sequence = Sequence(s)
    operand = sequence.use(value.args[0])
    ordered = sequence.op(v.CMPPS, operand, operand, _ORDERED)
    converted = sequence.op(v.CVTTPS2DQ, sequence.op(x.ANDPS_RR, ordered, operand))
    too_large = sequence.op(v.CMPPS, sequence.constant(_singles(2.0**31)), operand, _LE)
    sequence.op(x.PXOR_RR, converted, too_large, 0, rd)
    sequence.finish()


def _trunc_f32_unsigned(s: Selector, value: Value, rd: int) -> None:
    """Add the conversions of n, 2**31 for all above that, and of n - 2**31, saturating and not below 0."""
    sequence = Sequence(s)
    operand = sequence.use(value.args[0])
    zero = sequence.zero()
    positive = sequence.op(v.MAXPS, operand, zero)
    limit = sequence.constant(_singles(2.0**31))
    reduced = sequence.op(v.SUBPS, positive, limit)
    too_large = sequence.op(v.CMPPS, limit, reduced, _LE)
    upper = sequence.op(x.PXOR_RR, sequence.op(v.CVTTPS2DQ, reduced), too_large)
    lower = sequence.op(v.CVTTPS2DQ, positive)
    sequence.op(v.PADDD, lower, sequence.op(v.PMAXSD, upper, zero), 0, rd)
    sequence.finish()


def _trunc_f64(s: Selector, value: Value, rd: int) -> None:
    """Bound from above, where a NaN becomes 0: MINPD answers its second operand. Too small answers the least by itself."""
    sequence = Sequence(s)
    operand = sequence.use(value.args[0])
    ordered = sequence.op(v.CMPPD, operand, operand, _ORDERED)
    bound = sequence.pool(x.ANDPS_RR, ordered, _doubles(2.0**31 - 1))
    sequence.op(v.CVTTPD2DQ, sequence.op(v.MINPD, operand, bound), NONE, 0, rd)
    sequence.finish()


def _trunc_f64_unsigned(s: Selector, value: Value, rd: int) -> None:
    """Add 2**52, after which the integer stands in the low half of the bits."""
    sequence = Sequence(s)
    zero = sequence.zero()
    positive = sequence.op(v.MAXPD, sequence.use(value.args[0]), zero)
    bounded = sequence.pool(v.MINPD, positive, _doubles(2.0**32 - 1))
    whole = sequence.op(v.ROUNDPD, bounded, NONE, _TO_ZERO)
    sequence.op(v.SHUFPS, sequence.pool(v.ADDPD, whole, _doubles(2.0**52)), zero, 0x88, rd)
    sequence.finish()


# From unsigned integers


def _convert_unsigned(s: Selector, value: Value, rd: int) -> None:
    """Make floats of the halves by writing them into the low bits of 2**23 and of 2**39; only the last addition rounds."""
    sequence = Sequence(s)
    operand = sequence.use(value.args[0])
    lower = sequence.pool(v.PBLENDW, operand, _singles(2.0**23), imm=0xAA)
    upper = sequence.pool(v.PBLENDW, sequence.op(v.PSRLD_I, operand, NONE, 16), _singles(2.0**39), imm=0xAA)
    reduced = sequence.pool(v.SUBPS, upper, _singles(2.0**39 + 2.0**23))
    sequence.op(v.ADDPS, reduced, lower, 0, rd)
    sequence.finish()


def _convert_low_unsigned(s: Selector, value: Value, rd: int) -> None:
    sequence = Sequence(s)
    joined = sequence.pool(v.UNPCKLPS, sequence.use(value.args[0]), b"\x00\x00\x30\x43" * 4)
    sequence.pool(v.SUBPD, joined, _doubles(2.0**52), rd)
    sequence.finish()


# Relaxed multiplication and addition

_MULTIPLY_ADD: Final = {
    _op["f32x4_relaxed_madd"]: (v.VFMADD231PS, v.MULPS, v.ADDPS), _op["f64x2_relaxed_madd"]: (v.VFMADD231PD, v.MULPD, v.ADDPD),
    _op["f32x4_relaxed_nmadd"]: (v.VFNMADD231PS, v.MULPS, v.SUBPS), _op["f64x2_relaxed_nmadd"]: (v.VFNMADD231PD, v.MULPD, v.SUBPD),
}  # fmt: skip


def _multiply_add(s: Selector, value: Value, rd: int) -> None:
    left, right, addend = value.args
    fused, multiply, add = _MULTIPLY_ADD[value.op]
    sequence = Sequence(s)
    if IN_USE.fma:
        sequence.three(fused, sequence.use(addend), sequence.use(left), sequence.use(right), rd)
    else:
        product = sequence.with_value(multiply, sequence.use(left), right)
        sequence.op(add, sequence.use(addend), product, 0, rd)
    sequence.finish()


RULES: Final[dict[int, Rule]] = {
    **dict.fromkeys(_SIGNS, _sign), **dict.fromkeys(_MULTIPLY_ADD, _multiply_add),
    _op["i32x4_trunc_sat_f32x4_s"]: _trunc_f32, _op["i32x4_trunc_sat_f64x2_s_zero"]: _trunc_f64,
    _op["i32x4_trunc_sat_f32x4_u"]: _trunc_f32_unsigned, _op["i32x4_relaxed_trunc_f32x4_u"]: _trunc_f32_unsigned,
    _op["i32x4_trunc_sat_f64x2_u_zero"]: _trunc_f64_unsigned, _op["i32x4_relaxed_trunc_f64x2_u_zero"]: _trunc_f64_unsigned,
    _op["f32x4_convert_i32x4_u"]: _convert_unsigned, _op["f64x2_convert_low_i32x4_u"]: _convert_low_unsigned,
}  # fmt: skip
