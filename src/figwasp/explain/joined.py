"""Floor 6: the whole line side by side: every wasm instruction with its SSA values and its machine code.

In: lines of the three forms with byte offsets. Out: a table in the order of the wasm text. Theory of operation:

The forms share the byte offset of the wasm instruction: the builder writes it on every value, selection on every machine
instruction, and emission tells which instruction each byte belongs to. What has no position of its own (a block parameter, a copy
that the allocator has put on an edge) is put with its neighbour, the next instruction of its block that has one, else the one
before, and marked with `~`. What begins the function, and its own out-of-line code, stands with the heading.
"""

from __future__ import annotations

import textwrap
from typing import Final

from figwasp.codegen.mach import NONE
from figwasp.explain.listing import Instruction, heading, line_widths
from figwasp.explain.products import CodeProduct, Line, Product

MARGIN: Final = "  "
GUESSED: Final = "~ "
_TITLES: Final = ("wasm", "SSA", "code")
_WIDEST: Final = (40, 52)
_LEGEND: Final = "~ has no position of its own and stands with its neighbour\n"

Rows = dict[int, list[list[str]]]
"""Byte offset -> the lines of the three columns."""


def joined(wat: list[Line], ssa: Product, code: CodeProduct) -> str:
    """Return the table.

    Args:
        wat: the lines of the function and their byte offsets, the heading first.
        ssa: the SSA form that selection gets.
        code: the bytes.
    """
    head = wat[0][0]
    rows: Rows = {}
    for offset, text in wat:
        rows.setdefault(offset, [[], [], []])[0].append(text)
    place = _Placing(rows, head, 1)
    for number, block in enumerate(ssa.blocks):
        place.block([(pos, _without_position(text, pos)) for pos, text in block], first=number == 0)
    _place_code(_Placing(rows, head, 2), code.instructions)
    return _table(rows)


def _without_position(text: str, pos: int) -> str:
    """Return a line of SSA form without what its row says."""
    return text.replace(f" @{pos:x}", "", 1).strip() if pos else text.strip()


def _place_code(place: _Placing, instructions: list[Instruction]) -> None:
    """Place the code block by block."""
    widths = line_widths(instructions)
    blocks: dict[int, list[Line]] = {}
    for instruction in instructions:
        block = blocks.setdefault(instruction.block, [(0, heading(instruction.block))])
        block.append((instruction.pos, instruction.line(widths)))
    first = instructions[0].block
    for number, block in blocks.items():
        place.block(block, first=number in (first, NONE))


class _Placing:
    """Puts the lines of a form in their rows.

    Attributes:
        rows: the table.
        column: of the form.
        head: the row of the function's heading.
    """

    __slots__ = ("_last", "column", "head", "rows")

    def __init__(self, rows: Rows, head: int, column: int) -> None:
        self.rows = rows
        self.head = head
        self.column = column
        self._last = head

    def block(self, block: list[Line], *, first: bool) -> None:
        """Place a block: its heading, then its instructions; `first`: it begins the function, or ends it."""
        waiting = [block[0][1]]
        beginning = first
        for pos, text in block[1:]:
            if pos not in self.rows:
                waiting.append(GUESSED + text)
                continue
            if beginning:
                self._put(self.head, waiting)
                waiting = []
                beginning = False
            self._put(pos, [*waiting, MARGIN + text])
            waiting = []
            self._last = pos
        self._put(self.head if beginning else self._last, waiting)

    def _put(self, row: int, lines: list[str]) -> None:
        self.rows[row][self.column].extend(lines)


def _table(rows: Rows) -> str:
    """Lay the rows out."""
    cells = [
        (at, _wrapped(row[0], _WIDEST[0]), _wrapped(row[1], _WIDEST[1]), row[2]) for at, row in sorted(rows.items())
    ]
    first = max(len(line) for cell in cells for line in [_TITLES[0], *cell[1]])
    second = max(len(line) for cell in cells for line in [_TITLES[1], *cell[2]])
    lines = [f"{'offset':<8}{_TITLES[0]:<{first}}  {_TITLES[1]:<{second}}  {_TITLES[2]}"]
    for at, *columns in cells:
        for k in range(max(map(len, columns))):
            left, middle, right = [column[k] if k < len(column) else "" for column in columns]
            number = "" if k else f"{at:06x}"
            lines.append(f"{number:<8}{left:<{first}}  {middle:<{second}}  {right}".rstrip())
    return "\n".join(lines) + "\n" + _LEGEND


def _wrapped(lines: list[str], limit: int) -> list[str]:
    """Break lines that are wider than their column."""
    out: list[str] = []
    for line in lines:
        if len(line) <= limit:
            out.append(line)
        else:
            indent = " " * min(len(line) - len(line.lstrip()) + 4, limit // 2)
            out += textwrap.wrap(line, limit, subsequent_indent=indent, break_on_hyphens=False)
    return out
