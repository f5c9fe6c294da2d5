"""Floor 3: x86-64 selection: conditions, that is what sets the flags. Their consumers are in `select.branch`.

`condition` appends the instruction that sets the flags for an i32 value and returns the condition code that stands for "not
zero". Nothing between it and the consumer may write flags; constants and loads, which operands may still ask for, do not.
"""

from __future__ import annotations

from typing import Final

from figwasp.codegen.isa.x64 import insts as x
from figwasp.codegen.isa.x64 import insts_vector as v
from figwasp.codegen.isa.x64 import registers as r
from figwasp.codegen.isa.x64.select.memory import NO_IMM, fold, foldable, imm32, low, pool_mem, wide
from figwasp.codegen.mach import NONE, POOL, MInst
from figwasp.codegen.select import NO_REGION, Selector
from figwasp.ir import ops
from figwasp.ir.func import Value
from figwasp.ir.ops import F32, I32, I64, V128

_INT_CODES: Final = (r.CC_E, r.CC_NE, r.CC_L, r.CC_B, r.CC_G, r.CC_A, r.CC_LE, r.CC_BE, r.CC_GE, r.CC_AE)
"""In the order of the comparisons in the IR table: eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u."""
_MIRRORED: Final = {
    r.CC_E: r.CC_E, r.CC_NE: r.CC_NE, r.CC_L: r.CC_G, r.CC_G: r.CC_L, r.CC_LE: r.CC_GE, r.CC_GE: r.CC_LE,
    r.CC_B: r.CC_A, r.CC_A: r.CC_B, r.CC_BE: r.CC_AE, r.CC_AE: r.CC_BE,
}  # fmt: skip
"""The code for exchanged operands."""
_UNSIGNED: Final = {r.CC_L: r.CC_B, r.CC_G: r.CC_A, r.CC_LE: r.CC_BE, r.CC_GE: r.CC_AE}
_FLOAT_CODES: Final = (r.CC_FEQ, r.CC_FNE, r.CC_A, r.CC_A, r.CC_AE, r.CC_AE)
"""eq ne lt gt le ge; lt and le with operands exchanged, so that unordered is false."""

# Kinds of condition
PLAIN: Final = 0
_COMPARE32: Final = 1
_COMPARE64: Final = 2
_EQZ: Final = 3
FLOAT: Final = 4
_VECTOR: Final = 5

KIND: Final[list[int]] = [PLAIN] * ops.COUNT
CODE: Final[list[int]] = [r.CC_NE] * ops.COUNT
for _number, _code in enumerate(_INT_CODES):
    KIND[ops.I32_EQ + _number] = _COMPARE32
    CODE[ops.I32_EQ + _number] = _code
    KIND[ops.I64_EQ + _number] = _COMPARE64
    CODE[ops.I64_EQ + _number] = _code
for _number, _code in enumerate(_FLOAT_CODES):
    for _first in (ops.F32_EQ, ops.F64_EQ):
        KIND[_first + _number] = FLOAT
        CODE[_first + _number] = _code
KIND[ops.I32_EQZ] = KIND[ops.I64_EQZ] = _EQZ
_ANY_TRUE: Final = ops.BY_NAME["v128_any_true"]
_ALL_TRUE: Final = {
    ops.BY_NAME["i8x16_all_true"]: (v.PCMPEQB, 8), ops.BY_NAME["i16x8_all_true"]: (v.PCMPEQW, 16),
    ops.BY_NAME["i32x4_all_true"]: (v.PCMPEQD, 32), ops.BY_NAME["i64x2_all_true"]: (v.PCMPEQQ, 64),
}  # fmt: skip
for _op in (_ANY_TRUE, *_ALL_TRUE):
    KIND[_op] = _VECTOR


