"""Control flow: blocks, branches, joins (spec 4.4.8). Floor 2.

A branch to the end of a block is an `Edge` until that end is reached; then the edges are joined in a new block, with a
parameter for every result and every local in which they differ. When nothing branches there, the walk simply goes on in the
block it is in. A loop's header is made at once, with a parameter for every local that is written in the loop.

Only a `jump` carries block arguments: a conditional branch that needs some gets a block of its own on the way. The walk
never sees unreachable code: a method that ends the block skips to the `else` or `end` from which things go on.

Metered code pays by the run: what is executed one after the other, from where control comes in up to where it goes elsewhere or
a call, is paid for at its start. Every instruction costs 1, but `block`, `loop`, `else`, `end`, `nop`, and those like them of
exceptions, cost nothing; the branch that repeats a loop and the call that recurs always pay. What is paid follows from the body
alone, so no optimisation changes it.
"""

from __future__ import annotations

from typing import Final

from figwasp import errors
from figwasp.ir import ops
from figwasp.ir.build.base import Builder, Edge, Label, Method
from figwasp.ir.func import Block, Value
from figwasp.ir.types import ir_types
from figwasp.wasm.binary.immediates import SKIPPERS, Skipper
from figwasp.wasm.binary.types import read_value_type
from figwasp.wasm.syntax.opcodes import BY_CODE, BY_NAME, SINGLE, pack
from figwasp.wasm.syntax.types import EMPTY

__all__ = [
    "BLOCK",
    "METHODS",
    "TRY",
    "block_type",
    "branch",
    "branch_where",
    "connect",
    "join",
    "leave",
    "open_body",
    "unreachable_from",
]

FUNC: Final = 0
BLOCK: Final = 1
LOOP: Final = 2
IF: Final = 3
TRY: Final = 4

_JUMP: Final[list[int]] = []
_THEN: Final = [0]
_ELSE: Final = [1]

_OPENS: Final = frozenset(BY_NAME[name].code for name in ("block", "loop", "if", "try_table", "try"))
_DIVIDES: Final = frozenset(BY_NAME[name].code for name in ("else", "catch", "catch_all"))
_ENDS: Final = frozenset(BY_NAME[name].code for name in ("end", "delegate"))
_SKIP: Final[list[Skipper | None]] = [SKIPPERS[row.immediates] if row else None for row in SINGLE]


def open_body(b: Builder, results: bytes) -> None:
    """Push the label of the function body."""
    b.labels.append(Label(FUNC, 0, results, b.block, []))
    b.open_run()


def block_type(b: Builder, pos: int) -> tuple[bytes, bytes, int]:
    """Read a block type; return the IR types of its parameters and results, and the position after it."""
    byte = b.data[pos]
    if byte == EMPTY:
        return b"", b"", pos + 1
    if EMPTY < byte < 0x80:
        code, pos = read_value_type(b.data, pos)
        return b"", ir_types((code,)), pos
    index, pos = b.unsigned(pos)
    type = b.module.signature(index)
    return ir_types(type.params), ir_types(type.results), pos


def _build_block(b: Builder, pos: int) -> int:
    params, results, pos = block_type(b, pos)
    continuation = b.continuation
    if continuation is not None:
        continuation.before(b)
    b.labels.append(Label(BLOCK, len(b.stack) - len(params), results, b.block, []))
    if continuation is not None:
        continuation.inside(b, b.pos, continuation.BLOCK)
    return pos


def _build_if(b: Builder, pos: int) -> int:
    params, results, pos = block_type(b, pos)
    continuation = b.continuation
    if continuation is not None:
        continuation.before(b)
    condition = b.stack.pop()
    label = Label(IF, len(b.stack) - len(params), results, b.block, [])
    b.charge(len(params))
    label.start = b.pos
    label.otherwise = Edge(b.block, _ELSE, b.peek(len(params)), b.env.seal())
    b.labels.append(label)
    _branch_if(b, condition)
    b.block.succs[0] = then = b.func.new_block(b.depth)
    b.start(then)
    if continuation is not None:
        continuation.inside(b, b.pos, continuation.THEN)
    b.open_run()
    return pos


def _branch_if(b: Builder, condition: Value) -> None:
    """End the block with a conditional branch whose targets are filled in later."""
    b.close_run()
    b.emit(ops.BRIF, [condition])
    b.block.succs = [b.block, b.block]
    b.block.args = [[], []]


