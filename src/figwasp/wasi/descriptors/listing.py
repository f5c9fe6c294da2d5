"""Floor 6: the listing of a directory that is kept between calls of `fd_readdir`.

In: a directory. Out: its entries as the guest gets them, one after the other in one bytes object, by position.
"""

from __future__ import annotations

from array import array

from figwasp.wasi.abi import DIRENT, FILETYPE_DIRECTORY, MASK64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from figwasp.wasi.allowance import Allowance
    from figwasp.wasi.filesystem import Directory

__all__ = ["Listing"]

_COST: Final = 128
"""Bytes that an entry is taken to need beside its record: as a name and an `Entry` for as long as the directory is looked at."""


class Listing:
    """The entries of a directory at some time. Its bytes are given back to the allowance when it is no longer referred to."""

    __slots__ = ("_allowance", "_charged", "_records", "_starts")

    def __init__(self, directory: Directory, allowance: Allowance) -> None:
        """Read the directory.

        Raises:
            OSError: from the directory; ENOMEM when the allowance is not enough.
        """
        self._allowance = allowance
        self._charged = 0
        self._records = bytearray()
        self._starts = array("Q")
        # The parent's inode is nobody's business below a preopened directory; C libraries take 0 for "not known".
        self._add(b".", directory.status().inode, FILETYPE_DIRECTORY)
        self._add(b"..", 0, FILETYPE_DIRECTORY)
        for name, filetype, inode in directory.entries():
            self._add(name.encode("utf-8", "surrogateescape"), inode, filetype)

    def _add(self, name: bytes, inode: int, filetype: int) -> None:
        cost = _COST + DIRENT.size + len(name)
        self._allowance.take(cost)
        self._charged += cost
        self._starts.append(len(self._records))
        self._records += DIRENT.pack(len(self._starts), inode & MASK64, len(name), filetype)
        self._records += name

    def records(self, position: int, size: int) -> bytearray:
        """Return the records from the entry at a position on that go into so many bytes; the last may be cut."""
        if position >= len(self._starts):
            return bytearray()
        start = self._starts[position]
        return self._records[start : start + size]

    def __del__(self) -> None:
        if hasattr(self, "_charged"):  # an exception may have come before it was made
            self._allowance.left += self._charged
