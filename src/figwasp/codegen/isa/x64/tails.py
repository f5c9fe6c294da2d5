"""Floor 3: x86-64's tail calls: epilogues that end in a jump (decision 014).

In: a TAIL, whose arguments have been put together. Out: bytes. A callee pops its own stack arguments, so they end where those of
the function end, and the return address stands below them.
"""

from __future__ import annotations

from typing import Final

from figwasp.codegen import frame
from figwasp.codegen.assembler import UNBOUND, Site
from figwasp.codegen.code import RELOC_BUILTIN, RELOC_CELL, RELOC_STUB, STUB_RESTORE_INSTANCE
from figwasp.codegen.isa.x64 import insts as x
from figwasp.codegen.isa.x64 import registers as r
from figwasp.codegen.isa.x64.encode import encode_fields
from figwasp.codegen.isa.x64.memo import MemoAssembler
from figwasp.codegen.mach import NONE, TO_BUILTIN, TO_FUNC, TO_MEMORY, TO_REGISTER, CallSite, MBlock, MInst
from figwasp.ir.types import CELL

__all__ = ["SITE_TAIL", "TailAssembler", "TailSite"]

SITE_TAIL: Final = 16
"""The kind of a `TailSite`, beside those of `assemble`."""


class TailSite(Site):
    """The sequence of a tail call that leaves the instance; it goes on at `back` if that has been left already.

    Attributes:
        call: its operands.
    """

    __slots__ = ("call",)

    def __init__(self, label: int, back: int, pos: int, call: CallSite) -> None:
        super().__init__(label, back, SITE_TAIL, 0, pos)
        self.call = call


