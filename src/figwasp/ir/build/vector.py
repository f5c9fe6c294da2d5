"""Vector instructions with immediates (spec 4.4.1, 4.4.7): constants, lanes, and accesses to memory. Floor 2.

What accesses a part of a vector is put together: a load of the bytes, then the operation that puts them in their place, which
instruction selection may join again.
"""

from __future__ import annotations

from typing import Final

from figwasp.ir import ops
from figwasp.ir.build.base import Builder, Method
from figwasp.ir.build.memory import address, read_memarg
from figwasp.ir.func import Value
from figwasp.ir.ops import V128
from figwasp.wasm.syntax.immediates import LANE, LANES
from figwasp.wasm.syntax.opcodes import ROWS

__all__ = ["METHODS"]

_VECTOR: Final = 16
"""Bytes of a vector."""


def _build_const(b: Builder, pos: int) -> int:
    end = pos + _VECTOR
    b.stack.append(b.const(V128, int.from_bytes(b.data[pos:end], "little")))
    return end


def _lane(op: int) -> Method:
    """Return the method of an operation on one lane."""
    count = len(ops.OPERANDS[op])

    def build(b: Builder, pos: int) -> int:
        b.stack.append(b.emit(op, b.pop(count), b.data[pos]))
        return pos + 1

    return build


def _build_shuffle(b: Builder, pos: int) -> int:
    end = pos + _VECTOR
    b.stack.append(b.emit(_SHUFFLE, b.pop(2), int.from_bytes(b.data[pos:end], "little")))
    return end


def _load(b: Builder, pos: int, op: int, size: int) -> tuple[Value, int]:
    """Append a load of `size` bytes; return it, and the position after the memarg."""
    aux, pos = read_memarg(b, pos)
    return b.emit(op, address(b, aux, size), aux), pos


def _whole(op: int, size: int) -> Method:
    """Return the method of a load of `size` bytes that is one operation."""

    def build(b: Builder, pos: int) -> int:
        value, pos = _load(b, pos, op, size)
        b.stack.append(value)
        return pos

    return build


def _extended(name: str) -> Method:
    """Return the method of a load of half a vector whose lanes are extended: "8x8_s" and the like."""
    width = int(name.partition("x")[0])
    lanes = 64 // width
    extend = ops.BY_NAME[f"i{2 * width}x{lanes}_extend_low_i{width}x{2 * lanes}_{name[-1]}"]

    def build(b: Builder, pos: int) -> int:
        value, pos = _load(b, pos, ops.V128_LOAD64_ZERO, 8)
        b.stack.append(b.emit(extend, [value]))
        return pos

    return build


_LOADS: Final = {8: ops.I32_LOAD8_U, 16: ops.I32_LOAD16_U, 32: ops.I32_LOAD, 64: ops.I64_LOAD}
_STORES: Final = {8: ops.I32_STORE8, 16: ops.I32_STORE16, 32: ops.I32_STORE, 64: ops.I64_STORE}
"""Bits of a lane -> the operation that loads or stores them."""


def _shape(width: int) -> str:
    return f"i{width}x{128 // width}"


def _splat(width: int) -> Method:
    """Return the method of a load of `width` bits for every lane."""
    splat = ops.BY_NAME[f"{_shape(width)}_splat"]

    def build(b: Builder, pos: int) -> int:
        value, pos = _load(b, pos, _LOADS[width], width // 8)
        b.stack.append(b.emit(splat, [value]))
        return pos

    return build


def _load_lane(width: int) -> Method:
    """Return the method of a load of `width` bits for one lane."""
    replace = ops.BY_NAME[f"{_shape(width)}_replace_lane"]

    def build(b: Builder, pos: int) -> int:
        vector = b.stack.pop()
        value, pos = _load(b, pos, _LOADS[width], width // 8)
        b.stack.append(b.emit(replace, [vector, value], b.data[pos]))
        return pos + 1

    return build


def _store_lane(width: int) -> Method:
    """Return the method of a store of one lane of `width` bits."""
    extract = ops.BY_NAME[f"{_shape(width)}_extract_lane{'_u' if width < 32 else ''}"]

    def build(b: Builder, pos: int) -> int:
        vector = b.stack.pop()
        aux, pos = read_memarg(b, pos)
        place = address(b, aux, width // 8)
        b.emit(_STORES[width], [b.emit(extract, [vector], b.data[pos]), *place], aux)
        return pos + 1

    return build


def _build_store(b: Builder, pos: int) -> int:
    vector = b.stack.pop()
    aux, pos = read_memarg(b, pos)
    b.emit(ops.V128_STORE, [vector, *address(b, aux, _VECTOR)], aux)
    return pos


_SHUFFLE: Final = ops.BY_NAME["i8x16_shuffle"]

METHODS: Final[dict[str, Method]] = {
    "v128.const": _build_const,
    "v128.load": _whole(ops.V128_LOAD, _VECTOR),
    "v128.load32_zero": _whole(ops.V128_LOAD32_ZERO, 4),
    "v128.load64_zero": _whole(ops.V128_LOAD64_ZERO, 8),
    "v128.store": _build_store,
}
METHODS.update((row.name, _lane(ops.BY_NAME[row.ir])) for row in ROWS if row.immediates == LANE and row.ir in ops.BY_NAME)
METHODS.update((row.name, _build_shuffle) for row in ROWS if row.immediates == LANES)
for _width in (8, 16, 32, 64):
    METHODS[f"v128.load{_width}_splat"] = _splat(_width)
    METHODS[f"v128.load{_width}_lane"] = _load_lane(_width)
    METHODS[f"v128.store{_width}_lane"] = _store_lane(_width)
for _name in ("8x8_s", "8x8_u", "16x4_s", "16x4_u", "32x2_s", "32x2_u"):
    METHODS[f"v128.load{_name}"] = _extended(_name)
