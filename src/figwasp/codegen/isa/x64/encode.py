"""Floor 3: encode x86-64 instructions from their rows (Intel SDM vol. 2, chapter 2).

In go an operation number, registers, memory operand and immediate; out come bytes. This is the slow path that emission
memoises (`assemble.py`), and what hand-written sequences use. It refuses operands that do not fit the row, so that a mistake of
selection or allocation cannot become wrong code.
"""

from __future__ import annotations

import struct

from figwasp.codegen.isa.rows import CONDITION, IMMEDIATE, NO_FIELD, RD, RELATIVE, RM, RN, Operand, Row
from figwasp.codegen.isa.x64 import insts
from figwasp.codegen.isa.x64.registers import CC_FEQ, CC_FNE, CC_NE, CC_NP, CC_P, RIP, RSP, SCRATCH, XMM0
from figwasp.codegen.mach import FIRST_ROW, NONE, MInst
from figwasp.ir.types import FLOAT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

CUT_DISPLACEMENT: Final = 1  # force a 4-byte displacement and leave it (and what follows) to the caller
CUT_IMMEDIATE: Final = 2  # force the longest form and leave the immediate to the caller

# What Form.modrm says
NO_MODRM: Final = -1
MODRM_REG: Final = 8  # /r; 0..7 is /digit

_PREFIXES: Final = frozenset({0x64, 0x66, 0xF2, 0xF3, 0xF0})
_MAPS: Final = {"0F": 1, "0F38": 2, "0F3A": 3}
_VEX_PREFIXES: Final = {"66": 1, "F3": 2, "F2": 3}
"""What a VEX prefix says in the place of escape bytes and of a legacy prefix (SDM vol. 2, 2.3.5)."""
_IMMEDIATE_SIZE: Final = {"ib": 1, "cb": 1, "iw": 2, "id": 4, "cd": 4, "io": 8}

# How an immediate becomes bytes
IMM_NONE: Final = 0
IMM_8: Final = 1
IMM_16: Final = 2
IMM_32: Final = 3  # of a 32-bit operation: signed or unsigned
IMM_32S: Final = 4  # sign-extended by the machine
IMM_64: Final = 5
IMM_CC: Final = 6  # part of the opcode
IMM_CC_REL: Final = 7  # displacement << 4 | condition


class Form:
    """One encoding of a row.

    Attributes:
        prefixes: legacy prefixes.
        rex_w: 8 when REX.W is wanted, else 0.
        opcode: its bytes, the last without what is added to it.
        plus: "rd" or "cc" added to the last opcode byte, or "".
        modrm: NO_MODRM, MODRM_REG or the digit.
        imm: IMM_*.
        size: bytes of the immediate.
        reg, rm: operands in ModRM.reg and in ModRM.rm (or in the opcode), or None.
        memory: True when ModRM.rm is memory.
        vex: number of the opcode map in a VEX prefix << 2 | number of the legacy prefix in it, or 0 for no such prefix.
        vvvv, is4: operands in that prefix and in the upper half of a last byte, or None.
    """

    __slots__ = ("imm", "is4", "memory", "modrm", "opcode", "plus", "prefixes", "reg", "rex_w", "rm", "size", "vex", "vvvv")

    def __init__(self, row: Row, text: str) -> None:
        self.plus = ""
        self.rex_w = 0
        self.modrm = NO_MODRM
        self.size = 0
        self.reg: Operand | None = None
        self.rm: Operand | None = None
        self.vex = 0
        self.vvvv: Operand | None = None
        self.is4: Operand | None = None
        self.memory = row.operands.memory
        values: list[int] = []
        for token in text.split():
            self._add_token(token, values)
        split = 0
        while split < len(values) - 1 and values[split] in _PREFIXES:
            split += 1
        self.prefixes = bytes(values[:split])
        self.opcode = bytes(values[split:])
        self.imm = self._immediate_kind(row)
        for operand in row.operands.list:
            if operand.field != NO_FIELD:
                self._place(operand)

    def _place(self, operand: Operand) -> None:
        """Find the field of the encoding for a register operand."""
        if operand.wide or (self.modrm != MODRM_REG and not self.vex):
            self.rm = operand
        elif self.reg is None and self.modrm == MODRM_REG:
            self.reg = operand
        elif self.vvvv is None:
            self.vvvv = operand
        else:
            self.is4 = operand

    def _add_token(self, token: str, values: list[int]) -> None:
        if token == "REX.W":
            self.rex_w = 8
        elif token.startswith("VEX."):
            _, _, *prefix, opcode_map, width = token.split(".")
            self.vex = _MAPS[opcode_map] << 2 | (_VEX_PREFIXES[prefix[0]] if prefix else 0)
            self.rex_w = 8 if width == "W1" else 0
        elif token == "/is4":
            pass
        elif token[0] == "/":
            self.modrm = MODRM_REG if token == "/r" else int(token[1:])
        elif token in _IMMEDIATE_SIZE:
            self.size = _IMMEDIATE_SIZE[token]
        else:
            opcode, _, self.plus = token.partition("+")
            values.append(int(opcode, 16))

    def _immediate_kind(self, row: Row) -> int:
        kinds = [operand.kind for operand in row.operands.list]
        if CONDITION in kinds:
            return IMM_CC_REL if RELATIVE in kinds else IMM_CC
        if self.size == 4:
            return IMM_32S if self.rex_w or RELATIVE in kinds or kinds == [IMMEDIATE] else IMM_32
        return {0: IMM_NONE, 1: IMM_8, 2: IMM_16, 8: IMM_64}[self.size]


