"""Floor 3: x86-64 selection: integer arithmetic and conversions between integers."""

from __future__ import annotations

from typing import Final

from figwasp.codegen.isa.x64 import insts as x
from figwasp.codegen.isa.x64 import registers as r
from figwasp.codegen.isa.x64.features import IN_USE
from figwasp.codegen.isa.x64.select.memory import NO_IMM, fold, fold_symbol, foldable, imm32, low, wide
from figwasp.codegen.mach import COPY, NONE, MInst
from figwasp.codegen.select import Rule, Selector
from figwasp.ir import ops
from figwasp.ir.func import Value
from figwasp.ir.ops import I32, I64

_RR: Final = {
    ops.I32_ADD: x.ADD32_RR, ops.I32_SUB: x.SUB32_RR, ops.I32_AND: x.AND32_RR, ops.I32_OR: x.OR32_RR, ops.I32_XOR: x.XOR32_RR,
    ops.I32_MUL: x.IMUL32_RR, ops.I64_ADD: x.ADD64_RR, ops.I64_SUB: x.SUB64_RR, ops.I64_AND: x.AND64_RR,
    ops.I64_OR: x.OR64_RR, ops.I64_XOR: x.XOR64_RR, ops.I64_MUL: x.IMUL64_RR,
}  # fmt: skip
_RM: Final = {
    ops.I32_ADD: x.ADD32_RM, ops.I32_SUB: x.SUB32_RM, ops.I32_AND: x.AND32_RM, ops.I32_OR: x.OR32_RM, ops.I32_XOR: x.XOR32_RM,
    ops.I32_MUL: x.IMUL32_RM, ops.I64_ADD: x.ADD64_RM, ops.I64_SUB: x.SUB64_RM, ops.I64_AND: x.AND64_RM,
    ops.I64_OR: x.OR64_RM, ops.I64_XOR: x.XOR64_RM, ops.I64_MUL: x.IMUL64_RM,
}  # fmt: skip
_RI: Final = {
    ops.I32_AND: x.AND32_RI, ops.I32_OR: x.OR32_RI, ops.I32_XOR: x.XOR32_RI,
    ops.I64_AND: x.AND64_RI, ops.I64_OR: x.OR64_RI, ops.I64_XOR: x.XOR64_RI,
}  # fmt: skip


# Two operands


def _binary(s: Selector, value: Value, left: Value, right: Value, rd: int) -> None:
    """Emit `rd = left op right`, one operand from memory if it is a load; a dying operand gives its register to the result."""
    op = value.op
    narrow = value.type == I32
    commutes = ops.FLAGS[op] & ops.COMMUTES != 0
    full = ops.I32_LOAD if narrow else ops.I64_LOAD
    if commutes and (left.op == ops.SYMBOL or (left.op == full and right.op != full and foldable(s, left))):
        left, right = right, left
    if right.op == full and foldable(s, right):
        inst = MInst(_RM[op], rd)
        s.code.append(inst)
        fold(s, inst, right)
    elif right.op == ops.SYMBOL:
        inst = MInst(_RM[op], rd)
        s.code.append(inst)
        fold_symbol(s, inst, right)
    else:
        if commutes and s.dies(right) and not s.dies(left):
            left, right = right, left
        inst = MInst(_RR[op], rd)
        s.code.append(inst)
        inst.rm = low(s, right) if narrow else wide(s, right)
    inst.rn = low(s, left) if narrow else wide(s, left)


def _unary(s: Selector, row: int, operand: Value, rd: int) -> None:
    """Emit an instruction that only reads a register."""
    inst = MInst(row, rd)
    s.code.append(inst)
    inst.rn = low(s, operand) if operand.type == I32 else wide(s, operand)


def _immediate(s: Selector, row: int, operand: Value, imm: int, rd: int) -> None:
    """Emit an instruction with a register and an immediate."""
    inst = MInst(row, rd, NONE, NONE, NONE, 0, imm)
    s.code.append(inst)
    inst.rn = low(s, operand) if operand.type == I32 else wide(s, operand)


