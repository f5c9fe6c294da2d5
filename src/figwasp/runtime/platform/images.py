"""Floor 4: images of memories: contents that any number of memories can begin with, or go back to, each page copied on write.

In: the contents of a memory. Out: a file that is nowhere but in memory and does not change any more (`linux.seal`), to be mapped at
the place of a memory. Pages of zeros take no room in it. Where there are no such files an image is a copy in memory of its own,
from which others are copied.

An image that is mapped needs nothing else: the pages stay as long as one memory shows them, whatever becomes of the image.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Final

from figwasp.runtime.native.owner import Owners
from figwasp.runtime.platform import cpython, linux

if TYPE_CHECKING:
    from figwasp.runtime.once import Once

__all__ = ["NO_FILE", "MemoryImage", "copied"]

NO_FILE: Final = -1
_PIECE: Final = 64 << 10
_ZEROS: Final = bytes(_PIECE)
_ZERO_PAGE: Final = bytes(linux.PAGE)
_numbers: Final = itertools.count(1)


class MemoryImage:
    """The contents of a memory.

    Attributes:
        number: no other image of the process has it.
        start, size: the bytes of the memory outside of which all are zero, whole pages of the system.
        file: descriptor of the file, with these bytes at their offsets in the memory; NO_FILE when there is none.
        address: where the bytes can be read.
        nbytes: bytes of the pages that are not zero.
    """

    __slots__ = ("_files", "_mappings", "_owner", "_region", "address", "file", "nbytes", "number", "size", "start")

    def __init__(self, owners: Owners, length: int) -> None:
        """Begin with zeros.

        Args:
            owners: make what releases the memory when the image has gone.
            length: bytes of the memory.

        Raises:
            OSError: there is no address space.
        """
        block: int = cpython.raw_calloc(1, 16)
        if not block:
            raise MemoryError
        files: list[int] = []
        mappings: list[tuple[int, int]] = []
        self._files, self._mappings = files, mappings
        self._owner = owners.make(block, lambda: _releasing(block, files, mappings))
        self.number = next(_numbers)
        self.start = self.size = self.nbytes = self.address = 0
        self.file = NO_FILE
        self._region = 0
        try:
            linux.add_memory_file(files, "figwasp-image")
            os.ftruncate(files[0], length)
            self.file = files[0]
        except OSError:
            self._region = linux.allocate(length or 1)
            mappings.append((self._region, length or 1))

    def put(self, offset: int, data: bytes) -> None:
        """Write a piece of the contents, which begins at a page of the system: pages of zeros only where the piece is mixed."""
        for first, pages in _runs(data):
            self._write(offset + first, pages)
            self.nbytes += len(pages)
            end = max(self.start + self.size, offset + first + len(pages))
            self.start = min(self.start, offset + first) if self.size else offset + first
            self.size = end - self.start

    def _write(self, offset: int, data: bytes) -> None:
        if self.file == NO_FILE:
            linux.write(self._region + offset, data)
            return
        done = 0
        while done < len(data):
            done += os.pwrite(self.file, memoryview(data)[done:], offset + done)

    def finish(self) -> None:
        """Have the contents stay what they are.

        Raises:
            OSError: there is no address space.
        """
        if self.file == NO_FILE:
            self.address = self._region + self.start
            return
        linux.seal(self.file)
        if self.size:
            self.address = linux.map_file(self.file, self.start, self.size)
            self._mappings.append((self.address, self.size))


def _releasing(block: int, files: list[int], mappings: list[tuple[int, int]]) -> list[Once]:
    """Return the calls that release an image."""
    rest: list[Once] = [cpython.freeing(block)]
    rest += [linux.releasing(*mapping) for mapping in mappings]
    return [*rest, *[partial(os.close, file) for file in files]]


def copied(owners: Owners, base: int, length: int) -> MemoryImage:
    """Make an image of what is at an address; `length` are whole pages of 64 KiB.

    Raises:
        OSError: there is no memory for it.
    """
    image = MemoryImage(owners, length)
    for offset in range(0, length, _PIECE):
        data = linux.read(base + offset, _PIECE)
        if data != _ZEROS:
            image.put(offset, data)
    image.finish()
    return image


def _runs(data: bytes) -> Iterable[tuple[int, bytes]]:
    """Return the runs of pages that are not zero: where each begins, and its bytes."""
    used = [data[first : first + linux.PAGE] != _ZERO_PAGE for first in range(0, len(data), linux.PAGE)]
    at = 0
    for is_used, group in itertools.groupby(used):
        end = at + linux.PAGE * len(list(group))
        if is_used:
            yield at, data[at:end]
        at = end
