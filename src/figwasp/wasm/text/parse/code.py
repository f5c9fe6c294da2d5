"""Floor 1: instruction sequences of the text format to binary code (spec 6.5).

In: a `TypeCursor` on the first token of a sequence. Out: its instructions in binary, flat and folded forms alike. Which
instructions there are, their opcodes and the kinds of their immediates come from the instruction table; this file knows
by name only the instructions that open blocks, separate their arms and close them, and those whose one name stands for two opcodes.

Nesting is kept on lists, never on Python's stack: an entry of `_frames` is one open parenthesis or one open flat block.

    PLAIN      ( instr operands...     operands only; the instruction, kept in `_held`, is written at ")"
    IF_HEAD    ( if condition...       operands only; the block type, kept in `_held`, is written at "(then"
    IF_TAIL    after "(then ...)"      "(else" or ")" only
    TRY_HEAD   ( try                   "(do" only
    TRY_TAIL   after "(do ...)"        "(catch", "(catch_all", "(delegate" or ")" only
    CATCHING   after "(catch ...)"     "(catch", "(catch_all" or ")" only
    DONE       after the last arm      ")" only
    DELEGATED  after "(delegate l)"    ")" only, and no `end` is written
    BOTTOM     the sequence itself     any instruction, like the rest
    BLOCK      ( block instr...
    ARM        ( then instr..., ( else, ( do, ( catch or ( catch_all
    FLAT       block instr... end
    FLAT_IF    if instr... else
    FLAT_TRY   try instr... catch
    FLAT_CATCH catch instr... catch

The legacy `try` (the proposal legacy-exceptions) stands beside `if`, since its folded form has arms as well.
"""

from __future__ import annotations

from typing import Final

from figwasp.wasm.binary.immediates import READERS, WRITERS
from figwasp.wasm.binary.leb128 import read_u32, write_unsigned
from figwasp.wasm.syntax.immediates import KIND_NAMES, Immediate
from figwasp.wasm.syntax.module import ConstExpr
from figwasp.wasm.syntax.opcodes import BY_CODE, BY_NAME, BY_PREFIX, ROWS, Opcode, pack, subcode
from figwasp.wasm.syntax.types import NON_NULL
from figwasp.wasm.text.cursor import INSTRS
from figwasp.wasm.text.parse.operands import TEXT_READERS, Operands
from figwasp.wasm.text.parse.types import TypeCursor

__all__ = ["InstructionParser"]

PLAIN: Final = 0
IF_HEAD: Final = 1
IF_TAIL: Final = 2
TRY_HEAD: Final = 3
TRY_TAIL: Final = 4
CATCHING: Final = 5
DONE: Final = 6
DELEGATED: Final = 7
BOTTOM: Final = 8
BLOCK: Final = 9
ARM: Final = 10
FLAT: Final = 11
FLAT_IF: Final = 12
FLAT_TRY: Final = 13
FLAT_CATCH: Final = 14

IF: Final = BY_NAME["if"].code
ELSE: Final = BY_NAME["else"].code
END: Final = BY_NAME["end"].code
BR_IF: Final = BY_NAME["br_if"].code
TRY: Final = BY_NAME["try"].code
CATCH: Final = BY_NAME["catch"].code
CATCH_ALL: Final = BY_NAME["catch_all"].code
DELEGATE: Final = BY_NAME["delegate"].code
DELIMITERS: Final = frozenset((ELSE, END, CATCH, CATCH_ALL, DELEGATE))
"""Instructions that separate the arms of a flat block or close it."""
SELECT: Final = BY_NAME["select"].code
REF_TEST: Final = BY_NAME["ref.test"].code
REF_CAST: Final = BY_NAME["ref.cast"].code
HEAP_TYPE: Final = KIND_NAMES.index("heaptype")
BLOCKS: Final = frozenset((KIND_NAMES.index("block"), KIND_NAMES.index("try_table")))
"""Kinds of immediates of the instructions that open blocks."""
NO_IMMEDIATES: Final = frozenset((KIND_NAMES.index("none"), KIND_NAMES.index("zero")))


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


def _simple() -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for row in ROWS:
        if row.immediates in NO_IMMEDIATES and row.code not in DELIMITERS and row.code != SELECT:
            out = bytearray(HEADS[row.code])
            WRITERS[row.immediates](out, None)
            found[row.text] = bytes(out)
    return found


SIMPLE: Final[dict[str, bytes]] = _simple()
"""Name of an instruction without immediates that is nothing special -> all its bytes."""
_SPECIAL: Final = DELIMITERS | {SELECT, REF_TEST, REF_CAST, BR_IF}
PLAIN_ROWS: Final[dict[str, Opcode]] = {
    name: row
    for name, row in INSTRS.items()
    if name not in SIMPLE and row.immediates not in BLOCKS and row.code not in _SPECIAL
}
"""Name of an instruction with immediates that is nothing special -> its row."""


