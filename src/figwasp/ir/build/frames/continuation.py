"""Continuations: a function that begins at the head of a loop, for whoever has run up to there in other code. Floor 2.

In: the offset of the loop, and a copy of the frame of baseline code, to which the context leads (`layout.LEFT_FRAME`). Theory
of operation. The body is walked like any other, but what it begins with is in a block that nothing leads to. The entry loads
all locals and operands instead, and goes to the loop. If that stands in others, it goes to the outermost of them; a flag, one
more local, leads from the head of each to the next one that is further in, the first time round. So every loop has one entry,
as everywhere.

What is on the stack below a block must be the same however control leaves that. So where there are new operands between one
loop and the next, the way leads in front of the blocks around it, too, and through an `if` by a condition that is known.
"""

from __future__ import annotations

from typing import Final

from figwasp import layout
from figwasp.errors import LimitExceeded
from figwasp.ir import ops
from figwasp.ir.build import control
from figwasp.ir.build.base import Builder, Edge, Label
from figwasp.ir.func import Block, Value
from figwasp.ir.types import CELL, I32
from figwasp.wasm.binary.immediates import SKIPPERS
from figwasp.wasm.syntax.opcodes import BY_CODE, BY_NAME, SINGLE, pack

__all__ = ["Continuation"]

_THEN: Final = [0]
_JUMP: Final[list[int]] = []
BLOCK, LOOP, THEN, ELSE = range(4)
"""What is around a loop."""
_OPENS: Final = {
    BY_NAME[name].code: kind for name, kind in (("block", BLOCK), ("loop", LOOP), ("if", THEN), ("try_table", BLOCK), ("try",
    BLOCK))
}
_DIVIDES: Final = BY_NAME["else"].code
_ENDS: Final = frozenset(BY_NAME[name].code for name in ("end", "delegate"))


class Continuation:
    """Where a function is entered.

    Attributes:
        target: offset of the loop that it begins with.
        flag: number of the local that leads there.
    """

    __slots__ = ("_edge", "_entry", "_first", "_frame", "_same", "_steps", "flag", "target")

    BLOCK, LOOP, THEN, ELSE = BLOCK, LOOP, THEN, ELSE

    def __init__(self, target: int, first: int) -> None:
        """Begin.

        Args:
            target: offset of the opcode of a loop.
            first: number of the cell of the frame that holds local 0; operands are in those from 0 on.
        """
        self.target = target
        self._first = first
        self._steps: dict[int, int] = {}  # what stands around the target from the outermost loop on, and what to do there
        self._same = 0  # operands that are the same on the way from the entry as on the other

    def enter(self, b: Builder, start: int) -> None:
        """Make the entry of the function, whose instructions begin at an offset, and go on where nothing leads to."""
        self._steps = _around(b, start, self.target)
        self.flag = len(b.types)
        b.types += bytes((I32,))
        b.env.values.append(b.const(I32, 0))
        flag = 1 << self.flag
        b.written = {offset: mask | flag if offset in self._steps else mask for offset, mask in b.written.items()}  # not the facts
        self._entry = b.block
        self._frame = b.load(b.emit(ops.CONTEXT, []), layout.CTX_STACK_BASE, ops.REGION_NATIVE)
        before = b.env.seal()
        for index, type in enumerate(b.types[: self.flag]):
            b.env.set(index, self._load(b, type, self._first + index))
        b.env.set(self.flag, b.const(I32, 1))
        b.emit(ops.JUMP, [])
        self._edge = Edge(b.block, _JUMP, [], b.env.seal())
        b.env.go(before)
        b.start(b.func.new_block())

    def _load(self, b: Builder, type: int, cell: int) -> Value:
        return b.emit(ops.LOAD_OF[type], [self._frame], ops.memory_aux(CELL * cell, ops.REGION_NATIVE))

    def before(self, b: Builder) -> None:
        """Lead to a block, loop or `if` that begins here, from the entry or from the head of what is around it.

        Raises:
            LimitExceeded: fuel is counted, and there are operands on the stack that make a difference.
        """
        kind = self._steps.get(b.pos)
        if kind is None:
            return
        stack = b.stack
        operands = len(stack) - (kind in (THEN, ELSE))
        if kind != LOOP and operands == self._same:
            del self._steps[b.pos]
            return
        if kind != LOOP and b.metered:
            raise LimitExceeded(f"function {b.func.index} would pay for its instructions in other parts")
        b.close_run()
        b.emit(ops.JUMP, [])
        label = Label(control.BLOCK, 0, bytes([value.type for value in stack]), b.block, [])
        self._edge.args = stack[: self._same] + self._operands(b, stack[self._same : operands], kind)
        label.edges = [Edge(b.block, _JUMP, stack[:], b.env.seal()), self._edge]
        del stack[:]
        control.join(b, label)
        if b.pos == self.target:
            b.env.set(self.flag, b.const(I32, 0))
            self._steps.clear()

    def _operands(self, b: Builder, values: list[Value], kind: int) -> list[Value]:
        """Append the loads of operands like these to the entry, and the condition of an `if`."""
        entry, code = self._entry, b.code
        end = entry.code.pop()
        b.code = entry.code
        found = [self._load(b, value.type, self._same + number) for number, value in enumerate(values)]
        if kind in (THEN, ELSE):
            found.append(b.const(I32, int(kind == THEN)))
        entry.code.append(end)
        b.code = code
        return found

    def inside(self, b: Builder, pos: int, arm: int) -> None:
        """Lead on from the head of what has begun at an offset: a block, a loop, or an arm of an `if`."""
        if self._steps.get(pos) != arm:
            return
        head: Block = b.block
        b.emit(ops.BRIF, [b.env.values[self.flag]])
        head.succs = [head, head]
        head.args = [[], []]
        self._edge = Edge(head, _THEN, [], b.env.seal())
        self._same = b.labels[-1].height  # its own parameters may be taken before the next
        head.succs[1] = b.func.new_block(b.depth)
        b.start(head.succs[1])
        b.env.set(self.flag, b.const(I32, 0))


def _around(b: Builder, pos: int, target: int) -> dict[int, int]:
    """Return the offsets of what is around a loop, from the outermost loop on, with what each is; the loop itself is the last."""
    data = b.data
    around: list[tuple[int, int]] = []
    while pos != target:
        opcode = data[pos]
        at = pos
        row = SINGLE[opcode]
        if row is not None:
            pos = SKIPPERS[row.immediates](data, pos + 1)
        else:
            sub, pos = b.unsigned(pos + 1)
            pos = SKIPPERS[BY_CODE[pack(opcode, sub)].immediates](data, pos)
        if opcode in _OPENS:
            around.append((at, _OPENS[opcode]))
        elif opcode == _DIVIDES:
            around[-1] = (around[-1][0], ELSE)
        elif opcode in _ENDS:
            around.pop()
    around.append((target, LOOP))
    loops = [number for number, (_, kind) in enumerate(around) if kind == LOOP]
    return dict(around[loops[0] :])
