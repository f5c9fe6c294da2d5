"""Value types in the binary format (spec 5.3.1 to 5.3.5). Floor 1.

Goes in: bytes and a position. Comes out: the int that `types.py` gives a type, and the position after it; or bytes. Whether
the proposal of a type is on is for the caller to say (`missing_proposal`), whether its index exists for the validator.
"""

from __future__ import annotations

from figwasp.errors import Malformed
from figwasp.wasm.binary.leb128 import read_s33, write_signed
from figwasp.wasm.syntax.types import (
    CONCRETE,
    HEAP_NAMES,
    INDEX_SHIFT,
    NON_NULL,
    TYPE_CODES,
    Types,
    concrete,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["heap_type_bytes", "read_heap_type", "read_ref_type", "read_value_type", "value_type_bytes", "value_types_bytes"]

_REF: Final = 0x64
"""Begins a reference without null; CONCRETE begins one with it."""
_HEAPS: Final = frozenset(HEAP_NAMES.values())
_VALUES: Final = frozenset(TYPE_CODES.values())


def read_heap_type(data: bytes, pos: int) -> tuple[int, int]:
    """Read a heap type; return the nullable reference to it and the position after it."""
    value, after = read_s33(data, pos)
    if value >= 0:
        return concrete(value, nullable=True), after
    code = value & 0x7F
    if after != pos + 1 or code not in _HEAPS:
        raise Malformed(f"malformed heap type {data[pos]:#04x}", pos)
    return code, after


def read_ref_type(data: bytes, pos: int) -> tuple[int, int]:
    """Read a reference type."""
    code = _first(data, pos)
    if code == CONCRETE or code == _REF:
        heap, after = read_heap_type(data, pos + 1)
        return (heap if code == CONCRETE else heap | NON_NULL), after
    if code not in _HEAPS:
        raise Malformed(f"malformed reference type {code:#04x}", pos)
    return code, pos + 1


def read_value_type(data: bytes, pos: int) -> tuple[int, int]:
    """Read a value type."""
    code = _first(data, pos)
    if code in _VALUES:
        return code, pos + 1
    if code != CONCRETE and code != _REF:
        raise Malformed(f"malformed value type {code:#04x}", pos)
    return read_ref_type(data, pos)


def _first(data: bytes, pos: int) -> int:
    if pos >= len(data):
        raise Malformed("unexpected end", pos)
    return data[pos]


def heap_type_bytes(code: int) -> bytes:
    """Return the heap type of a reference."""
    if code & 0xFF != CONCRETE:
        return bytes((code & 0xFF,))
    out = bytearray()
    write_signed(out, code >> INDEX_SHIFT)
    return bytes(out)


def value_type_bytes(code: int) -> bytes:
    """Return a value type in its shortest form."""
    if code & NON_NULL:
        return bytes((_REF,)) + heap_type_bytes(code)
    return bytes((CONCRETE,)) + heap_type_bytes(code) if code & 0xFF == CONCRETE else bytes((code,))


def value_types_bytes(types: Types) -> bytes:
    """Return value types one after the other."""
    return b"".join(map(value_type_bytes, types))
