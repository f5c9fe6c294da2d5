"""Checks of immediates: that what they name exists, and that alignments, offsets and lanes are in range (spec 3.4). Floor 1.

A check gets the checker, the row of the instruction and the decoded immediates; it raises `Mismatch` and notes that a
memory is used. Rules and the loop rely on indices that have been checked here.
"""

from __future__ import annotations

from collections.abc import Callable

from figwasp.errors import Malformed
from figwasp.wasm.syntax import immediates
from figwasp.wasm.syntax.immediates import CATCH_REF, Immediate, block_and_clauses, number, numbers, pair
from figwasp.wasm.syntax.opcodes import Opcode
from figwasp.wasm.syntax.types import I32, I64, Types
from figwasp.wasm.valid.state import Checker, Mismatch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["ADDRESSES", "CHECKS", "Address", "Check", "check_memarg", "smaller"]

Check = Callable[[Checker, Opcode, Immediate], None]


def _exists(space: str, index: Immediate, size: int) -> int:
    place = number(index)
    if place >= size:
        raise Mismatch(f"unknown {space} {place}")
    return place


# Index spaces


def _label(checker: Checker, row: Opcode, value: Immediate) -> None:
    _exists("label", value, len(checker.labels))


def _labels(checker: Checker, row: Opcode, value: Immediate) -> None:
    _exists("label", max(numbers(value)), len(checker.labels))


def _func(checker: Checker, row: Opcode, value: Immediate) -> None:
    _exists("function", value, len(checker.module.func_types))


def _type(checker: Checker, row: Opcode, value: Immediate) -> None:
    _exists("type", value, len(checker.module.types))


def _first_type(checker: Checker, row: Opcode, value: Immediate) -> None:
    _exists("type", pair(value)[0], len(checker.module.types))


def _type_type(checker: Checker, row: Opcode, value: Immediate) -> None:
    for index in pair(value):
        _exists("type", index, len(checker.module.types))


def _type_table(checker: Checker, row: Opcode, value: Immediate) -> None:
    type_, table = pair(value)
    _exists("type", type_, len(checker.module.types))
    _table(checker, row, table)


def _type_data(checker: Checker, row: Opcode, value: Immediate) -> None:
    type_, data = pair(value)
    _exists("type", type_, len(checker.module.types))
    _data(checker, row, data)


def _type_elem(checker: Checker, row: Opcode, value: Immediate) -> None:
    type_, elem = pair(value)
    _exists("type", type_, len(checker.module.types))
    _elem(checker, row, elem)


def _local(checker: Checker, row: Opcode, value: Immediate) -> None:
    _exists("local", value, len(checker.facts.locals))


def _global(checker: Checker, row: Opcode, value: Immediate) -> None:
    _exists("global", value, len(checker.module.globals))


def _table(checker: Checker, row: Opcode, value: Immediate) -> None:
    _exists("table", value, len(checker.module.tables))


def _table_table(checker: Checker, row: Opcode, value: Immediate) -> None:
    for index in pair(value):
        _table(checker, row, index)


def _elem_table(checker: Checker, row: Opcode, value: Immediate) -> None:
    elem, table = pair(value)
    _table(checker, row, table)
    _elem(checker, row, elem)


def _elem(checker: Checker, row: Opcode, value: Immediate) -> None:
    _exists("elem segment", value, len(checker.module.elems))


def _memory(checker: Checker, row: Opcode, value: Immediate) -> None:
    _exists("memory", value, len(checker.module.memories))
    checker.facts.uses_memory = True


def _memory_memory(checker: Checker, row: Opcode, value: Immediate) -> None:
    for index in pair(value):
        _memory(checker, row, index)


def _data_memory(checker: Checker, row: Opcode, value: Immediate) -> None:
    data, memory = pair(value)
    _memory(checker, row, memory)
    _data(checker, row, data)


def _data(checker: Checker, row: Opcode, value: Immediate) -> None:
    if checker.module.data_count is None:
        raise Malformed(f"data count section required by {row.text}", checker.base)
    _exists("data segment", value, len(checker.module.datas))


def _tag(checker: Checker, row: Opcode, value: Immediate) -> None:
    _exists("tag", value, len(checker.module.tags))


# Types


def _heap_type(checker: Checker, row: Opcode, value: Immediate) -> None:
    _codes(checker, (number(value),))


def _select_types(checker: Checker, row: Opcode, value: Immediate) -> None:
    _codes(checker, numbers(value))


