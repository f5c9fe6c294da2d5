"""Floor 3: what a row of an instruction table means, whatever the machine.

In go rows written in the vocabulary of the vendor's manual; out come the columns that liveness, allocation and selection
read (`target.Rows`). The encoding column is the machine's own matter.

Operands stand in manual order, separated by blanks. Each has an access in front, then a kind:

    =   written          +   read and written (the destination is tied to the first source)          nothing: read

    r32         register           r/m32       register, in the field of an encoding that can also address memory
    xmm         float register     xmm/m64     the same
    m32         memory             m           memory that is not accessed (lea)
    imm8, rel32, cc                immediate, branch displacement, condition code: in MInst.imm
    cl          a fixed register, as written

The fields of MInst follow: the written register is rd; the registers read are rn (with `+`, rd itself), then rm; memory is
rm, rx and mem. Two `=` registers both mean rd.
"""

from __future__ import annotations

from typing import Final

from figwasp.codegen.mach import FIRST_ROW
from figwasp.codegen.target import Rows

# Access
READ: Final = 0
WRITE: Final = 1
READ_WRITE: Final = 2

# Kind of operand
INT: Final = 0
FLOAT: Final = 1
MEMORY: Final = 2
IMMEDIATE: Final = 3
RELATIVE: Final = 4
CONDITION: Final = 5
FIXED: Final = 6

# Field of MInst that holds a register operand
NO_FIELD: Final = 0
RD: Final = 1
RN: Final = 2
RM: Final = 3

# Bits of Rows.reads
READS_RN: Final = 1
READS_RM: Final = 2
READS_RX: Final = 4

_ACCESS: Final = {"=": WRITE, "+": READ_WRITE}
_MARKS: Final = ("", "=", "+")
_FIXED: Final = ("cl", "dl", "al")
_LETTERS: Final = {"m": MEMORY, "imm": IMMEDIATE, "rel": RELATIVE, "cc": CONDITION}
_PSEUDO_NAMES: Final = [
    "entry", "copy", "call", "ret", "tail", "jump", "branch", "switch", "trapif", "trap", "unwind", "poll", "fuel", "", "", "",
]  # fmt: skip


class Operand:
    """An operand of a row.

    Attributes:
        text: without the access, as in the manual.
        access: READ, WRITE or READ_WRITE.
        kind: INT, FLOAT, MEMORY, ...
        width: bits; 0 where it has none.
        wide: True for a register in the field that could also address memory (`r/m32`).
        field: field of MInst that holds the register.
    """

    __slots__ = ("access", "field", "kind", "text", "wide", "width")

    def __init__(self, text: str) -> None:
        self.access = _ACCESS.get(text[0], READ)
        body = text.lstrip("=+")
        letters = body.rstrip("0123456789")
        self.text = body
        self.width = int(body[len(letters) :] or "0")
        self.wide = "/" in body
        if body in _FIXED:
            self.kind = FIXED
        elif body.startswith("xmm"):
            self.kind = FLOAT
        else:
            self.kind = INT if letters in {"r", "r/m"} else _LETTERS[letters]
        self.field = NO_FIELD

    def shape(self) -> str:
        """Return access and text without what only the encoding wants to know."""
        if self.kind > FLOAT:
            return _MARKS[self.access] + self.text
        return _MARKS[self.access] + ("xmm" if self.kind == FLOAT else f"r{self.width}")


