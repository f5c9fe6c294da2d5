"""Floor 3: x86-64 selection: consumers of conditions: branches, traps, selects, and comparisons as values."""

from __future__ import annotations

from typing import Final

from figwasp.codegen.isa.x64 import insts as x
from figwasp.codegen.isa.x64 import registers as r
from figwasp.codegen.isa.x64.select.flags import CODE, FLOAT, KIND, PLAIN, condition, flags, float_operand
from figwasp.codegen.isa.x64.select.memory import fold, foldable, imm32, low, wide
from figwasp.codegen.mach import BRANCH, JUMP, NONE, SWITCH, TRAPIF, MBlock, MInst
from figwasp.codegen.select import FOLDED, Rule, Selector
from figwasp.ir import ops
from figwasp.ir.func import Value
from figwasp.ir.types import CLASSES, F32, I32, I64, INT


def _compare_value(s: Selector, value: Value, rd: int) -> None:
    if CODE[value.op] >= r.CC_FEQ or value.op == ops.I32_EQZ:
        done = len(s.code)
        code = flags(s, value)
        made = _equality(s, rd, code) if code >= r.CC_FEQ else [MInst(x.SETCC32_R, rd, NONE, NONE, NONE, 0, code)]
        s.code[done:done] = made
        return
    inst = MInst(x.SETCC32_R, rd)
    s.code.append(inst)
    inst.imm = flags(s, value)


def _equality(s: Selector, rd: int, code: int) -> list[MInst]:
    """Return what makes a number of "equal and ordered" or its opposite, last instruction first."""
    first, second, both = [s.new_register(I32) for _ in range(3)]
    row, codes = (x.AND32_RR, (r.CC_NP, r.CC_E)) if code == r.CC_FEQ else (x.OR32_RR, (r.CC_P, r.CC_NE))
    return [
        MInst(x.MOVZX8_RR, rd, both),
        MInst(row, both, first, second),
        MInst(x.SETCC_R, second, NONE, NONE, NONE, 0, codes[1]),
        MInst(x.SETCC_R, first, NONE, NONE, NONE, 0, codes[0]),
    ]


def _trapif(s: Selector, value: Value, _rd: int) -> None:
    trap_code = value.aux
    assert type(trap_code) is int
    inst = MInst(TRAPIF)
    inst.pos = value.pos
    s.code.append(inst)
    inst.imm = condition(s, value.args[0]) << 8 | trap_code


def _brif(s: Selector, value: Value, _rd: int) -> None:
    succs = s.block.succs
    if succs[0] is succs[1] and s.block.args[0] == s.block.args[1]:
        s.jump(succs[0], s.block.args[0])
        return
    other = s.edge(1)
    s.current.succs = [s.edge(0), other]
    inst = MInst(BRANCH)
    s.code.append(inst)
    code = _flags_of_arithmetic(s, value.args[0])
    inst.imm = condition(s, value.args[0]) if code < 0 else code


_ARITHMETIC: Final = {
    ops.I32_ADD: (x.ADD32_RR, x.ADD32_RI), ops.I32_SUB: (x.SUB32_RR, x.SUB32_RI), ops.I32_AND: (x.AND32_RR, x.AND32_RI),
}  # fmt: skip


def _flags_of_arithmetic(s: Selector, value: Value) -> int:
    """Branch on a result right after the instruction that computes it: emit that here and return the condition, or -1.

    This is how a loop that counts down ends. Nothing may come between, so it must be the last value before the branch.
    """
    code = s.block.code
    if len(code) < 2 or code[-2] is not value or value.op not in _ARITHMETIC:
        return -1
    register = s.regs[value.id]
    if register <= 0:  # wanted by nobody else; a test may do with less
        return -1
    left, right = value.args
    row, immediate_row = _ARITHMETIC[value.op]
    s.regs[value.id] = FOLDED  # its own turn comes next: all who want it have asked
    if right.op == ops.CONST:
        inst = MInst(immediate_row, register, NONE, NONE, NONE, 0, imm32(right))
        s.code.append(inst)
    else:
        if value.op != ops.I32_SUB and s.dies(right) and not s.dies(left):
            left, right = right, left
        inst = MInst(row, register)
        s.code.append(inst)
        inst.rm = low(s, right)
    inst.rn = low(s, left)
    return r.CC_NE


def _brtable(s: Selector, value: Value, _rd: int) -> None:
    block = s.block
    count = len(block.succs)
    if count == 1:
        s.jump(block.succs[0], block.args[0])
        return
    made: dict[tuple[int, ...], MBlock] = {}
    succs: list[MBlock] = []
    for number in range(count):
        key = (block.succs[number].id, *[arg.id for arg in block.args[number]])
        target = made.get(key)
        if target is None:
            target = made[key] = s.edge(number)
        succs.append(target)
    index = value.args[0]
    if len(made) == 1:
        s.code.append(MInst(JUMP))
        s.current.succs = succs[:1]
    elif count == 2:
        s.current.succs = succs
        inst = MInst(BRANCH)
        s.code.append(inst)
        inst.imm = condition(s, index) ^ 1
    else:
        s.current.succs = succs
        _switch(s, index, count)


def _switch(s: Selector, index: Value, count: int) -> None:
    """Emit the jump through a table, with the index clamped to the last entry unless it cannot be larger."""
    switch = MInst(SWITCH, NONE, NONE, s.new_register(I64), s.new_register(I64))
    s.code.append(switch)
    if _bound(index) <= count:
        switch.rn = s.use(index)
        return
    last = s.new_register(I32)
    switch.rn = s.new_register(I32)
    move = MInst(x.CMOV32_RR, switch.rn, NONE, last, NONE, 0, r.CC_AE)
    compare = MInst(x.CMP32_RI, NONE, NONE, NONE, NONE, 0, count - 1)
    s.code += [move, compare, MInst(x.MOV32_RI, last, NONE, NONE, NONE, 0, count - 1)]
    move.rn = compare.rn = s.use(index)


