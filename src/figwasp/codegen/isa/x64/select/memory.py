"""Floor 3: x86-64 selection: operands, addresses, loads and stores, constants.

Invariant: the upper half of a register that holds an i32 is zero, so it may serve as a 64-bit index (spec 4.4.7: addresses are
unsigned) and zero extension costs nothing.
"""

from __future__ import annotations

from typing import Final

from figwasp.codegen.isa.x64 import insts as x
from figwasp.codegen.isa.x64 import insts_vector as v
from figwasp.codegen.isa.x64.registers import CONTEXT
from figwasp.codegen.isa.x64.table import memory_form
from figwasp.codegen.mach import AREA, NONE, POOL, SYMBOL, MInst
from figwasp.codegen.select import FIRST_LOAD, FOLDED, LAST_LOAD, Rule, Selector
from figwasp.ir import ops
from figwasp.ir.func import Value
from figwasp.ir.ops import F32, F64, I32, I64, V128
from figwasp.ir.types import MASKS, SIZES

NO_IMM: Final = 1 << 40
"""What `imm32` answers for a constant that no instruction takes as an immediate."""

LOAD_ROW: Final[list[int]] = [0] * ops.COUNT
"""Row that loads into a register, by IR operation."""
for _op, _row in (
    (ops.I32_LOAD, x.MOV32_RM), (ops.I64_LOAD, x.MOV64_RM), (ops.F32_LOAD, x.MOVSS_RM), (ops.F64_LOAD, x.MOVSD_RM),
    (ops.I32_LOAD8_S, x.MOVSX8_32_RM), (ops.I32_LOAD8_U, x.MOVZX8_RM),
    (ops.I32_LOAD16_S, x.MOVSX16_32_RM), (ops.I32_LOAD16_U, x.MOVZX16_RM),
    (ops.I64_LOAD8_S, x.MOVSX8_64_RM), (ops.I64_LOAD8_U, x.MOVZX8_RM),
    (ops.I64_LOAD16_S, x.MOVSX16_64_RM), (ops.I64_LOAD16_U, x.MOVZX16_RM),
    (ops.I64_LOAD32_S, x.MOVSXD_RM), (ops.I64_LOAD32_U, x.MOV32_RM),
    (ops.V128_LOAD, x.MOVUPS_RM), (ops.V128_LOAD32_ZERO, x.MOVSS_RM), (ops.V128_LOAD64_ZERO, x.MOVSD_RM),
):  # fmt: skip
    LOAD_ROW[_op] = _row


# Operands


def low(s: Selector, value: Value) -> int:
    """Return a register whose lower half is an i32, for an instruction that reads no more than that."""
    if value.op == ops.I32_WRAP_I64 and s.regs[value.id] == 0:
        value = value.args[0]
        if value.op == ops.I64_EXTEND_I32_U and s.regs[value.id] == 0:
            value = value.args[0]
    return s.use(value)


def wide(s: Selector, value: Value) -> int:
    """Return a register that holds an i64, for an instruction operand; a zero-extended i32 is one already."""
    if value.op == ops.I64_EXTEND_I32_U and s.regs[value.id] == 0:
        value = value.args[0]
    return s.use(value)


def imm32(value: Value) -> int:
    """Return a constant as a signed immediate of 32 bits (sign-extended if it is an i64), or NO_IMM."""
    bits = value.aux
    assert type(bits) is int
    if value.type == I32:
        return (bits ^ 0x8000_0000) - 0x8000_0000
    signed = (bits ^ 0x8000_0000_0000_0000) - 0x8000_0000_0000_0000
    return signed if -0x8000_0000 <= signed < 0x8000_0000 else NO_IMM


def foldable(s: Selector, load: Value) -> bool:
    """Return whether a value is a load that may become a memory operand of the instruction under selection."""
    id = load.id
    if not FIRST_LOAD <= load.op <= LAST_LOAD or s.uses[id] != 1 or s.regs[id] != 0:
        return False
    region = s.region_of[id]
    if region == s.effect_region:
        return True
    aux = load.aux
    assert type(aux) is int
    return region >= s.block_region and s.effect_region >= 0 and aux >> ops.OFFSET_BITS == ops.REGION_CONST


