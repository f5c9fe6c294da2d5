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

from figwasp.ir import ops, order, simplify_compare, simplify_numeric
from figwasp.ir.fold import FOLD
from figwasp.ir.func import Block, Func, Value
from figwasp.ir.simplify_compare import select, truth
from figwasp.ir.simplify_rules import IS_TEST, SWAPPED, UNARY, WITH_ANY, WITH_CONST, WITH_ITSELF, Constants, int_aux

__all__ = ["simplify"]

simplify_compare.add_rules()
simplify_numeric.add_rules()

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
    if flags & ops.PURE and ops.OPERANDS[op] and op != ops.SELECT:
        return len(ops.OPERANDS[op])
    if flags & ops.READS:
        return _LOAD
    if flags & ops.WRITES:
        return _STORE
    if flags & ops.CALLS:
        return _CALL
    return _SPECIAL.get(op, _OTHER)


_SPECIAL: Final = {
    CONST: _CONST,
    ops.SELECT: _SELECT,
    ops.TRAPIF: _TRAPIF,
    ops.BRIF: _BRANCH,
    ops.BRTABLE: _BRANCH,
}
_KINDS: Final = [_kind(op) for op in range(ops.COUNT)]
_COMMUTES: Final = [flags & ops.COMMUTES != 0 for flags in ops.FLAGS]
_LOAD_OF: Final = {ops.I32_STORE: ops.I32_LOAD, ops.I64_STORE: ops.I64_LOAD, ops.F32_STORE: ops.F32_LOAD, ops.F64_STORE: ops.F64_LOAD}
"""Store -> the load that gives the value back."""
_MAX_OFFSET: Final = 1 << 31


def simplify(func: Func) -> None:
    """Simplify a function in order."""
    walk = _Walk(func)
    for block in func.blocks:
        if walk.reached[block.id]:
            walk.visit(block)
        else:
            walk.changed = True
    entry = func.blocks[0]
    entry.code = walk.constants.values + entry.code
    if walk.changed:
        order.run(func)


class _Walk:
    """The state of the walk.

    Attributes:
        constants: of the function.
        reached: by block id, 1 when an edge leads there.
        changed: an edge has been removed.
        opened, closed: the preorder numbers of a block and of what it dominates, by block id; and
        ends: the latter by the former.
        here: preorder number of the current block.
        shift: bits of a value id in a key.
        table: key of a pure operation -> value.
        tests: the same for comparisons, in the current block.
        loads: the same for loads whose key holds the aux: of the current block.
        consts: for loads of what never changes.
        homes: by value id, preorder number of the block of a value in `table` or `consts`.
        trapped: key of a comparison -> preorder number of the block in which it is known to be 0.
    """

    __slots__ = (
        "changed", "consts", "constants", "ends", "here", "homes", "loads", "opened", "reached", "shift", "table", "tests", "trapped",
    )  # fmt: skip

    def __init__(self, func: Func) -> None:
        blocks = func.blocks
        self.constants = Constants(func)
        self.reached = bytearray(len(blocks))
        self.reached[0] = 1
        self.changed = False
        self.opened, self.ends = _preorder(blocks)
        self.here = 0
        # A rule makes at most a few constants for each value.
        self.shift = (8 * func.num_values + 64).bit_length()
        self.table: dict[int, Value] = {}
        self.tests: dict[int, Value] = {}
        self.loads: dict[int, Value] = {}
        self.consts: dict[int, Value] = {}
        self.homes = [0] * func.num_values
        self.trapped: dict[int, int] = {}

    def visit(self, block: Block) -> None:
        """Simplify the code of a block: one long loop, since calls are what costs most in CPython."""
        here = self.here = self.opened[block.id]
        constants = self.constants
        pools = constants.pools
        shift = self.shift
        table = self.table
        tests = self.tests = {}
        self.loads = {}
        code: list[Value] = []
        push = code.append
        for value in block.code:
            op = value.op
            kind = _KINDS[op]
            args = value.args
            if kind == _BINARY:
                a, b = args
                if a.op == NOP:
                    a = args[0] = a.args[0]
                if b.op == NOP:
                    b = args[1] = b.args[0]
                if a.op == CONST:
                    if b.op == CONST:
                        bits = FOLD[op](a.aux, b.aux)
                        if bits >= 0:
                            value.op = NOP
                            value.args = [constants.get(value.type, bits)]
                            continue
                    elif SWAPPED[op] >= 0:
                        op = value.op = SWAPPED[op]
                        args[0] = b
                        args[1] = b = a
                        a = args[0]
                if b.op == CONST:
                    rule = WITH_CONST[op]
                elif a is b:
                    rule = WITH_ITSELF[op]
                else:
                    rule = WITH_ANY[op]
                if rule is not None:
                    found = rule(constants, value, a, b)
                    if found is not value:
                        value.op = NOP
                        value.args = [found]
                        continue
                    op = value.op
                    args = value.args
