"""Floor 3: decode x86-64 machine code by the inverse of the instruction table, into Intel syntax.

In go bytes and an offset; out come the length and the text of the instruction there, written as `objdump -d -M intel` writes it but
with single blanks and without comments. Only what the table holds is known; the rest is `(bad)`.
"""

from __future__ import annotations

import re
from typing import Final

from figwasp.codegen.isa.rows import CONDITION, FIXED, MEMORY, RELATIVE, Operand, Row
from figwasp.codegen.isa.x64 import insts
from figwasp.codegen.isa.x64.encode import MODRM_REG, NO_MODRM, Form, forms
from figwasp.codegen.isa.x64.registers import CC_FEQ, CC_NAMES, NAMES8, NAMES16, NAMES32, NAMES64, XMM_NAMES
from figwasp.ir.types import FLOAT, INT

BAD: Final = "(bad)"
MAX_LENGTH: Final = 15

_PREFIXES: Final = frozenset({0x64, 0x66, 0xF2, 0xF3, 0xF0})
_FS: Final = 0x64
_VEX2: Final = 0xC5
_VEX3: Final = 0xC4
_MAP_0F: Final = 1
_LONG: Final = 4  # the bit in a VEX prefix for 256 bits
_REGISTER_NAMES: Final = {8: NAMES8, 16: NAMES16, 32: NAMES32, 64: NAMES64}
_SIZE_NAMES: Final = {0: "", 8: "BYTE PTR ", 16: "WORD PTR ", 32: "DWORD PTR ", 64: "QWORD PTR ", 128: "XMMWORD PTR "}
_COMPARISONS: Final = [
    "eq", "lt", "le", "unord", "neq", "nlt", "nle", "ord", "eq_uq", "nge", "ngt", "false", "neq_oq", "ge", "gt", "true",
    "eq_os", "lt_oq", "le_oq", "unord_s", "neq_us", "nlt_uq", "nle_uq", "ord_s", "eq_us", "nge_uq", "ngt_uq", "false_os",
    "neq_os", "ge_oq", "gt_oq", "true_us",
]  # fmt: skip
"""By immediate; instructions without VEX have the first eight."""
_COMPARE: Final = re.compile(r"(v?)cmp([sp][sd])")
_FIXED_TEXTS: Final = {
    "rep_movsb": "rep movs BYTE PTR es:[rdi],BYTE PTR ds:[rsi]",
    "rep_stosb": "rep stos BYTE PTR es:[rdi],al",
}


class _Entry:
    """A meaning of an opcode: a form of a row, and the contents of the opcode's low bits."""

    __slots__ = ("extra", "form", "row")

    def __init__(self, row: Row, form: Form, extra: int) -> None:
        self.row = row
        self.form = form
        self.extra = extra


_index: Final[dict[bytes, list[_Entry]]] = {}


def _entries(opcode: bytes) -> list[_Entry]:
    """Return the forms with an opcode; the inverse table is made when first needed."""
    if not _index:
        for row in insts.TABLE:
            if row.number != insts.SETCC32_R:
                for form in forms(row.number):
                    _add_form(row, form)
    return _index.get(opcode, [])


def _add_form(row: Row, form: Form) -> None:
    if form.vex:
        _index.setdefault(bytes((_VEX3, form.vex)) + form.opcode, []).append(_Entry(row, form, 0))
        return
    for extra in range({"": 1, "rd": 8, "cc": CC_FEQ}[form.plus]):
        opcode = form.opcode[:-1] + bytes((form.opcode[-1] + extra,))
        _index.setdefault(opcode, []).append(_Entry(row, form, extra))


class _Reader:
    """The fields of one instruction.

    Attributes:
        pos: next byte.
        rex: the REX prefix, 0 if none.
        vvvv: the register in a VEX prefix.
        reg: ModRM.reg with REX.R.
        rm: ModRM.rm or opcode register with REX.B.
        memory: text of the memory operand without its size, or "".
    """

    __slots__ = ("data", "memory", "pos", "reg", "rex", "rm", "vvvv")

    def __init__(self, data: bytes, pos: int, rex: int, vvvv: int = 0) -> None:
        self.data = data
        self.pos = pos
        self.rex = rex
        self.vvvv = vvvv
        self.reg = 0
        self.rm = 0
        self.memory = ""

    def signed(self, size: int) -> int:
        """Read a little-endian number.

        Raises:
            IndexError: the data ends before.
        """
        end = self.pos + size
        if end > len(self.data):
            raise IndexError
        value = int.from_bytes(self.data[self.pos : end], "little", signed=True)
        self.pos = end
        return value

    def modrm(self, modrm: int) -> None:
        """Read a ModRM byte and what belongs to it."""
        self.pos += 1
        mod = modrm >> 6
        self.reg = modrm >> 3 & 7 | (self.rex & 4) << 1
        low = modrm & 7
        if mod == 3:
            self.rm = low | (self.rex & 1) << 3
            return
        parts: list[str] = []
        base = low
        if low == 4:
            sib = self.data[self.pos]
            self.pos += 1
            base = sib & 7
            if base != 5 or mod:
                parts.append(NAMES64[base | (self.rex & 1) << 3])
            index = sib >> 3 & 7 | (self.rex & 2) << 2
            if index != 4:
                parts.append(f"{NAMES64[index]}*{1 << (sib >> 6)}")
        elif low == 5 and mod == 0:
            self.memory = f"[rip+{self.signed(4) & 0xFFFFFFFFFFFFFFFF:#x}]"
            return
        else:
            parts.append(NAMES64[base | (self.rex & 1) << 3])
        self._displacement(parts, mod, base)

    def _displacement(self, parts: list[str], mod: int, base: int) -> None:
        if mod == 0 and base != 5:
            self.memory = f"[{'+'.join(parts)}]"
            return
        disp = self.signed(1 if mod == 1 else 4)
        if parts:
            self.memory = f"[{'+'.join(parts)}{'-' if disp < 0 else '+'}{abs(disp):#x}]"
        else:
            self.memory = f"ds:{disp & 0xFFFFFFFFFFFFFFFF:#x}"