def _forms(row: Row) -> list[Form]:
    """Parse the encodings of a row."""
    return [Form(row, text) for text in row.encoding.split("|")]


_cache: Final[list[list[Form]]] = [[] for _ in range(FIRST_ROW + len(insts.TABLE))]


def forms(op: int) -> list[Form]:
    """Return the encodings of an operation, shortest immediate first; parsed when first needed."""
    found = _cache[op]
    if not found:
        found = _cache[op] = _forms(insts.TABLE[op - FIRST_ROW])
    return found


def immediate_bytes(kind: int, imm: int) -> bytes:
    """Return the bytes of an immediate; raise struct.error when it does not fit."""
    if kind == IMM_32S:
        return struct.pack("<i", imm)
    if kind == IMM_8:
        return struct.pack("<b" if imm < 0 else "<B", imm)
    if kind == IMM_16:
        return struct.pack("<h" if imm < 0 else "<H", imm)
    if kind == IMM_64:
        return struct.pack("<q" if imm < 0 else "<Q", imm)
    return struct.pack("<i" if imm < 0 else "<I", imm)


def encode_fields(
    op: int,
    rd: int = NONE,
    rn: int = NONE,
    rm: int = NONE,
    rx: int = NONE,
    mem: int = 0,
    imm: int = 0,
    cut: int = 0,
) -> bytes:
    """Encode one instruction; the fields are those of `mach.MInst`, with physical registers.

    Raises:
        ValueError: an operand does not fit the row.
    """
    row = insts.TABLE[op - FIRST_ROW]
    if row.operands.tied and rd != rn:
        raise ValueError(f"{row.name}: rd {rd} and rn {rn} must be the same register")
    if op == insts.SETCC32_R:
        return _setcc32(rd, imm)
    if imm == CC_FNE and row.mnemonic == "cmovcc":
        return encode_fields(op, rd, rn, rm, rx, mem, CC_NE) + encode_fields(op, rd, rn, rm, rx, mem, CC_P)
    form = _choose(op, imm, cut)
    out = _head(row, form, rd, rn, rm, rx, mem, imm, cut)
    if form.size and not cut:
        out += _tail(row, form, imm)
    return out


def encode(inst: MInst) -> bytes:
    """Encode one allocated instruction that has no pseudo base register.

    Raises:
        ValueError: an operand does not fit the row.
    """
    assert isinstance(inst.imm, int)
    return encode_fields(inst.op, inst.rd, inst.rn, inst.rm, inst.rx, inst.mem, inst.imm)


def _choose(op: int, imm: int, cut: int) -> Form:
    """Pick the first encoding that the immediate fits."""
    candidates = forms(op)
    if len(candidates) > 1 and -128 <= imm < 128 and not cut & CUT_IMMEDIATE:
        return candidates[0]
    return candidates[-1]


def _tail(row: Row, form: Form, imm: int) -> bytes:
    """Return the bytes of the immediate of an instruction."""
    try:
        if form.imm == IMM_CC_REL:
            return immediate_bytes(IMM_8 if form.size == 1 else IMM_32S, imm >> 4)
        return immediate_bytes(form.imm, imm)
    except struct.error as error:
        raise ValueError(f"{row.name}: immediate {imm:#x} does not fit") from error


def _setcc32(rd: int, cc: int) -> bytes:
    """Set a whole register to 0 or 1."""
    both = b""
    if cc >= CC_FEQ:  # E and NP, or NE or P
        both = encode_fields(insts.SETCC_R, SCRATCH, imm=CC_NP ^ cc & 1)
        both += encode_fields(insts.OR32_RR if cc & 1 else insts.AND32_RR, rd, rd, SCRATCH)
        cc = cc & 1 | 4
    return encode_fields(insts.SETCC_R, rd, imm=cc) + both + encode_fields(insts.MOVZX8_RR, rd, rd)


