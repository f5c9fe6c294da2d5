"""Floor 1: instruction sequences of the text format to binary code (spec 6.5).

In: a `Cursor` on the first token of a sequence. Out: its instructions in binary, flat and folded forms alike. Which
instructions there are, their opcodes and the kinds of their immediates come from the instruction table; this file knows
by name only the instructions that open, divide and close blocks, and `select`, which has two opcodes.

Nesting is kept on lists, never on Python's stack: an entry of `_frames` is one open parenthesis or one open flat block.

    PLAIN    ( instr operands...     operands only; the instruction, kept in `_held`, is written at ")"
    IF_HEAD  ( if condition...       operands only; the block type, kept in `_held`, is written at "(then"
    IF_TAIL  after "(then ...)"      "(else" or ")" only
    IF_DONE  after "(else ...)"      ")" only
    BOTTOM   the sequence itself     any instruction, like the rest
    BLOCK    ( block instr...
    ARM      ( then instr... or ( else instr...
    FLAT     block instr... end
    FLAT_IF  if instr... else
"""

from __future__ import annotations

from typing import Final

from figwasp.wasm.cursor import INSTRS, Cursor
from figwasp.wasm.immediates import KIND_NAMES, READERS, WRITERS, Immediate
from figwasp.wasm.leb128 import read_u32, write_unsigned
from figwasp.wasm.module import ConstExpr
from figwasp.wasm.opcodes import BY_CODE, BY_NAME, PREFIXES, ROWS, Opcode, pack, subcode
from figwasp.wasm.parse_operands import TEXT_READERS, Operands

__all__ = ["Code"]

PLAIN: Final = 0
IF_HEAD: Final = 1
IF_TAIL: Final = 2
IF_DONE: Final = 3
BOTTOM: Final = 4
BLOCK: Final = 5
ARM: Final = 6
FLAT: Final = 7
FLAT_IF: Final = 8

IF: Final = BY_NAME["if"].code
ELSE: Final = BY_NAME["else"].code
END: Final = BY_NAME["end"].code
SELECT: Final = BY_NAME["select"].code
SELECT_T: Final = BY_NAME["select_t"].code
NO_IMMEDIATE: Final = KIND_NAMES.index("none")
BLOCK_TYPE: Final = KIND_NAMES.index("block")


def _head(row: Opcode) -> bytes:
    out = bytearray()
    if row.code > 0xFF:
        out.append(row.code >> 8 & 0xFF)
        write_unsigned(out, subcode(row.code))
    else:
        out.append(row.code)
    return bytes(out)


HEADS: Final[dict[int, bytes]] = {row.code: _head(row) for row in ROWS}
"""Opcode -> its bytes."""


