"""Floor 3: templates: machine code with fields, which the baseline compiler puts together."""

from __future__ import annotations

from figwasp.layout import LEFT_FRAME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = [
    "IMMEDIATE",
    "INSTANCE",
    "INST_GLOBAL",
    "INST_MEMORY",
    "INST_RECORD",
    "INST_TABLE",
    "INST_TYPE",
    "LARGE_FRAME",
    "LOCAL",
    "OFFSET",
    "SLOT",
    "NoTemplate",
    "Template",
]

# What a field holds
LOCAL: Final = 0  # the place of a local: the n-th of the run
SLOT: Final = 1  # the place of an operand: the n-th from the top, that being the first
IMMEDIATE: Final = 2  # the constant of the run
OFFSET: Final = 3  # the offset of its memory access
INSTANCE: Final = 4  # an offset in the instance block:

INST_MEMORY: Final = 0  # of the base of memory 0
INST_RECORD: Final = 1  # of the pointer to its record
INST_GLOBAL: Final = 2  # of a global
INST_TABLE: Final = 3  # of the pointer to the record of a table
INST_TYPE: Final = 4  # of the descriptor of a type


LARGE_FRAME: Final = f"a frame above {LEFT_FRAME >> 10} KiB"
"""As what there is no template for."""


class NoTemplate(Exception):
    """There is none for what is wanted; the message tells users for what: there is no template for ..."""


class Template:
    """A template.

    Attributes:
        code: the bytes, zeros in the fields.
        fields: offset, bytes, what it holds and which of it, of each, ascending.
        takes: operands taken from the stack. top: class of the register that the topmost of them is in, NONE if none is taken.
        result: class of the register with the result, NONE for none.
        condition: on which a branch is to be taken behind it, or NONE.
        traps: (offset, trap code) of trap sites. positions: (offset, number of the instruction), of these and of calls.
        relocs: as in `Code`.
        pool: (offset, bytes of the instruction behind the field, constant) of references to constants.
    """

    __slots__ = ("code", "condition", "fields", "pool", "positions", "relocs", "result", "takes", "top", "traps")

    def __init__(
        self,
        code: bytes,
        fields: tuple[tuple[int, int, int, int], ...],
        takes: int,
        top: int,
        result: int,
        condition: int,
        traps: tuple[tuple[int, int], ...],
        positions: tuple[tuple[int, int], ...],
        relocs: tuple[tuple[int, int, int, int], ...],
        pool: tuple[tuple[int, int, bytes], ...],
    ) -> None:
        self.code = code
        self.fields = fields
        self.takes = takes
        self.top = top
        self.result = result
        self.condition = condition
        self.traps = traps
        self.positions = positions
        self.relocs = relocs
        self.pool = pool

    def columns(self) -> tuple[object, ...]:
        """Return its arguments, as they stand in the machine's table."""
        return (
            self.code, self.fields, self.takes, self.top, self.result, self.condition,
            self.traps, self.positions, self.relocs, self.pool,
        )  # fmt: skip
