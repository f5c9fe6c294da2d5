"""Floor 4: numbers for Python functions that wasm calls, in objects that are used again.

In: a number and the position of the parameter. Out: a Python int or float, by IR. The cells are `symbols.Boxes`.

Theory of operation. Most functions let go of their arguments when they return, so the objects can carry the next call's: a
cell for each position and kind keeps a reference to the one it made last. When that reference is the only one, nobody can tell
the object from a new one, and its value is overwritten; otherwise the cell makes another. A call holds a reference of its own, so
that calls within calls and other threads find the object in use. Where reference counts or the layouts of numbers are not as
we know them, numbers are made by the C API as ever.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from figwasp.ir import ops
from figwasp.ir.func import CONV_C, Func, Value
from figwasp.ir.ops import F32, F64, I32, I64, V128
from figwasp.runtime.platform import interpreter
from figwasp.runtime.stubs.builder import Stub, overwritable
from figwasp.runtime.stubs.interface import BOXES, DIGIT, REF

_TWO_DIGITS: Final = (1 << 2 * DIGIT) - 1  # the largest int of two digits


def box(e: Stub, kind: int, value: Value, position: int) -> Value:
    """Turn the value of a parameter into a Python object: a new reference, or 0."""
    if kind in (REF, V128) or position >= BOXES or not overwritable():
        return e.box_kind(kind, value)
    if kind in (F32, F64):
        number = e.emit(ops.F64_PROMOTE_F32, [value]) if kind == F32 else value
        return e.c("stub.box.float", [number, e.symbol(f"box.float.{position}")])
    number = e.emit(ops.I64_EXTEND_I32_S, [value]) if kind == I32 else value
    return e.c("stub.box.int", [number, e.symbol(f"box.int.{position}")])


def box_int() -> Func:
    """Build (number, cell) -> new reference to an int, or 0."""
    e = Stub("box.int", bytes([I64, I64]), bytes([I64]), CONV_C)
    number, cell = e.params
    other = e.new()
    first, last = interpreter.SINGLETONS
    e.split(e.emit(ops.I64_LE_U, [e.emit(ops.I64_ADD, [number, e.word(-first)]), e.word(last - first)]), other)
    far = e.emit(ops.I64_GT_U, [e.emit(ops.I64_ADD, [number, e.word(_TWO_DIGITS)]), e.word(2 * _TWO_DIGITS)])
    e.split(far, other)
    thing = _free(e, cell, lambda: e.c("PyLong_FromLongLong", [e.word(1 << DIGIT)]))
    minus = e.emit(ops.I64_SHR_S, [number, e.word(63)])  # -1 or 0: x ^ minus - minus is -x or x

    def signed(value: Value) -> Value:
        return e.emit(ops.I64_SUB, [e.emit(ops.I64_XOR, [value, minus]), minus])

    size = signed(number)
    high = e.emit(ops.I64_SHR_U, [size, e.word(DIGIT)])
    low = e.emit(ops.I64_AND, [size, e.word((1 << DIGIT) - 1)])
    digits = e.emit(ops.SELECT, [e.word(2), e.word(1), e.emit(ops.I64_NE, [high, e.word(0)])], 0, I64)
    if interpreter.INTS == interpreter.INT_SIGNED:
        tag = signed(digits)
    else:
        tag = e.emit(ops.I64_OR, [e.emit(ops.I64_SHL, [digits, e.word(3)]), e.emit(ops.I64_AND, [minus, e.word(2)])])
    e.put(tag, thing, interpreter.INT_SIZE)
    e.put(e.emit(ops.I64_OR, [low, e.emit(ops.I64_SHL, [high, e.word(32)])]), thing, interpreter.INT_DIGIT)
    e.ret([thing])
    e.at(other)
    e.ret([e.c("PyLong_FromLongLong", [number])])
    return e.func


def box_float() -> Func:
    """Build (number, cell) -> new reference to a float, or 0."""
    e = Stub("box.float", bytes([F64, I64]), bytes([I64]), CONV_C)
    number, cell = e.params
    thing = _free(e, cell, lambda: e.c("PyFloat_FromDouble", [number]))
    e.store(ops.F64_STORE, number, thing, interpreter.FLOAT_VALUE)
    e.ret([thing])
    return e.func


def _free(e: Stub, cell: Value, make: Callable[[], Value]) -> Value:
    """Take a reference to the cell's object when it is in nobody's hands, else to another one that comes into the cell."""
    used, found, made = e.new(), e.new(), e.new()
    present = e.get(cell, 0)
    once = e.new()
    e.brif(e.used_once(present), once, used)
    e.at(once)
    e.jump(found, [present])
    e.at(used)
    other = make()
    e.brif(e.emit(ops.I64_NE, [other, e.word(0)]), made, failed := e.new())
    e.at(failed)
    e.ret([e.word(0)])
    e.at(made)
    e.put(other, cell, 0)
    e.decref(present)
    e.jump(found, [other])
    e.at(found)
    thing = e.func.new_param(found, I64)
    e.set_count(thing, e.word(2))
    return thing
