"""Floor 4: walks over the frames on a wasm stack, by emitted code (decision 025).

In: the map and the records of installed code (`codegen.unwind`). Out: `find_handler`, which looks for the handler of an exception.
It only reads frames: where nothing catches, a backtrace finds them as they were.

Theory of operation. A frame is a return address and the stack pointer there. The map leads from the address to the record of the
function, that gives the size of the frame, and above it stands the next return address; when the callee pops other stack arguments
than the call has passed, after a tail call, the difference is added first. `trap.traps.TrapReporter.walk` does the same in Python.
"""

from __future__ import annotations

from typing import Final

from figwasp import layout
from figwasp.codegen import unwind
from figwasp.codegen.code import IN_FRAME
from figwasp.ir import ops
from figwasp.ir.func import CONV_C, Block, Func, Value
from figwasp.ir.ops import I64
from figwasp.ir.types import CELL
from figwasp.layout import ANY_TAG
from figwasp.runtime.platform.codespace import RANGE_SIZE
from figwasp.runtime.platform.processor import machine
from figwasp.runtime.stubs.builder import Stub

PROBE: Final = 1
"""In place of a tag: any handler will do, and it is left alone."""
UNKNOWN: Final = 0
"""In place of a tag: that of an exception which only what catches everything catches."""


_NOTHING: Final = -1  # in place of what the callee pops: nothing has been called


class Walk:
    """A loop over frames under construction, innermost first. The frame in hand, in its attributes, is that of one round.

    Attributes:
        pc, pointer: return address, and the stack pointer there.
        record, first: addresses of the function's record and code.
        handler: what is caught there: an offset in the record, or 0.
        end: where to go on when there is no frame any more.
    """

    __slots__ = ("_e", "_header", "_size", "end", "first", "handler", "pc", "record", "pointer")

    def __init__(self, e: Stub, pc: Value, pointer: Value) -> None:
        """Begin the loop."""
        self._e = e
        self.end = e.new()
        self._header, (self.pc, below, popped) = _loop(e, [pc, pointer, e.word(_NOTHING)])
        e.split(e.same(self.pc, e.symbol("switch.returned")), self.end)
        self.record = self._find_record()
        distance = _u32(e, self.record, layout.FRAME_DISTANCE)
        self.first = e.emit(ops.I64_SUB, [self.record, distance])
        self._size, pushed, self.handler = self._find_site()
        moved = e.emit(ops.I64_ADD, [below, e.emit(ops.I64_SUB, [popped, pushed])])
        self.pointer = e.emit(ops.SELECT, [below, moved, e.equals(popped, _NOTHING)], 0, I64)

    def go_on(self) -> None:
        """End the round: go on with the caller's frame."""
        e = self._e
        target = machine()
        end = e.emit(ops.I64_ADD, [self.pointer, self._size])
        incoming = e.load(ops.I64_LOAD32_S, self.record, layout.FRAME_INCOMING)
        said = e.get(e.emit(ops.I64_ADD, [end, e.word(target.return_offset - CELL)]), 0)
        popped = e.emit(ops.SELECT, [said, incoming, e.equals(incoming, IN_FRAME)], 0, I64)
        above = e.emit(ops.I64_ADD, [end, e.word(target.return_bytes)])
        e.jump(self._header, [e.get(end, target.return_offset), above, popped])

    def _find_record(self) -> Value:
        """Go from the byte before the return address to the record, by the steps that the map says."""
        e = self._e
        start = e.symbol("code.start")
        offset = e.emit(ops.I64_SUB, [e.emit(ops.I64_SUB, [self.pc, start]), e.word(1)])
        e.split(e.emit(ops.I64_GE_U, [offset, e.word(RANGE_SIZE)]), self.end)
        granule = e.emit(ops.I64_SHR_U, [offset, e.word(unwind.GRANULE_BITS)])
        header, (place,) = _loop(e, [granule])
        step = e.emit(ops.I64_LOAD8_U, [e.symbol("code.map"), place], ops.memory_aux(0, ops.REGION_NATIVE))
        e.split(e.equals(step, 0), self.end)
        here = e.new()
        e.split(e.emit(ops.I64_LT_U, [step, e.word(unwind.HOP)]), here)
        shift = e.emit(ops.I64_SUB, [step, e.word(unwind.HOP)])
        hop = e.emit(ops.I64_SHL, [e.word(unwind.HOP_BASE), shift])
        e.jump(header, [e.emit(ops.I64_ADD, [place, hop])])
        e.at(here)
        bytes_ = e.emit(ops.I64_SHL, [e.emit(ops.I64_ADD, [place, step]), e.word(unwind.GRANULE_BITS)])
        return e.emit(ops.I64_ADD, [bytes_, start])

    def _find_site(self) -> tuple[Value, Value, Value]:
        """Look the return address up in the record; return the size of the frame, what has been pushed, what is caught."""
        e = self._e
        offset = e.emit(ops.I64_SUB, [self.pc, self.first])
        rows = e.emit(ops.I64_ADD, [self.record, e.word(layout.FRAME_SITES)])
        found, known = e.new(), e.new()
        header, (low, high) = _loop(e, [e.word(0), _u32(e, self.record, layout.FRAME_COUNT)])
        missing, above, below = e.new(), e.new(), e.new()
        e.split(e.emit(ops.I64_GE_U, [low, high]), missing)
        middle = e.emit(ops.I64_SHR_U, [e.emit(ops.I64_ADD, [low, high]), e.word(1)])
        row = e.emit(ops.I64_ADD, [rows, e.emit(ops.I64_SHL, [middle, e.word(layout.SITE_SIZE_BITS)])])
        there = _u32(e, row, layout.SITE_OFFSET)
        e.split(e.emit(ops.I64_EQ, [there, offset]), found)
        e.brif(e.emit(ops.I64_LT_U, [there, offset]), above, below)
        e.at(above)
        e.jump(header, [e.emit(ops.I64_ADD, [middle, e.word(1)]), high])
        e.at(below)
        e.jump(header, [low, middle])
        e.at(missing)
        e.jump(known, [_u32(e, self.record, layout.FRAME_SIZE), e.word(0), e.word(0)])
        e.at(found)
        e.jump(known, [_u32(e, row, field) for field in (layout.SITE_FRAME, layout.SITE_PUSHED, layout.SITE_HANDLER)])
        e.at(known)
        size, pushed, handler = [e.func.new_param(known, I64) for _ in range(3)]
        return size, pushed, handler