def _lea(s: Selector, value: Value, rd: int, base: Value, index: Value | None, mem: int) -> None:
    """Emit `lea rd, [base + index * scale + displacement]`; the 32-bit form cuts the sum to 32 bits."""
    narrow = value.type == I32
    inst = MInst(x.LEA32_RM if narrow else x.LEA64_RM, rd, NONE, NONE, NONE, mem)
    s.code.append(inst)
    inst.rm = low(s, base) if narrow else wide(s, base)
    if index is not None:
        inst.rx = low(s, index) if narrow else wide(s, index)


def _is_carry(s: Selector, value: Value) -> bool:
    """Return whether a value is 1 or 0 by an unsigned comparison of 64 bits, which leaves it in the carry flag."""
    if value.op != ops.I64_EXTEND_I32_U or not s.is_single_use(value):
        return False
    test = value.args[0]
    return test.op == ops.I64_LT_U and s.is_single_use(test) and not any(arg.op == ops.CONST for arg in test.args)


def _with_carry(s: Selector, row: int, operand: Value, carry: Value, rd: int) -> None:
    """Emit the addition or subtraction of a carry. As before a `cmov`, nothing between the comparison and it writes flags."""
    inst = MInst(row, rd)
    compare = MInst(x.CMP64_RR)
    s.code += [inst, compare]
    left, right = carry.args[0].args
    compare.rn = wide(s, left)
    compare.rm = wide(s, right)
    inst.rn = wide(s, operand)


def _add(s: Selector, value: Value, rd: int) -> None:
    left, right = value.args
    if right.op == ops.I64_EXTEND_I32_U and _is_carry(s, right):
        _with_carry(s, x.ADC64_RI, left, right, rd)
        return
    if left.op == ops.CONST:
        left, right = right, left
    if right.op == ops.CONST:
        imm = imm32(right)
        if imm != NO_IMM:
            _add_constant(s, value, rd, left, imm)
            return
    full = ops.I32_LOAD if value.type == I32 else ops.I64_LOAD
    if (right.op == full and foldable(s, right)) or (left.op == full and foldable(s, left)):
        _binary(s, value, left, right, rd)
        return
    if _scale(s, left):
        left, right = right, left
    if _scale(s, right) and left.op != ops.CONST:
        shift = right.args[1].aux
        assert type(shift) is int
        _lea(s, value, rd, left, right.args[0], shift)
    elif left is right or not (right.op == ops.CONST or s.dies(left) or s.dies(right)):
        _lea(s, value, rd, left, right, 0)
    else:
        _binary(s, value, left, right, rd)


def _scale(s: Selector, value: Value) -> bool:
    """Return whether a value is a shift that `lea` can do."""
    op = value.op
    if (op != ops.I32_SHL and op != ops.I64_SHL) or not s.is_single_use(value) or value.args[1].op != ops.CONST:
        return False
    shift = value.args[1].aux
    return shift == 1 or shift == 2 or shift == 3


def _add_constant(s: Selector, value: Value, rd: int, left: Value, imm: int) -> None:
    """Emit `left + imm`, and with it the sum that `left` may be."""
    narrow = value.type == I32
    if left.op == (ops.I32_ADD if narrow else ops.I64_ADD) and s.is_single_use(left):
        first, second = left.args
        if _scale(s, first):
            first, second = second, first
        if first.op != ops.CONST and second.op != ops.CONST and not _loads(s, first, second):
            shift = 0
            if _scale(s, second):
                bits = second.args[1].aux
                assert type(bits) is int
                shift = bits
                second = second.args[0]
            _lea(s, value, rd, first, second, imm << 2 | shift)
            return
    if s.dies(left):
        _immediate(s, x.ADD32_RI if narrow else x.ADD64_RI, left, imm, rd)
    else:
        _lea(s, value, rd, left, None, imm << 2)


def _loads(s: Selector, first: Value, second: Value) -> bool:
    """Return whether one of two operands would rather be a memory operand."""
    return foldable(s, first) or foldable(s, second)


def _sub(s: Selector, value: Value, rd: int) -> None:
    left, right = value.args
    narrow = value.type == I32
    if right.op == ops.I64_EXTEND_I32_U and _is_carry(s, right):
        _with_carry(s, x.SBB64_RI, left, right, rd)
        return
    if right.op == ops.CONST:
        imm = imm32(right)
        if imm != NO_IMM and imm != -0x8000_0000:
            _add_constant(s, value, rd, left, -imm)
            return
    if left.op == ops.CONST and left.aux == 0:
        _unary(s, x.NEG32_R if narrow else x.NEG64_R, right, rd)
        return
    _binary(s, value, left, right, rd)


