"""Floor 3: what a row of an instruction table means, whatever the machine.

In go rows written in the vocabulary of the vendor's manual; out come the columns that liveness, allocation and selection
read (`target.Rows`). The encoding column is the machine's own matter.

Operands stand in manual order, separated by blanks. Each has an access in front, then a kind:

    =   written          +   read and written (the destination is tied to the first source)          nothing: read

    r32, r/m32                     a register, in a word of the machine's `Vocabulary`; with a stroke: in the field of an
                                   encoding that can also address memory
    m32         memory             m           memory that is not accessed
    r32/m8                         a register whose word says another width than the memory there would have
    imm8, rel8, cc                 immediate, branch displacement, condition code: in MInst.imm
    others                         a fixed register, as written

The fields of MInst follow: the written register is rd; the registers read are rn (with `+`, rd itself), then rm, then rx; memory is
rm, rx and mem. Two `=` registers both mean rd.
"""

from __future__ import annotations

from figwasp.codegen.mach import FIRST_ROW
from figwasp.codegen.target import Rows
from figwasp.ir.types import FLOAT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# Access
READ: Final = 0
WRITE: Final = 1
READ_WRITE: Final = 2

# Kind of operand, beside the classes of registers
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
RX: Final = 4

# Bits of Rows.reads
READS_RN: Final = 1
READS_RM: Final = 2
READS_RX: Final = 4

_ACCESS: Final = {"=": WRITE, "+": READ_WRITE}
_MARKS: Final = ("", "=", "+")
_NO_SHAPE: Final = "-"
_DIGITS: Final = "0123456789"
_LETTERS: Final = {"m": MEMORY, "imm": IMMEDIATE, "rel": RELATIVE, "cc": CONDITION}
_PSEUDO_NAMES: Final = [
    "entry", "copy", "call", "ret", "tail", "jump", "branch", "switch", "trapif", "trap", "unwind", "poll", "fuel",
    "invoke", "arrive", "",
]  # fmt: skip


class Vocabulary:
    """A machine's words for registers in its rows.

    Attributes:
        classes: word -> class of registers.
        sized: words that are followed by the width of the register.
        fixed: names of registers that stand for themselves.
    """

    __slots__ = ("_parsed", "classes", "fixed", "sized")

    def __init__(self, classes: dict[str, int], sized: frozenset[str], fixed: frozenset[str]) -> None:
        self.classes = classes
        self.sized = sized
        self.fixed = fixed
        self._parsed: dict[str, Operands] = {}

    def parse(self, text: str) -> Operands:
        """Return the operands of a row; rows with the same ones share them."""
        parsed = self._parsed.get(text)
        if parsed is None:
            parsed = self._parsed[text] = Operands([Operand(part, self) for part in text.split()], text)
        return parsed


class Operand:
    """An operand of a row.

    Attributes:
        text: without the access, as in the manual.
        shape: access and text without what only the encoding wants to know.
        access: READ, WRITE or READ_WRITE.
        kind: INT, FLOAT, MEMORY, ...
        width: bits; 0 where it has none.
        wide: True for a register in the field that could also address memory (`r/m32`).
        memory: that memory as an operand (`m32`), or "".
        field: field of MInst that holds the register.
    """

    __slots__ = ("access", "field", "kind", "memory", "shape", "text", "wide", "width")

    def __init__(self, text: str, vocabulary: Vocabulary) -> None:
        self.access = _ACCESS.get(text[0], READ)
        body = text.lstrip("=+")
        letters = body.rstrip(_DIGITS)
        self.text = body
        first, _, self.memory = body.partition("/")
        word = first.rstrip(_DIGITS)
        self.width = int(first[len(word) :] or body[len(letters) :] or "0")
        self.wide = bool(self.memory)
        self.field = NO_FIELD
        self.shape = _MARKS[self.access] + body
        if body in vocabulary.fixed:
            self.kind = FIXED
        elif word in vocabulary.classes:
            self.kind = vocabulary.classes[word]
            self.shape = _MARKS[self.access] + word + (str(self.width) if word in vocabulary.sized else "")
        else:
            self.kind = _LETTERS[letters]


