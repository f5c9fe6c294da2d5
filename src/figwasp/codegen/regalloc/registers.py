"""Floor 3: sets of physical registers: as ints with one bit per register, and those a row touches besides its operands."""

from __future__ import annotations

from typing import Final

from figwasp.codegen.target import Rows, Target
from figwasp.ir.types import INT

_IMPLICIT: Final[dict[int, tuple[Rows, list[int]]]] = {}


def bits(registers: int) -> list[int]:
    """Return the registers of a bit set, ascending."""
    found = []
    while registers:
        low = registers & -registers
        found.append(low.bit_length() - 1)
        registers ^= low
    return found


def implicit_registers(target: Target) -> list[int]:
    """Return per row the physical registers it touches besides its operands; one list per table.

    What makes a value of a condition may expand with the help of the scratch register, which no column says.
    """
    rows = target.rows
    known = _IMPLICIT.get(id(rows))
    if known is None:
        touched = [a | b for a, b in zip(rows.implicit_uses, rows.implicit_defs)]
        for op, makes in enumerate(rows.makes_condition):
            if makes:
                touched[op] |= 1 << target.scratch[INT]
        known = _IMPLICIT[id(rows)] = (rows, touched)
    return known[1]