# Addresses


def fold(s: Selector, inst: MInst, load: Value) -> None:
    """Make a load the memory operand of an instruction that has been appended."""
    s.regs[load.id] = FOLDED
    address(s, inst, load, 0)


def fold_symbol(s: Selector, inst: MInst, symbol: Value) -> None:
    """Make the word of a symbol the memory operand of an instruction that has been appended, and has no immediate."""
    inst.rm = SYMBOL
    inst.mem = s.symbol(symbol) << 2


def address(s: Selector, inst: MInst, value: Value, first: int) -> None:
    """Fill in the memory operand of an appended instruction.

    Args:
        s: the selection.
        inst: the instruction.
        value: the load or store.
        first: number of its argument that is the base; the index, if any, follows.
    """
    aux = value.aux
    assert type(aux) is int
    inst.pos = value.pos
    if aux >> ops.OFFSET_BITS >= ops.REGION_MEMORY:
        inst.fault = True
    args = value.args
    if len(args) > first + 1:
        _indexed(s, inst, args[first], args[first + 1], aux & ops.OFFSET_MASK)
    else:
        _based(s, inst, args[first], aux & ops.OFFSET_MASK)


def _based(s: Selector, inst: MInst, base: Value, offset: int) -> None:
    """Fill in [base + offset]."""
    op = base.op
    if op == ops.CONTEXT:
        inst.rm = CONTEXT
        inst.mem = offset << 2
    elif op == ops.FRAME_AREA:
        inst.rm = AREA
        inst.mem = (offset + frame_area(s, base)) << 2
    elif op == ops.I64_ADD and s.regs[base.id] == 0 and s.region_of[base.id] >= s.block_region:
        _sum(s, inst, base, offset)
    elif offset < 0x8000_0000:
        inst.mem = offset << 2
        inst.rm = wide(s, base)
    else:
        _far(s, inst, base, offset)


def _sum(s: Selector, inst: MInst, base: Value, offset: int) -> None:
    """Fill in [x + y + offset] for a base that is a 64-bit sum, or [base + offset] if it must be computed anyway."""
    left, right = base.args
    if right.op == ops.CONST:
        total = _signed64(right) + offset
        if -0x8000_0000 <= total < 0x8000_0000:
            inst.mem = total << 2
            inst.rm = wide(s, left)
            return
    elif s.uses[base.id] == 1 and offset < 0x8000_0000 and left.op != ops.CONST:
        _indexed(s, inst, left, right, offset)
        return
    if offset < 0x8000_0000:
        inst.mem = offset << 2
        inst.rm = wide(s, base)
    else:
        _far(s, inst, base, offset)


def _indexed(s: Selector, inst: MInst, base: Value, index: Value, offset: int) -> None:
    """Fill in [base + index + offset]. An i32 index is taken whole: its arithmetic wraps at 32 bits, that of addresses does not."""
    scale = 0
    op = index.op
    if op == ops.CONST:
        offset += _signed64(index)
        if -0x8000_0000 <= offset < 0x8000_0000:
            inst.mem = offset << 2
            inst.rm = wide(s, base)
            return
        offset -= _signed64(index)
    elif op == ops.I64_ADD and s.region_of[index.id] >= s.block_region and index.args[1].op == ops.CONST:
        total = offset + _signed64(index.args[1])
        if -0x8000_0000 <= total < 0x8000_0000:
            offset = total
            index = index.args[0]
            op = index.op
    if op == ops.I64_SHL and s.region_of[index.id] >= s.block_region and index.args[1].op == ops.CONST:
        shift = index.args[1].aux
        if shift == 1 or shift == 2 or shift == 3:
            assert type(shift) is int
            scale = shift
            index = index.args[0]
    if offset >= 0x8000_0000:
        _far_indexed(s, inst, base, index, scale, offset)
        return
    inst.mem = offset << 2 | scale
    if base.op == ops.CONTEXT:
        inst.rm = CONTEXT
    else:
        inst.rm = wide(s, base)
    inst.rx = wide(s, index)


