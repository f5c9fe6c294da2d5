"""Floor 3: what stands between templates on x86-64, with the templates.

In: numbers of registers, places in the frame. Out: bytes. A place is a base register and a displacement: operands are counted from
the stack pointer, locals from RBP (`frames.BIAS`).
"""

from __future__ import annotations

from functools import lru_cache

from figwasp import layout
from figwasp.codegen.isa.x64 import insts as x
from figwasp.codegen.isa.x64 import registers as r
from figwasp.codegen.isa.x64.baseline.templates import CHECKED, TEMPLATES
from figwasp.codegen.isa.x64.encode import encode_fields
from figwasp.codegen.isa.x64.frames import BIAS, CALLEE_SAVED, FIRST_LOCAL, FRAME_POINTER, OWN_INSTANCE, SAVED_POINTER
from figwasp.ir.types import CELL
from figwasp.lazy import importing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

__all__ = [
    "ALWAYS", "BIAS", "CALL", "CALL_FIELD", "CALL_REFERENCE", "CARRIED", "CELLS_BEFORE_LOCALS", "CHECKED", "COUNT",
    "FIRST_LOCAL", "FLOAT_FROM_INT", "FRAME_POINTER", "HOT", "INT_FROM_FLOAT", "JUMP", "KEPT", "LAND", "LOAD_CALLEE",
    "LOAD_INSTANCE", "LOAD_LOCAL", "LOAD_SLOT", "POLL", "RESTORE_INSTANCE", "RESULT", "SAVED_POINTER",
    "SKIP_IF_REFERENCE", "SLOW", "STORE_LOCAL", "STORE_SLOT", "TAKE_EXCEPTION", "TEMPLATES", "TEST", "THROUGH", "TRUE",
    "branch", "clear", "constant", "cutter", "epilogue", "give_back", "imported", "keep", "kept_places", "load_carried",
    "move_stack", "opposite", "pass_on", "pay", "prologue", "skip", "switch", "test_slot", "unless_clause", "widen",
]  # fmt: skip

CELLS_BEFORE_LOCALS: Final = (FIRST_LOCAL + BIAS) // CELL
KEPT: Final = tuple(register for register in CALLEE_SAVED if register not in (FRAME_POINTER, r.INSTANCE))
"""The caller's registers that baseline code does not touch, and what it calls gives back unless it throws."""
THROUGH: Final = r.RAX
"""What copies between places go through."""
RESULT: Final = [r.RAX, r.XMM0]
"""Class -> the register in which templates have the topmost operand."""
_KEPT: Final = 1024  # of what depends on numbers that a module chooses

# Moves

_NEAR: Final = 0x11  # displacements of a byte and of four
_FAR: Final = 0x11223344


class _Move:
    """An instruction with a place in the frame, and what follows that in it."""

    __slots__ = ("_far", "_near", "_rest")

    def __init__(self, near: bytes, far: bytes, rest: int = 0) -> None:
        """Begin with the instruction for the two places above, `rest` bytes of which stand behind the displacement."""
        self._near = near[: len(near) - 1 - rest]
        self._far = far[: len(far) - 4 - rest]
        self._rest = near[len(near) - rest :]

    def at(self, displacement: int) -> bytes:
        """Return the instruction for a place."""
        if -0x80 <= displacement < 0x80:
            return self._near + displacement.to_bytes(1, "little", signed=True) + self._rest
        return self._far + displacement.to_bytes(4, "little", signed=True) + self._rest


def _load(register: int, base: int) -> _Move:
    row = x.MOV64_RM if register < r.XMM0 else x.MOVSD_RM
    near, far = [encode_fields(row, register, rm=base, mem=place << 2) for place in (_NEAR, _FAR)]
    return _Move(near, far)


def _store(register: int, base: int) -> _Move:
    row = x.MOV64_MR if register < r.XMM0 else x.MOVSD_MR
    near, far = [encode_fields(row, rn=register, rm=base, mem=place << 2) for place in (_NEAR, _FAR)]
    return _Move(near, far)


_PASSED: Final = [r.RAX, r.RCX, r.RDX, r.RSI, r.RDI, r.R8, r.R9, *range(r.XMM0, r.XMM8)]
LOAD_SLOT: Final = {register: _load(register, r.RSP) for register in _PASSED}
STORE_SLOT: Final = {register: _store(register, r.RSP) for register in _PASSED}
LOAD_LOCAL: Final = {register: _load(register, r.RBP) for register in RESULT}
STORE_LOCAL: Final = {register: _store(register, r.RBP) for register in _PASSED}
FLOAT_FROM_INT: Final = encode_fields(x.MOVQ_XR, r.XMM0, rn=r.RAX)
INT_FROM_FLOAT: Final = encode_fields(x.MOVQ_RX, r.RAX, rn=r.XMM0)