def _loop(e: Stub, args: list[Value]) -> tuple[Block, list[Value]]:
    """Begin a loop with so many variables; return its header, to which to jump with the next ones, and the variables."""
    header = e.new()
    e.jump(header, args)
    e.at(header)
    return header, [e.func.new_param(header, I64) for _ in args]


def _u32(e: Stub, base: Value, offset: int) -> Value:
    return e.load(ops.I64_LOAD32_U, base, offset)


def find_handler() -> Func:
    """Build (context, tag, pc, stack pointer) -> 1, with the handler and the number of its clause in the context; 0 without one.

    The tag is the address of one, or PROBE or UNKNOWN.
    """
    e = Stub("find_handler", bytes([I64] * 4), bytes([I64]), CONV_C)
    context, tag, pc, pointer = e.params
    walk = Walk(e, pc, pointer)
    nothing, caught = e.new(), e.new()
    e.split(e.equals(walk.handler, 0), nothing)
    handler = e.emit(ops.I64_ADD, [walk.record, walk.handler])
    place = e.emit(ops.I64_ADD, [walk.pointer, _u32(e, walk.record, layout.FRAME_INSTANCE)])
    instance = e.get(place, 0)
    count = _u32(e, handler, layout.HANDLER_COUNT)
    header, (number,) = _loop(e, [e.word(0)])
    e.split(e.emit(ops.I64_GE_U, [number, count]), nothing)
    at = e.emit(ops.I64_ADD, [handler, e.emit(ops.I64_SHL, [number, e.word(2)])])
    clause = _u32(e, at, layout.HANDLER_CLAUSES)
    e.split(e.equals(clause, ANY_TAG), caught)
    e.split(e.emit(ops.I64_EQ, [e.get(e.emit(ops.I64_ADD, [instance, clause]), 0), tag]), caught)
    e.split(e.equals(tag, PROBE), caught)
    e.jump(header, [e.emit(ops.I64_ADD, [number, e.word(1)])])
    e.at(nothing)
    walk.go_on()
    e.at(caught)
    probed = e.new()
    e.split(e.equals(tag, PROBE), probed)
    e.put(number, context, layout.CTX_CLAUSE)
    e.put(e.emit(ops.I64_ADD, [walk.first, _u32(e, handler, layout.HANDLER_PAD)]), context, layout.CTX_LANDING_PC)
    e.put(walk.pointer, context, layout.CTX_LANDING_SP)
    e.jump(probed)
    e.at(probed)
    e.ret([e.word(1)])
    e.at(walk.end)
    e.ret([e.word(0)])
    return e.func
