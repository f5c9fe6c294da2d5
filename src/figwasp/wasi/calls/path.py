"""Floor 6: the functions of WASI on paths, `path_*`.

In: the state and the guest's arguments as signed ints. Out: an error number; results go to memory. They raise `Fail`
and `OSError`; `preview1` turns both into numbers.

Each does its work on one name in a directory that `paths.Walk` found, with a method that does not follow symlinks. What
is looked at first decides only which error the guest gets, never what may be touched. Nothing is changed in a directory
that is not `writable`.
"""

from __future__ import annotations

import errno

from figwasp.wasi.abi import (
    BUSY,
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
    FILETYPE_DIRECTORY,
    FILETYPE_SYMBOLIC_LINK,
    INVAL,
    ISDIR,
    LOOKUP_FOLLOW,
    MASK64,
    NOENT,
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
from figwasp.wasi.calls.fd import check_time_flags, new_times, store_filestat
from figwasp.wasi.descriptors.hostfiles import opened
from figwasp.wasi.directories.paths import Walk
from figwasp.wasi.filesystem import (
    APPEND,
    CREATE,
    DSYNC,
    EXCLUSIVE,
    ONLY_DIRECTORY,
    READ,
    SYNC,
    TRUNCATE,
    WRITE,
    Directory,
    failure,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from struct import Struct
    from typing import NoReturn

    from figwasp.wasi.calls.state import GuestState
    from figwasp.wasi.filesystem import File, Status


def _walk(state: GuestState, fd: int, rights: int, path: int, length: int) -> Walk:
    """Resolve a guest's path from a directory that has the rights."""
    directory = state.directory(fd, rights)
    return Walk(directory.directory, state.memory.path(path, length))


def _status(walk: Walk) -> Status:
    return walk.parent.look(walk.name) if walk.name else walk.parent.status()


def _is_directory(walk: Walk) -> bool:
    return _status(walk).filetype == FILETYPE_DIRECTORY


def _complete(walk: Walk) -> None:
    """Follow the last name if a slash after it asks for a directory, and see that there is one."""
    if walk.directory:
        walk.follow()
        if not _is_directory(walk):
            raise Fail(NOTDIR)


def _changing(walk: Walk, itself: int) -> Directory:
    """Return the directory in which a name is to be changed or removed.

    Args:
        walk: the resolved path.
        itself: error number of the host if the path has no last name, as it ends at the directory itself.

    Raises:
        OSError: that, or EROFS.
    """
    if not walk.name:
        raise failure(itself)
    if not walk.parent.writable:
        raise failure(errno.EROFS)
    return walk.parent


def _making(walk: Walk, *, directory: bool = False) -> Directory:
    """Return the directory in which a name is to be made, where a slash may only follow that of a directory.

    Raises:
        OSError: EEXIST, before EROFS; ENOENT for the slash.
    """
    if walk.name and (not walk.parent.writable or (walk.directory and not directory)):
        try:
            _status(walk)
        except FileNotFoundError:
            if walk.directory and not directory:
                raise
        else:
            raise failure(errno.EEXIST)
    return _changing(walk, errno.EEXIST)


def path_create_directory(state: GuestState, fd: int, path: int, length: int) -> int:
    with _walk(state, fd, PATH_CREATE_DIRECTORY, path, length) as walk:
        _making(walk, directory=True).mkdir(walk.name)
    return SUCCESS


def _filestat(state: GuestState, fd: int, flags: int, path: int, length: int, layout: Struct, out: int) -> int:
    with _walk(state, fd, PATH_FILESTAT_GET, path, length) as walk:
        state.memory.span(out, layout.size)
        status = _status(walk)
        while status.filetype == FILETYPE_SYMBOLIC_LINK and (flags & LOOKUP_FOLLOW or walk.directory) and walk.expand():
            status = _status(walk)  # expanding counts, so this ends
        if walk.directory and status.filetype != FILETYPE_DIRECTORY:
            raise Fail(NOTDIR)
        store_filestat(state.memory, layout, out, status)
    return SUCCESS


def path_filestat_get(state: GuestState, fd: int, flags: int, path: int, length: int, out: int) -> int:
    return _filestat(state, fd, flags, path, length, FILESTAT, out)


def path_filestat_get_snapshot0(state: GuestState, fd: int, flags: int, path: int, length: int, out: int) -> int:
    return _filestat(state, fd, flags, path, length, FILESTAT_SNAPSHOT0, out)


def path_filestat_set_times(
    state: GuestState, fd: int, flags: int, path: int, length: int, atim: int, mtim: int, fst_flags: int
) -> int:
    check_time_flags(fst_flags)
    with _walk(state, fd, PATH_FILESTAT_SET_TIMES, path, length) as walk:
        if flags & LOOKUP_FOLLOW:
            walk.follow()
        _complete(walk)
        status = _status(walk)
        if not walk.parent.writable:
            raise failure(errno.EROFS)
        times = new_times(status, atim, mtim, fst_flags)
        if walk.name:
            walk.parent.touch(walk.name, *times)
        else:
            walk.parent.set_times(*times)
    return SUCCESS


def _check_no_gain(state: GuestState, old_fd: int, fd: int) -> None:
    """Refuse to give a file a name in a directory through which more may be done with it.

    Raises:
        Fail: NOTCAPABLE.
    """
    if state.table.find(fd).inheriting & ~state.table.find(old_fd).inheriting:
        raise Fail(NOTCAPABLE)


def path_link(state: GuestState, old_fd: int, flags: int, old: int, old_length: int, fd: int, new: int, length: int) -> int:
    if flags & LOOKUP_FOLLOW:
        raise Fail(INVAL)
    with _walk(state, old_fd, PATH_LINK_SOURCE, old, old_length) as source:
        _complete(source)
        _status(source)
        with _walk(state, fd, PATH_LINK_TARGET, new, length) as target:
            _check_no_gain(state, old_fd, fd)
            other = _making(target)
            # A link to a file that must not be changed could be changed.
            _changing(source, errno.EPERM).link(source.name, other, target.name)
    return SUCCESS


def path_symlink(state: GuestState, old: int, old_length: int, fd: int, new: int, length: int) -> int:
    """Make a symlink, but none to an absolute path, which would mean something else on the host."""
    content = state.memory.path(old, old_length)
    with _walk(state, fd, PATH_SYMLINK, new, length) as walk:
        if content.startswith("/"):
            raise Fail(NOTCAPABLE)
        if not content:
            raise Fail(NOENT)
        _making(walk).symlink(content, walk.name)
    return SUCCESS


def path_readlink(state: GuestState, fd: int, path: int, length: int, buffer: int, size: int, out: int) -> int:
    with _walk(state, fd, PATH_READLINK, path, length) as walk:
        state.memory.span(out, 4)
        target = state.memory.slice(buffer, size)
        _complete(walk)
        if not walk.name:
            raise Fail(INVAL)
        content = walk.parent.readlink(walk.name).encode("utf-8", "surrogateescape")[: len(target)]
        target[: len(content)] = content
        state.memory.store_u32(out, len(content))
    return SUCCESS


def path_remove_directory(state: GuestState, fd: int, path: int, length: int) -> int:
    with _walk(state, fd, PATH_REMOVE_DIRECTORY, path, length) as walk:
        _changing(walk, errno.ENOTEMPTY if walk.upwards else errno.EINVAL).rmdir(walk.name)
    return SUCCESS


def path_unlink_file(state: GuestState, fd: int, path: int, length: int) -> int:
    with _walk(state, fd, PATH_UNLINK_FILE, path, length) as walk:
        place = _changing(walk, errno.EISDIR)
        if walk.directory:
            raise Fail(ISDIR if _is_directory(walk) else NOTDIR)
        place.unlink(walk.name)
    return SUCCESS


def path_rename(state: GuestState, old_fd: int, old: int, old_length: int, fd: int, new: int, length: int) -> int:
    with (
        _walk(state, old_fd, PATH_RENAME_SOURCE, old, old_length) as source,
        _walk(state, fd, PATH_RENAME_TARGET, new, length) as target,
    ):
        _check_no_gain(state, old_fd, fd)
        if not source.name or not target.name:
            raise Fail(BUSY)
        place, other = _changing(source, errno.EBUSY), _changing(target, errno.EBUSY)
        if (source.directory or target.directory) and not _is_directory(source):
            raise Fail(NOTDIR)
        place.rename(source.name, other, target.name)
    return SUCCESS


def _needed(oflags: int, fdflags: int, base: int) -> tuple[int, int]:
    """Return the rights, base and inheriting, that a directory must have for something to be opened through it."""
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


def _how(oflags: int, fdflags: int, base: int) -> int:
    """Translate to the flags of `Directory.open`."""
    how = READ if base & FD_READ else 0
    if base & (FD_WRITE | FD_ALLOCATE | FD_FILESTAT_SET_SIZE):
        how |= WRITE
    for wanted, bit, flag in (
        (oflags, OFLAG_CREAT, CREATE),
        (oflags, OFLAG_EXCL, EXCLUSIVE),
        (oflags, OFLAG_TRUNC, TRUNCATE),
        (oflags, OFLAG_DIRECTORY, ONLY_DIRECTORY),
        (fdflags, FDFLAG_APPEND, APPEND),
        (fdflags, FDFLAG_DSYNC, DSYNC),
        (fdflags, FDFLAG_RSYNC | FDFLAG_SYNC, SYNC),
    ):
        if wanted & bit:
            how |= flag
    return how


def _open(walk: Walk, how: int, follow: bool) -> File | Directory:
    """Open the last name; follow it as long as it turns out to be a symlink."""
    while True:
        if walk.directory:
            if how & CREATE:
                _refuse_to_create(walk, how)
            if how & (WRITE | TRUNCATE):
                _complete(walk)
                raise Fail(ISDIR)
            how |= ONLY_DIRECTORY
        try:
            return _open_name(walk, how)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                raise
            if not (follow or walk.directory):
                raise failure(errno.ENOTDIR if how & ONLY_DIRECTORY else error.errno) from None
            if not walk.expand():
                raise


def _refuse_to_create(walk: Walk, how: int) -> NoReturn:
    """Refuse to make a file whose path asks for a directory, whatever is there; a path that leads out has its own error."""
    if not walk.name:
        raise Fail(EXIST if how & EXCLUSIVE else ISDIR)
    try:
        walk.follow()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except Fail as fail:
        if fail.errno == NOTCAPABLE:
            raise
    raise Fail(ISDIR)


def _open_name(walk: Walk, how: int) -> File | Directory:
    if not walk.name:
        return walk.parent.reopen()
    if walk.parent.writable or not how & (WRITE | CREATE | TRUNCATE):
        return _as_asked(walk.parent.open(walk.name, how), how)
    try:
        found = _as_asked(walk.parent.open(walk.name, READ | how & ONLY_DIRECTORY), how)
    except FileNotFoundError:
        raise failure(errno.EROFS if how & CREATE else errno.ENOENT) from None
    if how & CREATE and how & EXCLUSIVE:
        number = errno.EEXIST
    elif isinstance(found, Directory):
        number = errno.EISDIR
    elif how & (WRITE | TRUNCATE):
        number = errno.EROFS
    else:
        return found
    found.close()
    raise failure(number)


def _as_asked(found: File | Directory, how: int) -> File | Directory:
    """Refuse a file where a directory is asked for, since a file system need not refuse it."""
    if how & ONLY_DIRECTORY and not isinstance(found, Directory):
        found.close()
        raise failure(errno.ENOTDIR)
    return found


def path_open(
    state: GuestState,
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
    state.table.room()
    with Walk(directory.directory, state.memory.path(path, length)) as walk:
        found = _open(walk, _how(oflags, fdflags, base), bool(dirflags & LOOKUP_FOLLOW))
    passed_on = inheriting & MASK64 & directory.inheriting
    descriptor = opened(found, base & MASK64, passed_on, fdflags)
    state.memory.store_u32(out, state.table.add(descriptor))
    return SUCCESS