class InstructionParser(Operands):
    """Reads instruction sequences within one function or one constant expression.

    Attributes:
        hints: (place in the code, hint) of the branches that have one, in order.
    """

    __slots__ = ("_frames", "_held", "_hinted", "_out", "_waiting", "hints")

    def __init__(self, cursor: TypeCursor, locals_: dict[str, int]) -> None:
        super().__init__(cursor, locals_)
        self.hints: list[tuple[int, int]] = []
        self._out = bytearray()
        self._frames: list[int] = []
        self._held: list[bytes | bytearray] = []
        self._waiting: list[str | None] = []
        # Hints of folded branches, which are written later: how many are held in front of one -> its hint.
        self._hinted: dict[int, int] = {}

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
            if code in BY_PREFIX:
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
        held = self._held
        out = self._out
        frames.append(BOTTOM)
        while True:
            token = items[cursor.at]
            if token == "(":
                cursor.at += 1
                self._open()
            elif token == ")":
                if frames[-1] == PLAIN and not self._hinted:
                    frames.pop()
                    out += held.pop()
                    cursor.at += 1
                elif not self._close():
                    return
                if single and len(frames) == 1:
                    frames.pop()
                    return
            elif frames[-1] < BOTTOM:
                cursor.unexpected()
            elif token in SIMPLE:
                cursor.at += 1
                out += SIMPLE[token]
            elif token in PLAIN_ROWS:
                cursor.at += 1
                self.row = row = PLAIN_ROWS[token]
                kind = row.immediates
                out += HEADS[row.code]
                WRITERS[kind](out, TEXT_READERS[kind](self))
            else:
                self._special()

    def _special(self) -> None:
        """Read a flat instruction that is neither simple nor plain."""
        cursor = self.cursor
        row = INSTRS.get(cursor.items[cursor.at])
        if row is None:
            cursor.unexpected()
        cursor.at += 1
        if row.immediates in BLOCKS:
            self._flat_block(row)
        elif row.code in DELIMITERS:
            self._delimit(row)
        else:
            if cursor.hints and row.code == BR_IF:
                self._hint(cursor.hints.pop(cursor.at - 1, -1))
            self._out += self._instr(row)

    def _flat_block(self, row: Opcode) -> None:
        """Read the head of a flat block, from after its name."""
        cursor = self.cursor
        if cursor.hints and row.code == IF:
            self._hint(cursor.hints.pop(cursor.at - 1, -1))
        label = cursor.identifier()
        title = cursor.title(label) if cursor.titles else None
        self._out += self._instr(row)
        self._frames.append(FLAT_IF if row.code == IF else FLAT_TRY if row.code == TRY else FLAT)
        self._block(label, title)

    def _delimit(self, row: Opcode) -> None:
        """Act on a delimiter of a flat block, from after its name."""
        frame = self._frames[-1]
        code = row.code
        if frame not in ALLOWED_IN[code]:
            self.cursor.unexpected(at=self.cursor.at - 1)
        if code == DELEGATE:
            self._frames.pop()
            self.pop_label()  # before the label is read: the block is not its own target
            self._out += self._instr(row)
            return
        if code == CATCH:
            self._frames[-1] = FLAT_CATCH
            self._out += self._instr(row)
            return
        self.match_label()
        self._out += HEADS[code]
        if code == END:
            self._frames.pop()
            self.pop_label()
        else:
            self._frames[-1] = FLAT

    def _open(self) -> None:
        """Read the head of a form, from after its opening parenthesis."""
        cursor = self.cursor
        token = cursor.items[cursor.at]
        frame = self._frames[-1]
        if 0 < frame < BOTTOM and (frame > IF_HEAD or token == "then"):
            self._arm(token, frame)
            return
        simple = SIMPLE.get(token)
        if simple is not None:
            cursor.at += 1
            self._held.append(simple)
            self._frames.append(PLAIN)
            return
        row = PLAIN_ROWS.get(token)
        if row is not None:
            cursor.at += 1
            self.row = row
            out = bytearray(HEADS[row.code])
            WRITERS[row.immediates](out, TEXT_READERS[row.immediates](self))
            self._held.append(out)
            self._frames.append(PLAIN)
            return
        row = INSTRS.get(token)
        if row is None or row.code in DELIMITERS:
            cursor.unexpected()
        cursor.at += 1
        if cursor.hints and (row.code == IF or row.code == BR_IF):
            self._hinted[len(self._held)] = cursor.hints.pop(cursor.at - 2, -1)
        if row.immediates not in BLOCKS:
            self._held.append(self._instr(row))
            self._frames.append(PLAIN)
            return
        label = cursor.identifier()
        title = cursor.title(label) if cursor.titles else None
        head = self._instr(row)
        if row.code == IF:
            self._held.append(head)
            # Until `then`: the condition is outside of the block.
            self._waiting.append(label)
            self._waiting.append(title)
            self._frames.append(IF_HEAD)
        else:
            self._out += head
            self._block(label, title)
            self._frames.append(TRY_HEAD if row.code == TRY else BLOCK)

    def _arm(self, token: str, frame: int) -> None:
        """Open an arm of a folded block."""
        cursor = self.cursor
        after = ARMS.get((frame, token))
        if after is None:
            cursor.unexpected()
        cursor.at += 1
        self._frames[-1] = after
        if token == "then":
            held = self._held.pop()
            if self._hinted:
                self._hint(self._hinted.pop(len(self._held), -1))
            self._out += held
            title = self._waiting.pop()
            self._block(self._waiting.pop(), title)
        elif token == "delegate":
            self.pop_label()  # before the label is read: the block is not its own target
            self._out += self._instr(INSTRS[token])
            cursor.expect(")")
            return
        elif token != "do":
            self._out += self._instr(INSTRS[token])
        self._frames.append(ARM)

    def _close(self) -> bool:
        """Act on a closing parenthesis; return False when it closes the form around the whole sequence."""
        frame = self._frames.pop()
        if frame == PLAIN:
            held = self._held.pop()
            if self._hinted:
                self._hint(self._hinted.pop(len(self._held), -1))
            self._out += held
        elif frame == BOTTOM:
            return False
        elif frame == BLOCK or frame == IF_TAIL or TRY_TAIL <= frame <= DONE:
            self.pop_label()
            self._out += HEADS[END]
        elif frame != ARM and frame != DELEGATED:
            self.cursor.unexpected("'(then'" if frame == IF_HEAD else "'(do'" if frame == TRY_HEAD else "'end'")
        self.cursor.at += 1
        return True

    def _block(self, label: str | None, title: str | None) -> None:
        """Open a block that may have a name of an annotation beside its label."""
        self.push_label(label)
        if title is not None:
            self.names[self._blocks - 1] = title

    def _hint(self, hint: int) -> None:
        """Keep the hint of the branch that is written next, unless it is -1."""
        if hint >= 0:
            self.hints.append((len(self._out), hint))

    def _instr(self, row: Opcode) -> bytes:
        """Read the immediates of an instruction and return it in binary."""
        code = row.code
        if code == SELECT:
            items = self.cursor.items
            if items[self.cursor.at] != "(" or items[self.cursor.at + 1] != "result":
                return HEADS[SELECT]
            row = BY_NAME["select_t"]
        elif code == REF_TEST or code == REF_CAST:
            return self._cast(row)
        self.row = row
        out = bytearray(HEADS[row.code])
        WRITERS[row.immediates](out, TEXT_READERS[row.immediates](self))
        return bytes(out)

    def _cast(self, row: Opcode) -> bytes:
        """Read the type of `ref.test` or `ref.cast`, which decides between two opcodes."""
        type_ = self.cursor.ref_type()
        out = bytearray(HEADS[row.code if type_ & NON_NULL else BY_NAME[row.name + "_null"].code])
        WRITERS[HEAP_TYPE](out, type_ & ~NON_NULL)
        return bytes(out)


ARMS: Final[dict[tuple[int, str], int]] = {
    (IF_HEAD, "then"): IF_TAIL,
    (IF_TAIL, "else"): DONE,
    (TRY_HEAD, "do"): TRY_TAIL,
    (TRY_TAIL, "catch"): CATCHING,
    (TRY_TAIL, "catch_all"): DONE,
    (TRY_TAIL, "delegate"): DELEGATED,
    (CATCHING, "catch"): CATCHING,
    (CATCHING, "catch_all"): DONE,
}
"""State of a form, and the keyword of one of its arms -> the state after that arm."""
ALLOWED_IN: Final[dict[int, tuple[int, ...]]] = {
    END: (FLAT, FLAT_IF, FLAT_TRY, FLAT_CATCH),
    ELSE: (FLAT_IF,),
    CATCH: (FLAT_TRY, FLAT_CATCH),
    CATCH_ALL: (FLAT_TRY, FLAT_CATCH),
    DELEGATE: (FLAT_TRY,),
}
"""Delimiter -> the kinds of flat blocks it may stand in."""
