"""Floor 3: the rows of the instruction table of x86-64 as they are added, with one numbering for `insts` and `insts_vector`.

Out of one line of text may come several rows, by rule:

* its VEX twin (SDM vol. 2, 2.3), if it has the mark `v` among the effects: the mnemonic with `v` in front, a destination of its
  own where that was tied, the same opcode behind a prefix that has the legacy prefix and the escape bytes in it.
* its memory form, if `packed` adds it: the operand with a stroke is memory.

A function is selected in the rows without VEX; `TWINS` says what they become on a processor with AVX.
"""

from __future__ import annotations

from figwasp.codegen.isa.rows import Row, Vocabulary
from figwasp.codegen.mach import FIRST_ROW
from figwasp.ir.types import FLOAT, INT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["TABLE", "TWINS", "add_twins", "memory_form", "packed", "row"]

VOCABULARY: Final = Vocabulary({"r": INT, "xmm": FLOAT}, frozenset({"r"}), frozenset({"al", "cl", "dl"}))
"""Operands: r32 or r/m32, xmm or xmm/m64, and the fixed ones."""

TABLE: Final[list[Row]] = []
"""The rows; that of operation number n is TABLE[n - FIRST_ROW]."""

TWINS: Final[list[int]] = []
"""Operation -> its VEX form, or itself; filled by `add_twins`."""

_twinned: Final[list[Row]] = []
_memory_forms: Final[list[tuple[Row, Row]]] = []


def row(mnemonic: str, operands: str, encoding: str, effects: str = "", feature: str = "") -> int:
    """Add a row and return its operation number."""
    number = FIRST_ROW + len(TABLE)
    twinned = effects.startswith("v")
    made = Row(number, mnemonic, VOCABULARY.parse(operands), encoding, effects[2:] if twinned else effects, feature)
    TABLE.append(made)
    if twinned:
        _twinned.append(made)
    return number


def packed(mnemonic: str, operands: str, encoding: str, effects: str = "v", feature: str = "") -> int:
    """Add a row and, next to it, its memory form; return the number of the first."""
    number = row(mnemonic, operands, encoding, effects, feature)
    row(mnemonic, " ".join(_in_memory(word) for word in operands.split()), encoding, effects, feature)
    _memory_forms.append((TABLE[-2], TABLE[-1]))
    return number


def memory_form(number: int) -> int:
    """Return the memory form of a row that `packed` has added."""
    return number + 1


def _in_memory(word: str) -> str:
    """Turn an operand with a stroke into its memory."""
    _, stroke, memory = word.partition("/")
    return (word[0] if word[0] in "=+" else "") + memory if stroke else word


def add_twins() -> None:
    """Name the memory forms and add the VEX twins, once all rows of the text have their names."""
    for register_form, memory_form in _memory_forms:
        memory_form.name = register_form.name + "_M"
    TWINS.extend(range(FIRST_ROW + len(TABLE)))
    for old in _twinned:
        number = row("v" + old.mnemonic, _untied(old.operands.text), _vex(old.encoding), old.effects, "avx")
        TABLE[-1].name = "V" + old.name
        TWINS[old.number] = number
        TWINS.append(number)


def _untied(operands: str) -> str:
    """Give a result that was tied a register of its own: xmm xmm/m128, or what was its operand in ModRM.rm."""
    return "=xmm " + operands[1:] if operands.startswith("+") else operands


def _vex(encoding: str) -> str:
    """Turn an encoding into that with a VEX prefix, in the manual's notation."""
    parts = encoding.split()
    prefix = f".{parts.pop(0)}" if parts[0] in ("66", "F2", "F3") else ""
    width = "W1" if parts[0] == "REX.W" else "W0"
    if width == "W1":
        del parts[0]
    opcode_map = parts.pop(0)
    if parts[0] in ("38", "3A"):
        opcode_map += parts.pop(0)
    return f"VEX.128{prefix}.{opcode_map}.{width} {' '.join(parts)}"
