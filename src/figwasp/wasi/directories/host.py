"""Floor 6: directories of the host, given to guests.

In: a path of the host, once; from then on descriptors and single names. Out: a `Directory` and the `File` that it
opens.

Every host call names one entry relative to a descriptor and does not follow symlinks (O_NOFOLLOW and the like), so
whatever others do to the tree meanwhile, nothing outside of it is ever touched.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from functools import partial
from operator import call

from figwasp.runtime.platform.linux import enter_beneath
from figwasp.wasi import filesystem as how_to
from figwasp.wasi.abi import (
    FILETYPE_DIRECTORY,
    FILETYPE_REGULAR_FILE,
    FILETYPE_SYMBOLIC_LINK,
    FILETYPE_UNKNOWN,
    filetype_of,
)
from figwasp.wasi.filesystem import Directory, Entry, File, Status, failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Final

    from figwasp.wasi.filesystem import Name

__all__ = ["HostDirectory", "HostFile", "status_of"]

_ALWAYS: Final = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
"""Nonblocking, so that a FIFO without a partner does not hang; the user of the file undoes that afterwards."""
_ENTER: Final = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LIST: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_BITS: Final = (
    (how_to.CREATE, os.O_CREAT),
    (how_to.TRUNCATE, os.O_TRUNC),
    (how_to.ONLY_DIRECTORY, os.O_DIRECTORY),
    (how_to.APPEND, os.O_APPEND),
    (how_to.DSYNC, os.O_DSYNC),
    (how_to.SYNC, os.O_SYNC),
)


def _keep(keeper: object, name: str, opening: Callable[[], int]) -> None:
    """Store the descriptor that a call of the host opens in an object, with nothing between, as it might never be closed else."""
    deque(map(setattr, (keeper,), (name,), map(call, (opening,))), 0)


def status_of(status: os.stat_result) -> Status:
    """Return the attributes for the host's `stat_result`."""
    return Status(
        filetype_of(status.st_mode),
        status.st_size,
        status.st_ino,
        status.st_nlink,
        status.st_atime_ns,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_dev,
    )


class HostFile(File):
    """An open file of the host: a regular file, a device or a FIFO.

    Attributes:
        fd: the host's descriptor, -1 once it is closed or has been taken over.
    """

    def __init__(self, fd: int, writable: bool) -> None:
        self.fd = fd
        self.writable = writable

    def take(self) -> int:
        """Hand the descriptor over."""
        fd, self.fd = self.fd, -1
        return fd

    def status(self) -> Status:
        """Return its attributes."""
        return status_of(os.fstat(self.fd))

    def set_times(self, atime: int, mtime: int) -> None:
        """Set both times."""
        os.utime(self.fd, ns=(atime, mtime))

    def sync(self, *, data_only: bool) -> None:
        """Write to the disk."""
        if data_only:
            os.fdatasync(self.fd)
        else:
            os.fsync(self.fd)

    def read(self, offset: int, size: int) -> bytes:
        """Read at an offset."""
        return os.pread(self.fd, size, offset)

    def write(self, offset: int, data: bytes) -> int:
        """Write at an offset."""
        return os.pwrite(self.fd, data, offset)

    def set_size(self, size: int) -> None:
        """Cut or lengthen."""
        os.ftruncate(self.fd, size)

    def close(self) -> None:
        """Close the descriptor."""
        fd = self.take()
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        if hasattr(self, "fd"):  # an exception may have come before it was made
            self.close()


