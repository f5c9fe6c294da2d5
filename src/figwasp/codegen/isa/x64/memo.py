"""Floor 3: x86-64 instructions by memo: the hot loop of emission.

In go the instructions of a block, allocated; their bytes are appended to the assembler's buffer. The head of an instruction (all of
it, as long as displacement and immediate fit a byte) is looked up in a dict by one packed int; a miss goes through `encode.py`. A
module of compiled C has 100 times more instructions than distinct heads.
"""

from __future__ import annotations

import struct
from typing import Final

from figwasp.codegen import frame
from figwasp.codegen.assembler import CUT, Assembler
from figwasp.codegen.code import RELOC_SYMBOL
from figwasp.codegen.isa.rows import CONDITION, IMMEDIATE, RELATIVE
from figwasp.codegen.isa.x64 import insts
from figwasp.codegen.isa.x64.encode import (
    CUT_DISPLACEMENT,
    CUT_IMMEDIATE,
    IMM_8,
    IMM_64,
    IMM_NONE,
    encode_fields,
    forms,
    immediate_bytes,
)
from figwasp.codegen.isa.x64.registers import RIP, RSP, XMM15
from figwasp.codegen.mach import AREA, FIRST_ROW, INCOMING, NONE, POOL, SLOT, SYMBOL, MBlock, MFunc, MInst
from figwasp.errors import TRAP_OUT_OF_BOUNDS_MEMORY
from figwasp.layout import FAULT_OFFSET

RETURN_BYTES: Final = 8
"""Bytes that a call pushes."""

MEMO_LIMIT: Final = 1 << 12
"""Heads kept of each operation; a hostile guest must not fill memory with them."""

# Parts of a key: registers at 64 ** 0 to 64 ** 3, then
MEM_KEY: Final = 1 << 24  # displacement << 2 | scale; above 511 only the scale
IMM_KEY: Final = 1 << 36  # immediate; LARGE_IMM when it is not in the head
LARGE_IMM: Final = 128

_memo: Final[list[dict[int, bytes]]] = [{} for _ in insts.ROWS.names]
_pack: Final = struct.Struct("<i").pack
IMM_UNKNOWN: Final = -1
_immediates: Final[list[int]] = [
    IMM_UNKNOWN if any(operand.kind in (IMMEDIATE, RELATIVE, CONDITION) for operand in row.operands.list) else IMM_NONE
    for row in insts.TABLE
]
"""IMM_* of each operation that has an immediate, once its encoding had to be parsed; IMM_NONE where there is none."""
_immediates[:0] = [IMM_NONE] * FIRST_ROW


def _miss(key: int, inst: MInst, rm: int, mem: int, cut: int) -> bytes:
    """Encode a head and remember it."""
    imm = inst.imm
    assert isinstance(imm, int)
    head = encode_fields(inst.op, inst.rd, inst.rn, rm, inst.rx, mem, imm, cut)
    memo = _memo[inst.op]
    if len(memo) >= MEMO_LIMIT:
        memo.clear()
    memo[key] = head
    return head


