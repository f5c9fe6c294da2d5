"""Floor 4: the form of compiled modules for files and other processes.

In: a module, and its code as an image. Out: bytes, and from these bytes the module again, not decoded, validated or compiled anew.

The bytes: magic, format, checksum of all that follows; the digest of figwasp's sources by which they are known fastest; sizes of
the parts, number of functions, whether all bodies are valid; and the parts: the *stamp*, which names all that the code depends
on, in text with zeros between; the binary; the decoded module (`wasm.syntax.frozen`); the code (`codegen.stored.image`).

The checksum finds damage. It does not find forging: whoever makes the bytes makes machine code that runs in this process.
"""

from __future__ import annotations

import sys
from binascii import crc32
from itertools import pairwise
from struct import Struct
from typing import TYPE_CHECKING, Final

from figwasp.cache import keys
from figwasp.codegen.stored.image import Image
from figwasp.codegen.stored.serial import BadCode
from figwasp.errors import Error, Unusable
from figwasp.layout import GUARD
from figwasp.runtime.platform.processor import machine
from figwasp.runtime.whole import MAGIC
from figwasp.wasm.syntax.frozen import freeze, thaw

if TYPE_CHECKING:
    from figwasp.runtime.config import Config
    from figwasp.wasm.syntax.module import Module

__all__ = ["pack", "unpack"]

_FORMAT: Final = 1
_START: Final = Struct("<8sII")  # magic, format, checksum of what follows
_REST: Final = Struct("<32s4Q2I")  # digest of the sources; sizes of stamp, binary, decoded module and image; functions, validity
_HEAD_SIZE: Final = _START.size + _REST.size
_CHANGED: Final = "the sources of figwasp have been changed since this process began"


def pack(module: Module, config: Config, is_valid: bool, image: Image) -> bytes:
    """Return the bytes of a module and its code.

    Args:
        module: the decoded module.
        config: the settings that it has been compiled with.
        is_valid: whether all its bodies have been found valid.
        image: the code.

    Raises:
        Error: the sources of figwasp have been changed since this process began.
    """
    digest, own = keys.sources(), _own()
    if digest is None or own is None:
        raise Error(_CHANGED)
    stamp = [own, *_stamp(config)]
    parts = ("\0".join(stamp).encode(), module.data, freeze(module), image.to_bytes())
    rest = _REST.pack(digest, *map(len, parts), len(module.func_types), is_valid)
    body = b"".join((rest, *parts))
    return _START.pack(MAGIC, _FORMAT, crc32(body)) + body


_NAMES: Final = ("figwasp", "Python", "processor", "memory", "fuel", "proposals")
"""Of what stands in a stamp."""
_SETS: Final = ("processor", "proposals")
"""Those that are many words, of which some may be the same."""


def _own() -> str | None:
    """Return the first part of a stamp; None if nobody knows which sources are running."""
    contents = keys.contents()
    return None if contents is None else f"{sys.modules['figwasp'].__version__} {contents.hex()}"


def _stamp(config: Config) -> list[str]:
    """Return the other parts of a stamp, for code under settings."""
    target = machine()
    return [
        " ".join(" ".join(map(str, keys.interpreter())).split()),
        " ".join((target.name, *target.features)),
        "guard" if config.mode == GUARD else "checked",
        "counted" if config.metered else "not counted",
        " ".join(sorted(config.features.enabled)),
    ]


def unpack(data: bytes, config: Config) -> tuple[Module, bool, Image]:
    """Return the decoded module of some bytes, whether all its bodies are valid, and the image of its code.

    Raises:
        Unusable: the bytes are no serialized module, or damaged; or for something else than what is here under these settings.
    """
    _check(data)
    digest, *sizes, functions, valid = _REST.unpack_from(data, _START.size)
    places = [_HEAD_SIZE]
    for size in sizes:
        places.append(places[-1] + size)
    if places[-1] != len(data):
        raise Unusable("the serialized module is damaged: its parts are not as large as they should be")
    stamp, binary, frozen, code = (memoryview(data)[start:end] for start, end in pairwise(places))
    _compare(digest, bytes(stamp), config)
    try:
        image = Image.from_bytes(code, functions)
    except BadCode as error:
        raise Unusable(f"the serialized module is damaged: {error}") from None
    module = thaw(frozen, bytes(binary), config.features)
    if len(module.func_types) != functions:
        raise Unusable("the serialized module is damaged: it has not as many functions as its code is for")
    return module, bool(valid), image


def _check(data: bytes) -> None:
    """See that bytes are a serialized module as it was written.

    Raises:
        Unusable: they are not.
    """
    if not data.startswith(MAGIC):
        raise Unusable("not a serialized module: it does not begin as one")
    if len(data) < _HEAD_SIZE:
        raise Unusable(f"the serialized module is damaged: {len(data)} bytes are too few")
    _, version, checksum = _START.unpack_from(data)
    if version != _FORMAT:
        raise Unusable(f"the serialized module is for another figwasp: it has format {version}; here: {_FORMAT}", ("figwasp",))
    if crc32(memoryview(data)[_START.size :]) != checksum:
        raise Unusable("the serialized module is damaged: its checksum is not that of what is there")


def _compare(digest: bytes, stamp: bytes, config: Config) -> None:
    """See that what code has been made for is what is here.

    Raises:
        Unusable: it is not.
    """
    sources, own = keys.sources(), None
    there = stamp.decode("utf-8", "replace").split("\0")
    if sources is not None:
        own = there[0] if sources == digest else _own()
    if own is None:
        raise Unusable(f"nobody knows whether the serialized module is for this figwasp: {_CHANGED}", ("figwasp",))
    rows = [row for row in zip(_NAMES, there, [own, *_stamp(config)]) if row[1] != row[2]]
    if rows or len(there) != len(_NAMES):
        what = "; ".join(_difference(*row) for row in rows)
        raise Unusable(f"the serialized module is for something else than what is here: {what}", tuple(name for name, _, _ in rows))


def _difference(name: str, there: str, here: str) -> str:
    """Write what is not the same; of many words those that are not on both sides."""
    if name not in _SETS:
        return f"{name}: {there}; here: {here}"
    theirs = " ".join(word for word in there.split() if word not in here.split())
    ours = " ".join(word for word in here.split() if word not in there.split())
    return f"{name}: only there {theirs or 'nothing'}; only here {ours or 'nothing'}"