def condition(s: Selector, value: Value) -> int:
    """Append what sets the flags for an i32 and return the code for "not zero"."""
    kind = KIND[value.op]
    if kind == PLAIN or s.region_of[value.id] < s.block_region:
        return zero_test(s, value) ^ 1
    if s.uses[value.id] == 1:
        return flags(s, value)
    region = s.effect_region
    s.effect_region = NO_REGION  # the comparison may be made once more for another user, but its loads may not
    code = flags(s, value)
    s.effect_region = region
    return code


def flags(s: Selector, value: Value) -> int:
    """Append the comparison that a value is and return the code under which it holds."""
    kind = KIND[value.op]
    flip = 0
    while kind == _EQZ:
        value = value.args[0]
        kind = KIND[value.op]
        if kind == PLAIN or not s.is_single_use(value):
            return zero_test(s, value) ^ flip
        flip ^= 1
    if kind == FLOAT:
        return _float_compare(s, value) ^ flip
    if kind == _VECTOR:
        return _vector_test(s, value) ^ flip
    return _compare(s, value.args[0], value.args[1], CODE[value.op], kind == _COMPARE32) ^ flip


# Integers


def _compare(s: Selector, left: Value, right: Value, code: int, narrow: bool) -> int:
    """Append the comparison of two integers; return the code, which changes when the operands are exchanged."""
    if left.op == ops.CONST and right.op != ops.CONST:
        left, right = right, left
        code = _MIRRORED[code]
    if right.op == ops.CONST:
        if right.aux == 0:
            return _compare_zero(s, left, code)
        imm = imm32(right)
        if imm != NO_IMM:
            return _compare_immediate(s, left, imm, code, narrow)
    full = ops.I32_LOAD if narrow else ops.I64_LOAD
    if right.op == full and foldable(s, right):
        inst = MInst(x.CMP32_RM if narrow else x.CMP64_RM)
        s.code.append(inst)
        fold(s, inst, right)
        inst.rn = low(s, left) if narrow else wide(s, left)
    elif left.op == full and foldable(s, left):
        inst = MInst(x.CMP32_MR if narrow else x.CMP64_MR)
        s.code.append(inst)
        fold(s, inst, left)
        inst.rn = low(s, right) if narrow else wide(s, right)
    else:
        inst = MInst(x.CMP32_RR if narrow else x.CMP64_RR)
        s.code.append(inst)
        inst.rn = low(s, left) if narrow else wide(s, left)
        inst.rm = low(s, right) if narrow else wide(s, right)
    return code


def _compare_zero(s: Selector, value: Value, code: int) -> int:
    """Append the comparison with 0; carry and overflow are clear after it, as after a `cmp` with 0."""
    if code == r.CC_E or code == r.CC_BE:
        return zero_test(s, value)
    if code == r.CC_NE or code == r.CC_A:
        return zero_test(s, value) ^ 1
    narrow = value.type == I32
    inst = MInst(x.TEST32_RR if narrow else x.TEST64_RR)
    s.code.append(inst)
    inst.rn = inst.rm = low(s, value) if narrow else wide(s, value)
    return code


def _compare_immediate(s: Selector, left: Value, imm: int, code: int, narrow: bool) -> int:
    """Append the comparison with a constant, of a byte in memory if that is what the left side loads."""
    op = left.op
    if op == (ops.I32_LOAD if narrow else ops.I64_LOAD) and foldable(s, left):
        inst = MInst(x.CMP32_MI if narrow else x.CMP64_MI, NONE, NONE, NONE, NONE, 0, imm)
    elif (op == ops.I32_LOAD8_U or op == ops.I64_LOAD8_U) and 0 <= imm < 0x100 and foldable(s, left):
        inst = MInst(x.CMP8_MI, NONE, NONE, NONE, NONE, 0, (imm ^ 0x80) - 0x80)
        code = _UNSIGNED.get(code, code)
    else:
        inst = MInst(x.CMP32_RI if narrow else x.CMP64_RI, NONE, NONE, NONE, NONE, 0, imm)
        s.code.append(inst)
        inst.rn = low(s, left) if narrow else wide(s, left)
        return code
    s.code.append(inst)
    fold(s, inst, left)
    return code