class Operands:
    """The operands of a row and the roles that follow; rows with the same operands share one.

    Attributes:
        list: in manual order.
        shapes: of each.
        defines, tied, memory, stores, reads, width: as in `target.Rows`.
        spill_rm, spill_rn: shapes of all operands once rm or rn is in memory, or "".
    """

    __slots__ = ("defines", "list", "memory", "reads", "shapes", "spill_rm", "spill_rn", "stores", "tied", "width")

    def __init__(self, text: str) -> None:
        self.list = [Operand(part) for part in text.split()]
        self.shapes = [operand.shape() for operand in self.list]
        self.defines = self.tied = self.memory = self.stores = False
        self.reads = self.width = 0
        self.spill_rm = self.spill_rn = ""
        for operand in self.list:
            if operand.kind == MEMORY:
                self._add_memory(operand)
            elif operand.kind <= FLOAT:
                self._add_register(operand)
        if not self.memory:
            self._derive_spills()

    def _add_memory(self, operand: Operand) -> None:
        self.memory = True
        self.stores = operand.access != READ
        self.reads |= READS_RM | READS_RX
        self.width = operand.width >> 3

    def _add_register(self, operand: Operand) -> None:
        if operand.access != READ:
            operand.field = RD
            self.defines = True
            if operand.access == READ_WRITE and not self.tied:
                self.tied = True
                self.reads |= READS_RN
        elif self.reads & READS_RN:
            operand.field = RM
            self.reads |= READS_RM
        else:
            operand.field = RN
            self.reads |= READS_RN

    def _derive_spills(self) -> None:
        for index, operand in enumerate(self.list):
            if operand.field >= RN and 0 < operand.width <= 64:
                shapes = self.shapes.copy()
                shapes[index] = f"m{operand.width}"
                if operand.field == RM:
                    self.spill_rm = " ".join(shapes)
                else:
                    self.spill_rn = " ".join(shapes)


_OPERANDS: Final[dict[str, Operands]] = {}


class Row:
    """A machine instruction.

    Attributes:
        number: what MInst.op holds.
        name: of the module-level constant.
        mnemonic: with `cc` where the condition's name goes.
        operands: parsed.
        encoding: in the manual's notation.
        effects: `f` writes flags; register names are implicit operands, with an access in front.
    """

    __slots__ = ("effects", "encoding", "mnemonic", "name", "number", "operands")

    def __init__(self, number: int, mnemonic: str, operands: str, encoding: str, effects: str) -> None:
        parsed = _OPERANDS.get(operands)
        if parsed is None:
            parsed = _OPERANDS[operands] = Operands(operands)
        self.number = number
        self.name = ""
        self.mnemonic = mnemonic
        self.operands = parsed
        self.encoding = encoding
        self.effects = effects


def name_rows(table: list[Row], constants: dict[str, object]) -> None:
    """Give every row the name of the module-level constant that holds its number."""
    for name, value in constants.items():
        if type(value) is int and name.isupper() and 0 <= value - FIRST_ROW < len(table):
            table[value - FIRST_ROW].name = name


def columns(table: list[Row], register_numbers: dict[str, int]) -> Rows:
    """Derive the columns that the shared stages read.

    Args:
        table: the rows in order of their numbers, from FIRST_ROW.
        register_numbers: by name, for implicit operands.
    """
    numbers = {f"{row.mnemonic} {' '.join(row.operands.shapes)}": row.number for row in reversed(table)}
    rows = Rows()
    for name in _PSEUDO_NAMES:
        _append(rows, Row(0, name, "", "", ""), numbers, register_numbers)
        rows.names[-1] = name
    for row in table:
        _append(rows, row, numbers, register_numbers)
    return rows


def _append(rows: Rows, row: Row, numbers: dict[str, int], register_numbers: dict[str, int]) -> None:
    """Append the columns of one row."""
    roles = row.operands
    rows.names.append(row.name.lower())
    rows.defines.append(roles.defines)
    rows.reads.append(roles.reads)
    rows.tied.append(roles.tied)
    rows.memory.append(roles.memory)
    rows.stores.append(roles.stores)
    rows.width.append(roles.width)
    rows.spill_rm.append(numbers.get(f"{row.mnemonic} {roles.spill_rm}", -1) if roles.spill_rm else -1)
    rows.spill_rn.append(numbers.get(f"{row.mnemonic} {roles.spill_rn}", -1) if roles.spill_rn else -1)
    uses = defs = 0
    flags = False
    for effect in row.effects.split():
        if effect == "f":
            flags = True
            continue
        bit = 1 << register_numbers[effect.lstrip("=+")]
        if effect[0] != "=":
            uses |= bit
        if effect[0] in _ACCESS:
            defs |= bit
    rows.implicit_uses.append(uses)
    rows.implicit_defs.append(defs)
    rows.flags.append(flags)
