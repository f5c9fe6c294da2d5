"""Constant expressions (spec 3.4.13, 4.9.3), evaluated. Floor 2.

Goes in: a valid expression, and what tells the values of globals and the references to functions, and makes objects. Comes out: raw
bits, those of an i32 zero-extended. The runtime and the evaluators do not differ in this, so that there is one of it. An object is
made when its operands have been evaluated, which nothing but the stack here refers to until then.
"""

from __future__ import annotations

from figwasp import layout
from figwasp.ir.layouts import HEADER, element_shift, field_offsets
from figwasp.ir.types import MASKS, TYPE_NAMES
from figwasp.wasm.syntax.immediates import number, pair
from figwasp.wasm.syntax.types import ArrayType, StructType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final, Protocol

    from figwasp.wasm.syntax.immediates import Immediate
    from figwasp.wasm.syntax.module import ConstExpr, Module

    class Surroundings(Protocol):
        """What a constant expression is evaluated in: an instance that is being made."""

        def global_bits(self, index: int) -> int:
            """Return the raw bits of a global that has its value already."""

        def func_reference(self, index: int) -> int:
            """Return the reference to a function."""

        def new_struct(self, index: int, fields: bytes) -> int:
            """Return a new structure of a type of the module, made from the bytes behind its header."""

        def new_array(self, index: int, length: int, elements: bytes) -> int:
            """Return a new array; where the bytes are those of one element, all are like it."""

    _Maker = Callable[[Module, Immediate, list[int], Surroundings], int]

__all__ = ["Surroundings", "evaluate", "number_of"]

CODES: Final = {
    "i32.const": 0x41, "i64.const": 0x42, "f32.const": 0x43, "f64.const": 0x44, "v128.const": 0xFD0C,
    "i32.add": 0x6A, "i32.sub": 0x6B, "i32.mul": 0x6C, "i64.add": 0x7C, "i64.sub": 0x7D, "i64.mul": 0x7E,
    "global.get": 0x23, "ref.func": 0xD2, "ref.i31": 0xFB1C, "any.convert_extern": 0xFB1A, "extern.convert_any": 0xFB1B,
    "struct.new": 0xFB00, "struct.new_default": 0xFB01,
    "array.new": 0xFB06, "array.new_default": 0xFB07, "array.new_fixed": 0xFB08,
}  # fmt: skip
"""The codes of these instructions in `opcodes.py`, whose tables take long to make and are not needed for anything else here."""
_MASKS: Final = {TYPE_NAMES[type]: mask for type, mask in enumerate(MASKS)}
_CONSTS: Final = {CODES[f"{type_}.const"]: mask for type_, mask in _MASKS.items()}
_ARITHMETIC: Final[dict[str, Callable[[int, int], int]]] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
}
_BINARY: Final = {
    CODES[f"{type_}.{name}"]: (operation, _MASKS[type_])
    for type_ in ("i32", "i64")
    for name, operation in _ARITHMETIC.items()
}
_GLOBAL_GET: Final = CODES["global.get"]
_REF_FUNC: Final = CODES["ref.func"]
_REF_I31: Final = CODES["ref.i31"]
_CONVERSIONS: Final = frozenset((CODES["any.convert_extern"], CODES["extern.convert_any"]))
"""They exchange hierarchies that have the same values."""


def number_of(expr: ConstExpr) -> int | None:
    """Return the value of an expression that is one constant; None for any other."""
    code, immediate = expr.instrs[0]
    if len(expr.instrs) == 1 and code in _CONSTS:
        assert isinstance(immediate, int)
        return immediate & _CONSTS[code]
    return None


def evaluate(expr: ConstExpr, module: Module, surroundings: Surroundings) -> int:
    """Return the value of a constant expression.

    Args:
        expr: the expression.
        module: the module that it is of, which has been validated.
        surroundings: give and make what it refers to.
    """
    known = number_of(expr)  # as of nearly all
    if known is not None:
        return known
    stack: list[int] = []
    for code, immediate in expr.instrs:
        if code in _BINARY:
            operation, mask = _BINARY[code]
            right = stack.pop()
            stack.append(operation(stack.pop(), right) & mask)
        elif code in _OBJECTS:
            stack.append(_OBJECTS[code](module, immediate, stack, surroundings))
        elif code == _REF_I31:
            stack.append(layout.i31(stack.pop()))
        elif code not in _CONVERSIONS:
            assert isinstance(immediate, int)
            stack.append(_simple(code, immediate, surroundings))
    return stack[-1]


def _simple(code: int, immediate: int, surroundings: Surroundings) -> int:
    """Return what an instruction without operands gives."""
    if code in _CONSTS:
        return immediate & _CONSTS[code]
    if code == _GLOBAL_GET:
        return surroundings.global_bits(immediate)
    return surroundings.func_reference(immediate) if code == _REF_FUNC else 0


# Objects: a function gets the module, the immediate, the stack, from which it takes operands, and the surroundings


def _struct_new(module: Module, immediate: Immediate, stack: list[int], surroundings: Surroundings) -> int:
    index = number(immediate)
    fields = _fields(module, index)
    values = stack[len(stack) - len(fields) :]
    del stack[len(stack) - len(fields) :]
    return surroundings.new_struct(index, _content(fields, values))


def _struct_new_default(module: Module, immediate: Immediate, stack: list[int], surroundings: Surroundings) -> int:
    fields = _fields(module, number(immediate))
    return surroundings.new_struct(number(immediate), _content(fields, [0] * len(fields)))


def _array_new(module: Module, immediate: Immediate, stack: list[int], surroundings: Surroundings) -> int:
    length = stack.pop()
    return surroundings.new_array(number(immediate), length, _element(module, number(immediate), stack.pop()))


def _array_new_default(module: Module, immediate: Immediate, stack: list[int], surroundings: Surroundings) -> int:
    return surroundings.new_array(number(immediate), stack.pop(), _element(module, number(immediate), 0))


def _array_new_fixed(module: Module, immediate: Immediate, stack: list[int], surroundings: Surroundings) -> int:
    index, count = pair(immediate)
    values = stack[len(stack) - count :]
    del stack[len(stack) - count :]
    return surroundings.new_array(index, count, b"".join([_element(module, index, value) for value in values]))


def _fields(module: Module, index: int) -> list[int]:
    """Return the storage types of the fields of a structure."""
    comp = module.types[index].comp
    assert isinstance(comp, StructType)
    return [field.storage for field in comp.fields]


def _content(storages: list[int], values: list[int]) -> bytes:
    """Return the bytes of fields, from the end of the header to that of the object."""
    offsets, end = field_offsets(storages)
    content = bytearray(end - HEADER)
    for storage, offset, value in zip(storages, offsets, values, strict=True):
        data = _stored(storage, value)
        content[offset - HEADER : offset - HEADER + len(data)] = data
    return bytes(content)


def _element(module: Module, index: int, value: int) -> bytes:
    """Return the bytes of an element of an array."""
    comp = module.types[index].comp
    assert isinstance(comp, ArrayType)
    return _stored(comp.field.storage, value)


def _stored(storage: int, value: int) -> bytes:
    size = 1 << element_shift(storage)
    return (value & (1 << 8 * size) - 1).to_bytes(size, "little")

_OBJECTS: Final[dict[int, _Maker]] = {
    CODES["struct.new"]: _struct_new,
    CODES["struct.new_default"]: _struct_new_default,
    CODES["array.new"]: _array_new,
    CODES["array.new_default"]: _array_new_default,
    CODES["array.new_fixed"]: _array_new_fixed,
}