class HostDirectory(Directory):
    """A directory of the host and what is below it.

    >>> import figwasp.wasi
    >>> with figwasp.wasi.WASI(dirs={"/": figwasp.wasi.HostDirectory(".", writable=False)}):
    ...     pass

    Args:
        path: its path; symlinks in this one are followed.
        writable: whether the guest may change what is in it.

    Raises:
        OSError: the directory cannot be opened.
    """

    def __init__(self, path: Name, *, writable: bool = True) -> None:
        self._fd = -1
        _keep(self, "_fd", partial(os.open, path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        self.writable = writable

    def __repr__(self) -> str:
        if self._fd < 0:
            return "<HostDirectory: closed>"
        try:
            place = repr(os.readlink(f"/proc/self/fd/{self._fd}"))
        except OSError:
            place = f"descriptor {self._fd}"
        return f"<HostDirectory {place}{'' if self.writable else ', read-only'}>"

    def _below(self, fd: int) -> HostDirectory:
        """Make the object for a directory just opened."""
        below = HostDirectory.__new__(HostDirectory)
        below._fd = fd
        below.writable = self.writable
        return below

    def _open_below(self, name: Name, flags: int) -> HostDirectory:
        below = self._below(-1)
        _keep(below, "_fd", partial(os.open, name, flags, dir_fd=self._fd))
        return below

    def status(self) -> Status:
        """Return its attributes."""
        return status_of(os.fstat(self._fd))

    def set_times(self, atime: int, mtime: int) -> None:
        """Set both times."""
        os.utime(".", ns=(atime, mtime), dir_fd=self._fd)

    def sync(self, *, data_only: bool) -> None:
        """Write to the disk."""
        os.fsync(self._fd)

    def close(self) -> None:
        """Close the descriptor."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        if hasattr(self, "_fd"):
            self.close()

    def entries(self) -> Iterable[Entry]:
        """Return the entries, by a descriptor opened for that, as this one may serve to look up names only."""
        fd = os.open(".", _LIST, dir_fd=self._fd)
        try:
            with os.scandir(fd) as listing:
                for entry in listing:  # one at a time: there may be more than fit into memory
                    yield Entry(entry.name, _entry_type(entry), entry.inode())
        finally:
            os.close(fd)

    def look(self, name: Name) -> Status:
        """Return the attributes of a name."""
        return status_of(os.stat(name, dir_fd=self._fd, follow_symlinks=False))

    def open(self, name: Name, how: int) -> File | Directory:
        """Open a name."""
        writes = how & (how_to.WRITE | how_to.TRUNCATE)
        flags = _ALWAYS | (os.O_RDONLY if not writes else os.O_RDWR if how & how_to.READ else os.O_WRONLY)
        for bit, host in _BITS:
            if how & bit:
                flags |= host
        if how & how_to.CREATE and how & how_to.EXCLUSIVE:
            flags |= os.O_EXCL
        found = HostFile(-1, self.writable)
        _keep(found, "fd", partial(os.open, name, flags, 0o666, dir_fd=self._fd))
        if os.fstat(found.fd).st_mode & 0o170000 != 0o040000:
            return found
        below = self._below(-1)
        below._fd, found.fd = found.fd, -1  # assignments alone let no interrupt in
        return below

    def enter(self, name: Name) -> Directory:
        """Open a directory only to look up names in it."""
        return self._open_below(name, _ENTER)

    def descend(self, names: Sequence[str]) -> Directory | None:
        """Enter the directories with one system call, if the kernel has it."""
        try:
            return self._below(enter_beneath(self._fd, "/".join(names)))
        except (OSError, ValueError):
            return None

    def reopen(self) -> Directory:
        """Open the directory once more."""
        return self._open_below(".", _LIST)

    def readlink(self, name: Name) -> str:
        """Read a symlink."""
        return os.readlink(os.fsdecode(name), dir_fd=self._fd)

    def touch(self, name: Name, atime: int, mtime: int) -> None:
        """Set both times of a name."""
        os.utime(name, ns=(atime, mtime), dir_fd=self._fd, follow_symlinks=False)

    def mkdir(self, name: Name) -> None:
        """Make a directory."""
        os.mkdir(name, dir_fd=self._fd)

    def rmdir(self, name: Name) -> None:
        """Remove an empty directory."""
        os.rmdir(name, dir_fd=self._fd)

    def unlink(self, name: Name) -> None:
        """Remove anything but a directory."""
        os.unlink(name, dir_fd=self._fd)

    def symlink(self, target: Name, name: Name) -> None:
        """Make a symlink."""
        os.symlink(target, name, dir_fd=self._fd)

    def link(self, name: Name, to: Directory, new: Name) -> None:
        """Give a file another name."""
        os.link(name, new, src_dir_fd=self._fd, dst_dir_fd=_other(to), follow_symlinks=False)

    def rename(self, name: Name, to: Directory, new: Name) -> None:
        """Move."""
        os.rename(name, new, src_dir_fd=self._fd, dst_dir_fd=_other(to))


def _other(to: Directory) -> int:
    if not isinstance(to, HostDirectory):
        raise failure(errno.EXDEV)
    return to._fd


def _entry_type(entry: os.DirEntry[str]) -> int:
    """Find an entry's type, mostly without asking the host again."""
    if entry.is_symlink():
        return FILETYPE_SYMBOLIC_LINK
    if entry.is_file(follow_symlinks=False):
        return FILETYPE_REGULAR_FILE
    if entry.is_dir(follow_symlinks=False):
        return FILETYPE_DIRECTORY
    try:
        return filetype_of(entry.stat(follow_symlinks=False).st_mode)
    except OSError:  # gone, or not ours to look at
        return FILETYPE_UNKNOWN
