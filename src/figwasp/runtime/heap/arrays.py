"""Floor 4: arrays of the heap as Python objects (spec 4.2.11): sequences, and buffers where they hold numbers."""

from __future__ import annotations

import operator
import struct
from collections.abc import Sequence
from typing import SupportsIndex, overload

from figwasp import layout
from figwasp.ir.layouts import element_shift
from figwasp.runtime.code.descriptors import TYPES
from figwasp.runtime.heap.chosen import Chosen
from figwasp.runtime.heap.fields import (
    CODES,
    Staged,
    default_missing,
    read_field,
    read_references,
    write_field,
    write_pieces,
)
from figwasp.runtime.heap.handles import Core, Handle, describe_view, new_root, show
from figwasp.runtime.heap.making import new_object
from figwasp.runtime.platform import linux
from figwasp.wasm.syntax.types import I8, ArrayType, is_ref, storage_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, Final


__all__ = ["Array", "show_array"]

_MOST: Final = (1 << 32) - 1


class Array(Handle):
    """An array on the heap of an instance: a sequence of fixed length.

    Arrays of integers and floats are buffers: `memoryview(array)`, and whatever works with buffers, reads the elements where they
    are, and writes them if they are mutable. The array stays as long as there is a view.

    An array stays as long as Python or WebAssembly refers to it, also when the instance has been closed. Two `Array` are equal when
    they are for the same object. Integers are signed when they are read, and may be given in the signed or the unsigned range.

    >>> import figwasp
    >>> instance = figwasp.load(figwasp.wat('''(module
    ...   (type $bytes (array (mut i8))) (type $row (array (mut anyref)))
    ...   (func (export "make") (param i32) (result (ref $bytes)) (array.new $bytes (i32.const 65) (local.get 0)))
    ...   (func (export "second") (param (ref $bytes)) (result i32) (array.get_u $bytes (local.get 0) (i32.const 1))))'''))
    >>> array = instance.make(5)
    >>> array, array.type, len(array), array[0], array[-1]
    (<figwasp.Array of 5 i8>, (array (mut i8)), 5, 65, 65)
    >>> array[1:3] = b"sh"
    >>> bytes(array), instance.second(array), 104 in array
    (b'AshAA', 115, True)

    Python makes them as well, of types of the instance's module or of its own; a number stands for so many zeros or nulls:

    >>> row = figwasp.Array(instance, "row", [array, None, 7, "any object"])
    >>> row[0] == array, row[1:]
    (True, [None, 7, 'any object'])
    >>> from figwasp.types import ArrayType, FieldType
    >>> floats = figwasp.Array(instance, ArrayType(FieldType("f64", mutable=True)), 3)
    >>> memoryview(floats)[1] = 2.5
    >>> list(floats)
    [0.0, 2.5, 0.0]

    Args:
        instance: on whose heap the object is made; it belongs to that instance and those that are linked with it.
        type: its type: one of `figwasp.types`, or that of another object; a reference to the type, as parameters and results of the
            instance's functions are; or the name of a type of the instance's module.
        elements: the elements, or their number.

    Raises:
        TypeError, OverflowError: an element is not of the type.
        ValueError: there is no such type, or an object belongs to another store.
        Exhaustion: the heap is full.
        Busy: another thread is running in the instance.
    """

    __slots__ = ()

    def __new__(cls, instance: Any, type: ArrayType | int | str, elements: Iterable[Any] | SupportsIndex) -> Array:
        chosen = Chosen(instance, type, ArrayType)
        storage = chosen.known.field.storage
        if isinstance(elements, SupportsIndex):
            length = operator.index(elements)
            missing = default_missing([storage])
            if length and missing is not None:
                raise TypeError(f"elements of type {missing} need values")
            return chosen.store.run(lambda: _make(chosen, length, None))
        values = elements if isinstance(elements, (bytes, bytearray)) else list(elements)
        return chosen.store.run(lambda: _make(chosen, len(values), _Content(chosen.store, storage, values)))

    @property
    def type(self) -> ArrayType:
        """The type of the object. A reference to another defined type has a number there that says which it is."""
        comp = TYPES.type_of(self._core.number)
        assert isinstance(comp, ArrayType)
        return comp

    def __len__(self) -> int:
        return _length(self._core)

    @overload
    def __getitem__(self, key: SupportsIndex) -> Any: ...
    @overload
    def __getitem__(self, key: slice) -> list[Any]: ...
    def __getitem__(self, key: SupportsIndex | slice) -> Any:
        core = self._core
        storage = core.known.field.storage
        if not isinstance(key, slice):
            return read_field(core, _offset(storage, _index(core, key)), storage)
        places = range(_length(core))[key]
        if storage in CODES:
            return memoryview(self)[key].tolist()
        if is_ref(storage):
            return core.store.run(lambda: read_references(core, [_offset(storage, index) for index in places], storage))
        return [read_field(core, _offset(storage, index), storage) for index in places]

    def __setitem__(self, key: SupportsIndex | slice, value: Any) -> None:
        core = self._core
        field = core.known.field
        if not field.mutable:
            raise TypeError("the elements of the array are immutable")
        if not isinstance(key, slice):
            index = _index(core, key)
            write_field(core, _offset(field.storage, index), field.storage, value, f"element {index} of an array")
            return
        places = range(_length(core))[key]
        values = value if isinstance(value, (bytes, bytearray)) else list(value)
        if len(values) != len(places):
            raise ValueError(f"an array cannot change its length: {len(places)} elements are to be {len(values)}")
        core.store.run(lambda: _Content(core.store, field.storage, values).write(core.address, places))

    def __iter__(self) -> Iterator[Any]:
        if self._core.known.field.storage in CODES:
            return iter(memoryview(self))
        return (self[index] for index in range(len(self)))

    def __contains__(self, value: object) -> bool:
        return any(value is one or value == one for one in self)

    def index(self, value: object) -> int:
        """Return the index of the first element that equals a value.

        Raises:
            ValueError: there is none.
        """
        for index, one in enumerate(self):
            if value is one or value == one:
                return index
        raise ValueError(f"{value!r} is not in the array")

    def count(self, value: object) -> int:
        """Return how many elements equal a value."""
        return sum(value is one or value == one for one in self)

    if TYPE_CHECKING:

        def __buffer__(self, flags: int, /) -> memoryview:
            """Return the buffer; the native type does so on every version of Python."""

    def __repr__(self) -> str:
        core = self._core
        return f"<figwasp.Array of {_length(core)} {storage_name(core.known.field.storage)}>"

