"""Floor 3: x86-64 selection: float arithmetic and conversions (spec 4.3.3, 4.3.4).

Rows come in pairs for f32 and f64. Sequences of several instructions are written here in program order and appended reversed;
a register COPY in front of them takes the operand, so that a constant operand is made before the sequence.
"""

from __future__ import annotations

from typing import Final

from figwasp.codegen.isa.x64 import insts as x
from figwasp.codegen.isa.x64 import insts_vector as v
from figwasp.codegen.isa.x64 import registers as r
from figwasp.codegen.isa.x64.select.flags import float_operand
from figwasp.codegen.isa.x64.select.memory import fold, foldable, low, wide
from figwasp.codegen.mach import COPY, NONE, POOL, MInst
from figwasp.codegen.select import Rule, Selector
from figwasp.ir import ops
from figwasp.ir.func import Value
from figwasp.ir.ops import F32, F64, I32, I64

_ARITHMETIC: Final = {
    ops.F32_ADD: (x.ADDSS_RR, x.ADDSS_RM), ops.F32_SUB: (x.SUBSS_RR, x.SUBSS_RM), ops.F32_MUL: (x.MULSS_RR, x.MULSS_RM),
    ops.F32_DIV: (x.DIVSS_RR, x.DIVSS_RM), ops.F64_ADD: (x.ADDSD_RR, x.ADDSD_RM), ops.F64_SUB: (x.SUBSD_RR, x.SUBSD_RM),
    ops.F64_MUL: (x.MULSD_RR, x.MULSD_RM), ops.F64_DIV: (x.DIVSD_RR, x.DIVSD_RM),
}  # fmt: skip


def _arithmetic(s: Selector, value: Value, rd: int) -> None:
    left, right = value.args
    rows = _ARITHMETIC[value.op]
    if ops.FLAGS[value.op] & ops.COMMUTES and _prefers_memory(s, left) >= _prefers_memory(s, right):
        if _prefers_memory(s, left) or (s.dies(right) and not s.dies(left)):
            left, right = right, left
    inst = MInst(rows[0], rd)
    s.code.append(inst)
    float_operand(s, inst, right, rows[1])
    inst.rn = s.use(left)


def _prefers_memory(s: Selector, value: Value) -> int:
    """Rank an operand's wish to be the memory operand: 2 for a load, 1 for a constant."""
    if value.op == ops.CONST:
        return 1
    return 2 if (value.op == ops.F64_LOAD or value.op == ops.F32_LOAD) and foldable(s, value) else 0


# One operand: row, row for memory, immediate. ROUND*: 0..3 = to nearest, down, up, to zero; + 8: no precision exception

_SINGLE: Final = {
    ops.F32_SQRT: (x.SQRTSS_RR, x.SQRTSS_RM, 0), ops.F64_SQRT: (x.SQRTSD_RR, x.SQRTSD_RM, 0),
    ops.F32_NEAREST: (x.ROUNDSS_RRI, x.ROUNDSS_RMI, 8), ops.F64_NEAREST: (x.ROUNDSD_RRI, x.ROUNDSD_RMI, 8),
    ops.F32_FLOOR: (x.ROUNDSS_RRI, x.ROUNDSS_RMI, 9), ops.F64_FLOOR: (x.ROUNDSD_RRI, x.ROUNDSD_RMI, 9),
    ops.F32_CEIL: (x.ROUNDSS_RRI, x.ROUNDSS_RMI, 10), ops.F64_CEIL: (x.ROUNDSD_RRI, x.ROUNDSD_RMI, 10),
    ops.F32_TRUNC: (x.ROUNDSS_RRI, x.ROUNDSS_RMI, 11), ops.F64_TRUNC: (x.ROUNDSD_RRI, x.ROUNDSD_RMI, 11),
    ops.F32_DEMOTE_F64: (x.CVTSD2SS_RR, x.CVTSD2SS_RM, 0), ops.F64_PROMOTE_F32: (x.CVTSS2SD_RR, x.CVTSS2SD_RM, 0),
    ops.I32_TRUNC_F32_S: (x.CVTTSS2SI32_RR, x.CVTTSS2SI32_RM, 0), ops.I32_TRUNC_F64_S: (x.CVTTSD2SI32_RR, x.CVTTSD2SI32_RM, 0),
    ops.I32_TRUNC_F32_U: (x.CVTTSS2SI64_RR, x.CVTTSS2SI64_RM, 0), ops.I32_TRUNC_F64_U: (x.CVTTSD2SI64_RR, x.CVTTSD2SI64_RM, 0),
    ops.I64_TRUNC_F32_S: (x.CVTTSS2SI64_RR, x.CVTTSS2SI64_RM, 0), ops.I64_TRUNC_F64_S: (x.CVTTSD2SI64_RR, x.CVTTSD2SI64_RM, 0),
}  # fmt: skip