class TailAssembler(MemoAssembler):
    """The part of the assembler that emits tail calls."""

    __slots__ = ()

    def _restore(self, keep: int) -> None:
        """Restore the saved registers but those in the bit set `keep`."""
        for register, place in frame.saved_places(self.func):
            if not keep >> register & 1:
                self.inst(x.MOV64_RM, register, rm=r.RSP, mem=place << 2)

    def _call_stub(self, stub: int) -> None:
        self.buf += b"\xff\x15"
        self.reloc(RELOC_STUB, stub)

    def _jump_stub(self, stub: int) -> None:
        self.buf += b"\xff\x25"
        self.reloc(RELOC_STUB, stub)

    def tail(self, inst: MInst, block: MBlock) -> None:
        """Emit the epilogue and jump. Stack arguments stand or move where they end as ours do: the callee pops its own."""
        site = inst.imm
        assert isinstance(site, CallSite)
        func = self.func
        passed = sum(1 << place for place in site.arg_locs if place < r.XMM0)
        self._restore(passed)
        if site.leaves and r.INSTANCE in func.saved:  # else it passes what it has got
            saved = self._saved_instance() << 2
            self.inst(x.CMP64_RM, rn=r.INSTANCE, rm=r.RSP, mem=saved)
            out = TailSite(self.new_label(), self.new_label(), inst.pos, site)
            self.sites.append(out)
            self.branch(r.CC_NE, out.label)
            self.inst(x.MOV64_RM, r.INSTANCE, rm=r.RSP, mem=saved)  # the same, but known at once: it comes from no table
            self.bind(out.back)
        size = func.frame_size + func.incoming - site.stack_bytes  # from the stack pointer to the return address, then
        if size != func.frame_size or (site.stack_bytes and site.in_place == NONE):
            self.inst(x.PUSH_M, rm=r.RSP, mem=func.frame_size << 2)
            if site.in_place == NONE:
                self._move_arguments(site, 8, size + 16)
            self.inst(x.POP_M, rm=r.RSP, mem=size << 2)
        if size:
            self.inst(x.ADD64_RI, r.RSP, r.RSP, imm=size)
        if site.kind == TO_FUNC or site.kind == TO_BUILTIN:
            self.buf += b"\xff\x25"
            self.reloc(RELOC_CELL if site.kind == TO_FUNC else RELOC_BUILTIN, site.target)
        elif site.kind == TO_REGISTER:
            self.inst(x.JMP_R, rn=site.address)
        elif site.kind == TO_MEMORY:
            self.inst(x.JMP_M, rm=site.address, mem=site.target << 2)
        else:
            self._jump_stub(site.target)

    def _saved_instance(self) -> int:
        """Return the place of the instance that the function has to give back."""
        return next(place for register, place in frame.saved_places(self.func) if register == r.INSTANCE)

    def tail_out(self, site: TailSite) -> None:
        """Emit what a tail call does that leaves the instance (decision 014), all registers but the instance's being restored.

        If nothing below restores the instance yet, what is called returns to a frame of two words, the caller's instance and our
        return address, with the stub that uses them as its own return address.
        """
        call = site.call
        held = call.address == r.SCRATCH
        if held:
            self.inst(x.MOVQ_XR, r.FLOAT_SCRATCH, rn=r.SCRATCH)
        self._restorer()
        self.inst(x.CMP64_RM, rn=r.SCRATCH, rm=r.RSP, mem=self.func.frame_size << 2)
        if held:
            self.inst(x.MOVQ_RX, r.SCRATCH, rn=r.FLOAT_SCRATCH)
        self.branch(r.CC_E, site.back)
        site.back = UNBOUND
        self._insert_frame(call)

    def _restorer(self) -> None:
        """Load the address of the stub that gives the instance back into the scratch register."""
        head = encode_fields(x.MOV64_RM, r.SCRATCH, rm=r.RIP)
        self.buf += head[:-4]
        self.reloc(RELOC_STUB, STUB_RESTORE_INSTANCE)

    def _insert_frame(self, site: CallSite) -> None:
        """Emit the frame of two words, and the jump."""
        func = self.func
        end = func.frame_size + func.incoming
        size = end - site.stack_bytes  # from the stack pointer to where the return address would be without that frame
        if site.kind == TO_REGISTER:
            self.inst(x.PUSH_R, rn=site.address)
        else:
            self.inst(x.PUSH_M, rm=site.address, mem=site.target << 2)
        self.inst(x.PUSH_M, rm=r.RSP, mem=func.frame_size + 8 << 2)
        self.inst(x.PUSH_M, rm=r.RSP, mem=self._saved_instance() + 16 << 2)
        self._restorer()
        self._move_arguments(site, 24 if site.in_place == NONE else size + 32, size + 16)
        self.inst(x.POP_M, rm=r.RSP, mem=end + 8 << 2)
        self.inst(x.POP_M, rm=r.RSP, mem=end + 8 << 2)
        self.inst(x.MOVQ_XM, r.FLOAT_SCRATCH, rm=r.RSP, mem=0)  # the place below may be that of the code's address
        self.inst(x.MOV64_MR, rn=r.SCRATCH, rm=r.RSP, mem=size - 8 << 2)
        self.inst(x.MOVQ_RX, r.SCRATCH, rn=r.FLOAT_SCRATCH)
        self.inst(x.LEA64_RM, r.RSP, rm=r.RSP, mem=size - 8 << 2)
        self.inst(x.JMP_R, rn=r.SCRATCH)

    def _move_arguments(self, site: CallSite, source: int, target: int) -> None:
        """Move stack arguments; the offsets are from the stack pointer.

        It goes by cells, as they have been stored: a load that spans two stores has to wait for both.
        """
        cells = range(0, site.stack_bytes, CELL)
        for offset in cells if source > target else reversed(cells):
            self.inst(x.MOVQ_XM, r.FLOAT_SCRATCH, rm=r.RSP, mem=source + offset << 2)
            self.inst(x.MOVSD_MR, rn=r.FLOAT_SCRATCH, rm=r.RSP, mem=target + offset << 2)
