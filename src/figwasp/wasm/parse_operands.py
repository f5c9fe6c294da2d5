"""Floor 1: the immediates of instructions in the text format (spec 6.5).

In: a `Cursor` on what follows the name of an instruction. Out: its immediates in the decoded form of `immediates.py`. One
reader for each kind that the instruction table uses; a kind without one is an error on import.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from figwasp.wasm.cursor import DATA, ELEM, HEAP_TYPES, U64, Cursor, is_index
from figwasp.wasm.immediates import KIND_NAMES, Immediate
from figwasp.wasm.later import no_support
from figwasp.wasm.literals import RANGE_ERROR, float_bits, integer
from figwasp.wasm.module import FUNC, GLOBAL, MEMORY, TABLE
from figwasp.wasm.opcodes import ROWS
from figwasp.wasm.types import EMPTY

__all__ = ["TEXT_READERS", "Operands", "TextReader"]


class Operands:
    """Reads immediates within one function or one constant expression.

    Attributes:
        cursor: where reading goes on.
        locals: identifier -> index of a local.
        row: row of the instruction whose immediates are read.
        uses_data: whether an instruction named a data segment, so that the binary needs a data count section.
    """

    __slots__ = ("_labels", "_named", "cursor", "locals", "row", "uses_data")

    def __init__(self, cursor: Cursor, locals_: dict[str, int]) -> None:
        self.cursor = cursor
        self.locals = locals_
        self.row = ROWS[0]
        self.uses_data = False
        self._labels: list[str | None] = []
        self._named: dict[str, list[int]] = {}

    # Labels

    def push_label(self, label: str | None) -> None:
        """Open a block."""
        if label is not None:
            self._named.setdefault(label, []).append(len(self._labels))
        self._labels.append(label)

    def pop_label(self) -> None:
        """Close the innermost block."""
        label = self._labels.pop()
        if label is not None:
            self._named[label].pop()

    def match_label(self) -> None:
        """Read the label that `end` and `else` may repeat."""
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
            cursor.fail(f"constant out of range for i{bits}")
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
            cursor.fail(f"constant out of range for f{width}")
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
            self.cursor.fail("alignment must be a power of two", at)
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
            cursor.fail("constant out of range for u64")
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
        if code is None and is_index(self.cursor.items[self.cursor.at]):
            self.cursor.fail("unexpected token, a type index" + no_support("typed function references"))
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


TextReader = Callable[[Operands], Immediate]

_READERS: Final[dict[str, TextReader]] = {
    "none": lambda reading: None,
    "block": Operands.block_type,
    "label": Operands.label,
    "labels": Operands.labels,
    "func": lambda reading: reading.cursor.index(FUNC),
    "type_table": Operands.type_table,
    "local": Operands.local,
    "global": lambda reading: reading.cursor.index(GLOBAL),
    "table": lambda reading: reading.cursor.optional_index(TABLE),
    "memory": lambda reading: reading.cursor.optional_index(MEMORY),
    "memarg": Operands.memarg,
    "i32": lambda reading: reading.constant(32),
    "i64": lambda reading: reading.constant(64),
    "f32": lambda reading: reading.float(32),
    "f64": lambda reading: reading.float(64),
    "reftype": Operands.heap_type,
    "data_memory": lambda reading: reading.segment(DATA, MEMORY),
    "data": Operands.data,
    "memory_memory": lambda reading: reading.pair(MEMORY),
    "elem_table": lambda reading: reading.segment(ELEM, TABLE),
    "elem": lambda reading: reading.cursor.index(ELEM),
    "table_table": lambda reading: reading.pair(TABLE),
    "select_types": Operands.select_types,
}
TEXT_READERS: Final[list[TextReader]] = [_READERS[kind] for kind in KIND_NAMES]
"""Reader per kind of immediates, in the order of `immediates.py`."""
