"""Floor 6: names for the addresses that stubs hold as constants, so that listings say what is meant and are the same in every run.

In: addresses with names. Out: text in which the names stand for the numbers, decimal or hexadecimal, and bytes in which their
places are known.
"""

from __future__ import annotations

import re
from typing import Final

_NUMBER: Final = re.compile(r"(?<![\w.])(?:0x[0-9a-f]{5,}|-?[0-9]{5,})(?![\w.])")
_WORD: Final = 1 << 64
HIDDEN: Final = ".."


class Symbols:
    """Names of addresses."""

    __slots__ = ("_names",)

    def __init__(self, names: dict[int, str] | None = None) -> None:
        self._names = names or {}

    def apply(self, text: str) -> str:
        """Put the names in the place of the numbers."""
        return _NUMBER.sub(self._name, text) if self._names else text

    def _name(self, match: re.Match[str]) -> str:
        text = match[0]
        return self._names.get(int(text, 0) % _WORD, text)

    def hidden(self, data: bytes) -> range:
        """Return where in the bytes of an instruction an address stands."""
        for size in (8, 4):
            start = len(data) - size
            if self._names and start > 0 and int.from_bytes(data[start:], "little") in self._names:
                return range(start, len(data))
        return range(0)
