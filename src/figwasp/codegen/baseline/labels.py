"""Floor 3: what stands around an instruction of baseline code: labels, and what calls catch; and what a clause brings.

In: block types and clauses. Out: labels and scopes, which `body` fills in, and the first code of a clause.

Theory of operation of exceptions. It is that of `ir.build.exceptions`: a covered call leads to the landing pad of the innermost
`try_table` around it, and that one hands on what is not its own to the next. Locals and operands are in their places at every call.
At the pad no register holds anything: it sets up the frame pointer and the instance, and gives the caller's registers back, which
the function itself does not touch, but what has thrown may have.
"""

from __future__ import annotations

from figwasp.codegen.baseline.template import NoTemplate
from figwasp.codegen.mach import NONE
from figwasp.ir.layouts import field_offsets
from figwasp.ir.types import CELL, SIZES, V128, ir_types
from figwasp.layout import ANY_TAG, EXCEPTION_FIELDS
from figwasp.wasm.binary.leb128 import unsigned
from figwasp.wasm.syntax.immediates import CATCH, CATCH_ALL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from figwasp.codegen.baseline.pieces import Pieces, State
    from figwasp.layout import InstanceLayout

    Clause = tuple[int, int, "Label"]
    """CATCH or its like, the tag, the label."""

__all__ = ["Label", "Scope", "brought", "read_clauses"]

class Label:
    """A label.

    Attributes:
        height: operands below those that it begins with.
        arity: operands that a branch to it carries.
        begin, after: the states where it begins, and behind its end.
        loop: whether it is that of a loop.
        place: number of the piece that it stands in front of.
        branches: numbers of the pieces behind the branches to it.
        otherwise: of an `if` without an `else` so far, the piece behind its branch; else NONE.
        scope: of a `try_table`, what it catches; else None.
    """

    __slots__ = ("after", "arity", "begin", "branches", "height", "loop", "otherwise", "place", "scope")

    def __init__(self, height: int, arity: int, begin: State, after: State, loop: bool = False) -> None:
        self.height = height
        self.arity = arity
        self.begin = begin
        self.after = after
        self.loop = loop
        self.place = NONE
        self.branches: list[int] = []
        self.otherwise = NONE
        self.scope: Scope | None = None


class Scope:
    """What is caught between a `try_table` and its end.

    Attributes:
        around: that around it, or None. outer: the same if anything gets so far.
        clauses: its own, as far as they can be reached.
        caught: what they catch, as in `Code.handlers`.
        count: how many there are with those of the scopes around it.
        calls: (piece, offset in it) of the return address of each call that it is the innermost around.
        jumps: numbers of the pieces behind jumps to its landing pad.
        pad: number of the piece that begins it.
    """

    __slots__ = ("around", "calls", "caught", "clauses", "count", "jumps", "outer", "pad")

    def __init__(
        self, around: Scope | None, clauses: list[tuple[int, int, int]], labels: list[Label], layout: InstanceLayout
    ) -> None:
        """Begin the scope of clauses, of which there are some, with the labels around the `try_table`."""
        caught = [ANY_TAG if kind >= CATCH_ALL else layout.tag(tag) for kind, tag, _ in clauses]
        if ANY_TAG in caught:
            caught = caught[: caught.index(ANY_TAG) + 1]
        self.around = around
        self.outer = None if ANY_TAG in caught else around
        self.clauses: list[Clause] = [(kind, tag, labels[~depth]) for kind, tag, depth in clauses[: len(caught)]]
        self.caught = caught
        self.count: int = len(caught) + (self.outer.count if self.outer is not None else 0)
        self.calls: list[tuple[int, int]] = []
        self.jumps: list[int] = []
        self.pad = 0

    def catches(self) -> list[int]:
        """Return what is caught, in order, by scopes around it as well."""
        found: list[int] = []
        scope: Scope | None = self
        while scope is not None:
            found += scope.caught
            scope = scope.outer
        return found


def read_clauses(data: bytes, pos: int) -> tuple[list[tuple[int, int, int]], int]:
    """Read the clauses of a `try_table`; return (CATCH or its like, tag, depth of the label) of each, and where they end."""
    count, pos = unsigned(data, pos, 32)
    clauses = []
    for _ in range(count):
        kind = data[pos]
        pos += 1
        tag = 0
        if kind < CATCH_ALL:
            tag, pos = unsigned(data, pos, 32)
        depth, pos = unsigned(data, pos, 32)
        clauses.append((kind, tag, depth))
    return clauses, pos


def brought(pieces: Pieces, kind: int, tag: int, height: int) -> tuple[bytes, int]:
    """Return what takes the exception, and puts what a clause brings above so many operands; and how many there are then.

    Raises:
        NoTemplate: it brings vectors.
    """
    machine = pieces.machine
    code = [machine.TAKE_EXCEPTION]
    if kind < CATCH_ALL:
        params = pieces.module.signature(pieces.module.tags[tag]).params
        types = ir_types(params)
        if V128 in types:
            raise NoTemplate("vectors")
        offsets, _ = field_offsets(params, EXCEPTION_FIELDS)
        for type, offset in zip(types, offsets):
            code.append(machine.load_carried(offset, SIZES[type]))
            code.append(machine.STORE_SLOT[machine.CARRIED].at(CELL * height))
            height += 1
    if kind != CATCH and kind != CATCH_ALL:
        code.append(machine.STORE_SLOT[machine.THROUGH].at(CELL * height))
        height += 1
    return b"".join(code), height
