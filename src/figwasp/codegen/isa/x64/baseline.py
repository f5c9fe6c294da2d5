"""Floor 3: x86-64's part of the baseline tier: what stands between templates.

In: numbers of registers, places in the frame. Out: bytes. A place is a base register and a displacement: operands are counted from
the stack pointer, locals from RBP, which points BIAS bytes behind the first of them, so that more of them are within reach of a byte.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from typing import Final

from figwasp import layout
from figwasp.codegen.isa.x64 import insts as x
from figwasp.codegen.isa.x64 import registers as r
from figwasp.codegen.isa.x64.encode import encode_fields
from figwasp.codegen.isa.x64.frames import BIAS as BIAS
from figwasp.codegen.isa.x64.frames import FIRST_LOCAL as FIRST_LOCAL
from figwasp.codegen.isa.x64.frames import OWN_INSTANCE
from figwasp.codegen.isa.x64.frames import SAVED_POINTER as SAVED_POINTER
from figwasp.codegen.isa.x64.templates import CHECKED as CHECKED
from figwasp.codegen.isa.x64.templates import TEMPLATES as TEMPLATES


_pack: Final = Struct("<i").pack
_PROBE: Final = 0x11  # a displacement of one byte
_FAR: Final = 0x11223344


class _Move:
    """An instruction between a register and a place in the frame."""

    __slots__ = ("_far", "_near")

    def __init__(self, near: bytes, far: bytes) -> None:
        assert near[-1] == _PROBE and far[-4:] == _pack(_FAR)
        self._near = near[:-1]
        self._far = far[:-4]

    def at(self, displacement: int) -> bytes:
        """Return the instruction for a place."""
        if -128 <= displacement < 128:
            return self._near + (displacement & 0xFF).to_bytes(1, "little")
        return self._far + _pack(displacement)


def _load(register: int, base: int) -> _Move:
    row = x.MOV64_RM if register < r.XMM0 else x.MOVSD_RM
    return _Move(*[encode_fields(row, register, rm=base, mem=place << 2) for place in (_PROBE, _FAR)])


def _store(register: int, base: int) -> _Move:
    row = x.MOV64_MR if register < r.XMM0 else x.MOVSD_MR
    return _Move(*[encode_fields(row, rn=register, rm=base, mem=place << 2) for place in (_PROBE, _FAR)])


_ARGS: Final = [r.RAX, r.RCX, r.RDX, r.RSI, r.RDI, r.R8, r.R9, r.SCRATCH, r.INSTANCE, *range(r.XMM0, r.XMM8)]
LOAD_SLOT: Final = {register: _load(register, r.RSP) for register in _ARGS}
STORE_SLOT: Final = {register: _store(register, r.RSP) for register in _ARGS}
LOAD_LOCAL: Final = {register: _load(register, r.RBP) for register in _ARGS}
STORE_LOCAL: Final = {register: _store(register, r.RBP) for register in _ARGS}
_LOAD_FRAME_POINTER: Final = _load(r.RBP, r.RBP)
_STORE_FRAME_POINTER: Final = _store(r.RBP, r.RSP)
_TEST_SLOT: Final = _Move(*[encode_fields(x.CMP32_MI, rm=r.RSP, mem=place << 2, imm=0)[:-1] for place in (_PROBE, _FAR)])

CELLS_BEFORE_LOCALS: Final = (FIRST_LOCAL + BIAS) // 8
RESULT: Final = [r.RAX, r.XMM0]
"""Class -> the register in which templates have the topmost operand."""

FLOAT_FROM_INT: Final = encode_fields(x.MOVQ_XR, r.XMM0, rn=r.RAX)
INT_FROM_FLOAT: Final = encode_fields(x.MOVQ_RX, r.RAX, rn=r.XMM0)
TEST: Final = encode_fields(x.TEST32_RR, rn=r.RAX, rm=r.RAX)
TRUE: Final = r.CC_NE
ALWAYS: Final = -1


def test_slot(place: int) -> bytes:
    """Compare the operand in a slot with 0."""
    return _TEST_SLOT.at(place) + b"\0"


def opposite(condition: int) -> int:
    """Return the condition that holds when another does not."""
    return condition ^ 1


def widen(code: bytes, offset: int, slot: bool) -> bytes:
    """Make room for a displacement of 4 bytes where there is a field for one of a byte."""
    changed = bytearray(code)
    changed[offset - (2 if slot else 1)] += 0x40  # mod 01 -> 10
    changed[offset : offset + 1] = bytes(4)
    return bytes(changed)


_JUMP: Final = b"\xe9\0\0\0\0"
_BRANCH: Final = [bytes((0x0F, 0x80 | condition)) + bytes(4) for condition in range(16)]


def branch(condition: int) -> bytes:
    """Return a branch whose distance is to be filled in: its last four bytes."""
    return _JUMP if condition == ALWAYS else _BRANCH[condition]


def skip(condition: int, size: int) -> bytes:
    """Return a branch over so many bytes, or what begins one if they are many."""
    if size < 128:
        return bytes((0x70 | condition, size))
    return bytes((0x0F, 0x80 | condition)) + _pack(size)


def constant(bits: int) -> bytes:
    """Load a constant into the register for integers."""
    if bits == 0:
        return b"\x31\xc0"
    if bits < 1 << 32:
        return b"\xb8" + bits.to_bytes(4, "little")
    if bits >= (1 << 64) - (1 << 31):
        return b"\x48\xc7\xc0" + (bits & 0xFFFF_FFFF).to_bytes(4, "little")
    return b"\x48\xb8" + bits.to_bytes(8, "little")


CALL: Final = b"\xff\x15\0\0\0\0"
"""A call through a word; the last four bytes are the field."""
LOAD_CALLEE: Final = encode_fields(x.MOV64_RR, r.SCRATCH, rn=r.RAX)
CALL_REFERENCE: Final = encode_fields(x.CALL_M, rm=r.SCRATCH, mem=layout.FUNCREF_CODE << 2)
LOAD_INSTANCE: Final = encode_fields(x.MOV64_RM, r.INSTANCE, rm=r.SCRATCH, mem=layout.FUNCREF_INSTANCE << 2)


def imported(reference: int, instance: int) -> bytes:
    """Load what an imported function's reference is, and its instance, from offsets in the instance block."""
    return encode_fields(x.MOV64_RM, r.SCRATCH, rm=r.INSTANCE, mem=reference << 2) + encode_fields(
        x.MOV64_RM, r.INSTANCE, rm=r.INSTANCE, mem=instance << 2
    )


