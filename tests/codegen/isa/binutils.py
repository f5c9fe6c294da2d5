"""GNU as and objdump, one batch a call; and instructions that cover each row of the x86-64 table."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from figwasp.codegen.isa.rows import CONDITION, FIXED, IMMEDIATE, MEMORY, RD, RELATIVE, RM, RN, RX, Operand, Row
from figwasp.codegen.isa.x64 import insts as x
from figwasp.codegen.isa.x64.registers import CC_NAMES, NAMES8, NAMES16, NAMES32, NAMES64
from figwasp.codegen.mach import NONE, MInst
from figwasp.ir.types import FLOAT, INT
from tests.tools import tool

NAMES = {8: NAMES8, 16: NAMES16, 32: NAMES32, 64: NAMES64}
SIZES = {0: "", 8: "BYTE PTR ", 16: "WORD PTR ", 32: "DWORD PTR ", 64: "QWORD PTR ", 128: "XMMWORD PTR "}
REGISTERS = [0, 1, 3, 4, 5, 6, 7, 8, 11, 12, 13, 15]
DISPLACEMENTS = [0, 8, 127, -128, 128, -129, 0x7FFFFFFF, -0x80000000]
IMMEDIATES = {
    "imm8": [0, 1, 3, 9, 31, 127, 128, 255],
    "imm16": [0, 8, 0x7F, 0x80, 0x1234, 0xF0F0],
    "imm32": [0, 1, -1, 127, 128, -128, -129, 0x12345678, 0x7FFFFFFF, -0x80000000],
    "imm64": [0, 1, -1, 0x123456789ABCDEF0, -0x8000000000000000],
    "rel8": [0, 5, 127, -128],
    "rel32": [0, 5, -5, 128, 0x12345678, -0x12345678],
}
FIXED_SPELLINGS = {"rep_movsb": "rep movsb", "rep_stosb": "rep stosb"}


def memory_operands() -> list[tuple[int, int, int]]:
    """List base, index and mem: every base with every displacement, every base and index with every scale."""
    found = [(base, NONE, disp << 2) for base in [*range(16), NONE] for disp in DISPLACEMENTS]
    for base in (*range(16), NONE):
        for index in range(16):
            if index != 4:
                disp = DISPLACEMENTS[(base + index) % len(DISPLACEMENTS)]
                found.append((base, index, disp << 2 | (base * 3 + index) & 3))
    return found


def some_memory_operands() -> list[tuple[int, int, int]]:
    """List a few for each peculiarity."""
    return [
        (0, NONE, 0), (3, NONE, 8 << 2), (4, NONE, 0), (4, NONE, 128 << 2), (5, NONE, 0), (12, NONE, -128 << 2), (13, NONE, 0),
        (15, NONE, -129 << 2), (NONE, NONE, 0x1000 << 2), (0, 5, 0), (4, 12, 2), (5, 13, 3), (13, 8, 127 << 2 | 1),
        (12, 0, 128 << 2 | 3), (NONE, 9, 0x7FFFFFFF << 2 | 2), (NONE, 13, 3), (7, 15, -1 << 2 | 1),
    ]  # fmt: skip


def cases(row: Row) -> Iterator[MInst]:
    """Yield instructions of a row: registers, memory operands and immediates each walk through all of theirs."""
    operands = row.operands.list
    registers = [operand for operand in operands if operand.kind <= FLOAT]
    immediates: list[int] = [0]
    memories = [(NONE, NONE, 0)]
    conditions = False
    for operand in operands:
        if operand.kind in (IMMEDIATE, RELATIVE):
            immediates = IMMEDIATES[operand.text]
        conditions = conditions or operand.kind == CONDITION
        if operand.kind == MEMORY:
            memories = (
                memory_operands() if row.number in (x.MOV64_RM, x.ADDSD_RM, x.MOV8_MR) else some_memory_operands()
            )
    rounds = max(len(memories), len(immediates), 16 if conditions else 0, 2 * len(REGISTERS) if registers else 0)
    if memories[0] != (NONE, NONE, 0) and len(immediates) > 1:
        rounds = len(memories) * len(immediates)
    for turn in range(rounds):
        rm, rx, mem = memories[turn % len(memories)]
        imm = immediates[turn % len(immediates) if len(memories) == 1 else turn // len(memories) % len(immediates)]
        inst = MInst(row.number, NONE, NONE, rm, rx, mem, imm)
        if conditions:
            inst.imm = imm << 4 | turn & 15 if row.mnemonic == "jcc" else turn & 15
        for place, operand in enumerate(registers):
            number = REGISTERS[(turn * (place * 2 + 1) + place * turn // len(REGISTERS)) % len(REGISTERS)]
            number += 16 * (operand.kind == FLOAT)
            if operand.field == RD:
                inst.rd = number
                inst.rn = number if row.operands.tied else NONE
            elif operand.field == RN:
                inst.rn = number
            elif operand.field == RM:
                inst.rm = number
            else:
                inst.rx = number
        yield inst


def spelling(row: Row, inst: MInst) -> str:
    """Write an instruction for GNU as, from the row's operands alone."""
    imm = inst.imm
    assert isinstance(imm, int)
    mnemonic = FIXED_SPELLINGS.get(row.mnemonic, row.mnemonic).replace("_", " ")
    parts: list[str] = []
    for operand in row.operands.list:
        if operand.kind == CONDITION:
            mnemonic = mnemonic.replace("cc", CC_NAMES[imm & 15])
        elif operand.kind == RELATIVE:
            distance = imm >> 4 if row.mnemonic == "jcc" else imm
            short = operand.text == "rel8"
            mnemonic = mnemonic if short or mnemonic == "call" else "{disp32} " + mnemonic
            parts.append(f".+{distance + (2 if short else 6 if row.mnemonic == 'jcc' else 5)}")
        elif operand.kind == IMMEDIATE:
            parts.append(str(imm))
        elif operand.kind == MEMORY:
            segment = "fs:" if row.encoding.startswith("64 ") else ""
            parts.append(SIZES[operand.width] + segment + memory_spelling(inst).removeprefix("ds:" * bool(segment)))
        elif operand.kind == FIXED:
            parts.append(operand.text)
        else:
            parts.append(register_spelling(operand, inst))
    if row.encoding.startswith("VEX"):
        mnemonic = "{load} " + mnemonic  # or it exchanges operands where that makes the prefix shorter
    return f"{mnemonic} {', '.join(parts)}".strip()


