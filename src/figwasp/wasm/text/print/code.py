"""Functions and constant expressions to the text format (spec 6.5), flat with indentation or folded. Floor 1.

In: a `Module` and the index of a function. Out: lines with their byte offsets.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from figwasp.errors import LimitExceeded, Malformed
from figwasp.wasm.binary.immediates import READERS, read_opcode
from figwasp.wasm.binary.leb128 import read_u32
from figwasp.wasm.binary.types import read_value_type
from figwasp.wasm.syntax.immediates import Immediate
from figwasp.wasm.syntax.limits import MAX_LOCALS
from figwasp.wasm.syntax.module import ConstExpr, Module
from figwasp.wasm.syntax.names import Names
from figwasp.wasm.syntax.opcodes import BY_CODE, BY_NAME, Opcode
from figwasp.wasm.syntax.stack_effect import CLOSERS, OPENERS, SEPARATORS
from figwasp.wasm.syntax.types import Types
from figwasp.wasm.text.print.folded import MAX_INDENT, Folder, folded_lines, on_one_line
from figwasp.wasm.text.print.immediates import ImmediatePrinter
from figwasp.wasm.text.print.names import Space, as_identifier, as_string

__all__ = ["CodePrinter", "as_identifier", "as_string", "instructions", "read_locals"]

STRUCTURE: Final = OPENERS | SEPARATORS | CLOSERS
END: Final = BY_NAME["end"].code
IF: Final = BY_NAME["if"].code
ELSE: Final = BY_NAME["else"].code
TRY: Final = BY_NAME["try"].code
CATCH: Final = BY_NAME["catch"].code
CATCH_ALL: Final = BY_NAME["catch_all"].code
DELEGATE: Final = BY_NAME["delegate"].code

ALLOWED_IN: Final[dict[int, tuple[int, ...]]] = {ELSE: (IF,), CATCH: (TRY, CATCH), CATCH_ALL: (TRY, CATCH), DELEGATE: (TRY,)}
"""Instruction -> what the block it stands in must have begun with, or the last separator in it."""


class CodePrinter(ImmediatePrinter):
    """Collects the lines of functions.

    Attributes:
        fold: whether operands stand within the instruction that takes them.
        lines: byte offset in the binary, or -1, and text of each line.
        margin: the beginning of every line.
    """

    __slots__ = ("fold", "lines", "margin")

    def __init__(self, module: Module, names: Names, fold: bool) -> None:
        super().__init__(module, names)
        self.fold = fold
        self.lines: list[tuple[int, str]] = []
        self.margin = ""

    def line(self, text: str, offset: int = -1) -> None:
        """Add a line."""
        self.lines.append((offset, self.margin + text))

    def close(self) -> None:
        """Put a closing parenthesis after the last line."""
        offset, text = self.lines[-1]
        self.lines[-1] = (offset, text + ")")

    def func_head(self, index: int) -> str:
        """Return what stands after `(func` up to the results; sets up the identifiers of locals."""
        self._locals = Space(self.names.locals.get(index, {}))
        return self.funcs.head(index) + self.type_use(self.module.func_types[index])

    def expr(self, expr: ConstExpr) -> str:
        """Return a constant expression."""
        return " ".join(self._folded(expr))

    def one_of(self, keyword: str, expr: ConstExpr) -> str:
        """Return a constant expression as one form: that of its instruction, else one with a keyword."""
        parts = self._folded(expr)
        return parts[0] if len(parts) == 1 and parts[0][0] == "(" else f"({' '.join([keyword, *parts])})"

    def _folded(self, expr: ConstExpr) -> list[str]:
        """Fold a constant expression as long as there are no blocks in it, which validation would refuse."""
        self.start_labels({})
        rows = [(BY_CODE[code], immediate) for code, immediate in expr.instrs]
        structure = [row for row, _ in rows if row.code in STRUCTURE]
        if not structure:
            nodes = Folder(self, 0).fold((expr.start, row, immediate) for row, immediate in rows)
            return [on_one_line(node) for node in nodes]
        opened: list[int] = []
        for row in structure:
            _nest(opened, row, expr.start)
        return [self.instr(row, immediate) for row, immediate in rows]

    def func(self, index: int) -> None:
        """Print a defined function."""
        module = self.module
        body = module.body(index)
        self.line(f"(func{self.func_head(index)}", body.start)
        type_ = self.func_type(module.func_types[index])
        params, results = (len(type_.params), len(type_.results)) if type_ else (0, 0)
        types, pos = read_locals(module.data, body.start)
        if types:
            self.line(" " + self.declared("local", types, params), body.start)
        self.start_labels(self.names.labels.get(index, {}))
        instrs = instructions(module.data, pos, body.end)
        if self.fold:
            nodes = Folder(self, results).fold(instrs)
            self.lines += folded_lines(nodes, len(self.margin) + 2)
        else:
            self.flat(instrs)
        self.close()

    def flat(self, instrs: Iterator[tuple[int, Opcode, Immediate]]) -> None:
        """Print instructions one below the other."""
        lines = self.lines
        margin = self.margin + "  "
        for offset, row, immediate in instrs:
            code = row.code
            if code in OPENERS:
                operands = self.operands(row, immediate)
                label = self.open_label()
                comment = "" if label.id else f"  ;; label = @{label.number}"
                lines.append((offset, f"{margin}{row.text}{label.bound}{operands}{comment}"))
                margin = self.margin + " " * min(2 * len(self.labels) + 2, MAX_INDENT)
            elif code in SEPARATORS:
                lines.append((offset, self._outer() + self.instr(row, immediate)))
            elif code in CLOSERS:
                margin = self._outer()
                self.close_label()
                lines.append((offset, margin + self.instr(row, immediate)))
            else:
                lines.append((offset, margin + self.instr(row, immediate)))

    def _outer(self) -> str:
        return self.margin + " " * min(2 * len(self.labels), MAX_INDENT)


def instructions(data: bytes, pos: int, end: int) -> Iterator[tuple[int, Opcode, Immediate]]:
    """Yield byte offset, row and immediate of each instruction of a function, without the `end` of the function itself.

    Raises:
        Malformed: the bytes up to `end` are not the code of a function.
    """
    opened: list[int] = []
    while True:
        start = pos
        row, pos = read_opcode(data, pos)
        immediate, pos = READERS[row.immediates](data, pos)
        code = row.code
        if pos > end:
            raise Malformed("unexpected end", end)
        if code in STRUCTURE:
            if code == END and not opened:
                break
            _nest(opened, row, start)
        yield start, row, immediate
    if pos != end:
        raise Malformed("junk after the end of a function", pos)


def _nest(opened: list[int], row: Opcode, start: int) -> None:
    """Keep track of the blocks that are open.

    Args:
        opened: the instructions that opened them, or divided them last.
        row: one that opens, divides or closes a block.
        start: byte offset of it.

    Raises:
        Malformed: the instruction may not stand there by the grammar of the binary.
    """
    code = row.code
    if code in OPENERS:
        opened.append(code)
        return
    if not opened or (code in ALLOWED_IN and opened[-1] not in ALLOWED_IN[code]):
        raise Malformed(f"unexpected {row.text}", start)
    if code in CLOSERS:
        opened.pop()
    else:
        opened[-1] = code


def read_locals(data: bytes, pos: int) -> tuple[Types, int]:
    """Read the locals of a code entry.

    Raises:
        Malformed: the bytes are no locals.
        LimitExceeded: there are too many.
    """
    types: list[int] = []
    count, pos = read_u32(data, pos)
    for _ in range(count):
        run, pos = read_u32(data, pos)
        code, pos = read_value_type(data, pos)
        if len(types) + run > MAX_LOCALS:
            raise LimitExceeded(f"a function with more than {MAX_LOCALS} locals")
        types += [code] * run
    return tuple(types), pos
