"""Types of the format (spec 2.3, binary 5.3). Floor 1.

A value type is a plain int, its binary code, and a sequence of value types is `bytes`: comparing, slicing and hashing
are then single C calls. Function, table, memory and global types are small classes with slots.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "EMPTY",
    "EXTERNREF",
    "F32",
    "F64",
    "FUNCREF",
    "I32",
    "I64",
    "NUM_TYPES",
    "REF_TYPES",
    "TYPE_CODES",
    "V128",
    "FuncType",
    "GlobalType",
    "Limits",
    "MemoryType",
    "TableType",
    "malformed_type",
    "type_name",
    "type_names",
]

I32: Final = 0x7F
I64: Final = 0x7E
F32: Final = 0x7D
F64: Final = 0x7C
V128: Final = 0x7B
FUNCREF: Final = 0x70
EXTERNREF: Final = 0x6F
EMPTY: Final = 0x40
"""The block type without parameters and results; no value type."""

NUM_TYPES: Final = bytes((I32, I64, F32, F64))
REF_TYPES: Final = bytes((FUNCREF, EXTERNREF))

_NAMES: Final[dict[int, str]] = {
    I32: "i32",
    I64: "i64",
    F32: "f32",
    F64: "f64",
    V128: "v128",
    FUNCREF: "funcref",
    EXTERNREF: "externref",
}

TYPE_CODES: Final[dict[str, int]] = {name: code for code, name in _NAMES.items()}
"""Name of a value type in the text format -> its code."""


_LATER: Final[dict[int, str]] = {
    V128: "SIMD",
    0x69: "exception handling",
    **dict.fromkeys((0x63, 0x64), "typed function references"),
    **dict.fromkeys((0x4E, 0x4F, 0x50, 0x5E, 0x5F, *range(0x6A, 0x6F), *range(0x71, 0x75)), "garbage collection"),
}
"""Bytes that begin a type of a proposal without support."""


def malformed_type(what: str, code: int) -> str:
    """Return the message for a byte that begins no type of the kind `what`."""
    later = _LATER.get(code)
    return f"malformed {what} {code:#04x}" + (f": no support for {later} yet" if later else "")


def type_name(code: int) -> str:
    """Return a value type as the text format writes it."""
    return _NAMES.get(code) or f"type {code:#04x}"


def type_names(types: bytes) -> str:
    """Return a sequence of value types as the validator's messages write it: "[i32 f64]"."""
    return f"[{' '.join(type_name(code) for code in types)}]"


class FuncType:
    """The type of a function: parameters and results, each a sequence of value types."""

    __slots__ = ("params", "results")

    def __init__(self, params: bytes, results: bytes) -> None:
        self.params = params
        self.results = results

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FuncType) and self.params == other.params and self.results == other.results

    def __hash__(self) -> int:
        return hash((self.params, self.results))

    def __repr__(self) -> str:
        params = ", ".join(type_name(code) for code in self.params)
        results = ", ".join(type_name(code) for code in self.results)
        return f"({params}) -> {results if len(self.results) == 1 else f'({results})'}"


class Limits:
    """Bounds of a table (in elements) or a memory (in pages of 64 KiB).

    Attributes:
        min: size at the start.
        max: size it may grow to, or None.
    """

    __slots__ = ("max", "min")

    def __init__(self, min: int, max: int | None = None) -> None:
        self.min = min
        self.max = max

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Limits) and self.min == other.min and self.max == other.max

    def __hash__(self) -> int:
        return hash((self.min, self.max))

    def __repr__(self) -> str:
        return f"{self.min}" if self.max is None else f"{self.min} {self.max}"


class TableType:
    """The type of a table: element type and limits."""

    __slots__ = ("elem", "limits")

    def __init__(self, elem: int, limits: Limits) -> None:
        self.elem = elem
        self.limits = limits

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TableType) and self.elem == other.elem and self.limits == other.limits

    def __hash__(self) -> int:
        return hash((self.elem, self.limits))

    def __repr__(self) -> str:
        return f"table {self.limits!r} {type_name(self.elem)}"


class MemoryType:
    """The type of a memory: its limits in pages."""

    __slots__ = ("limits",)

    def __init__(self, limits: Limits) -> None:
        self.limits = limits

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MemoryType) and self.limits == other.limits

    def __hash__(self) -> int:
        return hash((MemoryType, self.limits))

    def __repr__(self) -> str:
        return f"memory {self.limits!r}"


class GlobalType:
    """The type of a global: value type, and whether it can be assigned."""

    __slots__ = ("mutable", "type")

    def __init__(self, type: int, mutable: bool) -> None:
        self.type = type
        self.mutable = mutable

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GlobalType) and self.type == other.type and self.mutable == other.mutable

    def __hash__(self) -> int:
        return hash((self.type, self.mutable))

    def __repr__(self) -> str:
        name = type_name(self.type)
        return f"global (mut {name})" if self.mutable else f"global {name}"
