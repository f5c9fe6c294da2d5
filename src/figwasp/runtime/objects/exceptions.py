"""Floor 4: exceptions of WebAssembly as exceptions of Python, and back (decision 025).

In: a reference to an exception on the heap of a store, or an exception of Python. Out: the other.

Theory of operation. What has a tag is a `WasmException` in Python. Any other exception of Python is *foreign* in WebAssembly: an
exception whose tag is no module's, and which carries the object; so clauses for all exceptions catch it, and what comes out
again is the same object. Some cannot be caught at all (`is_caught`): wasm is left with them as with a trap.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

from figwasp import layout
from figwasp.errors import Error, WasmException
from figwasp.ir.build.base import ir_types
from figwasp.ir.object_layout import field_offsets
from figwasp.ir.types import SIZES
from figwasp.runtime.code.descriptors import TYPES
from figwasp.runtime.heap.making import new_object
from figwasp.runtime.heap.roots import RootWords
from figwasp.runtime.objects.keeping import owner_of
from figwasp.runtime.objects.tag import FOREIGN, Tag, host_type, tag_of
from figwasp.runtime.objects.values import References, canonical, cells_of, get_value, places_of, put_value
from figwasp.runtime.platform import linux
from figwasp.runtime.store.store import Store
from figwasp.wasm.syntax.types import EXTERNREF, FUNCREF, Types, is_ref

__all__ = ["Bridge", "exception_at", "give_exception", "is_caught"]

_WORD: Final = 8


def is_caught(error: BaseException) -> bool:
    """Return whether WebAssembly may catch an exception that a host function raises.

    It may not if Python code of the same kind would not, by `except Exception`; nor what stands for a trap, which ends all wasm
    code alike: figwasp's own errors, and the end of the stack or of memory.
    """
    if isinstance(error, WasmException):
        return True
    return isinstance(error, Exception) and not isinstance(error, (Error, RecursionError, MemoryError))


def give_exception(store: Store, error: BaseException, place: int, references: References) -> None:
    """Make an exception on the heap.

    Args:
        store: whose heap; this thread's.
        error: the exception of Python.
        place: address of a word that the collector sees, which refers to the new exception then.
        references: the conversion of what it carries.

    Raises:
        TypeError, OverflowError, ValueError: a value is not of its parameter's type, or there are too many or too few.
        Exhaustion: there is no memory.
    """
    if not isinstance(error, WasmException):
        number = host_type((EXTERNREF,))
        _make(store, place, number, FOREIGN, (EXTERNREF,), (error,), references, "an exception")
        return
    tag = error.tag
    if not isinstance(tag, Tag):
        raise TypeError(f"the tag of a WasmException must be a figwasp.Tag, not {type(tag).__name__}")
    types = tag.type.params
    if len(error.args) != len(types):
        raise TypeError(f"an exception with {tag!r} carries {len(types)} values, got {len(error.args)}")
    _make(store, place, tag._number, tag._identity, types, error.args, references.numbered(tag._numbers), "an exception")


def _make(
    store: Store, place: int, number: int, identity: int, types: Types, values: tuple[Any, ...], references: References, what: str
) -> None:
    """Make an exception of a type, by its canonical number, with what it carries.

    The values are converted first, which may run any code; from the object's making on there is nothing but writing.
    """
    staged = RootWords(store, max(cells_of(types), 1))
    sources = places_of(staged.address, types)
    for index, (source, value, type_) in enumerate(zip(sources, values, types), 1):
        put_value(source, value, type_, references, f"value {index} of {what}")
        if is_ref(type_) and value is not None and TYPES.top(canonical(type_, references.numbers)) == FUNCREF:
            store.keep(owner_of(linux.read_u64(source)))
    offsets, size = field_offsets(types, layout.EXCEPTION_FIELDS)
    (descriptor,) = TYPES.descriptors([number])
    exception = new_object(store, place, size, descriptor)
    for source, offset, type_ in zip(sources, offsets, ir_types(types)):
        linux.write(exception + offset, linux.read(source, SIZES[type_]))
    linux.write_u64(exception + layout.EXCEPTION_TAG, identity)


def exception_at(exception: int, references: References) -> BaseException:
    """Return the exception of Python for one on the heap; the object itself for a foreign one."""
    identity = linux.read_u64(exception + layout.EXCEPTION_TAG)
    if identity == FOREIGN:
        found = get_value(exception + layout.EXCEPTION_FIELDS, EXTERNREF, references)
        assert isinstance(found, BaseException)
        return found
    tag = tag_of(identity)
    if tag is None:
        return WasmException(None)  # the instances that had the tag have gone
    types = tag.type.params
    offsets, _ = field_offsets(types, layout.EXCEPTION_FIELDS)
    inner = references.numbered(tag._numbers)
    return WasmException(tag, *[get_value(exception + offset, type_, inner) for offset, type_ in zip(offsets, types)])


class _References(Protocol):
    """Makes the conversions of a store."""

    def __call__(self, store: Store, /) -> References:
        """Return those of a store."""


class _Contexts(Protocol):
    """Tells which store a context belongs to."""

    def store_of(self, context: int) -> object:
        """Return the store, or None."""


class Bridge:
    """The exceptions that cross between Python and WebAssembly, by the contexts that they are in."""

    __slots__ = ("_contexts", "_references")

    def __init__(self, contexts: _Contexts, references: _References) -> None:
        self._contexts = contexts
        self._references = references

    def take(self, context: int) -> BaseException:
        """Return the exception in a context that nothing has caught, and take it out."""
        store = self._contexts.store_of(context)
        exception = linux.read_u64(context + layout.CTX_EXCEPTION)
        assert isinstance(store, Store)
        assert exception
        error = exception_at(exception, self._references(store))
        linux.write_u64(context + layout.CTX_EXCEPTION, 0)
        return error

    def offer(self, context: int, error: BaseException) -> None:
        """Put an exception that a host function has raised into the context, unless WebAssembly may not catch it."""
        store = self._contexts.store_of(context)
        if isinstance(store, Store) and is_caught(error):
            give_exception(store, error, context + layout.CTX_EXCEPTION, self._references(store))