def constant(bits: int) -> bytes:
    """Load a constant of 64 bits into the register for integers."""
    if bits < 1 << 32:
        signed = bits - (1 << 32) if bits >= 1 << 31 else bits
        return encode_fields(x.MOV32_RI, r.RAX, imm=signed) if bits else encode_fields(x.XOR32_RR, r.RAX, r.RAX, r.RAX)
    if bits >= (1 << 64) - (1 << 31):
        return encode_fields(x.MOV64_RI32S, r.RAX, imm=bits - (1 << 64))
    return encode_fields(x.MOV64_RI, r.RAX, imm=bits - (1 << 64) if bits >= 1 << 63 else bits)


def widen(code: bytearray, offset: int, slot: bool) -> None:
    """Make room for a displacement of 4 bytes where there is a field for one of a byte; a slot's has a byte more in front."""
    code[offset - (2 if slot else 1)] += 0x40  # mod 01 -> 10 (SDM vol. 2, 2.1.5)
    code[offset : offset + 1] = bytes(4)


# Branches

ALWAYS: Final = -1
HOT: Final = r.CC_S
TRUE: Final = r.CC_NE
"""Holds behind `TEST` and `test_slot` when the operand is not 0."""
TEST: Final = encode_fields(x.TEST32_RR, rn=r.RAX, rm=r.RAX)
_test_near, _test_far = [encode_fields(x.CMP32_MI, rm=r.RSP, mem=place << 2, imm=0) for place in (_NEAR, _FAR)]
JUMP: Final = encode_fields(x.JMP_REL32)
_BRANCHES: Final = [encode_fields(x.JCC_REL32, imm=condition) for condition in range(r.CC_G + 1)]
test_slot = _Move(_test_near, _test_far, rest=1).at


def opposite(condition: int) -> int:
    """Return the condition that holds when another does not."""
    return condition ^ 1


def branch(condition: int) -> bytes:
    """Return a branch whose distance is to be filled in: its last four bytes."""
    return JUMP if condition == ALWAYS else _BRANCHES[condition]


def skip(condition: int, size: int) -> bytes:
    """Return a branch over so many bytes."""
    return _BRANCHES[condition][:-4] + size.to_bytes(4, "little")


def switch(last: int) -> tuple[bytes, int]:
    """Return a jump through a table, and the offset of the field that refers to that.

    It goes by the number in the register for integers; larger ones than `last` are like that.
    """
    text = encode_fields(x.MOV32_RI, r.RCX, imm=last)
    text += encode_fields(x.CMP32_RR, rn=r.RAX, rm=r.RCX)
    text += encode_fields(x.CMOV32_RR, r.RAX, r.RAX, r.RCX, imm=r.CC_A)
    text += encode_fields(x.LEA64_RM, r.RCX, rm=r.RIP)
    field = len(text) - 4
    text += encode_fields(x.MOVSXD_RM, r.RAX, rm=r.RCX, rx=r.RAX, mem=2)
    return text + encode_fields(x.ADD64_RR, r.RAX, r.RAX, r.RCX) + encode_fields(x.JMP_R, rn=r.RAX), field


# Calls

CALL: Final = encode_fields(x.CALL_M, rm=r.RIP)
"""Through a word."""
CALL_FIELD: Final = len(CALL) - 4
LOAD_CALLEE: Final = encode_fields(x.MOV64_RR, r.SCRATCH, rn=r.RAX)
CALL_REFERENCE: Final = encode_fields(x.CALL_M, rm=r.SCRATCH, mem=layout.FUNCREF_CODE << 2)
LOAD_INSTANCE: Final = encode_fields(x.MOV64_RM, r.INSTANCE, rm=r.SCRATCH, mem=layout.FUNCREF_INSTANCE << 2)
RESTORE_INSTANCE: Final = _load(r.INSTANCE, r.RBP).at(OWN_INSTANCE)


def imported(reference: int, instance: int) -> bytes:
    """Load what an imported function's reference is, and its instance, from offsets in the instance block."""
    load = encode_fields(x.MOV64_RM, r.SCRATCH, rm=r.INSTANCE, mem=reference << 2)
    return load + encode_fields(x.MOV64_RM, r.INSTANCE, rm=r.INSTANCE, mem=instance << 2)


def move_stack(size: int) -> bytes:
    """Make room for so many bytes of stack arguments."""
    return encode_fields(x.SUB64_RI, r.RSP, r.RSP, imm=size)


# Exceptions

