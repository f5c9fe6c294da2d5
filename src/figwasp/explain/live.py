"""Floor 6: functions of a live instance: which compiler's code each has now, and that code as it stands in memory.

In: an instance. Out: a `Standing` for a function. Code belongs to the module and is shared by its instances. What is told of it was
so at one moment, and may be different at the next if the program goes on running.
"""

from __future__ import annotations

from typing import Final

from figwasp.explain.functions import identifier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from figwasp.api.instance import Instance
    from figwasp.runtime.code.compile import CompiledModule

NONE: Final = "none"
BASELINE: Final = "baseline"
OPTIMIZED: Final = "optimized"
_WORDS: Final = {NONE: "not compiled yet", BASELINE: "baseline code", OPTIMIZED: "optimised code"}


class Standing:
    """What there was of a function's code at a moment.

    Attributes:
        index: of the function.
        name: as the text format writes it, `$name`, or "".
        tier: "none" if it has not been compiled yet, "baseline" or "optimized".
        left: of baseline code, how many more times it may be called or a loop in it may go round before it is compiled again;
            None if that is not counted.
        address: where the code begins that calls come to; 0 if there is none.
        size: bytes of that.
        has_listener: whether that is a wrapper around the function's code, which tells a listener of calls.
    """

    __slots__ = ("address", "has_listener", "index", "left", "name", "size", "tier")

    def __init__(self, code: CompiledModule, index: int) -> None:
        """Look at a defined function."""
        from figwasp.runtime.code.tiers import BaselineRange  # there, since there is code

        self.index = index
        self.name = identifier(code.module, index)
        self.tier = NONE
        self.left: int | None = None
        self.address = code.compiled.get(index, 0)
        self.size = 0
        self.has_listener = False
        placed = code.native.table.find(self.address)
        if placed is None:
            return
        self.size = placed.end - placed.start
        self.tier = OPTIMIZED
        self.has_listener = placed.source_map is None
        if isinstance(placed, BaselineRange):
            self.tier = BASELINE
            self.left = code.left(index)

    def read(self) -> bytes:
        """Return the code, which its module has to keep meanwhile."""
        from figwasp.runtime.platform import linux

        return linux.read(self.address, self.size)

    @property
    def words(self) -> str:
        """What there was, in words."""
        told = _WORDS[self.tier]
        if self.address:
            told += f" at {self.address:#x}"
        if self.left is not None:
            told += f", compiled again after {self.left} more calls and rounds of loops"
        return told + (", a wrapper around it that tells a listener" if self.has_listener else "")

    def __str__(self) -> str:
        left = "" if self.left is None else self.left
        return f"{self.index:>6}  {self.tier:<9}  {left:>10}  {self.name}".rstrip()


def tiers(instance: Instance) -> list[Standing]:
    """List the functions that the module of an instance defines, each with the tier that it is in now.

    Raises:
        Closed: the instance has been closed.
    """
    code = instance._state.code
    return [Standing(code, index) for index in range(code.module.num_imported_funcs, len(code.module.func_types))]
