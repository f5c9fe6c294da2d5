"""When two defined types are equal, and which value types match which (spec 3.1.3, 3.3.1 to 3.3.11). Floor 1.

Goes in: the types and recursion groups of modules. Comes out: canonical numbers, and answers to "does a value of this type
do where that one is wanted".

Theory of operation. Types are iso-recursive: two defined types are equal when they stand at the same place of recursion
groups that are equal, a group being compared with its references to itself as places within it and all others as canonical
numbers. So a group, written as a row of integers, is interned in a dict, and two types are equal when their numbers are. The
row is kept as bytes: their hash is keyed, so a hostile module cannot choose types that collide.

A `TypeWorld` gives out the numbers. Validation makes one per module; linking needs one that all modules share which may meet
(`intern` may be called from several threads). There a group is forgotten when every module that interned it has released it;
numbers are not given out twice. Its `matches` takes value types whose indices are
canonical numbers (`canonical_type` makes them). A `ModuleTypes` is a world of one module, asked with the module's own
indices; it remembers what it answered.
"""

from __future__ import annotations

from array import array
from functools import partial

from figwasp.errors import Busy
from figwasp.locks import is_mine, new_lock
from figwasp.wasm.syntax.types import (
    ANYREF,
    ARRAYREF,
    CONCRETE,
    EQREF,
    EXNREF,
    EXTERNREF,
    FUNCREF,
    I31REF,
    INDEX_SHIFT,
    NON_NULL,
    NULLEXNREF,
    NULLEXTERNREF,
    NULLFUNCREF,
    NULLREF,
    STRUCTREF,
    FuncType,
    StructType,
    concrete,
    is_ref,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from typing import Final

    from figwasp.wasm.syntax.types import CompType, FieldType, SubType

__all__ = ["ModuleTypes", "TypeWorld", "canonical_type", "kind_of", "top_of"]

_ABOVE: Final[dict[int, frozenset[int]]] = {
    NULLREF: frozenset((NULLREF, I31REF, STRUCTREF, ARRAYREF, EQREF, ANYREF)),
    I31REF: frozenset((I31REF, EQREF, ANYREF)),
    STRUCTREF: frozenset((STRUCTREF, EQREF, ANYREF)),
    ARRAYREF: frozenset((ARRAYREF, EQREF, ANYREF)),
    EQREF: frozenset((EQREF, ANYREF)),
    ANYREF: frozenset((ANYREF,)),
    NULLFUNCREF: frozenset((NULLFUNCREF, FUNCREF)),
    FUNCREF: frozenset((FUNCREF,)),
    NULLEXTERNREF: frozenset((NULLEXTERNREF, EXTERNREF)),
    EXTERNREF: frozenset((EXTERNREF,)),
    NULLEXNREF: frozenset((NULLEXNREF, EXNREF)),
    EXNREF: frozenset((EXNREF,)),
}
"""Abstract heap type -> it and those above it."""
_TOPS: Final[dict[int, int]] = {
    low: next(top for top in (ANYREF, FUNCREF, EXTERNREF, EXNREF) if top in above) for low, above in _ABOVE.items()
}

_MAX_MEMO: Final = 1 << 16
_INNER: Final = 1 << 9
"""Bit of a reference, as a row of integers has it, that says that its index is a place in the same group."""


def kind_of(comp: CompType) -> int:
    """Return the abstract heap type right above the types with a composite type: FUNCREF, STRUCTREF or ARRAYREF."""
    return FUNCREF if isinstance(comp, FuncType) else STRUCTREF if isinstance(comp, StructType) else ARRAYREF


def top_of(code: int, types: list[SubType]) -> int:
    """Return the nullable reference to the topmost type of the hierarchy that a reference's heap type belongs to."""
    low = code & 0xFF
    return _TOPS[kind_of(types[code >> INDEX_SHIFT].comp) if low == CONCRETE else low]


def canonical_type(code: int, numbers: list[int]) -> int:
    """Return a value or storage type with the canonical number in place of a type index.

    Args:
        code: the type, whose index is one of the module's.
        numbers: what `TypeWorld.intern` returned for the module.
    """
    if code & 0xFF != CONCRETE:
        return code
    return concrete(numbers[code >> INDEX_SHIFT], not code & NON_NULL)


class TypeWorld:
    """Canonical numbers of defined types, and what is known of each.

    Attributes:
        supers: per number that of the declared supertype, or -1.
        kinds: per number the abstract heap type right above: FUNCREF, STRUCTREF or ARRAYREF.
    """

    __slots__ = ("_groups", "_holders", "_keys", "_lock", "_next", "_released", "_sizes", "kinds", "supers")

    def __init__(self) -> None:
        self.supers: dict[int, int] = {}
        self.kinds: dict[int, int] = {}
        self._next = 0
        self._groups: dict[bytes, int] = {}
        self._keys: dict[int, bytes] = {}  # and back, from the number of the first type of a group
        self._sizes: dict[int, int] = {}  # per group
        self._holders: dict[int, int] = {}  # per group, as often as it has been interned and not released
        self._released: list[list[int]] = []
        self._lock = new_lock()

    def intern(self, types: list[SubType], groups: list[int]) -> list[int]:
        """Return the canonical number of every type of a module.

        Args:
            types: the type section; every index in it is known to exist, and to lie in the same group or an earlier one.
            groups: index of the first type of every group.
        """
        numbers: list[int] = []
        held: list[int] = []
        with self.alone():
            try:
                self._forget_released()
                for place, start in enumerate(groups):
                    end = groups[place + 1] if place + 1 < len(groups) else len(types)
                    first = self._group(types, start, end, numbers)
                    if start < end:
                        self._holders[first] = self._holders.get(first, 0) + 1
                        held.append(first)
                    numbers.extend(range(first, first + end - start))
            except BaseException:
                self._released.append(held)
                raise
        return numbers

    def alone(self) -> AbstractContextManager[object]:
        """Return a context in which no other thread gives out numbers or takes them back.

        Raises:
            Busy: this thread does just that: a signal handler or a finalizer has come in between.
        """
        if is_mine(self._lock):
            raise Busy("modules cannot be linked by what comes in between while the types of another are being entered")
        return self._lock

    def _group(self, types: list[SubType], start: int, end: int, numbers: list[int]) -> int:
        """Return the number of the first type of a group."""
        if start == end:
            return self._next
        row = array("Q")
        for index in range(start, end):
            _write_sub_type(row, types[index], start, numbers)
        key = row.tobytes()
        first = self._groups.get(key, -1)
        if first < 0:
            first = self._next
            self._next += end - start
            self.enter(first, types, start, end, numbers)
            for index in range(start, end):
                supers = types[index].supers
                self.kinds[first + index - start] = kind_of(types[index].comp)
                self.supers[first + index - start] = _number(supers[0], start, first, numbers) if supers else -1
            self._sizes[first] = end - start
            self._keys[first] = key
            self._groups[key] = first
        return first

    def enter(self, first: int, types: list[SubType], start: int, end: int, numbers: list[int]) -> None:
        """Prepare for a group of types that is new, before it can be found; what is derived from this class does something.

        Args:
            first: the number of its first type.
            types: the type section that it is in.
            start, end: where the group is in that.
            numbers: those of the types before it.

        Raises:
            LimitExceeded: there are too many types.
        """

    def leave(self, number: int) -> None:
        """Forget a type that cannot be found any more."""

    def releasing(self, numbers: list[int], groups: list[int]) -> Callable[[], None]:
        """Return what takes back what `intern` did for a module: given its answer, and the index of the first type of every group.

        That is to be called once, and is written in C. It may be called at any moment, also in the middle of `intern` in the same
        thread, as finalizers are: so it takes no lock, and it is the next `intern` that forgets.
        """
        ends = [*groups[1:], len(numbers)]
        return partial(self._released.append, [numbers[start] for start, end in zip(groups, ends, strict=False) if start < end])

    def _forget_released(self) -> None:
        """Forget the groups that are no longer held. Types in other groups refer to them only where their holders do as well.

        An exception may leave something that is never forgotten; nothing is forgotten that somebody holds.
        """
        while self._released:
            released = self._released[-1]
            while released:
                first = released.pop()
                self._holders[first] -= 1
                if not self._holders[first]:
                    del self._groups[self._keys[first]]
                    del self._keys[first], self._holders[first]
                    for number in range(first, first + self._sizes.pop(first)):
                        del self.kinds[number], self.supers[number]
                        self.leave(number)
            self._released.remove(released)

    def top(self, code: int) -> int:
        """Return the nullable reference to the topmost type of a reference's hierarchy; an index is a canonical number."""
        low = code & 0xFF
        return _TOPS[self.kinds[code >> INDEX_SHIFT] if low == CONCRETE else low]

    def derives(self, number: int, ancestor: int) -> bool:
        """Return whether a defined type is another, or declares itself a subtype of it through any number of steps."""
        supers = self.supers
        while number != ancestor:
            number = supers[number]
            if number < 0:
                return False
        return True

    def matches(self, code: int, wanted: int) -> bool:
        """Return whether a value of one type may stand where another type is wanted; indices are canonical numbers."""
        if code == wanted:
            return True
        if not is_ref(code) or not is_ref(wanted) or wanted & NON_NULL > code & NON_NULL:
            return False
        low = code & 0xFF
        above = wanted & 0xFF
        if above == CONCRETE:
            number = wanted >> INDEX_SHIFT
            if low == CONCRETE:
                return self.derives(code >> INDEX_SHIFT, number)
            return low == (NULLFUNCREF if self.kinds[number] == FUNCREF else NULLREF)
        if low == CONCRETE:
            low = self.kinds[code >> INDEX_SHIFT]
        return above in _ABOVE[low]


class ModuleTypes:
    """The defined types of one module, asked by its own indices.

    Attributes:
        numbers: canonical number of every type, in a world of the module's own.
        rep: index of the first type equal to it, for every type; its own in nearly every module.
        distinct: whether all types differ, so that `rep` is the identity.
    """

    __slots__ = ("_memo", "_world", "distinct", "numbers", "rep")

    def __init__(self, types: list[SubType], groups: list[int]) -> None:
        self._world = TypeWorld()
        self._memo: dict[int, bool] = {}
        self.numbers = self._world.intern(types, groups)
        first: dict[int, int] = {}
        self.rep = [first.setdefault(number, index) for index, number in enumerate(self.numbers)]
        self.distinct = len(first) == len(types)

    def equal(self, code: int, other: int) -> bool:
        """Return whether two value or storage types are the same."""
        return code == other or canonical_type(code, self.numbers) == canonical_type(other, self.numbers)

    def matches(self, code: int, wanted: int) -> bool:
        """Return whether a value of one type may stand where another type is wanted (spec 3.3.3)."""
        if code == wanted:
            return True
        key = code << 48 | wanted
        known = self._memo.get(key)
        if known is None:
            numbers = self.numbers
            known = self._world.matches(canonical_type(code, numbers), canonical_type(wanted, numbers))
            if len(self._memo) >= _MAX_MEMO:
                self._memo.clear()
            self._memo[key] = known
        return known

    def field_matches(self, field: FieldType, wanted: FieldType) -> bool:
        """Return whether one field type matches another (spec 3.3.10): an assignable field has to be the same."""
        if field.mutable != wanted.mutable:
            return False
        if field.mutable:
            return self.equal(field.storage, wanted.storage)
        return self.matches(field.storage, wanted.storage)

    def comp_matches(self, comp: CompType, wanted: CompType) -> bool:
        """Return whether one composite type matches another (spec 3.3.9)."""
        if isinstance(comp, FuncType):
            return isinstance(wanted, FuncType) and self.func_matches(comp, wanted)
        if isinstance(comp, StructType):
            if not isinstance(wanted, StructType) or len(comp.fields) < len(wanted.fields):
                return False
            return all(map(self.field_matches, comp.fields, wanted.fields))
        return not isinstance(wanted, FuncType | StructType) and self.field_matches(comp.field, wanted.field)

    def func_matches(self, func: FuncType, wanted: FuncType) -> bool:
        """Return whether a function type matches another: contravariant in its parameters, covariant in its results."""
        if len(func.params) != len(wanted.params) or len(func.results) != len(wanted.results):
            return False
        return all(map(self.matches, wanted.params, func.params)) and all(map(self.matches, func.results, wanted.results))


def _number(index: int, start: int, first: int, numbers: list[int]) -> int:
    return numbers[index] if index < start else first + index - start


def _write_sub_type(row: array[int], type_: SubType, start: int, numbers: list[int]) -> None:
    """Append a type to the row of integers that stands for its group."""
    comp = type_.comp
    row.extend((type_.final, len(type_.supers)))
    if type_.supers:
        row.extend([_relative(concrete(index, nullable=True), start, numbers) for index in type_.supers])
    if isinstance(comp, FuncType):
        row.extend((FUNCREF, len(comp.params), len(comp.results)))
        row.extend([_relative(code, start, numbers) for code in comp.params + comp.results])
        return
    fields = comp.fields if isinstance(comp, StructType) else (comp.field,)
    row.extend((kind_of(comp), len(fields)))
    for field in fields:
        row.extend((field.mutable, _relative(field.storage, start, numbers)))


def _relative(code: int, start: int, numbers: list[int]) -> int:
    """Return a value type as an integer that is the same for equal types of different groups."""
    if code & 0xFF != CONCRETE:
        return code
    index = code >> INDEX_SHIFT
    low = code & (_INNER - 1)
    return (index - start) << 10 | _INNER | low if index >= start else numbers[index] << 10 | low
