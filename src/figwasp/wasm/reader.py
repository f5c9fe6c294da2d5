"""Reading the atoms and types that sections are made of (spec 5.2 and 5.3). Floor 1.

Goes in: a binary and the set of proposals. A `Reader` holds the position and the end of what may be read; every method
returns one item and moves on, or raises `Malformed` with the offset where the item began.
"""

from __future__ import annotations

from figwasp.errors import LimitExceeded, Malformed
from figwasp.features import Features
from figwasp.wasm import limits
from figwasp.wasm.later import no_support
from figwasp.wasm.leb128 import unsigned
from figwasp.wasm.types import (
    FUNCREF,
    NUM_TYPES,
    REF_TYPES,
    GlobalType,
    Limits,
    MemoryType,
    TableType,
    malformed_type,
)

__all__ = ["Reader"]


class Reader:
    """A position in the binary.

    Attributes:
        data: the whole binary.
        pos: byte offset of what is read next.
        end: byte offset after the section, beyond which nothing may be read.
        features: the proposals that are on.
        value_types: codes of value types under these.
    """

    __slots__ = ("data", "end", "features", "pos", "value_types")

    def __init__(self, data: bytes, features: Features) -> None:
        self.data = data
        self.features = features
        self.pos = 8
        self.end = len(data)
        self.value_types = NUM_TYPES + REF_TYPES if "reference-types" in features else NUM_TYPES

    # Types

    def type_vector(self) -> bytes:
        start = self.pos
        types = self.bytes(self.count("parameters or results", limits.MAX_ARITY))
        if types.strip(self.value_types):
            bad = next(code for code in types if code not in self.value_types)
            raise Malformed(malformed_type("value type", bad), start)
        return types

    def value_type(self) -> int:
        start = self.pos
        code = self.byte()
        if code not in self.value_types:
            raise Malformed(malformed_type("value type", code), start)
        return code

    def ref_type(self) -> int:
        start = self.pos
        code = self.byte()
        if code != FUNCREF and (code not in REF_TYPES or code not in self.value_types):
            raise Malformed(malformed_type("reference type", code), start)
        return code

    def table_type(self) -> TableType:
        elem = self.ref_type()
        return TableType(elem, self.read_limits())

    def memory_type(self) -> MemoryType:
        return MemoryType(self.read_limits())

    def global_type(self) -> GlobalType:
        type_ = self.value_type()
        start = self.pos
        mutable = self.byte()
        if mutable > 1:
            raise Malformed(f"malformed mutability {mutable:#04x}", start)
        return GlobalType(type_, mutable == 1)

    def read_limits(self) -> Limits:
        start = self.pos
        flags = self.byte()
        if flags > 1:
            later = no_support("memory64" if flags & 4 else "threads") if flags < 8 else ""
            raise Malformed(f"malformed limits flags {flags:#04x}{later}", start)
        least = self.u64()
        return Limits(least, self.u64() if flags else None)

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
            return str(self.bytes(self.u32()), "utf-8")
        except UnicodeDecodeError:
            raise Malformed("malformed UTF-8 encoding", start) from None
