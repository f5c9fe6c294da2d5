"""Floor 6: what a guest's file descriptors stand for, and the table of them.

In: host descriptors and Python file objects. Out: `Descriptor` objects, all with the same methods, which raise `OSError` as the
host does. Three kinds: a file of the host (regular files, devices, pipes), a directory of the host, and a Python file object.
Rights and flags are kept here, enforced by the callers.
"""

from __future__ import annotations

import errno
import fcntl
import io
import os
import select
import stat
import sys
from collections.abc import Iterable, Sequence
from typing import IO, Final

from figwasp.wasi.abi import (
    BADF,
    DIRECTORY_RIGHTS,
    FD_READ,
    FD_WRITE,
    FDFLAG_APPEND,
    FDFLAG_DSYNC,
    FDFLAG_NONBLOCK,
    FDFLAG_RSYNC,
    FDFLAG_SYNC,
    FILE_RIGHTS,
    FILETYPE_CHARACTER_DEVICE,
    FILETYPE_DIRECTORY,
    FILETYPE_REGULAR_FILE,
    FILETYPE_SYMBOLIC_LINK,
    FILETYPE_UNKNOWN,
    MASK32,
    NOTSUP,
    STREAM_RIGHTS,
    Fail,
    filetype_of,
)

_CHUNK: Final = 1 << 20
"""As much as is moved at once between a Python file object and the guest."""
_SYNC_FLAGS: Final = FDFLAG_DSYNC | FDFLAG_RSYNC | FDFLAG_SYNC


class Descriptor:
    """What a number in the guest's table stands for. This base answers for what a kind cannot do.

    Attributes:
        host: the host's descriptor, or -1.
        filetype: one of FILETYPE_*.
        base: rights of the descriptor itself.
        inheriting: rights that descriptors opened through it may have.
        flags: FDFLAG_*.
        preopen: the guest's name for it when it was there from the start, or None.
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
        """Fill buffers from the current position; give the number of bytes, 0 at the end."""
        raise OSError(errno.EISDIR, "not readable")

    def write(self, buffers: Sequence[memoryview]) -> int:
        """Write buffers at the current position; give the number of bytes, which may be fewer."""
        raise OSError(errno.EISDIR, "not writable")

    def status(self) -> os.stat_result | None:
        """Give the host's status, or None when there is no host file."""
        return os.fstat(self.host)

    def sync(self, *, data_only: bool) -> None:
        """Write what is buffered to the disk."""
        if data_only:
            os.fdatasync(self.host)
        else:
            os.fsync(self.host)

    def flush(self) -> None:
        """Hand on what Python has buffered, if it has."""

    def set_flags(self, flags: int) -> None:
        """Change the FDFLAG_* as far as can be."""
        self.flags = flags

    def close(self) -> None:
        """Close the host's descriptor."""
        host = self.host
        self.host = -1
        if host >= 0:
            os.close(host)

    def __del__(self) -> None:
        self.close()


class HostFile(Descriptor):
    """A file that the guest opened."""

    __slots__ = ()

    def read(self, buffers: Sequence[memoryview]) -> int:
        return os.readv(self.host, buffers) if buffers else 0

    def write(self, buffers: Sequence[memoryview]) -> int:
        return os.writev(self.host, buffers) if buffers else 0

    def set_flags(self, flags: int) -> None:
        """Change append and nonblock.

        Raises:
            Fail: NOTSUP, as no host changes how an open file is synchronised.
        """
        if (flags ^ self.flags) & _SYNC_FLAGS:
            raise Fail(NOTSUP)
        host_flags = fcntl.fcntl(self.host, fcntl.F_GETFL) & ~(os.O_APPEND | os.O_NONBLOCK)
        if flags & FDFLAG_APPEND:
            host_flags |= os.O_APPEND
        if flags & FDFLAG_NONBLOCK:
            host_flags |= os.O_NONBLOCK
        fcntl.fcntl(self.host, fcntl.F_SETFL, host_flags)
        self.flags = flags


class Inherited(Descriptor):
    """One of the process's own descriptors 0, 1, 2, which stay open and keep their flags, since others share them."""

    __slots__ = ()

    def read(self, buffers: Sequence[memoryview]) -> int:
        if self.flags & FDFLAG_NONBLOCK and not self._ready(select.POLLIN):
            raise BlockingIOError(errno.EAGAIN, "no input yet")
        return os.readv(self.host, buffers) if buffers else 0

    def write(self, buffers: Sequence[memoryview]) -> int:
        """Write at once, after what Python has buffered for the same descriptor."""
        above = sys.stdout if self.host == 1 else sys.stderr if self.host == 2 else None
        flush = getattr(above, "flush", None)
        if flush is not None and not getattr(above, "closed", False):
            flush()
        return os.writev(self.host, buffers) if buffers else 0

    def _ready(self, events: int) -> bool:
        poll = select.poll()
        poll.register(self.host, events)
        return bool(poll.poll(0))

    def close(self) -> None:
        self.host = -1