def _and(s: Selector, value: Value, rd: int) -> None:
    left, right = value.args
    if left.op == ops.CONST:
        left, right = right, left
    if right.op == ops.CONST:
        mask = right.aux
        assert type(mask) is int
        if mask == 0xFF:
            _unary(s, x.MOVZX8_RR, left, rd)
            return
        if mask == 0xFFFF:
            _unary(s, x.MOVZX16_RR, left, rd)
            return
        if value.type == I64 and mask == 0xFFFF_FFFF:
            _unary(s, x.MOV32_RR, left, rd)
            return
        if value.type == I64 and mask >> 32 == 0:
            _immediate(s, x.AND32_RI, left, (mask ^ 0x8000_0000) - 0x8000_0000, rd)
            return
    _bitwise(s, value, rd)


def _bitwise(s: Selector, value: Value, rd: int) -> None:
    left, right = value.args
    if left.op == ops.CONST:
        left, right = right, left
    imm = imm32(right) if right.op == ops.CONST else NO_IMM
    if imm == NO_IMM:
        _binary(s, value, left, right, rd)
    elif imm == -1 and (value.op == ops.I32_XOR or value.op == ops.I64_XOR):
        _unary(s, x.NOT32_R if value.type == I32 else x.NOT64_R, left, rd)
    else:
        _immediate(s, _RI[value.op], left, imm, rd)


_LEA_FACTORS: Final = {3: 1, 5: 2, 9: 3}


def _mul(s: Selector, value: Value, rd: int) -> None:
    left, right = value.args
    narrow = value.type == I32
    if left.op == ops.CONST:
        left, right = right, left
    if right.op != ops.CONST:
        _binary(s, value, left, right, rd)
        return
    factor = right.aux
    assert type(factor) is int
    imm = imm32(right)
    if factor in _LEA_FACTORS:
        _lea(s, value, rd, left, left, _LEA_FACTORS[factor])
    elif factor and factor & (factor - 1) == 0:
        _immediate(s, x.SHL32_RI if narrow else x.SHL64_RI, left, factor.bit_length() - 1, rd)
    elif imm == NO_IMM:
        _binary(s, value, left, right, rd)
    elif left.op == (ops.I32_LOAD if narrow else ops.I64_LOAD) and foldable(s, left):
        inst = MInst(x.IMUL32_RMI if narrow else x.IMUL64_RMI, rd, NONE, NONE, NONE, 0, imm)
        s.code.append(inst)
        fold(s, inst, left)
    else:
        _immediate(s, x.IMUL32_RRI if narrow else x.IMUL64_RRI, left, imm, rd)


def _mul_high(s: Selector, value: Value, rd: int) -> None:
    """Emit the product of rax and the operand, in rdx:rax (SDM vol. 2, MUL), of which rdx is wanted."""
    left, right = value.args
    if left.op == ops.I64_LOAD and foldable(s, left):
        left, right = right, left
    multiply = MInst(x.IMULHI64_R if value.op == ops.I64_MUL_HI_S else x.MUL64_R)
    copy = MInst(COPY, r.RAX)
    s.code += [MInst(COPY, rd, r.RDX), multiply, copy]
    copy.rn = wide(s, left)
    if multiply.op == x.MUL64_R and right.op == ops.I64_LOAD and foldable(s, right):
        multiply.op = x.MUL64_M
        fold(s, multiply, right)
    else:
        multiply.rn = wide(s, right)


# Shifts

_SHIFTS: Final = {
    ops.I32_SHL: (x.SHL32_RI, x.SHL32_RC), ops.I32_SHR_S: (x.SAR32_RI, x.SAR32_RC), ops.I32_SHR_U: (x.SHR32_RI, x.SHR32_RC),
    ops.I32_ROTL: (x.ROL32_RI, x.ROL32_RC), ops.I32_ROTR: (x.ROR32_RI, x.ROR32_RC),
    ops.I64_SHL: (x.SHL64_RI, x.SHL64_RC), ops.I64_SHR_S: (x.SAR64_RI, x.SAR64_RC), ops.I64_SHR_U: (x.SHR64_RI, x.SHR64_RC),
    ops.I64_ROTL: (x.ROL64_RI, x.ROL64_RC), ops.I64_ROTR: (x.ROR64_RI, x.ROR64_RC),
}  # fmt: skip
"""By a constant and by cl; the machine takes the count modulo the width, as wasm does."""


