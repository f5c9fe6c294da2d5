"""Floor 4: images of what memories of a module contain when its active segments have been copied, for its second instance on.

In: a module with much data in memories of its own, at places that do not depend on imports. Out: an image for each of these
memories. Who makes a single instance does not wait for them.
"""

from __future__ import annotations

from typing import Final

from figwasp.ir import constants
from figwasp.runtime.native.owner import Owners
from figwasp.runtime.platform.images import NO_FILE, MemoryImage
from figwasp.wasm.syntax.module import ACTIVE, Module

__all__ = ["InitialContents"]

_LEAST: Final = 256 << 10
"""Bytes of segments from which on an image pays: it takes 20 us to map, whatever the size."""
_PIECE: Final = 64 << 10
_SPARSE: Final = 4  # pieces that are so many times larger than what is in them are not worth it

_Pieces = dict[int, bytearray]


class InitialContents:
    """The contents of the memories of a module, made when they are first asked for."""

    __slots__ = ("_images", "_module", "_owners")

    def __init__(self, owners: Owners, module: Module) -> None:
        self._owners = owners
        self._module = module
        self._images: dict[int, MemoryImage] | None = None

    def images(self) -> dict[int, MemoryImage]:
        """Return the images by memory: of all memories with active segments; or none at all, and the segments are to be copied."""
        if self._images is None:
            self._images = self._make()
        return self._images

    def _make(self) -> dict[int, MemoryImage]:
        if sum(data.end - data.start for data in self._module.datas if data.mode == ACTIVE) < _LEAST:
            return {}
        made: dict[int, MemoryImage] = {}
        for memory, pieces in (_contents(self._module) or {}).items():
            length = -(-(self._module.memories[memory].limits.min << self._module.memories[memory].page) // _PIECE) * _PIECE
            try:
                image = MemoryImage(self._owners, length)
                if image.file == NO_FILE:
                    return {}
                for offset in sorted(pieces):
                    image.put(offset, bytes(pieces[offset]))
                image.finish()
            except OSError:
                return {}
            made[memory] = image
        return made


def _contents(module: Module) -> dict[int, _Pieces] | None:
    """Return pieces of the memories by offset, or None where that is not known from the module alone or takes too much."""
    contents: dict[int, _Pieces] = {}
    copied = count = 0
    for data in module.datas:
        if data.mode != ACTIVE:
            continue
        assert data.offset is not None
        type_ = module.memories[data.memory]
        place, size = constants.number_of(data.offset), data.end - data.start
        own = data.memory >= module.num_imported_memories and not type_.shared
        if place is None or not own or place + size > type_.limits.min << type_.page:
            return None
        pieces = contents.setdefault(data.memory, {})
        count -= len(pieces)
        _write(pieces, place, memoryview(module.data)[data.start : data.end])
        count += len(pieces)
        copied += size
        if count * _PIECE > _SPARSE * max(copied, _LEAST):
            return None
    return contents


def _write(pieces: _Pieces, place: int, data: memoryview) -> None:
    """Copy a segment into pieces, which are made as they are needed."""
    while data:
        offset = place // _PIECE * _PIECE
        piece = pieces.get(offset)
        if piece is None:
            piece = pieces[offset] = bytearray(_PIECE)
        size = min(len(data), offset + _PIECE - place)
        piece[place - offset : place - offset + size] = data[:size]
        place, data = place + size, data[size:]