def _single(s: Selector, value: Value, rd: int) -> None:
    row, memory_row, imm = _SINGLE[value.op]
    inst = MInst(row, rd, NONE, NONE, NONE, 0, imm)
    s.code.append(inst)
    operand = value.args[0]
    if operand.op == (ops.F32_LOAD if operand.type == F32 else ops.F64_LOAD) and foldable(s, operand):
        inst.op = memory_row
        fold(s, inst, operand)
    else:
        inst.rn = s.use(operand)


# Bits

_SIGN: Final = {F32: b"\x00\x00\x00\x80" * 4, F64: b"\x00\x00\x00\x00\x00\x00\x00\x80" * 2}
_MAGNITUDE: Final = {F32: b"\xff\xff\xff\x7f" * 4, F64: b"\xff\xff\xff\xff\xff\xff\xff\x7f" * 2}


def _masked(s: Selector, row: int, rd: int, rn: int, mask: bytes) -> MInst:
    """Make an instruction with a 16-byte constant of the pool."""
    return MInst(row, rd, rn, POOL, NONE, s.pool_constant(mask) << 2)


def _sign_rule(s: Selector, value: Value, rd: int) -> None:
    if value.op == ops.F32_NEG or value.op == ops.F64_NEG:
        inst = _masked(s, x.XORPS_RM, rd, NONE, _SIGN[value.type])
    else:
        inst = _masked(s, x.ANDPS_RM, rd, NONE, _MAGNITUDE[value.type])
    s.code.append(inst)
    inst.rn = s.use(value.args[0])


def _copysign(s: Selector, value: Value, rd: int) -> None:
    magnitude = s.new_register(value.type)
    sign = s.new_register(value.type)
    keep = _masked(s, x.ANDPS_RM, magnitude, NONE, _MAGNITUDE[value.type])
    take = _masked(s, x.ANDPS_RM, sign, NONE, _SIGN[value.type])
    s.code += [MInst(x.ORPS_RR, rd, magnitude, sign), keep, take]
    keep.rn = s.use(value.args[0])
    take.rn = s.use(value.args[1])


_EXTREMES: Final = {
    ops.F32_MIN: (x.MINSS_RR, x.SUBSS_RR, x.CMPSS_RRI, v.PSRLD_I, 10),
    ops.F32_MAX: (x.MAXSS_RR, x.SUBSS_RR, x.CMPSS_RRI, v.PSRLD_I, 10),
    ops.F64_MIN: (x.MINSD_RR, x.SUBSD_RR, x.CMPSD_RRI, v.PSRLQ_I, 13),
    ops.F64_MAX: (x.MAXSD_RR, x.SUBSD_RR, x.CMPSD_RRI, v.PSRLQ_I, 13),
    ops.BY_NAME["f32x4_min"]: (v.MINPS, v.SUBPS, v.CMPPS, v.PSRLD_I, 10),
    ops.BY_NAME["f32x4_max"]: (v.MAXPS, v.SUBPS, v.CMPPS, v.PSRLD_I, 10),
    ops.BY_NAME["f64x2_min"]: (v.MINPD, v.SUBPD, v.CMPPD, v.PSRLQ_I, 13),
    ops.BY_NAME["f64x2_max"]: (v.MAXPD, v.SUBPD, v.CMPPD, v.PSRLQ_I, 13),
}
"""Rows: the extreme, a subtraction, a comparison, a shift, and by how much so that sign, exponent and quiet bit are shifted out."""


def _minimum(s: Selector, value: Value, rd: int) -> None:
    """Emit min: `mins` both ways round, since each answers its second operand for equal or unordered ones; or-ed, -0 wins over +0.

    With a NaN the or-ed bits are a NaN too; the mask of that case sets all bits and then clears the payload below the quiet one.
    """
    type = value.type
    one_way, other_way, either = s.new_register(type), s.new_register(type), s.new_register(type)
    row = _EXTREMES[value.op][0]
    code = [
        MInst(row, one_way, NONE, NONE),
        MInst(row, other_way, NONE, NONE),
        MInst(x.ORPS_RR, either, one_way, other_way),
    ]
    _two_ways(s, value, rd, code, either)


