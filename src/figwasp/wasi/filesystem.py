"""Floor 6: the interface of file systems for guests, and how to write one.

In: nothing. Out: the base classes `Directory` and `File`. A guest's path is resolved by figwasp, name by name, symlinks
and `..` included; a file system never sees a path. It is only ever asked for one name in one directory, and has to
answer for just that name, without following it if it is a symlink. Names are neither empty nor `.` nor `..`, and have
neither `/` nor NUL in them; bytes that are no UTF-8 are surrogates, as with `os.fsdecode`.

A read-only file system defines four methods of directories and two of files:

>>> from figwasp.wasi import Directory, Entry, File, Status
>>> from figwasp.wasi.filesystem import FILETYPE_DIRECTORY, FILETYPE_REGULAR_FILE
>>> class Text(File):
...     def __init__(self, text):
...         self.data = text.encode()
...     def status(self):
...         return Status(FILETYPE_REGULAR_FILE, len(self.data))
...     def read(self, offset, size):
...         return self.data[offset : offset + size]
>>> class Texts(Directory):
...     def __init__(self, **texts):
...         self.texts = texts
...     def status(self):
...         return Status(FILETYPE_DIRECTORY)
...     def entries(self):
...         return [Entry(name, FILETYPE_REGULAR_FILE) for name in self.texts]
...     def look(self, name):
...         return self.open(name, 0).status()
...     def open(self, name, how):
...         if name not in self.texts:
...             raise FileNotFoundError(name)
...         return Text(self.texts[name])
>>> Texts(hello="world").read_bytes("hello")
b'world'

Failures are `OSError` with an `errno`, or one of its subclasses. Nothing that changes something is called where
`writable` is false. Methods may be called by several threads if guests are.
"""

from __future__ import annotations

import errno
import os
from abc import ABC, abstractmethod

from figwasp.records import NamedTuple
from figwasp.wasi.abi import (
    FILETYPE_BLOCK_DEVICE,
    FILETYPE_CHARACTER_DEVICE,
    FILETYPE_DIRECTORY,
    FILETYPE_REGULAR_FILE,
    FILETYPE_SYMBOLIC_LINK,
    FILETYPE_UNKNOWN,
)

__all__ = [
    "APPEND", "CREATE", "DSYNC", "EXCLUSIVE", "FILETYPE_BLOCK_DEVICE", "FILETYPE_CHARACTER_DEVICE", "FILETYPE_DIRECTORY",
    "FILETYPE_REGULAR_FILE", "FILETYPE_SYMBOLIC_LINK", "FILETYPE_UNKNOWN", "ONLY_DIRECTORY", "READ", "SYNC", "TRUNCATE", "WRITE",
    "Directory", "Entry", "File", "Node", "Status", "failure",
]  # fmt: skip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Final
    Name = str | bytes | os.PathLike[str] | os.PathLike[bytes]
    """The names that figwasp's directories accept, as `os` does; they only ever pass a str to another directory."""

READ: Final = 1
WRITE: Final = 2
CREATE: Final = 4
"""Make an empty file if the name is free."""
EXCLUSIVE: Final = 8
"""With CREATE: EEXIST if the name is taken."""
TRUNCATE: Final = 16
ONLY_DIRECTORY: Final = 32
"""ENOTDIR unless the name is that of a directory."""
APPEND: Final = 64
"""Matters to directories of the host only, as do the next two: a `File` is told where to write."""
DSYNC: Final = 128
SYNC: Final = 256


class Status(NamedTuple):
    """The attributes of a file or directory. Times are in nanoseconds since 1970."""

    filetype: int
    size: int = 0
    inode: int = 0
    links: int = 1
    atime: int = 0
    mtime: int = 0
    ctime: int = 0
    device: int = 0


class Entry(NamedTuple):
    """A name in a directory."""

    name: str
    filetype: int
    inode: int = 0


def failure(number: int, name: str = "") -> OSError:
    """Return the exception for an error number of `errno`."""
    return OSError(number, os.strerror(number), *([name] if name else []))


def count(number: int, what: str) -> str:
    """Return a number with its noun, for the repr of an object."""
    return f"{number} {what}{'' if number == 1 else 's'}"