def _far(s: Selector, inst: MInst, base: Value, offset: int) -> None:
    """Fill in [base + t] with the offset in a register of its own."""
    inst.rx = _offset_register(s, offset)
    inst.rm = wide(s, base)


def _far_indexed(s: Selector, inst: MInst, base: Value, index: Value, scale: int, offset: int) -> None:
    """Fill in [base + t] with index and offset added up in a register."""
    inst.rx = s.new_register(I64)
    lea = MInst(x.LEA64_RM, inst.rx, NONE, NONE, NONE, scale)
    s.code.append(lea)
    lea.rm = _offset_register(s, offset)
    lea.rx = wide(s, index)
    inst.rm = wide(s, base)


def _offset_register(s: Selector, offset: int) -> int:
    """Return a new register with an offset in it that no displacement can hold."""
    register = s.new_register(I64)
    row = x.MOV32_RI if offset < 1 << 32 else x.MOV64_RI
    s.code.append(MInst(row, register, NONE, NONE, NONE, 0, offset))
    return register


def _signed64(constant: Value) -> int:
    """Return what a constant adds to an address: i32 constants are unsigned indices, i64 ones wrap."""
    bits = constant.aux
    assert type(bits) is int
    return bits if constant.type == I32 else (bits ^ 0x8000_0000_0000_0000) - 0x8000_0000_0000_0000


def frame_area(s: Selector, value: Value) -> int:
    """Return the offset of an IR frame area."""
    offset = s.areas.get(value.id, -1)
    if offset < 0:
        size = value.aux
        assert type(size) is int
        offset = s.areas[value.id] = s.reserve_area(size)
    return offset


# Rules


def _load(s: Selector, value: Value, rd: int) -> None:
    if rd == 0:
        aux = value.aux
        assert type(aux) is int
        if aux >> ops.OFFSET_BITS < ops.REGION_MEMORY:
            return
        rd = s.new_register(value.type)
    inst = MInst(LOAD_ROW[value.op], rd)
    s.code.append(inst)
    address(s, inst, value, 0)


_STORE_ROW: Final = {
    ops.I32_STORE: x.MOV32_MR, ops.I64_STORE: x.MOV64_MR, ops.F32_STORE: x.MOVSS_MR, ops.F64_STORE: x.MOVSD_MR,
    ops.I32_STORE8: x.MOV8_MR, ops.I32_STORE16: x.MOV16_MR,
    ops.I64_STORE8: x.MOV8_MR, ops.I64_STORE16: x.MOV16_MR, ops.I64_STORE32: x.MOV32_MR, ops.V128_STORE: x.MOVUPS_MR,
}  # fmt: skip
_STORE_IMMEDIATE: Final = {
    x.MOV8_MR: x.MOV8_MI, x.MOV16_MR: x.MOV16_MI, x.MOV32_MR: x.MOV32_MI, x.MOV64_MR: x.MOV64_MI,
    x.MOVSS_MR: x.MOV32_MI, x.MOVSD_MR: x.MOV64_MI,
}  # fmt: skip
_REINTERPRETED: Final = {
    ops.F32_STORE: (ops.F32_REINTERPRET_I32, x.MOV32_MR), ops.F64_STORE: (ops.F64_REINTERPRET_I64, x.MOV64_MR),
    ops.I32_STORE: (ops.I32_REINTERPRET_F32, x.MOVSS_MR), ops.I64_STORE: (ops.I64_REINTERPRET_F64, x.MOVSD_MR),
}  # fmt: skip
"""By store: the operation whose operand may be stored as it is, and how."""


