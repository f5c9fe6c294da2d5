"""Immediates of instructions: one reader, skipper and writer per kind (spec 5.4). Floor 1.

`syntax/immediates.py` has the kinds, and what the readers give. They check the encoding (`Malformed`), not the meaning: an unknown
index is for the validator. The skippers assume bytes that have been read before.
"""

from __future__ import annotations

from collections.abc import Callable

from figwasp.errors import LimitExceeded, Malformed
from figwasp.wasm.binary import leb128
from figwasp.wasm.binary.leb128 import read_u32
from figwasp.wasm.binary.types import (
    heap_type_bytes,
    read_heap_type,
    read_value_type,
    value_type_bytes,
    value_types_bytes,
)
from figwasp.wasm.syntax import immediates as kinds
from figwasp.wasm.syntax import limits
from figwasp.wasm.syntax.immediates import (
    CATCH_ALL_REF,
    CATCH_REF,
    Clause,
    Immediate,
    block_and_clauses,
    number,
    numbers,
)
from figwasp.wasm.syntax.opcodes import BY_CODE, BY_PREFIX, Opcode, illegal, pack
from figwasp.wasm.syntax.types import EMPTY, NON_NULL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["MEMORY_INDEX_FLAG", "READERS", "SKIPPERS", "WRITERS", "Reader", "Skipper", "Writer", "read_opcode"]

Reader = Callable[[bytes, int], tuple[Immediate, int]]
Skipper = Callable[[bytes, int], int]
Writer = Callable[[bytearray, Immediate], None]

MEMORY_INDEX_FLAG: Final = 0x40

_NULL_SOURCE: Final = 1
_NULL_TARGET: Final = 2
"""Flags of `br_on_cast`."""


def read_opcode(data: bytes, pos: int) -> tuple[Opcode, int]:
    """Read the opcode before the immediates; return its row and the position after it."""
    if pos >= len(data):
        raise Malformed("unexpected end", pos)
    start = pos
    code = data[pos]
    pos += 1
    if code in BY_PREFIX:
        sub, pos = read_u32(data, pos)
        code = pack(code, sub)
    row = BY_CODE.get(code)
    if row is None:
        raise Malformed(illegal(code), start)
    return row, pos


def _read_none(data: bytes, pos: int) -> tuple[Immediate, int]:
    return None, pos


def _read_pair(data: bytes, pos: int) -> tuple[Immediate, int]:
    first, pos = read_u32(data, pos)
    second, pos = read_u32(data, pos)
    return (first, second), pos


def _read_block(data: bytes, pos: int) -> tuple[Immediate, int]:
    if pos < len(data) and data[pos] == EMPTY:
        return ~EMPTY, pos + 1
    value, after = leb128.read_s33(data, pos)
    if value < 0:
        value, after = read_value_type(data, pos)
        return ~value, after
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


def _read_fixed(data: bytes, pos: int, size: int) -> tuple[int, int]:
    bits = data[pos : pos + size]
    if len(bits) < size:
        raise Malformed("unexpected end", pos)
    return int.from_bytes(bits, "little"), pos + size


def _read_f32(data: bytes, pos: int) -> tuple[Immediate, int]:
    return _read_fixed(data, pos, 4)


def _read_f64(data: bytes, pos: int) -> tuple[Immediate, int]:
    return _read_fixed(data, pos, 8)


def _read_v128(data: bytes, pos: int) -> tuple[Immediate, int]:
    return _read_fixed(data, pos, 16)


def _read_lane(data: bytes, pos: int) -> tuple[Immediate, int]:
    return _read_fixed(data, pos, 1)


def _read_lanes(data: bytes, pos: int) -> tuple[Immediate, int]:
    lanes = data[pos : pos + 16]
    if len(lanes) < 16:
        raise Malformed("unexpected end", pos)
    return lanes, pos + 16


def _read_memarg_lane(data: bytes, pos: int) -> tuple[Immediate, int]:
    memarg, after = _read_memarg(data, pos)
    lane, after = _read_fixed(data, after, 1)
    assert isinstance(memarg, tuple)
    return (*memarg, lane), after


def _read_zero(data: bytes, pos: int) -> tuple[Immediate, int]:
    if data[pos : pos + 1] != b"\0":
        raise Malformed("zero byte expected" if pos < len(data) else "unexpected end", pos)
    return None, pos + 1