def _cast(checker: Checker, row: Opcode, value: Immediate) -> None:
    label, *codes = numbers(value)
    _exists("label", label, len(checker.labels))
    _codes(checker, tuple(codes))


def _codes(checker: Checker, codes: Types) -> None:
    for code in codes:
        checker.known_type(code, checker.base + checker.at)
        checker.known_index(code)


# Accesses and lanes


def check_memarg(checker: Checker, row: Opcode, value: Immediate) -> None:
    """Check the immediates of a memory access (spec 3.4.11)."""
    align, offset, memory, *_ = numbers(value)
    _memory(checker, row, memory)
    if row.proposal == "threads" and align != row.align:
        raise Mismatch(f"atomic alignment must be natural: 2**{align} is not 2**{row.align}")
    if align > row.align:
        raise Mismatch(f"alignment must not be larger than natural: 2**{align} > 2**{row.align}")
    if offset > 0xFFFFFFFF and checker.module.memories[memory].address == I32:
        raise Mismatch(f"offset out of range: {offset:#x}")


def _memarg_lane(checker: Checker, row: Opcode, value: Immediate) -> None:
    check_memarg(checker, row, value)
    _in_range(numbers(value)[3], 16 >> row.align)


def _lane(checker: Checker, row: Opcode, value: Immediate) -> None:
    _in_range(number(value), 1 << row.align)


def _lanes(checker: Checker, row: Opcode, value: Immediate) -> None:
    assert isinstance(value, bytes)
    _in_range(max(value), 32)


def _in_range(lane: int, count: int) -> None:
    if lane >= count:
        raise Mismatch(f"invalid lane index {lane}: there are {count}")


def _try_table(checker: Checker, row: Opcode, value: Immediate) -> None:
    for kind, tag, label in block_and_clauses(value)[1]:
        if kind <= CATCH_REF:
            _exists("tag", tag, len(checker.module.tags))
        _exists("label", label, len(checker.labels))


CHECKS: Final[dict[int, Check]] = {
    immediates.LABEL: _label,
    immediates.LABELS: _labels,
    immediates.FUNC: _func,
    immediates.TYPE_TABLE: _type_table,
    immediates.LOCAL: _local,
    immediates.GLOBAL: _global,
    immediates.TABLE: _table,
    immediates.MEMORY: _memory,
    immediates.MEMARG: check_memarg,
    immediates.HEAPTYPE: _heap_type,
    immediates.DATA_MEMORY: _data_memory,
    immediates.DATA: _data,
    immediates.MEMORY_MEMORY: _memory_memory,
    immediates.ELEM_TABLE: _elem_table,
    immediates.ELEM: _elem,
    immediates.TABLE_TABLE: _table_table,
    immediates.SELECT_TYPES: _select_types,
    immediates.TYPE: _type,
    immediates.TAG: _tag,
    immediates.TRY_TABLE: _try_table,
    immediates.TYPE_TYPE: _type_type,
    immediates.TYPE_FIELD: _first_type,
    immediates.TYPE_U32: _first_type,
    immediates.TYPE_DATA: _type_data,
    immediates.TYPE_ELEM: _type_elem,
    immediates.CAST: _cast,
    immediates.LANE: _lane,
    immediates.LANES: _lanes,
    immediates.MEMARG_LANE: _memarg_lane,
}
"""Kind of immediates -> its check; the others have nothing to check."""


# The address type that stands for ADDRESS in a row

Address = Callable[[Checker, Immediate], int]


def _memarg_address(checker: Checker, value: Immediate) -> int:
    return checker.module.memories[numbers(value)[2]].address


def _memory_address(checker: Checker, value: Immediate) -> int:
    memory = value if isinstance(value, int) else pair(value)[1]
    return checker.module.memories[memory].address


def _table_address(checker: Checker, value: Immediate) -> int:
    table = value if isinstance(value, int) else pair(value)[1]
    return checker.module.tables[table].address


ADDRESSES: Final[dict[int, Address]] = {
    immediates.MEMARG: _memarg_address,
    immediates.MEMARG_LANE: _memarg_address,
    immediates.MEMORY: _memory_address,
    immediates.DATA_MEMORY: _memory_address,
    immediates.TABLE: _table_address,
    immediates.ELEM_TABLE: _table_address,
}
"""Kind of immediates -> what finds the address type of the memory or table they name."""


def smaller(address: int, other: int) -> int:
    """Return the smaller of two address types: the one of a length that both ends of a copy can hold."""
    return I64 if address == I64 and other == I64 else I32
