"""Floor 4: executable memory. In: `Code` and where its relocations lead. Out: addresses.

Theory of operation. One reserved range of address space holds everything: calls reach by a 32-bit distance, and "is this pc
ours" is one comparison. It is handed out in chunks. A chunk of code is one memory object mapped twice, executable inside the
range and writable elsewhere, so that no page is ever both. A chunk of data (cells) is private and never executable. Chunks
belong to a region (a module, or the stubs); when the module goes, its chunks go to the next one that asks.

A map has a byte for every 16 bytes of the range, by which walks over frames find what they need to know of code
(`codegen.unwind`). It is written after the code and before the address of that is given to anybody.

After a fork the two processes share the memory objects of the code chunks that existed: both stop writing to them and start
new chunks, so neither can change the other's code.
"""

from __future__ import annotations

import os as _os

from figwasp.codegen import unwind
from figwasp.codegen.code import RELOC_BUILTIN, RELOC_CELL
from figwasp.codegen.isa import host
from figwasp.errors import LimitExceeded, Unsupported
from figwasp.runtime.once import move_all
from figwasp.runtime.platform import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from figwasp.codegen.code import Code

RANGE_SIZE: Final = 1 << 30
_CHUNK: Final = 1 << 16
_ALIGNMENT: Final = unwind.GRANULE


