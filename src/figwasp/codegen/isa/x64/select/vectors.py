"""Floor 3: x86-64 selection: vectors, what one instruction does, and how sequences of several are written.

Rules write instructions without VEX, whose memory operands must be aligned: constants of the pool are. On a processor with AVX
`select.rules` gives a function the VEX forms at the end, so that loads may be taken in too.
"""

from __future__ import annotations

from typing import Final

from figwasp.codegen.isa.x64 import insts as x
from figwasp.codegen.isa.x64 import insts_vector as v
from figwasp.codegen.isa.x64.features import IN_USE
from figwasp.codegen.isa.x64.select.memory import fold, foldable, low, pool_mem, wide
from figwasp.codegen.mach import NONE, POOL, MInst
from figwasp.codegen.select import Rule, Selector
from figwasp.ir import ops
from figwasp.ir.func import Value
from figwasp.ir.ops import I32, I64, V128

_WIDTH: Final = x.ROWS.width
_SPILL_RM: Final = x.ROWS.spill_rm
_SPILL_RN: Final = x.ROWS.spill_rn
_VECTOR: Final = 16
_LOADED: Final = {ops.V128_LOAD: _VECTOR, ops.V128_LOAD64_ZERO: 8, ops.V128_LOAD32_ZERO: 4}
"""Bytes that a load reads."""


def named(table: dict[str, int]) -> dict[int, int]:
    """Give a table IR operations as keys, for their names."""
    return {ops.BY_NAME[name]: row for name, row in table.items()}


# Operands


def is_zero(value: Value) -> bool:
    """Return whether a vector is the constant 0."""
    return value.op == ops.CONST and value.aux == 0


def as_bytes(constant: Value) -> bytes:
    """Return a constant as it stands in memory."""
    assert type(constant.aux) is int
    return constant.aux.to_bytes(_VECTOR, "little")


def _loads(s: Selector, value: Value, row: int) -> bool:
    """Return whether a value is a load that can become the operand of a row: just as wide, and aligned if it has to be."""
    size = _LOADED.get(value.op, 0)
    return size != 0 and size == _WIDTH[row] and (size < _VECTOR or IN_USE.avx) and foldable(s, value)


def _second(s: Selector, inst: MInst, value: Value) -> None:
    """Fill in rm of an appended instruction: a register, or memory if the value is a constant or a load."""
    row = _SPILL_RM[inst.op]
    if value.op == ops.CONST and value.aux != 0:
        inst.op = row
        inst.rm = POOL
        inst.mem = pool_mem(s, value)
    elif _loads(s, value, row):
        inst.op = row
        fold(s, inst, value)
    else:
        inst.rm = s.use(value)


