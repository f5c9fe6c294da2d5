"""Continuations: a function that begins at the head of a loop, for whoever has run up to there in other code. Floor 2.

In: the offset of the loop, and a copy of the frame of baseline code, to which the context leads (`layout.LEFT_FRAME`). Theory
of operation. The body is walked like any other, but what it begins with is in a block that nothing leads to. The entry loads
all locals and operands instead, and goes to the loop. If that stands in others, it goes to the outermost of them; a flag, one
more local, leads from the head of each to the next one that is further in, the first time round. So every loop has one entry,
as everywhere.
"""

from __future__ import annotations

from typing import Final

from figwasp import layout
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
_LOOP: Final = BY_NAME["loop"].code
_OPENS: Final = frozenset(BY_NAME[name].code for name in ("block", "loop", "if", "try_table", "try"))
_ENDS: Final = frozenset(BY_NAME[name].code for name in ("end", "delegate"))


class Continuation:
    """Where a function is entered.

    Attributes:
        target: offset of the loop that it begins with.
        flag: number of the local that leads there.
    """

    __slots__ = ("_edge", "_entry", "_first", "_frame", "_loops", "flag", "target")

    def __init__(self, target: int, first: int) -> None:
        """Begin.

        Args:
            target: offset of the opcode of a loop.
            first: number of the cell of the frame that holds local 0; operands are in those from 0 on.
        """
        self.target = target
        self._first = first
        self._loops: list[int] = []

    def enter(self, b: Builder, start: int) -> None:
        """Make the entry of the function, whose instructions begin at an offset, and go on where nothing leads to."""
        self._loops = _loops_around(b, start, self.target)
        self.flag = len(b.types)
        b.types += bytes((I32,))
        b.env.values.append(b.const(I32, 0))
        for loop in self._loops:
            b.written[loop] |= 1 << self.flag
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
        """Lead to a loop, which begins here, from the entry or from the head of the loop around it."""
        if b.pos != self.target and b.pos not in self._loops:
            return
        b.close_run()
        b.emit(ops.JUMP, [])
        stack = b.stack
        label = Label(control.BLOCK, 0, bytes([value.type for value in stack]), b.block, [])
        self._edge.args = self._operands(b, label.types)
        label.edges = [Edge(b.block, _JUMP, stack[:], b.env.seal()), self._edge]
        del stack[:]
        control.join(b, label)
        if b.pos == self.target:
            b.env.set(self.flag, b.const(I32, 0))

    def _operands(self, b: Builder, types: bytes) -> list[Value]:
        """Append the loads of the operands to the entry."""
        entry, code = self._entry, b.code
        end = entry.code.pop()
        b.code = entry.code
        values = [self._load(b, type, cell) for cell, type in enumerate(types)]
        entry.code.append(end)
        b.code = code
        return values

    def inside(self, b: Builder) -> None:
        """Lead on from the head of a loop around the one in question."""
        if b.pos not in self._loops:
            return
        head: Block = b.block
        b.emit(ops.BRIF, [b.env.values[self.flag]])
        head.succs = [head, head]
        head.args = [[], []]
        self._edge = Edge(head, _THEN, [], b.env.seal())
        head.succs[1] = b.func.new_block(b.depth)
        b.start(head.succs[1])
        b.env.set(self.flag, b.const(I32, 0))


def _loops_around(b: Builder, pos: int, target: int) -> list[int]:
    """Return the offsets of the loops around one, the outermost first."""
    data = b.data
    around: list[int] = []
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
            around.append(at if opcode == _LOOP else -1)
        elif opcode in _ENDS:
            around.pop()
    return [loop for loop in around if loop >= 0]
