"""Floor 1: the immediates of instructions in the text format (spec 6.5).

In: a `TypeCursor` on what follows the name of an instruction. Out: its immediates in the decoded form of `immediates.py`.
One reader for each kind that the instruction table uses; a kind without one is an error on import.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from figwasp.wasm.syntax.immediates import CATCH, CATCH_ALL, CATCH_ALL_REF, CATCH_REF, KIND_NAMES, Clause, Immediate
from figwasp.wasm.syntax.module import FUNC, GLOBAL, MEMORY, TABLE, TAG
from figwasp.wasm.syntax.opcodes import ROWS
from figwasp.wasm.syntax.types import Types
from figwasp.wasm.text.cursor import DATA, ELEM, TYPE, U32, U64, is_index
from figwasp.wasm.text.literals import RANGE_ERROR, float_bits, integer
from figwasp.wasm.text.parse.types import TypeCursor
from figwasp.wasm.text.parse.vectors import lane, lanes, vector

__all__ = ["TEXT_READERS", "Operands", "TextReader"]

_CATCHES: Final = {"catch": CATCH, "catch_ref": CATCH_REF, "catch_all": CATCH_ALL, "catch_all_ref": CATCH_ALL_REF}
"""Keyword of a catch clause -> its kind."""


class Operands:
    """Reads immediates within one function or one constant expression.

    Attributes:
        cursor: where reading goes on.
        locals: identifier -> index of a local.
        row: row of the instruction whose immediates are read.
        uses_data: whether an instruction named a data segment, so that the binary needs a data count section.
        names: number of a block, counted as they open -> its name, where it has one.
    """

    __slots__ = ("_blocks", "_labels", "_named", "cursor", "locals", "names", "row", "uses_data")

    def __init__(self, cursor: TypeCursor, locals_: dict[str, int]) -> None:
        self.cursor = cursor
        self.locals = locals_
        self.row = ROWS[0]
        self.uses_data = False
        self.names: dict[int, str] = {}
        self._blocks = 0
        self._labels: list[str | None] = []
        self._named: dict[str, list[int]] = {}

    # Labels

    def push_label(self, label: str | None) -> None:
        """Open a block."""
        if label is not None:
            self.names[self._blocks] = label[1:]
            self._named.setdefault(label, []).append(len(self._labels))
        self._blocks += 1
        self._labels.append(label)

    def pop_label(self) -> None:
        """Close the innermost block."""
        label = self._labels.pop()
        if label is not None:
            self._named[label].pop()

    def match_label(self) -> None:
        """Read the label that `end`, `else` and `catch_all` may repeat."""
        label = self.cursor.identifier()
        if label is not None and label != self._labels[-1]:
            self.cursor.fail(f"mismatching label {label}", self.cursor.at - 1)

    def label(self) -> int:
        """Read a label index."""
        cursor = self.cursor
        token = cursor.items[cursor.at]
        if token[:1] != "$":
            return cursor.unsigned(U32, "an index")
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
            return cursor.unsigned(U32, "an index")
        index = self.locals.get(cursor.key(token) if token[1:2] == '"' else token)
        if index is None:
            cursor.fail(f"unknown local {cursor.key(token)}")
        cursor.at += 1
        return index

    # Immediates

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
        return self._memarg(self.cursor.optional_index(MEMORY))

    def memarg_lane(self) -> tuple[int, int, int, int]:
        """Read an optional memory, the rest of a memory argument, and a lane.

        A number alone is the lane: it is the memory where another number or the rest of the memory argument follows.
        """
        cursor = self.cursor
        after = cursor.items[cursor.at + 1] if cursor.items[cursor.at] else ""
        named = cursor.items[cursor.at][:1] == "$"
        follows = after[:1].isdecimal() or after.startswith(("offset=", "align="))
        memory = cursor.optional_index(MEMORY) if named or follows else 0
        align, offset, memory = self._memarg(memory)
        return align, offset, memory, lane(cursor)

    def _memarg(self, memory: int) -> tuple[int, int, int]:
        offset = self._assigned("offset=")
        at = self.cursor.at
        align = self._assigned("align=")
        if align is None:
            return self.row.align, offset or 0, memory
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

    def cast(self) -> tuple[int, int, int]:
        """Read the label and the two types of `br_on_cast`."""
        label = self.label()
        source = self.cursor.ref_type()
        return label, source, self.cursor.ref_type()

    def select_types(self) -> Types:
        """Read the result types of `select`."""
        return self.cursor.results()

    def type_table(self) -> tuple[int, int]:
        """Read an optional table and a type use."""
        table = self.cursor.optional_index(TABLE)
        return self.cursor.type_use(None), table

    def try_table(self) -> tuple[int, tuple[Clause, ...]]:
        """Read the block type and the catch clauses of `try_table`; its own label is none that they may name."""
        cursor = self.cursor
        items = cursor.items
        block = cursor.block_type()
        clauses: list[Clause] = []
        while items[cursor.at] == "(" and items[cursor.at + 1] in _CATCHES:
            kind = _CATCHES[items[cursor.at + 1]]
            cursor.at += 2
            tag = cursor.index(TAG) if kind <= CATCH_REF else -1
            clauses.append((kind, tag, self.label()))
            cursor.expect(")")
        return block, tuple(clauses)

    # Segments and pairs

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

    def type_field(self) -> tuple[int, int]:
        """Read the type of a structure and one of its fields."""
        type_ = self.cursor.index(TYPE)
        return type_, self.cursor.field(type_)


TextReader = Callable[[Operands], Immediate]

_READERS: Final[dict[str, TextReader]] = {
    "none": lambda reading: None,
    "block": lambda reading: reading.cursor.block_type(),
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
    "heaptype": lambda reading: reading.cursor.heap_type(),
    "data_memory": lambda reading: reading.segment(DATA, MEMORY),
    "data": Operands.data,
    "memory_memory": lambda reading: reading.pair(MEMORY),
    "elem_table": lambda reading: reading.segment(ELEM, TABLE),
    "elem": lambda reading: reading.cursor.index(ELEM),
    "table_table": lambda reading: reading.pair(TABLE),
    "select_types": Operands.select_types,
    "type": lambda reading: reading.cursor.index(TYPE),
    "tag": lambda reading: reading.cursor.index(TAG),
    "try_table": Operands.try_table,
    "type_type": lambda reading: (reading.cursor.index(TYPE), reading.cursor.index(TYPE)),
    "type_field": Operands.type_field,
    "type_u32": lambda reading: (reading.cursor.index(TYPE), reading.cursor.unsigned()),
    "type_data": lambda reading: (reading.cursor.index(TYPE), reading.data()),
    "type_elem": lambda reading: (reading.cursor.index(TYPE), reading.cursor.index(ELEM)),
    "cast": Operands.cast,
    "v128": lambda reading: vector(reading.cursor),
    "lane": lambda reading: lane(reading.cursor),
    "lanes": lambda reading: lanes(reading.cursor),
    "memarg_lane": Operands.memarg_lane,
    "zero": lambda reading: None,
}
TEXT_READERS: Final[list[TextReader]] = [_READERS[kind] for kind in KIND_NAMES]
"""Reader per kind of immediates, in the order of `immediates.py`."""