class Stream(Descriptor):
    """A Python file object in binary mode."""

    __slots__ = ("_file",)

    def __init__(self, file: IO[bytes], rights: int) -> None:
        self._file: IO[bytes] = getattr(file, "buffer", file)  # sys.stdout and the like have theirs below
        super().__init__(-1, FILETYPE_UNKNOWN, STREAM_RIGHTS & rights)

    def read(self, buffers: Sequence[memoryview]) -> int:
        """Read what one call of the file object gives."""
        wanted = min(sum(map(len, buffers)), _CHUNK)
        read = getattr(self._file, "read1", self._file.read)
        data = read(wanted) if wanted else b""
        if data is None:
            raise BlockingIOError(errno.EAGAIN, "no input yet")
        rest = memoryview(data)[:wanted]
        size = len(rest)
        for buffer in buffers:
            part = rest[: len(buffer)]
            buffer[: len(part)] = part
            rest = rest[len(part) :]
            if not rest:
                break
        return size

    def write(self, buffers: Sequence[memoryview]) -> int:
        """Write one bytes object, of which the file object may take less."""
        room = _CHUNK
        parts = []
        for buffer in buffers:
            parts.append(buffer[:room])
            room -= len(parts[-1])
            if not room:
                break
        data = b"".join(parts)
        written: int | None = self._file.write(data)
        if written is None:
            if isinstance(self._file, io.RawIOBase):
                raise BlockingIOError(errno.EAGAIN, "cannot write yet")
            return len(data)  # a file object of the user's own making that does not count
        return min(max(written, 0), len(data))

    def status(self) -> os.stat_result | None:
        return None

    def sync(self, *, data_only: bool) -> None:
        self.flush()

    def flush(self) -> None:
        flush = getattr(self._file, "flush", None)
        if flush is not None and not getattr(self._file, "closed", False):
            flush()

    def close(self) -> None:
        """Leave the file object open: it belongs to the user."""

    def __del__(self) -> None:
        """Do nothing: there is no host descriptor."""


class Directory(Descriptor):
    """A directory of the host.

    A listing is taken when the guest reads from the start, and kept until it does so again, so that cookies, which are
    positions in the listing, stay true while entries come and go.
    """

    __slots__ = ("_entries",)

    def __init__(self, host: int, base: int, inheriting: int, flags: int = 0) -> None:
        super().__init__(host, FILETYPE_DIRECTORY, base, inheriting, flags)
        self._entries: list[tuple[bytes, int, int]] = []

    def entries(self, cookie: int) -> list[tuple[bytes, int, int]]:
        """Give name, inode and file type of every entry; cookie 0 or no listing yet means to look again."""
        if cookie == 0 or not self._entries:
            inode = os.fstat(self.host).st_ino
            # The parent's inode is nobody's business below a preopened directory; C libraries take 0 for "not known".
            found = [(b".", inode, FILETYPE_DIRECTORY), (b"..", 0, FILETYPE_DIRECTORY)]
            with os.scandir(self.host) as listing:
                for entry in listing:
                    found.append((os.fsencode(entry.name), entry.inode(), _entry_type(entry)))
            self._entries = found
        return self._entries

    def close(self) -> None:
        self._entries = []
        super().close()


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


def opened(host: int, base: int, inheriting: int, flags: int) -> Descriptor:
    """Make the descriptor for a host file just opened, with those rights that its type can have.

    Takes over `host`, which was opened with O_NONBLOCK so that a FIFO without a partner does not hang.
    """
    try:
        mode = os.fstat(host).st_mode
        if stat.S_ISDIR(mode):
            return Directory(host, base & DIRECTORY_RIGHTS, inheriting & (DIRECTORY_RIGHTS | FILE_RIGHTS), flags)
        rights = FILE_RIGHTS if stat.S_ISREG(mode) or stat.S_ISBLK(mode) else STREAM_RIGHTS
        if not stat.S_ISREG(mode) and not flags & FDFLAG_NONBLOCK:
            os.set_blocking(host, True)
    except BaseException:
        os.close(host)
        raise
    return HostFile(host, filetype_of(mode), base & rights, 0, flags)


def inherited(host: int) -> Descriptor:
    """Make the descriptor for the process's stdin, stdout or stderr.

    Raises:
        OSError: when the process has none.
    """
    mode = os.fstat(host).st_mode
    other_way = FD_WRITE if host == 0 else FD_READ
    if stat.S_ISREG(mode):
        return Inherited(host, FILETYPE_REGULAR_FILE, FILE_RIGHTS & ~other_way)
    filetype = FILETYPE_CHARACTER_DEVICE if stat.S_ISCHR(mode) else FILETYPE_UNKNOWN
    return Inherited(host, filetype, STREAM_RIGHTS & ~other_way)


class Table:
    """The guest's descriptors by number; the lowest free number is given first."""

    __slots__ = ("_items",)

    def __init__(self, items: Iterable[Descriptor | None]) -> None:
        """Number the descriptors from 0; None is one that is closed."""
        self._items = list(items)

    def find(self, fd: int) -> Descriptor:
        """Give a descriptor by number; `fd` may be signed.

        Raises:
            Fail: BADF.
        """
        number = fd & MASK32
        item = self._items[number] if number < len(self._items) else None
        if item is None:
            raise Fail(BADF)
        return item

    def add(self, descriptor: Descriptor) -> int:
        """Give a descriptor a number."""
        if None not in self._items:
            self._items.append(descriptor)
            return len(self._items) - 1
        fd = self._items.index(None)
        self._items[fd] = descriptor
        return fd

    def remove(self, fd: int) -> Descriptor:
        """Free a number; give what was there."""
        descriptor = self.find(fd)
        self._items[fd & MASK32] = None
        return descriptor

    def replace(self, fd: int, to: int) -> Descriptor | None:
        """Move a descriptor to another number in use; give what was there, unless it is the same."""
        moved = self.find(fd)
        old = self.find(to)
        if moved is old:
            return None
        self._items[to & MASK32] = moved
        self._items[fd & MASK32] = None
        return old

    def all(self) -> list[Descriptor]:
        """Give the descriptors in use."""
        return [item for item in self._items if item is not None]

    def clear(self) -> None:
        """Free every number."""
        self._items.clear()
