"""Types of the format (spec 2.3, binary 5.3). Floor 1.

A value type is a plain int and a sequence of value types is a tuple of them: comparing and hashing are then single C calls.
Composite types, subtypes, and the types of tables, memories, globals and tags are small classes with slots.

Theory of operation. The low byte of a value type is what the binary format has for it: for a number or a vector its code, for a
reference to an abstract heap type the code of that heap type, so that FUNCREF is both `func` and `(ref null func)`. A reference
to a defined type has CONCRETE there and the index of the type from bit 9 on. Bit 8, NON_NULL, takes null away:

    0x7F                i32
    0x70                funcref, which is (ref null func)
    0x170               (ref func)
    3 << 9 | 0x63       (ref null 3)
    3 << 9 | 0x163      (ref 3)

A heap type that stands alone, as in `ref.null func`, is written as the nullable reference to it.
"""

from __future__ import annotations

from functools import lru_cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final, NoReturn

    from figwasp.features import Features

__all__ = [
    "ANYREF",
    "ARRAYREF",
    "CONCRETE",
    "EMPTY",
    "EQREF",
    "EXNREF",
    "EXTERNREF",
    "F32",
    "F64",
    "FUNCREF",
    "HEAP_NAMES",
    "I8",
    "I16",
    "I31REF",
    "I32",
    "I64",
    "INDEX_SHIFT",
    "NON_NULL",
    "NULLEXNREF",
    "NULLEXTERNREF",
    "NULLFUNCREF",
    "NULLREF",
    "NUM_TYPES",
    "STRUCTREF",
    "TYPE_CODES",
    "V128",
    "ArrayType",
    "CompType",
    "FieldType",
    "FuncType",
    "GlobalType",
    "Limits",
    "MemoryType",
    "StructType",
    "SubType",
    "TableType",
    "Types",
    "concrete",
    "heap_name",
    "is_ref",
    "may_be_host",
    "known_codes",
    "missing_proposal",
    "proposals_of",
    "storage_code",
    "storage_name",
    "type_name",
    "type_names",
]

Types = tuple[int, ...]
"""A sequence of value types."""

I32: Final = 0x7F
I64: Final = 0x7E
F32: Final = 0x7D
F64: Final = 0x7C
V128: Final = 0x7B
I8: Final = 0x78
I16: Final = 0x77
"""The packed storage types; no value types."""
NULLEXNREF: Final = 0x74
NULLFUNCREF: Final = 0x73
NULLEXTERNREF: Final = 0x72
NULLREF: Final = 0x71
FUNCREF: Final = 0x70
EXTERNREF: Final = 0x6F
ANYREF: Final = 0x6E
EQREF: Final = 0x6D
I31REF: Final = 0x6C
STRUCTREF: Final = 0x6B
ARRAYREF: Final = 0x6A
EXNREF: Final = 0x69
EMPTY: Final = 0x40
"""The block type without parameters and results; no value type."""

CONCRETE: Final = 0x63
"""Low byte of a reference to a defined type; in the binary it begins any nullable reference that is written out."""
NON_NULL: Final = 0x100
"""Bit of a reference that is never null."""
INDEX_SHIFT: Final = 9
"""Bits of a value type below the index of a defined type."""

NUM_TYPES: Final = (I32, I64, F32, F64)

_CODES: Final = """
i32            7f  mvp
i64            7e  mvp
f32            7d  mvp
f64            7c  mvp
v128           7b  simd
nullexnref     74  exceptions           noexn
nullfuncref    73  gc                   nofunc
nullexternref  72  gc                   noextern
nullref        71  gc                   none
funcref        70  reference-types      func
externref      6f  reference-types      extern
anyref         6e  gc                   any
eqref          6d  gc                   eq
i31ref         6c  gc                   i31
structref      6b  gc                   struct
arrayref       6a  gc                   array
exnref         69  exceptions           exn
"""
"""Name, code, proposal and, for references, the heap type."""

_ROWS: Final = [line.split() for line in _CODES.split("\n") if line]
_NAMES: Final[dict[int, str]] = {int(row[1], 16): row[0] for row in _ROWS}
_PROPOSALS: Final[dict[int, str]] = {int(row[1], 16): row[2] for row in _ROWS} | {CONCRETE: "function-references"}

