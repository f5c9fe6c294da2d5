"""Reading the atoms and types that sections are made of (spec 5.2 and 5.3). Floor 1.

Goes in: a binary and the set of proposals. A `Reader` holds the position and the end of what may be read; every method
returns one item and moves on, or raises `Malformed` with the offset where the item began.
"""

from __future__ import annotations

from figwasp.errors import LimitExceeded, Malformed
from figwasp.features import Features, off
from figwasp.wasm.binary.leb128 import unsigned
from figwasp.wasm.binary.types import read_ref_type, read_value_type
from figwasp.wasm.syntax import limits
from figwasp.wasm.syntax.types import (
    CONCRETE,
    FUNCREF,
    I32,
    I64,
    NON_NULL,
    GlobalType,
    Limits,
    MemoryType,
    TableType,
    Types,
    known_codes,
    missing_proposal,
    type_name,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["Reader"]

# Flags of limits, beside 1 for a maximum.
_SHARED: Final = 2
_ADDRESS_64: Final = 4
_PAGE_SIZE: Final = 8
_MEMORY_FLAGS: Final = {
    _SHARED: ("threads", "a shared memory"),
    _ADDRESS_64: ("memory64", "a memory with 64-bit addresses"),
    _PAGE_SIZE: ("custom-page-sizes", "a memory with pages of its own size"),
}


class Reader:
    """A position in the binary.

    Attributes:
        data: the whole binary.
        pos: byte offset of what is read next.
        end: byte offset after the section, beyond which nothing may be read.
        features: the proposals that are on.
        plain: the value types that are one byte.
    """

    __slots__ = ("data", "end", "features", "plain", "pos")

    def __init__(self, data: bytes, features: Features) -> None:
        self.data = data
        self.features = features
        self.plain = bytes(known_codes(features) - {CONCRETE, NON_NULL})
        self.pos = 8
        self.end = len(data)

    # Types

    def type_vector(self) -> Types:
        count = self.count("parameters or results", limits.MAX_ARITY)
        raw = self.data[self.pos : self.pos + count]
        if self.pos + count <= self.end and not raw.translate(None, self.plain):
            self.pos += count
            return tuple(raw)
        return tuple([self.value_type() for _ in range(count)])

    def value_type(self) -> int:
        start = self.pos
        code, self.pos = read_value_type(self.data, start)
        return self.checked(code, start)

    def ref_type(self) -> int:
        start = self.pos
        code, self.pos = read_ref_type(self.data, start)
        if code == FUNCREF and self.pos <= self.end:
            return code  # tables have had it from the first version on
        return self.checked(code, start)

    def checked(self, code: int, start: int) -> int:
        """Return a value type that began at `start`, if it lies within the section and its proposal is on."""
        if self.pos > self.end:
            raise Malformed("unexpected end", start)
        missing = missing_proposal(code, self.features)
        if missing is not None:
            raise Malformed(off(f"malformed type {type_name(code)}: it", missing), start)
        return code

    def table_type(self) -> TableType:
        elem = self.ref_type()
        start = self.pos
        flags = self.byte()
        if flags & ~_ADDRESS_64 > 1:
            raise Malformed(f"malformed limits flags {flags:#04x}", start)
        if flags & _ADDRESS_64 and "memory64" not in self.features:
            raise Malformed(off(f"malformed limits flags {flags:#04x}: a table with 64-bit addresses", "memory64"), start)
        return TableType(elem, self.bounds(flags), I64 if flags & _ADDRESS_64 else I32)

    def memory_type(self) -> MemoryType:
        start = self.pos
        flags = self.byte()
        for flag, (proposal, what) in _MEMORY_FLAGS.items():
            if flags & flag and proposal not in self.features:
                raise Malformed(off(f"malformed limits flags {flags:#04x}: {what}", proposal), start)
        if flags >= 2 * _PAGE_SIZE:
            raise Malformed(f"malformed limits flags {flags:#04x}", start)
        bounds = self.bounds(flags)
        page = 16
        if flags & _PAGE_SIZE:
            start = self.pos
            page = self.u32()
            if page > 64:
                raise Malformed(f"invalid custom page size: 2^{page}", start)
        return MemoryType(bounds, I64 if flags & _ADDRESS_64 else I32, flags & _SHARED != 0, page)

    def global_type(self) -> GlobalType:
        type_ = self.value_type()
        start = self.pos
        mutable = self.byte()
        if mutable > 1:
            raise Malformed(f"malformed mutability {mutable:#04x}", start)
        return GlobalType(type_, mutable == 1)

    def bounds(self, flags: int) -> Limits:
        """Read minimum and, if the flags say so, maximum; of 64 bits since there are memories with such addresses."""
        read = self.u64 if "memory64" in self.features else self.u32
        least = read()
        return Limits(least, read() if flags & 1 else None)

    # Atoms

    def byte(self) -> int:
        pos = self.pos
        if pos >= self.end:
            raise Malformed("unexpected end", pos)
        self.pos = pos + 1
        return self.data[pos]

    def bytes(self, size: int) -> bytes:
        pos = self.pos
        if size > self.end - pos:
            raise Malformed("unexpected end", pos)
        self.pos = pos + size
        return self.data[pos : pos + size]

    def u32(self) -> int:
        pos = self.pos
        if pos < self.end and self.data[pos] < 0x80:
            self.pos = pos + 1
            return self.data[pos]
        value, self.pos = unsigned(self.data, pos, 32)
        if self.pos > self.end:
            raise Malformed("unexpected end", pos)
        return value

    def u64(self) -> int:
        start = self.pos
        value, self.pos = unsigned(self.data, start, 64)
        if self.pos > self.end:
            raise Malformed("unexpected end", start)
        return value

    def count(self, what: str, limit: int) -> int:
        start = self.pos
        count = self.u32()
        if count > limit:
            raise LimitExceeded(f"{count} {what} at byte offset {start:#x}; the limit is {limit}")
        return count

    def name(self) -> str:
        start = self.pos
        try:
            return self.bytes(self.u32()).decode()  # PyPy's `str` of bytes and an encoding takes surrogates, too
        except UnicodeDecodeError:
            raise Malformed("malformed UTF-8 encoding", start) from None
