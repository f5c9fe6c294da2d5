"""Floor 6: contents of files that have to be in memory while they are open, such as those of archives.

In: a callable that opens a file. Out: a `File`. All open objects of a file share one copy, and all copies together are limited.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import IO, Final
from weakref import WeakValueDictionary

from figwasp.api import deadline
from figwasp.wasi.allowance import Allowance
from figwasp.wasi.filesystem import File, Status

__all__ = ["LIMIT", "Contents", "size_of"]

LIMIT: Final = 1 << 28
_PIECE: Final = 1 << 20

Opener = Callable[[], IO[bytes]]


class _Content:
    """The contents of a file, kept for as long as the file is open."""

    __slots__ = ("__weakref__", "_allowance", "_charged", "data")

    def __init__(self, allowance: Allowance, file: IO[bytes]) -> None:
        self._allowance = allowance
        self._charged = 0
        self.data = bytearray()
        while piece := file.read(_PIECE):
            deadline.check()
            allowance.take(len(piece))
            self._charged += len(piece)
            self.data += piece

    def __del__(self) -> None:
        if hasattr(self, "_charged"):  # an exception may have come before it was made
            self._allowance.left += self._charged


class _Opened(File):
    """A file that has been read."""

    def __init__(self, content: _Content, status: Status) -> None:
        self._content = content
        self._data = memoryview(content.data)
        self._status = status._replace(size=len(content.data))

    def status(self) -> Status:
        return self._status

    def read(self, offset: int, size: int) -> memoryview:
        return self._data[offset : offset + size]


class Contents:
    """The contents of all open files of one file system."""

    __slots__ = ("_allowance", "_open")

    def __init__(self, limit: int) -> None:
        self._allowance = Allowance(limit)
        self._open: WeakValueDictionary[int, _Content] = WeakValueDictionary()

    def file(self, status: Status, opener: Opener) -> File:
        """Open a file, which is read unless it is open already.

        Args:
            status: its attributes, the size aside; its inode identifies it.
            opener: opens the file to read.

        Raises:
            OSError: ENOMEM when there is too much; and errors from reading.
        """
        content = self._open.get(status.inode)
        if content is None:
            with opener() as file:
                content = self._open[status.inode] = _Content(self._allowance, file)
        return _Opened(content, status)


def size_of(opener: Opener) -> int:
    """Return the length of a file that has to be read to find that out."""
    size = 0
    with opener() as file:
        while piece := file.read(_PIECE):
            deadline.check()
            size += len(piece)
    return size