def _maximum(s: Selector, value: Value, rd: int) -> None:
    """Emit max like min; subtracting the bits in which the two ways differ turns -0 into +0 and keeps all else."""
    type = value.type
    one_way, other_way, either = s.new_register(type), s.new_register(type), s.new_register(type)
    differing, united = s.new_register(type), s.new_register(type)
    row, subtract, _, _, _ = _EXTREMES[value.op]
    code = [
        MInst(row, one_way, NONE, NONE),
        MInst(row, other_way, NONE, NONE),
        MInst(x.XORPS_RR, differing, other_way, one_way),
        MInst(x.ORPS_RR, united, one_way, differing),
        MInst(subtract, either, united, differing),
    ]
    _two_ways(s, value, rd, code, either)


def _two_ways(s: Selector, value: Value, rd: int, code: list[MInst], either: int) -> None:
    """Append the code of min or max and what makes its result a quiet NaN where an operand was a NaN."""
    type = value.type
    unordered, ones, payload = s.new_register(type), s.new_register(type), s.new_register(type)
    _, _, compare, shift, bits = _EXTREMES[value.op]
    code += [
        MInst(compare, unordered, either, either, NONE, 0, 3),
        MInst(x.ORPS_RR, ones, either, unordered),
        MInst(shift, payload, unordered, NONE, NONE, 0, bits),
        MInst(x.ANDNPS_RR, rd, payload, ones),
    ]
    s.code += reversed(code)
    left = s.use(value.args[0])
    right = s.use(value.args[1])
    code[0].rn = code[1].rm = left
    code[0].rm = code[1].rn = right


# Integer to float. The destination is cleared first: the instruction keeps its upper bits and would wait for them.

_FROM_INT: Final = {
    ops.F32_CONVERT_I32_S: (x.CVTSI2SS32_RR, ops.I32_LOAD, x.CVTSI2SS32_RM),
    ops.F64_CONVERT_I32_S: (x.CVTSI2SD32_RR, ops.I32_LOAD, x.CVTSI2SD32_RM),
    ops.F32_CONVERT_I32_U: (x.CVTSI2SS64_RR, ops.NOP, 0),
    ops.F64_CONVERT_I32_U: (x.CVTSI2SD64_RR, ops.NOP, 0),
    ops.F32_CONVERT_I64_S: (x.CVTSI2SS64_RR, ops.I64_LOAD, x.CVTSI2SS64_RM),
    ops.F64_CONVERT_I64_S: (x.CVTSI2SD64_RR, ops.I64_LOAD, x.CVTSI2SD64_RM),
}  # fmt: skip


def _from_int(s: Selector, value: Value, rd: int) -> None:
    row, load, memory_row = _FROM_INT[value.op]
    operand = value.args[0]
    clear = s.new_register(value.type)
    inst = MInst(row, rd, clear)
    s.code += [inst, MInst(x.ZEROPS_R, clear)]
    if operand.op == load and foldable(s, operand):
        inst.op = memory_row
        fold(s, inst, operand)
    elif operand.type == I64:
        inst.rm = wide(s, operand)
    elif load == ops.NOP:
        inst.rm = s.use(operand)
    else:
        inst.rm = low(s, operand)


def _from_u64(s: Selector, value: Value, rd: int) -> None:
    """Convert an unsigned i64: a value above the signed range is halved with its lowest bit kept sticky, and doubled again."""
    type = value.type
    narrow = type == F32
    n = s.new_register(I64)
    half, bit, odd, chosen, sign = [s.new_register(I64) for _ in range(5)]
    clear, converted, mask, more = [s.new_register(type) for _ in range(4)]
    code = [
        MInst(x.SHR64_RI, half, n, NONE, NONE, 0, 1),
        MInst(x.AND32_RI, bit, n, NONE, NONE, 0, 1),
        MInst(x.OR64_RR, odd, half, bit),
        MInst(x.TEST64_RR, NONE, n, n),
        MInst(x.CMOV64_RR, chosen, n, odd, NONE, 0, r.CC_S),
        MInst(x.ZEROPS_R, clear),
        MInst(x.CVTSI2SS64_RR if narrow else x.CVTSI2SD64_RR, converted, clear, chosen),
        MInst(x.SAR64_RI, sign, n, NONE, NONE, 0, 63),
        MInst(x.MOVQ_XR, mask, sign),
        MInst(x.ANDPS_RR, more, mask, converted),
        MInst(x.ADDSS_RR if narrow else x.ADDSD_RR, rd, converted, more),
    ]
    _append(s, code, n, value.args[0])


