"""Constant expressions (spec 3.4.13, 4.9.3), evaluated. Floor 2.

Goes in: a valid expression, and what tells the values of globals and the references to functions. Comes out: raw bits, those of
an i32 zero-extended. The runtime and the evaluators do not differ in this, so that there is one of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from figwasp import layout
from figwasp.errors import Unsupported
from figwasp.ir.types import MASKS, TYPE_NAMES
from figwasp.wasm.syntax.module import ConstExpr, Module
from figwasp.wasm.syntax.opcodes import BY_CODE, BY_NAME, UNIMPLEMENTED

__all__ = ["evaluate", "missing_feature"]

_MASKS: Final = {TYPE_NAMES[type]: mask for type, mask in enumerate(MASKS)}
_CONSTS: Final = {BY_NAME[f"{type_}.const"].code: mask for type_, mask in _MASKS.items()}
_ARITHMETIC: Final[dict[str, Callable[[int, int], int]]] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
}
_BINARY: Final = {
    BY_NAME[f"{type_}.{name}"].code: (operation, _MASKS[type_])
    for type_ in ("i32", "i64")
    for name, operation in _ARITHMETIC.items()
}
_GLOBAL_GET: Final = BY_NAME["global.get"].code
_REF_FUNC: Final = BY_NAME["ref.func"].code
_REF_I31: Final = BY_NAME["ref.i31"].code
_CONVERSIONS: Final = frozenset((BY_NAME["any.convert_extern"].code, BY_NAME["extern.convert_any"].code))
"""They exchange hierarchies that have the same values."""


def evaluate(expr: ConstExpr, global_bits: Callable[[int], int], func_reference: Callable[[int], int]) -> int:
    """Return the value of a constant expression.

    Args:
        expr: the expression; its module has been validated.
        global_bits: index -> raw bits of a global that has its value already.
        func_reference: index -> reference to a function.

    Raises:
        Unsupported: it has an instruction that only validation knows.
    """
    code, immediate = expr.instrs[0]
    if len(expr.instrs) == 1 and code in _CONSTS:  # as nearly all are
        assert isinstance(immediate, int)
        return immediate & _CONSTS[code]
    stack: list[int] = []
    for code, immediate in expr.instrs:
        if code in _BINARY:
            operation, mask = _BINARY[code]
            right = stack.pop()
            stack.append(operation(stack.pop(), right) & mask)
            continue
        if BY_CODE[code].ir == UNIMPLEMENTED:
            proposal = BY_CODE[code].proposal
            raise Unsupported(f"{BY_CODE[code].text} in a constant expression: no support for {proposal} yet", proposal)
        if code == _REF_I31:
            stack.append(layout.i31(stack.pop()))
            continue
        if code in _CONVERSIONS:
            continue
        assert isinstance(immediate, int)
        if code in _CONSTS:
            stack.append(immediate & _CONSTS[code])
        elif code == _GLOBAL_GET:
            stack.append(global_bits(immediate))
        else:
            stack.append(func_reference(immediate) if code == _REF_FUNC else 0)
    return stack[-1]


def missing_feature(module: Module) -> str | None:
    """Return the proposal without which no instance of a module can be made, or None.

    What only its functions need is another matter: they say so when they are called.
    """
    exprs = [*module.global_inits, *(init for init in module.table_inits if init is not None)]
    exprs += [elem.offset for elem in module.elems if elem.offset is not None]
    exprs += [data.offset for data in module.datas if data.offset is not None]
    exprs += [init for elem in module.elems for init in {id(init): init for init in elem.inits}.values()]
    for expr in exprs:
        for code, _ in expr.instrs:
            if BY_CODE[code].ir == UNIMPLEMENTED:
                return BY_CODE[code].proposal
    return None