def decode(data: bytes, offset: int) -> tuple[int, str]:
    """Return length and text of the instruction at an offset; `(bad)` is one byte long."""
    pos = offset
    while pos < len(data) and data[pos] in _PREFIXES:
        pos += 1
    prefixes = bytes(data[offset:pos])
    rex = 0
    if pos < len(data) and data[pos] & 0xF0 == 0x40:
        rex = data[pos]
        pos += 1
    try:
        if pos == offset and data[pos] in (_VEX2, _VEX3):
            return _decode_vex(data, offset)
        for length in (3, 2, 1):
            for entry in _entries(bytes(data[pos : pos + length])):
                reader = _Reader(data, pos + length, rex)
                if entry.form.prefixes == prefixes and _read(entry, reader):
                    text = _text(entry, reader)
                    if reader.pos - offset <= MAX_LENGTH:
                        return reader.pos - offset, text
    except IndexError:
        pass  # cut off
    return 1, BAD


def _decode_vex(data: bytes, offset: int) -> tuple[int, str]:
    """Decode an instruction with a VEX prefix: what it has inverted becomes a REX prefix and a register.

    Raises:
        IndexError: the data ends before.
    """
    if data[offset] == _VEX2:
        last = data[offset + 1]
        rex = (last >> 5 ^ 4) & 4
        vex = _MAP_0F << 2 | last & 3
        pos = offset + 2
    else:
        last = data[offset + 2]
        rex = data[offset + 1] >> 5 ^ 7 | last >> 4 & 8
        vex = (data[offset + 1] & 0x1F) << 2 | last & 3
        pos = offset + 3
    vvvv = last >> 3 & 15 ^ 15
    for entry in _entries(bytes((_VEX3, vex & 0xFF, data[pos]))):
        reader = _Reader(data, pos + 1, rex, vvvv)
        if not last & _LONG and (vvvv == 0 or entry.form.vvvv is not None) and _read(entry, reader):
            text = _text(entry, reader)
            return reader.pos - offset, text
    return 1, BAD


def _read(entry: _Entry, reader: _Reader) -> bool:
    """Read the operands but the immediate, if the form is what stands here."""
    form = entry.form
    if form.rex_w != reader.rex & 8:
        return False
    if form.modrm == NO_MODRM:
        reader.rm = entry.extra | (reader.rex & 1) << 3
        return True
    modrm = reader.data[reader.pos]
    if (modrm < 0xC0) != form.memory or (form.modrm != MODRM_REG and form.modrm != modrm >> 3 & 7):
        return False
    reader.modrm(modrm)
    return True


def _text(entry: _Entry, reader: _Reader) -> str:
    """Write an instruction."""
    row = entry.row
    if row.mnemonic in _FIXED_TEXTS:
        return _FIXED_TEXTS[row.mnemonic]
    mnemonic = row.mnemonic.replace("_", " ")
    if entry.form.plus == "cc":
        mnemonic = mnemonic.replace("cc", CC_NAMES[entry.extra])
    operands: list[str] = []
    for operand in row.operands.list:
        if operand.kind <= FLOAT:
            operands.append(_register(operand, reader, entry.form))
        elif operand.kind == MEMORY:
            operands.append(_SIZE_NAMES[operand.width] + _segmented(entry.form, reader.memory))
        elif operand.kind == FIXED:
            operands.append(operand.text)
        elif operand.kind == RELATIVE:
            distance = reader.signed(entry.form.size)
            operands.append(f"{reader.pos + distance & 0xFFFFFFFFFFFFFFFF:#x}")
        elif operand.kind != CONDITION:
            value = _immediate(operand, reader, entry)
            compare = _COMPARE.fullmatch(mnemonic)
            if compare is not None and value < (32 if compare[1] else 8):
                mnemonic = f"{compare[1]}cmp{_COMPARISONS[value]}{compare[2]}"
            else:
                operands.append(f"{value:#x}")
    return f"{mnemonic} {','.join(operands)}".rstrip()


def _segmented(form: Form, memory: str) -> str:
    """Write a memory operand with the segment that a prefix names."""
    return f"fs:{memory.removeprefix('ds:')}" if _FS in form.prefixes else memory


def _register(operand: Operand, reader: _Reader, form: Form) -> str:
    """Name a register operand."""
    if operand is form.vvvv:
        number = reader.vvvv
    elif operand is form.is4:
        number = reader.signed(1) >> 4 & 15
    else:
        number = reader.rm if operand.wide or form.modrm != MODRM_REG else reader.reg
    if operand.kind == FLOAT:
        return XMM_NAMES[number]
    assert operand.kind == INT
    if operand.width == 8 and 4 <= number < 8 and not reader.rex:
        return ("ah", "ch", "dh", "bh")[number - 4]
    return _REGISTER_NAMES[operand.width][number]


def _immediate(operand: Operand, reader: _Reader, entry: _Entry) -> int:
    """Read an immediate as the machine extends it: to the width of the operation."""
    size = entry.form.size
    value = reader.signed(size)
    width = 8 * size
    if size * 8 < operand.width or (operand.width == 32 and size == 4):
        first = entry.row.operands.list[0]
        width = first.width if first is not operand else 64
    return int(value & (1 << width) - 1)
