"""Floor 6: a file system in memory.

In: initial files, if any. Out: a writable `Directory` with all that POSIX has: symlinks, hard links, times, files that
live on while they are open. What a guest may store is limited, at what it costs in Python: names and empty files included.
"""

from __future__ import annotations

import errno
import itertools
import time
from collections.abc import Iterable, Mapping
from sys import getsizeof
from typing import Final

from figwasp.wasi.abi import FILETYPE_DIRECTORY, FILETYPE_REGULAR_FILE, FILETYPE_SYMBOLIC_LINK
from figwasp.wasi.allowance import Allowance
from figwasp.wasi.filesystem import (
    CREATE,
    EXCLUSIVE,
    ONLY_DIRECTORY,
    TRUNCATE,
    WRITE,
    Directory,
    Entry,
    File,
    Status,
    failure,
)

__all__ = ["MemoryDirectory"]

_MAX_NAME: Final = 255
_NODE: Final = 512
"""Bytes that a node takes by itself, with its numbers and an empty dictionary or the like."""
_SLACK: Final = 64
"""Bytes that contents take beside what is asked for."""
_NAME: Final = 128
"""Bytes that a name takes in a dictionary beside the string."""
_STRING: Final = 80
"""Bytes that a string takes beside its characters."""
_devices: Final = itertools.count(1 << 32)


class _Volume(Allowance):
    """What all nodes of a file system share.

    Attributes:
        device: its number.
        inodes: numbers of nodes to come.
    """

    __slots__ = ("device", "inodes")

    def __init__(self, limit: int) -> None:
        super().__init__(limit, errno.ENOSPC)
        self.device = next(_devices)
        self.inodes = itertools.count(1)


class _Inode:
    """A file, directory or symlink, whatever its names.

    Attributes:
        volume: where it belongs.
        filetype: what it is.
        inode: its number.
        links: how many names it has.
        atime, mtime, ctime: nanoseconds since 1970.
        charged: bytes it takes of the volume.
    """

    __slots__ = ("atime", "charged", "ctime", "filetype", "inode", "links", "mtime", "volume")

    def __init__(self, volume: _Volume, filetype: int) -> None:
        self.volume = volume
        self.charged = 0
        self.charge(_NODE)
        self.filetype = filetype
        self.inode = next(volume.inodes)
        self.links = 1
        self.atime = self.mtime = self.ctime = time.time_ns()

    def size(self) -> int:
        return 0

    def status(self) -> Status:
        times = self.atime, self.mtime, self.ctime
        return Status(self.filetype, self.size(), self.inode, self.links, *times, self.volume.device)

    def set_times(self, atime: int, mtime: int) -> None:
        self.atime, self.mtime, self.ctime = atime, mtime, time.time_ns()

    def changed(self) -> None:
        self.mtime = self.ctime = time.time_ns()

    def charge(self, size: int) -> None:
        self.volume.take(size)
        self.charged += size

    def __del__(self) -> None:
        if hasattr(self, "charged"):  # an exception may have come before it was made
            self.volume.left += self.charged


class _Data(_Inode):
    """A file. A bytearray that grows a little grows by an eighth more, and keeps what it has until half of it is not used."""

    __slots__ = ("_held", "data")

    def __init__(self, volume: _Volume) -> None:
        self.data = bytearray()
        self._held = 0
        super().__init__(volume, FILETYPE_REGULAR_FILE)

    def size(self) -> int:
        return len(self.data)

    def set_size(self, size: int) -> None:
        if size > len(self.data):
            self._extend(size)
        else:
            del self.data[size:]
            self._settle()
        self.changed()

    def write(self, offset: int, data: bytes) -> None:
        if offset + len(data) > len(self.data):
            self._extend(offset + len(data))
        self.data[offset : offset + len(data)] = data
        self.changed()

    def _extend(self, size: int) -> None:
        """Lengthen with zeros, once it is certain that there is room."""
        has = self.data.__alloc__()
        slack = 0 if size > has + (has >> 3) + 1 else size >> 3
        most = size + slack + _SLACK
        self.charge(most - self._held)
        self._held = most
        try:
            self.data.extend(bytes(size - len(self.data)))
        finally:
            self._settle()

    def _settle(self) -> None:
        """Charge what the contents take now, which is no more than was charged."""
        held = getsizeof(self.data)
        self.charge(held - self._held)
        self._held = held


