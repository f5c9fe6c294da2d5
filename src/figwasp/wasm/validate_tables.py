"""The instruction table as the validator's loop wants it. Floor 1.

Goes in: the rows of `opcodes.py` and a set of proposals. Comes out: `Tables`, lists indexed by the opcode byte, with an
action for every instruction that has a fast path in `validate_body.py`. A row whose proposal is off has none.
"""

from __future__ import annotations

from typing import Final

from figwasp.features import Features
from figwasp.wasm import immediates, opcodes
from figwasp.wasm.opcodes import Opcode
from figwasp.wasm.types import EMPTY, NUM_TYPES, REF_TYPES

__all__ = [
    "BINARY",
    "BLOCK",
    "BRANCH",
    "CALL",
    "CONST",
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

# What the loop does with an opcode. Everything else goes by its row in the table.
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

_NAMED: Final = {"end": END, "br": BRANCH, "br_if": BRANCH, "call": CALL, "global.get": GLOBAL}


class Tables:
    """The instruction table as the loop wants it, for one set of features: lists indexed by the opcode byte.

    Attributes:
        action: what the loop does.
        operand: type of the operand, of both operands of a binary operation, of the value to store.
        result: type of the result.
        align: log2 of the natural alignment.
        blocks: block type byte -> results, or None when it is the first byte of a type index.
        values: codes of value types.
    """

    __slots__ = ("action", "align", "blocks", "operand", "result", "values")

    def __init__(self, features: Features) -> None:
        self.action = [OTHER] * 256
        self.operand = bytearray(256)
        self.result = bytearray(256)
        self.align = bytearray(256)
        self.values = NUM_TYPES + REF_TYPES if "reference-types" in features else NUM_TYPES
        self.blocks: list[bytes | None] = [None] * 256
        self.blocks[EMPTY] = b""
        for code in self.values:
            self.blocks[code] = bytes((code,))
        for row in opcodes.ROWS:
            if row.code < 0x100 and row.proposal in features:
                self.action[row.code] = _action(row)
                self.align[row.code] = row.align
                if row.params:
                    self.operand[row.code] = row.params[-1]
                if row.results:
                    self.result[row.code] = row.results[0]


def _action(row: Opcode) -> int:
    """Choose the fast path for a row."""
    kind = row.immediates
    params = row.params or b""
    results = row.results or b""
    if kind == immediates.NONE and len(results) == 1 and 1 <= len(params) <= 2 and len(set(params)) == 1:
        return UNARY if len(params) == 1 else BINARY
    if kind == immediates.MEMARG:
        return LOAD if results else STORE
    if immediates.I32 <= kind <= immediates.F64:
        return CONST
    if kind == immediates.LOCAL:
        return LOCAL
    return BLOCK if kind == immediates.BLOCK else _NAMED.get(row.name, OTHER)


_TABLES: Final[dict[Features, Tables]] = {}


def tables_for(features: Features) -> Tables:
    """Return the tables for a set of features, made once."""
    tables = _TABLES.get(features)
    if tables is None:
        tables = _TABLES[features] = Tables(features)
    return tables