TYPE_CODES: Final[dict[str, int]] = {row[0]: int(row[1], 16) for row in _ROWS}
"""Name of a value type in the text format -> its code."""
HEAP_NAMES: Final[dict[str, int]] = {row[3]: int(row[1], 16) for row in _ROWS if len(row) > 3}
"""Name of an abstract heap type -> the code of the nullable reference to it."""
_HEAPS: Final[dict[int, str]] = {code: name for name, code in HEAP_NAMES.items()}


def concrete(index: int, nullable: bool) -> int:
    """Return the reference to a defined type."""
    return index << INDEX_SHIFT | (CONCRETE if nullable else CONCRETE | NON_NULL)


def is_ref(code: int) -> bool:
    """Return whether a value type is a reference."""
    return CONCRETE <= code & 0xFF <= NULLEXNREF


def may_be_host(code: int) -> bool:
    """Return whether a value of a type may be a reference to an object of the host."""
    low = code & 0xFF
    return low == EXTERNREF or low == ANYREF


@lru_cache(maxsize=64)
def known_codes(features: Features) -> frozenset[int]:
    """Return the low bytes that a value type may have under a set of proposals; NON_NULL if references may exclude null."""
    codes = [code for code, proposal in _PROPOSALS.items() if proposal in features]
    return frozenset([*codes, NON_NULL] if "function-references" in features else codes)


def missing_proposal(code: int, features: Features) -> str | None:
    """Return the proposal that a value type needs and that is off, or None."""
    needs = _PROPOSALS[code & 0xFF]
    if needs not in features:
        return needs
    return "function-references" if code & NON_NULL and "function-references" not in features else None


def proposals_of(code: int) -> frozenset[str]:
    """Return the proposals that a value type needs."""
    name = _PROPOSALS[code & 0xFF]
    return frozenset(({name} if name != "mvp" else set()) | ({"function-references"} if code & NON_NULL else set()))


def heap_name(code: int) -> str:
    """Return the heap type of a reference as the text format writes it."""
    return str(code >> INDEX_SHIFT) if code & 0xFF == CONCRETE else _HEAPS[code & 0xFF]


def type_name(code: int) -> str:
    """Return a value type as the text format writes it."""
    if code in _NAMES:
        return _NAMES[code]
    return f"(ref {heap_name(code)})" if code & NON_NULL else f"(ref null {heap_name(code)})"


def type_names(types: Types) -> str:
    """Return a sequence of value types as the validator's messages write it: "[i32 f64]"."""
    return f"[{' '.join(type_name(code) for code in types)}]"


def storage_name(code: int) -> str:
    """Return the type of a field as the text format writes it."""
    return "i8" if code == I8 else "i16" if code == I16 else type_name(code)


def storage_code(name: str) -> int:
    """Return the type of a field from its name.

    Raises:
        ValueError: there is none of that name.
    """
    code = I8 if name == "i8" else I16 if name == "i16" else TYPE_CODES.get(name)
    if code is None:
        raise ValueError(f"there is no type {name!r}")
    return code


class _Type:
    """A type is a value: compared by its fields, which cannot be assigned."""

    __slots__: tuple[str, ...] = ()
    """The fields, in the order in which the constructor takes them."""

    def _key(self) -> tuple[object, ...]:
        return tuple([getattr(self, name) for name in self.__slots__])

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and isinstance(other, _Type) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash((type(self), self._key()))

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"cannot assign {name!r}: a {type(self).__name__} cannot be changed")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"cannot delete {name!r}: a {type(self).__name__} cannot be changed")

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), self._key()


_set: Final = object.__setattr__


class FuncType(_Type):
    """The type of a function: parameters and results."""

    __slots__ = ("params", "results")

    params: Types
    results: Types

    def __init__(self, params: Types, results: Types) -> None:
        _set(self, "params", params)
        _set(self, "results", results)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FuncType) and self.params == other.params and self.results == other.results

    def __hash__(self) -> int:
        return hash((self.params, self.results))

    def __repr__(self) -> str:
        params = ", ".join(type_name(code) for code in self.params)
        results = ", ".join(type_name(code) for code in self.results)
        return f"({params}) -> {results if len(self.results) == 1 else f'({results})'}"