def _shift(s: Selector, value: Value, rd: int) -> None:
    operand, count = value.args
    rows = _SHIFTS[value.op]
    narrow = value.type == I32
    if count.op == ops.CONST:
        bits = count.aux
        assert type(bits) is int
        bits &= 31 if narrow else 63
        if bits == 1 and rows[0] in (x.SHL32_RI, x.SHL64_RI) and not s.dies(operand):
            _lea(s, value, rd, operand, operand, 0)
        else:
            _immediate(s, rows[0], operand, bits, rd)
        return
    inst = MInst(rows[1], rd)
    copy = MInst(COPY, r.RCX)
    s.code += [inst, copy]
    copy.rn = low(s, count) if narrow else wide(s, count)
    inst.rn = low(s, operand) if narrow else wide(s, operand)


# Division: rdx:rax by the operand; quotient in rax, remainder in rdx (SDM vol. 2, DIV and IDIV)

_DIVISIONS: Final = {
    ops.I32_DIV_S: (x.IDIV32_R, x.IDIV32_M, r.RAX), ops.I32_REM_S: (x.IDIV32_R, x.IDIV32_M, r.RDX),
    ops.I32_DIV_U: (x.DIV32_R, x.DIV32_M, r.RAX), ops.I32_REM_U: (x.DIV32_R, x.DIV32_M, r.RDX),
    ops.I64_DIV_S: (x.IDIV64_R, x.IDIV64_M, r.RAX), ops.I64_REM_S: (x.IDIV64_R, x.IDIV64_M, r.RDX),
    ops.I64_DIV_U: (x.DIV64_R, x.DIV64_M, r.RAX), ops.I64_REM_U: (x.DIV64_R, x.DIV64_M, r.RDX),
}  # fmt: skip


def _divide(s: Selector, value: Value, rd: int) -> None:
    dividend, divisor = value.args
    row, memory_row, answer = _DIVISIONS[value.op]
    narrow = value.type == I32
    divide = MInst(row)
    if row == x.IDIV32_R or row == x.IDIV64_R:
        extend = MInst(x.CDQ if narrow else x.CQO)
    else:
        extend = MInst(x.ZERO32_R, r.RDX)
    copy = MInst(COPY, r.RAX)
    s.code += [MInst(COPY, rd, answer), divide, extend, copy]
    copy.rn = low(s, dividend) if narrow else wide(s, dividend)
    if divisor.op == (ops.I32_LOAD if narrow else ops.I64_LOAD) and foldable(s, divisor):
        divide.op = memory_row
        fold(s, divide, divisor)
    else:
        divide.rn = low(s, divisor) if narrow else wide(s, divisor)


# One operand

_COUNTS: Final = {
    ops.I32_CLZ: (x.BSR32_RR, x.CMOV32_RR, x.XOR32_RI, 63, 31), ops.I64_CLZ: (x.BSR64_RR, x.CMOV64_RR, x.XOR32_RI, 127, 63),
    ops.I32_CTZ: (x.BSF32_RR, x.CMOV32_RR, 0, 32, 0), ops.I64_CTZ: (x.BSF64_RR, x.CMOV64_RR, 0, 64, 0),
}  # fmt: skip
"""Bit scan, move on zero, flip, answer for zero before the flip, flipped bits: clz(n) = index of the highest bit ^ 31."""


_COUNT_ROWS: Final = {
    ops.I32_CLZ: (x.LZCNT32_RR, ops.I32_LOAD, x.LZCNT32_RM), ops.I64_CLZ: (x.LZCNT64_RR, ops.I64_LOAD, x.LZCNT64_RM),
    ops.I32_CTZ: (x.TZCNT32_RR, ops.I32_LOAD, x.TZCNT32_RM), ops.I64_CTZ: (x.TZCNT64_RR, ops.I64_LOAD, x.TZCNT64_RM),
}  # fmt: skip


