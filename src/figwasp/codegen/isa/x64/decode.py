"""Floor 3: decode x86-64 machine code by the inverse of the instruction table, into Intel syntax.

In go bytes and an offset; out come the length and the text of the instruction there, written as `objdump -d -M intel` writes it but
with single blanks and without comments. Only what the table holds is known; the rest is `(bad)`.
"""

from __future__ import annotations

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
_REGISTER_NAMES: Final = {8: NAMES8, 16: NAMES16, 32: NAMES32, 64: NAMES64}
_SIZE_NAMES: Final = {0: "", 8: "BYTE PTR ", 16: "WORD PTR ", 32: "DWORD PTR ", 64: "QWORD PTR ", 128: "XMMWORD PTR "}
_COMPARISONS: Final = ["eq", "lt", "le", "unord", "neq", "nlt", "nle", "ord"]
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
    for extra in range({"": 1, "rd": 8, "cc": CC_FEQ}[form.plus]):
        opcode = form.opcode[:-1] + bytes((form.opcode[-1] + extra,))
        _index.setdefault(opcode, []).append(_Entry(row, form, extra))


class _Reader:
    """The fields of one instruction.

    Attributes:
        pos: next byte.
        rex: the REX prefix, 0 if none.
        reg: ModRM.reg with REX.R.
        rm: ModRM.rm or opcode register with REX.B.
        memory: text of the memory operand without its size, or "".
    """

    __slots__ = ("data", "memory", "pos", "reg", "rex", "rm")

    def __init__(self, data: bytes, pos: int, rex: int) -> None:
        self.data = data
        self.pos = pos
        self.rex = rex
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
    mnemonic = row.mnemonic
    if mnemonic in _FIXED_TEXTS:
        return _FIXED_TEXTS[mnemonic]
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
            if mnemonic in {"cmpss", "cmpsd"} and value < 8:
                mnemonic = f"cmp{_COMPARISONS[value]}{mnemonic[3:]}"
            else:
                operands.append(f"{value:#x}")
    return f"{mnemonic.replace('_', ' ')} {','.join(operands)}".rstrip()


def _segmented(form: Form, memory: str) -> str:
    """Write a memory operand with the segment that a prefix names."""
    return f"fs:{memory.removeprefix('ds:')}" if _FS in form.prefixes else memory


def _register(operand: Operand, reader: _Reader, form: Form) -> str:
    """Name a register operand."""
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
