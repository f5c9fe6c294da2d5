"""Floor 3: what the bytes of runs say, read once for each distinct run."""

from __future__ import annotations

from figwasp.wasm.binary.leb128 import signed, unsigned
from figwasp.wasm.binary.types import read_value_type
from figwasp.wasm.syntax.opcodes import BY_CODE, BY_NAME, BY_PREFIX, pack
from figwasp.wasm.syntax.types import EMPTY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["Run", "skip_block_type", "skip_locals", "unknown"]

_LOCALS: Final = frozenset(BY_NAME[name].code for name in ("local.get", "local.set", "local.tee"))
_CONSTANTS: Final = frozenset(BY_NAME[name].code for name in ("i32.const", "i64.const"))
_FLOATS: Final = {BY_NAME["f32.const"].code: 4, BY_NAME["f64.const"].code: 8}
_GLOBALS: Final = frozenset(BY_NAME[name].code for name in ("global.get", "global.set"))
_FIRST_ACCESS: Final = BY_NAME["i32.load"].code
_LAST_ACCESS: Final = BY_NAME["i64.store32"].code
_SIZE_AND_GROW: Final = frozenset(BY_NAME[name].code for name in ("memory.size", "memory.grow"))
_SELECT: Final = BY_NAME["select"].code
_SELECT_T: Final = BY_NAME["select_t"].code
_ON_MEMORIES: Final = frozenset(BY_NAME[name].code for name in ("memory.size", "memory.grow", "memory.copy", "memory.fill"))
_PREFIX: Final = 0xFC
_FIRST_BULK: Final = 0x08
_LONG: Final = 0x80
_SIGN: Final = 0x40


class Run:
    """The instructions of a run.

    Attributes:
        key: their opcodes.
        locals: the indices of locals, in order.
        number: the constant, as its bits are read with a sign, or the index of the global.
        offset: of the memory access.
    """

    __slots__ = ("key", "locals", "number", "offset")

    def __init__(self, run: bytes) -> None:
        key = bytearray()
        self.locals: list[int] = []
        self.number = 0
        self.offset = 0
        at = 0
        size = len(run)
        while at < size:
            op = run[at]
            at += 1
            key.append(op)
            if op in _LOCALS:  # here and below: nearly all numbers are a byte long
                index = run[at]
                at += 1
                if index >= _LONG:
                    index, at = unsigned(run, at - 1, 32)
                self.locals.append(index)
            elif op in _CONSTANTS:
                number = run[at]
                if number < _LONG:
                    self.number = number - _LONG if number & _SIGN else number
                    at += 1
                else:
                    self.number, at = signed(run, at, 64)
            elif _FIRST_ACCESS <= op <= _LAST_ACCESS:
                self.offset = run[at + 1]
                at += 2
                if self.offset >= _LONG:
                    self.offset, at = unsigned(run, at - 1, 64)
            elif op in _GLOBALS:
                self.number, at = unsigned(run, at, 32)
            elif op in _FLOATS:
                self.number = int.from_bytes(run[at : at + _FLOATS[op]], "little")
                at += _FLOATS[op]
            elif op == _PREFIX:
                key.append(run[at])
                at = at + 1 if run[at] < _FIRST_BULK else size  # the others stand alone, and what follows says memory 0
            elif op in _SIZE_AND_GROW:  # of memory 0, alone
                at = size
            elif op == _SELECT_T:
                key[-1] = _SELECT
                at = size
        self.key = bytes(key)


def skip_locals(data: bytes, pos: int) -> int:
    """Return the position of the first instruction of a body."""
    count, pos = unsigned(data, pos, 32)
    for _ in range(count):
        pos = read_value_type(data, unsigned(data, pos, 32)[1])[1]
    return pos


def skip_block_type(data: bytes, pos: int) -> int:
    """Return the position behind a block type."""
    code = data[pos]
    return read_value_type(data, pos)[1] if EMPTY < code < _LONG else unsigned(data, pos, 32)[1]


def unknown(data: bytes, pos: int) -> str:
    """Return in words what stands at a position that tokens do not know: an instruction, or one of this kind."""
    code = data[pos]
    if code in BY_PREFIX:
        code = pack(code, unsigned(data, pos + 1, 32)[0])
    row = BY_CODE[code]
    if _FIRST_ACCESS <= code <= _LAST_ACCESS or code in _ON_MEMORIES:
        return f"{row.text} of another memory than the first"
    return f"the instruction {row.text}" + (" of a type that is no number" if code == _SELECT_T else "")
