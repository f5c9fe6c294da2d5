"""Simplification and value numbering in one forward walk. Floor 2.

Goes in: a function in order (`order.run`). Comes out: the same function, in order again, with

    * constants folded, and each constant and symbol once, in the entry block (a machine instruction makes it where it is used);
    * the rules of `simplify.compare` and `simplify.numeric` applied;
    * pure operations, and loads of what never changes, computed once where a place that computes them dominates;
    * loads of globals, table and memory records computed once per block, as long as no call and no store comes between;
    * branches and traps on constants decided, and those on a condition that a trap before has tested, or the branch that leads
      there; checks of memory accesses that follow from others (`simplify.checks`) dropped.

Theory of operation: an operand is defined before its user in the layout, except for those of back edges. So when a value is
visited its operands are final. A value that turns out to be another one becomes a NOP with that one as operand; a user of it
sees the NOP and takes the operand instead, and it is not put into the new code. What a block computes is found in a dict by
one packed int (operation and operand ids), and holds wherever its block dominates; dominance is a comparison of numbers given
in preorder of the dominator tree. Comparisons are shared inside a block only: they are cheap next to the branch that
uses them, and as values that live on they would cost a register and a second test.
"""

from __future__ import annotations

from typing import Final

from figwasp.errors import TRAP_OUT_OF_BOUNDS_MEMORY
from figwasp.ir import ops, order
from figwasp.ir.fold import FOLD, UNDEFINED
from figwasp.ir.func import Block, Func, Value
from figwasp.ir.simplify import compare, numeric
from figwasp.ir.simplify.checks import Checks
from figwasp.ir.simplify.compare import select, truth
from figwasp.ir.simplify.memory import Loads
from figwasp.ir.simplify.rules import (
    INVERSE,
    IS_TEST,
    SWAPPED,
    UNARY,
    WITH_ANY,
    WITH_CONST,
    WITH_ITSELF,
    Constants,
    int_aux,
)

__all__ = ["simplify"]

compare.add_rules()
numeric.add_rules()

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
_PURE: Final = 10  # of more operands, or with an aux


def _kind(op: int) -> int:
    flags = ops.FLAGS[op]
    if flags & ops.PURE and ops.OPERANDS[op] and op != ops.SELECT:
        return _PURE if op in ops.WITH_AUX or len(ops.OPERANDS[op]) > _BINARY else len(ops.OPERANDS[op])
    if flags & ops.ORDERED:
        return _CALL  # after it everything may have been written by other threads, the length of a memory too
    if flags & ops.READS:
        return _LOAD
    if flags & ops.WRITES:
        return _STORE
    if flags & ops.CALLS:
        return _CALL
    return _SPECIAL.get(op, _OTHER)


