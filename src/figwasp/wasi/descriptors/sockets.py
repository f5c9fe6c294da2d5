"""Floor 6: sockets of the host as descriptors of a guest.

In: sockets that were given to the guest, listening or connected; a guest cannot make any itself. Out: a `SocketDescriptor`.
A call waits as long as the running call may, unless the guest has set the descriptor to nonblocking; the host's own
flags stay as they are. Imported only when there are sockets, as Python's `socket` takes long to.
"""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Callable, Sequence
from typing import Final

from figwasp.api import deadline
from figwasp.errors import Timeout
from figwasp.wasi.abi import (
    FD_FDSTAT_SET_FLAGS,
    FD_FILESTAT_GET,
    FD_READ,
    FD_WRITE,
    FDFLAG_NONBLOCK,
    FILETYPE_SOCKET_DGRAM,
    FILETYPE_SOCKET_STREAM,
    INVAL,
    NOTCAPABLE,
    NOTCONN,
    NOTSUP,
    POLL_FD_READWRITE,
    SOCK_ACCEPT,
    SOCK_SHUTDOWN,
)
from figwasp.wasi.calls.sock import RECV_PEEK, RECV_WAITALL, SocketDescriptor
from figwasp.wasi.descriptors.hostfiles import ready
from figwasp.wasi.filesystem import failure

_COMMON: Final = FD_FDSTAT_SET_FLAGS | FD_FILESTAT_GET | POLL_FD_READWRITE | FD_READ
_LISTENER: Final = _COMMON | SOCK_ACCEPT
_CONNECTION: Final = _COMMON | FD_WRITE | SOCK_SHUTDOWN

_QUIET: Final = getattr(socket, "MSG_NOSIGNAL", 0)


class Socket(SocketDescriptor):
    """A socket.

    Attributes:
        socket: Python's object for it, which belongs to this one.
        listens: whether the socket is listening for connections.
    """

    __slots__ = ("listens", "socket")

    def __init__(self, sock: socket.socket, flags: int = 0) -> None:
        listens = bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
        stream = sock.type == socket.SOCK_STREAM
        filetype = FILETYPE_SOCKET_STREAM if stream else FILETYPE_SOCKET_DGRAM
        super().__init__(sock.fileno(), filetype, _LISTENER if listens else _CONNECTION, _CONNECTION if listens else 0, flags)
        self.socket = sock
        self.listens = listens

    def refusal(self, missing: int) -> int:
        """Return the error for rights that sockets of this kind never have."""
        never = missing & ~(_LISTENER if self.listens else _CONNECTION)
        if never & (FD_WRITE | SOCK_SHUTDOWN):
            return NOTCONN
        if never & SOCK_ACCEPT:
            return NOTSUP if self.socket.type == socket.SOCK_DGRAM else INVAL
        return NOTCAPABLE if missing & (SOCK_ACCEPT | SOCK_SHUTDOWN) else super().refusal(missing)

    def _patiently(self, events: int, work: Callable[[], tuple[int, int]]) -> tuple[int, int]:
        """Perform an operation as soon as the socket is ready for it.

        Raises:
            OSError: EAGAIN when the guest does not want to wait; from the host.
            Interrupted, Timeout: the running call has to end.
        """
        while True:
            self._wait(events)
            try:
                return work()
            except BlockingIOError:  # somebody else was faster
                if self.flags & FDFLAG_NONBLOCK:
                    raise

    def _wait(self, events: int) -> None:
        if self.flags & FDFLAG_NONBLOCK:
            if not ready(self.host, events):
                raise failure(errno.EAGAIN)
            return
        deadline.wait({self.host: events})

    def receive(self, buffers: Sequence[memoryview], flags: int) -> tuple[int, bool]:
        """Fill buffers as far as there is something, or with RECV_WAITALL up to the end of the stream."""
        size, cut = self._receive(buffers, socket.MSG_PEEK if flags & RECV_PEEK else 0)
        if flags & RECV_WAITALL and not flags & RECV_PEEK and self.filetype == FILETYPE_SOCKET_STREAM:
            size += self._receive_rest(buffers, size)
        return size, bool(cut)

    def _receive(self, buffers: Sequence[memoryview], flags: int) -> tuple[int, int]:
        if self.listens:
            raise failure(errno.ENOTCONN)  # and not once somebody connects
        if not buffers and self.filetype == FILETYPE_SOCKET_STREAM:
            return 0, 0  # nothing to wait for

        def work() -> tuple[int, int]:
            size, _, told, _ = self.socket.recvmsg_into(list(buffers), 0, flags | socket.MSG_DONTWAIT)
            return size, told & socket.MSG_TRUNC

        return self._patiently(select.POLLIN, work)

    def _receive_rest(self, buffers: Sequence[memoryview], done: int) -> int:
        """Fill the rest of the buffers; an error comes up again with the next call."""
        total = 0
        for buffer in buffers:
            skipped = min(done, len(buffer))
            done -= skipped
            rest = buffer[skipped:]
            while rest:
                try:
                    size = self._receive([rest], 0)[0]
                except Timeout:
                    raise
                except OSError:
                    return total
                if not size:
                    return total
                total += size
                rest = rest[size:]
        return total

    def read(self, buffers: Sequence[memoryview]) -> int:
        """Receive."""
        return self._receive(buffers, 0)[0]

    def write(self, buffers: Sequence[memoryview]) -> int:
        """Send as much as goes at once."""
        work = lambda: (self.socket.sendmsg(list(buffers), (), _QUIET | socket.MSG_DONTWAIT), 0)  # noqa: E731
        return self._patiently(select.POLLOUT, work)[0]

    def accept(self, flags: int) -> Socket:
        """Take the next connection."""
        accepted: list[socket.socket] = []

        def work() -> tuple[int, int]:
            accepted.append(self.socket.accept()[0])
            return 0, 0

        self._patiently(select.POLLIN, work)
        return Socket(accepted[0], flags)

    def shutdown(self, how: int) -> None:
        """End one direction or both."""
        self.socket.shutdown((socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR)[how - 1])

    def close(self) -> None:
        """Close the socket."""
        self.host = -1
        self.socket.close()


def given(sock: socket.socket | tuple[str, int]) -> Socket:
    """Make the descriptor for a socket that was given, which stays its owner's, or for an address to listen at.

    Raises:
        OSError: from the host.
    """
    if not isinstance(sock, socket.socket):
        return Socket(socket.create_server(sock))
    # Not sock.dup(), which has a timeout of its own.
    return Socket(socket.socket(sock.family, sock.type, sock.proto, fileno=os.dup(sock.fileno())))
