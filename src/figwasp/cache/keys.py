"""Floor 4: the keys of the cache: everything that what has been compiled depends on, in 32 bytes.

In: the bytes of a module, or the name of something else, and plain values. Out: a key. In each are the sources of figwasp and
the build of Python.

The sources count by path, name, size and time of modification, as Python itself knows that a source has changed; only those
that code depends on, as looking at all of them would take longer. A process that sees sources younger than itself has no keys:
the modules that it has imported may be those of before.

The hash is BLAKE2b, from `_blake2`: whoever makes modules must not be able to make two with one key. It hashes 940 MB/s and is
imported in 0.25 ms; `hashlib`, which also has SHA-256 at 1050 MB/s, takes 15 ms as it loads OpenSSL.
"""

from __future__ import annotations

import os
import stat
import struct
import sys
from functools import cache

try:
    from _blake2 import blake2b
except ImportError:  # a build of its own kind
    from hashlib import blake2b

from figwasp import lazy
from figwasp.cache.entries import KEY_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from figwasp.cache.entries import Payload

__all__ = ["PARTS", "Plain", "contents", "interpreter", "key", "sources"]

Plain = int | float | str | bytes | None | tuple["Plain", ...]

PARTS: Final = ("cache", "codegen", "ir", "runtime", "wasm")
"""The packages of figwasp that code depends on, besides the modules at the top."""

_PLAIN: Final = (int, bool, float, str, bytes, type(None))
_PACKAGE: Final = os.path.dirname(os.path.dirname(__file__))
_SUFFIXES: Final = (".py", ".pyc")  # the latter in installations without sources
_COMPILED: Final = "__pycache__"


def key(subject: Payload | str, *given: Plain) -> bytes | None:
    """Return the key for something; None if it must not be kept, as nobody knows which sources are running.

    >>> key("stubs", 1) == key("stubs", 1) != key("stubs", "1")
    True

    Args:
        subject: the bytes of a module, or the name of what else it is.
        given: what it also depends on.

    Raises:
        TypeError: one of the values is not plain, such as a set, which has no order.
    """
    own = sources()
    if own is None:
        return None
    _check(given)
    what = subject if isinstance(subject, str) else _hash(subject)
    return _hash(repr((own, interpreter(), what, given)).encode())


def _check(values: tuple[Plain, ...]) -> None:
    """Make sure that values are written in only one way, which no other values share."""
    for value in values:
        if type(value) is tuple:
            _check(value)
        elif type(value) not in _PLAIN:
            raise TypeError(f"a key is made of plain values, not of {type(value).__name__}")


def _hash(data: Payload) -> bytes:
    return blake2b(data, digest_size=KEY_SIZE).digest()


@cache
def interpreter() -> tuple[Plain, ...]:
    """Return what tells this build of Python, and what it runs on, from others."""
    return (
        sys.version,
        sys.implementation.cache_tag,
        getattr(sys, "abiflags", ""),
        hasattr(sys, "gettotalrefcount"),
        sys.byteorder,
        sys.maxsize,
        os.uname().machine,
    )


@cache
def sources() -> bytes | None:
    """Return the digest of the sources of this figwasp; None if nobody knows it.

    It is computed once in a process.
    """
    version: str = sys.modules[__name__.partition(".")[0]].__version__
    return digest_of(_PACKAGE, version, lazy.IMPORTED)


def digest_of(package: str, version: str, imported: int) -> bytes | None:
    """Return the digest of the sources of a figwasp.

    Args:
        package: path of its package, which may lie in an archive.
        version: its version.
        imported: when it was imported, in nanoseconds since 1970.

    Returns:
        The digest; None if sources have been changed or put there since, or if there are none.
    """
    names: list[str] = []
    statuses: list[os.stat_result] = []
    try:
        _list(package, PARTS, names, statuses)
    except OSError:
        names, statuses = [package], _archive(package)
    if not statuses or max(status.st_ctime_ns for status in statuses) > imported:
        return None
    numbers = [number for status in statuses for number in (status.st_size, status.st_mtime_ns)]
    return _hash(repr((version, names)).encode() + struct.pack(f"{len(numbers)}q", *numbers))


@cache
def contents() -> bytes | None:
    """Return the digest of what is in the sources, which is the same wherever this figwasp is installed; None if nobody knows it.

    It takes four times as long as that of `sources`, which it is where they lie in an archive.
    """
    names: list[str] = []
    statuses: list[os.stat_result] = []
    found = blake2b(digest_size=KEY_SIZE)
    folder = ""
    try:
        _list(_PACKAGE, PARTS, names, statuses)
        for name in names:
            if name.endswith(_SUFFIXES):
                with open(os.path.join(folder, name), "rb") as file:
                    found.update(repr((name, _hash(file.read()))).encode())
            else:
                folder = name
                found.update(repr(os.path.relpath(folder, _PACKAGE)).encode())
    except OSError:
        return sources()
    if not statuses or max(status.st_ctime_ns for status in statuses) > lazy.IMPORTED:
        return None
    return found.digest()


def _list(folder: str, inner: tuple[str, ...] | None, names: list[str], statuses: list[os.stat_result]) -> None:
    """List the sources in a folder and in those in it, or in some of those, in an order that does not change.

    Raises:
        OSError: a folder cannot be read.
    """
    names.append(folder)
    folders = []
    with os.scandir(folder) as found:
        files = sorted(found, key=lambda entry: entry.name)
    for file in files:
        name = file.name
        if name.endswith(_SUFFIXES):
            names.append(name)
            statuses.append(file.stat())
        elif (name != _COMPILED if inner is None else name in inner) and file.is_dir():
            folders.append(file.path)
    for path in folders:
        _list(path, None, names, statuses)


def _archive(path: str) -> list[os.stat_result]:
    """Return the status of the file that a path leads into, such as a zip archive, in a list; none if there is no such file."""
    while path != os.path.dirname(path):
        path = os.path.dirname(path)
        try:
            status = os.stat(path)
        except OSError:
            continue
        return [status] if stat.S_ISREG(status.st_mode) else []
    return []
