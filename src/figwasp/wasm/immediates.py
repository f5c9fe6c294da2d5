"""Immediates of instructions: one reader, skipper and writer per kind (spec 5.4). Floor 1.

The instruction table names a kind for every row; this module turns kinds into code. A decoded immediate is

    none                                        None
    none              None
    block             int: the index of a function type; or negative, and `value & 0x7F` is a value type or EMPTY
    labels            tuple of label indices, the default last
    memarg            (log2 of the alignment, offset, memory index)
    i32 i64           int, signed
    f32 f64           int: the bit pattern
    reftype           int: the type code
    select_types      bytes: value types
    a name            int: the index in the space of that name (label func local global table memory data elem)
    name_name         (index, index) in the order of the binary format

The readers check the encoding (`Malformed`), not the meaning: an unknown index is for the validator. The skippers
assume bytes that have been read before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from figwasp.errors import LimitExceeded, Malformed
from figwasp.wasm import leb128, limits
from figwasp.wasm.leb128 import read_u32
from figwasp.wasm.types import EMPTY, NUM_TYPES, REF_TYPES, malformed_type

__all__ = ["KINDS", "KIND_NAMES", "READERS", "SKIPPERS", "WRITERS", "Immediate", "Reader", "Skipper", "Writer"]

Immediate = int | bytes | tuple[int, ...] | None
Reader = Callable[[bytes, int], tuple[Immediate, int]]
Skipper = Callable[[bytes, int], int]
Writer = Callable[[bytearray, Immediate], None]

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
REFTYPE: Final = 15
DATA_MEMORY: Final = 16
DATA: Final = 17
MEMORY_MEMORY: Final = 18
ELEM_TABLE: Final = 19
ELEM: Final = 20
TABLE_TABLE: Final = 21
SELECT_TYPES: Final = 22

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
    "reftype": REFTYPE,
    "data_memory": DATA_MEMORY,
    "data": DATA,
    "memory_memory": MEMORY_MEMORY,
    "elem_table": ELEM_TABLE,
    "elem": ELEM,
    "table_table": TABLE_TABLE,
    "select_types": SELECT_TYPES,
}
KIND_NAMES: Final[list[str]] = sorted(KINDS, key=KINDS.__getitem__)
"""Kind -> the name of it that the instruction table uses."""

MEMORY_INDEX_FLAG: Final = 0x40
_BLOCK_VALUES: Final = frozenset((EMPTY, *NUM_TYPES, *REF_TYPES))


def _read_none(data: bytes, pos: int) -> tuple[Immediate, int]:
    return None, pos


def _read_pair(data: bytes, pos: int) -> tuple[Immediate, int]:
    first, pos = read_u32(data, pos)
    second, pos = read_u32(data, pos)
    return (first, second), pos


def _read_block(data: bytes, pos: int) -> tuple[Immediate, int]:
    value, after = leb128.read_s33(data, pos)
    if value < 0 and (after != pos + 1 or value & 0x7F not in _BLOCK_VALUES):
        raise Malformed(malformed_type("block type", data[pos]), pos)
    return value, after


def _read_labels(data: bytes, pos: int) -> tuple[Immediate, int]:
    count, at = read_u32(data, pos)
    if count > limits.MAX_BR_TABLE:
        raise LimitExceeded(f"br_table with {count} labels at byte offset {pos:#x}; the limit is {limits.MAX_BR_TABLE}")
    labels = data[at : at + count + 1]
    if len(labels) == count + 1 and labels.isascii():
        return tuple(labels), at + count + 1
    wide: list[int] = []
    for _ in range(count + 1):
        label, at = read_u32(data, at)
        wide.append(label)
    return tuple(wide), at


def _read_memarg(data: bytes, pos: int) -> tuple[Immediate, int]:
    flags, after = read_u32(data, pos)
    memory = 0
    if flags >= MEMORY_INDEX_FLAG:
        if flags >= MEMORY_INDEX_FLAG << 1:
            raise Malformed("malformed memop flags", pos)
        flags -= MEMORY_INDEX_FLAG
        memory, after = read_u32(data, after)
    offset, after = leb128.read_u64(data, after)  # 64 bits for any memory (spec 5.4.6); validation says how many may be used
    return (flags, offset, memory), after


def _read_fixed(data: bytes, pos: int, size: int) -> tuple[Immediate, int]:
    bits = data[pos : pos + size]
    if len(bits) < size:
        raise Malformed("unexpected end", pos)
    return int.from_bytes(bits, "little"), pos + size


def _read_f32(data: bytes, pos: int) -> tuple[Immediate, int]:
    return _read_fixed(data, pos, 4)


def _read_f64(data: bytes, pos: int) -> tuple[Immediate, int]:
    return _read_fixed(data, pos, 8)


def _read_reftype(data: bytes, pos: int) -> tuple[Immediate, int]:
    if pos >= len(data):
        raise Malformed("unexpected end", pos)
    if data[pos] not in REF_TYPES:
        raise Malformed(malformed_type("reference type", data[pos]), pos)
    return data[pos], pos + 1


def _read_select_types(data: bytes, pos: int) -> tuple[Immediate, int]:
    count, at = read_u32(data, pos)
    if count > limits.MAX_SELECT_TYPES:
        raise LimitExceeded(
            f"select with {count} types at byte offset {pos:#x}; the limit is {limits.MAX_SELECT_TYPES}"
        )
    types = data[at : at + count]
    if len(types) < count:
        raise Malformed("unexpected end", pos)
    for code in types:
        if code == EMPTY or code not in _BLOCK_VALUES:
            raise Malformed(malformed_type("value type", code), at)
    return types, at + count


def _skip_none(data: bytes, pos: int) -> int:
    return pos


def _skip_pair(data: bytes, pos: int) -> int:
    return leb128.skip(data, leb128.skip(data, pos))


def _skip_byte(data: bytes, pos: int) -> int:
    return pos + 1


def _skip_f32(data: bytes, pos: int) -> int:
    return pos + 4


def _skip_f64(data: bytes, pos: int) -> int:
    return pos + 8


def _skip_memarg(data: bytes, pos: int) -> int:
    if data[pos] & MEMORY_INDEX_FLAG:
        pos = leb128.skip(data, pos)
    return leb128.skip(data, leb128.skip(data, pos))


def _skip_labels(data: bytes, pos: int) -> int:
    return _read_labels(data, pos)[1]


def _skip_select_types(data: bytes, pos: int) -> int:
    return _read_select_types(data, pos)[1]


def _write_none(out: bytearray, value: Immediate) -> None:
    assert value is None, value


def _write_index(out: bytearray, value: Immediate) -> None:
    assert isinstance(value, int), value
    leb128.write_unsigned(out, value)


def _write_signed(out: bytearray, value: Immediate) -> None:
    assert isinstance(value, int), value
    leb128.write_signed(out, value)


def _write_indices(out: bytearray, value: Immediate) -> None:
    assert isinstance(value, tuple), value
    for index in value:
        leb128.write_unsigned(out, index)


def _write_labels(out: bytearray, value: Immediate) -> None:
    assert isinstance(value, tuple), value
    leb128.write_unsigned(out, len(value) - 1)
    _write_indices(out, value)


def _write_memarg(out: bytearray, value: Immediate) -> None:
    assert isinstance(value, tuple), value
    align, offset, memory = value
    leb128.write_unsigned(out, align | MEMORY_INDEX_FLAG if memory else align)
    if memory:
        leb128.write_unsigned(out, memory)
    leb128.write_unsigned(out, offset)


def _write_f32(out: bytearray, value: Immediate) -> None:
    assert isinstance(value, int), value
    out += value.to_bytes(4, "little")


def _write_f64(out: bytearray, value: Immediate) -> None:
    assert isinstance(value, int), value
    out += value.to_bytes(8, "little")


def _write_select_types(out: bytearray, value: Immediate) -> None:
    assert isinstance(value, bytes), value
    leb128.write_unsigned(out, len(value))
    out += value


_Row = tuple[Reader, Skipper, Writer]
_INDEX: Final[_Row] = (read_u32, leb128.skip, _write_index)
_PAIR: Final[_Row] = (_read_pair, _skip_pair, _write_indices)

_ROWS: Final[dict[int, _Row]] = {
    NONE: (_read_none, _skip_none, _write_none),
    BLOCK: (_read_block, leb128.skip, _write_signed),
    LABEL: _INDEX,
    LABELS: (_read_labels, _skip_labels, _write_labels),
    FUNC: _INDEX,
    TYPE_TABLE: _PAIR,
    LOCAL: _INDEX,
    GLOBAL: _INDEX,
    TABLE: _INDEX,
    MEMORY: _INDEX,
    MEMARG: (_read_memarg, _skip_memarg, _write_memarg),
    I32: (leb128.read_i32, leb128.skip, _write_signed),
    I64: (leb128.read_i64, leb128.skip, _write_signed),
    F32: (_read_f32, _skip_f32, _write_f32),
    F64: (_read_f64, _skip_f64, _write_f64),
    REFTYPE: (_read_reftype, _skip_byte, _write_index),
    DATA_MEMORY: _PAIR,
    DATA: _INDEX,
    MEMORY_MEMORY: _PAIR,
    ELEM_TABLE: _PAIR,
    ELEM: _INDEX,
    TABLE_TABLE: _PAIR,
    SELECT_TYPES: (_read_select_types, _skip_select_types, _write_select_types),
}

READERS: Final[list[Reader]] = [_ROWS[kind][0] for kind in range(len(_ROWS))]
SKIPPERS: Final[list[Skipper]] = [_ROWS[kind][1] for kind in range(len(_ROWS))]
WRITERS: Final[list[Writer]] = [_ROWS[kind][2] for kind in range(len(_ROWS))]