def _store(s: Selector, value: Value, _rd: int) -> None:
    stored = value.args[0]
    op = stored.op
    row = _STORE_ROW[value.op]
    if op == ops.CONST:
        imm = _store_immediate(row, stored)
        if imm != NO_IMM:
            inst = MInst(_STORE_IMMEDIATE[row], NONE, NONE, NONE, NONE, 0, imm)
            s.code.append(inst)
            address(s, inst, value, 1)
            return
    elif s.uses[stored.id] == 1:
        if op in _LANE_ROWS and _store_lane(s, value, stored):
            return
        if ops.I32_ADD <= op <= ops.I64_SUB and _read_modify_write(s, value, stored):
            return
        if ops.I32_REINTERPRET_F32 <= op <= ops.F64_REINTERPRET_I64 and s.is_single_use(stored):
            reinterpretation, other_row = _REINTERPRETED.get(value.op, (-1, 0))
            if op == reinterpretation:
                row = other_row
                stored = stored.args[0]
    inst = MInst(row)
    s.code.append(inst)
    if row == x.MOV64_MR:
        inst.rn = wide(s, stored)
    elif stored.type == I32:
        inst.rn = low(s, stored)
    else:
        inst.rn = s.use(stored)
    address(s, inst, value, 1)


_LANE_ROWS: Final = {
    ops.BY_NAME["i8x16_extract_lane_u"]: (ops.I32_STORE8, memory_form(v.PEXTRB), memory_form(v.PEXTRB)),
    ops.BY_NAME["i16x8_extract_lane_u"]: (ops.I32_STORE16, v.PEXTRW_M, v.PEXTRW_M),
    ops.BY_NAME["i32x4_extract_lane"]: (ops.I32_STORE, x.MOVSS_MR, memory_form(v.PEXTRD)),
    ops.BY_NAME["i64x2_extract_lane"]: (ops.I64_STORE, x.MOVSD_MR, v.MOVHPS_MR),
    ops.BY_NAME["f32x4_extract_lane"]: (ops.F32_STORE, x.MOVSS_MR, memory_form(v.PEXTRD)),
    ops.BY_NAME["f64x2_extract_lane"]: (ops.F64_STORE, x.MOVSD_MR, v.MOVHPS_MR),
}
"""The store of a lane, rows that store lane 0 and others."""


def _store_lane(s: Selector, store: Value, extraction: Value) -> bool:
    """Store a lane straight from its vector, if the store is as wide; tell whether it did."""
    wanted, first_row, row = _LANE_ROWS[extraction.op]
    lane = extraction.aux
    assert type(lane) is int
    if store.op != wanted or not s.is_single_use(extraction):
        return False
    inst = MInst(row, NONE, NONE, NONE, NONE, 0, lane) if lane else MInst(first_row)
    s.code.append(inst)
    inst.rn = s.use(extraction.args[0])
    address(s, inst, store, 1)
    return True


def _store_immediate(row: int, constant: Value) -> int:
    """Return a stored constant as an immediate, or NO_IMM."""
    bits = constant.aux
    assert type(bits) is int
    if row not in _STORE_IMMEDIATE:
        return NO_IMM
    if row == x.MOV8_MR:
        return ((bits & 0xFF) ^ 0x80) - 0x80
    if row == x.MOV16_MR:
        return ((bits & 0xFFFF) ^ 0x8000) - 0x8000
    if row == x.MOV32_MR or row == x.MOVSS_MR:
        return ((bits & 0xFFFF_FFFF) ^ 0x8000_0000) - 0x8000_0000
    return imm32(constant)


MODIFY_ROWS: Final = {
    ops.I32_ADD: (x.ADD32_MR, x.ADD32_MI), ops.I32_SUB: (x.SUB32_MR, x.SUB32_MI), ops.I32_AND: (x.AND32_MR, x.AND32_MI),
    ops.I32_OR: (x.OR32_MR, x.OR32_MI), ops.I32_XOR: (x.XOR32_MR, x.XOR32_MI),
    ops.I64_ADD: (x.ADD64_MR, x.ADD64_MI), ops.I64_SUB: (x.SUB64_MR, x.SUB64_MI), ops.I64_AND: (x.AND64_MR, x.AND64_MI),
    ops.I64_OR: (x.OR64_MR, x.OR64_MI), ops.I64_XOR: (x.XOR64_MR, x.XOR64_MI),
}  # fmt: skip


