"""Floor 4: WebAssembly values as Python objects, and as bits in native memory (spec 4.2.1).

In: value types, Python objects, and places. A place for a reference is one that the collector sees: a frame, a root. Integers may
be in the signed or the unsigned range of their type and come back signed. A vector is 16 bytes, lane 0 first and each lane in
little-endian order.

References need the store they travel in, and what the indices in their types stand for. None is null. An i31 is an int. Objects
of the store's heap are handles (`runtime.heap.handles`). For anyref any object will do: as in WebAssembly's JavaScript API, an int
from -2**30 to 2**30 - 1 is an i31 then, a handle the object that it is for, and everything else an object of the host. For
externref, ints are objects of the host as well, so that what comes back is the very object.
"""

from __future__ import annotations

import operator
import struct

from figwasp import layout
from figwasp.ir.types import buffer_layout, ir_types
from figwasp.runtime.code.descriptors import TYPES
from figwasp.runtime.heap.handles import Handle
from figwasp.runtime.platform import linux
from figwasp.wasm.syntax.types import (
    ANYREF,
    CONCRETE,
    EQREF,
    EXNREF,
    EXTERNREF,
    F32,
    F64,
    FUNCREF,
    I8,
    I16,
    I31REF,
    I32,
    I64,
    INDEX_SHIFT,
    NON_NULL,
    NULLREF,
    V128,
    concrete,
    is_ref,
    may_be_host,
    storage_name,
    type_name,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Final, Protocol

    from figwasp.wasm.syntax.types import Types

    class Numbers(Protocol):
        """What the type indices of a module stand for: canonical numbers by index."""

        def __getitem__(self, index: int, /) -> int:
            """Return the canonical number."""

    class References(Protocol):
        """The conversion of references to bits and back, which a store has."""

        @property
        def numbers(self) -> Numbers:
            """The canonical numbers of the indices in value types."""

        def func_to_bits(self, value: object) -> int | None:
            """Return the address of a callable's FuncRef and keep it for this chain; None when it is no wasm function."""

        def func_from_bits(self, bits: int) -> object:
            """Return the callable of a FuncRef."""

        def give_object(self, value: object, place: int) -> None:
            """Write a reference to an object of the host to a place."""

        def object_at(self, place: int) -> object:
            """Return what the reference at a place refers to, of the hierarchies of any and extern."""

        def owns(self, handle: Handle) -> bool:
            """Return whether a handle is for an object on the heap of the store."""

        def give_exception(self, error: BaseException, place: int) -> None:
            """Write a reference to a new exception to a place."""

        def exception_at(self, place: int) -> BaseException:
            """Return the exception of Python for the one that a place refers to."""

        def numbered(self, numbers: Numbers) -> References:
            """Return the same conversion for types of another module."""

INT_BITS: Final = {I8: 8, I16: 16, I32: 32, I64: 64}
"""Integer type -> its bits."""
_FIRST_I31: Final = -(1 << 30)
_LAST_I31: Final = (1 << 30) - 1
"""The ints that are an i31 where any object will do."""

_f32: Final = struct.Struct("<f")
_f64: Final = struct.Struct("<d")
_u32: Final = struct.Struct("<I")
_u64: Final = struct.Struct("<Q")

NO_NUMBERS: Final[Numbers] = ()
"""For types without indices."""


def numbers_only(types: Types) -> bool:
    """Return whether there is no reference among the types."""
    return not any(map(is_ref, types))


def put_value(place: int, value: Any, type_: int, references: References, what: str) -> None:
    """Write a Python object to a place as a value of a type.

    Args:
        place: address of its cells.
        value: the object.
        type_: value type.
        references: the store.
        what: names the value in errors, "argument 1 of add()".

    Raises:
        TypeError: the object is not of that type.
        OverflowError: an integer out of range.
        ValueError: a vector that has not 16 bytes, or an object of another store.
    """
    if type_ == I32 or type_ == I64:
        linux.write_u64(place, _integer(value, type_, INT_BITS[type_], what))
    elif type_ == F32 or type_ == F64:
        linux.write_u64(place, _float_bits(value, type_, what))
    elif type_ == V128:
        linux.write(place, _vector(value, what))
    elif value is None:
        if type_ & NON_NULL:
            raise TypeError(f"{what} must not be None ({type_name(type_)})")
        linux.write_u64(place, 0)
    else:
        _put_reference(place, value, type_, references, what)


def number_bytes(value: Any, storage: int, what: str) -> bytes:
    """Return the bytes of a number or a vector as a field has them; the exceptions are those of `put_value`."""
    if storage == V128:
        return _vector(value, what)
    bits = INT_BITS.get(storage)
    if bits is not None:
        return _integer(value, storage, bits, what).to_bytes(bits >> 3, "little")
    return _float_bits(value, storage, what).to_bytes(4 if storage == F32 else 8, "little")


def _integer(value: Any, type_: int, bits: int, what: str) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{what} must be an int ({storage_name(type_)}), not {type(value).__name__}") from None
    if not -(1 << (bits - 1)) <= number < 1 << bits:
        raise OverflowError(f"{what} is out of range for {storage_name(type_)}: {number}")
    return number & ((1 << bits) - 1)


def _put_reference(place: int, value: Any, type_: int, references: References, what: str) -> None:
    """Write the reference for an object that is not None."""
    low = type_ & 0xFF
    if isinstance(value, Handle):
        _put_handle(place, value, type_, references, what)
    elif low == ANYREF and type(value) is int and _FIRST_I31 <= value <= _LAST_I31:
        linux.write_u64(place, layout.i31(value))
    elif may_be_host(type_):
        references.give_object(value, place)
    elif low == EXNREF:
        if not isinstance(value, Exception):
            raise TypeError(f"{what} must be an exception ({type_name(type_)}), not {type(value).__name__}")
        references.give_exception(value, place)
    elif low == I31REF or low == EQREF:
        linux.write_u64(place, layout.i31(_integer(value, type_, 31, what)))
    else:
        linux.write_u64(place, _func_bits(value, type_, references, what))


def _put_handle(place: int, handle: Handle, type_: int, references: References, what: str) -> None:
    """Write the reference to an object of the heap, which is the same as an externref."""
    wanted = canonical(type_, references.numbers)
    core = handle._core
    if wanted & 0xFF != EXTERNREF and not TYPES.matches(concrete(core.number, nullable=False), wanted):
        raise TypeError(f"{what} must be of type {type_name(type_)}, which {handle!r} is not")
    if not references.owns(handle):
        raise ValueError(f"{what} is {handle!r}, which belongs to another store: to instances that are not linked with these")
    linux.write_u64(place, core.address)


def _func_bits(value: Any, type_: int, references: References, what: str) -> int:
    """Return the reference to a function."""
    low = type_ & 0xFF
    wanted = canonical(type_, references.numbers)
    top = TYPES.top(wanted)
    if top != FUNCREF:
        wants = "an object of WebAssembly" if top == ANYREF and wanted & 0xFF != NULLREF else "None"
        raise TypeError(f"{what} must be {wants} ({type_name(type_)}), not {type(value).__name__}")
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
        packed = _f32.pack(float("inf" if number > 0 else "-inf"))
    bits = _u32.unpack(packed)[0]
    return bits


def _vector(value: Any, what: str) -> bytes:
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise TypeError(f"{what} must be 16 bytes (v128), not {type(value).__name__}")
    data = bytes(value)
    if len(data) != 16:
        raise ValueError(f"{what} must be 16 bytes (v128), not {len(data)}")
    return data


def get_value(place: int, type_: int, references: References) -> Any:
    """Return the Python object for a value of a type at a place."""
    if type_ == V128:
        return linux.read(place, 16)
    bits = linux.read_u64(place)
    if type_ == I32:
        bits &= 0xFFFF_FFFF
        return bits - (1 << 32) if bits >> 31 else bits
    if type_ == I64:
        return bits - (1 << 64) if bits >> 63 else bits
    if type_ == F32:
        return _f32.unpack(_u32.pack(bits & 0xFFFF_FFFF))[0]
    if type_ == F64:
        return _f64.unpack(_u64.pack(bits))[0]
    if not bits:
        return None
    if TYPES.top(canonical(type_, references.numbers)) == FUNCREF:
        return references.func_from_bits(bits)
    if type_ & 0xFF == EXNREF:
        return references.exception_at(place)
    return references.object_at(place)


def cells_of(types: Types) -> int:
    """Return how many cells values of these types take in a buffer (`ir.types.buffer_layout`)."""
    return buffer_layout(ir_types(types))[1]


def places_of(address: int, types: Types) -> list[int]:
    """Return the places of the values in a buffer."""
    return [address + offset for offset in buffer_layout(ir_types(types))[0]]


def put_arguments(address: int, args: Sequence[object], types: Types, references: References, function: str) -> None:
    """Write the arguments of a function into a buffer; its name is for errors (those of `put_value`)."""
    for i, (place, value, type_) in enumerate(zip(places_of(address, types), args, types, strict=True), 1):
        put_value(place, value, type_, references, f"argument {i} of {function}()")


def get_values(address: int, types: Types, references: References) -> list[Any]:
    """Return the Python objects for the values in a buffer."""
    return [get_value(place, type_, references) for place, type_ in zip(places_of(address, types), types, strict=True)]
