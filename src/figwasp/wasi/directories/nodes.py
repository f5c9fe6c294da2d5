"""Floor 6: the nodes of a file system in memory: files, directories and symlinks, and the memory that each is charged for.

In: a limit. Out: nodes, which have no names themselves: directories have names for them. An operation that makes, renames or
changes one and needs more room than there is raises ENOSPC, and has changed nothing.
"""

from __future__ import annotations

import errno
import itertools
import time
from sys import getsizeof
from typing import Final

from figwasp.wasi.abi import FILETYPE_DIRECTORY, FILETYPE_REGULAR_FILE, FILETYPE_SYMBOLIC_LINK
from figwasp.wasi.allowance import Allowance
from figwasp.wasi.filesystem import Status, failure

__all__ = ["Data", "Folder", "Inode", "Link", "Volume"]

_MAX_NAME: Final = 255
_NODE: Final = 512
"""Bytes that a node takes by itself, with its numbers and an empty dictionary or the like."""
_SLACK: Final = 64
"""Bytes that contents take beside what is asked for."""
_NAME: Final = 128
"""Bytes that a name takes in a dictionary beside the string."""
_STRING: Final = 80
"""Bytes that a string takes beside its characters."""
_devices: Final = itertools.count(1 << 32)


class Volume(Allowance):
    """The state that all nodes of a file system share.

    Attributes:
        device: its number.
        inodes: numbers of nodes to come.
        limit: most bytes that the nodes may take.
    """

    __slots__ = ("device", "inodes", "limit")

    def __init__(self, limit: int) -> None:
        super().__init__(limit, errno.ENOSPC)
        self.limit = limit
        self.device = next(_devices)
        self.inodes = itertools.count(1)


class Inode:
    """A file, directory or symlink, whatever its names.

    Attributes:
        volume: the file system that it belongs to.
        filetype: one of FILETYPE_*.
        inode: its number.
        links: how many names it has.
        atime, mtime, ctime: nanoseconds since 1970.
        charged: bytes that it takes of the volume.
    """

    __slots__ = ("atime", "charged", "ctime", "filetype", "inode", "links", "mtime", "volume")

    def __init__(self, volume: Volume, filetype: int) -> None:
        self.volume = volume
        self.charged = 0
        self.charge(_NODE)
        self.filetype = filetype
        self.inode = next(volume.inodes)
        self.links = 1
        self.atime = self.mtime = self.ctime = time.time_ns()

    def size(self) -> int:
        return 0

    def status(self) -> Status:
        times = self.atime, self.mtime, self.ctime
        return Status(self.filetype, self.size(), self.inode, self.links, *times, self.volume.device)

    def set_times(self, atime: int, mtime: int) -> None:
        self.atime, self.mtime, self.ctime = atime, mtime, time.time_ns()

    def changed(self) -> None:
        self.mtime = self.ctime = time.time_ns()

    def charge(self, size: int) -> None:
        self.volume.take(size)
        self.charged += size

    def __del__(self) -> None:
        if hasattr(self, "charged"):  # an exception may have come before it was made
            self.volume.left += self.charged


class Data(Inode):
    """A file. A bytearray that grows a little grows by an eighth more, and keeps what it has until half of it is not used."""

    __slots__ = ("_held", "data")

    def __init__(self, volume: Volume) -> None:
        self.data = bytearray()
        self._held = 0
        super().__init__(volume, FILETYPE_REGULAR_FILE)

    def size(self) -> int:
        return len(self.data)

    def set_size(self, size: int) -> None:
        if size > len(self.data):
            self._extend(size)
        else:
            del self.data[size:]
            self._settle()
        self.changed()

    def write(self, offset: int, data: bytes) -> None:
        if offset + len(data) > len(self.data):
            self._extend(offset + len(data))
        self.data[offset : offset + len(data)] = data
        self.changed()

    def _extend(self, size: int) -> None:
        """Lengthen with zeros, once it is certain that there is room."""
        has = self.data.__alloc__()
        slack = 0 if size > has + (has >> 3) + 1 else size >> 3
        most = size + slack + _SLACK
        self.charge(most - self._held)
        self._held = most
        try:
            self.data.extend(bytes(size - len(self.data)))
        finally:
            self._settle()

    def _settle(self) -> None:
        """Lower the charge to the bytes that the contents take now."""
        held = getsizeof(self.data)
        self.charge(held - self._held)
        self._held = held


class Link(Inode):
    __slots__ = ("target",)

    def __init__(self, volume: Volume, target: str) -> None:
        self.target = target
        super().__init__(volume, FILETYPE_SYMBOLIC_LINK)
        self.charge(_weight(target))

    def size(self) -> int:
        return len(self.target.encode("utf-8", "surrogateescape"))


class Folder(Inode):
    __slots__ = ("names", "parent")

    def __init__(self, volume: Volume, parent: Folder | None) -> None:
        self.names: dict[str, Inode] = {}
        self.parent = parent
        super().__init__(volume, FILETYPE_DIRECTORY)

    def get(self, name: str) -> Inode:
        if len(name) > _MAX_NAME or len(name.encode("utf-8", "surrogateescape")) > _MAX_NAME:
            raise failure(errno.ENAMETOOLONG)
        node = self.names.get(name)
        if node is None:
            raise failure(errno.ENOENT, name)
        return node

    def find(self, name: str) -> Inode | None:
        """Return what has a name that may be given to something."""
        try:
            return self.get(name)
        except FileNotFoundError:
            if self.links == 0:
                raise
            return None

    def add(self, name: str, node: Inode) -> None:
        self.volume.take(_NAME + _weight(name))
        self.names[name] = node
        self.changed()

    def drop(self, name: str) -> None:
        node = self._forget(name)
        node.links -= 1
        node.ctime = time.time_ns()
        self.volume.left += _NAME + _weight(name)

    def move(self, name: str, target: Folder, new: str) -> None:
        """Rename an entry, replacing the entry of the new name if there is one.

        Raises:
            OSError: the new name takes more room than there is with the old one gone; nothing has changed then.
        """
        if new in target.names:
            target.volume.left += _NAME + _weight(name)  # the other name is paid for
        else:
            self.volume.take(_weight(new) - _weight(name))
        node = self._forget(name)
        old = target.names.get(new)
        if old is not None:
            old.links -= 1
            old.ctime = time.time_ns()
        target.names[new] = node
        node.ctime = time.time_ns()
        target.changed()
        if isinstance(node, Folder):
            node.parent = target

    def _forget(self, name: str) -> Inode:
        """Remove a name from the dictionary, which is made anew before it takes more than its entries are charged for."""
        node = self.names.pop(name)
        if getsizeof(self.names) > _NODE + _NAME * len(self.names):
            self.names = dict(self.names.items())
        self.changed()
        return node

    def has_above(self, other: Inode) -> bool:
        """Return whether another directory is this one or one above it."""
        here: Folder | None = self
        while here is not None and here is not other:
            here = here.parent
        return here is not None


def _weight(text: str) -> int:
    """Return the most bytes that a string takes: the widest character decides for all. Equal strings weigh the same."""
    return _STRING + (len(text) if text.isascii() else 4 * len(text))
