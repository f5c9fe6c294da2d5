"""Floor 4: the stubs that are kept on the disk: their code by key, as a process before this one has made it.

In: the cache. Out: code for `stubs.installed`, which makes what is not there and gives it here. Code of stubs is the same in every
process with the same build of Python (`stubs.symbols`); what is known of that build goes into the key of the entry, and so does
where this process has its thread states. Modules choose the types that stubs are made for, so there is a limit to what is kept.
"""

from __future__ import annotations

import marshal

from figwasp.cache.keys import key
from figwasp.codegen.stored.serial import BadCode, from_bytes, to_bytes
from figwasp.runtime.code import kept
from figwasp.runtime.native.build import facts
from figwasp.runtime.platform import interpreter
from figwasp.runtime.platform.processor import machine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from figwasp.cache.cache import Cache
    from figwasp.codegen.code import Code

__all__ = ["KeptStubs", "look_up"]

_MOST: Final = 1 << 22
"""Bytes of serial forms that are kept: a thousand types of functions."""


def look_up(cache: Cache | None) -> KeptStubs | None:
    """Return the stubs that are kept in a cache; None where nothing is to be kept."""
    if cache is None:
        return None
    target = machine()
    found = key("stubs", target.name, target.features, *facts(), interpreter.THREAD_STATE)
    return None if found is None else KeptStubs(cache, found)


class KeptStubs:
    """The code of stubs, by key."""

    __slots__ = ("_cache", "_codes", "_entries", "_key", "_made")

    def __init__(self, cache: Cache, key: bytes) -> None:
        """Read what is kept."""
        self._cache = cache
        self._key = key
        self._codes, self._entries = self._read()
        self._made: dict[str, bytes] = {}

    def _read(self) -> tuple[dict[str, bytes], dict[str, dict[str, int]]]:
        data = self._cache.read(self._key)
        return ({}, {}) if data is None else marshal.loads(data)

    def code(self, key: str) -> Code | None:
        """Return the code of a stub, or None."""
        data = self._codes.get(key)
        try:
            return None if data is None else from_bytes(data, machine().fingerprint)
        except BadCode:
            return None

    def entries(self, key: str) -> dict[str, int] | None:
        """Return the offsets of the entry points of a sequence that is kept, or None."""
        return self._entries.get(key)

    def add(self, key: str, code: Code, entries: dict[str, int] | None = None) -> None:
        """Have the code of a stub kept, and the entry points of one that has several."""
        if entries is not None:
            self._entries[key] = entries
        self._made[key] = to_bytes(code, machine().fingerprint)
        kept.wait(self._key, self)

    def write(self, _key: bytes) -> None:
        """Add what has been made to the entry, unless that is as large as it may be."""
        codes, entries = self._read()
        codes = {**self._made, **codes}
        if sum(map(len, codes.values())) <= _MOST:
            self._cache.write(self._key, marshal.dumps((codes, {**self._entries, **entries})))
        self._made.clear()
