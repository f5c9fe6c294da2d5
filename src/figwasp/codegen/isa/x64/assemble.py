"""Floor 3: x86-64's part of emission: instructions by memo, and the byte sequences of the pseudo operations.

`codegen/emit.py` drives it: in go the blocks of an allocated MFunc whose frame is finished, out come bytes. Registers, stack
layout and stubs are those of the machine conventions: context r15, scratch r11, callee pops stack arguments.

The head of an instruction (all of it, as long as displacement and immediate fit a byte) is looked up in a dict by one packed int; a
miss goes through `encode.py`. A function of compiled C has 100 times more instructions than distinct heads.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from figwasp.codegen import frame
from figwasp.codegen.code import (
    RELOC_BUILTIN,
    RELOC_CELL,
    RELOC_STUB,
    STUB_TICK,
    STUB_TRAP,
    STUB_UNWIND,
)
from figwasp.codegen.emit import ALWAYS, CUT, UNBOUND, Assembler, Site
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
from figwasp.codegen.isa.x64.registers import (
    CC_B,
    CC_E,
    CC_FEQ,
    CC_FNE,
    CC_NE,
    CC_P,
    CONTEXT,
    RIP,
    RSP,
    SCRATCH,
)
from figwasp.codegen.mach import (
    AREA,
    BRANCH,
    CALL,
    COPY,
    ENTRY,
    FIRST_ROW,
    FLOAT0,
    INCOMING,
    JUMP,
    NONE,
    POLL,
    POOL,
    RET,
    SLOT,
    SWITCH,
    TAIL,
    TO_BUILTIN,
    TO_FUNC,
    TO_MEMORY,
    TO_REGISTER,
    TRAP,
    TRAPIF,
    UNWIND,
    CallSite,
    MBlock,
    MFunc,
    MInst,
)
from figwasp.errors import TRAP_OUT_OF_BOUNDS_MEMORY, TRAP_STACK_EXHAUSTED
from figwasp.ir.func import CONV_WASM
from figwasp.layout import CTX_REAL_LIMIT, CTX_STACK_LIMIT

RETURN_BYTES: Final = 8
"""Bytes that a call pushes."""
LARGE_FRAME: Final = 4096
"""Frames above it are checked before they are made: the room below the limit might not hold them."""
SMALL_FRAME: Final = 1024
"""Leaves with frames below it are not checked."""

# Kinds of sites
SITE_TRAP: Final = 0
SITE_TICK: Final = 1
SITE_TICK_LARGE: Final = 2  # before the frame is made; its address would be in the scratch register

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


_BYTE: Final = [bytes((value,)) for value in range(256)]
_SHORT_JUMP: Final = b"\xeb"
_SHORT_BRANCH: Final = [bytes((0x70 | condition,)) for condition in range(16)]
_LONG_BRANCH: Final = [bytes((0x0F, 0x80 | condition)) for condition in range(16)]


class X64Assembler(Assembler):
    """The state of one function's emission; `codegen.emit.emit` runs it."""

    __slots__ = ("_bases",)

    short_size = 2
    short_reach = 127
    long_jump = 5
    long_branch = 6

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
        last_register = FLOAT0 + 15
        for inst in block.code:
            op = inst.op
            if op < FIRST_ROW:
                _DISPATCH[op](self, inst, block)
                continue
            rm = inst.rm
            mem = inst.mem
            if rm > last_register:
                if rm == POOL:
                    self._pool(inst)
                    continue
                mem = self._bases[rm] + ((mem & -4) << 3 if rm == SLOT else mem)
                rm = RSP
            if inst.fault:
                mark = len(buf) + len(self._cut_offsets) * CUT
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
                buf += encode_fields(op, inst.rd, inst.rn, rm, inst.rx, mem, imm)

    def _large_immediate(self, inst: MInst, key: int, rm: int, mem: int) -> None:
        """Emit an instruction whose immediate does not fit a byte."""
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

    def _pool(self, inst: MInst) -> None:
        """Emit an instruction whose memory operand is a pool constant."""
        imm = inst.imm
        assert isinstance(imm, int)
        text = encode_fields(inst.op, inst.rd, inst.rn, RIP, NONE, 0, imm)
        rest = forms(inst.op)[-1].size
        if len(forms(inst.op)) > 1 and -128 <= imm < 128:
            rest = forms(inst.op)[0].size
        self.buf += text[: len(text) - 4 - rest]
        self.pool_field(inst.mem >> 2, rest)
        self.buf += text[len(text) - rest :]

    # Pseudo operations

    def _inst(self, op: int, rd: int = NONE, rn: int = NONE, rm: int = NONE, mem: int = 0, imm: int = 0) -> None:
        """Emit one instruction of a sequence."""
        if -128 <= imm < 128 and -512 <= mem < 512:
            key = ((rd * 64 + rn) * 64 + rm) * 64 + NONE + mem * MEM_KEY + imm * IMM_KEY
            text = _memo[op].get(key)
            if text is None:
                text = _memo[op][key] = encode_fields(op, rd, rn, rm, NONE, mem, imm)
            self.buf += text
        else:
            self.buf += encode_fields(op, rd, rn, rm, NONE, mem, imm)

    def _refuse(self, inst: MInst, block: MBlock) -> None:
        raise ValueError(f"pseudo operation {inst.op} in emission")

    def _entry(self, inst: MInst, block: MBlock) -> None:
        """Emit the prologue: check the stack, make the frame, save registers."""
        func = self.func
        size = func.frame_size
        check = func.conv == CONV_WASM and (func.polls or func.has_calls or size >= SMALL_FRAME)
        if check and size > LARGE_FRAME:
            self._inst(insts.LEA64_RM, SCRATCH, rm=RSP, mem=-size << 2)
            self._inst(insts.CMP64_RM, rn=SCRATCH, rm=CONTEXT, mem=CTX_STACK_LIMIT << 2)
            self._slow_path(SITE_TICK_LARGE, inst.pos)
        if size:
            self._inst(insts.SUB64_RI, RSP, RSP, imm=size)
        if check and size <= LARGE_FRAME:
            self._check_stack(inst.pos)
        saved = frame.saved_offset(func)
        for register in func.saved:
            self._inst(insts.MOV64_MR, rn=register, rm=RSP, mem=saved << 2)
            saved += frame.WORD

    def _check_stack(self, pos: int) -> None:
        """Compare the stack pointer with the limit, which also is how a tick shows."""
        self._inst(insts.CMP64_RM, rn=RSP, rm=CONTEXT, mem=CTX_STACK_LIMIT << 2)
        self._slow_path(SITE_TICK, pos)

    def _slow_path(self, kind: int, pos: int) -> None:
        """Branch out of line when below, and come back here."""
        label = self.new_label()
        back = self.new_label()
        self.branch(CC_B, label)
        self.bind(back)
        self.sites.append(Site(label, back, kind, 0, pos))

    def _restore(self, keep: int) -> None:
        """Restore the saved registers but those in the bit set `keep`."""
        saved = frame.saved_offset(self.func)
        for register in self.func.saved:
            if not keep >> register & 1:
                self._inst(insts.MOV64_RM, register, rm=RSP, mem=saved << 2)
            saved += frame.WORD

    def _ret(self, inst: MInst, block: MBlock) -> None:
        """Emit the epilogue."""
        func = self.func
        self._restore(0)
        if func.frame_size:
            self._inst(insts.ADD64_RI, RSP, RSP, imm=func.frame_size)
        if func.incoming:
            self._inst(insts.RET_I, imm=func.incoming)
        else:
            self._inst(insts.RET)

    def _copy(self, inst: MInst, block: MBlock) -> None:
        """Copy a whole register."""
        if inst.rd != inst.rn:
            self._inst(insts.MOVAPS_RR if inst.rd >= FLOAT0 else insts.MOV64_RR, inst.rd, inst.rn)

    def _call(self, inst: MInst, block: MBlock) -> None:
        """Emit a call; a callee of the wasm convention has popped its stack arguments, so the frame is made whole again."""
        site = inst.imm
        assert isinstance(site, CallSite)
        kind = site.kind
        if kind == TO_FUNC or kind == TO_BUILTIN:
            self.buf += b"\xff\x15"
            self.reloc(RELOC_CELL if kind == TO_FUNC else RELOC_BUILTIN, site.target)
        elif kind == TO_REGISTER:
            self._inst(insts.CALL_R, rn=site.address)
        elif kind == TO_MEMORY:
            self._inst(insts.CALL_M, rm=site.address, mem=site.target << 2)
        else:
            self._stub(b"\xe8", site.target)
        self.record(inst.pos)
        if site.stack_bytes and self.func.conv == CONV_WASM and kind <= TO_BUILTIN:
            self._inst(insts.SUB64_RI, RSP, RSP, imm=site.stack_bytes)

    def _stub(self, opcode: bytes, stub: int) -> None:
        """Call (E8) or jump to (E9) a stub."""
        self.buf += opcode
        self.reloc(RELOC_STUB, stub)

    def _tail(self, inst: MInst, block: MBlock) -> None:
        """Emit the epilogue and jump; stack arguments are in the incoming cells already, as many bytes as ours."""
        site = inst.imm
        assert isinstance(site, CallSite)
        kind = site.kind
        passed = 0
        for place in site.arg_locs:
            if place < FLOAT0:
                passed |= 1 << place
        self._restore(passed)
        if self.func.frame_size:
            self._inst(insts.ADD64_RI, RSP, RSP, imm=self.func.frame_size)
        if kind == TO_FUNC or kind == TO_BUILTIN:
            self.buf += b"\xff\x25"
            self.reloc(RELOC_CELL if kind == TO_FUNC else RELOC_BUILTIN, site.target)
        elif kind == TO_REGISTER:
            self._inst(insts.JMP_R, rn=site.address)
        elif kind == TO_MEMORY:
            self._inst(insts.JMP_M, rm=site.address, mem=site.target << 2)
        else:
            self._stub(b"\xe9", site.target)

    def _jump(self, inst: MInst, block: MBlock) -> None:
        label = self.targets[block.succs[0].id]
        if label != self.next:
            self.branch(ALWAYS, label)

    def _branch(self, inst: MInst, block: MBlock) -> None:
        """Branch on the flags; the successor that comes next costs nothing."""
        condition = inst.imm
        assert type(condition) is int
        targets = self.targets
        succs = block.succs
        then = targets[succs[0].id]
        other = targets[succs[1].id]
        if then == other:
            self.jump(then)
        elif condition >= CC_FEQ:
            if condition == CC_FNE:
                self._branch_unequal(then, other)
            else:
                self._branch_unequal(other, then)
        elif then == self.next:
            self.branch(condition ^ 1, other)
        else:
            self.branch(condition, then)
            if other != self.next:
                self.branch(ALWAYS, other)

    def _branch_unequal(self, then: int, other: int) -> None:
        """Branch to `then` when unequal or unordered."""
        self.branch(CC_P, then)
        if then == self.next:
            self.branch(CC_E, other)
        else:
            self.branch(CC_NE, then)
            self.jump(other)

    def _switch(self, inst: MInst, block: MBlock) -> None:
        """Jump through a table of distances."""
        targets = self.targets
        head = encode_fields(insts.LEA64_RM, inst.rm, rm=RIP)
        self.buf += head[:-4]
        self.table_field([targets[successor.id] for successor in block.succs])
        self.buf += encode_fields(insts.MOVSXD_RM, inst.rx, rm=inst.rm, rx=inst.rn, mem=2)
        self._inst(insts.ADD64_RR, inst.rx, inst.rx, inst.rm)
        self._inst(insts.JMP_R, rn=inst.rx)

    def _trapif(self, inst: MInst, block: MBlock) -> None:
        """Branch to a trap site of its own."""
        imm = inst.imm
        assert isinstance(imm, int)
        condition = imm >> 8
        label = self.new_label()
        self.sites.append(Site(label, UNBOUND, SITE_TRAP, imm & 0xFF, inst.pos))
        if condition == CC_FNE:
            self.branch(CC_P, label)
            condition = CC_NE
        elif condition == CC_FEQ:
            over = self.new_label()
            self.branch(CC_P, over)
            self.branch(CC_E, label)
            self.bind(over)
            return
        self.branch(condition, label)

    def _trap(self, inst: MInst, block: MBlock) -> None:
        trap = inst.imm
        assert isinstance(trap, int)
        self._stub(b"\xe8", STUB_TRAP)
        self.record(inst.pos, trap)

    def _unwind(self, inst: MInst, block: MBlock) -> None:
        self._stub(b"\xe9", STUB_UNWIND)

    def _poll(self, inst: MInst, block: MBlock) -> None:
        self._check_stack(inst.pos)

    # Hooks of the driver

    def site(self, site: Site) -> None:
        """Emit an out-of-line sequence."""
        if site.kind == SITE_TRAP:
            self._stub(b"\xe8", STUB_TRAP)
            self.record(site.pos, site.trap)
            return
        self._stub(b"\xe8", STUB_TICK)
        self.record(site.pos)
        if site.kind == SITE_TICK_LARGE:
            # The stub judges by the stack pointer, which is not yet where this frame will put it, and uses the scratch register
            self.odd_frames.append((self.mark(), 0))
            self._inst(insts.LEA64_RM, SCRATCH, rm=RSP, mem=-self.func.frame_size << 2)
            self._inst(insts.CMP64_RM, rn=SCRATCH, rm=CONTEXT, mem=CTX_REAL_LIMIT << 2)
            self.branch(CC_B ^ 1, site.back)
            self._stub(b"\xe8", STUB_TRAP)
            self.record(site.pos, TRAP_STACK_EXHAUSTED)
            self.odd_frames.append((self.mark(), 0))
            site.back = UNBOUND

    def branch_bytes(self, condition: int, distance: int, short: bool) -> bytes:
        """Encode jmp or jcc."""
        if short:
            return (_SHORT_JUMP if condition == ALWAYS else _SHORT_BRANCH[condition]) + _BYTE[distance & 0xFF]
        if condition == ALWAYS:
            return b"\xe9" + _pack(distance)
        return _LONG_BRANCH[condition] + _pack(distance)

    def padding(self) -> bytes:
        """Return int3."""
        return b"\xcc"


_DISPATCH: Final[list[Callable[[X64Assembler, MInst, MBlock], None]]] = [X64Assembler._refuse] * FIRST_ROW
_DISPATCH[ENTRY] = X64Assembler._entry
_DISPATCH[COPY] = X64Assembler._copy
_DISPATCH[CALL] = X64Assembler._call
_DISPATCH[RET] = X64Assembler._ret
_DISPATCH[TAIL] = X64Assembler._tail
_DISPATCH[JUMP] = X64Assembler._jump
_DISPATCH[BRANCH] = X64Assembler._branch
_DISPATCH[SWITCH] = X64Assembler._switch
_DISPATCH[TRAPIF] = X64Assembler._trapif
_DISPATCH[TRAP] = X64Assembler._trap
_DISPATCH[UNWIND] = X64Assembler._unwind
_DISPATCH[POLL] = X64Assembler._poll