_ZERO_MEMORY: Final = {
    ops.I32_LOAD: x.CMP32_MI, ops.I64_LOAD: x.CMP64_MI, ops.I32_LOAD8_U: x.CMP8_MI, ops.I32_LOAD8_S: x.CMP8_MI,
    ops.I64_LOAD8_U: x.CMP8_MI, ops.I64_LOAD8_S: x.CMP8_MI, ops.I32_LOAD16_U: x.CMP16_MI, ops.I32_LOAD16_S: x.CMP16_MI,
    ops.I64_LOAD16_U: x.CMP16_MI, ops.I64_LOAD16_S: x.CMP16_MI, ops.I64_LOAD32_U: x.CMP32_MI, ops.I64_LOAD32_S: x.CMP32_MI,
}  # fmt: skip


def zero_test(s: Selector, value: Value) -> int:
    """Append what compares an integer with 0 and return the code for "is zero" (only ZF may be relied on)."""
    op = value.op
    if (op == ops.I32_AND or op == ops.I64_AND) and s.is_single_use(value):
        return _test_bits(s, value.args[0], value.args[1], op == ops.I32_AND)
    if op in _ZERO_MEMORY and foldable(s, value):
        inst = MInst(_ZERO_MEMORY[op])
        s.code.append(inst)
        fold(s, inst, value)
        return r.CC_E
    narrow = value.type == I32
    inst = MInst(x.TEST32_RR if narrow else x.TEST64_RR)
    s.code.append(inst)
    inst.rn = inst.rm = low(s, value) if narrow else wide(s, value)
    return r.CC_E


def _test_bits(s: Selector, left: Value, right: Value, narrow: bool) -> int:
    """Append what tells whether two integers have a bit in common, and return the code for "none"."""
    if left.op == ops.CONST:
        left, right = right, left
    if right.op == ops.CONST:
        return _test_mask(s, left, right, narrow)
    full = ops.I32_LOAD if narrow else ops.I64_LOAD
    if left.op == full and foldable(s, left):
        left, right = right, left
    if right.op == full and foldable(s, right):
        inst = MInst(x.TEST32_MR if narrow else x.TEST64_MR)
        s.code.append(inst)
        fold(s, inst, right)
    else:
        inst = MInst(x.TEST32_RR if narrow else x.TEST64_RR)
        s.code.append(inst)
        inst.rm = low(s, right) if narrow else wide(s, right)
    inst.rn = low(s, left) if narrow else wide(s, left)
    return r.CC_E


def _test_mask(s: Selector, value: Value, constant: Value, narrow: bool) -> int:
    """Append what tests bits of an integer against a constant, in the shortest form that reads all of them."""
    mask = constant.aux
    assert type(mask) is int
    if mask >> 32 == 0 and not narrow and value.op != ops.I64_LOAD:
        narrow = True
    if mask < 0x80 and (value.op == ops.I32_LOAD8_U or value.op == ops.I64_LOAD8_U) and foldable(s, value):
        inst = MInst(x.TEST8_MI, NONE, NONE, NONE, NONE, 0, mask)
        s.code.append(inst)
        fold(s, inst, value)
        return r.CC_E
    imm = imm32(constant) if constant.type == I64 and not narrow else (mask ^ 0x8000_0000) - 0x8000_0000
    if imm == NO_IMM:
        return _test_wide_mask(s, value, constant)
    if value.op == (ops.I32_LOAD if narrow else ops.I64_LOAD) and foldable(s, value):
        inst = MInst(x.TEST32_MI if narrow else x.TEST64_MI, NONE, NONE, NONE, NONE, 0, imm)
        s.code.append(inst)
        fold(s, inst, value)
        return r.CC_E
    inst = MInst(x.TEST32_RI if narrow else x.TEST64_RI, NONE, NONE, NONE, NONE, 0, imm)
    if 0 < imm < 0x80:
        inst.op = x.TEST8_RI
    s.code.append(inst)
    inst.rn = low(s, value) if value.type == I32 else wide(s, value)
    return r.CC_E