def move_stack(size: int) -> bytes:
    """Make room for so many bytes of stack arguments."""
    return encode_fields(x.SUB64_RI, r.RSP, r.RSP, imm=size)


COUNT: Final = b"\xff\x0d\0\0\0\0"
"""Decrements a word; the last four bytes are the field."""
HOT: Final = r.CC_S


def pay(amount: int) -> bytes:
    """Return what takes fuel, and branches when there is not so much."""
    return encode_fields(x.SUB64_MI, rm=r.CONTEXT, mem=layout.CTX_FUEL << 2, imm=amount) + branch(r.CC_S)


CHECK_STACK: Final = encode_fields(x.CMP64_RM, rn=r.RSP, rm=r.CONTEXT, mem=layout.CTX_STACK_LIMIT << 2)
BELOW: Final = r.CC_B


RESTORE_INSTANCE: Final = LOAD_LOCAL[r.INSTANCE].at(OWN_INSTANCE)


@lru_cache(1024)
def prologue(size: int, pointer: int) -> tuple[bytes, bytes]:
    """Return what makes the frame, checks the stack and branches if that is not well, and what follows.

    Args:
        size: bytes of the frame.
        pointer: what RBP is to be, from the stack pointer.
    """
    begin = encode_fields(x.SUB64_RI, r.RSP, r.RSP, imm=size) + CHECK_STACK + branch(BELOW)
    rest = _STORE_FRAME_POINTER.at(pointer + SAVED_POINTER) + encode_fields(x.LEA64_RM, r.RBP, rm=r.RSP, mem=pointer << 2)
    return begin, rest + STORE_LOCAL[r.INSTANCE].at(OWN_INSTANCE)


@lru_cache(1024)
def epilogue(size: int, incoming: int) -> bytes:
    """Return the end of a function."""
    back = _LOAD_FRAME_POINTER.at(SAVED_POINTER) + encode_fields(x.ADD64_RI, r.RSP, r.RSP, imm=size)
    return back + (encode_fields(x.RET_I, imm=incoming) if incoming else encode_fields(x.RET))


@lru_cache(1024)
def clear(first: int, count: int) -> bytes:
    """Zero so many cells from a place on, counted from RBP."""
    if count <= 12:
        return b"\x31\xc0" + b"".join(STORE_LOCAL[r.RAX].at(first + 8 * number) for number in range(count)) if count else b""
    return (
        encode_fields(x.LEA64_RM, r.RDI, rm=r.RBP, mem=first << 2)
        + b"\xb9" + count.to_bytes(4, "little")
        + b"\x31\xc0"
        + b"\xf3\x48\xab"
    )  # fmt: skip


def switch(last: int) -> tuple[bytes, int]:
    """Return a jump by the number in the register for integers through a table, and the offset of the field that refers to that."""
    text = b"\xb9" + last.to_bytes(4, "little")  # mov ecx, last
    text += b"\x39\xc8\x0f\x47\xc1"  # cmp eax, ecx; cmova eax, ecx
    text += b"\x48\x8d\x0d"
    field = len(text)
    return text + bytes(4) + b"\x48\x63\x04\x81\x48\x01\xc8\xff\xe0", field
