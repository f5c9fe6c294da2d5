"""Floor 6: read-only file systems made of a zip archive or of the resources of a Python package.

In: a `zipfile.ZipFile`, or anything like `importlib.resources.files(...)`. Out: a read-only `Directory`. The contents
of a file are in memory, once, while guests have it open, unless the resource is a file of the host.
"""

from __future__ import annotations

import calendar
import errno
import itertools
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

from figwasp.wasi.abi import FILETYPE_DIRECTORY, FILETYPE_REGULAR_FILE, FILETYPE_SYMBOLIC_LINK
from figwasp.wasi.directories.contents import LIMIT, Contents, size_of
from figwasp.wasi.directories.host import HostDirectory
from figwasp.wasi.filesystem import ONLY_DIRECTORY, Directory, Entry, File, Status, count, failure

if TYPE_CHECKING:
    from zipfile import ZipFile, ZipInfo

    from figwasp.wasi.filesystem import Name

__all__ = ["ResourceDirectory", "ZipDirectory"]

_devices: Final = itertools.count(1 << 33)
_UNREADABLE: Final = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError)
"""Exceptions of `zipfile` for contents that are damaged, encrypted, or compressed by an unknown method."""


class ZipDirectory(Directory):
    """The contents of a zip archive, read-only.

    >>> import io, zipfile
    >>> from figwasp.wasi import ZipDirectory
    >>> archive = zipfile.ZipFile(io.BytesIO(), "w")
    >>> archive.writestr("lib/a.txt", "text")
    >>> [entry.name for entry in ZipDirectory(archive).entries()]
    ['lib']

    Names that no path leads to, such as `../x`, are left out.

    Args:
        archive: the archive, open for as long as the guest runs.
        limit: most bytes of all files that are open at the same time.
    """

    def __init__(self, archive: ZipFile, *, limit: int = LIMIT) -> None:
        self._start(archive, next(_devices), itertools.count(1), Contents(limit))
        for info in archive.infolist():
            self._add(info)

    def __repr__(self) -> str:
        return f"<ZipDirectory of {self._archive.filename or 'an archive in memory'}: {count(len(self._names), 'name')}>"

    def _start(self, archive: ZipFile, device: int, inodes: Iterator[int], contents: Contents) -> None:
        self._archive = archive
        self._inodes = inodes
        self._contents = contents
        self._names: dict[str, ZipDirectory | tuple[Status, ZipInfo]] = {}
        self._status = Status(FILETYPE_DIRECTORY, inode=next(inodes), device=device)

    def _add(self, info: ZipInfo) -> None:
        *folders, name = info.filename.split("/")
        if not {"", ".", ".."}.isdisjoint(folders) or name in (".", "..") or any("\0" in part for part in (*folders, name)):
            return
        place = self
        for folder in folders:
            below = place._names.get(folder)
            if not isinstance(below, ZipDirectory):
                below = place._names[folder] = ZipDirectory.__new__(ZipDirectory)
                below._start(self._archive, self._status.device, self._inodes, self._contents)
            place = below
        if name and not isinstance(place._names.get(name), ZipDirectory):
            time = _nanoseconds(info)
            status = Status(FILETYPE_REGULAR_FILE, info.file_size, next(self._inodes), 1, time, time, time, self._status.device)
            place._names[name] = status, info

    def status(self) -> Status:
        """Return its attributes."""
        return self._status

    def entries(self) -> Iterable[Entry]:
        """Return the entries."""
        return [Entry(name, status.filetype, status.inode) for name in self._names for status in (self.look(name),)]

    def look(self, name: Name) -> Status:
        """Return the attributes of a name."""
        name = os.fsdecode(name)
        found = self._find(name)
        return found._status if isinstance(found, ZipDirectory) else found[0]

    def open(self, name: Name, how: int) -> File | Directory:
        """Open a name; a file is decompressed at once, unless it is open already."""
        name = os.fsdecode(name)
        found = self._find(name)
        if isinstance(found, ZipDirectory):
            return found
        if how & ONLY_DIRECTORY:
            raise failure(errno.ENOTDIR, name)
        status, info = found
        try:
            return self._contents.file(status, lambda: self._archive.open(info))
        except _UNREADABLE:
            raise failure(errno.EIO, name) from None

    def _find(self, name: str) -> ZipDirectory | tuple[Status, ZipInfo]:
        found = self._names.get(name)
        if found is None:
            raise failure(errno.ENOENT, name)
        return found


def _nanoseconds(info: ZipInfo) -> int:
    """Return a time of an archive; programs that want no times in it write zeros."""
    year, month, day, *clock = info.date_time
    return calendar.timegm((year, min(max(month, 1), 12), max(day, 1), *clock, 0, 0, 0)) * 10**9