class Sequence:
    """Instructions written in program order, which is against the order of selection; `finish` appends them.

    Attributes:
        s: the selection.
        code: the instructions.
        constants: operands to make in front, each with the register for it.
        loads: instructions with the loads that become their memory operands.
    """

    __slots__ = ("code", "constants", "loads", "s")

    def __init__(self, s: Selector) -> None:
        self.s = s
        self.code: list[MInst] = []
        self.constants: list[tuple[Value, int]] = []
        self.loads: list[tuple[MInst, Value]] = []

    def use(self, value: Value) -> int:
        """Return the register of an operand."""
        if value.op != ops.CONST:
            return low(self.s, value) if value.type == I32 else wide(self.s, value) if value.type == I64 else self.s.use(value)
        register = self.s.new_register(value.type)
        self.constants.append((value, register))
        return register

    def op(self, row: int, rn: int = NONE, rm: int = NONE, imm: int = 0, rd: int = NONE, type: int = V128) -> int:
        """Add an instruction; return its result, a new register unless `rd` says which."""
        if rd == NONE:
            rd = self.s.new_register(type)
        self.code.append(MInst(row, rd, rn, rm, NONE, 0, imm))
        return rd

    def pool(self, row: int, rn: int, data: bytes, rd: int = NONE, imm: int = 0) -> int:
        """Add an instruction whose second operand is a constant."""
        rd = self.op(_SPILL_RM[row], rn, POOL, imm, rd)
        self.code[-1].mem = self.s.pool_constant(data) << 2
        return rd

    def three(self, row: int, rn: int, rm: int, rx: int, rd: int) -> None:
        """Add an instruction with three operands in registers."""
        self.code.append(MInst(row, rd, rn, rm, rx))

    def with_value(self, row: int, rn: int, value: Value, rd: int = NONE, imm: int = 0) -> int:
        """Add an instruction whose second operand is used nowhere else in the sequence: it may be in memory."""
        rd = self.op(row, rn, NONE, imm, rd)
        inst = self.code[-1]
        if value.op == ops.CONST and value.aux != 0:
            inst.op = _SPILL_RM[row]
            inst.rm = POOL
            inst.mem = pool_mem(self.s, value)
        elif _loads(self.s, value, _SPILL_RM[row]):
            inst.op = _SPILL_RM[row]
            self.loads.append((inst, value))
        else:
            inst.rm = self.use(value)
        return rd

    def of_value(self, row: int, value: Value, imm: int = 0, rd: int = NONE) -> int:
        """Add an instruction whose only operand is used nowhere else in the sequence."""
        rd = self.op(row, NONE, NONE, imm, rd)
        inst = self.code[-1]
        if _loads(self.s, value, _SPILL_RN[row]):
            inst.op = _SPILL_RN[row]
            self.loads.append((inst, value))
        else:
            inst.rn = self.use(value)
        return rd

    def constant(self, data: bytes) -> int:
        """Add what loads a constant."""
        rd = self.op(x.MOVUPS_RM, NONE, POOL)
        self.code[-1].mem = self.s.pool_constant(data) << 2
        return rd

    def zero(self) -> int:
        """Add what makes 0."""
        return self.op(x.ZEROPS_R)

    def ones(self) -> int:
        """Add what sets all bits."""
        return self.op(x.ONES_R)

    def finish(self) -> None:
        """Append the sequence, and what makes its operands."""
        s = self.s
        s.code += reversed(self.code)
        for inst, load in self.loads:
            fold(s, inst, load)
        for value, register in self.constants:
            s.rules[ops.CONST](s, value, register)


# One instruction

