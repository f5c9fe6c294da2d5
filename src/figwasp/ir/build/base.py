"""The common base of the builder's parts: its state, emission of values, reading of immediates. Floor 2.

`build.py` walks the body; `build.control`, `build.memory`, `build.calls`, `build.refs` and `build.numeric` hold a method for
every instruction that is more than a row of the tables. A method takes the builder and the position after the opcode and
returns the position after the immediates; bytes have been validated and are not checked again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from figwasp.ir import ops
from figwasp.ir.build.env import Env, LocalsSnapshot
from figwasp.ir.func import Block, Call, Func, Value
from figwasp.ir.types import SIZES
from figwasp.layout import ANY_TAG, CTX_FUEL, MEM_LENGTH, InstanceLayout
from figwasp.wasm.syntax import types as wasm
from figwasp.wasm.syntax.module import Module

__all__ = ["Builder", "Edge", "Label", "Method", "OutOfProportion", "Scope"]

_RESULTS: Final = ops.RESULTS


class OutOfProportion(Exception):
    """The form of this function would need more block arguments than it may."""


class Edge:
    """A branch whose target block is not made yet.

    Attributes:
        block: where it starts.
        slots: which successors of a `brif` or `brtable`; empty for a `jump`.
        args: values for the label's results.
        state: the locals.
    """

    __slots__ = ("args", "block", "slots", "state")

    def __init__(self, block: Block, slots: list[int], args: list[Value], state: LocalsSnapshot) -> None:
        self.block = block
        self.slots = slots
        self.args = args
        self.state = state


class Scope:
    """What is caught between a `try_table` and its end.

    Attributes:
        outer: that around it, or None.
        catches: what is caught, as `Call.catches`, all of it; own: how many of these clauses are its own.
        edges: from where things are caught.
        level: how many labels are around the `try_table` or `try`.
    """

    __slots__ = ("catches", "edges", "level", "outer", "own")

    def __init__(self, outer: Scope | None, level: int, clauses: tuple[int, ...]) -> None:
        if ANY_TAG in clauses:
            clauses = clauses[: clauses.index(ANY_TAG) + 1]
        self.outer = outer
        self.level = level
        self.own = len(clauses)
        self.catches: tuple[int, ...] = clauses if ANY_TAG in clauses or outer is None else clauses + outer.catches
        self.edges: list[Edge] = []


class Label:
    """An entry of the control stack.

    Attributes:
        kind: one of build.control.FUNC, BLOCK, LOOP, IF, TRY.
        height: values on the stack below the block's own.
        types: IR types of what a branch to it carries.
        edges: branches to its end so far.
        header: the block of a loop.
        locals: the locals that are parameters of a loop header, after those for `types`.
        otherwise: for an `if` whose `else` has not come yet, the branch taken when the condition is 0.
        repeats: True when a loop has a back edge.
        close: of a `try_table` or `try`: called where it ends.
        clauses: of a legacy `try`: `build.legacy.Clauses`.
        start: of an `if`: the offset of its opcode.
    """

    __slots__ = ("clauses", "close", "edges", "header", "height", "kind", "locals", "otherwise", "repeats", "start", "types")

    def __init__(self, kind: int, height: int, types: bytes, header: Block, locals: list[int]) -> None:
        self.kind = kind
        self.height = height
        self.types = types
        self.edges: list[Edge] = []
        self.header = header
        self.locals = locals
        self.otherwise: Edge | None = None
        self.repeats = False
        self.close: Callable[[], None] | None = None
        self.clauses: object = None
        self.start = 0


class Entered(Protocol):
    """What a continuation does where blocks begin (`build.frames.continuation`)."""

    BLOCK: int
    LOOP: int
    THEN: int
    ELSE: int

    def before(self, b: Builder) -> None:
        """Lead to a block, loop or `if` that begins here."""

    def inside(self, b: Builder, pos: int, arm: int) -> None:
        """Lead on from the head of what has begun at an offset."""


class Builder:
    """The state of the walk over one body.

    Attributes:
        module, layout, mode: as given to `build`.
        data: the module's bytes.
        func: the function under construction.
        instance: its instance parameter.
        types: IR type of each local.
        written: opcode position of a block -> bit set of the locals written in it.
        clauses: opcode position of a legacy `try` -> what it catches (`FuncFacts.clauses`).
        operands: opcode position -> static type of a reference that the instruction takes, as far as validation noted it.
        pos: position of the current opcode; the `pos` of what is emitted.
        block, code: the current block and its code.
        live: False after an unconditional branch, until the next `else` or `end`.
        stack: operands.
        env: locals.
        labels: the control stack.
        depth: number of loops around the current instruction.
        area: address of the locals, when they live in the frame.
        local_size: bytes from one of those to the next.
        base: base address of memory 0, when materialised.
        bare: the same, when accesses to it need no check.
        record: record of memory 0, when materialised.
        scope: what is caught here, or None.
        spilled: True when locals live in the frame; then `env` stays as it is.
        metered: True when the code counts fuel.
        spent: cost of the instructions of the current run so far.
        budget: block arguments that may still be made.
        call_values: operands and results that calls may still have.
        tail: blocks to be put last in the layout.
        continuation: where the function is entered instead of at its beginning, or None.
    """

    __slots__ = (
        "_run",
        "area",
        "bare",
        "base",
        "block",
        "budget",
        "call_values",
        "clauses",
        "code",
        "continuation",
        "data",
        "depth",
        "env",
        "func",
        "instance",
        "labels",
        "layout",
        "live",
        "local_size",
        "metered",
        "mode",
        "module",
        "operands",
        "pos",
        "record",
        "scope",
        "spent",
        "spilled",
        "stack",
        "tail",
        "types",
        "written",
    )

    def __init__(
        self,
        module: Module,
        layout: InstanceLayout,
        mode: int,
        func: Func,
        types: bytes,
        written: dict[int, int],
        operands: dict[int, int],
        budget: int,
        spilled: bool,
        metered: bool = False,
    ) -> None:
        self.module = module
        self.layout = layout
        self.mode = mode
        self.data = module.data
        self.func = func
        self.types = types
        self.written = written
        self.operands = operands
        self.budget = budget
        self.call_values = 0
        self.clauses: dict[int, list[int]] = {}
        self.spilled = spilled
        self.metered = metered
        self.spent = 0
        self._run: Value | None = None
        self.pos = 0
        self.block = func.new_block()
        self.code = self.block.code
        for type in func.params:
            func.new_param(self.block, type)
        self.instance = self.block.params[0]
        self.live = True
        self.stack: list[Value] = []
        self.labels: list[Label] = []
        self.tail: list[Block] = []
        self.depth = 0
        self.continuation: Entered | None = None
        self.area: Value | None = None
        self.local_size = 0
        self.base: Value | None = None
        self.bare: Value | None = None
        self.record: Value | None = None
        self.scope: Scope | None = None
        self.env = Env([] if spilled else self._initial_locals())

    def _initial_locals(self) -> list[Value]:
        """Return the parameters, then zeros; one constant serves all locals of a type."""
        values = self.block.params[1:]
        zeros: list[Value | None] = [None] * len(SIZES)
        for type in self.types[len(values) :]:
            zero = zeros[type]
            if zero is None:
                zero = zeros[type] = self.const(type, 0)
            values.append(zero)
        return values

    def emit(self, op: int, args: list[Value], aux: int | Call = 0) -> Value:
        """Append an operation whose row gives the type of its result."""
        func = self.func
        value = Value(func.num_values, op, _RESULTS[op], args, aux, self.pos)
        func.num_values += 1
        self.code.append(value)
        return value

    def emit_typed(self, op: int, type: int, args: list[Value], aux: int | Call = 0) -> Value:
        """Append an operation."""
        func = self.func
        value = Value(func.num_values, op, type, args, aux, self.pos)
        func.num_values += 1
        self.code.append(value)
        return value

    def const(self, type: int, bits: int) -> Value:
        """Append a constant given as unsigned bits."""
        return self.emit_typed(ops.CONST, type, [], bits)

    def load_const(self, base: Value, offset: int) -> Value:
        """Append a load of 8 bytes that never change while the instance lives."""
        return self.emit(ops.I64_LOAD, [base], ops.memory_aux(offset, ops.REGION_CONST))

    def load(self, base: Value, offset: int, region: int) -> Value:
        """Append a load of 8 bytes."""
        return self.emit(ops.I64_LOAD, [base], ops.memory_aux(offset, region))

    def memory_base(self, memory: int) -> Value:
        """Return the base address of a memory, which never changes."""
        if memory == 0 and self.base is not None:
            return self.base
        return self.load_const(self.instance, self.layout.memory_base(memory))

    def memory_record(self, memory: int) -> Value:
        """Return the address of the record of a memory."""
        if memory == 0 and self.record is not None:
            return self.record
        return self.load_const(self.instance, self.layout.memory_record(memory))

    def memory_length(self, memory: int) -> Value:
        """Append the load of a memory's length in bytes."""
        return self.load(self.memory_record(memory), MEM_LENGTH, ops.REGION_RECORD)

    def trap_if(self, condition: Value, code: int) -> None:
        """Append a trap on a condition."""
        self.emit(ops.TRAPIF, [condition], code)

    def start(self, block: Block) -> None:
        """Go on in a block."""
        self.block = block
        self.code = block.code
        self.live = True

    def open_run(self) -> None:
        """Begin a straight run of instructions here: its fuel is taken before any of them is executed."""
        if self.metered:
            self.spent = 0
            self._run = self.emit(ops.FUEL, [])

    def close_run(self) -> None:
        """End the run, its last instruction counted: control goes elsewhere now."""
        if self._run is not None:
            self._run.aux = self.spent
            self._run = None

    def charge_bulk(self, count: Value, shift: int) -> None:
        """Take fuel for a bulk operation before it is executed: `count` >> `shift`, beside the 1 of any instruction."""
        if not self.metered:
            return
        self.spent -= 1
        self.close_run()
        context = self.emit(ops.CONTEXT, [])
        aux = ops.memory_aux(CTX_FUEL, ops.REGION_NATIVE)
        cost = self.emit(ops.I64_SHR_U, [self.widen(count), self.const(ops.I64, shift)])
        self.emit(ops.I64_STORE, [self.emit(ops.I64_SUB, [self.emit(ops.I64_LOAD, [context], aux), cost]), context], aux)
        self.open_run()  # which finds out whether that was too much
        self.spent = 1

    def widen(self, value: Value) -> Value:
        """Return a place or length as an i64; one of 32 bits is unsigned."""
        return self.emit(ops.I64_EXTEND_I32_U, [value]) if value.type == ops.I32 else value

    def narrow(self, value: Value, address: int) -> Value:
        """Return a place or length, an i64, as the type of a memory's addresses or a table's indices."""
        return value if address == wasm.I64 else self.emit(ops.I32_WRAP_I64, [value])

    def pop(self, count: int) -> list[Value]:
        """Remove and return the topmost operands."""
        stack = self.stack
        height = len(stack) - count
        args = stack[height:]
        del stack[height:]
        return args

    def peek(self, count: int) -> list[Value]:
        """Return the topmost operands."""
        stack = self.stack
        return stack[len(stack) - count :] if count else []

    def charge(self, count: int) -> None:
        """Take block arguments from the budget."""
        self.budget -= count
        if self.budget < 0:
            raise OutOfProportion

    def unsigned(self, pos: int) -> tuple[int, int]:
        """Read an unsigned LEB128; return it and the position after it."""
        data = self.data
        byte = data[pos]
        pos += 1
        if byte < 0x80:
            return byte, pos
        result = byte & 0x7F
        shift = 7
        while True:
            byte = data[pos]
            pos += 1
            result |= (byte & 0x7F) << shift
            if byte < 0x80:
                return result, pos
            shift += 7

    def signed(self, pos: int) -> tuple[int, int]:
        """Read a signed LEB128; return it and the position after it."""
        result = 0
        shift = 0
        while True:
            byte = self.data[pos]
            pos += 1
            result |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return result - (1 << shift) if byte & 0x40 else result, pos

Method = Callable[[Builder, int], int]
"""The method of an instruction: (builder, position after the opcode) -> position after the immediates."""
