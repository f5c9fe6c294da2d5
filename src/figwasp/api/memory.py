"""Floor 5: linear memories as Python objects (spec 4.2.8): a buffer, a sequence of bytes, typed scalars."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final, SupportsIndex, overload

from figwasp import layout
from figwasp.runtime import containers as runtime
from figwasp.runtime import cpython, linear, os, process
from figwasp.runtime.owner import Owner, make_owner
from figwasp.runtime.stubs_object import VIEW_OWNER, VIEW_RECORD, VIEW_SIDE, VIEW_SIZE, getbuffer
from figwasp.wasm.types import Limits, MemoryType

_FORMATS: Final = {
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


class Memory:
    """A linear memory.

    `memoryview(memory)` is writable, has the length of the moment, and stays valid when the memory grows. `memory[i]` is a byte,
    `memory[a:b]` a copy as bytes.

    Args:
        minimum: size in pages of 64 KiB.
        maximum: most pages it may grow to.
    """

    __slots__ = ()

    def __new__(cls, minimum: int, maximum: int | None = None) -> Memory:
        if not 0 <= minimum <= linear.MAX_PAGES or (maximum is not None and not minimum <= maximum <= linear.MAX_PAGES):
            raise ValueError(f"a memory has 0 to {linear.MAX_PAGES} pages, the maximum not below the minimum")
        core = runtime.Memory(MemoryType(Limits(minimum, maximum)), linear.choose_mode())
        core.owner = make_owner(core.record, linear.releaser(core.record))
        return view(core, core.owner)

    @property
    def core(self) -> runtime.Memory:
        """The memory instance (runtime only)."""
        core: runtime.Memory = cpython.object_at(id(self) + VIEW_SIDE)
        return core

    @property
    def owner(self) -> Owner:
        """What keeps it (runtime only)."""
        owner: Owner = cpython.object_at(id(self) + VIEW_OWNER)
        return owner

    @property
    def pages(self) -> int:
        """The present size in pages of 64 KiB."""
        return len(self) // layout.PAGE_SIZE

    @property
    def type(self) -> MemoryType:
        """Its type: the limits it was made with."""
        return self.core.type

    def grow(self, delta: int) -> int:
        """Grow by `delta` pages and return the old size in pages.

        Raises:
            ValueError: `delta` is negative.
            MemoryError: it may not or cannot grow so far.
        """
        if delta < 0:
            raise ValueError("a memory cannot shrink")
        old = self.core.grow(delta)
        if old < 0:
            raise MemoryError(f"cannot grow a memory of {self.pages} pages by {delta}")
        return old

    def read(self, offset: int, size: int) -> bytes:
        """Copy `size` bytes from `offset`.

        Raises:
            IndexError: they do not lie in the memory.
        """
        return os.read(self._address(offset, size), size)

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Copy bytes to `offset`.

        Raises:
            IndexError: they do not fit.
        """
        source = memoryview(data).cast("B") if not isinstance(data, bytes) else data
        os.write(self._address(offset, len(source)), bytes(source))

    def read_i8(self, offset: int) -> int:
        """Read an 8-bit signed integer, little-endian."""
        value: int = self._unpack(_FORMATS["i8"], offset)
        return value

    def write_i8(self, offset: int, value: int) -> None:
        """Write an 8-bit signed integer, little-endian."""
        self._pack(_FORMATS["i8"], offset, value)

    def read_u8(self, offset: int) -> int:
        """Read an 8-bit unsigned integer, little-endian."""
        value: int = self._unpack(_FORMATS["u8"], offset)
        return value

    def write_u8(self, offset: int, value: int) -> None:
        """Write an 8-bit unsigned integer, little-endian."""
        self._pack(_FORMATS["u8"], offset, value)

    def read_i16(self, offset: int) -> int:
        """Read a 16-bit signed integer, little-endian."""
        value: int = self._unpack(_FORMATS["i16"], offset)
        return value

    def write_i16(self, offset: int, value: int) -> None:
        """Write a 16-bit signed integer, little-endian."""
        self._pack(_FORMATS["i16"], offset, value)

    def read_u16(self, offset: int) -> int:
        """Read a 16-bit unsigned integer, little-endian."""
        value: int = self._unpack(_FORMATS["u16"], offset)
        return value

    def write_u16(self, offset: int, value: int) -> None:
        """Write a 16-bit unsigned integer, little-endian."""
        self._pack(_FORMATS["u16"], offset, value)

    def read_i32(self, offset: int) -> int:
        """Read a 32-bit signed integer, little-endian."""
        value: int = self._unpack(_FORMATS["i32"], offset)
        return value

    def write_i32(self, offset: int, value: int) -> None:
        """Write a 32-bit signed integer, little-endian."""
        self._pack(_FORMATS["i32"], offset, value)

    def read_u32(self, offset: int) -> int:
        """Read a 32-bit unsigned integer, little-endian."""
        value: int = self._unpack(_FORMATS["u32"], offset)
        return value

    def write_u32(self, offset: int, value: int) -> None:
        """Write a 32-bit unsigned integer, little-endian."""
        self._pack(_FORMATS["u32"], offset, value)

    def read_i64(self, offset: int) -> int:
        """Read a 64-bit signed integer, little-endian."""
        value: int = self._unpack(_FORMATS["i64"], offset)
        return value

    def write_i64(self, offset: int, value: int) -> None:
        """Write a 64-bit signed integer, little-endian."""
        self._pack(_FORMATS["i64"], offset, value)

    def read_u64(self, offset: int) -> int:
        """Read a 64-bit unsigned integer, little-endian."""
        value: int = self._unpack(_FORMATS["u64"], offset)
        return value

    def write_u64(self, offset: int, value: int) -> None:
        """Write a 64-bit unsigned integer, little-endian."""
        self._pack(_FORMATS["u64"], offset, value)

    def read_f32(self, offset: int) -> float:
        """Read a 32-bit float, little-endian."""
        value: float = self._unpack(_FORMATS["f32"], offset)
        return value

    def write_f32(self, offset: int, value: float) -> None:
        """Write a 32-bit float, little-endian."""
        self._pack(_FORMATS["f32"], offset, value)

    def read_f64(self, offset: int) -> float:
        """Read a 64-bit float, little-endian."""
        value: float = self._unpack(_FORMATS["f64"], offset)
        return value

    def write_f64(self, offset: int, value: float) -> None:
        """Write a 64-bit float, little-endian."""
        self._pack(_FORMATS["f64"], offset, value)

    def _unpack(self, scalar: struct.Struct, offset: int) -> Any:
        if offset >= 0:
            try:
                return scalar.unpack_from(self, offset)[0]
            except (struct.error, OverflowError):
                pass  # beyond the end
        raise self._outside(offset, scalar.size)

    def _pack(self, scalar: struct.Struct, offset: int, value: float) -> None:
        if offset >= 0:
            try:
                scalar.pack_into(self, offset, value)
                return
            except (struct.error, OverflowError):
                if offset + scalar.size <= len(self):
                    raise  # it is the value
        raise self._outside(offset, scalar.size)

    def _outside(self, offset: int, size: int) -> IndexError:
        return IndexError(f"{size} bytes at {offset} do not lie in a memory of {len(self)} bytes")

    def _address(self, offset: int, size: int) -> int:
        if offset < 0 or size < 0 or offset + size > len(self):
            raise self._outside(offset, size)
        return os.read_u64(cpython.get_field(self, VIEW_RECORD) + layout.MEM_BASE) + offset

    def __len__(self) -> int:
        return os.read_u64(cpython.get_field(self, VIEW_RECORD) + layout.MEM_LENGTH)

    @overload
    def __getitem__(self, key: SupportsIndex) -> int: ...
    @overload
    def __getitem__(self, key: slice) -> bytes: ...
    def __getitem__(self, key: SupportsIndex | slice) -> int | bytes:
        found: Any = memoryview(self)[key]
        return bytes(found) if isinstance(found, memoryview) else found

    def __setitem__(self, key: SupportsIndex | slice, value: Any) -> None:
        memoryview(self)[key] = value

    if TYPE_CHECKING:

        def __buffer__(self, flags: int, /) -> memoryview:
            """Give the buffer: the native type does, on every version of Python."""

    def __repr__(self) -> str:
        return f"<figwasp.Memory of {self.pages} pages>"


_native: type | None = None


def view(core: runtime.Memory, owner: Owner) -> Memory:
    """Return the Python object for a memory instance that `owner` keeps."""
    global _native
    if _native is None:
        machine = process.get()
        traverse, clear, dealloc = machine.object_functions([VIEW_OWNER, VIEW_SIDE], [])
        _native = cpython.make_type(
            "figwasp.Memory",
            VIEW_SIZE,
            Memory,
            traverse=traverse,
            clear=clear,
            dealloc=dealloc,
            getbuffer=machine.compile(getbuffer()),
        )
    made: Any = cpython.new_object(_native)
    cpython.set_field(made, VIEW_RECORD, core.record)
    cpython.set_reference(id(made) + VIEW_OWNER, owner)
    cpython.set_reference(id(made) + VIEW_SIDE, core)
    memory: Memory = made
    return memory
