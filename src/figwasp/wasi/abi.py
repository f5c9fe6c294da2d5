"""Floor 6: the numbers and layouts of WASI preview 1 and of the snapshot before it; no behaviour.

Everything follows the witx files of both (`typenames.witx`): error numbers, rights, flags, file types and the structs that
cross the border, little-endian with C's natural alignment. Snapshot 0 (module name `wasi_unstable`) differs in three places:
`filestat.nlink` is an u32, `subscription_clock` begins with an identifier, and `whence` counts from another start.
"""

from __future__ import annotations

import errno
import io
import stat
from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

MASK32: Final = 0xFFFF_FFFF
MASK64: Final = 0xFFFF_FFFF_FFFF_FFFF
MAX_OFFSET: Final = 0x7FFF_FFFF_FFFF_FFFF
"""The largest file offset that hosts take; WASI's are unsigned."""
MAX_PATH: Final = 4096
MAX_VECTORS: Final = 1024
"""Most buffers that one call of the host takes (IOV_MAX of Linux and macOS)."""

ERRNO_NAMES: Final = tuple(
    """success 2big acces addrinuse addrnotavail afnosupport again already badf badmsg busy canceled child connaborted
    connrefused connreset deadlk destaddrreq dom dquot exist fault fbig hostunreach idrm ilseq inprogress intr inval io isconn
    isdir loop mfile mlink msgsize multihop nametoolong netdown netreset netunreach nfile nobufs nodev noent noexec nolck
    nolink nomem nomsg noprotoopt nospc nosys notconn notdir notempty notrecoverable notsock notsup notty nxio overflow
    ownerdead perm pipe proto protonosupport prototype range rofs spipe srch stale timedout txtbsy xdev notcapable""".split()
)
"""Names by number."""

SUCCESS: Final = 0
AGAIN: Final = 6
BADF: Final = 8
BUSY: Final = 10
EXIST: Final = 20
FAULT: Final = 21
INVAL: Final = 28
IO: Final = 29
ISDIR: Final = 31
LOOP: Final = 32
MFILE: Final = 33
NAMETOOLONG: Final = 37
NOENT: Final = 44
NOTCONN: Final = 53
NOTDIR: Final = 54
NOTSOCK: Final = 57
NOTSUP: Final = 58
PERM: Final = 63
SPIPE: Final = 70
NOTCAPABLE: Final = 76

_FROM_HOST: Final[dict[int | None, int]] = {
    getattr(errno, "E" + name.upper()): number
    for number, name in reversed(list(enumerate(ERRNO_NAMES)))
    if hasattr(errno, "E" + name.upper())
}


_WITHOUT_NUMBER: Final[tuple[tuple[type[OSError], int], ...]] = (
    (FileNotFoundError, errno.ENOENT),
    (FileExistsError, errno.EEXIST),
    (NotADirectoryError, errno.ENOTDIR),
    (IsADirectoryError, errno.EISDIR),
    (PermissionError, errno.EACCES),
    (BlockingIOError, errno.EAGAIN),
    (BrokenPipeError, errno.EPIPE),
    (io.UnsupportedOperation, errno.ENOTSUP),
)
"""Numbers for exceptions that a user's own file system or file object raised without one."""


class Fail(Exception):
    """The failure of a call with an error number that does not come from the host.

    Attributes:
        errno: WASI's number.
    """

    def __init__(self, errno: int) -> None:
        super().__init__(ERRNO_NAMES[errno])
        self.errno = errno


def errno_of(error: OSError) -> int:
    """Return WASI's number for an error of the host."""
    number = error.errno
    if number is None:
        number = next((number for kind, number in _WITHOUT_NUMBER if isinstance(error, kind)), errno.EIO)
    return _FROM_HOST.get(number, IO)


# Rights (flags, u64). Those a descriptor does not have make its functions answer an error.
FD_DATASYNC: Final = 1 << 0
FD_READ: Final = 1 << 1
FD_SEEK: Final = 1 << 2
FD_FDSTAT_SET_FLAGS: Final = 1 << 3
FD_SYNC: Final = 1 << 4
FD_TELL: Final = 1 << 5
FD_WRITE: Final = 1 << 6
FD_ADVISE: Final = 1 << 7
FD_ALLOCATE: Final = 1 << 8
PATH_CREATE_DIRECTORY: Final = 1 << 9
PATH_CREATE_FILE: Final = 1 << 10
PATH_LINK_SOURCE: Final = 1 << 11
PATH_LINK_TARGET: Final = 1 << 12
PATH_OPEN: Final = 1 << 13
FD_READDIR: Final = 1 << 14
PATH_READLINK: Final = 1 << 15
PATH_RENAME_SOURCE: Final = 1 << 16
PATH_RENAME_TARGET: Final = 1 << 17
PATH_FILESTAT_GET: Final = 1 << 18
PATH_FILESTAT_SET_SIZE: Final = 1 << 19
PATH_FILESTAT_SET_TIMES: Final = 1 << 20
FD_FILESTAT_GET: Final = 1 << 21
FD_FILESTAT_SET_SIZE: Final = 1 << 22
FD_FILESTAT_SET_TIMES: Final = 1 << 23
PATH_SYMLINK: Final = 1 << 24
PATH_REMOVE_DIRECTORY: Final = 1 << 25
PATH_UNLINK_FILE: Final = 1 << 26
POLL_FD_READWRITE: Final = 1 << 27
SOCK_SHUTDOWN: Final = 1 << 28
SOCK_ACCEPT: Final = 1 << 29