Sequence.register(Array)


def _length(core: Core) -> int:
    return linux.read_u32(core.address + layout.ARRAY_LENGTH)


def _offset(storage: int, index: int) -> int:
    return layout.OBJECT_FIELDS + (index << element_shift(storage))


def _index(core: Core, key: SupportsIndex) -> int:
    size = _length(core)
    index = operator.index(key)
    if not -size <= index < size:
        raise IndexError(f"element {index} of an array of {size}")
    return index % size


class _Content:
    """Elements on their way into an array, in a store in which this thread runs: bytes if they can be, else values one by one."""

    __slots__ = ("_bytes", "_staged", "_storage")

    def __init__(self, store: Any, storage: int, values: Any) -> None:
        self._storage = storage
        self._staged: Staged | None = None
        self._bytes = _packed(storage, values)
        if self._bytes is None:
            self._staged = Staged(store, [(storage, value) for value in values], lambda index: f"element {index}")

    def write(self, address: int, places: range) -> None:
        """Write them to the places in an array, to which something refers: all of them or none."""
        if self._bytes is not None and places.step == 1:  # one run, which is not taken to pieces
            write_pieces(address, [_offset(self._storage, places.start)], [self._bytes])
            return
        offsets = [_offset(self._storage, index) for index in places]
        if self._staged is not None:
            self._staged.write(address, offsets)
            return
        assert self._bytes is not None
        size = 1 << element_shift(self._storage)
        write_pieces(address, offsets, [self._bytes[at : at + size] for at in range(0, len(self._bytes), size)])


def _packed(storage: int, values: Any) -> bytes | None:
    """Return the bytes of numbers, if `struct` takes them as they are."""
    if storage == I8 and isinstance(values, (bytes, bytearray)):
        return bytes(values)
    code = CODES.get(storage)
    if code is None:
        return None
    try:
        return struct.pack(f"<{len(values)}{code}", *values)
    except (struct.error, OverflowError, TypeError):  # a number of the unsigned range, or what has a better message
        return None


def _make(chosen: Chosen, length: int, content: _Content | None) -> Array:
    """Make an object, in a store in which this thread runs; without content, one of zeros."""
    if not 0 <= length <= _MOST:
        raise ValueError(f"an array has 0 to {_MOST} elements, not {length}")
    storage = chosen.known.field.storage
    words = new_root(chosen.store)
    size = layout.OBJECT_FIELDS + (length << element_shift(storage)) + 7 & -8
    address = new_object(chosen.store, words.address, size, chosen.descriptor | length << 8 * layout.ARRAY_LENGTH)
    if content is not None:
        content.write(address, range(length))
    return show_array(Core(chosen.store, words))


def show_array(core: Core) -> Array:
    """Return a new handle."""
    field = core.known.field
    code = CODES.get(field.storage)
    if code is not None:
        describe_view(core, code, 1 << element_shift(field.storage), not field.mutable)
    native = core.store.native
    place = native.statics.array_type
    made: Array = show(native.types.get(Array, "figwasp.Array", getbuffer="array.getbuffer", place=place), core)
    return made
