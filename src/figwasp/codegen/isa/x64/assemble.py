"""Floor 3: x86-64's part of emission: instructions by memo, and the byte sequences of the pseudo operations.

`codegen/emit.py` drives it: in go the blocks of an allocated MFunc whose frame is finished, out come bytes. Registers, stack
layout and stubs are those of the machine conventions: context r15, scratch r11, callee pops stack arguments.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from figwasp.codegen import frame
from figwasp.codegen.assembler import ALWAYS, UNBOUND, Site
from figwasp.codegen.code import (
    FIELD_NEAR,
    RELOC_BUILTIN,
    RELOC_CELL,
    STUB_ALLOCATE,
    STUB_FUEL,
    STUB_TICK,
    STUB_TRAP,
    STUB_UNWIND,
)
from figwasp.codegen.isa.x64 import insts as x
from figwasp.codegen.isa.x64 import registers as r
from figwasp.codegen.isa.x64.encode import encode_fields
from figwasp.codegen.isa.x64.frames import FIELD_SIZES, FILLER, apply
from figwasp.codegen.isa.x64.tails import SITE_TAIL, TailAssembler, TailSite
from figwasp.codegen.mach import (
    ARRIVE,
    BRANCH,
    CALL,
    COPY,
    ENTRY,
    FIRST_ROW,
    FUEL,
    INVOKE,
    JUMP,
    POLL,
    RET,
    SWITCH,
    TAIL,
    TO_BUILTIN,
    TO_CELL,
    TO_FUNC,
    TO_MEMORY,
    TO_REGISTER,
    TRAP,
    TRAPIF,
    UNWIND,
    CallSite,
    MBlock,
    MInst,
)
from figwasp.errors import TRAP_STACK_EXHAUSTED
from figwasp.ir.func import CONV_WASM
from figwasp.layout import (
    CELL_SIZES,
    CELLS_END,
    CELLS_LOW,
    CELLS_RECORD_SIZE,
    CTX_CELLS,
    CTX_FUEL,
    CTX_REAL_LIMIT,
    CTX_STACK_LIMIT,
)

__all__ = ["X64Assembler"]

LARGE_FRAME: Final = 4096
"""Frames above it are checked before they are made: the room below the limit might not hold them."""
SMALL_FRAME: Final = 1024
"""Leaves with frames below it are not checked."""

# Kinds of sites
SITE_TRAP: Final = 0
SITE_TICK: Final = 1
SITE_TICK_LARGE: Final = 2  # a tick before a large frame is made, or its overflow
SITE_FUEL: Final = 3
SITE_ALLOCATE: Final = 4  # its trap code is the class of cells

_pack: Final = struct.Struct("<i").pack
_BYTE: Final = [bytes((value,)) for value in range(256)]
_SHORT_JUMP: Final = b"\xeb"
_SHORT_BRANCH: Final = [bytes((0x70 | condition,)) for condition in range(16)]
_LONG_BRANCH: Final = [bytes((0x0F, 0x80 | condition)) for condition in range(16)]


class X64Assembler(TailAssembler):
    """The state of one function's emission; `codegen.emit.emit` runs it."""

    __slots__ = ()

    field_sizes = FIELD_SIZES
    short_size = 2
    short_reach = 127
    long_jump = 5
    long_branch = 6

    def pseudo(self, inst: MInst, block: MBlock) -> None:
        """Emit a pseudo operation."""
        _DISPATCH[inst.op](self, inst, block)

    def _refuse(self, inst: MInst, block: MBlock) -> None:
        raise ValueError(f"pseudo operation {inst.op} in emission")

    def _entry(self, inst: MInst, block: MBlock) -> None:
        """Emit the prologue: check the stack, make the frame, save registers."""
        func = self.func
        size = func.frame_size
        check = func.conv == CONV_WASM and not func.continues and (func.polls or func.has_calls or size >= SMALL_FRAME)
        if check and size > LARGE_FRAME:
            self.inst(x.LEA64_RM, r.SCRATCH, rm=r.RSP, mem=-size << 2)
            self.inst(x.CMP64_RM, rn=r.SCRATCH, rm=r.CONTEXT, mem=CTX_STACK_LIMIT << 2)
            self._slow_path(SITE_TICK_LARGE, inst.pos)
        if size:
            self.inst(x.SUB64_RI, r.RSP, r.RSP, imm=size)
        if check and size <= LARGE_FRAME:
            self._check_stack(inst.pos)
        for register, place in frame.saved_places(func):
            self.inst(x.MOV64_MR, rn=register, rm=r.RSP, mem=place << 2)

    def _check_stack(self, pos: int) -> None:
        """Compare the stack pointer with the limit, which also is how a tick shows."""
        self.inst(x.CMP64_RM, rn=r.RSP, rm=r.CONTEXT, mem=CTX_STACK_LIMIT << 2)
        self._slow_path(SITE_TICK, pos)

    def _slow_path(self, kind: int, pos: int, condition: int = r.CC_B) -> None:
        """Branch out of line on a condition (below, unless it is given), and come back here."""
        label = self.new_label()
        back = self.new_label()
        self.branch(condition, label)
        self.bind(back)
        self.sites.append(Site(label, back, kind, 0, pos))

    def _ret(self, inst: MInst, block: MBlock) -> None:
        """Emit the epilogue."""
        func = self.func
        self._restore(0)
        if func.frame_size:
            self.inst(x.ADD64_RI, r.RSP, r.RSP, imm=func.frame_size)
        if func.incoming:
            self.inst(x.RET_I, imm=func.incoming)
        else:
            self.inst(x.RET)

    def _copy(self, inst: MInst, block: MBlock) -> None:
        """Copy a whole register."""
        if inst.rd != inst.rn:
            self.inst(x.MOVAPS_RR if inst.rd >= r.XMM0 else x.MOV64_RR, inst.rd, inst.rn)

    def _call(self, inst: MInst, block: MBlock) -> None:
        """Emit a call, or what takes a cell of the heap."""
        site = inst.imm
        assert isinstance(site, CallSite)
        if site.kind == TO_CELL:
            self._allocate(site.target, inst.pos)
        else:
            self._make_call(site, inst.pos)

    def _make_call(self, site: CallSite, pos: int) -> int:
        """Emit a call; a callee of the wasm convention has popped its stack arguments, so the frame is made whole again.

        Return the mark of its return address.
        """
        kind = site.kind
        if kind == TO_FUNC or kind == TO_BUILTIN:
            self.buf += b"\xff\x15"
            self.reloc(RELOC_CELL if kind == TO_FUNC else RELOC_BUILTIN, site.target)
        elif kind == TO_REGISTER:
            self.inst(x.CALL_R, rn=site.address)
        elif kind == TO_MEMORY:
            self.inst(x.CALL_M, rm=site.address, mem=site.target << 2)
        else:
            self._call_stub(site.target)
        self.record(pos)
        mark = self.mark()
        if site.stack_bytes and self.func.conv == CONV_WASM and kind <= TO_BUILTIN:
            self.pushed.append((mark, site.stack_bytes))
            self.inst(x.SUB64_RI, r.RSP, r.RSP, imm=site.stack_bytes)
        return mark

    def _invoke(self, inst: MInst, block: MBlock) -> None:
        """Emit a call with a handler, which the runtime finds by the return address; then go on."""
        site = inst.imm
        assert isinstance(site, CallSite)
        mark = self._make_call(site, inst.pos)
        self.handlers.append((mark, site.catches, self.targets[block.succs[1].id]))
        self.jump(self.targets[block.succs[0].id])

    def _arrive(self, inst: MInst, block: MBlock) -> None:
        """Emit nothing: the results are there."""

    def _allocate(self, number: int, pos: int) -> None:
        """Take the last free cell of a class into the result's register; call out of line when there is none."""
        cells = CTX_CELLS + CELLS_RECORD_SIZE * number
        label, done = self.new_label(), self.new_label()
        self.inst(x.MOV64_RM, r.RAX, rm=r.CONTEXT, mem=cells + CELLS_END << 2)
        self.inst(x.SUB64_RI, r.RAX, r.RAX, imm=CELL_SIZES[number])
        self.inst(x.CMP64_RM, rn=r.RAX, rm=r.CONTEXT, mem=cells + CELLS_LOW << 2)
        self.branch(r.CC_B, label)
        self.inst(x.MOV64_MR, rn=r.RAX, rm=r.CONTEXT, mem=cells + CELLS_END << 2)
        self.bind(done)
        self.sites.append(Site(label, done, SITE_ALLOCATE, number, pos))

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
        elif condition >= r.CC_FEQ:
            if condition == r.CC_FNE:
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
        self.branch(r.CC_P, then)
        if then == self.next:
            self.branch(r.CC_E, other)
        else:
            self.branch(r.CC_NE, then)
            self.jump(other)

    def _switch(self, inst: MInst, block: MBlock) -> None:
        """Jump through a table of distances."""
        targets = self.targets
        head = encode_fields(x.LEA64_RM, inst.rm, rm=r.RIP)
        self.buf += head[:-4]
        self.table_field([targets[successor.id] for successor in block.succs])
        self.buf += encode_fields(x.MOVSXD_RM, inst.rx, rm=inst.rm, rx=inst.rn, mem=2)
        self.inst(x.ADD64_RR, inst.rx, inst.rx, inst.rm)
        self.inst(x.JMP_R, rn=inst.rx)

    def _trapif(self, inst: MInst, block: MBlock) -> None:
        """Branch to a trap site of its own."""
        imm = inst.imm
        assert isinstance(imm, int)
        condition = imm >> 8
        label = self.new_label()
        self.sites.append(Site(label, UNBOUND, SITE_TRAP, imm & 0xFF, inst.pos))
        if condition == r.CC_FNE:
            self.branch(r.CC_P, label)
            condition = r.CC_NE
        elif condition == r.CC_FEQ:
            over = self.new_label()
            self.branch(r.CC_P, over)
            self.branch(r.CC_E, label)
            self.bind(over)
            return
        self.branch(condition, label)

    def _trap(self, inst: MInst, block: MBlock) -> None:
        trap = inst.imm
        assert isinstance(trap, int)
        self._call_stub(STUB_TRAP)
        self.record(inst.pos, trap)

    def _unwind(self, inst: MInst, block: MBlock) -> None:
        self._jump_stub(STUB_UNWIND)

    def _poll(self, inst: MInst, block: MBlock) -> None:
        self._check_stack(inst.pos)

    def _fuel(self, inst: MInst, block: MBlock) -> None:
        amount = inst.imm
        assert isinstance(amount, int)
        self.inst(x.SUB64_MI, rm=r.CONTEXT, mem=CTX_FUEL << 2, imm=amount)
        self._slow_path(SITE_FUEL, inst.pos, r.CC_S)

    # Hooks of the driver

    def site(self, site: Site) -> None:
        """Emit an out-of-line sequence."""
        if site.kind == SITE_TRAP:
            self._call_stub(STUB_TRAP)
            self.record(site.pos, site.trap)
            return
        if site.kind == SITE_ALLOCATE:
            self.inst(x.MOV32_RI, r.SCRATCH, imm=site.trap)
            self._call_stub(STUB_ALLOCATE)
            self.record(site.pos)
            return
        if site.kind == SITE_TAIL:
            assert isinstance(site, TailSite)
            self.tail_out(site)
            return
        self._call_stub(STUB_FUEL if site.kind == SITE_FUEL else STUB_TICK)
        self.record(site.pos)
        if site.kind == SITE_TICK_LARGE:
            # The stub judges by the stack pointer, which is not yet where this frame will put it, and uses the scratch register
            self.frame_size_exceptions.append((self.mark(), 0))
            self.inst(x.LEA64_RM, r.SCRATCH, rm=r.RSP, mem=-self.func.frame_size << 2)
            self.inst(x.CMP64_RM, rn=r.SCRATCH, rm=r.CONTEXT, mem=CTX_REAL_LIMIT << 2)
            self.branch(r.CC_B ^ 1, site.back)
            self._call_stub(STUB_TRAP)
            self.record(site.pos, TRAP_STACK_EXHAUSTED)
            self.frame_size_exceptions.append((self.mark(), 0))
            site.back = UNBOUND

    def branch_bytes(self, condition: int, distance: int, short: bool) -> bytes:
        """Encode jmp or jcc."""
        if short:
            return (_SHORT_JUMP if condition == ALWAYS else _SHORT_BRANCH[condition]) + _BYTE[distance & 0xFF]
        if condition == ALWAYS:
            return b"\xe9" + _pack(distance)
        return _LONG_BRANCH[condition] + _pack(distance)

    def fill(self, data: bytearray, field: int, goal: int, rest: int) -> None:
        """Fill in a distance, which counts from the end of the instruction."""
        apply(data, field, FIELD_NEAR, 0, goal - rest)

    def padding(self) -> bytes:
        """Return int3."""
        return FILLER


_DISPATCH: Final[list[Callable[[X64Assembler, MInst, MBlock], None]]] = [X64Assembler._refuse] * FIRST_ROW
_DISPATCH[ENTRY] = X64Assembler._entry
_DISPATCH[COPY] = X64Assembler._copy
_DISPATCH[CALL] = X64Assembler._call
_DISPATCH[RET] = X64Assembler._ret
_DISPATCH[TAIL] = X64Assembler.tail
_DISPATCH[JUMP] = X64Assembler._jump
_DISPATCH[BRANCH] = X64Assembler._branch
_DISPATCH[SWITCH] = X64Assembler._switch
_DISPATCH[TRAPIF] = X64Assembler._trapif
_DISPATCH[TRAP] = X64Assembler._trap
_DISPATCH[UNWIND] = X64Assembler._unwind
_DISPATCH[POLL] = X64Assembler._poll
_DISPATCH[FUEL] = X64Assembler._fuel
_DISPATCH[INVOKE] = X64Assembler._invoke
_DISPATCH[ARRIVE] = X64Assembler._arrive
