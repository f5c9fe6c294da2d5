"""Floor 6: the file descriptors of a guest.

In: files and directories that file systems open. Out: `Descriptor` objects, all with the same methods, which raise
`OSError` as the host does. Here: the base, and those for files and directories of file systems that are Python
objects. `hostfiles` has those with a descriptor of the host below them, `streams` those for Python's file objects,
`sockets` the rest. Rights and flags are kept here, enforced by the callers.
"""

from __future__ import annotations

import errno
import os

from figwasp.wasi.abi import (
    BADF,
    DIRECTORY_RIGHTS,
    FD_ALLOCATE,
    FD_FILESTAT_SET_SIZE,
    FD_FILESTAT_SET_TIMES,
    FD_READ,
    FD_WRITE,
    FDFLAG_APPEND,
    FDFLAG_DSYNC,
    FDFLAG_RSYNC,
    FDFLAG_SYNC,
    FILE_RIGHTS,
    FILETYPE_DIRECTORY,
    FILETYPE_REGULAR_FILE,
    ISDIR,
    NOTCAPABLE,
    NOTDIR,
    NOTSUP,
    SPIPE,
    STREAM_RIGHTS,
    Fail,
)
from figwasp.wasi.descriptors.listing import Listing
from figwasp.wasi.filesystem import Status, failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from figwasp.wasi.allowance import Allowance
    from figwasp.wasi.filesystem import Directory, File

SYNC_FLAGS: Final = FDFLAG_DSYNC | FDFLAG_RSYNC | FDFLAG_SYNC
CHANGES: Final = FD_WRITE | FD_ALLOCATE | FD_FILESTAT_SET_SIZE | FD_FILESTAT_SET_TIMES
"""Rights that nobody has on a file of a read-only file system."""
_CHUNK: Final = 1 << 20
"""Most bytes that are moved at once between a Python object and the guest."""


class Descriptor:
    """A file descriptor of the guest. This base has the answers for operations that a kind does not have.

    Attributes:
        host: the host's descriptor, or -1.
        filetype: one of FILETYPE_*.
        base: rights of the descriptor itself.
        inheriting: rights that descriptors opened through it may have.
        flags: FDFLAG_*.
        preopen: the guest's name of a preopened directory, or None.
    """

    __slots__ = ("base", "filetype", "flags", "host", "inheriting", "preopen")

    def __init__(self, host: int, filetype: int, base: int, inheriting: int = 0, flags: int = 0) -> None:
        self.host = host
        self.filetype = filetype
        self.base = base
        self.inheriting = inheriting
        self.flags = flags
        self.preopen: bytes | None = None

    def read(self, buffers: Sequence[memoryview]) -> int:
        """Fill buffers from the current position; return the number of bytes, 0 at the end."""
        raise failure(errno.EISDIR)

    def write(self, buffers: Sequence[memoryview]) -> int:
        """Write buffers at the current position; return the number of bytes, which may be fewer."""
        raise failure(errno.EISDIR)

    def read_at(self, buffers: Sequence[memoryview], offset: int) -> int:
        """Fill buffers from an offset and leave the position alone."""
        raise failure(errno.ESPIPE)

    def write_at(self, buffers: Sequence[memoryview], offset: int) -> int:
        """Write buffers at an offset and leave the position alone."""
        raise failure(errno.ESPIPE)

    def seek(self, offset: int, how: int) -> int:
        """Move the position by one of `os.SEEK_*`; return it."""
        raise failure(errno.ESPIPE)

    def status(self) -> Status:
        """Return the attributes."""
        return Status(self.filetype)

    def set_times(self, atime: int, mtime: int) -> None:
        """Set both times, where there are any."""

    def set_size(self, size: int) -> None:
        """Cut or lengthen."""
        raise failure(errno.EINVAL)

    def allocate(self, offset: int, size: int) -> None:
        """Make sure that there is room for these bytes, and that the file is long enough to have them."""
        raise failure(errno.ESPIPE)

    def advise(self, offset: int, size: int, how: int) -> None:
        """Tell the host how the file will be used, if the host takes advice."""

    def sync(self, *, data_only: bool) -> None:
        """Write what is buffered to the disk."""

    def flush(self) -> None:
        """Flush Python's buffer, if there is one."""

    def refusal(self, missing: int) -> int:
        """Return the error for missing rights: POSIX's where this kind never has them, else that of a missing capability."""
        if self.filetype == FILETYPE_DIRECTORY:
            if missing & ~DIRECTORY_RIGHTS:
                return ISDIR
        elif missing & ~FILE_RIGHTS:
            return NOTDIR
        elif self.filetype != FILETYPE_REGULAR_FILE and missing & ~STREAM_RIGHTS:
            return SPIPE
        return BADF if missing & (FD_READ | FD_WRITE) else NOTCAPABLE

    def waits_for(self) -> int:
        """Return the descriptor of the host that reading would wait for, -1 if there is none or it would not wait."""
        return self.host

    def set_flags(self, flags: int) -> None:
        """Change the FDFLAG_* as far as they can be changed.

        Raises:
            Fail: NOTSUP, as nothing changes how an open file is synchronised.
        """
        if (flags ^ self.flags) & SYNC_FLAGS:
            raise Fail(NOTSUP)
        self.flags = flags

    def close(self) -> None:
        """Close the file, directory or host descriptor below."""


