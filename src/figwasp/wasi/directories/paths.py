"""Floor 6: resolution of a guest's path to a directory and one name in it.

In: a directory that the guest holds, and a path relative to it. Out: a `Walk`, which says in which directory (`parent`)
which single name (`name`) an operation has to be done, never following a link.

Theory of operation. No path, symlinks included, may lead out of the directory it starts from, even while other
processes rename things. So a file system is only ever given single names, each entered from the directory before it
without following it. When a name turns out to be a symlink (entering failed, and reading it as a link works), its
target takes its place in the path. `..` is never given to a file system: the walk remembers the names it has come by,
drops the last one, and, when it next needs a directory, walks down from the start again. So going up can be counted and
stops at the start, and a directory moved away meanwhile cannot be climbed out of. A walk needs two descriptors of the
host at a time whatever the length of the path. Where nothing but plain names is left, a file system may have a shortcut
(`Directory.descend`), which follows nothing either.
"""

from __future__ import annotations

import errno

from figwasp.api import deadline
from figwasp.wasi.abi import LOOP, MAX_PATH, NAMETOOLONG, NOENT, NOTCAPABLE, Fail

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from figwasp.wasi.filesystem import Directory

MAX_LINKS: Final = 40
_NO_NAMES: Final = ("", ".", "..")


class Walk:
    """A path resolved up to its last name. Use as a context manager: the directory is closed at the end.

    Only slashes may follow the last name: a path that ends with a dot or two goes into what is before them, which therefore
    has to be a directory or to lead to one, and ends at the directory itself.

    Attributes:
        name: the last name, or empty if the path ends at the directory itself.
        directory: whether the path asks for a directory, by a slash or a dot at its end.
        upwards: whether the path ends with `..`.
    """

    __slots__ = ("_here", "_links", "_names", "_start", "directory", "name", "upwards")

    def __init__(self, start: Directory, path: str) -> None:
        """Resolve a path.

        Args:
            start: the directory from which the path goes; borrowed.
            path: as the guest gave it, without NUL.

        Raises:
            Fail: NOTCAPABLE when the path leads out of the directory; NOENT when empty; LOOP; NAMETOOLONG.
            OSError: from the file system, for a directory on the way.
        """
        self._start = start
        self._here: Directory | None = start
        self._names: list[str] = []
        self._links = 0
        self.name = ""
        self.directory = self.upwards = False
        if not path:
            raise Fail(NOENT)
        try:
            self._go(path)
        except BaseException:
            self.close()
            raise

    @property
    def parent(self) -> Directory:
        """The directory that holds the last name; borrowed."""
        assert self._here is not None
        return self._here

    def __enter__(self) -> Walk:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the directory unless it is the one the walk started from."""
        here = self._here
        self._here = self._start
        if here is not None and here is not self._start:
            here.close()

    def expand(self) -> bool:
        """Go on to the target of the last name, if it is a symlink; else return False.

        Raises:
            Fail, OSError: as the constructor.
        """
        target = self._link(self.name) if self.name else None
        if target is None:
            return False
        self._go(target + "/" if self.directory else target)
        return True

    def follow(self) -> None:
        """Expand as long as the last name is a symlink."""
        while self.expand():
            pass

    def _go(self, path: str) -> None:
        """Walk a path from where the walk is; its last name stays for the caller."""
        if path.startswith("/"):
            raise Fail(NOTCAPABLE)
        pending = path.split("/")
        self.directory = pending[-1] in _NO_NAMES
        while pending and not pending[-1]:
            pending.pop()
        self.upwards = pending[-1:] == [".."]
        pending.reverse()
        self.name = ""
        steep = True
        while pending:
            part = pending.pop()
            if part in _NO_NAMES:
                if part == "..":
                    self._up()
            elif not pending:
                self.name = part
            elif not (steep and self._descend(part, pending)):
                steep = False  # there is a symlink or the like on the way, or no such shortcut
                self._down(part, pending)
        self._ready()

    def _descend(self, first: str, pending: list[str]) -> bool:
        """Enter all directories up to the next dots, or to the last name, in one step; return False if that cannot be done."""
        names = [first]
        for part in reversed(pending[1:]):
            if part in _NO_NAMES:
                break
            names.append(part)
        below = self._ready().descend(names) if len(names) > 1 else None
        if below is None:
            return False
        self.close()
        self._here = below
        self._names += names
        del pending[len(pending) - len(names) + 1 :]
        return True

    def _up(self) -> None:
        """Drop the name last entered; the directory is found again when needed."""
        if not self._names:
            raise Fail(NOTCAPABLE)
        self._names.pop()
        self.close()
        self._here = None if self._names else self._start

    def _ready(self) -> Directory:
        """Return the directory that the walk is in."""
        if self._here is None:
            here = self._here = self._start
            for name in self._names:
                deadline.check()  # a path can make the walk start anew several hundred times
                here = self._enter(here, name)
        return self._here

    def _enter(self, here: Directory, name: str) -> Directory:
        below = here.enter(name)
        self.close()
        self._here = below
        return below

    def _down(self, name: str, pending: list[str]) -> None:
        """Enter a directory, or put the target of a symlink in front of what is pending."""
        here = self._ready()
        try:
            self._enter(here, name)
        except OSError as error:
            target = self._link(name) if error.errno in (errno.ENOTDIR, errno.ELOOP) else None
            if target is None:
                raise
            if target.startswith("/"):
                raise Fail(NOTCAPABLE) from None
            if len(target) + sum(map(len, pending)) + len(pending) > MAX_PATH:
                raise Fail(NAMETOOLONG) from None
            pending.extend(reversed(target.split("/")))
        else:
            self._names.append(name)

    def _link(self, name: str) -> str | None:
        """Read a symlink; None when the name is something else."""
        try:
            target = self.parent.readlink(name)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOENT):
                return None
            raise
        self._links += 1
        if self._links > MAX_LINKS:
            raise Fail(LOOP)
        if not target:
            raise Fail(NOENT)
        return target
