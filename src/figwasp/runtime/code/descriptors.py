"""Floor 4: the types of all modules, with descriptors in native memory.

In: type sections, through `TYPES.intern`. Out: canonical numbers, on which any two modules agree since their instances may meet,
and descriptors (`ir.type_descriptors`) in one region of the process, which is mapped when the first type comes.
"""

from __future__ import annotations

from figwasp import layout
from figwasp.errors import LimitExceeded
from figwasp.ir.type_descriptors import MOST_TYPES
from figwasp.runtime.code.known_types import KnownTypes
from figwasp.runtime.platform import cpython, linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["REGION", "TYPES"]


class _NativeRegion:
    """The region: pages are committed when a descriptor is written there."""

    __slots__ = ("base",)

    def __init__(self) -> None:
        self.base = 0

    def map(self) -> int:
        """Return the address of the region, which is mapped now if it has not been."""
        if not self.base:
            try:
                self.base = linux.allocate(layout.TYPE_SIZE * (MOST_TYPES + 1))
            except OSError as error:
                raise LimitExceeded(f"no memory for type descriptors: {error}") from None
        return self.base

    def write(self, offset: int, data: bytes) -> None:
        linux.write(self.map() + offset, data)

    def keep(self, data: bytes) -> int:
        address: int = cpython.raw_calloc(1, len(data))
        if not address:
            raise MemoryError
        linux.write(address, data)
        return address

    def release(self, address: int) -> None:
        cpython.raw_free(address)


REGION: Final = _NativeRegion()
TYPES: Final = KnownTypes(REGION)
"""The canonical numbers of types, shared by all modules, since any two instances may meet."""
