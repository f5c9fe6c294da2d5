"""Floor 3: x86-64 selection: atomic accesses and the fence.

An aligned load or store is one access on this machine, and a load is ordered as it is (SDM vol. 3, 9.1.1 and 9.2.2). A store is an
exchange, which orders what comes after it as well. `lock` instructions order both ways.
"""

from __future__ import annotations

from typing import Final

from figwasp.codegen.isa.x64 import insts as x
from figwasp.codegen.isa.x64 import registers as r
from figwasp.codegen.isa.x64.select.memory import address, low, wide
from figwasp.codegen.mach import BRANCH, COPY, JUMP, NONE, MBlock, MInst
from figwasp.codegen.select import Rule, Selector
from figwasp.ir import ops
from figwasp.ir.func import Value
from figwasp.ir.ops import I32

_8: Final = 0
_16: Final = 1
_32: Final = 2
_64: Final = 3
"""Width of an access, as an index of rows."""

_LOADS: Final = (x.MOVZX8_RM, x.MOVZX16_RM, x.MOV32_RM, x.MOV64_RM)
_XCHG: Final = (x.XCHG8_MR, x.XCHG16_MR, x.XCHG32_MR, x.XCHG64_MR)
_XADD: Final = (x.LOCK_XADD8_MR, x.LOCK_XADD16_MR, x.LOCK_XADD32_MR, x.LOCK_XADD64_MR)
_CMPXCHG: Final = (x.LOCK_CMPXCHG8_MR, x.LOCK_CMPXCHG16_MR, x.LOCK_CMPXCHG32_MR, x.LOCK_CMPXCHG64_MR)
_EXTEND: Final = (x.MOVZX8_RR, x.MOVZX16_RR)
_BITWISE: Final = {
    "and": ((x.LOCK_AND8_MR, x.LOCK_AND16_MR, x.LOCK_AND32_MR, x.LOCK_AND64_MR), x.AND32_RR, x.AND64_RR),
    "or": ((x.LOCK_OR8_MR, x.LOCK_OR16_MR, x.LOCK_OR32_MR, x.LOCK_OR64_MR), x.OR32_RR, x.OR64_RR),
    "xor": ((x.LOCK_XOR8_MR, x.LOCK_XOR16_MR, x.LOCK_XOR32_MR, x.LOCK_XOR64_MR), x.XOR32_RR, x.XOR64_RR),
}
"""Last part of the name of an operation -> rows in memory, by width, and in registers of 32 and 64 bits."""


def _width(op: int) -> int:
    name = ops.NAMES[op]
    for digits, width in (("16", _16), ("8", _8)):
        if digits in name:
            return width
    return _64 if name.startswith("i64") else _32


_WIDTHS: Final = {op: _width(op) for op in range(ops.COUNT) if "_atomic_" in ops.NAMES[op]}


def _operand(s: Selector, value: Value) -> int:
    return low(s, value) if value.type == I32 else wide(s, value)


def _load(s: Selector, value: Value, rd: int) -> None:
    inst = MInst(_LOADS[_WIDTHS[value.op]], rd or s.new_register(value.type))
    s.code.append(inst)
    address(s, inst, value, 0)


def _exchange(s: Selector, value: Value, rd: int, rows: tuple[int, ...]) -> None:
    """Emit an instruction that changes memory and gives back what was there in the register of its operand."""
    operand = value.args[0]
    width = _WIDTHS[value.op]
    inst = MInst(rows[width], rd)
    if width < _32 and rd:
        inst.rd = s.new_register(operand.type)
        s.code.append(MInst(_EXTEND[width], rd, inst.rd))
    elif not rd:
        inst.rd = s.new_register(operand.type)
    s.code.append(inst)
    inst.rn = _operand(s, operand)
    address(s, inst, value, 1)


def _store(s: Selector, value: Value, _rd: int) -> None:
    _exchange(s, value, 0, _XCHG)


def _xchg(s: Selector, value: Value, rd: int) -> None:
    _exchange(s, value, rd, _XCHG)


def _add(s: Selector, value: Value, rd: int) -> None:
    _exchange(s, value, rd, _XADD)


def _compare_exchange(s: Selector, value: Value, rd: int) -> None:
    """Emit `lock cmpxchg`, which compares with rax and leaves there what it has found."""
    expected, replacement = value.args[:2]
    width = _WIDTHS[value.op]
    inst = MInst(_CMPXCHG[width])
    before = MInst(COPY, r.RAX)
    if rd:
        s.code.append(MInst(_EXTEND[width], rd, r.RAX) if width < _32 else MInst(COPY, rd, r.RAX))
    s.code += [inst, before]
    before.rn = s.use(expected)
    inst.rn = _operand(s, replacement)
    address(s, inst, value, 2)


def _bitwise(s: Selector, value: Value, rd: int) -> None:
    """Emit a locked instruction, or, where the result is used, a loop around `lock cmpxchg`."""
    rows, narrow, whole = _BITWISE[ops.NAMES[value.op].rpartition("_")[2]]
    if rd:
        _loop(s, value, rd, narrow if value.type == I32 else whole)
        return
    inst = MInst(rows[_WIDTHS[value.op]])
    s.code.append(inst)
    inst.rn = _operand(s, value.args[0])
    address(s, inst, value, 1)


def _loop(s: Selector, value: Value, rd: int, row: int) -> None:
    """Split the block around a loop that computes and compares until nothing has come between: old -> rd."""
    width = _WIDTHS[value.op]
    rest = s.split()
    head, back = MBlock(0, rest.depth + 1), MBlock(0, rest.depth + 1)
    s.put_after(back)
    s.put_after(head)
    old, new, first = s.new_register(value.type), s.new_register(value.type), s.new_register(value.type)
    load = MInst(_LOADS[width], first)
    s.code += [MInst(JUMP), load]
    s.current.succs, s.current.args = [head], [first]
    operand = _operand(s, value.args[0])
    address(s, load, value, 1)
    exchange = MInst(_CMPXCHG[width], NONE, new, load.rm, load.rx, load.mem, 0, value.pos, load.fault)
    head.params = [old]
    head.loop = True
    head.succs = [rest, back]
    head.code = [
        MInst(row, new, old, operand),
        MInst(COPY, r.RAX, old),
        exchange,
        MInst(COPY, rd, r.RAX),
        MInst(BRANCH, imm=r.CC_E),
    ]
    back.succs, back.args = [head], [rd]
    back.code = [MInst(JUMP)]
    for inst in (*head.code, *back.code):
        inst.pos = value.pos


def _fence(s: Selector, _value: Value, _rd: int) -> None:
    s.code.append(MInst(x.MFENCE))


_BY_KIND: Final[dict[str, Rule]] = {
    "add": _add, "and": _bitwise, "or": _bitwise, "xor": _bitwise, "xchg": _xchg, "cmpxchg": _compare_exchange,
}  # fmt: skip


def _rule(op: int) -> Rule:
    name = ops.NAMES[op]
    if "_rmw" in name:
        return _BY_KIND[name.rpartition("_")[2]]
    return _load if "_load" in name else _store


RULES: Final[dict[int, Rule]] = {ops.FENCE: _fence, **{op: _rule(op) for op in _WIDTHS}}