class OpenFile(Descriptor):
    """A file of a file system that is a Python object. The position is kept here."""

    __slots__ = ("_file", "_position")

    def __init__(self, file: File, base: int, flags: int) -> None:
        super().__init__(-1, file.status().filetype, base & (FILE_RIGHTS if file.writable else FILE_RIGHTS & ~CHANGES), 0, flags)
        self._file = file
        self._position = 0

    def read(self, buffers: Sequence[memoryview]) -> int:
        """Read, and advance the position."""
        size = self.read_at(buffers, self._position)
        self._position += size
        return size

    def read_at(self, buffers: Sequence[memoryview], offset: int) -> int:
        """Read a chunk at most, one buffer after the other, until the file object returns less than fills one."""
        done = 0
        for buffer in buffers:
            wanted = min(len(buffer), _CHUNK - done)
            data = memoryview(self._file.read(offset + done, wanted))[:wanted] if wanted else b""
            buffer[: len(data)] = data
            done += len(data)
            if len(data) < len(buffer):
                break
        return done

    def write(self, buffers: Sequence[memoryview]) -> int:
        """Write, and advance the position."""
        start = self._file.status().size if self.flags & FDFLAG_APPEND else self._position
        size = self._write(buffers, start)
        if size:  # appending nothing leaves the position where it is
            self._position = start + size
        return size

    def write_at(self, buffers: Sequence[memoryview], offset: int) -> int:
        """Write at an offset, or at the end if the file is open for appending, as the host does."""
        return self._write(buffers, self._file.status().size if self.flags & FDFLAG_APPEND else offset)

    def _write(self, buffers: Sequence[memoryview], start: int) -> int:
        data = b"".join(first(buffers, _CHUNK))
        written = min(max(self._file.write(start, data), 0), len(data)) if data else 0
        if self.flags & SYNC_FLAGS:
            self._file.sync(data_only=not self.flags & FDFLAG_SYNC)
        return written

    def seek(self, offset: int, how: int) -> int:
        """Move the position."""
        start = 0 if how == os.SEEK_SET else self._position if how == os.SEEK_CUR else self._file.status().size
        if not 0 <= start + offset < 1 << 63:
            raise failure(errno.EINVAL)
        self._position = start + offset
        return self._position

    def status(self) -> Status:
        """Return the attributes."""
        return self._file.status()

    def set_times(self, atime: int, mtime: int) -> None:
        """Set both times."""
        self._file.set_times(atime, mtime)

    def set_size(self, size: int) -> None:
        """Cut or lengthen."""
        self._file.set_size(size)

    def allocate(self, offset: int, size: int) -> None:
        """Lengthen if need be."""
        if size == 0:
            raise failure(errno.EINVAL)
        if offset + size > self._file.status().size:
            self._file.set_size(offset + size)

    def sync(self, *, data_only: bool) -> None:
        """Pass the request on to the file."""
        self._file.sync(data_only=data_only)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class OpenDirectory(Descriptor):
    """A directory of any file system.

    A listing is taken when the guest reads from the start, and kept until it does so again, so that cookies, which are
    positions in the listing, stay true while entries come and go.

    Attributes:
        directory: the directory.
    """

    __slots__ = ("_listing", "directory")

    def __init__(self, directory: Directory, base: int, inheriting: int, flags: int = 0) -> None:
        super().__init__(-1, FILETYPE_DIRECTORY, base, inheriting, flags)
        self.directory = directory
        self._listing: Listing | None = None

    def listing(self, cookie: int, allowance: Allowance) -> Listing:
        """Return the entries; cookie 0 or no listing yet means to look again.

        Raises:
            OSError: ENOMEM when the allowance is not enough.
        """
        if cookie == 0:
            self._listing = None  # what it takes is free before the next is made
        if self._listing is None:
            self._listing = Listing(self.directory, allowance)
        return self._listing

    def status(self) -> Status:
        """Return the attributes."""
        return self.directory.status()

    def set_times(self, atime: int, mtime: int) -> None:
        """Set both times."""
        if not self.directory.writable:
            raise failure(errno.EROFS)
        self.directory.set_times(atime, mtime)

    def sync(self, *, data_only: bool) -> None:
        """Pass the request on to the directory."""
        self.directory.sync(data_only=data_only)

    def close(self) -> None:
        """Close the directory."""
        self._listing = None
        self.directory.close()


def first(buffers: Sequence[memoryview], room: int) -> Sequence[memoryview]:
    """Return the first buffers, for so many bytes at most."""
    if sum(map(len, buffers)) <= room:
        return buffers
    parts = []
    for buffer in buffers:
        parts.append(buffer[:room])
        room -= len(parts[-1])
        if not room:
            break
    return parts
