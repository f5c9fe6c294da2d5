"""Floor 3: exceptions in baseline code: what calls between a `try_table` and its end catch, and its landing pad.

In: the clauses of a `try_table`. Out: pieces of code at its end, and rows of `Code.handlers`.

Theory of operation. It is that of `ir.build.exceptions`: a covered call leads to the landing pad of the innermost `try_table` around
it, and that one hands on what is not its own to the next. Locals and operands are in their places at every call. At the pad no
register holds anything: it sets up the frame pointer and the instance, and gives the caller's registers back, which the function
itself does not touch, but what has thrown may have.
"""

from __future__ import annotations

from figwasp.codegen.baseline.template import NoTemplate
from figwasp.codegen.mach import NONE
from figwasp.ir.func import ANY
from figwasp.ir.layouts import field_offsets
from figwasp.ir.types import CELL, SIZES, V128, ir_types
from figwasp.layout import EXCEPTION_FIELDS
from figwasp.wasm.binary.leb128 import unsigned
from figwasp.wasm.syntax.immediates import CATCH, CATCH_ALL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from figwasp.codegen.baseline.body import Body, Label

    Clause = tuple[int, int, Label]
    """CATCH or its like, the tag, the label."""

__all__ = ["Scope", "land", "read_clauses"]

_MOST: Final = 1 << 14
"""Rows of `Code.handlers` in a function: more are left to a compiler that weighs what they cost."""


class Scope:
    """What is caught between a `try_table` and its end.

    Attributes:
        outer: that around it, or None.
        clauses: its own, as far as they can be reached.
        catches: what is caught, as in `Code.handlers`, by those around it as well.
        calls: (piece, offset in it) of the return address of each call that it is the innermost around.
        jumps: numbers of the pieces behind jumps to its landing pad.
        pad: number of the piece that begins it.
    """

    __slots__ = ("calls", "catches", "clauses", "jumps", "outer", "pad")

    def __init__(self, outer: Scope | None, clauses: list[Clause], caught: list[int]) -> None:
        if ANY in caught:
            caught = caught[: caught.index(ANY) + 1]
        elif outer is not None:
            caught = caught + outer.catches
            if len(caught) > _MOST:
                raise NoTemplate("so many clauses")
        self.outer = outer
        self.clauses = clauses[: len(caught)]
        self.catches = caught
        self.calls: list[tuple[int, int]] = []
        self.jumps: list[int] = []
        self.pad = 0

    @property
    def rows(self) -> int:
        """The number of rows of `Code.handlers` for it."""
        return len(self.calls) * len(self.catches)


def read_clauses(body: Body, pos: int) -> tuple[Scope | None, int]:
    """Read the clauses of a `try_table`, in front of which its label has not begun; return them, and where they end."""
    data = body.pieces.module.data
    count, pos = unsigned(data, pos, 32)
    clauses: list[Clause] = []
    for _ in range(count):
        kind = data[pos]
        pos += 1
        tag = 0
        if kind < CATCH_ALL:
            tag, pos = unsigned(data, pos, 32)
        depth, pos = unsigned(data, pos, 32)
        clauses.append((kind, tag, body.labels[~depth]))
    layout = body.pieces.layout
    caught = [ANY if kind >= CATCH_ALL else layout.tag(tag) for kind, tag, _ in clauses]
    return (Scope(body.scope, clauses, caught) if clauses else None), pos


def land(body: Body, scope: Scope, height: int) -> None:
    """Append the landing pad of a scope with so many operands below it.

    Raises:
        NoTemplate: what is caught carries vectors; or there are too many rows.
    """
    if sum(one.rows for one in body.scopes) + scope.rows > _MOST:
        raise NoTemplate("so many clauses")
    machine = body.pieces.machine
    out = body.out
    body.scopes.append(scope)
    scope.pad = len(out)
    body.otherwise += [(jump, scope.pad) for jump in scope.jumps]
    out.append(machine.LAND)
    body.landings.append(len(out))
    out.append(machine.give_back(len(body.locals)))
    others = len(scope.catches) > len(scope.clauses)
    for number, clause in enumerate(scope.clauses):
        behind = 0
        if others or number + 1 < len(scope.clauses):
            out.append(machine.unless_clause(number))
            behind = len(out)
        _catch(body, clause, height)
        if behind:
            body.otherwise.append((behind, len(out)))
    if others:
        assert scope.outer is not None
        out.append(machine.pass_on(len(scope.clauses)) + machine.JUMP)
        scope.outer.jumps.append(len(out))


def _catch(body: Body, clause: Clause, height: int) -> None:
    """Take what a clause brings, and branch to its label."""
    kind, tag, label = clause
    pieces = body.pieces
    machine = pieces.machine
    code = [machine.TAKE_EXCEPTION]
    depth = height
    if kind < CATCH_ALL:
        params = pieces.module.signature(pieces.module.tags[tag]).params
        types = ir_types(params)
        if V128 in types:
            raise NoTemplate("vectors")
        offsets, _ = field_offsets(params, EXCEPTION_FIELDS)
        for type, offset in zip(types, offsets):
            code.append(machine.load_carried(offset, SIZES[type]))
            code.append(machine.STORE_SLOT[machine.CARRIED].at(CELL * depth))
            depth += 1
    if kind != CATCH and kind != CATCH_ALL:
        code.append(machine.STORE_SLOT[machine.THROUGH].at(CELL * depth))
        depth += 1
    body.out.append(b"".join(code))
    body.use(depth)
    body.branch(pieces.state(depth, NONE), label)
