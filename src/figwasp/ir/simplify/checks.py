"""Checks of memory accesses that follow from others, for `simplify`. Floor 2.

Theory of operation: what has passed a `trapif` of `build.checks` knows that index + end <= length, where `end` is 1 if only the
index is compared. Lengths never become less, not in a call nor by another thread, so this holds wherever the check dominates,
whichever load of the length the next check has. An index is taken as root + constant, modulo 2**32 or 2**64 as it is computed,
and a check of root + c2 follows from one of root + c1 when, with d = c2 - c1 by the same modulus,

    d + end2 <= end1                  both in whole, up to the end that the second asks for
    d < end1 + LEAST_MARGIN           when the second compares only the index: a memory checked so has twice its margin behind it,
                                      once for d and once for the reach of the access, which is no more than that

Neither sum can have wrapped to an index that is out of bounds: 64-bit lengths are far from 2**64; and where a 32-bit sum wraps,
the length is within `LEAST_MARGIN` of 2**32 while the index is below `LEAST_MARGIN`.

A check never moves: an access that traps does so in its place among the effects. What makes it cheap is that it is dropped, or
else a comparison with the length in memory, which needs no register in loops and is right after calls.

Each check costs a look into a dict and at a few entries of a list.
"""

from __future__ import annotations

from typing import Final

from figwasp.ir import ops
from figwasp.ir.func import Value
from figwasp.ir.simplify.rules import int_aux
from figwasp.ir.types import MASKS
from figwasp.layout import LEAST_MARGIN, MEM_LENGTH

__all__ = ["Checks"]

_LENGTH: Final = ops.memory_aux(MEM_LENGTH, ops.REGION_RECORD)
_NO_ROOT: Final = -1
"""Root of constants."""
_MAX_ENTRIES: Final = 8
"""Checks that are kept for a root."""


class Checks:
    """The checks that have been passed.

    Attributes:
        _ends: see `simplify._Walk`.
        _passed: (id of the address of the memory's record, id of the root) -> constant, end, and the number of the block of each.
    """

    __slots__ = ("_ends", "_passed")

    def __init__(self, ends: list[int]) -> None:
        self._ends = ends
        self._passed: dict[tuple[int, int], list[tuple[int, int, int]]] = {}

    def follows(self, condition: Value, here: int) -> bool:
        """Return whether the condition of a check cannot hold in a block; if it can, it is passed from there on.

        Args:
            condition: of a `trapif` for an access out of bounds.
            here: number of the block.
        """
        op = condition.op
        if op != ops.I64_LE_U and op != ops.I64_LT_U:
            return False
        length, index = condition.args
        if length.op != ops.I64_LOAD or length.aux != _LENGTH:
            return False
        if op == ops.I64_LE_U:
            end = 1
        elif index.op == ops.CONST:
            return self._entered(length.args[0].id, _NO_ROOT, 0, int_aux(index), MASKS[ops.I64], here, False)
        elif index.op == ops.I64_ADD and index.args[0].op == ops.I64_EXTEND_I32_U and index.args[1].op == ops.CONST:
            end = int_aux(index.args[1])
            index = index.args[0]
        else:
            return False
        root, added, mask = _split(index)
        return self._entered(length.args[0].id, root, added, end, mask, here, op == ops.I64_LE_U)

    def _entered(self, record: int, root: int, added: int, end: int, mask: int, here: int, alone: bool) -> bool:
        """Return whether root + added + end <= length, and remember it; `alone` when only the index is compared."""
        passed = self._passed.setdefault((record, root), [])
        ends = self._ends
        for other, other_end, block in passed:
            if block <= here < ends[block]:
                distance = added - other & mask
                if distance + end <= other_end or (alone and distance < other_end + LEAST_MARGIN):
                    return True
        if len(passed) == _MAX_ENTRIES:
            del passed[0]
        passed.append((added, end, here))
        return False


def _split(index: Value) -> tuple[int, int, int]:
    """Return the id of the root of an index, the constant added to it, and the modulus less 1."""
    mask = MASKS[ops.I64]
    if index.op == ops.CONST:
        return _NO_ROOT, int_aux(index), mask
    if index.op == ops.I64_EXTEND_I32_U:
        index = index.args[0]
        mask = MASKS[ops.I32]
    if (index.op == ops.I32_ADD or index.op == ops.I64_ADD) and index.args[1].op == ops.CONST:
        return index.args[0].id, int_aux(index.args[1]), mask
    return index.id, 0, mask
