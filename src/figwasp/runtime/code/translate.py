"""Floor 4: from a function of a module to its machine code: the whole line of stages, without any effect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from figwasp.codegen import pipeline
from figwasp.codegen.isa import host
from figwasp.ir.build.builder import build, layout_of
from figwasp.wasm.valid.module import validate_func

if TYPE_CHECKING:
    from figwasp.codegen.code import Code
    from figwasp.wasm.syntax.module import Module
    from figwasp.wasm.valid.module import FuncFacts

__all__ = ["Translator"]


class Translator:
    """What the code of a module's functions depends on.

    Attributes:
        module: the decoded module.
        mode: how memory accesses are made safe: GUARD or CHECKED.
        metered: whether the code counts fuel.
        facts: what validation has found out about its defined functions; None when they are validated as they are translated.
        layout: where things stand in its instances' blocks.
    """

    __slots__ = ("facts", "layout", "metered", "mode", "module")

    def __init__(self, module: Module, mode: int, metered: bool, facts: list[FuncFacts] | None = None) -> None:
        self.module = module
        self.mode = mode
        self.metered = metered
        self.facts = facts
        self.layout = layout_of(module)

    def translate(self, index: int) -> Code:
        """Validate a defined function, if that was left for now, and compile it.

        Raises:
            Invalid, Malformed, LimitExceeded: its body is.
            Unsupported: it has an instruction that only validation knows.
        """
        facts = self._facts_of(index)
        return pipeline.compile(build(self.module, index, facts, self.layout, self.mode, self.metered), host())

    def callees(self, index: int) -> list[int]:
        """Return which functions a defined function calls directly, one for each call; none when all were validated at once.

        Raises:
            Invalid, Malformed, LimitExceeded: its body is.
        """
        return self._facts_of(index).callees

    def _facts_of(self, index: int) -> FuncFacts:
        if self.facts is None:
            return validate_func(self.module, index)
        return self.facts[index - self.module.num_imported_funcs]
