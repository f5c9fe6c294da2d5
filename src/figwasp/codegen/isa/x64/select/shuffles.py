"""Floor 3: x86-64 selection: bytes of vectors put elsewhere, by numbers that are known (shuffle) or not (swizzle).

In: the 16 numbers of a shuffle. Out: the one instruction that does just this, if there is one, else PSHUFB of each operand. The
number of a byte of a constant 0 is _ZERO here.
"""

from __future__ import annotations

from typing import Final

from figwasp.codegen.isa.x64 import insts as x
from figwasp.codegen.isa.x64 import insts_vector as v
from figwasp.codegen.isa.x64.select.vectors import Sequence, as_bytes, is_zero
from figwasp.codegen.mach import COPY, NONE
from figwasp.codegen.select import Rule, Selector
from figwasp.ir import ops
from figwasp.ir.func import Value

_ZERO: Final = -1
_SECOND: Final = 16  # added to the numbers of bytes of the second operand
_OMITTED: Final = 0x80  # number for which PSHUFB gives 0
_IDENTITY: Final = list(range(16))


def _shuffle(s: Selector, value: Value, rd: int) -> None:
    left, right = value.args
    assert type(value.aux) is int
    lanes = list(value.aux.to_bytes(16, "little"))
    if left is right:
        lanes = [lane & 15 for lane in lanes]
    elif is_zero(left):
        left, right = right, left
        lanes = [lane ^ _SECOND for lane in lanes]
    if is_zero(right):
        lanes = [lane if lane < _SECOND else _ZERO for lane in lanes]
    sequence = Sequence(s)
    if min(lanes) >= _SECOND:
        _one(sequence, right, [lane - _SECOND for lane in lanes], rd)
    elif max(lanes) >= _SECOND:
        _two(sequence, left, right, lanes, rd)
    elif min(lanes) == _ZERO:
        _with_zeros(sequence, left, lanes, rd)
    else:
        _one(sequence, left, lanes, rd)
    sequence.finish()


