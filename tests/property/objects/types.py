"""Types of structures and arrays for generated modules: they come first in the type section, as one recursion group."""

from __future__ import annotations

from random import Random
from typing import Final

from figwasp.wasm.syntax.types import (
    ANYREF,
    ARRAYREF,
    EQREF,
    EXTERNREF,
    F32,
    F64,
    FUNCREF,
    I8,
    I16,
    I31REF,
    I32,
    I64,
    NON_NULL,
    STRUCTREF,
    V128,
    ArrayType,
    FieldType,
    StructType,
    SubType,
    concrete,
    is_ref,
)
from figwasp.wasm.valid.subtyping import ModuleTypes

ABSTRACT: Final = (ANYREF, ANYREF, EQREF, STRUCTREF, ARRAYREF, I31REF)
NODE: Final = 0
"""The type of the nodes of linked lists: a number and the next node."""
_FIXED: Final = (
    SubType(StructType((FieldType(I64, True), FieldType(concrete(NODE, True), True))), (), False),
    SubType(ArrayType(FieldType(I8, True))),
    SubType(ArrayType(FieldType(ANYREF, True)), (), False),
    SubType(ArrayType(FieldType(FUNCREF, True))),
)
_NUMBERS: Final = (I8, I16, I32, I32, I64, I64, F32, F64)


class ObjectTypes:
    """The types.

    Attributes:
        subs: the types.
    """

    def __init__(self, random: Random, vectors: bool) -> None:
        self._random = random
        self._numbers = _NUMBERS + ((V128,) if vectors else ())
        self.subs = list(_FIXED)
        self._count = len(_FIXED) + random.randint(2, 8)
        while len(self.subs) < self._count:
            self.subs.append(self._type())
        self._types = ModuleTypes(self.subs, [0])

    def matches(self, code: int, wanted: int) -> bool:
        """Return whether a value of one type may stand where another is wanted."""
        return self._types.matches(code, wanted)

    def made_for(self, code: int) -> list[int]:
        """Return the types of objects that a reference of a type may be to."""
        return [index for index in range(len(self.subs)) if self.matches(concrete(index, nullable=False), code | NON_NULL)]

    def reference(self) -> int:
        """Return a type of references, which may be null."""
        if self._random.random() < 0.7:
            return concrete(self._random.randrange(len(self.subs)), nullable=True)
        return self._random.choice(ABSTRACT)

    def fields(self, index: int) -> tuple[FieldType, ...]:
        """Return the fields of a structure, or the one of an array's elements."""
        comp = self.subs[index].comp
        if isinstance(comp, StructType):
            return comp.fields
        assert isinstance(comp, ArrayType)
        return (comp.field,)

    def is_array(self, index: int) -> bool:
        """Return whether a type is that of an array."""
        return isinstance(self.subs[index].comp, ArrayType)

    def has_default(self, index: int) -> bool:
        """Return whether all fields of a type have a default value."""
        return not any(is_ref(field.storage) and field.storage & NON_NULL for field in self.fields(index))

    def _type(self) -> SubType:
        """Return another type, sometimes below an earlier one."""
        random = self._random
        above = [index for index, sub in enumerate(self.subs) if not sub.final]
        if random.random() < 0.45:
            parent = random.choice(above)
            comp = self.subs[parent].comp
            if isinstance(comp, StructType):
                more = tuple(self._field() for _ in range(random.randint(0, 3)))
                return SubType(StructType(comp.fields + more), (parent,), random.random() < 0.5)
            return SubType(comp, (parent,), random.random() < 0.5)
        if random.random() < 0.4:
            return SubType(ArrayType(self._field()), (), random.random() < 0.5)
        return SubType(StructType(tuple(self._field() for _ in range(random.randint(0, 6)))), (), random.random() < 0.5)

    def _field(self) -> FieldType:
        return FieldType(self._storage(), self._random.random() < 0.7)

    def _storage(self) -> int:
        random = self._random
        kind = random.random()
        if kind < 0.6:
            return random.choice(self._numbers)
        if kind < 0.7:  # of a type before, so that there is an end to making objects for it
            return concrete(random.randrange(len(self.subs)), nullable=False)
        if kind < 0.9:
            return concrete(random.randrange(self._count), nullable=True)
        return random.choice((*ABSTRACT, FUNCREF, EXTERNREF))
