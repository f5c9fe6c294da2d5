"""Floor 2: IR written by hand, value after value, as stubs and tests do; what is made of wasm comes from `ir.build.builder`.

In: a function that is empty but for its parameters. Out: the same with blocks and values. It is a module of its own since it stays
as it is where those around it are compiled: `runtime.stubs` has a class that derives from it.
"""

from __future__ import annotations

from figwasp.ir import ops
from figwasp.ir.func import Block, Func, Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from figwasp.ir.func import Aux

__all__ = ["Emitter"]


class Emitter:
    """Appends values to a block: the way stubs and tests write IR by hand.

    Attributes:
        func: the function under construction.
        block: where the next value goes.
    """

    __slots__ = ("block", "func", "pos")

    def __init__(self, func: Func) -> None:
        self.func = func
        self.block = func.new_block()
        self.pos = 0
        for type in func.params:
            func.new_param(self.block, type)

    def emit(self, op: int, args: list[Value], aux: Aux = 0, type: int = -1) -> Value:
        """Append an operation; `type` is needed only where the row does not give the result type."""
        value = self.func.new_value(op, ops.RESULTS[op] if type < 0 else type, args, aux, self.pos)
        self.block.code.append(value)
        return value

    def const(self, type: int, bits: int) -> Value:
        """Append a constant given as unsigned bits."""
        return self.emit(ops.CONST, [], bits, type)

    def load(self, op: int, base: Value, offset: int, region: int = ops.REGION_NATIVE) -> Value:
        """Append a load at base + offset."""
        return self.emit(op, [base], ops.memory_aux(offset, region))

    def store(self, op: int, value: Value, base: Value, offset: int, region: int = ops.REGION_NATIVE) -> Value:
        """Append a store at base + offset."""
        return self.emit(op, [value, base], ops.memory_aux(offset, region))

    def jump(self, target: Block, args: list[Value] | None = None) -> None:
        """End the block with a jump."""
        self.emit(ops.JUMP, [])
        self.block.succs = [target]
        self.block.args = [args or []]

    def brif(self, condition: Value, then: Block, other: Block) -> None:
        """End the block: to `then` when the condition is not 0, else to `other`; neither takes arguments."""
        self.emit(ops.BRIF, [condition])
        self.block.succs = [then, other]
        self.block.args = [[], []]

    def ret(self, args: list[Value]) -> None:
        """End the block with a return."""
        self.emit(ops.RETURN, args)