class _Chunk:
    """A part of the reserved range.

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


class Space:
    """The reserved range.

    Another thread may come between any two lines, and so may an exception. Whoever takes a chunk out of a list of free ones, or
    enters it at an address first, is its only owner: each of these is one operation of a list or a dict. An exception afterwards
    loses the chunk, but gives it to nobody twice.

    Attributes:
        start: its lowest address.
        map: address of the map of the range; only what stands for chunks of code can be accessed.
    """

    def __init__(self) -> None:
        self.start = linux.reserve(RANGE_SIZE)
        self.map = linux.reserve(RANGE_SIZE >> unwind.GRANULE_BITS)
        self._chunks: dict[int, _Chunk] = {}
        self._end = self.start  # where some chunk ends, seldom not the last
        self._free_code: list[_Chunk] = []
        self._free_data: list[_Chunk] = []
        self._code_chunks: list[_Chunk] = []
        _os.register_at_fork(before=self._freeze)

    def _freeze(self) -> None:
        for chunk in self._code_chunks:
            chunk.frozen = True

    def _new_chunk(self, size: int) -> _Chunk:
        """Take addresses that have never been used."""
        chunk = _Chunk(self._end, size, 0)
        while chunk.start + size <= self.start + RANGE_SIZE:
            holder = self._chunks.setdefault(chunk.start, chunk)
            if holder is chunk:
                self._end = chunk.start + size
                return chunk
            chunk.start = holder.start + holder.size
        raise LimitExceeded("the address range for compiled code (1 GiB) is used up")

    def _take_free(self, free: list[_Chunk], size: int) -> _Chunk | None:
        """Take the smallest free chunk that has `size` bytes, and split off what is more than that."""
        for chunk in sorted(free, key=_size_of):
            if chunk.size >= size:
                try:
                    free.remove(chunk)
                except ValueError:  # another thread was faster
                    continue
                if not chunk.frozen:
                    self._split(free, chunk, size)
                    return chunk
        return None

    def _split(self, free: list[_Chunk], chunk: _Chunk, size: int) -> None:
        """Make what a chunk has beyond `size` bytes a free chunk of its own."""
        if chunk.size > size:
            rest = _Chunk(chunk.start + size, chunk.size - size, chunk.writable and chunk.writable + size)
            if free is self._free_code:
                self._code_chunks.append(rest)
                rest.frozen = chunk.frozen  # by a fork before the line above
            self._chunks[rest.start] = rest
            chunk.size = size
            free.append(rest)

    def code_chunk(self, size: int, enough: int) -> _Chunk:
        """Return a chunk for code.

        Args:
            size: bytes that it should have.
            enough: bytes that suffice where the range is used up.

        Raises:
            LimitExceeded: there is no room for it.
            Unsupported: the system allows no executable memory.
        """
        size = (size + _CHUNK - 1) & -_CHUNK
        chunk = self._take_free(self._free_code, size)
        if chunk is None:
            try:
                chunk = self._new_chunk(size)
            except LimitExceeded:
                chunk = self._take_free(self._free_code, (enough + _CHUNK - 1) & -_CHUNK)
                if chunk is None:
                    raise
            else:
                self._code_chunks.append(chunk)
                self._commit_map(chunk.start, size)
                chunk.writable = self._writable_view(chunk.start, size)
        chunk.used = 0
        return chunk

    def _commit_map(self, start: int, size: int) -> None:
        first = self.map_place(start) & -linux.PAGE
        try:
            linux.commit(first, (self.map_place(start + size) + linux.PAGE - 1 & -linux.PAGE) - first)
        except OSError as error:
            raise LimitExceeded(f"no memory for the map of code: {error}") from None

    def map_place(self, address: int) -> int:
        """Return where the map tells of an address in the range."""
        return self.map + (address - self.start >> unwind.GRANULE_BITS)

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
        size = (size + linux.PAGE - 1) & -linux.PAGE
        free = self._take_free(self._free_data, size)
        if free is not None:
            linux.discard(free.start, free.size)
            return free
        chunk = self._new_chunk(size)
        try:
            linux.commit_in(chunk.start, size)
        except OSError as error:
            raise LimitExceeded(f"no memory for the cells of a module: {error}") from None
        chunk.writable = chunk.start
        return chunk

    def give_back(self, code: list[_Chunk], data: list[_Chunk]) -> None:
        """Take the chunks of a region that nobody refers to any more out of its lists."""
        move_all(code, self._free_code)
        move_all(data, self._free_data)


def _size_of(chunk: _Chunk) -> int:
    return chunk.size


class Region:
    """Code and cells with one lifetime.

    Attributes:
        cells: address of the cells, 8 bytes per function.
    """

    __slots__ = ("_code", "_data", "_open", "_space", "cells")

    def __init__(self, space: Space, num_cells: int) -> None:
        self._space = space
        self._code: list[_Chunk] = []
        self._open: list[_Chunk] = []  # with room left, except while somebody takes of it
        self._data: list[_Chunk] = []
        self.cells = 0
        if num_cells:
            self._data.append(space.data_chunk(8 * num_cells))
            self.cells = self._data[0].start

    def place(self, size: int) -> int:
        """Return the address where `size` bytes of code will stand."""
        chunk = self._take_open(size)
        if chunk is None:
            # Doubling keeps the number of mappings small for large modules.
            wanted = max(size, min(_CHUNK << len(self._code), 1 << 22))
            self._code.append(chunk := self._space.code_chunk(wanted, size))
        address = chunk.start + chunk.used
        alignment = _ALIGNMENT if chunk.writable else linux.PAGE
        chunk.used = (chunk.used + size + alignment - 1) & -alignment
        self._open.append(chunk)
        return address

    def _take_open(self, size: int) -> _Chunk | None:
        """Take a chunk with room for `size` bytes: nobody else places code there until it is put back."""
        while self._open:
            try:
                chunk = self._open.pop()
            except IndexError:  # another thread was faster
                break
            if not chunk.frozen and chunk.used + size <= chunk.size:
                return chunk
        return None

    def write(self, address: int, data: bytes) -> None:
        """Put code at an address that `place` gave: through the writable view, or by writing before protecting."""
        # Seldom not the last: when another thread, or a finalizer, compiled a function since.
        chunk = next(chunk for chunk in reversed(self._code) if chunk.start <= address < chunk.start + chunk.size)
        if chunk.writable:
            linux.write(chunk.writable + address - chunk.start, data)
        else:
            linux.map_then_protect(address, data)
        host().synchronize(address, len(data))

    def write_described(self, address: int, data: bytes, places: bytes) -> None:
        """Put code with records at an address that `place` gave, and write what the map says of it (`unwind.describe`)."""
        self.write(address, data)
        linux.write(self._space.map_place(address), places)

    def release(self) -> None:
        """Release the region. Nothing may refer to its code or cells any more."""
        self._open.clear()
        self._space.give_back(self._code, self._data)


def install(region: Region, code: Code, builtin: Callable[[int], int], stub: Callable[[int], int]) -> int:
    """Relocate code and put it in place.

    Args:
        region: the region that it belongs to.
        code: the code to install.
        builtin: number -> address of the cell that leads to a builtin.
        stub: `code.STUB_*` -> its address.

    Returns:
        The address of the code.
    """
    machine = host()
    described, places = unwind.describe(code.data, [(0, len(code.data), code)], machine.instance_reg)
    address = region.place(len(described))
    data = bytearray(described)
    apply = machine.apply
    for offset, field, kind, target in code.relocs:
        if kind == RELOC_CELL:
            goal = region.cells + 8 * target
        elif kind == RELOC_BUILTIN:
            goal = builtin(target)
        else:
            goal = stub(target)
        apply(data, offset, field, address, goal)
    region.write_described(address, bytes(data), places)
    return address
