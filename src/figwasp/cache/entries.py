"""Floor 4: the entries of the cache: files that are read whole or not at all, and appear whole or not at all.

In: a folder, a key of 32 bytes, and bytes to be found again under it. Out: exactly those bytes, or None. A file begins with its
magic number, the version of this format, a checksum over all that follows, the size of what it holds, and the key, so that a
file under a wrong name is not taken for another. Whatever is not as it should be is as if there were no file; the next write
replaces it.

The checksum is a CRC-32: it takes a quarter of the time of BLAKE2b (4.3 against 0.94 GB/s), it finds every change of one or two
bits and every damage within four bytes, and one in 2^32 of all others goes unnoticed. It guards against damage. Against forging
there is the file's owner: who can write files in this user's name needs no cache to run code.

Nothing is forced to the disk (`fsync`): a file that a failure of power leaves with holes or zeros is found by its checksum, and
waiting for the disk would take longer than compiling.
"""

from __future__ import annotations

import os
import stat
import time
from binascii import crc32
from struct import Struct

from figwasp.cache.folder import WRITABLE_BY_OTHERS
from figwasp.runtime.once import exhaust

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final, TypeVar

    _T = TypeVar("_T")

__all__ = ["DAY", "FLAGS", "KEY_SIZE", "LARGEST", "Payload", "is_entry", "is_part", "path_of", "read", "while_open", "write"]

Payload = bytes | bytearray | memoryview

KEY_SIZE: Final = 32
LARGEST: Final = 256 << 20
"""Most bytes that an entry may hold."""
DAY: Final = 86400
"""Seconds for which the time of the last use may be wrong."""

_MAGIC: Final = b"\x7ffigwasp"
_FORMAT: Final = 1
_START: Final = Struct("<8sII")  # magic, format, checksum of what follows
_REST: Final = Struct(f"<Q{KEY_SIZE}s")  # size of what it holds, key
_HEAD_SIZE: Final = _START.size + _REST.size

FLAGS: Final = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_CLOEXEC", "O_NOCTTY", "O_NONBLOCK"))
"""How every file of the cache is opened; nonblocking, so that a FIFO does not hang."""

_ENTRY: Final = ".entry"
_PART: Final = ".part"
_MARK_SIZE: Final = 8  # bytes that make the name of a part unique


def path_of(folder: str, key: bytes) -> str:
    """Return the path of an entry."""
    return f"{folder}/{key.hex()}{_ENTRY}"


def is_entry(name: str) -> bool:
    """Return whether the name of a file is that of an entry."""
    return name.endswith(_ENTRY) and _is_hex(name[: -len(_ENTRY)], KEY_SIZE)


def is_part(name: str) -> bool:
    """Return whether the name of a file is that of an entry that is being written, or was when its process ended."""
    key, _, mark = name.removesuffix(_PART).partition(".")
    return name.endswith(_PART) and _is_hex(key, KEY_SIZE) and _is_hex(mark, _MARK_SIZE)


def _is_hex(text: str, size: int) -> bool:
    try:
        return len(text) == 2 * size and bytes.fromhex(text).hex() == text
    except ValueError:
        return False


def read(folder: str, key: bytes) -> bytes | None:
    """Return what an entry holds, in memory of this process alone; None if there is no such entry or anything is wrong with it.

    The time of its last use is noted, at most once a day.

    Args:
        folder: path of the folder.
        key: `KEY_SIZE` bytes.
    """
    try:
        return while_open(path_of(folder, key), os.O_RDONLY, lambda fd: _contents(fd, key))
    except (OSError, MemoryError):
        return None


def _contents(fd: int, key: bytes) -> bytes | None:
    """Return what an open file holds, None if it is not the entry of a key."""
    status = os.fstat(fd)
    if not _is_trusted(status):
        return None
    head = os.read(fd, _HEAD_SIZE)
    if len(head) != _HEAD_SIZE:
        return None
    magic, version, checksum = _START.unpack_from(head)
    size, own_key = _REST.unpack_from(head, _START.size)
    if magic != _MAGIC or version != _FORMAT or own_key != key or status.st_size != _HEAD_SIZE + size:
        return None
    payload = _exactly(fd, size)
    if crc32(payload, crc32(head[_START.size :])) != checksum or len(payload) != size:
        return None
    _note_use(fd, status.st_mtime)
    return payload


def _is_trusted(status: os.stat_result) -> bool:
    """Return whether a file is a regular one of this user that nobody else can write, of a size that an entry can have."""
    return (
        stat.S_ISREG(status.st_mode)
        and status.st_uid == os.geteuid()
        and not status.st_mode & WRITABLE_BY_OTHERS
        and status.st_size <= _HEAD_SIZE + LARGEST
    )


def _exactly(fd: int, size: int) -> bytes:
    """Read some number of bytes; fewer if the file ends before."""
    found = os.read(fd, size)
    while len(found) < size:
        more = os.read(fd, size - len(found))
        if not more:
            break
        found += more
    return found


def _note_use(fd: int, used: float) -> None:
    """Make now the time of the last use, if that is more than a day away; to either side, as clocks are set back."""
    if abs(time.time() - used) > DAY:
        try:
            os.utime(fd)
        except OSError:  # a file system that is mounted read-only
            pass


def write(folder: str, key: bytes, payload: Payload) -> bool:
    """Write an entry, which replaces what has its name, and return whether that worked.

    Args:
        folder: path of a folder that is there.
        key: `KEY_SIZE` bytes.
        payload: what it is to hold, `LARGEST` bytes at most.
    """
    data = memoryview(payload).cast("B")
    if len(data) > LARGEST:
        return False
    path = path_of(folder, key)
    try:
        part = f"{path.removesuffix(_ENTRY)}.{os.urandom(_MARK_SIZE).hex()}{_PART}"
        _replace(path, part, (_head(key, data), data))
    except OSError:
        return False
    return True


def _head(key: bytes, data: memoryview) -> bytes:
    rest = _REST.pack(len(data), key)
    return _START.pack(_MAGIC, _FORMAT, crc32(data, crc32(rest))) + rest


def _replace(path: str, part: str, pieces: tuple[bytes, memoryview]) -> None:
    """Write a file under one name, and then give it the other; leave nothing behind if it cannot be done or is stopped.

    Raises:
        OSError: it cannot be done.
    """
    try:
        while_open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, lambda fd: _fill(fd, pieces))
        os.rename(part, path)
    except BaseException:
        try:
            os.unlink(part)
        except OSError:  # it has not been made, or has its name already
            pass
        raise


def _fill(fd: int, pieces: tuple[bytes, memoryview]) -> None:
    for piece in pieces:
        rest = memoryview(piece)
        while rest:
            rest = rest[os.write(fd, rest) :]


def while_open(path: str, flags: int, use: Callable[[int], _T]) -> _T:
    """Open a file, do something with the descriptor, close it, and return what came of it.

    The file is not left open, wherever an exception comes. One that is made is its user's alone.

    Args:
        path: of the file.
        flags: those of `os.open` that are to be set besides `FLAGS`.
        use: what is done with the descriptor.

    Raises:
        OSError: the file cannot be opened, or not be closed, which tells of what has not been written.
    """
    opened: list[int] = []
    closing = map(os.close, opened)
    try:
        opened.extend(map(os.open, (path,), (flags | FLAGS,), (stat.S_IRUSR | stat.S_IWUSR,)))  # one step
        return use(opened[0])
    finally:
        exhaust(closing)