def _append(s: Selector, code: list[MInst], register: int, operand: Value) -> None:
    """Append a sequence given in program order that reads its operand from `register`."""
    copy = MInst(COPY, register)
    s.code += reversed(code)
    s.code.append(copy)
    copy.rn = s.use(operand)


# Float to integer

_TWO_TO_63: Final = {F32: (0x5F00_0000).to_bytes(4, "little"), F64: (0x43E0_0000_0000_0000).to_bytes(8, "little")}
_TWO_TO_64: Final = {F32: (0x5F80_0000).to_bytes(4, "little"), F64: (0x43F0_0000_0000_0000).to_bytes(8, "little")}
_MAX_U32: Final = (0x41EF_FFFF_FFE0_0000).to_bytes(8, "little")
_MAX_I32: Final = (0x41DF_FFFF_FFC0_0000).to_bytes(8, "little")
_MIN_I32: Final = (0xC1E0_0000_0000_0000).to_bytes(8, "little")


def _pooled(s: Selector, row: int, rd: int, rn: int, data: bytes) -> MInst:
    """Make an instruction whose memory operand is a constant of the pool."""
    return MInst(row, rd, rn, POOL, NONE, s.pool_constant(data) << 2)


def _to_u64(s: Selector, n: int, type: int, rd: int) -> list[MInst]:
    """Return code for the conversion of a float in [0, 2**64) to an unsigned i64.

    The signed conversion answers 1 << 63 for what is too large; then its sign lets in the conversion of n - 2**63.
    """
    narrow = type == F32
    low_part, high_part, sign, taken = [s.new_register(I64) for _ in range(4)]
    reduced = s.new_register(type)
    row = x.CVTTSS2SI64_RR if narrow else x.CVTTSD2SI64_RR
    return [
        MInst(row, low_part, n),
        _pooled(s, x.SUBSS_RM if narrow else x.SUBSD_RM, reduced, n, _TWO_TO_63[type]),
        MInst(row, high_part, reduced),
        MInst(x.SAR64_RI, sign, low_part, NONE, NONE, 0, 63),
        MInst(x.AND64_RR, taken, high_part, sign),
        MInst(x.OR64_RR, rd, taken, low_part),
    ]


def _trunc_u64(s: Selector, value: Value, rd: int) -> None:
    operand = value.args[0]
    n = s.new_register(operand.type)
    _append(s, _to_u64(s, n, operand.type, rd), n, operand)


def _saturate_i32(s: Selector, value: Value, rd: int) -> None:
    """Convert in f64, where the bounds are exact; a NaN becomes 0: by a mask, or since `maxs` answers its second operand."""
    operand = value.args[0]
    n = s.new_register(operand.type)
    code: list[MInst] = []
    wide_n = n
    if operand.type == F32:
        wide_n = s.new_register(F64)
        code.append(MInst(x.CVTSS2SD_RR, wide_n, n))
    if value.op in (ops.I32_TRUNC_SAT_F32_S, ops.I32_TRUNC_SAT_F64_S):
        ordered, number, below, between = [s.new_register(F64) for _ in range(4)]
        code += [
            MInst(x.CMPSD_RRI, ordered, wide_n, wide_n, NONE, 0, 7),
            MInst(x.ANDPS_RR, number, ordered, wide_n),
            _pooled(s, x.MINSD_RM, below, number, _MAX_I32),
            _pooled(s, x.MAXSD_RM, between, below, _MIN_I32),
            MInst(x.CVTTSD2SI32_RR, rd, between),
        ]
    else:
        zero, positive, below = [s.new_register(F64) for _ in range(3)]
        code += [
            MInst(x.ZEROPS_R, zero),
            MInst(x.MAXSD_RR, positive, wide_n, zero),
            _pooled(s, x.MINSD_RM, below, positive, _MAX_U32),
            MInst(x.CVTTSD2SI64_RR, rd, below),
        ]
    _append(s, code, n, operand)