class Operands:
    """The operands of a row and the roles that follow; rows with the same operands share one.

    Attributes:
        list: in manual order.
        text: as written.
        shapes: of each.
        shape: the same in one string.
        defines, tied, memory, stores, reads, width, immediate, condition: as in `target.Rows`.
        spill_rm, spill_rn: shapes of all operands once rm or rn is in memory, or what no row has.
    """

    __slots__ = (
        "condition",
        "defines",
        "immediate",
        "list",
        "memory",
        "reads",
        "shape",
        "shapes",
        "spill_rm",
        "spill_rn",
        "stores",
        "text",
        "tied",
        "width",
    )

    def __init__(self, operands: list[Operand], text: str = "") -> None:
        self.list = operands
        self.text = text
        self.shapes = [operand.shape for operand in operands]
        self.shape = " ".join(self.shapes)
        kinds = [operand.kind for operand in operands]
        self.immediate = IMMEDIATE in kinds
        self.condition = CONDITION in kinds
        self.defines = self.tied = self.memory = self.stores = False
        self.reads = self.width = 0
        self.spill_rm = self.spill_rn = _NO_SHAPE
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
        elif self.reads & READS_RM and not self.memory:
            operand.field = RX
            self.reads |= READS_RX
        elif self.reads & READS_RN:
            operand.field = RM
            self.reads |= READS_RM
        else:
            operand.field = RN
            self.reads |= READS_RN

    def _derive_spills(self) -> None:
        for index, operand in enumerate(self.list):
            if operand.field == RN or operand.field == RM:
                memory = operand.memory or (f"m{operand.width}" if operand.width else "")
                if memory:
                    shapes = self.shapes.copy()
                    shapes[index] = memory
                    if operand.field == RM:
                        self.spill_rm = " ".join(shapes)
                    else:
                        self.spill_rn = " ".join(shapes)


class Row:
    """A machine instruction.

    Attributes:
        number: what MInst.op holds.
        name: of the module-level constant.
        mnemonic: with `cc` where the condition's name goes.
        operands: parsed.
        encoding: in the manual's notation.
        effects: `f` writes flags; `c` makes a value of a condition, perhaps with the help of the scratch register; register names
            are implicit operands, with an access in front.
        feature: what a processor must have for it, or "" if every one of the machine has it.
    """

    __slots__ = ("effects", "encoding", "feature", "mnemonic", "name", "number", "operands")

    def __init__(self, number: int, mnemonic: str, operands: Operands, encoding: str, effects: str, feature: str = "") -> None:
        self.number = number
        self.name = ""
        self.mnemonic = mnemonic
        self.operands = operands
        self.encoding = encoding
        self.effects = effects
        self.feature = feature


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
    every = [Row(0, name, Operands([]), "", "") for name in _PSEUDO_NAMES] + table
    roles = [row.operands for row in every]
    numbers = {(row.mnemonic, row.operands.shape): row.number for row in reversed(table)}
    rows = Rows()
    rows.names = _PSEUDO_NAMES + [row.name.lower() for row in table]
    rows.defines = [role.defines for role in roles]
    rows.reads = [role.reads for role in roles]
    rows.tied = [role.tied for role in roles]
    rows.memory = [role.memory for role in roles]
    rows.stores = [role.stores for role in roles]
    rows.width = [role.width for role in roles]
    rows.immediate = [role.immediate for role in roles]
    rows.condition = [role.condition for role in roles]
    rows.spill_rm = [numbers.get((row.mnemonic, row.operands.spill_rm), -1) for row in every]
    rows.spill_rn = [numbers.get((row.mnemonic, row.operands.spill_rn), -1) for row in every]
    rows.implicit_uses = [0] * len(every)
    rows.implicit_defs = [0] * len(every)
    rows.flags = [False] * len(every)
    rows.makes_condition = [False] * len(every)
    for number, row in enumerate(every):
        if row.effects:
            _add_effects(rows, number, row.effects.split(), register_numbers)
    return rows


def _add_effects(rows: Rows, number: int, effects: list[str], register_numbers: dict[str, int]) -> None:
    """Fill in the columns about what a row does besides its operands."""
    rows.flags[number] = "f" in effects
    rows.makes_condition[number] = "c" in effects
    for effect in effects:
        if effect in ("f", "c"):
            continue
        bit = 1 << register_numbers[effect.lstrip("=+")]
        if effect[0] != "=":
            rows.implicit_uses[number] |= bit
        if effect[0] in _ACCESS:
            rows.implicit_defs[number] |= bit
