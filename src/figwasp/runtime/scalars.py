"""Floor 4: numbers in linear memory, little-endian: their formats, and the errors for an offset or a value.

In: a memory, the format of a number and an offset. Out: the number, or the memory with it; an IndexError for what does not lie in
the memory, an OverflowError or a TypeError for a value that is no such number.
"""

from __future__ import annotations

import struct

from figwasp.lazy import importing

__all__ = ["FORMATS", "UNSIGNED", "outside", "pack", "unpack"]

UNSIGNED: Final = "; nothing is counted from the end, and an i32 of 2 GiB or more is a negative int: p & 0xFFFFFFFF is its offset"
"""Hint of a message about a negative offset."""
FORMATS: Final = {
    "i8": struct.Struct("<b"),
    "u8": struct.Struct("<B"),
    "i16": struct.Struct("<h"),
    "u16": struct.Struct("<H"),
    "i32": struct.Struct("<i"),
    "u32": struct.Struct("<I"),
    "i64": struct.Struct("<q"),
    "u64": struct.Struct("<Q"),
    "f32": struct.Struct("<f"),
    "f64": struct.Struct("<d"),
}
"""Name of a kind of number -> its format."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final, Protocol

    class _Memory(Protocol):
        """A buffer with a length."""

        def __buffer__(self, flags: int, /) -> memoryview:
            """Return the buffer."""

        def __len__(self) -> int: ...


def unpack(memory: _Memory, scalar: struct.Struct, offset: int) -> Any:
    """Read a number.

    Raises:
        IndexError: the number does not lie in the memory.
    """
    if offset >= 0:
        try:
            return scalar.unpack_from(memory, offset)[0]
        except (struct.error, OverflowError, IndexError):
            pass  # beyond the end
    raise outside(memory, offset, scalar.size)


def pack(memory: _Memory, scalar: struct.Struct, offset: int, value: float) -> None:
    """Write a number.

    Raises:
        IndexError: the number would not lie in the memory.
        OverflowError: the value is out of range.
        TypeError: the value is no number of this kind.
    """
    if offset >= 0:
        try:
            scalar.pack_into(memory, offset, value)
            return
        except (struct.error, OverflowError, IndexError):
            if offset + scalar.size <= len(memory):
                raise _misfit(scalar, value) from None
    raise outside(memory, offset, scalar.size)


def outside(memory: _Memory, offset: int, size: int) -> IndexError:
    """Return the error for bytes that do not lie in a memory."""
    hint = UNSIGNED if offset < 0 or size < 0 else ""
    return IndexError(f"{size} bytes at {offset} do not lie in a memory of {len(memory)} bytes{hint}")


def _misfit(scalar: struct.Struct, value: object) -> TypeError | OverflowError:
    """Return the error for a value that cannot be written as a scalar."""
    name = next(name for name, one in FORMATS.items() if one is scalar)
    with importing:
        from typing import SupportsFloat, SupportsIndex  # which takes long, and few want to be told

    wanted, kind = ("a float", SupportsFloat) if name[0] == "f" else ("an int", SupportsIndex)
    if isinstance(value, kind):
        return OverflowError(f"{value} is out of range for {name}")
    return TypeError(f"the value must be {wanted} ({name}), not {type(value).__name__}")