def register_spelling(operand: Operand, inst: MInst) -> str:
    """Name a register operand."""
    number = {RD: inst.rd, RN: inst.rn, RM: inst.rm, RX: inst.rx}[operand.field]
    return NAMES[operand.width][number] if operand.kind == INT else f"xmm{number - 16}"


def memory_spelling(inst: MInst) -> str:
    """Write a memory operand for GNU as."""
    disp = inst.mem >> 2
    parts = [NAMES64[inst.rm]] if inst.rm != NONE else []
    if inst.rx != NONE:
        parts.append(f"{NAMES64[inst.rx]}*{1 << (inst.mem & 3)}")
    if not parts:
        return f"ds:{disp}"
    return f"[{'+'.join(parts)}{disp:+}]"


def shorter_elsewhere(row: Row, inst: MInst) -> bool:
    """Tell whether GNU as prefers an encoding that the table does not have: forms for the accumulator, shifts by one."""
    if "imm" in " ".join(row.operands.shapes) and row.mnemonic in {"add", "or", "and", "sub", "xor", "cmp", "test"}:
        assert isinstance(inst.imm, int)
        short = "ib |" in row.encoding and -128 <= inst.imm < 128
        return not row.operands.memory and inst.rn == 0 and not short
    if row.mnemonic == "xchg":
        return not row.operands.memory and 0 in (inst.rd, inst.rm)
    return row.mnemonic in {"shl", "shr", "sar", "rol", "ror"} and inst.imm == 1


def need_binutils() -> None:
    """Ask for GNU binutils."""
    for name in ("as", "objdump", "objcopy"):
        tool(name)


def assemble(lines: list[str], folder: Path) -> list[bytes]:
    """Return the bytes of each line."""
    need_binutils()
    source = [".intel_syntax noprefix"]
    for line in lines:
        source.append(f"1: {line}\n2: .section .lengths\n.byte 2b-1b\n.text")
    file = folder / "lines.o"
    subprocess.run(["as", "--64", "-o", file, "-"], input="\n".join(source) + "\n", text=True, check=True)
    parts = []
    for section in (".text", ".lengths"):
        out = folder / "section.bin"
        copy = [
            "objcopy",
            "-O",
            "binary",
            "-j",
            section,
            "--set-section-flags",
            f"{section}=alloc",
            str(file),
            str(out),
        ]
        subprocess.run(copy, check=True)
        parts.append(out.read_bytes())
    text, lengths = parts
    found = []
    start = 0
    for length in lengths:
        found.append(text[start : start + length])
        start += length
    return found


def disassemble(data: bytes, folder: Path) -> list[tuple[int, str]]:
    """Return offset and normalised text of each instruction, as objdump sees them."""
    need_binutils()
    file = folder / "code.bin"
    file.write_bytes(data)
    command = [
        "objdump",
        "-D",
        "-w",
        "-b",
        "binary",
        "-m",
        "i386:x86-64",
        "-M",
        "intel",
        "--no-show-raw-insn",
        str(file),
    ]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = []
    for line in listing.splitlines():
        match = re.match(r"\s*([0-9a-f]+):\t(.*)", line)
        if match:
            text = re.sub(r"\s*[#<].*", "", match[2])
            found.append((int(match[1], 16), re.sub(r"\s+", " ", text).strip()))
    return found
