"""Floor 4: the stubs that are shipped: their code by key, as `native.shipping` has made it for builds of Python that it knows.

In: a file beside this module. Out: code for `stubs.installed`: a first start compiles none of those that most programs need.

Theory of operation. There is a file for each way in which objects are laid out (`platform.interpreter`); a process of another build
finds none, or one made of other facts, and compiles its stubs. What is shipped needs no feature of a processor, and stands for what
the compiler makes of the sources here: a test makes it again.
"""

from __future__ import annotations

import marshal
import os
from binascii import crc32

from figwasp.codegen.isa import host
from figwasp.codegen.stored.serial import BadCode, from_bytes
from figwasp.runtime.native.build import facts
from figwasp.runtime.platform import interpreter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from figwasp.codegen.code import Code

    Contents = tuple[int, dict[str, tuple[bytes, tuple[int, ...]]], dict[str, dict[str, int]]]
    """The digest of facts; serial forms by key, and the places in the code that hold THREAD_STATE; entry points of sequences."""

__all__ = ["FOLDER", "ShippedStubs", "digest", "file_name", "look_up"]

FOLDER: Final = os.path.join(os.path.dirname(__file__), "shipped")
_WORD: Final = 4  # bytes of such a place


def file_name() -> str:
    """Return the name of the file for this build."""
    kinds = (interpreter.INTS, interpreter.COUNTS, interpreter.TUPLE_ITEMS, interpreter.SINGLETONS[1])
    return f"{host().name}-{'-'.join(map(str, kinds))}.stubs"


def digest() -> int:
    """Return a number that stands for what code of stubs depends on here."""
    return crc32(repr(facts()).encode())


def look_up() -> ShippedStubs | None:
    """Return the stubs that are shipped for this build, or None."""
    loader: Any = __spec__.loader
    try:
        made_of, codes, entries = marshal.loads(loader.get_data(os.path.join(FOLDER, file_name())))
    except (OSError, EOFError, ValueError, TypeError):  # there is none, or not all of it
        return None
    return ShippedStubs(codes, entries) if made_of == digest() else None


class ShippedStubs:
    """The code of stubs, by key."""

    __slots__ = ("_codes", "_entries")

    def __init__(self, codes: dict[str, tuple[bytes, tuple[int, ...]]], entries: dict[str, dict[str, int]]) -> None:
        """Begin with what `Contents` says."""
        self._codes = codes
        self._entries = entries

    def code(self, key: str) -> Code | None:
        """Return the code of a stub, or None."""
        found = self._codes.get(key)
        if found is None:
            return None
        try:
            code = from_bytes(found[0])
        except BadCode:
            return None
        if found[1]:
            word = (interpreter.THREAD_STATE or 0).to_bytes(_WORD, "little")
            data = bytearray(code.data)
            for place in found[1]:
                data[place : place + _WORD] = word
            code.data = bytes(data)
        return code

    def entries(self, key: str) -> dict[str, int] | None:
        """Return the offsets of the entry points of a sequence, or None."""
        return self._entries.get(key)
