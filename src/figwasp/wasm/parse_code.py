"""Floor 1: instruction sequences of the text format to binary code (spec 6.5).

In: a `Cursor` on the first token of a sequence. Out: its instructions in binary, flat and folded forms alike. Which
instructions there are, their opcodes and the kinds of their immediates come from the instruction table; this file has one
reader for each kind, and knows by name only the instructions that open, divide and close blocks.

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

from collections.abc import Callable
from typing import Final

from figwasp.wasm.cursor import DATA, ELEM, HEAP_TYPES, INSTRS, U64, Cursor, is_index
from figwasp.wasm.immediates import KIND_NAMES, READERS, WRITERS, Immediate
from figwasp.wasm.leb128 import write_unsigned
from figwasp.wasm.literals import RANGE_ERROR, float_bits, integer
from figwasp.wasm.module import FUNC, GLOBAL, MEMORY, TABLE, ConstExpr
from figwasp.wasm.opcodes import BY_NAME, PREFIXES, ROWS, Opcode, pack, subcode
from figwasp.wasm.types import EMPTY

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
LABEL: Final = KIND_NAMES.index("label")


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


class Code:
    """Reads instruction sequences within one function or one constant expression.

    Attributes:
        cursor: where reading goes on.
        locals: identifier -> index of a local.
        row: row of the instruction whose immediates are read.
        uses_data: whether an instruction named a data segment, so that the binary needs a data count section.
    """

    __slots__ = ("_frames", "_held", "_labels", "_named", "_out", "_waiting", "cursor", "locals", "row", "uses_data")

    def __init__(self, cursor: Cursor, locals_: dict[str, int]) -> None:
        self.cursor = cursor
        self.locals = locals_
        self.row = ROWS[0]
        self.uses_data = False
        self._out = bytearray()
        self._frames: list[int] = []
        self._held: list[bytes] = []
        self._waiting: list[str | None] = []
        self._labels: list[str | None] = []
        self._named: dict[str, list[int]] = {}

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
                sub, pos = READERS[LABEL](data, pos)
                assert isinstance(sub, int)
                code = pack(code, sub)
            immediate, pos = READERS[BY_CODE_KIND[code]](data, pos)
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
                    self._push_label(label)
                else:
                    out += self._instr(row)

    def _open(self) -> None:
        """Read the head of a form, from after its opening parenthesis."""
        cursor = self.cursor
        token = cursor.items[cursor.at]
        frame = self._frames[-1]
        if token == "then" and frame == IF_HEAD or token == "else" and frame == IF_TAIL:
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
            self._push_label(label)
            self._frames.append(BLOCK)

    def _arm(self, token: str) -> None:
        if token == "then":
            self._frames[-1] = IF_TAIL
            self._out += self._held.pop()
            self._push_label(self._waiting.pop())
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
            self._pop_label()
            self._out += HEADS[END]
        elif frame != ARM:
            self.cursor.unexpected("'(then'" if frame == IF_HEAD else "'end'")
        self.cursor.at += 1
        return True

    def _end(self) -> None:
        frame = self._frames.pop()
        if frame < FLAT:
            self.cursor.unexpected(at=self.cursor.at - 1)
        self._match_label()
        self._pop_label()

    def _else(self) -> None:
        if self._frames[-1] != FLAT_IF:
            self.cursor.unexpected(at=self.cursor.at - 1)
        self._frames[-1] = FLAT
        self._match_label()

    # Labels

    def _push_label(self, label: str | None) -> None:
        if label is not None:
            self._named.setdefault(label, []).append(len(self._labels))
        self._labels.append(label)

    def _pop_label(self) -> None:
        label = self._labels.pop()
        if label is not None:
            self._named[label].pop()

    def _match_label(self) -> None:
        label = self.cursor.identifier()
        if label is not None and label != self._labels[-1]:
            self.cursor.fail(f"mismatching label {label}", self.cursor.at - 1)

    def label(self) -> int:
        """Read a label index."""
        cursor = self.cursor
        token = cursor.items[cursor.at]
        if token[:1] != "$":
            return cursor.unsigned()
        places = self._named.get(cursor.key(token) if token[1:2] == '"' else token)
        if not places:
            cursor.fail(f"unknown label {cursor.key(token)}")
        cursor.at += 1
        return len(self._labels) - 1 - places[-1]

    def local(self) -> int:
        """Read the index of a local."""
        cursor = self.cursor
        token = cursor.items[cursor.at]
        if token[:1] != "$":
            return cursor.unsigned()
        index = self.locals.get(cursor.key(token) if token[1:2] == '"' else token)
        if index is None:
            cursor.fail(f"unknown local {cursor.key(token)}")
        cursor.at += 1
        return index

    # Immediates

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

    def block_type(self) -> int:
        """Read a block type in the decoded form of `immediates.py`."""
        cursor = self.cursor
        if cursor.items[cursor.at] != "(":
            return EMPTY - 0x80
        if cursor.items[cursor.at + 1] == "type":
            return cursor.type_use(None)
        type_ = cursor.signature(None)
        if type_.params or len(type_.results) > 1:
            return cursor.type_index(type_)
        return (type_.results[0] if type_.results else EMPTY) - 0x80

    def constant(self, bits: int) -> int:
        """Read an integer of the signed or the unsigned range; return it signed."""
        cursor = self.cursor
        value = integer(cursor.items[cursor.at])
        if value is None:
            cursor.unexpected("an integer")
        if not -1 << (bits - 1) <= value < 1 << bits:
            cursor.fail(f"i{bits} constant out of range")
        cursor.at += 1
        return value - (1 << bits) if value >> (bits - 1) > 0 else value

    def float(self, width: int) -> int:
        """Read a float; return its bits."""
        cursor = self.cursor
        token = cursor.items[cursor.at]
        bits = float_bits(token, width) if token else None
        if bits is None:
            cursor.unexpected("a number")
        if bits == RANGE_ERROR:
            cursor.fail(f"f{width} constant out of range")
        cursor.at += 1
        return bits

    def memarg(self) -> tuple[int, int, int]:
        """Read a memory, an offset and an alignment, each optional."""
        memory = self.cursor.optional_index(MEMORY)
        offset = self._assigned("offset=")
        at = self.cursor.at
        align = self._assigned("align=")
        if align is None:
            align = 1 << self.row.align
        if align < 1 or align & (align - 1):
            self.cursor.fail("alignment must be a power of 2", at)
        return align.bit_length() - 1, offset or 0, memory

    def _assigned(self, prefix: str) -> int | None:
        cursor = self.cursor
        token = cursor.items[cursor.at]
        if not token.startswith(prefix):
            return None
        digits = token[len(prefix) :]
        value = integer(digits) if digits[:1].isdecimal() else None
        if value is None:
            cursor.unexpected()
        if value > U64:
            cursor.fail("i64 constant out of range")
        cursor.at += 1
        return value

    def labels(self) -> tuple[int, ...]:
        """Read the labels of `br_table`."""
        cursor = self.cursor
        labels = [self.label()]
        while is_index(cursor.items[cursor.at]):
            labels.append(self.label())
        return tuple(labels)

    def heap_type(self) -> int:
        """Read the heap type of `ref.null`."""
        code = HEAP_TYPES.get(self.cursor.items[self.cursor.at])
        if code is None:
            self.cursor.unexpected("a heap type")
        self.cursor.at += 1
        return code

    def select_types(self) -> bytes:
        """Read the result types of `select`."""
        return self.cursor.signature(None).results

    def type_table(self) -> tuple[int, int]:
        """Read an optional table and a type use."""
        table = self.cursor.optional_index(TABLE)
        return self.cursor.type_use(None), table

    def data(self) -> int:
        """Read the index of a data segment."""
        self.uses_data = True
        return self.cursor.index(DATA)

    def segment(self, segments: int, space: int) -> tuple[int, int]:
        """Read an optional table or memory and a segment; return the segment first, as the binary has it."""
        cursor = self.cursor
        first = 0
        if is_index(cursor.items[cursor.at]) and is_index(cursor.items[cursor.at + 1]):
            first = cursor.index(space)
        return (self.data() if segments == DATA else cursor.index(segments)), first

    def pair(self, space: int) -> tuple[int, int]:
        """Read two indices of one space, or none."""
        cursor = self.cursor
        return (cursor.index(space), cursor.index(space)) if is_index(cursor.items[cursor.at]) else (0, 0)


TextReader = Callable[[Code], Immediate]

_READERS: Final[dict[str, TextReader]] = {
    "none": lambda code: None,
    "block": Code.block_type,
    "label": Code.label,
    "labels": Code.labels,
    "func": lambda code: code.cursor.index(FUNC),
    "type_table": Code.type_table,
    "local": Code.local,
    "global": lambda code: code.cursor.index(GLOBAL),
    "table": lambda code: code.cursor.optional_index(TABLE),
    "memory": lambda code: code.cursor.optional_index(MEMORY),
    "memarg": Code.memarg,
    "i32": lambda code: code.constant(32),
    "i64": lambda code: code.constant(64),
    "f32": lambda code: code.float(32),
    "f64": lambda code: code.float(64),
    "reftype": Code.heap_type,
    "data_memory": lambda code: code.segment(DATA, MEMORY),
    "data": Code.data,
    "memory_memory": lambda code: code.pair(MEMORY),
    "elem_table": lambda code: code.segment(ELEM, TABLE),
    "elem": lambda code: code.cursor.index(ELEM),
    "table_table": lambda code: code.pair(TABLE),
    "select_types": Code.select_types,
}
TEXT_READERS: Final[list[TextReader]] = [_READERS[kind] for kind in KIND_NAMES]
"""Reader per kind of immediates, in the order of `immediates.py`."""
BY_CODE_KIND: Final[dict[int, int]] = {row.code: row.immediates for row in ROWS}
