"""Frame layout: sizes, offsets, alignment."""

from __future__ import annotations

import pytest

from figwasp.codegen import frame
from figwasp.codegen.isa.x64.target import TARGET
from figwasp.codegen.mach import MFunc
from figwasp.ir.func import CONV_WASM


def make(
    outgoing: int = 0, area: int = 0, slots: int = 0, saved: int = 0, calls: bool = False, polls: bool = False
) -> MFunc:
    func = MFunc("f", 0, CONV_WASM)
    func.outgoing = outgoing
    func.area = area
    func.num_slots = slots
    func.saved = list(range(saved))
    func.has_calls = calls
    func.polls = polls
    frame.finish(func, TARGET)
    return func


@pytest.mark.parametrize("calls", [False, True])
@pytest.mark.parametrize("saved", [0, 1, 2, 6])
@pytest.mark.parametrize("slots", [0, 1, 2, 7, 50_000])
@pytest.mark.parametrize("area", [0, 8, 16, 24])
@pytest.mark.parametrize("outgoing", [0, 16, 24])
def test_parts_follow_each_other_and_the_stack_is_aligned(
    outgoing: int, area: int, slots: int, saved: int, calls: bool
) -> None:
    func = make(outgoing, area, slots, saved, calls)
    assert frame.area_offset(func) >= outgoing
    assert frame.area_offset(func) % 16 == 0
    assert frame.slots_offset(func) >= frame.area_offset(func) + area
    assert frame.saved_offset(func) == frame.slots_offset(func) + 8 * slots
    used = frame.saved_offset(func) + 8 * saved
    assert used <= func.frame_size < used + 16
    if func.frame_size or calls:
        assert func.frame_size % 16 == 8  # the return address makes it a multiple of 16


def test_an_empty_leaf_has_no_frame() -> None:
    assert make().frame_size == 0


def test_polls_and_calls_find_the_stack_aligned() -> None:
    assert make(polls=True).frame_size == 8
    assert make(calls=True).frame_size == 8
