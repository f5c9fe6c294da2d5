"""The instruction table as the validator's loop wants it. Floor 1.

Goes in: the rows of `opcodes.py` and a set of proposals. Comes out: `Tables`, lists indexed by the opcode byte, with an
action for every instruction that has a fast path in `valid/body.py`. A row whose proposal is off has neither action nor plan.
"""

from __future__ import annotations

from figwasp.features import Features
from figwasp.wasm.syntax import immediates, opcodes
from figwasp.wasm.syntax.opcodes import Opcode
from figwasp.wasm.syntax.types import EMPTY, TYPE_CODES, Types, missing_proposal
from figwasp.wasm.valid.rules import PLANS, Plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = [
    "BINARY",
    "BLOCK",
    "BRANCH",
    "CALL",
    "CONST",
    "CATCH_CLAUSE",
    "END",
    "GLOBAL",
    "LOAD",
    "LOCAL",
    "OTHER",
    "STORE",
    "UNARY",
    "Tables",
    "tables_for",
]

# What the loop does with an opcode. Everything else goes by its plan.
OTHER: Final = 0
UNARY: Final = 1
BINARY: Final = 2
CONST: Final = 3
LOCAL: Final = 4
LOAD: Final = 5
STORE: Final = 6
BRANCH: Final = 7
BLOCK: Final = 8
END: Final = 9
CALL: Final = 10
GLOBAL: Final = 11
CATCH_CLAUSE: Final = 12
"""`catch` and `catch_all` of legacy exceptions."""

_NAMED: Final = {
    "end": END,
    "delegate": END,
    "br": BRANCH,
    "br_if": BRANCH,
    "call": CALL,
    "global.get": GLOBAL,
    "block": BLOCK,
    "loop": BLOCK,
    "if": BLOCK,
    "try": BLOCK,
    "try_table": BLOCK,
    "catch": CATCH_CLAUSE,
    "catch_all": CATCH_CLAUSE,
}
_NEVER_GO_ON: Final = frozenset(
    "unreachable br_table return return_call return_call_indirect return_call_ref throw rethrow throw_ref".split()
)


class Tables:
    """The instruction table as the loop wants it, for one set of features: lists indexed by the opcode byte.

    Attributes:
        action: what the loop does.
        operand: type of the operand, of both operands of a binary operation, of the value to store.
        result: type of the result.
        align: log2 of the natural alignment, -1 for what is no memory access.
        ends: whether what follows is unreachable.
        blocks: first byte of a block type -> results, or None when there is more to say or to read.
        plans: opcode -> how to check it, for the instructions that are on.
    """

    __slots__ = ("action", "align", "blocks", "ends", "operand", "plans", "result")

    def __init__(self, features: Features) -> None:
        self.action = [OTHER] * 256
        self.operand = bytearray(256)
        self.result = bytearray(256)
        self.align = [-1] * 256
        self.ends = [False] * 256
        self.blocks: list[Types | None] = [None] * 256
        self.blocks[EMPTY] = ()
        for code in TYPE_CODES.values():
            if missing_proposal(code, features) is None:
                self.blocks[code] = (code,)
        self.plans: dict[int, Plan] = {}
        for row in opcodes.ROWS:
            if row.proposal in features:
                self.plans[row.code] = PLANS[row.code]
                if row.code < 0x100:
                    self._single(row)

    def _single(self, row: Opcode) -> None:
        code = row.code
        self.action[code] = _action(row)
        self.align[code] = row.align if row.immediates == immediates.MEMARG else -1
        self.ends[code] = row.name in _NEVER_GO_ON
        if row.params:
            self.operand[code] = row.params[-1]
        if row.results:
            self.result[code] = row.results[0]


def _action(row: Opcode) -> int:
    """Choose the fast path for a row."""
    if row.name in _NAMED:
        return _NAMED[row.name]
    kind = row.immediates
    params = row.params or ()
    results = row.results or ()
    if kind == immediates.NONE and len(results) == 1 and 1 <= len(params) <= 2 and len(set(params)) == 1:
        return UNARY if len(params) == 1 else BINARY
    if kind == immediates.MEMARG:
        return LOAD if results else STORE
    if immediates.I32 <= kind <= immediates.F64:
        return CONST
    return LOCAL if kind == immediates.LOCAL else OTHER


_TABLES: Final[dict[Features, Tables]] = {}


def tables_for(features: Features) -> Tables:
    """Return the tables for a set of features, made once."""
    tables = _TABLES.get(features)
    if tables is None:
        tables = _TABLES[features] = Tables(features)
    return tables