class _Link(_Inode):
    __slots__ = ("target",)

    def __init__(self, volume: _Volume, target: str) -> None:
        self.target = target
        super().__init__(volume, FILETYPE_SYMBOLIC_LINK)
        self.charge(_weight(target))

    def size(self) -> int:
        return len(self.target.encode("utf-8", "surrogateescape"))


class _Folder(_Inode):
    __slots__ = ("names", "parent")

    def __init__(self, volume: _Volume, parent: _Folder | None) -> None:
        self.names: dict[str, _Inode] = {}
        self.parent = parent
        super().__init__(volume, FILETYPE_DIRECTORY)

    def get(self, name: str) -> _Inode:
        if len(name) > _MAX_NAME or len(name.encode("utf-8", "surrogateescape")) > _MAX_NAME:
            raise failure(errno.ENAMETOOLONG)
        node = self.names.get(name)
        if node is None:
            raise failure(errno.ENOENT, name)
        return node

    def find(self, name: str) -> _Inode | None:
        """Return what has a name that may be given to something."""
        try:
            return self.get(name)
        except FileNotFoundError:
            if self.links == 0:
                raise
            return None

    def add(self, name: str, node: _Inode) -> None:
        self.volume.take(_NAME + _weight(name))
        self.names[name] = node
        self.changed()

    def drop(self, name: str) -> None:
        node = self._forget(name)
        node.links -= 1
        node.ctime = time.time_ns()
        self.volume.left += _NAME + _weight(name)

    def move(self, name: str, target: _Folder, new: str) -> None:
        """Give what has a name another, which something else may have that then loses it.

        Raises:
            OSError: the other name takes more than there is besides what this one took; nothing has changed then.
        """
        if new in target.names:
            target.volume.left += _NAME + _weight(name)  # the other name is paid for
        else:
            self.volume.take(_weight(new) - _weight(name))
        node = self._forget(name)
        old = target.names.get(new)
        if old is not None:
            old.links -= 1
            old.ctime = time.time_ns()
        target.names[new] = node
        node.ctime = time.time_ns()
        target.changed()
        if isinstance(node, _Folder):
            node.parent = target

    def _forget(self, name: str) -> _Inode:
        """Take a name out of the dictionary, which is made anew before it takes more than has been paid for what is in it."""
        node = self.names.pop(name)
        if getsizeof(self.names) > _NODE + _NAME * len(self.names):
            self.names = dict(self.names.items())
        self.changed()
        return node

    def has_above(self, other: _Inode) -> bool:
        """Say whether another directory is this one or one above it."""
        here: _Folder | None = self
        while here is not None and here is not other:
            here = here.parent
        return here is not None


def _weight(text: str) -> int:
    """Return what a string takes at most: the widest character decides for all. Equal strings weigh the same."""
    return _STRING + (len(text) if text.isascii() else 4 * len(text))


class _MemoryFile(File):
    writable = True

    def __init__(self, node: _Data) -> None:
        self._node = node

    def status(self) -> Status:
        return self._node.status()

    def set_times(self, atime: int, mtime: int) -> None:
        self._node.set_times(atime, mtime)

    def read(self, offset: int, size: int) -> bytes | bytearray:
        return self._node.data[offset : offset + size]

    def write(self, offset: int, data: bytes) -> int:
        if data:
            self._node.write(offset, data)
        return len(data)

    def set_size(self, size: int) -> None:
        self._node.set_size(size)