_BINARY: Final = named({
    "i8x16_add": v.PADDB, "i16x8_add": v.PADDW, "i32x4_add": v.PADDD, "i64x2_add": v.PADDQ,
    "i8x16_sub": v.PSUBB, "i16x8_sub": v.PSUBW, "i32x4_sub": v.PSUBD, "i64x2_sub": v.PSUBQ,
    "i8x16_add_sat_s": v.PADDSB, "i8x16_add_sat_u": v.PADDUSB, "i16x8_add_sat_s": v.PADDSW, "i16x8_add_sat_u": v.PADDUSW,
    "i8x16_sub_sat_s": v.PSUBSB, "i8x16_sub_sat_u": v.PSUBUSB, "i16x8_sub_sat_s": v.PSUBSW, "i16x8_sub_sat_u": v.PSUBUSW,
    "i16x8_mul": v.PMULLW, "i32x4_mul": v.PMULLD, "i32x4_dot_i16x8_s": v.PMADDWD, "i16x8_relaxed_q15mulr_s": v.PMULHRSW,
    "i8x16_min_s": v.PMINSB, "i16x8_min_s": v.PMINSW, "i32x4_min_s": v.PMINSD,
    "i8x16_min_u": v.PMINUB, "i16x8_min_u": v.PMINUW, "i32x4_min_u": v.PMINUD,
    "i8x16_max_s": v.PMAXSB, "i16x8_max_s": v.PMAXSW, "i32x4_max_s": v.PMAXSD,
    "i8x16_max_u": v.PMAXUB, "i16x8_max_u": v.PMAXUW, "i32x4_max_u": v.PMAXUD,
    "i8x16_avgr_u": v.PAVGB, "i16x8_avgr_u": v.PAVGW,
    "i8x16_eq": v.PCMPEQB, "i16x8_eq": v.PCMPEQW, "i32x4_eq": v.PCMPEQD, "i64x2_eq": v.PCMPEQQ,
    "i8x16_gt_s": v.PCMPGTB, "i16x8_gt_s": v.PCMPGTW, "i32x4_gt_s": v.PCMPGTD, "i64x2_gt_s": v.PCMPGTQ,
    "v128_and": x.PAND_RR, "v128_or": x.POR_RR, "v128_xor": x.PXOR_RR,
    "i8x16_narrow_i16x8_s": v.PACKSSWB, "i8x16_narrow_i16x8_u": v.PACKUSWB,
    "i16x8_narrow_i32x4_s": v.PACKSSDW, "i16x8_narrow_i32x4_u": v.PACKUSDW,
    "f32x4_add": v.ADDPS, "f32x4_sub": v.SUBPS, "f32x4_mul": v.MULPS, "f32x4_div": v.DIVPS,
    "f64x2_add": v.ADDPD, "f64x2_sub": v.SUBPD, "f64x2_mul": v.MULPD, "f64x2_div": v.DIVPD,
    "f32x4_relaxed_min": v.MINPS, "f32x4_relaxed_max": v.MAXPS, "f64x2_relaxed_min": v.MINPD, "f64x2_relaxed_max": v.MAXPD,
    "i8x16_relaxed_swizzle": v.PSHUFB,
})  # fmt: skip
_EXCHANGED: Final = named({
    "i8x16_lt_s": v.PCMPGTB, "i16x8_lt_s": v.PCMPGTW, "i32x4_lt_s": v.PCMPGTD, "i64x2_lt_s": v.PCMPGTQ,
    "f32x4_pmin": v.MINPS, "f32x4_pmax": v.MAXPS, "f64x2_pmin": v.MINPD, "f64x2_pmax": v.MAXPD,
    "i16x8_relaxed_dot_i8x16_i7x16_s": v.PMADDUBSW,
})  # fmt: skip
"""With operands exchanged. MIN* and MAX* answer their second operand where none is less, or one is a NaN."""
_COMPARED: Final = {
    ops.BY_NAME[f"{shape}_{name}"]: (row, predicate, exchanged)
    for shape, row in (("f32x4", v.CMPPS), ("f64x2", v.CMPPD))
    for name, predicate, exchanged in (
        ("eq", 0, False), ("ne", 4, False), ("lt", 1, False), ("gt", 1, True), ("le", 2, False), ("ge", 2, True),
    )
}  # fmt: skip


def _binary(s: Selector, value: Value, rd: int) -> None:
    """Emit `rd = left op right`, one operand in memory if it may be; a dying operand gives its register to the result."""
    left, right = value.args
    row = _BINARY[value.op]
    if ops.FLAGS[value.op] & ops.COMMUTES:
        wish = _wish(s, left, row) - _wish(s, right, row)
        if wish > 0 or (wish == 0 and s.dies(right) and not s.dies(left)):
            left, right = right, left
    _emit(s, row, rd, left, right, 0)


def _wish(s: Selector, value: Value, row: int) -> int:
    """Rank an operand's wish to be in memory: 2 for a load, 1 for a constant."""
    if value.op == ops.CONST:
        return 1
    return 2 if _loads(s, value, _SPILL_RM[row]) else 0


def _emit(s: Selector, row: int, rd: int, left: Value, right: Value, imm: int) -> None:
    inst = MInst(row, rd, NONE, NONE, NONE, 0, imm)
    s.code.append(inst)
    _second(s, inst, right)
    inst.rn = s.use(left)


def _exchanged(s: Selector, value: Value, rd: int) -> None:
    right, left = value.args
    _emit(s, _EXCHANGED[value.op], rd, left, right, 0)


def _andnot(s: Selector, value: Value, rd: int) -> None:
    left, right = value.args
    if right.op != ops.CONST:
        _emit(s, x.PANDN_RR, rd, right, left, 0)
        return
    sequence = Sequence(s)
    sequence.pool(x.PAND_RR, sequence.use(left), bytes(byte ^ 0xFF for byte in as_bytes(right)), rd)
    sequence.finish()


