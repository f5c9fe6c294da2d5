"""Immediates of instructions: their kinds, and what they are once decoded (spec 2.4). Floor 1.

The instruction table names a kind for every row; `binary/immediates.py` has what reads and writes each. A decoded immediate is

    none              None
    block             int: the index of a function type; or `~code` of a value type or of EMPTY
    labels            tuple of label indices, the default last
    memarg            (log2 of the alignment, offset, memory index)
    memarg_lane       (log2 of the alignment, offset, memory index, lane)
    lane              int
    lanes             bytes: the sixteen lane indices of a shuffle
    i32 i64           int, signed
    f32 f64 v128      int: the bit pattern
    heaptype          int: the nullable reference to it, as `types.py` writes value types
    select_types      tuple of value types
    cast              (label, source type, target type): the types of `br_on_cast`
    try_table         (block type as for block, tuple of catch clauses: (CATCH.. kind, tag index or -1, label))
    zero              None: a byte that is 0
    a name            int: the index in the space of that name (label func type local global table memory tag data elem)
    name_name         (index, index) in the order of the binary format; `u32` and `field` are plain numbers
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["KINDS", "KIND_NAMES", "Clause", "Immediate", "block_and_clauses", "number", "numbers", "pair"]

Clause = tuple[int, int, int]
"""A catch clause: its kind, the index of its tag or -1, its label."""
Immediate = int | bytes | tuple[int, ...] | tuple[int, tuple[Clause, ...]] | None

NONE: Final = 0
BLOCK: Final = 1
LABEL: Final = 2
LABELS: Final = 3
FUNC: Final = 4
TYPE_TABLE: Final = 5
LOCAL: Final = 6
GLOBAL: Final = 7
TABLE: Final = 8
MEMORY: Final = 9
MEMARG: Final = 10
I32: Final = 11
I64: Final = 12
F32: Final = 13
F64: Final = 14
HEAPTYPE: Final = 15
DATA_MEMORY: Final = 16
DATA: Final = 17
MEMORY_MEMORY: Final = 18
ELEM_TABLE: Final = 19
ELEM: Final = 20
TABLE_TABLE: Final = 21
SELECT_TYPES: Final = 22
TYPE: Final = 23
TAG: Final = 24
TRY_TABLE: Final = 25
TYPE_TYPE: Final = 26
TYPE_FIELD: Final = 27
TYPE_U32: Final = 28
TYPE_DATA: Final = 29
TYPE_ELEM: Final = 30
CAST: Final = 31
V128: Final = 32
LANE: Final = 33
LANES: Final = 34
MEMARG_LANE: Final = 35
ZERO: Final = 36

KINDS: Final[dict[str, int]] = {
    "none": NONE,
    "block": BLOCK,
    "label": LABEL,
    "labels": LABELS,
    "func": FUNC,
    "type_table": TYPE_TABLE,
    "local": LOCAL,
    "global": GLOBAL,
    "table": TABLE,
    "memory": MEMORY,
    "memarg": MEMARG,
    "i32": I32,
    "i64": I64,
    "f32": F32,
    "f64": F64,
    "heaptype": HEAPTYPE,
    "data_memory": DATA_MEMORY,
    "data": DATA,
    "memory_memory": MEMORY_MEMORY,
    "elem_table": ELEM_TABLE,
    "elem": ELEM,
    "table_table": TABLE_TABLE,
    "select_types": SELECT_TYPES,
    "type": TYPE,
    "tag": TAG,
    "try_table": TRY_TABLE,
    "type_type": TYPE_TYPE,
    "type_field": TYPE_FIELD,
    "type_u32": TYPE_U32,
    "type_data": TYPE_DATA,
    "type_elem": TYPE_ELEM,
    "cast": CAST,
    "v128": V128,
    "lane": LANE,
    "lanes": LANES,
    "memarg_lane": MEMARG_LANE,
    "zero": ZERO,
}
KIND_NAMES: Final[list[str]] = sorted(KINDS, key=KINDS.__getitem__)
"""Kind -> the name of it that the instruction table uses."""

CATCH: Final = 0
CATCH_REF: Final = 1
CATCH_ALL: Final = 2
CATCH_ALL_REF: Final = 3
"""Kinds of catch clauses; those up to CATCH_REF name a tag."""


def number(value: Immediate) -> int:
    """Insist that an immediate is a number."""
    assert isinstance(value, int), value
    return value


def pair(value: Immediate) -> tuple[int, int]:
    """Insist that an immediate is two numbers."""
    first, second = numbers(value)
    return first, second


def numbers(value: Immediate) -> tuple[int, ...]:
    """Insist that an immediate is a tuple of plain numbers."""
    assert isinstance(value, tuple), value
    return value  # type: ignore[return-value]


def block_and_clauses(value: Immediate) -> tuple[int, tuple[Clause, ...]]:
    """Insist that an immediate is that of a `try_table`, and return its block type and its clauses."""
    assert isinstance(value, tuple), value
    block, clauses = value
    assert isinstance(block, int), block
    assert isinstance(clauses, tuple), clauses
    return block, clauses
