"""Simplification and value numbering in one forward walk. Floor 2.

Goes in: a function in order (`order.run`). Comes out: the same function, in order again, with

    * constants folded, and each constant once, in the entry block (a machine instruction makes it where it is used);
    * the rules of `simplify_compare` and `simplify_numeric` applied;
    * pure operations, and loads of what never changes, computed once where a place that computes them dominates;
    * loads of globals, table and memory records computed once per block, as long as no call and no store comes between;
    * branches and traps on constants decided, traps on a condition that has been tested before dropped.

Theory of operation: an operand is defined before its user in the layout, except for those of back edges. So when a value is
visited its operands are final. A value that turns out to be another one becomes a NOP with that one as operand; whoever uses it
sees the NOP and takes the operand instead, and it is not put into the new code. What a block computes is found in a dict by
one packed int (operation and operand ids), and holds wherever its block dominates; dominance is a comparison of numbers given
in preorder of the dominator tree. Comparisons are shared inside a block only: they are cheap next to the branch that
uses them, and as values that live on they would cost a register and a second test.
"""

from __future__ import annotations

from typing import Final

from figwasp.ir import ops, order, simplify_compare, simplify_numeric, simplify_rules
from figwasp.ir.fold import FOLD
from figwasp.ir.func import Block, Func, Value
from figwasp.ir.simplify_rules import SWAPPED, UNARY, WITH_ANY, WITH_CONST, WITH_ITSELF, Constants, int_aux

__all__ = ["simplify"]

NOP: Final = ops.NOP
CONST: Final = ops.CONST

# What the walk does with a value
_OTHER: Final = 0  # nothing but operands
_UNARY: Final = 1
_BINARY: Final = 2
_CONST: Final = 3
_SELECT: Final = 4
_LOAD: Final = 5
_STORE: Final = 6
_CALL: Final = 7
_TRAPIF: Final = 8
_BRANCH: Final = 9


def _kind(op: int) -> int:
    flags = ops.FLAGS[op]
    if op == CONST:
        return _CONST
    if op == ops.SELECT:
        return _SELECT
    if op == ops.TRAPIF:
        return _TRAPIF
    if op == ops.BRIF or op == ops.BRTABLE:
        return _BRANCH
    if flags & ops.PURE and ops.OPERANDS[op]:
        return len(ops.OPERANDS[op])
    if flags & ops.READS:
        return _LOAD
    if flags & ops.WRITES:
        return _STORE
    return _CALL if flags & ops.CALLS else _OTHER


_KINDS: Final = [_kind(op) for op in range(ops.COUNT)]
_COMMUTES: Final = [flags & ops.COMMUTES != 0 for flags in ops.FLAGS]
_LOCAL: Final = [simplify_rules.is_test(op) for op in range(ops.COUNT)]
"""Operations that are shared inside a block only."""