def _test_wide_mask(s: Selector, value: Value, constant: Value) -> int:
    """Append the test against a 64-bit constant: `bt` for a single bit."""
    mask = constant.aux
    assert type(mask) is int
    if mask & (mask - 1) == 0:
        inst = MInst(x.BT64_RI, NONE, NONE, NONE, NONE, 0, mask.bit_length() - 1)
        s.code.append(inst)
        inst.rn = wide(s, value)
        return r.CC_AE
    inst = MInst(x.TEST64_RR)
    s.code.append(inst)
    inst.rn = wide(s, value)
    inst.rm = s.use(constant)
    return r.CC_E


# Floats


def _float_compare(s: Selector, value: Value) -> int:
    """Append `ucomis` and return the code; unordered sets ZF, PF and CF."""
    op = value.op
    left, right = value.args
    number = op - (ops.F32_EQ if op < ops.F64_EQ else ops.F64_EQ)
    narrow = left.type == F32
    code = CODE[op]
    if number == 2 or number == 4:
        left, right = right, left
    elif number < 2:
        if left is right:
            code = r.CC_NP if number == 0 else r.CC_P
        elif left.op == ops.CONST or (left.op <= ops.F64_LOAD and foldable(s, left)):
            left, right = right, left
    inst = MInst(x.UCOMISS_RR if narrow else x.UCOMISD_RR)
    s.code.append(inst)
    float_operand(s, inst, right, x.UCOMISS_RM if narrow else x.UCOMISD_RM)
    inst.rn = s.use(left)
    return code


def float_operand(s: Selector, inst: MInst, value: Value, memory_row: int) -> None:
    """Fill in rm of an appended float instruction: a register, or memory if the value is a constant or a load."""
    op = value.op
    if op == ops.CONST and value.aux != 0:
        inst.op = memory_row
        inst.rm = POOL
        inst.mem = pool_mem(s, value)
    elif (op == ops.F64_LOAD or op == ops.F32_LOAD) and foldable(s, value):
        inst.op = memory_row
        fold(s, inst, value)
    else:
        inst.rm = s.use(value)


# Vectors


def _vector_test(s: Selector, value: Value) -> int:
    """Append `ptest`, which sets ZF if the operands have no bit in common, and CF if the second has none that the first has not."""
    operand = value.args[0]
    test = MInst(v.PTEST)
    s.code.append(test)
    if value.op == _ANY_TRUE:
        if operand.op == _AND and s.is_single_use(operand):
            test.rn, test.rm = [s.use(arg) for arg in operand.args]
        else:
            test.rn = test.rm = s.use(operand)
        return r.CC_NE
    row, bits = _ALL_TRUE[value.op]
    if MASK_BITS.get(operand.op, 0) >= bits:
        test.op = x.ROWS.spill_rm[v.PTEST]
        test.rm = POOL
        test.mem = s.pool_constant(b"\xff" * 16) << 2
        test.rn = s.use(operand)
        return r.CC_B
    equal = s.new_register(V128)
    zero = s.new_register(V128)
    compare = MInst(row, equal, zero)
    s.code += [compare, MInst(x.ZEROPS_R, zero)]
    test.rn = test.rm = equal
    compare.rm = s.use(operand)
    return r.CC_E


_AND: Final = ops.BY_NAME["v128_and"]
_COMPARISONS: Final = frozenset("eq ne lt gt le ge lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u".split())
MASK_BITS: Final = {
    op: int(ops.NAMES[op][1:].partition("x")[0])
    for op in range(ops.BY_NAME["i8x16_eq"], ops.COUNT)
    if ops.NAMES[op].partition("_")[2] in _COMPARISONS
}
"""Operations each lane of whose result is all ones or 0 -> bits of a lane."""