class MemoryDirectory(Directory):
    """A directory in memory, writable, and what is below it.

    >>> from figwasp.wasi import MemoryDirectory
    >>> files = MemoryDirectory({"hello.txt": "hello", "sub/empty": b""})
    >>> sorted(entry.name for entry in files.entries()), files.read_bytes("hello.txt")
    (['hello.txt', 'sub'], b'hello')

    Args:
        files: contents of files by their paths, text as UTF-8.
        limit: most bytes that it may take, with what Python needs for files and names.
    """

    writable = True

    def __init__(self, files: Mapping[str, bytes | str] | None = None, *, limit: int = 1 << 28) -> None:
        self._folder = _Folder(_Volume(limit), None)
        for path, content in (files or {}).items():
            self.write_bytes(path, content.encode() if isinstance(content, str) else content)

    def _of(self, folder: _Folder) -> MemoryDirectory:
        directory = MemoryDirectory.__new__(MemoryDirectory)
        directory._folder = folder
        return directory

    def write_bytes(self, path: str, data: bytes) -> None:
        """Write a file below, with the directories that it needs, for whoever embeds the guest."""
        *folders, name = path.strip("/").split("/")
        if not {"", ".", ".."}.isdisjoint([*folders, name]):
            raise ValueError(f"not a plain path: {path!r}")
        place: Directory = self
        for folder in folders:
            if not isinstance(place, MemoryDirectory) or folder not in place._folder.names:
                place.mkdir(folder)
            place = place.enter(folder)
        file = place.open(name, WRITE | CREATE | TRUNCATE)
        assert isinstance(file, File)
        file.write(0, data)

    def status(self) -> Status:
        """Return its attributes."""
        return self._folder.status()

    def set_times(self, atime: int, mtime: int) -> None:
        """Set both times."""
        self._folder.set_times(atime, mtime)

    def entries(self) -> Iterable[Entry]:
        """List."""
        return (Entry(name, node.filetype, node.inode) for name, node in list(self._folder.names.items()))

    def look(self, name: str) -> Status:
        """Return the attributes of a name."""
        return self._folder.get(name).status()

    def open(self, name: str, how: int) -> File | Directory:
        """Open a name."""
        node = self._folder.find(name) if how & CREATE else self._folder.get(name)
        if node is None:
            node = _Data(self._folder.volume)
            self._folder.add(name, node)
        elif how & CREATE and how & EXCLUSIVE:
            raise failure(errno.EEXIST, name)
        if isinstance(node, _Folder):
            if how & (WRITE | CREATE | TRUNCATE):
                raise failure(errno.EISDIR, name)
            return self._of(node)
        if not isinstance(node, _Data):
            raise failure(errno.ELOOP, name)
        if how & ONLY_DIRECTORY:
            raise failure(errno.ENOTDIR, name)
        if how & TRUNCATE:
            node.set_size(0)
        return _MemoryFile(node)

    def readlink(self, name: str) -> str:
        """Read a symlink."""
        node = self._folder.get(name)
        if not isinstance(node, _Link):
            raise failure(errno.EINVAL, name)
        return node.target

    def touch(self, name: str, atime: int, mtime: int) -> None:
        """Set both times of a name."""
        self._folder.get(name).set_times(atime, mtime)

    def _new(self, name: str) -> _Folder:
        if self._folder.find(name) is not None:
            raise failure(errno.EEXIST, name)
        return self._folder

    def mkdir(self, name: str) -> None:
        """Make a directory."""
        folder = self._new(name)
        folder.add(name, _Folder(folder.volume, folder))

    def symlink(self, target: str, name: str) -> None:
        """Make a symlink."""
        folder = self._new(name)
        folder.add(name, _Link(folder.volume, target))

    def rmdir(self, name: str) -> None:
        """Remove an empty directory."""
        node = self._folder.get(name)
        if not isinstance(node, _Folder):
            raise failure(errno.ENOTDIR, name)
        if node.names:
            raise failure(errno.ENOTEMPTY, name)
        self._folder.drop(name)

    def unlink(self, name: str) -> None:
        """Remove anything but a directory."""
        if isinstance(self._folder.get(name), _Folder):
            raise failure(errno.EISDIR, name)
        self._folder.drop(name)

    def _target(self, to: Directory) -> _Folder:
        if not isinstance(to, MemoryDirectory) or to._folder.volume is not self._folder.volume:
            raise failure(errno.EXDEV)
        return to._folder

    def link(self, name: str, to: Directory, new: str) -> None:
        """Give another name."""
        target = self._target(to)
        node = self._folder.get(name)
        if target.find(new) is not None:
            raise failure(errno.EEXIST, new)
        if isinstance(node, _Folder):
            raise failure(errno.EPERM, name)
        target.add(new, node)
        node.links += 1

    def rename(self, name: str, to: Directory, new: str) -> None:
        """Move."""
        target = self._target(to)
        node = self._folder.get(name)
        old = target.find(new)
        if isinstance(node, _Folder) and target.has_above(node):
            raise failure(errno.EINVAL, name)
        if old is node:
            return
        if isinstance(old, _Folder):
            if self._folder.has_above(old):
                raise failure(errno.ENOTEMPTY, new)
            if not isinstance(node, _Folder):
                raise failure(errno.EISDIR, new)
            if old.names:
                raise failure(errno.ENOTEMPTY, new)
        elif old is not None and isinstance(node, _Folder):
            raise failure(errno.ENOTDIR, new)
        self._folder.move(name, target, new)