def _groups(lanes: list[int], size: int) -> list[int]:
    """Return the numbers of lanes of so many bytes that are moved whole, or nothing."""
    groups = []
    for place in range(0, 16, size):
        first = lanes[place]
        if first % size or lanes[place : place + size] != list(range(first, first + size)):
            return []
        groups.append(first // size)
    return groups


def _packed(numbers: list[int]) -> int:
    """Return four numbers of two bits as an immediate."""
    return sum((number & 3) << 2 * place for place, number in enumerate(numbers))


def _one(sequence: Sequence, operand: Value, lanes: list[int], rd: int) -> None:
    """Emit a shuffle of one operand."""
    if lanes == _IDENTITY:
        sequence.op(COPY, sequence.use(operand), NONE, 0, rd)
        return
    doubles = _groups(lanes, 4)
    words = _groups(lanes, 2)
    if doubles:
        sequence.of_value(v.PSHUFD, operand, _packed(doubles), rd)
    elif words and words[4:] == [4, 5, 6, 7] and max(words[:4]) < 4:
        sequence.of_value(v.PSHUFLW, operand, _packed(words[:4]), rd)
    elif words and words[:4] == [0, 1, 2, 3] and min(words[4:]) >= 4:
        sequence.of_value(v.PSHUFHW, operand, _packed(words[4:]), rd)
    elif all(lane == (lanes[0] + place) % 16 for place, lane in enumerate(lanes)):
        register = sequence.use(operand)
        sequence.op(v.PALIGNR, register, register, lanes[0], rd)
    else:
        sequence.pool(v.PSHUFB, sequence.use(operand), bytes(lanes), rd)


def _interleaving(half: int, size: int) -> bytes:
    """Return the numbers that take lanes of so many bytes by turns, from a place on."""
    return bytes(lane + from_ + byte for lane in range(half, half + 8, size) for from_ in (0, _SECOND) for byte in range(size))


_INTERLEAVED: Final = {
    _interleaving(half, size): row
    for half, rows in (
        (0, (v.PUNPCKLBW, v.PUNPCKLWD, v.PUNPCKLDQ, v.PUNPCKLQDQ)), (8, (v.PUNPCKHBW, v.PUNPCKHWD, v.PUNPCKHDQ, v.PUNPCKHQDQ)),
    )
    for size, row in zip((1, 2, 4, 8), rows, strict=True)
}  # fmt: skip


def _two(sequence: Sequence, left: Value, right: Value, lanes: list[int], rd: int) -> None:
    """Emit a shuffle of two operands, whichever of them comes first."""
    other = [lane ^ _SECOND for lane in lanes]
    if _two_in_order(sequence, left, right, lanes, rd) or _two_in_order(sequence, right, left, other, rd):
        return
    if all(lane & 15 == place for place, lane in enumerate(lanes)):
        first = sequence.pool(x.PAND_RR, sequence.use(left), bytes(0xFF * (lane < _SECOND) for lane in lanes))
        second = sequence.pool(x.PAND_RR, sequence.use(right), bytes(0xFF * (lane >= _SECOND) for lane in lanes))
    else:
        first = sequence.pool(v.PSHUFB, sequence.use(left), _mask(lanes))
        second = sequence.pool(v.PSHUFB, sequence.use(right), _mask(other))
    sequence.op(x.POR_RR, first, second, 0, rd)


def _mask(lanes: list[int]) -> bytes:
    """Return the operand of PSHUFB that takes the bytes of the first operand and leaves zeros for the others."""
    return bytes(lane if 0 <= lane < _SECOND else _OMITTED for lane in lanes)


def _two_in_order(sequence: Sequence, left: Value, right: Value, lanes: list[int], rd: int) -> bool:
    """Emit a shuffle if one instruction does it with the operands in this order."""
    row = _INTERLEAVED.get(bytes(lanes), 0)
    doubles = _groups(lanes, 4)
    words = _groups(lanes, 2)
    first = lanes[0]
    if row:
        sequence.with_value(row, sequence.use(left), right, rd)
    elif first < _SECOND and lanes == list(range(first, first + 16)):
        sequence.with_value(v.PALIGNR, sequence.use(right), left, rd, first)
    elif words and all(word & 7 == place for place, word in enumerate(words)):
        imm = sum(1 << place for place, word in enumerate(words) if word >= 8)
        sequence.with_value(v.PBLENDW, sequence.use(left), right, rd, imm)
    elif doubles and max(doubles[:2]) < 4 <= min(doubles[2:]):
        sequence.with_value(v.SHUFPS, sequence.use(left), right, rd, _packed(doubles))
    else:
        return False
    return True


_ZERO_EXTENDED: Final = {
    tuple(place // size * half + place % size if place % size < half else _ZERO for place in range(16)): row
    for half, size, row in ((1, 2, v.PMOVZXBW), (2, 4, v.PMOVZXWD), (4, 8, v.PMOVZXDQ))
}


def _with_zeros(sequence: Sequence, operand: Value, lanes: list[int], rd: int) -> None:
    """Emit a shuffle of an operand and of zeros."""
    row = _ZERO_EXTENDED.get(tuple(lanes), 0)
    zeros = lanes.count(_ZERO)
    if row:
        sequence.of_value(row, operand, 0, rd)
    elif lanes == [_ZERO] * zeros + _IDENTITY[: 16 - zeros]:
        sequence.op(v.PSLLDQ_I, sequence.use(operand), NONE, zeros, rd)
    elif lanes == _IDENTITY[zeros:] + [_ZERO] * zeros:
        sequence.op(v.PSRLDQ_I, sequence.use(operand), NONE, zeros, rd)
    elif all(lane in (place, _ZERO) for place, lane in enumerate(lanes)):
        sequence.pool(x.PAND_RR, sequence.use(operand), bytes(0xFF * (lane != _ZERO) for lane in lanes), rd)
    else:
        sequence.pool(v.PSHUFB, sequence.use(operand), _mask(lanes), rd)


def _swizzle(s: Selector, value: Value, rd: int) -> None:
    """Emit PSHUFB, with numbers above 15 made such that have their highest bit set."""
    operand, numbers = value.args
    sequence = Sequence(s)
    if numbers.op == ops.CONST:
        sequence.pool(v.PSHUFB, sequence.use(operand), _mask(list(as_bytes(numbers))), rd)
    else:
        chosen = sequence.pool(v.PADDUSB, sequence.use(numbers), bytes((0x70,)) * 16)
        sequence.op(v.PSHUFB, sequence.use(operand), chosen, 0, rd)
    sequence.finish()


RULES: Final[dict[int, Rule]] = {ops.BY_NAME["i8x16_shuffle"]: _shuffle, ops.BY_NAME["i8x16_swizzle"]: _swizzle}
