"""Floor 4: the cache as those who compile see it: a folder of which they read and write entries.

In: the `cache` of an engine. Out: a `Cache`, or None where there is to be none. Nothing happens on the disk before an entry is
read or written.
"""

from __future__ import annotations

import os

from figwasp.cache import entries
from figwasp.cache.folder import OFF, chosen, objection, prepared
from figwasp.lazy import importing

__all__ = ["Cache", "resolved"]


class Cache:
    """A folder that keeps entries; neither method raises an exception for what it finds on the disk.

    Attributes:
        path: of the folder, absolute.
    """

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        self.path = path

    def read(self, key: bytes) -> bytes | None:
        """Return what was written under a key of 32 bytes, None if nothing is there that can be used."""
        return None if objection(self.path) else entries.read(self.path, key)

    def write(self, key: bytes, payload: entries.Payload) -> bool:
        """Write an entry under a key of 32 bytes and return whether that worked; old entries may have to go."""
        with importing:
            from figwasp.cache import eviction  # not to be waited for where entries are only read

        if not prepared(self.path):
            return False
        due = eviction.is_due(self.path, memoryview(payload).nbytes)
        written = entries.write(self.path, key, payload)
        if due:
            eviction.evict(self.path)
        return written


def resolved(setting: str | None) -> Cache | None:
    """Return the cache that a setting means.

    Args:
        setting: the absolute path of a folder, "off", or None for what the environment says.
    """
    path = chosen(os.environ) if setting is None else setting
    return None if path is None or path == OFF else Cache(path)
