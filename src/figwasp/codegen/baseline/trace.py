"""Floor 3: which of the bytes of a function of the baseline compiler come from which instructions, for whoever looks at them.

In: what the compiler begins with, and a function. Out: a `Trace`. The walk is the compiler's own, one token at a time, so that it
is known which pieces of code each has made.
"""

from __future__ import annotations

from figwasp.codegen.baseline.body import Body
from figwasp.codegen.baseline.ending import Ending

TYPE_CHECKING = False
if TYPE_CHECKING:
    from figwasp.codegen.baseline.pieces import Pieces
    from figwasp.wasm.valid.state import FuncFacts

__all__ = ["Trace"]


class _Walk(Body):
    """A walk that notes where the pieces of each token begin.

    Attributes:
        begun: their numbers.
    """

    __slots__ = ("begun",)

    def __init__(self, pieces: Pieces, index: int, facts: FuncFacts, counted: bool) -> None:
        self.begun: list[int] = []
        super().__init__(pieces, index, facts, counted)

    def _walk(self, tokens: list[tuple[bytes, bytes]]) -> None:
        for token in tokens:
            self.begun.append(len(self.out))
            super()._walk([token])

    def _apart(self, data: bytes, pos: int) -> int:
        self.begun.append(len(self.out))
        return super()._apart(data, pos)


class Trace:
    """What each part of a function's code is for. What comes before the first run makes the frame.

    Attributes:
        notes: where it traps and calls.
        runs: (offset in the code, byte offset of the first instruction, byte offset behind the last) of each run with what
            transfers control behind it, in order. Some have no code. The last is the function's end.
        sites: (offset in the code, byte offset of the instruction) of each call out of line, which follow the end.
    """

    __slots__ = ("notes", "runs", "sites")

    def __init__(self, pieces: Pieces, index: int, facts: FuncFacts, counted: bool) -> None:
        """Compile a function once more, of pieces that note where they trap and call; arguments as for `compiler.Baseline`.

        Raises:
            NoTemplate: there are none for all of it.
        """
        walk = _Walk(pieces, index, facts, counted)
        ending = Ending(walk)
        self.notes = ending.notes()
        size = len(pieces.machine.CALL)
        self.sites = [(at - size, pos) for at, pos in self.notes.positions if at > ending.out_of_line]
        self.runs: list[tuple[int, int, int]] = []
        pos = walk.begin
        for offset, (run, control) in zip(ending.offsets(walk.begun), walk.cut, strict=True):
            end = pos + len(run) + len(control)
            if end > pos:
                self.runs.append((offset, pos, end))
            pos = end
