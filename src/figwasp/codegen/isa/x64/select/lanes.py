"""Floor 3: x86-64 selection: single lanes of vectors, and what is known of all lanes at once.

A load is joined where it is as wide as the lane. Stores of a lane are in `select.memory`, tests of lanes as conditions in
`select.flags`.
"""

from __future__ import annotations

from typing import Final

from figwasp.codegen.isa.x64 import insts as x
from figwasp.codegen.isa.x64 import insts_vector as v
from figwasp.codegen.isa.x64.features import IN_USE
from figwasp.codegen.isa.x64.select.memory import fold, foldable
from figwasp.codegen.isa.x64.select.vectors import Sequence, named
from figwasp.codegen.mach import NONE, MInst
from figwasp.codegen.select import Rule, Selector
from figwasp.ir import ops
from figwasp.ir.func import Value
from figwasp.ir.ops import F32, I32, I64

_LOADS: Final = {
    8: (ops.I32_LOAD8_U, ops.I32_LOAD8_S), 16: (ops.I32_LOAD16_U, ops.I32_LOAD16_S),
    32: (ops.I32_LOAD, ops.F32_LOAD), 64: (ops.I64_LOAD, ops.F64_LOAD),
}  # fmt: skip
"""Bits -> the loads of just so many, whose extension does not matter."""
_DUPLICATE_LOW: Final = 0x44
"""Of PSHUFD: the lower half in both halves."""


def _lane_bits(op: int) -> int:
    """Return the bits of a lane of an operation, of which its name begins with the shape."""
    return int(ops.NAMES[op][1:].partition("x")[0])


# The same in every lane


def _splat(s: Selector, value: Value, rd: int) -> None:
    operand = value.args[0]
    bits = _lane_bits(value.op)
    if operand.op in _LOADS[bits] and (bits >= 32 or IN_USE.avx2) and foldable(s, operand):
        _splat_load(s, operand, bits, rd)
        return
    sequence = Sequence(s)
    register = sequence.use(operand)
    if operand.type == I32 or operand.type == I64:
        register = sequence.op(x.MOVQ_XR if bits == 64 else x.MOVD_XR, register)
    if bits == 64:
        if operand.type == I64:
            sequence.op(v.PSHUFD, register, NONE, _DUPLICATE_LOW, rd)
        else:
            sequence.op(v.MOVDDUP, register, NONE, 0, rd)
    elif bits == 32:
        if operand.type == F32 and IN_USE.avx2:
            sequence.op(v.VBROADCASTSS, register, NONE, 0, rd)
        else:
            sequence.op(v.PSHUFD, register, NONE, 0, rd)
    elif IN_USE.avx2:
        sequence.op(v.VPBROADCASTB if bits == 8 else v.VPBROADCASTW, register, NONE, 0, rd)
    elif bits == 16:
        sequence.op(v.PSHUFD, sequence.op(v.PSHUFLW, register), NONE, 0, rd)
    else:
        sequence.op(v.PSHUFB, register, sequence.zero(), 0, rd)
    sequence.finish()


def _splat_load(s: Selector, load: Value, bits: int, rd: int) -> None:
    """Emit what loads into every lane; without AVX, into one first."""
    if bits == 64:
        row = x.ROWS.spill_rn[v.MOVDDUP]
    elif bits < 32:
        row = x.ROWS.spill_rn[v.VPBROADCASTB if bits == 8 else v.VPBROADCASTW]
    elif IN_USE.avx:
        row = v.VBROADCASTSS_M
    else:
        row = x.MOVSS_RM
        register = s.new_register(ops.V128)
        s.code.append(MInst(v.PSHUFD, rd, register))
        rd = register
    inst = MInst(row, rd)
    s.code.append(inst)
    fold(s, inst, load)


# One lane


def _extract(s: Selector, value: Value, rd: int) -> None:
    first_row, row, extend_row = _EXTRACT[value.op]
    lane = value.aux
    assert type(lane) is int
    sequence = Sequence(s)
    register = sequence.use(value.args[0])
    if lane == 0 and first_row:
        sequence.op(first_row, register, NONE, 0, rd)
    elif extend_row:
        sequence.op(extend_row, sequence.op(row, register, NONE, lane, type=I32), NONE, 0, rd)
    else:
        sequence.op(row, register, NONE, lane, rd)
    sequence.finish()


_EXTRACT: Final = {
    ops.BY_NAME["i8x16_extract_lane_s"]: (0, v.PEXTRB, x.MOVSX8_32_RR), ops.BY_NAME["i8x16_extract_lane_u"]: (0, v.PEXTRB, 0),
    ops.BY_NAME["i16x8_extract_lane_s"]: (0, v.PEXTRW, x.MOVSX16_32_RR), ops.BY_NAME["i16x8_extract_lane_u"]: (0, v.PEXTRW, 0),
    ops.BY_NAME["i32x4_extract_lane"]: (x.MOVD_RX, v.PEXTRD, 0), ops.BY_NAME["i64x2_extract_lane"]: (x.MOVQ_RX, v.PEXTRQ, 0),
}  # fmt: skip
"""Row for lane 0 or 0, row for the others, row that extends the sign."""


