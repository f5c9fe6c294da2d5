"""Floor 6: a guest's descriptors with a descriptor of the host below them.

In: files that `host` opened, and the process's own stdin, stdout and stderr. Out: `Descriptor` objects. None waits
longer than the running call may (`api.deadline`).
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import stat
import sys

from figwasp.api import deadline
from figwasp.wasi.abi import (
    DIRECTORY_RIGHTS,
    FD_ALLOCATE,
    FD_FILESTAT_SET_SIZE,
    FD_READ,
    FDFLAG_APPEND,
    FDFLAG_NONBLOCK,
    FILE_RIGHTS,
    FILETYPE_BLOCK_DEVICE,
    FILETYPE_CHARACTER_DEVICE,
    FILETYPE_REGULAR_FILE,
    FILETYPE_UNKNOWN,
    STREAM_RIGHTS,
    filetype_of,
)
from figwasp.wasi.descriptors.files import CHANGES, Descriptor, OpenDirectory, OpenFile, first
from figwasp.wasi.directories.host import HostFile, status_of
from figwasp.wasi.filesystem import Directory, failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from figwasp.wasi.filesystem import File, Status

_CHUNK: Final = 1 << 24
"""Most bytes that are moved at once between a file and the guest: the running call may have to end soon."""


class OnHost(Descriptor):
    """A descriptor of the host: a regular file, a device, a pipe."""

    __slots__ = ()

    def read(self, buffers: Sequence[memoryview]) -> int:
        """Read, waiting no longer than the running call may."""
        if not buffers:
            return 0
        if self.filetype != FILETYPE_REGULAR_FILE and not self.flags & FDFLAG_NONBLOCK:
            deadline.wait({self.host: select.POLLIN})
        return os.readv(self.host, first(buffers, _CHUNK))

    def write(self, buffers: Sequence[memoryview]) -> int:
        """Write, waiting no longer than the running call may."""
        if len(buffers) == 1 and self.filetype == FILETYPE_REGULAR_FILE and len(buffers[0]) <= _CHUNK:
            return os.write(self.host, buffers[0])  # the usual, done fast
        if not buffers:
            return 0
        most = _CHUNK
        if self.filetype != FILETYPE_REGULAR_FILE and not self.flags & FDFLAG_NONBLOCK:
            deadline.wait({self.host: select.POLLOUT})
            most = select.PIPE_BUF  # so much there is room for
        return os.writev(self.host, first(buffers, most))

    def read_at(self, buffers: Sequence[memoryview], offset: int) -> int:
        """Read at an offset."""
        return os.preadv(self.host, first(buffers, _CHUNK), offset) if buffers else 0

    def write_at(self, buffers: Sequence[memoryview], offset: int) -> int:
        """Write at an offset."""
        return os.pwritev(self.host, first(buffers, _CHUNK), offset) if buffers else 0

    def seek(self, offset: int, how: int) -> int:
        """Move the position."""
        return os.lseek(self.host, offset, how)

    def status(self) -> Status:
        """Return the attributes."""
        return status_of(os.fstat(self.host))

    def set_times(self, atime: int, mtime: int) -> None:
        """Set both times."""
        os.utime(self.host, ns=(atime, mtime))

    def set_size(self, size: int) -> None:
        """Cut or lengthen."""
        os.ftruncate(self.host, size)

    def allocate(self, offset: int, size: int) -> None:
        """Reserve, or where the host cannot, lengthen."""
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(self.host, offset, size)
        elif offset + size > os.fstat(self.host).st_size:
            os.ftruncate(self.host, offset + size)

    def advise(self, offset: int, size: int, how: int) -> None:
        """Pass the advice on to the host."""
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self.host, offset, size, how)

    def sync(self, *, data_only: bool) -> None:
        """Write to the disk."""
        if data_only:
            os.fdatasync(self.host)
        else:
            os.fsync(self.host)

    def close(self) -> None:
        """Close the host's descriptor."""
        host = self.host
        self.host = -1
        if host >= 0:
            os.close(host)

    def __del__(self) -> None:
        if hasattr(self, "host"):  # an exception may have come before it was made
            self.close()


