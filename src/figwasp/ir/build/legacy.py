"""Exceptions as they were before WebAssembly 3.0: `try`, `catch`, `catch_all`, `rethrow`, `delegate`. Floor 2.

Theory of operation. They are lowered to what `build.exceptions` has. A `try` is a scope with the clauses that follow its body, of
which validation has told (`FuncFacts.clauses`); the landing pad stands where the first of them begins, and leads to all of them. A
`try` that delegates has the scope of the block that it delegates to. In a clause the exception is a value, for `rethrow`.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from figwasp.ir.build.base import Builder, Label, Method, Scope
from figwasp.ir.build.control import METHODS as CONTROL
from figwasp.ir.build.control import TRY, block_type, leave, unreachable_from
from figwasp.ir.build.env import LocalsSnapshot
from figwasp.ir.build.exceptions import carried, dispatch, land, take, throw
from figwasp.ir.func import Block, Value
from figwasp.layout import ANY_TAG
from figwasp.wasm.valid.state import DELEGATES

__all__ = ["METHODS"]


class Clauses:
    """The clauses of a `try` that is open.

    Attributes:
        scope: what they catch.
        blocks: where those begin that have not come yet, the last first; None before the first has come.
        state: the locals there.
        exception: what the clause in hand has caught.
    """

    __slots__ = ("blocks", "exception", "scope", "state")

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.blocks: list[Block] | None = None
        self.state: LocalsSnapshot | None = None
        self.exception: Value | None = None


def _build_try(b: Builder, pos: int) -> int:
    clauses = b.clauses.get(b.pos, [])
    params, results, pos = block_type(b, pos)
    label = Label(TRY, len(b.stack) - len(params), results, b.block, [])
    label.close = partial(_restore, b, b.scope)
    if clauses and clauses[0] <= DELEGATES:
        b.scope = _scope_of(b, DELEGATES - clauses[0])
    elif clauses:
        caught = tuple(ANY_TAG if tag < 0 else b.layout.tag(tag) for tag in clauses)
        b.scope = scope = Scope(b.scope, len(b.labels), caught)
        b.charge(len(scope.catches))
        label.clauses = Clauses(scope)
    b.labels.append(label)
    return pos


def _restore(b: Builder, scope: Scope | None) -> None:
    b.scope = scope


def _scope_of(b: Builder, depth: int) -> Scope | None:
    """Return what is caught in the block of a label."""
    scope = b.scope
    while scope is not None and scope.level > len(b.labels) - 1 - depth:
        scope = scope.outer
    return scope


def _build_catch(b: Builder, pos: int) -> int:
    tag, pos = b.unsigned(pos)
    return _begin(b, pos, tag)


def _build_catch_all(b: Builder, pos: int) -> int:
    return _begin(b, pos, -1)


def _begin(b: Builder, pos: int, tag: int) -> int:
    """End what comes before a clause, and go on in it."""
    label = b.labels[-1]
    clauses = label.clauses
    assert isinstance(clauses, Clauses)
    if b.live:
        leave(b, label)
    del b.stack[label.height :]
    if clauses.blocks is None:
        b.scope = clauses.scope.outer
        clauses.blocks = []
        if clauses.scope.edges:
            land(b, clauses.scope)
            clauses.blocks = dispatch(b, clauses.scope)[::-1]
            clauses.state = b.env.seal()
    if clauses.state is None:
        return unreachable_from(b, pos)
    b.env.go(clauses.state)
    b.start(clauses.blocks.pop())
    clauses.exception = take(b)
    if tag >= 0:
        b.stack += carried(b, clauses.exception, tag)
    b.open_run()
    return pos


def _build_rethrow(b: Builder, pos: int) -> int:
    depth, pos = b.unsigned(pos)
    clauses = b.labels[-1 - depth].clauses
    assert isinstance(clauses, Clauses)
    assert clauses.exception is not None
    return throw(b, pos, clauses.exception)


def _build_delegate(b: Builder, pos: int) -> int:
    return CONTROL["end"](b, b.unsigned(pos)[1])


METHODS: Final[dict[str, Method]] = {
    "try": _build_try,
    "catch": _build_catch,
    "catch_all": _build_catch_all,
    "rethrow": _build_rethrow,
    "delegate": _build_delegate,
}
