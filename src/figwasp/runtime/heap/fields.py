"""Floor 4: fields of structures and elements of arrays as Python values, and back.

In: the core of a handle, offsets and storage types. Out: Python objects; bytes and references in the object. Packed integers are
signed, as `memoryview` has them, and may be given in the signed or the unsigned range.
"""

from __future__ import annotations

import itertools
import struct

from figwasp import layout
from figwasp.runtime.code.descriptors import TYPES
from figwasp.runtime.heap.roots import RootWords
from figwasp.runtime.objects.keeping import owner_of
from figwasp.runtime.objects.values import get_value, number_bytes, put_value
from figwasp.runtime.once import together
from figwasp.runtime.platform import linux
from figwasp.wasm.syntax.types import F32, F64, FUNCREF, I8, I16, I32, I64, NON_NULL, V128, is_ref, type_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Final, TypeVar

    from figwasp.runtime.heap.handles import Core
    from figwasp.runtime.objects.values import References
    from figwasp.runtime.store.store import Store

    _T = TypeVar("_T")

__all__ = [
    "CANONICAL",
    "CODES",
    "Staged",
    "default_missing",
    "glance",
    "read_field",
    "read_references",
    "write_field",
    "write_pieces",
]

CODES: Final = {I8: "b", I16: "h", I32: "i", I64: "q", F32: "f", F64: "d"}
"""Storage type -> what `struct` and `memoryview` call it."""
_FORMATS: Final = {storage: struct.Struct(f"<{code}") for storage, code in CODES.items()}
_WORD: Final = 8
_VECTOR: Final = 16


class _Canonical:
    """What the indices in known types stand for: themselves."""

    __slots__ = ()

    def __getitem__(self, index: int) -> int:
        return index

CANONICAL: Final = _Canonical()


def _references(store: Store) -> References:
    """Return the conversion of references for the known types of a store."""
    made: References = store.native.references(store).numbered(CANONICAL)
    return made


def read_field(core: Core, offset: int, storage: int) -> Any:
    """Return the value of a field or an element.

    Raises:
        Busy: it is a reference, and another thread runs in the store.
    """
    form = _FORMATS.get(storage)
    if form is not None:
        return form.unpack(linux.read(core.address + offset, form.size))[0]
    if storage == V128:
        return linux.read(core.address + offset, _VECTOR)
    return core.store.run(lambda: read_references(core, [offset], storage)[0])


def read_references(core: Core, offsets: Sequence[int], storage: int) -> list[Any]:
    """Return references of an object, in a store in which this thread runs."""
    word = RootWords(core.store, 1)
    references = _references(core.store)
    found = []
    for offset in offsets:
        word.copy(core.address + offset)
        found.append(get_value(word.address, storage, references))
    return found


def glance(core: Core, offset: int, storage: int) -> str:
    """Return what to show of a field: a number, null, or that something is there."""
    if not is_ref(storage):
        return repr(read_field(core, offset, storage))
    bits = linux.read_u64(core.address + offset)
    if bits & layout.I31_TAG and TYPES.top(storage) != FUNCREF:
        return repr(layout.i31_number(bits))
    return "..." if bits else "None"


def write_field(core: Core, offset: int, storage: int, value: Any, what: str) -> None:
    """Assign a field or an element.

    Raises:
        TypeError, OverflowError, ValueError: as `put_value`.
        Busy: it is a reference, and another thread runs in the store.
    """
    if not is_ref(storage):
        linux.write(core.address + offset, number_bytes(value, storage, what))
        return
    core.store.run(lambda: Staged(core.store, [(storage, value)], lambda _: what).write(core.address, [offset]))


class Staged:
    """Values for fields of an object that is perhaps yet to be made, converted, and kept.

    Converting may run any code; writing runs none, once it has begun.
    """

    __slots__ = ("_numbers", "_words")

    def __init__(self, store: Store, values: Sequence[tuple[int, Any]], name: Callable[[int], str]) -> None:
        """Convert values, in a store in which this thread runs.

        Args:
            store: the store.
            values: storage types and values.
            name: names a value by its index, for errors.

        Raises:
            TypeError, OverflowError, ValueError: as `put_value`.
        """
        self._words = RootWords(store, sum(is_ref(storage) for storage, _ in values) or 1)
        self._numbers: list[bytes | None] = []  # None for references, which are in the words, in order
        references = _references(store)
        place = self._words.address
        for index, (storage, value) in enumerate(values):
            if not is_ref(storage):
                self._numbers.append(number_bytes(value, storage, name(index)))
                continue
            put_value(place, value, storage, references, name(index))
            if value is not None and TYPES.top(storage) == FUNCREF:
                store.keep(owner_of(linux.read_u64(place)))
            self._numbers.append(None)
            place += _WORD

    def write(self, address: int, offsets: Sequence[int]) -> None:
        """Write the values into an object, to which something refers: all of them or none."""
        references = itertools.count(self._words.address, _WORD)
        pieces = [linux.read(next(references), _WORD) if data is None else data for data in self._numbers]
        write_pieces(address, offsets, pieces)


def write_pieces(address: int, offsets: Sequence[int], pieces: Sequence[bytes]) -> None:
    """Write bytes to offsets from an address, all of them or none."""
    runs: list[tuple[int, bytearray]] = []
    for offset, data in zip(offsets, pieces):
        if runs and offset == runs[-1][0] + len(runs[-1][1]):
            runs[-1][1].extend(data)
        else:
            runs.append((offset, bytearray(data)))
    together(*[linux.writing(address + offset, bytes(data)) for offset, data in runs])


def default_missing(storages: Sequence[int]) -> str | None:
    """Return the name of the first type that has no default value, or None."""
    return next((type_name(one) for one in storages if is_ref(one) and one & NON_NULL), None)
