"""Floor 3: images: the code of many functions in one piece that is installed as one copy, for a file.

In: `Code`, and how many functions the module has. Out: an `Image`, its bytes, and from bytes an `Image` again, or `BadCode`.

Theory of operation. The text of an image is right at the origin of a region with that many functions (`codegen.words`), and nowhere
else. Functions are added at its end. Behind the code of each stand its records (`codegen.unwind`), as they do where it is installed
alone. What the runtime must know about a function that traps is in a row of its own, which is read when somebody asks; the row also
says where its fields of relocations are, so that it can be taken out again, for another place.

The bytes, in the order of the machine throughout, as code is for one machine anyway: numbers of functions and of needs, sizes of
the rows and of the text; function indices, where their code begins, where their rows begin and the end of the last; the needs; the
rows, the bytes of the map, the text. As with `stored.serial`, whoever can write them can write machine code. What is read is
consistent: the sizes are those of what is there, the places inside of it.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from itertools import pairwise
from struct import Struct

from figwasp.codegen import unwind
from figwasp.codegen.code import RELOC_BUILTIN, RELOC_STUB, STUB_COUNT, Code
from figwasp.codegen.isa import host
from figwasp.codegen.stored.serial import BadCode, pack_tables, tables_of, unpack_tables
from figwasp.codegen.words import Words
from figwasp.ir import builtins

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["Image", "ImageBuilder"]

_HEAD: Final = Struct("=4I")
_ROW: Final = Struct("=IiIII6I")
"""Frame size, incoming, sizes of the text and of the data, number of relocations, rows of each table."""
_CELL: Final = 4
_HANDLERS: Final = _ROW.size - _CELL  # where a row has the number of handlers
_RELOCS: Final = Struct("=I")
_RELOCS_PLACE: Final = 16  # where a row has the number of relocations
_FIELD_BITS: Final = 4  # of a field's offset and kind in one number, those of the kind
_CODES: Final = {RELOC_BUILTIN: builtins.COUNT, RELOC_STUB: STUB_COUNT}


class Image:
    """Code of functions.

    Attributes:
        indices: function index of each.
        starts: where the code of each begins, from the origin, ascending.
        tiers: `Code.tier` of each.
        needs: (RELOC_*, target) of the words that have to be filled, those of functions excepted.
        text: the code with its records; empty when it has been dropped.
        places: the bytes of the map for it.
        size: bytes of the text.
    """

    __slots__ = ("_ends", "_rows", "indices", "needs", "places", "size", "starts", "text", "tiers")

    def __init__(
        self,
        indices: array[int],
        starts: array[int],
        tiers: array[int],
        ends: array[int],
        needs: list[tuple[int, int]],
        rows: bytes,
        places: bytes | memoryview,
        text: bytes | memoryview,
    ) -> None:
        """Take the parts; `ends` are the places where rows begin, and the end of the last."""
        self.indices = indices
        self.starts = starts
        self.tiers = tiers
        self._ends = ends
        self.needs = needs
        self._rows = rows
        self.places = places
        self.text = text
        self.size = len(text)

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def has_handlers(self) -> bool:
        """Whether a function catches something."""
        rows = self._rows
        return any(rows[end + _HANDLERS : end + _ROW.size] != b"\0\0\0\0" for end in self._ends[:-1])

    def drop_text(self) -> None:
        """Forget the code, which stands where it is run."""
        self.text = self.places = b""

    def with_text(self, text: bytes, places: bytes) -> Image:
        """Return the image again, with the text that it had and the bytes of the map for it."""
        return Image(self.indices, self.starts, self.tiers, self._ends, self.needs, self._rows, places, text)

    def at(self, offset: int) -> int:
        """Return the number of the function whose code begins last before an offset in the text, or there."""
        return bisect_right(self.starts, offset) - 1

    def code(self, number: int) -> tuple[Code, int]:
        """Return a function without its data and relocations, and the size of its data.

        Raises:
            BadCode: its row makes no sense.
        """
        row = self._rows[self._ends[number] : self._ends[number + 1]]
        code = Code("", self.indices[number])
        code.tier = self.tiers[number]
        code.frame_size, code.incoming, code.text_size, size, relocs, *counts = _ROW.unpack_from(row)
        if not code.text_size <= size <= self.size - self.starts[number]:
            raise BadCode("a function is larger than the image")
        end = len(row) - _CELL * relocs
        if end < _ROW.size:
            raise BadCode("a row has fewer relocations than it says")
        unpack_tables(code, [0, *counts], row[_ROW.size : end], size)
        return code, size

    def whole(self, number: int, words: Words) -> Code:
        """Return a function with its data and relocations, as it was added, but for its name. The text has to be there.

        Args:
            number: of the function in the image.
            words: those of the module.

        Raises:
            BadCode: its row makes no sense.
        """
        code, size = self.code(number)
        row = self._rows[self._ends[number] : self._ends[number + 1]]
        (relocs,) = _RELOCS.unpack_from(row, _RELOCS_PLACE)
        start = self.starts[number]
        data = bytearray(self.text[start : start + size])
        fields = array("I", row[len(row) - _CELL * relocs :])
        found = words.unrelocate(data, [(field >> _FIELD_BITS, field & (1 << _FIELD_BITS) - 1) for field in fields], start)
        if found is None:
            raise BadCode("a field is outside of the data, or refers to what there is not")
        code.data = bytes(data)
        code.relocs = found
        return code

    def to_bytes(self) -> bytes:
        """Return the bytes of the image."""
        needs = array("I", [number for need in self.needs for number in need])
        head = _HEAD.pack(len(self.indices), len(self.needs), len(self._rows), self.size)
        return b"".join((head, self.indices, self.starts, self.tiers, self._ends, needs, self._rows, self.places, self.text))

    @classmethod
    def from_bytes(cls, data: bytes | memoryview, functions: int) -> Image:
        """Return the image that some bytes are.

        Args:
            data: the bytes; the image refers to them until its text is dropped.
            functions: how many functions the module has.

        Raises:
            BadCode: they are none, or for another module.
        """
        if len(data) < _HEAD.size:
            raise BadCode(f"{len(data)} bytes are too few")
        data = memoryview(data)
        count, num_needs, rows_size, size = _HEAD.unpack_from(data)
        sizes = (count, count, count, count + 1, 2 * num_needs)
        if _HEAD.size + _CELL * sum(sizes) + rows_size + (size >> unwind.GRANULE_BITS) + size != len(data):
            raise BadCode("the sizes are not those of what is there")
        place = _HEAD.size
        columns: list[array[int]] = []
        for length in sizes:
            columns.append(array("I", data[place : place + _CELL * length].tobytes()))
            place += _CELL * length
        indices, starts, tiers, ends, needs = columns
        _check_places(indices, functions)
        _check_order(starts, size, unwind.GRANULE)
        _check_order(ends, rows_size + 1, 1, _ROW.size)
        pairs = list(zip(needs[::2], needs[1::2]))
        if any(target >= _CODES.get(kind, 0) for kind, target in pairs):
            raise BadCode("what is needed there is not")
        rows = data[place : place + rows_size].tobytes()
        place += rows_size
        text = place + (size >> unwind.GRANULE_BITS)
        return cls(indices, starts, tiers, ends, pairs, rows, data[place:text], data[text:])


def _check_places(indices: array[int], functions: int) -> None:
    if len(set(indices)) != len(indices) or max(indices, default=-1) >= functions:
        raise BadCode("a function is there twice, or there is none with its index")


def _check_order(places: array[int], end: int, unit: int, least: int = 1) -> None:
    """See that places are multiples of a unit below an end, each at least so much behind the one before."""
    if any(place % unit for place in places) or any(after < before + least for before, after in pairwise(places)):
        raise BadCode("places are out of order")
    if places and places[-1] >= end:
        raise BadCode("a place is outside")


class ImageBuilder:
    """An image to which functions are added."""

    __slots__ = ("_ends", "_indices", "_known", "_needs", "_places", "_rows", "_starts", "_text", "_tiers", "_words")

    def __init__(self, functions: int, image: Image | None = None) -> None:
        """Begin with what an image has, whose text is there, or with nothing.

        Args:
            functions: how many functions the module has, imported ones included.
            image: the image.
        """
        self._words = Words(functions)
        self._indices = array("I") if image is None else image.indices[:]
        self._known = set(self._indices)
        self._starts = array("I") if image is None else image.starts[:]
        self._tiers = array("I") if image is None else image.tiers[:]
        self._ends = array("I", [0]) if image is None else image._ends[:]
        self._needs = {} if image is None else dict.fromkeys(image.needs)
        self._rows = bytearray() if image is None else bytearray(image._rows)
        self._places = bytearray() if image is None else bytearray(image.places)
        self._text = bytearray() if image is None else bytearray(image.text)

    def add(self, code: Code) -> bool:
        """Add a function, unless it is there already, and as good; return whether it is new."""
        if code.index in self._known:
            number = self._indices.index(code.index)
            if code.tier or not self._tiers[number]:
                return False
            self._remove(number)
        described, places = unwind.describe(code.data, [(0, len(code.data), code)], host().instance_reg)
        counts, cells = pack_tables(tables_of(code))
        start = len(self._text)
        self._text += self._words.relocate(described, code.relocs, start)
        self._places += places.ljust(len(described) >> unwind.GRANULE_BITS, b"\0")
        head = _ROW.pack(code.frame_size, code.incoming, code.text_size, len(code.data), len(code.relocs), *counts)
        fields = array("I", [offset << _FIELD_BITS | field for offset, field, _, _ in code.relocs])
        self._rows += head + cells + fields.tobytes()
        self._needs.update(dict.fromkeys((kind, target) for _, _, kind, target in code.relocs if kind in _CODES))
        self._starts.append(start)
        self._tiers.append(code.tier)
        self._ends.append(len(self._rows))
        self._indices.append(code.index)
        self._known.add(code.index)
        return True

    def _remove(self, number: int) -> None:
        """Remove a function; its text stays, as what comes behind it must stand where it does."""
        start, end = self._ends[number], self._ends[number + 1]
        del self._rows[start:end], self._indices[number], self._starts[number], self._tiers[number], self._ends[number + 1]
        for later in range(number + 1, len(self._ends)):
            self._ends[later] -= end - start

    def finish(self) -> Image:
        """Return the image."""
        rows, places, text = bytes(self._rows), bytes(self._places), bytes(self._text)
        return Image(self._indices, self._starts, self._tiers, self._ends, list(self._needs), rows, places, text)
