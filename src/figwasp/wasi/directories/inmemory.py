"""Floor 6: a file system in memory.

In: initial files, if any. Out: a writable `Directory` with all that POSIX has: symlinks, hard links, times, files that
live on while they are open. What a guest may store is limited, by its cost in Python: names and empty files count as well.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from figwasp.wasi.directories.nodes import Data, Folder, Link, Volume
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
    count,
    failure,
)

if TYPE_CHECKING:
    from figwasp.wasi.filesystem import Name

__all__ = ["MemoryDirectory"]


class _MemoryFile(File):
    writable = True

    def __init__(self, node: Data) -> None:
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


def _path(key: Any, above: str) -> str:
    if not isinstance(key, (str, bytes, os.PathLike)):
        raise TypeError(f"a path in {above or '/'!r} must be str, bytes or os.PathLike, not {type(key).__name__}: {key!r}")
    return os.fsdecode(key)


def _bytes(content: Any, path: str) -> bytes:
    """Return the contents for a new file."""
    if isinstance(content, str):
        return content.encode()
    if not isinstance(content, (bytes, bytearray, memoryview)):
        raise TypeError(f"{path!r} must be bytes, a str, or a mapping for a directory, not {type(content).__name__}")
    return bytes(content)


def _plain(path: str) -> list[str]:
    """Return the names in a path."""
    names = path.strip("/").split("/")
    if not {"", ".", ".."}.isdisjoint(names):
        raise ValueError(f"not a plain path: {path!r}")
    return names


class MemoryDirectory(Directory):
    """A directory in memory, writable, and what is below it.

    >>> from figwasp.wasi import MemoryDirectory
    >>> files = MemoryDirectory({"hello.txt": "hello", "sub/empty": b""})
    >>> sorted(entry.name for entry in files.entries()), files.read_bytes("hello.txt")
    (['hello.txt', 'sub'], b'hello')
    >>> MemoryDirectory({"a": {"b.txt": b"nested"}, "empty": {}}).read_bytes("a/b.txt")
    b'nested'

    Args:
        files: contents of files by their paths, text as UTF-8; a mapping is a directory with its files.
        limit: most bytes that the file system may take, including the cost of files and names in Python.

    Raises:
        OSError: ENOSPC when the files take more; ENOTDIR and EISDIR when they contradict each other.
        TypeError: a value of the mapping is neither contents nor a directory.
        ValueError: a path is not plain, for instance with `..` in it.
    """

    writable = True

    def __init__(self, files: Mapping[Any, Any] | None = None, *, limit: int = 1 << 28) -> None:
        self._folder = Folder(Volume(limit), None)
        self._fill({} if files is None else files, "")

    def __repr__(self) -> str:
        folder, volume = self._folder, self._folder.volume
        return f"<MemoryDirectory: {count(len(folder.names), 'name')}, {volume.limit - volume.left} of {volume.limit} bytes in use>"

    def _fill(self, files: Mapping[Any, Any], above: str) -> None:
        """Make files and directories; `above` is the path of this directory for error messages."""
        if not isinstance(files, Mapping):
            raise TypeError(f"files must be a mapping of paths to contents, not {type(files).__name__}")
        for key, content in files.items():
            path = _path(key, above)
            if isinstance(content, Mapping):
                self._made(_plain(path))._fill(content, f"{above}{path.strip('/')}/")
            else:
                self.write_bytes(path, _bytes(content, above + path))

    def _made(self, folders: Iterable[str]) -> MemoryDirectory:
        """Return a directory below, making it and those on the way if they do not exist."""
        place = self
        for folder in folders:
            if folder not in place._folder.names:
                place.mkdir(folder)
            below = place.enter(folder)
            assert isinstance(below, MemoryDirectory)
            place = below
        return place

    def _of(self, folder: Folder) -> MemoryDirectory:
        directory = MemoryDirectory.__new__(MemoryDirectory)
        directory._folder = folder
        return directory

    def write_bytes(self, path: Name, data: bytes) -> None:
        """Write a file below, with the directories that it needs, for the embedder."""
        *folders, name = _plain(os.fsdecode(path))
        file = self._made(folders).open(name, WRITE | CREATE | TRUNCATE)
        assert isinstance(file, File)
        file.write(0, data)

    def status(self) -> Status:
        """Return its attributes."""
        return self._folder.status()

    def set_times(self, atime: int, mtime: int) -> None:
        """Set both times."""
        self._folder.set_times(atime, mtime)

    def entries(self) -> Iterable[Entry]:
        """Return the entries."""
        return (Entry(name, node.filetype, node.inode) for name, node in list(self._folder.names.items()))

    def look(self, name: Name) -> Status:
        """Return the attributes of a name."""
        name = os.fsdecode(name)
        return self._folder.get(name).status()

    def open(self, name: Name, how: int) -> File | Directory:
        """Open a name."""
        name = os.fsdecode(name)
        node = self._folder.find(name) if how & CREATE else self._folder.get(name)
        if node is None:
            node = Data(self._folder.volume)
            self._folder.add(name, node)
        elif how & CREATE and how & EXCLUSIVE:
            raise failure(errno.EEXIST, name)
        if isinstance(node, Folder):
            if how & (WRITE | CREATE | TRUNCATE):
                raise failure(errno.EISDIR, name)
            return self._of(node)
        if not isinstance(node, Data):
            raise failure(errno.ELOOP, name)
        if how & ONLY_DIRECTORY:
            raise failure(errno.ENOTDIR, name)
        if how & TRUNCATE:
            node.set_size(0)
        return _MemoryFile(node)

    def readlink(self, name: Name) -> str:
        """Read a symlink."""
        name = os.fsdecode(name)
        node = self._folder.get(name)
        if not isinstance(node, Link):
            raise failure(errno.EINVAL, name)
        return node.target

    def touch(self, name: Name, atime: int, mtime: int) -> None:
        """Set both times of a name."""
        name = os.fsdecode(name)
        self._folder.get(name).set_times(atime, mtime)

    def _new(self, name: str) -> Folder:
        if self._folder.find(name) is not None:
            raise failure(errno.EEXIST, name)
        return self._folder

    def mkdir(self, name: Name) -> None:
        """Make a directory."""
        name = os.fsdecode(name)
        folder = self._new(name)
        folder.add(name, Folder(folder.volume, folder))

    def symlink(self, target: Name, name: Name) -> None:
        """Make a symlink."""
        target, name = os.fsdecode(target), os.fsdecode(name)
        folder = self._new(name)
        folder.add(name, Link(folder.volume, target))

    def rmdir(self, name: Name) -> None:
        """Remove an empty directory."""
        name = os.fsdecode(name)
        node = self._folder.get(name)
        if not isinstance(node, Folder):
            raise failure(errno.ENOTDIR, name)
        if node.names:
            raise failure(errno.ENOTEMPTY, name)
        self._folder.drop(name)

    def unlink(self, name: Name) -> None:
        """Remove anything but a directory."""
        name = os.fsdecode(name)
        if isinstance(self._folder.get(name), Folder):
            raise failure(errno.EISDIR, name)
        self._folder.drop(name)

    def _target(self, to: Directory) -> Folder:
        if not isinstance(to, MemoryDirectory) or to._folder.volume is not self._folder.volume:
            raise failure(errno.EXDEV)
        return to._folder

    def link(self, name: Name, to: Directory, new: Name) -> None:
        """Give a file another name."""
        name, new = os.fsdecode(name), os.fsdecode(new)
        target = self._target(to)
        node = self._folder.get(name)
        if target.find(new) is not None:
            raise failure(errno.EEXIST, new)
        if isinstance(node, Folder):
            raise failure(errno.EPERM, name)
        target.add(new, node)
        node.links += 1

    def rename(self, name: Name, to: Directory, new: Name) -> None:
        """Move."""
        name, new = os.fsdecode(name), os.fsdecode(new)
        target = self._target(to)
        node = self._folder.get(name)
        old = target.find(new)
        if isinstance(node, Folder) and target.has_above(node):
            raise failure(errno.EINVAL, name)
        if old is node:
            return
        if isinstance(old, Folder):
            if self._folder.has_above(old):
                raise failure(errno.ENOTEMPTY, new)
            if not isinstance(node, Folder):
                raise failure(errno.EISDIR, new)
            if old.names:
                raise failure(errno.ENOTEMPTY, new)
        elif old is not None and isinstance(node, Folder):
            raise failure(errno.ENOTDIR, new)
        self._folder.move(name, target, new)
