"""Steps of the walk over a body that have no fast path. Floor 1.

Goes in: the state of the walk. Comes out: the position after the instruction, or the error. `valid/body.py` is the walk.
"""

from __future__ import annotations

from figwasp.errors import Error, Malformed
from figwasp.wasm.binary.immediates import MEMORY_INDEX_FLAG
from figwasp.wasm.syntax import immediates, opcodes
from figwasp.wasm.syntax.immediates import numbers
from figwasp.wasm.valid.control import enter_try_table
from figwasp.wasm.valid.immediates import CHECKS, check_memarg
from figwasp.wasm.valid.rules import apply
from figwasp.wasm.valid.state import Checker, Mismatch
from figwasp.wasm.valid.tables import Tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["UNSET", "enter_try", "explain", "memarg", "other", "take_back"]

UNSET: Final = -1
"""In the list of readable locals: one that has to be assigned first."""
_TRY_TABLE: Final = 0x1F


def other(checker: Checker, tables: Tables, op: int, pos: int, height: int, dead: bool) -> int:
    """Check an instruction by its plan and return the position after it; all operands are on the stack."""
    at = checker.at = pos - 1
    code = op
    if op in opcodes.BY_PREFIX:
        sub = checker.code[pos] if pos < len(checker.code) else 0x80
        if sub < 0x80:
            pos += 1
        else:
            sub, pos = checker.read_u32(pos)
        code = opcodes.pack(op, sub)
    plan = tables.plans.get(code)
    if plan is None:
        raise checker.malformed(opcodes.illegal(code), checker.base + at)
    if plan.reader is None:
        apply(checker, plan, None, height, dead)
        return pos
    if checker.one_memory and (plan.row.immediates == immediates.MEMARG or plan.row.immediates == immediates.MEMARG_LANE):
        no_memory_index(checker, pos)
    value, after = plan.reader(checker.data, checker.base + pos)
    if after > checker.end:
        raise checker.truncated(pos)
    apply(checker, plan, value, height, dead)
    return after - checker.base


def no_memory_index(checker: Checker, pos: int) -> None:
    """Insist that a memory access does not say which memory."""
    at = checker.base + pos
    if at < len(checker.data) and checker.data[at] & MEMORY_INDEX_FLAG:
        raise checker.off("malformed memop flags: a memory index", "multi-memory", at)


def memarg(checker: Checker, op: int, pos: int) -> tuple[int, int]:
    """Check the immediates of a memory access; return the position after them and the type of its addresses."""
    if checker.one_memory:
        no_memory_index(checker, pos)
    value, after = checker.read(immediates.MEMARG, pos)
    check_memarg(checker, opcodes.BY_CODE[op], value)
    return after, checker.module.memories[numbers(value)[2]].address


def enter_try(checker: Checker, op: int, at: int, pos: int) -> int:
    """Check what follows the block type of the `try_table` or legacy `try` at `at`; return the position after it."""
    if op != _TRY_TABLE:
        return pos
    value, pos = checker.read(immediates.TRY_TABLE, at + 1)
    CHECKS[immediates.TRY_TABLE](checker, opcodes.BY_CODE[op], value)
    enter_try_table(checker, value)
    return pos


def take_back(readable: list[int], inits: list[int], mark: int) -> None:
    """Make the locals unreadable again that were assigned since there were `mark` of them."""
    while len(inits) > mark:
        readable[inits.pop()] = UNSET


def explain(checker: Checker, at: int) -> Error:
    """Return the error behind an IndexError at the instruction at `at`."""
    code = checker.code
    if at >= len(code):
        return Malformed("unexpected end of function body: END opcode expected", checker.base + len(code))
    row = opcodes.SINGLE[code[at]]
    assert row is not None
    try:
        value, _ = checker.read(row.immediates, at + 1)
        if row.immediates in CHECKS:
            CHECKS[row.immediates](checker, row, value)
    except Mismatch as mismatch:
        return checker.invalid(str(mismatch), at)
    except Error as problem:
        return problem
    raise AssertionError("no index is out of range")
