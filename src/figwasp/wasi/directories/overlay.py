"""Floor 6: several directories seen as one.

In: a directory on top, which takes all that the guest writes, and others below it, which stay as they are. Out: a
`Directory` in which a name stands for the topmost entry of that name, and directories of the same name are merged.

Theory of operation. A file from below that is opened for writing, or gets other times or another name, is copied to the
top first; those who have it open already keep the original. An entry removed below is only hidden: the names are kept in
a set, by their path from the root of the overlay, for as long as that lives. Directories from below cannot be renamed
(EXDEV, on which programs copy), as with overlayfs of Linux.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from figwasp.api import deadline
from figwasp.wasi.abi import FILETYPE_DIRECTORY, FILETYPE_REGULAR_FILE, FILETYPE_SYMBOLIC_LINK
from figwasp.wasi.filesystem import CREATE, EXCLUSIVE, READ, TRUNCATE, WRITE, Directory, Entry, File, Status, failure

if TYPE_CHECKING:
    from figwasp.wasi.filesystem import Name

__all__ = ["OverlayDirectory"]

_PIECE = 1 << 20


class _View:
    """The state that all directories of an overlay share.

    Attributes:
        top: the directory on top at the root.
        hidden: names that the lower directories do not have any more, by their paths.
    """

    __slots__ = ("hidden", "top")

    def __init__(self, top: Directory) -> None:
        self.top = top
        self.hidden: set[tuple[str, ...]] = set()


class OverlayDirectory(Directory):
    """Directories on top of each other.

    >>> from figwasp.wasi import MemoryDirectory, OverlayDirectory
    >>> both = OverlayDirectory(MemoryDirectory({"a": "new"}), MemoryDirectory({"a": "old", "b": "old"}))
    >>> sorted(entry.name for entry in both.entries()), both.read_bytes("a")
    (['a', 'b'], b'new')

    Args:
        top: takes all changes; if it is not writable, neither is this.
        below: any number of others, which are never changed.
    """

    def __init__(self, top: Directory, *below: Directory) -> None:
        self._start(_View(top), (), top, list(below))

    def __repr__(self) -> str:
        place = f" {'/'.join(self._path)!r}" if self._path else ""
        return f"<OverlayDirectory{place}: {', '.join(map(repr, self._layers()))}>"

    def _start(self, view: _View, path: tuple[str, ...], top: Directory | None, below: list[Directory]) -> None:
        self._view = view
        self._path = path
        self._top = top
        self._below = below
        self.writable = view.top.writable

    def _again(self, path: tuple[str, ...], top: Directory | None, below: list[Directory]) -> OverlayDirectory:
        """Make the object for another directory of the same overlay."""
        directory = OverlayDirectory.__new__(OverlayDirectory)
        directory._start(self._view, path, top, below)
        return directory

    def _layers(self) -> list[Directory]:
        return self._below if self._top is None else [self._top, *self._below]

    def _upper(self) -> Directory:
        """Return this directory of the top, which is made if it is not there yet."""
        if self._top is None:
            if self._path in self._view.hidden:
                raise failure(errno.ENOENT, self._path[-1])
            place = self._view.top.reopen()
            for name in self._path:
                if _look(place, name) is None:
                    place.mkdir(name)
                below = place.enter(name)
                place.close()
                place = below
            self._top = place
        return self._top

    def _in_top(self, name: str) -> Status | None:
        return None if self._top is None else _look(self._top, name)

    def _lower(self, name: str) -> tuple[Directory, Status] | None:
        """Return the lower directory that has a name, and the attributes of the entry."""
        if (*self._path, name) not in self._view.hidden:
            for layer in self._below:
                status = _look(layer, name)
                if status is not None:
                    return layer, status
        return None

    def status(self) -> Status:
        """Return its attributes."""
        return self._layers()[0].status()

    def set_times(self, atime: int, mtime: int) -> None:
        """Set both times."""
        self._upper().set_times(atime, mtime)

    def close(self) -> None:
        """Close all the directories."""
        for layer in self._layers():
            if layer is not self._view.top:
                layer.close()

    def reopen(self) -> Directory:
        """Return another object for the same directory."""
        top = None if self._top is None else self._top.reopen()
        return self._again(self._path, top, [layer.reopen() for layer in self._below])

    def entries(self) -> Iterable[Entry]:
        """Return the entries."""
        seen: set[str] = set()
        for layer in self._layers():
            for entry in layer.entries():
                if layer is self._top or (*self._path, entry.name) not in self._view.hidden:
                    if entry.name not in seen:
                        yield entry
                    seen.add(entry.name)

    def look(self, name: Name) -> Status:
        """Return the attributes of a name."""
        name = os.fsdecode(name)
        status = self._in_top(name)
        if status is not None:
            return status
        lower = self._lower(name)
        if lower is None:
            raise failure(errno.ENOENT, name)
        return lower[1]

    def enter(self, name: Name) -> Directory:
        """Open a directory."""
        name = os.fsdecode(name)
        layers: list[Directory] = []
        status = self._in_top(name)
        top = None
        if status is not None:
            assert self._top is not None
            top = self._top.enter(name)
        if (*self._path, name) not in self._view.hidden:
            for layer in self._below:
                found = _look(layer, name)
                if found is None:
                    continue
                if found.filetype != FILETYPE_DIRECTORY:
                    if top is None and not layers:
                        layer.enter(name)  # fails as it should
                    break
                layers.append(layer.enter(name))
        if top is None and not layers:
            raise failure(errno.ENOENT, name)
        return self._again((*self._path, name), top, layers)

    def open(self, name: Name, how: int) -> File | Directory:
        """Open a name."""
        name = os.fsdecode(name)
        status = self._in_top(name)
        lower = self._lower(name) if status is None else None
        found = lower[1] if lower is not None else status
        if found is None:
            if not how & CREATE:
                raise failure(errno.ENOENT, name)
            return self._upper().open(name, how)
        if how & CREATE and how & EXCLUSIVE:
            raise failure(errno.EEXIST, name)
        if found.filetype == FILETYPE_DIRECTORY:
            if how & (WRITE | CREATE | TRUNCATE):
                raise failure(errno.EISDIR, name)
            return self.enter(name)
        if lower is None:
            return self._upper().open(name, how)
        if how & (WRITE | TRUNCATE) and found.filetype != FILETYPE_SYMBOLIC_LINK:
            self._raise_up(name, lower[0], found, with_data=not how & TRUNCATE)
            return self._upper().open(name, how)
        file = lower[0].open(name, how & ~CREATE)
        file.writable = False
        return file

    def _raise_up(self, name: str, layer: Directory, status: Status, *, with_data: bool = True) -> None:
        """Copy a file or a symlink to the top."""
        top = self._upper()
        if status.filetype == FILETYPE_SYMBOLIC_LINK:
            top.symlink(layer.readlink(name), name)
        else:
            source = layer.open(name, READ)
            target = top.open(name, WRITE | CREATE | EXCLUSIVE)
            try:
                if with_data:
                    _copy(source, target)
            except BaseException:
                top.unlink(name)
                raise
            finally:
                source.close()
                target.close()
        top.touch(name, status.atime, status.mtime)

    def _own(self, name: str) -> None:
        """Make sure that a name is in the top, copied if need be; a directory is made empty.

        Raises:
            OSError: ENOENT.
        """
        if self._in_top(name) is not None:
            return
        lower = self._lower(name)
        if lower is None:
            raise failure(errno.ENOENT, name)
        if lower[1].filetype == FILETYPE_DIRECTORY:
            self._upper().mkdir(name)
        else:
            self._raise_up(name, *lower)

    def readlink(self, name: Name) -> str:
        """Read a symlink."""
        name = os.fsdecode(name)
        if self._in_top(name) is not None:
            return self._upper().readlink(name)
        lower = self._lower(name)
        if lower is None:
            raise failure(errno.ENOENT, name)
        return lower[0].readlink(name)

    def touch(self, name: Name, atime: int, mtime: int) -> None:
        """Set both times of a name."""
        name = os.fsdecode(name)
        self._own(name)
        self._upper().touch(name, atime, mtime)

    def _must_be_new(self, name: str) -> None:
        if self._in_top(name) is not None or self._lower(name) is not None:
            raise failure(errno.EEXIST, name)

    def _new(self, name: str) -> Directory:
        """Return the top for something to be made under a name that is free."""
        self._must_be_new(name)
        return self._upper()

    def mkdir(self, name: Name) -> None:
        """Make a directory."""
        name = os.fsdecode(name)
        self._new(name).mkdir(name)

    def symlink(self, target: Name, name: Name) -> None:
        """Make a symlink."""
        target, name = os.fsdecode(target), os.fsdecode(name)
        self._new(name).symlink(target, name)

    def rmdir(self, name: Name) -> None:
        """Remove an empty directory."""
        name = os.fsdecode(name)
        if self.look(name).filetype != FILETYPE_DIRECTORY:
            raise failure(errno.ENOTDIR, name)
        self._must_be_empty(name)
        self._remove(name, directory=True)

    def unlink(self, name: Name) -> None:
        """Remove anything but a directory."""
        name = os.fsdecode(name)
        if self.look(name).filetype == FILETYPE_DIRECTORY:
            raise failure(errno.EISDIR, name)
        self._remove(name, directory=False)

    def _must_be_empty(self, name: str) -> None:
        below = self.enter(name)
        try:
            if any(True for _ in below.entries()):
                raise failure(errno.ENOTEMPTY, name)
        finally:
            below.close()

    def _remove(self, name: str, *, directory: bool) -> None:
        is_below = self._lower(name) is not None
        if self._in_top(name) is not None:
            top = self._upper()
            (top.rmdir if directory else top.unlink)(name)
        if is_below:
            self._view.hidden.add((*self._path, name))

    def _same(self, to: Directory) -> OverlayDirectory:
        if not isinstance(to, OverlayDirectory) or to._view is not self._view:
            raise failure(errno.EXDEV)
        return to

    def link(self, name: Name, to: Directory, new: Name) -> None:
        """Give a file another name."""
        name, new = os.fsdecode(name), os.fsdecode(new)
        target = self._same(to)
        is_directory = self.look(name).filetype == FILETYPE_DIRECTORY
        target._must_be_new(new)
        if is_directory:
            raise failure(errno.EPERM, name)
        upper = target._upper()
        self._own(name)
        self._upper().link(name, upper, new)

    def _is_below(self, path: tuple[str, ...]) -> bool:
        """Return whether a path is that of this directory or of one above it."""
        return self._path[: len(path)] == path

    def rename(self, name: Name, to: Directory, new: Name) -> None:
        """Rename an entry; a directory that also exists below cannot be renamed."""
        name, new = os.fsdecode(name), os.fsdecode(new)
        target = self._same(to)
        status, lower, hides = self.look(name), self._lower(name), target._lower(new) is not None
        old = target.look(new) if hides or target._in_top(new) is not None else None
        if target._is_below((*self._path, name)):
            raise failure(errno.EINVAL, name)
        if self._is_below((*target._path, new)):
            raise failure(errno.ENOTEMPTY, new)
        if old is not None:
            if (old.device, old.inode) == (status.device, status.inode) != (0, 0):
                return
            if old.filetype == FILETYPE_DIRECTORY:
                if status.filetype != FILETYPE_DIRECTORY:
                    raise failure(errno.EISDIR, new)
                target._must_be_empty(new)
            elif status.filetype == FILETYPE_DIRECTORY:
                raise failure(errno.ENOTDIR, new)
        if lower is not None and lower[1].filetype == FILETYPE_DIRECTORY:
            raise failure(errno.EXDEV, name)
        self._own(name)
        self._upper().rename(name, target._upper(), new)
        if lower is not None:
            self._view.hidden.add((*self._path, name))
        if hides:
            self._view.hidden.add((*target._path, new))


def _look(directory: Directory, name: str) -> Status | None:
    """Return the attributes of a name, None if there is nothing."""
    try:
        return directory.look(name)
    except FileNotFoundError:
        return None


def _copy(source: File | Directory, target: File | Directory) -> None:
    """Copy the contents of a file.

    Raises:
        OSError: EPERM for what is no regular file.
    """
    if not isinstance(source, File) or not isinstance(target, File) or source.status().filetype != FILETYPE_REGULAR_FILE:
        raise failure(errno.EPERM)
    offset = 0
    while data := bytes(source.read(offset, _PIECE)):
        deadline.check()
        while data:
            written = target.write(offset, data)
            offset += written
            data = data[written:]