def _count_zeros(s: Selector, value: Value, rd: int) -> None:
    if IN_USE.lzcnt if value.op == ops.I32_CLZ or value.op == ops.I64_CLZ else IN_USE.bmi1:
        _of_operand(s, _COUNT_ROWS[value.op], value.args[0], rd)
        return
    scan_row, move_row, flip_row, for_zero, flipped = _COUNTS[value.op]
    found = s.new_register(value.type)
    zero = s.new_register(value.type)
    scan = MInst(scan_row, found)
    if flip_row:
        index = s.new_register(value.type)
        s.code.append(MInst(flip_row, rd, index, NONE, NONE, 0, flipped))
    else:
        index = rd
    s.code += [
        MInst(move_row, index, found, zero, NONE, 0, r.CC_E),
        scan,
        MInst(x.MOV32_RI, zero, NONE, NONE, NONE, 0, for_zero),
    ]
    scan.rn = low(s, value.args[0]) if value.type == I32 else wide(s, value.args[0])


_UNARY: Final = {
    ops.I32_POPCNT: (x.POPCNT32_RR, ops.I32_LOAD, x.POPCNT32_RM), ops.I64_POPCNT: (x.POPCNT64_RR, ops.I64_LOAD, x.POPCNT64_RM),
    ops.I32_EXTEND8_S: (x.MOVSX8_32_RR, ops.I32_LOAD8_U, x.MOVSX8_32_RM),
    ops.I32_EXTEND16_S: (x.MOVSX16_32_RR, ops.I32_LOAD16_U, x.MOVSX16_32_RM),
    ops.I64_EXTEND8_S: (x.MOVSX8_64_RR, ops.I64_LOAD8_U, x.MOVSX8_64_RM),
    ops.I64_EXTEND16_S: (x.MOVSX16_64_RR, ops.I64_LOAD16_U, x.MOVSX16_64_RM),
    ops.I64_EXTEND32_S: (x.MOVSXD_RR, ops.I64_LOAD32_U, x.MOVSXD_RM),
    ops.I64_EXTEND_I32_S: (x.MOVSXD_RR, ops.I32_LOAD, x.MOVSXD_RM),
    ops.I32_WRAP_I64: (x.MOV32_RR, ops.NOP, 0),
}  # fmt: skip
"""Row that reads a register, the load it can take in, and the row for that. No load may get narrower: it could miss a trap."""


def _unary_rule(s: Selector, value: Value, rd: int) -> None:
    _of_operand(s, _UNARY[value.op], value.args[0], rd)


def _of_operand(s: Selector, rows: tuple[int, int, int], operand: Value, rd: int) -> None:
    """Emit an instruction that reads a register or memory."""
    row, load, memory_row = rows
    if operand.op == load and foldable(s, operand):
        inst = MInst(memory_row, rd)
        s.code.append(inst)
        fold(s, inst, operand)
    else:
        _unary(s, row, operand, rd)


def _extend_unsigned(s: Selector, value: Value, rd: int) -> None:
    """Copy an i32 for a user that is no plain instruction (a call, an edge): those find it extended already, see `wide`."""
    inst = MInst(x.MOV32_RR, rd)
    s.code.append(inst)
    inst.rn = low(s, value.args[0])


RULES: Final[dict[int, Rule]] = {
    **dict.fromkeys(_SHIFTS, _shift), **dict.fromkeys(_DIVISIONS, _divide), **dict.fromkeys(_COUNTS, _count_zeros),
    **dict.fromkeys(_UNARY, _unary_rule), ops.I64_MUL_HI_S: _mul_high, ops.I64_MUL_HI_U: _mul_high,
    ops.I32_ADD: _add, ops.I64_ADD: _add, ops.I32_SUB: _sub, ops.I64_SUB: _sub, ops.I32_MUL: _mul, ops.I64_MUL: _mul,
    ops.I32_AND: _and, ops.I64_AND: _and, ops.I32_OR: _bitwise, ops.I64_OR: _bitwise, ops.I32_XOR: _bitwise,
    ops.I64_XOR: _bitwise, ops.I64_EXTEND_I32_U: _extend_unsigned,
}  # fmt: skip
