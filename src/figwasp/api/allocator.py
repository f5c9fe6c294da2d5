"""Floor 5: memory that a guest allocates, with the functions that plug-ins export for that under one name or another.

In: bytes or text of Python. Out: a pointer to a copy in the guest's memory, which is freed when the `with` block is left.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from figwasp.api.caller import Caller
from figwasp.api.instance import Instance, first_memory
from figwasp.api.memory import Memory
from figwasp.runtime.objects.func import Func
from figwasp.wasm.syntax.types import I32, I64

if TYPE_CHECKING:
    from figwasp.api.memory import Buffer

__all__ = ["Allocator"]

# C, TinyGo and Emscripten; Rust, twice; components, whose functions own what they are given; AssemblyScript.
_CONVENTIONS: Final = {"malloc": "free", "alloc": "dealloc", "allocate": "deallocate", "cabi_realloc": None, "__new": "__unpin"}
_ARRAY_BUFFER: Final = 1  # the classes of AssemblyScript, by number
_STRING: Final = 2


class Allocator:
    """The functions by which a plug-in allocates and frees its memory, and their common uses.

    >>> import figwasp
    >>> text = '''(module (memory (export "memory") 1) (global $top (mut i32) (i32.const 1024))
    ...   (func (export "malloc") (param i32) (result i32)
    ...     (global.get $top) (global.set $top (i32.add (global.get $top) (local.get 0))))
    ...   (func (export "free") (param i32))
    ...   (func (export "first") (param $pointer i32) (param $size i32) (result i32) (i32.load8_u (local.get $pointer))))'''
    >>> plugin = figwasp.load(figwasp.wat(text))
    >>> allocator = figwasp.Allocator(plugin)
    >>> with allocator.str("Ada") as (pointer, size):
    ...     pointer, size, plugin.first(pointer, size) == ord("A")
    (1024, 3, True)

    Found without being named are, in this order, `malloc` and `free`, `alloc` and `dealloc`, `allocate` and `deallocate`,
    `cabi_realloc`, and the `__new`, `__pin` and `__unpin` of AssemblyScript. The number of their parameters tells how to call
    them: (size), (size, alignment) or (0, 0, alignment, size), and for freeing as many as there are of (pointer, size,
    alignment, 0). What `cabi_realloc` allocates belongs to the function it is passed to, and is not freed from here.

    The guest's answers are not trusted: a pointer to bytes outside the memory is an IndexError.

    Args:
        instance: the plug-in; in a host function, its `Caller` serves as well.
        malloc: the function that allocates, or the name of its export.
        free: the function that frees; if not given, the partner of `malloc` by name, and if that is not exported, nothing is freed.
        memory: the memory that the pointers point into: if not given, the one exported as "memory", or else the first.

    Raises:
        TypeError: the instance has no such functions, they have other types, or there is no memory.

    Attributes:
        memory: the memory that the pointers point into.
    """

    __slots__ = ("_free", "_malloc", "_mask", "_pin", "memory")

    memory: Memory

    def __init__(
        self,
        instance: Instance | Caller,
        malloc: builtins.str | Func | None = None,
        free: builtins.str | Func | None = None,
        memory: Memory | None = None,
    ) -> None:
        instance = instance.instance if isinstance(instance, Caller) else instance
        if memory is None:
            memory = first_memory(instance._state, instance._owner, instance.module)
        if not isinstance(memory, Memory):
            raise TypeError(f"{instance!r} has no memory" if memory is None else f"{memory!r} is no figwasp.Memory")
        if malloc is None:
            malloc = next((name for name in _CONVENTIONS if name in instance.exports), None)
        if malloc is None:
            raise TypeError(f"{instance!r} has no allocator: it exports none of {', '.join(_CONVENTIONS)}")
        name = malloc if isinstance(malloc, str) else malloc.name
        if free is None and _CONVENTIONS.get(name) in instance.exports:
            free = _CONVENTIONS[name]
        self.memory = memory
        self._malloc = _function(instance, malloc, (1, 2, 4), returns=True)
        self._free = None if free is None else _function(instance, free, (1, 2, 3, 4), returns=False)
        self._pin = _function(instance, "__pin", (1,), returns=True) if name == "__new" else None
        self._mask = 2**32 - 1 if self._malloc.type.results == (I32,) else 2**64 - 1

    def malloc(self, size: int, align: int = 8) -> int:
        """Allocate bytes in the guest, in AssemblyScript an ArrayBuffer, pinned; return the pointer.

        Args:
            size: number of bytes.
            align: the pointer is to be a multiple of this, if the guest's function takes an alignment.

        Raises:
            MemoryError: the guest returned 0.
            IndexError: the guest returned a pointer to bytes outside the memory.
        """
        return self._allocate(size, align, _ARRAY_BUFFER)

    def free(self, pointer: int, size: int | None = None, align: int = 8) -> None:
        """Free what `malloc` returned, or a function of the guest that leaves it to its caller; 0 is nothing to free.

        Args:
            pointer: signed, as functions return it, or unsigned.
            size, align: those of the allocation, if the guest's function takes them.
        """
        if self._free is None or not pointer:
            return
        arguments = (pointer, size, align, 0)[: len(self._free.type.params)]
        if None in arguments:
            raise TypeError(f"{self._free!r} has to be told the size of what it frees")
        self._free(*arguments)

    @contextmanager
    def bytes(self, data: Buffer) -> Iterator[tuple[int, int]]:
        """Copy bytes, or the contents of any other buffer, to the guest; give the pointer and the size."""
        view = memoryview(data)
        with self._lent(view) as pointer:
            yield pointer, view.nbytes

    @contextmanager
    def str(self, text: builtins.str, encoding: builtins.str = "utf-8") -> Iterator[tuple[int, int]]:
        """Copy text to the guest; give the pointer and the size in bytes."""
        with self.bytes(text.encode(encoding)) as place:
            yield place

    @contextmanager
    def cstr(self, text: builtins.str, encoding: builtins.str = "utf-8") -> Iterator[int]:
        """Copy text and a NUL byte to the guest; give the pointer."""
        if "\0" in text:
            raise ValueError("a string that ends with a NUL cannot have one in it")
        with self._lent(memoryview(f"{text}\0".encode(encoding))) as pointer:
            yield pointer

    @contextmanager
    def string(self, text: builtins.str) -> Iterator[int]:
        """Make a String of AssemblyScript, which is pinned meanwhile; give the pointer."""
        if self._pin is None:
            raise TypeError(f"{self!r} makes no strings of AssemblyScript, for which there is __new")
        with self._lent(memoryview(text.encode("utf-16-le", "surrogatepass")), _STRING) as pointer:
            yield pointer

    def read_string(self, pointer: int) -> builtins.str:
        """Read a String of AssemblyScript.

        Raises:
            IndexError: the string does not lie in the memory; null never does.
        """
        pointer &= self._mask
        return self.memory.read_str(pointer, self.memory.read_u32(pointer - 4), "utf-16-le", "surrogatepass")

    @contextmanager
    def _lent(self, data: memoryview, kind: int = _ARRAY_BUFFER) -> Iterator[int]:
        pointer = self._allocate(data.nbytes, 1, kind)
        try:
            self.memory.write(pointer, data)
            yield pointer
        except BaseException as error:
            try:
                self.free(pointer, data.nbytes, 1)
            except Exception as failure:  # of a guest that has just failed: the first reason is the one to be told
                error.add_note(f"and freeing {pointer} failed: {failure}")
            raise
        self.free(pointer, data.nbytes, 1)

    def _allocate(self, size: int, align: int, kind: int) -> int:
        """Allocate and, in AssemblyScript, pin an object; `kind` is its class there, passed instead of the alignment."""
        if size < 0:
            raise ValueError("a size cannot be negative")
        count = len(self._malloc.type.params)
        arguments = (0, 0, align, size) if count == 4 else (size, align if self._pin is None else kind)[:count]
        pointer: int = self._malloc(*arguments) & self._mask
        if not pointer and size:
            raise MemoryError(f"the guest cannot allocate {size} bytes: {self._malloc.name}() returned 0")
        if pointer + size > len(self.memory):
            raise IndexError(f"{self._malloc.name}() returned {pointer}: {size} bytes there do not lie in {self.memory!r}")
        if self._pin is not None:
            self._pin(pointer)
        return pointer

    def __repr__(self) -> builtins.str:
        return f"<figwasp.Allocator {self._malloc.name}, {'nothing freed' if self._free is None else self._free.name}>"


def _function(instance: Instance, which: str | Func, counts: tuple[int, ...], *, returns: bool) -> Func:
    """Return a function of pointers and sizes, which are all of one type.

    Raises:
        TypeError: there is no export of that name, or it is of another kind.
    """
    if isinstance(which, str) and which not in instance.exports:
        raise TypeError(f"{instance!r} has no {which!r}, which is needed to allocate")
    found: Any = instance.exports[which] if isinstance(which, str) else which
    if not isinstance(found, Func):
        raise TypeError(f"{which!r} is no function but {found!r}")
    params, results = found.type.params, found.type.results if returns else ()
    kinds = {*params, *results}
    if len(params) not in counts or len(results) != returns or kinds not in ({I32}, {I64}):
        wanted = f"{' or '.join(map(str, counts))} parameters{' and a result' if returns else ''}, all i32 or all i64"
        raise TypeError(f"{found!r} is no such function: {wanted} are needed")
    return found
