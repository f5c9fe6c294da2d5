"""Floor 4: the types of objects that users make: found from what they say, and kept as long as the store.

In: an instance, and a type of `figwasp.types`, a value type of the instance's functions, or a name. Out: a `Chosen`.
"""

from __future__ import annotations

from figwasp.runtime.code.descriptors import TYPES
from figwasp.runtime.objects.instance import InstanceState
from figwasp.runtime.platform import cpython
from figwasp.wasm.syntax.limits import MAX_FIELDS
from figwasp.wasm.syntax.types import (
    ANYREF,
    ARRAYREF,
    CONCRETE,
    EQREF,
    EXTERNREF,
    FUNCREF,
    I8,
    I16,
    I31REF,
    INDEX_SHIFT,
    NON_NULL,
    NUM_TYPES,
    STRUCTREF,
    V128,
    ArrayType,
    FieldType,
    StructType,
    SubType,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from figwasp.runtime.code.known_types import KnownType
    from figwasp.runtime.once import Once
    from figwasp.runtime.store.store import Store

__all__ = ["Chosen"]

_STORAGES: Final = frozenset((*NUM_TYPES, V128, I8, I16, FUNCREF, EXTERNREF, ANYREF, EQREF, I31REF, STRUCTREF, ARRAYREF))
_NUMBERS: Final = frozenset((*NUM_TYPES, V128, I8, I16))


class Chosen:
    """A type of which an object is made.

    Attributes:
        store: in which.
        number: canonical number of the type.
        known: the type.
        descriptor: its descriptor.
    """

    __slots__ = ("descriptor", "known", "number", "store")

    store: Store
    number: int
    known: KnownType
    descriptor: int

    def __init__(self, instance: object, type_: object, kind: type[StructType] | type[ArrayType]) -> None:
        """Find a type.

        Args:
            instance: in whose store an object is to be made.
            type_: the type: one of `figwasp.types`, or that of an object; a reference to it among the parameters and results of a
                function of the instance; its name in the instance's module.
            kind: what it has to be.

        Raises:
            TypeError: it is of another kind, or not of such an object.
            ValueError: there is no such type.
            Closed: the instance has been closed.
        """
        state = getattr(instance, "_state", None)
        if not isinstance(state, InstanceState):
            raise TypeError(f"an object is made for an instance, not for {type(instance).__name__}")
        self.store = state.store
        if isinstance(type_, (StructType, ArrayType)):
            self.number = _number_of_type(self.store, type_)
        elif isinstance(type_, str):
            self.number = _number_of_name(state, type_)
        elif isinstance(type_, int):
            self.number = _number_of_value(state, type_)
        else:
            raise TypeError(f"a type is one of figwasp.types, a reference to one, or a name, not {type(type_).__name__}")
        self.known = TYPES.known(self.number)
        if not isinstance(self.known.comp, kind):
            raise TypeError(f"{self.known.comp!r} is not the type of {'a structure' if kind is StructType else 'an array'}")
        (self.descriptor,) = TYPES.descriptors([self.number])


def _number_of_name(state: InstanceState, name: str) -> int:
    for index, one in state.code.module.names.types.items():
        if one == name and index < len(state.code.numbers):
            return state.code.numbers[index]
    raise ValueError(f"the module of the instance has no type with the name {name!r}")


def _number_of_value(state: InstanceState, code: int) -> int:
    numbers = state.code.numbers
    if code < 0 or code & 0xFF != CONCRETE or code >> INDEX_SHIFT >= len(numbers):
        raise ValueError(f"{code:#x} is no reference to a defined type of the instance's module")
    return numbers[code >> INDEX_SHIFT]


def _number_of_type(store: Store, type_: StructType | ArrayType) -> int:
    """Return the number of a type, which the store keeps from then on."""
    held = TYPES.hold(type_)
    if held is not None:
        number, release = held
    else:
        comp = _checked(type_)
        (number,) = numbers = TYPES.intern([SubType(comp)], [0])
        release = TYPES.releasing(numbers, [0])
    _keep(store, number, release)
    return number


def _checked(type_: StructType | ArrayType) -> StructType | ArrayType:
    """Return a type made by the host as it is at this moment, whatever becomes of it."""
    if isinstance(type_, ArrayType):
        return ArrayType(_checked_field(type_.field))
    fields = tuple(map(_checked_field, type_.fields))
    if len(fields) > MAX_FIELDS:
        raise ValueError(f"a structure has at most {MAX_FIELDS} fields, not {len(fields)}")
    return StructType(fields)


def _checked_field(field: object) -> FieldType:
    if not isinstance(field, FieldType):
        raise TypeError(f"a field is described by a figwasp.types.FieldType, not by {type(field).__name__}")
    storage = field.storage
    if type(storage) is not int or storage & ~NON_NULL not in _STORAGES or (storage & NON_NULL and storage & 0xFF in _NUMBERS):
        raise ValueError(f"not a type that a host can name: {storage!r}; take types that refer to others from a module")
    return FieldType(storage, bool(field.mutable))


def _keep(store: Store, number: int, release: Once) -> None:
    """Have a store keep a type that is held, unless it does."""
    store = store.current
    if number in store.kept_types:
        release()
        return
    block: int = cpython.raw_calloc(1, 8)  # whose first word may be overwritten
    if not block:
        raise MemoryError
    store.keep(store.native.owners.make(block, lambda: (cpython.freeing(block), release)))
    store.kept_types.add(number)
