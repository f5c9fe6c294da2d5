"""Floor 4: sources of compiled code: an ordered list, of which the first that has a function's code returns it."""

from __future__ import annotations

from figwasp.runtime.trap import window

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, Protocol

    from figwasp.codegen.code import Code
    from figwasp.runtime.code.translate import Translator

    class CodeSource(Protocol):
        """A source that may have the code of a module's functions."""

        def take(self, index: int) -> Code | None:
            """Return the code of a defined function that is called for the first time, or None."""

__all__ = ["Now", "CodeSource"]

_LONG_BODY: Final = 1000  # bytes, of which each is a good 5 us


class Now:
    """The compiler in this thread, which has the code of every function; but not when the running calls have to end."""

    __slots__ = ("_translator",)

    def __init__(self, translator: Translator) -> None:
        self._translator = translator

    def take(self, index: int) -> Code:
        """Compile a defined function.

        Raises:
            Invalid, Malformed, LimitExceeded: the function's body is, whose validation was left for now.
            Interrupted, Timeout: the running calls had to end before the code was made.
        """
        translate = self._translator.translate
        body = self._translator.module.body(index)
        if body.end - body.start > _LONG_BODY:
            return window.bounded(translate, index)
        return translate(index)
