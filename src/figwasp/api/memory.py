"""Floor 5: linear memories as Python objects (spec 4.2.8): a buffer, a sequence of bytes, typed scalars."""

from __future__ import annotations

import operator

from figwasp.lazy import imported, importing
from figwasp.runtime.arguments import address_type
from figwasp.runtime.limits import budget
from figwasp.runtime.objects import memory as runtime
from figwasp.runtime.platform import cpython, modes
from figwasp.runtime.scalars import FORMATS, UNSIGNED, outside, pack, unpack
from figwasp.runtime.start import native_runtime
from figwasp.runtime.stubs.interface import VIEW_OWNER, VIEW_RECORD, VIEW_SIDE
from figwasp.wasm.syntax import limits
from figwasp.wasm.syntax.types import I32, I64, Limits, MemoryType

_PAGES: Final = {1: 0, 65536: 16}
"""Bytes of a page -> log2 of them."""
_MAX_PAGES: Final = {
    (I32, 16): limits.MAX_PAGES,
    (I64, 16): limits.MAX_PAGES_64,
    (I32, 0): limits.MAX_BYTE_PAGES,
    (I64, 0): limits.MAX_BYTE_PAGES_64,
}
"""Type of addresses and log2 of the size of a page -> the most pages that a type may speak of."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Final, Protocol, SupportsIndex, overload

    from figwasp.runtime.config import Config
    from figwasp.runtime.native.owner import Owner

    class Buffer(Protocol):
        """Bytes of any kind."""

        def __buffer__(self, flags: int, /) -> memoryview:
            """Return the buffer."""


class Memory:
    """A linear memory.

    `memoryview(memory)` is writable, has the length of the moment, and stays valid when the memory grows. `memory[i]` is a byte,
    `memory[a:b]` a copy as bytes, which ends where the memory does. Objects for the same memory are equal.

    Offsets that do not lie in the memory are an IndexError, numbers that do not fit where they are written an OverflowError, values
    of a wrong type a TypeError, bytes of another length than the slice they are assigned to a ValueError.

    Nothing is counted from the end: negative offsets are an IndexError everywhere, in slices too. An i32 that a function returns is
    signed, so a pointer of 2 GiB or more is negative: `p & 0xFFFFFFFF` is its offset.

    >>> import figwasp
    >>> memory = figwasp.Memory(1, 10)
    >>> memory.write_str(8, "figwasp")
    7
    >>> memory.read_str(8, 3), memory.read(8, 3), memory[8], memory[8:11]
    ('fig', b'fig', 102, b'fig')
    >>> memory.write_u32(100, 2**32 - 1)
    >>> memory.read_i32(100)
    -1
    >>> memory.grow(2), memory.pages, len(memory)
    (1, 3, 196608)

    A module whose memory is declared as `(memory i64 1)`, of the memory64 proposal, imports one with addresses of 64 bits:

    >>> figwasp.Memory(1, 2**20, address="i64").type
    memory i64 1 1048576

    Args:
        minimum: size in pages.
        maximum: most pages that the memory may grow to. A memory with 64-bit addresses grows as far as there is room for it.
        shared: whether instances in several threads may import it at once (proposal threads); it has a maximum then.
        address: "i32" or "i64", the type of the addresses that code uses.
        page_size: bytes of a page: 65536, or 1, which needs the custom-page-sizes proposal where code declares it.

    Raises:
        ValueError: there can be no memory of such a type.
        LimitExceeded: there is no room for the minimum.
    """

    __slots__ = ()

    def __new__(
        cls,
        minimum: int,
        maximum: int | None = None,
        *,
        shared: bool = False,
        address: str = "i32",
        page_size: int = 65536,
    ) -> Memory:
        minimum, maximum = operator.index(minimum), None if maximum is None else operator.index(maximum)
        kind = address_type(address)
        page = _PAGES.get(page_size)
        if page is None:
            raise ValueError(f"pages have 1 or 65536 bytes, not {page_size!r}")
        most = _MAX_PAGES[kind, page]
        if not 0 <= minimum <= most or (maximum is not None and not minimum <= maximum <= most):
            raise ValueError(f"a memory has 0 to {most} pages, the maximum not below the minimum")
        if shared and maximum is None:
            raise ValueError("a shared memory must have a maximum")
        type_ = MemoryType(Limits(minimum, maximum), kind, shared=bool(shared), page=page)
        core = runtime.new_memory(native_runtime(), type_, modes.choose_mode())
        assert core.owner is not None
        return view(core, core.owner)

    @property
    def _core(self) -> runtime.Memory:
        """The memory instance of the runtime."""
        cpython.check_type(self, Memory)
        core: runtime.Memory = cpython.object_at(id(self) + VIEW_SIDE)
        return core

    @property
    def _owner(self) -> Owner:
        """The owner that keeps the memory alive."""
        cpython.check_type(self, Memory)
        owner: Owner = cpython.object_at(id(self) + VIEW_OWNER)
        return owner

    @property
    def pages(self) -> int:
        """The present size in pages."""
        return self._core.pages

    @property
    def page_size(self) -> int:
        """The bytes of a page: 65536 unless the memory has a page size of its own."""
        return 1 << self._core.type.page

    @property
    def type(self) -> MemoryType:
        """The type of the memory: the limits it was made with, the type of its addresses, the size of its pages."""
        return self._core.type

    def grow(self, delta: int) -> int:
        """Grow by `delta` pages and return the old size in pages.

        Raises:
            ValueError: `delta` is negative.
            MemoryError: the memory may not or cannot grow so far.
        """
        delta = operator.index(delta)
        if delta < 0:
            raise ValueError("a memory cannot shrink")
        old = self._core.grow(delta)
        if old < 0:
            raise MemoryError(f"cannot grow a memory of {_pages(self.pages)} by {delta}")
        return old

    def read(self, offset: int, size: int) -> bytes:
        """Copy `size` bytes from `offset`.

        Raises:
            IndexError: the bytes do not lie in the memory.
        """
        if offset >= 0 <= size:
            data = memoryview(self)[offset : offset + size].tobytes()
            if len(data) == size and (size or offset <= len(self)):
                return data
        raise outside(self, offset, size)

    def write(self, offset: int, data: Buffer) -> None:
        """Copy bytes, or the contents of any other buffer, to `offset`.

        Raises:
            IndexError: the bytes do not fit.
        """
        source = data if type(data) is bytes else _flat(data)
        size = len(source)
        if offset >= 0:
            place = memoryview(self)[offset : offset + size]
            if place.nbytes == size and (size or offset <= len(self)):
                place[:] = source
                return
        raise outside(self, offset, size)

    def read_str(self, offset: int, size: int, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Decode the string of `size` bytes at `offset`.

        Raises:
            IndexError: the string does not lie in the memory.
            UnicodeDecodeError: the bytes are no text in that encoding.
        """
        return self.read(offset, size).decode(encoding, errors)

    def read_cstr(self, offset: int, limit: int | None = None, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Decode the string at `offset` that ends before a NUL byte.

        Args:
            offset: of its first byte.
            limit: most bytes to look at; None for all to the end of the memory.
            encoding, errors: as for `bytes.decode`.

        Raises:
            IndexError: there is no NUL.
            UnicodeDecodeError: the bytes are no text in that encoding.
        """
        end = len(self) if limit is None else min(offset + limit, len(self))
        if offset < 0:
            raise outside(self, offset, 1)
        start = offset
        piece = 64
        while start < end:
            found = self.read(start, min(piece, end - start)).find(0)
            if found >= 0:
                return self.read_str(offset, start + found - offset, encoding, errors)
            start += piece
            piece = min(2 * piece, 1 << 16)
        raise IndexError(f"no NUL byte from {offset} to {end} in a memory of {len(self)} bytes")

    def write_str(self, offset: int, text: str, encoding: str = "utf-8", errors: str = "strict") -> int:
        """Encode a string to `offset`, without a NUL; return the number of bytes written.

        Raises:
            IndexError: the string does not fit.
            UnicodeEncodeError: the encoding cannot express the string.
        """
        data = str.encode(text, encoding, errors)
        self.write(offset, data)
        return len(data)

    def as_array(self, dtype: Any, offset: int = 0, count: int | tuple[int, ...] | None = None) -> Any:
        """Return a NumPy array over a part of the memory: no copy, writable, and valid also after the memory has grown.

        Args:
            dtype: of the elements, as NumPy understands it.
            offset: of the first byte.
            count: number of elements, or the shape of the array; None for as many elements as there is room for.

        Raises:
            IndexError: the elements do not lie in the memory.
            ImportError: NumPy is not installed.
        """
        try:
            numpy: Any = imported("numpy")
        except ImportError as error:
            raise ImportError("Memory.as_array() needs NumPy, which is not installed (pip install numpy)") from error
        with importing:
            from math import prod

        kind = numpy.dtype(dtype)
        room = len(self) - offset
        size: int | None
        if isinstance(count, tuple):
            size = -1 if any(length < 0 for length in count) else prod(count)
        else:
            size = max(room, 0) // kind.itemsize if count is None and kind.itemsize else count
        if offset < 0 or size is None or size < 0 or size * kind.itemsize > room:
            raise outside(self, offset, (size or 0) * kind.itemsize)
        made = numpy.frombuffer(self, kind, size, offset) if size else numpy.empty(0, kind)
        return made.reshape(count) if isinstance(count, tuple) else made

    def read_i8(self, offset: int) -> int:
        """Read an 8-bit signed integer, little-endian."""
        value: int = unpack(self, FORMATS["i8"], offset)
        return value

    def write_i8(self, offset: int, value: int) -> None:
        """Write an 8-bit signed integer, little-endian."""
        pack(self, FORMATS["i8"], offset, value)

    def read_u8(self, offset: int) -> int:
        """Read an 8-bit unsigned integer, little-endian."""
        value: int = unpack(self, FORMATS["u8"], offset)
        return value

    def write_u8(self, offset: int, value: int) -> None:
        """Write an 8-bit unsigned integer, little-endian."""
        pack(self, FORMATS["u8"], offset, value)

    def read_i16(self, offset: int) -> int:
        """Read a 16-bit signed integer, little-endian."""
        value: int = unpack(self, FORMATS["i16"], offset)
        return value

    def write_i16(self, offset: int, value: int) -> None:
        """Write a 16-bit signed integer, little-endian."""
        pack(self, FORMATS["i16"], offset, value)

    def read_u16(self, offset: int) -> int:
        """Read a 16-bit unsigned integer, little-endian."""
        value: int = unpack(self, FORMATS["u16"], offset)
        return value

    def write_u16(self, offset: int, value: int) -> None:
        """Write a 16-bit unsigned integer, little-endian."""
        pack(self, FORMATS["u16"], offset, value)

    def read_i32(self, offset: int) -> int:
        """Read a 32-bit signed integer, little-endian."""
        value: int = unpack(self, FORMATS["i32"], offset)
        return value

    def write_i32(self, offset: int, value: int) -> None:
        """Write a 32-bit signed integer, little-endian."""
        pack(self, FORMATS["i32"], offset, value)

    def read_u32(self, offset: int) -> int:
        """Read a 32-bit unsigned integer, little-endian."""
        value: int = unpack(self, FORMATS["u32"], offset)
        return value

    def write_u32(self, offset: int, value: int) -> None:
        """Write a 32-bit unsigned integer, little-endian."""
        pack(self, FORMATS["u32"], offset, value)

    def read_i64(self, offset: int) -> int:
        """Read a 64-bit signed integer, little-endian."""
        value: int = unpack(self, FORMATS["i64"], offset)
        return value

    def write_i64(self, offset: int, value: int) -> None:
        """Write a 64-bit signed integer, little-endian."""
        pack(self, FORMATS["i64"], offset, value)

    def read_u64(self, offset: int) -> int:
        """Read a 64-bit unsigned integer, little-endian."""
        value: int = unpack(self, FORMATS["u64"], offset)
        return value

    def write_u64(self, offset: int, value: int) -> None:
        """Write a 64-bit unsigned integer, little-endian."""
        pack(self, FORMATS["u64"], offset, value)

    def read_f32(self, offset: int) -> float:
        """Read a 32-bit float, little-endian."""
        value: float = unpack(self, FORMATS["f32"], offset)
        return value

    def write_f32(self, offset: int, value: float) -> None:
        """Write a 32-bit float, little-endian."""
        pack(self, FORMATS["f32"], offset, value)

    def read_f64(self, offset: int) -> float:
        """Read a 64-bit float, little-endian."""
        value: float = unpack(self, FORMATS["f64"], offset)
        return value

    def write_f64(self, offset: int, value: float) -> None:
        """Write a 64-bit float, little-endian."""
        pack(self, FORMATS["f64"], offset, value)

    def __len__(self) -> int:
        return memoryview(self).nbytes

    def __iter__(self) -> Iterator[int]:
        return iter(memoryview(self))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Memory) and self._core is other._core

    def __hash__(self) -> int:
        return hash(self._core)

    if TYPE_CHECKING:

        @overload
        def __getitem__(self, key: SupportsIndex) -> int: ...
        @overload
        def __getitem__(self, key: slice) -> bytes: ...

    def __getitem__(self, key: SupportsIndex | slice) -> int | bytes:
        if isinstance(key, slice):
            return memoryview(self)[_from_start(key)].tobytes()
        value: int = unpack(self, FORMATS["u8"], operator.index(key))
        return value

    def __setitem__(self, key: SupportsIndex | slice, value: Any) -> None:
        if isinstance(key, slice):
            memoryview(self)[_from_start(key)] = value
        else:
            pack(self, FORMATS["u8"], operator.index(key), value)

    if TYPE_CHECKING:

        def __buffer__(self, flags: int, /) -> memoryview:
            """Return the buffer; the native type does so on every version of Python."""

    def __repr__(self) -> str:
        return f"<figwasp.Memory of {_pages(self.pages)}{', shared' if self.type.shared else ''}>"


def add_window(memory: Memory, window: runtime.Window) -> None:
    """Have a window on a memory, which keeps a buffer between uses, closed when the memory is to become smaller."""
    memory._core.add_window(window)


def shared_memory(type_: MemoryType, config: Config) -> Memory:
    """Make the memory for an import of a shared one, within what an engine lets an instance have.

    Raises:
        LimitExceeded: the memory begins with more.
    """
    core = runtime.new_memory(native_runtime(), type_, config.mode, budget(config.max_memory, "max_memory"))
    assert core.owner is not None
    return view(core, core.owner)


def _pages(count: int) -> str:
    return f"{count} page{'s' * (count != 1)}"


def _from_start(key: slice) -> slice:
    """Return a slice of a memory, whose ends may not be counted from the end."""
    return slice(_end("start", key.start), _end("stop", key.stop), key.step)


def _end(name: str, end: SupportsIndex | None) -> int | None:
    value = None if end is None else operator.index(end)
    if value is not None and value < 0:
        raise IndexError(f"a slice of a memory cannot {name} at {value}{UNSIGNED}")
    return value


def _flat(data: Buffer) -> memoryview | bytes:
    """Return a buffer as one of bytes."""
    view = memoryview(data)
    return view.cast("B") if view.nbytes and view.c_contiguous else view.tobytes()


def view(core: runtime.Memory, owner: Owner) -> Memory:
    """Return the Python object for a memory instance that `owner` keeps, unless it has an owner of its own."""
    type_ = core.native.types.get(Memory, "figwasp.Memory", getbuffer="memory.getbuffer", releasebuffer="memory.releasebuffer")
    made: Any = cpython.new_object(type_)
    cpython.set_field(made, VIEW_RECORD, core.record)
    cpython.set_reference(id(made) + VIEW_OWNER, owner if core.owner is None else core.owner)
    cpython.set_reference(id(made) + VIEW_SIDE, core)
    memory: Memory = made
    return memory
