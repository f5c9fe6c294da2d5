"""Floor 6: the functions of WASI on paths, `path_*`.

In: the state and the guest's arguments as signed ints. Out: an error number; results go to memory. They raise `Fail` and `OSError`;
`preview1` turns both into numbers.

Each does its work on one name in a directory that `paths.Walk` found, with a host function that does not follow symlinks. What is
looked at first decides only which error the guest gets, never what the host may touch.
"""

from __future__ import annotations

import errno
import os
import stat
from struct import Struct

from figwasp.wasi.abi import (
    DIRECTORY_RIGHTS,
    EXIST,
    FD_ALLOCATE,
    FD_DATASYNC,
    FD_FILESTAT_SET_SIZE,
    FD_READ,
    FD_SYNC,
    FD_WRITE,
    FDFLAG_APPEND,
    FDFLAG_DSYNC,
    FDFLAG_RSYNC,
    FDFLAG_SYNC,
    FDFLAGS,
    FILE_RIGHTS,
    FILESTAT,
    FILESTAT_SNAPSHOT0,
    INVAL,
    ISDIR,
    LOOKUP_FOLLOW,
    MASK64,
    NOTCAPABLE,
    NOTDIR,
    OFLAG_CREAT,
    OFLAG_DIRECTORY,
    OFLAG_EXCL,
    OFLAG_TRUNC,
    OFLAGS,
    PATH_CREATE_DIRECTORY,
    PATH_CREATE_FILE,
    PATH_FILESTAT_GET,
    PATH_FILESTAT_SET_SIZE,
    PATH_FILESTAT_SET_TIMES,
    PATH_LINK_SOURCE,
    PATH_LINK_TARGET,
    PATH_OPEN,
    PATH_READLINK,
    PATH_REMOVE_DIRECTORY,
    PATH_RENAME_SOURCE,
    PATH_RENAME_TARGET,
    PATH_SYMLINK,
    PATH_UNLINK_FILE,
    SUCCESS,
    Fail,
)
from figwasp.wasi.fdcalls import check_time_flags, new_times, store_filestat
from figwasp.wasi.files import opened
from figwasp.wasi.paths import Walk
from figwasp.wasi.state import State


def _walk(state: State, fd: int, rights: int, path: int, length: int) -> Walk:
    """Resolve a guest's path from a directory that has the rights."""
    directory = state.directory(fd, rights)
    return Walk(directory.host, state.memory.path(path, length))


def _status(walk: Walk) -> os.stat_result:
    return os.stat(walk.name, dir_fd=walk.fd, follow_symlinks=False)


def _is_directory(walk: Walk) -> bool:
    return stat.S_ISDIR(_status(walk).st_mode)


def path_create_directory(state: State, fd: int, path: int, length: int) -> int:
    with _walk(state, fd, PATH_CREATE_DIRECTORY, path, length) as walk:
        os.mkdir(walk.name, dir_fd=walk.fd)
    return SUCCESS


def _filestat(state: State, fd: int, flags: int, path: int, length: int, layout: Struct, out: int) -> int:
    with _walk(state, fd, PATH_FILESTAT_GET, path, length) as walk:
        state.memory.span(out, layout.size)
        status = _status(walk)
        while stat.S_ISLNK(status.st_mode) and (flags & LOOKUP_FOLLOW or walk.directory):
            walk.expand()  # which counts, so this ends
            status = _status(walk)
        if walk.directory and not stat.S_ISDIR(status.st_mode):
            raise Fail(NOTDIR)
        store_filestat(state.memory, layout, out, status)
    return SUCCESS


def path_filestat_get(state: State, fd: int, flags: int, path: int, length: int, out: int) -> int:
    return _filestat(state, fd, flags, path, length, FILESTAT, out)


def path_filestat_get_snapshot0(state: State, fd: int, flags: int, path: int, length: int, out: int) -> int:
    return _filestat(state, fd, flags, path, length, FILESTAT_SNAPSHOT0, out)


def path_filestat_set_times(
    state: State, fd: int, flags: int, path: int, length: int, atim: int, mtim: int, fst_flags: int
) -> int:
    check_time_flags(fst_flags)
    with _walk(state, fd, PATH_FILESTAT_SET_TIMES, path, length) as walk:
        if flags & LOOKUP_FOLLOW or walk.directory:
            walk.follow()
        status = _status(walk)
        if walk.directory and not stat.S_ISDIR(status.st_mode):
            raise Fail(NOTDIR)
        times = new_times(status, atim, mtim, fst_flags)
        os.utime(walk.name, ns=times, dir_fd=walk.fd, follow_symlinks=False)
    return SUCCESS


def _must_be_new(walk: Walk) -> None:
    """Answer for a link to be made whose path ends with a slash, which no link can be."""
    if walk.directory:
        _status(walk)
        raise Fail(EXIST)


def path_link(state: State, old_fd: int, flags: int, old: int, old_length: int, fd: int, new: int, length: int) -> int:
    if flags & LOOKUP_FOLLOW:
        raise Fail(INVAL)
    with (
        _walk(state, old_fd, PATH_LINK_SOURCE, old, old_length) as source,
        _walk(state, fd, PATH_LINK_TARGET, new, length) as target,
    ):
        _must_be_new(target)
        if source.directory and not _is_directory(source):
            raise Fail(NOTDIR)
        os.link(source.name, target.name, src_dir_fd=source.fd, dst_dir_fd=target.fd, follow_symlinks=False)
    return SUCCESS