FILE_RIGHTS: Final = (
    FD_DATASYNC | FD_READ | FD_SEEK | FD_FDSTAT_SET_FLAGS | FD_SYNC | FD_TELL | FD_WRITE | FD_ADVISE | FD_ALLOCATE
    | FD_FILESTAT_GET | FD_FILESTAT_SET_SIZE | FD_FILESTAT_SET_TIMES | POLL_FD_READWRITE
)  # fmt: skip
DIRECTORY_RIGHTS: Final = (
    FD_FDSTAT_SET_FLAGS | FD_SYNC | FD_DATASYNC | PATH_CREATE_DIRECTORY | PATH_CREATE_FILE | PATH_LINK_SOURCE
    | PATH_LINK_TARGET | PATH_OPEN | FD_READDIR | PATH_READLINK | PATH_RENAME_SOURCE | PATH_RENAME_TARGET
    | PATH_FILESTAT_GET | PATH_FILESTAT_SET_SIZE | PATH_FILESTAT_SET_TIMES | FD_FILESTAT_GET | FD_FILESTAT_SET_TIMES
    | PATH_SYMLINK | PATH_REMOVE_DIRECTORY | PATH_UNLINK_FILE
)  # fmt: skip
STREAM_RIGHTS: Final = FILE_RIGHTS & ~(FD_SEEK | FD_TELL | FD_ADVISE | FD_ALLOCATE | FD_FILESTAT_SET_SIZE)
"""Of pipes, terminals and Python's file objects. C libraries take a character device without seek and tell for a terminal."""

OFLAG_CREAT: Final = 1
OFLAG_DIRECTORY: Final = 2
OFLAG_EXCL: Final = 4
OFLAG_TRUNC: Final = 8
OFLAGS: Final = 15

FDFLAG_APPEND: Final = 1
FDFLAG_DSYNC: Final = 2
FDFLAG_NONBLOCK: Final = 4
FDFLAG_RSYNC: Final = 8
FDFLAG_SYNC: Final = 16
FDFLAGS: Final = 31

LOOKUP_FOLLOW: Final = 1

FST_ATIM: Final = 1
FST_ATIM_NOW: Final = 2
FST_MTIM: Final = 4
FST_MTIM_NOW: Final = 8

WHENCE: Final = (0, 1, 2)
WHENCE_SNAPSHOT0: Final = (1, 2, 0)
"""`os.SEEK_*` by the guest's number: set, cur, end; in snapshot 0 cur, end, set."""

FILETYPE_UNKNOWN: Final = 0
FILETYPE_BLOCK_DEVICE: Final = 1
FILETYPE_CHARACTER_DEVICE: Final = 2
FILETYPE_DIRECTORY: Final = 3
FILETYPE_REGULAR_FILE: Final = 4
FILETYPE_SOCKET_DGRAM: Final = 5
FILETYPE_SOCKET_STREAM: Final = 6
FILETYPE_SYMBOLIC_LINK: Final = 7

_FILETYPES: Final = {
    stat.S_IFBLK: FILETYPE_BLOCK_DEVICE,
    stat.S_IFCHR: FILETYPE_CHARACTER_DEVICE,
    stat.S_IFDIR: FILETYPE_DIRECTORY,
    stat.S_IFREG: FILETYPE_REGULAR_FILE,
    stat.S_IFSOCK: FILETYPE_SOCKET_STREAM,
    stat.S_IFLNK: FILETYPE_SYMBOLIC_LINK,
}


def filetype_of(mode: int) -> int:
    """Return the file type for the `st_mode` of a host file."""
    return _FILETYPES.get(stat.S_IFMT(mode), FILETYPE_UNKNOWN)


CLOCK_REALTIME: Final = 0
CLOCK_MONOTONIC: Final = 1
CLOCK_PROCESS_CPUTIME: Final = 2
CLOCK_THREAD_CPUTIME: Final = 3

EVENT_CLOCK: Final = 0
EVENT_FD_READ: Final = 1
EVENT_FD_WRITE: Final = 2
EVENT_HANGUP: Final = 1
CLOCK_ABSTIME: Final = 1

U16: Final = Struct("<H")
U32: Final = Struct("<I")
U64: Final = Struct("<Q")
IOVEC: Final = Struct("<II")
"""buf, buf_len."""
PRESTAT: Final = Struct("<B3xI")
"""tag (0: directory), pr_name_len."""
FDSTAT: Final = Struct("<BxH4xQQ")
"""fs_filetype, fs_flags, fs_rights_base, fs_rights_inheriting."""
FILESTAT: Final = Struct("<QQB7xQQQQQ")
FILESTAT_SNAPSHOT0: Final = Struct("<QQB3xIQQQQ")
"""dev, ino, filetype, nlink, size, atim, mtim, ctim: 64 bytes, in snapshot 0 56."""
DIRENT: Final = Struct("<QQIB3x")
"""d_next, d_ino, d_namlen, d_type; the name follows at once, unterminated."""
EVENT: Final = Struct("<QHB5xQH6x")
"""userdata, error, type, nbytes, flags."""
SUBSCRIPTION: Final = Struct("<QB7xI4xQQH6x")
SUBSCRIPTION_SNAPSHOT0: Final = Struct("<QB15xI4xQQH6x")
"""userdata, type, clock id, timeout, precision, flags: 48 and 56 bytes."""
SUBSCRIPTION_FD_OFFSET: Final = 16
"""Where the descriptor lies in a subscription of either layout."""
