"""Floor 4: WebAssembly values as Python objects and as raw bits (spec 4.2.1).

In: a value type and a Python object, or the bits of a value; or the address of a buffer of bits. Integers accept the signed and the
unsigned range of their type and come back signed. A vector is 16 bytes, lane 0 first and each lane in little-endian order.

References need the store they travel in, and what the indices in their types stand for. None is null. An i31 is an int. For anyref
any object will do: as in WebAssembly's JavaScript API, an int from -2**30 to 2**30 - 1 is an i31 then, and everything else an
object of the host. For externref, ints are objects of the host as well, so that what comes back is the very object.
"""

from __future__ import annotations

import math
import operator
import struct
from collections.abc import Sequence
from typing import Any, Final, Protocol

from figwasp import layout
from figwasp.codegen.abi import buffer_layout
from figwasp.ir.build.base import ir_types
from figwasp.ir.types import SIZES
from figwasp.runtime.code.descriptors import TYPES
from figwasp.runtime.platform import linux
from figwasp.wasm.syntax.types import (
    ANYREF,
    CONCRETE,
    EQREF,
    F32,
    F64,
    FUNCREF,
    I31REF,
    I32,
    I64,
    INDEX_SHIFT,
    NON_NULL,
    V128,
    Types,
    concrete,
    is_ref,
    may_be_host,
    type_name,
)

_FIRST_I31: Final = -(1 << 30)
_LAST_I31: Final = (1 << 30) - 1
"""The ints that are an i31 where any object will do."""

_f32: Final = struct.Struct("<f")
_f64: Final = struct.Struct("<d")
_u32: Final = struct.Struct("<I")
_u64: Final = struct.Struct("<Q")


class Numbers(Protocol):
    """What the type indices of a module stand for: canonical numbers by index."""

    def __getitem__(self, index: int, /) -> int:
        """Return the canonical number."""


NO_NUMBERS: Final[Numbers] = ()
"""For types without indices."""


class References(Protocol):
    """The conversion of references to bits and back, which a store has."""

    @property
    def numbers(self) -> Numbers:
        """The canonical numbers of the indices in value types."""

    def func_to_bits(self, value: object) -> int | None:
        """Return the address of a callable's FuncRef and keep it for this chain; None when it is no wasm function."""

    def func_from_bits(self, bits: int) -> object:
        """Return the callable of a FuncRef."""

    def extern_to_bits(self, value: object) -> int:
        """Return a reference to an object of the host."""

    def extern_from_bits(self, bits: int) -> object:
        """Return what a reference of the hierarchies of any and extern refers to."""


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
    """
    if type_ == I32 or type_ == I64:
        return _integer(value, type_, 32 if type_ == I32 else 64, what)
    if type_ == F32 or type_ == F64:
        return _float_bits(value, type_, what)
    if type_ == V128:
        return _vector_bits(value, what)
    if value is None:
        if type_ & NON_NULL:
            raise TypeError(f"{what} must not be None ({type_name(type_)})")
        return 0
    return _reference_bits(value, type_, references, what)


def _integer(value: Any, type_: int, bits: int, what: str) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{what} must be an int ({type_name(type_)}), not {type(value).__name__}") from None
    if not -(1 << (bits - 1)) <= number < 1 << bits:
        raise OverflowError(f"{what} is out of range for {type_name(type_)}: {number}")
    return number & ((1 << bits) - 1)


def _reference_bits(value: Any, type_: int, references: References, what: str) -> int:
    """Return the reference for an object that is not None."""
    low = type_ & 0xFF
    if low == ANYREF and type(value) is int and _FIRST_I31 <= value <= _LAST_I31:
        return layout.i31(value)
    if may_be_host(type_):
        return references.extern_to_bits(value)
    if low == I31REF or low == EQREF:
        return layout.i31(_integer(value, type_, 31, what))
    wanted = canonical(type_, references.numbers)
    if TYPES.top(wanted) != FUNCREF:
        raise TypeError(f"{what} cannot be a {type(value).__name__}: nothing from Python is of type {type_name(type_)}")
    address = references.func_to_bits(value)
    if address is None:
        or_none = "" if type_ & NON_NULL else " or None"
        raise TypeError(f"{what} must be a WebAssembly function{or_none} ({type_name(type_)}), not {type(value).__name__}")
    number = TYPES.number_at(linux.read_u32(address + layout.FUNCREF_TYPE))
    if low != FUNCREF and not TYPES.matches(concrete(number, nullable=False), wanted):
        raise TypeError(f"{what} must be a WebAssembly function of another type ({type_name(type_)}), not {value!r}")
    return address


def canonical(type_: int, numbers: Numbers) -> int:
    """Return a value type with the canonical number in place of its index, if it has one."""
    if type_ & 0xFF != CONCRETE:
        return type_
    return concrete(numbers[type_ >> INDEX_SHIFT], not type_ & NON_NULL)


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
    if TYPES.top(canonical(type_, references.numbers)) == FUNCREF:
        return references.func_from_bits(bits)
    return references.extern_from_bits(bits)


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