def _read_select_types(data: bytes, pos: int) -> tuple[Immediate, int]:
    count, at = read_u32(data, pos)
    if count > limits.MAX_SELECT_TYPES:
        raise LimitExceeded(
            f"select with {count} types at byte offset {pos:#x}; the limit is {limits.MAX_SELECT_TYPES}"
        )
    types: list[int] = []
    for _ in range(count):
        code, at = read_value_type(data, at)
        types.append(code)
    return tuple(types), at


def _read_cast(data: bytes, pos: int) -> tuple[Immediate, int]:
    flags, after = _read_fixed(data, pos, 1)
    if flags > (_NULL_SOURCE | _NULL_TARGET):
        raise Malformed(f"malformed br_on_cast flags {flags:#04x}", pos)
    label, after = read_u32(data, after)
    source, after = read_heap_type(data, after)
    target, after = read_heap_type(data, after)
    if not flags & _NULL_SOURCE:
        source |= NON_NULL
    return (label, source, target if flags & _NULL_TARGET else target | NON_NULL), after


def _read_try_table(data: bytes, pos: int) -> tuple[Immediate, int]:
    block, after = _read_block(data, pos)
    count, at = read_u32(data, after)
    if count > limits.MAX_BR_TABLE:
        raise LimitExceeded(f"try_table with {count} clauses at byte offset {pos:#x}; the limit is {limits.MAX_BR_TABLE}")
    clauses: list[Clause] = []
    for _ in range(count):
        start = at
        kind, at = _read_fixed(data, at, 1)
        if kind > CATCH_ALL_REF:
            raise Malformed(f"malformed catch clause {kind:#04x}", start)
        tag = -1
        if kind <= CATCH_REF:
            tag, at = read_u32(data, at)
        label, at = read_u32(data, at)
        clauses.append((kind, tag, label))
    assert isinstance(block, int)
    return (block, tuple(clauses)), at


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


def _skip_block(data: bytes, pos: int) -> int:
    return _read_block(data, pos)[1]


def _skip_heap_type(data: bytes, pos: int) -> int:
    return leb128.skip(data, pos)


def _skip_select_types(data: bytes, pos: int) -> int:
    return _read_select_types(data, pos)[1]


def _skip_v128(data: bytes, pos: int) -> int:
    return pos + 16


def _skip_memarg_lane(data: bytes, pos: int) -> int:
    return _skip_memarg(data, pos) + 1


def _skip_cast(data: bytes, pos: int) -> int:
    return leb128.skip(data, leb128.skip(data, leb128.skip(data, pos + 1)))


def _skip_try_table(data: bytes, pos: int) -> int:
    return _read_try_table(data, pos)[1]


def _write_none(out: bytearray, value: Immediate) -> None:
    assert value is None, value


def _write_index(out: bytearray, value: Immediate) -> None:
    leb128.write_unsigned(out, number(value))


def _write_signed(out: bytearray, value: Immediate) -> None:
    leb128.write_signed(out, number(value))


def _write_block(out: bytearray, value: Immediate) -> None:
    block = number(value)
    if block >= 0:
        leb128.write_signed(out, block)
    else:
        out += value_type_bytes(~block)


def _write_indices(out: bytearray, value: Immediate) -> None:
    for index in numbers(value):
        leb128.write_unsigned(out, index)


def _write_labels(out: bytearray, value: Immediate) -> None:
    labels = numbers(value)
    leb128.write_unsigned(out, len(labels) - 1)
    _write_indices(out, labels)


def _write_memarg(out: bytearray, value: Immediate) -> None:
    align, offset, memory, *_ = numbers(value)
    leb128.write_unsigned(out, align | MEMORY_INDEX_FLAG if memory else align)
    if memory:
        leb128.write_unsigned(out, memory)
    leb128.write_unsigned(out, offset)


def _write_memarg_lane(out: bytearray, value: Immediate) -> None:
    _write_memarg(out, value)
    out.append(numbers(value)[3])


def _write_fixed(size: int) -> Writer:
    def write(out: bytearray, value: Immediate) -> None:
        assert isinstance(value, int), value
        out += value.to_bytes(size, "little")

    return write