def _extract_float(s: Selector, value: Value, rd: int) -> None:
    """Put a lane into the lowest place; what is above it does not matter."""
    lane = value.aux
    assert type(lane) is int
    sequence = Sequence(s)
    register = sequence.use(value.args[0])
    if lane == 0:
        sequence.op(x.MOVAPS_RR, register, NONE, 0, rd)
    elif value.type == F32 and lane == 1:
        sequence.op(v.MOVSHDUP, register, NONE, 0, rd)
    else:
        sequence.op(v.PSHUFD, register, NONE, 0xEE if lane == 2 or value.type != F32 else 0xFF, rd)
    sequence.finish()


_REPLACE: Final = named({
    "i8x16_replace_lane": v.PINSRB, "i16x8_replace_lane": v.PINSRW, "i32x4_replace_lane": v.PINSRD, "i64x2_replace_lane": v.PINSRQ,
})  # fmt: skip


def _replace(s: Selector, value: Value, rd: int) -> None:
    vector, replacement = value.args
    row = _REPLACE[value.op]
    assert type(value.aux) is int
    if replacement.op in _LOADS[_lane_bits(value.op)] and foldable(s, replacement):
        _replace_by_load(s, x.ROWS.spill_rm[row], vector, replacement, value.aux, rd)
    else:
        sequence = Sequence(s)
        sequence.op(row, sequence.use(vector), sequence.use(replacement), value.aux, rd)
        sequence.finish()


def _replace_by_load(s: Selector, row: int, vector: Value, load: Value, imm: int, rd: int) -> None:
    inst = MInst(row, rd, NONE, NONE, NONE, 0, imm)
    s.code.append(inst)
    fold(s, inst, load)
    inst.rn = s.use(vector)


def _replace_f32(s: Selector, value: Value, rd: int) -> None:
    vector, replacement = value.args
    assert type(value.aux) is int
    imm = value.aux << 4  # of INSERTPS: from the lowest lane into this one
    if replacement.op == ops.F32_LOAD and foldable(s, replacement):
        _replace_by_load(s, x.ROWS.spill_rm[v.INSERTPS], vector, replacement, imm, rd)
        return
    sequence = Sequence(s)
    if value.aux == 0:
        sequence.op(v.MOVSS, sequence.use(vector), sequence.use(replacement), 0, rd)
    else:
        sequence.op(v.INSERTPS, sequence.use(vector), sequence.use(replacement), imm, rd)
    sequence.finish()


def _replace_f64(s: Selector, value: Value, rd: int) -> None:
    vector, replacement = value.args
    if replacement.op == ops.F64_LOAD and foldable(s, replacement):
        _replace_by_load(s, v.MOVHPS_M if value.aux else v.MOVLPS_M, vector, replacement, 0, rd)
        return
    sequence = Sequence(s)
    sequence.op(v.UNPCKLPD if value.aux else v.MOVSD, sequence.use(vector), sequence.use(replacement), 0, rd)
    sequence.finish()


# Of all lanes


_MASKS: Final = named({"i8x16_bitmask": v.PMOVMSKB, "i32x4_bitmask": v.MOVMSKPS, "i64x2_bitmask": v.MOVMSKPD})


def _bitmask(s: Selector, value: Value, rd: int) -> None:
    sequence = Sequence(s)
    sequence.op(_MASKS[value.op], sequence.use(value.args[0]), NONE, 0, rd)
    sequence.finish()


def _bitmask16(s: Selector, value: Value, rd: int) -> None:
    """Narrow the lanes to bytes, twice over."""
    sequence = Sequence(s)
    operand = sequence.use(value.args[0])
    both = sequence.op(v.PMOVMSKB, sequence.op(v.PACKSSWB, operand, operand), type=I32)
    sequence.op(x.MOVZX8_RR, both, NONE, 0, rd)
    sequence.finish()


RULES: Final[dict[int, Rule]] = {
    **{op: _splat for op, name in enumerate(ops.NAMES) if name.endswith("_splat")},
    **dict.fromkeys(_EXTRACT, _extract), **dict.fromkeys(_REPLACE, _replace), **dict.fromkeys(_MASKS, _bitmask),
    ops.BY_NAME["f32x4_extract_lane"]: _extract_float, ops.BY_NAME["f64x2_extract_lane"]: _extract_float,
    ops.BY_NAME["f32x4_replace_lane"]: _replace_f32, ops.BY_NAME["f64x2_replace_lane"]: _replace_f64,
    ops.BY_NAME["i16x8_bitmask"]: _bitmask16,
}  # fmt: skip
