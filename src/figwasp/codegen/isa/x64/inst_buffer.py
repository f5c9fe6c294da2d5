"""Floor 3: the instructions of a sequence written by hand. In: rows and operands, labels, names. Out: code, jumps resolved."""

from __future__ import annotations

from figwasp.codegen.code import FIELD_NEAR, RELOC_SYMBOL, Code
from figwasp.codegen.isa.x64 import insts as x
from figwasp.codegen.isa.x64.encode import encode, encode_fields
from figwasp.codegen.isa.x64.registers import RIP
from figwasp.codegen.mach import NONE, MInst
from figwasp.codegen.sequences import Sequence

__all__ = ["InstBuffer"]


class InstBuffer:
    """Collects instructions and resolves labels.

    Attributes:
        data: the bytes so far.
        labels: offset of each label placed.
    """

    __slots__ = ("_fixups", "_relocs", "_symbols", "data", "labels")

    def __init__(self) -> None:
        self.data = bytearray()
        self.labels: dict[str, int] = {}
        self._fixups: list[tuple[int, str]] = []
        self._relocs: list[tuple[int, int, int, int]] = []
        self._symbols: list[str] = []

    def op(self, row: int, *, rd: int = NONE, rn: int = NONE, imm: int = 0) -> None:
        """Append a register or immediate form; a tied source is the destination."""
        self.data += encode(MInst(row, rd, rn, imm=imm))

    def two(self, row: int, rd: int, rm: int) -> None:
        """Append rd = rd op rm."""
        self.data += encode(MInst(row, rd, rd, rm))

    def move(self, rd: int, rn: int) -> None:
        """Append rd = rn."""
        self.data += encode(MInst(x.MOV64_RR, rd, rn))

    def test(self, register: int) -> None:
        """Append a comparison of a register with 0."""
        self.data += encode(MInst(x.TEST64_RR, NONE, register, register))

    def tied(self, row: int, rd: int, imm: int) -> None:
        """Append rd = rd op imm."""
        self.data += encode(MInst(row, rd, rd, imm=imm))

    def load(self, row: int, rd: int, base: int, offset: int) -> None:
        """Append an instruction that reads memory into rd."""
        self.data += encode(MInst(row, rd, NONE, base, NONE, offset << 2))

    def store(self, row: int, base: int, offset: int, rn: int = NONE, imm: int = 0) -> None:
        """Append an instruction that writes memory, or compares it with rn or imm."""
        self.data += encode(MInst(row, NONE, rn, base, NONE, offset << 2, imm))

    def symbol(self, register: int, name: str) -> None:
        """Append the loading of what a symbol stands for."""
        if name not in self._symbols:
            self._symbols.append(name)
        self.data += encode_fields(x.MOV64_RM, register, rm=RIP)
        self._relocs.append((len(self.data) - 4, FIELD_NEAR, RELOC_SYMBOL, self._symbols.index(name)))

    def label(self, name: str) -> None:
        """Place a label here."""
        self.labels[name] = len(self.data)

    def jump(self, name: str) -> None:
        """Append a jump to a label."""
        self.data += b"\xe9\0\0\0\0"
        self._fixups.append((len(self.data), name))

    def branch(self, condition: int, name: str) -> None:
        """Append a conditional jump to a label."""
        self.data += bytes((0x0F, 0x80 | condition)) + b"\0\0\0\0"
        self._fixups.append((len(self.data), name))

    def call(self, name: str) -> None:
        """Append a call of a label."""
        self.data += b"\xe8\0\0\0\0"
        self._fixups.append((len(self.data), name))

    def address(self, register: int, name: str) -> None:
        """Append the loading of a label's address into one of r8 to r15."""
        self.data += bytes((0x4C, 0x8D, 0x05 | (register & 7) << 3)) + b"\0\0\0\0"  # lea, relative to rip
        self._fixups.append((len(self.data), name))

    def finish(self, name: str) -> Sequence:
        """Resolve the labels and return the sequence, with its labels as entries."""
        for end, name in self._fixups:
            self.data[end - 4 : end] = (self.labels[name] - end).to_bytes(4, "little", signed=True)
        code = Code(name, -1)
        code.data = bytes(self.data)
        code.text_size = len(code.data)
        code.relocs = self._relocs
        code.symbols = self._symbols
        return Sequence(code, self.labels)
