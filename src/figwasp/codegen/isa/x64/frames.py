"""Floor 3: what is known of x86-64's code without the instruction table: fields of relocations, frames of hand-written code."""

from __future__ import annotations

from figwasp.codegen.isa.x64.registers import R8, R9, R10, R12, R13, R14, RAX, RBP, RBX, RCX, RDI, RDX, RSI

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

RETURN_BYTES: Final = 8
"""Bytes that a call pushes."""

KEPT: Final = (RBX, RBP, R12, R13, R14)
"""Registers that native code preserves, and code around a call of it relies on: from the stack pointer in the context upwards."""
KEPT_SIZE: Final = 48  # a multiple of 16

CALLEE_SAVED: Final = (RBX, RBP, R12, R13, R10, R14)
"""What a function of the wasm convention preserves, in the order in which registers are given away."""

INTS: Final = (RAX, RCX, RDX, RSI, RDI, R8, R9, R10)
SAVED_INTS: Final = 8 * len(INTS)
SAVED: Final = SAVED_INTS + 16 * 15
"""Of what native code does not preserve: the integers, and with them all registers for floats but the scratch one."""

FRAME_POINTER: Final = RBP
"""Of baseline code."""
BIAS: Final = 128
"""In baseline code RBP points so many bytes behind what it is the base of, all of which is thus in reach of a byte."""
OWN_INSTANCE: Final = -BIAS
SAVED_POINTER: Final = 8 - BIAS
FIRST_LOCAL: Final = 16 - BIAS
"""What there is from RBP: the instance, the caller's RBP, the locals."""

FIELD_NAMES: Final = ["rel32"]
FIELD_SIZES: Final = [4]
FILLER: Final = b"\xcc"
"""int3."""


def apply(data: bytearray, offset: int, field: int, address: int, goal: int) -> None:
    """Fill in the field of a relocation: the distance from its end."""
    end = offset + FIELD_SIZES[field]
    data[offset:end] = (goal - (address + end)).to_bytes(end - offset, "little", signed=True)


def goal(data: bytes | bytearray, offset: int, field: int, address: int) -> int:
    """Return what the field of a relocation refers to, as `apply` has filled it in."""
    end = offset + FIELD_SIZES[field]
    return address + end + int.from_bytes(data[offset:end], "little", signed=True)


_STRAIGHT: Final = {b"\xff\x15": b"\x90\xe8", b"\xff\x25": b"\x90\xe9"}
"""Calls and jumps through a word, and those without it: of the same size, with a no-op in front."""


def go_straight(data: bytearray, offset: int, field: int, address: int, goal: int) -> None:
    """Change a call or a jump through a word into one that does without it; other instructions stay as they are."""
    straight = _STRAIGHT.get(bytes(data[offset - 2 : offset]))
    if straight is not None:
        data[offset - 2 : offset] = straight
        apply(data, offset, field, address, goal)
