"""Floor 4: objects that Python makes on the heap of a store, with the references to them in roots.

In: sizes and headers, and places that the collector sees. Out: an object of zeros, to which the place refers.
"""

from __future__ import annotations

from figwasp import layout
from figwasp.ir.layouts import HEADER, element_shift
from figwasp.runtime.heap.roots import RootWords
from figwasp.runtime.platform import cpython, linux
from figwasp.runtime.trap.traps import trap
from figwasp.wasm.syntax.types import FUNCREF, ArrayType, FuncType, is_ref
from figwasp.wasm.valid.subtyping import top_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from figwasp.runtime.store.store import Store
    from figwasp.wasm.syntax.types import SubType

__all__ = ["Nursery", "has_objects", "new_object", "refers_to_functions"]

_WORDS: Final = 64


def has_objects(types: list[SubType], tags: list[int]) -> bool:
    """Return whether code of a module may make objects, whose descriptors have to stay as long as they do."""
    return bool(tags) or any(not isinstance(type_.comp, FuncType) for type_ in types)


def refers_to_functions(types: list[SubType], tags: list[int]) -> bool:
    """Return whether such objects may refer to functions."""
    storages = [storage for index in tags for storage in _storages(types[index])]
    storages += [storage for type_ in types if not isinstance(type_.comp, FuncType) for storage in _storages(type_)]
    return any(is_ref(storage) and top_of(storage, types) == FUNCREF for storage in storages)


def _storages(type_: SubType) -> tuple[int, ...]:
    comp = type_.comp
    if isinstance(comp, FuncType):
        return comp.params
    if isinstance(comp, ArrayType):
        return (comp.field.storage,)
    return tuple([field.storage for field in comp.fields])


def new_object(store: Store, place: int, size: int, header: int) -> int:
    """Make an object; return its address.

    Args:
        store: in whose heap; this thread's.
        place: address of a word of a root, which refers to it from then on.
        size: its bytes.
        header: its first 8 bytes.

    Raises:
        Exhaustion: there is no memory.
    """
    cpython.check_recursion()
    context = linux.read_u64(store.current.record + layout.STORE_CONTEXT)
    if not store.native.stubs.heap.new_object(context, place, size, header):
        code = linux.read_u32(context + layout.CTX_TRAP_CODE)
        linux.write_u32(context + layout.CTX_TRAP_CODE, 0)
        raise trap(code)
    return linux.read_u64(place)


class Nursery:
    """Objects of an instance that is being made: they stay as long as this object, and then as long as something refers to them."""

    __slots__ = ("_descriptors", "_roots", "_store", "_types", "_used")

    def __init__(self, store: Store, types: list[SubType], descriptors: list[int]) -> None:
        """Begin without objects.

        Args:
            store: of the instance.
            types: of its module.
            descriptors: of these.
        """
        self._store = store
        self._types = types
        self._descriptors = descriptors
        self._roots: list[RootWords] = []
        self._used = _WORDS

    def new_struct(self, index: int, fields: bytes) -> int:
        """Return a new structure of a type of the module, made from the bytes behind its header."""
        return self._make(self._descriptors[index], fields, len(fields))

    def new_array(self, index: int, length: int, elements: bytes) -> int:
        """Return a new array; where the bytes are those of one element, all are like it."""
        comp = self._types[index].comp
        assert isinstance(comp, ArrayType)
        size = length << element_shift(comp.field.storage)
        repeated = elements * (size // len(elements)) if any(elements) else b""
        return self._make(self._descriptors[index] | length << 8 * layout.ARRAY_LENGTH, repeated, size)

    def _make(self, header: int, content: bytes, size: int) -> int:
        if self._used == _WORDS:
            self._roots.append(RootWords(self._store, _WORDS))
            self._used = 0
        place = self._roots[-1].address + 8 * self._used
        self._used += 1
        address = new_object(self._store, place, HEADER + size + 7 & -8, header)
        linux.write(address + HEADER, content)
        return address