class MemoAssembler(Assembler):
    """An assembler that knows the rows; the pseudo operations are left to `X64Assembler`."""

    __slots__ = ("_bases",)

    def __init__(self, func: MFunc) -> None:
        super().__init__(func)
        self._bases = [0] * (SLOT + 1)  # displacement << 2 of the pseudo bases from the stack pointer
        self._bases[AREA] = frame.area_offset(func) << 2
        self._bases[SLOT] = frame.slots_offset(func) << 2
        self._bases[INCOMING] = func.frame_size + RETURN_BYTES << 2

    def block(self, block: MBlock) -> None:
        """Emit the instructions of a block: the hot loop."""
        buf = self.buf
        memo = _memo
        immediates = _immediates
        last_register = XMM15
        for inst in block.code:
            op = inst.op
            if op < FIRST_ROW:
                self.pseudo(inst, block)
                continue
            rm = inst.rm
            mem = inst.mem
            if rm > last_register:
                if rm <= SYMBOL:
                    self._near(inst)
                    continue
                mem = self._bases[rm] + ((mem & -4) << 3 if rm == SLOT else mem)
                rm = RSP
            if inst.fault:
                mark = len(buf) + len(self._cut_offsets) * CUT + FAULT_OFFSET
                self.traps.append((mark, TRAP_OUT_OF_BOUNDS_MEMORY))
                self.positions.append((mark, inst.pos))
            # multiplication, because CPython specialises it, and not the shift
            key = ((inst.rd * 64 + inst.rn) * 64 + rm) * 64 + inst.rx
            if immediates[op]:
                imm = inst.imm
                assert type(imm) is int
                if not -128 <= imm < 128:
                    self._large_immediate(inst, key, rm, mem)
                    continue
                key += imm * IMM_KEY
            if not mem:
                head = memo[op].get(key)
                buf += _miss(key, inst, rm, 0, 0) if head is None else head
            elif -512 <= mem < 512:
                key += mem * MEM_KEY
                head = memo[op].get(key)
                buf += _miss(key, inst, rm, mem, 0) if head is None else head
            elif not immediates[op]:
                key += ((mem & 3) + 512) * MEM_KEY
                head = memo[op].get(key)
                buf += _miss(key, inst, rm, mem & 3, CUT_DISPLACEMENT) if head is None else head
                buf += _pack(mem >> 2)
            else:
                self._large_immediate(inst, key, rm, mem)

    def _large_immediate(self, inst: MInst, key: int, rm: int, mem: int) -> None:
        """Emit an instruction whose immediate, or displacement beside an immediate, does not fit a byte."""
        imm = inst.imm
        assert type(imm) is int
        kind = _immediates[inst.op]
        if kind == IMM_UNKNOWN:
            kind = _immediates[inst.op] = forms(inst.op)[-1].imm
        if -512 <= mem < 512 and IMM_8 <= kind <= IMM_64:
            key += mem * MEM_KEY + LARGE_IMM * IMM_KEY
            head = _memo[inst.op].get(key)
            self.buf += _miss(key, inst, rm, mem, CUT_IMMEDIATE) if head is None else head
            self.buf += immediate_bytes(kind, imm)
        else:
            self.buf += encode_fields(inst.op, inst.rd, inst.rn, rm, inst.rx, mem, imm)

    def _near(self, inst: MInst) -> None:
        """Emit an instruction whose memory operand is a pool constant or the word of a symbol."""
        imm = inst.imm
        assert isinstance(imm, int)
        if -128 <= imm < 128:
            key = ((inst.rd * 64 + inst.rn) * 64 + RIP) * 64 + NONE + imm * IMM_KEY
            text = _memo[inst.op].get(key) or _miss(key, inst, RIP, 0, 0)
        else:
            text = encode_fields(inst.op, inst.rd, inst.rn, RIP, NONE, 0, imm)
        rest = forms(inst.op)[-1].size
        if len(forms(inst.op)) > 1 and -128 <= imm < 128:
            rest = forms(inst.op)[0].size
        self.buf += text[: len(text) - 4 - rest]
        if inst.rm == POOL:
            self.pool_field(inst.mem >> 2, rest)
        else:
            assert not rest
            self.reloc(RELOC_SYMBOL, inst.mem >> 2)
        self.buf += text[len(text) - rest :]

    def inst(self, op: int, rd: int = NONE, rn: int = NONE, rm: int = NONE, mem: int = 0, imm: int = 0) -> None:
        """Emit one instruction of a sequence."""
        if -128 <= imm < 128 and -512 <= mem < 512:
            key = ((rd * 64 + rn) * 64 + rm) * 64 + NONE + mem * MEM_KEY + imm * IMM_KEY
            text = _memo[op].get(key)
            if text is None:
                text = _memo[op][key] = encode_fields(op, rd, rn, rm, NONE, mem, imm)
            self.buf += text
        else:
            self.buf += encode_fields(op, rd, rn, rm, NONE, mem, imm)

    def pseudo(self, inst: MInst, block: MBlock) -> None:
        """Emit a pseudo operation."""
        raise NotImplementedError
