"""Evaluator of the SSA form: what machine code should do, slowly and exactly. Floor 2.

Goes in: a function in any state of its way through the passes, arguments as bits, an `Environment`. Comes out: the results as
bits, or `Trapped`. It is the oracle of tests: passes must not change what it answers, and machine code must answer the same.
`evaluate.space` is the environment of the code of instances.

It is stricter than machines: an operation outside of its domain, an access to no memory, and a value that does not fit its
type are `Undefined`, since the builder and the passes promise that they do not happen.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable
from typing import Final

from figwasp import errors
from figwasp.ir import ops
from figwasp.ir.fold import FOLD, UNDEFINED
from figwasp.ir.func import Block, Call, Func, Value
from figwasp.ir.types import BITS
from figwasp.layout import CELL_SIZES

__all__ = ["Environment", "Evaluator", "NativeMemory", "OutOfSteps", "Thrown", "Trapped", "Undefined", "Unwound"]

_MASK: Final = (1 << 64) - 1
_FRAME_AREAS: Final = 0x7F00_0000_0000
"""Where areas of frames are mapped, each far from the next."""
_AREA_SIZE: Final = 1 << 32


class Trapped(Exception):
    """The function has trapped.

    Attributes:
        code: one of errors.TRAP_*.
        pos: position of the value that trapped.
    """

    def __init__(self, code: int, pos: int) -> None:
        super().__init__(f"{errors.TRAP_MESSAGES.get(code, code)} at {pos:#x}")
        self.code = code
        self.pos = pos


class Unwound(Exception):
    """The function has left wasm by `unwind`."""


class Thrown(Exception):
    """A function has ended by throwing: an `invoke` of it may go to its handler, and any other call of it ends likewise.

    Attributes:
        exception: the reference to what has been thrown.
    """

    def __init__(self, exception: int = 0) -> None:
        super().__init__(exception)
        self.exception = exception


class Undefined(AssertionError):
    """The function does something undefined."""


class OutOfSteps(Exception):
    """The function has taken as many steps as were allowed."""


class _Region:
    __slots__ = ("data", "guard", "margin", "start")

    def __init__(self, start: int, data: bytearray, guard: int, margin: int) -> None:
        self.start = start
        self.data = data
        self.guard = guard
        self.margin = margin


class NativeMemory:
    """A model of native memory: regions at addresses, each a bytearray that may grow.

    Attributes:
        lock: held during an atomic access.
    """

    __slots__ = ("_regions", "_starts", "lock")

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._starts: list[int] = []
        self._regions: list[_Region] = []

    def map(self, start: int, data: bytearray, guard: int = 0, margin: int = 0) -> None:
        """Put a region at an address.

        Args:
            start: the address.
            data: the bytes.
            guard: how many bytes from the start trap when accessed, so far as they are beyond the data.
            margin: how many bytes after the data trap, however much there is of it.
        """
        place = bisect_right(self._starts, start)
        self._starts.insert(place, start)
        self._regions.insert(place, _Region(start, data, guard, margin))

    def find(self, address: int, size: int, pos: int = 0) -> tuple[bytearray, int]:
        """Return the bytes that an access touches: the region's data and the offset there.

        Raises:
            Trapped: for an access to guard pages.
            Undefined: for one to nothing.
        """
        place = bisect_right(self._starts, address) - 1
        if place >= 0:
            region = self._regions[place]
            offset = address - region.start
            if offset + size <= len(region.data):
                return region.data, offset
            if offset + size <= max(region.guard, len(region.data) + region.margin):
                raise Trapped(errors.TRAP_OUT_OF_BOUNDS_MEMORY, pos)
        raise Undefined(f"access to {size} bytes at {address:#x}, where there is nothing, by the code of {pos:#x}")

    def read(self, address: int, size: int = 8, pos: int = 0) -> int:
        """Return an unsigned little-endian number."""
        data, offset = self.find(address, size, pos)
        return int.from_bytes(data[offset : offset + size], "little")

    def write(self, address: int, number: int, size: int = 8, pos: int = 0) -> None:
        """Write the low bytes of a number."""
        data, offset = self.find(address, size, pos)
        data[offset : offset + size] = (number & (1 << 8 * size) - 1).to_bytes(size, "little")


class Environment:
    """The surroundings of a function: all that it needs besides its arguments.

    Attributes:
        native: the memory that loads and stores access.
        context: the address that the `context` operation gives.
        spent: the fuel that `fuel` operations have taken.
    """

    def __init__(self, native: NativeMemory, context: int = 0) -> None:
        self.native = native
        self.context = context
        self.spent = 0

    def cell(self, size: int) -> int:
        """Return the address of a new cell of the heap, the first 8 bytes of which are 0.

        Raises:
            Trapped: the heap is used up.
        """
        raise Undefined("there is no heap")

    def callee(self, op: int, call: Call, args: list[int], pos: int) -> tuple[Func, list[int]] | None:
        """Return the function that a `call` or `call_ptr` reaches, and all its arguments; None if it is not in SSA form."""
        return None

    def catches(self, exception: int, clauses: tuple[int, ...], instance: int) -> bool:
        """Return whether one of the clauses of an `invoke` catches an exception; leave the two where the handler finds them."""
        return True

    def call(self, op: int, call: Call, args: list[int], pos: int) -> list[int]:
        """Make a call of whatever kind and return the results.

        An `invoke` is a `call` here, and so is a tail call that has no `callee`.

        Raises:
            Thrown: the callee throws.
        """
        raise Undefined(f"{ops.NAMES[op]} at {pos:#x}: nobody is there to call")


_CHANGES: Final[dict[str, Callable[..., int]]] = {
    "add": lambda old, value: old + value,
    "and": lambda old, value: old & value,
    "or": lambda old, value: old | value,
    "xor": lambda old, value: old ^ value,
    "xchg": lambda old, value: value,
}
"""Last part of the name of an atomic operation -> what is there afterwards; those that are not here compare first."""


class _Access:
    """The access of a load or store: its bytes, the width that a load is sign-extended to, or 0, and what an atomic one does."""

    __slots__ = ("change", "signed", "size")

    def __init__(self, name: str) -> None:
        width = int(name.partition("_")[0][1:])
        digits = "".join(char for char in name.partition("_")[2] if char.isdigit())
        self.size = (int(digits) if digits else width) // 8
        self.signed = width if name.endswith("_s") else 0
        self.change = _CHANGES.get(name.rpartition("_")[2]) if "atomic_rmw" in name else None


_ACCESSES: Final = [_Access(name) if ops.FLAGS[op] & (ops.READS | ops.WRITES) else None for op, name in enumerate(ops.NAMES)]


class Evaluator:
    """Evaluates functions in an environment.

    Attributes:
        environment: memory and calls.
        steps: values that may still be evaluated.
    """

    def __init__(self, environment: Environment, steps: int = 10_000_000) -> None:
        self.environment = environment
        self.steps = steps
        self._free = _FRAME_AREAS

    def run(self, func: Func, args: list[int]) -> list[int]:
        """Evaluate a function and return its results.

        Raises:
            Trapped, Thrown, Unwound: the function leaves in another way than by returning.
            OutOfSteps: the function takes too long.
            Undefined: the function does something undefined.
        """
        frame = _Frame(self, func)
        block: Block | None = func.blocks[0]
        while block is not None:
            for param, bits in zip(block.params, args, strict=True):
                frame.set(param, bits)
            self.steps -= len(block.code)
            if self.steps < 0:
                raise OutOfSteps(func.name)
            block, args = frame.run_block(block)
            if frame.successor is not None:  # a tail call: Python's stack does not grow
                frame = _Frame(self, frame.successor)
                block = frame.func.blocks[0]
        return args

    def new_area(self, size: int) -> int:
        """Map unused bytes and return their address."""
        address = self._free
        self._free += _AREA_SIZE
        self.environment.native.map(address, bytearray(b"\xa5" * size))
        return address


class _Frame:
    """The state of one call of a function: the bits of every value, None before it is computed.

    Attributes:
        func: the function.
        successor: the function that takes its place, when it has ended in a tail call.
    """

    __slots__ = ("_environment", "_evaluator", "_native", "_results", "_values", "func", "successor")

    def __init__(self, evaluator: Evaluator, func: Func) -> None:
        self.func = func
        self.successor: Func | None = None
        self._evaluator = evaluator
        self._environment = evaluator.environment
        self._native = evaluator.environment.native
        self._values: list[int | None] = [None] * func.num_values
        self._results: dict[int, list[int]] = {}

    def get(self, value: Value) -> int:
        bits = self._values[value.id]
        if bits is None:
            raise Undefined(f"{value!r} is used before it is computed")
        return bits

    def set(self, value: Value, bits: int) -> None:
        if bits >> BITS[value.type]:
            raise Undefined(f"{value!r} = {bits:#x} at {value.pos:#x} does not fit {ops.TYPE_NAMES[value.type]}")
        self._values[value.id] = bits

    def operands(self, value: Value) -> list[int]:
        return [self.get(arg) for arg in value.args]

    def run_block(self, block: Block) -> tuple[Block | None, list[int]]:
        """Evaluate a block; return the next block with its arguments, or None and the results of the function.

        After a tail call it is None and the arguments of `successor`.
        """
        for value in block.code:
            op = value.op
            fold = FOLD[op]
            if fold is not None:
                operands = self.operands(value)
                bits = fold(*operands, _int(value)) if op in ops.WITH_AUX else fold(*operands)
                if bits == UNDEFINED:
                    raise Undefined(f"{ops.NAMES[op]} of {self.operands(value)} at {value.pos:#x} is undefined")
                self.set(value, bits)
            elif ops.FLAGS[op] & ops.TERMINATOR:
                return self._leave(block, value)
            else:
                _EFFECTS[op](self, value)
        raise Undefined(f"{block!r} has no end")

    def _leave(self, block: Block, value: Value) -> tuple[Block | None, list[int]]:
        """Evaluate a terminator."""
        op = value.op
        args = self.operands(value)
        if op == ops.RETURN:
            return None, args
        if op in ops.TAILS:
            return None, self._call_last(value)
        if op == ops.TRAP:
            raise Trapped(_int(value), value.pos)
        if op == ops.UNWIND:
            raise Unwound
        slot = 0
        if op in ops.INVOKES:
            slot = self._invoke(value)
        elif op == ops.BRIF:
            slot = 0 if args[0] else 1
        elif op == ops.BRTABLE:
            slot = min(args[0], len(block.succs) - 1)
        return block.succs[slot], [self.get(arg) for arg in block.args[slot]]

    # Operations with effects, or of the environment

    def const(self, value: Value) -> None:
        self.set(value, _int(value))

    def context(self, value: Value) -> None:
        self.set(value, self._environment.context)

    def symbol(self, value: Value) -> None:
        raise Undefined(f"the symbol {value.aux}, which stubs alone have")

    def frame_area(self, value: Value) -> None:
        """Map a region for this very evaluation; what is left in others must not matter."""
        self.set(value, self._evaluator.new_area(_int(value)))

    def load(self, value: Value) -> None:
        access = _ACCESSES[value.op]
        assert access is not None
        bits = self._native.read(self._address(value, self.operands(value)), access.size, value.pos)
        if access.signed and bits >> 8 * access.size - 1:
            bits += (1 << access.signed) - (1 << 8 * access.size)
        self.set(value, bits)

    def store(self, value: Value) -> None:
        access = _ACCESSES[value.op]
        assert access is not None
        bits, *address = self.operands(value)
        self._native.write(self._address(value, address), bits, access.size, value.pos)

    def ordered(self, value: Value) -> None:
        """Make an atomic access: no other one comes between its parts, in whatever thread."""
        if value.op == ops.FENCE:
            return
        with self._native.lock:
            if ops.FLAGS[value.op] & ops.READS and ops.FLAGS[value.op] & ops.WRITES:
                self._modify(value)
            elif ops.FLAGS[value.op] & ops.READS:
                self.load(value)
            else:
                self.store(value)

    def _modify(self, value: Value) -> None:
        access = _ACCESSES[value.op]
        assert access is not None
        operands = self.operands(value)
        data = operands[: ops.DATA[value.op]]
        address = self._address(value, operands[len(data) :])
        if address % access.size:
            raise Undefined(f"{ops.NAMES[value.op]} of {access.size} bytes at {address:#x} at {value.pos:#x}")
        old = self._native.read(address, access.size, value.pos)
        if access.change is not None:
            self._native.write(address, access.change(old, *data), access.size, value.pos)
        elif old == data[0] & (1 << 8 * access.size) - 1:
            self._native.write(address, data[1], access.size, value.pos)
        self.set(value, old)

    def _address(self, value: Value, operands: list[int]) -> int:
        """Return base + index + offset, which does not wrap for what can be an address."""
        return sum(operands) + ops.aux_offset(_int(value)) & _MASK

    def _invoke(self, value: Value) -> int:
        """Call and return which successor comes next; on the way to the handler there are no results, not even earlier ones."""
        self._values[value.id] = None
        try:
            self.call(value)
        except Thrown as thrown:
            call = value.aux
            assert isinstance(call, Call)
            if not self._environment.catches(thrown.exception, call.catches, self.get(self.func.blocks[0].params[0])):
                raise
            return 1
        return 0

    def call(self, value: Value) -> None:
        results = self._call(value)
        self._results[value.id] = results
        if results:
            self.set(value, results[0])

    def _call(self, value: Value) -> list[int]:
        call = value.aux
        assert isinstance(call, Call)
        op = _PLAIN.get(value.op, value.op)
        results = self._environment.call(op, call, self.operands(value), value.pos)
        if len(results) != len(call.results):
            raise Undefined(f"{ops.NAMES[value.op]} at {value.pos:#x} returned {len(results)} results")
        return results

    def _call_last(self, value: Value) -> list[int]:
        """Evaluate a tail call: return the arguments for `successor`, or the results of what has no SSA form."""
        call = value.aux
        assert isinstance(call, Call)
        found = self._environment.callee(_PLAIN[value.op], call, self.operands(value), value.pos)
        if found is None:
            return self._call(value)
        self.successor, args = found
        return args

    def result(self, value: Value) -> None:
        self.set(value, self._results[value.args[0].id][_int(value)])

    def trapif(self, value: Value) -> None:
        if self.get(value.args[0]):
            raise Trapped(_int(value), value.pos)

    def fuel(self, value: Value) -> None:
        """Count what is spent; there is no limit."""
        self._environment.spent += _int(value)

    def allocate(self, value: Value) -> None:
        """Map a cell; nothing is ever collected."""
        self.set(value, self._environment.cell(CELL_SIZES[_int(value)]))

    def nothing(self, value: Value) -> None:
        """Do nothing."""


_PLAIN: Final = {
    ops.INVOKE: ops.CALL, ops.INVOKE_PTR: ops.CALL_PTR, ops.INVOKE_BUILTIN: ops.CALL_BUILTIN,
    ops.TAIL: ops.CALL, ops.TAIL_PTR: ops.CALL_PTR,
}  # fmt: skip
"""Calls that end blocks -> the same in the middle of one, as an environment sees them."""


def _int(value: Value) -> int:
    assert isinstance(value.aux, int)
    return value.aux


def _effect(op: int) -> Callable[[_Frame, Value], None]:
    flags = ops.FLAGS[op]
    if flags & ops.ORDERED:
        return _Frame.ordered
    if flags & ops.READS:
        return _Frame.load
    if flags & ops.WRITES:
        return _Frame.store
    if flags & ops.CALLS and op not in (ops.POLL, ops.FUEL, ops.ALLOCATE):
        return _Frame.call
    return _METHODS.get(op, _Frame.nothing)


_METHODS: Final = {
    ops.CONST: _Frame.const,
    ops.CONTEXT: _Frame.context,
    ops.FRAME_AREA: _Frame.frame_area,
    ops.SYMBOL: _Frame.symbol,
    ops.RESULT: _Frame.result,
    ops.TRAPIF: _Frame.trapif,
    ops.FUEL: _Frame.fuel,
    ops.ALLOCATE: _Frame.allocate,
}
_EFFECTS: Final = [_effect(op) for op in range(ops.COUNT)]
