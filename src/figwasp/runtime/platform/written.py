"""Floor 4: which pages of a private mapping of a file are the process's own, since they have been written (ioctl PAGEMAP_SCAN).

In: nothing. Out: a descriptor, and the argument of the call, which emitted code completes. Linux has it from 6.7 on; where it is
not to be had, or finds more pages than it is told to, all pages are given back instead (`stubs.builtins.restore`).
"""

from __future__ import annotations

import os
from typing import Final

from figwasp.runtime.platform import linux

__all__ = ["END", "FOUND", "MOST", "REQUEST", "START", "WALKED", "scanner"]

REQUEST: Final = 0xC060_6610
"""The number of the call."""
MOST: Final = 512  # pages: to copy so many takes about as long as to give them back, and then nobody has to fault them in again
START: Final = 16  # offsets in the argument: where to look,
END: Final = 24
WALKED: Final = 32  # how far it has looked,
FOUND: Final = 96  # and what it has found: the first address of each range, its end, and a word more

_PRESENT: Final = 1 << 3
_SWAPPED: Final = 1 << 4
_OF_FILE: Final = 1 << 2
_OF_ZERO: Final = 1 << 5
_NO_FILE: Final = -1

_scanners: Final[dict[int, tuple[int, int]]] = {}
"""Process -> descriptor and argument: a descriptor is for the process that has opened it, not for one forked from that."""


def scanner() -> tuple[int, int]:
    """Return a descriptor, -1 for none, and the address of the argument, which is for whoever has the GIL."""
    process = os.getpid()
    known = _scanners.get(process)
    if known is None:
        for other in list(_scanners):  # which this one has been forked from
            file, _ = _scanners.pop(other)
            if file != _NO_FILE:
                os.close(file)
        known = _scanners.setdefault(process, (_open(), _argument()))
    return known


def _open() -> int:
    try:
        return os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return _NO_FILE


def _argument() -> int:
    """Make the argument: pages that are neither the file's nor the page of zeros."""
    address = linux.allocate(FOUND + 24 * MOST)
    kinds = _OF_FILE | _OF_ZERO
    linux.write_words(address, [FOUND, 0, 0, 0, 0, address + FOUND, MOST, MOST, kinds, kinds, _PRESENT | _SWAPPED, _PRESENT])
    return address
