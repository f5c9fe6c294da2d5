"""Floor 6: machine code as a listing: offset, bytes, text from the instruction rows, and the runtime's records of the place.

In: a `Code` and the origins of its pieces. Out: `Instruction`s, and the listing. The bytes of a field that is filled in when the
code is installed are shown as `..`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from typing import Final

from figwasp.codegen.code import RELOC_BUILTIN, RELOC_COUNTER, RELOC_STUB, RELOC_SYMBOL, STUB_TRAP, Code
from figwasp.codegen.disasm import disassemble
from figwasp.codegen.emit import Origin
from figwasp.codegen.mach import NONE
from figwasp.codegen.target import Target
from figwasp.codegen.text import STUB_NAMES
from figwasp.errors import TRAP_MESSAGES
from figwasp.ir import builtins
from figwasp.layout import FAULT_OFFSET

CELL: Final = 8  # bytes of the constants on a line
HIDDEN: Final = ".."
MAX_BYTES_WIDTH: Final = 29
"""Instructions of more than ten bytes shift the text on their line."""


Widths = tuple[int, int]
"""Columns that the offset and the bytes of an instruction take."""


class Instruction:
    """An instruction of the code.

    Attributes:
        offset: its first byte in the function.
        data: its bytes.
        bytes: the same in hex, `..` for what is filled in when the code is installed.
        text: its disassembly.
        note: a relocation or a trap site of the instruction, or "".
        block: id of its machine block, or NONE for what stands at the function's end.
        pos: byte offset of the wasm instruction, 0 if none.
    """

    __slots__ = ("block", "bytes", "data", "note", "offset", "pos", "text")

    def __init__(self, offset: int, data: bytes, text: str, origin: Origin) -> None:
        self.offset = offset
        self.data = data
        self.bytes = ""
        self.text = text
        self.note = ""
        self.block = origin.block
        self.pos = origin.pos

    def line(self, widths: Widths) -> str:
        """Return the instruction as a line."""
        offset, width = widths
        return f"{self.offset:{offset}x}  {self.bytes:<{width}}  {self.text}{f'  ; {self.note}' if self.note else ''}"


def code_instructions(code: Code, target: Target, origins: list[Origin]) -> list[Instruction]:
    """Disassemble a function, and note where each instruction comes from."""
    starts = [origin.offset for origin in origins]
    relocs = {offset: (field, kind, index) for offset, field, kind, index in code.relocs}
    traps = dict(code.traps)
    made: list[Instruction] = []
    for offset, data, text in disassemble(code, target):
        origin = origins[bisect_right(starts, offset) - 1]
        instruction = Instruction(offset, data, text, origin)
        hidden = range(0)
        end = offset + len(data)
        start = next((at for at in range(offset, end) if at in relocs), NONE)
        if start >= 0:
            field, kind, index = relocs[start]
            hidden = range(start - offset, start - offset + target.field_sizes[field])
            instruction.text = _resolved(instruction.text, kind, index, code)
            if kind == RELOC_STUB and index == STUB_TRAP and end in traps:
                instruction.note = _trap_name(traps[end])
        elif offset + FAULT_OFFSET in traps:
            instruction.note = f"may trap: {_trap_name(traps[offset + FAULT_OFFSET])}"
        else:
            constant = target.data_reference(text, end)
            if constant >= 0:
                instruction.note = f"{constant:x}"
        instruction.bytes = " ".join(HIDDEN if at in hidden else f"{byte:02x}" for at, byte in enumerate(data))
        made.append(instruction)
    return made


def _trap_name(code: int) -> str:
    return TRAP_MESSAGES.get(code, f"trap {code}")


def _resolved(text: str, kind: int, index: int, code: Code) -> str:
    """Return the text of an instruction with what its relocation refers to."""
    if kind == RELOC_STUB:
        return f"{text.partition(' ')[0]} <{STUB_NAMES[index]}>"
    if kind == RELOC_SYMBOL:
        name = code.symbols[index]
    elif kind == RELOC_BUILTIN:
        name = f"builtin {builtins.NAMES[index]}"
    else:
        name = f"counter of function {index}" if kind == RELOC_COUNTER else f"function {index}"
    return f"{text.partition('[')[0]}[<{name}>]"


def line_widths(instructions: list[Instruction]) -> Widths:
    """Return the widths of the columns of a function."""
    offset = max(4, len(f"{instructions[-1].offset:x}"))
    return offset, min(max(len(instruction.bytes) for instruction in instructions), MAX_BYTES_WIDTH)


def code_text(code: Code, instructions: list[Instruction], heading: Callable[[int], str]) -> str:
    """Write the listing: blocks, each under its heading, what stands at the end, constants."""
    lines: list[str] = []
    widths = line_widths(instructions)
    block: int | None = None
    for instruction in instructions:
        if instruction.block != block:
            block = instruction.block
            lines.append(heading(block))
        lines.append(f"  {instruction.line(widths)}")
    if len(code.data) > code.text_size:
        lines.append("constants:")
        for offset in range(code.text_size & -CELL, len(code.data), CELL):
            start = max(offset, code.text_size)
            lines.append(f"  {start:{widths[0]}x}  {code.data[start : offset + CELL].hex(' ')}")
    return "\n".join(lines) + "\n"


def heading(block: int) -> str:
    """Return the heading above the code of a block."""
    return "out of line:" if block == NONE else f"b{block}:"
