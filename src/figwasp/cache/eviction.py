"""Floor 4: the size of the cache: which entries go when there are too many.

In: a folder. Out: there is less in it. The entries whose last use is the longest ago go first; their time of modification says
when that was, as far as it matters. Parts that a process has left behind that was killed while it wrote them go as well. Any
number of processes may do this at once. Nothing is touched but regular files of this user whose names are those of entries and
parts.

Looking through a folder of thousands of files takes longer than writing one. So each write makes a file longer, by a byte for
each MiB, and whoever finds that file too long looks through the folder: what has been written since is bounded, too, whatever
becomes of the writers.
"""

from __future__ import annotations

import os
import stat
import time

from figwasp.cache.entries import DAY, is_entry, is_part, while_open
from figwasp.records import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["BETWEEN", "LIMIT", "MOST", "Kept", "clear", "entries_in", "evict", "is_due"]

LIMIT: Final = 1 << 30
"""Bytes that entries may have together: twice what wasmtime allows itself, as each version of figwasp has its own."""
MOST: Final = 8192
"""Entries that there may be, so that looking through all of them takes a tenth of a second at most."""
BETWEEN: Final = 64
"""Entries, or MiB if that is more, that are written before somebody looks again."""
_COUNT: Final = "written"
_MIB: Final = 20
_HOUR: Final = 3600
"""Seconds after which nobody is still writing a part."""


class Kept(NamedTuple):
    """A file of the cache.

    Attributes:
        path: where it is.
        size: in bytes.
        used: when it was last used, in seconds since 1970, give or take a day.
    """

    path: str
    size: int
    used: float


def entries_in(folder: str) -> list[Kept]:
    """Return the entries in a folder, in no order; none if it cannot be read."""
    return _files(folder)[0]


def is_due(folder: str, size: int) -> bool:
    """Note that an entry of some bytes is about to be written, and return whether it is time for `evict`, now or after that."""
    mebibytes = 1 + (size >> _MIB)
    try:
        return while_open(f"{folder}/{_COUNT}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, lambda fd: _counted(fd, mebibytes))
    except OSError:  # nobody knows
        return True


def _counted(fd: int, number: int) -> bool:
    os.write(fd, bytes(number))
    if os.fstat(fd).st_size <= BETWEEN:
        return False
    os.ftruncate(fd, 0)
    return True


def evict(folder: str, limit: int = LIMIT, most: int = MOST) -> None:
    """Remove entries until the others keep to the limits, and parts that nobody writes any more.

    Args:
        folder: path of the folder.
        limit: bytes that entries may have together.
        most: entries that there may be.
    """
    kept, parts = _files(folder)
    now = time.time()
    _remove([part for part in parts if abs(now - part.used) > _HOUR])  # or from before the clock was set back
    size = sum(entry.size for entry in kept)
    number = len(kept)
    going = []
    for entry in sorted(kept, key=lambda entry: _age(entry, now), reverse=True):
        if size <= limit and number <= most:
            break
        going.append(entry)
        size -= entry.size
        number -= 1
    _remove(going)


def _age(entry: Kept, now: float) -> tuple[bool, float]:
    """Return what is the larger the longer an entry has not been used: since before the clock was set back above all."""
    return entry.used > now + DAY, now - entry.used


def clear(folder: str) -> tuple[int, int]:
    """Remove all entries and parts, and return how many there were and how many bytes."""
    kept, parts = _files(folder)
    return _remove(kept + parts)


def _files(folder: str) -> tuple[list[Kept], list[Kept]]:
    """Return the entries and the parts in a folder."""
    kept: list[Kept] = []
    parts: list[Kept] = []
    try:
        with os.scandir(folder) as found:
            for file in found:
                if is_entry(file.name):
                    _note(file, kept)
                elif is_part(file.name):
                    _note(file, parts)
    except OSError:  # what has been found counts
        pass
    return kept, parts


def _note(file: os.DirEntry[str], files: list[Kept]) -> None:
    """Note a file, if it is a regular one of this user."""
    try:
        status = file.stat(follow_symlinks=False)
    except OSError:  # it has gone meanwhile
        return
    if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid():
        files.append(Kept(file.path, status.st_size, status.st_mtime))


def _remove(files: list[Kept]) -> tuple[int, int]:
    """Remove files and return how many it were and how many bytes; those that have gone meanwhile do not count."""
    number = size = 0
    for file in files:
        try:
            os.unlink(file.path)
        except OSError:
            continue
        number += 1
        size += file.size
    return number, size
