"""Floor 4: executable memory. In: `Code` and what its relocations refer to. Out: addresses.

Theory of operation. One reserved range of address space holds everything: calls reach by a 32-bit distance, and "is this pc
ours" is one comparison. It is handed out in chunks. A chunk of code is one memory object mapped twice, executable inside the
range and writable elsewhere, so that no page is ever both. Chunks belong to a region (a module, or the stubs); when the module
goes, its chunks go to the next one that asks.

A region has *words*, through which its code reaches what is outside of it: private data, never executable, right in front of its
first chunk. What stands in a region at the same distance from its words is thus the same in every process (`codegen.stored.image`).

A map has a byte for every 16 bytes of the range, by which walks over frames find what they need to know of code
(`codegen.unwind`). It is written after the code and before the address of that is given to anybody.

After a fork the two processes share the memory objects of the code chunks that existed: both stop writing to them and start
new chunks, so neither can change the other's code.
"""

from __future__ import annotations

import os as _os

from figwasp.codegen import unwind
from figwasp.codegen.code import RELOC_CELL, RELOC_COUNTER
from figwasp.codegen.isa import host
from figwasp.codegen.words import Words
from figwasp.errors import LimitExceeded, Unsupported
from figwasp.runtime.once import move_all
from figwasp.runtime.platform import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable, Iterable
    from typing import Final

    from figwasp.codegen.code import Code

RANGE_SIZE: Final = 1 << 30
_CHUNK: Final = 1 << 16
_ALIGNMENT: Final = unwind.GRANULE


class _Chunk:
    """A part of the reserved range.

    Attributes:
        start: address of its code in the range.
        size: bytes of it.
        words: bytes of data right in front of the code.
        writable: address of the writable view of the code; 0 where code is written before it is protected.
        used: bytes of code handed out.
        frozen: True after a fork: no code is ever to be written there again.
    """

    __slots__ = ("frozen", "size", "start", "used", "words", "writable")

    def __init__(self, start: int, size: int, words: int, writable: int = 0) -> None:
        self.start = start
        self.size = size
        self.words = words
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
        self._chunks: dict[int, _Chunk] = {}  # by the address of their words
        self._end = self.start  # where some chunk ends, seldom not the last
        self._free: list[_Chunk] = []
        # Once more afterwards: while others prepare for the fork, another thread may make a chunk.
        _os.register_at_fork(before=self._freeze, after_in_parent=self._freeze, after_in_child=self._freeze)

    def _freeze(self) -> None:
        for chunk in list(self._chunks.values()):
            chunk.frozen = True

    def _new_chunk(self, size: int, words: int) -> _Chunk:
        """Take addresses that have never been used."""
        chunk = _Chunk(self._end + words, size, words)
        while chunk.start + size <= self.start + RANGE_SIZE:
            holder = self._chunks.setdefault(chunk.start - words, chunk)
            if holder is chunk:
                self._end = chunk.start + size
                return chunk
            chunk.start = holder.start + holder.size + words
        raise LimitExceeded("the address range for compiled code (1 GiB) is used up")

    def _take_free(self, size: int, words: int) -> _Chunk | None:
        """Take the smallest free chunk that is large enough, and split off what it has in code beyond that."""
        for chunk in sorted(self._free, key=_size_of):
            if chunk.size >= size + (words if chunk.words < words else 0):
                try:
                    self._free.remove(chunk)
                except ValueError:  # another thread was faster
                    continue
                if not chunk.frozen:
                    self._make_words(chunk, words)
                    self._split(chunk, size)
                    return chunk
        return None

    def _make_words(self, chunk: _Chunk, words: int) -> None:
        """Clear the words of a chunk that was free; if it has too few of them, what was code in front becomes words instead."""
        if not words:
            return
        if chunk.words >= words:
            linux.discard(chunk.start - words, words)
            return
        _commit_words(chunk.start, words)
        chunk.start += words
        chunk.size -= words
        chunk.words = words
        if chunk.writable:
            chunk.writable += words

    def _split(self, chunk: _Chunk, size: int) -> None:
        """Make what a chunk has beyond `size` bytes a free chunk of its own."""
        if chunk.size > size:
            rest = _Chunk(chunk.start + size, chunk.size - size, 0, chunk.writable and chunk.writable + size)
            self._chunks[rest.start] = rest
            rest.frozen = chunk.frozen  # by a fork before the line above
            chunk.size = size
            self._free.append(rest)

    def chunk(self, size: int, enough: int, words: int = 0) -> _Chunk:
        """Return a chunk that nobody uses.

        Args:
            size: bytes that it should have for code.
            enough: bytes that suffice where the range is used up.
            words: bytes in front of the code, which are zeros.

        Raises:
            LimitExceeded: there is no room for it.
            Unsupported: the system allows no executable memory.
        """
        size = (size + _CHUNK - 1) & -_CHUNK
        words = (words + linux.PAGE - 1) & -linux.PAGE
        chunk = self._take_free(size, words)
        if chunk is None:
            try:
                chunk = self._new_chunk(size, words)
            except LimitExceeded:
                chunk = self._take_free((enough + _CHUNK - 1) & -_CHUNK, words)
                if chunk is None:
                    raise
            else:
                self._commit(chunk)
        chunk.used = 0
        return chunk

    def _commit(self, chunk: _Chunk) -> None:
        """Make memory of the addresses of a new chunk."""
        self._commit_map(chunk.start, chunk.size)
        chunk.writable = self._writable_view(chunk.start, chunk.size)
        if chunk.words:
            _commit_words(chunk.start - chunk.words, chunk.words)

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

    def give_back(self, chunks: list[_Chunk]) -> None:
        """Take the chunks of a region that nobody refers to any more out of its list."""
        move_all(chunks, self._free)