class Opened(OnHost):
    """A file that the guest, or `WASI` for it, opened."""

    __slots__ = ()

    def set_flags(self, flags: int) -> None:
        """Change append and nonblock.

        Raises:
            Fail: NOTSUP, as no host changes how an open file is synchronised.
        """
        super().set_flags(flags)
        host_flags = fcntl.fcntl(self.host, fcntl.F_GETFL) & ~(os.O_APPEND | os.O_NONBLOCK)
        if flags & FDFLAG_APPEND:
            host_flags |= os.O_APPEND
        if flags & FDFLAG_NONBLOCK:
            host_flags |= os.O_NONBLOCK
        fcntl.fcntl(self.host, fcntl.F_SETFL, host_flags)


class Inherited(OnHost):
    """One of the process's own descriptors 0, 1, 2, which stay open and keep their flags, since others share them."""

    __slots__ = ()

    def read(self, buffers: Sequence[memoryview]) -> int:
        """Read; if the guest does not want to wait, only what is there already."""
        if self.flags & FDFLAG_NONBLOCK and not ready(self.host, select.POLLIN):
            raise failure(errno.EAGAIN)
        return super().read(buffers)

    def write(self, buffers: Sequence[memoryview]) -> int:
        """Write at once, after what Python has buffered for the same descriptor."""
        above = sys.stdout if self.host == 1 else sys.stderr if self.host == 2 else None
        flush = getattr(above, "flush", None)
        if flush is not None and not getattr(above, "closed", False):
            flush()
        return super().write(buffers)

    def set_flags(self, flags: int) -> None:
        """Note the flags."""
        self.flags = flags

    def close(self) -> None:
        """Leave the descriptor open."""
        self.host = -1


def opened(found: File | Directory, base: int, inheriting: int, flags: int) -> Descriptor:
    """Make the descriptor for something just opened, with those rights that its type can have.

    The file found belongs to the descriptor from now on. A file of the host was opened with O_NONBLOCK, so that a FIFO without
    a partner does not hang.
    """
    try:
        if isinstance(found, Directory):
            return OpenDirectory(found, base & DIRECTORY_RIGHTS, inheriting & (DIRECTORY_RIGHTS | FILE_RIGHTS), flags)
        if not isinstance(found, HostFile):
            return OpenFile(found, base, flags)
        filetype = found.status().filetype
        rights = FILE_RIGHTS if filetype in (FILETYPE_REGULAR_FILE, FILETYPE_BLOCK_DEVICE) else STREAM_RIGHTS
        if filetype != FILETYPE_REGULAR_FILE and not flags & FDFLAG_NONBLOCK:
            os.set_blocking(found.fd, True)
        made = Opened(-1, filetype, base & (rights if found.writable else rights & ~CHANGES), 0, flags)
        made.host, found.fd = found.fd, -1  # assignments alone let no interrupt in
        return made
    except BaseException:
        found.close()
        raise


def inherited(host: int) -> Descriptor:
    """Make the descriptor for the process's stdin, stdout or stderr.

    Raises:
        OSError: the process has none, or began without: then the number may be that of something else by now.
    """
    if (sys.__stdin__, sys.__stdout__, sys.__stderr__)[host] is None:
        raise failure(errno.EBADF)
    mode = os.fstat(host).st_mode
    other_way = CHANGES if host == 0 else FD_READ
    if stat.S_ISREG(mode):
        if host and fcntl.fcntl(host, fcntl.F_GETFL) & os.O_APPEND:
            other_way |= FD_ALLOCATE | FD_FILESTAT_SET_SIZE  # what was there before is no business of the guest's
        return Inherited(host, FILETYPE_REGULAR_FILE, FILE_RIGHTS & ~other_way)
    filetype = FILETYPE_CHARACTER_DEVICE if stat.S_ISCHR(mode) else FILETYPE_UNKNOWN
    return Inherited(host, filetype, STREAM_RIGHTS & ~other_way)


def from_path(path: str | os.PathLike[str], *, write: bool) -> Descriptor:
    """Open a file of the host to be the guest's stdin, stdout or stderr.

    Raises:
        OSError: from the host.
    """
    how = os.O_WRONLY | os.O_CREAT | os.O_TRUNC if write else os.O_RDONLY
    fd = os.open(path, how | os.O_CLOEXEC | os.O_NOCTTY, 0o666)
    filetype = filetype_of(os.fstat(fd).st_mode)
    rights = FILE_RIGHTS if filetype == FILETYPE_REGULAR_FILE else STREAM_RIGHTS
    return Opened(fd, filetype, rights & ~(FD_READ if write else CHANGES))


def ready(host: int, events: int) -> bool:
    """Return whether a host descriptor is ready for something."""
    poll = select.poll()
    poll.register(host, events)
    return bool(poll.poll(0))
