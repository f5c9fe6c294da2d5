"""Floor 6: the functions of WASI on descriptors, `fd_*`.

In: the state and the guest's arguments as signed ints. Out: an error number; results go to memory. The functions raise `Fail` and
`OSError`; `preview1` turns both into numbers. Pointers for results are checked before anything is done.
"""

from __future__ import annotations

import os
import time

from figwasp.wasi.abi import (
    BADF,
    FD_ADVISE,
    FD_ALLOCATE,
    FD_DATASYNC,
    FD_FDSTAT_SET_FLAGS,
    FD_FILESTAT_GET,
    FD_FILESTAT_SET_SIZE,
    FD_FILESTAT_SET_TIMES,
    FD_READ,
    FD_READDIR,
    FD_SEEK,
    FD_SYNC,
    FD_TELL,
    FD_WRITE,
    FDFLAGS,
    FDSTAT,
    FILESTAT,
    FILESTAT_SNAPSHOT0,
    FST_ATIM,
    FST_ATIM_NOW,
    FST_MTIM,
    FST_MTIM_NOW,
    INVAL,
    MASK32,
    MASK64,
    MAX_OFFSET,
    NAMETOOLONG,
    NOTCAPABLE,
    PRESTAT,
    SUCCESS,
    U32,
    WHENCE,
    WHENCE_SNAPSHOT0,
    Fail,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from struct import Struct
    from typing import Final

    from figwasp.wasi.calls.memory import GuestMemory
    from figwasp.wasi.calls.state import GuestState
    from figwasp.wasi.filesystem import Status

_ADVICE: Final = tuple(
    getattr(os, "POSIX_FADV_" + name, 0)
    for name in ("NORMAL", "SEQUENTIAL", "RANDOM", "WILLNEED", "DONTNEED", "NOREUSE")
)
_ATIM_BOTH: Final = FST_ATIM | FST_ATIM_NOW
_MTIM_BOTH: Final = FST_MTIM | FST_MTIM_NOW


_pack_u32: Final = U32.pack_into


def _offset(value: int) -> int:
    """Return an offset or length as unsigned, which must not be beyond what hosts take."""
    offset = value & MASK64
    if offset > MAX_OFFSET:
        raise Fail(INVAL)
    return offset


# Programs call the next two more than all others together, perhaps for every byte, so what the others do by calls is written out.
def fd_read(state: GuestState, fd: int, vectors: int, count: int, out: int) -> int:
    descriptor = state.find(fd, FD_READ)
    memory = state.memory
    at = out & MASK32
    if at + 4 > memory.size:
        memory.span(out, 4)
    size = descriptor.read(memory.vectors(vectors, count))
    _pack_u32(memory.view, at, size)
    return SUCCESS


def fd_write(state: GuestState, fd: int, vectors: int, count: int, out: int) -> int:
    descriptor = state.find(fd, FD_WRITE)
    memory = state.memory
    at = out & MASK32
    if at + 4 > memory.size:
        memory.span(out, 4)
    size = descriptor.write(memory.vectors(vectors, count))
    _pack_u32(memory.view, at, size)
    return SUCCESS


def fd_pread(state: GuestState, fd: int, vectors: int, count: int, offset: int, out: int) -> int:
    descriptor = state.find(fd, FD_READ | FD_SEEK)
    memory = state.memory
    memory.span(out, 4)
    buffers = memory.vectors(vectors, count)
    memory.store_u32(out, descriptor.read_at(buffers, _offset(offset)))
    return SUCCESS


def fd_pwrite(state: GuestState, fd: int, vectors: int, count: int, offset: int, out: int) -> int:
    descriptor = state.find(fd, FD_WRITE | FD_SEEK)
    memory = state.memory
    memory.span(out, 4)
    buffers = memory.vectors(vectors, count)
    memory.store_u32(out, descriptor.write_at(buffers, _offset(offset)))
    return SUCCESS


def _seek(state: GuestState, fd: int, offset: int, how: int, out: int) -> int:
    moves = offset != 0 or how != os.SEEK_CUR
    descriptor = state.table.find(fd)
    if moves or not descriptor.base & FD_TELL:
        state.find(fd, FD_SEEK)
    state.memory.span(out, 8)
    state.memory.store_u64(out, descriptor.seek(offset, how))
    return SUCCESS


def _how(whence: int, names: tuple[int, ...]) -> int:
    number = whence & MASK32
    if number >= len(names):
        raise Fail(INVAL)
    return names[number]


def fd_seek(state: GuestState, fd: int, offset: int, whence: int, out: int) -> int:
    return _seek(state, fd, offset, _how(whence, WHENCE), out)


def fd_seek_snapshot0(state: GuestState, fd: int, offset: int, whence: int, out: int) -> int:
    return _seek(state, fd, offset, _how(whence, WHENCE_SNAPSHOT0), out)


def fd_tell(state: GuestState, fd: int, out: int) -> int:
    return _seek(state, fd, 0, os.SEEK_CUR, out)


def fd_close(state: GuestState, fd: int) -> int:
    descriptor = state.table.remove(fd)
    descriptor.flush()
    descriptor.close()
    return SUCCESS


def fd_sync(state: GuestState, fd: int) -> int:
    state.find(fd, FD_SYNC).sync(data_only=False)
    return SUCCESS


def fd_datasync(state: GuestState, fd: int) -> int:
    state.find(fd, FD_DATASYNC).sync(data_only=True)
    return SUCCESS


def fd_advise(state: GuestState, fd: int, offset: int, length: int, advice: int) -> int:
    descriptor = state.find(fd, FD_ADVISE)
    how = _how(advice, _ADVICE)
    start, size = _offset(offset), _offset(length)
    descriptor.advise(start, size, how)
    return SUCCESS


def fd_allocate(state: GuestState, fd: int, offset: int, length: int) -> int:
    descriptor = state.find(fd, FD_ALLOCATE)
    descriptor.allocate(_offset(offset), _offset(length))
    return SUCCESS


def fd_fdstat_get(state: GuestState, fd: int, out: int) -> int:
    found = state.table.find(fd)
    state.memory.store(FDSTAT, out, found.filetype, found.flags, found.base, found.inheriting)
    return SUCCESS


def fd_fdstat_set_flags(state: GuestState, fd: int, flags: int) -> int:
    descriptor = state.find(fd, FD_FDSTAT_SET_FLAGS)
    if flags & ~FDFLAGS:
        raise Fail(INVAL)
    descriptor.set_flags(flags)
    return SUCCESS


def fd_fdstat_set_rights(state: GuestState, fd: int, base: int, inheriting: int) -> int:
    """Remove rights; they never come back."""
    descriptor = state.table.find(fd)
    if base & MASK64 & ~descriptor.base or inheriting & MASK64 & ~descriptor.inheriting:
        raise Fail(NOTCAPABLE)
    descriptor.base = base & MASK64
    descriptor.inheriting = inheriting & MASK64
    return SUCCESS


def store_filestat(memory: GuestMemory, layout: Struct, out: int, status: Status) -> None:
    """Write attributes in either layout."""
    memory.store(
        layout,
        out,
        status.device & MASK64,
        status.inode & MASK64,
        status.filetype & 0xFF,
        min(status.links, MASK32),
        status.size & MASK64,
        max(status.atime, 0),  # before 1970 there is no time
        max(status.mtime, 0),
        max(status.ctime, 0),
    )


def _filestat(state: GuestState, fd: int, layout: Struct, out: int) -> int:
    descriptor = state.find(fd, FD_FILESTAT_GET)
    store_filestat(state.memory, layout, out, descriptor.status())
    return SUCCESS


def fd_filestat_get(state: GuestState, fd: int, out: int) -> int:
    return _filestat(state, fd, FILESTAT, out)


def fd_filestat_get_snapshot0(state: GuestState, fd: int, out: int) -> int:
    return _filestat(state, fd, FILESTAT_SNAPSHOT0, out)


def fd_filestat_set_size(state: GuestState, fd: int, size: int) -> int:
    state.find(fd, FD_FILESTAT_SET_SIZE).set_size(_offset(size))
    return SUCCESS


def check_time_flags(flags: int) -> None:
    """Refuse flags that contradict each other.

    Raises:
        Fail: INVAL.
    """
    if flags & ~(_ATIM_BOTH | _MTIM_BOTH) or flags & _ATIM_BOTH == _ATIM_BOTH or flags & _MTIM_BOTH == _MTIM_BOTH:
        raise Fail(INVAL)


def new_times(status: Status, atim: int, mtim: int, flags: int) -> tuple[int, int]:
    """Return both times to set: the host cannot leave one alone, so that one is set to its present value."""
    now = time.time_ns()
    access = atim & MASK64 if flags & FST_ATIM else now if flags & FST_ATIM_NOW else status.atime
    change = mtim & MASK64 if flags & FST_MTIM else now if flags & FST_MTIM_NOW else status.mtime
    return access, change


def fd_filestat_set_times(state: GuestState, fd: int, atim: int, mtim: int, flags: int) -> int:
    descriptor = state.find(fd, FD_FILESTAT_SET_TIMES)
    check_time_flags(flags)
    descriptor.set_times(*new_times(descriptor.status(), atim, mtim, flags))
    return SUCCESS


def fd_prestat_get(state: GuestState, fd: int, out: int) -> int:
    """Describe a preopened directory; C libraries look through numbers from 3 up to the first BADF."""
    name = state.table.find(fd).preopen
    if name is None:
        raise Fail(BADF)
    state.memory.store(PRESTAT, out, 0, len(name))
    return SUCCESS


def fd_prestat_dir_name(state: GuestState, fd: int, buffer: int, length: int) -> int:
    name = state.table.find(fd).preopen
    if name is None:
        raise Fail(BADF)
    target = state.memory.slice(buffer, length)
    if len(target) < len(name):
        raise Fail(NAMETOOLONG)
    target[: len(name)] = name
    return SUCCESS


def fd_readdir(state: GuestState, fd: int, buffer: int, length: int, cookie: int, out: int) -> int:
    """Fill the buffer with entries from a position on; the last may be cut. Less than full means the end."""
    directory = state.directory(fd, FD_READDIR)
    state.memory.span(out, 4)
    target = state.memory.slice(buffer, length)
    position = cookie & MASK64
    found = directory.listing(position, state.table.listings).records(position, len(target))
    target[: len(found)] = found
    state.memory.store_u32(out, len(found))
    return SUCCESS


def fd_renumber(state: GuestState, fd: int, to: int) -> int:
    replaced = state.table.replace(fd, to)
    if replaced is not None:
        replaced.flush()
        replaced.close()
    return SUCCESS