def _saturate_i64_signed(s: Selector, value: Value, rd: int) -> None:
    """Convert; too small answers 1 << 63 by itself, too large is replaced, a NaN has become 0 before."""
    operand = value.args[0]
    type = operand.type
    narrow = type == F32
    n, ordered, number = [s.new_register(type) for _ in range(3)]
    converted, largest = s.new_register(I64), s.new_register(I64)
    code = [
        MInst(x.CMPSS_RRI if narrow else x.CMPSD_RRI, ordered, n, n, NONE, 0, 7),
        MInst(x.ANDPS_RR, number, ordered, n),
        MInst(x.CVTTSS2SI64_RR if narrow else x.CVTTSD2SI64_RR, converted, number),
        MInst(x.MOV64_RI, largest, NONE, NONE, NONE, 0, 0x7FFF_FFFF_FFFF_FFFF),
        _pooled(s, x.UCOMISS_RM if narrow else x.UCOMISD_RM, NONE, n, _TWO_TO_63[type]),
        MInst(x.CMOV64_RR, rd, converted, largest, NONE, 0, r.CC_AE),
    ]
    _append(s, code, n, operand)


def _saturate_i64_unsigned(s: Selector, value: Value, rd: int) -> None:
    operand = value.args[0]
    type = operand.type
    narrow = type == F32
    n, zero, positive = [s.new_register(type) for _ in range(3)]
    converted, largest = s.new_register(I64), s.new_register(I64)
    code = [
        MInst(x.ZEROPS_R, zero),
        MInst(x.MAXSS_RR if narrow else x.MAXSD_RR, positive, n, zero),
        *_to_u64(s, positive, type, converted),
        MInst(x.MOV64_RI32S, largest, NONE, NONE, NONE, 0, -1),
        _pooled(s, x.UCOMISS_RM if narrow else x.UCOMISD_RM, NONE, positive, _TWO_TO_64[type]),
        MInst(x.CMOV64_RR, rd, converted, largest, NONE, 0, r.CC_AE),
    ]
    _append(s, code, n, operand)


# Bits moved between the register files

_REINTERPRET: Final = {
    ops.I32_REINTERPRET_F32: (x.MOVD_RX, ops.F32_LOAD, x.MOV32_RM), ops.I64_REINTERPRET_F64: (x.MOVQ_RX, ops.F64_LOAD, x.MOV64_RM),
    ops.F32_REINTERPRET_I32: (x.MOVD_XR, ops.I32_LOAD, x.MOVSS_RM), ops.F64_REINTERPRET_I64: (x.MOVQ_XR, ops.I64_LOAD, x.MOVSD_RM),
}  # fmt: skip


def _reinterpret(s: Selector, value: Value, rd: int) -> None:
    row, load, memory_row = _REINTERPRET[value.op]
    operand = value.args[0]
    inst = MInst(row, rd)
    s.code.append(inst)
    if operand.op == load and foldable(s, operand):
        inst.op = memory_row
        fold(s, inst, operand)
    elif operand.type == I32:
        inst.rn = low(s, operand)
    else:
        inst.rn = wide(s, operand)


RULES: Final[dict[int, Rule]] = {
    **dict.fromkeys(_ARITHMETIC, _arithmetic), **dict.fromkeys(_SINGLE, _single), **dict.fromkeys(_FROM_INT, _from_int),
    **dict.fromkeys(_REINTERPRET, _reinterpret),
    ops.F32_NEG: _sign_rule, ops.F64_NEG: _sign_rule, ops.F32_ABS: _sign_rule, ops.F64_ABS: _sign_rule,
    ops.F32_COPYSIGN: _copysign, ops.F64_COPYSIGN: _copysign,
    **{op: _minimum if ops.NAMES[op].endswith("min") else _maximum for op in _EXTREMES},
    ops.F32_CONVERT_I64_U: _from_u64, ops.F64_CONVERT_I64_U: _from_u64,
    ops.I64_TRUNC_F32_U: _trunc_u64, ops.I64_TRUNC_F64_U: _trunc_u64,
    ops.I32_TRUNC_SAT_F32_S: _saturate_i32, ops.I32_TRUNC_SAT_F32_U: _saturate_i32,
    ops.I32_TRUNC_SAT_F64_S: _saturate_i32, ops.I32_TRUNC_SAT_F64_U: _saturate_i32,
    ops.I64_TRUNC_SAT_F32_S: _saturate_i64_signed, ops.I64_TRUNC_SAT_F64_S: _saturate_i64_signed,
    ops.I64_TRUNC_SAT_F32_U: _saturate_i64_unsigned, ops.I64_TRUNC_SAT_F64_U: _saturate_i64_unsigned,
}  # fmt: skip
