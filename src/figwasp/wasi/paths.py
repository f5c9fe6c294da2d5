"""Floor 6: how a guest's path becomes a host directory descriptor and one name in it.

In: the host descriptor of a directory that the guest holds, and a path relative to it. Out: a `Walk`, which says in which
directory (`fd`) which single name (`name`) an operation has to be done, never following a link (O_NOFOLLOW and the like).

Theory of operation. No path, symlinks included, may lead out of the directory it starts from, even while other processes
rename things. So the host is only ever given single names, each opened with O_NOFOLLOW relative to the descriptor before it.
When a name turns out to be a symlink (the open failed, and readlink works), its target takes its place in the path. `..` is never
given to the host: the walk remembers the names it has come by, drops the last one, and, when it next needs a directory, walks
down from the start again. So going up can be counted and stops at the start, and a directory moved away meanwhile cannot
be climbed out of. It needs two descriptors at a time whatever the length of the path.
"""

from __future__ import annotations

import errno
import os
from typing import Final

from figwasp.wasi.abi import LOOP, MAX_PATH, NAMETOOLONG, NOENT, NOTCAPABLE, Fail

MAX_LINKS: Final = 40
_DOWN: Final = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Walk:
    """A path resolved up to its last name. Use as a context manager: the descriptor is closed at the end.

    Attributes:
        fd: the host's descriptor of the directory that holds the last name; borrowed.
        name: the last name, or `.` if the path ends at the directory itself.
        directory: whether the path asks for a directory, by a slash or a dot at its end.
    """

    __slots__ = ("_links", "_names", "_start", "directory", "fd", "name")

    def __init__(self, start: int, path: bytes) -> None:
        """Resolve a path.

        Args:
            start: the host's descriptor of the directory from which the path goes; borrowed.
            path: as the guest gave it, without NUL.

        Raises:
            Fail: NOTCAPABLE when the path leads out of the directory; NOENT when empty; LOOP; NAMETOOLONG.
            OSError: from the host, for a directory on the way.
        """
        self._start = start
        self.fd = start
        self._names: list[bytes] = []
        self._links = 0
        self.name = b"."
        self.directory = False
        if not path:
            raise Fail(NOENT)
        try:
            self._go(path)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Walk:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the descriptor unless it is the one the walk started from."""
        fd = self.fd
        self.fd = self._start
        if fd not in (self._start, -1):
            os.close(fd)

    def expand(self) -> bool:
        """Go on to what the last name points at, if it is a symlink; else answer False.

        Raises:
            Fail, OSError: as the constructor.
        """
        target = self._link(self.name)
        if target is None:
            return False
        self._go(target + b"/" if self.directory else target)
        return True

    def follow(self) -> None:
        """Expand as long as the last name is a symlink."""
        while self.expand():
            pass

    def _go(self, path: bytes) -> None:
        """Walk a path from where the walk is; its last name stays for the caller."""
        if path.startswith(b"/"):
            raise Fail(NOTCAPABLE)
        pending = path.split(b"/")
        self.directory = pending[-1] in (b"", b".", b"..")
        while pending and pending[-1] in (b"", b"."):
            pending.pop()
        pending.reverse()
        self.name = b"."
        while pending:
            part = pending.pop()
            if part in (b"", b"."):
                continue
            if part == b"..":
                self._up()
            elif pending:
                self._down(part, pending)
            else:
                self.name = part
        self._ready()

    def _up(self) -> None:
        """Drop the name last entered; the descriptor is found again when needed."""
        if not self._names:
            raise Fail(NOTCAPABLE)
        self._names.pop()
        self.close()
        self.fd = -1 if self._names else self._start

    def _ready(self) -> None:
        """Have a descriptor for the directory the walk is in."""
        if self.fd != -1:
            return
        self.fd = self._start
        for name in self._names:
            self._enter(name)

    def _enter(self, name: bytes) -> None:
        below = os.open(name, _DOWN, dir_fd=self.fd)
        self.close()
        self.fd = below

    def _down(self, name: bytes, pending: list[bytes]) -> None:
        """Enter a directory, or put the target of a symlink in front of what is pending."""
        self._ready()
        try:
            self._enter(name)
        except OSError as error:
            target = self._link(name) if error.errno in (errno.ENOTDIR, errno.ELOOP) else None
            if target is None:
                raise
            if target.startswith(b"/"):
                raise Fail(NOTCAPABLE) from None
            if len(target) + sum(map(len, pending)) + len(pending) > MAX_PATH:
                raise Fail(NAMETOOLONG) from None
            pending.extend(reversed(target.split(b"/")))
        else:
            self._names.append(name)

    def _link(self, name: bytes) -> bytes | None:
        """Read a symlink; None when the name is something else."""
        try:
            target = os.readlink(name, dir_fd=self.fd)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOENT):
                return None
            raise
        self._links += 1
        if self._links > MAX_LINKS:
            raise Fail(LOOP)
        return target