CARRIED: Final = r.RCX
"""What an exception carries goes through it; the exception itself is in `THROUGH`."""
SKIP_IF_REFERENCE: Final = encode_fields(x.TEST64_RR, rn=r.RAX, rm=r.RAX) + skip(r.CC_NE, len(CALL))
"""Goes on behind the next call if there is a reference in the register for integers."""
TAKE_EXCEPTION: Final = encode_fields(x.MOV64_RM, THROUGH, rm=r.CONTEXT, mem=layout.CTX_EXCEPTION << 2) + encode_fields(
    x.MOV64_MI, rm=r.CONTEXT, mem=layout.CTX_EXCEPTION << 2, imm=0
)
LAND: Final = encode_fields(x.LEA64_RM, r.RBP, rm=r.RSP, mem=_FAR << 2)[:-4] + bytes(4)
"""Sets RBP to where its last four bytes say, from the stack pointer."""


@lru_cache(_KEPT)
def unless_clause(number: int) -> bytes:
    """Return a branch, whose distance is to be filled in, that is taken if it is another clause that catches."""
    return encode_fields(x.CMP64_MI, rm=r.CONTEXT, mem=layout.CTX_CLAUSE << 2, imm=number) + branch(r.CC_NE)


@lru_cache(_KEPT)
def pass_on(count: int) -> bytes:
    """Return what makes the number of the clause what it is without so many."""
    return encode_fields(x.SUB64_MI, rm=r.CONTEXT, mem=layout.CTX_CLAUSE << 2, imm=count)


@lru_cache(_KEPT)
def load_carried(offset: int, size: int) -> bytes:
    """Return what loads so many bytes out of an exception."""
    return encode_fields(x.MOV64_RM if size == CELL else x.MOV32_RM, CARRIED, rm=THROUGH, mem=offset << 2)


# Frames

_CHECK_STACK: Final = encode_fields(x.CMP64_RM, rn=r.RSP, rm=r.CONTEXT, mem=layout.CTX_STACK_LIMIT << 2)
POLL: Final = _CHECK_STACK + branch(r.CC_B)
SLOW: Final = CALL + JUMP
"""A slow path out of line: a call, and back."""
COUNT: Final = encode_fields(x.DEC32_M, rm=r.RIP)
"""Decrements a word, to which its last four bytes refer."""
_SAVE_POINTER: Final = _store(r.RBP, r.RSP)
_KEEP_INSTANCE: Final = _store(r.INSTANCE, r.RBP).at(OWN_INSTANCE)
_RESTORE_POINTER: Final = _load(r.RBP, r.RBP).at(SAVED_POINTER)


def pay(amount: int) -> bytes:
    """Return what takes fuel, and branches when there is not so much."""
    return encode_fields(x.SUB64_MI, rm=r.CONTEXT, mem=layout.CTX_FUEL << 2, imm=amount) + branch(r.CC_S)


@lru_cache(_KEPT)
def prologue(size: int, pointer: int) -> tuple[bytes, bytes]:
    """Return what makes the frame, checks the stack and branches if that is not well; and what follows.

    Args:
        size: bytes of the frame.
        pointer: what RBP is to be, from the stack pointer.
    """
    begin = encode_fields(x.SUB64_RI, r.RSP, r.RSP, imm=size) + POLL
    rest = _SAVE_POINTER.at(pointer + SAVED_POINTER) + encode_fields(x.LEA64_RM, r.RBP, rm=r.RSP, mem=pointer << 2)
    return begin, rest + _KEEP_INSTANCE


@lru_cache(_KEPT)
def clear(first: int, count: int) -> bytes:
    """Zero so many cells from a place on, counted from RBP."""
    stores = [STORE_LOCAL[r.RAX].at(first + CELL * number) for number in range(count)]
    return b"".join([constant(0), *stores]) if count else b""


def kept_places(locals: int) -> list[tuple[int, int]]:
    """Return where the caller's registers and the instance are in a frame that catches, with so many locals, from RBP."""
    first = FIRST_LOCAL + CELL * locals
    return [(r.INSTANCE, OWN_INSTANCE), *[(register, first + CELL * number) for number, register in enumerate(KEPT)]]


@lru_cache(_KEPT)
def keep(locals: int) -> bytes:
    """Return what saves the caller's registers."""
    return b"".join([_store(register, r.RBP).at(place) for register, place in kept_places(locals) if register != r.INSTANCE])


@lru_cache(_KEPT)
def give_back(locals: int) -> bytes:
    """Return what follows `LAND`: it loads the instance, and gives the caller's registers back."""
    return b"".join([_load(register, r.RBP).at(place) for register, place in kept_places(locals)])


@lru_cache(_KEPT)
def epilogue(size: int, incoming: int) -> bytes:
    """Return the end of a function, which pops so many bytes of stack arguments."""
    end = _RESTORE_POINTER + encode_fields(x.ADD64_RI, r.RSP, r.RSP, imm=size)
    return end + (encode_fields(x.RET_I, imm=incoming) if incoming else encode_fields(x.RET))


def cutter() -> Any:
    """Return the module that cuts templates, with which programs have nothing to do."""
    with importing:
        from figwasp.codegen.isa.x64.baseline import cutting

    return cutting
