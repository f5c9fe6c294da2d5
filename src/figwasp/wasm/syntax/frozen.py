"""A decoded module in a plain form, from which it is there again without having been decoded. Floor 1.

In: a `Module`; out: bytes; and from these bytes and those of the binary an equal `Module`. Decoding reads all but the bodies
byte by byte, and needs the decoder and the tables of instructions; this does neither.

The form is that of `marshal`, of numbers, strings, bytes, None, and tuples of them. A list in it is made into something by a row of
`_FORMS`: an object, by what its constructor takes, or a list. What a module can have ten thousand of stands in *columns*, bytes
of words: indices, bodies, elements that are functions, data segments. But for indices they become objects when they are asked for.

The bytes depend on the build of Python and on the sources of figwasp, and are for no other. `marshal` trusts what it reads: they
are to come from where nobody else can write.
"""

from __future__ import annotations

import marshal
from array import array

from figwasp.features import Features
from figwasp.wasm.syntax.module import ACTIVE, PASSIVE, Body, ConstExpr, Custom, Data, Elem, Export, Import, Module
from figwasp.wasm.syntax.types import (
    INDEX_SHIFT,
    ArrayType,
    FieldType,
    FuncType,
    GlobalType,
    Limits,
    MemoryType,
    StructType,
    SubType,
    TableType,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any, Final

    _Objects = Sequence[Any]
else:
    _Objects = object

__all__ = ["freeze", "thaw"]

_VERSION: Final = 2
"""Of marshal: the last whose bytes depend on the values alone. Later ones refer to objects that others hold as well."""
_WORD: Final = "I"
_I32_CONST: Final = 0x41
_REF_FUNC: Final = 0xD2

_CLASSES: Final[tuple[tuple[Callable[..., object], str], ...]] = (
    (Import, "module name kind desc"),
    (Export, "name kind index"),
    (ConstExpr, "instrs start end"),
    (Elem, "type mode table offset inits"),
    (Data, "mode memory offset start end"),
    (Body, "start end"),
    (Custom, "name start end after"),
    (FuncType, "params results"),
    (FieldType, "storage mutable"),
    (ArrayType, "field"),
    (SubType, "comp supers final"),
    (Limits, "min max"),
    (TableType, "elem limits address"),
    (MemoryType, "limits address shared page"),
    (GlobalType, "type mutable"),
)
"""The classes that a module is made of: the attributes of each, in the order in which its constructor takes them."""

_ATTRIBUTES: Final = tuple(sorted({*Module.__slots__} - {"data", "features", "_names", "_export_names"}))
"""What is kept of a module: all but what is given again and what is rarely asked for."""


class _Column(_Objects):
    """Objects that stand in words: each is made whenever it is asked for."""

    __slots__ = ("_make", "_width", "_words")

    def __init__(self, words: bytes, width: int, make: Callable[..., object]) -> None:
        """Make the sequence.

        Args:
            words: the numbers of all objects, one object after the other.
            width: how many numbers each has.
            make: what makes an object of its numbers.
        """
        self._words = memoryview(words).cast(_WORD)
        self._width = width
        self._make = make

    def __len__(self) -> int:
        return len(self._words) // self._width

    def __getitem__(self, index: Any) -> Any:
        places = range(0, len(self._words), self._width)[index]
        return self._at(places) if isinstance(places, int) else [self._at(place) for place in places]

    def __iter__(self) -> Iterator[Any]:
        return map(self._make, *[iter(self._words)] * self._width)

    def _at(self, place: int) -> object:
        return self._make(*self._words[place : place + self._width])


class _Functions(dict[int, ConstExpr]):
    """Expressions that bare function indices imply, one for each."""

    __slots__ = ()

    def __missing__(self, index: int) -> ConstExpr:
        return self.setdefault(index, ConstExpr([(_REF_FUNC, index)]))


class _Fields(dict[int, FieldType]):
    """Types of fields by storage and mutability in one number; there is one object for all that are alike and name no type."""

    __slots__ = ()

    def __missing__(self, code: int) -> FieldType:
        type_ = FieldType(code >> 1, bool(code & 1))
        return type_ if code >> 1 >> INDEX_SHIFT else self.setdefault(code, type_)


_FIELDS: Final = _Fields()


# Freezing


def freeze(module: Module) -> bytes:
    """Return the plain form of a module, to be kept beside its binary, of which nothing is in it."""
    assert module.passive_datas is not None  # which has been found now
    return marshal.dumps([_plain(getattr(module, name)) for name in _ATTRIBUTES], _VERSION)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        items = [_plain(item) for item in value]
        return [_TUPLE, *items] if list in map(type, items) else value
    if isinstance(value, (list, _Column)):
        return _plain_list(value)
    if isinstance(value, StructType):
        return [_STRUCT, tuple([field.storage << 1 | field.mutable for field in value.fields])]
    form = _NUMBERS.get(type(value))
    if form is None:
        return value
    return [form, *[_plain(getattr(value, name)) for name in _CLASSES[form][1].split()]]


def _plain_list(items: Sequence[Any]) -> list[Any]:
    for form, words_of in _COLUMNS:
        words = array(_WORD)
        for item in items:
            found = words_of(item)
            if found is None:
                break
            words.extend(found)
        else:
            return [form, words.tobytes()]
    distinct = list(dict.fromkeys(items)) if isinstance(items[0], ConstExpr) else items
    if len(distinct) == len(items):
        return [_LIST, *map(_plain, items)]
    places = {expr: place for place, expr in enumerate(distinct)}
    return [_CHOSEN, [_LIST, *map(_plain, distinct)], array(_WORD, map(places.__getitem__, items)).tobytes()]


def _index_words(item: Any) -> tuple[int, ...] | None:
    return (item,) if isinstance(item, int) else None


def _body_words(item: Any) -> tuple[int, ...] | None:
    return (item.start, item.end) if isinstance(item, Body) else None


def _function_words(item: Any) -> tuple[Any, ...] | None:
    """Return the index in an expression that a bare index implied."""
    if not isinstance(item, ConstExpr) or item.start >= 0:
        return None
    ((_, index),) = item.instrs
    return (index,)


def _data_words(item: Any) -> tuple[int, ...] | None:
    """Return the numbers of a segment that is passive, or for a place in the first memory that is a number."""
    if not isinstance(item, Data) or item.memory:
        return None
    offset = item.offset
    if offset is None:
        return (0, 0, 0, item.start, item.end)
    instrs: list[tuple[int, Any]] = offset.instrs
    code, place = instrs[0] if len(instrs) == 1 else (0, 0)
    return (place & 0xFFFFFFFF, offset.start, offset.end, item.start, item.end) if code == _I32_CONST else None


# Thawing


def thaw(frozen: bytes | memoryview, data: bytes, features: Features) -> Module:
    """Return the module of a plain form.

    Args:
        frozen: what `freeze` has returned, with this very Python and these very sources.
        data: the binary that the module was decoded from.
        features: the proposals that it was decoded with.
    """
    module = Module(data, features)
    for name, value in zip(_ATTRIBUTES, marshal.loads(frozen)):
        setattr(module, name, _thawed(value))
    return module


def _thawed(value: Any) -> Any:
    if type(value) is list:
        form, *parts = value
        return _FORMS[form](*map(_thawed, parts))
    return value


def _tuple(*items: object) -> tuple[object, ...]:
    return items


def _list(*items: object) -> list[Any]:
    return list(items)


def _struct(codes: tuple[int, ...]) -> StructType:
    return StructType(map(_FIELDS.__getitem__, codes))


def _indices(words: bytes) -> list[int]:
    return memoryview(words).cast(_WORD).tolist()


def _bodies(words: bytes) -> _Column:
    return _Column(words, 2, Body)


def _chosen(objects: list[Any], words: bytes) -> _Column:
    return _Column(words, 1, objects.__getitem__)


class _FunctionColumn(_Column):
    """Expressions that bare function indices imply."""

    __slots__ = ()

    def __init__(self, words: bytes) -> None:
        super().__init__(words, 1, _Functions().__getitem__)


class _Datas(_Column):
    """Data segments."""

    __slots__ = ()

    def __init__(self, words: bytes) -> None:
        super().__init__(words, 5, _data)

    def active(self) -> Iterator[tuple[int, int, int]]:
        """Return of each active segment the place in the first memory, and where it begins and ends in the module."""
        numbers = iter(self._words)
        return ((place, start, end) for place, first, _, start, end in zip(*[numbers] * 5) if first)


def active_segments(module: Module) -> Iterator[tuple[int, int, int]] | None:
    """Return the active data segments of a module that has been thawed, as numbers.

    Returns:
        Of each the place in the first memory, and where it begins and ends in the module's bytes; None if the module has not been
        thawed, or has segments of another kind.
    """
    datas: object = module.datas
    return datas.active() if isinstance(datas, _Datas) else None


def function_segment(elem: Elem) -> memoryview | None:
    """Return the functions of an element segment of a module that has been thawed; None if it is not one of functions alone."""
    inits: object = elem.inits
    return inits._words if isinstance(inits, _FunctionColumn) else None


def _data(place: int, first: int, after: int, start: int, end: int) -> Data:
    """Make a segment of what `_data_words` returns."""
    if not first:  # where no expression stands
        return Data(PASSIVE, 0, None, start, end)
    value = place - (1 << 32) if place >> 31 else place
    return Data(ACTIVE, 0, ConstExpr([(_I32_CONST, value)], first, after), start, end)


_FORMS: Final = (*[made for made, _ in _CLASSES], _tuple, _list, _struct, _chosen, _indices, _bodies, _FunctionColumn, _Datas)
"""What makes something again of its parts, by the number that it is frozen with."""
_NUMBERS: Final = {made: number for number, (made, _) in enumerate(_CLASSES)}
_TUPLE: Final = _FORMS.index(_tuple)
_LIST: Final = _FORMS.index(_list)
_STRUCT: Final = _FORMS.index(_struct)
_CHOSEN: Final = _FORMS.index(_chosen)
_COLUMNS: Final = (
    (_FORMS.index(_indices), _index_words),
    (_FORMS.index(_bodies), _body_words),
    (_FORMS.index(_FunctionColumn), _function_words),
    (_FORMS.index(_Datas), _data_words),
)
"""The lists that are columns: how they are made again, and what returns the words of one of their items."""