def _commit_words(address: int, size: int) -> None:
    try:
        linux.commit_in(address, size)
    except OSError as error:
        raise LimitExceeded(f"no memory for the words of a module: {error}") from None


def _size_of(chunk: _Chunk) -> int:
    return chunk.size + chunk.words


class Region:
    """Code with one lifetime, and the words through which it reaches what is outside.

    Attributes:
        origin: address behind the words, where the code of the first chunk begins.
        cells: address of the first word.
    """

    __slots__ = ("_chunks", "_open", "_resolve", "_space", "_words", "cells", "origin")

    def __init__(self, space: Space, functions: int, resolve: Callable[[int, int], int], room: int = 0) -> None:
        """Make a region.

        Args:
            space: the range of which it is a part.
            functions: number of words for functions; there is one for everything else that relocations may refer to.
            resolve: (`code.RELOC_*`, target) -> what the word has to hold; asked when the first code needs it. Not for functions.
            room: bytes of code that the first chunk should have room for.

        Raises:
            LimitExceeded: there is no room for it.
            Unsupported: the system allows no executable memory.
        """
        self._space = space
        self._resolve = resolve
        self._words = Words(functions)
        first = space.chunk(max(room, 1), max(room, 1), self._words.size)
        self._chunks = [first]
        self._open = [first]  # with room left, except while somebody takes of it
        self.origin = first.start
        self.cells = first.start - self._words.size

    def place(self, size: int) -> int:
        """Return the address where `size` bytes of code will stand: at the origin for the first, if there is room."""
        chunk = self._take_open(size)
        if chunk is None:
            # Doubling keeps the number of mappings small for large modules.
            wanted = max(size, min(_CHUNK << len(self._chunks), 1 << 22))
            self._chunks.append(chunk := self._space.chunk(wanted, size))
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
        chunk = next(chunk for chunk in reversed(self._chunks) if chunk.start <= address < chunk.start + chunk.size)
        if chunk.writable:
            linux.write(chunk.writable + address - chunk.start, data)
        else:
            linux.map_then_protect(address, data)
        host().synchronize(address, len(data))

    def write_described(self, address: int, data: bytes, places: bytes) -> None:
        """Put code with records at an address that `place` gave, and write what the map says of it (`unwind.describe`)."""
        self.write(address, data)
        linux.write(self._space.map_place(address), places)

    def read_described(self, address: int, size: int) -> tuple[bytes, bytes]:
        """Return what `write_described` has put at an address: so many bytes of code with records, and what the map says of it."""
        return linux.read(address, size), linux.read(self._space.map_place(address), size >> unwind.GRANULE_BITS)

    def set_counter(self, index: int, count: int) -> None:
        """Let baseline code of a function run so often before it is hot, 0 or more, less than 2**31."""
        linux.write_u64(self.origin + self._words.offset(RELOC_COUNTER, index), count)

    def set_counters(self, counts: array[int]) -> None:
        """The same for all functions, imported ones included, where no baseline code is installed yet."""
        linux.write(self.origin + self._words.offset(RELOC_COUNTER, 0), counts.tobytes())

    def counter(self, index: int) -> int:
        """Return how often baseline code of a function may still run before it is hot."""
        count = linux.read_u32(self.origin + self._words.offset(RELOC_COUNTER, index))
        return count if count < 1 << 31 else 0  # it goes below 0, and then calls out of line

    def provide(self, kind: int, target: int) -> None:
        """See to it that the word for what relocations refer to is filled; those of functions are somebody else's."""
        if kind != RELOC_CELL and kind != RELOC_COUNTER:
            word = self.origin + self._words.offset(kind, target)
            if not linux.read_u64(word):
                linux.write_u64(word, self._resolve(kind, target))

    def install(self, code: Code, direct: bool = False) -> int:
        """Relocate code and put it in place; return its address.

        Args:
            code: the code.
            direct: True if it may go straight to where a word leads: what is in that word never changes, and nobody keeps the code
                as it stands here.
        """
        described, places = unwind.describe(code.data, [(0, len(code.data), code)], host().instance_reg)
        for kind, target in {(kind, target) for _, _, kind, target in code.relocs}:
            self.provide(kind, target)
        address = self.place(len(described))
        data = self.relocate(described, code.relocs, address)
        self.write_described(address, self._direct(data, code.relocs, address) if direct else data, places)
        return address

    def _direct(self, data: bytes, relocs: Iterable[tuple[int, int, int, int]], address: int) -> bytes:
        """Return code that goes straight to what words lead to, where that is in the range of code."""
        changed = bytearray(data)
        go_straight, start = host().go_straight, self._space.start
        for offset, field, kind, target in relocs:
            goal = linux.read_u64(self.origin + self._words.offset(kind, target))
            if start <= goal < start + RANGE_SIZE:
                go_straight(changed, offset, field, address, goal)
        return bytes(changed)

    def relocate(self, data: bytes, relocs: Iterable[tuple[int, int, int, int]], address: int) -> bytes:
        """Return code with its fields as they have to be at an address of the region."""
        return self._words.relocate(data, relocs, address - self.origin)

    def release(self) -> None:
        """Release the region. Nothing may refer to its code or words any more."""
        self._open.clear()
        self._space.give_back(self._chunks)
