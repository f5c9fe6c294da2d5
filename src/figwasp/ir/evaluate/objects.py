"""Objects of the heap under the evaluator: the builtins for them, and what constant expressions make. Floor 2.

In: the native memory of a space, where an object lies as `ir.layouts` says. Nothing is ever collected. An object that would
take more than MOST bytes exhausts the heap.
"""

from __future__ import annotations

from typing import Final

from figwasp import errors
from figwasp.ir.evaluate.func import NativeMemory, Trapped, Undefined
from figwasp.ir.evaluate.space import AddressSpace
from figwasp.ir.layouts import HEADER
from figwasp.layout import (
    ARRAY_LENGTH,
    KIND_ARRAY,
    KIND_STRUCT,
    OBJECT_TYPE,
    SEGMENT_LENGTH,
    TYPE_KIND,
    TYPE_LAYOUT,
    InstanceLayout,
)

__all__ = ["MOST", "ObjectBuiltins"]

MOST: Final = 1 << 26
"""The most bytes of an object."""


class ObjectBuiltins:
    """The part of an instance that deals with objects.

    Attributes:
        space: where the instance lives.
        block: the address of its block.
        datas, elems: the bytes of its segments.
    """

    __slots__ = ("_places", "block", "datas", "elems", "space")

    def __init__(self, space: AddressSpace, places: InstanceLayout) -> None:
        self.space = space
        self.block = space.allocate(places.size)
        self.datas: list[bytes] = []
        self.elems: list[bytes] = []
        self._places = places

    # For constant expressions

    def new_struct(self, index: int, fields: bytes) -> int:
        """Make a structure of a type of the module from the bytes behind its header."""
        return self._make(self._word(index), 0, fields)

    def new_array(self, index: int, length: int, elements: bytes) -> int:
        """Make an array of a type of the module; where the bytes are those of one element, all are like it."""
        size = self._size(self._word(index), length)
        return self._make(self._word(index), length, elements * (size // len(elements)) if size else b"")

    def _word(self, index: int) -> int:
        return self.space.native.read(self.block + self._places.type_id(index), 4)

    def _size(self, type_: int, length: int) -> int:
        """Return the bytes that the elements of an array take."""
        if self.space.described(type_, TYPE_KIND) != KIND_ARRAY:
            raise Undefined(f"type {type_:#x} is not that of an array")
        return self._limited(length << self.space.described(type_, TYPE_LAYOUT))

    def _limited(self, size: int) -> int:
        if size > MOST:
            raise Trapped(errors.TRAP_OUT_OF_HEAP, 0)
        return size

    def _make(self, type_: int, length: int, content: bytes) -> int:
        address = self.space.allocate(HEADER + len(content))
        data, offset = self.space.native.find(address, HEADER + len(content))
        data[offset + HEADER : offset + HEADER + len(content)] = content
        self.space.native.write(address + OBJECT_TYPE, type_, 4)
        self.space.native.write(address + ARRAY_LENGTH, length, 4)
        return address

    # Builtins, as `builtins` describes them

    def object_new(self, type_: int, size: int) -> int:
        if self.space.described(type_, TYPE_KIND) != KIND_STRUCT or self.space.described(type_, TYPE_LAYOUT) != size:
            raise Undefined(f"type {type_:#x} is not that of a structure of {size} bytes")
        return self._make(type_, 0, bytes(self._limited(size - HEADER)))

    def array_new(self, type_: int, length: int) -> int:
        return self._make(type_, length, bytes(self._size(type_, length)))

    def array_fill(self, array: int, width: int, start: int, length: int, low: int, high: int) -> None:
        item = (low | high << 64).to_bytes(16, "little")[: 1 << width]
        data, place = self._elements(array, width, start, length)
        data[place : place + (length << width)] = item * length

    def array_copy(self, target: int, source: int, width: int, to: int, from_: int, length: int) -> None:
        if not target or not source:  # whatever else there is
            raise Trapped(errors.TRAP_NULL_ARRAY, 0)
        data, place = self._elements(target, width, to, length)
        source_data, source_place = self._elements(source, width, from_, length)
        data[place : place + (length << width)] = source_data[source_place : source_place + (length << width)]

    def array_init_data(self, array: int, segment: int, width: int, to: int, from_: int, length: int) -> None:
        data, place = self._elements(array, width, to, length)
        held = self.space.native.read(self.block + self._places.data(segment) + SEGMENT_LENGTH)
        self._copy(data, place, self.datas[segment][:held], from_, length << width, errors.TRAP_OUT_OF_BOUNDS_MEMORY)

    def array_init_elem(self, array: int, segment: int, to: int, from_: int, length: int) -> None:
        data, place = self._elements(array, 3, to, length)
        self._copy(data, place, self.elems[segment], 8 * from_, 8 * length, errors.TRAP_OUT_OF_BOUNDS_TABLE)

    def keep_func(self, reference: int) -> None:
        """Do nothing: nothing goes away."""

    @staticmethod
    def _copy(data: bytearray, place: int, source: bytes, from_: int, size: int, trap: int) -> None:
        if from_ + size > len(source):
            raise Trapped(trap, 0)
        data[place : place + size] = source[from_ : from_ + size]

    def _elements(self, array: int, width: int, start: int, length: int) -> tuple[bytearray, int]:
        """Return the bytes that elements of an array stand in, and where.

        Raises:
            Trapped: the array is null or has not so many.
        """
        native: NativeMemory = self.space.native
        if not array:
            raise Trapped(errors.TRAP_NULL_ARRAY, 0)
        if start + length > native.read(array + ARRAY_LENGTH, 4):
            raise Trapped(errors.TRAP_OUT_OF_BOUNDS_ARRAY, 0)
        return native.find(array + HEADER + (start << width), length << width)