class FieldType(_Type):
    """The type of a field of a structure, or of the elements of an array.

    Attributes:
        storage: a value type, I8 or I16.
        mutable: whether it can be assigned.
    """

    __slots__ = ("storage", "mutable")

    storage: int
    mutable: bool

    def __init__(self, storage: int | str, mutable: bool = False) -> None:
        """Make the type.

        Args:
            storage: the attribute, or its name in the text format.
            mutable: the attribute.

        Raises:
            ValueError: there is no type of that name.
        """
        _set(self, "storage", storage_code(storage) if isinstance(storage, str) else storage)
        _set(self, "mutable", mutable)

    def __repr__(self) -> str:
        name = storage_name(self.storage)
        return f"(mut {name})" if self.mutable else name

    @property
    def value(self) -> int:
        """The value type of what is read from it: i32 for packed fields."""
        return I32 if self.storage == I8 or self.storage == I16 else self.storage


class StructType(_Type):
    """The type of a structure: its fields."""

    __slots__ = ("fields",)

    fields: tuple[FieldType, ...]

    def __init__(self, fields: Iterable[FieldType]) -> None:
        _set(self, "fields", tuple(fields))

    def __repr__(self) -> str:
        return f"(struct{''.join(f' (field {field!r})' for field in self.fields)})"


class ArrayType(_Type):
    """The type of an array: that of its elements."""

    __slots__ = ("field",)

    field: FieldType

    def __init__(self, field: FieldType) -> None:
        _set(self, "field", field)

    def __repr__(self) -> str:
        return f"(array {self.field!r})"


CompType = FuncType | StructType | ArrayType
"""A composite type (spec 2.3.8)."""


class SubType(_Type):
    """An entry of the type section (spec 2.3.9).

    Attributes:
        comp: the composite type.
        supers: indices of the types it declares itself a subtype of.
        final: whether it can have no subtypes of its own.
    """

    __slots__ = ("comp", "supers", "final")

    comp: CompType
    supers: tuple[int, ...]
    final: bool

    def __init__(self, comp: CompType, supers: tuple[int, ...] = (), final: bool = True) -> None:
        _set(self, "comp", comp)
        _set(self, "supers", supers)
        _set(self, "final", final)

    def __repr__(self) -> str:
        if self.final and not self.supers:
            return repr(self.comp)
        return f"(sub {'final ' if self.final else ''}{''.join(f'{index} ' for index in self.supers)}{self.comp!r})"


class Limits(_Type):
    """Bounds of a table (in elements) or a memory (in pages).

    Attributes:
        min: size at the start.
        max: size it may grow to, or None.
    """

    __slots__ = ("min", "max")

    min: int
    max: int | None

    def __init__(self, min: int, max: int | None = None) -> None:
        _set(self, "min", min)
        _set(self, "max", max)

    def __repr__(self) -> str:
        return f"{self.min}" if self.max is None else f"{self.min} {self.max}"


class TableType(_Type):
    """The type of a table: element type, limits, and the type of its indices, I32 or I64."""

    __slots__ = ("elem", "limits", "address")

    elem: int
    limits: Limits
    address: int

    def __init__(self, elem: int, limits: Limits, address: int = I32) -> None:
        _set(self, "elem", elem)
        _set(self, "limits", limits)
        _set(self, "address", address)

    def __repr__(self) -> str:
        return f"table {'i64 ' if self.address == I64 else ''}{self.limits!r} {type_name(self.elem)}"


class MemoryType(_Type):
    """The type of a memory.

    Attributes:
        limits: in pages.
        address: type of its addresses, I32 or I64.
        shared: whether threads may share it.
        page: log2 of the size of a page in bytes.
    """

    __slots__ = ("limits", "address", "shared", "page")

    limits: Limits
    address: int
    shared: bool
    page: int

    def __init__(self, limits: Limits, address: int = I32, shared: bool = False, page: int = 16) -> None:
        _set(self, "limits", limits)
        _set(self, "address", address)
        _set(self, "shared", shared)
        _set(self, "page", page)

    def __repr__(self) -> str:
        page = "" if self.page == 16 else f" (pagesize {1 << self.page:#x})"
        return f"memory {'i64 ' if self.address == I64 else ''}{self.limits!r}{' shared' if self.shared else ''}{page}"


class GlobalType(_Type):
    """The type of a global: value type, and whether it can be assigned."""

    __slots__ = ("type", "mutable")

    type: int
    mutable: bool

    def __init__(self, type: int, mutable: bool) -> None:
        _set(self, "type", type)
        _set(self, "mutable", mutable)

    def __repr__(self) -> str:
        name = type_name(self.type)
        return f"global (mut {name})" if self.mutable else f"global {name}"
