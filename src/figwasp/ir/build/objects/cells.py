"""What structures and arrays have in common while they are built: where fields lie, new cells, first contents. Floor 2.

A reference is the address of an object: 8 bytes of header, then fields or elements (`ir.layouts`). A new object comes out of
`allocate`, or from a builtin that has written zeros when it is larger than any cell. What it has to begin with is stored right
after that, as REGION_INITIAL: nothing that runs other code may come between, since the collector looks at what is there. So
whatever may do that, the keeping of functions above all, comes in front.
"""

from __future__ import annotations

from typing import Final

from figwasp import layout
from figwasp.ir import builtins, ops
from figwasp.ir.build.base import Builder
from figwasp.ir.build.memory import call_builtin
from figwasp.ir.func import Value
from figwasp.wasm.syntax.types import CONCRETE, FUNCREF, I8, I16, INDEX_SHIFT, NON_NULL, FuncType

__all__ = [
    "check",
    "header",
    "keep",
    "load_op",
    "new_cell",
    "small",
    "store_first",
    "store_op",
    "type_word",
    "words",
    "zeros",
]

_LOADS: Final = {
    (I8, True): ops.I32_LOAD8_S,
    (I8, False): ops.I32_LOAD8_U,
    (I16, True): ops.I32_LOAD16_S,
    (I16, False): ops.I32_LOAD16_U,
}
"""Packed storage type, and whether it is sign-extended -> the load."""
_STORES: Final = {I8: ops.I32_STORE8, I16: ops.I32_STORE16}
_CLASSES: Final = len(layout.CELL_SIZES)


def load_op(storage: int, type: int, signed: bool) -> int:
    """Return the operation that loads a field of a storage type, as an IR type."""
    return _LOADS.get((storage, signed), ops.LOAD_OF[type])


def store_op(storage: int, value: Value) -> int:
    """Return the operation that stores a value as a storage type."""
    return _STORES.get(storage, ops.STORE_OF[value.type])


def store_first(b: Builder, storage: int, value: Value, base: Value, offset: int) -> None:
    """Append the store of what a place of a new object has to begin with."""
    b.emit(store_op(storage, value), [value, base], ops.memory_aux(offset, ops.REGION_INITIAL))


def type_word(b: Builder, index: int) -> Value:
    """Return the word that stands for a type of the module in objects."""
    return b.emit(ops.I32_LOAD, [b.instance], ops.memory_aux(b.layout.type_id(index), ops.REGION_CONST))


def small(size: int) -> bool:
    """Return whether there are cells for objects of so many bytes."""
    return layout.cell_class(size) < _CLASSES


def new_cell(b: Builder, size: int) -> Value:
    """Append what takes a cell for an object of so many bytes."""
    return b.emit(ops.ALLOCATE, [], layout.cell_class(size))


def header(b: Builder, reference: Value, index: int) -> None:
    """Append the store of the type into a new cell."""
    b.emit(ops.I32_STORE, [type_word(b, index), reference], ops.memory_aux(layout.OBJECT_TYPE, ops.REGION_INITIAL))


def zeros(b: Builder, reference: Value, size: int) -> None:
    """Append the stores of zeros over all of a new object but its header."""
    words(b, reference, size, b.const(ops.I64, 0))


def words(b: Builder, reference: Value, size: int, word: Value) -> None:
    """Append the stores of a word over all of a new object of so many bytes but its header, to the end of the last word."""
    for offset in range(layout.OBJECT_FIELDS, size, 8):
        b.emit(ops.I64_STORE, [word, reference], ops.memory_aux(offset, ops.REGION_INITIAL))


def check(b: Builder, reference: Value, trap: int) -> None:
    """Append what traps for null, unless validation has found that the operand of the instruction is never null."""
    if not b.operands.get(b.pos, 0) & NON_NULL:
        b.trap_if(b.emit(ops.I64_EQZ, [reference]), trap)


def keep(b: Builder, storage: int, value: Value) -> None:
    """Append what has the heap keep a function's owner, in front of a store into an object, unless that is this instance's."""
    if _is_func(b, storage) and not _is_own(b, value):
        call_builtin(b, builtins.KEEP_FUNC, [value])


def _is_func(b: Builder, storage: int) -> bool:
    """Return whether a storage type is that of references to functions."""
    low = storage & 0xFF
    return low == FUNCREF or (low == CONCRETE and isinstance(b.module.types[storage >> INDEX_SHIFT].comp, FuncType))


def _is_own(b: Builder, value: Value) -> bool:
    """Return whether a reference is null or what `ref.func` gives, so that the instance keeps it, and the heap the instance."""
    if value.op == ops.I64_LOAD:
        return value.args[0] is b.instance
    return value.op == ops.CONST or (value.op == ops.I64_ADD and value.args[0] is b.instance)
