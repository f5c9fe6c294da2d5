"""Floor 4: handles: the Python objects for objects on the heap of a store, which stay as long as there is a handle.

In: places that refer to objects. Out: native objects, each with a root of its own and a `Core`. The methods for users are those of
`structs.Struct` and `arrays.Array`.

Theory of operation. Objects do not move, so the address of one is its identity as long as something refers to it. A handle is made
by copying a reference into its root in one step, and only then the address is looked at; it stays good as long as the core
is there, whoever else forgets the object. Numbers in it are read and written as one piece of memory, which needs nothing else.
References are read and written as a part of the store's chain, so that no collection comes between.
"""

from __future__ import annotations

from figwasp import layout
from figwasp.runtime.code.descriptors import TYPES
from figwasp.runtime.heap.roots import RootWords
from figwasp.runtime.platform import cpython, linux
from figwasp.runtime.stubs.interface import (
    VIEW_FORMAT,
    VIEW_ITEM,
    VIEW_LENGTH,
    VIEW_OWNER,
    VIEW_READONLY,
    VIEW_RECORD,
    VIEW_SIDE,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final, NoReturn

    from figwasp.runtime.code.known_types import KnownType
    from figwasp.runtime.store.store import Store
    from figwasp.wasm.syntax.types import CompType

__all__ = ["Core", "Handle", "new_root", "root_of", "show"]

_VIEW_WORDS: Final = 4  # the fields of VIEW_RECORD's block behind the root
_CODE_SIZE: Final = 2


class Core:
    """The Python side of a handle.

    Attributes:
        address: of the object.
        number: canonical number of its type.
        known: its type.
        store: in which it was made; perhaps part of another one now.
        words: its root.
    """

    __slots__ = ("address", "known", "number", "store", "words")

    address: int
    known: KnownType
    number: int
    store: Store
    words: RootWords

    def __init__(self, store: Store, words: RootWords) -> None:
        """Look at the object to which a root refers."""
        self.store = store
        self.words = words
        self.address = linux.read_u64(words.address)
        self.number = TYPES.number_at(linux.read_u32(self.address + layout.OBJECT_TYPE))
        self.known = TYPES.known(self.number)


def new_root(store: Store) -> RootWords:
    """Return a root for a handle, which refers to nothing yet."""
    return RootWords(store, 1, _VIEW_WORDS)


def root_of(store: Store, place: int) -> RootWords:
    """Return a root for a handle to the object that a place refers to, which the collector sees until then."""
    words = new_root(store)
    words.copy(place)
    return words


class Handle:
    """An object on the heap of a store."""

    __slots__ = ()

    @property
    def _core(self) -> Core:
        cpython.check_type(self, Handle)
        core: Core = cpython.object_at(id(self) + VIEW_SIDE)
        return core

    @property
    def type(self) -> CompType:
        """The type of the object. References to other defined types have numbers there that say which they are."""
        return TYPES.type_of(self._core.number)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Handle) and self._core.address == other._core.address

    def __hash__(self) -> int:
        return hash(self._core.address)

    def __reduce__(self) -> NoReturn:
        raise TypeError("objects of WebAssembly cannot be copied or pickled")


def show(type_: Any, core: Core) -> Any:
    """Return the handle of a native type for an object."""
    made: Any = cpython.new_object(type_)
    cpython.set_field(made, VIEW_RECORD, core.words.address)
    cpython.set_reference(id(made) + VIEW_OWNER, core.words.owner)
    cpython.set_reference(id(made) + VIEW_SIDE, core)
    return made


def describe_view(core: Core, code: str, size: int, readonly: bool) -> None:
    """Write down what the buffer of an array of numbers is like; its exporter reads it (`stubs.objects.getbuffer_of_array`).

    Args:
        core: of the array.
        code: of its elements, as `struct` has it.
        size: bytes of an element.
        readonly: whether they cannot be assigned.
    """
    block = core.words.address
    linux.write_u64(block + VIEW_LENGTH, linux.read_u32(core.address + layout.ARRAY_LENGTH))
    linux.write_u64(block + VIEW_ITEM, size)
    linux.write_u64(block + VIEW_READONLY, readonly)
    linux.write(block + VIEW_FORMAT, code.encode().ljust(_CODE_SIZE, b"\0"))
