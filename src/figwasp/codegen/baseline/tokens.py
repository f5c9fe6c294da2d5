"""Floor 3: how a body is cut into tokens: runs of instructions that there are templates for, and what transfers control.

In: the bytes of a validated body. Out: pairs of a run and the instruction behind it that transfers control, either of which may be
empty. The expressions are built of the instruction table. What they do not know ends a stretch of tokens.
"""

from __future__ import annotations

import re

from figwasp.wasm.syntax.immediates import MEMARG, NONE
from figwasp.wasm.syntax.opcodes import BY_NAME, BY_PREFIX, SINGLE
from figwasp.wasm.syntax.types import F32, F64, I32, I64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

    from figwasp.wasm.syntax.opcodes import Opcode

__all__ = ["BODY", "COMPARISONS", "CONSTANTS", "INSTRUCTION", "TOKEN", "is_access", "is_numeric"]

_LEB: Final = rb"[\x80-\xff]*+[\x00-\x7f]"
_CONSTS: Final = {I32: "i32.const", I64: "i64.const"}
_PREFIX: Final = rb"\xfc"
_MEMARG: Final = rb"[\x00-\x3f]" + _LEB
"""Of memory 0."""


def _set(codes: Iterable[int]) -> bytes:
    return b"[" + b"".join(b"\\x%02x" % code for code in codes) + b"]"


def _names(*names: str) -> bytes:
    return _set(BY_NAME[name].code for name in names)


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

_NOT_BY_CONSTANT: Final = frozenset(
    """
    i64_and
    i32_sub i32_div_s i32_div_u i32_rem_s i32_rem_u
    i64_sub i64_div_s i64_div_u i64_rem_s i64_rem_u
    """.split()
)
_BY_CONSTANT: Final = {
    type: [row.code for row in _NUMERIC if row.params == (type, type) and row.ir not in _NOT_BY_CONSTANT] for type in _CONSTS
}
_CONSTANT_STORES: Final = {I32: BY_NAME["i32.store"].code, I64: BY_NAME["i64.store"].code}
CONSTANTS: Final = {
    code: bytes((BY_NAME[name].code,)) for type, name in _CONSTS.items() for code in (*_BY_CONSTANT[type], _CONSTANT_STORES[type])
}
"""Instructions whose last operand may be a constant -> its opcode. With others the compiler makes something else of each one."""
COMPARISONS: Final = frozenset(row.code for row in _NUMERIC if row.ir.split("_")[1] in ("eqz", "eq", "ne", "lt", "gt", "le", "ge"))
"""Instructions behind which a branch may depend on flags."""

# An instruction

_GET: Final = _names("local.get") + _LEB
_CONST: Final = _names(*_CONSTS.values()) + _LEB
_SET: Final = _names("local.set") + _LEB
_BULK: Final = _PREFIX + rb"(?:\x0a\x00\x00|\x0b\x00)"  # memory.copy and memory.fill, of memory 0
_SINGLE: Final = b"|".join([
    _names("local.get", "local.set", "local.tee", "global.get", "global.set", "call", *_CONSTS.values()) + _LEB,
    _set([*_BINARY, *_UNARY]),
    _set([*_LOADS, *_STORES]) + _MEMARG,
    _names("drop", "select", "nop"),
    _names("call_indirect") + _LEB + _LEB,
    _names("f32.const") + b"....",
    _names("f64.const") + b"........",
    _names("select_t") + rb"\x01[\x7c-\x7f]",
    _names("memory.size", "memory.grow") + rb"\x00",
    _PREFIX + _set(_TRUNCATIONS),
    _BULK,
])  # fmt: skip
_CONTROL: Final = b"|".join([
    _names("else", "end", "return", "unreachable", "throw_ref"),
    _names("br", "br_if") + _LEB,
    _names("block", "loop", "if") + rb"(?:[\x63\x64]" + _LEB + b"|" + _LEB + b")",
])  # fmt: skip

# What stands together: operands, an instruction that makes one value of them, what takes that

_SINK: Final = b"(?:" + _names("local.set", "local.tee") + _LEB + b")?+"
_WITH_CONST: Final = b"|".join(
    _names(name)
    + _LEB
    + b"(?:"
    + _set(_BY_CONSTANT[type])
    + _SINK
    + b"|"
    + _set([_CONSTANT_STORES[type]])
    + _MEMARG
    + b")"
    for type, name in _CONSTS.items()
)
_ONE: Final = b"|".join([
    _set([*_BINARY, *_UNARY]) + _SINK,
    _set(_LOADS) + _MEMARG + _SINK,
    _set(_STORES) + _MEMARG,
    _PREFIX + _set(_TRUNCATIONS) + _SINK,
])  # fmt: skip
_TWO_LOCALS: Final = _GET + b"(?:" + _set(_BINARY) + _SINK + b"|" + _set(_STORES) + _MEMARG + b")"
_RUN: Final = b"|".join([
    _GET + b"(?:" + b"|".join([_TWO_LOCALS, _WITH_CONST, _ONE]) + b")",
    _WITH_CONST,
    _ONE,
    b"(?:" + _GET + b"|" + _CONST + b")" + _SET,
    _SINGLE,
])  # fmt: skip

TOKEN: Final = re.compile(b"(" + _RUN + b"|)(" + _CONTROL + b"|)", re.DOTALL)
BODY: Final = re.compile(b"(?:" + _SINGLE + b"|" + _CONTROL + b")*+", re.DOTALL)
"""Everything up to a `br_table` or a `try_table`, or to what has no template."""
INSTRUCTION: Final = re.compile(_SINGLE, re.DOTALL)
"""An instruction of a run."""
