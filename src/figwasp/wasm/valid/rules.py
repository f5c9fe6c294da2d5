"""The effect of every instruction on the operand stack, from its row, or from a rule for those that need one. Floor 1.

A rule gets the checker, the decoded immediates, whose indices are known to exist, and the block's height and reachability as
`Checker.pop` wants them. It takes operands and adds results for a row of type "*"; for any other row the operands have been
exchanged before, and it checks what remains. A row with neither a type nor a rule is an error at import.
"""

from __future__ import annotations

from collections.abc import Callable

from figwasp.wasm.binary.immediates import READERS, Reader
from figwasp.wasm.syntax import opcodes
from figwasp.wasm.syntax.immediates import Immediate
from figwasp.wasm.syntax.opcodes import ADDRESS, Opcode
from figwasp.wasm.syntax.types import I32, I64, Types
from figwasp.wasm.valid.aggregates import AGGREGATES
from figwasp.wasm.valid.control import CONTROL
from figwasp.wasm.valid.immediates import ADDRESSES, CHECKS, Address, Check
from figwasp.wasm.valid.refs import REFS
from figwasp.wasm.valid.state import Checker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["PLANS", "Plan", "Rule", "apply"]

Rule = Callable[[Checker, Immediate, int, bool], None]
_RULES: Final[dict[str, Rule]] = {**CONTROL, **REFS, **AGGREGATES}
_IN_LOOP: Final = frozenset(
    "block loop if else end br br_if call local.get local.set local.tee try_table try catch catch_all delegate".split()
)


class Plan:
    """How to check one instruction.

    Attributes:
        row: its row in the instruction table.
        check: the check of its immediates, or None.
        address: finds the address type that stands for ADDRESS, or None where there is none.
        params, results: its operands and results where they are fixed, an address being an i32; None for rows of type "*".
        params_64, results_64: the same, an address being an i64.
        rule: the rest, or None.
        reader: reads the immediates, or None where there are none.
    """

    __slots__ = ("address", "check", "params", "params_64", "reader", "results", "results_64", "row", "rule")

    def __init__(self, row: Opcode) -> None:
        params = row.params
        results = row.results or ()
        self.row = row
        self.check: Check | None = CHECKS.get(row.immediates)
        self.address: Address | None = None
        self.params = params
        self.results = results
        self.params_64 = params or ()
        self.results_64 = results
        if ADDRESS in self.params_64 or ADDRESS in results:
            self.address = ADDRESSES[row.immediates]
            self.params = None if params is None else _addressed(params, I32)
            self.results = _addressed(results, I32)
            self.params_64 = _addressed(params or (), I64)
            self.results_64 = _addressed(results, I64)
        self.rule = _RULES.get(row.name)
        self.reader: Reader | None = READERS[row.immediates] if row.immediates else None
        if params is None and self.rule is None and row.name not in _IN_LOOP:
            raise ValueError(f"no rule for {row.name}")


def _addressed(types: Types, address: int) -> Types:
    return tuple([address if code == ADDRESS else code for code in types])


def apply(checker: Checker, plan: Plan, value: Immediate, height: int, dead: bool) -> None:
    """Check the immediates of an instruction, take its operands and put its results in their place."""
    if plan.check is not None:
        plan.check(checker, plan.row, value)
    params = plan.params
    if params is not None:
        results = plan.results
        if plan.address is not None and plan.address(checker, value) == I64:
            params = plan.params_64
            results = plan.results_64
        checker.pop(params, height, dead)
        checker.stack += results
    if plan.rule is not None:
        plan.rule(checker, value, height, dead)


PLANS: Final[dict[int, Plan]] = {row.code: Plan(row) for row in opcodes.ROWS}
"""Opcode -> how to check it, whatever proposals are on."""