class ResourceDirectory(Directory):
    """A tree of resources, read-only: from `importlib.resources.files(package)`, or a `zipfile.Path`.

    Args:
        resources: the directory; listed once, when first something is looked for.
        limit: most bytes of all files that are open at the same time, those of the host aside.

    Raises:
        OSError: the resource is no directory.
    """

    def __init__(self, resources: Any, *, limit: int = LIMIT) -> None:
        if not resources.is_dir():
            raise failure(errno.ENOTDIR if resources.is_file() else errno.ENOENT, resources.name)
        inodes = itertools.count(1)
        self._start(resources, Status(FILETYPE_DIRECTORY, inode=next(inodes), device=next(_devices)), inodes, Contents(limit))

    def __repr__(self) -> str:
        return f"<ResourceDirectory of {self._resources!r}>"

    def _start(self, resources: Any, status: Status, inodes: Iterator[int], contents: Contents) -> None:
        self._resources = resources
        self._status = status
        self._inodes = inodes
        self._contents = contents
        self._found: dict[str, tuple[Any, Status]] | None = None
        self._below: dict[str, ResourceDirectory] = {}

    def _names(self) -> dict[str, tuple[Any, Status]]:
        """Return resources and their attributes by name; the size of a file is -1 until it has been read."""
        if self._found is None:
            self._found = {}
            for child in self._resources.iterdir():
                name = child.name
                if name not in ("", ".", "..") and "/" not in name and "\0" not in name and not _leads_elsewhere(child):
                    status = Status(_filetype(child), -1)
                    self._found[name] = child, status._replace(inode=next(self._inodes), device=self._status.device)
        return self._found

    def _find(self, name: str) -> tuple[Any, Status]:
        found = self._names().get(name)
        if found is None:
            raise failure(errno.ENOENT, name)
        return found

    def status(self) -> Status:
        """Return its attributes."""
        return self._status

    def entries(self) -> Iterable[Entry]:
        """Return the entries."""
        return [Entry(name, status.filetype, status.inode) for name, (_, status) in self._names().items()]

    def look(self, name: Name) -> Status:
        """Return the attributes of a name."""
        name = os.fsdecode(name)
        child, status = self._find(name)
        if isinstance(child, os.PathLike):
            with _place(child) as place:
                return place.look(os.path.basename(child))
        if status.size >= 0:
            return status
        size = 0 if status.filetype == FILETYPE_DIRECTORY else _size(child, name)
        status = status._replace(size=size)
        self._names()[name] = child, status
        return status

    def open(self, name: Name, how: int) -> File | Directory:
        """Open a name."""
        name = os.fsdecode(name)
        child, status = self._find(name)
        if isinstance(child, os.PathLike):
            with _place(child) as place:
                return place.open(os.path.basename(child), how)
        if status.filetype != FILETYPE_DIRECTORY:
            if how & ONLY_DIRECTORY:
                raise failure(errno.ENOTDIR, name)
            return self._file(child, name, status)
        return self._below.get(name) or self._below.setdefault(name, self._directory(child, status))

    def _file(self, child: Any, name: str, status: Status) -> File:
        try:
            return self._contents.file(status, lambda: child.open("rb"))
        except _UNREADABLE:
            raise failure(errno.EIO, name) from None

    def _directory(self, child: Any, status: Status) -> ResourceDirectory:
        """Return the object for a directory below, the same each time, since it keeps its names."""
        below = ResourceDirectory.__new__(ResourceDirectory)
        below._start(child, status._replace(size=0), self._inodes, self._contents)
        return below

    def readlink(self, name: Name) -> str:
        """Read a symlink, which only the host has."""
        name = os.fsdecode(name)
        child, _ = self._find(name)
        if not isinstance(child, os.PathLike):
            raise failure(errno.EINVAL, name)
        with _place(child) as place:
            return place.readlink(os.path.basename(child))


def _filetype(resource: Any) -> int:
    if isinstance(resource, os.PathLike) and os.path.islink(resource):
        return FILETYPE_SYMBOLIC_LINK
    return FILETYPE_DIRECTORY if resource.is_dir() else FILETYPE_REGULAR_FILE


def _leads_elsewhere(resource: Any) -> bool:
    """Return whether some of the directories that `importlib` has merged are not directories themselves: it follows symlinks."""
    return any(map(os.path.islink, getattr(resource, "_paths", ())))


def _place(path: os.PathLike[str]) -> closing[HostDirectory]:
    """Open the directory that a resource of the host lies in: its own name may be a symlink, which the host must not follow."""
    return closing(HostDirectory(os.path.dirname(path), writable=False))


def _size(resource: Any, name: str) -> int:
    """Return the size of a resource that is no file of the host."""
    try:
        return size_of(lambda: resource.open("rb"))
    except _UNREADABLE:
        raise failure(errno.EIO, name) from None
