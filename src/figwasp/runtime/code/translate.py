"""Floor 4: from a function of a module to its machine code: all the stages, without any effect."""

from __future__ import annotations

from figwasp.codegen import pipeline
from figwasp.ir.build.builder import build
from figwasp.ir.build.frames.continuation import Continuation
from figwasp.ir.layouts import layout_of
from figwasp.runtime.platform.processor import machine
from figwasp.wasm.valid.module import facts_when_asked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from figwasp.codegen.code import Code
    from figwasp.wasm.syntax.module import Module
    from figwasp.wasm.valid.module import FactsOf, FuncFacts

__all__ = ["Translator"]


class Translator:
    """The compiler of a module's functions, with all that their code depends on.

    Attributes:
        module: the decoded module.
        mode: how memory accesses are made safe: GUARD or CHECKED.
        metered: whether the code counts fuel.
        facts: returns the facts of a defined function, validating it if that has not been done.
    """

    __slots__ = ("_layout", "facts", "metered", "mode", "module")

    def __init__(self, module: Module, mode: int, metered: bool, facts: FactsOf | None = None) -> None:
        """Begin with a module, which is validated now if there are no facts, but for its functions.

        Raises:
            Invalid, Malformed, LimitExceeded: the module is.
        """
        self.module = module
        self.mode = mode
        self.metered = metered
        self.facts = facts or facts_when_asked(module)
        self._layout = layout_of(module)

    def translate(self, index: int) -> Code:
        """Validate a defined function, if that was left for now, and compile it.

        Raises:
            Invalid, Malformed, LimitExceeded: its body is.
            Unsupported: the function has an instruction that only validation knows.
        """
        return self.translate_checked(index, self.facts(index))

    def translate_checked(self, index: int, facts: FuncFacts) -> Code:
        """Compile a function whose facts are known.

        Raises:
            Unsupported, LimitExceeded: as for `translate`.
        """
        return pipeline.compile(build(self.module, index, facts, self._layout, self.mode, self.metered), machine())

    def continuation(self, index: int, loop: int, first: int) -> Code:
        """Compile a function once more, to be entered at a loop.

        Args:
            index: of the function.
            loop: offset of the loop's opcode.
            first: number of the cell of the frame with local 0 (`ir.build.frames.continuation`).

        Raises:
            LimitExceeded: as for `translate`.
        """
        facts = self.facts(index)
        entered = Continuation(loop, first)
        return pipeline.compile(build(self.module, index, facts, self._layout, self.mode, self.metered, entered), machine())

    def callees(self, index: int) -> list[int]:
        """Return the functions that a defined function calls directly, one for each call; none when all were validated at once.

        Raises:
            Invalid, Malformed, LimitExceeded: its body is.
        """
        return self.facts(index).callees
