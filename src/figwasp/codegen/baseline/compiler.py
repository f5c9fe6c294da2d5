"""Floor 3: the baseline compiler: from the bytes of a validated body to `Code`, in one pass.

Theory of operation. Every operand and every local has a place in the frame, a cell of 8 bytes. A body is cut into tokens; of a
run of instructions the code is looked up, by its bytes, in a dict, of which there is one for each number of operands on the
stack: so it is the same wherever that run occurs, and made once, of templates. The topmost operand may be in the register of
its class, of which the dicts know as well; where control arrives from elsewhere it is in its place. Nothing else is in
registers from one token to the next.

Templates are cut from what the optimising line makes of a few instructions (`cut`), and stand in a table of the machine's.
"""

from __future__ import annotations

from figwasp.codegen.baseline.body import Body
from figwasp.codegen.baseline.ending import finish, notes
from figwasp.codegen.baseline.pieces import Pieces
from figwasp.codegen.baseline.template import NoTemplate
from figwasp.lazy import importing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from figwasp.codegen.baseline.ending import Notes
    from figwasp.codegen.baseline.trace import Trace
    from figwasp.codegen.code import Code
    from figwasp.layout import InstanceLayout
    from figwasp.wasm.syntax.module import Module
    from figwasp.wasm.valid.state import FuncFacts

__all__ = ["Baseline"]

_MOST: Final = 1 << 16
"""Pieces that are kept from one function to the next: those of a large program."""


class Baseline:
    """The baseline compiler of a module's functions."""

    __slots__ = ("_arguments", "_counted", "_pieces")

    def __init__(
        self, module: Module, layout: InstanceLayout, mode: int, *, metered: bool, counted: bool
    ) -> None:
        """Begin with a module that has been validated, but for its bodies.

        Args:
            module: the module.
            layout: where things lie in the instance block.
            mode: GUARD or CHECKED memory.
            metered: whether the code counts fuel, as `ir.build.control` says.
            counted: whether functions count how often they are called and how often their loops go round.
        """
        self._counted = counted
        self._arguments = (module, layout, mode, metered)
        try:
            self._pieces: Pieces | None = Pieces(*self._arguments, noting=False)
        except NoTemplate:
            self._pieces = None

    def take(self, index: int, facts: FuncFacts) -> Code | None:
        """Compile a defined function; return None if there are no templates for all of it."""
        pieces = self._pieces
        if pieces is None:
            return None
        if pieces.count > _MOST:
            pieces.forget()
        try:
            return finish(Body(pieces, index, facts, self._counted))
        except NoTemplate:
            return None

    def note(self, index: int, facts: FuncFacts) -> Notes:
        """Compile a function once more, and return what there is to know of its code.

        Raises:
            NoTemplate: there are none for all of it, so that there is no code.
        """
        pieces = Pieces(*self._arguments, noting=True)
        return notes(Body(pieces, index, facts, self._counted))

    def trace(self, index: int, facts: FuncFacts) -> Trace:
        """Compile a function once more, and return which of its code comes from which instructions.

        Raises:
            NoTemplate: there are none for all of it, so that there is no code.
        """
        with importing:
            from figwasp.codegen.baseline.trace import Trace  # programs do without

        return Trace(Pieces(*self._arguments, noting=True), index, facts, self._counted)
