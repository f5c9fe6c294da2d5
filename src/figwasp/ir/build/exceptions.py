"""Exceptions (spec 4.4.8): `try_table`, `throw`, `throw_ref`. Floor 2.

Theory of operation. Every call between a `try_table` and its end becomes an `invoke`, with what the `try_table`s around it catch,
the innermost first. Its edge leads to the *landing pad* of the innermost, which is made at its end: a block with a parameter for
each local in which the edges differ. There the number of the clause is in the context. If it is a clause of this `try_table`, the
pad takes the exception out of the context, what it carries out of the exception, and branches to the clause's label; if not, it
goes to the landing pad of the next `try_table`, with the number that the clause has there.

An exception is an object of the heap: type, tag, then what it carries (`layouts`). Throwing is a call that does not return.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from figwasp import errors, layout
from figwasp.ir import builtins, ops
from figwasp.ir.build.base import Builder, Edge, Label, Method, Scope
from figwasp.ir.build.calls import call_in_scope
from figwasp.ir.build.control import TRY, block_type, branch, connect, leave, unreachable_from
from figwasp.ir.build.objects import cells
from figwasp.ir.func import Block, Call, Value
from figwasp.ir.layouts import field_offsets
from figwasp.ir.types import ir_types
from figwasp.layout import ANY_TAG
from figwasp.wasm.syntax.immediates import CATCH, CATCH_ALL

__all__ = ["METHODS", "carried", "dispatch", "land", "take", "throw"]

_EXCEPTION: Final = ops.memory_aux(layout.CTX_EXCEPTION, ops.REGION_NATIVE)
_CLAUSE: Final = ops.memory_aux(layout.CTX_CLAUSE, ops.REGION_NATIVE)
_THROW: Final = builtins.PARAMS[builtins.THROW]


def _build_try_table(b: Builder, pos: int) -> int:
    params, results, pos = block_type(b, pos)
    count, pos = b.unsigned(pos)
    clauses: list[tuple[int, int, Label]] = []
    for _ in range(count):
        kind = b.data[pos]
        tag = ANY_TAG
        pos += 1
        if kind < CATCH_ALL:
            tag, pos = b.unsigned(pos)
        depth, pos = b.unsigned(pos)
        clauses.append((kind, tag, b.labels[-1 - depth]))
    caught = tuple(ANY_TAG if kind >= CATCH_ALL else b.layout.tag(tag) for kind, tag, _ in clauses)
    label = Label(TRY, len(b.stack) - len(params), results, b.block, [])
    if caught:
        b.scope = scope = Scope(b.scope, len(b.labels), caught)
        b.charge(len(scope.catches))
        label.close = partial(_close, b, label, scope, clauses)
    b.labels.append(label)
    return pos


def _close(b: Builder, label: Label, scope: Scope, clauses: list[tuple[int, int, Label]]) -> None:
    """End a `try_table`: make its landing pad, if anything leads there."""
    b.scope = scope.outer
    if not scope.edges:
        return
    if b.live:
        leave(b, label)
    del b.stack[label.height :]
    land(b, scope)
    blocks = dispatch(b, scope)
    for block, (kind, tag, target) in zip(blocks, clauses):
        b.start(block)
        _catch(b, kind, tag, target)
    b.live = False


def land(b: Builder, scope: Scope) -> None:
    """Go on in the landing pad of a scope, a new block."""
    states = [edge.state for edge in scope.edges]
    ancestor, written = b.env.meeting(states)
    b.charge(len(states) * len(written))
    written, rows = b.env.join(states, ancestor, written)
    pad = Block(0, b.depth)
    for edge, row in zip(scope.edges, rows):
        connect(b, edge, pad, row)
    pad.id = len(b.func.blocks)
    b.func.blocks.append(pad)
    for index in written:
        b.env.set(index, b.func.new_param(pad, b.types[index]))
    b.start(pad)


def dispatch(b: Builder, scope: Scope) -> list[Block]:
    """Branch by the number of the clause; return the blocks of the scope's own. The others go to the next scope's landing pad."""
    context = b.emit(ops.CONTEXT, [])
    outer = scope.outer if len(scope.catches) > scope.own else None
    if scope.own == 1 and outer is None:
        return [b.block]
    number = b.emit(ops.I64_LOAD, [context], _CLAUSE)
    blocks = [b.func.new_block(b.depth) for _ in range(scope.own + (outer is not None))]
    b.emit(ops.BRTABLE, [b.emit(ops.I32_WRAP_I64, [number])])
    b.block.succs = blocks[:]
    b.block.args = [[] for _ in blocks]
    if outer is not None:
        b.start(blocks.pop())
        rest = b.emit(ops.I64_SUB, [number, b.const(ops.I64, scope.own)])
        b.emit(ops.I64_STORE, [rest, context], _CLAUSE)
        b.emit(ops.JUMP, [])
        outer.edges.append(Edge(b.block, [], [], b.env.seal()))
    return blocks


def take(b: Builder) -> Value:
    """Take the exception out of the context."""
    context = b.emit(ops.CONTEXT, [])
    exception = b.emit(ops.I64_LOAD, [context], _EXCEPTION)
    b.emit(ops.I64_STORE, [b.const(ops.I64, 0), context], _EXCEPTION)
    return exception


def carried(b: Builder, exception: Value, tag: int) -> list[Value]:
    """Return what an exception with a tag carries."""
    params = b.module.signature(b.module.tags[tag]).params
    offsets, _ = field_offsets(params, layout.EXCEPTION_FIELDS)
    loads = [ops.LOAD_OF[type] for type in ir_types(params)]
    return [b.emit(op, [exception], ops.memory_aux(at, ops.REGION_NATIVE)) for op, at in zip(loads, offsets)]


def _catch(b: Builder, kind: int, tag: int, target: Label) -> None:
    """Take what a clause brings, and branch to its label."""
    height = len(b.stack)
    exception = take(b)
    if kind < CATCH_ALL:
        b.stack += carried(b, exception, tag)
    if kind != CATCH and kind != CATCH_ALL:
        b.stack.append(exception)
    branch(b, target)
    del b.stack[height:]


def _build_throw(b: Builder, pos: int) -> int:
    tag, pos = b.unsigned(pos)
    return throw(b, pos, allocate(b, tag))


def allocate(b: Builder, tag: int) -> Value:
    """Append the making of an exception that carries the topmost operands."""
    index = b.module.tags[tag]
    params = b.module.signature(index).params
    offsets, size = field_offsets(params, layout.EXCEPTION_FIELDS)
    carried = b.pop(len(params))
    for type, value in zip(params, carried):
        cells.keep(b, type, value)
    exception = cells.new_cell(b, size)
    cells.header(b, exception, index)
    number = b.load_const(b.instance, b.layout.tag(tag))
    b.emit(ops.I64_STORE, [number, exception], ops.memory_aux(layout.EXCEPTION_TAG, ops.REGION_INITIAL))
    for type, value, offset in zip(params, carried, offsets):
        cells.store_first(b, type, value, exception, offset)
    return exception


def throw(b: Builder, pos: int, exception: Value) -> int:
    """Append the throwing of an exception."""
    b.close_run()
    call_in_scope(b, ops.CALL_BUILTIN, ops.VOID, [b.instance, exception], Call(_THROW, b"", builtins.THROW))
    b.emit(ops.UNWIND, [])
    return unreachable_from(b, pos)


def _build_throw_ref(b: Builder, pos: int) -> int:
    exception = b.stack.pop()
    b.trap_if(b.emit(ops.I64_EQZ, [exception]), errors.TRAP_NULL_EXCEPTION)
    return throw(b, pos, exception)

METHODS: Final[dict[str, Method]] = {
    "try_table": _build_try_table,
    "throw": _build_throw,
    "throw_ref": _build_throw_ref,
}
