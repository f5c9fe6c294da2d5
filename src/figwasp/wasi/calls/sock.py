"""Floor 6: the functions of WASI on sockets, `sock_*`.

In: the state and the guest's arguments as signed ints. Out: an error number; results go to memory.
"""

from __future__ import annotations

import errno

from figwasp.wasi.abi import (
    FD_READ,
    FD_WRITE,
    FDFLAG_NONBLOCK,
    INVAL,
    NOTSOCK,
    SOCK_ACCEPT,
    SOCK_SHUTDOWN,
    SUCCESS,
    U16,
    Fail,
)
from figwasp.wasi.descriptors.files import Descriptor
from figwasp.wasi.filesystem import failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from figwasp.wasi.calls.state import GuestState

RECV_PEEK: Final = 1
RECV_WAITALL: Final = 2
_TRUNCATED: Final = 1


class SocketDescriptor(Descriptor):
    """The methods of a socket beyond those of other descriptors; `sockets` has the only kind."""

    __slots__ = ()

    def receive(self, buffers: Sequence[memoryview], flags: int) -> tuple[int, bool]:
        """Fill buffers, with RECV_*; return the number of bytes, and whether a datagram was cut."""
        raise failure(errno.ENOTCONN)

    def accept(self, flags: int) -> SocketDescriptor:
        """Take the next connection."""
        raise failure(errno.EINVAL)

    def shutdown(self, how: int) -> None:
        """End receiving (1), sending (2) or both (3)."""
        raise failure(errno.ENOTCONN)


def _find(state: GuestState, fd: int, rights: int) -> SocketDescriptor:
    descriptor = state.table.find(fd)
    if not isinstance(descriptor, SocketDescriptor):
        raise Fail(NOTSOCK)
    state.find(fd, rights)
    return descriptor


def sock_accept(state: GuestState, fd: int, flags: int, out: int) -> int:
    listener = _find(state, fd, SOCK_ACCEPT)
    if flags & ~FDFLAG_NONBLOCK:
        raise Fail(INVAL)
    state.memory.span(out, 4)
    state.table.room()
    connection = listener.accept(flags)
    connection.base &= listener.inheriting
    state.memory.store_u32(out, state.table.add(connection))
    return SUCCESS


def sock_recv(state: GuestState, fd: int, vectors: int, count: int, flags: int, out_size: int, out_flags: int) -> int:
    connection = _find(state, fd, FD_READ)
    if flags & ~(RECV_PEEK | RECV_WAITALL):
        raise Fail(INVAL)
    memory = state.memory
    memory.span(out_size, 4)
    memory.span(out_flags, 2)
    size, cut = connection.receive(memory.vectors(vectors, count), flags)
    memory.store_u32(out_size, size)
    memory.store(U16, out_flags, _TRUNCATED if cut else 0)
    return SUCCESS


def sock_send(state: GuestState, fd: int, vectors: int, count: int, flags: int, out: int) -> int:
    connection = _find(state, fd, FD_WRITE)
    if flags:
        raise Fail(INVAL)
    state.memory.span(out, 4)
    state.memory.store_u32(out, connection.write(state.memory.vectors(vectors, count)))
    return SUCCESS


def sock_shutdown(state: GuestState, fd: int, how: int) -> int:
    connection = _find(state, fd, SOCK_SHUTDOWN)
    if how not in (1, 2, 3):
        raise Fail(INVAL)
    connection.shutdown(how)
    return SUCCESS