def _bound(value: Value) -> int:
    """Return a number that an i32 is certainly below."""
    if value.op == ops.I32_LOAD8_U:
        return 0x100
    if value.op == ops.I32_AND and value.args[1].op == ops.CONST:
        mask = value.args[1].aux
        assert type(mask) is int
        return mask + 1
    return 1 << 32


def _select(s: Selector, value: Value, rd: int) -> None:
    if CLASSES[value.type] != INT:
        _select_float(s, value, rd)
        return
    then, other, test = value.args
    narrow = value.type == I32
    inst = MInst(x.CMOV32_RR if narrow else x.CMOV64_RR, rd)
    s.code.append(inst)
    code = condition(s, test)
    if code == r.CC_FEQ or (code != r.CC_FNE and not s.dies(other) and s.dies(then)):
        then, other = other, then
        code ^= 1
    inst.imm = code
    if then.op == (ops.I32_LOAD if narrow else ops.I64_LOAD) and code != r.CC_FNE and foldable(s, then):
        inst.op = x.CMOV32_RM if narrow else x.CMOV64_RM
        fold(s, inst, then)
    else:
        inst.rm = low(s, then) if narrow else wide(s, then)
    inst.rn = low(s, other) if narrow else wide(s, other)


_MINIMUM: Final = {
    ops.F32_LT: (x.MINSS_RR, x.MINSS_RM), ops.F64_LT: (x.MINSD_RR, x.MINSD_RM),
    ops.F32_GT: (x.MAXSS_RR, x.MAXSS_RM), ops.F64_GT: (x.MAXSD_RR, x.MAXSD_RM),
}  # fmt: skip
_MAXIMUM: Final = {
    ops.F32_LT: _MINIMUM[ops.F32_GT], ops.F64_LT: _MINIMUM[ops.F64_GT],
    ops.F32_GT: _MINIMUM[ops.F32_LT], ops.F64_GT: _MINIMUM[ops.F64_LT],
}  # fmt: skip


def _select_float(s: Selector, value: Value, rd: int) -> None:
    """Select between floats: `mins` or `maxs` for x < y ? x : y, a mask for other float comparisons, else a branch."""
    then, other, test = value.args
    if KIND[test.op] != FLOAT or s.region_of[test.id] < s.block_region or test.args[0].type != value.type:
        _select_by_branch(s, value, rd)
        return
    left, right = test.args
    rows = None
    if then is left and other is right:
        rows = _MINIMUM.get(test.op)
    elif then is right and other is left:
        rows = _MAXIMUM.get(test.op)
    if rows is None:
        _select_by_mask(s, value, rd)
        return
    inst = MInst(rows[0], rd)
    s.code.append(inst)
    float_operand(s, inst, other, rows[1])
    inst.rn = s.use(then)


_PREDICATES: Final = (0, 4, 1, 1, 2, 2)
"""Of `cmps`: eq ne lt gt le ge; gt and ge with operands exchanged."""


def _select_by_mask(s: Selector, value: Value, rd: int) -> None:
    """Blend with the mask of a comparison: then & mask | other & ~mask; a zero on one side needs only half of it."""
    then, other, test = value.args
    type = value.type
    left, right = test.args
    number = test.op - (ops.F32_EQ if type == F32 else ops.F64_EQ)
    if number == 3 or number == 5:
        left, right = right, left
    mask = s.new_register(type)
    if other.op == ops.CONST and other.aux == 0:
        both = MInst(x.ANDPS_RR, rd, mask)
        s.code.append(both)
        both.rm = s.use(then)
    elif then.op == ops.CONST and then.aux == 0:
        both = MInst(x.ANDNPS_RR, rd, mask)
        s.code.append(both)
        both.rm = s.use(other)
    else:
        chosen = s.new_register(type)
        rest = s.new_register(type)
        join = MInst(x.ORPS_RR, rd, rest, chosen)
        keep = MInst(x.ANDNPS_RR, rest, mask)
        take = MInst(x.ANDPS_RR, chosen, NONE, mask)
        s.code += [join, keep, take]
        keep.rm = s.use(other)
        take.rn = s.use(then)
    compare = MInst(x.CMPSS_RRI if type == F32 else x.CMPSD_RRI, mask, NONE, NONE, NONE, 0, _PREDICATES[number])
    s.code.append(compare)
    compare.rm = s.use(right)
    compare.rn = s.use(left)


def _select_by_branch(s: Selector, value: Value, rd: int) -> None:
    """Select between floats on any condition: split the block around two blocks that pass one value each."""
    then, other, test = value.args
    rest = s.split()
    rest.params = [rd]
    sides = []
    for chosen in (other, then):
        side = MBlock(0, rest.depth)
        side.succs = [rest]
        s.code = side.code
        s.code.append(MInst(JUMP))
        side.args = [s.use(chosen)]
        s.code.reverse()
        s.put_after(side)
        sides.append(side)
    s.code = []
    s.current.succs = [sides[1], sides[0]]
    inst = MInst(BRANCH)
    s.code.append(inst)
    inst.imm = condition(s, test)


RULES: Final[dict[int, Rule]] = {
    **dict.fromkeys([op for op in range(ops.COUNT) if KIND[op] != PLAIN], _compare_value),
    ops.TRAPIF: _trapif, ops.BRIF: _brif, ops.BRTABLE: _brtable, ops.SELECT: _select,
}  # fmt: skip
