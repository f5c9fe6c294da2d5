"""Floor 3: x86-64 selection: vectors, the arithmetic and the comparisons that take several instructions.

In: an operation. Out: a `Sequence`. The tables say what the operations of different shapes have different.
"""

from __future__ import annotations

from typing import Final

from figwasp.codegen.isa.x64 import insts as x
from figwasp.codegen.isa.x64 import insts_vector as v
from figwasp.codegen.isa.x64.features import IN_USE
from figwasp.codegen.isa.x64.select.flags import MASK_BITS
from figwasp.codegen.isa.x64.select.vectors import Sequence, as_bytes, named
from figwasp.codegen.mach import COPY, NONE
from figwasp.codegen.select import Rule, Selector
from figwasp.ir import ops
from figwasp.ir.func import Value
from figwasp.ir.ops import I32

ONES: Final = b"\xff" * 16
_BYTES: Final = {"i8x16": 1, "i16x8": 2, "i32x4": 4, "i64x2": 8}


def repeated(number: int, size: int) -> bytes:
    """Return a vector of the same number in each lane of so many bytes."""
    return number.to_bytes(size, "little") * (16 // size)


# Comparisons of integers


def _not_equal(s: Selector, value: Value, rd: int) -> None:
    sequence = Sequence(s)
    left, right = value.args
    if left.op == ops.CONST:
        left, right = right, left
    equal = sequence.with_value(_NOT_EQUAL[value.op], sequence.use(left), right)
    sequence.pool(x.PXOR_RR, equal, ONES, rd)
    sequence.finish()


def _not_less(s: Selector, value: Value, rd: int) -> None:
    """Emit `not less` of two signed numbers of 64 bits, for which there is no minimum."""
    sequence = Sequence(s)
    less = sequence.with_value(v.PCMPGTQ, *_in_order(sequence, value, value.op == _GE_S))
    sequence.pool(x.PXOR_RR, less, ONES, rd)
    sequence.finish()


def _in_order(sequence: Sequence, value: Value, exchanged: bool) -> tuple[int, Value]:
    left, right = value.args
    if exchanged:
        left, right = right, left
    return sequence.use(left), right


def _extreme_equal(s: Selector, value: Value, rd: int) -> None:
    """Emit `a >= b` as max(a, b) = a, and `a <= b` with the minimum."""
    extreme, equal = _EXTREME_EQUAL[value.op]
    sequence = Sequence(s)
    left = sequence.use(value.args[0])
    found = sequence.with_value(extreme, left, value.args[1])
    sequence.op(equal, found, left, 0, rd)
    sequence.finish()


def _greater_unsigned(s: Selector, value: Value, rd: int) -> None:
    """Compare as signed numbers after the sign bits have been flipped, which of a constant is done now."""
    row, size, exchanged = _GREATER_UNSIGNED[value.op]
    left, right = value.args
    if exchanged:
        left, right = right, left
    sign = repeated(1 << 8 * size - 1, size)
    sequence = Sequence(s)
    if left.op == ops.CONST:
        flipped = sequence.constant(_flip(as_bytes(left), sign))
    else:
        flipped = sequence.pool(x.PXOR_RR, sequence.use(left), sign)
    if right.op == ops.CONST:
        sequence.pool(row, flipped, _flip(as_bytes(right), sign), rd)
    else:
        sequence.op(row, flipped, sequence.pool(x.PXOR_RR, sequence.use(right), sign), 0, rd)
    sequence.finish()


def _flip(data: bytes, mask: bytes) -> bytes:
    return bytes(byte ^ other for byte, other in zip(data, mask, strict=True))


_NOT_EQUAL: Final = named({"i8x16_ne": v.PCMPEQB, "i16x8_ne": v.PCMPEQW, "i32x4_ne": v.PCMPEQD, "i64x2_ne": v.PCMPEQQ})
_GE_S: Final = ops.BY_NAME["i64x2_ge_s"]
_LE_S: Final = ops.BY_NAME["i64x2_le_s"]
_EXTREME_EQUAL: Final = {
    ops.BY_NAME[f"{shape}_{name}"]: (rows[index], rows[4])
    for shape, rows in (
        ("i8x16", (v.PMAXSB, v.PMAXUB, v.PMINSB, v.PMINUB, v.PCMPEQB)),
        ("i16x8", (v.PMAXSW, v.PMAXUW, v.PMINSW, v.PMINUW, v.PCMPEQW)),
        ("i32x4", (v.PMAXSD, v.PMAXUD, v.PMINSD, v.PMINUD, v.PCMPEQD)),
    )
    for index, name in enumerate(("ge_s", "ge_u", "le_s", "le_u"))
}  # fmt: skip
_GREATER_UNSIGNED: Final = {
    ops.BY_NAME[f"{shape}_{name}"]: (row, _BYTES[shape], name == "lt_u")
    for shape, row in (("i8x16", v.PCMPGTB), ("i16x8", v.PCMPGTW), ("i32x4", v.PCMPGTD))
    for name in ("gt_u", "lt_u")
}  # fmt: skip

# Shifts. The machine takes a count of 64 bits whole, and wasm one modulo the width of a lane.

_SHIFTS: Final = {
    ops.BY_NAME["i8x16_shl"]: (v.PSLLW_I, v.PSLLW, 8), ops.BY_NAME["i8x16_shr_u"]: (v.PSRLW_I, v.PSRLW, 8),
    ops.BY_NAME["i16x8_shl"]: (v.PSLLW_I, v.PSLLW, 16), ops.BY_NAME["i16x8_shr_u"]: (v.PSRLW_I, v.PSRLW, 16),
    ops.BY_NAME["i32x4_shl"]: (v.PSLLD_I, v.PSLLD, 32), ops.BY_NAME["i32x4_shr_u"]: (v.PSRLD_I, v.PSRLD, 32),
    ops.BY_NAME["i64x2_shl"]: (v.PSLLQ_I, v.PSLLQ, 64), ops.BY_NAME["i64x2_shr_u"]: (v.PSRLQ_I, v.PSRLQ, 64),
    ops.BY_NAME["i16x8_shr_s"]: (v.PSRAW_I, v.PSRAW, 16), ops.BY_NAME["i32x4_shr_s"]: (v.PSRAD_I, v.PSRAD, 32),
    ops.BY_NAME["i8x16_shr_s"]: (v.PSRLW_I, v.PSRLW, 8), ops.BY_NAME["i64x2_shr_s"]: (v.PSRLQ_I, v.PSRLQ, 64),
}  # fmt: skip
"""By an immediate, by a register, bits of a lane; for the last two the logical shift, which is corrected."""
_SHL8: Final = ops.BY_NAME["i8x16_shl"]
_SHR8_S: Final = ops.BY_NAME["i8x16_shr_s"]
_SHR64_S: Final = ops.BY_NAME["i64x2_shr_s"]


def _shift(s: Selector, value: Value, rd: int) -> None:
    bits = _SHIFTS[value.op][2]
    operand, amount = value.args
    sequence = Sequence(s)
    if amount.op == ops.CONST:
        assert type(amount.aux) is int
        count = amount.aux & bits - 1
        if count == 0:
            sequence.op(COPY, sequence.use(operand), NONE, 0, rd)
        else:
            _shift_constant(sequence, value.op, sequence.use(operand), count, rd)
    else:
        _shift_variable(sequence, value.op, sequence.use(operand), amount, rd)
    sequence.finish()


def _shift_constant(sequence: Sequence, op: int, operand: int, count: int, rd: int) -> None:
    row, _, bits = _SHIFTS[op]
    if op == _SHR64_S:
        if count == 63:
            signs = sequence.op(v.PSRAD_I, operand, NONE, 31)
            sequence.op(v.PSHUFD, signs, NONE, 0xF5, rd)
            return
        _extend_sign(sequence, v.PSUBQ, sequence.op(row, operand, NONE, count), repeated(1 << 63 - count, 8), rd)
    elif bits > 8:
        sequence.op(row, operand, NONE, count, rd)
    elif op == _SHL8:
        sequence.pool(x.PAND_RR, sequence.op(row, operand, NONE, count), repeated(0xFF << count & 0xFF, 1), rd)
    elif op == _SHR8_S:
        shifted = sequence.pool(x.PAND_RR, sequence.op(row, operand, NONE, count), repeated(0xFF >> count, 1))
        _extend_sign(sequence, v.PSUBB, shifted, repeated(0x80 >> count, 1), rd)
    else:
        sequence.pool(x.PAND_RR, sequence.op(row, operand, NONE, count), repeated(0xFF >> count, 1), rd)


def _extend_sign(sequence: Sequence, subtract: int, shifted: int, sign: bytes, rd: int) -> None:
    """Fill lanes with the sign that stands at a bit of them: (n ^ bit) - bit."""
    bit = sequence.constant(sign)
    sequence.op(subtract, sequence.op(x.PXOR_RR, shifted, bit), bit, 0, rd)


def _shift_variable(sequence: Sequence, op: int, operand: int, amount: Value, rd: int) -> None:
    _, row, bits = _SHIFTS[op]
    masked = sequence.op(x.AND32_RI, sequence.use(amount), NONE, bits - 1, type=I32)
    if op == _SHR8_S:
        _shift_bytes_signed(sequence, operand, masked, rd)
        return
    count = sequence.op(x.MOVD_XR, masked)
    if op == _SHR64_S:
        bit = sequence.op(v.PSRLQ, sequence.constant(repeated(1 << 63, 8)), count)
        shifted = sequence.op(v.PSRLQ, operand, count)
        sequence.op(v.PSUBQ, sequence.op(x.PXOR_RR, shifted, bit), bit, 0, rd)
    elif bits > 8:
        sequence.op(row, operand, count, 0, rd)
    else:  # in words; what came in from the neighbouring byte is masked out, with the byte of a shifted word that has it right
        ones = sequence.op(row, sequence.ones(), count)
        mask = sequence.pool(v.PSHUFB, ones, repeated(0 if op == _SHL8 else 1, 1))
        sequence.op(x.PAND_RR, sequence.op(row, operand, count), mask, 0, rd)


def _shift_bytes_signed(sequence: Sequence, operand: int, masked: int, rd: int) -> None:
    """Shift bytes as the upper halves of words."""
    count = sequence.op(x.MOVD_XR, sequence.op(x.ADD32_RI, masked, NONE, 8, type=I32))
    low_half = sequence.op(v.PSRAW, sequence.op(v.PUNPCKLBW, operand, operand), count)
    high_half = sequence.op(v.PSRAW, sequence.op(v.PUNPCKHBW, operand, operand), count)
    sequence.op(v.PACKSSWB, low_half, high_half, 0, rd)


# Integers

_NEGATE: Final = named({"i8x16_neg": v.PSUBB, "i16x8_neg": v.PSUBW, "i32x4_neg": v.PSUBD, "i64x2_neg": v.PSUBQ})


def _negate(s: Selector, value: Value, rd: int) -> None:
    sequence = Sequence(s)
    sequence.with_value(_NEGATE[value.op], sequence.zero(), value.args[0], rd)
    sequence.finish()


def _abs64(s: Selector, value: Value, rd: int) -> None:
    sequence = Sequence(s)
    operand = sequence.use(value.args[0])
    sign = sequence.op(v.PSRAD_I, sequence.op(v.PSHUFD, operand, NONE, 0xF5), NONE, 31)
    sequence.op(v.PSUBQ, sequence.op(x.PXOR_RR, operand, sign), sign, 0, rd)
    sequence.finish()


_BIT_COUNTS: Final = bytes(number.bit_count() for number in range(16))


def _popcnt(s: Selector, value: Value, rd: int) -> None:
    """Look both halves of every byte up in a table."""
    sequence = Sequence(s)
    operand = sequence.use(value.args[0])
    mask = sequence.constant(repeated(0x0F, 1))
    low_half = sequence.op(x.PAND_RR, operand, mask)
    high_half = sequence.op(x.PAND_RR, sequence.op(v.PSRLW_I, operand, NONE, 4), mask)
    table = sequence.constant(_BIT_COUNTS)
    low_count = sequence.op(v.PSHUFB, table, low_half)
    high_count = sequence.op(v.PSHUFB, table, high_half)
    sequence.op(v.PADDB, low_count, high_count, 0, rd)
    sequence.finish()


def _mul64(s: Selector, value: Value, rd: int) -> None:
    """Multiply the halves: the upper ones crosswise, their sum shifted up, and the lower ones."""
    sequence = Sequence(s)
    left, right = [sequence.use(arg) for arg in value.args]
    one = sequence.op(v.PMULUDQ, sequence.op(v.PSRLQ_I, left, NONE, 32), right)
    other = sequence.op(v.PMULUDQ, sequence.op(v.PSRLQ_I, right, NONE, 32), left)
    upper = sequence.op(v.PSLLQ_I, sequence.op(v.PADDQ, one, other), NONE, 32)
    sequence.op(v.PADDQ, sequence.op(v.PMULUDQ, left, right), upper, 0, rd)
    sequence.finish()


def _q15mulr_sat(s: Selector, value: Value, rd: int) -> None:
    """Multiply; the one product that is too large, of the two least numbers, comes out as the least and is flipped."""
    sequence = Sequence(s)
    product = sequence.with_value(v.PMULHRSW, sequence.use(value.args[0]), value.args[1])
    wrong = sequence.pool(v.PCMPEQW, product, repeated(0x8000, 2))
    sequence.op(x.PXOR_RR, product, wrong, 0, rd)
    sequence.finish()


def _extadd_pairwise(s: Selector, value: Value, rd: int) -> None:
    """Multiply by ones and add neighbours, which these instructions do at once; PMADDWD knows only signed numbers."""
    sequence = Sequence(s)
    operand = value.args[0]
    name = ops.NAMES[value.op]
    if name == "i16x8_extadd_pairwise_i8x16_s":
        sequence.with_value(v.PMADDUBSW, sequence.constant(repeated(1, 1)), operand, rd)
    elif name == "i16x8_extadd_pairwise_i8x16_u":
        sequence.pool(v.PMADDUBSW, sequence.use(operand), repeated(1, 1), rd)
    elif name == "i32x4_extadd_pairwise_i16x8_s":
        sequence.pool(v.PMADDWD, sequence.use(operand), repeated(1, 2), rd)
    else:
        register = sequence.use(operand)
        upper = sequence.op(v.PSRLD_I, register, NONE, 16)
        sequence.op(v.PADDD, upper, sequence.pool(x.PAND_RR, register, repeated(0xFFFF, 4)), 0, rd)
    sequence.finish()


# Wider results

_EXTEND_HIGH: Final = named({
    "i16x8_extend_high_i8x16_s": v.PMOVSXBW, "i32x4_extend_high_i16x8_s": v.PMOVSXWD, "i64x2_extend_high_i32x4_s": v.PMOVSXDQ,
    "i16x8_extend_high_i8x16_u": v.PUNPCKHBW, "i32x4_extend_high_i16x8_u": v.PUNPCKHWD, "i64x2_extend_high_i32x4_u": v.PUNPCKHDQ,
})  # fmt: skip
_UPPER_HALF: Final = 0xEE
"""Of PSHUFD: the upper half in both halves."""


def _extend_high(s: Selector, value: Value, rd: int) -> None:
    row = _EXTEND_HIGH[value.op]
    sequence = Sequence(s)
    if value.op in _UNSIGNED_HIGH:
        zero = sequence.zero()
        sequence.op(row, sequence.use(value.args[0]), zero, 0, rd)
    else:
        sequence.op(row, sequence.of_value(v.PSHUFD, value.args[0], _UPPER_HALF), NONE, 0, rd)
    sequence.finish()


_UNSIGNED_HIGH: Final = frozenset(op for op in _EXTEND_HIGH if ops.NAMES[op].endswith("_u"))

_EXTMUL_BYTES: Final = named({
    "i16x8_extmul_low_i8x16_s": v.PMOVSXBW, "i16x8_extmul_high_i8x16_s": v.PMOVSXBW,
    "i16x8_extmul_low_i8x16_u": v.PMOVZXBW, "i16x8_extmul_high_i8x16_u": v.PUNPCKHBW,
})  # fmt: skip
_EXTMUL_WORDS: Final = {
    ops.BY_NAME[f"i32x4_extmul_{half}_i16x8_{sign}"]: (high_row, join_row)
    for half, join_row in (("low", v.PUNPCKLWD), ("high", v.PUNPCKHWD))
    for sign, high_row in (("s", v.PMULHW), ("u", v.PMULHUW))
}  # fmt: skip
_EXTMUL_DOUBLE: Final = {
    ops.BY_NAME[f"i64x2_extmul_{half}_i32x4_{sign}"]: (row, order)
    for half, order in (("low", 0x50), ("high", 0xFA))
    for sign, row in (("s", v.PMULDQ), ("u", v.PMULUDQ))
}  # fmt: skip


def _extmul_bytes(s: Selector, value: Value, rd: int) -> None:
    row = _EXTMUL_BYTES[value.op]
    high = "_high_" in ops.NAMES[value.op]
    sequence = Sequence(s)
    extended = []
    zero = sequence.zero() if row == v.PUNPCKHBW else NONE
    for operand in value.args:
        if zero != NONE:
            extended.append(sequence.op(row, sequence.use(operand), zero))
        elif high:
            extended.append(sequence.op(row, sequence.of_value(v.PSHUFD, operand, _UPPER_HALF)))
        else:
            extended.append(sequence.of_value(row, operand))
    sequence.op(v.PMULLW, extended[0], extended[1], 0, rd)
    sequence.finish()


def _extmul_words(s: Selector, value: Value, rd: int) -> None:
    """Join the lower and the upper halves of the products."""
    high_row, join_row = _EXTMUL_WORDS[value.op]
    sequence = Sequence(s)
    left, right = [sequence.use(arg) for arg in value.args]
    lower = sequence.op(v.PMULLW, left, right)
    sequence.op(join_row, lower, sequence.op(high_row, left, right), 0, rd)
    sequence.finish()


def _extmul_double(s: Selector, value: Value, rd: int) -> None:
    row, order = _EXTMUL_DOUBLE[value.op]
    sequence = Sequence(s)
    left, right = [sequence.of_value(v.PSHUFD, arg, order) for arg in value.args]
    sequence.op(row, left, right, 0, rd)
    sequence.finish()


def _dot_add(s: Selector, value: Value, rd: int) -> None:
    left, right, sum_ = value.args
    sequence = Sequence(s)
    words = sequence.with_value(v.PMADDUBSW, sequence.use(right), left)
    products = sequence.pool(v.PMADDWD, words, repeated(1, 2))
    sequence.with_value(v.PADDD, products, sum_, rd)
    sequence.finish()


# Bits


def _not(s: Selector, value: Value, rd: int) -> None:
    sequence = Sequence(s)
    sequence.pool(x.PXOR_RR, sequence.use(value.args[0]), ONES, rd)
    sequence.finish()


def _bitselect(s: Selector, value: Value, rd: int) -> None:
    then, other, mask = value.args
    sequence = Sequence(s)
    if mask.op == ops.CONST:
        taken = sequence.pool(x.PAND_RR, sequence.use(then), as_bytes(mask))
        kept = sequence.pool(x.PAND_RR, sequence.use(other), _flip(as_bytes(mask), ONES))
        sequence.op(x.POR_RR, taken, kept, 0, rd)
    elif IN_USE.avx and (mask.op in MASK_BITS or value.op != _BITSELECT):
        sequence.three(_BLENDS.get(value.op, v.VPBLENDVB), sequence.use(other), sequence.use(then), sequence.use(mask), rd)
    else:
        register = sequence.use(mask)
        kept = sequence.with_value(x.PANDN_RR, register, other)
        taken = sequence.op(x.PAND_RR, register, sequence.use(then))
        sequence.op(x.POR_RR, taken, kept, 0, rd)
    sequence.finish()


_BLENDS: Final = named({"i32x4_relaxed_laneselect": v.VBLENDVPS, "i64x2_relaxed_laneselect": v.VBLENDVPD})
_BITSELECT: Final = ops.BY_NAME["v128_bitselect"]
RULES: Final[dict[int, Rule]] = {
    **dict.fromkeys(_NOT_EQUAL, _not_equal), **dict.fromkeys(_EXTREME_EQUAL, _extreme_equal),
    **dict.fromkeys(_GREATER_UNSIGNED, _greater_unsigned), _GE_S: _not_less, _LE_S: _not_less,
    **dict.fromkeys(_SHIFTS, _shift), **dict.fromkeys(_NEGATE, _negate), **dict.fromkeys(_EXTEND_HIGH, _extend_high),
    **dict.fromkeys(_EXTMUL_BYTES, _extmul_bytes), **dict.fromkeys(_EXTMUL_WORDS, _extmul_words),
    **dict.fromkeys(_EXTMUL_DOUBLE, _extmul_double),
    ops.BY_NAME["i64x2_abs"]: _abs64, ops.BY_NAME["i8x16_popcnt"]: _popcnt, ops.BY_NAME["i64x2_mul"]: _mul64,
    ops.BY_NAME["i16x8_q15mulr_sat_s"]: _q15mulr_sat,
    **{op: _extadd_pairwise for op, name in enumerate(ops.NAMES) if "_extadd_pairwise_" in name},
    ops.BY_NAME["i32x4_relaxed_dot_i8x16_i7x16_add_s"]: _dot_add, ops.BY_NAME["v128_not"]: _not, _BITSELECT: _bitselect,
    **{op: _bitselect for op, name in enumerate(ops.NAMES) if name.endswith("_laneselect")},
}  # fmt: skip
