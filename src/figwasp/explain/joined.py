"""Floor 6: the whole line side by side: every wasm instruction with its SSA values and its machine code.

In: lines of the three forms with byte offsets. Out: a table in the order of the wasm text. Theory of operation:

The byte offset of the wasm instruction is what the forms share: the builder writes it on every value, selection on every machine
instruction, and emission tells which instruction each byte belongs to. An instruction without a row's offset stands for itself
nowhere: a block parameter, a constant that the allocator makes anew, a copy on an edge. It is put with its neighbour, the next
instruction of its block that has a position, else the one before, and marked with `~`.
"""

from __future__ import annotations

import textwrap
from typing import Final

from figwasp.explain.listing import Instruction, heading
from figwasp.explain.products import CodeProduct, Line, Product

WIDTHS: Final = (40, 52, 72)
"""Widest columns: wasm, SSA, code."""
GAP: Final = "  "
GUESS: Final = "~"
_TITLES: Final = ("wasm", "SSA", "code")
_LEGEND: Final = f"({GUESS}: no position of its own, stands with its neighbour)"


def joined(wat: list[Line], ssa: Product, code: CodeProduct) -> str:
    """Return the table.

    Args:
        wat: the lines of the function and their byte offsets, the heading first.
        ssa: the SSA form that selection gets.
        code: the bytes.
    """
    head = next((at for at, _ in wat if at >= 0), 0)
    rows: dict[int, list[list[str]]] = {}
    for offset, text in wat:
        offset = max(offset, head)
        rows.setdefault(offset, [[], [], []])[0].append(text)
    _spread(rows, head, 1, ssa.blocks)
    _spread(rows, head, 2, _code_blocks(code.instructions))
    return _table(rows)


def _code_blocks(instructions: list[Instruction]) -> list[list[Line]]:
    """Return the code by blocks, each with a heading."""
    blocks: list[list[Line]] = []
    block = -2
    for instruction in instructions:
        if instruction.block != block:
            block = instruction.block
            blocks.append([(0, heading(block))])
        blocks[-1].append((instruction.pos, str(instruction)))
    return blocks


def _spread(rows: dict[int, list[list[str]]], head: int, column: int, blocks: list[list[Line]]) -> None:
    """Put the lines of each block in the rows of their positions."""
    last = head
    for block in blocks:
        waiting: list[str] = []
        known = 0
        for pos, text in block:
            if pos not in rows:
                waiting.append(text)
                continue
            cell = rows[pos][column]
            cell += [_guessed(line) for line in waiting]
            cell.append(f"  {text.strip()}")
            waiting = []
            last = known = pos
        rows[known or last][column] += [_guessed(line) for line in waiting]


def _guessed(line: str) -> str:
    """Return a line that stands with its neighbour; the heading of a block says so itself."""
    return line.strip() if line.rstrip().endswith(":") or not line.startswith(" ") else f"{GUESS} {line.strip()}"


def _table(rows: dict[int, list[list[str]]]) -> str:
    """Lay the rows out."""
    cells = [(at, [_wrapped(lines, limit) for lines, limit in zip(row, WIDTHS)]) for at, row in sorted(rows.items())]
    widths = [max(len(line) for _, row in cells for line in [_TITLES[k], *row[k]]) for k in range(2)]
    lines = [f"{'offset':<8}{_TITLES[0]:<{widths[0]}}{GAP}{_TITLES[1]:<{widths[1]}}{GAP}{_TITLES[2]}  {_LEGEND}"]
    for at, (wat, ssa, code) in cells:
        for k in range(max(map(len, (wat, ssa, code)))):
            left, middle, right = [cell[k] if k < len(cell) else "" for cell in (wat, ssa, code)]
            number = "" if k else f"{at:06x}"
            lines.append(f"{number:<8}{left:<{widths[0]}}{GAP}{middle:<{widths[1]}}{GAP}{right}".rstrip())
    return "\n".join(lines) + "\n"


def _wrapped(lines: list[str], limit: int) -> list[str]:
    """Break lines that are wider than their column."""
    out: list[str] = []
    for line in lines:
        if len(line) <= limit:
            out.append(line)
            continue
        indent = " " * min(len(line) - len(line.lstrip()) + 4, limit // 2)
        out += textwrap.wrap(line, limit, subsequent_indent=indent, drop_whitespace=True, break_on_hyphens=False)
    return out