def _register(row: Row, operand: Operand, rd: int, rn: int, rm: int, rx: int) -> int:
    """Return the hardware number of a register operand."""
    field = operand.field
    number = rd if field == RD else rn if field == RN else rm if field == RM else rx
    first = XMM0 if operand.kind == FLOAT else 0
    if not first <= number < first + 16:
        raise ValueError(f"{row.name}: register {number} in operand {operand.text}")
    return number - first


def _head(row: Row, form: Form, rd: int, rn: int, rm: int, rx: int, mem: int, imm: int, cut: int) -> bytes:
    """Encode all but the immediate (and with CUT_DISPLACEMENT, all but the displacement)."""
    rex = form.rex_w
    reg = base = 0
    force = False
    for operand in row.operands.list:
        if operand.field != NO_FIELD:
            number = _register(row, operand, rd, rn, rm, rx)
            force = force or (operand.width == 8 and operand.kind != FLOAT and number >= 4)
    if form.reg is not None:
        reg = _register(row, form.reg, rd, rn, rm, rx)
        rex |= reg >> 1 & 4
    elif form.modrm >= 0:
        reg = form.modrm
    tail = b""
    if form.memory:
        if mem & 3 and rx == NONE:
            raise ValueError(f"{row.name}: scale without index")
        rex |= _memory_rex(row, rm, rx)
        tail = _memory(reg & 7, rm, rx, mem, cut)
    elif form.rm is not None:
        base = _register(row, form.rm, rd, rn, rm, rx)
        rex |= base >> 3
        if form.modrm >= 0:
            tail = bytes((0xC0 | (reg & 7) << 3 | base & 7,))
    if form.vex:
        vvvv = _register(row, form.vvvv, rd, rn, rm, rx) if form.vvvv is not None else 0
        last = bytes((_register(row, form.is4, rd, rn, rm, rx) << 4,)) if form.is4 is not None else b""
        return _vex_prefix(form.vex, rex, vvvv) + form.opcode + tail + last
    return form.prefixes + (bytes((0x40 | rex,)) if rex or force else b"") + _opcode(row, form, base, imm) + tail


def _vex_prefix(vex: int, rex: int, vvvv: int) -> bytes:
    """Return a VEX prefix for 128 bits (SDM vol. 2, 2.3.5): R, X, B and the register stand in it inverted."""
    rest = (vvvv ^ 15) << 3 | vex & 3
    if vex >> 2 == 1 and not rex & 11:
        return bytes((0xC5, (rex & 4 ^ 4) << 5 | rest))
    return bytes((0xC4, (rex & 7 ^ 7) << 5 | vex >> 2, (rex & 8) << 4 | rest))


def _opcode(row: Row, form: Form, base: int, imm: int) -> bytes:
    """Return the opcode with the register or condition code added."""
    if form.plus == "rd":
        return form.opcode[:-1] + bytes((form.opcode[-1] + (base & 7),))
    if form.plus == "cc":
        cc = imm & 15 if form.imm == IMM_CC_REL else imm
        if not 0 <= cc < CC_FEQ:
            raise ValueError(f"{row.name}: condition code {cc}")
        return form.opcode[:-1] + bytes((form.opcode[-1] + cc,))
    return form.opcode


def _memory_rex(row: Row, rm: int, rx: int) -> int:
    """Return REX.X and REX.B of a memory operand."""
    if not (NONE <= rm < XMM0 or rm == RIP) or not NONE <= rx < XMM0 or rx == RSP or (rm == RIP and rx != NONE):
        raise ValueError(f"{row.name}: base register {rm}, index register {rx}")
    return (rm >> 3 & 1 if NONE < rm < XMM0 else 0) | (rx >> 2 & 2 if rx != NONE else 0)


def _memory(reg: int, rm: int, rx: int, mem: int, cut: int) -> bytes:
    """Return ModRM, SIB and displacement (SDM vol. 2, tables 2-2 and 2-3)."""
    disp = mem >> 2
    far = b"" if cut & CUT_DISPLACEMENT else struct.pack("<i", disp)
    reg <<= 3
    if rm == RIP:
        return bytes((reg | 5,)) + far
    if rm == NONE:  # SIB with base 101 and mod 00: displacement, maybe index
        return bytes((reg | 4, (mem & 3) << 6 | (4 if rx == NONE else rx & 7) << 3 | 5)) + far
    if cut & CUT_DISPLACEMENT or not -128 <= disp < 128:
        mod = 0x80
    elif disp or rm & 7 == 5:  # rbp and r13 have no form without displacement
        mod = 0x40
        far = struct.pack("<b", disp)
    else:
        mod = 0
        far = b""
    if rx == NONE and rm & 7 != 4:
        return bytes((mod | reg | rm & 7,)) + far
    return bytes((mod | reg | 4, (mem & 3) << 6 | (4 if rx == NONE else rx & 7) << 3 | rm & 7)) + far
