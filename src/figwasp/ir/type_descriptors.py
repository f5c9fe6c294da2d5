"""Descriptors of defined types, which compiled code and the collector read (`layout.TYPE_DISPLAY` and on). Floor 2.

In: types that get a canonical number, and the region of memory where descriptors are. Out: a `DescribedTypes`, in which every type
that somebody holds has a descriptor there.

Theory of operation. A type's descriptor has its ancestors by depth, so that code finds out by one load whether a type derives from
another that is less than `layout.DISPLAY_DEPTHS` deep. Numbers are never given out twice, but places for descriptors are, as soon
as everybody who has interned the type has released it: so the region is as large as the types that are in use at once. A place is
written before the type's number can be found, and is free after the number cannot.
"""

from __future__ import annotations

import struct

from figwasp import layout
from figwasp.errors import LimitExceeded
from figwasp.ir.layouts import HEADER, element_shift, field_offsets
from figwasp.wasm.syntax.types import ANYREF, EXNREF, EXTERNREF, ArrayType, FuncType, is_ref
from figwasp.wasm.valid.subtyping import TypeWorld, top_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, Protocol

    from figwasp.wasm.syntax.types import SubType

    class Region(Protocol):
        """The memory of descriptors."""

        @property
        def base(self) -> int:
            """The address of the region."""

        def write(self, offset: int, data: bytes) -> None:
            """Write a descriptor."""

        def keep(self, data: bytes) -> int:
            """Keep bytes that a descriptor points to; return their address."""

        def release(self, address: int) -> None:
            """Release them."""

__all__ = ["EXCEPTION_HEADER", "MOST_TYPES", "DescribedTypes", "Region", "depth_of", "is_followed"]

MOST_TYPES: Final = (1 << 20) - 1
"""Types in use at once, in a region of 64 MiB. The first place stays free: no type is 0."""
EXCEPTION_HEADER: Final = 16
"""Bytes of an exception before what it carries: the descriptor of its tag's type, 4 unused, the address of the tag."""

_FOLLOWED: Final = frozenset((ANYREF, EXTERNREF, EXNREF))
_ROW: Final = struct.Struct(f"<{layout.DISPLAY_DEPTHS}I4I2Q")
_WORD: Final = 8
_ONE: Final = ord("1")
_LOW_BITS: Final = (1 << layout.REFERENCE_BITS) - 1


def is_followed(storage: int, types: list[SubType]) -> bool:
    """Return whether the collector follows what has a storage type: references to functions are no objects of the heap."""
    return is_ref(storage) and top_of(storage, types) in _FOLLOWED


def depth_of(index: int, types: list[SubType]) -> int:
    """Return how many ancestors a type of a module has."""
    depth = 0
    while types[index].supers:
        index = types[index].supers[0]
        depth += 1
    return depth


class DescribedTypes(TypeWorld):
    """Canonical numbers, each with a descriptor.

    Attributes:
        region: where the descriptors are.
    """

    __slots__ = ("_free", "_more", "_numbers", "_places", "_used", "region")

    def __init__(self, region: Region) -> None:
        super().__init__()
        self.region = region
        self._places: dict[int, int] = {}  # number -> descriptor
        self._numbers: dict[int, int] = {}  # and back
        self._more: dict[int, int] = {}  # number -> address of further bits
        self._free: list[int] = []  # places that nobody uses any more
        self._used = 0  # places that have ever been used

    def descriptors(self, numbers: list[int]) -> list[int]:
        """Return the descriptors of types that the caller holds."""
        return [self._places[number] for number in numbers]

    def number_at(self, descriptor: int) -> int:
        """Return the canonical number of the type with a descriptor, which the caller holds."""
        return self._numbers[descriptor]

    def enter(self, first: int, types: list[SubType], start: int, end: int, numbers: list[int]) -> None:
        """Write the descriptors of a group that is about to be known."""
        inner = self._take(end - start)
        for index, place in enumerate(inner, start):
            number = first + index - start
            type_ = types[index]
            line = [index]
            while types[line[-1]].supers:
                line.append(types[line[-1]].supers[0])
            display = [inner[one - start] if one >= start else self._places[numbers[one]] for one in reversed(line)]
            kind, layout_, bits = _shape(type_, types)
            more = self._keep_more(number, bits) if bits >> layout.REFERENCE_BITS else 0
            parent = display[-2] if len(display) > 1 else 0
            row = _ROW.pack(*_padded(display), parent, len(display) - 1, kind, layout_, bits & _LOW_BITS, more)
            self.region.write(place, row)
            self._numbers[place] = number
            self._places[number] = place

    def leave(self, number: int) -> None:
        """Let others have the place of a type that nobody can find any more."""
        place = self._places.pop(number)
        del self._numbers[place]
        if number in self._more:
            self.region.release(self._more.pop(number))
        self._free.append(place)

    def _keep_more(self, number: int, bits: int) -> int:
        words = (bits >> layout.REFERENCE_BITS).bit_length() + 63 >> 6
        data = words.to_bytes(_WORD, "little") + (bits >> layout.REFERENCE_BITS).to_bytes(_WORD * words, "little")
        more = self._more[number] = self.region.keep(data)
        return more

    def _take(self, count: int) -> list[int]:
        """Take places, those that have been used first.

        Raises:
            LimitExceeded: there are not so many.
        """
        if self._used - len(self._free) + count > MOST_TYPES:
            raise LimitExceeded(f"more than {MOST_TYPES} types are in use at once")
        places: list[int] = []
        while len(places) < count:
            if self._free:
                places.append(self._free.pop())
            else:
                self._used += 1
                places.append(layout.TYPE_SIZE * self._used)
        return places


def _padded(display: list[int]) -> list[int]:
    """Return what fits into a display, with 0 for the depths that there are not."""
    return (display + [0] * layout.DISPLAY_DEPTHS)[: layout.DISPLAY_DEPTHS]


def _shape(type_: SubType, types: list[SubType]) -> tuple[int, int, int]:
    """Return the kind of a type, its layout, and which words of its objects are references (`layout.TYPE_REFERENCES`)."""
    comp = type_.comp
    if isinstance(comp, ArrayType):
        storage = comp.field.storage
        return layout.KIND_ARRAY, element_shift(storage), int(is_followed(storage, types))
    if isinstance(comp, FuncType):
        kind, start, storages = layout.KIND_FUNC, EXCEPTION_HEADER, comp.params
    else:
        kind, start, storages = layout.KIND_STRUCT, HEADER, tuple([field.storage for field in comp.fields])
    offsets, size = field_offsets(storages, start)
    bits = bytearray(b"0" * (size // _WORD))
    for offset, storage in zip(offsets, storages, strict=True):
        if is_followed(storage, types):
            bits[-1 - offset // _WORD] = _ONE
    return kind, size, int(bits, 2)
