"""Floor 4: exceptions of WebAssembly as exceptions of Python, and back (decision 025).

In: a reference to an exception on the heap of a store, or an exception of Python. Out: the other.

Theory of operation. What has a tag is a `WasmException` in Python. Any other exception of Python is *foreign* in WebAssembly: an
exception whose tag is no module's, and which carries the object; so clauses for all exceptions catch it, and what comes out
again is the same object. Some cannot be caught at all (`is_caught`): wasm is left with them as with a trap.
"""

from __future__ import annotations

from functools import lru_cache

from figwasp import layout
from figwasp.errors import Error, WasmException
from figwasp.ir.layouts import field_offsets
from figwasp.ir.types import SIZES, buffer_layout, ir_types
from figwasp.runtime.code.descriptors import TYPES
from figwasp.runtime.heap.making import new_object
from figwasp.runtime.heap.roots import RootWords
from figwasp.runtime.objects.keeping import owner_of
from figwasp.runtime.objects.tag import FOREIGN, Tag, host_type, tag_of
from figwasp.runtime.objects.values import canonical, get_value, put_value
from figwasp.runtime.platform import linux
from figwasp.runtime.store.store import Store
from figwasp.wasm.syntax.types import EXTERNREF, FUNCREF, is_ref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final, Protocol

    from figwasp.runtime.objects.values import References
    from figwasp.wasm.syntax.types import Types

    class _References(Protocol):
        """Makes the conversions of a store."""

        def __call__(self, store: Store, /) -> References:
            """Return those of a store."""

    class _Contexts(Protocol):
        """Tells which store a context belongs to."""

        def store_of(self, context: int) -> object:
            """Return the store, or None."""

__all__ = ["Bridge", "exception_at", "give_exception", "is_caught"]

_OBJECT: Final = (EXTERNREF,)
"""What a foreign exception carries."""
_WORD: Final = 8
_WORDS: Final = 16
_MOST_SPARE: Final = 4


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
        _make(store, place, (FOREIGN, host_type(_OBJECT), _OBJECT), (error,), references)
        return
    tag = error.tag
    if not isinstance(tag, Tag):
        raise TypeError(f"the tag of a WasmException must be a figwasp.Tag, not {type(tag).__name__}")
    types = tag.type.params
    if len(error.args) != len(types):
        raise TypeError(f"an exception with {tag!r} carries {len(types)} values, got {len(error.args)}")
    _make(store, place, (tag._identity, tag._number, types), error.args, references.numbered(tag._numbers))


def _make(
    store: Store, place: int, tag: tuple[int, int, Types], values: tuple[Any, ...], references: References
) -> None:
    """Make an exception.

    Whatever is on its way is in words of its own that the collector sees: any line may run finalizers, which may call WebAssembly,
    and what that throws is in the context meanwhile.

    Args:
        store, place, references: as of `give_exception`.
        tag: identity, canonical number of the type, types of what is carried.
        values: these.
    """
    identity, number, types = tag
    count, size, places = _shape(types)
    words = _take_words(store, 1 + count)
    cells = words.address + _WORD
    for index, ((cell, _, _), value, type_) in enumerate(zip(places, values, types), 1):
        put_value(cells + cell, value, type_, references, f"value {index} of an exception")
        if is_ref(type_) and value is not None and TYPES.top(canonical(type_, references.numbers)) == FUNCREF:
            store.keep(owner_of(linux.read_u64(cells + cell)))
    exception = new_object(store, words.address, size, TYPES.descriptors([number])[0])
    for cell, offset, width in places:
        linux.write(exception + offset, linux.read(cells + cell, width))
    linux.write_u64(exception + layout.EXCEPTION_TAG, identity)
    linux.write_u64(place, exception)
    _give_back(store, words)


@lru_cache(256)
def _shape(types: Types) -> tuple[int, int, list[tuple[int, int, int]]]:
    """Return how many cells values take in a buffer, how many bytes an exception that carries them, and where each is in both.

    That is its offset in the buffer and in the exception, and how many bytes it has.
    """
    ir = ir_types(types)
    starts, count = buffer_layout(ir)
    offsets, size = field_offsets(types, layout.EXCEPTION_FIELDS)
    return count, size, list(zip(starts, offsets, [SIZES[type_] for type_ in ir]))


def _take_words(store: Store, count: int) -> RootWords:
    """Return so many words of 0 at least, which the collector sees as roots of a store."""
    if count > _WORDS:
        return RootWords(store, count)
    try:
        words = store.spare_words.pop()
    except IndexError:
        return RootWords(store, _WORDS)
    assert isinstance(words, RootWords)
    return words


def _give_back(store: Store, words: RootWords) -> None:
    """Keep words for the next exception, unless there are enough of them: it takes less than to make others."""
    linux.zero(words.address, _WORD * _WORDS)  # larger ones have as many at least
    if len(store.spare_words) < _MOST_SPARE:
        store.spare_words.append(words)


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
    inner = references.numbered(tag._numbers)
    places = _shape(types)[2]
    return WasmException(tag, *[get_value(exception + offset, type_, inner) for (_, offset, _), type_ in zip(places, types)])


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
