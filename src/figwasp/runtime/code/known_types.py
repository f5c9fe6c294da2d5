"""Floor 4: what is known of defined types beside their descriptors: the types themselves, and the names of their fields.

In: the types of modules, as they get numbers. Out: a `KnownType` for each that somebody holds, whose indices are canonical
numbers. Python looks at objects of the heap by it (`runtime.heap`).
"""

from __future__ import annotations

from functools import partial

from figwasp.ir.layouts import field_offsets
from figwasp.ir.type_descriptors import DescribedTypes
from figwasp.wasm.syntax.types import (
    CONCRETE,
    INDEX_SHIFT,
    NON_NULL,
    ArrayType,
    FieldType,
    FuncType,
    StructType,
    concrete,
    is_ref,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Final

    from figwasp.ir.type_descriptors import Region
    from figwasp.wasm.syntax.types import CompType, SubType

__all__ = ["AMBIGUOUS", "KnownType", "KnownTypes"]

AMBIGUOUS: Final = -1


class KnownType:
    """A defined type.

    Attributes:
        indices: name of a field -> its index; AMBIGUOUS for a name that modules have given to different fields.
        names: index of a field -> the name that it got first.
        first: the canonical number of the first type of its group.
        made: what `comp` has returned, or None.
    """

    __slots__ = ("_numbers", "_offsets", "_start", "_type", "first", "indices", "made", "names")

    def __init__(self, type_: SubType, start: int, first: int, numbers: list[int]) -> None:
        """Describe a type that is about to be known.

        Args:
            type_: its entry.
            start: index of the first type of its group.
            first: canonical number of that.
            numbers: those of the types before, by index.
        """
        self._type = type_
        self._start = start
        self.first = first
        self._numbers = numbers
        self.made: CompType | None = None
        self._offsets: list[int] = []
        self.indices: dict[str, int] = {}
        self.names: dict[int, str] = {}

    def name_fields(self, names: Mapping[int, str]) -> None:
        """Add the names that a module gives to the fields."""
        for index, name in names.items():
            if self.indices.setdefault(name, index) != index:
                self.indices[name] = AMBIGUOUS
            self.names.setdefault(index, name)

    @property
    def comp(self) -> CompType:
        """The composite type: the same object every time."""
        if self.made is None:
            self.made = self._canonical(self._type.comp)
        return self.made

    @property
    def fields(self) -> tuple[FieldType, ...]:
        """The fields of a structure."""
        comp = self.comp
        assert isinstance(comp, StructType)
        return comp.fields

    @property
    def field(self) -> FieldType:
        """The type of the elements of an array."""
        comp = self.comp
        assert isinstance(comp, ArrayType)
        return comp.field

    @property
    def offsets(self) -> list[int]:
        """Where the fields of a structure are in an object, and where it ends."""
        if not self._offsets:
            offsets, end = field_offsets([field.storage for field in self.fields])
            self._offsets = [*offsets, end]
        return self._offsets

    def related(self) -> list[int]:
        """Return the numbers of the types that this one refers to."""
        comp = self._type.comp
        if isinstance(comp, FuncType):
            storages = comp.params + comp.results
        else:
            storages = tuple([field.storage for field in (comp.fields if isinstance(comp, StructType) else (comp.field,))])
        indices = [storage >> INDEX_SHIFT for storage in storages if is_ref(storage) and storage & 0xFF == CONCRETE]
        return [self._number(index) for index in (*indices, *self._type.supers)]

    def _number(self, index: int) -> int:
        return self._numbers[index] if index < self._start else self.first + index - self._start

    def _canonical(self, comp: CompType) -> CompType:
        if isinstance(comp, FuncType):
            return FuncType(tuple(map(self._value, comp.params)), tuple(map(self._value, comp.results)))
        if isinstance(comp, ArrayType):
            return ArrayType(self._field(comp.field))
        return StructType(tuple(map(self._field, comp.fields)))

    def _field(self, field: FieldType) -> FieldType:
        return FieldType(self._value(field.storage), field.mutable)

    def _value(self, storage: int) -> int:
        if storage & 0xFF != CONCRETE:
            return storage
        return concrete(self._number(storage >> INDEX_SHIFT), not storage & NON_NULL)


class KnownTypes(DescribedTypes):
    """Canonical numbers, descriptors, and what is known of each type."""

    __slots__ = ("_known", "_number_of")

    def __init__(self, region: Region) -> None:
        super().__init__(region)
        self._known: dict[int, KnownType] = {}
        self._number_of: dict[int, int] = {}  # id of a composite type that `type_of` has given out -> number

    def known(self, number: int) -> KnownType:
        """Return what is known of a type that the caller holds."""
        return self._known[number]

    def name_fields(self, numbers: list[int], names: Mapping[int, Mapping[int, str]]) -> None:
        """Add the names that a module gives to the fields of its types, which the caller holds, by type and field index."""
        for index, fields in names.items():
            if index < len(numbers):
                self._known[numbers[index]].name_fields(fields)

    def type_of(self, number: int) -> CompType:
        """Return a type that the caller holds, with canonical numbers for indices; the object that `hold` takes."""
        comp = self._known[number].comp
        self._number_of[id(comp)] = number
        return comp

    def hold(self, comp: CompType) -> tuple[int, Callable[[], None]] | None:
        """Hold a type, given by the object that `type_of` has returned: return its number, and what takes that back.

        None if it is no such object, or nobody has the type any more.
        """
        with self.alone():
            self._forget_released()
            number = self._number_of.get(id(comp))
            if number is None or self._known[number].made is not comp:
                return None
            groups = self._groups_of(number)
            for first in groups:
                self._holders[first] += 1
        return number, partial(self._released.append, groups)

    def _groups_of(self, number: int) -> list[int]:
        """Return the groups that have to be there for a type: its own, and those that its group refers to."""
        found: dict[int, None] = {}
        work = [number]
        while work:
            first = self._known[work.pop()].first
            if first not in found:
                found[first] = None
                work += [other for one in range(first, first + self._sizes[first]) for other in self._known[one].related()]
        return [*found]

    def enter(self, first: int, types: list[SubType], start: int, end: int, numbers: list[int]) -> None:
        """Write the descriptors of a group that is about to be known, and note its types."""
        super().enter(first, types, start, end, numbers)
        for index in range(start, end):
            self._known[first + index - start] = KnownType(types[index], start, first, numbers)

    def leave(self, number: int) -> None:
        """Forget a type that nobody can find any more."""
        known = self._known.pop(number, None)
        if known is not None and known.made is not None:
            self._number_of.pop(id(known.made), None)
        super().leave(number)
