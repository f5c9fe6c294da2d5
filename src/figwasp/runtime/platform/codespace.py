"""Floor 4: executable memory. In: `Code` and where its relocations lead. Out: addresses.

Theory of operation. One reserved range of address space holds everything: calls reach by a 32-bit distance, and "is this pc
ours" is one comparison. It is handed out in chunks. A chunk of code is one memory object mapped twice, executable inside the
range and writable elsewhere, so that no page is ever both. A chunk of data (cells) is private and never executable. Chunks
belong to a region (a module, or the stubs); when the module goes, its chunks go to the next one that asks.

After a fork the two processes share the memory objects of the code chunks that existed: both stop writing to them and start
new chunks, so neither can change the other's code.
"""

from __future__ import annotations

import os as _os
from collections.abc import Callable
from typing import Final

from figwasp.codegen.code import RELOC_BUILTIN, RELOC_CELL, Code
from figwasp.codegen.isa import host
from figwasp.errors import LimitExceeded, Unsupported
from figwasp.runtime.platform import linux

RANGE_SIZE: Final = 1 << 30
_CHUNK: Final = 1 << 16
_ALIGNMENT: Final = 16


class _Chunk:
    """A piece of the range.

    Attributes:
        start: address in the range.
        size: bytes.
        writable: address of the writable view; the same as start for data; 0 where code is written before it is protected.
        used: bytes handed out.
        frozen: True after a fork: never to be written again.
    """

    __slots__ = ("frozen", "size", "start", "used", "writable")

    def __init__(self, start: int, size: int, writable: int) -> None:
        self.start = start
        self.size = size
        self.writable = writable
        self.used = 0
        self.frozen = False


def _take_free(chunks: list[_Chunk], size: int) -> _Chunk | None:
    """Take a chunk of at least `size` bytes out of a list.

    Other threads, and finalizers in this one, may take from the list meanwhile: what `pop` gave belongs to nobody else.
    """
    too_small = []
    found = None
    while found is None:
        try:
            chunk = chunks.pop()
        except IndexError:
            break
        if chunk.frozen:
            continue
        if chunk.size >= size:
            found = chunk
        else:
            too_small.append(chunk)
    chunks.extend(too_small)
    return found


class Space:
    """The reserved range.

    Attributes:
        start: its lowest address.
    """

    def __init__(self) -> None:
        self.start = linux.reserve(RANGE_SIZE)
        self._next = self.start
        self._free_code: list[_Chunk] = []
        self._free_data: list[_Chunk] = []
        self._code_chunks: list[_Chunk] = []
        _os.register_at_fork(before=self._freeze)

    def _freeze(self) -> None:
        for chunk in self._code_chunks:
            chunk.frozen = True

    def _take_addresses(self, size: int) -> int:
        start = self._next
        if start + size > self.start + RANGE_SIZE:
            raise LimitExceeded("the address range for compiled code (1 GiB) is used up")
        self._next = start + size
        return start

    def code_chunk(self, size: int) -> _Chunk:
        """Return a chunk for at least `size` bytes of code."""
        free = _take_free(self._free_code, size)
        if free is not None:
            free.used = 0
            return free
        size = (size + _CHUNK - 1) & -_CHUNK
        start = self._take_addresses(size)
        chunk = _Chunk(start, size, self._writable_view(start, size))
        self._code_chunks.append(chunk)
        return chunk

    def _writable_view(self, start: int, size: int) -> int:
        try:
            return linux.dual_map(start, size)
        except OSError as error:
            try:
                linux.map_then_protect(start, host().filler)
            except OSError as last:
                raise Unsupported(f"no executable memory: {error}; {last}") from last
            return 0

    def data_chunk(self, size: int) -> _Chunk:
        """Return a chunk of zeroed private data of at least `size` bytes.

        Raises:
            LimitExceeded: there is no room for it.
        """
        free = _take_free(self._free_data, size)
        if free is not None:
            linux.discard(free.start, free.size)
            return free
        size = (size + linux.PAGE - 1) & -linux.PAGE
        start = self._take_addresses(size)
        try:
            linux.commit_in(start, size)
        except OSError as error:
            raise LimitExceeded(f"no memory for the cells of a module: {error}") from None
        return _Chunk(start, size, start)

    def give_back(self, code: list[_Chunk], data: list[_Chunk]) -> None:
        """Take the chunks of a region that nobody refers to any more."""
        self._free_code.extend(chunk for chunk in code if not chunk.frozen)
        self._free_data.extend(data)


class Region:
    """Code and cells with one lifetime.

    Attributes:
        cells: address of the cells, 8 bytes per function.
    """

    __slots__ = ("_code", "_data", "_space", "cells")

    def __init__(self, space: Space, num_cells: int) -> None:
        self._space = space
        self._code: list[_Chunk] = []
        self._data: list[_Chunk] = []
        self.cells = 0
        if num_cells:
            chunk = space.data_chunk(8 * num_cells)
            self._data.append(chunk)
            self.cells = chunk.start

    def place(self, size: int) -> int:
        """Return the address where `size` bytes of code will stand."""
        chunk = self._code[-1] if self._code else None
        if chunk is None or chunk.frozen or chunk.used + size > chunk.size:
            # Doubling keeps the number of mappings small for large modules.
            chunk = self._space.code_chunk(max(size, min(_CHUNK << len(self._code), 1 << 22)))
            self._code.append(chunk)
        address = chunk.start + chunk.used
        alignment = _ALIGNMENT if chunk.writable else linux.PAGE
        chunk.used = (chunk.used + size + alignment - 1) & -alignment
        return address

    def write(self, address: int, data: bytes) -> None:
        """Put code at an address that `place` gave: through the writable view, or by writing before protecting."""
        # Seldom not the last: when another thread, or a finalizer, compiled a function since.
        chunk = next(chunk for chunk in reversed(self._code) if chunk.start <= address < chunk.start + chunk.size)
        if chunk.writable:
            linux.write(chunk.writable + address - chunk.start, data)
        else:
            linux.map_then_protect(address, data)
        host().synchronize(address, len(data))

    def release(self) -> None:
        """Give everything back. Nobody may refer to it."""
        self._space.give_back(self._code, self._data)
        self._code = []
        self._data = []


def install(region: Region, code: Code, builtin: Callable[[int], int], stub: Callable[[int], int]) -> int:
    """Relocate code and put it in place.

    Args:
        region: where it belongs.
        code: what to install.
        builtin: number -> address of the cell that leads to a builtin.
        stub: `code.STUB_*` -> its address.

    Returns:
        Its address.
    """
    address = region.place(len(code.data))
    data = bytearray(code.data)
    apply = host().apply
    for offset, field, kind, target in code.relocs:
        if kind == RELOC_CELL:
            goal = region.cells + 8 * target
        elif kind == RELOC_BUILTIN:
            goal = builtin(target)
        else:
            goal = stub(target)
        apply(data, offset, field, address, goal)
    region.write(address, bytes(data))
    return address
