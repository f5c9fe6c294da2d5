"""Floor 6: WASI preview 1 in pure Python, written against the public API: host functions, file systems, `run`.

Nothing is imported before it is asked for, as with `figwasp` itself.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from figwasp.wasi.descriptors.streams import CAPTURE
    from figwasp.wasi.directories.host import HostDirectory
    from figwasp.wasi.directories.inmemory import MemoryDirectory
    from figwasp.wasi.directories.overlay import OverlayDirectory
    from figwasp.wasi.directories.tree import ResourceDirectory, ZipDirectory
    from figwasp.wasi.filesystem import Directory, Entry, File, Status
    from figwasp.wasi.preview1 import WASI

__all__ = [
    "CAPTURE",
    "WASI",
    "Directory",
    "Entry",
    "File",
    "HostDirectory",
    "MemoryDirectory",
    "OverlayDirectory",
    "ResourceDirectory",
    "Status",
    "ZipDirectory",
]

_PLACES: Final = {
    "CAPTURE": "descriptors.streams",
    "WASI": "preview1",
    "Directory": "filesystem",
    "Entry": "filesystem",
    "File": "filesystem",
    "HostDirectory": "directories.host",
    "MemoryDirectory": "directories.inmemory",
    "OverlayDirectory": "directories.overlay",
    "ResourceDirectory": "directories.tree",
    "Status": "filesystem",
    "ZipDirectory": "directories.tree",
}


def __getattr__(name: str) -> Any:
    """Import what has a public name."""
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f"figwasp.wasi.{place}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
