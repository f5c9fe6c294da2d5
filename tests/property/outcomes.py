"""What running a module came to, comparable between implementations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from figwasp.wasm.syntax.types import F32, F64, FUNCREF, I32, V128, FuncType, is_ref
from tests.property.constants import CANONICAL_NAN, bits_float, float_bits, is_nan

Result = tuple[str, str, tuple[int, ...]]
"""Name of an export, "ok" or what the trap says, and results as bits."""
UNCAUGHT: Final = "uncaught exception"
"""How a call ends that an exception of WebAssembly leaves."""
_MASK: Final = (1 << 64) - 1
_VECTOR_MASK: Final = (1 << 128) - 1


AGAIN: Final = "again"
"""The import that calls one of the module's exports: frames of the host are between those of the module."""


class OutOfTime(Exception):
    """The module ran for too long to be compared."""


class Outcome:
    """What calls answered, and the state they left.

    Attributes:
        results: per call.
        memories: contents of every memory.
        globals: bits of every global.
        tables: per table, whether each element is null.
    """

    __slots__ = ("globals", "memories", "results", "tables")

    def __init__(self) -> None:
        self.results: list[Result] = []
        self.memories: list[bytes] = []
        self.globals: list[int] = []
        self.tables: list[list[bool]] = []

    def differences(self, other: Outcome) -> list[str]:
        """Return a line per difference."""
        found = [f"call {k}: {a} / {b}" for k, (a, b) in enumerate(zip(self.results, other.results, strict=False)) if a != b][:3]
        if len(self.results) != len(other.results):
            found.append(f"{len(self.results)} / {len(other.results)} calls")
        if len(self.memories) != len(other.memories):
            found.append(f"{len(self.memories)} / {len(other.memories)} memories")
        for number, (mine, theirs) in enumerate(zip(self.memories, other.memories, strict=False)):
            if mine != theirs:
                found.append(f"memory {number} {_memory_difference(mine, theirs)}")
        found += _unlike("global", self.globals, other.globals)
        found += _unlike("table", self.tables, other.tables)
        return found


def _memory_difference(mine: bytes, theirs: bytes) -> str:
    if len(mine) != len(theirs):
        return f"of {len(mine)} / {len(theirs)} bytes"
    at = next(k for k, (a, b) in enumerate(zip(mine, theirs, strict=True)) if a != b)
    return f"at {at:#x}: {mine[at : at + 8].hex()} / {theirs[at : at + 8].hex()}"


def _unlike(what: str, ours: Sequence[object], theirs: Sequence[object]) -> list[str]:
    if len(ours) != len(theirs):
        return [f"{len(ours)} / {len(theirs)} of {what}"]
    return [f"{what} {k}: {a} / {b}" for k, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b]


def seen(type_: int, bits: int) -> int:
    """Return bits as they are compared: any NaN as the canonical one, a function as whether it is null, other references not at all."""
    if is_ref(type_):
        return int(bits != 0 and type_ == FUNCREF)
    if type_ == I32:
        return bits & 0xFFFF_FFFF
    if type_ == V128:
        return bits & _VECTOR_MASK
    if type_ == F32:
        bits &= 0xFFFF_FFFF
    if type_ in (F32, F64) and is_nan(type_, bits):
        return CANONICAL_NAN[type_]
    return bits & _MASK


def folded(type_: FuncType, results: Sequence[int]) -> int:
    """Return one number of the results of a call, as a positive i64."""
    mixed = 1
    for result, bits in zip(type_.results, results, strict=True):
        mixed = (mixed * 31 + seen(result, bits)) & _MASK >> 1
    return mixed


def from_python(type_: int, value: object) -> int:
    """Return the bits of a Python value."""
    if isinstance(value, int):
        return value & (0xFFFF_FFFF if type_ == I32 else _MASK)
    if isinstance(value, float):
        return float_bits(type_, value)
    if isinstance(value, bytes):
        return int.from_bytes(value, "little")
    return int(value is not None)


def to_python(type_: int, bits: int) -> int | float | bytes | None:
    """Return bits as the Python value that APIs take; a reference is null."""
    if is_ref(type_):
        return None
    if type_ in (F32, F64):
        return bits_float(type_, bits)
    if type_ == V128:
        return bits.to_bytes(16, "little")
    size = 32 if type_ == I32 else 64
    return bits - (1 << size) if bits >> (size - 1) else bits


def imported(number: int, type_: FuncType) -> Callable[..., list[int]]:
    """Return the host's function of a number: it mixes its arguments, and gives small floats."""

    def function(*args: int) -> list[int]:
        mixed = number + 77
        for arg, param in zip(args, type_.params, strict=True):
            mixed = (mixed * 0x9E37_79B9_7F4A_7C15 + seen(param, arg) + 1) & _MASK
        results = []
        for result in type_.results:
            mixed = mixed * 31 & _MASK
            results.append(float_bits(result, float((mixed >> 8) % 4001 - 2000)) if result in (F32, F64) else mixed >> 5)
        return [bits & 0xFFFF_FFFF if type == I32 else bits for bits, type in zip(results, type_.results, strict=True)]

    return function


def imported_python(number: int, type_: FuncType) -> Callable[..., object]:
    """Return the same function on Python values."""
    function = imported(number, type_)

    def convert(*args: object) -> object:
        bits = function(*[from_python(param, arg) for arg, param in zip(args, type_.params, strict=True)])
        results = [to_python(result, one) for result, one in zip(type_.results, bits, strict=True)]
        return None if not results else results[0] if len(results) == 1 else tuple(results)

    return convert