def _write_lanes(out: bytearray, value: Immediate) -> None:
    assert isinstance(value, bytes), value
    out += value


def _write_zero(out: bytearray, value: Immediate) -> None:
    assert value is None, value
    out.append(0)


def _write_heap_type(out: bytearray, value: Immediate) -> None:
    out += heap_type_bytes(number(value))


def _write_select_types(out: bytearray, value: Immediate) -> None:
    types = numbers(value)
    leb128.write_unsigned(out, len(types))
    out += value_types_bytes(types)


def _write_cast(out: bytearray, value: Immediate) -> None:
    label, source, target = numbers(value)
    out.append((0 if source & NON_NULL else _NULL_SOURCE) | (0 if target & NON_NULL else _NULL_TARGET))
    leb128.write_unsigned(out, label)
    out += heap_type_bytes(source) + heap_type_bytes(target)


def _write_try_table(out: bytearray, value: Immediate) -> None:
    block, clauses = block_and_clauses(value)
    _write_block(out, block)
    leb128.write_unsigned(out, len(clauses))
    for kind, tag, label in clauses:
        out.append(kind)
        if tag >= 0:
            leb128.write_unsigned(out, tag)
        leb128.write_unsigned(out, label)


_Row = tuple[Reader, Skipper, Writer]
_INDEX: Final[_Row] = (read_u32, leb128.skip, _write_index)
_PAIR: Final[_Row] = (_read_pair, _skip_pair, _write_indices)

_ROWS: Final[dict[int, _Row]] = {
    kinds.NONE: (_read_none, _skip_none, _write_none),
    kinds.BLOCK: (_read_block, _skip_block, _write_block),
    kinds.LABEL: _INDEX,
    kinds.LABELS: (_read_labels, _skip_labels, _write_labels),
    kinds.FUNC: _INDEX,
    kinds.TYPE_TABLE: _PAIR,
    kinds.LOCAL: _INDEX,
    kinds.GLOBAL: _INDEX,
    kinds.TABLE: _INDEX,
    kinds.MEMORY: _INDEX,
    kinds.MEMARG: (_read_memarg, _skip_memarg, _write_memarg),
    kinds.I32: (leb128.read_i32, leb128.skip, _write_signed),
    kinds.I64: (leb128.read_i64, leb128.skip, _write_signed),
    kinds.F32: (_read_f32, _skip_f32, _write_fixed(4)),
    kinds.F64: (_read_f64, _skip_f64, _write_fixed(8)),
    kinds.HEAPTYPE: (read_heap_type, _skip_heap_type, _write_heap_type),
    kinds.DATA_MEMORY: _PAIR,
    kinds.DATA: _INDEX,
    kinds.MEMORY_MEMORY: _PAIR,
    kinds.ELEM_TABLE: _PAIR,
    kinds.ELEM: _INDEX,
    kinds.TABLE_TABLE: _PAIR,
    kinds.SELECT_TYPES: (_read_select_types, _skip_select_types, _write_select_types),
    kinds.TYPE: _INDEX,
    kinds.TAG: _INDEX,
    kinds.TRY_TABLE: (_read_try_table, _skip_try_table, _write_try_table),
    kinds.TYPE_TYPE: _PAIR,
    kinds.TYPE_FIELD: _PAIR,
    kinds.TYPE_U32: _PAIR,
    kinds.TYPE_DATA: _PAIR,
    kinds.TYPE_ELEM: _PAIR,
    kinds.CAST: (_read_cast, _skip_cast, _write_cast),
    kinds.V128: (_read_v128, _skip_v128, _write_fixed(16)),
    kinds.LANE: (_read_lane, _skip_byte, _write_fixed(1)),
    kinds.LANES: (_read_lanes, _skip_v128, _write_lanes),
    kinds.MEMARG_LANE: (_read_memarg_lane, _skip_memarg_lane, _write_memarg_lane),
    kinds.ZERO: (_read_zero, _skip_byte, _write_zero),
}

READERS: Final[list[Reader]] = [_ROWS[kind][0] for kind in range(len(_ROWS))]
SKIPPERS: Final[list[Skipper]] = [_ROWS[kind][1] for kind in range(len(_ROWS))]
WRITERS: Final[list[Writer]] = [_ROWS[kind][2] for kind in range(len(_ROWS))]
