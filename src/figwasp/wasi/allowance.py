"""Floor 6: limits on what a guest makes the host keep in memory: listings, contents, captured output.

In: a limit in bytes. Out: an `OSError` for what would go beyond, which the guest sees as an error number.
"""

from __future__ import annotations

import errno

from figwasp.wasi.filesystem import failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["Allowance"]

_NO_LIMIT: Final = 1 << 62


class Allowance:
    """A number of bytes that may still be kept in memory.

    Nothing here calls anything between reading and writing `left`, so that threads and finalisers need no lock: CPython
    switches between them at calls and jumps back only.

    Attributes:
        left: bytes.
    """

    __slots__ = ("_number", "left")

    def __init__(self, limit: int | None, number: int = errno.ENOMEM) -> None:
        """Begin with nothing kept.

        Args:
            limit: most bytes that are kept at once; None for any number.
            number: the host's error number for more than that.
        """
        self.left = _NO_LIMIT if limit is None else limit
        self._number = number

    def take(self, size: int) -> None:
        """Account for bytes to be kept; negative to give some back.

        Raises:
            OSError: there would be too many.
        """
        if size > self.left:
            raise failure(self._number)
        self.left -= size
