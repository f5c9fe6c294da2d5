"""SSA construction (spec 5.4 for the bytes, 4.4 for their meaning). Floor 2.

Goes in: a module, the index of a defined function that has been validated, its facts. Comes out: `Func`, in the order and
with the loops that `order.py` establishes.

One walk over the body with a stack of values; locals are values too, so nothing is ever stored or loaded. The
instruction table drives it: a row that names an IR operation and takes no immediates becomes that operation, any other has a
method under its name in one of the `METHODS` of the `build_*` modules, and locals and constants are done right in the loop.

Where many edges meet many locals, that form is quadratic: 10,000 cases of a switch that assign 10,000 locals need 10**8 block
arguments where they meet. The largest real functions known need 6 per instruction. A body that would need far more is built
again with its locals in the frame, and then compiles as fast as any other, but runs slower.
"""

from __future__ import annotations

from typing import Final

from figwasp.errors import LimitExceeded
from figwasp.ir import ops, order
from figwasp.ir.build import atomic, calls, casts, control, exceptions, legacy, memory, numeric, refs, vector
from figwasp.ir.build.base import Builder, Method, OutOfProportion
from figwasp.ir.build.frames import locals
from figwasp.ir.build.frames.continuation import Continuation
from figwasp.ir.build.objects import arrays, structs
from figwasp.ir.func import Func, Value
from figwasp.ir.types import BY_WASM, MASKS, SIZES, ir_types
from figwasp.layout import InstanceLayout
from figwasp.wasm.binary.types import read_value_type
from figwasp.wasm.syntax.immediates import NONE
from figwasp.wasm.syntax.module import Module
from figwasp.wasm.syntax.opcodes import BY_NAME, BY_PREFIX, SINGLE, Opcode
from figwasp.wasm.valid.module import FuncFacts

__all__ = ["METHODS", "build"]

METHOD: Final = 0
GET: Final = 1
SET: Final = 2
TEE: Final = 3
CONST_INT: Final = 4
CONST_FLOAT: Final = 5
UNARY: Final = 6
BINARY: Final = 7
TERNARY: Final = 8
"""Forms done in the loop, the last only behind a prefix."""

_INLINE: Final = {
    "local.get": GET,
    "local.set": SET,
    "local.tee": TEE,
    "i32.const": CONST_INT,
    "i64.const": CONST_INT,
    "f32.const": CONST_FLOAT,
    "f64.const": CONST_FLOAT,
}

_FREE: Final = frozenset(("block", "loop", "else", "end", "nop", "try_table", "try", "catch", "catch_all", "delegate"))
"""Instructions that cost no fuel: where they are, nothing is executed."""

_FREE_ARGS = 50_000  # tests set these two, which mypyc would put into the code that it compiles if they were final
_ARGS_PER_OP = 10
_MAX_ARGS: Final = 1 << 23
"""Block arguments a function may need: free, per instruction, and, when locals are in the frame, at all."""
_CALL_VALUES_PER_OP: Final = 4
"""Operands and results of calls a function may have per instruction, beside _FREE_ARGS. Most operands take an instruction each."""


def _unknown(b: Builder, pos: int) -> int:
    raise AssertionError(f"opcode {b.data[b.pos]:#x} at {b.pos:#x} has passed validation")


def _methods() -> dict[str, Method]:
    """Collect the methods of all modules."""
    methods: dict[str, Method] = {}
    for part in (control, exceptions, legacy, memory, calls, casts, refs, numeric, vector, atomic, structs, arrays):
        methods.update(part.METHODS)
    unknown = methods.keys() - BY_NAME.keys()
    if unknown:
        raise ValueError(f"methods for instructions that do not exist: {sorted(unknown)}")
    return methods


def _kind(row: Opcode | None) -> int:
    """Say how a row is built; a row that nothing builds is an error, so that none is supported by half."""
    if row is None or row.name in METHODS:
        return METHOD
    if row.name in _INLINE:
        return _INLINE[row.name]
    if row.ir in ops.BY_NAME and row.immediates == NONE and row.params is not None and 1 <= len(row.params) <= 3:
        return (UNARY, BINARY, TERNARY)[len(row.params) - 1]
    raise ValueError(f"the builder has no method for {row.name}")


class _Columns:
    """The columns of the instruction table that the walk needs, as lists indexed by opcode or sub-opcode.

    Attributes:
        kinds: METHOD or one of the forms done in the loop.
        ops: the IR operation; ops.CONST for constants.
        types: the IR type of the result.
        methods: the method.
        masks: for integer constants, the mask of the bits.
        free: 1 for what costs no fuel, else 0.
    """

    __slots__ = ("free", "kinds", "masks", "methods", "ops", "types")

    def __init__(self, rows: list[Opcode | None], extra: dict[str, Method] | None = None) -> None:
        methods = METHODS | extra if extra else METHODS
        self.kinds = [METHOD if row and row.name in methods else _kind(row) for row in rows]
        self.free = [1 if row and row.name in _FREE else 0 for row in rows]
        self.ops = [ops.BY_NAME.get(row.ir, ops.CONST) if row else ops.NOP for row in rows]
        self.types = [BY_WASM.get(row.results[0], ops.VOID) if row and row.results else ops.VOID for row in rows]
        self.methods: list[Method] = [methods.get(row.name, _unknown) if row else _unknown for row in rows]
        self.masks = [MASKS[type] if type != ops.VOID else 0 for type in self.types]