def path_symlink(state: State, old: int, old_length: int, fd: int, new: int, length: int) -> int:
    """Make a symlink, though none to an absolute path, which would mean something else outside."""
    content = state.memory.path(old, old_length)
    with _walk(state, fd, PATH_SYMLINK, new, length) as walk:
        if content.startswith(b"/"):
            raise Fail(NOTCAPABLE)
        _must_be_new(walk)
        os.symlink(content, walk.name, dir_fd=walk.fd)
    return SUCCESS


def path_readlink(state: State, fd: int, path: int, length: int, buffer: int, size: int, out: int) -> int:
    with _walk(state, fd, PATH_READLINK, path, length) as walk:
        state.memory.span(out, 4)
        target = state.memory.slice(buffer, size)
        if walk.directory:
            walk.follow()
        content = os.readlink(walk.name, dir_fd=walk.fd)[: len(target)]
        target[: len(content)] = content
        state.memory.store_u32(out, len(content))
    return SUCCESS


def path_remove_directory(state: State, fd: int, path: int, length: int) -> int:
    with _walk(state, fd, PATH_REMOVE_DIRECTORY, path, length) as walk:
        os.rmdir(walk.name, dir_fd=walk.fd)
    return SUCCESS


def path_unlink_file(state: State, fd: int, path: int, length: int) -> int:
    with _walk(state, fd, PATH_UNLINK_FILE, path, length) as walk:
        if walk.directory:
            raise Fail(ISDIR if _is_directory(walk) else NOTDIR)
        os.unlink(walk.name, dir_fd=walk.fd)
    return SUCCESS


def path_rename(state: State, old_fd: int, old: int, old_length: int, fd: int, new: int, length: int) -> int:
    with (
        _walk(state, old_fd, PATH_RENAME_SOURCE, old, old_length) as source,
        _walk(state, fd, PATH_RENAME_TARGET, new, length) as target,
    ):
        if (source.directory or target.directory) and not _is_directory(source):
            raise Fail(NOTDIR)
        os.rename(source.name, target.name, src_dir_fd=source.fd, dst_dir_fd=target.fd)
    return SUCCESS


def _needed(oflags: int, fdflags: int, base: int) -> tuple[int, int]:
    """Say which rights, base and inheriting, a directory must have for something to be opened through it."""
    rights, inherited = PATH_OPEN, base & (FILE_RIGHTS | DIRECTORY_RIGHTS)
    if oflags & OFLAG_CREAT:
        rights |= PATH_CREATE_FILE
    if oflags & OFLAG_TRUNC:
        rights |= PATH_FILESTAT_SET_SIZE
    if fdflags & FDFLAG_DSYNC:
        inherited |= FD_DATASYNC
    if fdflags & (FDFLAG_SYNC | FDFLAG_RSYNC):
        inherited |= FD_SYNC
    return rights, inherited


def _host_flags(oflags: int, fdflags: int, base: int) -> int:
    """Translate to the host's flags. Nonblocking, lest a FIFO without a partner hang; `opened` undoes that."""
    writes = base & (FD_WRITE | FD_ALLOCATE | FD_FILESTAT_SET_SIZE) or oflags & OFLAG_TRUNC
    access = os.O_RDONLY if not writes else os.O_RDWR if base & FD_READ else os.O_WRONLY
    flags = access | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
    for wanted, bit, host in (
        (oflags, OFLAG_CREAT, os.O_CREAT),
        (oflags, OFLAG_TRUNC, os.O_TRUNC),
        (oflags, OFLAG_DIRECTORY, os.O_DIRECTORY),
        (fdflags, FDFLAG_APPEND, os.O_APPEND),
        (fdflags, FDFLAG_DSYNC, os.O_DSYNC),
        (fdflags, FDFLAG_RSYNC | FDFLAG_SYNC, os.O_SYNC),
    ):
        if wanted & bit:
            flags |= host
    return flags | os.O_EXCL if oflags & OFLAG_CREAT and oflags & OFLAG_EXCL else flags


def _open(walk: Walk, flags: int, follow: bool) -> int:
    """Open the last name; follow it as long as the host says that it is a symlink."""
    while True:
        if walk.directory:
            if flags & (os.O_CREAT | os.O_WRONLY | os.O_RDWR):
                walk.follow()
                raise Fail(ISDIR if flags & os.O_CREAT or _is_directory(walk) else NOTDIR)
            flags |= os.O_DIRECTORY
        try:
            return os.open(walk.name, flags, 0o666, dir_fd=walk.fd)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR) or not (follow or walk.directory) or not walk.expand():
                raise


def path_open(
    state: State,
    fd: int,
    dirflags: int,
    path: int,
    length: int,
    oflags: int,
    base: int,
    inheriting: int,
    fdflags: int,
    out: int,
) -> int:
    if oflags & ~OFLAGS or fdflags & ~FDFLAGS or (oflags & OFLAG_CREAT and oflags & OFLAG_DIRECTORY):
        raise Fail(INVAL)
    rights, inherited = _needed(oflags, fdflags, base)
    directory = state.directory(fd, rights)
    if inherited & ~directory.inheriting:
        raise Fail(NOTCAPABLE)
    if oflags & OFLAG_DIRECTORY and base & FD_WRITE:
        raise Fail(ISDIR)
    state.memory.span(out, 4)
    flags = _host_flags(oflags, fdflags, base)
    with Walk(directory.host, state.memory.path(path, length)) as walk:
        host = _open(walk, flags, bool(dirflags & LOOKUP_FOLLOW))
    passed_on = inheriting & MASK64 & directory.inheriting
    descriptor = opened(host, base & MASK64, passed_on, fdflags)
    state.memory.store_u32(out, state.table.add(descriptor))
    return SUCCESS
