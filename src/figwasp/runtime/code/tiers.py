"""Floor 4: tiers: which code a function gets first, and when it gets better code.

In: a module. Out: baseline code of its functions, where the program is not to wait for the optimising compiler; and what happens
when such code turns out to be hot.

Theory of operation. Baseline code of a function counts down, in a word of the module's region, whenever it is called and
whenever a loop in it goes round. When that is used up it calls out of line, and comes to `TierUp`: the function is compiled by
the optimising line, and its cell and its FuncRefs change over. The activation that has found this out goes on in the old code,
but at the head of a loop it can be left for a *continuation*: optimised code of the same function that begins there
(`stubs.ticks.hot`, `ir.build.frames.continuation`).
"""

from __future__ import annotations

from binascii import crc32
from functools import partial

from figwasp.ir.layouts import layout_of
from figwasp.runtime.code.ranges import CodeRange
from figwasp.runtime.code.sources import has_compiler, importing_compiler
from figwasp.runtime.stubs.interface import SIZE_SHIFT
from figwasp.runtime.trap import window

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final, Protocol

    from figwasp.codegen.baseline.compiler import Baseline
    from figwasp.codegen.baseline.ending import Notes
    from figwasp.codegen.code import Code
    from figwasp.runtime.code.ranges import CodeTable
    from figwasp.runtime.config import Config
    from figwasp.wasm.debug.source import SourceMap
    from figwasp.wasm.syntax.module import Module
    from figwasp.wasm.valid.module import FactsOf

    class Improving(Protocol):
        """The code of a module, of which some may become better."""

        def improve(self, index: int) -> bool:
            """Compile a function once more, by the optimising line, if that can be done."""

        def continuation(self, index: int, loop: int, first: int) -> int:
            """Return the address of what goes on at a loop in the place of baseline code, or 0."""

__all__ = ["NEVER", "BaselineRange", "BaselineTier", "TierUp"]

_HOT: Final = 2_000
_HOT_PER_BYTE: Final = 100
"""Calls and rounds of loops after which a function is compiled again: more for a large one, which takes longer."""
_IMPORT: Final = 30_000
"""Calls and rounds of hot functions, all together, before the optimising compiler is imported: that takes 25 ms."""
_STRESS: Final = 20
"""The same for tests, at most; it differs from function to function."""
_LONG: Final = 10_000
"""Bytes of a body that takes long."""
NEVER: Final = (1 << 31) - 1
"""As such a number: about as long as a program runs."""


class BaselineTier:
    """The baseline compiler of a module, which is imported when it is needed."""

    __slots__ = ("_config", "_facts", "_heat", "_made", "_module")

    def __init__(self, module: Module, facts: FactsOf, config: Config) -> None:
        self._heat = 0
        self._module = module
        self._facts = facts
        self._config = config
        self._made: Baseline | None = None

    def _compiler(self) -> Baseline:
        if self._made is None:
            with importing_compiler():
                from figwasp.codegen.baseline.compiler import Baseline

            config = self._config
            self._made = Baseline(
                self._module, layout_of(self._module), config.mode, metered=config.metered, counted=config.counted
            )
        return self._made

    def take(self, index: int) -> Code | None:
        """Return the baseline code of a function, or None if it has something that is left to the other compiler.

        Raises:
            Invalid, Malformed, LimitExceeded: the function's body is, whose validation was left for now.
            Interrupted, Timeout: the running calls had to end before the code was made.
        """
        take = self._compiler().take
        facts = self._facts(index)
        body = self._module.body(index)
        return window.bounded(partial(take, index), facts) if body.end - body.start > _LONG else take(index, facts)

    def note(self, index: int) -> Notes:
        """Return what there is to know of a function's baseline code."""
        return self._compiler().note(index, self._facts(index))

    def patience(self, index: int) -> int:
        """Return how often baseline code of a function may run before that is compiled again."""
        body = self._module.body(index)
        if self._config.tier == "stress":
            return crc32(self._module.data[body.start : body.end]) % _STRESS
        return min(_HOT + _HOT_PER_BYTE * (body.end - body.start), NEVER)


    def is_time(self, index: int) -> bool:
        """Return whether the optimising compiler is to be had for a function that is hot; otherwise it has to become so again."""
        if has_compiler() or self._config.tier == "stress":
            return True
        self._heat += self.patience(index)
        return self._heat >= _IMPORT


class BaselineRange(CodeRange):
    """An installed function of the baseline tier.

    Attributes:
        first_local: number of the cell of its frame that holds local 0.
        compiled: returns its module's code, or None when that has gone: then nothing is compiled any more.
    """

    __slots__ = ("_loops", "_noted", "_tier", "compiled", "first_local")

    def __init__(
        self,
        start: int,
        size: int,
        code: Code,
        source_map: SourceMap | None,
        tier: BaselineTier,
        compiled: Callable[[], Improving | None],
    ) -> None:
        super().__init__(start, size, code, source_map)
        self._tier = tier
        self._noted = False
        self._loops: dict[int, int] = {}
        self.first_local = code.tier - 1
        self.compiled = compiled

    def _note(self) -> None:
        if not self._noted:
            notes = self._tier.note(self.index)
            self._traps, self._positions, self._loops = dict(notes.traps), notes.positions, dict(notes.loops)
            self._noted = True

    def loop_at(self, pc: int) -> int | None:
        """Return the byte offset of the loop that has called out of line because it is hot; None at another return address."""
        self._note()
        return self._loops.get(pc - self.start)

    def trap_at(self, pc: int) -> int | None:
        """Return the trap code of a site, or None."""
        self._note()
        return super().trap_at(pc)

    def position(self, pc: int) -> int:
        """Return the byte offset of the wasm instruction at a pc."""
        self._note()
        return super().position(pc)


class TierUp:
    """What happens when baseline code has run often."""

    __slots__ = ("_table",)

    def __init__(self, table: CodeTable) -> None:
        self._table = table

    def hot(self, pc: int) -> int:
        """Have a better code made of the function whose baseline code has called.

        Args:
            pc: the return address of the call. The context may not be asked here: what comes in between may run wasm in it.

        Returns:
            Where to go on, and how many bytes the frame has that is left (`symbols.Callbacks.hot`); or 0: where it was.

        Raises:
            Interrupted, Timeout: the running calls have to end.
        """
        found = self._table.find(pc)
        if not isinstance(found, BaselineRange):
            return 0
        compiled = found.compiled()
        if compiled is None:
            return 0
        if not compiled.improve(found.index):
            return 0
        loop = found.loop_at(pc)
        if loop is None:
            return 0
        address = compiled.continuation(found.index, loop, found.first_local)
        return address and address | found.frame_size << SIZE_SHIFT
