"""Floor 4: heap types whose objects hold an owner and a Python side: callables and memories. Each is made once.

In: a Python class with the methods. Out: the type, whose slots are emitted code.
"""

from __future__ import annotations

from figwasp.locks import new_lock
from figwasp.runtime.platform import cpython, linux
from figwasp.runtime.stubs.interface import FUNC_SIZE, FUNC_VECTORCALL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from figwasp.runtime.stubs.library import StubLibrary

__all__ = ["NativeTypes"]


class NativeTypes:
    """The types made so far."""

    __slots__ = ("_lock", "_made", "_stubs")

    def __init__(self, stubs: StubLibrary) -> None:
        self._stubs = stubs
        self._made: dict[type, type] = {}
        self._lock = new_lock()

    def get(
        self,
        base: type,
        name: str,
        *,
        cleared: Sequence[int] = (),
        callable_: bool = False,
        getbuffer: str = "",
        releasebuffer: str = "",
        doc: Callable[[Any], str] | None = None,
        place: int = 0,
    ) -> type:
        """Return the type with the methods of a class.

        Args:
            base: the class, with empty `__slots__`.
            name: the qualified name of the type.
            cleared: offsets of what the collector may clear.
            callable_: whether objects hold the address of their vectorcall code.
            getbuffer: key of the stub that is bf_getbuffer, for objects that are buffers.
            releasebuffer: of the one that is bf_releasebuffer, for those that count them.
            doc: returns the docstring of an object that has one of its own.
            place: address of the word by which stubs know the type, before there is an object of it; 0 for none.
        """
        made = self._made.get(base)
        if made is not None:
            return made
        with self._lock:
            made = self._made.get(base)
            if made is None:
                stubs = self._stubs
                made = cpython.make_type(
                    name,
                    FUNC_SIZE,
                    base,
                    traverse=stubs.traverse,
                    clear=stubs.clear(cleared),
                    dealloc=stubs.dealloc,
                    vectorcall_offset=FUNC_VECTORCALL if callable_ else 0,
                    getbuffer=stubs.stub(getbuffer) if getbuffer else 0,
                    releasebuffer=stubs.stub(releasebuffer) if releasebuffer else 0,
                )
                if doc is not None:
                    setattr(made, "__doc__", property(doc))  # noqa: B010  which mypy takes for a str
                if place:
                    linux.write_u64(place, id(made))
                first = self._made.setdefault(base, made)  # of a signal handler that has come in between, if it is another
                if place and first is not made:
                    linux.write_u64(place, id(first))
                made = first
            return made
