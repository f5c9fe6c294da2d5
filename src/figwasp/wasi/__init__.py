"""Floor 6: WASI preview 1 in pure Python, written against the public API: host functions, file systems, `run`.

Nothing is imported before it is asked for, as with `figwasp` itself.
"""

from __future__ import annotations

from figwasp.lazy import on_first_use

TYPE_CHECKING = False
if TYPE_CHECKING:
    from figwasp.wasi.descriptors.streams import CAPTURE
    from figwasp.wasi.directories.host import HostDirectory
    from figwasp.wasi.directories.inmemory import MemoryDirectory
    from figwasp.wasi.directories.overlay import OverlayDirectory
    from figwasp.wasi.directories.tree import ResourceDirectory, ZipDirectory
    from figwasp.wasi.filesystem import Directory, Entry, File, Status
    from figwasp.wasi.preview1 import WASI
    from figwasp.wasi.threads import Threads

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
    "Threads",
    "ZipDirectory",
]

if not TYPE_CHECKING:  # which are told above, and are to find names that do not exist
    __getattr__, __dir__ = on_first_use(
        globals(),
        {
            "figwasp.wasi.descriptors.streams": "CAPTURE",
            "figwasp.wasi.directories.host": "HostDirectory",
            "figwasp.wasi.directories.inmemory": "MemoryDirectory",
            "figwasp.wasi.directories.overlay": "OverlayDirectory",
            "figwasp.wasi.directories.tree": "ResourceDirectory ZipDirectory",
            "figwasp.wasi.filesystem": "Directory Entry File Status",
            "figwasp.wasi.preview1": "WASI",
            "figwasp.wasi.threads": "Threads",
        },
    )