_SPECIAL: Final = {
    CONST: _CONST,
    ops.SYMBOL: _CONST,
    ops.SELECT: _SELECT,
    ops.TRAPIF: _TRAPIF,
    ops.BRIF: _BRANCH,
    ops.BRTABLE: _BRANCH,
}
_KINDS: Final = [_kind(op) for op in range(ops.COUNT)]
_COMMUTES: Final = [flags & ops.COMMUTES != 0 for flags in ops.FLAGS]
_FOLD: Final = [
    fold if fold and not flags & ops.MACHINE else (lambda *operands: UNDEFINED)
    for fold, flags in zip(FOLD, ops.FLAGS, strict=True)
]


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
        opened: by block id, its number in preorder of the dominator tree.
        ends: by such a number, the first one after those of the blocks that the block dominates.
        here: number of the current block.
        shift: bits of a value id in a key.
        table: key of a pure operation -> value.
        def_blocks: by value id, number of the block of a value in `table`.
        loads: the known contents of memory.
        checks: of memory accesses, as far as they have been passed.
        trapped: key of a comparison -> preorder number of the block in which it is known to be 0.
    """

    __slots__ = (
        "changed", "checks", "constants", "ends", "here", "def_blocks", "loads", "opened", "reached", "shift", "table", "trapped",
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
        self.def_blocks = [0] * func.num_values
        self.loads = Loads(self.ends, self.shift)
        self.checks = Checks(self.ends)
        self.trapped: dict[int, int] = {}

    def visit(self, block: Block) -> None:
        """Simplify the code of a block: one long loop, since calls are what costs most in CPython."""
        here = self.here = self.opened[block.id]
        constants = self.constants
        pools = constants.pools
        shift = self.shift
        table = self.table
        tests: dict[int, Value] = {}
        self.loads.enter(here)
        if len(block.preds) == 1:
            self._assume(block, block.preds[0])
        code: list[Value] = []
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
                        bits = _FOLD[op](a.aux, b.aux)
                        if bits >= 0:
                            value.op = NOP
                            value.args = [constants.get(value.type, bits)]
                            continue
                    elif SWAPPED[op] >= 0:
                        op = value.op = SWAPPED[op]
                        args[0] = b
                        args[1] = a
                        a, b = args
                if b.op == CONST:
                    binary = WITH_CONST[op]
                elif a is b:
                    binary = WITH_ITSELF[op]
                else:
                    binary = WITH_ANY[op]
                if binary is not None:
                    found = binary(constants, value, a, b)
                    if found is not value:
                        value.op = NOP
                        value.args = [found]
                        continue
                    op = value.op
                    args = value.args
            elif kind == _UNARY:
                a = args[0]
                if a.op == NOP:
                    a = args[0] = a.args[0]
                if a.op == CONST:
                    bits = _FOLD[op](a.aux)
                    if bits >= 0:
                        value.op = NOP
                        value.args = [constants.get(value.type, bits)]
                        continue
                unary = UNARY[op]
                if unary is not None:
                    found = unary(constants, value, a)
                    if found is not value:
                        value.op = NOP
                        value.args = [found]
                        continue
                    op = value.op
                    args = value.args
            elif kind == _CONST:
                pool = pools[value.type]
                first = pool.get(value.aux)
                if first is None:
                    pool[value.aux] = value
                    constants.values.append(value)
                else:
                    value.op = NOP
                    value.args = [first]
                continue
            else:
                for number, arg in enumerate(args):
                    if arg.op == NOP:
                        args[number] = arg.args[0]
                if kind == _LOAD or kind == _SELECT:
                    found = self.loads.load(value) if kind == _LOAD else select(constants, value)
                    if found is not value:
                        value.op = NOP
                        value.args = [found]
                        continue
                    if kind == _LOAD or value.op == ops.SELECT:
                        code.append(value)
                        continue
                    op = value.op
                    args = value.args
                elif kind == _PURE:
                    found = self._pure(value)
                    if found is not value:
                        value.op = NOP
                        value.args = [found]
                    else:
                        code.append(value)
                    continue
                else:
                    if kind == _STORE:
                        self.loads.store(value)
                    elif kind == _CALL:
                        self.loads.forget()
                    elif kind == _TRAPIF:
                        if self._is_settled(value):
                            continue
                        if value.op == ops.TRAP:
                            code.append(value)
                            block.succs = []
                            block.args = []
                            self.changed = True
                            break
                    elif kind == _BRANCH:
                        self._branch(block, value)
                    code.append(value)
                    continue
            # What comes here is a pure operation with one or two operands.
            left = args[0].id
            right = args[-1].id
            if left < right and _COMMUTES[op]:
                left, right = right, left
            key = (op << shift | left) << shift | right
            if IS_TEST[op]:
                found = tests.setdefault(key, value)
                if found is not value:
                    value.op = NOP
                    value.args = [found]
                else:
                    code.append(value)
                continue
            known = table.get(key)
            if known is not None:
                def_block = self.def_blocks[known.id]
                if def_block <= here < self.ends[def_block]:
                    value.op = NOP
                    value.args = [known]
                    continue
            table[key] = value
            self.def_blocks[value.id] = here
            code.append(value)
        block.code = code
        self._leave(block)

    def _pure(self, value: Value) -> Value:
        """Return the value that a pure operation of any form is known to have, or the operation."""
        op, args, aux = value.op, value.args, value.aux
        if all(arg.op == CONST for arg in args):
            bits = _FOLD[op](*[arg.aux for arg in args], *([aux] if op in ops.WITH_AUX else []))
            if bits >= 0:
                return self.constants.get(value.type, bits)
        key = int_aux(value) * ops.COUNT + op
        for arg in args:
            key = key << self.shift | arg.id
        key = -1 - key  # apart from the keys of what has two operands and no aux
        known = self.table.setdefault(key, value)
        def_block = self.def_blocks[known.id] if known is not value else self.here
        if def_block <= self.here < self.ends[def_block]:
            if known is value:
                self.def_blocks[value.id] = self.here
            return known
        self.table[key] = value
        self.def_blocks[value.id] = self.here
        return value

    def _leave(self, block: Block) -> None:
        """Resolve the arguments on the edges of a block, and note where they lead."""
        for succ, args in zip(block.succs, block.args):
            self.reached[succ.id] = 1
            for number, arg in enumerate(args):
                if arg.op == NOP:
                    args[number] = arg.args[0]

    # Conditions

    def _is_settled(self, value: Value) -> bool:
        """Return whether a `trapif` never traps; make one that always does a `trap`."""
        condition = value.args[0] = truth(value.args[0])
        if condition.op == CONST:
            if condition.aux == 0:
                return True
            value.op = ops.TRAP
            value.args = []
            return False
        if self._is_zero(condition):
            return True
        if value.aux == TRAP_OUT_OF_BOUNDS_MEMORY and self.checks.follows(condition, self.here):
            return True
        self.trapped[self._condition_key(condition)] = self.here
        return False

    def _is_zero(self, condition: Value) -> bool:
        """Return whether a `trapif` of the same condition has been passed on every way here."""
        def_block = self.trapped.get(self._condition_key(condition), -1)
        return 0 <= def_block <= self.here < self.ends[def_block]

    def _condition_key(self, condition: Value) -> int:
        """Return the number of a comparison, or one that stands for this value only."""
        op = condition.op
        return condition.id if op < 0 or not IS_TEST[op] else self._test_key(op, condition.args)

    def _test_key(self, op: int, args: list[Value]) -> int:
        """Return the number of a comparison."""
        left = args[0].id
        right = args[-1].id
        if left < right and _COMMUTES[op]:
            left, right = right, left
        return (op << self.shift | left) << self.shift | right

    def _assume(self, block: Block, before: Block) -> None:
        """Note what is 0 in a block since the branch in front, of which only one way leads there, has gone this way."""
        end = before.code[-1]
        if end.op != ops.BRIF or before.succs[0] is before.succs[1]:
            return
        condition = end.args[0]
        if block is before.succs[1]:
            self.trapped[self._condition_key(condition)] = self.here
        elif condition.op < 0 or not IS_TEST[condition.op]:
            self.trapped[(ops.I32_EQZ << self.shift | condition.id) << self.shift | condition.id] = self.here
        elif INVERSE[condition.op] >= 0:
            self.trapped[self._test_key(INVERSE[condition.op], condition.args)] = self.here

    def _branch(self, block: Block, value: Value) -> None:
        """Simplify the condition of a branch, or make it a jump."""
        succs = block.succs
        args = value.args
        if value.op == ops.BRTABLE:
            if args[0].op == CONST:
                self._jump(block, value, min(int_aux(args[0]), len(succs) - 1))
            return
        condition = args[0] = truth(args[0])
        if condition.op == CONST:
            self._jump(block, value, 0 if condition.aux else 1)
        elif self.trapped and self._is_zero(condition):
            self._jump(block, value, 1)
        elif condition.op == ops.I32_EQZ:
            condition = args[0] = truth(condition.args[0])
            block.succs = [succs[1], succs[0]]
            if self.trapped and self._is_zero(condition):
                self._jump(block, value, 1)

    def _jump(self, block: Block, value: Value, slot: int) -> None:
        """Make a branch a jump to one of its successors."""
        value.op = ops.JUMP
        value.args = []
        block.succs = [block.succs[slot]]
        block.args = [block.args[slot]]
        self.changed = True


def _preorder(blocks: list[Block]) -> tuple[list[int], list[int]]:
    """Number blocks in preorder of the dominator tree.

    Returns:
        The number of each block, and, by number, the first number after those of the blocks it dominates.
    """
    sizes = [1] * len(blocks)
    for block in reversed(blocks):
        if block.dom is not None:
            sizes[block.dom.id] += sizes[block.id]
    opened = [0] * len(blocks)
    ends = [len(blocks)] * len(blocks)
    free = [1] * len(blocks)
    for block in blocks:
        if block.dom is not None:
            number = free[block.dom.id]
            free[block.dom.id] += sizes[block.id]
            opened[block.id] = number
            free[block.id] = number + 1
            ends[number] = number + sizes[block.id]
    return opened, ends