def _compare_floats(s: Selector, value: Value, rd: int) -> None:
    left, right = value.args
    row, predicate, exchanged = _COMPARED[value.op]
    if exchanged:
        left, right = right, left
    _emit(s, row, rd, left, right, predicate)


_UNARY: Final = named({
    "i8x16_abs": v.PABSB, "i16x8_abs": v.PABSW, "i32x4_abs": v.PABSD,
    "f32x4_sqrt": v.SQRTPS, "f64x2_sqrt": v.SQRTPD,
    "f32x4_nearest": v.ROUNDPS, "f32x4_floor": v.ROUNDPS, "f32x4_ceil": v.ROUNDPS, "f32x4_trunc": v.ROUNDPS,
    "f64x2_nearest": v.ROUNDPD, "f64x2_floor": v.ROUNDPD, "f64x2_ceil": v.ROUNDPD, "f64x2_trunc": v.ROUNDPD,
    "i16x8_extend_low_i8x16_s": v.PMOVSXBW, "i16x8_extend_low_i8x16_u": v.PMOVZXBW,
    "i32x4_extend_low_i16x8_s": v.PMOVSXWD, "i32x4_extend_low_i16x8_u": v.PMOVZXWD,
    "i64x2_extend_low_i32x4_s": v.PMOVSXDQ, "i64x2_extend_low_i32x4_u": v.PMOVZXDQ,
    "f32x4_convert_i32x4_s": v.CVTDQ2PS, "f64x2_convert_low_i32x4_s": v.CVTDQ2PD,
    "f32x4_demote_f64x2_zero": v.CVTPD2PS, "f64x2_promote_low_f32x4": v.CVTPS2PD,
    "i32x4_relaxed_trunc_f32x4_s": v.CVTTPS2DQ, "i32x4_relaxed_trunc_f64x2_s_zero": v.CVTTPD2DQ,
})  # fmt: skip
_ROUNDINGS: Final = {"nearest": 8, "floor": 9, "ceil": 10, "trunc": 11}
"""Immediates of ROUND*: 0 to 3 = to nearest, down, up, to zero; + 8: no precision exception."""
_IMMEDIATE: Final = [_ROUNDINGS.get(name.rpartition("_")[2], 0) if name[0] == "f" else 0 for name in ops.NAMES]


_TWICE: Final = {
    (v.PMOVSXWD, v.PMOVSXBW): v.PMOVSXBD, (v.PMOVSXWD, v.PMOVZXBW): v.PMOVZXBD, (v.PMOVZXWD, v.PMOVZXBW): v.PMOVZXBD,
    (v.PMOVSXDQ, v.PMOVSXWD): v.PMOVSXWQ, (v.PMOVSXDQ, v.PMOVZXWD): v.PMOVZXWQ, (v.PMOVZXDQ, v.PMOVZXWD): v.PMOVZXWQ,
}  # fmt: skip
"""An extension, the one before it -> what does both."""


def _unary(s: Selector, value: Value, rd: int) -> None:
    row = _UNARY[value.op]
    operand = value.args[0]
    both = _TWICE.get((row, _UNARY.get(operand.op, 0)), 0)
    if both and s.is_single_use(operand):
        row = both
        operand = operand.args[0]
    inst = MInst(row, rd, NONE, NONE, NONE, 0, _IMMEDIATE[value.op])
    s.code.append(inst)
    if _loads(s, operand, _SPILL_RN[row]):
        inst.op = _SPILL_RN[row]
        fold(s, inst, operand)
    else:
        inst.rn = s.use(operand)


RULES: Final[dict[int, Rule]] = {
    **dict.fromkeys(_BINARY, _binary), **dict.fromkeys(_EXCHANGED, _exchanged), **dict.fromkeys(_COMPARED, _compare_floats),
    **dict.fromkeys(_UNARY, _unary), ops.BY_NAME["v128_andnot"]: _andnot,
}  # fmt: skip
