"""Floor 4: what is kept of a module on the disk: the decoded module, and the image of its code.

In: the bytes of a module, the settings that it is compiled with, and code as it is compiled. Out: the decoded module and the image,
if an earlier process, or this one, has left them in the cache.

Theory of operation. There is an entry of the cache for a module with all that its code depends on. It is read when the module is
loaded, and written when there is much that is not in it, when many others wait to be written, and at the end of the process: then
it is read once more, and what is missing is added to what is there, so that processes add to each other's work; what two write at
one time is written by one of them.
What waits to be written is in serial form, by the entry's key, whatever becomes of the module. Only compiling and the end of the
process write, never a finalizer. What cannot be written is forgotten.
"""

from __future__ import annotations

import atexit
import os
import time
import weakref
from struct import Struct

from figwasp.cache.keys import key
from figwasp.codegen.code import OPTIMIZED
from figwasp.codegen.stored.image import Image, ImageBuilder
from figwasp.codegen.stored.serial import BadCode, from_bytes, to_bytes
from figwasp.errors import Unsupported
from figwasp.runtime.platform.processor import machine
from figwasp.wasm.syntax.frozen import freeze

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, Protocol

    from figwasp.cache.cache import Cache
    from figwasp.codegen.code import Code
    from figwasp.runtime.config import Config
    from figwasp.wasm.syntax.module import Module

    class Writer(Protocol):
        """What adds something to an entry."""

        def write(self, key: bytes) -> None:
            """Add everything that is to be added to the entry with a key."""

__all__ = ["Kept", "flush", "look_up", "wait"]

_HEAD: Final = Struct("=QII")
"""Bytes of the frozen module, number of functions, whether all bodies are valid."""
_MUCH: Final = 1 << 18
"""Bytes of serial forms below which nothing is written before the process ends."""
_MANY: Final = 64
"""Entries that wait before all are written: a process may load modules for ever, each of them once."""
_PATIENCE: Final = 60
"""Seconds after which another thread that writes is not waited for any more: a signal handler may have come in between."""
_PAUSE: Final = 0.01
"""Seconds between looks at whether it still does."""


class _Entry:
    """The contents of an entry.

    Attributes:
        frozen: the decoded module.
        functions: how many functions it has.
        valid: whether all its bodies have been found valid together.
        image: the code.
    """

    __slots__ = ("frozen", "functions", "image", "valid")

    def __init__(self, frozen: bytes, functions: int, valid: bool, image: Image) -> None:
        self.frozen = frozen
        self.functions = functions
        self.valid = valid
        self.image = image

    @classmethod
    def from_bytes(cls, data: bytes) -> _Entry | None:
        """Return the entry that some bytes are, or None."""
        if len(data) < _HEAD.size:
            return None
        size, functions, valid = _HEAD.unpack_from(data)
        view = memoryview(data)
        end = _HEAD.size + size
        try:
            return cls(bytes(view[_HEAD.size : end]), functions, bool(valid), Image.from_bytes(view[end:], functions))
        except BadCode:
            return None


def _packed(frozen: bytes, functions: int, valid: bool, image: Image) -> bytes:
    """Return the contents of an entry."""
    return b"".join((_HEAD.pack(len(frozen), functions, valid), frozen, image.to_bytes()))


class _Waiting:
    """What waits to be written to an entry.

    Attributes:
        codes: serial forms of functions, by index.
        size: bytes of them.
    """

    __slots__ = ("cache", "codes", "frozen", "functions", "size", "valid")

    def __init__(self, cache: Cache, module: Module) -> None:
        self.cache = cache
        self.frozen = freeze(module)
        self.functions = len(module.func_types)
        self.valid = False
        self.codes: dict[int, bytes] = {}
        self.size = 0

    def write(self, key: bytes) -> None:
        """Add everything to the entry."""
        codes = list(self.codes.items())
        data = self.cache.read(key)
        entry = None if data is None else _Entry.from_bytes(data)
        if entry is not None and entry.functions != self.functions:
            entry = None
        builder = ImageBuilder(self.functions, None if entry is None else entry.image)
        added = [builder.add(from_bytes(code, machine().fingerprint)) for _, code in codes]
        valid = self.valid or (entry is not None and entry.valid)
        if entry is None or any(added) or valid != entry.valid:
            self.cache.write(key, _packed(self.frozen, self.functions, valid, builder.finish()))
        for index, code in codes:
            if self.codes.get(index) is code:  # and not a better one, made meanwhile
                self.codes.pop(index, None)
                self.size -= len(code)


_waiting: dict[bytes, Writer] = {}
"""What waits to be written, by the key of its entry."""
_writer: list[weakref.ref[_Turn]] = []
"""Who writes an entry, if somebody does. Only who replaces one waits for that."""


