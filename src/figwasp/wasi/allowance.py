"""Floor 6: how much a guest may make the host keep of one kind: listings, contents, captured output.

In: a limit in bytes. Out: an `OSError` for what would go beyond, which the guest sees as an error number.
"""

from __future__ import annotations

import errno
from typing import Final

from figwasp.wasi.filesystem import failure

__all__ = ["Allowance"]

_NO_LIMIT: Final = 1 << 62


class Allowance:
    """Bytes that may still be kept.

    Nothing here calls anything between reading and writing `left`, so that threads and finalisers need no lock: CPython
    switches between them at calls and jumps back only.

    Attributes:
        left: bytes.
    """

    __slots__ = ("_number", "left")

    def __init__(self, limit: int | None, number: int = errno.ENOMEM) -> None:
        """Begin with all of it.

        Args:
            limit: most bytes that are kept at once; None for any number.
            number: the host's error number for what would be more.
        """
        self.left = _NO_LIMIT if limit is None else limit
        self._number = number

    def take(self, size: int) -> None:
        """Account for bytes to be kept; negative to give some back.

        Raises:
            OSError: they would be too many.
        """
        if size > self.left:
            raise failure(self._number)
        self.left -= size
