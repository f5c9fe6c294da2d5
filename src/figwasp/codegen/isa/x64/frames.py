"""Floor 3: x86-64's frames of the code written by hand: which registers it saves, and how many bytes that takes."""

from __future__ import annotations

from typing import Final

from figwasp.codegen.isa.x64.registers import R8, R9, R10, R12, R13, R14, RAX, RBP, RBX, RCX, RDI, RDX, RSI

KEPT: Final = (RBX, RBP, R12, R13, R14)
"""Registers that native code preserves, and code around a call of it relies on: from the stack pointer in the context upwards."""
KEPT_SIZE: Final = 48  # a multiple of 16

INTS: Final = (RAX, RCX, RDX, RSI, RDI, R8, R9, R10)
SAVED_INTS: Final = 8 * len(INTS)
SAVED: Final = SAVED_INTS + 16 * 15
"""Of what native code does not preserve: the integers, and with them all registers for floats but the scratch one."""
