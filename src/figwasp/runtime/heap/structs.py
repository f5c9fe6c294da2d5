"""Floor 4: structures of the heap as Python objects (spec 4.2.11)."""

from __future__ import annotations

import operator

from figwasp.errors import printable
from figwasp.runtime.code.descriptors import TYPES
from figwasp.runtime.code.known_types import AMBIGUOUS
from figwasp.runtime.heap.chosen import Chosen
from figwasp.runtime.heap.fields import Staged, default_missing, glance, read_field, write_field
from figwasp.runtime.heap.handles import Core, Handle, new_root, show
from figwasp.runtime.heap.making import new_object
from figwasp.wasm.syntax.types import StructType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, Final, SupportsIndex

    from figwasp.runtime.code.known_types import KnownType

__all__ = ["Struct", "show_struct"]

_SHOWN: Final = 12


class Struct(Handle):
    """A structure on the heap of an instance: its fields by index, or by name where the name section of a module has their names.

    An object stays as long as Python or WebAssembly refers to it, also when the instance has been closed. Two `Struct` are equal
    when they are for the same object. Names that are attributes of their own, such as `type`, are asked for as `struct["type"]`.

    >>> import figwasp
    >>> instance = figwasp.load(figwasp.wat('''(module
    ...   (type $point (struct (field $x (mut f64)) (field $y f64) (field $next anyref)))
    ...   (func (export "at") (param f64 f64) (result (ref $point))
    ...     (struct.new $point (local.get 0) (local.get 1) (ref.null any)))
    ...   (func (export "x") (param (ref $point)) (result f64) (struct.get $point $x (local.get 0))))'''))
    >>> point = instance.at(3, 4)
    >>> point, point.type
    (<figwasp.Struct x=3.0 y=4.0 next=None>, (struct (field (mut f64)) (field f64) (field anyref)))
    >>> point.x = 7
    >>> instance.x(point), point[1], point["y"], len(point), list(point)
    (7.0, 4.0, 4.0, 3, [7.0, 4.0, None])
    >>> point.y = 1
    Traceback (most recent call last):
    TypeError: field 1 (y) of a structure is immutable

    Python makes them as well, of types of the instance's module or of its own:

    >>> other = figwasp.Struct(instance, "point", [1, 2, point])
    >>> instance.x(other), other.next == point
    (1.0, True)
    >>> from figwasp.types import FieldType, StructType
    >>> figwasp.Struct(instance, StructType([FieldType("i8", mutable=True), FieldType("externref")]), [200, "any object"])
    <figwasp.Struct -56 ...>

    Args:
        instance: on whose heap the object is made; it belongs to that instance and those that are linked with it.
        type: its type: one of `figwasp.types`, or that of another object; a reference to the type, as parameters and results of the
            instance's functions are; or the name of a type of the instance's module.
        fields: the values of all fields; None for zeros and null.

    Raises:
        TypeError, OverflowError: a value is not of its field's type, or there are not as many as fields.
        ValueError: there is no such type, or an object belongs to another store.
        Exhaustion: the heap is full.
        Busy: another thread is running in the instance.
    """

    __slots__ = ()

    def __new__(cls, instance: Any, type: StructType | int | str, fields: Iterable[Any] | None = None) -> Struct:
        chosen = Chosen(instance, type, StructType)
        storages = [field.storage for field in chosen.known.fields]
        if fields is None:
            missing = default_missing(storages)
            if missing is not None:
                raise TypeError(f"a field of type {missing} needs a value")
            return chosen.store.run(lambda: _make(chosen, storages, ()))
        values = tuple(fields)
        if len(values) != len(storages):
            raise TypeError(f"a structure of this type has {len(storages)} fields, got {len(values)} values")
        return chosen.store.run(lambda: _make(chosen, storages, values))

    @property
    def type(self) -> StructType:
        """The type of the object. References to other defined types have numbers there that say which they are."""
        comp = TYPES.type_of(self._core.number)
        assert isinstance(comp, StructType)
        return comp

    def __len__(self) -> int:
        return len(self._core.known.fields)

    def __getitem__(self, key: SupportsIndex | str) -> Any:
        core = self._core
        index = _index(core, key)
        return read_field(core, core.known.offsets[index], core.known.fields[index].storage)

    def __setitem__(self, key: SupportsIndex | str, value: Any) -> None:
        core = self._core
        index = _index(core, key)
        field = core.known.fields[index]
        if not field.mutable:
            raise TypeError(f"{_shown(core.known, index)} is immutable")
        write_field(core, core.known.offsets[index], field.storage, value, _shown(core.known, index))

    def __iter__(self) -> Iterator[Any]:
        return (self[index] for index in range(len(self)))

    def __getattr__(self, name: str) -> Any:
        core = self._core
        if name not in core.known.indices:
            raise AttributeError(f"the structure has no field {name!r}")
        try:
            return self[name]
        except KeyError as error:
            raise AttributeError(*error.args) from None

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self._core.known.indices or hasattr(Struct, name):
            raise AttributeError(f"the structure has no field {name!r}" + "; by name it is struct[...]" * hasattr(Struct, name))
        self[name] = value

    def __dir__(self) -> list[str]:
        return sorted({*object.__dir__(self), *filter(str.isidentifier, self._core.known.indices)})

    def __repr__(self) -> str:
        core = self._core
        known = core.known
        parts = []
        for index, field in enumerate(known.fields[:_SHOWN]):
            name = known.names.get(index)
            value = glance(core, known.offsets[index], field.storage)
            parts.append(value if name is None else f"{printable(name)}={value}")
        more = [f"and {len(known.fields) - _SHOWN} more"] if len(known.fields) > _SHOWN else []
        return f"<{' '.join(['figwasp.Struct', *parts, *more])}>"


def _index(core: Core, key: SupportsIndex | str) -> int:
    """Return the index of a field, given by that or by its name.

    Raises:
        KeyError: there is no such name, or several fields have it.
        IndexError: there is no such index.
    """
    if isinstance(key, str):
        index = core.known.indices.get(key)
        if index is None or index >= len(core.known.fields):
            raise KeyError(key)
        if index == AMBIGUOUS:
            raise KeyError(f"{key!r} is what modules call different fields of the type; it has to be asked for by its index")
        return index
    size = len(core.known.fields)
    index = operator.index(key)
    if not -size <= index < size:
        raise IndexError(f"field {index} of a structure of {size}")
    return index % size


def _shown(known: KnownType, index: int) -> str:
    name = known.names.get(index)
    return f"field {index}{'' if name is None else f' ({printable(name)})'} of a structure"


def _make(chosen: Chosen, storages: list[int], values: tuple[Any, ...]) -> Struct:
    """Make an object, in a store in which this thread runs; without values, one of zeros."""
    known = chosen.known
    staged = Staged(chosen.store, list(zip(storages, values)), lambda index: _shown(known, index))
    words = new_root(chosen.store)
    address = new_object(chosen.store, words.address, known.offsets[-1], chosen.descriptor)
    staged.write(address, known.offsets)
    return show_struct(Core(chosen.store, words))


def show_struct(core: Core) -> Struct:
    """Return a new handle."""
    native = core.store.native
    made: Struct = show(native.types.get(Struct, "figwasp.Struct", place=native.statics.struct_type), core)
    return made
