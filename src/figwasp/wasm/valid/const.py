"""Validation of constant expressions (spec 3.4.14). Floor 1.

Goes in: a constant expression and the type it should have. Comes out: nothing, or the error; the functions that `ref.func`
names in it are added to those that bodies may name.
"""

from __future__ import annotations

from figwasp.errors import Invalid, LimitExceeded
from figwasp.features import off
from figwasp.wasm.syntax.immediates import number
from figwasp.wasm.syntax.module import ConstExpr
from figwasp.wasm.syntax.opcodes import BY_CODE, BY_NAME
from figwasp.wasm.syntax.types import FUNCREF, type_name
from figwasp.wasm.valid.context import Context
from figwasp.wasm.valid.rules import PLANS, apply
from figwasp.wasm.valid.state import Checker, Mismatch, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["check_const"]

_GLOBAL_GET: Final = BY_NAME["global.get"].code
_REF_FUNC: Final = BY_NAME["ref.func"].code
_CONSTANT: Final[dict[int, str]] = {
    BY_NAME[name].code: proposal
    for proposal, names in {
        "mvp": "i32.const i64.const f32.const f64.const v128.const ref.null ref.func global.get",
        "extended-const": "i32.add i32.sub i32.mul i64.add i64.sub i64.mul",
        "gc": "ref.i31 struct.new struct.new_default array.new array.new_default array.new_fixed"
        " any.convert_extern extern.convert_any",
    }.items()
    for name in names.split()
}
"""Opcode of an instruction that is constant -> the proposal that made it so."""


def check_const(context: Context, expr: ConstExpr, expected: int, what: str, visible: int) -> None:
    """Check a constant expression.

    Args:
        context: the module it is part of.
        expr: the expression.
        expected: type of the result.
        what: names it in messages.
        visible: how many globals it may read.
    """
    if _names_function(context, expr, expected):
        return
    checker = Checker(context)
    checker.open_const(expr, visible)
    name = ""
    try:
        for code, value in expr.instrs:
            name = f" (at {BY_CODE[code].text})"
            if code not in _CONSTANT or _CONSTANT[code] not in context.module.features:
                raise Mismatch(_not_constant(code))
            if code == _GLOBAL_GET:
                _readable(context, number(value), visible)
            apply(checker, PLANS[code], value, 0, dead=False)
        name = ""
        if len(checker.stack) != 2 or not context.types.matches(checker.stack[1], expected):
            raise Mismatch(f"type mismatch: expected [{type_name(expected)}], found {show(tuple(checker.stack[1:]))}")
    except Mismatch as mismatch:
        raise Invalid(f"{mismatch}{name}: {what}", expr.start if expr.start >= 0 else None) from None
    except LimitExceeded as problem:
        raise LimitExceeded(f"{problem}: {what}") from None


def _names_function(context: Context, expr: ConstExpr, expected: int) -> bool:
    """Note the function that an expression names, if that is all it does and all that is asked; tables have many of them."""
    code, value = expr.instrs[0] if len(expr.instrs) == 1 else (-1, None)
    if code != _REF_FUNC or expected & 0xFF != FUNCREF:
        return False
    index = number(value)
    if index >= len(context.callees) or (expected != FUNCREF and "function-references" not in context.module.features):
        return False
    context.declared.add(index)
    return True


def _not_constant(code: int) -> str:
    proposal = _CONSTANT.get(code)
    return off("constant expression required: it", proposal) if proposal else "constant expression required"


def _readable(context: Context, index: int, visible: int) -> None:
    """Insist on an immutable global that has its value by then."""
    module = context.module
    if index >= visible:
        raise Mismatch(f"unknown global {index}" + (", which has no value yet" if index < len(module.globals) else ""))
    if index >= module.num_imported_globals and not ("extended-const" in module.features or "gc" in module.features):
        raise Mismatch(off(f"unknown global {index}: reading one that is not imported", "extended-const"))
    if module.globals[index].mutable:
        raise Mismatch(f"constant expression required: global {index} is mutable")
