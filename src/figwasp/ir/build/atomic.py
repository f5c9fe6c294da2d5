"""Atomic instructions (proposal threads): accesses, wait and notify, the fence. Floor 2.

An access is one operation of `rows.atomic`, with the check of its address in front: one that is no multiple of the bytes accessed
traps, in or out of bounds. Accesses of an i64 to fewer bytes are those of an i32.
"""

from __future__ import annotations

from typing import Final

from figwasp import errors
from figwasp.ir import builtins, ops
from figwasp.ir.build.base import Builder, Method
from figwasp.ir.build.memory import address, call_builtin, read_memarg
from figwasp.ir.func import Value
from figwasp.ir.ops import I32, I64
from figwasp.wasm.syntax.opcodes import ROWS, Opcode

__all__ = ["METHODS"]

_WAITS: Final = {
    "memory.atomic.notify": builtins.MEMORY_NOTIFY,
    "memory.atomic.wait32": builtins.MEMORY_WAIT32,
    "memory.atomic.wait64": builtins.MEMORY_WAIT64,
}


def _check_aligned(b: Builder, index: Value, aux: int, size: int) -> None:
    """Trap unless the place of an access is a multiple of its size, a power of 2."""
    if size == 1:
        return
    wide = index.type == I64
    low = ops.aux_offset(aux) & (size - 1)
    if low:
        index = b.emit(ops.I64_ADD if wide else ops.I32_ADD, [index, b.const(index.type, low)])
    rest = b.emit(ops.I64_AND if wide else ops.I32_AND, [index, b.const(index.type, size - 1)])
    b.trap_if(b.emit(ops.I64_NE, [rest, b.const(I64, 0)]) if wide else rest, errors.TRAP_UNALIGNED_ATOMIC)


def _place(b: Builder, aux: int, size: int) -> list[Value]:
    """Pop the index of an access; return the operands that address it, after all checks."""
    _check_aligned(b, b.stack[-1], aux, size)
    return address(b, aux, size)


class _Access:
    """An atomic access as the table of instructions has it: what it does, and on how many bytes.

    Attributes:
        op: the IR operation.
        size: bytes.
        extended: whether operands are wrapped to an i32, and the result extended.
        subtracts: whether it adds 0 minus the operand.
    """

    __slots__ = ("extended", "op", "size", "subtracts")

    def __init__(self, row: Opcode) -> None:
        type, _, action, *kind = row.name.split(".")
        self.size = 1 << row.align
        width = 8 * self.size
        verb = kind[0].removesuffix("_u") if kind else ""
        self.subtracts = verb == "sub"
        self.extended = type == "i64" and width < 64
        stem = action.removesuffix("_u").rstrip("0123456789")
        digits = str(width) if width < 32 else ""
        end = f"_{'add' if self.subtracts else verb}" if verb else "_u" if digits and stem == "load" else ""
        self.op = ops.BY_NAME[f"{'i32' if self.extended else type}_atomic_{stem}{digits}{end}"]

    def wrap(self, b: Builder, value: Value) -> Value:
        """Return an operand as the operation has it."""
        if self.extended:
            value = b.emit(ops.I32_WRAP_I64, [value])
        if self.subtracts:
            value = b.emit(ops.I64_SUB if value.type == I64 else ops.I32_SUB, [b.const(value.type, 0), value])
        return value


def _access(row: Opcode) -> Method:
    """Return the method of an atomic access."""
    access = _Access(row)
    count = ops.DATA[access.op]

    def build(b: Builder, pos: int) -> int:
        aux, pos = read_memarg(b, pos)
        data = [access.wrap(b, value) for value in b.pop(count)]
        value = b.emit(access.op, [*data, *_place(b, aux, access.size)], aux)
        if row.results:
            b.stack.append(b.emit(ops.I64_EXTEND_I32_U, [value]) if access.extended else value)
        return pos

    return build


def _wait(row: Opcode) -> Method:
    """Return the method of an instruction that is a builtin: (address, operands...) -> i32."""
    builtin = _WAITS[row.name]
    size = 1 << row.align

    def build(b: Builder, pos: int) -> int:
        aux, pos = read_memarg(b, pos)
        assert row.params is not None
        data = b.pop(len(row.params) - 1)
        index = b.stack.pop()
        _check_aligned(b, index, aux, size)
        wide = b.widen(index)
        place = b.emit(ops.I64_ADD, [wide, b.const(I64, ops.aux_offset(aux))])
        if wide is index:  # of 64 bits, so that the sum may wrap
            b.trap_if(b.emit(ops.I64_LT_U, [place, wide]), errors.TRAP_OUT_OF_BOUNDS_MEMORY)
        memory = b.const(I32, ops.aux_region(aux) - ops.REGION_MEMORY)
        b.stack.append(call_builtin(b, builtin, [memory, place, *data]))
        return pos

    return build


def _build_fence(b: Builder, pos: int) -> int:
    b.emit(ops.FENCE, [])
    return pos + 1


METHODS: Final[dict[str, Method]] = {"atomic.fence": _build_fence}
METHODS.update(
    (row.name, _wait(row) if row.name in _WAITS else _access(row))
    for row in ROWS
    if row.proposal == "threads" and row.name not in METHODS
)