def _build_else(b: Builder, pos: int) -> int:
    label = b.labels[-1]
    if b.live:
        leave(b, label)
    edge = label.otherwise
    assert edge is not None
    label.otherwise = None
    target = b.func.new_block(b.depth)
    edge.block.succs[1] = target
    b.env.go(edge.state)
    b.stack[label.height :] = edge.args
    b.start(target)
    if b.continuation is not None:
        b.continuation.inside(b, label.start, b.continuation.ELSE)
    b.open_run()
    return pos


def leave(b: Builder, label: Label) -> None:
    """Jump to the end of a block."""
    b.close_run()
    b.emit(ops.JUMP, [])
    b.charge(len(label.types))
    label.edges.append(Edge(b.block, _JUMP, b.peek(len(label.types)), b.env.seal()))


def _build_loop(b: Builder, pos: int) -> int:
    params, _, pos = block_type(b, pos)
    continuation = b.continuation
    if continuation is not None:
        continuation.before(b)
    before = b.block
    b.close_run()
    b.emit(ops.JUMP, [])
    b.depth += 1
    header = b.func.new_block(b.depth)
    header.loop = True
    args = b.pop(len(params))
    label = Label(LOOP, len(b.stack), params, header, [])
    if not b.spilled:
        label.locals = _bits(b.written[b.pos])
    b.charge(2 * (len(params) + len(label.locals)))
    for type in params:
        b.stack.append(b.func.new_param(header, type))
    for index in label.locals:
        args.append(b.env.values[index])
        b.env.set(index, b.func.new_param(header, b.types[index]))
    before.succs = [header]
    before.args = [args]
    b.labels.append(label)
    b.start(header)
    b.emit(ops.POLL, [])
    if continuation is not None:
        continuation.inside(b, b.pos, continuation.LOOP)
    b.open_run()
    return pos


def _bits(mask: int) -> list[int]:
    """Return the positions of the ones in a number, ascending."""
    digits = bin(mask)[:1:-1]
    found: list[int] = []
    at = digits.find("1")
    while at >= 0:
        found.append(at)
        at = digits.find("1", at + 1)
    return found


def _build_end(b: Builder, pos: int) -> int:
    label = b.labels.pop()
    if label.close is not None:
        label.close()
    if label.kind == LOOP:
        b.depth -= 1
        if not label.repeats:
            label.header.loop = False
            del label.header.code[0]
    elif label.kind == FUNC:
        if b.live:
            b.close_run()
            b.emit(ops.RETURN, b.peek(len(label.types)))
    elif label.edges or label.otherwise or not b.live:
        if b.live:
            leave(b, label)
        if label.otherwise:
            label.edges.append(label.otherwise)
        del b.stack[label.height :]
        b.live = False
        if label.edges:
            join(b, label)
    return pos if b.live or not b.labels else _skip_unreachable(b, pos)


def join(b: Builder, label: Label) -> None:
    """Make the block at the end of a label and go on there."""
    edges = label.edges
    results = edges[0].args
    columns = [
        number for number, result in enumerate(results) if any(edge.args[number] is not result for edge in edges)
    ]
    states = [edge.state for edge in edges]
    ancestor, written = b.env.meeting(states)
    b.charge(len(edges) * len(written))
    written, rows = b.env.join(states, ancestor, written)
    target = Block(0, b.depth)
    for edge, row in zip(edges, rows):
        connect(b, edge, target, [edge.args[number] for number in columns] + row)
    target.id = len(b.func.blocks)
    b.func.blocks.append(target)
    b.stack += results
    for number in columns:
        b.stack[label.height + number] = b.func.new_param(target, label.types[number])
    for index in written:
        b.env.set(index, b.func.new_param(target, b.types[index]))
    b.start(target)
    b.open_run()


def connect(b: Builder, edge: Edge, target: Block, args: list[Value]) -> None:
    """Give an edge its target."""
    block = edge.block
    if not edge.slots:
        block.succs = [target]
        block.args = [args]
        return
    if args:
        target = _edge_block(b, target, args)
    for slot in edge.slots:
        block.succs[slot] = target


def _edge_block(b: Builder, target: Block, args: list[Value]) -> Block:
    """Make a block that only jumps."""
    middle = b.func.new_block(b.depth)
    middle.code.append(b.func.new_value(ops.JUMP, ops.VOID, [], 0, b.pos))
    middle.succs = [target]
    middle.args = [args]
    return middle