def _read_modify_write(s: Selector, store: Value, operation: Value) -> bool:
    """Emit `op [address], operand` if the store writes back what a load of the same address gave; tell whether it did."""
    rows = MODIFY_ROWS.get(operation.op)
    if rows is None or not (store.op == ops.I32_STORE or store.op == ops.I64_STORE) or not s.is_single_use(operation):
        return False
    load, operand = operation.args
    if not _same_place(s, load, store):
        load, operand = operand, load
        if not ops.FLAGS[operation.op] & ops.COMMUTES or not _same_place(s, load, store):
            return False
    s.regs[load.id] = FOLDED
    imm = imm32(operand) if operand.op == ops.CONST else NO_IMM
    if imm != NO_IMM:
        inst = MInst(rows[1], NONE, NONE, NONE, NONE, 0, imm)
        s.code.append(inst)
    else:
        inst = MInst(rows[0])
        s.code.append(inst)
        inst.rn = low(s, operand) if operand.type == I32 else wide(s, operand)
    address(s, inst, store, 1)
    return True


def _same_place(s: Selector, load: Value, store: Value) -> bool:
    """Return whether a load may be taken in and reads all that the store writes."""
    if load.op != (ops.I32_LOAD if store.op == ops.I32_STORE else ops.I64_LOAD) or load.aux != store.aux:
        return False
    args = store.args
    return load.args[0] is args[1] and load.args[-1] is args[-1] and len(load.args) + 1 == len(args) and foldable(s, load)


_CONSTANT_ROW: Final = {F32: x.MOVSS_RM, F64: x.MOVSD_RM, V128: x.MOVUPS_RM}


def _constant(s: Selector, value: Value, rd: int) -> None:
    """Make a constant without touching the flags, so that it may stand before a user of flags."""
    bits = value.aux
    assert type(bits) is int
    if value.type == I32 or (value.type == I64 and bits < 1 << 32):
        inst = MInst(x.MOV32_RI, rd, NONE, NONE, NONE, 0, bits)
    elif value.type == I64:
        imm = imm32(value)
        row, imm = (x.MOV64_RI, bits) if imm == NO_IMM else (x.MOV64_RI32S, imm)
        inst = MInst(row, rd, NONE, NONE, NONE, 0, imm)
    elif bits == 0:
        inst = MInst(x.ZEROPS_R, rd)
    elif value.type == V128 and bits == MASKS[V128]:
        inst = MInst(x.ONES_R, rd)
    else:
        inst = MInst(_CONSTANT_ROW[value.type], rd, NONE, POOL, NONE, pool_mem(s, value))
    s.code.append(inst)


def pool_mem(s: Selector, constant: Value) -> int:
    """Return the `mem` field that addresses a constant of a float or a vector in the pool."""
    bits = constant.aux
    assert type(bits) is int
    return s.pool_constant(bits.to_bytes(SIZES[constant.type], "little")) << 2


def _symbol(s: Selector, value: Value, rd: int) -> None:
    """Load what a symbol stands for; as a constant, without touching the flags."""
    s.code.append(MInst(x.MOV64_RM, rd, NONE, SYMBOL, NONE, s.symbol(value) << 2))


def _context(s: Selector, _value: Value, rd: int) -> None:
    s.code.append(MInst(x.MOV64_RR, rd, CONTEXT))


def _frame_area(s: Selector, value: Value, rd: int) -> None:
    s.code.append(MInst(x.LEA64_RM, rd, NONE, AREA, NONE, frame_area(s, value) << 2))


def _thread_word(s: Selector, value: Value, rd: int) -> None:
    assert type(value.aux) is int
    offset = value.aux - (value.aux >> 31 << 32)
    s.code.append(MInst(x.MOV64_RT, rd, NONE, NONE, NONE, offset << 2))


RULES: Final[dict[int, Rule]] = {
    **dict.fromkeys(range(FIRST_LOAD, LAST_LOAD + 1), _load), **dict.fromkeys(_STORE_ROW, _store),
    ops.CONST: _constant, ops.CONTEXT: _context, ops.FRAME_AREA: _frame_area, ops.THREAD_WORD: _thread_word,
    ops.SYMBOL: _symbol,
}  # fmt: skip
