"""Floor 3: how a body is cut into tokens: runs of instructions that have a template, and what transfers control.

In: the bytes of a validated body. Out: pairs of such a run and the instruction behind it that transfers control, either of which may be
empty. The expressions are built of the instruction table. A body that has anything else in it shows by what is left over.
"""

from __future__ import annotations

import re
from typing import Final

from figwasp.wasm.syntax.immediates import MEMARG, NONE
from figwasp.wasm.syntax.opcodes import BY_NAME, BY_PREFIX, SINGLE, Opcode
from figwasp.wasm.syntax.types import F32, F64, I32, I64

__all__ = ["BODY", "BR_TABLE", "COMPARISONS", "CONSTANTS", "INSTRUCTION", "TOKEN", "is_access", "is_numeric"]

_LEB: Final = rb"[\x80-\xff]*+[\x00-\x7f]"
_CONSTS: Final = {I32: "i32.const", I64: "i64.const"}


def _byte(code: int) -> bytes:
    return b"\\x%02x" % code


def _name(name: str) -> bytes:
    return _byte(BY_NAME[name].code)


def _set(codes: list[int]) -> bytes:
    return b"[" + b"".join(map(_byte, codes)) + b"]"


def is_numeric(row: Opcode) -> bool:
    """Tell whether an instruction makes one number of one or two others, and has no immediates."""
    if not row.params or row.results is None or row.immediates != NONE:
        return False
    return len(row.params) <= 2 and len(row.results) == 1 and {*row.params, *row.results} <= {I32, I64, F32, F64}


def is_access(row: Opcode) -> bool:
    """Tell whether an instruction is a load or a store."""
    return row.immediates == MEMARG and row.code < 1 << 8


_ROWS: Final = [row for row in SINGLE if row is not None]
_NUMERIC: Final = [row for row in _ROWS if is_numeric(row)]
_UNARY: Final = [row.code for row in _NUMERIC if row.params and len(row.params) == 1]
_BINARY: Final = [row.code for row in _NUMERIC if row.params and len(row.params) == 2]
_TRUNCATIONS: Final = [number for number, row in enumerate(BY_PREFIX[0xFC]) if row is not None and is_numeric(row)]
_LOADS: Final = [row.code for row in _ROWS if is_access(row) and row.results]
_STORES: Final = [row.code for row in _ROWS if is_access(row) and not row.results]

_NOT_BY_CONSTANT: Final = ("sub", "div_s", "div_u", "rem_s", "rem_u")
_CONSTANT_OPERAND: Final = {
    type: [
        row.code
        for row in _NUMERIC
        if row.params == (type, type) and not any(row.name.endswith(name) for name in _NOT_BY_CONSTANT)
    ]
    for type in (I32, I64)
}
_CONSTANT_STORES: Final = {I32: [BY_NAME["i32.store"].code], I64: [BY_NAME["i64.store"].code]}
CONSTANTS: Final = {
    code: bytes((BY_NAME[_CONSTS[type]].code,)) for type in _CONSTS for code in _CONSTANT_OPERAND[type] + _CONSTANT_STORES[type]
}
"""Instructions whose last operand may be a constant, and its opcode: of others the compiler makes something else with each constant."""
COMPARISONS: Final = frozenset(row.code for row in _NUMERIC if row.ir.split("_")[1] in ("eqz", "eq", "ne", "lt", "gt", "le", "ge"))
"""Instructions behind which a branch may depend on flags."""

_GET: Final = _name("local.get") + _LEB
_SINK: Final = b"(?:" + _set([BY_NAME["local.set"].code, BY_NAME["local.tee"].code]) + _LEB + b")?+"
_MEMARG: Final = rb"[\x00-\x3f]" + _LEB  # memory 0


def _const(type: int) -> bytes:
    return _name(_CONSTS[type]) + _LEB


_BY_CONST: Final = b"|".join(
    _const(type) + b"(?:" + _set(_CONSTANT_OPERAND[type]) + _SINK + b"|" + _set(_CONSTANT_STORES[type]) + _MEMARG + b")"
    for type in (I32, I64)
)
_ONE: Final = b"|".join([
    _set(_BINARY) + _SINK,
    _set(_UNARY) + _SINK,
    _set(_LOADS) + _MEMARG + _SINK,
    _set(_STORES) + _MEMARG,
    _byte(0xFC) + _set(_TRUNCATIONS) + _SINK,
])
_RUN: Final = b"|".join([
    _GET + b"(?:" + _GET + b"(?:" + _set(_BINARY) + _SINK + b"|" + _set(_STORES) + _MEMARG + b")|" + _BY_CONST + b"|" + _ONE + b")",
    _BY_CONST,
    _ONE,
    b"(?:" + _GET + b"|" + _const(I32) + b"|" + _const(I64) + b")" + _set([BY_NAME["local.set"].code]) + _LEB,
    b"(?:" + b"|".join(map(_name, ("local.get", "local.set", "local.tee", "global.get", "global.set"))) + b")" + _LEB,
    _const(I32),
    _const(I64),
    _name("f32.const") + b"....",
    _name("f64.const") + b"........",
    _set([BY_NAME[name].code for name in ("drop", "select", "nop")]),
    _name("select_t") + rb"\x01[\x7c-\x7f]",
    _set([BY_NAME[name].code for name in ("memory.size", "memory.grow")]) + rb"\x00",
    rb"\xfc\x0a\x00\x00|\xfc\x0b\x00",
    _name("call") + _LEB,
    _name("call_indirect") + _LEB + _LEB,
])  # fmt: skip
_BLOCK: Final = rb"(?:[\x63\x64]" + _LEB + b"|" + _LEB + b")"
_CONTROL: Final = b"|".join([
    _set([BY_NAME[name].code for name in ("else", "end", "return", "unreachable")]),
    _set([BY_NAME[name].code for name in ("br", "br_if")]) + _LEB,
    _set([BY_NAME[name].code for name in ("block", "loop", "if")]) + _BLOCK,
])  # fmt: skip

_GETS: Final = b"|".join(map(_name, ("local.get", "local.set", "local.tee", "global.get", "global.set", "call", *_CONSTS.values())))
INSTRUCTION: Final = re.compile(
    b"|".join([
        b"(?:" + _GETS + b")" + _LEB,
        _name("call_indirect") + _LEB + _LEB,
        _set(_LOADS + _STORES) + _MEMARG,
        _name("f32.const") + b"....",
        _name("f64.const") + b"........",
        _name("select_t") + rb"\x01.",
        rb"[\x3f\x40]\x00|\xfc\x0a\x00\x00|\xfc\x0b\x00|\xfc.|.",
    ]),
    re.DOTALL,
)
"""An instruction of a run."""
TOKEN: Final = re.compile(b"(" + _RUN + b"|)(" + _CONTROL + b"|)", re.DOTALL)
BODY: Final = re.compile(b"(?:" + _RUN + b"|" + _CONTROL + b")*+", re.DOTALL)
"""Everything up to a `br_table`, or to what has no template."""
BR_TABLE: Final = BY_NAME["br_table"].code