class _Turn:
    """A turn to write an entry. It is taken and given back by one operation of a list each, so that it can be stopped anywhere.

    If what gives it back is stopped, it is given back when the object goes.
    """

    __slots__ = ("__weakref__",)

    def taken(self, patience: float = 0) -> bool:
        """Take the turn, if it is nobody's, waiting for that for so many seconds; tell whether it has been taken."""
        end = time.monotonic() + patience
        while True:
            entry = weakref.ref(self, _writer.remove)
            _writer.append(entry)
            if _writer[0] is entry:
                return True
            self.end()
            if time.monotonic() >= end:
                return False
            time.sleep(_PAUSE)

    def end(self) -> None:
        """Give the turn back, or what there is of it."""
        for entry in [*_writer]:
            if entry() is self:
                _writer.remove(entry)


def wait(key: bytes, writer: Writer) -> None:
    """Have something write to an entry before the process ends."""
    _waiting.setdefault(key, writer)


def flush() -> None:
    """Write everything that waits, unless another thread is writing."""
    turn = _Turn()
    try:
        if turn.taken():
            while _waiting:
                key = next(iter(_waiting))
                _waiting.pop(key).write(key)
    finally:
        turn.end()


def _forget() -> None:
    """Leave to the parent what waits in it; another thread of the parent may have been writing."""
    _writer.clear()
    _waiting.clear()


atexit.register(flush)
os.register_at_fork(after_in_child=_forget)


def look_up(config: Config, data: bytes) -> Kept | None:
    """Return what is kept of a module under settings; None where nothing is to be kept.

    Args:
        config: the settings, which have the cache.
        data: the bytes of the module.
    """
    if config.cache is None:
        return None
    try:
        target, mode = machine(), config.mode
    except Unsupported:  # modules can be looked at where they cannot be run
        return None
    found = key(data, tuple(sorted(config.features.enabled)), mode, config.metered, config.tier, target.name, target.features)
    return None if found is None else Kept(config.cache, found)


class Kept:
    """What is kept of a module under the settings that it is compiled with."""

    __slots__ = ("_cache", "_entry", "_key", "_known")

    def __init__(self, cache: Cache, key: bytes) -> None:
        """Look for the entry with a key."""
        self._cache = cache
        self._key = key
        data = cache.read(key)
        self._entry = None if data is None else _Entry.from_bytes(data)
        self._known = 0 if self._entry is None else self._entry.image.size

    @property
    def frozen(self) -> bytes | None:
        """The frozen form of the decoded module (`wasm.syntax.frozen`), or None."""
        return None if self._entry is None else self._entry.frozen

    @property
    def has_code(self) -> bool:
        """Whether there is code that nobody has taken yet."""
        return self._entry is not None and len(self._entry.image) > 0

    @property
    def valid(self) -> bool:
        """Whether all bodies have been found valid."""
        return self._entry is not None and self._entry.valid

    @property
    def image(self) -> Image | None:
        """The image, until somebody takes it; None if there is none."""
        return None if self._entry is None or not len(self._entry.image) else self._entry.image

    def take_image(self, functions: int) -> Image | None:
        """Return the image, once: it is large; None if there is none for so many functions, as it would be wrong for others."""
        entry, image = self._entry, self.image
        self._entry = None
        return None if entry is None or entry.functions != functions else image

    def replace(self, module: Module, image: Image) -> bool:
        """Have an image of all functions, which are valid, in the place of what is kept, and return whether that worked."""
        entry = self._entry
        if entry is not None and entry.valid and entry.image is image:
            return True
        turn = _Turn()
        try:
            turn.taken(_PATIENCE)  # what another thread writes meanwhile would be less
            written = self._cache.write(self._key, _packed(freeze(module), len(module.func_types), True, image))
        finally:
            turn.end()
        if written:
            _waiting.pop(self._key, None)
            self._known = max(self._known, image.size)
        return written

    def note_valid(self, module: Module) -> None:
        """Note that all bodies have been found valid together."""
        self._waiting(module).valid = True

    def add(self, module: Module, code: Code) -> None:
        """Have a function kept that has been compiled."""
        waiting = self._waiting(module)
        data = to_bytes(code, machine().fingerprint)
        before = waiting.codes.get(code.index, b"")
        if not before or code.tier == OPTIMIZED:
            waiting.codes[code.index] = data
            waiting.size += len(data) - len(before)
        if waiting.size >= max(_MUCH, self._known):
            turn = _Turn()
            try:
                if not turn.taken():
                    return
                waiting.write(self._key)
            finally:
                turn.end()
            self._known = max(2 * self._known, _MUCH)

    def _waiting(self, module: Module) -> _Waiting:
        waiting = _waiting.get(self._key)
        if waiting is None:
            if len(_waiting) >= _MANY:
                flush()
            waiting = _waiting.setdefault(self._key, _Waiting(self._cache, module))
        assert isinstance(waiting, _Waiting)
        return waiting
