"""Floor 4: a map file for Linux `perf`: which function stands where.

In: the code that gets installed, in engines that ask for a map. Out: lines `START SIZE NAME` (hexadecimal) in /tmp/perf-PID.map,
where `perf` looks for the names of code that no file holds. Other compilers of the process may write to the same file, CPython's
among them, so lines are only ever appended. It must be a file of our own user that nobody else may write: /tmp is for everybody. A
forked child gets a file of its own, with what it has from its parent.

Code of modules that have gone stays in the map until `perf` reads later lines for the same addresses.
"""

from __future__ import annotations

import os
import stat

from figwasp.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["add", "add_stub", "enable"]

FOLDER: Final = "/tmp"
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
_REUSE: Final = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK

_lines: Final[list[bytes]] = []
"""All lines that are or will be in the map."""
_fd = -1
_hooked = False


def path() -> str:
    """Return where `perf` looks for the map of this process."""
    return f"{FOLDER}/perf-{os.getpid()}.map"


def enable() -> None:
    """Start to write the map, unless that has been done; it begins with the existing stubs.

    Raises:
        Error: there cannot be a map file, or it is not ours alone.
    """
    global _fd, _hooked
    if _fd >= 0:
        return
    try:
        _fd = _open(path())
    except OSError as error:
        raise Error(f"{path()}: {error.strerror}") from error
    if not _hooked:
        os.register_at_fork(after_in_child=_start_anew)
        _hooked = True
    _write(b"".join(_lines))


def add_stub(address: int, size: int, name: str) -> None:
    """Note the address of a stub, which goes into the map as soon as there is one."""
    add(address, size, f"figwasp::{name}")


def add(address: int, size: int, name: str) -> None:
    """Add installed code to the map."""
    shown = "".join(char if char.isprintable() else "?" for char in name)
    line = f"{address:x} {size:x} {shown}\n".encode("utf-8", "replace")
    _lines.append(line)
    _write(line)


def _open(name: str) -> int:
    """Create a file, or open one that belongs to this user alone.

    Raises:
        OSError: neither is possible.
    """
    try:
        return os.open(name, _CREATE, 0o600)
    except FileExistsError:
        pass
    fd = os.open(name, _REUSE)
    found = os.fstat(fd)
    others = stat.S_IWGRP | stat.S_IWOTH
    if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and found.st_nlink == 1 and not found.st_mode & others:
        return fd
    os.close(fd)
    raise PermissionError(1, "exists and is not a file of this user alone")


def _write(data: bytes) -> None:
    """Append to the map; give it up when that fails."""
    global _fd
    try:
        while data and _fd >= 0:
            data = data[os.write(_fd, data) :]
    except OSError:
        os.close(_fd)
        _fd = -1


def _start_anew() -> None:
    """Give a forked child its own map."""
    global _fd
    if _fd < 0:
        return
    os.close(_fd)
    try:
        _fd = _open(path())
    except OSError:
        _fd = -1
    _write(b"".join(_lines))
