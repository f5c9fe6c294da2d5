"""Floor 3: registers and condition codes of x86-64, by number and by name (Intel SDM vol. 1, 3.4; vol. 2, 3.1.1.1)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

RAX: Final = 0
RCX: Final = 1
RDX: Final = 2
RBX: Final = 3
RSP: Final = 4
RBP: Final = 5
RSI: Final = 6
RDI: Final = 7
R8: Final = 8
R9: Final = 9
R10: Final = 10
R11: Final = 11
R12: Final = 12
R13: Final = 13
R14: Final = 14
R15: Final = 15
XMM0: Final = 16
XMM1: Final = 17
XMM2: Final = 18
XMM3: Final = 19
XMM4: Final = 20
XMM5: Final = 21
XMM6: Final = 22
XMM7: Final = 23
XMM8: Final = 24
XMM9: Final = 25
XMM10: Final = 26
XMM11: Final = 27
XMM12: Final = 28
XMM13: Final = 29
XMM14: Final = 30
XMM15: Final = 31
RIP: Final = 32
"""Memory base: the instruction pointer; only inside the encoder and the disassembler."""

INSTANCE: Final = R14
CONTEXT: Final = R15
SCRATCH: Final = R11
FLOAT_SCRATCH: Final = XMM15

_NEW: Final = [f"r{number}" for number in range(8, 16)]
NAMES8: Final = ["al", "cl", "dl", "bl", "spl", "bpl", "sil", "dil"] + [name + "b" for name in _NEW]
NAMES16: Final = ["ax", "cx", "dx", "bx", "sp", "bp", "si", "di"] + [name + "w" for name in _NEW]
NAMES32: Final = ["eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"] + [name + "d" for name in _NEW]
NAMES64: Final = ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", *_NEW]
XMM_NAMES: Final = [f"xmm{number}" for number in range(16)]
NAMES: Final = [*NAMES64, *XMM_NAMES, "rip"]
"""The widest name of each register number."""

BY_NAME: Final = {name: number for number, name in enumerate(NAMES)}

# Condition codes: the low four bits of jcc, setcc, cmovcc. `cc ^ 1` is the opposite condition, also of the last two.
CC_O: Final = 0  # overflow
CC_NO: Final = 1
CC_B: Final = 2  # below (unsigned), carry
CC_AE: Final = 3
CC_E: Final = 4  # equal, zero
CC_NE: Final = 5
CC_BE: Final = 6
CC_A: Final = 7
CC_S: Final = 8  # sign
CC_NS: Final = 9
CC_P: Final = 10  # parity; after ucomis: unordered
CC_NP: Final = 11
CC_L: Final = 12  # less (signed)
CC_GE: Final = 13
CC_LE: Final = 14
CC_G: Final = 15
CC_FEQ: Final = 16  # after ucomis: equal and ordered (ZF and not PF); BRANCH, TRAPIF and SETCC32_R expand it
CC_FNE: Final = 17  # after ucomis: unequal or unordered; also CMOVcc expands it

CC_NAMES: Final = ["o", "no", "b", "ae", "e", "ne", "be", "a", "s", "ns", "p", "np", "l", "ge", "le", "g", "feq", "fne"]