def _skip_unreachable(b: Builder, pos: int) -> int:
    """Return the position of the `else`, `catch` or `end` that belongs to the innermost open block."""
    data = b.data
    nested = 0
    while True:
        opcode = data[pos]
        if opcode in _ENDS:
            if nested == 0:
                return pos
            nested -= 1
        elif opcode in _DIVIDES:
            if nested == 0:
                return pos
        elif opcode in _OPENS:
            nested += 1
        skip = _SKIP[opcode]
        if skip is not None:
            pos = skip(data, pos + 1)
        else:
            sub, pos = b.unsigned(pos + 1)
            pos = SKIPPERS[BY_CODE[pack(opcode, sub)].immediates](data, pos)


def unreachable_from(b: Builder, pos: int) -> int:
    """Note that the block has ended; skip what cannot be reached."""
    b.live = False
    return _skip_unreachable(b, pos)


def _loop_args(b: Builder, label: Label) -> list[Value]:
    """Return the arguments of a back edge."""
    label.repeats = True
    values = b.env.values
    args = b.peek(len(label.types))
    for index in label.locals:
        args.append(values[index])
    b.charge(len(args))
    return args


def _return_block(b: Builder, args: list[Value]) -> Block:
    """Make a block that returns; it is seldom the likely way, so it comes last in the layout."""
    block = Block(0)
    b.tail.append(block)
    block.code.append(b.func.new_value(ops.RETURN, ops.VOID, args, 0, b.pos))
    return block


def _build_br(b: Builder, pos: int) -> int:
    depth, pos = b.unsigned(pos)
    branch(b, b.labels[-1 - depth])
    return unreachable_from(b, pos)


def branch(b: Builder, label: Label) -> None:
    """End the block with a branch to a label."""
    b.close_run()
    if label.kind == FUNC:
        b.emit(ops.RETURN, b.peek(len(label.types)))
    elif label.kind == LOOP:
        b.emit(ops.JUMP, [])
        b.block.succs = [label.header]
        b.block.args = [_loop_args(b, label)]
    else:
        leave(b, label)


def _branch(b: Builder, block: Block, slots: list[int], label: Label) -> None:
    """Give some successors of a conditional branch that ends `block` their target."""
    if label.kind == LOOP:
        connect(b, Edge(block, slots, [], b.env.state), label.header, _loop_args(b, label))
        return
    args = b.peek(len(label.types))
    b.charge(len(args))
    edge = Edge(block, slots, args, b.env.seal())
    if label.kind == FUNC:
        connect(b, edge, _return_block(b, args), [])
    else:
        label.edges.append(edge)


def branch_where(b: Builder, condition: Value, depth: int) -> None:
    """Branch to a label on a condition, with what is on the stack now; go on otherwise."""
    _branch_if(b, condition)
    block = b.block
    _branch(b, block, _THEN, b.labels[-1 - depth])
    block.succs[1] = b.func.new_block(b.depth)
    b.start(block.succs[1])
    b.open_run()


def _build_br_if(b: Builder, pos: int) -> int:
    depth, pos = b.unsigned(pos)
    branch_where(b, b.stack.pop(), depth)
    return pos


def _build_br_table(b: Builder, pos: int) -> int:
    count, pos = b.unsigned(pos)
    slots: dict[int, list[int]] = {}
    for slot in range(count + 1):
        depth, pos = b.unsigned(pos)
        if depth in slots:
            slots[depth].append(slot)
        else:
            slots[depth] = [slot]
    index = b.stack.pop()
    block = b.block
    b.close_run()
    b.emit(ops.BRTABLE, [index])
    block.succs = [block] * (count + 1)
    block.args = [[] for _ in range(count + 1)]
    for depth, targets in slots.items():
        _branch(b, block, targets, b.labels[-1 - depth])
    return unreachable_from(b, pos)


def _build_return(b: Builder, pos: int) -> int:
    b.close_run()
    b.emit(ops.RETURN, b.peek(len(b.labels[0].types)))
    return unreachable_from(b, pos)


def _build_unreachable(b: Builder, pos: int) -> int:
    b.close_run()
    b.emit(ops.TRAP, [], errors.TRAP_UNREACHABLE)
    return unreachable_from(b, pos)


def _build_nop(b: Builder, pos: int) -> int:
    return pos

METHODS: Final[dict[str, Method]] = {
    "unreachable": _build_unreachable,
    "nop": _build_nop,
    "block": _build_block,
    "loop": _build_loop,
    "if": _build_if,
    "else": _build_else,
    "end": _build_end,
    "br": _build_br,
    "br_if": _build_br_if,
    "br_table": _build_br_table,
    "return": _build_return,
}
