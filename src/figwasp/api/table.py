"""Floor 5: tables as Python objects (spec 4.2.7)."""

from __future__ import annotations

import operator

from figwasp.runtime.arguments import address_type
from figwasp.runtime.heap.roots import RootWords
from figwasp.runtime.objects import table as runtime
from figwasp.runtime.objects.func import References
from figwasp.runtime.objects.values import get_value, put_value
from figwasp.runtime.platform import cpython, linux
from figwasp.runtime.start import native_runtime
from figwasp.runtime.store.store import Store
from figwasp.wasm.syntax.types import (
    ANYREF,
    EQREF,
    EXTERNREF,
    FUNCREF,
    I31REF,
    Limits,
    TableType,
    type_name,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, Final, NoReturn, SupportsIndex, TypeVar

    from figwasp.runtime.native.owner import Owner

    _T = TypeVar("_T")

_ELEMENTS: Final = {type_name(code): code for code in (FUNCREF, EXTERNREF, ANYREF, EQREF, I31REF)}


class Table:
    """A table of references: a sequence that can grow. Objects for the same table are equal.

    Indices are counted from the start only: a negative index, or one not below the length, is an IndexError.

    >>> import figwasp
    >>> table = figwasp.Table("externref", 2, maximum=4, value="nothing")
    >>> table[0] = {"any": "object"}
    >>> table.grow(1)
    2
    >>> list(table)
    [{'any': 'object'}, 'nothing', None]

    Args:
        element: "funcref", "externref", "anyref", "eqref" or "i31ref".
        minimum: size.
        maximum: most elements that the table may grow to.
        value: the initial value of every element.
        address: "i32" or "i64", the type of the indices that code uses; the latter is of the memory64 proposal.
    """

    __slots__ = ("_core", "_owner")

    def __init__(
        self, element: str, minimum: int, maximum: int | None = None, value: object = None, *, address: str = "i32"
    ) -> None:
        if element not in _ELEMENTS:
            raise ValueError(f"a table holds {', '.join(_ELEMENTS)}, not {element}")
        minimum, maximum = operator.index(minimum), None if maximum is None else operator.index(maximum)
        if minimum < 0 or (maximum is not None and maximum < minimum):
            raise ValueError("the maximum of a table must not be below the minimum, nor that below 0")
        type_ = TableType(_ELEMENTS[element], Limits(minimum, maximum), address_type(address))
        native = native_runtime()
        keeper = native.owners.make(0)
        store = Store(native)
        self._core = runtime.Table(type_, _ELEMENTS[element], store, keeper)
        store.add(self._core)
        block: int = cpython.raw_calloc(1, 16)  # the first word of a block that is released is overwritten
        release = self._core.releaser()
        self._owner = native.owners.make(block, lambda: [*release(), cpython.freeing(block)])
        self._owner.hold(keeper, store.owner)
        self._core.owner = self._owner
        if value is not None:
            store.run(lambda: self._with(value, lambda bits: self._core.fill(0, bits, minimum)))

    @property
    def type(self) -> TableType:
        """The type of the table: the element type, the limits it was made with, the type of its indices."""
        return self._core.type

    def grow(self, delta: int, value: object = None) -> int:
        """Grow by `delta` elements set to `value`; return the old size.

        Raises:
            ValueError: `delta` is negative.
            MemoryError: the table may not or cannot grow so far.
            Busy: another thread is running in the store.
        """
        delta = operator.index(delta)
        if delta < 0:
            raise ValueError("a table cannot shrink")
        old = self._core.store.run(lambda: self._with(value, lambda bits: self._core.grow(bits, delta)))
        if old < 0:
            raise MemoryError(f"cannot grow a table of {len(self)} elements by {delta}")
        return old

    @property
    def _references(self) -> References:
        return References(self._core.store, self._core.numbers)

    def _with(self, value: object, work: Callable[[int], _T]) -> _T:
        """Call something with the raw bits of a reference, which the collector sees meanwhile."""
        word = RootWords(self._core.store, 1)
        put_value(word.address, value, self._core.type.elem, self._references, "a table element")
        return work(linux.read_u64(word.address))

    def _index(self, index: SupportsIndex) -> int:
        if isinstance(index, slice):
            raise TypeError("a table has no slices, only elements")
        index = operator.index(index)
        size = len(self._core)
        if not 0 <= index < size:
            hint = "; nothing is counted from the end, and an i32 is unsigned as index & 0xFFFFFFFF" if index < 0 else ""
            raise IndexError(f"element {index} of a table of {size}{hint}")
        return index

    def __len__(self) -> int:
        return len(self._core)

    def __getitem__(self, index: SupportsIndex) -> Any:
        place = self._index(index)
        elem = self._core.type.elem
        if self._core.holds_functions:
            return get_value(self._core.place(place), elem, self._references)
        # Another thread must not overwrite the element, and with that release the object, in between; nor must a finalizer.
        return self._core.store.run(lambda: self._get(place))

    def _get(self, index: int) -> Any:
        word = RootWords(self._core.store, 1)
        word.copy(self._core.place(index))
        return get_value(word.address, self._core.type.elem, self._references)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __setitem__(self, index: SupportsIndex, value: object) -> None:
        place = self._index(index)
        self._core.store.run(lambda: self._with(value, lambda bits: self._core.set(place, bits)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Table) and self._core is other._core

    def __hash__(self) -> int:
        return hash(self._core)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a table cannot be copied or pickled")

    def __repr__(self) -> str:
        return f"<figwasp.Table of {len(self)} {type_name(self._core.type.elem)}>"


def view(core: runtime.Table, owner: Owner) -> Table:
    """Return the Python object for a table instance that `owner` keeps."""
    table = Table.__new__(Table)
    table._core = core
    table._owner = owner
    return table
