"""Floor 4: the bytes of passive data segments, in native memory: one copy for all instances of a module.

In: a module. Out: an owner that keeps the copy, and where each segment is in it. Active segments are copied from the module's bytes
when an instance is made.
"""

from __future__ import annotations

from figwasp.runtime.platform import cpython, linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from figwasp.runtime.native.owner import Owner, Owners
    from figwasp.wasm.syntax.module import Module

__all__ = ["DataSegments"]

_HEAD: Final = 16  # bytes before the copy: the first word of a block that is released is overwritten


class DataSegments:
    """The passive data segments of a module.

    Attributes:
        owner: keeps them; None when there are none.
        words: address and length of every segment; of an active one both are 0.
    """

    __slots__ = ("owner", "words")

    def __init__(self, owners: Owners, module: Module) -> None:
        self.owner: Owner | None = None
        self.words = [0] * (2 * len(module.datas))
        kept = [(number, module.datas[number]) for number in module.passive_datas]
        if not kept:
            return
        block: int = cpython.raw_calloc(1, _HEAD + sum(data.end - data.start for _, data in kept))
        if not block:
            raise MemoryError
        self.owner = owners.make(block, lambda: (cpython.freeing(block),))
        place = block + _HEAD
        for number, data in kept:
            linux.write(place, module.data[data.start : data.end])
            self.words[2 * number : 2 * number + 2] = place, data.end - data.start
            place += data.end - data.start