class Code(Operands):
    """Reads instruction sequences within one function or one constant expression."""

    __slots__ = ("_frames", "_held", "_out", "_waiting")

    def __init__(self, cursor: Cursor, locals_: dict[str, int]) -> None:
        super().__init__(cursor, locals_)
        self._out = bytearray()
        self._frames: list[int] = []
        self._held: list[bytes] = []
        self._waiting: list[str | None] = []

    def body(self) -> bytes:
        """Read instructions up to the closing parenthesis of the form they are in; return them and `end`."""
        self._sequence(single=False)
        self._out.append(END)
        return bytes(self._out)

    def const_expr(self) -> ConstExpr:
        """Read instructions up to the closing parenthesis of the form they are in."""
        self._sequence(single=False)
        return self._pairs()

    def const_instr(self) -> ConstExpr:
        """Read one folded instruction."""
        if self.cursor.items[self.cursor.at] != "(":
            self.cursor.unexpected("'('")
        self._sequence(single=True)
        return self._pairs()

    def _pairs(self) -> ConstExpr:
        data = bytes(self._out)
        instrs: list[tuple[int, Immediate]] = []
        pos = 0
        self._out.clear()
        while pos < len(data):
            code = data[pos]
            pos += 1
            if code in PREFIXES:
                sub, pos = read_u32(data, pos)
                code = pack(code, sub)
            immediate, pos = READERS[BY_CODE[code].immediates](data, pos)
            instrs.append((code, immediate))
        return ConstExpr(instrs)

    def _sequence(self, single: bool) -> None:
        # One flat loop over tokens: the hot part of the parser.
        cursor = self.cursor
        items = cursor.items
        frames = self._frames
        out = self._out
        frames.append(BOTTOM)
        while True:
            token = items[cursor.at]
            if token == "(":
                cursor.at += 1
                self._open()
            elif token == ")":
                if not self._close():
                    return
                if single and len(frames) == 1:
                    frames.pop()
                    return
            else:
                row = INSTRS.get(token)
                if row is None or frames[-1] < BOTTOM:
                    cursor.unexpected()
                code = row.code
                cursor.at += 1
                if row.immediates == NO_IMMEDIATE and code != SELECT:
                    if code == END:
                        self._end()
                    elif code == ELSE:
                        self._else()
                    out += HEADS[code]
                elif row.immediates == BLOCK_TYPE:
                    label = cursor.identifier()
                    out += self._instr(row)
                    frames.append(FLAT_IF if code == IF else FLAT)
                    self.push_label(label)
                else:
                    out += self._instr(row)

    def _open(self) -> None:
        """Read the head of a form, from after its opening parenthesis."""
        cursor = self.cursor
        token = cursor.items[cursor.at]
        frame = self._frames[-1]
        if (token == "then" and frame == IF_HEAD) or (token == "else" and frame == IF_TAIL):
            self._arm(token)
            return
        row = INSTRS.get(token)
        if row is None or frame in (IF_TAIL, IF_DONE) or row.code in (ELSE, END):
            cursor.unexpected()
        cursor.at += 1
        if row.immediates != BLOCK_TYPE:
            self._held.append(self._instr(row))
            self._frames.append(PLAIN)
            return
        label = cursor.identifier()
        head = self._instr(row)
        if row.code == IF:
            self._held.append(head)
            self._waiting.append(label)  # until `then`: the condition is outside of the block
            self._frames.append(IF_HEAD)
        else:
            self._out += head
            self.push_label(label)
            self._frames.append(BLOCK)

    def _arm(self, token: str) -> None:
        if token == "then":
            self._frames[-1] = IF_TAIL
            self._out += self._held.pop()
            self.push_label(self._waiting.pop())
        else:
            self._frames[-1] = IF_DONE
            self._out += HEADS[ELSE]
        self.cursor.at += 1
        self._frames.append(ARM)

    def _close(self) -> bool:
        """Act on a closing parenthesis; answer False when it closes the form around the whole sequence."""
        frame = self._frames.pop()
        if frame == BOTTOM:
            return False
        if frame == PLAIN:
            self._out += self._held.pop()
        elif frame in (BLOCK, IF_TAIL, IF_DONE):
            self.pop_label()
            self._out += HEADS[END]
        elif frame != ARM:
            self.cursor.unexpected("'(then'" if frame == IF_HEAD else "'end'")
        self.cursor.at += 1
        return True

    def _end(self) -> None:
        frame = self._frames.pop()
        if frame < FLAT:
            self.cursor.unexpected(at=self.cursor.at - 1)
        self.match_label()
        self.pop_label()

    def _else(self) -> None:
        if self._frames[-1] != FLAT_IF:
            self.cursor.unexpected(at=self.cursor.at - 1)
        self._frames[-1] = FLAT
        self.match_label()

    def _instr(self, row: Opcode) -> bytes:
        """Read the immediates of an instruction and return it in binary."""
        if row.code == SELECT:
            items = self.cursor.items
            if items[self.cursor.at] != "(" or items[self.cursor.at + 1] != "result":
                return HEADS[SELECT]
            row = BY_NAME["select_t"]
        self.row = row
        out = bytearray(HEADS[row.code])
        WRITERS[row.immediates](out, TEXT_READERS[row.immediates](self))
        return bytes(out)
