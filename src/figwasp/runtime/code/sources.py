"""Floor 4: sources of compiled code: an ordered list, of which the first that has a function's code returns it."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from functools import cache, partial

from figwasp.errors import Error
from figwasp.lazy import importing
from figwasp.runtime.trap import window

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Final, Protocol

    from figwasp.codegen.code import Code
    from figwasp.runtime.code.translate import Translator
    from figwasp.runtime.config import Config
    from figwasp.wasm.syntax.module import Module
    from figwasp.wasm.valid.module import FactsOf

    class CodeSource(Protocol):
        """A source that may have the code of a module's functions."""

        def take(self, index: int) -> Code | None:
            """Return the code of a defined function that is called for the first time, or None."""

__all__ = ["CodeSource", "Now", "has_compiler", "importing_compiler"]

_LONG_BODY: Final = 1000  # bytes, of which each is a good 5 us


@contextmanager
def importing_compiler() -> Iterator[None]:
    """Import a compiler here, which programs do without whose code is kept.

    Raises:
        Error: Python is shutting down.
    """
    try:
        with importing:
            yield
    except ImportError as error:
        if not sys.is_finalizing():
            raise
        raise Error("no function can be compiled any more: Python is shutting down") from error


@cache  # at the very end nothing can be imported, even if it has been before
def _compiler() -> type[Translator]:
    with importing_compiler():
        from figwasp.runtime.code.translate import Translator
    return Translator


def has_compiler() -> bool:
    """Return whether the optimising compiler has been imported."""
    return _compiler.cache_info().currsize > 0


class Now:
    """The compiler in this thread, which has the code of every function; but not when the running calls have to end."""

    __slots__ = ("_facts", "_metered", "_mode", "_module", "_translator")

    def __init__(self, module: Module, facts: FactsOf, config: Config) -> None:
        """Begin with a module, the facts of its functions and the settings that it is compiled with."""
        self._module = module
        self._facts = facts
        self._mode = config.mode
        self._metered = config.metered
        self._translator: Translator | None = None

    def translator(self) -> Translator:
        """Return what compiles functions, made when somebody first asks.

        Raises:
            Error: nothing has been compiled in this process, and now, at its very end, it is too late for that.
        """
        if self._translator is None:
            self._translator = _compiler()(self._module, self._mode, self._metered, self._facts)
        return self._translator

    def continuation(self, index: int, loop: int, first: int) -> Code:
        """Compile a defined function, to be entered at a loop (`Translator.continuation`).

        Raises:
            LimitExceeded, Interrupted, Timeout: as for `take`.
        """
        return self._bounded(index, partial(self.translator().continuation, loop=loop, first=first))

    def take(self, index: int) -> Code:
        """Compile a defined function.

        Raises:
            Invalid, Malformed, LimitExceeded: the function's body is, whose validation was left for now.
            Interrupted, Timeout: the running calls had to end before the code was made.
        """
        return self._bounded(index, self.translator().translate)

    def _bounded(self, index: int, translate: Callable[[int], Code]) -> Code:
        """Translate a function, in a window if that takes long."""
        body = self._module.body(index)
        if body.end - body.start > _LONG_BODY:
            return window.bounded(translate, index)
        return translate(index)
