"""Floor 6: the guest's linear memory as the host functions of WASI see it.

In: pointers and lengths as wasm passes them, signed Python ints of 32 bits. Out: slices of one memoryview, and offsets that are
known to lie inside it. A range that does not lie in memory raises `Fail(FAULT)` before anything has been done.

A memory's base never moves, so one view is kept and made anew when an access is beyond its end. It is released when the memory is
to become smaller (`api.memory.add_window`), which happens between calls.
"""

from __future__ import annotations

from figwasp.api.memory import Memory, add_window
from figwasp.wasi.abi import FAULT, INVAL, IOVEC, MASK32, MAX_PATH, MAX_VECTORS, NAMETOOLONG, U32, U64, Fail

TYPE_CHECKING = False
if TYPE_CHECKING:
    from struct import Struct
    from typing import Final, Protocol

    class Buffer(Protocol):
        """A buffer that `memoryview` takes."""

        def __buffer__(self, flags: int, /) -> memoryview: ...

_NOTHING: Final = memoryview(b"")
_unpack_iovec: Final = IOVEC.unpack_from


class GuestMemory:
    """A bounds-checked window on the memory of one instance.

    Attributes:
        view: the bytes known so far.
        size: the number of these bytes.
    """

    __slots__ = ("__weakref__", "_memory", "size", "view")

    def __init__(self, memory: Buffer) -> None:
        self._memory = memory
        self._renew()
        if isinstance(memory, Memory):
            add_window(memory, self)

    def close(self) -> None:
        """Let go of the bytes until the next access."""
        self.size = 0
        self.view = _NOTHING

    def _renew(self) -> None:
        view = memoryview(self._memory)
        self.view = view if view.format == "B" else view.cast("B")
        self.size = len(self.view)

    def span(self, pointer: int, size: int) -> int:
        """Return the offset of `size` bytes at a pointer, all of which exist. `view` may be renewed: read it afterwards.

        Raises:
            Fail: FAULT.
        """
        start = pointer & MASK32
        if start + size > self.size:
            self._renew()
            if start + size > self.size:
                raise Fail(FAULT)
        return start

    def slice(self, pointer: int, length: int) -> memoryview:
        """Return the bytes themselves; `length` may be signed."""
        size = length & MASK32
        start = self.span(pointer, size)
        return self.view[start : start + size]

    def path(self, pointer: int, length: int) -> str:
        """Return a path; bytes that are no UTF-8 are surrogates.

        Raises:
            Fail: FAULT; NAMETOOLONG; INVAL for a path with a NUL in it, which the host would cut there.
        """
        text = self.slice(pointer, length)
        if len(text) > MAX_PATH:
            raise Fail(NAMETOOLONG)
        path = str(text, "utf-8", "surrogateescape")
        if "\0" in path:
            raise Fail(INVAL)
        return path

    def vectors(self, pointer: int, count: int) -> list[memoryview]:
        """Return the buffers of an array of iovec, without the empty ones and no more than the host takes at once."""
        if count == 1:  # as nearly always
            start = pointer & MASK32
            if start + 8 <= self.size:
                base, size = _unpack_iovec(self.view, start)
                if 0 < size <= self.size - base:
                    return [self.view[base : base + size]]
        number = count & MASK32
        start = self.span(pointer, 8 * number)
        end = start + 8 * min(number, MAX_VECTORS)
        buffers = []
        for base, size in IOVEC.iter_unpack(self.view[start:end]):
            if base + size > self.size:
                self.span(base, size)
            if size:
                buffers.append(self.view[base : base + size])
        return buffers

    def store_u32(self, pointer: int, value: int) -> None:
        """Write a 32-bit result."""
        start = self.span(pointer, 4)
        U32.pack_into(self.view, start, value)

    def store_u64(self, pointer: int, value: int) -> None:
        """Write a 64-bit result."""
        start = self.span(pointer, 8)
        U64.pack_into(self.view, start, value)

    def store(self, layout: Struct, pointer: int, *fields: int) -> None:
        """Write a struct."""
        start = self.span(pointer, layout.size)
        layout.pack_into(self.view, start, *fields)
