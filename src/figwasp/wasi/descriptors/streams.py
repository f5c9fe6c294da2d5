"""Floor 6: Python's file objects as the guest's stdin, stdout and stderr.

In: the argument of `WASI` for one of them. Out: a `Descriptor`.
"""

from __future__ import annotations

import errno
import io
import os
import select
import stat

from figwasp.api import deadline
from figwasp.wasi.abi import FD_READ, FD_WRITE, FDFLAG_NONBLOCK, FILETYPE_UNKNOWN, STREAM_RIGHTS
from figwasp.wasi.descriptors.files import Descriptor, first
from figwasp.wasi.descriptors.hostfiles import from_path, inherited, ready
from figwasp.wasi.filesystem import failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import IO, Any, Final

    from figwasp.wasi.allowance import Allowance

_CHUNK: Final = 1 << 20
"""Most bytes that are moved at once between a Python file object and the guest."""


class _Capture:
    """The type of CAPTURE."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "figwasp.wasi.CAPTURE"


CAPTURE: Final = _Capture()
"""Given for stdout or stderr: keep what the guest writes, as `WASI.stdout` and `WASI.stderr`."""


MAX_OUTPUT: Final = 1 << 28
"""Bytes of captured output, unless said otherwise."""


class Captured(io.BytesIO):
    """Captured output, up to a limit, at which there is no more room, as on a disk."""

    def __init__(self, allowance: Allowance) -> None:
        super().__init__()
        self._allowance = allowance

    def write(self, data: Any) -> int:
        """Write as much as there is room for.

        Raises:
            OSError: ENOSPC when there is no room.
        """
        size = min(len(data), max(self._allowance.left, 0)) or min(len(data), 1)
        self._allowance.take(size)
        return super().write(memoryview(data)[:size])

    def add(self, data: bytes) -> int:
        """Write on behalf of the host, which does not count towards the limit."""
        return super().write(data)


class Stream(Descriptor):
    """A Python file object in binary mode."""

    __slots__ = ("_above", "_file")

    def __init__(self, file: Any, rights: int) -> None:
        self._file: IO[bytes] = getattr(file, "buffer", file)  # sys.stdout and the like have theirs below
        self._above: Any = None if self._file is file or not rights & FD_WRITE else file
        super().__init__(-1, FILETYPE_UNKNOWN, STREAM_RIGHTS & rights)

    def read(self, buffers: Sequence[memoryview]) -> int:
        """Read with one call of the file object."""
        wanted = min(sum(map(len, buffers)), _CHUNK)
        host = self.waits_for() if wanted else -1
        if host >= 0:
            if self.flags & FDFLAG_NONBLOCK:
                raise failure(errno.EAGAIN)
            deadline.wait({host: select.POLLIN})
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
        data = b"".join(first(buffers, _CHUNK))
        if self._above is not None:
            self._above.flush()  # text that was written there before
        written: int | None = self._file.write(data)
        if written is None:
            if isinstance(self._file, io.RawIOBase):
                raise BlockingIOError(errno.EAGAIN, "cannot write yet")
            return len(data)  # a file object of the user's own making that does not count
        return min(max(written, 0), len(data))

    def waits_for(self) -> int:
        """Return the host's descriptor where the file object reads from one that has nothing to read yet, else -1."""
        try:
            host = self._file.fileno()
            idle = not stat.S_ISREG(os.fstat(host).st_mode) and not ready(host, select.POLLIN) and not self._has_buffered(host)
        except (AttributeError, OSError, ValueError):
            return -1
        return host if idle else -1

    def _has_buffered(self, host: int) -> bool:
        """Return whether Python has bytes for the next read already."""
        peek = getattr(self._file, "peek", None)
        if peek is None or not os.get_blocking(host):
            return peek is not None and bool(peek(1))
        os.set_blocking(host, False)  # only so is there a way to look without waiting
        try:
            return bool(peek(1))
        finally:
            os.set_blocking(host, True)

    def sync(self, *, data_only: bool) -> None:
        """Flush."""
        self.flush()

    def flush(self) -> None:
        """Flush the file object."""
        flush = getattr(self._file, "flush", None)
        if flush is not None and not getattr(self._file, "closed", False):
            flush()

    def close(self) -> None:
        """Leave the file object open: it belongs to the user."""


def stdio(number: int, given: Any) -> Descriptor | None:
    """Make descriptor 0, 1 or 2 from the argument for it; one that the process itself does not have stays closed.

    Raises:
        OSError: a path cannot be opened.
        TypeError: the argument is nothing that can be read from, or written to.
    """
    if given is None:
        try:
            return inherited(number)
        except OSError:
            return None
    if isinstance(given, (str, os.PathLike)):
        return from_path(given, write=number != 0)
    if number == 0 and isinstance(given, (bytes, bytearray, memoryview)):
        given = io.BytesIO(given)
    if not hasattr(given, "read" if number == 0 else "write"):
        what = "bytes, a path or a binary file" if number == 0 else "a path, a binary file or CAPTURE"
        raise TypeError(f"std{('in', 'out', 'err')[number]} must be {what}, not {type(given).__name__}")
    return Stream(given, ~(FD_WRITE if number == 0 else FD_READ))