class Node(ABC):
    """The common base of files and directories.

    Attributes:
        writable: whether guests may change the node and, in a directory, the entries.
    """

    writable: bool = False

    @abstractmethod
    def status(self) -> Status:
        """Return its attributes."""

    def set_times(self, atime: int, mtime: int) -> None:
        """Set both times."""
        raise failure(errno.EROFS)

    def sync(self, *, data_only: bool) -> None:  # noqa: B027
        """Write all that is buffered to durable storage."""

    def close(self) -> None:  # noqa: B027
        """Release the object, which the guest does not use any more."""


class File(Node):
    """An open file."""

    @abstractmethod
    def read(self, offset: int, size: int) -> bytes | bytearray | memoryview:
        """Return `size` bytes from an offset on, or fewer; no bytes at the end."""

    def write(self, offset: int, data: bytes) -> int:
        """Write at an offset, which may lie beyond the end, with zeros up to it; return the number of bytes written."""
        raise failure(errno.EBADF)

    def set_size(self, size: int) -> None:
        """Truncate the file, or lengthen it with zeros."""
        raise failure(errno.EINVAL)


class Directory(Node):
    """A directory, the root of a file system for instance."""

    @abstractmethod
    def entries(self) -> Iterable[Entry]:
        """Return the entries, without `.` and `..`."""

    @abstractmethod
    def look(self, name: str) -> Status:
        """Return the attributes of the entry of a name; of a symlink, its own."""

    @abstractmethod
    def open(self, name: str, how: int) -> File | Directory:
        """Open the file or directory of a name.

        Args:
            name: the name.
            how: READ, WRITE, CREATE, EXCLUSIVE, TRUNCATE, ONLY_DIRECTORY, APPEND, DSYNC, SYNC.

        Raises:
            OSError: ELOOP for a symlink; EISDIR when WRITE, CREATE or TRUNCATE meets a directory.
        """

    def enter(self, name: str) -> Directory:
        """Open a directory only to enter or open others from there.

        Raises:
            OSError: ENOTDIR for anything else, ELOOP or ENOTDIR for a symlink.
        """
        found = self.open(name, READ | ONLY_DIRECTORY)
        if isinstance(found, Directory):
            return found
        found.close()
        raise failure(errno.ENOTDIR, name)

    def descend(self, names: Sequence[str]) -> Directory | None:
        """Enter directories one below the other in one step, if the host can do so without following links or leaving the tree.

        None means that it cannot or that it failed; the directories are entered one by one then, which finds out why.
        """
        return None

    def reopen(self) -> Directory:
        """Return an object for the same directory, to be closed on its own."""
        return self

    def readlink(self, name: str) -> str:
        """Return the target of a symlink; EINVAL for anything else."""
        self.look(name)
        raise failure(errno.EINVAL, name)

    def touch(self, name: str, atime: int, mtime: int) -> None:
        """Set both times of the entry of a name; of a symlink, its own."""
        raise failure(errno.EROFS, name)

    def mkdir(self, name: str) -> None:
        """Make a directory."""
        raise failure(errno.EROFS, name)

    def rmdir(self, name: str) -> None:
        """Remove an empty directory."""
        raise failure(errno.EROFS, name)

    def unlink(self, name: str) -> None:
        """Remove anything but a directory."""
        raise failure(errno.EROFS, name)

    def symlink(self, target: str, name: str) -> None:
        """Make a symlink."""
        raise failure(errno.EROFS, name)

    def link(self, name: str, to: Directory, new: str) -> None:
        """Give a file another name, in a directory of the same file system; otherwise EXDEV."""
        raise failure(errno.EXDEV, name)

    def rename(self, name: str, to: Directory, new: str) -> None:
        """Move and replace as POSIX does, in the same file system; otherwise EXDEV."""
        raise failure(errno.EXDEV, name)

    def read_bytes(self, path: Name) -> bytes:
        """Return the contents of a file below, for the embedder. Symlinks are not followed."""
        path = os.fsdecode(path)
        *folders, name = path.strip("/").split("/")
        place = self
        for folder in folders:
            place = place.enter(folder)
        found = place.open(name, READ)
        try:
            if not isinstance(found, File):
                raise failure(errno.EISDIR, path)
            return b"".join(iter(_Reader(found), b""))
        finally:
            found.close()


class _Reader:
    """Reads a file from its start, piece by piece."""

    __slots__ = ("_file", "_offset")

    def __init__(self, file: File) -> None:
        self._file = file
        self._offset = 0

    def __call__(self) -> bytes:
        data = bytes(self._file.read(self._offset, 1 << 20))
        self._offset += len(data)
        return data
