"""Live ranges against a plain dataflow analysis, point by point."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from figwasp.codegen.mach import COPY, FIRST_ROW, JUMP, RET, SWITCH, VIRTUAL, CallSite, MBlock, MFunc, MInst
from figwasp.codegen.regalloc import liveness
from figwasp.codegen.regalloc.liveness import Ranges, live_ranges
from figwasp.codegen.target import Target
from figwasp.ir.ops import I64

from . import target as t
from .functions import generate

TARGET = t.make_target(4, 3, 1)


def ranges_of(func: MFunc, target: Target) -> Ranges:
    ranges = live_ranges(func, target)
    assert ranges is not None
    return ranges


def operands(inst: MInst, block: MBlock) -> tuple[list[int], list[int], list[int], list[int]]:
    """The virtual registers an instruction reads early, reads late, defines early, defines late."""
    early: list[int] = []
    late: list[int] = []
    first: list[int] = []
    second: list[int] = []
    if inst.op >= FIRST_ROW:
        reads = t.ROWS.reads[inst.op]
        tied = t.ROWS.tied[inst.op]
        (first if tied else second).append(inst.rd)
        early += [inst.rn] if reads & 1 else []
        (late if tied else early).extend([inst.rm] if reads & 2 else [])
        (late if tied else early).extend([inst.rx] if reads & 4 else [])
    elif inst.op == COPY:
        early.append(inst.rn)
        second.append(inst.rd)
    elif inst.op == JUMP:
        early += block.args
    elif inst.op == SWITCH:
        late.append(inst.rn)
        first += [inst.rm, inst.rx]
    elif isinstance(inst.imm, CallSite):
        early += [*inst.imm.args, inst.imm.address]
        second += inst.imm.results
    lists = (early, late, first, second)
    return tuple([v for v in values if v >= VIRTUAL] for values in lists)  # type: ignore[return-value]


def plain(func: MFunc) -> dict[int, set[int]]:
    """The points where each register is live; by iteration, backwards over every point."""
    live_in: dict[int, set[int]] = {block.id: set() for block in func.blocks}
    points: dict[int, set[int]] = {}
    changed = True
    while changed:
        changed = False
        for block in reversed(func.blocks):
            live = set().union(*(live_in[succ.id] - set(succ.params) for succ in block.succs))
            point = block.end
            for inst in reversed(block.code):
                early, late, first, second = operands(inst, block)
                live |= set(second)
                mark(points, live, point - 1)
                live -= set(second)
                live |= {*late, *first}
                mark(points, live, point - 2)
                live -= set(first)
                live |= set(early)
                point -= 2
            live |= set(block.params)
            mark(points, live, point - 1)
            mark(points, live, point - 2)
            if live != live_in[block.id]:
                live_in[block.id] = live
                changed = True
    return points


def mark(points: dict[int, set[int]], live: set[int], point: int) -> None:
    for v in live:
        points.setdefault(v, set()).add(point)


def used(func: MFunc) -> set[int]:
    """The registers that anything reads."""
    return {v for block in func.blocks for inst in block.code for group in operands(inst, block)[:2] for v in group}


@given(st.integers(0, 1 << 40), st.sampled_from([5, 30, 80]))
def test_ranges_are_exact(seed: int, size: int) -> None:
    func = generate(seed, TARGET, size)
    ranges = ranges_of(func, TARGET)
    points = plain(func)
    read = used(func)
    for v in range(VIRTUAL, len(func.types)):
        if v in read:
            found = {point for point in range(ranges.mask[v].bit_length()) if ranges.mask[v] >> point & 1}
            assert found == points[v], f"register {v}"


def straight(*code: MInst) -> MFunc:
    """A function of one block."""
    func = MFunc("straight", 0, 0)
    func.types += [I64] * 10
    func.blocks.append(MBlock(0))
    func.blocks[0].code = [*code, MInst(RET, imm=CallSite([], [], [], []))]
    return func


def bits(*points: int) -> int:
    return sum(1 << point for point in points)


def test_early_and_late() -> None:
    a, b, c, d = range(VIRTUAL, VIRTUAL + 4)
    func = straight(
        MInst(t.CONST64, a),
        MInst(t.CONST64, b),
        MInst(t.ADD64, c, a, b),
        MInst(t.MIX, d, c, b),
        MInst(t.ST64, -1, d, d),
    )
    ranges = ranges_of(func, TARGET)
    assert ranges.mask[a] == bits(3, 4, 5)  # dies before the tied result begins
    assert ranges.mask[b] == bits(5, 6, 7)
    assert ranges.mask[c] == bits(6, 7)  # of a tied row: begins early
    assert ranges.mask[d] == bits(9)


def test_late_operand_of_a_tied_row_overlaps_its_result() -> None:
    a, b, c = range(VIRTUAL, VIRTUAL + 3)
    func = straight(MInst(t.CONST64, a), MInst(t.CONST64, b), MInst(t.ADD64, c, a, b))
    ranges = ranges_of(func, TARGET)
    assert ranges.mask[b] & ranges.mask[c]
    assert not ranges.mask[a] & ranges.mask[c]


def test_fixed_registers_are_busy_from_definition_to_use() -> None:
    a, b = VIRTUAL, VIRTUAL + 1
    func = straight(MInst(t.CONST64, a), MInst(COPY, 1, a), MInst(t.CONST64, b), MInst(t.SHL, VIRTUAL + 2, b))
    ranges = ranges_of(func, TARGET)
    assert ranges.busy[1] == bits(5, 6, 7, 8)  # late, because the copy into the tied result comes first
    assert ranges.written == 1 << 1


def test_fixed_results_are_busy_to_their_use() -> None:
    a, b, c = range(VIRTUAL, VIRTUAL + 3)
    func = straight(MInst(COPY, 0, a), MInst(COPY, 2, a), MInst(t.DIV, -1, a), MInst(t.CONST64, c), MInst(COPY, b, 0))
    ranges = ranges_of(func, TARGET)
    assert ranges.busy[0] == bits(3, 4, 5, 6, 7, 8, 9)
    assert ranges.busy[2] == bits(5, 6, 7)


@pytest.mark.parametrize("foreign", [False, True])
def test_instance_register_at_calls(foreign: bool) -> None:
    func = straight(MInst(3 - 1, imm=CallSite([VIRTUAL + foreign], [14], [], [], clobbers=1)))
    func.instance = VIRTUAL
    ranges = ranges_of(func, TARGET)
    assert ranges.busy[0] == bits(2)
    assert (ranges.foreign, ranges.passes) == ((bits(2), 0) if foreign else (0, bits(2)))


def test_dropped_results_need_no_place() -> None:
    func = straight(MInst(2, imm=CallSite([], [], [VIRTUAL], [0])), MInst(COPY, VIRTUAL + 1, 0), MInst(t.CONST64, VIRTUAL + 2))
    ranges = ranges_of(func, TARGET)
    assert (ranges.mask[VIRTUAL], ranges.mask[VIRTUAL + 1]) == (0, 0)
    assert ranges.mask[VIRTUAL + 2] == bits(7)  # an instruction must write somewhere


def test_gives_up_when_too_much_is_live(monkeypatch: pytest.MonkeyPatch) -> None:
    seed = next(seed for seed in range(1000) if len(generate(seed, TARGET, 150).blocks) > 10)
    assert live_ranges(generate(seed, TARGET, 150), TARGET) is not None
    monkeypatch.setattr(liveness, "MAX_PAIRS", -1000)
    assert live_ranges(generate(seed, TARGET, 150), TARGET) is None
