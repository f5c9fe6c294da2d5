"""Floor 4: WebAssembly values as Python objects and as raw bits (spec 4.2.1).

In: a value type and a Python object, or the bits of a value; or the address of a buffer of bits. Integers accept the signed and the
unsigned range of their type and come back signed. A vector is 16 bytes, lane 0 first and each lane in little-endian order.
References need the store they travel in.
"""

from __future__ import annotations

import math
import operator
import struct
from collections.abc import Sequence
from typing import Any, Final, Protocol

from figwasp.codegen.abi import buffer_layout
from figwasp.errors import Unsupported
from figwasp.ir.build.base import ir_types
from figwasp.ir.types import SIZES
from figwasp.runtime.platform import linux
from figwasp.wasm.syntax.types import F32, F64, FUNCREF, I32, I64, NON_NULL, V128, Types, is_ref, may_be_host, type_name

_f32: Final = struct.Struct("<f")
_f64: Final = struct.Struct("<d")
_u32: Final = struct.Struct("<I")
_u64: Final = struct.Struct("<Q")


class References(Protocol):
    """The conversion of references to bits and back, which a store has."""

    def func_to_bits(self, value: object) -> int | None:
        """Return the address of a callable's FuncRef and keep it for this chain; None when it is no wasm function."""

    def func_from_bits(self, bits: int) -> object:
        """Return the callable of a FuncRef."""

    def extern_to_bits(self, value: object) -> int:
        """Return a cell for an object."""

    def extern_from_bits(self, bits: int) -> object:
        """Return the object of a cell."""


def numbers_only(types: Types) -> bool:
    """Return whether there is no reference among the types."""
    return not any(map(is_ref, types))


def to_bits(value: Any, type_: int, references: References, what: str) -> int:
    """Return the raw bits of a Python object as a value of a type.

    Args:
        value: the object.
        type_: value type.
        references: the store.
        what: names the value in errors, "argument 1 of add()".

    Raises:
        TypeError: the object is not of that type.
        OverflowError: an integer out of range.
        ValueError: a vector that has not 16 bytes.
        Unsupported: a reference of a kind that cannot be made yet.
    """
    if type_ == I32 or type_ == I64:
        bits = 32 if type_ == I32 else 64
        try:
            number = operator.index(value)
        except TypeError:
            raise TypeError(f"{what} must be an int ({type_name(type_)}), not {type(value).__name__}") from None
        if not -(1 << (bits - 1)) <= number < 1 << bits:
            raise OverflowError(f"{what} is out of range for {type_name(type_)}: {number}")
        return number & ((1 << bits) - 1)
    if type_ == F32 or type_ == F64:
        return _float_bits(value, type_, what)
    if type_ == V128:
        return _vector_bits(value, what)
    if value is None and not type_ & NON_NULL:
        return 0
    if may_be_host(type_) and value is not None:
        return references.extern_to_bits(value)
    if type_ & 0xFF != FUNCREF and value is not None:
        raise Unsupported(f"{what}: no support for passing {type_name(type_)} yet", "function-references")
    address = references.func_to_bits(value)
    if address is None:
        wanted = "a WebAssembly function" if type_ & NON_NULL else "a WebAssembly function or None"
        raise TypeError(f"{what} must be {wanted} ({type_name(type_)}), not {type(value).__name__}")
    return address


def _float_bits(value: Any, type_: int, what: str) -> int:
    if isinstance(value, (str, bytes, bytearray)) or not (hasattr(value, "__float__") or hasattr(value, "__index__")):
        raise TypeError(f"{what} must be a float ({type_name(type_)}), not {type(value).__name__}")
    number = float(value)
    bits: int
    if type_ == F64:
        bits = _u64.unpack(_f64.pack(number))[0]
        return bits
    try:
        packed = _f32.pack(number)
    except OverflowError:
        packed = _f32.pack(math.copysign(math.inf, number))
    bits = _u32.unpack(packed)[0]
    return bits


def _vector_bits(value: Any, what: str) -> int:
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise TypeError(f"{what} must be 16 bytes (v128), not {type(value).__name__}")
    data = bytes(value)
    if len(data) != 16:
        raise ValueError(f"{what} must be 16 bytes (v128), not {len(data)}")
    return int.from_bytes(data, "little")


def from_bits(bits: int, type_: int, references: References) -> Any:
    """Return the Python object for raw bits of a type."""
    if type_ == I32:
        bits &= 0xFFFF_FFFF
        return bits - (1 << 32) if bits >> 31 else bits
    if type_ == I64:
        return bits - (1 << 64) if bits >> 63 else bits
    if type_ == F32:
        return _f32.unpack(_u32.pack(bits & 0xFFFF_FFFF))[0]
    if type_ == F64:
        return _f64.unpack(_u64.pack(bits))[0]
    if type_ == V128:
        return bits.to_bytes(16, "little")
    if not bits:
        return None
    return references.extern_from_bits(bits) if may_be_host(type_) else references.func_from_bits(bits)


def arguments_to_bits(args: Sequence[object], types: Types, references: References, function: str) -> list[int]:
    """Return the raw bits of the arguments of a function, whose name is for errors (those of `to_bits`)."""
    named = zip(args, types, strict=True)
    return [to_bits(value, type_, references, f"argument {i} of {function}()") for i, (value, type_) in enumerate(named, 1)]


def cells_of(types: Types) -> int:
    """Return how many cells values of these types take in a buffer (`abi.buffer_layout`)."""
    return buffer_layout(ir_types(types))[1]


def read_bits(address: int, types: Types) -> list[int]:
    """Return the raw bits of the values in a buffer."""
    ir = ir_types(types)
    places = zip(ir, buffer_layout(ir)[0], strict=True)
    return [int.from_bytes(linux.read(address + offset, SIZES[ir_type]), "little") for ir_type, offset in places]


def read_values(address: int, types: Types, references: References) -> list[Any]:
    """Return the Python objects for the raw bits in a buffer."""
    return [from_bits(bits, type_, references) for bits, type_ in zip(read_bits(address, types), types, strict=True)]


def write_values(address: int, types: Types, values: list[int]) -> None:
    """Put raw bits into a buffer."""
    ir = ir_types(types)
    for bits, ir_type, offset in zip(values, ir, buffer_layout(ir)[0], strict=True):
        linux.write(address + offset, bits.to_bytes(SIZES[ir_type], "little"))