def _prefixed(b: Builder, pos: int) -> int:
    """Build an instruction behind a prefix."""
    sub, pos = b.unsigned(pos)
    columns = _PREFIXED[b.data[b.pos]]
    kind = columns.kinds[sub]
    if kind == METHOD:
        return columns.methods[sub](b, pos)
    b.stack.append(b.emit(columns.ops[sub], b.pop(kind - UNARY + 1)))
    return pos

METHODS: Final = _methods()
_PREFIXED: Final = {prefix: _Columns(rows) for prefix, rows in BY_PREFIX.items()}
_SINGLE: Final = _Columns(SINGLE)
_SPILLED: Final = _Columns(SINGLE, locals.METHODS)
for _prefix in _PREFIXED:
    _SINGLE.methods[_prefix] = _SPILLED.methods[_prefix] = _prefixed


def build(
    module: Module,
    index: int,
    facts: FuncFacts,
    layout: InstanceLayout,
    mode: int,
    metered: bool = False,
    continuation: Continuation | None = None,
) -> Func:
    """Return the SSA form of a function.

    Args:
        module: the module.
        index: index of a defined function in the index space.
        facts: what validation of this function returned.
        layout: where things lie in the instance block.
        mode: GUARD or CHECKED memory.
        metered: whether the code counts fuel, as `build.control` says.
        continuation: where it is entered instead of at its beginning.

    Raises:
        LimitExceeded: for a body whose SSA form would be out of all proportion to it.
    """
    try:
        budget = _FREE_ARGS + _ARGS_PER_OP * facts.num_ops
        func = _build(module, index, facts, layout, mode, metered, budget, continuation, spilled=False)
    except OutOfProportion:
        if continuation is not None:
            raise LimitExceeded(f"function {index} passes more than {budget} values in branches") from None
        try:
            func = _build(module, index, facts, layout, mode, metered, _MAX_ARGS, None, spilled=True)
        except OutOfProportion:
            raise LimitExceeded(f"function {index} passes more than {_MAX_ARGS} values in branches") from None
    order.run(func)
    return func


def _build(
    module: Module, index: int, facts: FuncFacts, layout: InstanceLayout, mode: int, metered: bool, budget: int,
    continuation: Continuation | None, *, spilled: bool
) -> Func:  # fmt: skip
    """Build a function, with locals as values or in the frame."""
    type = module.func_type(index)
    params = bytes((ops.I64,)) + ir_types(type.params)
    results = ir_types(type.results)
    func = Func(module.func_name(index) or "", index, params, results)
    body = module.body(index)
    b = Builder(module, layout, mode, func, ir_types(facts.locals), facts.written, facts.operands, budget, spilled, metered)
    b.clauses = facts.clauses
    b.call_values = _FREE_ARGS + _CALL_VALUES_PER_OP * facts.num_ops
    if spilled:
        locals.open_locals(b)
    if facts.uses_memory and module.memories:
        memory.open_memory(b)
    b.pos = pos = _skip_locals(b, body.start)
    if continuation is not None:
        func.continues = True
        b.continuation = continuation
        continuation.enter(b, pos)
    control.open_body(b, results)
    _walk(b, _SPILLED if spilled else _SINGLE, pos, body.end)
    func.blocks += b.tail
    if metered:
        for block in func.blocks:
            block.code = [value for value in block.code if value.op != ops.FUEL or value.aux]
    return func


def _skip_locals(b: Builder, pos: int) -> int:
    """Return the position of the first instruction."""
    count, pos = b.unsigned(pos)
    for _ in range(count):
        pos = read_value_type(b.data, b.unsigned(pos)[1])[1]
    return pos


def _walk(b: Builder, columns: _Columns, pos: int, end: int) -> None:
    """Read the instructions and emit values: one long loop, since calls are what costs most in CPython."""
    data = b.data
    func = b.func
    stack = b.stack
    push = stack.append
    pop = stack.pop
    env = b.env
    values = env.values
    undo = env.undo
    code = b.code
    kinds = columns.kinds
    op_of = columns.ops
    type_of = columns.types
    mask_of = columns.masks
    methods = columns.methods
    free = columns.free
    passed = 0
    number = func.num_values
    while pos < end:
        at = pos
        opcode = data[pos]
        pos += 1
        passed += 1
        kind = kinds[opcode]
        if kind == METHOD:
            b.pos = at
            b.spent += passed - free[opcode]
            passed = 0
            func.num_values = number
            pos = methods[opcode](b, pos)
            number = func.num_values
            undo = env.undo
            code = b.code
        elif kind <= TEE:
            index = data[pos]
            pos += 1
            if index >= 0x80:
                index, pos = b.unsigned(pos - 1)
            if kind == GET:
                push(values[index])
            else:
                if index not in undo:
                    undo[index] = values[index]
                values[index] = pop() if kind == SET else stack[-1]
        elif kind == BINARY:
            right = pop()
            value = Value(number, op_of[opcode], type_of[opcode], [pop(), right], 0, at)
            number += 1
            code.append(value)
            push(value)
        elif kind == CONST_INT:
            bits = data[pos]
            pos += 1
            if bits >= 0x40:
                bits, pos = b.signed(pos - 1)
                bits &= mask_of[opcode]
            value = Value(number, ops.CONST, type_of[opcode], [], bits, at)
            number += 1
            code.append(value)
            push(value)
        elif kind == UNARY:
            value = Value(number, op_of[opcode], type_of[opcode], [pop()], 0, at)
            number += 1
            code.append(value)
            push(value)
        else:
            size = SIZES[type_of[opcode]]
            value = Value(number, ops.CONST, type_of[opcode], [], int.from_bytes(data[pos : pos + size], "little"), at)
            number += 1
            pos += size
            code.append(value)
            push(value)
    func.num_values = number
